"""What a run has done to trees so far, in memory: the way back, and what to tidy up at the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from nix_manylinux.base.errors import EditFailed, NixManylinuxError
from nix_manylinux.base.signals import Interrupts


class Journal:
    """Steps back in ``undo_steps``, steps that tidy up in ``close_steps``.

    ``commit_steps`` take the way back away that a killed run would leave to
    the next one: where one of them fails, the run has failed.

    Signals are held back from the start until `close` or `undo` is done,
    except where ``interrupts`` is asked to raise them.
    """

    def __init__(self) -> None:
        self.undo_steps: list[Callable[[], None]] = []
        self.close_steps: list[Callable[[], None]] = []
        self.commit_steps: list[Callable[[], None]] = []
        self.interrupts = Interrupts()
        self.interrupts.start()

    def close(self) -> None:
        """Tidy up: there is no way back any more. A second call does nothing.

        Raises EditFailed, with everything put back, where the run can't be finished.
        """
        self.interrupts.hold()
        try:
            for step in self.commit_steps:
                step()
        except OSError as cause:
            self.undo()
            raise EditFailed(
                f"can't be finished: {cause.strerror}",
                where=os.fsdecode(cause.filename or ""),
                hint="make the file system writable again, and run again; nothing has changed",
            ) from cause
        self.commit_steps.clear()
        self.undo_steps.clear()
        # What can't be deleted now is a leftover, which the next run deletes.
        _run(self.close_steps)
        self.interrupts.stop()

    def undo(self) -> None:
        """Go all the way back, then tidy up. A second call does nothing.

        One step that fails doesn't keep the others from being taken. Raises
        EditFailed with the reasons of all that failed.
        """
        self.interrupts.hold()
        failed = _run(self.undo_steps)
        if not failed:
            # The log goes last: until then a kill leaves it to the next run.
            self.close_steps[:0] = self.commit_steps
        self.commit_steps.clear()
        if failed:
            # The old inodes stay beside the files that could not get them back.
            self.close_steps.clear()
        _run(self.close_steps)
        if not failed:
            self.interrupts.stop()
            return
        # That the tree is damaged matters more than why we stopped.
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            self.interrupts.stop()
        raise EditFailed(
            "could not be undone: " + "; ".join(failed),
            hint="make it writable and patch it again, which puts the old bytes back, or unpack"
            " or install the tree again, before it is used",
        )


def _run(steps: list[Callable[[], None]]) -> list[str]:
    failed = []
    while steps:
        step = steps.pop()
        try:
            step()
        except (OSError, NixManylinuxError) as error:
            failed.append(str(error))
    return failed

"""Signals that would end the process, turned into exceptions at moments that can bear one."""

from __future__ import annotations

import contextlib
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Holds SIGINT, SIGTERM and SIGHUP back from `start` to `stop`, until `check` or `release`.

    A signal that arrives meanwhile is raised there: SIGINT as
    KeyboardInterrupt, the others as SystemExit with the status that a shell
    would give (128 and the number), so that every ``finally`` on the way out
    runs. The first one counts; those after it change nothing. After `release` a signal
    is raised as it arrives, until `hold`. ``heard`` is called for each at once,
    in the middle of anything. Signals that the process ignores stay ignored
    (nohup). Outside the main thread Python lets nobody set handlers, and
    nothing is held.
    """

    def __init__(self, heard: Callable[[], None] | None = None) -> None:
        self._heard = heard
        self._old: dict[int, object] = {}
        self._pending = 0
        self._raised = False
        self._held = True

    def start(self) -> None:
        """Set the handlers."""
        for number in _ENDING:
            old = signal.getsignal(number)
            # None is a handler of somebody's C code, which could not be put back.
            if old in {signal.SIG_IGN, None}:
                continue
            try:
                signal.signal(number, self._handle)
            except ValueError:  # not the main thread
                return
            self._old[number] = old

    def stop(self) -> None:
        """Put the old handlers back, and raise what was held."""
        while self._old:
            number, old = self._old.popitem()
            signal.signal(number, old)  # type: ignore[arg-type]
        self.check()

    def check(self) -> None:
        """Raise the signal that was held back, if there is one."""
        number, self._pending = self._pending, 0
        self._raised = self._raised or bool(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if number:
            raise SystemExit(128 + number)

    def hold(self) -> None:
        """Hold signals back from now on."""
        self._held = True

    def release(self) -> None:
        """Raise what was held back, and every signal from now on as it arrives."""
        self._held = False
        self.check()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if not self._raised:
            self._pending = self._pending or number
        if self._heard is not None:
            self._heard()
        if not self._held:
            self.check()


@contextlib.contextmanager
def signals_held(heard: Callable[[], None] | None = None) -> Iterator[Interrupts]:
    """Hold signals back while the block runs, except where it releases them; raise them then.

    ``heard`` is called as each arrives.
    """
    interrupts = Interrupts(heard)
    interrupts.start()
    try:
        yield interrupts
    finally:
        interrupts.hold()
        interrupts.stop()

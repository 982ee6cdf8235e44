"""A temporary folder that is gone in the end, whatever happens."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from nix_manylinux.base.errors import WriteFailed
from nix_manylinux.base.signals import signals_held

#: What to do where a temporary folder can't be made, or written to.
ROOM = "make room there, or set TMPDIR to a folder that has it"

#: Where temporary files are if the environment does not say.
_TEMPORARY = ("/tmp", "/var/tmp", "/usr/tmp", ".")  # noqa: S108 - what is made there has a random name


@contextlib.contextmanager
def scratch_folder(place: str | None = None) -> Iterator[str]:
    """Give a folder that is deleted in the end, on SIGINT, SIGTERM and SIGHUP too.

    It is in ``place``, or where `tempfile` would make it: in TMPDIR, TEMP or
    TMP, or where a Unix keeps such things. What can't be deleted is left to
    the system. Raises WriteFailed.
    """
    with signals_held() as interrupts:
        folder = _make_folder(place)
        try:
            interrupts.release()
            yield folder
        finally:
            interrupts.hold()
            _delete_folder(folder)


def _make_folder(place: str | None) -> str:
    # Not with tempfile: importing it takes longer than reading a small wheel.
    wished = [place, *(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))]
    failures = []
    for parent in (*filter(None, wished), *_TEMPORARY):
        folder = os.path.join(os.path.abspath(parent), f"nix-manylinux-{os.urandom(8).hex()}")
        try:
            os.mkdir(folder, 0o700)
        except OSError as cause:
            failures.append(cause)
        else:
            return folder
    raise WriteFailed(
        f"can't make a temporary folder: {failures[0].strerror}",
        where=failures[0].filename,
        hint=ROOM,
    ) from failures[0]


def _delete_folder(folder: str) -> None:
    """Delete a folder that only we write to; what resists stays."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                _delete_folder(entry.path)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
    with contextlib.suppress(OSError):
        os.rmdir(folder)

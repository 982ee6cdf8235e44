"""Whether a running process has a file open or mapped: then its bytes must not change under it."""

from __future__ import annotations

import errno
import fcntl
import os


class FilesInUse:
    """Answers for one file at a time.

    A write lease (fcntl(2), F_SETLEASE) is granted only on a file that nobody
    else has open, and a mapping keeps a file open. That takes microseconds.
    Where leases can't be had (another owner's file, some file systems), the
    maps of all processes that may be looked at are read, once.
    """

    def __init__(self) -> None:
        self._mapped: tuple[set[int], set[str]] | None = None

    def __contains__(self, path: str) -> bool:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as cause:
            if cause.errno == errno.EAGAIN:
                return True
            inode = os.fstat(descriptor).st_ino
        else:
            return False
        finally:
            os.close(descriptor)
        if self._mapped is None:
            self._mapped = _mapped_files()
        # Devices are not compared: layered file systems give another one in
        # maps than in stat. A false hit costs a copy.
        inodes, paths = self._mapped
        return inode in inodes or path in paths


def _mapped_files() -> tuple[set[int], set[str]]:
    inodes: set[int] = set()
    paths: set[str] = set()
    for process in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if not process.isdigit():
            continue
        try:
            with open(f"/proc/{process}/maps", "rb") as file:
                lines = file.readlines()
        except OSError:  # it ended, or is another user's
            continue
        for line in lines:
            fields = line.split(None, 5)
            if len(fields) == 6 and fields[4] != b"0":
                inodes.add(int(fields[4]))
                paths.add(os.fsdecode(fields[5].rstrip(b"\n").removesuffix(b" (deleted)")))
    return inodes, paths

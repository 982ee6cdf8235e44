"""A tree for one run alone: locked, and put right where a killed run left it half done."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterable, Iterator

from nix_manylinux.base.errors import BadTree, OsErrors
from nix_manylinux.base.files import UNDO_LOG
from nix_manylinux.write.undo_log import recover_tree

#: flock(2) on file systems that have no locks.
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EBADF}

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextlib.contextmanager
def locked_trees(roots: Iterable[str]) -> Iterator[int]:
    """Keep other runs out of all trees while the block runs, each first recovered.

    Those are runs for the same trees, for folders in them, and for what they are in. Gives how
    many files and RECORDs were recovered. Whoever patches holds the locks from before
    the trees are read until nothing can be undone any more, so what is planned is what is
    written to. Where a file system has no locks, nobody is kept out. Raises BadTree where
    another run holds a tree, where one can't be opened, where one that it is in is half done,
    and what `recover_tree` raises.
    """
    with contextlib.ExitStack() as stack:
        # In one order for all runs: two that want the same two trees can't wait for each other.
        own = sorted(set(map(os.path.realpath, roots)))
        for root in own:
            with OsErrors(BadTree, "can't be opened", where=root):
                descriptor = os.open(root, _FOLDER)
            stack.callback(os.close, descriptor)
            _lock(descriptor, root, fcntl.LOCK_EX)
        for folder in sorted({above for root in own for above in _above(root)}):
            with contextlib.suppress(OSError):  # where we may not look we can't be in the way
                descriptor = os.open(folder, _FOLDER)
                stack.callback(os.close, descriptor)
                _lock(descriptor, folder, fcntl.LOCK_SH)  # trees beside each other share it
            if os.path.lexists(os.path.join(folder, UNDO_LOG)):
                raise BadTree(
                    "a patch of it was killed before it was done, and the tree is a part of it",
                    where=folder,
                    hint="patch it again first: that puts the old bytes back",
                )
        restored = sum(map(recover_tree, own))
        yield restored


def _above(folder: str) -> Iterator[str]:
    while (above := os.path.dirname(folder)) != folder:
        folder = above
        yield folder


def _lock(descriptor: int, folder: str, how: int) -> None:
    """Lock a folder, or raise BadTree."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        if not _is_held_for_us(os.fstat(descriptor).st_ino):
            raise BadTree(
                "another patch of this tree is running",
                where=folder,
                hint="wait until it is done, and run again",
            ) from cause
    except OSError as cause:
        if cause.errno not in _NO_LOCKS:
            raise BadTree(f"can't be locked: {cause.strerror}", where=folder) from cause


def _is_held_for_us(inode: int) -> bool:
    """Whether flock(1) holds the lock that has run us: `flock . nix-manylinux patch .venv`."""
    ours, process = set(), os.getppid()
    with contextlib.suppress(OSError, ValueError, IndexError):
        while process > 1:
            with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
            if name == "flock":
                ours.add(process)
            process = int(rest.split()[1])
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/locks", encoding="utf-8") as file:
            rows = [line.split() for line in file]
        return any(
            row[1] == "FLOCK" and int(row[4]) in ours and int(row[5].rpartition(":")[2]) == inode
            for row in rows
            if "->" not in row  # those who wait
        )
    return False

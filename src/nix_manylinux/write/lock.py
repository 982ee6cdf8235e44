"""A tree for one run alone: locked, and put right where a killed run left it half done."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterable, Iterator

from nix_manylinux.base.errors import BadTree, OsErrors
from nix_manylinux.write.undo_log import recover_tree

#: flock(2) on file systems that have no locks.
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EBADF}


@contextlib.contextmanager
def locked_trees(roots: Iterable[str]) -> Iterator[int]:
    """Keep other runs out of all trees while the block runs, each first recovered.

    Gives how many files and RECORDs that was. Whoever patches holds the locks from before
    the trees are read until nothing can be undone any more, so what is planned is what is
    written to. Where a file system has no locks, nobody is kept out. Raises BadTree where
    another run holds a tree, where one can't be opened, and what `recover_tree` raises.
    """
    restored = 0
    with contextlib.ExitStack() as stack:
        # In one order for all runs: two that want the same two trees can't wait for each other.
        for root in sorted(set(map(os.path.realpath, roots))):
            with OsErrors(BadTree, "can't be opened", where=root):
                descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as cause:
                raise BadTree(
                    "another patch of this tree is running",
                    where=root,
                    hint="wait until it is done, and run again",
                ) from cause
            except OSError as cause:
                if cause.errno not in _NO_LOCKS:
                    raise BadTree(f"can't be locked: {cause.strerror}", where=root) from cause
            restored += recover_tree(root)
        yield restored

"""The errors of reading trees."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from nix_manylinux.base.errors import BadTree


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Make errors of files that were there when a tree was scanned, and are not any more."""
    try:
        yield
    except OSError as cause:
        raise unreadable(cause, os.fsdecode(cause.filename or "a file of the tree")) from cause


def unreadable(cause: OSError, where: str) -> BadTree:
    """Make the error for what can't be read, with what to do."""
    if isinstance(cause, FileNotFoundError):
        return BadTree(
            "vanished while the tree was read",
            where=where,
            hint="run again when nothing else writes to the tree",
        )
    return BadTree(
        f"can't be read: {cause.strerror}",
        where=where,
        hint="give this user the right to read it: chmod -R u+rX on the tree",
    )


def half_done(root: str) -> BadTree:
    """Make the error for a tree that another run is writing to, or was when it was killed."""
    return BadTree(
        "a patch of it is running, or was killed before it was done",
        where=root,
        hint="if none is running, patch it again: that puts the old bytes back first",
    )

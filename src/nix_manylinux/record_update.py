"""The RECORD of an installed tree, made true again after files were edited."""

from __future__ import annotations

import contextlib
import os
import stat

from nix_manylinux.errors import BadTree
from nix_manylinux.files import replace_file, temporary_beside, writable_folder
from nix_manylinux.parallel import in_parallel
from nix_manylinux.record import (
    MAX_RECORD_SIZE,
    REBUILD,
    STRONG_HASHES,
    Record,
    Row,
    hash_descriptor,
    parse_record,
)
from nix_manylinux.values import Value, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class RecordUpdate(Value):
    """What `update_record` found: rows that were untrue before us, and rows of vanished files.

    ``outside`` counts rows that lead out of the tree; they are left alone.
    ``written`` says whether the file changed; `undo` puts the old one back,
    `close` lets go of it.
    """

    stale: int = 0
    dropped: int = 0
    outside: int = 0
    written: bool = False
    _undo: Callable[[], None] | None = None
    _close: Callable[[], None] | None = None

    def undo(self) -> None:
        """Put the old file back, or do nothing where none was written."""
        if self._undo is not None:
            self._undo()

    def close(self) -> None:
        """Delete what `undo` would have needed."""
        if self._close is not None:
            self._close()


def update_record(root: str, dist_info: str, changed: Iterable[str] = ()) -> RecordUpdate:
    """Make the RECORD in ``dist_info`` true for every file that it lists.

    ``dist_info`` and ``changed`` are relative to ``root``; rows of ``changed``
    files are brought up to date and don't count as stale. Every listed file is
    read once: an installed tree is stale before us (shebangs, wrapped
    programs, removed tests), and SHA-256 of all of torch takes half a second.
    Order and line endings stay; rows without a hash stay without, RECORD's own
    among them. A row that leads out of ``root`` is neither read nor changed.
    The file is written only if it changes, by a rename: a link is replaced,
    not followed. No RECORD: nothing to do. Raises BadTree.
    """
    path = os.path.join(root, dist_info, "RECORD")
    where = os.path.join(dist_info, "RECORD")
    try:
        data, status = _read_record(path, where)
    except FileNotFoundError:
        return RecordUpdate()
    except OSError as cause:
        raise _unreadable(cause, where) from cause
    record = parse_record(data, error=BadTree, where=where, strict=False)
    kept, found = _true_rows(record, root, os.path.dirname(dist_info), where, frozenset(changed))
    if kept == record.rows:
        return found

    fresh = Record(rows=kept, line_end=record.line_end).encode()
    backup = temporary_beside(path)

    def undo() -> None:
        with writable_folder(os.path.dirname(path)):
            os.replace(backup, path)

    def close() -> None:
        with writable_folder(os.path.dirname(path)), contextlib.suppress(FileNotFoundError):
            os.unlink(backup)

    try:
        try:
            # A name more: going back to it needs no room, which a full disk doesn't have.
            with writable_folder(os.path.dirname(path)):
                os.link(path, backup, follow_symlinks=False)
            replace_file(path, fresh, status)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                undo()
            # rename(2) of two names of one inode does nothing and leaves both.
            close()
            raise
    except OSError as cause:
        raise BadTree(
            f"can't be rewritten: {cause.strerror}",
            where=where,
            hint="give this user the right to write there, or free some space",
        ) from cause
    return replace(found, written=True, _undo=undo, _close=close)


def _read_record(path: str, where: str) -> tuple[bytes, os.stat_result]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_RECORD_SIZE:
            raise BadTree(
                f"is no regular file of at most {MAX_RECORD_SIZE} bytes",
                where=where,
                hint=REBUILD,
            )
        return file.read(), status


def _true_rows(
    record: Record, root: str, base: str, where: str, changed: frozenset[str]
) -> tuple[tuple[Row, ...], RecordUpdate]:
    places = [_place(row.path, root, base) for row in record.rows]

    def truth_of(index: int) -> Row | None:
        row, place = record.rows[index], places[index]
        if place is None:
            return row
        if place == where:
            return _unhashed(record, row)
        return _true_row(record, row, os.path.join(root, place))

    truths = in_parallel(truth_of, [_claimed_size(row) for row in record.rows])
    kept: list[Row] = []
    stale = dropped = outside = 0
    for row, place, truth in zip(record.rows, places, truths, strict=True):
        if place is None:
            outside += 1
            kept.append(row)
        elif truth is None:
            dropped += 1
        else:
            stale += truth is not row and place not in changed
            kept.append(truth)
    return tuple(kept), RecordUpdate(stale=stale, dropped=dropped, outside=outside)


def _claimed_size(row: Row) -> int:
    return int(row.size) if row.size.isascii() and row.size.isdigit() else 0


def _place(path: str, root: str, base: str) -> str | None:
    """Where in the tree a row leads, None if out of it. Paths are relative to site-packages."""
    if path.startswith("/"):
        path = os.path.normpath(path)
        return os.path.relpath(path, root) if path.startswith(root.rstrip("/") + "/") else None
    place = os.path.normpath(os.path.join(base, path))
    return None if place == ".." or place.startswith("../") else place


def _unhashed(record: Record, row: Row) -> Row:
    return record.row(row.path) if row.hash or row.size else row


def _true_row(record: Record, row: Row, path: str) -> Row | None:
    """Give the row itself where it is true, another one where it isn't, None for no file."""
    if not row.hash and not row.size:
        # It claims nothing (a .pyc); only a file that is gone changes it.
        return row if os.path.lexists(path) else None
    try:
        # A name that became a FIFO must not hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        # A link that leads nowhere has a name, but no contents to hash.
        return _unhashed(record, row) if os.path.lexists(path) else None
    except OSError as cause:
        raise _unreadable(cause, row.path) from cause
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return row
        if not row.hash:
            size = str(status.st_size)
            return row if row.size == size else record.row(row.path, "", size)
        algorithm = row.algorithm if row.algorithm in STRONG_HASHES else "sha256"
        hash_, count = hash_descriptor(descriptor, algorithm)
    except OSError as cause:
        raise _unreadable(cause, row.path) from cause
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    if row.hash == hash_ and row.size in {"", str(count)}:
        return row
    return record.row(row.path, hash_, count if row.size else "")


def _unreadable(cause: OSError, where: str) -> BadTree:
    return BadTree(
        f"can't be read: {cause.strerror}",
        where=where,
        hint="give this user the right to read it: chmod -R u+rX on the tree",
    )

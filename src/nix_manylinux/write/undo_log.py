"""The way back on disk: what a run that is killed leaves for the next one.

Before a file is edited in place its old bytes are appended to a log in the
tree's root, and before a copy or a new RECORD takes a name, which other name holds
what was there; the log is deleted when the run is done. Whoever patches the tree
next puts all of it back first. A process that is killed loses nothing; a
machine that loses power may (nothing is synced).

A log is a first line and records. A record is its own CRC-32 and length, then
path length, device, inode, sizes before and after, access and modification
time (nanoseconds), number of pieces, path, and pieces of offset, length and
bytes; all integers are little-endian. A path with NULs in it is pairs of names
instead, and the inode theirs: a temporary one, and the one that it stands for.
A last record that is cut short belongs to an edit that had not begun.
"""

from __future__ import annotations

import os
import struct
import zlib

from nix_manylinux.base.errors import BadTree, OsErrors
from nix_manylinux.base.files import (
    UNDO_LOG,
    is_temporary,
    read_regular,
    writable_folder,
    write_all,
    write_all_at,
)
from nix_manylinux.write.unfold import put_link_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nix_manylinux.elf.edit.edit import Edited

_FIRST_LINE = b"nix-manylinux undo 1\n"
_FRAME = struct.Struct("<LQ")
_RECORD = struct.Struct("<LQQQQqqL")
_PIECE = struct.Struct("<QQ")

#: Bytes. An edit's old bytes are some kilobytes.
_MAX_LOG = 2**32


class UndoLog:
    """The log of one tree; made with the first record."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._path = os.path.join(root, UNDO_LOG)
        self._descriptor = -1

    def add(self, edited: Edited) -> None:
        """Write down how to undo an edit that is about to be made. Raises OSError."""
        path = os.fsencode(os.path.relpath(edited.path, self._root))
        sizes = edited.size_before, edited.size_after
        body = _RECORD.pack(len(path), *edited.inode, *sizes, *edited.times, len(edited.old))
        pieces = [body, path]
        for offset, data in edited.old:
            pieces += [_PIECE.pack(offset, len(data)), data]
        self._append(b"".join(pieces))

    def add_names(self, backups: Sequence[str], names: Sequence[str]) -> None:
        """Write down which names hold the old inode of which ones. Raises OSError."""
        status = os.lstat(backups[0])
        pairs = [each for pair in zip(backups, names, strict=True) for each in pair]
        path = b"\0".join(os.fsencode(os.path.relpath(each, self._root)) for each in pairs)
        self._append(_RECORD.pack(len(path), status.st_dev, status.st_ino, 0, 0, 0, 0, 0) + path)

    def _append(self, record: bytes) -> None:
        if self._descriptor < 0:
            with writable_folder(self._root):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o600)
            write_all(self._descriptor, _FIRST_LINE)
        write_all(self._descriptor, _FRAME.pack(zlib.crc32(record), len(record)) + record)

    def delete(self) -> None:
        """Delete the log: the run is done, or everything is put back. Raises OSError."""
        if self._descriptor >= 0:
            with writable_folder(self._root):
                os.unlink(self._path)
            os.close(self._descriptor)
            self._descriptor = -1


def recover_tree(root: str) -> int:
    """Undo what a run that was killed left half done below ``root``; the number of files.

    Without a log nothing is done. A file that was replaced since is left as
    it is. Raises BadTree where the log is none, and where a file can't be put back;
    the log then stays. The caller holds the tree's lock (`locked_trees`).
    """
    root = os.path.realpath(root)
    path = os.path.join(root, UNDO_LOG)
    if not os.path.lexists(path):
        return 0
    hint = "give this user the right to write there, or unpack the tree again"
    with OsErrors(BadTree, "an interrupted patch can't be undone", where=root, hint=hint):
        log = read_regular(path, _MAX_LOG, flags=os.O_NOFOLLOW)
        if log is None:
            raise _no_log()
        restored = sum([_restore(root, record) for record in reversed(list(_records(log[0])))])
        with writable_folder(root):
            os.unlink(path)
    return restored


def _no_log() -> BadTree:
    return BadTree(
        "is not an undo log of ours",
        where=UNDO_LOG,
        hint="delete it if the tree came with it; else unpack the tree again",
    )


def _records(data: bytes) -> Iterator[bytes]:
    if not data.startswith(_FIRST_LINE):
        if _FIRST_LINE.startswith(data):
            return  # killed while the first line was written
        raise _no_log()
    at = len(_FIRST_LINE)
    while at + _FRAME.size <= len(data):
        crc, length = _FRAME.unpack_from(data, at)
        record = data[at + _FRAME.size : at + _FRAME.size + length]
        if len(record) < length:
            return
        if zlib.crc32(record) != crc or length < _RECORD.size:
            raise _no_log()
        yield record
        at += _FRAME.size + length


def _inside(root: str, name: str) -> str:
    """Give the path of a name in the tree, links on the way to it followed."""
    path = os.path.join(root, name)
    if not f"{os.path.realpath(os.path.dirname(path))}/".startswith(f"{root}/"):
        raise _no_log()
    return path


def _restore_names(root: str, names: list[str], inode: tuple[int, int]) -> bool:
    """Give an inode its names back, from the temporary ones that still hold it."""
    pairs = list(zip(names[::2], names[1::2], strict=False))
    if any(not is_temporary(os.path.basename(held)) for held, _ in pairs):
        raise _no_log()
    done = False
    for held, name in pairs:
        try:
            status = os.lstat(os.path.join(root, held))
        except FileNotFoundError:
            continue
        old, path = _inside(root, held), _inside(root, name)
        if (status.st_dev, status.st_ino) == inode:
            with writable_folder(os.path.dirname(path)), writable_folder(os.path.dirname(old)):
                put_link_back(old, path)
            done = True
    return done


def _pieces(record: bytes, at: int, count: int) -> Iterator[tuple[int, bytes]]:
    for _ in range(count):
        offset, length = _PIECE.unpack_from(record, at)
        at += _PIECE.size
        data = record[at : at + length]
        if len(data) < length:
            raise _no_log()
        yield offset, data
        at += length


def _restore(root: str, record: bytes) -> bool:
    """Put one file's old bytes back; false where another file has its place by now."""
    length, device, inode, size_before, size_after, *times, count = _RECORD.unpack_from(record)
    at = _RECORD.size + length
    name = os.fsdecode(record[_RECORD.size : at])
    if "\0" in name:
        return _restore_names(root, name.split("\0"), (device, inode))
    path = _inside(root, name)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != (device, inode):
            return False
        low, high = sorted((size_before, size_after))
        if not low <= status.st_size <= high:
            raise BadTree(
                "was written since an interrupted patch, which can't be undone now",
                where=name,
                hint=f"unpack the tree again, or keep the file and delete {UNDO_LOG}",
            )
        pieces = list(_pieces(record, at, count))
        # All that the file has to get back must be there before any of it is written.
        if any(offset + len(data) > size_before for offset, data in pieces) or (
            size_before - size_after > sum(len(data) for _, data in pieces)
        ):
            raise _no_log()
        os.ftruncate(descriptor, size_before)
        for offset, data in pieces:
            write_all_at(descriptor, data, offset)
        os.utime(descriptor, ns=(times[0], times[1]))
    except (struct.error, OverflowError) as cause:
        raise _no_log() from cause
    finally:
        os.close(descriptor)
    return True

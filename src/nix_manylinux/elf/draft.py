"""A file with changes that are not written yet.

The writer works on a `Draft`: it reads through to the file, and keeps what is
written to it in pages of its own. So a whole edit can be laid out and held
against the rules before the file changes by one byte, and a layout that fails
them costs nothing. What `Draft.changes` returns is also all that it takes to
undo the edit.
"""

from __future__ import annotations

import os
from typing import NamedTuple, Protocol

from nix_manylinux.errors import BadElf

_PAGE = 4096


class Source(Protocol):
    """Bytes that can be read by offset."""

    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes at ``offset``; `BadElf` where the file ends before them."""


class FileSource:
    """An open file, read by ``pread``: the file position is nobody's business."""

    __slots__ = ("descriptor", "size")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Read as `Source` promises; the size is checked before memory is taken for it."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise BadElf(
                f"{size} bytes at offset {offset:#x} are wanted, the file ends at {self.size:#x}"
            )
        data = os.pread(self.descriptor, size, offset)
        while len(data) < size:  # one read gives at most 2 GiB
            more = os.pread(self.descriptor, size - len(data), offset + len(data))
            if not more:
                raise BadElf("the file became shorter while it was read")
            data += more
        return data


class Change(NamedTuple):
    """Bytes that were at ``offset``, and those that take their place.

    ``old`` is shorter than ``new`` where the file grows.
    """

    offset: int
    old: bytes
    new: bytes

    @property
    def end(self) -> int:
        """The offset behind the new bytes."""
        return self.offset + len(self.new)


class Draft:
    """A `FileSource` and the pages that differ from it."""

    __slots__ = ("_pages", "base", "size")

    def __init__(self, base: FileSource) -> None:
        self.base = base
        self.size = base.size
        self._pages: dict[int, bytearray] = {}

    def read(self, offset: int, size: int) -> bytes:
        """Read as `Source` promises, with what was written so far."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise BadElf(
                f"{size} bytes at offset {offset:#x} are wanted, the file ends at {self.size:#x}"
            )
        known = min(size, max(0, self.base.size - offset))
        data = self.base.read(offset, known) if known else b""
        if not self._pages:
            return data
        end = offset + size
        first, last = offset // _PAGE, (end - 1) // _PAGE
        touched = [n for n in self._pages if first <= n <= last]
        if not touched:
            return data + bytes(size - known)
        result = bytearray(data)
        result.extend(bytes(size - known))
        for number in touched:
            start = max(offset, number * _PAGE)
            stop = min(end, (number + 1) * _PAGE)
            page = self._pages[number]
            result[start - offset : stop - offset] = page[
                start - number * _PAGE : stop - number * _PAGE
            ]
        return bytes(result)

    def write(self, offset: int, data: bytes) -> None:
        """Put ``data`` at ``offset``; the file grows where that goes beyond its end."""
        end = offset + len(data)
        position = offset
        while position < end:
            number, within = divmod(position, _PAGE)
            page = self._pages.get(number)
            if page is None:
                page = self._pages[number] = self._load(number)
            count = min(_PAGE - within, end - position)
            page[within : within + count] = data[position - offset : position - offset + count]
            position += count
        self.size = max(self.size, end)

    def clear(self, offset: int, size: int) -> None:
        """Put ``size`` zero bytes at ``offset``."""
        self.write(offset, bytes(size))

    def cut(self, size: int) -> None:
        """End the file at ``size``, which is not beyond its present end.

        Bytes behind the cut count as zero should the file grow again.
        """
        if size < self.size:
            self.clear(size, self.size - size)
            self.size = size

    def _load(self, number: int) -> bytearray:
        start = number * _PAGE
        known = min(_PAGE, max(0, self.base.size - start))
        page = bytearray(self.base.read(start, known)) if known else bytearray()
        page.extend(bytes(_PAGE - known))
        return page

    def changes(self) -> list[Change]:
        """List what differs from the file, in runs of whole pages, in order of offset."""
        found: list[Change] = []
        for number in sorted(self._pages):
            start = number * _PAGE
            new = bytes(self._pages[number][: max(0, self.size - start)])
            known = max(0, min(len(new), self.base.size - start))
            old = self.base.read(start, known) if known else b""
            if old == new:
                continue
            if found and found[-1].end == start and found[-1].offset < self.base.size <= start:
                # What the file grows by stays apart from what is overwritten.
                found.append(Change(start, old, new))
            elif found and found[-1].end == start:
                last = found.pop()
                found.append(Change(last.offset, last.old + old, last.new + new))
            else:
                found.append(Change(start, old, new))
        return found

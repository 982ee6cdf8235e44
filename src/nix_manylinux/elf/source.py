"""Bytes of a file by position, each held against the file's size before memory is taken."""

from __future__ import annotations

import os

from nix_manylinux.base.errors import BadElf

#: What is read at once for small wants, and how much of a file is kept. A reader wants
#: headers, tables and padding from a few places, a writer most of them more than once.
_BLOCK = 1 << 14
_MAX_BLOCKS = 64


class Source:
    """Bytes of a file, from a descriptor, which stays the caller's, or from memory.

    ``data`` is what was read already, from the file's beginning: with a ``size``
    more of it is in the descriptor. The file position is neither read nor moved.
    """

    __slots__ = ("_blocks", "_head", "descriptor", "size")

    def __init__(self, descriptor: int = -1, *, data: bytes = b"", size: int | None = None) -> None:
        self.descriptor = descriptor
        self._head = data
        self.size = size if size is not None else len(data) or os.fstat(descriptor).st_size
        #: Block number -> the bytes of that block.
        self._blocks: dict[int, bytes] = {}

    def read(self, offset: int, size: int, what: str = "a table") -> bytes:
        """Give exactly ``size`` bytes at ``offset``.

        Raises BadElf, which names ``what``, where the file ends before them.
        """
        end = offset + size
        if 0 <= offset <= end <= len(self._head):
            return self._head[offset:end]
        if offset < 0 or size < 0 or end > self.size:
            raise past_end(what, offset, size, self.size)
        number = offset // _BLOCK
        start = offset - number * _BLOCK
        if start + size <= _BLOCK:
            return (self._blocks.get(number) or self._block(number))[start : start + size]
        if size <= _BLOCK:  # across a seam
            two = (self._blocks.get(each) or self._block(each) for each in (number, number + 1))
            return b"".join(two)[start : start + size]
        return read_at(self.descriptor, offset, size)

    def _block(self, number: int) -> bytes:
        if len(self._blocks) >= _MAX_BLOCKS:
            self._blocks.clear()
        start = number * _BLOCK
        block = read_at(self.descriptor, start, min(_BLOCK, self.size - start))
        self._blocks[number] = block
        return block


def past_end(what: str, offset: int, size: int, end: int) -> BadElf:
    """Say that bytes are wanted which a file of ``end`` bytes doesn't have."""
    return BadElf(
        f"{what} ({size} bytes at {offset:#x}) ends behind the end of the file,"
        f" which has {end} bytes"
    )


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    """Read all of ``size`` bytes: pread(2) may give fewer, and never more than 2 GiB."""
    data = os.pread(descriptor, size, offset)
    while len(data) < size:
        more = os.pread(descriptor, size - len(data), offset + len(data))
        if not more:
            raise BadElf("the file became shorter while it was read")
        data += more
    return data

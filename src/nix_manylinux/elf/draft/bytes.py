"""A file with changes that are not written yet.

The writer works on a `Draft`: it reads through to the file, and keeps what is
written to it for itself. So a whole edit can be laid out and held
against the rules before the file changes by one byte, and a layout that fails
them costs nothing. What `Draft.changes` returns is also all that it takes to
undo the edit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from nix_manylinux.base.values import Value
from nix_manylinux.elf.source import Source, past_end


class Change(Value, kw_only=False):
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
    """A `Source`, and runs of bytes that take the place of some of its own."""

    __slots__ = ("_runs", "_starts", "base", "size")

    def __init__(self, base: Source) -> None:
        self.base = base
        self.size = base.size
        #: Where each run starts, ascending; no two runs overlap.
        self._starts: list[int] = []
        self._runs: list[bytearray] = []

    def read(self, offset: int, size: int, what: str = "a table") -> bytes:
        """Read as `Source.read` does, with what was written so far."""
        end = offset + size
        if offset < 0 or size < 0 or end > self.size:
            raise past_end(what, offset, size, self.size)
        first, last = self._overlapping(offset, end)
        if first == last:
            if end <= self.base.size:
                return self.base.read(offset, size)
        elif last == first + 1:
            start, run = self._starts[first], self._runs[first]
            if start <= offset and end <= start + len(run):
                return bytes(memoryview(run)[offset - start : end - start])  # copied once
        pieces: list[bytes | memoryview] = []
        for start, run in zip(self._starts[first:last], self._runs[first:last], strict=True):
            if offset < start:
                pieces += self._unchanged(offset, start)
                offset = start
            pieces.append(memoryview(run)[offset - start : end - start])
            offset = min(end, start + len(run))
        pieces += self._unchanged(offset, end)
        return b"".join(pieces)

    def _unchanged(self, offset: int, end: int) -> list[bytes]:
        """Read what no run has, in pieces; behind the file's own end there are zero bytes."""
        known = max(offset, min(end, self.base.size))
        pieces = [self.base.read(offset, known - offset)] if offset < known else []
        return [*pieces, bytes(end - known)] if known < end else pieces

    def _overlapping(self, offset: int, end: int) -> tuple[int, int]:
        """Indexes (first, behind the last) of the runs that have bytes of a range."""
        first = bisect_right(self._starts, offset)
        if first and self._starts[first - 1] + len(self._runs[first - 1]) > offset:
            first -= 1
        return first, max(first, bisect_left(self._starts, end))

    def write(self, offset: int, data: bytes | bytearray) -> None:
        """Put ``data`` at ``offset``; the file grows where that goes beyond its end."""
        if not data:
            return
        end = offset + len(data)
        first, last = self._overlapping(offset, end)
        if last == first + 1 and self._starts[first] <= offset:
            start, run = self._starts[first], self._runs[first]
            if end <= start + len(run):
                run[offset - start : end - start] = data
                self.size = max(self.size, end)  # it may have been cut before
                return
        joined = bytearray(data)
        start = offset
        if first < last:
            head, run = self._starts[first], self._runs[first]
            if head < offset:
                joined[:0] = run[: offset - head]
                start = head
            tail, run = self._starts[last - 1], self._runs[last - 1]
            if tail + len(run) > end:
                joined += run[end - tail :]
        self._starts[first:last] = [start]
        self._runs[first:last] = [joined]
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

    def changes(self) -> list[Change]:
        """List what differs from the file, in order of offset, no two next to each other."""
        found: list[tuple[int, bytes, bytes]] = []
        for start, run in zip(self._starts, self._runs, strict=True):
            new = bytes(memoryview(run)[: max(self.size - start, 0)])
            known = max(0, min(len(new), self.base.size - start))
            old = self.base.read(start, known) if known else b""
            if old == new:
                continue
            if found and found[-1][0] + len(found[-1][2]) == start:
                first, before, after = found[-1]
                found[-1] = (first, before + old, after + new)
            else:
                found.append((start, old, new))
        return [Change(*each) for each in found]

"""An ELF file seen as its loader sees it: segments, addresses and names, all in bounds.

Validity is what the kernel and the loaders of glibc and musl take: segments are mapped
by whole pages, sizes that nobody reads (DT_STRSZ, p_offset of PT_DYNAMIC) decide
nothing, and section headers may be anything. Nothing here trusts a number of the file
all the same: each read is held against the size of the file, each address against what
is mapped. What doesn't fit is `BadElf`; no allocation is larger than what is there.
"""

from __future__ import annotations

import os

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf import format as elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nix_manylinux.elf.format import FileHeader, Layout, Section, Segment

#: How much is read around a wanted place: one page, so that headers that lie
#: together cost one system call.
_WINDOW = 4096
#: String tables up to this size are read at once; larger ones name by name.
_WHOLE_TABLE = 1 << 16
#: The names of a file together may have its size, and a small file's this one: entries
#: may share a name, and do so in a hostile file without end.
_MAX_NAMES = 1 << 24
#: Entries that are read at once where PT_DYNAMIC doesn't say how many there are.
_SOME_ENTRIES = 256
#: Entries before DT_NULL; the largest real dynamic section has a few hundred.
_MAX_DYNAMIC = 1 << 16
#: Above this a section index needs a second word (SHN_LORESERVE). Object files
#: with a section for each function get there, linked files don't.
_MAX_SECTIONS = 0xFF00
_SECTIONS_AT_ONCE = 32

#: The smallest page there is: segments are mapped by whole ones.
MIN_PAGE = 4096


class Source:
    """Bytes of a file by position, from a descriptor or from memory.

    ``data`` is what was read already, from the file's beginning: with a
    ``size`` more of it is in the descriptor, which stays the caller's.
    """

    __slots__ = ("_fd", "_head", "_start", "_window", "size")

    def __init__(self, *, fd: int = -1, data: bytes = b"", size: int | None = None) -> None:
        self._fd = fd
        self._head = data
        self._window = b""
        self._start = 0
        self.size = len(data) if size is None else size

    def read(self, what: str, offset: int, size: int) -> bytes:
        """Read ``size`` bytes at ``offset``; ``what`` names the structure in errors."""
        end = offset + size
        if end <= len(self._head):
            return self._head[offset:end]
        start = offset - self._start
        if start >= 0 and start + size <= len(self._window):
            return self._window[start : start + size]
        if end > self.size:
            raise BadElf(
                f"{what} ({size} bytes at {offset:#x}) ends behind the end of the file,"
                f" which has {self.size} bytes"
            )
        window = os.pread(self._fd, max(size, _WINDOW), offset)
        while len(window) < size:  # pread(2) may give fewer bytes than there are
            more = os.pread(self._fd, size - len(window), offset + len(window))
            if not more:
                raise BadElf(f"the file became shorter while its {what} was read")
            window += more
        if size <= _WINDOW:
            self._window = window
            self._start = offset
        return window[:size]


class Image:
    """Headers and segments of one file, and what its addresses lead to."""

    __slots__ = ("header", "ident", "layout", "loads", "segments", "source")

    def __init__(self, source: Source) -> None:
        """Read and check the file header and the program header table."""
        self.source = source
        ident = source.read("e_ident", 0, elf.EI_NIDENT)
        layout = elf.LAYOUTS.get((ident[elf.EI_CLASS], ident[elf.EI_DATA]))
        if layout is None:
            raise BadElf(
                f"EI_CLASS {ident[elf.EI_CLASS]} and EI_DATA {ident[elf.EI_DATA]}"
                " are no class and byte order that ELF knows (1 or 2 each)"
            )
        self.ident = ident
        self.layout: Layout = layout
        size = elf.EI_NIDENT + layout.ehdr.size
        self.header: FileHeader = layout.header(source.read("file header", 0, size))
        self.segments: list[Segment] = self._program_headers()
        self.loads = [segment for segment in self.segments if segment.type == elf.PT_LOAD]

    def _program_headers(self) -> list[Segment]:
        header = self.header
        if header.phnum == 0 or header.type not in {elf.ET_EXEC, elf.ET_DYN}:
            return []
        if header.phentsize != self.layout.phdr.size:
            raise BadElf(
                f"e_phentsize is {header.phentsize}; program headers"
                f" of this class have {self.layout.phdr.size} bytes"
            )
        size = header.phnum * header.phentsize
        return self.layout.segments(self.source.read("program header table", header.phoff, size))

    def section_count(self) -> int:
        """Count the section headers; 0 where the table was stripped, or can't be read.

        No loader reads them, so a table that was cut off, or says nonsense, is as
        good as none.
        """
        header, size = self.header, self.layout.shdr.size
        room = self.source.size - header.shoff
        if header.shoff == 0 or header.shentsize != size or room < size:
            return 0
        # gABI, chapter 4: more than 65279 sections are counted in the first one.
        count = header.shnum or self.section(0).size
        return count if count * size <= room else 0

    def section(self, index: int) -> Section:
        """Read the section header of that index, which the caller knows to exist."""
        size = self.layout.shdr.size
        offset = self.header.shoff + index * size
        return self.layout.sections(self.source.read("section header", offset, size))[0]

    def sections(self) -> Iterator[Section]:
        """Yield every section header of a linked file, read as it is asked for.

        None where there are more than any linked file has.
        """
        count = self.section_count()
        if count > _MAX_SECTIONS:
            return
        shdr = self.layout.shdr
        for first in range(0, count, _SECTIONS_AT_ONCE):
            size = min(_SECTIONS_AT_ONCE, count - first) * shdr.size
            offset = self.header.shoff + first * shdr.size
            for fields in shdr.iter_unpack(self.source.read("section headers", offset, size)):
                yield elf.Section(*fields)

    def check_segments(self) -> None:
        """Raise BadElf for a file that was cut short: whole pages of a PT_LOAD are missing.

        In the page in which a file ends, zeros follow.
        """
        mapped = -(-self.source.size // MIN_PAGE) * MIN_PAGE
        for segment in self.loads:
            if segment.offset + segment.filesz > mapped:
                raise BadElf(
                    f"PT_LOAD at {segment.vaddr:#x} wants {segment.filesz} bytes (p_filesz) at"
                    f" {segment.offset:#x} (p_offset), but the file has {self.source.size} bytes"
                )

    def last(self, kind: int) -> Segment | None:
        """Return the last program header of a kind: of several, glibc and musl take that."""
        found = None
        for segment in self.segments:
            if segment.type == kind:
                found = segment
        return found

    def locate(self, field: str, address: int) -> tuple[int, int]:
        """Map an address to its file offset and the bytes that are mapped on from there.

        By whole pages, as kernel and loaders do: the rest of a segment's first and last
        page is there too, unless zeros follow what the file has (p_memsz above p_filesz),
        and of two segments in one page the later one is seen. Segments that go on where
        the one before them ends, in memory and in the file, count as one: what is mapped
        knows no seam, and patchelf puts a program's strings across it.
        """
        offset, room = self._mapped(address)
        if room <= 0:
            raise BadElf(f"{field} is {address:#x}, which no PT_LOAD fills from the file")
        for _ in self.loads:
            following, more = self._mapped(address + room)
            if more <= 0 or following != offset + room:
                break
            room += more
        return offset, min(room, max(self.source.size - offset, 0))

    def _mapped(self, address: int) -> tuple[int, int]:
        """Find the offset of an address, and how much one segment has there; 0 for nothing."""
        stop = 1 << 64
        for load in reversed(self.loads):
            start = load.vaddr & -MIN_PAGE
            filled = load.vaddr + load.filesz
            end = -(-(load.vaddr + load.memsz) // MIN_PAGE) * MIN_PAGE
            if load.memsz <= load.filesz:
                filled = end = -(-filled // MIN_PAGE) * MIN_PAGE
            if start <= address < end:
                offset = load.offset + address - load.vaddr
                # A page that begins in front of the file is mapped by nobody.
                return (offset, min(filled, stop) - address) if offset >= 0 else (0, 0)
            if address < start < stop:
                stop = start
        return 0, 0

    def is_zero(self, address: int) -> bool:
        """Whether an address is in memory that a segment has beyond its bytes of the file."""
        return any(
            load.vaddr + load.filesz <= address < -(-load.vend // MIN_PAGE) * MIN_PAGE
            for load in self.loads
        )

    def dynamic(self) -> list[tuple[int, int]]:
        """Read the (d_tag, value) pairs of PT_DYNAMIC before DT_NULL; none without one.

        Loaders find it by p_vaddr and read on to DT_NULL, whatever p_filesz says; where
        the file or a segment ends in the midst of a page, zeros follow.
        """
        segment = self.last(elf.PT_DYNAMIC)
        if segment is None:
            return []
        offset, room = self.locate("p_vaddr of PT_DYNAMIC", segment.vaddr)
        entry = self.layout.dyn
        most = min(room // entry.size, _MAX_DYNAMIC)
        count = min(segment.filesz // entry.size or _SOME_ENTRIES, most)
        while True:
            table = self.source.read("dynamic section", offset, count * entry.size)
            entries: list[tuple[int, int]] = list(entry.iter_unpack(table))
            tags = [tag for tag, _ in entries]
            if elf.DT_NULL in tags:
                return entries[: tags.index(elf.DT_NULL)]
            if count == most:
                break
            count = min(2 * count + _SOME_ENTRIES, most)
        if most < _MAX_DYNAMIC and (offset + room) % MIN_PAGE:
            return entries
        raise BadElf(f"the dynamic section has no DT_NULL in its {count} entries")


class Strings:
    """The dynamic string table: DT_STRTAB of one image.

    It goes as far as what is mapped: no loader reads DT_STRSZ, which says here only
    how much is worth being read at once.
    """

    __slots__ = ("_address", "_image", "_left", "_offset", "_room", "_source", "_table")

    def __init__(self, image: Image, address: int | None, size: int | None) -> None:
        if address is None:
            raise BadElf("the dynamic section has names but no DT_STRTAB")
        self._image, self._address = image, address
        self._source = image.source
        self._offset, self._room = image.locate("DT_STRTAB", address)
        self._left = max(_MAX_NAMES, image.source.size)
        self._table = b""
        if size is not None and size <= min(_WHOLE_TABLE, self._room):
            self._table = image.source.read("string table", self._offset, size)

    def get(self, field: str, start: int) -> str:
        """Read the name at ``start``, decoded as UTF-8 with surrogateescape."""
        end = self._table.find(b"\0", start) if start < len(self._table) else -1
        raw = self._table[start:end] if end >= 0 else self._get_from_file(field, start)
        if raw is None:
            raise BadElf(f"{field} is {start:#x}, where the string table has no end of a name")
        self._left -= len(raw)
        if self._left < 0:
            raise BadElf(f"{field}: the names of this file are longer together than the file")
        return raw.decode("utf-8", "surrogateescape")

    def _get_from_file(self, field: str, start: int) -> bytes | None:
        size, offset, limit = 256, self._offset + start, self._room - start
        if limit <= 0:  # an address like any other: it may be another segment's
            try:
                offset, limit = self._image.locate(field, self._address + start)
            except BadElf:
                return b"" if self._image.is_zero(self._address + start) else None
        while True:
            size = min(size, limit)
            chunk = self._source.read("string table", offset, size)
            end = chunk.find(b"\0")
            if end >= 0:
                return chunk[:end]
            if size == limit:
                # Zeros follow in memory where the file ends in the midst of a page.
                return chunk if (offset + size) % MIN_PAGE else None
            size *= 4

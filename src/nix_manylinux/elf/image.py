"""An ELF file seen as its loader sees it: segments, addresses and names, all in bounds.

Nothing here trusts a number of the file: each read is held against the size of
the file, each address against the PT_LOAD segments, each name against DT_STRSZ.
What doesn't fit is `BadElf`; no allocation is larger than what is really there.
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
#: The longest name, and all names of a file together. A search path through
#: every package of a store stays far below.
_MAX_NAME = 1 << 20
_MAX_NAMES = 1 << 24
#: Entries before DT_NULL; the largest real dynamic section has a few hundred.
_MAX_DYNAMIC = 1 << 14
#: Above this a section index needs a second word (SHN_LORESERVE). Object files
#: with a section for each function get there, linked files don't.
_MAX_SECTIONS = 0xFF00
_SECTIONS_AT_ONCE = 32

#: The smallest page there is: segments are mapped by whole ones.
_PAGE = 4096


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

    __slots__ = ("header", "layout", "loads", "segments", "source")

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
        if ident[elf.EI_VERSION] != 1:
            raise BadElf(f"EI_VERSION is {ident[elf.EI_VERSION]}; ELF knows only 1")
        self.layout: Layout = layout
        size = elf.EI_NIDENT + layout.ehdr.size
        self.header: FileHeader = layout.header(source.read("file header", 0, size))
        if self.header.version != 1:
            raise BadElf(f"e_version is {self.header.version}; ELF knows only 1")
        self.segments: list[Segment] = self._program_headers()
        self.loads = [segment for segment in self.segments if segment.type == elf.PT_LOAD]

    def _program_headers(self) -> list[Segment]:
        header = self.header
        if header.phnum == 0 or header.type not in {elf.ET_EXEC, elf.ET_DYN}:
            return []
        if header.phnum == elf.PN_XNUM:
            raise BadElf("e_phnum is 65535 (PN_XNUM), which only core dumps may have")
        if header.phentsize != self.layout.phdr.size:
            raise BadElf(
                f"e_phentsize is {header.phentsize}; program headers"
                f" of this class have {self.layout.phdr.size} bytes"
            )
        size = header.phnum * header.phentsize
        return self.layout.segments(self.source.read("program header table", header.phoff, size))

    def section_count(self) -> int:
        """Count the section headers; 0 where the table was stripped.

        Raises BadElf when the table isn't inside the file: it is the last
        thing in most files, so this is what a cut-short file is known by.
        """
        header = self.header
        if header.shoff == 0:
            return 0
        if header.shentsize != self.layout.shdr.size:
            if header.shnum == 0:
                return 0
            raise BadElf(
                f"e_shentsize is {header.shentsize}; section headers"
                f" of this class have {self.layout.shdr.size} bytes"
            )
        # gABI, chapter 4: more than 65279 sections are counted in the first one.
        count = header.shnum or self.section(0).size
        end = header.shoff + count * header.shentsize
        if end > self.source.size:
            raise BadElf(
                f"the section header table ({count} entries at {header.shoff:#x}) ends behind"
                f" the end of the file, which has {self.source.size} bytes"
            )
        return count

    def section(self, index: int) -> Section:
        """Read the section header of that index, which the caller knows to exist."""
        size = self.layout.shdr.size
        offset = self.header.shoff + index * size
        return self.layout.sections(self.source.read("section header", offset, size))[0]

    def sections(self) -> Iterator[Section]:
        """Yield every section header of a linked file, read as it is asked for."""
        count = self.section_count()
        if count > _MAX_SECTIONS:
            raise BadElf(f"a linked file with {count} sections (e_shnum)")
        shdr = self.layout.shdr
        for first in range(0, count, _SECTIONS_AT_ONCE):
            size = min(_SECTIONS_AT_ONCE, count - first) * shdr.size
            offset = self.header.shoff + first * shdr.size
            for fields in shdr.iter_unpack(self.source.read("section headers", offset, size)):
                yield elf.Section(*fields)

    def check_segments(self) -> None:
        """Raise BadElf for a PT_LOAD that reaches behind the end of the file."""
        size = self.source.size
        for segment in self.loads:
            if segment.offset + segment.filesz > size:
                raise BadElf(
                    f"PT_LOAD at {segment.vaddr:#x} wants {segment.filesz} bytes (p_filesz) at"
                    f" {segment.offset:#x} (p_offset), but the file has {size} bytes"
                )
            if segment.filesz > segment.memsz:
                raise BadElf(
                    f"PT_LOAD at {segment.vaddr:#x} has p_filesz {segment.filesz}"
                    f" above p_memsz {segment.memsz}"
                )

    def last(self, kind: int) -> Segment | None:
        """Return the last program header of a kind: of several, glibc and musl take that."""
        found = None
        for segment in self.segments:
            if segment.type == kind:
                found = segment
        return found

    def locate(self, field: str, address: int) -> tuple[int, int]:
        """Map an address to its file offset and the bytes that its segment has from there.

        A segment of the pages that follow in memory and in the file alike
        counts as one with it: what is mapped knows no seam, and patchelf puts
        a program's strings across it.
        """
        for number, segment in enumerate(self.loads):
            start = address - segment.vaddr
            if 0 <= start < segment.filesz:
                size = segment.filesz
                last = segment
                for following in self.loads[number + 1 :]:
                    gap = following.vaddr - segment.vaddr
                    pages = (segment.vaddr + size + _PAGE - 1) // _PAGE
                    if following.vaddr // _PAGE > pages or following.offset - segment.offset != gap:
                        break
                    if last.filesz != last.memsz:  # zeros follow there, not the file
                        break
                    size, last = gap + following.filesz, following
                return segment.offset + start, size - start
        raise BadElf(f"{field} is {address:#x}, which no PT_LOAD fills from the file")

    def dynamic(self) -> list[tuple[int, int]]:
        """Read the (d_tag, value) pairs of PT_DYNAMIC before DT_NULL; none without one."""
        segment = self.last(elf.PT_DYNAMIC)
        if segment is None:
            return []
        offset, room = self.locate("p_vaddr of PT_DYNAMIC", segment.vaddr)
        if offset != segment.offset:
            raise BadElf(
                f"PT_DYNAMIC has p_offset {segment.offset:#x}, but its p_vaddr"
                f" {segment.vaddr:#x} is at {offset:#x} in the file"
            )
        if segment.filesz > room:
            raise BadElf(
                f"PT_DYNAMIC has p_filesz {segment.filesz}; its PT_LOAD has {room} bytes left"
            )
        entry = self.layout.dyn
        count = min(segment.filesz // entry.size, _MAX_DYNAMIC)
        table = self.source.read("dynamic section", offset, count * entry.size)
        entries: list[tuple[int, int]] = list(entry.iter_unpack(table))
        tags = [tag for tag, _ in entries]
        if elf.DT_NULL not in tags:
            raise BadElf(f"PT_DYNAMIC has no DT_NULL in its {count} entries")
        return entries[: tags.index(elf.DT_NULL)]


class Strings:
    """The dynamic string table: DT_STRTAB and DT_STRSZ of one image."""

    __slots__ = ("_left", "_offset", "_size", "_source", "_table")

    def __init__(self, image: Image, address: int | None, size: int | None) -> None:
        if address is None or size is None:
            absent = "DT_STRTAB" if address is None else "DT_STRSZ"
            raise BadElf(f"the dynamic section has names but no {absent}")
        self._source = image.source
        self._offset, room = image.locate("DT_STRTAB", address)
        self._size = size
        if size > room:
            raise BadElf(f"DT_STRSZ is {size}, but the segment of DT_STRTAB has {room} bytes left")
        self._left = _MAX_NAMES
        self._table = b""
        if size <= _WHOLE_TABLE:
            self._table = image.source.read("string table", self._offset, size)

    def get(self, field: str, start: int) -> str:
        """Read the name at ``start``, decoded as UTF-8 with surrogateescape."""
        if start >= self._size:
            raise BadElf(f"{field} is {start:#x}, behind the string table (DT_STRSZ {self._size})")
        if self._table:
            end = self._table.find(b"\0", start)
            raw = self._table[start:end] if end >= 0 else None
        else:
            raw = self._get_from_file(start)
        if raw is None:
            raise BadElf(f"{field} is {start:#x}, where the string table has no end of a name")
        self._left -= len(raw)
        if self._left < 0:
            raise BadElf(f"{field}: the names of this file have over {_MAX_NAMES} bytes together")
        return raw.decode("utf-8", "surrogateescape")

    def _get_from_file(self, start: int) -> bytes | None:
        size = 256
        limit = min(self._size - start, _MAX_NAME)
        while True:
            size = min(size, limit)
            chunk = self._source.read("string table", self._offset + start, size)
            end = chunk.find(b"\0")
            if end >= 0:
                return chunk[:end]
            if size == limit:
                return None
            size *= 4

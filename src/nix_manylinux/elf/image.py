"""An ELF file seen as its loader sees it: segments, addresses and names, all in bounds.

Validity is what the kernel and the loaders of glibc and musl take: segments are mapped
by whole pages, sizes that nobody reads (DT_STRSZ, p_offset of PT_DYNAMIC) decide
nothing, and section headers may be anything. Nothing here trusts a number of the file
all the same: each read is held against the size of the file, each address against what
is mapped. What doesn't fit is `BadElf`; no allocation is larger than what is there.

Facts, properties and the writer's drafts all read by this.
"""

from __future__ import annotations

from functools import cached_property

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf import format as elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from nix_manylinux.elf.format import FileHeader, Layout, Section, Segment

    class Bytes(Protocol):
        """A file, or one with changes that are not written yet."""

        size: int

        def read(self, offset: int, size: int, what: str = ...) -> bytes:
            """Exactly ``size`` bytes at ``offset``; BadElf, which names ``what``, for fewer."""


#: String tables up to this size are read at once; larger ones name by name.
_WHOLE_TABLE = 1 << 16
#: The names of a file together may have its size, and a small file's this one: entries
#: may share a name, and do so in a hostile file without end.
_MAX_NAMES = 1 << 24
#: Entries that are read at once where PT_DYNAMIC doesn't say how many there are.
_SOME_ENTRIES = 256
#: Entries before DT_NULL; the largest real dynamic section has a few hundred.
MAX_DYNAMIC = 1 << 16
#: Linked files have a few dozen; a hostile one must not make us read on.
_MAX_SECTIONS = 1 << 20
_SECTIONS_AT_ONCE = 32

#: The smallest page there is: segments are mapped by whole ones.
MIN_PAGE = 4096


class Image:
    """Headers and segments of one file, and what its addresses lead to.

    ``segments`` are those of a program or library, none of any other file;
    ``loads`` its PT_LOADs among them.
    """

    def __init__(self, source: Bytes) -> None:
        """Read and check the file header and the program header table."""
        self.source = source
        ident = source.read(0, elf.EI_NIDENT, "e_ident")
        if not ident.startswith(elf.ELF_MAGIC):
            raise BadElf("no ELF file: e_ident begins otherwise")
        layout = elf.LAYOUTS.get((ident[elf.EI_CLASS], ident[elf.EI_DATA]))
        if layout is None:
            raise BadElf(
                f"EI_CLASS {ident[elf.EI_CLASS]} and EI_DATA {ident[elf.EI_DATA]}"
                " are no class and byte order that ELF knows (1 or 2 each)"
            )
        self.ident = ident
        self.layout: Layout = layout
        size = elf.EI_NIDENT + layout.ehdr.size
        self.header: FileHeader = layout.header(source.read(0, size, "file header"))
        self.segments: list[Segment] = self._program_headers()
        self.loads = [segment for segment in self.segments if segment.type == elf.PT_LOAD]
        self._runs: list[tuple[int, int, int]] | None = None

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
        return self.layout.segments(self.source.read(header.phoff, size, "program header table"))

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
        count = header.shnum
        if not count:
            first = self.source.read(header.shoff, size, "section header")
            count = elf.Section(*self.layout.shdr.unpack(first)).size
        return count if count * size <= room and count <= _MAX_SECTIONS else 0

    def sections(self) -> Iterator[Section]:
        """Yield every section header, read as it is asked for."""
        count = self.section_count()
        shdr = self.layout.shdr
        for first in range(0, count, _SECTIONS_AT_ONCE):
            size = min(_SECTIONS_AT_ONCE, count - first) * shdr.size
            offset = self.header.shoff + first * shdr.size
            for fields in shdr.iter_unpack(self.source.read(offset, size, "section headers")):
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
        for segment in reversed(self.segments):
            if segment.type == kind:
                return segment
        return None

    def locate(self, field: str, address: int) -> tuple[int, int]:
        """Map an address to its file offset and the bytes that are mapped on from there.

        By whole pages, as kernel and loaders do: the rest of a segment's first and last
        page is there too, unless zeros follow what the file has (p_memsz above p_filesz),
        and of two segments in one page the later one is seen. Segments that go on where
        the one before them ends, in memory and in the file, count as one: what is mapped
        knows no seam, and patchelf puts a program's strings across it.
        """
        runs = self._runs
        if runs is None:
            runs = self._runs = _mapped(self.loads)
        for start, end, shift in runs:
            if start <= address < end:
                offset = address - shift
                return offset, min(end - address, max(self.source.size - offset, 0))
        raise BadElf(f"{field} is {address:#x}, which no PT_LOAD fills from the file")

    def is_zero(self, address: int) -> bool:
        """Whether an address is in memory that a segment has beyond its bytes of the file."""
        return any(
            load.vaddr + load.filesz <= address < -(-load.vend // MIN_PAGE) * MIN_PAGE
            for load in self.loads
        )

    def fixed_debugger_entry(self) -> int:
        """Give the address of DT_DEBUG where its page can't be written; 0 for any other.

        Of several entries the last counts. MIPS has another one for that.
        """
        dynamic = self.last(elf.PT_DYNAMIC)
        places = [place for place, (tag, _) in enumerate(self.dynamic) if tag == elf.DT_DEBUG]
        if dynamic is None or not places or self.header.machine == elf.EM_MIPS:
            return 0
        size = self.layout.dyn.size
        address = dynamic.vaddr + places[-1] * size + size // 2
        page = address & -MIN_PAGE
        maps = (load for load in self.loads if load.vaddr < page + MIN_PAGE and page < load.vend)
        flags = [load.flags for load in maps][-1:]  # of several, the last maps it
        return address if flags and not flags[0] & elf.PF_W else 0

    @cached_property
    def names(self) -> Strings:
        """The dynamic string table; `BadElf` where nothing leads to one."""
        return Strings(self)

    @cached_property
    def tags(self) -> dict[int, int]:
        """The value of each d_tag: of several entries the last counts, as for glibc."""
        return dict(self.dynamic)

    @cached_property
    def dynamic(self) -> list[tuple[int, int]]:
        """The (d_tag, value) pairs of PT_DYNAMIC before DT_NULL; none without one.

        It is what loaders find by p_vaddr, and on to DT_NULL, whatever p_filesz says.
        Where the file or a segment ends in the midst of a page, zeros follow.
        """
        segment = self.last(elf.PT_DYNAMIC)
        if segment is None:
            return []
        offset, room = self.locate("p_vaddr of PT_DYNAMIC", segment.vaddr)
        entry = self.layout.dyn
        most = min(room // entry.size, MAX_DYNAMIC)
        count = min(segment.filesz // entry.size or _SOME_ENTRIES, most)
        while True:
            table = self.source.read(offset, count * entry.size, "dynamic section")
            entries: list[tuple[int, int]] = list(entry.iter_unpack(table))
            tags = [tag for tag, _ in entries]
            if elf.DT_NULL in tags:
                return entries[: tags.index(elf.DT_NULL)]
            if count == most:
                break
            count = min(2 * count + _SOME_ENTRIES, most)
        if most < MAX_DYNAMIC and (offset + room) % MIN_PAGE:
            return entries
        raise BadElf(f"the dynamic section has no DT_NULL in its {count} entries")


def _mapped(loads: list[Segment]) -> list[tuple[int, int, int]]:
    """Give addresses (start, end) that the file fills, ascending, and how far from offsets."""
    runs: list[tuple[int, int, int]] = []
    reach = 0
    for start, end, filled, shift in map(_span, loads):
        if start < reach:  # as in no file of a linker's
            return _overlaid([_span(load) for load in loads])
        reach = end
        _add(runs, start, filled, shift)
    return runs


def _span(load: Segment) -> tuple[int, int, int, int]:
    """Give first and last page of a segment, the end of its bytes, and how far from offsets."""
    address = load.vaddr
    filled = address + load.filesz
    end = -(-(address + load.memsz) // MIN_PAGE) * MIN_PAGE
    if load.memsz <= load.filesz:
        filled = end = -(-filled // MIN_PAGE) * MIN_PAGE
    return address & -MIN_PAGE, end, filled, address - load.offset


def _add(runs: list[tuple[int, int, int]], first: int, last: int, shift: int) -> None:
    # A page that begins in front of the file is mapped by nobody.
    first = max(first, shift)
    if first < last:
        if runs and runs[-1][1] == first and runs[-1][2] == shift:
            first = runs.pop()[0]
        runs.append((first, last, shift))


def _overlaid(spans: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int]]:
    """Give what is seen of segments that share pages: of several the last."""
    from bisect import insort  # noqa: PLC0415  for the odd file
    from itertools import pairwise  # noqa: PLC0415

    coming = sorted([(span[0], index) for index, span in enumerate(spans)], reverse=True)
    runs: list[tuple[int, int, int]] = []
    seen: list[int] = []
    for low, high in pairwise(sorted({place for span in spans for place in span[:2]})):
        while coming and coming[-1][0] <= low:
            insort(seen, coming.pop()[1])
        while seen and spans[seen[-1]][1] <= low:
            seen.pop()
        if seen:
            _, _, filled, shift = spans[seen[-1]]
            _add(runs, low, min(high, filled), shift)
    return runs


class Strings:
    """The dynamic string table: DT_STRTAB of one image.

    It goes as far as what is mapped: no loader reads DT_STRSZ, which says here only
    how much is worth being read at once.
    """

    __slots__ = ("_address", "_image", "_left", "_offset", "_room", "_table")

    def __init__(self, image: Image) -> None:
        address, size = image.tags.get(elf.DT_STRTAB), image.tags.get(elf.DT_STRSZ)
        if address is None:
            raise BadElf("the dynamic section has names but no DT_STRTAB")
        self._image, self._address = image, address
        self._offset, self._room = image.locate("DT_STRTAB", address)
        self._left = max(_MAX_NAMES, image.source.size)
        self._table = b""
        if size is not None and size <= min(_WHOLE_TABLE, self._room):
            self._table = image.source.read(self._offset, size, "string table")

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
            chunk = self._image.source.read(offset, size, "string table")
            end = chunk.find(b"\0")
            if end >= 0:
                return chunk[:end]
            if size == limit:
                # Zeros follow in memory where the file ends in the midst of a page.
                return chunk if (offset + size) % MIN_PAGE else None
            size *= 4

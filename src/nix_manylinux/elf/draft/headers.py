"""Headers and dynamic section of a linked ELF file, as values that the writer changes.

An `Object` is read from a `Draft`, changed in memory, and stored back into it.
It reads headers, and nothing that it isn't asked for. The structures have the
fields of the gABI in ELF64's order, for both classes.

What only a loader's way of reading makes valid is put right first, in memory: bytes
that are in use behind a segment's end, in its last page, become part of the segment;
PT_DYNAMIC is where its address is, and as long as it is. A section header that says
nonsense counts for none, and stays as it is.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from functools import cached_property

from nix_manylinux.base.errors import BadElf, EditFailed
from nix_manylinux.base.values import astuple, replace
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.image import MAX_DYNAMIC, MIN_PAGE, Image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from nix_manylinux.elf.draft.bytes import Draft
    from nix_manylinux.elf.format import Section, Segment

    T = TypeVar("T")

#: The largest string table that is taken into memory (real ones have up to 82 MiB).
_MAX_STRTAB = 1 << 30
#: Entries that lead to tables whose bytes must be in a segment.
_TABLES = frozenset({*elf.TABLES, elf.DT_JMPREL})
#: The largest page that a kernel of the machine may use, where it is not 4 KiB
#: (loongarch64: kernels use 16 KiB, its ABI links for 64).
_LARGE_PAGES = {elf.EM_AARCH64: 0x10000, elf.EM_PPC64: 0x10000, elf.EM_LOONGARCH: 0x10000}


class Unproven(EditFailed):
    """The file may well be sound, but no edit of ours can be proved to keep it so."""


class Nonsense(Unproven):
    """The section headers contradict what a loader reads: they may as well not be there."""


def align_up(value: int, alignment: int) -> int:
    """``value``, or the next multiple of ``alignment`` (0 and 1 mean none)."""
    return -(-value // alignment) * alignment if alignment > 1 else value


class Object(Image):
    """One linked ELF file to be changed: header, segments, sections, dynamic entries.

    ``dynamic`` is changed by `set_dynamic`; ``dynamic_slots`` is how many pairs fit,
    the DT_NULL behind them included. ``sections`` and what an address leads to stay
    what they were when it was read.
    """

    _rows: list[tuple[int, ...]]
    _heeds_sections: bool

    def __init__(self, draft: Draft, *, like: Object | None = None, sections: bool = True) -> None:
        """Read the headers of ``draft``; `BadElf` or `Unproven` where that can't be.

        A section header that is the same in ``like``, by all of its numbers, becomes
        the very `Section` that it is there. Without ``sections`` the section headers
        count for nothing, as for a loader, and stay as they are.
        """
        super().__init__(draft)
        self.draft = draft
        self._heeds_sections = like._heeds_sections if like else sections  # noqa: SLF001 - another of its kind
        self._read: dict[Callable[[Object], Any], Any] = {}
        self.page = _LARGE_PAGES.get(self.header.machine, 0x1000)
        self.word_size = self.layout.bits // 8
        # Elf32_Sym: name value size info other shndx; Elf64_Sym: name info other shndx value size
        wide = self.layout.bits == 64
        self.symbol_size, self.st_value, self.st_shndx = (24, 8, 6) if wide else (16, 4, 14)
        self.mask = (1 << self.layout.bits) - 1
        self._check_loads()
        self.shdrs = self._read_shdrs(like)
        self.interp = self.one(elf.PT_INTERP)
        self.pt_dynamic = self._find_dynamic()
        self.dynamic_slots = self._count_slots()
        self._cover_tables()
        self.strtab = self._find_strtab()

    def over(self, draft: Draft) -> Object:
        """Make a copy that can be changed by itself, its bytes in another draft."""
        other = object.__new__(Object)
        vars(other).update(vars(self), draft=draft, source=draft)
        vars(other).pop("strings", None)  # what was read is the other draft's
        other._read = {}
        twins = {id(p): elf.Segment(*astuple(p)) for p in self.segments}
        other.segments = list(twins.values())
        other.loads = [twins[id(p)] for p in self.loads]
        other.interp = None if self.interp is None else twins[id(self.interp)]
        other.pt_dynamic = twins[id(self.pt_dynamic)]
        other.shdrs = [elf.Section(*astuple(section)) for section in self.shdrs]
        if self.shdrs:
            at = next(i for i, section in enumerate(self.shdrs) if section is self.strtab)
            other.strtab = other.shdrs[at]
        else:
            other.strtab = replace(self.strtab)
        return other

    def set_dynamic(self, dynamic: list[tuple[int, int]]) -> None:
        """Take other dynamic entries."""
        self.dynamic, self.tags = dynamic, dict(dynamic)

    def _check_loads(self) -> None:
        kind = self.header.type
        if kind not in {elf.ET_EXEC, elf.ET_DYN}:
            raise EditFailed(f"e_type is {kind}: no program and no library")
        last, end, shift = -1, 0, 0
        for load in self.loads:
            if load.filesz and (load.vaddr - load.offset) % MIN_PAGE:
                raise Unproven(f"the PT_LOAD at {load.vaddr:#x} can't be mapped by whole pages")
            if load.vaddr & -MIN_PAGE < end and load.vaddr - load.offset != shift:
                raise Unproven(f"the PT_LOAD at {load.vaddr:#x} hides a page of another one")
            if load.end > self.draft.size:
                raise Unproven(f"the PT_LOAD at address {load.vaddr:#x} is longer than the file")
            if load.filesz > load.memsz:
                raise Unproven(f"p_filesz of the PT_LOAD at {load.vaddr:#x} is above its p_memsz")
            if load.vend > self.mask >> (16 if self.layout.bits == 64 else 0):
                raise BadElf(f"the PT_LOAD at address {load.vaddr:#x} leaves the address space")
            if load.vaddr < last:
                raise Unproven("PT_LOAD entries are not in ascending order of p_vaddr")
            last, end, shift = load.vaddr, load.vend, load.vaddr - load.offset
        if not self.loads:
            raise BadElf("no PT_LOAD")

    def _read_shdrs(self, like: Object | None) -> list[Section]:
        #: The section header table as it was read, and the numbers of each header.
        self._table, self._rows, self._ignored_end = b"", [], 0
        start, count = self.header.shoff, self.section_count()
        size = count * self.layout.shdr.size
        if not self._heeds_sections or not count:
            #: Where the section header table ends that counts for nothing.
            self._ignored_end = start + size if count else 0
            return []
        self._table = self.draft.read(start, size, "section headers")
        self._rows = [self._sane(row) for row in self.layout.shdr.iter_unpack(self._table)]
        if like is None or len(like.shdrs) != count:
            return [elf.Section(*row) for row in self._rows]
        return [
            section if row == known else elf.Section(*row)
            for row, known, section in zip(self._rows, like._rows, like.shdrs, strict=True)  # noqa: SLF001 - another of its kind
        ]

    def _sane(self, row: tuple[int, ...]) -> tuple[int, ...]:
        """Take a section header whose bytes are not in the file for an unused one."""
        _, kind, _, _, offset, size, *_ = row
        if kind in {elf.SHT_NOBITS, elf.SHT_NULL} or offset + size <= self.draft.size:
            return row
        return (0,) * len(row)

    def one(self, kind: int) -> Segment | None:
        """Return the only program header of a type, None without one; `Unproven` for two."""
        found = [p for p in self.segments if p.type == kind]
        if len(found) > 1:
            raise Unproven(f"{len(found)} program headers are {elf.constant('PT', kind)}")
        return found[0] if found else None

    def _find_dynamic(self) -> Segment:
        found = self.one(elf.PT_DYNAMIC)
        if found is None:
            raise EditFailed("no PT_DYNAMIC: a static program has nothing to edit")
        entries = len(self.dynamic) + 1
        self._cover(found.vaddr, max(found.filesz, entries * self.layout.dyn.size))
        #: What the header itself says, which no loader reads.
        self.dynamic_offset, self.dynamic_size = found.offset, found.filesz
        found.offset = self.offset_of(found.vaddr)
        return found

    def _count_slots(self) -> int:
        """Say how many entries fit, and let PT_DYNAMIC be as long as its entries are.

        No more than there are where it goes on in the next segment, which need not be writable.
        """
        header, size, used = self.pt_dynamic, self.layout.dyn.size, len(self.dynamic)
        room = min(self.locate("PT_DYNAMIC", header.vaddr)[1] // size, MAX_DYNAMIC)
        if used >= room:
            raise Unproven("the dynamic section has no DT_NULL at its end")
        slots = max(used + 1, min(header.filesz // size, room))
        if slots != header.filesz // size:
            header.filesz = header.memsz = slots * size
        load = self.load_at(header.vaddr)
        if header.vaddr + slots * size > load.vaddr + load.filesz:
            return used + 1
        spare = self.draft.read(header.offset + used * size, (slots - used) * size)
        free = len(spare) - len(spare.lstrip(b"\0"))
        return used + max(free // size, 1)

    def _cover_tables(self) -> None:
        """Make segments as long as tables are, by their sections or, of names, by DT_STRSZ."""
        sizes = {value: 1 for tag, value in self.dynamic if tag in _TABLES}
        if elf.DT_STRTAB in self.tags:
            sizes[self.tags[elf.DT_STRTAB]] = self.tags.get(elf.DT_STRSZ, 1)
        for section in self.shdrs:
            if section.addr in sizes and section.is_loaded:
                sizes[section.addr] = max(sizes[section.addr], section.size)
        for address, size in sizes.items():
            self._cover(address, size)

    def _cover(self, address: int, size: int) -> None:
        """Make a segment as long as it is mapped, up to the end of what is used in its last page.

        The rest of that page is mapped from the file, where no zeros are promised
        behind what the segment says that it has (p_memsz above p_filesz).
        """
        if any(
            load.vaddr <= address and address + size <= load.vaddr + load.filesz
            for load in self.loads
        ):
            return
        with suppress(BadElf):
            wanted = min(size, self.locate("a table", address)[1])
            for load in self.loads:
                filled = load.vaddr + load.filesz
                limit = align_up(filled, MIN_PAGE)
                end = min(address + wanted, limit)
                if load.filesz == load.memsz and load.vaddr <= address < limit and filled < end:
                    load.filesz = load.memsz = end - load.vaddr

    def _find_strtab(self) -> Section:
        """Return the section header of .dynstr; where there are none, one like it.

        Its size is DT_STRSZ, which no loader reads, or that of its section where this
        is more, or where DT_STRSZ is more than is there.
        """
        address, size = self.tags.get(elf.DT_STRTAB), self.tags.get(elf.DT_STRSZ)
        if address is None:
            raise Unproven("no DT_STRTAB")
        offset = self.offset_of(address)
        for section in self.shdrs:
            if section.type == elf.SHT_STRTAB and section.is_loaded and section.addr == address:
                if section.offset != offset:
                    raise Nonsense(".dynstr contradicts DT_STRTAB")
                if section.size < (size or 0) <= self.load_at(address).filesz:
                    raise Nonsense(".dynstr contradicts DT_STRSZ")
                return section
        if self.shdrs:
            raise Nonsense("there are section headers, and none of them is of DT_STRTAB")
        if not size:
            raise Unproven("nothing tells how long the string table is (DT_STRSZ)")
        self.offset_of(address, size)
        return elf.Section(0, elf.SHT_STRTAB, elf.SHF_ALLOC, address, offset, size, 0, 0, 1, 0)

    @cached_property
    def strings(self) -> bytes:
        """The dynamic string table, which is read once and ends with a NUL."""
        if self.strtab.size > _MAX_STRTAB:
            raise Unproven(f"a dynamic string table of {self.strtab.size} bytes")
        table = self.draft.read(self.strtab.offset, self.strtab.size)
        if table[-1:] != b"\0":
            raise Unproven("the dynamic string table does not end with a NUL")
        return table

    def once(self, read: Callable[[Object], T]) -> T:
        """Give what a function reads of this object, which is read by the first who asks."""
        if read not in self._read:
            self._read[read] = read(self)
        found: T = self._read[read]
        return found

    def load_at(self, address: int) -> Segment:
        """Return the PT_LOAD that fills an address from the file; `BadElf` for none."""
        for load in self.loads:
            if load.vaddr <= address < load.vaddr + load.filesz:
                return load
        raise BadElf(f"no PT_LOAD fills the address {address:#x} from the file")

    def offset_of(self, address: int, size: int = 1) -> int:
        """Return the file offset of ``size`` bytes at an address; `BadElf` for fewer there."""
        offset, room = self.locate("an address", address)
        if size > room:
            raise BadElf(f"{size} bytes at address {address:#x} leave their PT_LOAD")
        return offset

    def get(self, offset: int, size: int) -> int:
        """Read an unsigned number of the file's byte order."""
        return int.from_bytes(self.draft.read(offset, size), self.layout.endian)

    def put(self, offset: int, size: int, value: int) -> None:
        """Write an unsigned number in the file's byte order."""
        self.draft.write(offset, (value & self.mask).to_bytes(size, self.layout.endian))

    @property
    def table_end(self) -> int:
        """The file offset behind the program header table."""
        return self.header.phoff + self.layout.phdr.size * len(self.segments)

    @property
    def shdrs_end(self) -> int:
        """The file offset behind the section header table, 0 without one."""
        if not self.shdrs:
            return self._ignored_end
        return self.header.shoff + self.layout.shdr.size * len(self.shdrs)

    def add_phdr(self, segment: Segment) -> None:
        """Put a PT_LOAD behind the last one, any other header at the end of the table."""
        if segment.type == elf.PT_LOAD:
            self.segments.insert(self.segments.index(self.loads[-1]) + 1, segment)
            self.loads.append(segment)
        else:
            self.segments.append(segment)

    def store(self) -> None:
        """Write headers and dynamic section to the draft."""
        layout, draft = self.layout, self.draft
        self.header = replace(self.header, phnum=len(self.segments))
        table = self.one(elf.PT_PHDR)
        if table is not None:
            table.filesz = table.memsz = layout.phdr.size * len(self.segments)
        try:
            draft.write(elf.EI_NIDENT, layout.pack_header(self.header))
            draft.write(self.header.phoff, b"".join(map(layout.pack_segment, self.segments)))
            if self.shdrs:
                draft.write(self.header.shoff, self._packed_shdrs())
            data = b"".join([layout.dyn.pack(tag, value) for tag, value in self.dynamic])
        except struct.error as error:
            raise Unproven(f"a number does not fit the field of a header: {error}") from error
        draft.write(self.pt_dynamic.offset, data.ljust(self.dynamic_slots * layout.dyn.size, b"\0"))

    def _packed_shdrs(self) -> bytearray:
        table, record = bytearray(self._table), self.layout.shdr
        rows = zip(map(astuple, self.shdrs), self._rows, strict=True)
        for index, (fields, known) in enumerate(rows):
            if fields != known:
                record.pack_into(table, index * record.size, *fields)
        return table

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
from functools import cached_property

from nix_manylinux.base.errors import BadElf, EditFailed
from nix_manylinux.base.values import astuple, replace
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.image import MIN_PAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal, TypeVar

    from nix_manylinux.elf.draft.bytes import Draft
    from nix_manylinux.elf.format import Section, Segment

    T = TypeVar("T")

#: Kernels and linkers stop far below; a hostile file must not make us read on.
_MAX_DYNAMIC = 1 << 16
_MAX_SECTIONS = 1 << 20
#: The largest string table that is taken into memory (real ones have up to 82 MiB).
_MAX_STRTAB = 1 << 30
#: Entries that lead to tables whose bytes must be in a segment.
_TABLES = frozenset({
    elf.DT_STRTAB, elf.DT_SYMTAB, elf.DT_HASH, elf.DT_GNU_HASH, elf.DT_VERSYM, elf.DT_VERNEED,
    elf.DT_VERDEF, elf.DT_RELA, elf.DT_REL, elf.DT_JMPREL, elf.DT_RELR,
})  # fmt: skip
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


class Object:
    """One linked ELF file: header, program headers, section headers, dynamic entries.

    ``dynamic`` holds (d_tag, value) pairs without the DT_NULL behind them, and is
    changed by `set_dynamic`; ``dynamic_slots`` is how many pairs fit, that DT_NULL
    included.
    """

    dynamic: list[tuple[int, int]]
    _rows: list[tuple[int, ...]]
    _sections: bool

    def __init__(self, draft: Draft, *, like: Object | None = None, sections: bool = True) -> None:
        """Read the headers of ``draft``; `BadElf` or `Unproven` where that can't be.

        A section header that is the same in ``like``, by all of its numbers, becomes
        the very `Section` that it is there. Without ``sections`` the section headers
        count for nothing, as for a loader, and stay as they are.
        """
        self.draft = draft
        self._sections = like._sections if like else sections  # noqa: SLF001 - another of its kind
        self._read: dict[Callable[[Object], Any], Any] = {}
        ident = draft.read(0, elf.EI_NIDENT)
        layout = elf.LAYOUTS.get((ident[elf.EI_CLASS], ident[elf.EI_DATA]))
        if not ident.startswith(elf.ELF_MAGIC) or layout is None:
            raise BadElf("no ELF file of a class and byte order that the gABI knows (e_ident)")
        self.layout = layout
        self.header = layout.header(draft.read(0, elf.EI_NIDENT + layout.ehdr.size))
        self.page = _LARGE_PAGES.get(self.header.machine, 0x1000)
        self.word_size = layout.bits // 8
        # Elf32_Sym: name value size info other shndx; Elf64_Sym: name info other shndx value size
        wide = layout.bits == 64
        self.symbol_size, self.st_value, self.st_shndx = (24, 8, 6) if wide else (16, 4, 14)
        self.mask = (1 << layout.bits) - 1
        self.phdrs = self._read_phdrs()
        self.loads = [p for p in self.phdrs if p.type == elf.PT_LOAD]
        self._check_loads()
        self.shdrs = self._read_shdrs(like)
        self.interp = self.one(elf.PT_INTERP)
        self.pt_dynamic = self._find_dynamic()
        self.dynamic_slots = self._read_dynamic()
        self.strtab = self._find_strtab()

    def over(self, draft: Draft) -> Object:
        """Make a copy that can be changed by itself, its bytes in another draft."""
        other = object.__new__(Object)
        vars(other).update(vars(self), draft=draft)
        vars(other).pop("strings", None)  # what was read is the other draft's
        other._read = {}
        twins = {id(p): elf.Segment(*astuple(p)) for p in self.phdrs}
        other.phdrs = list(twins.values())
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
        self.dynamic = dynamic
        #: The last one counts where there are several of a tag.
        self._values = dict(dynamic)

    def _read_phdrs(self) -> list[Segment]:
        header = self.header
        if header.type not in {elf.ET_EXEC, elf.ET_DYN}:
            raise EditFailed(f"e_type is {header.type}: no program and no library")
        size = self.layout.phdr.size
        if header.phentsize != size or not header.phnum:
            raise BadElf(f"{header.phnum} program headers of {header.phentsize} bytes each")
        table = self.draft.read(header.phoff, size * header.phnum)
        return self.layout.segments(table)

    def _check_loads(self) -> None:
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
        header = self.header
        #: The section header table as it was read, and the numbers of each header.
        self._table, self._rows, self._ignored_end = b"", [], 0
        size = self.layout.shdr.size
        room = self.draft.size - header.shoff
        if not header.shoff or (header.shnum == 0 and header.shstrndx == 0) or room < size:
            return []
        if not self._sections:
            #: Where the section header table ends that counts for nothing.
            self._ignored_end = min(header.shoff + header.shnum * size, self.draft.size)
            return []
        if header.shentsize != size:
            return []
        # gABI, "Sections": the count of more than 0xff00 is the first one's sh_size.
        count = header.shnum or self.layout.sections(self.draft.read(header.shoff, size))[0].size
        if count * size > room or count > _MAX_SECTIONS:
            return []
        self._table = self.draft.read(header.shoff, size * count)
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
        found = [p for p in self.phdrs if p.type == kind]
        if len(found) > 1:
            raise Unproven(f"{len(found)} program headers of the type {kind:#x}")
        return found[0] if found else None

    def _find_dynamic(self) -> Segment:
        found = self.one(elf.PT_DYNAMIC)
        if found is None:
            raise EditFailed("no PT_DYNAMIC: a static program has nothing to edit")
        self._cover(found.vaddr, max(found.filesz, self.layout.dyn.size))
        #: What the header itself says, which no loader reads.
        self.dynamic_offset, self.dynamic_size = found.offset, found.filesz
        found.offset = self.offset_of(found.vaddr)
        return found

    def _read_dynamic(self) -> int:
        entry, header = self.layout.dyn, self.pt_dynamic
        load = self.load_at(header.vaddr)
        room = (load.vaddr + load.filesz - header.vaddr) // entry.size
        slots = min(header.filesz // entry.size, room, _MAX_DYNAMIC)
        pairs = self._entries(slots)
        count = next((i for i, (tag, _) in enumerate(pairs) if tag == elf.DT_NULL), None)
        if count is None:  # loaders read on, whatever p_filesz says
            pairs = self._entries(min(room, _MAX_DYNAMIC))
            count = next((i for i, (tag, _) in enumerate(pairs) if tag == elf.DT_NULL), None)
            if count is None:
                raise Unproven("the dynamic section has no DT_NULL at its end")
            slots = count + 1
        if slots != header.filesz // entry.size:
            header.filesz = header.memsz = slots * entry.size
        self.set_dynamic(pairs[:count])
        spare = next((i for i in range(count, slots) if pairs[i] != (0, 0)), slots)
        for tag, value in self.dynamic:
            if tag in _TABLES:
                self._cover(value, self._length(value))
        return max(spare, count + 1)

    def _entries(self, count: int) -> list[tuple[int, int]]:
        table = self.draft.read(self.pt_dynamic.offset, count * self.layout.dyn.size)
        return list(self.layout.dyn.iter_unpack(table))

    def _length(self, address: int) -> int:
        """How long the table at an address is, by its section or, of names, by DT_STRSZ."""
        known = [s.size for s in self.shdrs if s.is_loaded and s.addr == address]
        if address == self.dt(elf.DT_STRTAB):
            known.append(self.dt(elf.DT_STRSZ) or 0)
        return max(known, default=1)

    def _cover(self, address: int, size: int) -> None:
        """Make a segment as long as it is mapped, up to the end of what is used in its last page.

        The rest of that page is mapped from the file, where no zeros are promised
        behind what the segment says that it has (p_memsz above p_filesz).
        """
        for load in self.loads:
            if load.vaddr <= address and address + size <= load.vaddr + load.filesz:
                return
        for load in self.loads:
            mapped = align_up(load.vaddr + load.filesz, MIN_PAGE)
            limit = min(mapped, load.vaddr + self.draft.size - load.offset)
            others = [p.vaddr & -MIN_PAGE for p in self.loads if p.vaddr > load.vaddr]
            limit = min([limit, *others])
            wanted = min(address + size, limit) - load.vaddr
            if load.filesz == load.memsz < wanted and load.vaddr <= address < limit:
                load.filesz = load.memsz = wanted

    def _find_strtab(self) -> Section:
        """Return the section header of .dynstr; where there are none, one like it.

        Its size is DT_STRSZ, which no loader reads, or that of its section where this
        is more, or where DT_STRSZ is more than is there.
        """
        address, size = self.dt(elf.DT_STRTAB), self.dt(elf.DT_STRSZ)
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

    def dt(self, tag: int) -> int | None:
        """Return the value of a dynamic entry, the last one where there are several."""
        return self._values.get(tag)

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
        """Return the file offset of ``size`` bytes at an address.

        They are all in one PT_LOAD, or in several, see `last_load`.
        """
        load = self.load_at(address)
        start = address - load.vaddr
        if start + size > load.filesz:
            self.last_load(load, address, size)
        return load.offset + start

    def last_load(self, load: Segment, address: int, size: int) -> Segment:
        """Return the PT_LOAD in which bytes end that begin in ``load``.

        Each goes on where the one before it ends, in the file as in memory:
        patchelf leaves tables so, in a page before a program's first.
        """
        while address + size > load.vaddr + load.filesz:
            end, offset = load.vaddr + load.filesz, load.offset + load.filesz
            following = [
                p for p in self.loads if p.vaddr == end and p.offset == offset and p.filesz
            ]
            if not following:
                raise BadElf(f"{size} bytes at address {address:#x} leave their PT_LOAD")
            load = following[0]
        return load

    def get(self, offset: int, size: int) -> int:
        """Read an unsigned number of the file's byte order."""
        data = self.draft.read(offset, size)
        return int.from_bytes(data, "little" if self.layout.endian == "little" else "big")

    def put(self, offset: int, size: int, value: int) -> None:
        """Write an unsigned number in the file's byte order."""
        order: Literal["little", "big"] = "little" if self.layout.endian == "little" else "big"
        self.draft.write(offset, (value & self.mask).to_bytes(size, order))

    @property
    def table_end(self) -> int:
        """The file offset behind the program header table."""
        return self.header.phoff + self.layout.phdr.size * len(self.phdrs)

    @property
    def shdrs_end(self) -> int:
        """The file offset behind the section header table, 0 without one."""
        if not self.shdrs:
            return self._ignored_end
        return self.header.shoff + self.layout.shdr.size * len(self.shdrs)

    def add_phdr(self, segment: Segment) -> None:
        """Put a PT_LOAD behind the last one, any other header at the end of the table."""
        if segment.type == elf.PT_LOAD:
            self.phdrs.insert(self.phdrs.index(self.loads[-1]) + 1, segment)
            self.loads.append(segment)
        else:
            self.phdrs.append(segment)

    def store(self) -> None:
        """Write headers and dynamic section to the draft."""
        try:
            self._store()
        except struct.error as error:
            raise Unproven(f"a number does not fit the field of a header: {error}") from error

    def _store(self) -> None:
        layout, draft = self.layout, self.draft
        self.header = replace(self.header, phnum=len(self.phdrs))
        table = self.one(elf.PT_PHDR)
        if table is not None:
            table.filesz = table.memsz = layout.phdr.size * len(self.phdrs)
        draft.write(elf.EI_NIDENT, layout.pack_header(self.header))
        draft.write(
            self.header.phoff,
            b"".join(map(layout.pack_segment, self.phdrs)),
        )
        if self.shdrs:
            draft.write(self.header.shoff, self._packed_shdrs())
        rows = (layout.dyn.pack(tag, value) for tag, value in self.dynamic)
        data = b"".join(rows)
        draft.write(self.pt_dynamic.offset, data.ljust(self.dynamic_slots * layout.dyn.size, b"\0"))

    def _packed_shdrs(self) -> bytearray:
        table, record = bytearray(self._table), self.layout.shdr
        rows = zip(map(astuple, self.shdrs), self._rows, strict=True)
        for index, (fields, known) in enumerate(rows):
            if fields != known:
                record.pack_into(table, index * record.size, *fields)
        return table

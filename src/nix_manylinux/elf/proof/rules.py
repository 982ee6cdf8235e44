"""Rules that one ELF file must keep: what loaders, kernels and binutils ask of it.

`faults` names every rule that a file breaks. The writer holds the names of
the file before against those after its edit: nothing may be new. (Some files
in real wheels break a rule before anybody of ours touches them.)
"""

from __future__ import annotations

from bisect import bisect_left

from nix_manylinux.elf import format as elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nix_manylinux.elf.draft.headers import Object

#: Program headers of bytes that a PT_LOAD must have.
_INSIDE = frozenset({
    elf.PT_DYNAMIC, elf.PT_INTERP, elf.PT_NOTE, elf.PT_PHDR, elf.PT_TLS,
    elf.PT_GNU_EH_FRAME, elf.PT_GNU_RELRO, elf.PT_GNU_PROPERTY,
})  # fmt: skip


def faults(obj: Object) -> set[str]:
    """Name the rules that a file breaks, each with what tells it from others of its kind."""
    found = set(_segment_faults(obj))
    found.update(_inner_faults(obj))
    found.update(_table_faults(obj))
    if obj.shdrs:
        found.update(_section_faults(obj))
        found.update(_empty_segments(obj))
        found.update(_overlaps(obj))
        found.update(_dynamic_faults(obj))
    return found


def _segment_faults(obj: Object) -> Iterator[str]:
    previous = None
    for load in obj.loads:
        name = f"the PT_LOAD at {load.vaddr:#x}"
        delta = load.vaddr - load.offset
        # glibc before 2.35 asks for congruence modulo p_align, later ones modulo the page.
        if load.align > 1 and delta % load.align:
            yield f"{name}: p_offset and p_vaddr are not congruent modulo p_align"
        if delta % obj.page:
            yield f"{name}: p_offset and p_vaddr are not congruent modulo the page size"
        if load.end > obj.draft.size:
            yield f"{name} ends behind the end of the file"
        if previous is not None:
            # Congruence alone tells nothing of two segments that share a page.
            if previous.vend > load.vaddr:
                yield f"{name} overlaps the one before it"
            elif (previous.vend - 1) // obj.page == load.vaddr // obj.page:
                yield f"{name} shares a page with the one before it"
        previous = load


def _inner_faults(obj: Object) -> Iterator[str]:
    spans = [(load.offset, load.end, load.vaddr - load.offset) for load in obj.loads]
    for phdr in obj.segments:
        if phdr.type not in _INSIDE or not phdr.filesz:
            continue
        start, end, delta = phdr.offset, phdr.end, phdr.vaddr - phdr.offset
        for low, high, distance in spans:
            if low <= start < high and end <= high and delta == distance:
                break
        else:
            of_kind = [id(p) for p in obj.segments if p.type == phdr.type]
            yield f"{elf.constant('PT', phdr.type)} {of_kind.index(id(phdr))} is in no PT_LOAD"
    dynamic = obj.pt_dynamic
    if not obj.load_at(dynamic.vaddr).flags & elf.PF_W and dynamic.flags & elf.PF_W:
        yield "the dynamic section can't be written to"
    if obj.fixed_debugger_entry():
        yield "the loader can't write to DT_DEBUG"


def _table_faults(obj: Object) -> Iterator[str]:
    start, end = obj.header.phoff, obj.table_end
    table = obj.one(elf.PT_PHDR)
    if table is not None and (table.offset, table.filesz) != (start, end - start):
        yield "PT_PHDR is not the program header table"
    if not any(load.holds(start) and end <= load.end for load in obj.loads):
        yield "the program header table is in no PT_LOAD"
    for phdr in obj.segments:
        inner = phdr.type in _INSIDE and phdr.type not in {elf.PT_PHDR, elf.PT_GNU_RELRO}
        if inner and phdr.offset < end and phdr.end > start and phdr.filesz:
            yield f"{elf.constant('PT', phdr.type)} overlaps the program header table"


def _section_faults(obj: Object) -> Iterator[str]:
    spans = [(load.offset, load.end, load.vaddr - load.offset) for load in obj.loads]
    for index, section in enumerate(obj.shdrs):
        if not section.is_loaded:
            continue
        address, offset, align = section.addr, section.offset, section.addralign
        if align > 1 and address % align:
            yield f"section {index} is not aligned"
        for start, end, delta in spans:
            if start <= offset < end:
                if address - offset != delta:
                    yield f"section {index} has an address that is not its segment's"
                if offset + section.size > end:
                    yield f"section {index} leaves its segment"
                break
        else:
            yield f"section {index} is in no PT_LOAD"


def _empty_segments(obj: Object) -> Iterator[str]:
    offsets = sorted([s.offset for s in obj.shdrs if s.is_loaded])
    nobits = [s.addr for s in obj.shdrs if s.flags & elf.SHF_ALLOC and s.type == elf.SHT_NOBITS]
    for load in obj.loads:
        if load.holds(obj.header.phoff):  # what strip keeps where it is
            continue
        first = bisect_left(offsets, load.offset)
        if not (first < len(offsets) and load.holds(offsets[first])) and not any(
            load.vaddr <= address < load.vend for address in nobits
        ):
            yield f"the PT_LOAD at {load.vaddr:#x} has no section"


#: What owns bytes and is no section, by the numbers below those of sections.
_TABLES = {-3: "the file header", -2: "the program header table", -1: "the section header table"}


def _overlaps(obj: Object) -> Iterator[str]:
    """Bytes of the file that belong to two: sections, the header tables, the segments."""
    sections = [
        (section.offset, section.offset + section.size, index)
        for index, section in enumerate(obj.shdrs)
        if section.type not in {elf.SHT_NULL, elf.SHT_NOBITS} and section.size
    ]
    tables = [
        (0, elf.EI_NIDENT + obj.layout.ehdr.size, -3),
        (obj.header.phoff, obj.table_end, -2),
        (obj.header.shoff, obj.shdrs_end, -1),
    ]
    reach, holder = 0, -3
    for start, end, index in sorted(sections + tables):
        if start < reach:
            yield f"{_owner(index)} overlaps {_owner(holder)}"
        if end > reach:
            reach, holder = end, index
    spans = [(load.offset, load.end) for load in obj.loads]
    for start, end, index in sections:
        if not obj.shdrs[index].flags & elf.SHF_ALLOC:
            for low, high in spans:
                if start < high and end > low:
                    yield f"section {index} is not loaded, and overlaps a PT_LOAD"
    for low, high in spans:
        if obj.header.shoff < high and obj.shdrs_end > low:
            yield "the section header table overlaps a PT_LOAD"


def _owner(index: int) -> str:
    return _TABLES.get(index) or f"section {index}"


def _dynamic_faults(obj: Object) -> Iterator[str]:
    starts = {(section.type, section.addr) for section in obj.shdrs}
    for tag, value in obj.dynamic:
        kind = elf.TABLES.get(tag)
        if kind is not None and (kind, value) not in starts:
            yield f"{elf.constant('DT', tag)} does not point at its section"
    header = obj.pt_dynamic
    for section in obj.shdrs:
        if section.type == elf.SHT_DYNAMIC and (section.addr, section.offset) != (
            header.vaddr,
            header.offset,
        ):
            yield "PT_DYNAMIC is not at the dynamic section"
    if obj.tags.get(elf.DT_STRSZ) != obj.strtab.size:
        yield "DT_STRSZ is not the size of the string table"

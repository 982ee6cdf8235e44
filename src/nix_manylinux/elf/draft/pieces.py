"""What a file's loaded bytes are, and which of them may go elsewhere.

A `Piece` is a run of loaded bytes that stays together. Only what is found
through a pointer may move: tables that dynamic entries point at, the
interpreter's name, the dynamic section, notes. Code and data never do.

Files without section headers have pieces too: the tables tell their own
sizes, and whatever is between them is taken for data that must stay.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import Enum
from itertools import pairwise

from nix_manylinux.elf import format as elf
from nix_manylinux.elf.draft import tables
from nix_manylinux.elf.draft.headers import Nonsense, Object, Unproven

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.elf.format import Segment

#: Dynamic entries whose value is the address of a table that has no other name.
POINTERS = frozenset({*elf.TABLES, elf.DT_JMPREL, elf.DT_SYMTAB_SHNDX})
#: All entries whose value is an address.
_ADDRESSES = POINTERS | {
    elf.DT_PLTGOT, elf.DT_INIT, elf.DT_FINI,
    elf.DT_INIT_ARRAY, elf.DT_FINI_ARRAY, elf.DT_PREINIT_ARRAY,
}  # fmt: skip
#: Program headers of bytes that are loaded, and that belong to some section.
_LOADED_HEADERS = frozenset(
    {elf.PT_INTERP, elf.PT_NOTE, elf.PT_TLS, elf.PT_GNU_EH_FRAME, elf.PT_GNU_PROPERTY}
)
#: Machines whose global offset table begins with the address of the dynamic
#: section (their psABIs; only a dynamic linker reads its own).
_GOT_HAS_DYNAMIC = frozenset(
    {elf.EM_386, elf.EM_X86_64, elf.EM_ARM, elf.EM_AARCH64, elf.EM_S390, elf.EM_RISCV}
)
_TABLE_TYPES = frozenset(elf.TABLES.values()) - {elf.SHT_STRTAB}
#: A gap this small between two tables is the padding of a linker.
_PADDING = 16


class Kind(Enum):
    """What a piece is, as far as moving it goes."""

    #: Enum's own is a call of Python, and each look into a set asks for it.
    __hash__ = object.__hash__

    FIXED = "data"
    TABLE = "table"
    STRTAB = ".dynstr"
    DYNAMIC = ".dynamic"
    INTERP = ".interp"
    NOTE = "note"


class Piece:
    """Loaded bytes that stay together; ``sections`` are the indexes of their headers.

    Never changed, and equal to itself only. ``end`` is the file offset behind its
    last byte, ``addr_end`` the address behind it.
    """

    __slots__ = ("addr", "addr_end", "align", "end", "kind", "offset", "sections", "size")

    def __init__(  # noqa: PLR0917 - one for each section: made and asked often
        self,
        kind: Kind,
        addr: int,
        offset: int,
        size: int,
        align: int,
        sections: tuple[int, ...] = (),
    ) -> None:
        self.kind, self.align, self.sections = kind, align, sections
        self.addr, self.addr_end = addr, addr + size
        self.offset, self.end, self.size = offset, offset + size, size


def pieces_of(obj: Object) -> list[Piece]:
    """Every loaded piece of a file, by offset; `Unproven` where two overlap."""
    pieces = _from_sections(obj) if obj.shdrs else _from_tables(obj)
    pieces.sort(key=lambda piece: piece.offset)
    for left, right in pairwise(pieces):
        if left.end > right.offset:
            kind = Nonsense if obj.shdrs else Unproven
            raise kind(f"the bytes at {right.offset:#x} belong to two loaded sections at once")
    return pieces


def got_offset(obj: Object) -> int | None:
    """Return where the global offset table has the address of the dynamic section, if it does."""
    address = obj.tags.get(elf.DT_PLTGOT)
    if address is None or obj.header.machine not in _GOT_HAS_DYNAMIC:
        return None
    for load in obj.loads:
        start = address - load.vaddr
        if 0 <= start <= load.filesz - obj.word_size:
            return load.offset + start
    return None


def _from_sections(obj: Object) -> list[Piece]:
    pointers = {value for tag, value in obj.dynamic if tag in POINTERS}
    # One may take in another (DT_JMPREL).
    relocs = [(start, start + size) for _, start, size in tables.relocations(obj) if size]
    notes = [(p.offset, p.end) for p in obj.segments if p.type == elf.PT_NOTE]
    interp = None if obj.interp is None else obj.interp.vaddr
    groups: list[tuple[Kind, object, list[int]]] = []
    order = sorted(
        [(section.offset, index) for index, section in enumerate(obj.shdrs) if section.is_loaded]
    )
    for _, index in order:
        section = obj.shdrs[index]
        kind, group = Kind.FIXED, None
        if section is obj.strtab:
            kind = Kind.STRTAB
        elif section.addr == interp:
            kind = Kind.INTERP
        elif section.type == elf.SHT_DYNAMIC and section.addr == obj.pt_dynamic.vaddr:
            kind = Kind.DYNAMIC
        elif section.type == elf.SHT_NOTE:
            note = _group(section.offset, notes)
            if note is not None:
                kind, group = Kind.NOTE, note
        elif section.type in _TABLE_TYPES:
            reloc = _group(section.addr, relocs)
            if section.addr in pointers or reloc is not None:
                kind, group = Kind.TABLE, reloc
        if group is not None and groups and groups[-1][:2] == (kind, group):
            groups[-1][2].append(index)
        else:
            groups.append((kind, group, [index]))
    pieces = [_joined(obj, kind, indexes) for kind, _, indexes in groups]
    return pieces + _orphans(obj, pieces)


def _orphans(obj: Object, pieces: list[Piece]) -> list[Piece]:
    """Find what is pointed at and has no section (``strip --remove-section`` takes some away).

    A program header tells how long it is. What a dynamic entry points at may
    be as long as all that is before the next section: all of that stays.
    """
    begun = {piece.addr for piece in pieces}
    pointed = {
        value: 1 << 62
        for tag, value in obj.dynamic
        if value not in begun and value and tag in _ADDRESSES
    }
    for phdr in obj.segments:
        if phdr.vaddr not in begun and phdr.type in _LOADED_HEADERS and phdr.filesz:
            pointed.setdefault(phdr.vaddr, phdr.filesz)
    if not pointed:
        return []  # as in nearly every file
    starts = sorted((piece.addr, piece.addr_end) for piece in pieces)
    found: list[Piece] = []
    for address, size in sorted(pointed.items()):
        index = bisect_right(starts, (address, 1 << 64))
        if index and address < starts[index - 1][1]:
            continue
        load = next((p for p in obj.loads if 0 <= address - p.vaddr < p.filesz), None)
        if load is None:
            continue
        following = [first for first, _ in starts[index : index + 1]]
        start = load.offset + address - load.vaddr
        end = start + min([address + size, load.vaddr + load.filesz, *following]) - address
        # patchelf has let the table grow over notes that it moved, and left their header.
        if obj.header.phoff <= start < obj.table_end:
            start = obj.table_end
        start = max(start, found[-1].end if found else 0)
        if start < end:
            vaddr = load.vaddr + start - load.offset
            found.append(Piece(Kind.FIXED, vaddr, start, end - start, 1))
    return found


def _group(position: int, ranges: list[tuple[int, int]]) -> tuple[int, int] | None:
    """Find the widest range that a position lies in."""
    found = [r for r in ranges if r[0] <= position < r[1]]
    return max(found, key=lambda r: r[1] - r[0]) if found else None


def _joined(obj: Object, kind: Kind, indexes: list[int]) -> Piece:
    first = obj.shdrs[indexes[0]]
    align, size = first.addralign, first.size
    for index in indexes[1:]:
        section = obj.shdrs[index]
        align = max(align, section.addralign)
        size = section.end - first.offset
        if section.addr - first.addr != section.offset - first.offset:
            raise Unproven("sections that belong together are apart in memory")
    if align > obj.page or align & (align - 1):
        kind = Kind.FIXED
    return Piece(kind, first.addr, first.offset, size, align or 1, tuple(indexes))


def _from_tables(obj: Object) -> list[Piece]:
    """Pieces of a file without section headers: known tables, and all the rest as data."""
    known: list[tuple[int, int, Kind, int]] = []

    def add(kind: Kind, address: int, size: int, align: int) -> None:
        if size:
            known.append((address, address + size, kind, align))

    word = obj.word_size
    if tables.symbol_count(obj) is None:
        raise Unproven("no section headers, and no hash table tells how many symbols there are")
    add(Kind.STRTAB, obj.strtab.addr, obj.strtab.size, 1)
    add(Kind.DYNAMIC, obj.pt_dynamic.vaddr, obj.pt_dynamic.filesz, word)
    if obj.interp is not None:
        add(Kind.INTERP, obj.interp.vaddr, obj.interp.filesz, 1)
    for note in obj.segments:
        if note.type == elf.PT_NOTE:
            add(Kind.NOTE, note.vaddr, note.filesz, max(note.align, 4))
    aligned = {elf.DT_HASH: 8, elf.DT_GNU_HASH: 8, elf.DT_VERNEED: 8, elf.DT_VERDEF: 8}
    for tag, address, size in tables.extents(obj):
        add(Kind.TABLE, address, size, 2 if tag == elf.DT_VERSYM else aligned.get(tag, word))
    known.sort()
    merged: list[tuple[int, int, Kind, int]] = []
    for start, end, kind, align in known:
        if merged and start < merged[-1][1] and merged[-1][2] is kind:
            last = merged.pop()
            merged.append((last[0], max(last[1], end), kind, max(last[3], align)))
        else:
            merged.append((start, end, kind, align))
    pieces = [
        Piece(kind, start, obj.offset_of(start, end - start), end - start, align)
        for start, end, kind, align in merged
    ]
    return pieces + [gap for load in obj.loads for gap in _gaps(obj, load, pieces)]


def _gaps(obj: Object, load: Segment, pieces: list[Piece]) -> list[Piece]:
    """Find what a segment has between the known pieces: data, unless it is padding."""
    headers = [(0, elf.EI_NIDENT + obj.layout.ehdr.size), (obj.header.phoff, obj.table_end)]
    taken = headers + [(piece.offset, piece.end) for piece in pieces]
    position = load.offset
    found = []
    for start, end in [*sorted(taken), (load.end, load.end)]:
        stop = min(start, load.end)
        size = stop - position
        if size > 0 and (size >= _PADDING or any(obj.draft.read(position, size))):
            address = load.vaddr + position - load.offset
            found.append(Piece(Kind.FIXED, address, position, size, 1))
        position = max(position, end)
    return found

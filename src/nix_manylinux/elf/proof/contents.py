"""Proof of an edit: the file after it, held against the file before and what was asked.

Nothing here knows how the edit was laid out. A draft passes if the loader
would read what was meant (`misread`), every byte that somebody points at is
what it was (`_contents`), segments only grew (`_segments`), and no rule of
`rules.faults` is broken that was kept before.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from nix_manylinux.base.values import replace
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.draft import tables
from nix_manylinux.elf.draft.pieces import POINTERS, Kind, Piece, got_offset
from nix_manylinux.elf.proof.meaning import misread
from nix_manylinux.elf.proof.rules import faults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nix_manylinux.elf.draft.bytes import Change
    from nix_manylinux.elf.draft.goal import Goal
    from nix_manylinux.elf.draft.headers import Object
    from nix_manylinux.elf.draft.survey import Survey
    from nix_manylinux.elf.facts import ElfEdit
    from nix_manylinux.elf.format import Section, Segment

#: Pieces that an edit may make longer or shorter.
_RESIZED = frozenset({Kind.STRTAB, Kind.DYNAMIC, Kind.INTERP})
#: Program headers of bytes that may go elsewhere, and those that may change their size.
_MAY_MOVE = frozenset({elf.PT_INTERP, elf.PT_NOTE, elf.PT_GNU_PROPERTY, elf.PT_DYNAMIC})
_MAY_GROW = frozenset({elf.PT_INTERP, elf.PT_PHDR, elf.PT_DYNAMIC})
_SYMBOLS = frozenset({elf.SHT_SYMTAB, elf.SHT_DYNSYM})


def differences(before: Survey, after: Object, edit: ElfEdit, changes: list[Change]) -> list[str]:
    """List everything that is wrong with ``after``; an empty list is the proof."""
    old, goal = before.obj, before.goal
    if len(old.shdrs) != len(after.shdrs):
        return ["a section header is missing"]
    broken = faults(after)
    if broken:
        broken -= faults(old)
    return [
        *sorted(broken),
        *misread(old, after, edit, goal.dropped),
        *_strings(after, goal),
        *_segments(before, after),
        *_contents(before, after, changes),
    ]


#: Bytes of the string table that are looked at more closely if one is another.
_PART = 1 << 13
#: Makes 0xFF of every byte but zero.
_IN_USE = bytes([0, *[0xFF] * 255])


def _strings(after: Object, goal: Goal) -> Iterator[str]:
    """Look that a name in use is where it was: only what was free was written over."""
    new, old = after.strings, goal.old_strings
    if new != goal.strings:
        yield "the string table is not the one that was meant"
    elif len(new) < len(old):
        yield "the string table became shorter"
    elif not new.startswith(old):
        # Bytes may appear only where there were zero bytes.
        for start in range(0, len(old), _PART):
            part = old[start : start + _PART]
            fresh = new[start : start + len(part)]
            if part != fresh and _is_overwritten(_without(goal.released, part, start), fresh):
                yield "a string that was in use was written over"
                return


def _without(ranges: list[tuple[int, int]], data: bytes, start: int) -> bytearray:
    """Zero the ranges of a table in a part of it that begins at ``start``."""
    kept = bytearray(data)
    for low, high in ranges:
        first, last = max(low - start, 0), min(high - start, len(kept))
        if first < last:
            kept[first:last] = bytes(last - first)
    return kept


def _is_overwritten(old: bytearray, new: bytes) -> bool:
    """Whether any byte that wasn't zero has another value; both are of one size."""
    # As numbers, whose bits are compared all at once: what differs, and was in use.
    return bool((_number(old) ^ _number(new)) & _number(old.translate(_IN_USE)))


def _number(data: bytes | bytearray) -> int:
    return int.from_bytes(data, "little")


# Bytes ----------------------------------------------------------------------------


def _segments(survey: Survey, after: Object) -> Iterator[str]:
    before = survey.obj
    new = {(p.vaddr, p.offset, p.flags, p.align, p.paddr): p for p in after.loads}
    for load in before.loads:
        same = new.pop((load.vaddr, load.offset, load.flags, load.align, load.paddr), None)
        yield from _loads_alike(survey, after, load, same)
    room = after.pt_dynamic.filesz // after.layout.dyn.size
    if after.dynamic_slots not in {before.dynamic_slots, room}:
        yield "there is something behind the last dynamic entry"
    for load in new.values():
        plain = load.filesz == load.memsz and load.paddr in {0, load.vaddr}
        if len(new) > 1 or not plain or load.flags & ~elf.PF_W != elf.PF_R:
            yield f"the new PT_LOAD at {load.vaddr:#x} is not what one should be"
    yield from _other_headers(before, after)
    if after.dynamic_offset != after.pt_dynamic.offset:
        yield "p_offset of PT_DYNAMIC is not where its address is"
    if after.dynamic_size not in {after.pt_dynamic.filesz, before.dynamic_size}:
        yield "p_filesz of PT_DYNAMIC is not what the section has"
    old, header = before.header, after.header
    if replace(old, phnum=header.phnum, shoff=header.shoff) != header:
        yield "the file header changed"


def _loads_alike(
    survey: Survey, after: Object, load: Segment, same: Segment | None
) -> Iterator[str]:
    if same is None:
        if not _is_given_up(survey, after, load):
            yield f"the PT_LOAD at {load.vaddr:#x} is gone"
    elif same.filesz < load.filesz:
        yield f"the PT_LOAD at {load.vaddr:#x} became shorter"
    elif same.memsz != max(load.memsz, same.filesz):
        yield f"the PT_LOAD at {load.vaddr:#x} has another size in memory"


def _is_given_up(survey: Survey, after: Object, load: Segment) -> bool:
    """Whether a segment had nothing but the interpreter's name, which is elsewhere now."""
    inside = survey.inside(load.offset, load.end)
    kept = [s.addr for s in survey.obj.shdrs if s.type == elf.SHT_NOBITS and s.size]
    kept += [value for tag, value in after.dynamic if tag in POINTERS]
    return (
        [piece.kind for piece in inside] == [Kind.INTERP]
        and after.interp is not None
        and not load.holds(after.interp.offset)
        and not any(load.vaddr <= address < load.vend for address in kept)
    )


def _other_headers(before: Object, after: Object) -> Iterator[str]:
    """Hold what is no PT_LOAD together: what moved kept its size, all else is what it was."""
    kinds = [[p.type for p in obj.segments] for obj in (before, after)]
    passing = {elf.PT_LOAD, elf.PT_NULL}
    # A new header may take the place of a library's PT_PHDR; a stack header may be new.
    passing |= {k for k in (elf.PT_PHDR, elf.PT_GNU_STACK) if (k in kinds[0]) != (k in kinds[1])}
    old, new = ([p for p in o.segments if p.type not in passing] for o in (before, after))
    if [p.type for p in old] != [p.type for p in new]:
        yield "a header is missing"
        return
    for a, b in zip(old, new, strict=True):
        free: dict[str, int] = {}
        if a.type in _MAY_MOVE:
            free.update(offset=b.offset, vaddr=b.vaddr, paddr=b.paddr)
        if a.type in _MAY_GROW and b.filesz == b.memsz:
            free.update(filesz=b.filesz, memsz=b.memsz)
        writable = a.flags | elf.PF_R | elf.PF_W
        if a.type == elf.PT_GNU_STACK or (a.type == elf.PT_DYNAMIC and b.flags == writable):
            free.update(flags=b.flags)  # of the stack: see `misread`
        follows = b.paddr in {a.paddr, a.paddr + b.vaddr - a.vaddr, b.vaddr}
        if not follows or (a != b and replace(a, **free) != b):
            yield f"{elf.constant('PT', a.type)} changed"


def _place_after(before: Object, after: Object, piece: Piece) -> tuple[int, int]:
    """Offset and address of a piece after the edit, by what points at it."""
    if piece.sections:
        section = after.shdrs[piece.sections[0]]
        return section.offset, section.addr
    if piece.kind is Kind.NOTE:
        old = [p for p in before.segments if p.type == elf.PT_NOTE]
        new = [p for p in after.segments if p.type == elf.PT_NOTE]
        for a, b in zip(old, new, strict=True):
            if a.offset == piece.offset:
                return b.offset, b.vaddr
    if piece.kind in {Kind.TABLE, Kind.STRTAB}:
        for tag in POINTERS:
            value = before.tags.get(tag)
            if value is not None and piece.addr <= value < piece.addr_end:
                delta = (after.tags.get(tag) or 0) - value
                return after.offset_of(piece.addr + delta), piece.addr + delta
    return piece.offset, piece.addr


def _contents(survey: Survey, after: Object, changes: list[Change]) -> Iterator[str]:
    before, touched = survey.obj, _touched(changes)
    yield from _loaded_contents(survey, after, touched)
    resized = {i for p in survey.pieces if p.kind in _RESIZED for i in p.sections}
    for index, (section, same) in enumerate(zip(before.shdrs, after.shdrs, strict=True)):
        changed = same is not section and same != section
        if changed and not _is_moved(section, same, resized=index in resized):
            yield f"the header of section {index} changed"
        if section.type == elf.SHT_NOBITS:
            if same.addr != section.addr or same.size != section.size:
                yield f"section {index} moved"
            if same.type != elf.SHT_NOBITS and any(after.draft.read(same.offset, same.size)):
                yield f"section {index} is no longer zero"
        elif (
            not section.flags & elf.SHF_ALLOC
            and section.type != elf.SHT_NULL
            and section.size
            and (same.offset != section.offset or touched(section.offset, section.end))
        ):
            piece = Piece(Kind.FIXED, 0, section.offset, section.size, 1, (index,))
            yield from _compare(before, after, piece, same.offset, {})


def _is_moved(old: Section, new: Section, *, resized: bool) -> bool:
    """Whether a section header differs only as far as its section may move, grow or be filled."""
    free: dict[str, int] = {}
    if old.size and new.type != elf.SHT_NOBITS:
        free["offset"] = new.offset
        if old.flags & elf.SHF_ALLOC:
            free["addr"] = new.addr
        if (old.type, new.type) == (elf.SHT_NOBITS, elf.SHT_PROGBITS):
            free["type"] = new.type
    if resized:
        free["size"] = new.size
    return replace(old, **free) == new


def _loaded_contents(
    survey: Survey, after: Object, touched: Callable[[int, int], bool]
) -> Iterator[str]:
    before = survey.obj
    allowed = {offset: 4 for offset, _ in survey.goal.vn_files}
    # A section may hold the program header table, which `_segments` looks at.
    allowed[before.header.phoff] = before.table_end - before.header.phoff
    got = got_offset(before)
    if before.pt_dynamic.vaddr != after.pt_dynamic.vaddr and got is not None:
        allowed[got] = before.word_size
    pointers = [(tag, value) for tag, value in before.dynamic if tag in POINTERS]
    # What points into a piece that stayed must be what it was.
    turned = [(tag, value) for tag, value in pointers if after.tags.get(tag) != value]
    for piece in survey.pieces:
        offset, address = _place_after(before, after, piece)
        stays = offset == piece.offset and address == piece.addr
        for tag, value in turned if stays else pointers:
            inside = value - piece.addr
            if 0 <= inside < piece.size and after.tags.get(tag) != address + inside:
                yield f"{elf.constant('DT', tag)} points elsewhere"
        if piece.kind in _RESIZED:
            continue
        if not stays and piece.kind is Kind.FIXED:
            yield f"data at {piece.addr:#x} moved"
        if piece.kind is Kind.TABLE:
            yield from _parts_left(before, piece, stays=stays)
        if offset != piece.offset or touched(piece.offset, piece.end):
            yield from _compare(before, after, piece, offset, allowed)


def _parts_left(before: Object, piece: Piece, *, stays: bool) -> Iterator[str]:
    """Look that a table is all that a loader reads of it: its section header may have lied.

    Of one that stays only relocations are asked: they are many, and behind them is room.
    """
    if not stays and before.offset_of(piece.addr) != piece.offset:
        yield f"the section at {piece.addr:#x} is not where its address is"
    for _, start, size in before.once(tables.relocations if stays else tables.extents):
        if piece.addr <= start < piece.addr_end < start + size:
            yield f"the table at {start:#x} goes on behind its section"


def _touched(changes: list[Change]) -> Callable[[int, int], bool]:
    """Give a function that tells of a range of the file whether any change concerns it."""
    # They are in order and don't overlap, so that both lists ascend.
    starts, ends = [change.offset for change in changes], [change.end for change in changes]
    return lambda start, end: bisect_left(starts, end) > bisect_right(ends, start)


_CHUNK = 1 << 20


def _compare(
    before: Object, after: Object, piece: Piece, offset: int, allowed: dict[int, int]
) -> Iterator[str]:
    for start in range(0, piece.size, _CHUNK):
        size = min(_CHUNK, piece.size - start)
        old = before.draft.read(piece.offset + start, size)
        new = after.draft.read(offset + start, size)
        if old == new:
            continue
        patched = bytearray(old)
        for at, width in allowed.items():
            # patchelf lets the program header table grow over the note behind it.
            low, high = (min(max(a - piece.offset - start, 0), size) for a in (at, at + width))
            patched[low:high] = new[low:high]
        if patched == new:
            continue
        tabs = [before.shdrs[i] for i in piece.sections if before.shdrs[i].type in _SYMBOLS]
        if not tabs or not all(_same_symbols(before, after, table, offset) for table in tabs):
            yield f"the bytes of {piece.kind.value} at {piece.offset + start:#x} changed"
        if tabs:
            return


def _same_symbols(before: Object, after: Object, table: Section, offset: int) -> bool:
    """Whether symbols differ only in st_value, as far as their section moved."""
    size = before.symbol_size
    end = table.size // size * size
    for start in range(0, end, size * 4096):
        count = min(size * 4096, end - start)
        old = before.draft.read(table.offset + start, count)
        new = after.draft.read(offset + start, count)
        for at in range(0, count if old != new else 0, size):
            a, b = old[at : at + size], new[at : at + size]
            if a != b and not _is_shifted(before, after, a, b):
                return False
    return True


def _is_shifted(before: Object, after: Object, old: bytes, new: bytes) -> bool:
    order = before.layout.endian
    index = int.from_bytes(old[before.st_shndx : before.st_shndx + 2], order)
    if index >= len(before.shdrs):
        return False
    delta = after.shdrs[index].addr - before.shdrs[index].addr
    word = slice(before.st_value, before.st_value + before.word_size)
    value = (int.from_bytes(old[word], order) + delta) & before.mask
    return old[: word.start] + value.to_bytes(before.word_size, order) + old[word.stop :] == new

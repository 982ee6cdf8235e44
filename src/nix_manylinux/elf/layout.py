"""Where the bytes of an edit go: every way that is known to survive, the cheapest first.

The string table is written over, or grows in place while the tables to its
right move away, or moves itself. What moves goes into the zero bytes behind a
segment, else into the last segment where that ends the file, else into a new
PT_LOAD at the end of the file. The header of a new one takes a free place
behind the program header table, which itself never moves (kernels before 5.18
compute AT_PHDR from e_phoff); tables and notes that are in the way give way.

Each rule below has a failure behind it; they are told where they are kept.
"""

from __future__ import annotations

from nix_manylinux.elf import format as elf
from nix_manylinux.elf.bss import bss_cost
from nix_manylinux.elf.object import Unproven, align_up
from nix_manylinux.elf.pieces import Kind, Piece
from nix_manylinux.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nix_manylinux.elf.survey import Survey

#: A new segment begins with this many zero bytes: llvm-strip gives a PT_LOAD
#: the offset of a PT_NOTE that begins where it does, and then it is misaligned.
HEAD = 16
#: Moved bytes are in memory for a while; no real file comes near.
_MAX_MOVED = 128 << 20
#: Spare entries that a moved dynamic section gets, so that it need not move again.
SPARE_ENTRIES = 8


#: The cost above which no plan is that can do without.
LAST_RESORT = 1 << 40


class NoRoom(Unproven):
    """This layout does not fit this file; another one may."""


class Plan(Value, kw_only=False):
    """One way to lay out an edit, and by how many bytes it lets the file grow, about.

    ``place`` is "" (nothing moves), "slack", "end", "new" or "bss"; ``load``
    the index of the PT_LOAD that takes what moves; ``room`` where a new
    header comes from: "null", "free", "phdr" or "front". ``moved`` are the
    pieces that go; ``notes`` those that only shift behind the table.
    """

    cost: int
    strings: str = ""
    place: str = ""
    load: int = -1
    room: str = ""
    moved: tuple[Piece, ...] = ()
    notes: tuple[Piece, ...] = ()


def _growing(survey: Survey) -> tuple[tuple[Piece, ...], int] | None:
    """Find the pieces to the right of .dynstr that give way, and how far it leaves its segment."""
    strtab = survey.strtab
    if strtab is None:
        return None
    load = survey.load_of(strtab)
    wanted = strtab.end + survey.goal.growth
    moved: list[Piece] = []
    for piece in survey.pieces:
        if piece.offset < strtab.end or not load.holds(piece.offset):
            continue
        if piece.offset >= wanted:
            break
        if piece.kind is not Kind.TABLE:
            return None
        moved.append(piece)
    if not survey.is_unused(strtab.end, min(wanted, load.end)):
        return None
    spill = max(0, wanted - load.end)
    if spill > survey.room_behind(load) or not survey.can_leave(tuple(moved)):
        return None
    return tuple(moved), spill


def _size(pieces: tuple[Piece, ...]) -> int:
    return sum(piece.size + piece.align for piece in pieces)


def plans(survey: Survey) -> list[Plan]:
    """Every way to lay out the edit, the cheapest in bytes first."""
    goal, obj = survey.goal, survey.obj
    interp = len(goal.interpreter) if goal.interpreter and not interp_fits(survey) else 0
    dynamic = 0
    if not dynamic_fits(survey):
        dynamic = (len(goal.dynamic) + 1 + SPARE_ENTRIES) * obj.layout.dyn.size + obj.word_size
    ways: list[tuple[str, tuple[Piece, ...], int, int]] = []
    if not goal.growth:
        ways.append(("", (), 0, 0))
    else:
        growing = _growing(survey)
        if growing is not None:
            ways.append(("grow", growing[0], _size(growing[0]), growing[1]))
        if survey.strtab is not None and survey.can_leave((survey.strtab,)):
            ways.append(("move", (survey.strtab,), len(goal.strings) + obj.word_size, 0))
    ways = [way for way in ways if way[2] <= _MAX_MOVED]
    found: list[Plan] = []
    over_bss = bss_cost(survey)
    for strings, moved, size, spill in ways:
        need = size + interp + dynamic
        found.extend(_places(survey, strings, moved, need, spill, writable=bool(dynamic)))
        if need and over_bss is not None and (obj.loads[-1].flags & elf.PF_W or not dynamic):
            # The last resort, whatever else would cost.
            last = len(obj.loads) - 1
            found.append(Plan(LAST_RESORT + over_bss + need, strings, "bss", last, moved=moved))
    return sorted(found, key=lambda plan: plan.cost)


def interp_fits(survey: Survey) -> bool:
    """Whether the new interpreter's name fits where the old one is."""
    interp, new = survey.obj.interp, survey.goal.interpreter
    if interp is None or new is None or len(new) <= interp.filesz:
        return True
    for piece in survey.pieces:
        if piece.kind is Kind.INTERP:
            return len(new) <= piece.size + survey.gap_behind(piece)
    return False


def dynamic_fits(survey: Survey) -> bool:
    """Whether all entries and a DT_NULL fit where the dynamic section is."""
    return len(survey.goal.dynamic) + 1 <= survey.obj.dynamic_slots


def _places(
    survey: Survey,
    strings: str,
    moved: tuple[Piece, ...],
    need: int,
    spill: int,
    *,
    writable: bool,
) -> Iterator[Plan]:
    obj = survey.obj
    home = survey.load_of(survey.strtab) if survey.strtab else None
    grows_file = spill if home is not None and spill and survey.ends_file(home) else 0
    if not need:
        yield Plan(1 + grows_file, strings, moved=moved)
        return
    # Data is better off in a segment that can't be run.
    order = sorted(obj.loads, key=lambda load: (load.flags & elf.PF_X, load.flags & elf.PF_W))
    for load in order:
        taken = spill if load is home else 0
        if (load.flags & elf.PF_W or not writable) and survey.slack(load) >= need + taken:
            yield Plan(2 + grows_file, strings, "slack", obj.loads.index(load), moved=moved)
            break
    last = obj.loads[-1]
    cost_of_new = 4 + HEAD + need
    if survey.ends_file(last) and (last.flags & elf.PF_W or not writable):
        if strings == "move" and obj.header.type == elf.ET_EXEC:
            tail = _anchor(survey, moved) or ()  # see Build._last_table
        else:
            tail = ()
        cost = 3 + need + grows_file + _size(tail)
        # A hundred edits leave one more segment: the one that is there grows.
        cost_of_new += LAST_RESORT // 2
        yield Plan(cost, strings, "end", len(obj.loads) - 1, moved=moved + tail)
    if not survey.has_payload:
        yield from _new_segments(survey, strings, moved, cost_of_new)


def _new_segments(
    survey: Survey, strings: str, moved: tuple[Piece, ...], cost: int
) -> Iterator[Plan]:
    for room in ("null", "free", "phdr"):
        if _has_room(survey, room):
            # The strings may move on with the next tool's edit, and a segment
            # must not be left without a section: something else goes with them.
            anchor = () if any(p.kind is Kind.TABLE for p in moved) else _anchor(survey, moved)
            if anchor is not None:
                yield Plan(cost + _size(anchor), strings, "new", room=room, moved=moved + anchor)
                break
    front = front_blockers(survey)
    if front is None:
        return
    tables, notes = front
    if survey.strtab in tables and strings != "move":
        return
    rest = tuple(p for p in tables if p not in moved)
    everything = moved + rest
    if not any(p.kind is Kind.TABLE for p in everything):
        anchor = _anchor(survey, everything)
        if anchor is None:
            return
        everything += anchor
    if survey.can_leave(everything):
        extra = _size(tuple(p for p in everything if p not in moved))
        if extra <= _MAX_MOVED:
            yield Plan(cost + extra, strings, "new", room="front", moved=everything, notes=notes)


def _anchor(survey: Survey, going: tuple[Piece, ...]) -> tuple[Piece, ...] | None:
    """Choose a small table that patchelf never moves, to keep a new segment from being empty."""
    candidates = sorted(
        (p for p in survey.pieces if p.kind is Kind.TABLE and p not in going),
        key=lambda piece: piece.size,
    )
    preferred = {survey.obj.dt(elf.DT_VERNEED): 0, survey.obj.dt(elf.DT_VERSYM): 1}
    candidates.sort(key=lambda piece: preferred.get(piece.addr, 2))
    for piece in candidates:
        if survey.can_leave((*going, piece)):
            return (piece,)
    return None


def _has_room(survey: Survey, room: str) -> bool:
    obj = survey.obj
    if room == "null":
        return any(p.type == elf.PT_NULL for p in obj.phdrs)
    if room == "phdr":
        # glibc and musl use PT_PHDR for programs only.
        has = any(p.type == elf.PT_PHDR for p in obj.phdrs)
        return has and obj.interp is None and obj.header.type == elf.ET_DYN
    return has_free_header(survey)


def has_free_header(survey: Survey) -> bool:
    """Whether the bytes behind the program header table are free for one more header."""
    obj = survey.obj
    start, end = obj.table_end, obj.table_end + obj.layout.phdr.size
    owners = [(p.offset, p.end) for p in survey.pieces]
    owners += [(s.offset, s.end) for s in obj.shdrs if s.type != elf.SHT_NOBITS and s.size]
    owners += [(p.offset, p.end) for p in obj.phdrs if p.type not in {elf.PT_LOAD, elf.PT_PHDR}]
    if obj.shdrs:
        owners.append((obj.header.shoff, obj.shdrs_end))
    return (
        any(load.holds(obj.header.phoff) and end <= load.end for load in obj.loads)
        and not any(low < end and high > start for low, high in owners)
        and not any(obj.draft.read(start, end - start))
    )


def front_blockers(survey: Survey) -> tuple[tuple[Piece, ...], tuple[Piece, ...]] | None:
    """Find what is in the way of two more headers: pieces that must go, notes that shift.

    Two, not one: patchelf up to 0.18 takes the first section header that does
    not ascend for the end of the room it has, and would write over tables.
    Notes stay in the first page, since a core dump holds only that of a file.
    """
    obj = survey.obj
    home = [load for load in obj.loads if load.holds(obj.header.phoff)]
    if not home:
        return None
    free = shifted = 0
    for _ in range(8):
        free = obj.table_end + 2 * obj.layout.phdr.size + (shifted + 16 if shifted else 0)
        blockers = [p for p in survey.pieces if p.offset < free and p.end > obj.header.phoff]
        notes = tuple(p for p in blockers if p.kind is Kind.NOTE)
        size = sum(align_up(p.size, 8) + 8 for p in notes)
        if size == shifted:
            break
        shifted = size
    else:
        return None
    movable = {Kind.NOTE, Kind.TABLE, Kind.STRTAB, Kind.INTERP}
    if free > home[0].end or any(p.kind not in movable for p in blockers):
        return None
    others = [(s.offset, s.end) for s in obj.shdrs if not s.flags & elf.SHF_ALLOC]
    if obj.shdrs:
        others.append((obj.header.shoff, obj.shdrs_end))
    if any(low < free and high > obj.header.phoff for low, high in others):
        return None
    if not survey.is_unused(obj.table_end, free):
        return None
    return tuple(p for p in blockers if p.kind is not Kind.NOTE), notes

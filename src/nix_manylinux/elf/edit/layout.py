"""Where the bytes of an edit go: every way that is known to survive, the cheapest first.

The string table is written over, or grows in place while the tables to its
right move away, or moves itself. What moves goes into the zero bytes behind a
segment, else into the last segment where that ends the file, else into a new
PT_LOAD at the end of the file, with a copy of what others have put behind the
image (found from the file's end) behind it, else into the last segment all the same,
which takes .bss in, and pushes on what nothing loads. The header of a new one takes a free place
behind the program header table, which itself never moves (kernels before 5.18
compute AT_PHDR from e_phoff); tables and notes that are in the way give way.

Each rule below has a failure behind it; each is explained where it is kept.
"""

from __future__ import annotations

from functools import cached_property

from nix_manylinux.base.values import Value
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.draft.headers import Unproven
from nix_manylinux.elf.draft.pieces import Kind, Piece

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nix_manylinux.elf.draft.survey import Survey
    from nix_manylinux.elf.format import Segment

#: A new segment begins with this many zero bytes: llvm-strip gives a PT_LOAD
#: the offset of a PT_NOTE that begins where it does, and then it is misaligned.
HEAD = 16
#: Moved bytes are in memory for a while; no real file comes near.
_MAX_MOVED = 128 << 20
#: Data behind the image is in memory too, and twice in the file, where a segment goes behind it.
_MAX_PAYLOAD = 256 << 20
#: Spare entries that a moved dynamic section gets, so that it need not move again.
SPARE_ENTRIES = 8
#: The cost above which no plan is that can do without.
LAST_RESORT = 1 << 40
#: A plan that costs no more comes before all that is found later: most files have
#: room for an edit, and are asked for no plan that lets them grow.
_CHEAPEST = 2


class NoRoom(Unproven):
    """This layout does not fit this file; another one may."""


class EditPlan(Value, kw_only=False):
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
    end = image_end(survey) if load is survey.obj.loads[-1] else load.end
    wanted = strtab.end + survey.goal.growth
    moved = tuple(survey.inside(strtab.end, min(wanted, end)))
    if any(piece.kind is not Kind.TABLE for piece in moved):
        return None
    if not survey.is_unused(strtab.end, min(wanted, end)):
        return None
    spill = max(0, wanted - end)
    fits = spill <= _slack(survey, load) or survey.ends_file(load)
    # The last one can push on what is behind it, of which nothing is loaded: patchelf leaves the
    # strings in a last segment of their own, strip puts sections behind it.
    if not fits and not (load is survey.obj.loads[-1] and bss_cost(survey) == 0):
        return None
    return (moved, spill) if survey.can_leave(moved) else None


def _slack(survey: Survey, load: Segment) -> int:
    trimmed = load is survey.obj.loads[-1] and image_end(survey) < load.end
    return 0 if trimmed else survey.slack(load)


def _size(pieces: tuple[Piece, ...]) -> int:
    return sum(piece.size + piece.align for piece in pieces)


def plans(survey: Survey) -> Iterator[EditPlan]:
    """Yield every way to lay out the edit, the cheapest in bytes first.

    Each is looked for when those before it were not taken.
    """
    goal, obj = survey.goal, survey.obj
    interp = len(goal.interpreter) if goal.interpreter and not interp_fits(survey) else 0
    dynamic = 0
    if not dynamic_fits(survey):
        dynamic = (len(goal.dynamic) + 1 + SPARE_ENTRIES) * obj.layout.dyn.size + obj.word_size
    ways: list[_Way] = []
    for strings, moved, size, spill in _string_ways(survey):
        if size <= _MAX_MOVED:
            need = size + interp + dynamic
            way = _Way(survey, strings, moved, need=need, spill=spill, writable=dynamic > 0)
            ways.append(way)
            if way.stays is not None and way.stays.cost <= _CHEAPEST:
                yield way.stays
    yield from sorted([p for way in ways for p in way.others()], key=lambda plan: plan.cost)
    # The last resort, whatever else would cost.
    over_bss = bss_cost(survey)
    if over_bss is not None and (obj.loads[-1].flags & elf.PF_W or not dynamic):
        last = len(obj.loads) - 1
        cost = LAST_RESORT + over_bss
        last_ways = [way for way in ways if way.need or way.pushes]
        for way in sorted(last_ways, key=lambda way: way.need):
            yield EditPlan(cost + way.need, way.strings, "bss", last, moved=way.moved)


def _string_ways(survey: Survey) -> Iterator[tuple[str, tuple[Piece, ...], int, int]]:
    """Ways to have the strings: what moves, its size, how far .dynstr leaves its segment."""
    goal, strtab = survey.goal, survey.strtab
    if not goal.growth:
        yield "", (), 0, 0
        return
    growing = _growing(survey)
    if growing is not None:
        yield "grow", growing[0], _size(growing[0]), growing[1]
    if strtab is not None and survey.can_leave((strtab,)):
        yield "move", (strtab,), len(goal.strings) + survey.obj.word_size, 0


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


class _Way:
    """One way to have the strings, and the places for the ``need`` bytes that move then."""

    def __init__(
        self,
        survey: Survey,
        strings: str,
        moved: tuple[Piece, ...],
        *,
        need: int,
        spill: int,
        writable: bool,
    ) -> None:
        self.survey, self.strings, self.moved = survey, strings, moved
        self.need, self.spill, self.writable = need, spill, writable
        self.home = survey.load_of(survey.strtab) if survey.strtab else None
        spills = spill and self.home is not None and survey.ends_file(self.home)
        #: By how much the file grows with the string table, wherever the rest goes.
        self.growth = spill if spills else 0
        #: Whether the string table can grow only if what is behind it is pushed on.
        self.pushes = self.home is not None and not spills and spill > _slack(survey, self.home)

    @cached_property
    def stays(self) -> EditPlan | None:
        """The plan that lets the file grow by no more than its strings, if there is one."""
        if self.pushes:
            return None
        if not self.need:
            return EditPlan(1 + self.growth, self.strings, moved=self.moved)
        # Data is better off in a segment that can't be run.
        order = sorted(
            enumerate(self.survey.obj.loads),
            key=lambda pair: (pair[1].flags & elf.PF_X, pair[1].flags & elf.PF_W),
        )
        for index, load in order:
            taken = self.spill if load is self.home else 0
            if self._allows(load) and self.survey.slack(load) >= self.need + taken:
                return EditPlan(2 + self.growth, self.strings, "slack", index, moved=self.moved)
        return None

    def _allows(self, load: Segment) -> bool:
        return bool(load.flags & elf.PF_W) or not self.writable

    def others(self) -> Iterator[EditPlan]:
        """Yield the plans that cost more, in no order."""
        if self.stays is not None and self.stays.cost > _CHEAPEST:
            yield self.stays
        if not self.need or self.pushes:
            return
        survey, moved = self.survey, self.moved
        last = survey.obj.loads[-1]
        cost_of_new = 4 + HEAD + self.need
        if survey.ends_file(last) and self._allows(last):
            if self.strings == "move" and survey.obj.header.type == elf.ET_EXEC:
                tail = _anchor(survey, moved) or ()  # see Build._last_table
            else:
                tail = ()
            cost = 3 + self.need + self.growth + _size(tail)
            # A hundred edits leave one more segment: the one that is there grows.
            cost_of_new += LAST_RESORT // 2
            index = len(survey.obj.loads) - 1
            yield EditPlan(cost, self.strings, "end", index, moved=moved + tail)
        payload = survey.obj.draft.size - survey.end if survey.has_payload else 0
        if payload <= _MAX_PAYLOAD:
            yield from self._new_segments(cost_of_new + payload)

    def _new_segments(self, cost: int) -> Iterator[EditPlan]:
        survey, strings, moved = self.survey, self.strings, self.moved
        room = survey.spare_header
        if room:
            # The strings may move on with the next tool's edit, and a segment
            # must not be left without a section: something else goes with them.
            anchor = () if any(p.kind is Kind.TABLE for p in moved) else _anchor(survey, moved)
            if anchor is not None:
                yield EditPlan(
                    cost + _size(anchor), strings, "new", room=room, moved=moved + anchor
                )
        if survey.front is None:
            return
        tables, notes = survey.front
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
                yield EditPlan(cost + extra, strings, "new", -1, "front", everything, notes)


def _anchor(survey: Survey, going: tuple[Piece, ...]) -> tuple[Piece, ...] | None:
    """Choose a small table that patchelf never moves, to keep a new segment from being empty."""
    preferred = {survey.obj.tags.get(elf.DT_VERNEED): 0, survey.obj.tags.get(elf.DT_VERSYM): 1}
    candidates = [p for p in survey.pieces if p.kind is Kind.TABLE and p not in going]
    for piece in sorted(candidates, key=lambda p: (preferred.get(p.addr, 2), p.size)):
        if survey.can_leave((*going, piece)):
            return (piece,)
    return None


#: More than this is not worth it, and is kept in memory meanwhile.
_MAX_BSS = 64 << 20


def image_end(survey: Survey) -> int:
    """Where in the file the last segment ends, without what nothing loads.

    eu-strip puts sections into the padding that patchelf leaves at a segment's end.
    """
    last = survey.obj.loads[-1]
    if last.filesz != last.memsz:
        return last.end
    end = max((p.end for p in survey.pieces if last.holds(p.offset)), default=last.end)
    padding = [s for s in survey.obj.shdrs if end <= s.offset < last.end and s.size]
    in_padding = padding and not any(s.flags & elf.SHF_ALLOC for s in padding)
    return end if in_padding else last.end


def bss_cost(survey: Survey) -> int | None:
    """By how many bytes the file would grow, None where it can't be done."""
    obj = survey.obj
    last = obj.loads[-1]
    size, end = last.memsz - last.filesz, image_end(survey)
    tail = survey.end - end
    if survey.has_payload or size < 0 or size + tail > _MAX_BSS:
        return None
    if any(p.end > end for p in obj.segments if p is not last):
        return None
    if obj.table_end > end or not obj.shdrs:
        return None
    behind = [s for s in obj.shdrs if s.end > end and s.type != elf.SHT_NOBITS and s.size]
    if any(s.offset < end or s.flags & elf.SHF_ALLOC for s in behind):
        return None
    if obj.header.shoff < end < obj.shdrs_end:
        return None
    return size

"""What one file has to offer an edit: its pieces, and the room between and behind them."""

from __future__ import annotations

import contextlib
from bisect import bisect_left, bisect_right
from functools import cached_property

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.draft.headers import Object, Unproven, align_up
from nix_manylinux.elf.draft.pieces import Kind, Piece

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.elf.draft.bytes import Draft
    from nix_manylinux.elf.draft.goal import Goal
    from nix_manylinux.elf.format import Segment

#: Slack is looked for no further than this behind a segment.
_MAX_SLACK = 1 << 20
#: Zero bytes behind the image that are padding, and no data of somebody else
#: (patchelf ends files in one of them).
_MAX_PADDING = 4096


class Survey:
    """What one file has to offer: its pieces, and the room between them."""

    def __init__(self, obj: Object, goal: Goal, pieces: list[Piece]) -> None:
        self.obj = obj
        self.goal = goal
        #: In order of offset, as all that is found by bisection here needs it.
        self.pieces = pieces
        self._starts = [piece.offset for piece in pieces]
        self.strtab = next((p for p in pieces if p.kind is Kind.STRTAB), None)
        ends = [obj.table_end, obj.shdrs_end, *(p.end for p in obj.segments)]
        ends += [section.end for section in obj.shdrs]
        # What lies beyond the file says so of bytes that nobody reads.
        self.end = max(end for end in ends if end <= obj.draft.size)
        tail = obj.draft.size - self.end
        #: Whether somebody's data is behind the ELF image.
        self.has_payload = tail > _MAX_PADDING or not is_zero(
            obj.draft.read(self.end, max(tail, 0))
        )
        #: What `slack` has answered, by the identity of the PT_LOAD.
        self._slack: dict[int, int] = {}

    def over(self, draft: Draft) -> Survey:
        """Survey a copy that a plan can be carried out on."""
        other = object.__new__(Survey)
        vars(other).update(vars(self), obj=self.obj.over(draft), _slack={})
        vars(other).pop("_begins", None)
        return other

    def inside(self, start: int, end: int) -> list[Piece]:
        """List the pieces that begin in a range of the file."""
        return self.pieces[bisect_left(self._starts, start) : bisect_left(self._starts, end)]

    def load_of(self, piece: Piece) -> Segment:
        """Find the PT_LOAD that a piece is in; where it lies across several, the last of them."""
        for load in self.obj.loads:
            if load.holds(piece.offset):
                if piece.end <= load.end:
                    return load
                with contextlib.suppress(BadElf):
                    if self.obj.offset_of(piece.addr, piece.size) == piece.offset:
                        ends = [p for p in self.obj.loads if p.holds(piece.end - 1)]
                        if ends:  # else only page rounding maps its end
                            return ends[0]
        raise Unproven(f"the loaded bytes at {piece.offset:#x} are in no PT_LOAD")

    def can_leave(self, pieces: tuple[Piece, ...]) -> bool:
        """Whether each segment keeps a piece when these go.

        BFD's strip gives a PT_LOAD without a section any offset, and then
        glibc refuses the file ("not page-aligned").
        """
        return not any(
            all(piece in pieces for piece in inside)
            for inside in self._by_load
            if 0 < len(inside) <= len(pieces)
        )

    @cached_property
    def _by_load(self) -> list[list[Piece]]:
        """The pieces of each PT_LOAD."""
        return [self.inside(load.offset, load.end) for load in self.obj.loads]

    @cached_property
    def _begins(self) -> list[int]:
        """The offsets of all that has bytes in the file, ascending."""
        obj = self.obj
        begins = [p.offset for p in obj.segments if p.filesz]
        begins += [s.offset for s in obj.shdrs if s.size and s.type != elf.SHT_NOBITS]
        if obj.shdrs:
            begins.append(obj.header.shoff)
        begins.append(obj.header.phoff)
        begins.sort()
        return begins

    def slack(self, load: Segment) -> int:
        """How many zero bytes of the file behind a segment may become part of it.

        Asked once for a segment, and as its answer was then.
        """
        size = self._slack.get(id(load))
        if size is None:
            size = self._slack[id(load)] = self._find_slack(load)
        return size

    def _find_slack(self, load: Segment) -> int:
        obj, end, vend = self.obj, load.end, load.vend
        if load.filesz != load.memsz or not load.filesz:
            return 0
        stop = min(end + _MAX_SLACK, obj.draft.size)
        following = bisect_left(self._begins, end)
        if following < len(self._begins):
            stop = min(stop, self._begins[following])
        size = stop - end
        for other in obj.loads:
            if other.vaddr >= vend:
                size = min(size, other.vaddr // obj.page * obj.page - vend)
            elif other.vend > vend:  # it overlaps this one
                return 0
        return size if size > 0 and is_zero(obj.draft.read(end, size)) else 0

    def ends_file(self, load: Segment) -> bool:
        """Whether a segment can grow by letting the file grow."""
        return (
            load is self.obj.loads[-1]
            and load.filesz == load.memsz
            and load.end == self.end
            and not self.has_payload
        )

    def is_unused(self, start: int, end: int) -> bool:
        """Whether what belongs to no piece there is padding, by its bytes.

        patchelf fills the places of what it moved with the letter X.
        """
        first = bisect_right(self._starts, start)
        for piece in self.pieces[max(first - 1, 0) : bisect_left(self._starts, end)]:
            if start < piece.end:
                if self.obj.draft.read(start, max(piece.offset - start, 0)).strip(b"\0X"):
                    return False
                start = piece.end
        return not self.obj.draft.read(start, max(end - start, 0)).strip(b"\0X")

    def gap_behind(self, piece: Piece) -> int:
        """How many zero bytes are between a piece and the next one of its segment.

        patchelf leaves a name that the kernel reads behind a segment's end.
        """
        try:
            stop, following = self.load_of(piece).end, bisect_left(self._starts, piece.end)
        except Unproven:
            return 0
        if following < len(self._starts):
            stop = min(stop, self._starts[following])
        size = stop - piece.end
        return size if size > 0 and is_zero(self.obj.draft.read(piece.end, size)) else 0

    def has_free_header(self) -> bool:
        """Whether the bytes behind the program header table are free for one more header."""
        obj = self.obj
        start, end = obj.table_end, obj.table_end + obj.layout.phdr.size
        if not any(load.holds(obj.header.phoff) and end <= load.end for load in obj.loads):
            return False
        if not is_zero(obj.draft.read(start, end - start)):
            return False  # as in nearly every file: .interp or a note is there
        owners = [(p.offset, p.end) for p in self.pieces]
        owners += [(s.offset, s.end) for s in obj.shdrs if s.type != elf.SHT_NOBITS and s.size]
        passing = {elf.PT_LOAD, elf.PT_PHDR}
        owners += [(p.offset, p.end) for p in obj.segments if p.type not in passing]
        if obj.shdrs:
            owners.append((obj.header.shoff, obj.shdrs_end))
        return not any(low < end and high > start for low, high in owners)

    @cached_property
    def spare_header(self) -> str:
        """Where a program header could go as things are, by `EditPlan.room`; "" for nowhere."""
        obj = self.obj
        kinds = {p.type for p in obj.segments}
        if elf.PT_NULL in kinds:
            return "null"
        if self.has_free_header():
            return "free"
        # glibc and musl use PT_PHDR for programs only.
        unused = elf.PT_PHDR in kinds and obj.interp is None and obj.header.type == elf.ET_DYN
        return "phdr" if unused else ""

    @cached_property
    def front(self) -> tuple[tuple[Piece, ...], tuple[Piece, ...]] | None:
        """What is in the way of two more headers: pieces that must go, notes that shift.

        Two, not one: patchelf up to 0.18 takes the first section header that does
        not ascend for the end of the room it has, and would write over tables.
        Notes stay in the first page, since a core dump holds only that of a file.
        """
        obj = self.obj
        home = [load for load in obj.loads if load.holds(obj.header.phoff)]
        if not home:
            return None
        free = shifted = 0
        for _ in range(8):
            free = obj.table_end + 2 * obj.layout.phdr.size + (shifted + 16 if shifted else 0)
            blockers = [p for p in self.inside(0, free) if p.end > obj.header.phoff]
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
        if not self.is_unused(obj.table_end, free):
            return None
        return tuple(p for p in blockers if p.kind is not Kind.NOTE), notes


def is_zero(data: bytes) -> bool:
    """Whether all bytes are zero."""
    return data == bytes(len(data))

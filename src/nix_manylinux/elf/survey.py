"""What one file has to offer an edit: its pieces, and the room between and behind them."""

from __future__ import annotations

from copy import copy

from nix_manylinux.elf.object import Unproven
from nix_manylinux.elf.pieces import Kind, Piece

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.elf.draft import Draft
    from nix_manylinux.elf.format import Segment
    from nix_manylinux.elf.goal import Goal
    from nix_manylinux.elf.object import Object

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
        self.pieces = pieces
        self._by_load = [
            [piece for piece in pieces if load.holds(piece.offset)] for load in obj.loads
        ]
        self.strtab = next((p for p in pieces if p.kind is Kind.STRTAB), None)
        self.end = max(
            [obj.table_end, obj.shdrs_end]
            + [p.end for p in obj.phdrs]
            + [section.end for section in obj.shdrs]
        )
        tail = obj.draft.size - self.end
        #: Whether somebody's data is behind the ELF image (or the file is cut short).
        self.tail, self.tail_start = b"", 0
        self.has_payload = tail > _MAX_PADDING or any(obj.draft.read(self.end, max(tail, 0)))

    def over(self, draft: Draft) -> Survey:
        """Survey a copy that a plan can be carried out on."""
        other = copy(self)
        other.obj = self.obj.over(draft)
        return other

    def load_of(self, piece: Piece) -> Segment:
        """Find the PT_LOAD that a piece is in."""
        for load in self.obj.loads:
            if load.holds(piece.offset) and piece.end <= load.end:
                return load
        raise Unproven(f"the loaded bytes at {piece.offset:#x} are in no PT_LOAD")

    def can_leave(self, pieces: tuple[Piece, ...]) -> bool:
        """Whether each segment keeps a piece when these go.

        BFD's strip gives a PT_LOAD without a section any offset, and then
        glibc refuses the file ("not page-aligned").
        """
        return not any(
            all(piece in pieces for piece in inside) for inside in self._by_load if inside
        )

    def slack(self, load: Segment) -> int:
        """How many zero bytes of the file behind a segment may become part of it."""
        obj = self.obj
        if load.filesz != load.memsz or not load.filesz:
            return 0
        end = load.end
        limits = [end + _MAX_SLACK, obj.draft.size]
        limits += [p.offset for p in obj.phdrs if p.offset >= end and p.filesz and p is not load]
        limits += [s.offset for s in obj.shdrs if s.offset >= end and s.end > s.offset]
        if obj.shdrs and obj.header.shoff >= end:
            limits.append(obj.header.shoff)
        if obj.header.phoff >= end:
            limits.append(obj.header.phoff)
        above = [p.vaddr // obj.page * obj.page for p in obj.loads if p.vaddr >= load.vend]
        size = min(limits) - end
        if above:
            size = min(size, min(above) - load.vend)
        if size <= 0 or any(p.vaddr < load.vend + size and p.vend > load.vend for p in obj.loads):
            return 0
        return 0 if any(obj.draft.read(end, size)) else size

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
        for piece in self.pieces:
            if start < piece.end and piece.offset < end:
                if self.obj.draft.read(start, max(piece.offset - start, 0)).strip(b"\0X"):
                    return False
                start = piece.end
        return not self.obj.draft.read(start, max(end - start, 0)).strip(b"\0X")

    def room_behind(self, load: Segment) -> int:
        """How far a segment can grow, in bytes."""
        return 1 << 62 if self.ends_file(load) else self.slack(load)

    def gap_behind(self, piece: Piece) -> int:
        """How many zero bytes are between a piece and the next one of its segment."""
        load = self.load_of(piece)
        following = [p.offset for p in self.pieces if p.offset >= piece.end]
        size = min([load.end, *following]) - piece.end
        return size if size > 0 and not any(self.obj.draft.read(piece.end, size)) else 0

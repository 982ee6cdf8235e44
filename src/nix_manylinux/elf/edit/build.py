"""Carrying out a plan on a draft: bytes move, and everything that points at them follows.

What points at a piece: its section headers, dynamic entries, program headers
(PT_INTERP, PT_NOTE, PT_GNU_PROPERTY, PT_DYNAMIC), symbols defined in its
sections, and for the dynamic section the first word of the global offset table.
"""

from __future__ import annotations

from nix_manylinux.base.values import replace
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.draft import tables
from nix_manylinux.elf.draft.headers import align_up
from nix_manylinux.elf.draft.pieces import POINTERS, Kind, Piece, got_offset
from nix_manylinux.elf.edit.layout import (
    HEAD,
    SPARE_ENTRIES,
    EditPlan,
    NoRoom,
    dynamic_fits,
    image_end,
    interp_fits,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from nix_manylinux.elf.draft.survey import Survey
    from nix_manylinux.elf.format import Segment


class Build:
    """One plan under way. ``notes`` are what a report should say of it."""

    def __init__(self, survey: Survey, plan: EditPlan) -> None:
        self.survey = survey
        self.plan = plan
        self.obj = survey.obj
        self.draft = survey.obj.draft
        self.goal = survey.goal
        self.notes: list[str] = []
        self._target: Segment | None = None
        self._limit: int | None = None
        self._interp_fits = interp_fits(survey)
        self._interp_goes = any(piece.kind is Kind.INTERP for piece in plan.moved)
        self._dynamic_moves = not dynamic_fits(survey)
        #: Section index -> by how much its address changed.
        self._moved: dict[int, int] = {}

    def run(self) -> None:
        """Lay out everything, and store the headers in the draft."""
        plan, obj, goal = self.plan, self.obj, self.goal
        for offset, value in goal.vn_files:
            obj.put(offset, 4, value)
        obj.set_dynamic(goal.dynamic)
        strtab = self.survey.strtab
        going = self._take(piece for piece in plan.moved if piece != strtab)
        shifting = self._take(plan.notes)
        tail = fill_bss(self.survey) if plan.place == "bss" else b""
        if plan.strings == "grow" and strtab is not None:
            self._grow_strtab(strtab)
        self._open_target()
        self._relocate_all(going)
        self._make_header()
        self._shift_notes(shifting)
        self._set_stack()
        if tail:
            restore_tail(self.survey, tail)
        if plan.place == "new" and self.survey.has_payload:
            self._repeat_payload()
        self._fix_symbols()
        obj.store()

    def _repeat_payload(self) -> None:
        """Put data that is behind the image behind the new segment again.

        Programs find theirs by its offset or from the file's end (PyInstaller, Bun,
        zip): so it stays, and ends the file as well.
        """
        start, end = self.survey.end, self.draft.base.size
        self.draft.write(self.draft.size, self.draft.base.read(start, end - start))
        self.notes.append(
            f"the {end - start} bytes behind the ELF image are there twice: what is found by its"
            " place stays, and what is found from the file's end ends the file"
        )

    def _relocate_all(self, going: list[tuple[Piece, bytes]]) -> None:
        """Move tables first, .dynstr (almost) last: there the next edit can let it grow."""
        name = self.goal.interpreter
        last = self._last_table(going)
        for piece, data in going:
            if piece.kind is Kind.INTERP and name is not None:
                self._set_interp(name)
            elif piece is not last:
                self._relocate(piece, data)
        if self._dynamic_moves:
            self._move_dynamic()
        if name is not None and not self._interp_goes:
            self._set_interp(name)
        self._set_strings()
        for piece, data in going:
            if piece is last:
                self._relocate(piece, data)

    def _last_table(self, going: list[tuple[Piece, bytes]]) -> Piece | None:
        """Choose what goes behind a moved .dynstr at the end of an ET_EXEC file.

        patchelf up to 0.19 gives up on a program whose last section is one
        that it wants to replace (an assertion in rewriteSectionsExecutable).
        """
        plan = self.plan
        is_exec = self.obj.header.type == elf.ET_EXEC
        if not is_exec or plan.strings != "move" or plan.place not in {"new", "end"}:
            return None
        tables = [piece for piece, _ in going if piece.kind is Kind.TABLE]
        return min(tables, key=lambda piece: piece.size, default=None)

    def _take(self, pieces: Iterable[Piece]) -> list[tuple[Piece, bytes]]:
        """Read pieces and clear their places, which something else may fill."""
        taken = [(piece, self.draft.read(piece.offset, piece.size)) for piece in pieces]
        for piece, _ in taken:
            self.draft.clear(piece.offset, piece.size)
        return taken

    # Where moved bytes go ---------------------------------------------------------

    def _open_target(self) -> None:
        plan, obj = self.plan, self.obj
        if plan.place == "bss":
            self._target = obj.loads[-1]
        elif plan.place in {"slack", "end"}:
            self._target = load = obj.loads[plan.load]
            if plan.place == "slack":
                self._limit = load.end + self.survey.slack(load)
        elif plan.place == "new":
            end = max(load.vend for load in obj.loads)
            offset = align_up(self.draft.size, HEAD)
            # Congruent to its offset, so that the file needs no padding.
            vaddr = align_up(end, obj.page) + offset % obj.page
            flags = elf.PF_R | (elf.PF_W if self._dynamic_moves else 0)
            paddr = vaddr if any(p.paddr for p in obj.loads) else 0
            self._target = elf.Segment(elf.PT_LOAD, flags, offset, vaddr, paddr, 0, 0, obj.page)
            self._put(bytes(HEAD), HEAD)

    def _put(self, data: bytes | bytearray, align: int) -> tuple[int, int]:
        """Append to the target segment; return (offset, address)."""
        target = self._target
        if target is None:
            raise NoRoom("nothing was to move, and something must")
        # Congruent, but not always modulo the alignment of the bytes: go by the address.
        vaddr = align_up(target.vaddr + target.filesz, align)
        offset = target.offset + vaddr - target.vaddr
        if self._limit is not None and offset + len(data) > self._limit:
            raise NoRoom("the bytes behind a segment are too few after all")
        if vaddr + len(data) > self.obj.mask:
            raise NoRoom("the address space ends there")
        self.draft.write(offset, data)
        target.filesz = target.memsz = vaddr + len(data) - target.vaddr
        return offset, vaddr

    def _make_header(self) -> None:
        target, obj = self._target, self.obj
        if self.plan.place != "new" or target is None:
            return
        leaving = {"null": elf.PT_NULL, "phdr": elf.PT_PHDR}.get(self.plan.room)
        if leaving is not None:
            obj.segments.remove(next(p for p in obj.segments if p.type == leaving))
        obj.add_phdr(target)

    # What moves -------------------------------------------------------------------

    def _grow_strtab(self, strtab: Piece) -> None:
        load = self.survey.load_of(strtab)
        self._write_strings(strtab.offset)
        end = strtab.offset + len(self.goal.strings)
        if end > load.end:
            load.filesz = load.memsz = end - load.offset

    def _write_strings(self, offset: int) -> None:
        goal = self.goal
        for start, end in (*goal.released, *goal.placed):
            self.draft.write(offset + start, goal.strings[start:end])

    def _set_strings(self) -> None:
        obj, strings, strtab = self.obj, self.goal.strings, self.survey.strtab
        if self.plan.strings == "move" and strtab is not None:
            self.draft.clear(strtab.offset, strtab.size)
            self._relocate(strtab, strings)
        elif not self.plan.strings:
            self._write_strings(obj.strtab.offset)
        if self.plan.strings:
            obj.strtab.size = len(strings)
            size = (elf.DT_STRSZ, len(strings))
            obj.set_dynamic([size if pair[0] == elf.DT_STRSZ else pair for pair in obj.dynamic])

    def _relocate(self, piece: Piece, data: bytes | bytearray) -> None:
        offset, vaddr = self._put(data, piece.align)
        self._follow(piece, offset - piece.offset, vaddr - piece.addr)

    def _follow(self, piece: Piece, delta_offset: int, delta_addr: int) -> None:
        """Make everything that points into a piece point to its new place."""
        obj = self.obj
        for index in piece.sections:
            obj.shdrs[index].offset += delta_offset
            obj.shdrs[index].addr += delta_addr
            self._moved[index] = delta_addr
        if not piece.sections and piece.kind is Kind.STRTAB:
            obj.strtab.offset += delta_offset
            obj.strtab.addr += delta_addr
        if piece.kind in {Kind.TABLE, Kind.STRTAB}:
            obj.set_dynamic(
                [
                    (tag, value + delta_addr)
                    if tag in POINTERS and piece.addr <= value < piece.addr_end
                    else (tag, value)
                    for tag, value in obj.dynamic
                ]
            )
        else:
            for phdr in obj.segments:
                if phdr.type in {elf.PT_INTERP, elf.PT_NOTE, elf.PT_GNU_PROPERTY} and (
                    piece.offset <= phdr.offset < piece.end
                ):
                    phdr.shift(delta_offset, delta_addr)

    def _set_interp(self, name: bytes) -> None:
        obj, interp = self.obj, self.obj.interp
        if interp is None:
            return
        pieces = [piece for piece in self.survey.pieces if piece.kind is Kind.INTERP]
        if self._interp_fits and not self._interp_goes:
            self.draft.write(interp.offset, name.ljust(interp.filesz, b"\0"))
        else:
            if not self._interp_goes:
                self.draft.clear(interp.offset, interp.filesz)
            # patchelf aligns it as a word.
            offset, vaddr = self._put(name, max([1, *(piece.align for piece in pieces)]))
            for piece in pieces:
                self._follow(piece, offset - piece.offset, vaddr - piece.addr)
                self._give_up_segment(piece)
            interp.offset, interp.vaddr = offset, vaddr
            interp.paddr = vaddr if interp.paddr else 0
        interp.filesz = interp.memsz = len(name)
        for index in [index for piece in pieces for index in piece.sections]:
            obj.shdrs[index].size = len(name)

    def _give_up_segment(self, piece: Piece) -> None:
        """Turn the segment of a name that has moved into a PT_NULL, if nothing else is in it.

        patchelf gives a name one of its own; without any section strip would misplace it.
        """
        obj = self.obj
        for load in [load for load in obj.loads if load.holds(piece.offset)]:
            alone = self.survey.inside(load.offset, load.end) == [piece]
            if alone and load is not self._target and not load.holds(obj.header.phoff):
                load.type = elf.PT_NULL
                obj.loads = [each for each in obj.loads if each is not load]

    def _move_dynamic(self) -> None:
        """Give the dynamic section a new place: its loader writes to it (DT_DEBUG)."""
        obj, header = self.obj, self.obj.pt_dynamic
        if self._target is None or not self._target.flags & elf.PF_W:
            raise NoRoom("a dynamic section must be writable")
        old_offset, old_vaddr = header.offset, header.vaddr
        self.draft.clear(old_offset, header.filesz)
        obj.dynamic_slots = len(obj.dynamic) + 1 + SPARE_ENTRIES
        size = obj.dynamic_slots * obj.layout.dyn.size
        offset, vaddr = self._put(bytes(size), obj.word_size)
        header.shift(offset - old_offset, vaddr - old_vaddr)
        header.filesz = header.memsz = size
        header.flags |= elf.PF_R | elf.PF_W
        for piece in self.survey.pieces:
            if piece.kind is Kind.DYNAMIC:
                for index in piece.sections:
                    obj.shdrs[index].size = size
                    obj.shdrs[index].offset, obj.shdrs[index].addr = offset, vaddr
                    self._moved[index] = vaddr - old_vaddr
        got = got_offset(obj)
        if got is not None and obj.get(got, obj.word_size) == old_vaddr:
            obj.put(got, obj.word_size, vaddr)
        if any(p.type == elf.PT_GNU_RELRO for p in obj.segments):
            self.notes.append(
                "its dynamic section had no room for another entry: it moved, and is no longer"
                " made read-only after start-up (RELRO)"
            )

    # What stays, but for an offset ------------------------------------------------

    def _shift_notes(self, shifting: list[tuple[Piece, bytes]]) -> None:
        obj = self.obj
        # Measured from the old end of the table: the new header is one of the two.
        old_end = obj.header.phoff + obj.layout.phdr.size * obj.header.phnum
        position = old_end + 2 * obj.layout.phdr.size
        for piece, data in sorted(shifting, key=lambda pair: pair[0].offset):
            position = align_up(position, max(piece.align, 4))
            delta = position - piece.offset
            self.draft.write(position, data)
            self._follow(piece, delta, delta)
            position += piece.size

    def _set_stack(self) -> None:
        obj, goal = self.obj, self.goal
        if goal.stack == "clear":
            stack = obj.one(elf.PT_GNU_STACK)
            if stack is not None:
                stack.flags &= ~elf.PF_X
        elif goal.stack == "add":
            header = elf.Segment(elf.PT_GNU_STACK, elf.PF_R | elf.PF_W, 0, 0, 0, 0, 0, 16)
            unused = next((p for p in obj.segments if p.type == elf.PT_NULL), None)
            if unused is not None:
                obj.segments[obj.segments.index(unused)] = header
            elif self.plan.place != "new" and self.survey.has_free_header():
                obj.add_phdr(header)
            else:
                raise NoRoom(
                    "it has no PT_GNU_STACK, which means an executable stack, and there is no"
                    " room for one: --keep-execstack leaves it so"
                )

    def _fix_symbols(self) -> None:
        """Let the symbols of moved sections follow: the loader never reads them, debuggers do."""
        obj = self.obj
        if not self._moved:
            return
        sections = frozenset(self._moved)
        for table in obj.shdrs:
            if table.type not in {elf.SHT_SYMTAB, elf.SHT_DYNSYM}:
                continue
            for symbol in tables.symbols_in(obj, table, sections):
                delta = self._moved[obj.get(symbol + obj.st_shndx, 2)]
                at = symbol + obj.st_value
                obj.put(at, obj.word_size, obj.get(at, obj.word_size) + delta)


def fill_bss(survey: Survey) -> bytes:
    """Turn .bss into bytes, leaving the segment at the end of the file.

    Gives what was behind it, for `restore_tail` to put back once the segment has grown.
    """
    obj = survey.obj
    last = obj.loads[-1]
    end = image_end(survey)
    tail = obj.draft.read(end, survey.end - end)
    obj.draft.cut(end)
    obj.draft.clear(end, last.memsz - last.filesz)
    for section in obj.shdrs:
        is_bss = section.type == elf.SHT_NOBITS and section.flags & elf.SHF_ALLOC
        if is_bss and not section.flags & elf.SHF_TLS and last.vaddr <= section.addr <= last.vend:
            section.type = elf.SHT_PROGBITS
            section.offset = last.offset + section.addr - last.vaddr
    last.filesz = last.memsz = end - last.offset + last.memsz - last.filesz
    return tail


def restore_tail(survey: Survey, tail: bytes) -> None:
    """Put what was behind the segment behind its new end, and the headers right."""
    obj, start = survey.obj, survey.end - len(tail)
    # By one distance for all, a multiple of any alignment that they may have.
    aligns = [s.addralign for s in obj.shdrs if s.offset >= start and s.size]
    delta = align_up(obj.loads[-1].end - start, max([16, *aligns]))
    obj.draft.write(start + delta, tail)
    for section in obj.shdrs:
        if section.offset >= start and not section.flags & elf.SHF_ALLOC and section.size:
            section.offset += delta
    if obj.header.shoff >= start:
        obj.header = replace(obj.header, shoff=obj.header.shoff + delta)

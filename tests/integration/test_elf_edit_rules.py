"""One test for each rule of the writer that a loader, a kernel or a disk can break."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import ElfBuilder, Poker, layout_of
from tests.support.elf_matrix import NATIVE, OUTPUT, Case

from nix_manylinux.base import values
from nix_manylinux.base.errors import EditFailed
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.edit import edit as writer
from nix_manylinux.elf.edit import layout, patchelf
from nix_manylinux.elf.edit.build import Build
from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from nix_manylinux.elf.draft.survey import Survey

LONG = tuple(f"/nix/store/{i:032d}-package-{i}-1.2.3/lib" for i in range(5))
BFD = NATIVE[0]
LLD = next(case for case in NATIVE if case.name == "x86_64-lld-pie")


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each case is built once."""
    return tmp_path_factory.mktemp("rules")


@pytest.fixture
def pair(workshop: Path, tmp_path: Path) -> Callable[[Case], tuple[Path, Path]]:
    """Give copies of a case's library and program."""

    def copies(case: Case) -> tuple[Path, Path]:
        found = []
        for original in case.build(workshop / case.name):
            found.append(tmp_path / original.name)
            found[-1].write_bytes(original.read_bytes())
            found[-1].chmod(0o755)
        return found[0], found[1]

    return copies


Pair = Callable[[Case], tuple[Path, Path]]


def segments(path: Path) -> list[elf.Segment]:
    """Read the program headers of a file."""
    data = path.read_bytes()
    structures = layout_of(data)
    header = structures.header(data)
    return structures.segments(data[header.phoff : header.phoff + header.phnum * header.phentsize])


def no_plans(survey: Survey) -> list[layout.EditPlan]:
    """Pretend that nothing fits a file."""
    assert survey.pieces
    return []


def retype(path: Path, old: int, new: int) -> None:
    """Give the program header of one type another type."""
    data = bytearray(path.read_bytes())
    structures = layout_of(bytes(data))
    header = structures.header(bytes(data))
    for index, segment in enumerate(segments(path)):
        if segment.type == old:
            at = header.phoff + index * header.phentsize
            data[at : at + header.phentsize] = structures.pack_segment(
                values.replace(segment, type=new)
            )
    path.write_bytes(data)


@pytest.mark.parametrize("case", NATIVE, ids=lambda case: case.name)
def test_layouts_are_tried_the_cheapest_first(
    case: Case, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every linker's files, for an edit that fits, and for some that need more room."""
    found: list[list[layout.EditPlan]] = []

    def all_plans(survey: Survey) -> list[layout.EditPlan]:
        found.append(list(layout.plans(survey)))
        return found[-1]

    monkeypatch.setattr(writer, "plans", all_plans)
    for path in pair(case):
        for search in (("/x",), LONG, LONG * 40):
            edit_file(str(path), ElfEdit(search_path=search))
    assert len(found) > 3
    assert sum(map(len, found)) > len(found)
    for tried in found:
        assert [plan.cost for plan in tried] == sorted(plan.cost for plan in tried)


def test_many_needed_names_move_the_dynamic_section(pair: Pair, tmp_path: Path) -> None:
    """What has no room for an entry gets a writable place, and the report says what that costs."""
    library, program = pair(LLD)
    files = ElfBuilder(tmp_path / "more")
    names = [f"libmore-{i}.so.1" for i in range(40)]
    for name in names:
        built = files.library(name, source=f"int f{name[8:-5]}(void) {{ return 1; }}", soname=name)
        (tmp_path / name).symlink_to(built)
    edit_file(str(program), ElfEdit(search_path=(str(tmp_path),)))
    result = edit_file(
        str(library), ElfEdit(search_path=("$ORIGIN", *LONG), add_needed=tuple(names))
    )
    assert result.how == "in place"
    assert any("RELRO" in note for note in result.notes)
    assert BFD.run(program) == OUTPUT
    facts = read_elf(library)
    assert facts is not None
    assert facts.needed[-40:] == tuple(names)
    count = len(segments(library))
    for turn in range(6):
        edit_file(str(library), ElfEdit(add_needed=(f"libmore-{turn}.so.1", "libm.so.6")))
    assert len(segments(library)) == count
    assert BFD.run(program) == OUTPUT


def test_a_hint_gives_way_before_relro_is_lost(pair: Pair, tmp_path: Path) -> None:
    """Lld leaves no spare entry: DT_RELACOUNT goes, and .dynamic stays read-only."""
    library, program = pair(LLD)
    result = edit_file(str(library), ElfEdit(search_path=("$ORIGIN", *LONG)))
    assert not result.notes
    old = [s for s in segments(LLD.build(tmp_path / "again")[0]) if s.type == elf.PT_DYNAMIC]
    assert [s for s in segments(library) if s.type == elf.PT_DYNAMIC] == old
    edit_file(str(program), ElfEdit(search_path=(str(tmp_path), *LONG)))
    assert BFD.run(program) == OUTPUT


def test_an_executable_stack_is_cleared(workshop: Path, tmp_path: Path) -> None:
    """PF_X goes from PT_GNU_STACK, and nothing else changes by a byte."""
    case = replace(BFD, name="execstack", flags=("-Wl,-z,execstack",))
    library, _ = case.build(workshop / case.name)
    path = tmp_path / "libdemo.so"
    path.write_bytes(library.read_bytes())
    facts = read_elf(path)
    assert facts is not None
    assert facts.executable_stack
    result = edit_file(str(path), ElfEdit(clear_executable_stack=True))
    assert result.size_after == result.size_before
    facts = read_elf(path)
    assert facts is not None
    assert not facts.executable_stack
    pairs = zip(path.read_bytes(), library.read_bytes(), strict=True)
    assert sum(a != b for a, b in pairs) == 1


def test_a_missing_stack_header_takes_a_free_one(pair: Pair) -> None:
    """x86 takes no PT_GNU_STACK for an executable stack; a PT_NULL becomes one."""
    library, _ = pair(BFD)
    retype(library, elf.PT_GNU_STACK, elf.PT_NULL)
    facts = read_elf(library)
    assert facts is not None
    assert facts.executable_stack
    edit_file(str(library), ElfEdit(clear_executable_stack=True))
    facts = read_elf(library)
    assert facts is not None
    assert not facts.executable_stack


def test_no_room_for_a_stack_header_is_said(pair: Pair) -> None:
    """Without a free header the file stays, and the error says why: patchelf can't do it either."""
    library, _ = pair(BFD)
    retype(library, elf.PT_GNU_STACK, 0x6FFFFFF0)
    before = library.read_bytes()
    for edit in (
        ElfEdit(clear_executable_stack=True),
        ElfEdit(search_path=LONG, clear_executable_stack=True),
    ):
        with pytest.raises(EditFailed, match="no room for one"):
            edit_file(str(library), edit)
    assert library.read_bytes() == before


def test_a_payload_stays_behind_the_image(pair: Pair, tmp_path: Path) -> None:
    """Data that somebody appended is found from the end of the file, as before."""
    library, program = pair(BFD)
    payload = b"PK\x03\x04 and so on" * 50
    for path in (library, program):
        path.write_bytes(path.read_bytes() + payload)
        edit_file(str(path), ElfEdit(search_path=(str(tmp_path),)))
        assert path.read_bytes().endswith(payload)
    assert BFD.run(program) == OUTPUT


@pytest.mark.parametrize("case", [BFD, LLD], ids=lambda case: case.name)
def test_a_payload_is_found_from_either_end(pair: Pair, case: Case) -> None:
    """Where the image must grow, the payload stays at its place and ends the file as well."""
    library, program = pair(case)
    payload = b"payload" * 99
    for path in library, program:
        offset = path.stat().st_size
        path.write_bytes(path.read_bytes() + payload)
        for turn in range(3):
            edit_file(str(path), ElfEdit(search_path=("$ORIGIN", *LONG, "/x" * 300 * turn)))
            data = path.read_bytes()
            assert data[offset : offset + len(payload)] == payload
            assert data.endswith(payload)
    assert case.run(program) == OUTPUT
    edited = edit_file(str(program), ElfEdit(search_path=("$ORIGIN", "/y" * 9000)))
    assert any("are there twice" in note for note in edited.notes)
    assert case.run(program) == OUTPUT


def test_a_payload_that_is_too_much_is_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is left alone then, and the error says what to do."""
    monkeypatch.setattr(layout, "_MAX_PAYLOAD", 5)
    library, _ = pair(BFD)
    library.write_bytes(library.read_bytes() + b"payload")
    before = library.read_bytes()
    with pytest.raises(EditFailed, match="behind the ELF image") as caught:
        edit_file(str(library), ElfEdit(search_path=("/x" * 3000,)))
    assert "before the data is appended" in caught.value.hint
    assert library.read_bytes() == before


@pytest.mark.parametrize("case", [BFD, LLD], ids=lambda case: case.name)
def test_the_last_resort_fills_bss(
    case: Case, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no header is to be had, the last segment grows over .bss, and the file runs."""
    library, program = pair(case)
    real = layout.plans
    monkeypatch.setattr(
        writer, "plans", lambda survey: [plan for plan in real(survey) if plan.place == "bss"]
    )
    for path in (library, program):
        result = edit_file(str(path), ElfEdit(search_path=(str(tmp_path), *LONG * 9)))
        assert result.how == "in place"
        assert result.size_after > result.size_before + 1000
        done = subprocess.run(["readelf", "-aW", str(path)], capture_output=True, check=True)
        assert not done.stderr
    assert BFD.run(program) == OUTPUT
    subprocess.run(["strip", "-S", str(library), str(program)], check=True)
    assert BFD.run(program) == OUTPUT


class Sprawling(Build):
    """A build that leads far behind the file, as an absurd size of .bss can."""

    def run(self) -> None:
        """Lay out the edit, and write a byte behind exbibytes of nothing."""
        super().run()
        self.draft.write(1 << 62, b"x")


def test_a_file_that_would_be_absurd_is_not_even_read(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size alone refuses the layout: nobody makes so many zeros to look at them."""
    library, _ = pair(BFD)
    before = library.read_bytes()
    monkeypatch.setattr(writer, "Build", Sprawling)
    monkeypatch.setattr(patchelf, "find_patchelf", lambda: None)
    with pytest.raises(EditFailed, match=r"the file would have [0-9]+ bytes"):
        edit_file(str(library), ElfEdit(search_path=LONG))
    assert library.read_bytes() == before


def test_patchelf_is_asked_when_no_layout_is_safe(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fallback edits, is checked, is said, and can be undone."""
    library, program = pair(BFD)
    before = library.read_bytes()
    monkeypatch.setattr(writer, "plans", no_plans)
    inode = library.stat().st_ino
    result = edit_file(
        str(library), ElfEdit(search_path=("$ORIGIN", *LONG), clear_executable_stack=True)
    )
    assert result.how == "patchelf"
    assert "patchelf was used" in result.notes[0]
    assert library.stat().st_ino == inode
    facts = read_elf(library)
    assert facts is not None
    assert facts.search_path == ("$ORIGIN", *LONG)
    monkeypatch.undo()
    edit_file(str(program), ElfEdit(search_path=(str(tmp_path),)))
    assert BFD.run(program) == OUTPUT
    result.undo()
    assert library.read_bytes() == before


def test_without_patchelf_the_error_says_how_to_get_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of all ways out is an error with a hint."""
    library, _ = pair(BFD)
    monkeypatch.setattr(writer, "plans", no_plans)
    monkeypatch.setattr(patchelf, "find_patchelf", lambda: None)
    before = library.read_bytes()
    with pytest.raises(EditFailed) as caught:
        edit_file(str(library), ElfEdit(search_path=LONG))
    assert "install patchelf" in caught.value.hint
    assert library.read_bytes() == before


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("turn", range(5))
def test_a_write_that_fails_leaves_the_file(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, failure: BaseException, turn: int
) -> None:
    """After each write in turn: a full disk or Ctrl-C, and every byte is what it was."""
    library, _ = pair(BFD)
    before, times = library.read_bytes(), library.stat().st_mtime_ns
    real, calls = os.pwrite, [0]

    def failing(descriptor: int, data: bytes, offset: int) -> int:
        calls[0] += 1
        if calls[0] == turn + 1:
            raise failure
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", failing)
    with pytest.raises((EditFailed, KeyboardInterrupt)):
        edit_file(str(library), ElfEdit(search_path=LONG * 30, add_needed=("libm.so.6",)))
    assert library.read_bytes() == before
    assert library.stat().st_mtime_ns == times


def test_a_file_size_limit_leaves_the_file(pair: Pair) -> None:
    """What the kernel refuses (EFBIG) in the middle of an edit is put back."""
    library, _ = pair(BFD)
    before = library.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    code = (
        "import sys\nfrom nix_manylinux.elf.edit.edit import edit_file\n"
        "from nix_manylinux.elf.facts import ElfEdit\n"
        "from nix_manylinux.base.errors import EditFailed\n"
        "try:\n    edit_file(sys.argv[1], ElfEdit(search_path=('/x' * 3000,)))\n"
        "except EditFailed as error:\n    print(error)\nelse:\n    sys.exit('no error')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(library)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), hard)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == (soft, hard)
    assert "File too large" in done.stdout, done.stderr
    assert library.read_bytes() == before


def test_undo_refuses_another_file(pair: Pair) -> None:
    """A file that was renamed into the place is not ours to overwrite."""
    library, program = pair(BFD)
    result = edit_file(str(library), ElfEdit(search_path=LONG))
    program.rename(library)
    with pytest.raises(EditFailed, match="replaced"):
        result.undo()


@pytest.mark.parametrize(
    ("shift", "says"), [(0x7F, "by whole pages"), (-0x1000, "hides a page of another one")]
)
def test_pages_that_hide_others_are_refused(pair: Pair, shift: int, says: str) -> None:
    """What is mapped over another segment isn't what the offsets say: nothing can be proved."""
    library, _ = pair(BFD)
    poker = Poker(library.read_bytes())
    first, second = [s for s in poker.segments() if s.type == elf.PT_LOAD][:2]
    end = first.vend // 0x1000 * 0x1000
    address = second.vaddr + shift if shift > 0 else end
    packed = poker.layout.pack_segment(values.replace(second, vaddr=address))
    at = bytes(poker.data).index(poker.layout.pack_segment(second))
    poker.data[at : at + len(packed)] = packed
    library.write_bytes(poker.data)
    with pytest.raises(EditFailed, match=says):
        edit_file(str(library), ElfEdit(search_path=LONG))
    assert library.read_bytes() == bytes(poker.data)


def test_a_prelinked_file_is_refused(pair: Pair) -> None:
    """DT_GNU_PRELINKED promises addresses to others; the error says how to undo it."""
    library, _ = pair(BFD)
    data = bytearray(library.read_bytes())
    structures = layout_of(bytes(data))
    dynamic = next(s for s in segments(library) if s.type == elf.PT_DYNAMIC)
    for at in range(dynamic.offset, dynamic.offset + dynamic.filesz, structures.dyn.size):
        if structures.dyn.unpack_from(data, at)[0] == elf.DT_RELACOUNT:
            structures.dyn.pack_into(data, at, elf.DT_GNU_PRELINKED, 1)
    library.write_bytes(data)
    with pytest.raises(EditFailed, match="prelinked"):
        edit_file(str(library), ElfEdit(search_path=LONG))


def test_the_size_of_the_string_table_is_put_right(pair: Pair) -> None:
    """A DT_STRSZ that leaves the file is nothing to a loader; after an edit it is true."""
    library, program = pair(BFD)
    poker = Poker(library.read_bytes())
    poker.dynamic(elf.DT_STRSZ, 1 << 40)
    library.write_bytes(poker.data)
    edit_file(str(program), ElfEdit(search_path=("$ORIGIN",)))
    assert BFD.run(program) == OUTPUT
    edit_file(str(library), ElfEdit(search_path=LONG))
    after = Poker(library.read_bytes())
    assert after.dynamic_value(elf.DT_STRSZ) == after.sections[".dynstr"].size
    assert BFD.run(program) == OUTPUT


def test_names_that_others_use_are_kept(tmp_path: Path) -> None:
    """A path that is also the end of a symbol's name is not overwritten."""
    files = ElfBuilder(tmp_path / "built")
    source = "int very_long_symbol_name_lib(void) { return 1; } int demo(void) { return 42; }"
    path = tmp_path / "libdemo.so"
    path.write_bytes(
        files.library(source=source, runpath="symbol_name_lib", soname="name_lib").read_bytes()
    )
    edit_file(str(path), ElfEdit(search_path=("x",)))
    edit_file(str(path), ElfEdit(search_path=LONG))
    listed = subprocess.run(
        ["nm", "-D", str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert "very_long_symbol_name_lib" in listed
    facts = read_elf(path)
    assert facts is not None
    assert facts.soname == "name_lib"

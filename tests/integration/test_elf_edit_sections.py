"""Strings, dynamic entries and section headers after an edit, as pyelftools sees them."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from tests.support import host
from tests.support.elf import TARGETS, ElfBuilder, Poker, run
from tests.support.elf_matrix import CROSS, NATIVE

from nix_manylinux.elf import format as elf
from nix_manylinux.elf.edit.edit import Edited, edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.elf_matrix import Case

LONG = tuple(f"/nix/store/{i:032d}-package-{i}-1.2.3/lib" for i in range(5))
#: Sections whose bytes an edit of a path may change.
CHANGED = {".dynstr", ".dynamic", ".interp", ".shstrtab"}
POINTERS = {
    "DT_HASH": ".hash", "DT_GNU_HASH": ".gnu.hash", "DT_STRTAB": ".dynstr", "DT_SYMTAB": ".dynsym",
    "DT_VERSYM": ".gnu.version", "DT_VERNEED": ".gnu.version_r", "DT_VERDEF": ".gnu.version_d",
    "DT_INIT_ARRAY": ".init_array", "DT_FINI_ARRAY": ".fini_array",
}  # fmt: skip


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> ElfBuilder:
    """Build each file once for all tests."""
    return ElfBuilder(tmp_path_factory.mktemp("sections"))


def edit(path: Path, **changes: object) -> Edited:
    """Edit with our own writer."""
    result = edit_file(str(path), ElfEdit(**changes))  # type: ignore[arg-type]
    assert result.how in {"in place", "unchanged"}
    return result


def needed(path: Path) -> list[str]:
    """List DT_NEEDED."""
    facts = read_elf(path)
    assert facts is not None
    return list(facts.needed)


def segments_of(path: Path, kind: int) -> list[elf.Segment]:
    """List the program headers of one type."""
    return [segment for segment in Poker(path.read_bytes()).segments() if segment.type == kind]


# Section headers ------------------------------------------------------------------


def symbols(section: Any) -> Iterator[tuple[object, ...]]:  # noqa: ANN401 -- untyped
    """Yield all that a symbol table says, values counted from the start of the section."""
    file = section.elffile
    for symbol in section.iter_symbols():
        index = symbol["st_shndx"]
        base = file.get_section(index)["sh_addr"] if isinstance(index, int) else 0
        entry = symbol.entry
        yield symbol.name, entry.st_info, entry.st_size, index, entry.st_value - base


def hold_together(before: bytes, after: bytes) -> None:
    """Assert that every section is what it was, and where the loader finds it."""
    old, new = ELFFile(io.BytesIO(before)), ELFFile(io.BytesIO(after))
    assert [s.name for s in old.iter_sections()] == [s.name for s in new.iter_sections()]
    order: Literal["little", "big"] = "little" if old.little_endian else "big"
    here, there = (
        section_of(file, ".dynamic")["sh_addr"].to_bytes(file.elfclass // 8, order)
        for file in (old, new)
    )
    loads = [s for s in new.iter_segments() if s["p_type"] == "PT_LOAD"]
    for was, now in zip(old.iter_sections(), new.iter_sections(), strict=True):
        for field in ("sh_type", "sh_flags", "sh_link", "sh_info", "sh_entsize"):
            assert was[field] == now[field], was.name
        if isinstance(was, SymbolTableSection):
            assert list(symbols(was)) == list(symbols(now)), was.name
        elif was.name not in CHANGED:
            # Global offset tables may begin with the address of the dynamic section.
            moved = was.data().replace(here, there, 1) if ".got" in was.name else was.data()
            assert now.data() in {was.data(), moved}, was.name
        if now["sh_flags"] & 2 and now["sh_type"] not in {"SHT_NOBITS", "SHT_NULL"}:
            home = [p for p in loads if p["p_offset"] <= now["sh_offset"] < p_end(p)]
            assert len(home) == 1 or not now["sh_size"], was.name
            for load in home:
                assert now["sh_addr"] - now["sh_offset"] == load["p_vaddr"] - load["p_offset"]
                assert now["sh_offset"] + now["sh_size"] <= p_end(load)
            assert now["sh_addr"] % max(now["sh_addralign"], 1) == 0
    dynamic = section_of(new, ".dynamic")
    assert isinstance(dynamic, DynamicSection)
    tags = {tag.entry.d_tag: tag.entry.d_val for tag in dynamic.iter_tags()}
    for tag, name in POINTERS.items():
        section = new.get_section_by_name(name)
        if tag in tags and section is not None:
            assert tags[tag] == section["sh_addr"], tag
    assert tags["DT_STRSZ"] == section_of(new, ".dynstr")["sh_size"]
    (place,) = (s for s in new.iter_segments() if s["p_type"] == "PT_DYNAMIC")
    assert (place["p_vaddr"], place["p_offset"]) == (dynamic["sh_addr"], dynamic["sh_offset"])


def section_of(file: ELFFile, name: str) -> Any:  # noqa: ANN401 -- untyped
    """Find a section that has to be there."""
    section = file.get_section_by_name(name)
    assert section is not None
    return section


def p_end(segment: Any) -> int:  # noqa: ANN401 -- untyped
    """Give the file offset behind a segment."""
    return int(segment["p_offset"] + segment["p_filesz"])


@pytest.mark.parametrize("case", [*NATIVE, *CROSS], ids=lambda case: case.name)
def test_section_headers_stay_true(case: Case, tmp_path: Path) -> None:
    """By name each section has its old bytes, in its segment, where the loader's entries point.

    However path and interpreter grow, there is one more PT_LOAD at most.
    """
    missing = case.missing()
    if missing is not None:
        pytest.skip(f"no {missing} on this machine")
    for original in case.build(tmp_path / "built"):
        path = Path(shutil.copy(original, tmp_path))
        facts = read_elf(path)
        assert facts is not None
        for count in (1, 5, 20):
            interpreter = facts.interpreter and "/nix/store/" + "x" * 40 * count + "/ld.so"
            edit(path, search_path=("$ORIGIN", *LONG * count), interpreter=interpreter)
            hold_together(original.read_bytes(), path.read_bytes())
        loads = [len(segments_of(file, elf.PT_LOAD)) for file in (original, path)]
        assert loads[1] <= loads[0] + 1
        edit(path, add_needed=tuple(f"libmore-{number}.so" for number in range(30)))
        hold_together(original.read_bytes(), path.read_bytes())


@pytest.mark.parametrize(
    "target", [name for name, machine in TARGETS.items() if machine.number not in {8, 20}]
)
def test_section_headers_of_every_machine(files: ElfBuilder, tmp_path: Path, target: str) -> None:
    """The same for what zig makes: loongarch64 has no compiler here, and is only read."""
    source = "int kept = 3; int demo(void) { return kept; } extern int more(void);"
    source += " int (*table[])(void) = {demo, more};"
    original = files.library(
        source=source, target=target, needed=["libneeded.so.1"], versions="V1 { demo; };"
    )
    path = Path(shutil.copy(original, tmp_path))
    edit(path, search_path=LONG * 3, add_needed=tuple(f"libmore-{n}.so" for n in range(12)))
    hold_together(original.read_bytes(), path.read_bytes())
    assert needed(path)[0] == "libneeded.so.1"


# Dynamic entries ------------------------------------------------------------------


@pytest.mark.parametrize("linker", ["bfd", "gold", "mold"])
def test_spare_entries_are_used_before_the_section_moves(
    files: ElfBuilder, tmp_path: Path, linker: str
) -> None:
    """Entries that the linker left are filled first; then the section moves, with eight more."""
    library = files.library(
        source="int demo(void) { return 42; }", libc=True, flags=[f"-fuse-ld={linker}"]
    )
    path = Path(shutil.copy(library, tmp_path))
    place = segments_of(path, elf.PT_DYNAMIC)
    poker = Poker(path.read_bytes())
    section = poker.sections[".dynamic"]
    table = bytes(poker.data[section.offset : section.offset + section.size])
    tags = [tag for tag, _ in poker.layout.dyn.iter_unpack(table)]
    spare = len(tags) - tags.index(elf.DT_NULL) - 1
    assert spare > 0
    # A hint for the loader gives way before the section does.
    hints = tags.count(elf.DT_RELACOUNT)
    names = [f"libmore-{number}.so" for number in range(spare + hints + 10)]
    for number, name in enumerate(names[: spare + hints]):
        result = edit(path, add_needed=(name,))
        assert segments_of(path, elf.PT_DYNAMIC) == place, number
        assert not result.notes
    edit(path, add_needed=(names[spare + hints],))
    moved = segments_of(path, elf.PT_DYNAMIC)
    assert moved != place
    assert moved[0].flags & elf.PF_W
    for name in names[spare + hints + 1 : spare + hints + 9]:
        edit(path, add_needed=(name,))
    assert segments_of(path, elf.PT_DYNAMIC) == moved
    assert set(names[: spare + hints + 9]) <= set(needed(path))


# Strings --------------------------------------------------------------------------

KEPT = "a_name_that_is_used_again"


def shared(files: ElfBuilder, user: str) -> Path:
    """Link a library whose search path is a string that something else uses as well."""
    source = "int demo(void) { return 42; }"
    more: dict[str, Any] = {}
    if user == "symbol":
        source = f"int {KEPT}(void) {{ return 42; }}"
    elif user == "end of a symbol":
        source = f"int more_of_{KEPT}(void) {{ return 42; }}"
    elif user == "soname":
        more["soname"] = KEPT
    elif user == "needed":
        more["needed"] = [KEPT]
    elif user == "version":
        more["versions"] = f"{KEPT} {{ demo; }};"
    else:
        base = files.library(KEPT, source="int base(void) { return 1; }", soname=KEPT,
                             versions="V1 { base; };")  # fmt: skip
        source += " extern int base(void); int uses(void) { return base(); }"
        more["needs"] = [base]
    return files.library(source=source, runpath=KEPT, **more)


def users(path: Path) -> str:
    """Let readelf list all names that come from the dynamic string table, the path left out."""
    said = run(["readelf", "-dVW", "--dyn-syms", str(path)])
    return "\n".join(
        line.partition(")")[2] if "(" in line else line.split(":", 1)[-1]
        for line in said.splitlines()
        if KEPT in line and "PATH" not in line
    )


@pytest.mark.parametrize(
    "user", ["symbol", "end of a symbol", "soname", "needed", "version", "version's file"]
)
def test_a_string_that_another_entry_uses_is_kept(
    files: ElfBuilder, tmp_path: Path, user: str
) -> None:
    """The linker gave both one string; the path goes, the name stays, whoever it belongs to."""
    library = shared(files, user)
    path = Path(shutil.copy(library, tmp_path))
    before = users(path)
    assert before
    for new in (("short",), LONG, (), ("x" * 24,), LONG * 4):
        edit(path, search_path=new)
        assert users(path) == before, new


def test_a_string_that_nobody_uses_is_gone(files: ElfBuilder, tmp_path: Path) -> None:
    """Nix would take the path of an earlier edit for a reference: its bytes become zero."""
    library = files.library(source="int demo(void) { return 42; }", runpath="/the/old/path")
    path = Path(shutil.copy(library, tmp_path))
    edit(path, search_path=("/another/path/that/is/longer",))
    assert b"/the/old/path" not in path.read_bytes()
    edit(path, search_path=("/short",), add_needed=("libadded.so.1",))
    assert b"/another/path" not in path.read_bytes()
    edit(path, replace_needed=(("libadded.so.1", "libother.so.1"),))
    assert b"libadded" not in path.read_bytes()


def test_strings_are_shared_where_the_format_allows_it(files: ElfBuilder, tmp_path: Path) -> None:
    """A needed name that is the end of another string takes no byte."""
    library = files.library(
        source="int demo(void) { return 42; }", needed=["libdemo-base.so.1"], libc=True
    )
    path = Path(shutil.copy(library, tmp_path))
    size = Poker(path.read_bytes()).sections[".dynstr"].size
    edit(path, replace_needed=(("libdemo-base.so.1", "base.so.1"),), add_needed=("c.so.6",))
    assert needed(path) == ["base.so.1", "libc.so.6", "c.so.6"]
    after = Poker(path.read_bytes()).sections[".dynstr"]
    assert after.size == size


def test_the_bytes_of_a_path_are_never_shared(files: ElfBuilder, tmp_path: Path) -> None:
    """Patchelf writes over an old path: a needed name inside it would be lost."""
    path = Path(shutil.copy(files.library(source="int demo(void) { return 42; }"), tmp_path))
    edit(path, search_path=("/a/folder/libfoo.so.1",))
    edit(path, add_needed=("libfoo.so.1",))
    subprocess.run(
        [host.patchelf(), "--set-rpath", ":".join(LONG * 2), str(path)],
        check=True, capture_output=True,
    )  # fmt: skip
    assert needed(path) == ["libfoo.so.1"]
    subprocess.run([host.patchelf(), "--remove-rpath", str(path)], check=True)
    assert needed(path) == ["libfoo.so.1"]

"""Edited files, held against the loader and the kernel of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.elf import ElfBuilder

from nix_manylinux.base.errors import EditFailed, NixManylinuxError
from nix_manylinux.elf.edit.edit import Edited, edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf

#: About 290 bytes, as a wheel with five dependencies gets.
LONG = tuple(f"/nix/store/{i:032d}-package-{i}-1.2.3/lib" for i in range(5))

SOURCE = """
#include <stdio.h>
__thread int counter = 7;
static int chosen(void) { return 35; }
static int (*resolve(void))(void) { return chosen; }
int indirect(void) __attribute__((ifunc("resolve")));
const char *names[] = {"a", "b", "c"};
int demo(void) { return indirect() + counter + (names[1][0] == 'b' ? 0 : 1); }
"""
MAIN = """
#include <stdio.h>
#include <string.h>
extern int demo(void);
int main(int argc, char **argv) { printf("%d %s\\n", demo(), strrchr(argv[0], '/')); return 0; }
"""


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory) -> ElfBuilder:
    """Build each file once for all tests."""
    return ElfBuilder(tmp_path_factory.mktemp("elf"))


def copied(original: Path, folder: Path, name: str | None = None) -> Path:
    """Take a copy that a test may change."""
    return Path(shutil.copy(original, folder / (name or original.name)))


def opens(library: Path) -> str:
    """Open a library with every symbol bound and call demo() in it; return what it gave."""
    code = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1], mode=2).demo())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(library)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or done.stderr


def edited(path: Path, **changes: object) -> Edited:
    """Edit a file, and hold what the reader then sees against what was asked for."""
    edit = ElfEdit(**changes)  # type: ignore[arg-type]
    result = edit_file(str(path), edit)
    facts = read_elf(path)
    assert facts is not None
    if edit.search_path is not None:
        wanted = ":".join(edit.search_path) or None
        assert (facts.rpath, facts.runpath) == (
            (wanted, None) if edit.inherited else (None, wanted)
        )
    if edit.interpreter is not None:
        assert facts.interpreter == edit.interpreter
    if edit.soname is not None:
        assert facts.soname == edit.soname
    assert result.size_after == os.path.getsize(path)
    return result


def test_a_library_with_a_long_search_path_still_loads(builder: ElfBuilder, tmp_path: Path) -> None:
    """IFUNC, TLS and relocations work after the string table has grown."""
    path = copied(builder.library(source=SOURCE, libc=True), tmp_path)
    result = edited(path, search_path=("$ORIGIN", *LONG))
    assert result.how == "in place"
    assert opens(path) == "42"


@pytest.mark.parametrize(
    "flags", [(), ("-no-pie",), ("-static-pie",)], ids=["pie", "exec", "static"]
)
def test_a_program_starts_after_its_interpreter_was_set(
    builder: ElfBuilder, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    """The kernel finds the new, longer PT_INTERP; a static program is refused."""
    library = builder.library(source=SOURCE, libc=True, soname="libdemo.so")
    source = MAIN if "-static-pie" not in flags else "int main(void) { return 0; }"
    needs = () if "-static-pie" in flags else (library,)
    path = copied(builder.program(source=source, needs=needs, flags=flags), tmp_path)
    link = tmp_path / ("a-long-folder-name-" * 6) / "ld.so"
    link.parent.mkdir()
    if "-static-pie" in flags:
        with pytest.raises(EditFailed):
            edit_file(str(path), ElfEdit(interpreter=str(link)))
        return
    facts = read_elf(path)
    assert facts is not None
    assert facts.interpreter is not None
    link.symlink_to(facts.interpreter)
    edited(path, interpreter=str(link), search_path=(str(library.parent), *LONG), inherited=True)
    done = subprocess.run([str(path)], capture_output=True, text=True, check=False)
    assert done.stdout == f"42 /{path.name}\n", done.stderr


def test_an_edit_that_changes_nothing_writes_nothing(builder: ElfBuilder, tmp_path: Path) -> None:
    """Idempotence: the second of two equal edits leaves size, time and bytes alone."""
    path = copied(builder.library(source=SOURCE, libc=True), tmp_path)
    first = edited(path, search_path=LONG, add_needed=("libm.so.6",), clear_executable_stack=True)
    os.utime(path, ns=(1, 1))
    before = path.read_bytes()
    again = edited(path, search_path=LONG, add_needed=("libm.so.6",), clear_executable_stack=True)
    assert first.how == "in place"
    assert again.how == "unchanged"
    assert path.stat().st_mtime_ns == 1
    assert path.read_bytes() == before


def test_undo_gives_the_file_back(builder: ElfBuilder, tmp_path: Path) -> None:
    """Bytes, length and times are what they were."""
    path = copied(builder.library(source=SOURCE, libc=True), tmp_path)
    os.utime(path, ns=(5, 6))
    before = path.read_bytes()
    result = edited(path, search_path=LONG, inherited=True, add_needed=("libabsent.so",))
    assert path.read_bytes() != before
    result.undo()
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == 6


def test_a_needed_name_is_replaced_in_the_versions_too(builder: ElfBuilder, tmp_path: Path) -> None:
    """A process aborts (glibc) when DT_VERNEED names a library that DT_NEEDED does not."""
    path = copied(
        builder.library(
            source='#include <stdio.h>\nint demo(void) { return puts("x"); }', libc=True
        ),
        tmp_path,
    )
    edited(path, replace_needed=(("libc.so.6", "libquite-another-name.so.6"),))
    facts = read_elf(path)
    assert facts is not None
    assert facts.needed == ("libquite-another-name.so.6",)
    assert {need.library for need in facts.needs} == {"libquite-another-name.so.6"}
    (tmp_path / "libquite-another-name.so.6").symlink_to("/lib/x86_64-linux-gnu/libc.so.6")
    edited(path, search_path=("$ORIGIN",))
    assert "version" not in opens(path)


def test_a_hundred_edits_leave_one_more_segment(builder: ElfBuilder, tmp_path: Path) -> None:
    """A later edit takes the place of the earlier one."""
    path = copied(builder.library(source=SOURCE, libc=True), tmp_path)
    before = path.read_bytes()
    for turn in range(100):
        count = 1 + turn % 7
        edited(path, search_path=(f"/turn/{turn}", *LONG[:count]), inherited=turn % 3 == 0)
    phnum = slice(56, 58)
    after = path.read_bytes()
    assert int.from_bytes(after[phnum], "little") <= int.from_bytes(before[phnum], "little") + 1
    assert len(after) <= len(before) + 8192
    assert b"/turn/98" not in after  # Nix would take an old path for a reference
    assert opens(path) == "42"


@pytest.mark.parametrize("size", [0, 3, 16, 63, 64, 100, 500, 900])
def test_a_file_that_was_cut_short_is_refused(
    builder: ElfBuilder, tmp_path: Path, size: int
) -> None:
    """One error type, and the file stays what it was."""
    path = tmp_path / "cut.so"
    path.write_bytes(builder.library(source=SOURCE, libc=True).read_bytes()[:size])
    with pytest.raises(NixManylinuxError):
        edit_file(str(path), ElfEdit(search_path=LONG))
    assert path.stat().st_size == size


def test_errors_name_the_file(tmp_path: Path) -> None:
    """The label is what a report calls the file."""
    path = tmp_path / "text"
    path.write_bytes(b"no ELF file" * 9)
    with pytest.raises(NixManylinuxError, match=r"demo/x\.so: "):
        edit_file(str(path), ElfEdit(search_path=LONG), label="demo/x.so")


@pytest.mark.parametrize("soname", ["libdemo.so.1", None], ids=["another", "none before"])
@pytest.mark.parametrize("new", ["d.so", "libdemo-1a2b3c4d.so.1.2.3"])
def test_a_library_under_another_soname(
    builder: ElfBuilder, tmp_path: Path, soname: str | None, new: str
) -> None:
    """Its users, versions and all, find it by that alone; the old name is nowhere but in versions.

    The base version of DT_VERDEF is the old soname still: no loader compares it.
    """
    versions = "DEMO_1 { global: demo; local: *; };"
    library = builder.library(soname=soname, versions=versions)
    (tmp_path / "in").mkdir()
    path = Path(shutil.copy(library, tmp_path / "in" / new))
    program = copied(builder.program(source=MAIN, needs=[library]), tmp_path)
    before = read_elf(program)
    assert before is not None
    old = next(name for name in before.needed if "demo" in name)
    edited(path, soname=new)
    assert edited(path, soname=new).how == "unchanged"
    edited(program, replace_needed=((old, new),), search_path=("$ORIGIN/in",))
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("42 "), done.stderr
    listed = subprocess.run(["readelf", "-dVW", str(path)], capture_output=True, check=True)
    assert not listed.stderr
    assert f"soname: [{new}]".encode() in listed.stdout


def test_a_needed_name_that_nothing_is_wanted_from_goes(
    builder: ElfBuilder, tmp_path: Path
) -> None:
    """It loads without; where a version is wanted, glibc would abort, and the edit is refused."""
    path = copied(builder.library(source=SOURCE, libc=True, needed=["libabsent.so.1"]), tmp_path)
    assert "libabsent" in opens(path)
    edited(path, remove_needed=("libabsent.so.1", "libneverthere.so"))
    assert opens(path) == "42"
    assert b"libabsent" not in path.read_bytes()
    before = path.read_bytes()
    facts = read_elf(path)
    assert facts is not None
    assert "libc.so.6" in {need.library for need in facts.needs}
    with pytest.raises(EditFailed, match=r"symbol versions of libc\.so\.6 are wanted"):
        edit_file(str(path), ElfEdit(remove_needed=("libc.so.6",)))
    assert path.read_bytes() == before


def test_filters_are_renamed_with_what_is_needed(builder: ElfBuilder, tmp_path: Path) -> None:
    """DT_FILTER and DT_AUXILIARY name libraries that are looked for, as DT_NEEDED does."""
    flags = ["-Wl,-F,libfiltee.so.1", "-Wl,-f,libextra.so.1"]
    path = copied(builder.library(flags=flags), tmp_path)
    edited(path, replace_needed=(("libfiltee.so.1", "libf-1.so"), ("libextra.so.1", "libe-1.so")))
    facts = read_elf(path)
    assert facts is not None
    assert (facts.filters, facts.auxiliary) == (("libf-1.so",), ("libe-1.so",))


@pytest.mark.parametrize("field", ["soname", "remove_needed"])
def test_names_that_no_table_can_hold_are_refused(
    builder: ElfBuilder, tmp_path: Path, field: str
) -> None:
    """A NUL would end the name early."""
    path = copied(builder.library(), tmp_path)
    with pytest.raises(EditFailed, match="NUL"):
        edited(path, **{field: "a\0b" if field == "soname" else ("a\0b",)})

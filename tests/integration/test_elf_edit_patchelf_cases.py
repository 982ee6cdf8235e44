"""What patchelf's own test suite asks of an editor, asked of ours.

Its cases by the names of their files (NixOS/patchelf, tests/*.sh, July 2026),
and where ours are; those without a module are in this one:

| patchelf's case | ours |
|---|---|
| add-rpath, set-rpath, set-rpath-library, no-rpath | test_elf_edit_machines: edited files run |
| force-rpath | test_the_tag_of_a_path_is_the_one_asked_for |
| set-empty-rpath | test_an_empty_path_is_none |
| grow-file, short-first-segment | test_paths_of_pages |
| big-dynstr | test_a_string_table_of_pages |
| shared-rpath | test_a_path_that_is_a_symbols_name_too |
| set-rpath-library (its overaligned library) | test_alignment_is_kept |
| overlapping-segments-after-rounding | test_segments_share_no_page |
| set-interpreter-short, -long, -same | test_interpreters |
| contiguous-note-sections, empty-note | test_notes_of_any_kind |
| build-id | test_notes_of_any_kind; test_elf_edit_tools (cores) |
| no-gnu-hash | test_a_table_without_a_section_stays |
| too-many-strtab | test_a_second_section_name_table |
| phdr-corruption | test_a_linker_scripts_headers |
| pht-collision | test_a_header_table_between_data |
| preserve-init | test_an_init_function_by_name |
| plain-needed, replace-needed | test_needed_names |
| replace-add-needed | test_absolute_needed_names |
| repeated-updates | test_a_hundred_updates; test_elf_edit: 100 edits |
| large-page-dynamic | test_large_pages_and_a_moved_dynamic_section |
| modify-execstack, print-execstack | test_elf_edit_rules: test_an_executable_stack_is_cleared |
| endianness, no-rpath-ARCH | test_elf_edit_machines (s390x runs); test_elf_edit_properties |
| no-rpath-ARCH of other machines, no-rpath-pie-powerpc | test_machines_that_have_no_wheels |
| set-rpath-rel-map, remove-rld-map-rel | test_machines_that_have_no_wheels (MIPS) |
| property-rewrite | test_any_layout_survives_any_edits |
| invalid-elf | test_damaged_fields; tests/fuzz |
| no-dynamic-section | test_debug_files_are_refused |

Not ours, since we have no such edit: --shrink-rpath, --set-soname, --add-debug-tag,
--set-execstack, --rename-dynamic-symbols, --set-os-abi, --remove-needed, --output,
arguments from files, --build-resolution-cache.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import ElfBuilder, Poker, run, sections_of
from tests.support.elf_matrix import NATIVE, OUTPUT

from nix_manylinux.base.errors import EditFailed, NixManylinuxError
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.edit.edit import Edited, edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.elf_matrix import Case

LONG = tuple(f"/nix/store/{i:032d}-package-{i}-1.2.3/lib" for i in range(5))
LINKERS = ("bfd", "gold", "lld", "mold")
HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'
DEMO = "int demo(void) { return 42; }\n"
USES_DEMO = "extern int demo(void);\nint main(void) { return demo() != 42; }\n"


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> ElfBuilder:
    """Build each file once for all tests."""
    return ElfBuilder(tmp_path_factory.mktemp("cases"))


def copied(original: Path, folder: Path) -> Path:
    """Take a copy that a test may change."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(original, folder))


def edit(path: Path, **changes: object) -> Edited:
    """Edit with our own writer, and hold what is read back against what was asked."""
    wanted = ElfEdit(**changes)  # type: ignore[arg-type]
    result = edit_file(str(path), wanted)
    assert result.how != "patchelf", result.notes
    facts = read_elf(path)
    assert facts is not None
    if wanted.search_path is not None:
        assert facts.search_path == tuple(filter(None, wanted.search_path))
    if wanted.interpreter is not None:
        assert facts.interpreter == wanted.interpreter
    return result


def started(*command: str | Path) -> str:
    """Run a program, every symbol bound, and return its output, or how it ended."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            check=False,
            env={"LD_BIND_NOW": "1"},
        )
    except OSError as error:
        return type(error).__name__
    return done.stdout if done.returncode == 0 else f"exit {done.returncode}: {done.stderr}"


def listed(path: Path, option: str) -> str:
    """Let readelf tell, which must not complain."""
    done = subprocess.run(
        ["readelf", option, "-W", str(path)], capture_output=True, text=True, check=True
    )
    assert not done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["-pie", "-no-pie"])
def test_interpreters(files: ElfBuilder, tmp_path: Path, kind: str) -> None:
    """A long one, a short one and the same one: the kernel, and the loader by its name, obey."""
    path = copied(files.program(source=HELLO, flags=[kind]), tmp_path)
    facts = read_elf(path)
    assert facts is not None
    own = facts.interpreter
    assert own is not None
    before = path.read_bytes()
    assert edit(path, interpreter=own).how == "unchanged"
    assert path.read_bytes() == before
    long = str(tmp_path / ("i" * 90))
    edit(path, interpreter=long)
    assert started(path) == "FileNotFoundError"
    os.symlink(own, long)
    assert started(path) == "hello\n"
    assert started(own, path) == "hello\n"
    edit(path, interpreter="/oops")
    assert started(path) == "FileNotFoundError"
    assert started(own, path) == "hello\n"
    edit(path, interpreter=own)
    assert started(path) == "hello\n"


def test_the_tag_of_a_path_is_the_one_asked_for(files: ElfBuilder, tmp_path: Path) -> None:
    """Back and forth between DT_RPATH, DT_RUNPATH and none, readelf sees one of them at most."""
    path = copied(files.library(source=DEMO, flags=["-Wl,--enable-new-dtags"]), tmp_path)
    for name, inherited, tag in (
        ("", False, None), ("foo", False, "RUNPATH"), ("foo", True, "RPATH"),
        ("bar", True, "RPATH"), ("", True, None), ("foo", True, "RPATH"),
        ("foo", False, "RUNPATH"), ("bar", False, "RUNPATH"),
    ):  # fmt: skip
        edit(path, search_path=(name,) if name else (), inherited=inherited)
        found = re.findall(r"\((RPATH|RUNPATH)\).*\[(.*)\]", listed(path, "-d"))
        assert found == ([(tag, name)] if tag else [])


@pytest.mark.parametrize("path", [(), ("",)], ids=["no entry", "one empty entry"])
def test_an_empty_path_is_none(files: ElfBuilder, tmp_path: Path, path: tuple[str, ...]) -> None:
    """Nothing to search is no tag at all, and nothing to do where there was none."""
    bare = copied(files.program(source=HELLO), tmp_path / "bare")
    assert edit(bare, search_path=path, inherited=True).how == "unchanged"
    told = copied(files.program(source=HELLO, rpath="/somewhere"), tmp_path / "told")
    assert edit(told, search_path=path, inherited=True).how == "in place"
    assert "PATH" not in listed(told, "-d")
    assert b"/somewhere" not in told.read_bytes()
    assert started(bare) == started(told) == "hello\n"


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("kind", ["-pie", "-no-pie"])
def test_paths_of_pages(files: ElfBuilder, tmp_path: Path, kind: str, linker: str) -> None:
    """A path of 4,096 bytes, twice as much, then a needed name: each time the program runs."""
    flags = [kind, f"-fuse-ld={linker}", "-Wl,-z,separate-code" if linker != "gold" else "-O0"]
    path = copied(files.program(source=HELLO, flags=flags), tmp_path)
    for changes in (
        {"search_path": ("=" * 4096,)},
        {"search_path": ("=" * 8193,)},
        {"add_needed": ("libm.so.6",)},
        {"search_path": ()},
    ):
        edit(path, **changes)
        assert started(path) == "hello\n"


@pytest.mark.parametrize("kind", ["-pie", "-no-pie"])
def test_a_string_table_of_pages(files: ElfBuilder, tmp_path: Path, kind: str) -> None:
    """A program that exports 5,000 functions finds two libraries in two folders."""
    functions = "".join(f"void a_function_that_is_{i}(void) {{}}\n" for i in range(5000))
    one = files.library("libone.so", source=DEMO, soname="libone.so")
    two = files.library("libtwo.so", source="int two(void) { return 2; }", soname="libtwo.so")
    source = f"{functions}extern int demo(void), two(void);\n"
    source += "int main(void) { return demo() + two() - 44; }\n"
    program = files.program(source=source, needs=[one, two], flags=[kind, "-rdynamic"])
    path = copied(program, tmp_path)
    edit(path, search_path=("/oops", str(one.parent), str(two.parent)), inherited=True)
    assert sections_of(path.read_bytes())[".dynstr"].size > 100_000
    assert started(path) == ""


@pytest.mark.parametrize("linker", LINKERS)
def test_a_path_that_is_a_symbols_name_too(files: ElfBuilder, tmp_path: Path, linker: str) -> None:
    """Where the linker stores equal strings once, the symbol keeps its name, and the path goes."""
    library = files.library(
        source="int a_symbol_name = 42; int demo(void) { return a_symbol_name; }",
        runpath="a_symbol_name",
        flags=[f"-fuse-ld={linker}"],
    )
    # ld.bfd and gold store equal strings once, lld and mold each by itself.
    shared = linker in {"bfd", "gold"}
    count = library.read_bytes().count(b"a_symbol_name\0") - (0 if shared else 1)
    for new in ("a/path/that/is/longer/than/the/old/one", "short"):
        path = copied(library, tmp_path / new.replace("/", "-"))
        edit(path, search_path=(new,))
        assert " a_symbol_name" in run(["nm", "-D", str(path)])
        assert path.read_bytes().count(b"a_symbol_name\0") == count
        edit(path, search_path=("a/last/one/that/is/longest/of/all/of/them/by/far",))
        assert f"\0{new}\0".encode() not in path.read_bytes()
        assert " a_symbol_name" in run(["nm", "-D", str(path)])


ALIGNED = """
#include <stdint.h>
#include <stdio.h>
static char data[64] __attribute__((aligned(SIZE))) = {1};
int main(void) { printf("%d\\n", (int)((uintptr_t)data % SIZE)); return 0; }
"""


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("size", [0x10000, 0x200000])
def test_alignment_is_kept(files: ElfBuilder, tmp_path: Path, size: int, linker: str) -> None:
    """What asks for more than a page has it after the edit, if the loader gave it before."""
    flags = [f"-fuse-ld={linker}", f"-Wl,-z,max-page-size={size}", f"-DSIZE={size}", "-pie"]
    program = files.program(source=ALIGNED, flags=flags)
    path = copied(program, tmp_path)
    edit(path, search_path=LONG, interpreter="/lib64" + "/." * 60 + "/ld-linux-x86-64.so.2")
    assert started(path) == started(program) == "0\n"
    for segment in Poker(path.read_bytes()).segments():
        if segment.type == elf.PT_LOAD:
            assert (segment.vaddr - segment.offset) % segment.align == 0
    assert path.stat().st_size - program.stat().st_size < 8192


@pytest.mark.parametrize("linker", LINKERS)
def test_segments_share_no_page(files: ElfBuilder, tmp_path: Path, linker: str) -> None:
    """Segments that are no pages apart in the file stay so in memory, after two edits."""
    source = HELLO.replace("puts", "static char zeros[99999]; zeros[7] = 1; puts")
    flags = ["-no-pie", f"-fuse-ld={linker}", "-Wl,-z,noseparate-code"]
    if linker in {"gold", "mold"}:
        flags.pop()
    path = copied(files.program(source=source, rpath="/x" * 30, flags=flags), tmp_path)
    edit(path, search_path=(), inherited=True)
    edit(path, search_path=LONG, inherited=True)
    loads = [s for s in Poker(path.read_bytes()).segments() if s.type == elf.PT_LOAD]
    pages = [set(range(s.vaddr >> 12, (s.vaddr + s.memsz + 4095) >> 12)) for s in loads]
    assert len(set.union(*pages)) == sum(map(len, pages))
    assert started(path) == "hello\n"


NOTES = """
.section ".note.first", "a", %note
.balign 4
.long 6, 4, 1
.asciz "first"
.balign 4
.long 7
.section ".note.second", "a", %note
.balign 8
.long 7, 8, 2
.asciz "second"
.balign 8
.quad 9
.section ".note.empty", "a", %note
.section .note.GNU-stack, "", %progbits
"""


@pytest.mark.parametrize("linker", LINKERS)
def test_notes_of_any_kind(files: ElfBuilder, tmp_path: Path, linker: str) -> None:
    """Notes of two alignments side by side, an empty one, a build-id: all read as before."""
    assembly = tmp_path / "notes.s"
    assembly.write_text(NOTES)
    flags = [f"-fuse-ld={linker}", "-Wl,--build-id=sha1", str(assembly)]
    program = files.program(source=HELLO, flags=flags)
    path = copied(program, tmp_path)
    edit(path, search_path=LONG * 5, interpreter="/lib64" + "/." * 60 + "/ld-linux-x86-64.so.2")
    assert notes(path) == notes(program)
    assert any("Build ID" in line for line in notes(path))
    assert started(path) == "hello\n"


def notes(path: Path) -> list[str]:
    """List what readelf tells of a file's notes; of gold's, of two alignments, it complains."""
    done = subprocess.run(
        ["readelf", "-nW", str(path)], capture_output=True, text=True, check=False
    )
    lines = (done.stdout + done.stderr).replace(str(path), "FILE").splitlines()
    return sorted(line for line in lines if line.startswith(("  ", "readelf")))


@pytest.mark.parametrize("tool", ["strip", "llvm-objcopy"])
@pytest.mark.parametrize("section", [".gnu.hash", ".gnu.version"])
@pytest.mark.parametrize("linker", LINKERS)
def test_a_table_without_a_section_stays(
    files: ElfBuilder, tmp_path: Path, linker: str, section: str, tool: str
) -> None:
    """What a dynamic entry points at is no free room, though its section header is gone.

    Both tools write zero bytes where the section was, and the loader reads them.
    """
    flags = [f"-fuse-ld={linker}", "-no-pie", "-rdynamic", "-Wl,--build-id=none"]
    flags += ["-Wl,--hash-style=gnu"]
    path = copied(files.program(source=HELLO, flags=flags), tmp_path)
    run([tool, "-w", f"--remove-section={section}", str(path)])
    assert section not in sections_of(path.read_bytes())
    before = started(path)
    assert before == "hello\n"
    for changes in (
        {"search_path": LONG},
        {"interpreter": "/lib64" + "/." * 60 + "/ld-linux-x86-64.so.2"},
        {"search_path": LONG * 9},
    ):
        edit(path, **changes)
        assert started(path) == before


def test_bytes_of_nobody_are_not_written_over(files: ElfBuilder, tmp_path: Path) -> None:
    """What is behind the program headers and in no section may be somebody's all the same."""
    library = files.library(source=DEMO, flags=["-Wl,--build-id=none", "-Wl,--hash-style=gnu"])
    poker = Poker(library.read_bytes())
    victim = poker.sections[".gnu.hash"]
    mark = b"somebody's own".ljust(victim.size, b"!")[: victim.size]
    # The table's own entry goes too: nothing tells of these bytes any longer.
    poker.data[victim.offset : victim.offset + victim.size] = mark
    poker.dynamic(elf.DT_GNU_HASH, 0, new_tag=elf.DT_DEBUG)
    header = poker.layout.shdr
    row = list(header.unpack_from(poker.data, victim.header))
    row[1:6] = [0, 0, 0, 0, 0]
    header.pack_into(poker.data, victim.header, *row)
    path = tmp_path / "libdemo.so"
    path.write_bytes(poker.data)
    edit(path, search_path=LONG)
    assert path.read_bytes()[victim.offset : victim.offset + victim.size] == mark


def test_a_second_section_name_table(files: ElfBuilder, tmp_path: Path) -> None:
    """A second section of the name .shstrtab confuses nobody, in two edits."""
    assembly = tmp_path / "more.s"
    assembly.write_text(
        '.section ".shstrtab", "", %3\n.byte 0\n.section .note.GNU-stack, "", %progbits\n'
    )
    path = copied(files.library(source=DEMO, flags=[str(assembly)]), tmp_path)
    edit(path, search_path=("$ORIGIN",))
    edit(path, search_path=("$ORIGIN", *LONG))
    assert edit(path, search_path=("$ORIGIN", *LONG)).how == "unchanged"
    listed(path, "-a")
    assert opened(path) == "42"


def opened(path: Path) -> str:
    """Open a library with every symbol bound, and call demo() in it."""
    code = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1], mode=2).demo())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or done.stderr


HEADERS = """
PHDRS {
  table PT_PHDR PHDRS; first PT_LOAD FILEHDR PHDRS; data PT_LOAD FLAGS(6); dynamic PT_DYNAMIC;
  stack PT_GNU_STACK FLAGS(6);
}
SECTIONS {
  . = SIZEOF_HEADERS + GAP;
  .hash : { *(.hash) } :first
  .gnu.hash : { *(.gnu.hash) } :first
  .dynsym : { *(.dynsym) } :first
  .dynstr : { *(.dynstr) } :first
  .rela.dyn : { *(.rela.*) } :first
  .text : { *(.text*) } :first
  .eh_frame : { *(.eh_frame) } :first
  . = ALIGN(0x1000);
  .dynamic : { *(.dynamic) } :data :dynamic
  .data : { *(.data*) } :data
}
"""


@pytest.mark.parametrize("gap", [0, 0x1000])
def test_a_linker_scripts_headers(files: ElfBuilder, tmp_path: Path, gap: int) -> None:
    """Headers and tables in one segment with the code, with room behind them and without."""
    script = tmp_path / "layout.ld"
    script.write_text(HEADERS.replace("GAP", str(gap)))
    flags = [f"-Wl,-T,{script}", "-fuse-ld=bfd", "-Wl,--build-id=none", "-Wl,-z,norelro"]
    library = files.library(source="int kept = 42;\n" + DEMO, flags=flags)
    path = copied(library, tmp_path)
    assert opened(path) == "42"
    edit(path, search_path=LONG)
    assert opened(path) == "42"
    said = listed(path, "-l")
    assert said.count("PHDR  ") == 1
    edit(path, search_path=LONG * 9, add_needed=("libm.so.6",))
    assert opened(path) == "42"


COLLISION = """
__attribute__((section(".pht"), used, aligned(16))) const char room[1024] = {0};
__attribute__((section(".beside"), used, aligned(1))) const char beside[16] = "zzzzzzzzzzzzzzz";
const char *demo_text(void) { return beside; }
int demo(void) { return beside[3] == 'z' ? 42 : 0; }
"""


def test_a_header_table_between_data(files: ElfBuilder, tmp_path: Path) -> None:
    """A program header table that ends where data begins never grows over it."""
    script = tmp_path / "order.ld"
    script.write_text(
        "SECTIONS { .pht : { *(.pht) } .beside : { *(.beside) } } INSERT BEFORE .dynamic;"
    )
    library = files.library(source=COLLISION, flags=[f"-Wl,-T,{script}", "-fuse-ld=bfd"])
    poker = Poker(library.read_bytes())
    header = poker.layout.header(bytes(poker.data))
    size = header.phnum * header.phentsize
    table = poker.data[header.phoff : header.phoff + size]
    place = poker.sections[".beside"].offset - size
    poker.data[place : place + size] = table
    poker.header(phoff=place)
    path = tmp_path / "libdemo.so"
    path.write_bytes(poker.data)
    assert opened(path) == "42"
    edit(path, search_path=LONG * 9, add_needed=("libm.so.6",))
    assert b"z" * 15 in path.read_bytes()
    assert opened(path) == "42"


def test_an_init_function_by_name(files: ElfBuilder, tmp_path: Path) -> None:
    """DT_INIT that points into .text, and not at .init, stays where it was."""
    source = "static int ran; void my_init(void) { ran = 42; } int demo(void) { return ran; }"
    path = copied(files.library(source=source, libc=True, flags=["-Wl,-init,my_init"]), tmp_path)
    before = re.findall(r"\(INIT\).*", listed(path, "-d"))
    assert before
    edit(path, search_path=LONG)
    assert re.findall(r"\(INIT\).*", listed(path, "-d")) == before
    assert opened(path) == "42"


def test_needed_names(files: ElfBuilder, tmp_path: Path) -> None:
    """Longer, shorter, a part of another name: and where the string is there, nothing grows."""
    foo = files.library("libfoo.so", source=DEMO, soname="libfoo.so")
    program = files.program(source=USES_DEMO, needs=[foo])
    for new in ("lf.so", "foo.so", "libfoo-of-a-much-longer-name.so.17"):
        path = copied(program, tmp_path / new)
        shutil.copy(foo, tmp_path / new / new)
        shutil.copy(foo, tmp_path / new / "libbar.so")
        before = path.stat().st_size
        edit(path, replace_needed=(("libfoo.so", new),))
        if new == "foo.so":
            assert path.stat().st_size == before
            assert b"\0libfoo.so\0" not in path.read_bytes()
        edit(path, search_path=(str(path.parent),), add_needed=("libbar.so",))
        facts = read_elf(path)
        assert facts is not None
        assert facts.needed == (new, "libc.so.6", "libbar.so")
        assert started(path) == ""


def test_absolute_needed_names(files: ElfBuilder, tmp_path: Path) -> None:
    """Absolute paths for the libc and for libraries, replaced and added in one edit."""
    libc = run(["gcc", "-print-file-name=libc.so.6"]).strip()
    bar = copied(files.library("libbar.so", source=DEMO, soname="libbar.so"), tmp_path)
    foo = copied(files.library("libfoo.so", source=DEMO, soname="libfoo.so"), tmp_path)
    path = copied(files.program(source=USES_DEMO, needs=[bar]), tmp_path)
    edit(
        path,
        replace_needed=(("libc.so.6", libc), ("libbar.so", str(bar))),
        add_needed=(str(foo),),
    )
    facts = read_elf(path)
    assert facts is not None
    assert facts.needed == (str(bar), libc, str(foo))
    assert {need.library for need in facts.needs} == {libc}
    assert started(path) == ""


@pytest.mark.parametrize("case", NATIVE, ids=lambda case: case.name)
def test_a_hundred_updates(case: Case, tmp_path: Path) -> None:
    """A needed name back and forth, a hundred times: one more PT_LOAD at most, and it runs."""
    library, program = (copied(path, tmp_path) for path in case.build(tmp_path / "built"))
    shutil.copy(library, tmp_path / "libdemo-again.so.1")
    edit(program, search_path=(str(tmp_path),))
    before = listed(program, "-l").count("  LOAD  ")
    size = program.stat().st_size
    names = ("libdemo.so", "libdemo-again.so.1")
    for turn in range(100):
        edit(program, replace_needed=((names[turn % 2], names[1 - turn % 2]),))
        if turn % 10 == 3:
            assert case.run(program) == OUTPUT
    assert case.run(program) == OUTPUT
    assert listed(program, "-l").count("  LOAD  ") <= before + 1
    assert program.stat().st_size <= size + 4096


def test_large_pages_and_a_moved_dynamic_section(files: ElfBuilder, tmp_path: Path) -> None:
    """A 32-bit program linked for 2 MiB pages runs when its dynamic section had to move."""
    compiler = "i686-linux-gnu-gcc"
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine")
    flags = ["-no-pie", "-Wl,-z,max-page-size=0x200000"]
    source = HELLO.replace("int main", "char zeros[1 << 24];\nint main")
    path = copied(files.program(source=source, target=compiler, flags=flags), tmp_path)
    names = tuple(f"libmore-{number}.so" for number in range(20))
    for name in names:
        shutil.copy(files.library(name, source="", target=compiler, soname=name), tmp_path)
    moved = edit(path, add_needed=names)
    assert any("RELRO" in note for note in moved.notes)
    edit(path, search_path=(str(tmp_path),))
    root = f"/usr/{compiler.removesuffix('-gcc')}"
    assert started("qemu-i386", "-L", root, path) == "hello\n"


@pytest.mark.parametrize(
    "target",
    ["powerpc-linux-gnueabihf", "mips-linux-gnueabihf", "mips64el-linux-gnuabi64"],
)
def test_machines_that_have_no_wheels(files: ElfBuilder, tmp_path: Path, target: str) -> None:
    """They go to patchelf, which says so; entries that count from their own place are refused.

    DT_MIPS_RLD_MAP_REL is such an entry.
    """
    library = files.library(
        source=DEMO, target=target, needed=["libneeded.so.1"], runpath="/a/first/path"
    )
    path = copied(library, tmp_path)
    result = edit_file(str(path), ElfEdit(search_path=LONG))
    assert result.how == "patchelf"
    assert "e_machine" in result.notes[0]
    facts = read_elf(path)
    assert facts is not None
    assert facts.search_path == LONG
    result.undo()
    assert path.read_bytes() == library.read_bytes()
    if "mips" in target:
        poker = Poker(library.read_bytes())
        poker.dynamic(elf.DT_SYMTAB, poker.dynamic_value(elf.DT_SYMTAB))
        entry = 0x70000035
        last = max(tag for tag, _ in entries(poker) if 0x70000000 <= tag < 0x70000035)
        poker.dynamic(last, 0x40, new_tag=entry)
        path.write_bytes(poker.data)
        before = path.read_bytes()
        with pytest.raises(EditFailed, match="DT_MIPS_RLD_MAP_REL"):
            edit_file(str(path), ElfEdit(search_path=()))
        assert path.read_bytes() == before


def entries(poker: Poker) -> list[tuple[int, int]]:
    """Read the dynamic entries of a file."""
    section = poker.sections[".dynamic"]
    data = bytes(poker.data[section.offset : section.offset + section.size])
    return [(int(tag), int(value)) for tag, value in poker.layout.dyn.iter_unpack(data)]


THROWS = """
#include <cstdio>
#include <stdexcept>
extern "C" int demo();
static const void *table[] = {(void *)demo, (void *)std::puts, table};
int main() {
    try { throw std::runtime_error("hello"); }
    catch (const std::exception &e) { if (table[2] && demo() == 42) std::puts(e.what()); }
}
"""
LAYOUTS = (
    "-Wl,-z,max-page-size=0x1000", "-Wl,-z,max-page-size=0x4000", "-Wl,-z,max-page-size=0x200000",
    "-Wl,-z,separate-code", "-Wl,-z,noseparate-code", "-Wl,-z,relro,-z,now", "-Wl,-z,norelro",
    "-Wl,--hash-style=sysv", "-Wl,--hash-style=gnu", "-Wl,--hash-style=both",
    "-Wl,--build-id=none", "-Wl,--disable-new-dtags", "-Wl,-z,pack-relative-relocs",
    "-fcf-protection=full", "-Wl,-z,execstack", "-s", "-g",
)  # fmt: skip


@pytest.mark.parametrize("flag", LAYOUTS)
def test_any_layout_survives_any_edits(files: ElfBuilder, tmp_path: Path, flag: str) -> None:
    """C++ that throws, laid out in seventeen ways: after each of a row of edits it catches."""
    library = files.library("libdep.so", source=DEMO, soname="libdep.so")
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        copied(library, folder)
        shutil.copy(library, folder / "libanother-name-of-it.so.1")
    source = tmp_path / "throws.cpp"
    source.write_text(THROWS)
    for kind in ("-pie", "-no-pie"):
        path = tmp_path / kind
        command = ["g++", "-O1", flag, kind, "-o", str(path), str(source), str(library)]
        run(command)
        rows: Sequence[dict[str, object]] = (
            {"search_path": (str(folders[0]),)},
            {"search_path": (*LONG, str(folders[0])), "inherited": True},
            {"interpreter": "/lib64" + "/." * 60 + "/ld-linux-x86-64.so.2"},
            {"replace_needed": (("libdep.so", "libanother-name-of-it.so.1"),)},
            {"search_path": (*LONG, *LONG, str(folders[1])), "add_needed": ("libm.so.6",)},
            {"clear_executable_stack": True, "add_needed": ("libdl.so.2", "librt.so.1")},
            {"search_path": (str(folders[1]),), "interpreter": "/lib64/ld-linux-x86-64.so.2"},
        )
        for changes in rows:
            edit(path, **changes)
            assert started(path) == "hello\n", changes
            listed(path, "-a")


def damages(good: bytes) -> dict[str, Poker]:
    """Damage one field at a time, as invalid-elf does."""
    found = {}

    def damaged(name: str) -> Poker:
        found[name] = Poker(good)
        return found[name]

    size = len(good)
    damaged("e_phoff").header(phoff=size - 8)
    damaged("e_phnum").header(phnum=0x3030)
    damaged("p_offset of PT_LOAD").segment(elf.PT_LOAD, offset=1 << 62)
    damaged("DT_NEEDED").dynamic(elf.DT_NEEDED, 1 << 62)
    damaged("DT_STRTAB").dynamic(elf.DT_STRTAB, 1 << 62)
    damaged("DT_VERNEED").dynamic(elf.DT_VERNEED, 1 << 62)
    text = damaged("no NUL behind .dynstr")
    names = text.sections[".dynstr"]
    text.word(".dynstr", names.size - 1, 0x41, size=1)
    damaged("vn_file").word(".gnu.version_r", 4, 0x7FFFFFFF)
    full = damaged("no DT_NULL")
    dynamic = full.sections[".dynamic"]
    for at in range(0, dynamic.size, 8):
        full.word(".dynamic", at, 0x6FFFFFFF, size=8)
    return found


DAMAGES = (
    "DT_NEEDED", "DT_STRTAB", "DT_VERNEED", "e_phnum", "e_phoff", "no DT_NULL",
    "no NUL behind .dynstr", "p_offset of PT_LOAD", "vn_file",
)  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_fields(files: ElfBuilder, tmp_path: Path, name: str) -> None:
    """One wrong field is one kind of error, and the file is what it was."""
    good = files.program(source=HELLO).read_bytes()
    path = tmp_path / "damaged"
    damaged = damages(good)
    assert sorted(damaged) == list(DAMAGES)
    path.write_bytes(damaged[name].data)
    before = path.read_bytes()
    edits = ElfEdit(search_path=LONG, replace_needed=(("libc.so.6", "libx.so"),))
    with pytest.raises(NixManylinuxError):
        edit_file(str(path), edits)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["e_shentsize", "e_shnum", "p_offset of PT_DYNAMIC", "DT_STRSZ"])
def test_fields_that_no_loader_reads(files: ElfBuilder, tmp_path: Path, name: str) -> None:
    """What invalid-elf counts as damage too runs as it is, is edited, and runs then."""
    poker = Poker(files.program(source=HELLO).read_bytes())
    if name == "DT_STRSZ":
        poker.dynamic(elf.DT_STRSZ, 0)
    elif name == "p_offset of PT_DYNAMIC":
        poker.segment(elf.PT_DYNAMIC, offset=1 << 62)
    else:
        poker.header(**{name.removeprefix("e_"): 0x7FFF})
    path = tmp_path / "odd"
    path.write_bytes(poker.data)
    path.chmod(0o700)
    assert started(path) == "hello\n"
    edit_file(str(path), ElfEdit(search_path=LONG))
    assert started(path) == "hello\n"
    facts = read_elf(path)
    assert facts is not None
    assert facts.search_path == LONG


@pytest.mark.parametrize("what", ["e_shstrndx", "sh_name", "names", "no alignment of a note"])
def test_damage_that_is_none_of_ours(files: ElfBuilder, tmp_path: Path, what: str) -> None:
    """Names of sections play no part, and a note without an alignment is valid: all are edited."""
    poker = Poker(files.program(source=HELLO).read_bytes())
    if what == "e_shstrndx":
        poker.header(shstrndx=0xFFF0)
    elif what == "sh_name":
        for section in poker.sections.values():
            poker.data[section.header : section.header + 4] = b"\xff\xff\xff\x7f"
    elif what == "names":
        names = poker.sections[".shstrtab"]
        poker.data[names.offset : names.offset + names.size] = b"A" * names.size
    else:
        at = poker.sections[".note.gnu.build-id"].header + 48
        poker.data[at : at + 8] = bytes(8)
    path = tmp_path / "demo"
    path.write_bytes(poker.data)
    path.chmod(0o755)
    edit(path, search_path=LONG, interpreter="/lib64" + "/." * 60 + "/ld-linux-x86-64.so.2")
    assert started(path) == "hello\n"


def test_debug_files_are_refused(files: ElfBuilder, tmp_path: Path) -> None:
    """What ``objcopy --only-keep-debug`` leaves has headers of bytes that are not there."""
    library = files.library(source=DEMO, flags=["-g"])
    path = tmp_path / "libdemo.debug"
    run(["objcopy", "--only-keep-debug", str(library), str(path)])
    before = path.read_bytes()
    with pytest.raises(NixManylinuxError):
        edit_file(str(path), ElfEdit(search_path=LONG))
    assert path.read_bytes() == before

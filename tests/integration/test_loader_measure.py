"""What the kernel and glibc take every day is taken, planned, patched and loaded; the rest is told.

The kinds were met in real wheels: opencv-python 5.0.0.93 (PT_INTERP of one NUL), a solver's
program (PT_DYNAMIC behind p_filesz, in the same page), a string table of 82 MB.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import ElfBuilder, Poker
from tests.support.wheels import tiny_library

from nix_manylinux.api import check_tree, patch_wheel_tree
from nix_manylinux.base.errors import EditFailed
from nix_manylinux.base.values import replace
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.edit import edit as writer
from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit, ElfKind
from nix_manylinux.elf.image import Image
from nix_manylinux.elf.read import read_elf
from nix_manylinux.elf.source import Source
from nix_manylinux.report.summary import report_json
from nix_manylinux.resolve.plan import Options, Unresolved
from nix_manylinux.target.target import from_running
from nix_manylinux.tree.libraries import LibraryIndex

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nix_manylinux.elf.draft.headers import Object
    from nix_manylinux.resolve.plan import Report

LONG = ("/nix/store/" + "z" * 120 + "/lib",)
EXIT = """
long word = 1;
static void nothing(void) {}
__attribute__((section(".init_array"), used)) static void (*first)(void) = nothing;
void _start(void) { __asm__("xor %edi,%edi; mov $60,%eax; syscall"); }
"""


@pytest.fixture
def files(tmp_path_factory: pytest.TempPathFactory) -> ElfBuilder:
    """Give a builder with a folder of its own."""
    return ElfBuilder(tmp_path_factory.mktemp("built"))


def loads(path: Path) -> str:
    """Open a library with glibc in a process of its own, and give the loader's words."""
    command = [sys.executable, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1], 2)", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"status {done.returncode}: {done.stderr}" if done.returncode else ""


def patched(tree: Path, libs: Sequence[Path] = (), **options: str) -> Report:
    """Patch a tree for the libc that runs here."""
    return patch_wheel_tree(
        tree,
        target=from_running(),
        libraries=LibraryIndex.from_directories([str(each) for each in libs]),
        options=Options(**options),  # type: ignore[arg-type]  # a test's own options are strings
    )


def test_a_library_with_an_empty_interpreter(files: ElfBuilder, tmp_path: Path) -> None:
    """Nobody reads a library's PT_INTERP: one byte of it, NUL, changes nothing."""
    needed = files.library("libz9.so", soname="libz9.so")
    poker = Poker(files.library(needs=[needed]).read_bytes())
    place = len(poker.data) - 1
    poker.data[place] = 0
    poker.segment(elf.PT_NOTE, type=elf.PT_INTERP, offset=place, filesz=1, memsz=1)
    tree = tmp_path / "tree"
    tree.mkdir()
    path = tree / "ext.so"
    path.write_bytes(poker.data)
    facts = read_elf(path)
    assert facts is not None
    assert (facts.kind, facts.interpreter) == (ElfKind.LIBRARY, None)
    assert [edit.label for edit in patched(tree, [needed.parent]).edits] == ["ext.so"]
    assert not loads(path)


def test_tables_behind_the_end_of_a_segment_in_its_page(files: ElfBuilder, tmp_path: Path) -> None:
    """What page rounding maps is there: PT_DYNAMIC of an ET_EXEC behind p_filesz."""
    flags = ["-no-pie", "-nostdlib", "-Wl,-z,norelro", "-Wl,--no-as-needed", "-lc"]
    poker = Poker(files.program(source=EXIT, flags=flags).read_bytes())
    (dynamic,) = (s for s in poker.segments() if s.type == elf.PT_DYNAMIC)
    header = poker.layout.header(bytes(poker.data))
    for index, load in enumerate(poker.segments()):
        if load.type == elf.PT_LOAD and load.vaddr < dynamic.vaddr < load.vaddr + load.filesz:
            load.filesz = load.memsz = dynamic.vaddr - load.vaddr - 1
            start = header.phoff + index * header.phentsize
            poker.data[start : start + header.phentsize] = poker.layout.pack_segment(load)
            break
    else:
        pytest.fail("no segment begins before its dynamic section")
    path = tmp_path / "solver"
    path.write_bytes(poker.data)
    path.chmod(0o700)
    assert subprocess.run([path], check=False).returncode == 0
    facts = read_elf(path)
    assert facts is not None
    assert facts.needed == ("libc.so.6",)
    assert edit_file(str(path), ElfEdit(search_path=LONG)).how == "in place"
    assert subprocess.run([path], check=False).returncode == 0
    after = read_elf(path)
    assert after is not None
    assert after.search_path == LONG


def test_a_string_table_of_82_megabytes(tmp_path: Path) -> None:
    """The size of a real string table is no reason to refuse a file."""
    name = "s" * (1 << 20)
    lines = [f"{name}{i}: .byte {i % 256}\n.globl {name}{i}" for i in range(82)]
    source = tmp_path / "names.s"
    source.write_text(".data\n" + "\n".join(lines) + '\n.section .note.GNU-stack,"",%progbits\n')
    path = tmp_path / "libnames.so"
    subprocess.run(["gcc", "-shared", "-nostdlib", "-o", path, source], check=True)
    assert Poker(path.read_bytes()).sections[".dynstr"].size > 82 << 20
    assert edit_file(str(path), ElfEdit(search_path=LONG)).how == "in place"
    facts = read_elf(path)
    assert facts is not None
    assert facts.search_path == LONG
    assert ctypes.CDLL(str(path))


def test_a_file_that_no_loader_takes_is_left_alone(files: ElfBuilder, tmp_path: Path) -> None:
    """It is named in a warning and all others are patched; `check` says that it won't load."""
    needed = files.library("libz9.so", soname="libz9.so")
    (tmp_path / "good.so").write_bytes(files.library(needs=[needed]).read_bytes())
    cut = files.library(flags=["-s"]).read_bytes()[:3000]
    (tmp_path / "cut.so").write_bytes(cut)
    report = patched(tmp_path, [needed.parent])
    ((damage,),) = (tree["damaged"] for tree in report_json("patch", report=report)["trees"])
    assert damage["file"] == "cut.so"
    assert damage["what"] in report.plan.warnings[0]
    assert [edit.label for edit in report.edits] == ["good.so"]
    assert any(text.startswith("cut.so: ") for text in report.plan.warnings)
    assert (tmp_path / "cut.so").read_bytes() == cut
    assert loads(tmp_path / "cut.so")
    libraries = LibraryIndex.from_directories([str(needed.parent)])
    checked = check_tree(tmp_path, target=from_running(), libraries=libraries)
    assert [problem.wanted_by for problem in checked.plan.incompatible] == [("cut.so",)]
    lenient = Options(damaged="warn")
    checked = check_tree(tmp_path, target=from_running(), libraries=libraries, options=lenient)
    assert not checked.plan.incompatible


def test_a_program_whose_dt_debug_is_read_only(files: ElfBuilder, tmp_path: Path) -> None:
    """The loader writes there, and dies: patchelf has made such programs (cyclonedds' idlc)."""
    flags = ["-no-pie", "-nostdlib", "-Wl,-z,norelro", "-Wl,--no-as-needed", "-lc"]
    poker = Poker(files.program(source=EXIT, flags=flags).read_bytes())
    (dynamic,) = (s for s in poker.segments() if s.type == elf.PT_DYNAMIC)
    header = poker.layout.header(bytes(poker.data))
    for index, load in enumerate(poker.segments()):
        if load.type == elf.PT_LOAD and load.vaddr <= dynamic.vaddr < load.vaddr + load.filesz:
            load.flags = elf.PF_R
            start = header.phoff + index * header.phentsize
            poker.data[start : start + header.phentsize] = poker.layout.pack_segment(load)
    tree = tmp_path / "tree"
    tree.mkdir()
    path = tree / "idlc"
    path.write_bytes(poker.data)
    path.chmod(0o700)
    assert subprocess.run([path], check=False).returncode == -signal.SIGSEGV
    (warning,) = patched(tree).plan.warnings
    assert warning.startswith("idlc: the loader writes to DT_DEBUG, which is read-only memory")
    assert path.read_bytes() == poker.data
    # Without one it is a program like any other.
    size = poker.layout.dyn.size
    table = poker.data[dynamic.offset : dynamic.offset + dynamic.filesz]
    entries = list(poker.layout.dyn.iter_unpack(table))
    (debug,) = (number for number, (tag, _) in enumerate(entries) if tag == elf.DT_DEBUG)
    poker.layout.dyn.pack_into(poker.data, dynamic.offset + debug * size, elf.DT_FLAGS, 0)
    path.write_bytes(poker.data)
    assert subprocess.run([path], check=False).returncode == 0
    assert not patched(tree).plan.warnings


@pytest.mark.parametrize("inside", [1, 0], ids=["it runs", "it dies"])
def test_a_dynamic_section_that_goes_on_in_the_next_segment(
    files: ElfBuilder, tmp_path: Path, inside: int
) -> None:
    """It is one table in memory, as patchelf has left it: pgserver's psql starts, and is edited.

    DT_DEBUG is the last entry in the first segment, or the first one behind it, which is read-only.
    """
    flags = ["-no-pie", "-nostdlib", "-Wl,-z,norelro", "-Wl,--no-as-needed", "-lc"]
    plain = Image(Source(data=files.program(source=EXIT, flags=flags).read_bytes()))
    debug = [tag for tag, _ in plain.dynamic].index(elf.DT_DEBUG)
    flags += [f"-Wl,--section-start=.dynamic={0x405000 - (debug + inside) * 16:#x}"]
    poker = Poker(files.program(source=EXIT, flags=flags).read_bytes())
    segments = poker.segments()
    one = next(s for s in segments if s.type == elf.PT_LOAD and s.vaddr < 0x405000 < s.vend)
    rest, step = replace(one, flags=elf.PF_R), 0x405000 - one.vaddr
    rest.filesz, rest.memsz = one.filesz - step, one.memsz - step
    rest.shift(step, step)
    one.filesz = one.memsz = step
    segments.insert(segments.index(one) + 1, rest)
    segments.remove(next(s for s in segments if s.type == elf.PT_GNU_EH_FRAME))
    start = poker.layout.header(bytes(poker.data)).phoff
    table = b"".join(map(poker.layout.pack_segment, segments))
    poker.data[start : start + len(table)] = table
    tree = tmp_path / "tree"
    tree.mkdir()
    path = tree / "psql"
    path.write_bytes(poker.data)
    path.chmod(0o700)
    status = subprocess.run([path], check=False).returncode
    if not inside:
        assert status == -signal.SIGSEGV
        assert "writes to DT_DEBUG" in patched(tree).plan.warnings[0]
        return
    assert status == 0
    interpreter = "/lib64" + "/../lib64" * 9 + "/ld-linux-x86-64.so.2"
    assert edit_file(str(path), ElfEdit(interpreter=interpreter)).how == "in place"
    assert subprocess.run([path], check=False).returncode == 0
    # There is room for more entries, but DT_DEBUG would lie in the next segment.
    edit_file(str(path), ElfEdit(search_path=LONG, add_needed=("libm.so.6",)))
    assert subprocess.run([path], check=False).returncode == 0
    facts = read_elf(path)
    assert facts is not None
    assert (facts.needed, facts.search_path) == (("libc.so.6", "libm.so.6"), LONG)


def test_a_file_that_only_musl_takes(files: ElfBuilder, tmp_path: Path) -> None:
    """Glibc looks at the padding of e_ident: for it such a file is none, and is left alone."""
    data = bytearray(files.library().read_bytes())
    data[12] = 7
    path = tmp_path / "odd.so"
    path.write_bytes(data)
    assert "e_ident" in loads(path)
    report = patched(tmp_path)
    assert not report.edits
    assert [f.skipped for f in report.plan.files] == ["glibc refuses it"]
    (told,) = report.plan.warnings
    assert "the padding of e_ident is not zero" in told


def test_a_file_whose_names_are_gone(files: ElfBuilder, tmp_path: Path) -> None:
    """As strip leaves a program of patchelf's: it is mapped, wants nothing, and finds no symbol."""
    source = "double cos(double); int demo(int x) { return (int)cos(x); }"
    poker = Poker(files.library(source=source, flags=["-Wl,--no-as-needed", "-lm"]).read_bytes())
    tree = tmp_path / "tree"
    tree.mkdir()
    path = tree / "ext.so"
    table = poker.sections[".dynstr"]
    poker.data[table.offset : table.offset + table.size] = bytes(table.size)
    path.write_bytes(poker.data)
    assert "undefined symbol" in loads(path)
    (told,) = patched(tree).plan.warnings
    assert told.startswith("ext.so: glibc refuses it: the names of its symbols")
    checked = check_tree(tree, target=from_running(), libraries=LibraryIndex.from_directories([]))
    assert [problem.wanted_by for problem in checked.plan.incompatible] == [("ext.so",)]


def test_an_empty_name_is_the_programs_own(files: ElfBuilder, tmp_path: Path) -> None:
    """Glibc takes a library that needs "", as long as its other names are there."""
    source = "double cos(double); int demo(int x) { return (int)cos(x); }"
    flags = ["-Wl,--no-as-needed", "-lm", "-lz"]
    poker = Poker(files.library(source=source, flags=flags).read_bytes())
    wanted = bytes(poker.data).index(b"libz.so.1\0") - poker.sections[".dynstr"].offset
    assert wanted > 0
    poker.data[poker.sections[".dynstr"].offset + wanted] = 0
    path = tmp_path / "ext.so"
    path.write_bytes(poker.data)
    assert not loads(path)
    checked = check_tree(
        tmp_path, target=from_running(), libraries=LibraryIndex.from_directories([])
    )
    assert not checked.plan.incompatible
    assert not checked.plan.missing


def test_a_file_that_cannot_be_edited(
    files: ElfBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the file and what it would have to get; --damaged warn links the rest."""
    needed = files.library("libz9.so", soname="libz9.so")
    for name in ("bad.so", "good.so"):
        (tmp_path / name).write_bytes(files.library(needs=[needed], soname=name).read_bytes())
    before = (tmp_path / "bad.so").read_bytes()
    proved = writer.draft_edit

    def unproved(obj: Object, *more: object) -> object:
        if b"bad.so" in obj.strings:
            raise EditFailed("no layout could be proved safe")
        return proved(obj, *more)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(writer, "draft_edit", unproved)
    with pytest.raises(EditFailed) as caught:
        patched(tmp_path, [needed.parent])
    assert caught.value.where == "bad.so"
    assert f"it would have to get the search path {needed.parent}" in caught.value.hint
    assert "--damaged warn" in caught.value.hint
    report = patched(tmp_path, [needed.parent], damaged="warn")
    assert [edit.label for edit in report.edits] == ["good.so"]
    assert report.warnings == (
        "bad.so can't be edited, and stays as it is: no layout could be proved safe",
    )
    assert report_json("patch", report=report)["unedited"] == [
        {"file": "bad.so", "what": "no layout could be proved safe"}
    ]
    assert (tmp_path / "bad.so").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["bad.so", "good.so"]


def test_an_executable_stack_that_has_no_header(tmp_path: Path) -> None:
    """Without PT_GNU_STACK and room for one it can't be cleared: that is said, with the way out."""
    path = tmp_path / "tiny.so"
    data = bytearray(tiny_library("tiny.so"))
    struct.pack_into("<L", data, 64 + 2 * 56, 0x6000_0000)  # its PT_GNU_STACK: some vendor's now
    path.write_bytes(data)
    before = path.read_bytes()
    with pytest.raises(EditFailed, match=r"no PT_GNU_STACK.*--keep-execstack"):
        edit_file(str(path), ElfEdit(clear_executable_stack=True))
    assert path.read_bytes() == before


# -- what the loader refuses is no longer praised --------------------------------


@pytest.mark.parametrize("versioned", [True, False])
def test_a_version_asked_of_a_library_without_any(
    files: ElfBuilder, tmp_path: Path, *, versioned: bool
) -> None:
    """Without DT_VERSYM ld.so before 2.41 aborts; with it (and no DT_VERDEF) it warns, goes on."""
    real = files.library(
        "libti.so.5", soname="libti.so.5", source="int tputs(void){return 1;}",
        versions="TI_5 { tputs; };",
    )  # fmt: skip
    source = "int tputs(void); int e(void) { return tputs(); }"
    needing = files.library("e.so", source=source, needs=[real], libc=True)
    text = "int tputs(void){return 1;}"
    if versioned:
        text += "int puts(const char *); int q(void) { return puts(text); }".replace("text", '""')
    other = tmp_path / "other"
    other.mkdir()
    provider = files.library("libti.so.5", soname="libti.so.5", source=text, libc=versioned)
    (other / "libti.so.5").write_bytes(provider.read_bytes())
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "e.so").write_bytes(needing.read_bytes())
    if versioned or from_running().libc_version >= (2, 41):
        patched(tree, [other])
        assert not loads(tree / "e.so")
        return
    with pytest.raises(Unresolved) as caught:
        patched(tree, [other])
    (problem,) = caught.value.incompatible
    assert "no symbol versions at all" in problem.reason
    edit_file(str(tree / "e.so"), ElfEdit(search_path=(str(other),)))
    assert "check_match" in loads(tree / "e.so")
    checked = check_tree(tree, target=from_running(), libraries=LibraryIndex.from_directories([]))
    assert [each.wanted_by for each in checked.plan.incompatible] == [("e.so",)]


def test_an_executable_stack(files: ElfBuilder, tmp_path: Path) -> None:
    """Dlopen of 2.41 and newer gives none: such a library is mended there, or said to fail."""
    path = tmp_path / "stack.so"
    path.write_bytes(files.library("stack.so", libc=True, flags=["-Wl,-z,execstack"]).read_bytes())
    refused = from_running().libc_version >= (2, 41)
    assert ("cannot enable executable stack" in loads(path)) == refused
    checked = check_tree(
        tmp_path, target=from_running(), libraries=LibraryIndex.from_directories([])
    )
    assert bool(checked.plan.incompatible) == refused
    newer = replace(from_running(), libc_version=(2, 41))
    libraries = LibraryIndex.from_directories([])
    (problem,) = check_tree(tmp_path, target=newer, libraries=libraries).plan.incompatible
    assert problem.wanted_by == ("stack.so",)
    assert "executable stack" in problem.reason
    kept = Options(keep_execstack=True)
    report = patch_wheel_tree(tmp_path, target=newer, libraries=libraries, options=kept)
    assert any("executable stack" in warning for warning in report.plan.warnings)
    patch_wheel_tree(tmp_path, target=newer, libraries=libraries)
    assert not loads(path)
    assert not check_tree(tmp_path, target=newer, libraries=libraries).plan.incompatible


@pytest.mark.parametrize("marked", [True, False])
def test_relative_relocations_need_their_mark(
    files: ElfBuilder, tmp_path: Path, *, marked: bool
) -> None:
    """Glibc 2.36 and newer refuse DT_RELR without GLIBC_ABI_DT_RELR in a file that needs it."""
    flag = "-Wl,-z,pack-relative-relocs" if marked else "-Wl,--pack-dyn-relocs=relr"
    linker = "-fuse-ld=bfd" if marked else "-fuse-ld=lld"
    source = """
    int puts(const char *); static int a; int *p[4] = {&a, &a, &a, &a};
    int q(void) { return puts("") + *p[1]; }
    """
    path = tmp_path / "relr.so"
    built = files.library("relr.so", source=source, libc=True, flags=[linker, flag])
    path.write_bytes(built.read_bytes())
    if marked:
        patched(tmp_path)
        assert not loads(path)
        return
    with pytest.raises(Unresolved) as caught:
        patched(tmp_path)
    (problem,) = caught.value.incompatible
    assert "GLIBC_ABI_DT_RELR" in problem.reason
    assert "GLIBC_ABI_DT_RELR" in loads(path)


@pytest.mark.parametrize(("size", "fits"), [(64, True), (4000, False)])
def test_static_thread_local_storage_has_an_end(
    files: ElfBuilder, tmp_path: Path, size: int, *, fits: bool
) -> None:
    """What dlopen can't give to DF_STATIC_TLS is told."""
    source = f"static __thread char b[{size}]; char *f(int i) {{ return b + i; }}"
    flags = ["-ftls-model=initial-exec"]
    (tmp_path / "tls.so").write_bytes(
        files.library("tls.so", source=source, flags=flags).read_bytes()
    )
    if fits:
        patched(tmp_path)
        assert not loads(tmp_path / "tls.so")
        return
    # It may be there to be preloaded, as ray's libjemalloc.so is: patch only warns.
    (warning,) = patched(tmp_path).plan.warnings
    assert "4000 bytes of static thread-local storage" in warning
    assert "static TLS" in loads(tmp_path / "tls.so")
    libraries = LibraryIndex.from_directories([])
    checked = check_tree(tmp_path, target=from_running(), libraries=libraries)
    assert [each.wanted_by for each in checked.plan.incompatible] == [("tls.so",)]

"""What the reader says of files of every kind, class, byte order and machine."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import TARGETS, Poker, parse_elf, without_sections

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.facts import ElfFacts, ElfKind, VersionNeed
from nix_manylinux.elf.read import is_elf, read_elf

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.elf import ElfBuilder

#: A library with a program interpreter, as libc.so.6 and libQt6Core.so.6 are.
WITH_INTERPRETER = """
const char interpreter[] __attribute__((section(".interp"))) = "/lib/ld-demo.so.1";
int demo(void) { return 42; }
"""
RUNS_EVERYWHERE = pytest.mark.parametrize("target", [None, *TARGETS])


def read(path: Path) -> ElfFacts:
    """Read a file that is known to be ELF."""
    facts = read_elf(path)
    assert facts is not None
    return facts


def parse(data: bytes, label: str = "") -> ElfFacts:
    """Parse bytes that are known to be ELF."""
    facts = parse_elf(data, label=label)
    assert facts is not None
    return facts


@RUNS_EVERYWHERE
def test_a_library_is_read_alike_on_every_machine(
    elf_files: ElfBuilder, target: str | None
) -> None:
    """Names, paths and machine come out of both classes and both byte orders."""
    needed = elf_files.library("libneeded.so.1", soname="libneeded.so.1", target=target)
    path = elf_files.library(
        target=target,
        soname="libdemo.so.2",
        needs=[needed],
        needed=["libabsent.so.3"],
        runpath="$ORIGIN/lib:/opt/demo",
    )
    facts = read(path)
    assert facts == ElfFacts(
        machine=TARGETS[target or "x86_64-linux-gnu"],
        kind=ElfKind.LIBRARY,
        soname="libdemo.so.2",
        needed=("libneeded.so.1", "libabsent.so.3"),
        runpath="$ORIGIN/lib:/opt/demo",
        versioned=False,
    )
    assert parse(path.read_bytes()) == facts


@RUNS_EVERYWHERE
def test_nothing_depends_on_section_headers(elf_files: ElfBuilder, target: str | None) -> None:
    """Without them the facts are the same."""
    path = elf_files.library(
        target=target, needed=["liba.so.1"], rpath="/opt/lib", soname="libd.so"
    )
    facts = read(path)
    bare = parse(without_sections(path.read_bytes()))
    assert bare == facts
    assert (bare.kind, bare.machine, bare.soname) == (ElfKind.LIBRARY, facts.machine, "libd.so")
    assert (bare.needed, bare.rpath, bare.runpath) == (("liba.so.1",), "/opt/lib", None)


@RUNS_EVERYWHERE
@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        ("-pie", ElfKind.PROGRAM),
        ("-no-pie", ElfKind.PROGRAM),
        ("-static", ElfKind.STATIC),
        ("-static-pie", ElfKind.STATIC),
    ],
)
def test_programs_are_told_from_libraries(
    elf_files: ElfBuilder, target: str | None, flag: str, kind: ElfKind
) -> None:
    """ET_EXEC and ET_DYN, with an interpreter and without, by content alone."""
    dynamic = kind is ElfKind.PROGRAM
    path = elf_files.program(
        target=target,
        interpreter="/lib/ld-demo.so.1" if dynamic else None,
        needed=["libneeded.so.1"] if dynamic else [],
        flags=[flag],
    )
    facts = read(path)
    assert facts.kind is kind
    assert facts.interpreter == ("/lib/ld-demo.so.1" if dynamic else None)
    assert facts.needed[:1] == (("libneeded.so.1",) if dynamic else ())
    assert parse(without_sections(path.read_bytes())).kind is kind


@RUNS_EVERYWHERE
def test_an_object_file_is_relocatable(elf_files: ElfBuilder, target: str | None) -> None:
    """ET_REL is named as such, and no loader reads it."""
    facts = read(elf_files.object(target=target))
    assert facts.kind is ElfKind.RELOCATABLE
    assert not facts.kind.is_linked
    assert facts.machine == TARGETS[target or "x86_64-linux-gnu"]


@pytest.mark.parametrize(
    "command",
    [
        ["objcopy", "--only-keep-debug", "IN", "OUT"],
        ["llvm-objcopy", "--only-keep-debug", "IN", "OUT"],
        ["eu-strip", "-o", "SPARE", "-f", "OUT", "IN"],
    ],
    ids=["objcopy", "llvm-objcopy", "eu-strip"],
)
@pytest.mark.parametrize("what", ["library", "program"])
def test_the_debug_half_is_no_library(elf_files: ElfBuilder, command: list[str], what: str) -> None:
    """Three tools leave three different sets of program headers; all are told.

    eu-strip replaces what its -o names, and run by root that may be a device.
    """
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    path = elf_files.library(flags=["-g"]) if what == "library" else elf_files.program(flags=["-g"])
    facts = read(elf_files.derive(path, "demo.debug", command))
    assert facts.kind is ElfKind.DEBUG


@pytest.mark.parametrize(
    "fields", [{"type": elf.ET_CORE}, {"machine": elf.EM_CUDA}, {"machine": elf.EM_AMDGPU}]
)
def test_core_dumps_and_gpu_code_are_data(elf_files: ElfBuilder, fields: dict[str, int]) -> None:
    """ELF that nothing on the host loads is neither library nor program."""
    poker = Poker(elf_files.library().read_bytes())
    poker.header(**fields)
    assert parse(bytes(poker.data)).kind is ElfKind.DATA


def test_an_interpreter_does_not_make_a_library_a_program(elf_files: ElfBuilder) -> None:
    """Soname or file name tell libQt6Core.so.6 from a program; without both it is one."""
    named = elf_files.library("core", source=WITH_INTERPRETER, soname="libcore.so.6")
    bare = elf_files.library("core", source=WITH_INTERPRETER)
    assert read(named).interpreter == "/lib/ld-demo.so.1"
    assert read(named).kind is ElfKind.LIBRARY
    assert read(bare).kind is ElfKind.PROGRAM
    labelled = read_elf(bare, label="pkg/libcore.so.6")
    assert labelled is not None
    assert labelled.kind is ElfKind.LIBRARY


def test_old_linkers_pies_are_programs(elf_files: ElfBuilder) -> None:
    """A PIE from before DF_1_PIE is a program by its interpreter."""
    poker = Poker(elf_files.program(flags=["-pie"]).read_bytes())
    poker.dynamic(elf.DT_FLAGS_1, 0)
    assert parse(bytes(poker.data)).kind is ElfKind.PROGRAM


@pytest.mark.parametrize("style", ["gnu", "sysv"])
@pytest.mark.parametrize("target", [None, "s390x-linux-gnu", "x86-linux-gnu"])
def test_old_linkers_static_pies_are_static(
    elf_files: ElfBuilder, target: str | None, style: str
) -> None:
    """Without DF_1_PIE a static PIE is known by offering no symbol."""
    flags = ["-static-pie" if target is None else "-pie", "-fPIE", f"-Wl,--hash-style={style}"]
    poker = Poker(elf_files.program(target=target, flags=flags).read_bytes())
    poker.dynamic(elf.DT_FLAGS_1, 0)
    assert parse(bytes(poker.data)).kind is ElfKind.STATIC


@pytest.mark.parametrize("style", ["gnu", "sysv"])
@pytest.mark.parametrize("target", [None, "s390x-linux-gnu", "x86-linux-gnu"])
def test_an_entry_point_does_not_make_a_library_static(
    elf_files: ElfBuilder, target: str | None, style: str
) -> None:
    """Old linkers set e_entry in libraries; what exports a symbol stays a library."""
    path = elf_files.library(target=target, flags=["-Wl,-e,demo", f"-Wl,--hash-style={style}"])
    facts = read(path)
    assert (facts.needed, facts.soname) == ((), None)
    assert Poker(path.read_bytes()).layout.header(path.read_bytes()).entry != 0
    assert facts.kind is ElfKind.LIBRARY


@pytest.mark.parametrize("count", [1, 2])
def test_the_wide_hash_table_of_s390x_is_read(elf_files: ElfBuilder, count: int) -> None:
    """Its words have 8 bytes by the ABI (GNU ld), 4 where lld wrote them."""
    flags = ["-Wl,-e,demo", "-Wl,--hash-style=sysv"]
    poker = Poker(elf_files.library(target="s390x-linux-gnu", flags=flags).read_bytes())
    poker.word(".hash", 0, 1, size=8)
    poker.word(".hash", 8, count, size=8)
    expected = ElfKind.LIBRARY if count > 1 else ElfKind.STATIC
    assert parse(bytes(poker.data)).kind is expected


@pytest.mark.parametrize("target", [None, "powerpc64-linux-gnu", "arm-linux-gnueabihf"])
def test_versions_are_read(elf_files: ElfBuilder, target: str | None) -> None:
    """Definitions come without the base version, needs with their library."""
    library = elf_files.library(
        "libv.so.1",
        source="int call(void) { return 2; }",
        target=target,
        soname="libv.so.1",
        versions="V_1 { local: *; };\nV_2 { global: call; } V_1;\n",
    )
    user = elf_files.library(
        source="int call(void); int demo(void) { return call(); }", target=target, needs=[library]
    )
    assert read(library).defines == ("V_1", "V_2")
    assert read(library).needs == ()
    assert read(user).needs == (VersionNeed(library="libv.so.1", version="V_2"),)
    assert read(user).defines == ()


def test_a_weak_need_is_weak(elf_files: ElfBuilder) -> None:
    """VER_FLG_WEAK is told: the loader only warns about such a version."""
    library = elf_files.library("libv.so.1", soname="libv.so.1", versions="V_1 { demo; };")
    user = elf_files.library(
        source="int demo(void); int f(void) { return demo(); }", needs=[library]
    )
    poker = Poker(user.read_bytes())
    poker.word(".gnu.version_r", 16 + 4, elf.VER_FLG_WEAK, size=2)
    needs = parse(bytes(poker.data)).needs
    assert needs == (VersionNeed(library="libv.so.1", version="V_1", weak=True),)


def test_filters_and_flags_are_read(elf_files: ElfBuilder) -> None:
    """DT_AUXILIARY, DT_FILTER and DF_1_NODEFLIB change what the loader does."""
    path = elf_files.library(
        flags=["-Wl,-f,libaux.so.1", "-Wl,-F,libfilter.so.1", "-Wl,-z,nodefaultlib"]
    )
    facts = read(path)
    assert facts.auxiliary == ("libaux.so.1",)
    assert facts.filters == ("libfilter.so.1",)
    assert facts.no_default_path
    assert not read(elf_files.library()).no_default_path


def test_both_path_tags_are_kept_apart(elf_files: ElfBuilder) -> None:
    """With both tags both strings are told, and the search path is DT_RUNPATH's."""
    poker = Poker(elf_files.library(soname="/r/soname", runpath="/run/path").read_bytes())
    poker.dynamic(elf.DT_SONAME, poker.dynamic_value(elf.DT_SONAME), new_tag=elf.DT_RPATH)
    facts = parse(bytes(poker.data))
    assert (facts.rpath, facts.runpath) == ("/r/soname", "/run/path")
    assert facts.search_path == ("/run/path",)


def test_names_need_not_be_utf8(elf_files: ElfBuilder) -> None:
    """Every byte of a name survives the way in and out."""
    path = elf_files.library(runpath="/opt/caf\udce9/\u00fc")
    raw = read(path).runpath
    assert raw is not None
    assert raw.encode("utf-8", "surrogateescape") == b"/opt/caf\xe9/\xc3\xbc"


@RUNS_EVERYWHERE
def test_an_executable_stack_is_told(elf_files: ElfBuilder, target: str | None) -> None:
    """PF_X of PT_GNU_STACK says so, in either place where p_flags may be."""
    poker = Poker(elf_files.library(target=target).read_bytes())
    assert not parse(bytes(poker.data)).executable_stack
    poker.segment(elf.PT_GNU_STACK, flags=elf.PF_R | elf.PF_W | elf.PF_X)
    assert parse(bytes(poker.data)).executable_stack


def test_the_linkers_executable_stack_is_told(elf_files: ElfBuilder) -> None:
    """What GNU ld makes of -z execstack is what is meant."""
    assert read(elf_files.library(flags=["-Wl,-z,execstack"])).executable_stack


@pytest.mark.parametrize("target", TARGETS)
def test_a_missing_stack_header_means_what_glibc_takes_it_for(
    elf_files: ElfBuilder, target: str
) -> None:
    """x86, ARM, s390, MIPS and 32-bit PowerPC default to executable, the others don't."""
    poker = Poker(elf_files.library(target=target).read_bytes())
    poker.segment(elf.PT_GNU_STACK, type=0)
    executable = target.split("-", maxsplit=1)[0] in {
        *("x86_64", "x86", "arm", "s390x", "powerpc", "mips", "mips64", "mips64el"),
    }
    assert parse(bytes(poker.data)).executable_stack is executable


def test_a_large_string_table_is_not_read_whole(
    elf_files: ElfBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names come out of a table of 400 KB, and a file of 64 MB, by reading a few pages."""
    symbols = "".join(
        f"int a_symbol_with_quite_a_long_name_{i:06}(void) {{ return {i}; }}\n" for i in range(9000)
    )
    big = "const char padding[64 << 20] = {1};\n"
    path = elf_files.library(
        source=symbols + big, soname="libbig.so.1", runpath="/opt/" + "x" * 900
    )
    asked: list[int] = []
    real = os.pread

    def pread(fd: int, size: int, offset: int) -> bytes:
        asked.append(size)
        return real(fd, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    facts = read(path)
    assert path.stat().st_size > 64 << 20
    assert (facts.soname, facts.runpath) == ("libbig.so.1", "/opt/" + "x" * 900)
    assert sum(asked) < 50_000


def test_what_is_not_elf_is_none(tmp_path: Path) -> None:
    """Other files, folders and FIFOs are no ELF files, and opening a FIFO doesn't wait."""
    for name, content in {
        "empty": b"",
        "short": b"\x7fEL",
        "text.so": b"INPUT(libc.so.6)\n",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert read_elf(tmp_path / name) is None
        assert parse_elf(content) is None
        assert not is_elf(content)
    os.mkfifo(tmp_path / "fifo")
    assert read_elf(tmp_path / "fifo") is None
    assert read_elf(tmp_path) is None
    with pytest.raises(FileNotFoundError):
        read_elf(tmp_path / "absent")


def test_errors_name_the_file_and_say_what_to_do(tmp_path: Path) -> None:
    """The label stands in front where there is one, the path elsewhere."""
    path = tmp_path / "cut.so"
    path.write_bytes(b"\x7fELF\2\1\1")
    with pytest.raises(BadElf, match="e_ident") as caught:
        read_elf(path, label="pkg/cut.so")
    assert caught.value.where == "pkg/cut.so"
    assert "download it again" in caught.value.hint
    with pytest.raises(BadElf) as caught:
        read_elf(str(path))
    assert caught.value.where == str(path)

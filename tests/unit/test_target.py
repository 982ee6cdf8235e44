"""Targets are read off files of any machine, and the right one is chosen."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nix_manylinux.base.errors import BadTarget
from nix_manylinux.elf.read import read_elf
from nix_manylinux.target import interpreter, libc, target

if TYPE_CHECKING:
    from pathlib import Path

BUILD = [sys.executable, "-m", "ziglang", "cc", "-nostdlib", "-s"]


def build(output: Path, source: str, *flags: str, arch: str = "aarch64") -> Path:
    """Compile C for any machine; ziglang brings the compiler."""
    output.parent.mkdir(parents=True, exist_ok=True)
    code = output.with_name(output.name + ".c")
    code.write_text(source, encoding="utf-8")
    command = [*BUILD, "-target", f"{arch}-linux-gnu", *flags, "-o", str(output), str(code)]
    subprocess.run(command, check=True)
    code.unlink()
    return output


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an aarch64 system: Python 3.12, and glibc 2.37 that stops at GLIBC_2.36."""
    root = tmp_path_factory.mktemp("aarch64")
    lib = root / "glibc" / "lib"
    shared = ("-shared", "-fPIC")
    loader = build(
        lib / "ld-linux-aarch64.so.1", "int a;", *shared, "-Wl,-soname,ld-linux-aarch64.so.1"
    )
    versions = root / "versions"
    versions.write_text("GLIBC_2.17 { old; };\nGLIBC_2.36 { new; } GLIBC_2.17;\n", encoding="utf-8")
    build(
        lib / "libc.so.6",
        "int old, new; const char banner[] = "
        '"GNU C Library (GNU libc) stable release version 2.37.\\n";',
        *shared,
        "-Wl,-soname,libc.so.6",
        f"-Wl,--version-script={versions}",
    )
    shutil.copy(loader, lib / "libm.so.6")
    shutil.copy(loader, lib / "libz.so.1")
    build(
        root / "python" / "bin" / "python3.12",
        "void _start(void) { for (;;) ; }",
        "-pie",
        "-fPIE",
        str(lib / "libc.so.6"),
        f"-Wl,--dynamic-linker={loader}",
    )
    modules = root / "python" / "lib" / "python3.12" / "lib-dynload"
    modules.mkdir(parents=True)
    (modules / "_json.cpython-312-aarch64-linux-gnu.so").touch()
    (root / "python" / "bin" / "python3").symlink_to("python3.12")
    return root


def own_linker() -> str:
    """Give the dynamic linker of the running interpreter."""
    facts = read_elf(os.path.realpath("/proc/self/exe"))
    assert facts is not None
    assert facts.interpreter is not None
    return facts.interpreter


def test_own_glibc() -> None:
    """Of the running system, version and machine are what the C library itself says."""
    found = target.Target.from_dynamic_linker(own_linker())
    name, version = platform.libc_ver()
    assert (found.libc, found.libc_version) == (
        name,
        tuple(int(part) for part in version.split(".")[:2]),
    )
    assert found.machine.name == os.uname().machine
    assert {"libc.so.6", "libm.so.6"} <= set(found.libc_sonames)
    assert "libstdc++.so.6" not in found.libc_sonames
    assert "libz.so.1" not in found.libc_sonames
    assert all(os.path.isfile(path) for path in found.libc_sonames.values())
    assert found.interpreter is None


def test_foreign_glibc(foreign: Path) -> None:
    """Another machine's glibc is read; the banner counts, not the highest version node."""
    linker = foreign / "glibc" / "lib" / "ld-linux-aarch64.so.1"
    found = target.Target.from_dynamic_linker(str(linker))
    assert found.machine.name == "aarch64"
    assert (found.libc, found.libc_version) == ("glibc", (2, 37))
    assert set(found.libc_sonames) == {"libc.so.6", "libm.so.6", "ld-linux-aarch64.so.1"}
    assert found.libc_directory == str(linker.parent)


def test_version_without_banner() -> None:
    """Without a banner the highest GLIBC_x.y that is defined counts; private ones don't."""
    defines = ["GLIBC_2.2.5", "GLIBC_2.9", "GLIBC_2.31", "GLIBC_PRIVATE", "GLIBC_ABI_DT_RELR"]
    assert libc.glibc_version(b"", defines) == (2, 31)
    assert libc.glibc_version(b"", ["FOO_1"]) is None


def test_musl(tmp_path: Path) -> None:
    """Musl is told by its words, its version is the string that stands alone in it."""
    linker = build(
        tmp_path / "ld-musl-aarch64.so.1",
        'const char a[] = "musl libc (aarch64)\\nVersion %s\\n";'
        'const char b[] = "127.0.0.1"; const char c[] = "1.2.5-git-3-g9f"; int d;',
        "-shared",
        "-fPIC",
        "-Wl,-soname,libc.so",
    )
    found = target.Target.from_dynamic_linker(str(linker))
    assert (found.libc, found.libc_version) == ("musl", (1, 2, 5))
    assert set(found.libc_sonames) == {
        "libc.so",
        "libc.musl-aarch64.so.1",
        "ld-musl-aarch64.so.1",
    }


def test_not_a_linker(tmp_path: Path, foreign: Path) -> None:
    """Text, a missing file, any library, or a linker of another name: refused with a hint."""
    text = tmp_path / "text"
    text.write_text("x", encoding="utf-8")
    misnamed = build(
        tmp_path / "ld.so", "int a;", "-shared", "-fPIC", "-Wl,-soname,ld-linux-x86-64.so.2"
    )
    for path, words in [
        (text, "is no ELF file"),
        (tmp_path / "absent", "No such file"),
        (foreign / "glibc" / "lib" / "libc.so.6", "calls itself libc.so.6"),
        (misnamed, "the dynamic linker is ld-linux-aarch64.so.1"),
    ]:
        with pytest.raises(BadTarget, match=words) as caught:
            target.Target.from_dynamic_linker(str(path))
        assert "ld-linux-x86-64.so.2" in caught.value.hint


def test_libc_elsewhere(tmp_path: Path, foreign: Path) -> None:
    """A libc that isn't beside the linker must be named, and must be of its machine."""
    lib = foreign / "glibc" / "lib"
    alone = tmp_path / "ld-linux-aarch64.so.1"
    shutil.copy(lib / alone.name, alone)
    with pytest.raises(BadTarget, match=r"no libc\.so\.6 in") as caught:
        target.Target.from_dynamic_linker(str(alone))
    assert "--libc" in caught.value.hint
    found = target.Target.from_dynamic_linker(str(alone), libc_directory=str(lib))
    assert found.libc_sonames["ld-linux-aarch64.so.1"] == str(alone)
    if os.uname().machine != "aarch64":
        own = target.Target.from_dynamic_linker(own_linker()).libc_directory
        with pytest.raises(BadTarget, match="one machine"):
            target.Target.from_dynamic_linker(str(alone), libc_directory=own)


def bintools(root: Path, **support: str) -> str:
    """Make a bintools wrapper with the given files in nix-support."""
    folder = root / "nix-support"
    folder.mkdir(parents=True)
    for name, text in support.items():
        (folder / name.replace("_", "-")).write_text(text, encoding="utf-8")
    return str(root)


def test_bintools(tmp_path: Path, foreign: Path) -> None:
    """The wrapper's dynamic-linker file counts, else the one linker in orig-libc's lib."""
    linker = str(foreign / "glibc" / "lib" / "ld-linux-aarch64.so.1")
    told = bintools(tmp_path / "a", dynamic_linker=f"{linker}\n", orig_libc="/nowhere")
    assert target.from_bintools(told).dynamic_linker == linker
    silent = bintools(tmp_path / "b", orig_libc=str(foreign / "glibc"))
    assert target.from_bintools(silent).dynamic_linker == linker
    with pytest.raises(BadTarget, match="neither"):
        target.from_bintools(bintools(tmp_path / "c"))
    with pytest.raises(BadTarget, match="holds 0 dynamic linkers"):
        target.from_libc_directory(str(tmp_path / "c"))
    with pytest.raises(BadTarget, match="No such file"):
        target.from_bintools(bintools(tmp_path / "d", orig_libc="/nowhere"))


def own_environment() -> dict[str, str]:
    """Give a user's environment, with variables that must not reach the interpreter."""
    return {**os.environ, "PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere"}


def test_own_interpreter() -> None:
    """The running interpreter's version and first tag are its own, whatever PYTHONHOME says."""
    found = target.Target.from_interpreter(sys.executable, environment=own_environment())
    assert found.interpreter is not None
    assert found.interpreter.version == sys.version_info[:2]
    assert found.interpreter.implementation == sys.implementation.name
    nodot = "".join(str(part) for part in sys.version_info[:2])
    assert found.interpreter.tags[0][0] in {f"cp{nodot}", f"pp{nodot}"}
    assert found.dynamic_linker == own_linker()


def script(path: Path, text: str) -> str:
    """Write an executable script."""
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_wrappers(tmp_path: Path, foreign: Path) -> None:
    """A wrapper of makeWrapper's kind is followed, any other script is run."""
    wrapped = script(
        tmp_path / "a",
        f'#!/bin/sh -e\nexport A=\'x\'\nexec -a "$0" "{foreign}/python/bin/python3"  "$@"\n',
    )
    found = target.Target.from_interpreter(wrapped, environment={})
    assert found.machine.name == "aarch64"
    computed = script(
        tmp_path / "b", f'#!/bin/sh\nP={shlex.quote(sys.executable)}\nexec "$P" "$@"\n'
    )
    found = target.Target.from_interpreter(computed, environment=dict(os.environ))
    assert found.dynamic_linker == own_linker()
    broken = script(tmp_path / "c", "#!/bin/sh\necho 'no such thing' >&2; exit 1\n")
    with pytest.raises(BadTarget, match="is no Python 3 interpreter: no such thing"):
        target.Target.from_interpreter(broken, environment=dict(os.environ))
    circle = script(tmp_path / "d", f"#!/bin/sh\nexec {tmp_path}/d\n")
    with pytest.raises(BadTarget, match="circle"):
        target.Target.from_interpreter(circle, environment={})


def test_name_on_path(tmp_path: Path) -> None:
    """A bare name is looked up in the PATH that was passed, and nowhere else."""
    (tmp_path / "python-of-mine").symlink_to(sys.executable)
    environment = {**os.environ, "PATH": str(tmp_path)}
    found = target.Target.from_interpreter("python-of-mine", environment=environment)
    assert found.interpreter is not None
    assert found.interpreter.executable == str(tmp_path / "python-of-mine")
    with pytest.raises(BadTarget, match="on PATH"):
        target.Target.from_interpreter("python-of-mine", environment={"PATH": "/nowhere"})


@pytest.mark.skipif(os.uname().machine == "aarch64", reason="needs a foreign machine")
def test_foreign_interpreter(foreign: Path) -> None:
    """An interpreter for another machine is read, not run."""
    found = target.Target.from_interpreter(
        str(foreign / "python" / "bin" / "python3"), environment={}
    )
    assert found.interpreter is not None
    assert found.interpreter.version == (3, 12)
    assert found.interpreter.tags[0] == ("cp312", "cp312")
    assert found.libc_version == (2, 37)


@pytest.mark.skipif(os.uname().machine == "aarch64", reason="needs a foreign machine")
def test_foreign_interpreter_that_tells_nothing(tmp_path: Path, foreign: Path) -> None:
    """Without modules beside it a foreign interpreter is refused, and --dynamic-linker offered."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python3.12"
    shutil.copy(foreign / "python" / "bin" / "python3.12", python)
    with pytest.raises(BadTarget, match="for another machine") as caught:
        target.Target.from_interpreter(str(python), environment={})
    assert "--dynamic-linker" in caught.value.hint


@pytest.mark.parametrize(
    ("suffix", "abis"),
    [
        (".cpython-311-x86_64-linux-gnu.so", ("cp311",)),
        (".cpython-311d-x86_64-linux-gnu.so", ("cp311d", "cp311")),
        (".cpython-313t-aarch64-linux-gnu.so", ("cp313t",)),
        (".cpython-314td-x86_64-linux-musl.so", ("cp314td", "cp314t")),
        (".cpython-37m-x86_64-linux-gnu.so", ("cp37m",)),
        (".cpython-36dm-x86_64-linux-gnu.so", ("cp36dm",)),
        (".cpython-312.so", ("cp312",)),
        (".pypy310-pp73-x86_64-linux-gnu.so", ("pypy310_pp73",)),
        (".graalpy242-312-native-x86_64-linux.so", ("graalpy242_312_native",)),
        (".so", ()),
    ],
)
def test_suffix(suffix: str, abis: tuple[str, ...]) -> None:
    """The ABI tags are those that packaging reads out of the same suffix."""
    assert interpreter.abis_of_suffix(suffix) == abis


def test_static_interpreter(tmp_path: Path) -> None:
    """A static program can't load wheels at all: refused by name."""
    static = build(tmp_path / "static", "void _start(void) { for (;;) ; }", "-static")
    with pytest.raises(BadTarget, match="linked statically"):
        target.from_running(str(static))


def test_absent_linker(tmp_path: Path) -> None:
    """A program whose dynamic linker is not on this system: refused, with what to name."""
    library = build(tmp_path / "liba.so", "int a;", "-shared", "-fPIC")
    program = build(
        tmp_path / "program",
        "void _start(void) { for (;;) ; }",
        "-pie",
        "-fPIE",
        str(library),
        "-Wl,--dynamic-linker=/nix/store/absent/ld.so",
    )
    with pytest.raises(BadTarget, match=r"linker /nix/store/absent/ld\.so is not there"):
        target.from_running(str(program))


def test_a_stub_for_a_linker(tmp_path: Path) -> None:
    """What NixOS has in the linker's place starts nothing; the message says what would."""
    stub, program = tmp_path / "ld.so", tmp_path / "bin/python3.12"
    program.parent.mkdir()
    source = tmp_path / "main.c"
    source.write_text("int main(void) { return 127; }\n")
    for flag, path in (("-static", stub), (f"-Wl,--dynamic-linker={stub}", program)):
        subprocess.run(["gcc", flag, "-o", str(path), str(source)], check=True)
    with pytest.raises(BadTarget, match=r"ld\.so starts nothing here\n.*\n.*-A python312 "):
        target.Target.from_interpreter(str(program), environment=os.environ)


def test_choice(tmp_path: Path, foreign: Path) -> None:
    """The linker beats --python, that the environment's own, that NIX_BINTOOLS, that our own."""
    lib = foreign / "glibc" / "lib"
    linker = str(lib / "ld-linux-aarch64.so.1")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    nix = {**os.environ, "NIX_BINTOOLS": bintools(tmp_path / "nix", dynamic_linker=linker)}

    found = target.choose_target(environment=nix, dynamic_linker=own_linker())
    assert (found.dynamic_linker, found.interpreter) == (own_linker(), None)

    found = target.choose_target(environment={}, libc_directory=str(lib))
    assert found.dynamic_linker == linker

    found = target.choose_target(
        environment=nix, python=sys.executable, virtual_environment=str(venv)
    )
    assert found.interpreter is not None
    assert found.interpreter.executable == sys.executable

    found = target.choose_target(environment=nix, virtual_environment=str(venv))
    assert found.interpreter is not None
    assert found.interpreter.executable == str(venv / "bin" / "python")
    assert found.dynamic_linker == own_linker()

    found = target.choose_target(environment=nix)
    assert (found.dynamic_linker, found.interpreter) == (linker, None)

    found = target.choose_target(environment={})
    assert (found.dynamic_linker, found.interpreter) == (own_linker(), None)


@pytest.mark.skipif(os.uname().machine == "aarch64", reason="needs a foreign machine")
def test_linker_and_interpreter_must_agree(foreign: Path) -> None:
    """A linker of one machine and an interpreter of another contradict each other."""
    with pytest.raises(BadTarget, match="the interpreter is for"):
        target.choose_target(
            environment=dict(os.environ),
            dynamic_linker=str(foreign / "glibc" / "lib" / "ld-linux-aarch64.so.1"),
            python=sys.executable,
        )

"""What `inspect` says of symbols: wanted of nobody, outside the stable ABI, and of debuggers."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.elf import TARGETS, ElfBuilder, run
from tests.support.wheels import MadeWheel

from nix_manylinux.cli.main import main
from nix_manylinux.data import read_stable_abi
from nix_manylinux.elf.symbols import read_symbols
from nix_manylinux.report.symbols import oldest_abi3
from nix_manylinux.target.target import from_running

if TYPE_CHECKING:
    from pathlib import Path

LINKER = ("--dynamic-linker", from_running().dynamic_linker)


def inspected(
    wheel: str, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[str, dict[str, Any]]:
    """Inspect a wheel; give what was printed, and what the JSON says of each file's symbols."""
    assert main(["inspect", wheel, *LINKER, *words]) == 0
    text = capsys.readouterr().out
    assert main(["inspect", wheel, *LINKER, "--json", "-"]) == 0
    seen = json.loads(capsys.readouterr().out)["inspection"]
    return text, {each["label"]: each for each in seen["symbols"]}


def test_symbols_that_nothing_defines(
    elf_files: ElfBuilder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the file itself, its libraries and the libc; weak ones and Python's own don't count."""
    base = elf_files.library(
        "libbase.so.1", soname="libbase.so.1", source="int base(void) { return 1; }"
    )
    lonely = elf_files.library(
        "lonely.so",
        source="extern int base(void), nobody(void), PyLong_FromLong(long), puts(const char *);"
        "extern int maybe(void) __attribute__((weak)); int own(void) { return base() + nobody()"
        ' + puts("") + (int)PyLong_FromLong(1) + (maybe ? maybe() : 0); }',
        needs=[base],
        rpath="$ORIGIN",
        libc=True,
    )
    lost = elf_files.library(
        "lost.so", source="extern int other(void); int lost(void) { return other(); }",
        needed=["libabsent.so.1"],
    )  # fmt: skip
    files = {f"made/{path.name}": path.read_bytes() for path in (base, lonely, lost)}
    made = MadeWheel(tag="cp311-cp311-linux_x86_64", files=files).write(tmp_path)
    text, seen = inspected(made, capsys)
    assert "symbols    nothing that it loads defines nobody: made/lonely.so" in text
    assert "abi3" not in text
    assert seen["made/lonely.so"]["undefined"] == ["nobody"]
    assert seen["made/libbase.so.1"]["undefined"] == []
    # What the missing library has nobody knows.
    assert seen["made/lost.so"]["undefined"] is None


def test_an_abi3_module_that_uses_more(
    elf_files: ElfBuilder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Newer than the tag's Python, or never in the stable ABI; with the file that wants it."""
    source = (
        "extern int PyLong_FromLong(long), PyUnicode_AsUTF8AndSize(void), _PyObject_New2(void);"
        "int PyInit_more(void) { return PyLong_FromLong(1) + PyUnicode_AsUTF8AndSize()"
        " + _PyObject_New2(); }"
    )
    more = elf_files.library("more.abi3.so", source=source).read_bytes()
    made = MadeWheel(tag="cp37-abi3-linux_x86_64", files={"made/more.abi3.so": more})
    text, seen = inspected(made.write(tmp_path), capsys)
    assert seen["made/more.abi3.so"]["not_in_abi3"] == {
        "PyUnicode_AsUTF8AndSize": "3.10",
        "_PyObject_New2": None,
    }
    told = " ".join(text.split())
    assert (
        "abi3 not in Python 3.7's stable ABI: PyUnicode_AsUTF8AndSize (3.10), _PyObject_New2"
        " (never in it), in made/more.abi3.so" in told
    )
    newer = tmp_path / "newer"
    newer.mkdir()
    plain = elf_files.library(
        "plain.so", source="extern int PyLong_FromLong(long);"
        " int PyInit_plain(void) { return PyLong_FromLong(1); }",
    ).read_bytes()  # fmt: skip
    made = MadeWheel(tag="cp310-abi3-linux_x86_64", files={"made/plain.abi3.so": plain})
    text, _ = inspected(made.write(newer), capsys)
    assert "abi3       uses nothing but the stable ABI of Python 3.10" in text


def test_marks_of_debuggers_and_processors(
    elf_files: ElfBuilder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What readelf and objcopy call build-id and debug link; instruction sets by their names."""
    library = elf_files.library(flags=["-Wl,--build-id=sha1", "-Wl,-z,x86-64-v3"])
    linked = elf_files.derive(
        library, "linked.so", ["objcopy", "--add-gnu-debuglink=/bin/true", "IN", "OUT"]
    )
    (wanted,) = re.findall("Build ID: ([0-9a-f]+)", run(["readelf", "-n", str(library)]))
    files = {"made/linked.so": linked.read_bytes()}
    made = MadeWheel(tag="py3-none-linux_x86_64", files=files).write(tmp_path)
    text, seen = inspected(made, capsys, "-v")
    each = seen["made/linked.so"]
    assert (each["build_id"], each["debug_link"], each["isa"]) == (wanted, "true", "x86-64-v3")
    assert "processor  x86-64-v3 or newer for made/linked.so" in text
    assert f"build-id {wanted}, in true" in " ".join(text.split())


@pytest.mark.parametrize("target", [None, *TARGETS])
def test_symbols_are_those_that_readelf_lists(elf_files: ElfBuilder, target: str | None) -> None:
    """Of every class, byte order and machine."""
    source = (
        "extern int far(void), away(void) __attribute__((weak));"
        " int near(void) { return far() + (away ? away() : 0); } int here = 1;"
    )
    library = elf_files.library("symbols.so", source=source, target=target)
    tool = run(["readelf", "-W", "--dyn-syms", str(library)])
    rows = [line.split() for line in tool.splitlines() if re.match(r" +[0-9]+: ", line)]
    named = [(row[4], row[6], row[-1].partition("@")[0]) for row in rows if len(row) > 7]
    symbols = read_symbols(library)
    assert symbols.known
    assert symbols.wanted == {n for bind, at, n in named if at == "UND" and bind != "WEAK"}
    assert symbols.defined == {n for bind, at, n in named if at != "UND" and bind != "LOCAL"}


def test_what_the_stable_abi_has() -> None:
    """Names of every release since it began, each once; tags say which one they promise."""
    known = read_stable_abi()
    assert len(known) > 900
    assert known["PyLong_FromLong"] == "3.2"
    assert known["PyUnicode_AsUTF8AndSize"] == "3.10"
    assert known["PyType_GetName"] == "3.11"
    assert "PyErr_SetExcFromWindowsErr" not in known
    assert oldest_abi3(["cp311-abi3-linux_x86_64", "cp39.cp37-abi3-linux_x86_64"]) == "3.7"
    assert not oldest_abi3(["cp311-cp311-linux_x86_64", "py3-none-any"])
    names = re.findall(r'"(_?Py\w+)"', json.dumps(sorted(known)))
    assert len(names) == len(known)


def test_this_python_has_the_stable_abi_of_its_release() -> None:
    """Every symbol of 3.2 is one that the running interpreter can give to a module."""
    code = (
        "import ctypes, json, sys\n"
        "print(json.dumps([n for n in json.load(sys.stdin) if not hasattr(ctypes.pythonapi, n)]))"
    )
    old = [name for name, version in read_stable_abi().items() if version == "3.2"]
    done = subprocess.run(
        ["python3", "-c", code], input=json.dumps(old), capture_output=True, text=True, check=True
    )
    absent = set(json.loads(done.stdout))
    # Without threads, or of debug builds: what its own configuration leaves out.
    assert len(absent) < 5, absent

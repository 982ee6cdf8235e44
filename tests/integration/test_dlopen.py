"""What is loaded by name at run time: found from inside the library that loads it, or told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.host import needed_names
from tests.support.installed import command, target_options
from tests.support.machines import MUSL_LINKER, musl_sandbox
from tests.support.scene import SITE, Scene
from tests.support.store import fake_store_path, host_store
from tests.support.trees import snapshot
from tests.support.wheels import MadeWheel

from nix_manylinux.cli.main import main
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from tests.support.isolation import Sandbox

_CALLER = r"""
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **words)
{
    void *handle = dlopen(words[1], RTLD_NOW);
    int (*go)(void) = handle ? (int (*)(void))dlsym(handle, "go") : 0;
    printf("%d\n", go ? go() : -1);
    return 0;
}
"""

_INNER = """
void *dlopen(const char *, int);
int go(void) { return dlopen("libq.so.1", 2) != 0; }
"""


def note(*sonames: str, priority: str = "required") -> str:
    """Write C that emits a dlopen note, with these alternatives."""
    entry = [{"feature": "f", "priority": priority, "soname": list(sonames)}]
    text = json.dumps(json.dumps(entry))
    return f"""
struct note {{ unsigned namesz, descsz, type; char owner[4]; char text[sizeof({text})]; }};
__attribute__((used, section(".note.dlopen"), aligned(4)))
static const struct note a_note = {{ 4, sizeof({text}), 0x407c0c0a, "FDO", {text} }};
"""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Give a scene on a store that has little but the libc."""
    return Scene(home=tmp_path, store=host_store(["libz.so.1", "libstdc++.so.6"]))


def go(scene: Scene, box: Sandbox, path: Path, *flags: str) -> str:
    """Open a library in a program of musl's and have it open libq.so.1 itself."""
    source, caller = scene.home / "caller.c", scene.home / "caller"
    source.write_text(_CALLER)
    subprocess.run([*flags, "-o", str(caller), str(source)], check=True)
    return box.run([str(caller), str(path)]).stdout.strip()


@pytest.mark.parametrize("how", ["string", "required", "recommended"])
def test_musl_finds_what_is_needed_by_name(scene: Scene, how: str) -> None:
    """Musl looks along the program's path only: the library gets the name among its needs."""
    files = scene.files
    source = _INNER + (note("libq.so.1", priority=how) if how != "string" else "")
    user = files.library("user.so", source=source, target="musl-gcc", libc=True)
    scene.put("pkg/user.so", user)
    place = fake_store_path(str(scene.home / "store"), "q")
    library = files.library("libq.so.1", soname="libq.so.1", target="musl-gcc")
    (Path(place) / "libq.so.1").write_bytes(library.read_bytes())
    tree = scene.home / "tree"
    target = ("--dynamic-linker", MUSL_LINKER, "--libs", place)
    runtime = () if how == "required" else ("--runtime-libs", "libq.so.1")
    done = command("patch", str(tree), *target, *runtime)
    assert done.status == 0, done.stderr
    path = tree / SITE / "pkg/user.so"
    assert "libq.so.1" in needed_names(str(path))
    assert go(scene, musl_sandbox(str(scene.home)), path, "musl-gcc") == "1"
    before = snapshot(tree)
    assert command("patch", str(tree), *target, *runtime).status == 0
    assert snapshot(tree) == before
    checked = command("check", str(tree), *target)
    assert checked.status == 0, checked.stderr
    assert "dlopen" not in checked.stderr


def test_what_python_names_goes_to_cffi(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weasyprint opens pango by cffi, whose module the loader asks along; and so it stays."""
    for name in ("_cffi_backend.cpython-311-x86_64-linux-gnu.so", "pkg/other.so"):
        scene.put(name, scene.files.library(name.rpartition("/")[2]))
    place = scene.library("q", scene.files.library("libq.so.1", soname="libq.so.1"))
    tree = scene.home / "tree" / SITE
    (tree / "pkg/ffi.py").write_text("ffi.dlopen('libq.so.1')\n")
    before = (tree / "pkg/other.so").read_bytes()
    options = [*target_options(scene.store), f"--libs={place}"]
    monkeypatch.setenv("NIX_STORE", str(scene.home / "store"))
    asked = command("patch", str(scene.home / "tree"), *options, "--runtime-libs", "libq.so.1")
    assert asked.status == 0, asked.stderr
    module = str(tree / "_cffi_backend.cpython-311-x86_64-linux-gnu.so")
    linked = read_elf(module)
    assert linked
    assert linked.runpath == place
    assert (tree / "pkg/other.so").read_bytes() == before
    again = command("patch", str(scene.home / "tree"), *options)
    assert again.status == 0, again.stderr
    assert read_elf(module) == linked


@pytest.mark.parametrize(
    "source", ["CDLL('libq.so.1')", "find_library('q')", "ffi.dlopen('libq.so.1')"]
)
def test_what_python_opens_elsewhere_is_told(scene: Scene, source: str) -> None:
    """The path of no file here counts, so that none is changed."""
    scene.put("pkg/other.so", scene.files.library("other.so"))
    place = scene.library("q", scene.files.library("libq.so.1", soname="libq.so.1"))
    (scene.home / "tree" / SITE / "pkg/opens.py").write_text(f"{source}\n")
    before = snapshot(scene.home / "tree")
    options = [*target_options(scene.store), f"--libs={place}", "--runtime-libs", "libq.so.1"]
    done = command("patch", str(scene.home / "tree"), *options)
    assert done.status == 0, done.stderr
    assert "warning: libq.so.1: opened from Python, along the search path of its own" in done.stderr
    assert snapshot(scene.home / "tree") == before


@pytest.mark.parametrize("flag", ["--filter", "--auxiliary"])
def test_musl_looks_for_no_filter(scene: Scene, flag: str) -> None:
    """It reads neither DT_FILTER nor DT_AUXILIARY: nothing is missing, and nothing is linked."""
    source = "int go(void) { return 5; }"
    flags = [f"-Wl,{flag}=libreal.so.1"]
    user = scene.files.library("user.so", source=source, target="musl-gcc", libc=True, flags=flags)
    scene.put("pkg/user.so", user)
    path = scene.home / "tree" / SITE / "pkg/user.so"
    for verb in ("patch", "check"):
        done = command(verb, str(scene.home / "tree"), "--dynamic-linker", MUSL_LINKER)
        assert done.status == 0, done.stderr
    assert go(scene, musl_sandbox(str(scene.home)), path, "musl-gcc") == "5"


def test_what_musl_will_not_find_is_told(scene: Scene) -> None:
    """A recommendation that nobody asked for, and a name that no file holds: a warning each."""
    files = scene.files
    source = _INNER + note("libq.so.1", priority="recommended")
    user = files.library("user.so", source=source, target="musl-gcc", libc=True)
    scene.put("pkg/user.so", user)
    place = fake_store_path(str(scene.home / "store"), "q")
    for name in ("libq.so.1", "libr.so.1"):
        library = files.library(name, soname=name, target="musl-gcc")
        (Path(place) / name).write_bytes(library.read_bytes())
    tree = scene.home / "tree"
    target = ("--dynamic-linker", MUSL_LINKER, "--libs", place)
    done = command("patch", str(tree), *target, "--runtime-libs", "libr.so.1")
    assert done.status == 0, done.stderr
    assert "musl looks for libq.so.1" in done.stderr
    assert "libr.so.1 can be found by programs of these trees, not by" in done.stderr
    checked = command("check", str(tree), *target)
    assert "musl looks for libq.so.1" in checked.stderr
    assert "everything loads, but for what is warned of" in checked.stderr


def test_any_alternative_of_a_note_will_do(scene: Scene) -> None:
    """The refusal names all of them, and what to paste is the one that nixpkgs has."""
    source = note("libvendorsnd.so.9", "libpulse.so.0")
    scene.put("pkg/m.so", scene.files.library("m.so", source=source))
    tree, target = str(scene.home / "tree"), target_options(scene.store)
    done = command("patch", tree, *target)
    assert done.status == 1
    assert "libvendorsnd.so.9 or libpulse.so.0" in done.stderr
    assert "-A libpulseaudio" in done.stderr
    assert "--ignore-missing" not in done.stderr
    seen = command("inspect", tree, *target, "--json", "-")
    (problem,) = json.loads(seen.stdout)["missing"]
    assert problem["alternatives"] == ["libpulse.so.0"]
    for name in ("libvendorsnd.so.9", "libpulse.so.0"):
        assert command("patch", tree, *target, "--ignore-missing", name, "--dry-run").status == 0
    place = fake_store_path(str(scene.home / "store"), "pulse")
    library = scene.files.library("libpulse.so.0", soname="libpulse.so.0")
    (Path(place) / "libpulse.so.0").write_bytes(library.read_bytes())
    assert command("patch", tree, *target, "--libs", place).status == 0


def test_many_notes_of_one_file_are_one_line(scene: Scene) -> None:
    """SDL has one for each of 28 libraries: they are counted, and JSON has each."""
    names = [f"libmaybe{number}.so.1" for number in range(9)]
    notes = [
        note(name, priority="recommended")
        .replace("a_note", f"a{at}")
        .replace("struct note", f"struct n{at}")
        for at, name in enumerate(names)
    ]
    scene.put("pkg/m.so", scene.files.library("m.so", source="".join(notes)))
    done = command("patch", str(scene.home / "tree"), *target_options(scene.store), "--json", "-")
    text = " ".join(done.stderr.split())
    assert f"ignored: {', '.join(names[:6])} and 3 more (not found; recommended by a" in text
    assert text.count("ignored: ") == 1
    assert all(name in done.stdout for name in names)


def test_a_runtime_library_that_is_nowhere(scene: Scene) -> None:
    """The refusal says who has it, and what to paste for that; of nonsense that nobody has it."""
    scene.put("pkg/m.so", scene.files.library("m.so"))
    ask = ["patch", str(scene.home / "tree"), *target_options(scene.store), "--runtime-libs"]
    done = command(*ask, "libEGL.so.1")
    assert done.status == 1  # as of any other library that is missing
    assert "libEGL.so.1: no library directory holds this runtime library" in done.stderr
    assert "  libEGL.so.1: libGL\n" in done.stderr
    assert "-A libGL.out" in done.stderr
    patch = f"nix-manylinux {' '.join(ask)}=libEGL.so.1"
    simple, chosen = done.stderr.partition("patch it with:\n")[2].split(
        "or, with packages of your choice:\n"
    )
    assert simple == f"{patch} --nixpkgs\n"
    assert chosen.startswith(f"{patch} \\\n  $(nix-build '<nixpkgs>' --no-out-link -A libGL.out |")
    assert "--runtime-libs=libEGL.so.1 --nixpkgs\n" in done.stderr
    assert "buildInputs" not in done.stderr
    both = command(*ask, "libEGL.so.1", "--runtime-libs", "libgbm.so.1")
    assert "libEGL.so.1, libgbm.so.1: no library directory holds these" in both.stderr
    build = command(*ask, "libEGL.so.1", environment={"NIX_BUILD_TOP": "/build"})
    assert "buildInputs = [ libGL ];" in build.stderr
    assert "--nixpkgs" not in build.stderr
    done = command(*ask, "libnonsense.so.1")
    assert "  libnonsense.so.1: nowhere in nixpkgs\n" in done.stderr
    assert "nix-build" not in done.stderr
    # What is pasted isn't refused for the same again.
    done = command(*ask, "libEGL.so.1", "--runtime-libs", "libnonsense.so.1")
    advice = done.stderr.partition("patch it with:\n")[2]
    assert "nonsense" not in advice.replace("# without libnonsense.so.1\n", "")
    assert advice.endswith("# without libnonsense.so.1\n")


def test_expr_asks_for_what_a_note_requires(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The package of the alternative that nixpkgs has becomes a build input."""
    source = note("libvendorsnd.so.9", "libpulse.so.0")
    data = scene.files.library("m.so", source=source).read_bytes()
    wheel = MadeWheel(tag="py3-none-manylinux_2_34_x86_64", files={"m/m.so": data}).write(tmp_path)
    assert main(["expr", wheel]) == 0
    out = capsys.readouterr().out
    assert "buildInputs = [ libpulseaudio ];" in out
    assert "May be loaded at run time" not in out

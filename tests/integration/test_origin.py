"""A target that nobody chose, and that isn't Nix's where the libraries are: it is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command, library_options, target_options
from tests.support.scene import SITE, Scene
from tests.support.store import host_store
from tests.support.wheels import MadeWheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.installed import Ran

MINOR = sys.version_info[1]
#: Begins the warning for wheels and trees.
UNCHOSEN = "this system's libc ("


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Give a tree of one module, which wants a library of a store."""
    scene = Scene(home=tmp_path, store=host_store(["libz.so.1"]))
    library = scene.files.library("libone.so.1", soname="libone.so.1")
    scene.library("one", library)
    scene.put("pkg/user.abi3.so", scene.files.library("user.so", needs=[library]))
    return scene


def run(scene: Scene, *words: str, **more: str) -> Ran:
    """Run the command; the scene's store is Nix's."""
    kept = {k: v for k, v in os.environ.items() if k not in {"NIX_BINTOOLS", "NIX_BUILD_TOP"}}
    return command(*words, environment={**kept, "NIX_STORE": str(scene.home / "store"), **more})


def wheel(scene: Scene, name: str, tag: str, *, program: bool = True) -> str:
    """Make a wheel of the scene's module, and of a program."""
    data = (scene.home / "tree" / SITE / "pkg/user.abi3.so").read_bytes()
    files = {f"{name}/user.abi3.so": data}
    files |= {f"{name}/tool": scene.files.program("tool").read_bytes()} if program else {}
    made = MadeWheel(name=name, tag=f"{tag}-linux_x86_64", files=files)
    return str(made.write(scene.home))


@pytest.mark.parametrize(
    ("tag", "attribute"), [("py3-none", "python3"), (f"cp3{MINOR}-cp3{MINOR}", f"python3{MINOR}")]
)
def test_wheels(scene: Scene, tag: str, attribute: str) -> None:
    """Once for several, with the option that chooses; not where something was chosen."""
    wheels = [wheel(scene, "one", tag), wheel(scene, "two", tag)]
    libs, out = library_options(scene.libraries), ["-o", str(scene.home / "out")]
    done = run(scene, "patch", *wheels, *out, *libs)
    assert done.status == 0, done.stderr
    lines = done.stderr.splitlines()
    (at,) = (n for n, line in enumerate(lines) if f"linked for {UNCHOSEN}" in line)
    python = f"\"$(nix-build '<nixpkgs>' -A {attribute} --no-out-link)/bin/python3\""
    assert lines[at + 1] == f"  --python {python}"
    linked = os.path.join(scene.home, "out", os.path.basename(wheels[0]))
    assert f"checked against {UNCHOSEN}" in run(scene, "check", linked).stderr
    for chosen in (["--python", sys.executable], target_options(scene.store)):
        assert UNCHOSEN not in run(scene, "patch", *wheels, *out, *libs, *chosen).stderr
        assert UNCHOSEN not in run(scene, "check", linked, *chosen).stderr
    build = {"NIX_BUILD_TOP": str(scene.home)}
    assert UNCHOSEN not in run(scene, "patch", *wheels, *out, *libs, **build).stderr
    # What is pasted doesn't lead to the warning.
    for verb, status in (("check", 1), ("inspect", 0)):
        done = run(scene, verb, wheels[0])
        assert done.status == status
        text = " ".join((done.stdout + done.stderr).replace("\\\n", "").split())
        assert f"--output-dir patched --python {python}" in text
        assert UNCHOSEN not in text
    empty = scene.library("empty")
    done = run(scene, "patch", wheels[0], *out, "--libs", empty)
    assert f"--libs={empty} \\\n  --python {python} \\\n  --ignore-missing" in done.stderr
    assert UNCHOSEN not in done.stderr


def test_wheels_without_programs(scene: Scene) -> None:
    """They are written alike for any libc: there is nothing to warn of."""
    one, libs = wheel(scene, "one", "py3-none", program=False), library_options(scene.libraries)
    written = []
    for python in ([], ["--python", sys.executable], target_options(scene.store)):
        done = run(scene, "patch", one, "-o", str(scene.home / "out"), *libs, *python)
        assert (done.status, UNCHOSEN in done.stderr) == (0, False), done.stderr
        written.append((scene.home / "out" / os.path.basename(one)).read_bytes())
    assert len({*written}) == 1
    assert "--python " not in run(scene, "check", one).stderr


def test_a_substitution_that_failed(scene: Scene) -> None:
    """What is left of `"$(nix-build ...)/bin/python3"` is the system's; of others it is nothing."""
    one, out = wheel(scene, "one", "py3-none"), ["-o", str(scene.home / "out")]
    libs = library_options(scene.libraries)
    assert os.path.exists("/bin/python3"), (
        "install the system's own Python: apt-get install python3"
    )
    done = run(scene, "patch", one, *out, *libs, "--python", "/bin/python3")
    text = "--python is /bin/python3, this system's and not Nix's: has the command in $(...)"
    assert text in done.stderr
    assert "$(" not in run(scene, "check", one, "--python", "/bin/python3").stderr
    text = "--libs is /lib, this system's and not Nix's: has the command in $(...)/lib failed?"
    for verb, more in ("patch", out), ("check", []):
        done = run(scene, verb, one, *more, "--libs", "/lib", "--json", str(scene.home / "json"))
        assert text in done.stderr
        assert text in json.loads((scene.home / "json").read_text())["warnings"]
    done = run(scene, "check", one, "--libs", "/lib", NIX_STORE=str(scene.home / "nowhere"))
    assert "$(...)" not in done.stderr  # there is no Nix
    for option in ("--python", "--libc", "--dynamic-linker", "--gc-roots", "--nixpkgs"):
        done = run(scene, "patch", one, *out, *libs, option, "")
        assert (done.status, "is a variable unset?" in done.stderr) == (2, True), done.stderr


def test_programs_that_are_linked_already(scene: Scene) -> None:
    """To check them is to start them as they say, not as this system would."""
    program = scene.files.program("tool", interpreter=scene.store.dynamic_linker)
    scene.put("pkg/tool", program)
    tree = str(scene.home / "tree")
    libs, chosen = library_options(scene.libraries), target_options(scene.store)
    root = os.path.dirname(os.path.dirname(os.path.dirname(scene.store.dynamic_linker)))
    assert run(scene, "patch", tree, *libs, *chosen).status == 0
    done = run(scene, "check", tree, NIX_STORE=root)
    assert done.status == 0, done.stderr
    assert f"for {scene.store.dynamic_linker}, which its programs are linked for" in done.stderr
    assert UNCHOSEN not in done.stderr
    # Where it is no linker of the store, or another one was named, it is a fault.
    assert run(scene, "check", tree).status == 1
    done = run(scene, "check", tree, "--python", sys.executable, NIX_STORE=root)
    assert "it is started by" in done.stderr


def test_trees_and_refusals(scene: Scene) -> None:
    """Said where a file doesn't fit, since it may be for that; not where Nix is out of the game."""
    tree = str(scene.home / "tree")
    old, new = (
        scene.files.library(
            "libtwo.so.1", source="int late(void) { return 0; }", soname="libtwo.so.1",
            versions=f"{version} {{ late; }};",
        )
        for version in ("V1", "V9")
    )  # fmt: skip
    uses = "int late(void); int m(void) { return late(); }"
    scene.put("pkg/late.so", scene.files.library("late.so", source=uses, needs=[new]))
    scene.library("two", old)
    done = run(scene, "patch", tree, *library_options(scene.libraries))
    assert done.status == 1
    assert UNCHOSEN in done.stderr, done.stderr
    (scene.home / "tree" / SITE / "pkg/late.so").unlink()
    done = run(scene, "patch", tree, "--libs", scene.library("empty"))
    assert done.status == 1
    assert UNCHOSEN not in done.stderr
    elsewhere = shutil.copytree(scene.libraries[0], scene.home / "elsewhere")
    for verb, status in (("check", 1), ("patch", 0), ("check", 0)):
        words = ["--libs", str(elsewhere)] if verb == "patch" else []
        done = run(scene, verb, tree, *words)
        assert done.status == status, done.stderr
        assert UNCHOSEN not in done.stderr


def test_the_python_of_a_tree(scene: Scene) -> None:
    """Where none was looked at, it is said for which Pythons the wheels are; nothing in a build."""
    libs, said = (
        library_options(scene.libraries),
        "by their tags the wheels are for CPython 3.7 and",
    )
    for name, minor in (("one", 7), ("two", MINOR), ("three", 7)):
        made = MadeWheel(name=name, tag=f"cp3{minor}-cp3{minor}-linux_x86_64", files={})
        with zipfile.ZipFile(made.write(scene.home)) as archive:
            archive.extractall(scene.home / "tree" / SITE)
    tree = str(scene.home / "tree")
    for verb in ("patch", "check"):
        done = run(scene, verb, tree, *libs)
        assert done.status == 0, done.stderr
        assert f"  {said} 3.{MINOR}; --python PROGRAM holds them against one" in done.stderr
        assert said not in run(scene, verb, tree, *libs, NIX_BUILD_TOP="/build").stderr
        refused = run(scene, verb, tree, *libs, "--python", sys.executable)
        assert "the wheel is for Python 3.7" in refused.stderr


def test_environments(scene: Scene) -> None:
    """Their own Python is no choice either: two commands make it Nix's."""
    venv = scene.home / "an env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    site = venv / f"lib/python3.{MINOR}/site-packages"
    # Where Nix would give the libraries, its Python comes first.
    (site / "pkg").mkdir()
    shutil.copy(scene.files.library("z.so", needed=["libz.so.1"]), site / "pkg/z.abi3.so")
    python = f"\"$(nix-build '<nixpkgs>' -A python3{MINOR} --no-out-link)/bin/python3\""
    again = f"  rm -f '{venv}'/bin/python* && {python} -m venv '{venv}'\n"
    for verb in ("check", "patch", "inspect"):
        done = run(scene, verb, str(venv))
        first, _, rest = done.stderr.partition(again)
        assert "not Nix's" in first, done.stderr
        assert "nix-manylinux patch" not in first
        assert f"nix-manylinux patch '{venv}' --nixpkgs" in rest + done.stdout
    shutil.rmtree(site / "pkg")
    shutil.copytree(scene.home / "tree" / SITE / "pkg", site / "pkg")
    assert "Nix's" not in run(scene, "check", str(venv)).stderr
    for verb, libs in (("patch", library_options(scene.libraries)), ("patch", []), ("check", [])):
        done = run(scene, verb, str(venv), *libs)
        assert done.status == 0, done.stderr
        lines = done.stderr.splitlines()
        start = f"warning: the Python of {venv} is {os.path.realpath(sys.executable)}, not Nix's"
        # What is still to be done stands last.
        assert lines[-3].startswith(start)
        assert lines[-2:] == [again.rstrip(), f"  nix-manylinux patch '{venv}' --nixpkgs"]
    with (venv / "pyvenv.cfg").open("a") as settings:
        settings.write("uv = 0.9.1\n")
    again = f"  uv venv --allow-existing --python {python} '{venv}'"
    assert run(scene, "check", str(venv)).stderr.splitlines()[-2] == again
    (venv / ".nix-manylinux-roots").mkdir()
    command = scene.home / "bin/nix-store"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    done = run(scene, "patch", str(venv), PATH=f"{command.parent}:{os.environ['PATH']}")
    lines = done.stderr.splitlines()
    assert (done.status, lines[-2]) == (0, again), done.stderr
    assert f" in {venv}/.nix-manylinux-roots" in lines[-4]

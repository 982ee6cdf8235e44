"""A target that nobody chose, and that isn't Nix's where the libraries are: it is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


def wheel(scene: Scene, name: str, tag: str) -> str:
    """Make a wheel of the scene's module."""
    data = (scene.home / "tree" / SITE / "pkg/user.abi3.so").read_bytes()
    made = MadeWheel(name=name, tag=f"{tag}-linux_x86_64", files={f"{name}/user.abi3.so": data})
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
    """Said where a patch is refused, since it may be for that; not where Nix is out of the game."""
    tree = str(scene.home / "tree")
    done = run(scene, "patch", tree, "--libs", scene.library("empty"))
    assert done.status == 1
    assert UNCHOSEN in done.stderr
    elsewhere = shutil.copytree(scene.libraries[0], scene.home / "elsewhere")
    for verb, status in (("check", 1), ("patch", 0), ("check", 0)):
        words = ["--libs", str(elsewhere)] if verb == "patch" else []
        done = run(scene, verb, tree, *words)
        assert done.status == status, done.stderr
        assert UNCHOSEN not in done.stderr


def test_environments(scene: Scene) -> None:
    """Their own Python is no choice either: two commands make it Nix's."""
    venv = scene.home / "an env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    site = venv / f"lib/python3.{MINOR}/site-packages"
    shutil.copytree(scene.home / "tree" / SITE / "pkg", site / "pkg")
    assert "Nix's" not in run(scene, "check", str(venv)).stderr
    for verb, libs in (("patch", library_options(scene.libraries)), ("patch", []), ("check", [])):
        done = run(scene, verb, str(venv), *libs)
        assert done.status == 0, done.stderr
        lines = done.stderr.splitlines()
        start = f"warning: the Python of {venv} is {os.path.realpath(sys.executable)}, not Nix's"
        (at,) = (n for n, line in enumerate(lines) if line.startswith(start))
        python = f"\"$(nix-build '<nixpkgs>' -A python3{MINOR} --no-out-link)/bin/python3\""
        assert lines[at + 1 : at + 3] == [
            f"  uv venv --allow-existing --python {python} '{venv}'",
            f"  nix-manylinux patch '{venv}' --nixpkgs",
        ]

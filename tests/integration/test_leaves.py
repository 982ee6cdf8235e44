"""``--missing leaves``: plugins may stay unloadable, nothing that is imported or started."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command, target_options
from tests.support.scene import SITE, Scene, call
from tests.support.store import host_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Give a scene on a store that has little but the libc."""
    return Scene(home=tmp_path, store=host_store(["libz.so.1", "libstdc++.so.6"]))


def put(
    scene: Scene, name: str, *needed: str, source: str = "int demo(void) { return 3; }"
) -> None:
    """Put a library into the tree."""
    base = name.rpartition("/")[2]
    flags = ["-Wl,--allow-shlib-undefined"]
    runpath = "$ORIGIN"
    file = scene.files.library(base, source=source, needed=needed, runpath=runpath, flags=flags)
    scene.put(name, file)


@pytest.mark.parametrize(
    ("name", "source", "is_leaf"),
    [
        ("pkg/plugins/libqsqlodd.so", "int x;", True),
        ("pkg/plugins/odd_1.so", "int x;", True),
        ("pkg/odd.cpython-311-x86_64-linux-gnu.so", "int x;", False),
        ("pkg/odd.abi3.so", "int x;", False),
        ("pkg/odd.so", "void *PyInit_odd(void) { return 0; }", False),
        ("pkg/odd.so", "void *PyInit_other(void) { return 0; }", True),
    ],
)
def test_what_is_a_leaf(name: str, source: str, is_leaf: bool, scene: Scene) -> None:  # noqa: FBT001
    """Modules are told by their tags, and by the function that Python calls."""
    put(scene, name, "libmissing.so.9", source=source)
    tree, target = str(scene.home / "tree"), target_options(scene.store)
    assert command("patch", tree, *target, "--dry-run").status == 1
    done = command("patch", tree, *target, "--missing", "leaves", "--json", "-")
    assert done.status == (0 if is_leaf else 1)
    report = json.loads(done.stdout)
    told = report["waived" if is_leaf else "missing"]
    assert [each["name"] for each in told] == ["libmissing.so.9"]
    checked = command("check", tree, *target, "--missing", "leaves")
    assert checked.status == (0 if is_leaf else 1), checked.stderr
    if is_leaf:
        assert "loads; 1 optional file will not load (1 library missing): nothing" in checked.stderr
        assert command("check", tree, *target).status == 1


@pytest.mark.parametrize(
    ("source", "is_leaf"),
    [
        ('path = here / "lib_odd.so"', False),
        ('path = f"{here}/lib_odd.{ending}"', False),
        ('path = here / "lib_oddly.so"', True),
        ("ctypes.CDLL(find_library('_odd'))", False),
        ("def f():\n    '''Like lib_odd.'''\n    # or lib_odd\n    return 1", True),
        ("print 'Python 2, of lib_odd'", False),
        ("from pkg import lib_odd", False),
    ],
)
def test_what_python_names_is_no_leaf(source: str, is_leaf: bool, scene: Scene) -> None:  # noqa: FBT001
    """Opened by ctypes, as lightgbm does; a library that it needs in turn is none either."""
    put(scene, "pkg/lib/libinner.so", "libmissing.so.9")
    put(scene, "pkg/lib/lib_odd.so", "libinner.so")
    (scene.home / "tree" / SITE / "pkg" / "basic.py").write_text(f"{source}\n")
    tree, target = str(scene.home / "tree"), target_options(scene.store)
    done = command("patch", tree, *target, "--missing", "leaves", "--dry-run")
    assert done.status == (0 if is_leaf else 1), done.stderr


@pytest.mark.parametrize(
    ("source", "is_leaf"),
    [
        ("import os as _os\nimport torch as _torch", True),
        ("from torch.nn import Module", True),
        ("try:\n    import torch\nexcept ImportError:\n    torch = None", False),
        ("from . import torch\nimport pkg, os", False),
        ("import torch.nn as nn", True),
        ('"""Opens what was installed\nfrom the wheel, or by an\nimport hook.\n"""', False),
    ],
)
def test_what_cannot_be_imported_names_nothing(source: str, is_leaf: bool, scene: Scene) -> None:  # noqa: FBT001
    """open3d brings a library for torch, which is opened by the files that import torch."""
    put(scene, "pkg/lib_odd.so", "libmissing.so.9")
    tree, target = scene.home / "tree", target_options(scene.store)
    (tree / SITE / "pkg" / "ops.py").write_text(f'{source}\nload("lib_odd.so")\n')

    def status() -> int:
        return command("patch", str(tree), *target, "--missing", "leaves", "--dry-run").status

    assert status() == 1  # a tree that is no environment need not have all
    (tree / "pyvenv.cfg").write_text("home = /nowhere\n")
    assert status() == (0 if is_leaf else 1)
    (tree / SITE / "torch").mkdir()
    assert status() == 1


def test_what_python_names_in_the_grafts_is_no_leaf(scene: Scene) -> None:
    """In NAME.libs, with auditwheel's hash: rtree opens its libspatialindex so."""
    put(scene, "pkg.libs/libodd-0a1b2c3d.so.6", "libmissing.so.9")
    (scene.home / "tree" / SITE / "pkg").mkdir()
    (scene.home / "tree" / SITE / "pkg" / "finder.py").write_text("name = 'libodd'\n")
    tree, target = str(scene.home / "tree"), target_options(scene.store)
    done = command("patch", tree, *target, "--missing", "leaves", "--dry-run")
    assert done.status == 1, done.stderr


@pytest.mark.parametrize(
    ("second", "told"), [("libz.so.1", "waived"), ("libmissing.so.12", "missing")]
)
def test_one_variant_of_a_module_must_load(second: str, told: str, scene: Scene) -> None:
    """One build for each MPI, of which mpi4py opens one: without any of them it is dead."""
    put(scene, "pkg/MPI.openmpi.cpython-311-x86_64-linux-gnu.so", "libmissing.so.40")
    put(scene, "pkg/MPI.mpich.cpython-311-x86_64-linux-gnu.so", second)
    tree, target = str(scene.home / "tree"), target_options(scene.store)
    libs = [word for each in scene.store.libraries() for word in ("--libs", each)]
    done = command("patch", tree, *target, *libs, "--missing", "leaves", "--json", "-")
    assert done.status == (1 if told == "missing" else 0), done.stderr
    report = json.loads(done.stdout)
    assert [each for each in ("missing", "waived") if report[each]] == [told]


def test_what_others_need_is_no_leaf(scene: Scene) -> None:
    """A library that a module leads to, through others, must load; what a leaf needs need not."""
    put(scene, "pkg/m.abi3.so", "liba.so")
    put(scene, "pkg/liba.so", "libb.so")
    put(scene, "pkg/libb.so", "libmissing.so.1")
    put(scene, "pkg/plugin.so", "libc.so")
    put(scene, "pkg/libc.so", "libother.so.2")
    tree, target = str(scene.home / "tree"), target_options(scene.store)
    done = command("patch", tree, *target, "--missing", "leaves")
    assert done.status == 1
    assert "libmissing.so.1" in done.stderr
    assert "libother.so.2" not in done.stderr


def test_the_rest_is_linked(scene: Scene) -> None:
    """What is not waived is patched and loads; -v names what is left."""
    scene.library("good", scene.files.library("libgood.so.1", soname="libgood.so.1"))
    put(scene, "pkg/m.abi3.so", "libgood.so.1")
    put(scene, "pkg/plugins/p.so", "libgood.so.1", "libmissing.so.9")
    tree = str(scene.home / "tree")
    words = [*target_options(scene.store), "--libs", scene.libraries[0], "--missing", "leaves"]
    done = command("patch", tree, *words, "-v")
    assert done.status == 0, done.stderr
    assert "wanted by lib/python3/site-packages/pkg/plugins/p.so" in done.stderr
    assert call(scene, f"{tree}/{SITE}/pkg/m.abi3.so") == "3"


def test_it_is_the_default_of_virtual_environments(scene: Scene) -> None:
    """A venv with Qt's plugins is patched without a word; another tree is not."""
    venv = scene.home / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    put(scene, "pkg/plugins/p.so", "libmissing.so.9")
    (venv / "lib/plugin.so").write_bytes(
        (scene.home / "tree" / SITE / "pkg/plugins/p.so").read_bytes()
    )
    done = command("patch", str(venv))
    assert done.status == 0, done.stderr
    assert "1 optional file will not load" in done.stderr
    assert command("patch", str(venv), "--missing", "fail").status == 1
    assert command("check", str(venv)).status == 0

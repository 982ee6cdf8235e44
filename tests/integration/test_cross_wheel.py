"""Libraries of other wheels: torch and its CUDA wheels in small, loaded by the real loader.

Every wheel has a prefix of its own while it is patched, as in Nix; then all are
loaded from there, and from environments made of links and of copies.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.support.prefixes import Prefixes
from tests.support.scene import SITE, Scene, call, run_path
from tests.support.store import fake_store_path, host_store

if TYPE_CHECKING:
    from pathlib import Path

TORCH = ("torch", "nvidia-b", "nvidia-c")


@pytest.fixture
def wheels(tmp_path: Path) -> Prefixes:
    """Make room for wheels on a store that has nothing but the libc."""
    return Prefixes(scene=Scene(home=tmp_path, store=host_store(["libz.so.1", "libstdc++.so.6"])))


def function(name: str, value: int, *calls: str) -> str:
    """Write a function that adds a number to what others return."""
    declared = "".join(f"int {other}(void);\n" for other in calls)
    total = " + ".join([str(value), *(f"{other}()" for other in calls)])
    return f"{declared}int {name}(void) {{ return {total}; }}\n"


def torch_like(wheels: Prefixes) -> str:
    """Make torch -> nvidia-b -> nvidia-c, with the driver under torch; give the driver's folder."""
    files = wheels.scene.files
    cuda = files.library("libcuda.so.1", source=function("cu", 1000), soname="libcuda.so.1")
    c = files.library("libc1.so.1", source=function("c", 1), soname="libc1.so.1", runpath="$ORIGIN")
    b = files.library(
        "libb.so.1",
        source=function("b", 10, "c"),
        soname="libb.so.1",
        needs=[c],
        rpath="$ORIGIN/../../c/lib:$ORIGIN",
    )
    # As torch's libraries: the private one has no path, its user's DT_RPATH leads it.
    own = files.library(
        "libown.so", source=function("own", 100, "b"), soname="libown.so", needs=[b]
    )
    a = files.library(
        "liba.so",
        source=function("demo", 0, "own", "cu"),
        soname="liba.so",
        needs=[own, cuda],
        rpath="$ORIGIN/../../nvidia/b/lib:$ORIGIN/../../nvidia/c/lib:$ORIGIN:/opt/intel64",
    )
    wheels.put("nvidia-c", "nvidia/c/lib/libc1.so.1", c)
    wheels.put("nvidia-b", "nvidia/b/lib/libb.so.1", b)
    wheels.put("torch", "torch/lib/liba.so", a)
    wheels.put("torch", "torch/lib/libown.so", own)
    for name in ("nvidia-b", "nvidia-c"):
        wheels.put(name, "nvidia/__init__.py", b"")  # every such wheel ships it
    wheels.describe("torch", "nvidia-b", "nvidia-c")
    wheels.describe("nvidia-b", "nvidia-c")
    wheels.describe("nvidia-c")
    folder = fake_store_path(str(wheels.scene.home / "driver"), "driver")
    shutil.copy(cuda, folder)
    return folder


def patch_torch(wheels: Prefixes, driver: str) -> None:
    """Patch the three, innermost first, as a Nix build does."""
    for name, beside in (("nvidia-c", ()), ("nvidia-b", TORCH[2:]), ("torch", TORCH[1:])):
        ran = wheels.patch(name, *beside, options=("--driver-dir", driver))
        assert ran.status == 0, ran.stderr


def test_each_in_its_own_prefix(wheels: Prefixes) -> None:
    """From torch to the last CUDA library everything is found where each wheel really is."""
    driver = torch_like(wheels)
    patch_torch(wheels, driver)
    loaded = wheels.prefix("torch") / SITE / "torch/lib/liba.so"
    assert call(wheels.scene, str(loaded)) == "1111"
    # Who is loaded first must not matter: the private library stands on its own.
    assert call(wheels.scene, str(loaded.with_name("libown.so")), "own") == "111"


def test_the_driver_comes_last(wheels: Prefixes) -> None:
    """The driver's directory is behind all others, and goes only where the driver is needed."""
    driver = torch_like(wheels)
    patch_torch(wheels, driver)
    folder = wheels.prefix("torch") / SITE / "torch/lib"
    kind, path = run_path(folder / "liba.so").split()
    assert kind == "RPATH"  # inherited by libown.so, so it has to stay DT_RPATH
    assert path.split(":")[-1] == driver
    assert "/opt/intel64" not in path
    assert driver not in run_path(folder / "libown.so")


@pytest.mark.parametrize("kind", ["links of files", "links of folders", "copies"])
def test_in_one_environment(wheels: Prefixes, kind: str) -> None:
    """Merged by links to files, by links to folders, or copied, all of it loads from there."""
    driver = torch_like(wheels)
    patch_torch(wheels, driver)
    if kind == "copies":
        environment = wheels.copied("env", *TORCH)
    else:
        environment = wheels.merged("env", *TORCH, folders=kind == "links of folders")
    site = environment / SITE
    assert os.path.islink(site / "torch") == (kind == "links of folders")
    assert call(wheels.scene, str(site / "torch/lib/liba.so")) == "1111"
    assert call(wheels.scene, str(site / "torch/lib/libown.so"), "own") == "111"
    assert call(wheels.scene, str(site / "nvidia/b/lib/libb.so.1"), "b") == "11"
    checked = wheels.check(environment)
    assert checked.status == 0, checked.stderr


def cycle(wheels: Prefixes) -> None:
    """Make two wheels that need each other: x in front, y behind."""
    files = wheels.scene.files
    stub = files.library("liby.so.1", source=function("y", 0), soname="liby.so.1")
    x = files.library(
        "libx.so.1",
        source=function("x", 1) + function("demo", 100, "y"),
        soname="libx.so.1",
        needs=[stub],
        runpath="$ORIGIN/../../y/lib",
    )
    y = files.library(
        "liby.so.1",
        source=function("y", 10, "x"),
        soname="liby.so.1",
        needs=[x],
        runpath="$ORIGIN/../../x/lib",
    )
    wheels.put("x", "nvidia/x/lib/libx.so.1", x)
    wheels.put("y", "nvidia/y/lib/liby.so.1", y)
    for name, other in (("x", "y"), ("y", "x")):
        wheels.put(name, "nvidia/__init__.py", b"")
        wheels.describe(name, other)


def patch_cycle(wheels: Prefixes) -> None:
    """Patch x, which has to believe in y, and then y, which has x."""
    ran = wheels.patch("x", options=("--provided-later", "liby.so.1"))
    assert ran.status == 0, ran.stderr
    ran = wheels.patch("y", "x")
    assert ran.status == 0, ran.stderr


def test_a_cycle_must_be_declared(wheels: Prefixes) -> None:
    """Without --provided-later the first of the two is refused, for the second's library."""
    cycle(wheels)
    ran = wheels.patch("x")
    assert ran.status == 1
    assert "liby.so.1" in ran.stderr


def test_a_cycle_loads_once_both_are_there(wheels: Prefixes) -> None:
    """Alone x fails, and check says so; merged by links to files, or copied, both halves load."""
    cycle(wheels)
    patch_cycle(wheels)
    alone = wheels.prefix("x")
    assert "liby.so.1: cannot open" in call(
        wheels.scene, str(alone / SITE / "nvidia/x/lib/libx.so.1")
    )
    checked = wheels.check(alone)
    assert checked.status == 1
    assert "liby.so.1" in checked.stderr
    linked = wheels.merged("linked", "x", "y", folders=False)
    for environment in (linked, wheels.copied("copied", "x", "y")):
        site = environment / SITE
        assert call(wheels.scene, str(site / "nvidia/x/lib/libx.so.1")) == "111"
        assert call(wheels.scene, str(site / "nvidia/y/lib/liby.so.1"), "y") == "11"
        assert wheels.check(environment).status == 0


def test_check_sees_through_links_to_folders(wheels: Prefixes) -> None:
    """Where links to folders lead the loader astray, check says what the loader says.

    The kernel follows ``nvidia/x`` out of the environment before it goes up
    again: ``$ORIGIN/../../y`` is looked for beside x's own prefix. The other
    half knows x's real place, and a process that has it loaded has both.
    """
    cycle(wheels)
    patch_cycle(wheels)
    environment = wheels.merged("env", "x", "y", folders=True)
    site = environment / SITE
    assert call(wheels.scene, str(site / "nvidia/y/lib/liby.so.1"), "y") == "11"
    assert "liby.so.1: cannot open" in call(wheels.scene, str(site / "nvidia/x/lib/libx.so.1"))
    checked = wheels.check(environment)
    assert checked.status == 1
    assert "nvidia/x/lib/libx.so.1" in checked.stderr
    assert "nvidia/y/lib/liby.so.1" not in checked.stderr


def hashed(wheels: Prefixes, name: str, value: int) -> Path:
    """Compile the private copy of a library whose hashed name two wheels share."""
    text = function("shared", value)
    return wheels.scene.files.library(name, source=text, soname=name)


def test_the_own_copy_wins_over_another_wheels(wheels: Prefixes) -> None:
    """Of one hashed name the wheel's own file is loaded, whatever is beside it."""
    name = "libgomp-e985bcbb.so.1.0.0"
    mine, other = hashed(wheels, name, 1), hashed(wheels, name, 2)
    ext = wheels.scene.files.library("ext.so", source=function("demo", 0, "shared"), needs=[mine])
    wheels.put("mine", "pkg/ext.so", ext)
    wheels.put("mine", f"pkg.libs/{name}", mine)
    wheels.put("other", f"aaa.libs/{name}", other)
    wheels.describe("mine", "other")
    ran = wheels.patch("mine", "other")
    assert ran.status == 0, ran.stderr
    assert call(wheels.scene, str(wheels.prefix("mine") / SITE / "pkg/ext.so")) == "1"


@pytest.mark.parametrize("required", [True, False])
def test_a_library_wins_over_an_unrelated_wheel(wheels: Prefixes, *, required: bool) -> None:
    """The private libgomp of a wheel counts only for who requires that wheel."""
    name = "libgomp.so.1"
    private, system = hashed(wheels, name, 1), hashed(wheels, name, 2)
    wheels.scene.library("gcc", system)
    ext = wheels.scene.files.library("ext.so", source=function("demo", 0, "shared"), needs=[system])
    wheels.put("numba", "numba/ext.so", ext)
    wheels.put("torch", "torch/lib/libgomp.so.1", private)
    wheels.describe("numba", *(["torch"] if required else []))
    wheels.describe("torch")
    ran = wheels.patch("numba", "torch")
    assert ran.status == 0, ran.stderr
    loaded = call(wheels.scene, str(wheels.prefix("numba") / SITE / "numba/ext.so"))
    assert loaded == ("1" if required else "2")


def test_a_wheel_beside_the_scripts(wheels: Prefixes) -> None:
    """What mkl and tbb install, PREFIX/lib, is a library directory to others, `$ORIGIN` inside."""
    files = wheels.scene.files
    tbb = files.library("libtbb.so.12", source=function("tbb", 5), soname="libtbb.so.12")
    core = files.library("libmkl_core.so.3", source=function("core", 7), soname="libmkl_core.so.3")
    thread = files.library(
        "libmkl_tbb_thread.so.3",
        source=function("demo", 0, "tbb", "core"),
        soname="libmkl_tbb_thread.so.3",
        needs=[tbb, core],
    )
    # Three copies where a package would have links, as tbb's wheel has.
    for name in ("libtbb.so", "libtbb.so.12", "libtbb.so.12.18"):
        wheels.put("tbb", f"../../{name}", tbb)
    for name, file in (("libmkl_core.so.3", core), ("libmkl_tbb_thread.so.3", thread)):
        wheels.put("mkl", f"../../{name}", file)
    wheels.describe("mkl", "tbb")
    wheels.describe("tbb")
    assert wheels.patch("tbb").status == 0
    place = os.path.normpath(wheels.prefix("tbb") / SITE / "../..")
    ran = wheels.patch("mkl", "tbb", options=("--libs", place))
    assert ran.status == 0, ran.stderr
    loaded = os.path.normpath(wheels.prefix("mkl") / SITE / "../../libmkl_tbb_thread.so.3")
    assert run_path(type(wheels.prefix("mkl"))(loaded)) == f"RUNPATH $ORIGIN:{place}"
    assert call(wheels.scene, loaded) == "12"

"""Tags in WHEEL that don't fit: what is installed decides, as it does for an interpreter."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command, target_options
from tests.support.scene import Scene
from tests.support.store import host_store
from tests.support.wheels import MadeWheel

if TYPE_CHECKING:
    from pathlib import Path

OWN = str(sysconfig.get_config_var("EXT_SUFFIX"))
MODULE = "void *PyInit_m(void) { return 0; }"
OLD = "cp36-cp36m-manylinux2010_x86_64"


def installed(tmp_path: Path, name: str, source: str, tag: str = OLD) -> Path:
    """Let pip install a wheel whose file's name fits everything, and whose WHEEL says ``tag``."""
    scene = Scene(home=tmp_path, store=host_store(["libz.so.1"]))
    library = scene.files.library(name.rpartition("/")[2], source=source)
    wheel = MadeWheel(tag=tag, files={name: library.read_bytes()}).write(tmp_path)
    fitting = tmp_path / "fits" / "made-1.0-py3-none-linux_x86_64.whl"
    fitting.parent.mkdir()
    shutil.copy(wheel, fitting)
    tree = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--target", tree, fitting], check=True)
    return tree


@pytest.mark.parametrize(
    ("name", "source", "fits"),
    [
        ("made/libmade.so", "int made;", True),
        (f"made/m{OWN}", MODULE, True),
        ("made/m.abi3.so", MODULE, True),
        ("made/m.cpython-36m-x86_64-linux-gnu.so", MODULE, False),
        ("made/m.so", MODULE, False),
        ("made/m.so", "int no_module;", True),
    ],
)
def test_the_modules_decide(name: str, source: str, fits: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Decord's py3-none wheels say cp36-cp36m and have a library only: that runs anywhere."""
    tree = installed(tmp_path, name, source)
    store = host_store(["libz.so.1"])
    done = command("patch", str(tree), *target_options(store), "--python", sys.executable)
    assert done.status == (0 if fits else 1), done.stderr
    assert "the wheel is for Python 3.6" in done.stderr
    assert ("warning: " in done.stderr) is fits
    assert ("error: " in done.stderr) is not fits


@pytest.mark.parametrize(("name", "fits"), [("made/libmade.so", True), ("made/m.so", False)])
def test_inspect_says_what_patch_does(name: str, fits: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """The same rule in the same words; what does not fit is named."""
    tree = installed(tmp_path, name, MODULE if name.endswith("m.so") else "int made;")
    to = (*target_options(host_store(["libz.so.1"])), "--python", sys.executable)
    seen = command("inspect", str(tree), *to)
    assert seen.status == 0
    said = [line for line in seen.stderr.splitlines() if "is for Python 3.6" in line]
    patched = command("patch", str(tree), *to)
    assert said == [line for line in patched.stderr.splitlines() if fits and "3.6" in line]
    unfit = "does not fit this target:\n  made 1.0: the wheel is for Python 3.6, this is"
    assert (unfit in seen.stdout) is not fits


def test_another_platform_stays_refused(tmp_path: Path) -> None:
    """A libc is what a file was linked for, whatever it is called."""
    tree = installed(tmp_path, "made/libmade.so", "int made;", "py3-none-musllinux_1_2_x86_64")
    store = host_store(["libz.so.1"])
    done = command("patch", str(tree), *target_options(store), "--python", sys.executable)
    assert done.status == 1
    assert "the wheel is for musl" in done.stderr


def test_a_record_that_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    """Then the tags count."""
    tree = installed(tmp_path, "made/libmade.so", "int made;")
    (tree / "made-1.0.dist-info/RECORD").unlink()
    store = host_store(["libz.so.1"])
    done = command("patch", str(tree), *target_options(store), "--python", sys.executable)
    assert done.status == 1
    assert "the wheel is for Python 3.6" in done.stderr

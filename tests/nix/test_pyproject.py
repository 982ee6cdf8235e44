"""Sets of pyproject.nix under our overlay: in small, and a real uv.lock by the real uv2nix.

The same lock by our own set: PySide6 with its three wheels, and nothing written by hand.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.nix.test_packages import run
from tests.wheels.choose import fitting

from nix_manylinux.lock.make import make_lock
from nix_manylinux.lock.toml import parse_toml
from nix_manylinux.target.place import Place

if TYPE_CHECKING:
    from tests.support.rings import Nix

pytestmark = pytest.mark.nix


def test_an_environment(nix: Nix) -> None:
    """Required packages' libraries are found, a circle is linked, and the whole is checked."""
    path = nix.build("pyproject.environment").path
    assert run(nix, f"{path}/bin/python3", "import probe; assert probe.answer == 42")
    # The circle's members lie in one package, so whoever is opened first finds the other.
    site = next(Path(path).glob("lib/python3.*/site-packages"))
    graph = site / "nvidia/cudnn/lib/libcudnn_graph.so.9"
    assert (
        os.path.realpath(site / "torchlike/_C.so").split("/")[:4]
        == (os.path.realpath(graph).split("/")[:4])
    )
    done = nix.build("pyproject.set.nvidia-cublas").path
    closure = nix.closure(nix.build("pyproject.set.torchlike").path)
    assert done in closure


def test_names_of_a_circle_stay_what_they_are(nix: Nix) -> None:
    """They are one derivation, and each has the name and the requirements that it had."""
    first, second = (f"pyproject.set.{name}" for name in ("nvidia-cudnn", "torchlike"))
    assert nix.build(first).path == nix.build(second).path
    assert [nix.evaluate(f"{each}.pname") for each in (first, second)] == [
        "nvidia-cudnn",
        "torchlike",
    ]
    assert nix.evaluate(f"{second}.passthru.dependencies") == {"nvidia-cudnn": []}


def test_what_is_missing_is_named(nix: Nix) -> None:
    """A package whose library nobody offers is refused, by our hook."""
    log = nix.fails("pyproject.refused")
    assert "libnest.so.1" in log
    assert "build tools" not in log


def test_the_whole_is_checked(nix: Nix) -> None:
    """A package that was kept from our hook is found out when the environment is built."""
    said = nix.fails("pyproject.unlinked")
    assert "libnest.so.1" in said
    assert "NAME = prev.NAME.overrideAttrs" in said


def test_what_a_package_ignores(nix: Nix) -> None:
    """The check of the whole does without what a package's own attributes ignore."""
    nix.build("pyproject.ignoring")


IMPORTS = """
import numpy, lxml.etree
import PySide6.QtWidgets as q
import PySide6.QtCharts, PySide6.QtMultimedia, PySide6.QtNfc, PySide6.QtQuick3D
q.QApplication(["-", "-platform", "offscreen"])
assert numpy.arange(4).sum() == 6
"""


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Lock a project with uv, and fetch its wheels; gives Nix arguments."""
    folder = tmp_path_factory.mktemp("project")
    wheels = folder.parent / f"{folder.name}-wheels"
    wanted = ["numpy", "lxml", "PySide6_Addons", "ruff"]
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "all"\nversion = "1"\nrequires-python = "==3.11.*"\n'
        f"dependencies = {wanted}\n[tool.uv]\npackage = false\n".replace("'", '"')
    )
    uv = os.path.join(os.path.dirname(sys.executable), "uv")
    subprocess.run([uv, "lock", "--quiet"], cwd=folder, check=True)
    wheels.mkdir()
    for package in parse_toml((folder / "uv.lock").read_bytes(), "uv.lock").tables("package"):
        # uv2nix knows the platform by other means than pip: whatever fits may be taken.
        if "wheels" in package:
            for path in fitting(f"{package['name']}=={package['version']}"):
                shutil.copy(path, wheels)
    return {"project": str(folder), "lockWheels": str(wheels), "uv": uv}


@pytest.mark.asked_for("NIX_MANYLINUX_UV2NIX")
def test_the_real_uv2nix(nix: Nix, locked: dict[str, str]) -> None:
    """Of a real uv.lock everything is imported where only the store is visible."""
    path = nix.build("uv2nix.ours.env", **locked).path
    assert run(nix, f"{path}/bin/python3", IMPORTS, HOME="/")
    done = subprocess.run([f"{path}/bin/ruff", "--version"], capture_output=True, check=True)
    assert done.stdout.startswith(b"ruff ")


@pytest.mark.asked_for("NIX_MANYLINUX_NIXPKGS")
def test_the_same_lock_by_our_own_set(nix: Nix, locked: dict[str, str], tmp_path: Path) -> None:
    """`lock` and manylinuxLockedPackages, of the same uv.lock: two commands, nothing by hand."""
    lock = make_lock(
        os.path.join(locked["project"], "uv.lock"),
        [Place(python=nix.python.removeprefix("python"), system="x86_64-linux")],
        cache=str(tmp_path),
        environment={**os.environ, "PIP_FIND_LINKS": locked["lockWheels"]},
    )
    (tmp_path / "lock.json").write_text(json.dumps(lock.value))
    arguments = {"lock": str(tmp_path / "lock.json"), "lockWheels": locked["lockWheels"]}
    path = nix.build("locked.set.env", **arguments).path
    assert run(nix, f"{path}/bin/python3", IMPORTS, HOME="/")


@pytest.mark.asked_for("NIX_MANYLINUX_UV2NIX")
def test_without_us_it_fails(nix: Nix, locked: dict[str, str]) -> None:
    """The same lock by uv2nix alone: what the overlay is for."""
    assert "could not satisfy dependency" in nix.fails("uv2nix.theirs.env", **locked)

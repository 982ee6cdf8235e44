"""Real wheels as packages: built by format, imported where only the store is visible."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.rings import ring, store_alone
from tests.wheels.corpus import folder, wheel

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet
    from tests.support.rings import Nix

pytestmark = [pytest.mark.nix, pytest.mark.wheels]

#: Package -> its wheel in the list, its own name in a closure, and what has to work.
PACKAGES = {
    "numpy": (
        "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64",
        "import numpy.linalg; assert numpy.linalg.inv(2 * numpy.eye(2))[0, 0] == 0.5",
    ),
    "pillow": (
        "pillow-",
        "import PIL.features as f; assert f.check('jpg') and f.check('freetype2')",
    ),
    "pandas": ("pandas-", "import pandas; assert pandas.Series([1, 2]).sum() == 3"),
    "opencv": (
        "opencv_python-",
        "import cv2, numpy; cv2.GaussianBlur(numpy.zeros((9, 9), 'uint8'), (3, 3), 0)",
    ),
    "shiboken6": ("shiboken6-", "import shiboken6"),
    "pyside6": (
        "pyside6_essentials-",
        "import PySide6.QtWidgets as q; q.QApplication(['-', '-platform', 'offscreen'])",
    ),
}

#: Prints the files that the process has mapped.
MAPPED = """
import json, re
print("\\n" + json.dumps(sorted({line.split(None, 5)[5].strip()
    for line in open("/proc/self/maps") if ".so" in line})))
"""


def each_on_its_python(*names: str) -> list[ParameterSet]:
    """Mark those packages whose wheels are for one Python alone."""
    alone = {"numpy", "pillow", "pandas", "opencv"}
    return [
        pytest.param(name, marks=[pytest.mark.cp311] if name in alone else []) for name in names
    ]


def wheels() -> str:
    """Give the folder of the wheels with all that are built here in it."""
    for start, _ in PACKAGES.values():
        wheel(start)
    wheel("numpy-2.4.6-cp311-cp311-manylinux")
    wheel("ruff-")
    return folder()


def run(nix: Nix, program: str, code: str, **environment: str) -> list[str]:
    """Run Python code where only the store is, and return the libraries that were mapped."""
    done = store_alone(nix).run([program, "-c", code + "\n" + MAPPED], environment=environment)
    assert done.returncode == 0, done.stderr
    mapped: list[str] = json.loads(done.stdout.splitlines()[-1])
    return mapped


def site_packages(nix: Nix, path: str) -> str:
    """Give the search path of a package and everything that it propagates."""
    found = []
    for each in nix.closure(path):
        found += [str(place) for place in Path(each).glob("lib/python3.*/site-packages")]
    return ":".join(found)


@pytest.mark.parametrize("name", each_on_its_python(*PACKAGES))
def test_by_format(nix: Nix, name: str) -> None:
    """It builds with its format, works in isolation, and its closure holds what it loads."""
    path = nix.build(f"packages.packages.{name}", realWheels=wheels()).path
    python = nix.build("interpreter.plain").path
    mapped = run(
        nix,
        f"{python}/bin/python3",
        PACKAGES[name][1],
        PYTHONPATH=site_packages(nix, path),
        FONTCONFIG_FILE="/dev/null",
    )
    closure = set(nix.closure(path))
    for library in mapped:
        if library.startswith(("/lib64/", "/lib/")):
            continue  # the libc, by its default directory
        assert "/".join(library.split("/")[: nix.store.count("/") + 2]) in closure, library


def test_program_by_format(nix: Nix) -> None:
    """A program from a wheel starts in isolation, with nothing but its own closure's libraries."""
    path = nix.build("packages.packages.ruff", realWheels=wheels()).path
    done = store_alone(nix).run([f"{path}/bin/ruff", "--version"])
    assert done.stdout.split() == ["ruff", "0.17.6"], done.stderr


@pytest.mark.parametrize(
    "name", each_on_its_python(*(PACKAGES if ring() == "two" else ["numpy"]), "ruff")
)
def test_the_parts_give_the_same_tree(nix: Nix, name: str) -> None:
    """With `format = "wheel"` and the hook, every file is the same; ring two builds them all."""
    by_format = nix.build(f"packages.packages.{name}", realWheels=wheels()).path
    by_hook = nix.build(f"packages.byHook.{name}", realWheels=wheels()).path
    assert tree(by_format) == tree(by_hook)


def tree(path: str) -> dict[str, bytes]:
    """Read all files of a store path, with its own name blanked out; a row of RECORD has hashes."""
    own = os.path.basename(path)[:32].encode()
    found = {}
    for root, _, names in os.walk(path):
        for name in names:
            file = Path(root) / name
            content = os.readlink(file).encode() if file.is_symlink() else file.read_bytes()
            content = content.replace(own, b"0" * 32)
            if name == "RECORD":
                content = re.sub(rb",sha256=[^,]*,[0-9]*", b"", content)
            found[os.path.relpath(file, path)] = content if ".pyc" not in name else b""
    return found


@pytest.mark.cp311
def test_wheel_to_wheel(nix: Nix) -> None:
    """A real wheel, patched as one and installed from that, works in isolation."""
    path = nix.build("packages.fromPatchedWheel", realWheels=wheels()).path
    python = nix.build("interpreter.plain").path
    run(nix, f"{python}/bin/python3", PACKAGES["pillow"][1], PYTHONPATH=site_packages(nix, path))
    wheel_itself = nix.build("packages.patchedWheel", realWheels=wheels()).path
    for each in (path, wheel_itself):
        assert any("zlib" in reference for reference in nix.references(each)), each


@pytest.mark.cp311
def test_all_in_one_environment(nix: Nix) -> None:
    """In the tree's own merged environment they all work at once, other wheels' libraries too."""
    environment = nix.build("packages.environment", realWheels=wheels()).path
    code = "\n".join(code for name, (_, code) in PACKAGES.items() if name != "shiboken6")
    mapped = run(nix, f"{environment}/bin/python3", code, FONTCONFIG_FILE="/dev/null")
    assert any("libshiboken6" in library for library in mapped)
    manylinux = "import _manylinux; print(_manylinux.__file__)"
    assert run(nix, f"{environment}/bin/python3", manylinux)

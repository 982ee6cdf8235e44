"""Environments of patched wheels: everything in them is imported by one interpreter, alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command, library_options, site_packages, target_options, unpack
from tests.support.isolation import sandbox
from tests.support.loading import start_program
from tests.support.store import host_store
from tests.wheels import corpus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.support.store import Store

pytestmark = [
    pytest.mark.wheels,
    pytest.mark.slow,
    pytest.mark.xfail(sys.version_info[:2] != (3, 11), reason="wheels for Python 3.11", run=False),
]

WHEELS = (
    "numpy-2.4.6-cp311-cp311-manylinux", "scipy-", "pandas-", "python_dateutil-", "six-",
    "pillow-", "lxml-", "pyzmq-", "orjson-", "ruff-",
)  # fmt: skip
GRAPHICS = ("opencv_python-", "shiboken6-")
#: It needs a library of shiboken6's, and has plugins for clients that few machines have.
PYSIDE = "pyside6_essentials-"
LATER = ["--provided-later", "libshiboken6.abi3.so.6.12", "--missing", "warn"]

IMPORTS = """
import numpy, numpy.linalg, numpy.random, PIL.Image, PIL._imagingft, lxml.etree, zmq, orjson
import scipy.linalg, scipy.optimize, scipy.sparse.linalg, scipy.special, scipy.fft, scipy.signal
import pandas
assert numpy.linalg.inv(numpy.eye(3)).sum() == 3
assert scipy.linalg.det(numpy.eye(3) * 2) == 8
assert pandas.DataFrame({"a": [1, 2]}).a.sum() == 3
assert lxml.etree.fromstring("<a><b/></a>")[0].tag == "b"
"""

GRAPHICS_IMPORTS = """
import cv2, shiboken6
from PySide6 import QtCore, QtGui, QtWidgets
assert cv2.cvtColor(numpy.zeros((4, 4, 3), "uint8"), cv2.COLOR_BGR2GRAY).shape == (4, 4)
application = QtWidgets.QApplication(["test"])
assert application.platformName() == "offscreen"
"""


def by_installer(environment: Path, wheels: Sequence[str]) -> None:
    """Make the environment with the standard library, and fill it with installer."""
    make = [sys.executable, "-m", "venv", "--without-pip", str(environment)]
    subprocess.run(make, check=True)
    for wheel in wheels:
        unpack(wheel, str(environment))


def by_uv(environment: Path, wheels: Sequence[str]) -> None:
    """Make and fill it with uv, which is in the list of wheels itself."""
    beside = environment.parent
    unpack(corpus.wheel("uv-"), str(beside / "uv"))
    uv = str(beside / "uv/bin/uv")
    variables = {**os.environ, "UV_CACHE_DIR": str(beside / "cache"), "UV_OFFLINE": "1"}
    make = [uv, "venv", "--quiet", "--python", sys.executable, str(environment)]
    subprocess.run(make, check=True, env=variables)
    fill = [uv, "pip", "install", "--quiet", "--no-deps", "--no-index"]
    fill += ["--python", str(environment / "bin/python"), *wheels]
    subprocess.run(fill, check=True, env=variables)


@pytest.fixture(scope="module")
def store() -> Store:
    """Make a store of all that this machine has."""
    return host_store()


@pytest.fixture(scope="module")
def patched(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patch all wheels, each by itself, into two folders; what PySide6 lacks is in report.json."""
    folder = tmp_path_factory.mktemp("patched")
    options = [*target_options(store), *library_options(store.libraries())]
    missing = [*LATER, "--json", str(folder / "report.json")]
    for place, wheels, more in (
        ("plain", WHEELS, []),
        ("graphics", GRAPHICS, []),
        ("graphics", (PYSIDE,), missing),
    ):
        words = ["patch", *map(corpus.wheel, wheels), "--output-dir", str(folder / place)]
        ran = command(*words, *options, *more)
        assert ran.status == 0, ran.stderr
    return folder


@pytest.mark.parametrize(
    ("make", "graphics"),
    [
        (by_uv, True),
        (by_installer, False),  # it takes its time
        pytest.param(by_installer, True, marks=pytest.mark.asked_for("NIX_MANYLINUX_WHOLE_LIST")),
    ],
)
def test_everything_is_imported_at_once(
    make: Callable[[Path, Sequence[str]], None],
    *,
    graphics: bool,
    patched: Path,
    store: Store,
    tmp_path: Path,
) -> None:
    """Wheels that were patched apart import together, Qt draws offscreen, and check is content."""
    environment = tmp_path / "environment"
    wheels = [str(path) for path in sorted(patched.glob("*/*.whl" if graphics else "plain/*.whl"))]
    assert len(wheels) == len(WHEELS) + (len(GRAPHICS) + 1 if graphics else 0)
    make(environment, wheels)
    box = sandbox(store, str(environment))
    path = site_packages(str(environment))
    ran = box.run(
        [store.python, "-c", IMPORTS + GRAPHICS_IMPORTS * graphics + "print('all of it')"],
        environment={"PYTHONPATH": path, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert ran.stdout == "all of it\n", ran.stderr
    assert start_program(box, str(environment / "bin/ruff")).ok
    # Nothing is lost in the environment but what the patch had said nobody here has.
    report = json.loads((patched / "report.json").read_text())
    waived = [
        f"--ignore-missing={file}:{problem['name']}"
        for problem in report["missing"]
        for file in problem["wanted_by"]
        if graphics
    ]
    words = ["check", str(environment), *target_options(store), *waived]
    checked = command(*words, *library_options(store.libraries()))
    assert checked.status == 0, checked.stderr
    shutil.rmtree(tmp_path)

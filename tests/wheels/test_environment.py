"""An environment of patched wheels: everything in it is imported by one interpreter, alone."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command, library_options, site_packages, target_options, unpack
from tests.support.isolation import sandbox
from tests.support.store import host_store
from tests.wheels import corpus

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.store import Store

pytestmark = [pytest.mark.wheels, pytest.mark.slow]

WHEELS = (
    "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64",
    "pillow-",
    "lxml-",
    "pyzmq-",
    "orjson-",
    "opencv_python-",
    "shiboken6-",
    "pyside6_essentials-",
)

IMPORTS = """
import numpy, numpy.linalg, numpy.random, PIL.Image, PIL._imagingft, lxml.etree, zmq, orjson
import cv2, shiboken6
from PySide6 import QtCore, QtGui, QtWidgets
assert numpy.linalg.inv(numpy.eye(3)).sum() == 3
assert lxml.etree.fromstring("<a><b/></a>")[0].tag == "b"
assert cv2.cvtColor(numpy.zeros((4, 4, 3), "uint8"), cv2.COLOR_BGR2GRAY).shape == (4, 4)
application = QtWidgets.QApplication(["test"])
assert application.platformName() == "offscreen"
print("all of it")
"""


@pytest.mark.xfail(sys.version_info[:2] != (3, 11), reason="wheels for Python 3.11", run=False)
def test_everything_is_imported_at_once(tmp_path: Path) -> None:
    """Patched as wheels, put into one environment, they import together, Qt draws offscreen."""
    store = host_store()
    wheels = [patched(store, start, tmp_path) for start in WHEELS]
    environment = tmp_path / "environment"
    make = [sys.executable, "-m", "venv", "--without-pip", "--copies", str(environment)]
    subprocess.run(make, check=True)
    for wheel in wheels:
        unpack(wheel, str(environment))
    options = [*target_options(store), *library_options(store.libraries())]
    box = sandbox(store, str(environment))
    path = site_packages(str(environment))
    ran = box.run(
        [store.python, "-c", IMPORTS],
        environment={"PYTHONPATH": path, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert ran.stdout == "all of it\n", ran.stderr
    # The wheels were patched apart: in one environment everything is still where it was.
    checked = command("check", str(environment), *options)
    assert "PySide6/QtCore.abi3.so" not in checked.stderr


def patched(store: Store, start: str, folder: Path) -> str:
    """Patch one wheel of the list as a wheel; what nobody has is left out."""
    wheel = corpus.wheel(start)
    output = folder / "patched"
    words = ["patch", wheel, "--output-dir", str(output), *target_options(store)]
    words += library_options(store.libraries())
    if start.startswith("pyside6"):
        words += ["--provided-later", "libshiboken6.abi3.so.6.12", "--missing", "warn"]
    ran = command(*words)
    assert ran.status == 0, ran.stderr
    return str(output / os.path.basename(wheel))

"""``python -m tests.wheels.families``: which wheels bring the libraries that their family shares.

Wheels that make one thing together (Qt, cut in pieces) often don't require each other, or
only in one direction: PyQt6-Charts-Qt6 needs libQt6Core, which PyQt6-Qt6 has, and its
METADATA names nobody. Looks into what pip picks today of the families below, all fetched
if need be, and writes ``wheel-families.json`` anew.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING

from tests.wheels.common import picks, required

from nix_manylinux.data import data_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nix_manylinux.nix.expression.wheel import DescribedWheel

NAME = "wheel-families.json"
NOTE = (
    "Wheels that share libraries, mostly without requiring each other, by family: the libraries "
    "that each brings for the others, on whom it builds, and which files it shares with others "
    "that shut a folder. Made by python -m tests.wheels.families."
)

#: The libraries of a family, and its projects: each may build on those before it.
FAMILIES = {
    "cmeel": (
        r"lib.+\.so(?:\..+)?",
        *("cmeel-zlib", "cmeel-qhull", "cmeel-tinyxml2", "cmeel-console-bridge", "cmeel-octomap"),
        *("cmeel-boost", "cmeel-assimp", "cmeel-urdfdom", "eigenpy", "libcoal", "coal"),
        "libpinocchio",
    ),
    "intel": (
        r"lib(?:imf|intlc|irng|svml)\.so(?:\.5)?",
        "intel-cmplr-lib-ur",
        "intel-cmplr-lib-rt",
    ),
    "pyqt5": (
        r"libQt5\w+\.so\.5",
        *("pyqt5-qt5", "pyqt3d-qt5", "pyqtchart-qt5", "pyqtdatavisualization-qt5"),
        "pyqtwebengine-qt5",
    ),
    "pyqt6": (
        r"libQt6\w+\.so\.6",
        *("pyqt6-qt6", "pyqt6-3d-qt6", "pyqt6-charts-qt6", "pyqt6-datavisualization-qt6"),
        *("pyqt6-graphs-qt6", "pyqt6-networkauth-qt6", "pyqt6-webengine-qt6"),
    ),
    "pyside6": (
        r"libQt6\w+\.so\.6",
        *("shiboken6", "pyside6-essentials", "pyside6-addons", "pyside6-pdf", "pyside6-webengine"),
        *("pyside6", "pyside6-examples"),
    ),
}


def main() -> int:
    """Write the table; what can't be fetched is named, and 1 returned with nothing written."""
    families: dict[str, dict[str, dict[str, list[str]]]] = {}
    status = 0
    for family, (pattern, *projects) in FAMILIES.items():
        wheels, unfetched = picks(projects, look_for_loads=True)
        status = status or unfetched
        families[family] = members(wheels, pattern)
    if not status:
        with open(data_path(NAME), "w", encoding="utf-8") as stream:
            stream.write(text(families))
    return status


def members(wheels: Mapping[str, DescribedWheel], pattern: str) -> dict[str, dict[str, list[str]]]:
    """Say of each wheel what it brings, what it shares, and on which of those before it builds.

    Plugins of the earlier ones need libraries of the later ones, too, and do without.
    """
    inits = Counter(path for wheel in wheels.values() for path in wheel.inits)
    projects = list(wheels)
    brings = {name: sonames(wheel, pattern) for name, wheel in wheels.items()}
    needs = {
        name: {needed for file in wheel.facts.files for needed in file.facts.needed} - brings[name]
        for name, wheel in wheels.items()
    }
    return {
        name: {
            "builds_on": [
                earlier
                for earlier in projects[:number]
                if needs[name] & brings[earlier] or earlier in required(wheels[name])
            ],
            "brings": sorted(brings[name]),
            **({"shares": shared} if (shared := [i for i in wheel.inits if inits[i] > 1]) else {}),
        }
        for number, (name, wheel) in enumerate(wheels.items())
    }


def sonames(wheel: DescribedWheel, pattern: str) -> set[str]:
    """Give the sonames of a wheel's libraries that are of the family."""
    found = {file.facts.soname or "" for file in wheel.facts.files}
    return {name for name in found if re.fullmatch(pattern, name)}


def text(families: Mapping[str, Mapping[str, Mapping[str, list[str]]]]) -> str:
    """Write the table, one wheel a line."""
    blocks = (
        f"    {json.dumps(family)}: {{\n"
        + ",\n".join(f"      {json.dumps(n)}: {json.dumps(each)}" for n, each in wheels.items())
        + "\n    }"
        for family, wheels in families.items()
    )
    inner = ",\n".join(blocks)
    return f'{{\n  "note": {json.dumps(NOTE)},\n  "families": {{\n{inner}\n  }}\n}}\n'


if __name__ == "__main__":
    sys.exit(main())

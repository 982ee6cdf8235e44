"""Distributions that others require and that are not there: all loads, and an import fails."""

from __future__ import annotations

import contextlib
import glob
import os
import re

from nix_manylinux.base.files import read_small
from nix_manylinux.base.words import listed, shell
from nix_manylinux.target.environment import has_system_packages, pyvenv_settings
from nix_manylinux.target.place import Place, own_system
from nix_manylinux.tree.libraries import distribution_names
from nix_manylinux.tree.roots import PROPAGATED, find_pyvenv, is_package_of_nix
from nix_manylinux.wheel.metadata import (
    MAX_METADATA,
    Distribution,
    read_headers,
    required_names,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nix_manylinux.tree.facts import TreeFacts

#: Whose names these are, and what is in the place of one where there is no such package.
_OF_NIX = (
    " ]; of python3Packages. In the place of one that your nixpkgs lacks"
    " (python3Packages.callPackage ./NAME.nix { }), which nix-manylinux expr NAME > NAME.nix writes"
)


def requirement_warnings(
    trees: Sequence[TreeFacts], site_packages: Sequence[str] = ()
) -> Iterator[str]:
    """Warn of requirements that nothing meets, where all that a tree can import is known.

    That is so of a virtual environment, and of a package of Nix, whose nix-support names
    what comes with it; ``site_packages`` are more folders that it is given. What only an extra
    asks for doesn't count: nobody knows whether it was asked for.
    """
    for tree in trees:
        sites = [os.path.join(tree.root, site) for site in tree.site_packages]
        if is_package_of_nix(tree.root):
            sites += [*site_packages, *_propagated(tree.root)]
            where, before, after = "among its inputs", "dependencies = [ ", _OF_NIX
        elif find_pyvenv(tree.root):
            if has_system_packages(tree.root):
                continue
            settings = pyvenv_settings(tree.root)
            place = shell(tree.root)
            pip = (
                f"uv pip install --python {place}"
                if "uv" in settings
                else f"{place}/bin/python -m pip install"
            )
            where, before, after = "in this environment", f"{pip} ", ""
        else:
            continue
        there = distribution_names(sites)
        for dist in tree.distributions:
            lacks = [each for each in dist.requires if each not in there]
            if lacks and (lacks := _unmet(tree.root, dist, lacks)):
                are = "is" if len(lacks) == 1 else "are"
                yield (
                    f"{dist.name} requires {listed(lacks)}, which {are} not {where}: importing it"
                    f" may fail; to add: {before}{' '.join(lacks)}{after}"
                )


def _propagated(package: str) -> Iterator[str]:
    """Give the site-packages of all that comes with a package, directly or by others."""
    seen, queue = set(), [package]
    while queue:
        at = queue.pop()
        with contextlib.suppress(OSError):
            named = os.fsdecode(
                read_small(f"{at}/{PROPAGATED}", 1 << 20).replace(b"\0", b" ")
            ).split()
            queue += (each for each in named if each not in seen)
        if at not in seen and at != package:
            yield from glob.glob(f"{glob.escape(at)}/lib/py*/site-packages")
        seen.add(at)


def _unmet(root: str, dist: Distribution, lacks: Sequence[str]) -> list[str]:
    """Take those of the lacking names that are required here, whatever the extras."""
    found: dict[str, None] = {}
    with contextlib.suppress(OSError):
        data = read_small(f"{root}/{dist.folder}/METADATA", MAX_METADATA)
        for text in read_headers(data).get("requires-dist", ()):
            _, _, marker = text.partition(";")
            for name in required_names([text]):
                if name in lacks and name not in found and _holds(marker.strip(), dist.folder):
                    found[name] = None
    return [*found]


def _holds(marker: str, folder: str) -> bool:
    """Whether a requirement's marker holds for the Python whose site-packages has ``folder``."""
    if not marker:
        return True
    if re.search(r"\bextra\b", marker):
        return False
    from packaging.markers import (  # noqa: PLC0415 - few lack anything
        InvalidMarker,
        Marker,
        UndefinedComparison,
        UndefinedEnvironmentName,
    )

    found = re.search(r"lib/(python|pypy)(3\.[0-9]+)t?/", f"/{folder}")
    place = Place(python=found[2] if found else "3.12", system=own_system())
    values = place.environment("")
    if found and found[1] == "pypy":
        values |= {"implementation_name": "pypy", "platform_python_implementation": "PyPy"}
    try:
        return Marker(marker).evaluate(values)
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName, RecursionError):
        return False

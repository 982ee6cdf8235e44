"""Wheels that are one package together: their files in one tree, their metadata in one."""

from __future__ import annotations

import os

from packaging.requirements import InvalidRequirement, Requirement

from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.words import listed
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nix_manylinux.wheel.name import WheelName


def join_trees(roots: Sequence[str]) -> str:
    """Move all files of some trees to the first, each where it was; the first of a name stays."""
    first, *others = roots
    for root in others:
        for folder, _, names in os.walk(root):
            into = os.path.join(first, os.path.relpath(folder, root))
            os.makedirs(into, exist_ok=True)
            for name in names:
                path = os.path.join(into, name)
                if not os.path.lexists(path):
                    os.rename(os.path.join(folder, name), path)
    return first


def join_headers(
    headers: Sequence[dict[str, list[str]]], names: Sequence[WheelName]
) -> dict[str, list[str]]:
    """Give the first wheel's METADATA, with what all of them require, but for each other.

    Raises BadOption where one is there twice, or requires another release of another.
    """
    if len(headers) == 1:
        return headers[0]
    versions = {normalise_name(name.name): name.version for name in names}
    if len(versions) < len(names):
        raise BadOption(
            f"one package is made of wheels of several projects: {listed(sorted(versions))}",
            hint="for several Pythons or systems: NAME==VERSION, --python-version, --system",
        )
    required = {
        text: None
        for number, each in enumerate(headers)
        for text in each.get("requires-dist", ())
        if not _is_one_of(text, versions, own=normalise_name(names[number].name))
    }
    extras = (extra for each in headers for extra in each.get("provides-extra", ()))
    pythons = [text for each in headers for text in each.get("requires-python", ())]
    joined = {"requires-dist": [*required], "provides-extra": [*dict.fromkeys(extras)]}
    return {**headers[0], **joined, **({"requires-python": [",".join(pythons)]} if pythons else {})}


def common_name(names: Sequence[str], modules: Iterable[str]) -> str:
    """Name what most of several wheels begin with, and import as: "pyside6" of PySide6-Addons.

    ``names`` and the answer are normalised; it is the first name where less than two agree.
    """
    tops = sorted({normalise_name(module.partition(".")[0]) for module in modules})
    counts = {top: sum(f"{name}-".startswith(f"{top}-") for name in names) for top in tops}
    best = max(counts, key=lambda top: counts[top], default="")
    return best if counts.get(best, 0) > 1 else names[0]


def _is_one_of(text: str, versions: Mapping[str, str], *, own: str) -> bool:
    """Whether a requirement is of one of the wheels, which then is of the right version."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:  # told by who evaluates it
        return False
    name = normalise_name(requirement.name)
    if name not in versions:
        return False
    if not requirement.specifier.contains(versions[name], prereleases=True):
        raise BadOption(
            f"{own} requires {name}{requirement.specifier}, and {name} {versions[name]} is given"
        )
    return True

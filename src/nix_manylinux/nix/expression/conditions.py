"""What of an expression is for some of its wheels only: the condition that tells their places."""

from __future__ import annotations

from nix_manylinux.base.values import replace
from nix_manylinux.nix.expression.places import expression_places, format_of, named_pythons
from nix_manylinux.nix.syntax import nix_list, nix_string
from nix_manylinux.target.place import minor_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from nix_manylinux.nix.expression.wheel import DescribedWheel
    from nix_manylinux.target.place import Place

_PYTHON, _SYSTEM = "python.pythonVersion", "stdenv.hostPlatform.system"

#: The systems that nixpkgs has a word for.
_WORDS = {
    "x86_64-linux": "stdenv.hostPlatform.isx86_64",
    "aarch64-linux": "stdenv.hostPlatform.isAarch64",
}


def condition(wheels: Sequence[DescribedWheel], numbers: Collection[int]) -> str:
    """Write when one of the wheels with these numbers is the source; "" for always.

    So it is, too, where Nix can't tell them from the others: with and without the GIL.
    """
    if not numbers or len(numbers) == len(wheels):
        return ""
    places = [expression_places([wheel]) for wheel in wheels]
    if not all(named_pythons([wheel]) for wheel in wheels):  # of abi3 there are more
        places = [[replace(place, python="") for place in each] for each in places]
    ours = [place for number in numbers for place in places[number]]
    return where_of(ours, [place for each in places for place in each])


def where_of(places: Iterable[Place], among: Iterable[Place]) -> str:
    """Write when a build is for one of these places, among others; "" for always."""
    # To nixpkgs a Python without the GIL is of the same version.
    ours, every = (
        dict.fromkeys((place.python.rstrip("t"), place.system) for place in each)
        for each in (places, among)
    )
    theirs = [each for each in every if each not in ours]
    if not theirs:
        return ""
    pythons, systems = ([*dict.fromkeys(each[i] for each in ours)] for i in (0, 1))
    if not any(system in systems for _, system in theirs):
        return _WORDS.get(",".join(systems)) or _among(_SYSTEM, systems)
    if not any(python in pythons for python, _ in theirs):
        pythons = sorted(pythons, key=minor_of)
        others = sorted({python for python, _ in theirs}, key=minor_of)
        if minor_of(pythons[-1]) < minor_of(others[0]):
            return f'pythonOlder "{others[0]}"'
        if minor_of(pythons[0]) > minor_of(others[-1]):
            return f'pythonAtLeast "{pythons[0]}"'
        return _among(_PYTHON, pythons)
    pairs = [f"{python} {system}" for python, system in ours]
    return _among(f'"${{{_PYTHON}}} ${{{_SYSTEM}}}"', pairs)


def formats(wheels: Sequence[DescribedWheel]) -> dict[str, list[Place]]:
    """Give the formats, each with its places: on each system that of its own wheels."""
    found: dict[str, list[Place]] = {}
    places = [expression_places([wheel]) for wheel in wheels]
    for system in dict.fromkeys(place.system for each in places for place in each):
        own = [each for each in zip(wheels, places, strict=True) if each[1][0].system == system]
        style = format_of(wheel for wheel, _ in own)
        found.setdefault(style, []).extend(place for _, each in own for place in each)
    if "wheel" in found and len(found) > 1:  # of a wheel for any machine
        return {format_of(wheels): [place for each in places for place in each]}
    return found


def format_text(styles: Mapping[str, Sequence[Place]]) -> str:
    """Write the format, where there are several by the system."""
    every = [place for each in styles.values() for place in each]
    *others, last = sorted(styles)
    parts = [f"if {where_of(styles[each], every)} then {nix_string(each)} else " for each in others]
    return f"{''.join(parts)}{nix_string(last)}"


def _among(what: str, values: Iterable[str]) -> str:
    items = [*map(nix_string, values)]
    if len(items) == 1:
        return f"{what} == {items[0]}"
    return f"lib.elem {what} {nix_list(items, width=200)}"


def in_brackets(text: str) -> str:
    """Write an expression as an argument; a list is one as it stands."""
    return f"({text})" if " " in text and not text.startswith("[") else text

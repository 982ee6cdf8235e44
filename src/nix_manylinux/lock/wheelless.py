"""What of an environment has no wheel, in sentences: why, and what can be done."""

from __future__ import annotations

from collections import Counter

from nix_manylinux.base.values import replace
from nix_manylinux.base.words import listed, some
from nix_manylinux.lock.choose import PYTHONS, Selection, best_wheel, python_for, supported_tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nix_manylinux.lock.model import Lock, Package

#: So many packages are no chance: one alone may be for Windows, or new to a Python.
_SOME = 3

#: Names in a line, which the build will say all.
_NAMED = 8


def about_wheelless(lock: Lock, choice: Selection) -> Iterator[str]:
    """Say which packages have no wheel: what is no file of an index, what only source is of, rest.

    Of several for which the lock has wheels for another Python, or other systems, that is said:
    `pip lock` names the wheels of the one Python and system that it runs on.
    """
    found = [each.package for each in choice.packages.values() if each.wheel is None]
    local = [each for each in found if each.local]
    if local:
        names = some([f"{each.name} ({each.local})" for each in local], _NAMED)
        yield f"{choice.place}: no file of an index, and built from what it is: {names}"
    stuck = [each for each in found if each.wheels and not (each.sdist or each.local)]
    if stuck:
        them = "it" if len(stuck) == 1 else "them"
        names = listed(f"{each.name} {each.version}" for each in stuck)
        yield (
            f"{choice.place}: no wheel fits for {names}, and {lock.kind} has no source archive of"
            f" {them}{_elsewhere(lock, stuck, choice, 1)}"
        )
    rest = [each for each in found if not each.local and each not in stuck]
    if rest:
        names = ", ".join(each.name for each in rest)
        yield (
            f"{choice.place}: no wheel fits for {names}: taken from nixpkgs, or built from source,"
            f" where they can be{_elsewhere(lock, rest, choice, _SOME)}"
        )


def _elsewhere(lock: Lock, packages: Sequence[Package], choice: Selection, least: int) -> str:
    """Say what several packages, none of whose wheels fits, have wheels for; "" for nothing."""
    fitting = Counter[str]()
    for python in PYTHONS:
        if python_for(lock, [python]) == python:
            tags = supported_tags(replace(choice.place, python=python))
            order = {tag: rank for rank, tag in enumerate(tags)}
            fitting[python] = sum(best_wheel(each.wheels, order) is not None for each in packages)
    ((python, often),) = fitting.most_common(1) or [("", 0)]
    if often >= least:
        who = "it has" if len(packages) == 1 else f"{often} of them have"
        return f"; {who} one for Python {python}: --python-version {python}"
    names = [" ".join(file.name for file in package.wheels) for package in packages]
    others = sum(bool(each) and "linux" not in each for each in names)
    if others >= least:
        who = "it has" if len(packages) == 1 else f"{others} of them have"
        return (
            f"; {who} one for other systems alone: uv lock, or uv pip compile --universal, locks"
            " for all"
        )
    return ""

"""Which extension modules a build imports to prove that its libraries load: few, and for users."""

from __future__ import annotations

from nix_manylinux.nix.expression.outside import reached_from
from nix_manylinux.wheel.metadata import normalise_name, required_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from nix_manylinux.nix.expression.extensions import Extension
    from nix_manylinux.nix.expression.wheel import DescribedWheel

#: More than this nobody reads.
_MOST = 4


def chosen_extensions(wheels: Sequence[DescribedWheel], unmet: Collection[str]) -> list[str]:
    """Name extension modules to import besides the packages, which load none of them.

    Those that most others import (QtCore), then the one that leads to most of the wheel's
    libraries, or of which its Python files speak most, and those that lead to further ones. Only
    of those nearest to the top, the public ones before the private. What needs one of ``unmet``,
    sonames and paths, is not named, nor what is of a package that a required wheel has a part of:
    there Python finds but one part.
    """
    first = wheels[0]
    everywhere = set.intersection(*({e.name for e in wheel.extensions} for wheel in wheels))
    files = {file.path: file for file in first.facts.files}
    leads: dict[Extension, set[str]] = {}
    for each in first.extensions:
        led = reached_from(first.facts, [each.path])
        needed = {name for path in led for name in files[path].facts.needed}
        shared = _is_shared(each.name.partition(".")[0], first)
        if each.name in everywhere and not shared and (led | needed).isdisjoint(unmet):
            leads[each] = led
    nearest = min((each.name.count(".") for each in leads), default=0)
    near = [each for each in leads if each.name.count(".") == nearest]
    rest = [each for each in near if "._" not in f".{each.name}"] or near
    covered = {each.path for each in first.extensions}
    base = sorted((e for e in rest if e.wanted > 1), key=lambda e: (-e.wanted, e.name))[: _MOST - 1]
    chosen: list[str] = []
    while rest and len(chosen) < _MOST:
        best = min(rest, key=lambda e: (-len(leads[e] - covered), -e.mentions, e.name))
        if base:
            best = base.pop(0)
        elif chosen and leads[best] <= covered:
            break
        chosen.append(best.name)
        covered |= leads[best]
        rest.remove(best)
    return [*chosen, *_of_each(first, leads, chosen)]


def _of_each(
    wheel: DescribedWheel, leads: Iterable[Extension], chosen: Collection[str]
) -> Iterator[str]:
    """Name a module of each of several wheels that are one package, where it has none yet."""
    parts: dict[frozenset[str] | None, list[Extension]] = {}
    for each in leads if wheel.beside else ():
        places = next((one.places for one in wheel.beside if each.path in one.places), None)
        parts.setdefault(places, []).append(each)
    for own in parts.values():
        if not any(each.name in chosen for each in own):
            public = [each for each in own if "._" not in f".{each.name}"] or own
            yield min(public, key=lambda e: (e.name.count("."), -e.mentions, e.name)).name


def _is_shared(package: str, wheel: DescribedWheel) -> bool:
    """Whether a required wheel has the package, too, by its name: PySide6's, of PySide6-Addons."""
    top = normalise_name(package)
    if normalise_name(wheel.name.name) == top:
        return False
    texts = wheel.headers.get("requires-dist", [])
    always = [text for text in texts if "extra" not in text.partition(";")[2]]
    return any(f"{each}-".startswith(f"{top}-") for each in required_names(always))

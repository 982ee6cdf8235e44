"""What the wheels of an environment want of nixpkgs, of one another, and of the driver."""

from __future__ import annotations

from nix_manylinux.base.values import Value, replace
from nix_manylinux.nix.adviser import Adviser
from nix_manylinux.nix.choices import find_choices
from nix_manylinux.nix.expression.outside import known_libraries, outside_names
from nix_manylinux.nix.expression.places import format_of
from nix_manylinux.nix.packages import Suggestion, of_wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nix_manylinux.nix.expression.wheel import DescribedWheel


class WheelNeeds(Value):
    """What one wheel wants that is not its own, its libc's or its policy's; all sorted.

    ``format`` is buildPythonPackage's for the wheel, ``nixpkgs`` are attributes, ``wheels`` names
    of packages of the environment, ``drivers`` and ``unknown`` sonames; the last are those that
    nobody is known to have. ``loads`` are what nixpkgs has of the libraries that it may load at
    run time, and that no wheel of the environment brings; of cffi what others open by it.
    ``opens`` are those that ctypes opens, along no path of a wheel.
    """

    format: str
    nixpkgs: tuple[str, ...]
    wheels: tuple[str, ...]
    drivers: tuple[str, ...]
    unknown: tuple[str, ...]
    loads: tuple[str, ...]
    opens: tuple[str, ...]


def find_needs(
    wheels: Mapping[str, DescribedWheel],
    dependencies: Mapping[str, Iterable[str]],
) -> dict[str, WheelNeeds]:
    """Sort what every wheel's files need by who has it.

    A wheel that is required, directly or through others, comes before nixpkgs, and so does
    one that requires this one (libcudnn_graph wants torch's libraries); any other wheel of
    the environment comes after it, as in the rules of resolution.
    """
    closures = {name: _closure(name, dependencies) for name in wheels}
    providers: dict[str, list[str]] = {}
    for name, wheel in sorted(wheels.items()):
        for soname in wheel.facts.brought:
            providers.setdefault(soname, []).append(name)
    found = {}
    for name, wheel in sorted(wheels.items()):
        lists: dict[str, set[str]] = {
            kind: set() for kind in ("nixpkgs", "wheels", "drivers", "unknown", "loads", "opens")
        }
        style = format_of([wheel])
        known = known_libraries(style)
        adviser = Adviser([wheel.facts], at_hand=wheels)
        for soname in sorted(_wanted(wheel, known, providers, adviser)):
            owners = [owner for owner in providers.get(soname, ()) if owner != name]
            near = [owner for owner in owners if owner in closures[name]]
            near += [owner for owner in owners if name in closures[owner]]
            suggestion = adviser.advise(soname)
            if near:
                lists["wheels"].add(near[0])
            elif suggestion.kind == "driver":
                lists["drivers"].add(soname)
            elif suggestion.may_be_taken:
                lists["nixpkgs"].add(suggestion.attribute)
            elif owners:
                lists["wheels"].add(owners[0])
            else:
                lists["unknown"].add(soname)
        for kind, names in _loads(name, wheels).items():
            sure = {each for each in names if adviser.advise(each).is_loadable}
            sure = {n for n in sure if not any(each.startswith(f"{n}.") for each in sure)}
            lists[kind] = sure - providers.keys()
        found[name] = WheelNeeds(
            format=style, **{kind: tuple(sorted(each)) for kind, each in lists.items()}
        )
    return found


def _loads(name: str, wheels: Mapping[str, DescribedWheel]) -> dict[str, set[str]]:
    """Give what a wheel may load by the paths of its files, and what ctypes opens for it."""
    loads, _, by_ctypes = wheels[name].opened()
    if name == "cffi":  # along its path lies what others open by it
        loads = loads.union(*(wheel.opened()[1] for wheel in wheels.values()))
    return {"loads": loads, "opens": by_ctypes - loads}


def _wanted(
    wheel: DescribedWheel, known: set[str], providers: Mapping[str, Iterable[str]], adviser: Adviser
) -> set[str]:
    """Give what a wheel wants from outside; of files for several CUDAs or the like, one's."""

    def advise(soname: str) -> Suggestion:
        if soname in providers:
            return of_wheel(soname, *providers[soname])
        found = adviser.advise(soname)
        # Nobody has asked for what is unfree or insecure.
        return replace(found, kind="none") if found.doubtful else found

    lacking: dict[str, list[str]] = {}
    for soname, file in outside_names(wheel.facts, known):
        lacking.setdefault(file.path, []).append(soname)
    left = {path for choice in find_choices(lacking, advise) for path in choice.left}
    return {soname for path, names in lacking.items() if path not in left for soname in names}


def _closure(name: str, dependencies: Mapping[str, Iterable[str]]) -> set[str]:
    seen: set[str] = set()
    queue = [name]
    while queue:
        for other in dependencies.get(queue.pop(), ()):
            if other not in seen:
                seen.add(other)
                queue.append(other)
    return seen

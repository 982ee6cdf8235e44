"""What one environment takes of a lock: markers evaluated, and for each package the best wheel.

The best wheel is pip's: of the files whose tags the interpreter has, the one whose tag comes
first in its order (`packaging.tags`), then the highest build tag (PEP 427).
"""

from __future__ import annotations

import os
import re

from packaging import tags
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from nix_manylinux.base.values import Value, field, replace
from nix_manylinux.lock.markers import Markers, refuse_conflicts
from nix_manylinux.lock.model import (
    BadLock,
    Dependency,
    File,
    Lock,
    Package,
    without_digest,
)
from nix_manylinux.target.place import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Chosen(Value):
    """One package of an environment: its file, None where no wheel fits; whom it needs."""

    package: Package
    wheel: File | None
    dependencies: tuple[str, ...]


class Selection(Value):
    """An environment: packages by name, and those that are wanted for themselves.

    ``projects`` are folders of the user's own that installing it would install, too, ``members``
    all whose needs it has.
    """

    place: Place
    packages: dict[str, Chosen] = field(hash=False)
    roots: tuple[str, ...]
    projects: dict[str, Chosen] = field(default_factory=dict, hash=False)
    members: tuple[str, ...] = ()


def choose(
    lock: Lock, place: Place, *, extras: Sequence[str] = (), groups: Sequence[str] = ()
) -> Selection:
    """Walk the lock from its roots, as the environment's markers say. Raises BadLock.

    The selection's place is that of `allowed_place`.
    """
    place = allowed_place(lock, place)
    holds = _markers(lock, place, extras, groups)
    refuse_conflicts(lock, place, holds.extra)
    by_name: dict[str, list[Package]] = {}
    for each in lock.packages:
        if holds(each.marker, each.name):
            by_name.setdefault(each.name, []).append(each)
    edges: dict[str, set[str]] = {}
    taken: dict[str, Package] = {}
    wanted: dict[str, set[str]] = {}
    roots: set[str] = set()
    queue: list[tuple[str, Dependency]] = [("", edge) for edge in lock.roots]
    while queue:
        parent, edge = queue.pop()
        if not holds(edge.marker, parent or edge.name):
            continue
        package = _package(by_name, edge, parent)
        if package is None:
            continue
        other = taken.setdefault(package.name, package)
        if (other.version, other.source) != (package.version, package.source):
            both = sorted({_which(other, package), _which(package, other)})
            raise BadLock(
                f"wants {package.name} {' and '.join(both)} in one environment",
                where=f"{lock.kind}: {place}",
            )
        edges.setdefault(parent, set()).add(package.name)
        # What a project needs counts, and it is nothing itself.
        if not package.is_project and (not parent or taken[parent].is_project):
            roots.add(package.name)
        new = package.name not in wanted
        more = {*edge.extras} - wanted.setdefault(package.name, set())
        wanted[package.name] |= more
        added = dict(package.extras)
        queue += [(package.name, each) for each in (package.dependencies if new else ())]
        queue += [(package.name, each) for extra in more for each in added.get(extra, ())]
    order = {tag: rank for rank, tag in enumerate(supported_tags(place))}
    packages: dict[str, Chosen] = {}
    projects: dict[str, Chosen] = {}
    for name, package in sorted(taken.items()):
        if package.is_project and not package.local:
            continue  # an installer doesn't install it
        wheel = _with_digest(best_wheel(package.wheels, order), f"{lock.kind}: {name}")
        needs = {
            each
            for each in edges.get(name, ())
            if not taken[each].is_project or (package.is_project and taken[each].local)
        }
        chosen = Chosen(package=package, wheel=wheel, dependencies=tuple(sorted(needs - {name})))
        (projects if package.is_project else packages)[name] = chosen
    return Selection(
        place=place,
        packages=packages,
        roots=tuple(sorted(roots)),
        projects=projects,
        members=tuple(name for name, each in sorted(taken.items()) if each.is_project),
    )


def _markers(lock: Lock, place: Place, extras: Sequence[str], groups: Sequence[str]) -> Markers:
    """Give what evaluates markers. Raises BadLock where the lock is not for the place."""
    holds = Markers(lock, place, extras, groups)
    if lock.environments and not any(holds(each, "environments") for each in lock.environments):
        other = python_for(lock)
        more = f", or --python-version {other}" if other and other != place.series else ""
        raise BadLock(
            f"is not for {place}, but for {' or '.join(lock.environments)[:200]}",
            where=lock.kind,
            hint=f"lock the project for more environments, or name another --system{more}",
        )
    return holds


def _with_digest(wheel: File | None, where: str) -> File | None:
    if wheel is not None and not (wheel.sha256 or wheel.path):
        raise without_digest(f"{wheel.name} has no sha256", where)
    return wheel


def best_wheel(wheels: Iterable[File], order: Mapping[tags.Tag, int]) -> File | None:
    """Give the wheel that pip would take, None where none fits."""
    best: tuple[int, tuple[int, str]] | None = None
    found = None
    for file in wheels:
        try:
            _, _, build, fitting = parse_wheel_filename(file.name)
        except InvalidWheelFilename:
            continue  # as pip passes by what it can't read
        ranks = [order[tag] for tag in fitting if tag in order]
        if ranks:
            rank = -min(ranks), build or (-1, "")
            if best is None or rank > best:
                best, found = rank, file
    return found


def supported_tags(place: Place) -> list[tags.Tag]:
    """List the tags of an interpreter that is not at hand, best first, as pip does."""
    version = (3, int(place.python.rstrip("t").split(".")[1]))
    interpreter = f"cp3{version[1]}"
    abi = interpreter + ("t" if place.python.endswith("t") else "")
    platforms = place.platforms()
    own = tags.cpython_tags(version, [abi], platforms)
    return [*own, *tags.compatible_tags(version, interpreter, platforms)]


def _package(
    by_name: Mapping[str, Sequence[Package]], edge: Dependency, parent: str
) -> Package | None:
    found = [
        each
        for each in by_name.get(edge.name, ())
        if edge.version in {"", each.version} and edge.source in {"", each.source}
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        return None  # another fork's, or none of these environments'
    raise BadLock(
        f"has {len(found)} packages for one environment: "
        + ", ".join(f"{p.name} {p.version}" for p in found),
        where=f"what {parent or 'the project'} needs",
    )


def _which(package: Package, other: Package) -> str:
    """Tell a package from another of its name: by its version, else by where it is from."""
    same = package.version == other.version
    return f"{package.version} of {package.source}" if same else package.version


#: Those that nixpkgs may have, the likeliest first.
PYTHONS = ("3.13", "3.12", "3.11", "3.14", "3.15", "3.10", "3.9", "3.8")

#: A request of `.python-version` for a CPython, as uv and pyenv write it; later digits don't count.
_PINNED = re.compile(r"(?:cpython[@-]?)?(3\.[0-9]{1,2})(?:\.[0-9]+)?(t?)")


def pinned_python(path: str) -> str:
    """Give the Python that `.python-version` beside a lock asks for, as "3.12"; or ""."""
    beside = os.path.join(os.path.dirname(path), ".python-version")
    try:
        with open(beside, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file.read(1 << 16).splitlines()]
    except OSError:
        return ""
    first = next((line for line in lines if line and not line.startswith("#")), "")
    found = _PINNED.fullmatch(first)
    return f"{found[1]}{found[2]}" if found else ""


def python_for(lock: Lock, preferred: Iterable[str] = ()) -> str | None:
    """Give the first of the preferred Pythons that the lock allows, else another that it allows.

    One that an environment of the lock may have comes first. None where there is none.
    Raises BadLock for a requires-python that can't be read.
    """
    allowed = [each for each in (*preferred, *PYTHONS) if _release(lock, each)]
    return next(
        (each for each in allowed if _has_environment(lock, each)), next(iter(allowed), None)
    )


def _has_environment(lock: Lock, python: str) -> bool:
    """Whether a lock that is for some environments alone is for a Python on the usual system."""
    if not lock.environments:
        return True
    holds = Markers(lock, Place(python=python, system="x86_64-linux"), (), ())
    return any(holds(each, "environments") for each in lock.environments)


def allowed_place(lock: Lock, place: Place) -> Place:
    """Give a place whose Python the lock is for: with a release, where it asks for one (>=3.12.4).

    Raises BadLock where it is for none of the place's; it names one that would do.
    """
    if python := _release(lock, place.python):
        return replace(place, python=python)
    other = python_for(lock)
    raise BadLock(
        f"is for Python {lock.requires_python}, not {place.python}",
        where=lock.kind,
        hint=f"--python-version {other}" if other else "lock the project for another Python",
    )


def _release(lock: Lock, python: str) -> str:
    """Give a Python, or its first release, that the lock is for; "" where it is for none of it."""
    try:
        allowed = SpecifierSet(lock.requires_python)
    except InvalidSpecifier as error:
        raise BadLock(f"requires-python is {lock.requires_python!r}", where=lock.kind) from error
    plain, free = python.rstrip("t"), "t" * python.endswith("t")  # 3.14t is 3.14
    if plain.count(".") > 1:
        return python if allowed.contains(plain, prereleases=True) else ""
    releases = (n for n in range(_RELEASES) if allowed.contains(f"{plain}.{n}", prereleases=True))
    first = next(releases, None)
    return f"{plain}.{first}{free}" if first else python if first == 0 else ""


#: More than any Python has had of one version.
_RELEASES = 40

"""Requires-Dist, evaluated: who is needed under which Python, on which system, for which extra."""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from nix_manylinux.base.errors import BadWheel
from nix_manylinux.base.values import Value, field
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from nix_manylinux.target.place import Place


class Dependencies(Value):
    """Normalised names: ``always`` needed, ``sometimes`` only in some places, and by extra.

    The extras' lists hold what an extra adds, in any of the places. Of a package that is required
    with extras of its own there is more than its name: "dask", "dask[array]", "dask[dataframe]".
    ``versions`` are the requirements that name some, those of extras for users among them, each
    with its package's name and the extra that alone wants it. ``left_out`` are extras for users
    that are not among them, each with those of its packages that can't be there.
    """

    always: tuple[str, ...]
    sometimes: dict[str, tuple[Place, ...]]
    extras: dict[str, tuple[str, ...]]
    versions: dict[str, tuple[str, str]]
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def extras_for_users(self) -> dict[str, tuple[str, ...]]:
        """Give the extras, but for those that are for the work on the package itself."""
        return {name: each for name, each in self.extras.items() if not is_for_developers(name)}

    def without(self, packages: Collection[str]) -> Dependencies:
        """Give them without some packages, and without the extras that would add one of these."""

        def is_left(name: str) -> bool:
            return name.partition("[")[0] in packages

        extras = {name: each for name, each in self.extras.items() if not any(map(is_left, each))}
        return Dependencies(
            always=tuple(name for name in self.always if not is_left(name)),
            sometimes={name: at for name, at in self.sometimes.items() if not is_left(name)},
            extras=extras,
            versions={
                text: (name, extra)
                for text, (name, extra) in self.versions.items()
                if not is_left(name) and (not extra or extra in extras)
            },
            left_out={
                extra: tuple(filter(is_left, names))
                for extra, names in self.extras_for_users().items()
                if extra not in extras
            },
        )


def read_dependencies(
    headers: Mapping[str, Sequence[str]], places: Sequence[Place]
) -> Dependencies:
    """Evaluate every Requires-Dist in every place, without and with each extra.

    Raises BadWheel for a requirement that can't be read.
    """
    requirements = _requirements(headers)
    own = normalise_name(next(iter(headers.get("name", ())), ""))

    def wanted(place: Place, extra: str) -> dict[str, None]:
        found: dict[str, None] = {}
        asked = [extra]
        for each in asked:
            for requirement in requirements:
                if applies(requirement, place, each):
                    name = normalise_name(requirement.name)
                    extras = sorted(map(normalise_name, requirement.extras))
                    if name == own:  # "all" often requires the package itself, with other extras
                        asked += [more for more in extras if more not in asked]
                    else:
                        found |= dict.fromkeys([name, *(f"{name}[{more}]" for more in extras)])
        return found

    where: dict[str, list[Place]] = {}
    for place in places:
        for name in wanted(place, ""):
            where.setdefault(name, []).append(place)
    always = {name for name, found in where.items() if len(found) == len(places)}
    extras = {}
    for extra in sorted(normalise_name(name) for name in headers.get("provides-extra", ())):
        added = {
            name
            for place in places
            for name in wanted(place, extra).keys() - wanted(place, "").keys() - always
        }
        if added:
            extras[extra] = tuple(sorted(added))
    return Dependencies(
        always=tuple(sorted(always)),
        sometimes={
            name: tuple(found) for name, found in sorted(where.items()) if name not in always
        },
        extras=extras,
        versions=_wanted_versions(requirements, places, extras),
    )


def _wanted_versions(
    requirements: Sequence[Requirement], places: Sequence[Place], extras: Iterable[str]
) -> dict[str, tuple[str, str]]:
    """Spell requirements that name versions, each with its name and the extra that wants it."""
    found: dict[str, tuple[str, str]] = {}
    for extra in ("", *(each for each in extras if not is_for_developers(each))):
        for each in requirements:
            if each.specifier and any(applies(each, place, extra) for place in places):
                name = normalise_name(each.name)
                found.setdefault(f"{name}{_versions(each)}", (name, extra))
    return found


def package_names(wanted: Iterable[str]) -> list[str]:
    """Give the names of packages among what `Dependencies` has, without their extras."""
    return sorted({name for name in wanted if "[" not in name})


def requirements_in(headers: Mapping[str, Sequence[str]], place: Place) -> list[str]:
    """Give the requirements that hold in a place, without any extra, as an installer takes them."""
    found = [each for each in _requirements(headers) if applies(each, place)]
    for each in found:
        each.marker = None
    return [*map(str, found)]


def cuda_required(requirements: Sequence[str]) -> str:
    """Give the version of CUDA that a Requires-Dist names, "13"; "" for none or several.

    Those are nvidia-...-cu12, and cuda-toolkit and nvidia-cuda-runtime of some version.
    """
    found = set()
    for requirement in _requirements({"requires-dist": requirements}):
        name = normalise_name(requirement.name)
        by_name = re.fullmatch(r"nvidia-.*-cu([0-9]+)", name)
        if by_name:
            found.add(by_name[1])
        elif name in {"cuda-toolkit", "nvidia-cuda-runtime"}:
            exact = (each.version for each in requirement.specifier if each.operator == "==")
            found |= {version.partition(".")[0] for version in exact}
    return found.pop() if len(found) == 1 else ""


def exact_versions(headers: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Give the versions that are required exactly, by normalised name."""
    return {
        normalise_name(requirement.name): each.version
        for requirement in _requirements(headers)
        for each in requirement.specifier
        if each.operator in {"==", "==="} and not each.version.endswith("*")
    }


def is_for_developers(extra: str) -> bool:
    """Whether an extra is for those who work on the package, by its name: tests, documents."""
    return not _FOR_DEVELOPERS.isdisjoint([*extra.split("-"), extra.replace("-", "")])


_FOR_DEVELOPERS = frozenset(
    {
        *("bench", "benchmark", "benchmarks", "build", "building", "ci", "cov", "coverage"),
        *("dev", "devel", "develop", "developer", "development", "doc", "docs", "documentation"),
        *("lint", "linter", "linters", "linting", "mypy", "precommit", "publish", "qa", "release"),
        *("style", "test", "testing", "tests", "typecheck", "typechecking", "types", "typing"),
    }
)


def _requirements(headers: Mapping[str, Sequence[str]]) -> list[Requirement]:
    return [_parse(text) for text in headers.get("requires-dist", ())]


def _parse(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise BadWheel(f"Requires-Dist {text!r} can't be read", where="METADATA") from error


def is_wanted(version: str, specifiers: str) -> bool | None:
    """Whether a version of nixpkgs' is one of those; None where it is no release's number."""
    try:
        return SpecifierSet(specifiers).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return None


def _versions(requirement: Requirement) -> str:
    """Spell versions from the lowest to the highest, then those that are not wanted."""
    found = sorted(requirement.specifier, key=lambda each: "=~><!".index(each.operator[0]))
    return ",".join(map(str, found))


def applies(requirement: Requirement, place: Place, extra: str = "") -> bool:
    """Whether a requirement holds in a place, for what was asked for with an extra."""
    return requirement.marker is None or requirement.marker.evaluate(place.environment(extra))

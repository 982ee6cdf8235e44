"""For whom an expression is, by the tags: Pythons, systems, the format; and how it is built."""

from __future__ import annotations

import re

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from nix_manylinux.base.errors import BadWheel
from nix_manylinux.base.values import replace
from nix_manylinux.nix.syntax import nix_name, python_attribute
from nix_manylinux.target.place import Place, minor_of, nix_cpu, places_of
from nix_manylinux.target.policy import LEGACY_NAMES, Floor, parse_floor
from nix_manylinux.wheel.name import platforms_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from nix_manylinux.nix.expression.wheel import DescribedWheel

#: A Python of our day, and the commonest system.
PYTHON, SYSTEM = "3.12", "x86_64-linux"

#: For what nixpkgs builds its packages, of Linux.
BUILT_ON = ("x86_64-linux", "aarch64-linux")


def expression_places(
    wheels: Sequence[DescribedWheel],
    *,
    python_versions: Sequence[str] = (),
    systems: Sequence[str] = (),
    python: str = PYTHON,
) -> list[Place]:
    """Give the places that an expression is for: "3.11" or "3.14t", and "x86_64-linux".

    Where they are not given, the wheels' tags tell; where those don't, it is ``python``,
    and the commonest system. Raises BadOption for what is no Python, or no system.
    """
    return places_of(
        python_versions or named_pythons(wheels) or [python], systems or _systems(wheels)
    )


def named_pythons(wheels: Iterable[DescribedWheel]) -> list[str]:
    """List the versions of Python that the wheels' tags name; abi3 is for later ones, too."""
    named = {minor for minor, abi in _pythons(wheels) if not abi.startswith("abi3")}
    return [f"3.{minor}" for minor in sorted(named)]


def _pythons(wheels: Iterable[DescribedWheel]) -> list[tuple[int, str]]:
    """Give the minor versions of CPython 3 in the wheels' tags, each with its ABI.

    Of those that are one package it is the one for fewer Pythons that tells.
    """
    found: list[tuple[int, str]] = []
    for wheel in wheels:
        own = [_of_tags(name.tags) for name in wheel.names]
        exact = [each for each in own if each and not any(a.startswith("abi3") for _, a in each)]
        found += next(iter(exact), max(own, key=lambda each: min(each, default=(0, ""))))
    return found


def _of_tags(tags: Iterable[str]) -> list[tuple[int, str]]:
    parts = (tag.split("-") for tag in tags)
    found = [(re.fullmatch(r"cp3([0-9]+)", python), abi) for python, abi, *_ in parts]
    return [(int(match[1]), abi) for match, abi in found if match]


def format_of(wheels: Iterable[DescribedWheel]) -> str:
    """Name the format that allows all the wheels: the highest of their floors."""
    return format_of_tags(name.tags for wheel in wheels for name in wheel.names)


def format_of_tags(wheels: Iterable[Iterable[str]]) -> str:
    """Name the format that allows wheels with these tags, "wheel" where they ask for no policy."""
    floors = [floor for tags in wheels if (floor := _lowest_floor(tags))]
    if not floors:
        return "wheel"
    highest = max(floors, key=lambda floor: (floor.libc == "glibc", floor.version))
    plain = str(replace(highest, arch=""))
    return LEGACY_NAMES.get(highest.version, plain) if highest.libc == "glibc" else plain


def disabled_text(
    wheels: Sequence[DescribedWheel], pythons: tuple[str, str], *, by_tags: bool
) -> str:
    """Write for which of nixpkgs' ``pythons``, first and last, the wheels are not; "" for none.

    METADATA tells, and with ``by_tags`` the tags, too: of these also for Pythons to come.
    Raises BadWheel for what can't be read.
    """
    first, last = map(minor_of, pythons)
    wanted = wheels[0].header("requires-python")
    allowed = [minor for minor in range(first, last + 1) if _is_allowed(minor, wanted)]
    to_come = last
    if by_tags:
        lowest = {minor for minor, _ in _pythons(wheels)}
        exact = lowest and not any(abi.startswith("abi3") for _, abi in _pythons(wheels))
        allowed = [x for x in allowed if x in lowest or (not exact and x >= min(lowest, default=0))]
        to_come += bool(exact)
    if not allowed:
        return ""
    parts = [f'pythonOlder "3.{allowed[0]}"'] if allowed[0] > first else []
    parts += [f'pythonAtLeast "3.{allowed[-1] + 1}"'] if allowed[-1] < to_come else []
    return " || ".join(parts)


def _is_allowed(minor: int, wanted: str) -> bool:
    try:
        specifiers = SpecifierSet(wanted)
    except InvalidSpecifier as error:
        raise BadWheel(f"Requires-Python {wanted!r} can't be read", where="METADATA") from error
    return any(f"3.{minor}.{patch}" in specifiers for patch in (0, 99))


def floor_of(wheel: DescribedWheel) -> Floor | None:
    """Give the lowest floor among a wheel's tags, of glibc before musl; of several the highest."""
    floors = (_lowest_floor(name.tags) for name in wheel.names)
    return max(filter(None, floors), key=lambda floor: floor.version, default=None)


def _lowest_floor(tags: Iterable[str]) -> Floor | None:
    floors = [floor for each in platforms_of(tags) if (floor := parse_floor(each))]
    return min(floors, key=lambda floor: (floor.libc != "glibc", floor.version), default=None)


def _systems(wheels: Iterable[DescribedWheel]) -> list[str]:
    """List the Nix systems of the wheels; a pure wheel is evaluated for the commonest."""
    systems = {nix_cpu(floor.arch) + "-linux" for wheel in wheels if (floor := floor_of(wheel))}
    return sorted(systems) or [SYSTEM]


def how_to_build(
    wheel: DescribedWheel, place: Place, others: Collection[str], *, chain: bool, local: bool
) -> list[str]:
    """Say how nix-build makes the package of an expression, which is saved by the wheel's name.

    So are ``others``, which are a ``chain`` where they may need each other. With ``local`` it has
    to be here, from where the expression has its paths.
    """
    name, set_ = wheel.package, f"{python_attribute(place.python)}.pkgs"
    call = f"{'self' if chain else set_}.callPackage"
    given = "".join(f"{nix_name(each)} = {call} ./{each}.nix {{ }}; " for each in others)
    overlays, arguments = "(import ./nix-manylinux/nix/overlay.nix)", given
    if chain:
        more = f"prev.pythonPackagesExtensions ++ [ (self: _: {{ {given}}}) ]"
        overlays += f" (_: prev: {{ pythonPackagesExtensions = {more}; }})"
        arguments = ""
    package = f"{set_}.callPackage ./{name}.nix {{ {arguments}}}"
    beside = ", in this folder" if local else ""
    return [
        f"to build it as {name}.nix{beside} (./nix-manylinux is a checkout, or a link to one):",
        f"  nix-build -E 'with import <nixpkgs> {{ overlays = [ {overlays} ]; }}; {package}'",
    ]

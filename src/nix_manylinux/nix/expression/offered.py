"""For which Pythons and systems a release has wheels, by what the client has seen of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from nix_manylinux.base.words import listed, shell
from nix_manylinux.target.place import minor_of, nix_cpu
from nix_manylinux.target.policy import parse_floor
from nix_manylinux.wheel.metadata import normalise_name
from nix_manylinux.wheel.name import WheelName, parse_wheel_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nix_manylinux.target.place import Place

_FILE = re.compile(r"/([^/\s#?]+\.whl)\b")


class Offer(NamedTuple):
    """Versions of Python, "3.12", and Nix systems, each of which is had with each.

    Without ``pythons`` the wheels are for many Pythons.
    """

    pythons: tuple[str, ...]
    systems: tuple[str, ...]


def offered_places(
    logs: Sequence[str], releases: Sequence[WheelName], python: str, known: tuple[str, str]
) -> Offer:
    """Say for what releases have wheels of glibc: the systems of ``python``, and what these share.

    ``logs`` are the client's words, ``known`` the first and the last Python that are of interest.
    """
    offers = [_offered(logs, each, python, known) for each in releases]
    return Offer(_shared([e.pythons for e in offers]), _shared([e.systems for e in offers]))


def _shared(offers: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Give what all have that are for some only."""
    some = [*filter(None, offers)]
    return tuple(x for x in some[0] if all(x in each for each in some)) if some else ()


def _offered(logs: Iterable[str], release: WheelName, python: str, known: tuple[str, str]) -> Offer:
    by_system: dict[str, set[str]] = {}
    for name in {unquote(each) for log in logs for each in _FILE.findall(log)}:
        project, version, *_ = (*name.split("-"), "")
        if (normalise_name(project), version) != (normalise_name(release.name), release.version):
            continue
        for tag in parse_wheel_name(name).tags:
            interpreter, abi, platform = tag.split("-")
            floor = parse_floor(platform)
            match = re.fullmatch(r"cp3([0-9]+)", interpreter)
            if floor and floor.libc == "glibc":
                exact = match and abi in {f"cp3{match[1]}", "none"}
                version_of = f"3.{match[1]}" if match and exact else ""
                # Without the GIL, or not CPython's: no Python that nixpkgs' packages are for.
                if version_of or abi in {"abi3", "none"}:
                    by_system.setdefault(f"{nix_cpu(floor.arch)}-linux", set()).add(version_of)
    if all("" in pythons for pythons in by_system.values()):
        return Offer((), tuple(sorted(by_system)))
    own = {system for system, pythons in by_system.items() if {python, ""} & pythons}
    shared = set.intersection(*(by_system[system] for system in own)) - {""} if own else set()
    first, last = map(minor_of, known)
    minors = sorted(map(minor_of, shared))
    pythons = (f"3.{minor}" for minor in minors if first <= minor <= last)
    return Offer(tuple(pythons), tuple(sorted(own)))


def take_all(
    offer: Offer,
    releases: Sequence[str],
    places: Iterable[Place],
    words: Sequence[str],
    options: Mapping[str, Sequence[str] | None],
    *,
    of_whom: str = "",
) -> list[str]:
    """Say what there is beyond ``places``, and give the command for all; nothing where it is all.

    ``words`` begin the command, ``options`` are those that were given, with their values: what
    was chosen stays so. ``of_whom`` says for whom there may be others.
    """
    places = [*places]
    asked = {"--python-version": offer.pythons, "--system": offer.systems}
    asked = {option: values for option, values in asked.items() if not options.get(option)}
    had = {value for place in places for value in (place.python, place.system)}
    if had.issuperset(value for values in asked.values() for value in values):
        return []
    pythons, systems = (asked.get(option, ()) for option in ("--python-version", "--system"))
    parts = [f"Python {listed(pythons)}" if pythons else "", listed(systems)]
    has = ", on ".join(filter(None, parts))
    command = spelt(words, releases, {**options, **asked})
    return [f"{of_whom}it has wheels for {has}; for all of them:", f"  {command}"]


def spelt(
    words: Sequence[str], releases: Sequence[str], options: Mapping[str, Sequence[str] | None]
) -> str:
    """Spell a command for releases, each option once for each of its values."""
    command = [*words, *releases]
    for option, values in options.items():
        command += [word for value in values or () for word in (option, value)]
    return shell(*command)

"""Wheels that have to come along: those that are one package, and those whose libraries are needed.

Each is told with the command that writes it, ready to paste.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nix_manylinux.base.words import listed, on_several_lines, wrap
from nix_manylinux.nix.adviser import of_one_project
from nix_manylinux.nix.expression.dependencies import exact_versions
from nix_manylinux.nix.expression.names import OTHERS
from nix_manylinux.nix.expression.offered import spelt
from nix_manylinux.nix.expression.relatives import Relatives, whole_of
from nix_manylinux.wheel.metadata import normalise_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nix_manylinux.nix.expression.names import Names
    from nix_manylinux.nix.expression.wheel import DescribedWheel


class OtherWheels(NamedTuple):
    """Sentences on other wheels, and what pip is to be asked so that these name all of them.

    ``faults`` are of the whole: wheels that are one package only together. ``too`` are on those
    whose libraries are needed, with what these need in their turn: ``chain`` are the names of all
    of them. ``asks`` are requirements, empty where nothing is to be known. ``is_part`` is whether
    the wheel is of no use but in one package with others.
    """

    faults: list[str]
    too: list[str]
    chain: list[str]
    asks: list[str]
    is_part: bool


def other_wheels(
    wheel: DescribedWheel,
    required: Sequence[str],
    linked: Sequence[str],
    relatives: Relatives,
    names: Names,
) -> OtherWheels:
    """Say which wheels have to come along with one, which requires some, and is linked to some."""
    hidden = [*_hidden(wheel, required, linked, relatives, names)]
    faults = [said for said, _, _ in hidden]
    one = {name for _, members, _ in hidden for name in members}
    if later := relatives.coming_later(required):
        said = (
            f"{listed(later)}: required, but left out of dependencies, where no package can have"
            " what needs it in its turn"
        )
        if not one.issuperset(later):
            members = [*sorted(relatives.own), *later]
            said += (
                f". Make one package:{_pasted(_command(members, wheel, relatives, names), names)}"
            )
        faults.append(said)
    surely = {name for _, members, is_sure in hidden if is_sure for name in members}
    chain = _in_order({*linked} - surely, relatives)
    chain = [each for each in chain if not names.has_wheel(each)]
    too = [*_too(chain, wheel, relatives, names)]
    asks = [members[0] for _, members, _ in hidden if members[0] not in relatives.own]
    # Of what several require some may need them.
    if faults or too or (wheel.beside and required):
        asks[:0] = wheel.releases
    return OtherWheels(faults, too, chain, asks, bool(surely))


def _hidden(
    wheel: DescribedWheel,
    required: Iterable[str],
    linked: Iterable[str],
    relatives: Relatives,
    names: Names,
) -> Iterator[tuple[str, list[str], bool]]:
    """Say which regular packages other wheels have, too: on Python's path one hides the other.

    Each sentence is given with the wheels that are one package then, and whether they surely
    have to be. The command takes what is ``linked`` to as well.
    """
    files = relatives.files
    needed = relatives.reached([*required, *files])
    for path in relatives.shared(wheel.inits):
        members = relatives.one_package(path)
        having = {name for name in relatives.sharing(path) if name in members and name not in files}
        having |= {name for name, each in files.items() if path in each}
        having -= relatives.own
        if not having:
            continue
        members = members or [*dict.fromkeys([*sorted(having), *sorted(relatives.own), *linked])]
        built = whole_of(path)
        command = _pasted(_command(members, wheel, relatives, names, whole=built), names)
        there = f"{path} is in {listed(sorted(having))}, too"
        if path not in wheel.inits:
            needing = listed(sorted(having))
            said = f"this wheel is one package with those that need it, {needing}:{command}"
        elif having.isdisjoint(needed):
            said = (
                f"{there}: with one of them on Python's path one folder hides the other. Who wants"
                f" more than this one makes one package of them:{command}"
            )
        else:
            said = (
                f"{there}: on Python's path one folder hides the other, and nothing that is in the"
                f" hidden one can be imported. Make one package of them:{command}"
            )
        if names.is_built_too(built) and not names.for_nixpkgs:
            said += f". nixpkgs builds {built} from source."
        yield said, members, not having.isdisjoint(needed)


def _too(
    members: Sequence[str], wheel: DescribedWheel, relatives: Relatives, names: Names
) -> Iterator[str]:
    """Warn that packages of nixpkgs' own are not the wheels whose libraries are needed.

    All of these are named, and what they need, in the order in which they are to be packaged.
    """
    if not members:
        return
    releases = _releases(members, wheel, relatives)
    own = "what nixpkgs may build from source under {} has libraries of its own"
    if len(members) == 1:
        one = releases[0] if "==" in releases[0] else f"{releases[0]}==VERSION"
        command = _spelt(one, relatives, names)
        yield f"Take the wheel of {members[0]}, too ({command}): {own.format('that name')}."
        return
    these = own.format("these names")
    lines = wrap(" ".join(releases), first="for each in ", rest="  ")
    command = _spelt('"$each"', relatives, names)
    loop = on_several_lines([*lines[:-1], f"{lines[-1]}; do"])
    loop += [f'  {command} > "${{each%%=*}}.nix"', "done"]
    if names.for_nixpkgs:
        order = "in this order, of which each run says where its file goes"
        yield "\n".join([f"Take these wheels, too, {order}; {these}:", *loop])
        return
    names.tell(["\n".join(["to write the other wheels, each before who needs it:", *loop])], OTHERS)
    command = _spelt("NAME", relatives, names)
    every = listed(releases)
    yield f"Take the wheels of {every}, too, in this order ({command} writes each): {these}."


def _in_order(linked: Iterable[str], relatives: Relatives) -> list[str]:
    """Give wheels, and what is of their families or leads to them, the needed before who needs."""
    wanted = {*linked}
    families = [each for each in relatives.families if not each.keys().isdisjoint(wanted)]
    every = relatives.reached([*relatives.own, *wanted]) - relatives.own
    wanted |= {*of_one_project((name for each in families for name in each), every)}
    wanted |= {name for name in every if not wanted.isdisjoint(relatives.reached([name]))}
    order: list[str] = []
    while rest := sorted(wanted.difference(order)):
        ready = (name for name in rest if relatives.reached([name]).isdisjoint({*rest} - {name}))
        order.append(next(ready, rest[0]))
    return order


def _command(
    members: Iterable[str],
    wheel: DescribedWheel,
    relatives: Relatives,
    names: Names,
    *,
    whole: str = "",
) -> str:
    """Give the command that writes one package of some wheels."""
    releases = _releases(members, wheel, relatives, whole=whole)
    return _spelt(" ".join(releases), relatives, names)


def _pasted(command: str, names: Names) -> str:
    """Put a command on a line of its own, where it isn't in a comment of the expression."""
    return f"\n  {command}" if names.for_nixpkgs else f" {command}"


def _releases(
    members: Iterable[str], wheel: DescribedWheel, relatives: Relatives, *, whole: str = ""
) -> list[str]:
    """Spell NAME==VERSION, as far as it is known; what has none follows METADATA of the others."""
    members = [*members]
    own = {normalise_name(each.name): each.version for each in wheel.names}
    pins = {name: each for name, each in exact_versions(wheel.headers).items() if name in members}
    # The whole is of the version of its parts, but for parts that have one of their own.
    shared = own.values() if not pins or {*own.values()} & {*pins.values()} else pins.values()
    known = {name: each.version for name, each in relatives.releases.items()}
    found = {whole: next(iter(shared)), **pins, **own, **known}
    return [f"{name}=={found[name]}" if name in found else name for name in members]


def _spelt(releases: str, relatives: Relatives, names: Names) -> str:
    """Spell the command for releases that need no quotes."""
    words = ["nix-manylinux", "expr", *(["--for-nixpkgs"] if names.for_nixpkgs else [])]
    return " ".join(filter(None, [*words, releases, spelt([], [], relatives.options)]))

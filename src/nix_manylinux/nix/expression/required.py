"""How an expression names the Python packages that are required, always, somewhere or by extras."""

from __future__ import annotations

from nix_manylinux.base.words import listed
from nix_manylinux.nix.expression.conditions import in_brackets, where_of
from nix_manylinux.nix.expression.dependencies import Dependencies, package_names
from nix_manylinux.nix.expression.layout import concatenated, items_list, remark
from nix_manylinux.nix.syntax import nix_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nix_manylinux.nix.expression.names import Names
    from nix_manylinux.target.place import Place


def required_packages(
    dependencies: Dependencies,
    undeclared: Sequence[str],
    places: Sequence[Place],
    names: Names,
    minded: Iterable[str] = (),
) -> Iterator[str]:
    """Write dependencies; ``undeclared`` are those that METADATA doesn't require.

    ``minded`` are comments on them. Which versions are wanted is for who writes a file of nixpkgs.
    """
    if names.for_nixpkgs and dependencies.versions:
        versions = dependencies.versions.items()
        each = [f"{text} (extra {extra})" if extra else text for text, (_, extra) in versions]
        wants = f"METADATA wants {', '.join(each)}: hold nixpkgs' versions against"
        names.author([f"{wants} that, as pythonRuntimeDepsCheckHook does for what nixpkgs builds"])
    if not (dependencies.always or dependencies.sometimes or undeclared):
        yield from minded
        return
    if undeclared:
        yield from remark(f"Not required by METADATA, but by files: {listed(undeclared)}.")
    yield from minded
    parts = _lists({*dependencies.always, *undeclared}, names)
    groups: dict[tuple[Place, ...], list[str]] = {}
    for name, where in dependencies.sometimes.items():
        groups.setdefault(where, []).append(name)
    for where, members in groups.items():
        when = in_brackets(where_of(where, places))
        lists = _lists(members, names)
        parts += [f"lib.optionals {when} {in_brackets(part)}" for part in lists]
    required = [*dependencies.always, *dependencies.sometimes, *undeclared]
    names.absent |= dict.fromkeys(names.lacking(package_names(required)), "")
    names.absent |= names.unusable()
    yield from concatenated("dependencies", parts)


def optional_packages(
    extras: Mapping[str, Sequence[str]], later: Sequence[str], names: Names
) -> list[str]:
    """Write optional-dependencies, without the packages that can't be there.

    Of ``later``, which need this package in their turn, it is said that they make no extra.
    """
    wanted = package_names(name for each in extras.values() for name in each)
    lacking = names.lacking(wanted)
    lines = []
    for extra, packages in extras.items():
        kept = [name for name in packages if name.partition("[")[0] not in lacking]
        parts = _lists(kept, names, can_lack=True)
        if parts:
            lines += [f"  {line}" for line in concatenated(nix_name(extra), parts)]
    which = "<nixpkgs>" if names.for_nixpkgs else "this nixpkgs"
    said = [f"Not in {which}, and only for extras: {listed(lacking)}."] if lacking else []
    said += [f"No extra, since it needs this one: {listed(later)}."] if later else []
    if names.for_nixpkgs and lines and not names.is_believed():
        there = listed(names.may_lack(wanted))
        which = f"optional-dependencies has {there}: leave out those that nixpkgs doesn't have"
        said += [which] if there else []
    bound = ["optional-dependencies = {", *lines, "};"] if lines else []
    return [*names.author(said), *bound]


def _lists(wanted: Iterable[str], names: Names, *, can_lack: bool = False) -> list[str]:
    """Write lists that together are the packages, and what extras of those add."""
    wanted = sorted(wanted)
    plain = package_names(wanted)
    items = [names.package(name, can_lack=can_lack) for name in plain]
    parts = [items_list(items)] if items else []
    for each in wanted:
        name, _, extra = each.removesuffix("]").partition("[")
        if extra:
            package = names.package(name, can_lack=can_lack)
            text = f"{package}.optional-dependencies.{nix_name(extra)}"
            # Nixpkgs doesn't have each extra of each package, and not in each of its releases.
            parts.append(text if names.for_nixpkgs else f"{text} or [ ]")
    return parts


def absent_text(absent: Mapping[str, str], *, for_nixpkgs: bool = False) -> str:
    """Say which Python packages are not to be had of the nixpkgs at hand, why, and what helps."""
    each = [f"{name} ({why})" if why else name for name, why in absent.items()]
    if for_nixpkgs:
        return (
            f"Not in <nixpkgs>: {listed(each)}. nix-manylinux expr --for-nixpkgs NAME writes such"
            " packages, too."
        )
    return f"Not in this nixpkgs: {listed(each)}. {_made_too(len(absent))}"


def _made_too(number: int) -> str:
    """Say what helps where so many Python packages are not to be had."""
    if number == 1:
        return "nix-manylinux expr NAME writes such packages, too."
    return (
        "nix-manylinux lock LOCKFILE has all of a project made at once;"
        " nix-manylinux expr NAME writes one of them."
    )

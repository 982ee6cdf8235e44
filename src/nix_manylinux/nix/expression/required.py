"""How an expression names the Python packages that are required, always, somewhere or by extras."""

from __future__ import annotations

from nix_manylinux.base.words import listed
from nix_manylinux.nix.expression.conditions import in_brackets, where_of
from nix_manylinux.nix.expression.dependencies import Dependencies, is_wanted, package_names
from nix_manylinux.nix.expression.layout import concatenated, items_list, remark
from nix_manylinux.nix.expression.names import CHECK, KNOW
from nix_manylinux.nix.expression.offered import spelt
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

    ``minded`` are comments on them.
    """
    minded = [*minded, *_versions(dependencies, names)]
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


def _versions(dependencies: Dependencies, names: Names) -> Iterator[str]:
    """Hold the versions of the nixpkgs at hand against those that are wanted.

    What doesn't fit is a comment. Who writes a file of nixpkgs is told that, and of the others
    which fit, and which are still to be held against it.
    """
    fit, unfit, unknown = [], [], []
    which = "<nixpkgs>" if names.for_nixpkgs else "this nixpkgs"
    for text, (name, extra) in dependencies.versions.items():
        said = f"{text} (extra {extra})" if extra else text
        version = names.version(name)
        wanted = is_wanted(version, text.removeprefix(name))
        if wanted is None:
            unknown.append(said)
        elif wanted:
            fit.append(f"{name} {version}")
        else:
            unfit.append(f"{said}, and {which} has {version}")
    if unfit:
        wrong = f"METADATA wants {'; '.join(unfit)}."
        if names.for_nixpkgs:
            names.tell([wrong], CHECK)
        else:
            names.said.append(wrong)
            yield from remark(wrong)
    if unknown and names.for_nixpkgs:
        wants = f"METADATA wants {', '.join(unknown)}: hold nixpkgs' versions against that"
        names.tell([f"{wants}, as pythonRuntimeDepsCheckHook does for what nixpkgs builds"], CHECK)
    if fit and names.for_nixpkgs:
        names.tell([f"{listed(fit)} of {which}: as METADATA wants them"], KNOW)


def which_release(undeclared: Sequence[str], releases: Sequence[str]) -> list[str]:
    """Say that METADATA doesn't say which release of packages goes with it that it doesn't name."""
    these = f"which release of {listed(undeclared)} goes with {listed(releases)}"
    said = f"{these}: METADATA doesn't say, the project's documentation may"
    return [said] if undeclared else []


def optional_packages(
    extras: Mapping[str, Sequence[str]], left_out: Mapping[str, Sequence[str]], names: Names
) -> list[str]:
    """Write optional-dependencies, without the packages that can't be there.

    ``left_out`` are extras with what in them needs this package in its turn: that is said.
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
    for extra, later in left_out.items():
        are, need = ("is", "needs") if len(later) == 1 else ("are", "need")
        left = f"The extra {extra} is left out of optional-dependencies: {listed(later)}, which"
        said.append(f"{left} {are} in it, {need} this package.")
    if names.for_nixpkgs and lines and not names.is_believed():
        there = listed(names.may_lack(wanted))
        which = f"optional-dependencies has {there}: leave out those that nixpkgs doesn't have"
        names.tell([which] if there else [], CHECK)
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


def absent_packages_text(
    absent: Mapping[str, str], options: Mapping[str, Sequence[str]], *, for_nixpkgs: bool = False
) -> str:
    """Say which Python packages are not to be had of the nixpkgs at hand, and why.

    Lines to paste follow: what writes such packages, with the ``options`` that hold for them.
    """
    each = [f"{name} ({why})" if why else name for name, why in absent.items()]
    which, command = "this nixpkgs", "nix-manylinux expr"
    if for_nixpkgs:
        which, command = "<nixpkgs>", "nix-manylinux expr --for-nixpkgs"
    said = f"Not in {which}: {listed(each)}"
    name = next(iter(absent)) if len(absent) == 1 else '"$each"'
    command = " ".join(filter(None, [command, name, spelt([], [], options)]))
    if not for_nixpkgs:
        command += f" > {name}.nix" if len(absent) == 1 else ' > "$each.nix"'
    if len(absent) == 1:
        return f"{said}. To write it, too:\n  {command}"
    if not for_nixpkgs:
        said += "; nix-manylinux lock LOCKFILE has all of a project made at once"
    return f"{said}. To write each:\n  for each in {' '.join(absent)}; do {command}; done"

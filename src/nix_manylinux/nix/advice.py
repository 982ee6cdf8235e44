"""What to paste to get the libraries that are missing: Nix in a build, options outside of one."""

from __future__ import annotations

import re

from nix_manylinux.base.patterns import exact_globs, exact_pattern
from nix_manylinux.nix.packages import Suggestion, Table, advise_any, explain, package_sets, suggest
from nix_manylinux.nix.syntax import nix_comment, nix_list, nix_path, nix_string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nix_manylinux.resolve.plan import Plan, Problem
    from nix_manylinux.tree.facts import TreeFacts


def plan_block(plan: Plan, table: Table, *, in_build: bool) -> str:
    """Write what to paste for all that stands in a plan's way; see `paste_block`."""
    return paste_block(
        plan.missing, table, in_build=in_build, unfit=plan.incompatible, trees=plan.trees
    )


def paste_block(
    problems: Sequence[Problem],
    table: Table,
    *,
    in_build: bool,
    unfit: Sequence[Problem] = (),
    trees: Iterable[TreeFacts] = (),
) -> str:
    """Write what to paste for libraries that are missing; empty where nothing is.

    In a build: ``buildInputs`` with every attribute that provides one of
    them, and ``manylinuxIgnoreMissingDeps`` for what nobody provides, each
    entry for the files that want it and no others. Outside
    of one: the same as options of the command. What is to be minded follows
    as comments. ``unfit`` is what is there and doesn't fit: files for other
    machines can be allowed, the rest gets a word of advice. ``trees`` are what
    the libraries are missing in: see `advise`. What only libraries outside of
    them want, whose search paths are not ours to change, no option adds.
    """
    beyond = [each for each in problems if _is_beyond(each)]
    problems = [each for each in problems if each not in beyond]
    brought = package_sets(trees, table)
    suggestions = [advise_any(problem.names, table, brought) for problem in problems]
    found = _by_attribute(each for each in suggestions if each.is_sure)
    nobody = [
        problem
        for problem, each in zip(problems, suggestions, strict=True)
        if each.kind in {"other version", "similar", "none"}
    ]
    patterns = sorted({exact_pattern(each.name, each.wanted_by) for each in nobody})
    foreign = [each for each in unfit if each.name.startswith("machine ")]
    allowed = sorted({glob for each in foreign for glob in exact_globs(each.wanted_by)})
    lines = _written(
        found,
        {"manylinuxIgnoreMissingDeps": patterns, "manylinuxAllowForeign": allowed},
        in_build=in_build,
    )
    old = [
        f"{nix_path(each.old_attribute)} for {nix_path(each.attribute)}"
        for each in found
        if each.old_attribute
    ]
    if old:
        lines.append(f"# in older nixpkgs: {', '.join(old)}")
    lines += dict.fromkeys(nix_comment(note) for each in found for note in each.notes)
    lines += dict.fromkeys(
        line
        for problem, each in zip(problems, suggestions, strict=True)
        if problem in nobody
        for line in _about(problem, each)
    )
    if nobody:
        wheel = "dependencies" if in_build else "--python-libs SITE_PACKAGES"
        later = "manylinuxProvidedLater" if in_build else "--provided-later SONAME"
        lines += [
            "# Ignore only what you will not use. Where another wheel brings the library, add",
            f"# that wheel ({wheel}), or where that one needs this one, name the",
            f"# library in {later}.",
        ]
    if beyond:
        ignore = "manylinuxIgnoreMissingDeps" if in_build else "--ignore-missing SONAME"
        lines += [
            nix_comment(f"wanted only outside of the tree: {', '.join(p.name for p in beyond)}"),
            "# Libraries there have search paths of their own, which no option changes. Take them",
            "# from a Nix store, where they know what they need; or, where the loader finds these",
            f"# by itself, {ignore}.",
        ]
    if foreign:
        lines += [
            "# Files for another machine are left as they are. To link them, name a target of",
            "# their machine (--dynamic-linker).",
        ]
    if len(foreign) < len(unfit):
        exclude = "manylinuxExclude" if in_build else "--exclude GLOB"
        lines += [
            "# What lacks a version is too old: take a newer nixpkgs, or an older wheel. Files",
            f"# that you will not use can be left alone ({exclude}).",
        ]
    return "\n".join(lines)


def _is_beyond(problem: Problem) -> bool:
    """Whether only libraries outside of the trees want it: those are told by absolute paths."""
    return bool(problem.wanted_by) and all(label.startswith("/") for label in problem.wanted_by)


def runtime_block(sonames: Sequence[str], table: Table, *, in_build: bool) -> list[str]:
    """Write what to paste for libraries that are loaded by dlopen: their packages, and their names.

    Those that come with the graphics driver have no package.
    """
    found = _by_attribute(each for name in sonames if (each := suggest(name, table)).is_sure)
    return _written(found, {"manylinuxRuntimeLibs": sonames}, in_build=in_build)


#: The hook's variables, and the options that say the same.
_OPTIONS = {
    "manylinuxIgnoreMissingDeps": "--ignore-missing",
    "manylinuxAllowForeign": "--allow-foreign",
    "manylinuxRuntimeLibs": "--runtime-libs",
}


def _written(
    found: Sequence[Suggestion], more: Mapping[str, Sequence[str]], *, in_build: bool
) -> list[str]:
    """Write packages, and lists by the name of the hook's variable, as Nix or as options."""
    if in_build:
        lists = {"buildInputs": [nix_path(each.attribute) for each in found]}
        lists |= {name: [*map(nix_string, texts)] for name, texts in more.items()}
        return [
            f"{name} = {nix_list(items, used=len(name) + len(' = ;'))};"
            for name, items in lists.items()
            if items
        ]
    import shlex  # noqa: PLC0415 (start-up: only advice needs it)

    options = [
        f"--libs \"$(nix-build '<nixpkgs>' -A {shlex.quote(nix_path(each.installable))} "
        '--no-out-link)/lib"'
        for each in found
    ]
    options += [
        f"{_OPTIONS[name]} {shlex.quote(text)}" for name, texts in more.items() for text in texts
    ]
    return [" \\\n".join(options)] if options else []


def _by_attribute(found: Iterable[Suggestion]) -> list[Suggestion]:
    """Keep one suggestion for each attribute, sorted by it."""
    attributes: dict[str, Suggestion] = {}
    for each in sorted(found, key=lambda each: (each.attribute.lower(), each.soname)):
        attributes.setdefault(each.attribute, each)
    return list(attributes.values())


def _about(problem: Problem, suggestion: Suggestion) -> list[str]:
    """Say about a library that nixpkgs lacks who wants it, and whether that can be done without."""
    named = f"{problem.name}: " if suggestion.kind == "other version" else ""
    lines = [nix_comment(f"{named}{explain(suggestion)}")]
    if problem.wanted_by and all(_is_plugin(label) for label in problem.wanted_by):
        more = len(problem.wanted_by) - 1
        others = f" and {more} more" if more else ""
        only = f"  {problem.name} is wanted only by plugins ({problem.wanted_by[0]}{others})"
        lines.append(nix_comment(only))
    return lines


def _is_plugin(label: str) -> bool:
    """Whether a file lies where frameworks keep what they load only if it works."""
    return (
        re.search(r"(?:^|/)[^/]*(?:plugins?|drivers?|providers?)/", label, re.IGNORECASE)
        is not None
    )

"""Everything that `inspect` tells of a wheel or a tree, as values, text and JSON."""

from __future__ import annotations

import re

from nix_manylinux.base.values import Value
from nix_manylinux.nix.advice import plan_block, runtime_block
from nix_manylinux.nix.packages import Table, advise_any, explain, package_sets, suggest
from nix_manylinux.report.summary import count, files_text, problems_text, summary
from nix_manylinux.target.interpreter import is_free_threaded
from nix_manylinux.target.policy import parse_floor, version_number
from nix_manylinux.wheel.name import expand_tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from nix_manylinux.report.loads import RuntimeLoad, RuntimeLoads
    from nix_manylinux.report.verdict import Breach, Verdict
    from nix_manylinux.resolve.plan import Plan, Problem
    from nix_manylinux.tree.facts import TreeFacts

#: So many files, and libraries, are named in one line before the rest is counted.
_FEW, _FEW_LIBRARIES = 2, 8
#: Kinds of suggestions whose libraries --runtime-libs can put on a path.
_LOADABLE = frozenset({"exact", "driver"})


class Inspection(Value):
    """What is known of a wheel or tree, and how it would be linked with what was given.

    ``misfits`` is why its tags don't fit the target, and what to do about it:
    `patch` would refuse it for that. ``variant`` is the label in a wheel's name
    (PEP 825), "" without one.
    """

    facts: TreeFacts
    tags: tuple[str, ...]
    plan: Plan
    verdict: Verdict
    loads: RuntimeLoads
    misfits: tuple[tuple[str, str], ...] = ()
    variant: str = ""


def inspection_text(seen: Inspection, table: Table, *, verbose: bool, in_build: bool) -> list[str]:
    """Write a summary, what needs attention, and what to paste; with ``verbose`` every file."""
    lines = [f"{dist.name} {dist.version}" for dist in seen.facts.distributions]
    if seen.tags:
        lines.append(f"  runs on    {runs_on(seen.tags)}")
    if seen.variant:
        lines.append(f"  variant    {seen.variant}")
    lines += _policy(seen.verdict, everything=verbose)
    versions = highest_versions(seen.facts)
    if versions:
        lines.append(f"  versions   {', '.join(versions)}")
    lines += [f"  {line}" for line in summary(seen.plan, verb="to be patched")]
    if seen.plan.missing:
        lines += ["", "not in the wheel:"]
        brought = package_sets([seen.facts], table)
        for problem in seen.plan.missing:
            advice = explain(advise_any(problem.names, table, brought))
            lines += _absent(problem, advice, everything=verbose)
    unfit = seen.plan.incompatible
    if unfit or seen.misfits:
        lines += ["", "does not fit this target:"]
        lines += [f"  {each}" for what, hint in seen.misfits for each in (what, f"    {hint}")]
        # Tags that don't fit say all that the machines of files could.
        told = [each for each in unfit if not seen.misfits or not each.name.startswith("machine ")]
        lines += [f"  {each}" for each in problems_text(told, everything=verbose)]
    lines += _loads_text(seen.loads, table, everything=verbose, in_build=in_build)
    if verbose:
        lines += ["", "files:", *(f"  {line}" for line in files_text(seen.plan))]
    block = plan_block(seen.plan, table, in_build=in_build)
    if block and not seen.misfits:
        lines += ["", "to add:", *(f"  {line}" for line in block.splitlines())]
    return lines


def inspection_json(seen: Inspection, table: Table) -> dict[str, Any]:
    """Return what the report's JSON doesn't hold already, as JSON values."""
    verdict = seen.verdict
    brought = package_sets([seen.facts], table)
    return {
        "tags": list(seen.tags),
        "runs_on": runs_on(seen.tags),
        "variant": seen.variant or None,
        "misfits": [what for what, _ in seen.misfits],
        "policy": {
            "claimed": list(verdict.claimed),
            "kept": verdict.kept,
            "by_versions": verdict.by_versions,
            "breaches": [_breach(each) for each in verdict.breaches],
            "obstacles": [_breach(each) for each in verdict.obstacles],
        },
        "highest_versions": highest_versions(seen.facts),
        "suggestions": {
            problem.name: {
                "kind": found.kind,
                "attribute": found.attribute or None,
                "old_attribute": found.old_attribute or None,
                "notes": list(found.notes),
            }
            for problem in seen.plan.missing
            for found in [advise_any(problem.names, table, brought)]
        },
        "runtime_loads": [
            {"name": each.name, "sources": [list(source) for source in each.sources]}
            for each in seen.loads.loads
        ],
        "unparsed_python": list(seen.loads.unparsed),
    }


def runs_on(tags: Sequence[str]) -> str:
    """Say in words what a wheel's simple tags ask for: interpreters, libc, architecture."""
    pythons: dict[str, None] = {}
    platforms: dict[str, None] = {}
    simples = [tuple(simple.split("-")) for each in tags for simple in expand_tag(each)]
    lowest = min((int(m[1]) for p, a, _ in simples if (m := _any_newer(p, a))), default=0)
    for python, abi, platform in simples:
        newer = _any_newer(python, abi)
        if newer is None or int(newer[1]) == lowest:  # py311 says nothing beside py310
            pythons[_python_words(python, abi)] = None
        floor = parse_floor(platform)
        if floor is None:
            platforms["any platform" if platform == "any" else platform] = None
        else:
            platforms[f"{floor.libc} {floor.major}.{floor.minor} or newer on {floor.arch}"] = None
    return f"{', '.join(pythons)}; {', '.join(platforms)}"


def _any_newer(python: str, abi: str) -> re.Match[str] | None:
    """Match tags of pure Python 3.N, which every newer Python 3 takes, too."""
    return re.fullmatch("py3([0-9]+)", python) if abi == "none" else None


def _python_words(python: str, abi: str) -> str:
    names = {"cp": "CPython", "pp": "PyPy", "py": "Python"}
    name = names.get(python[:2], python)
    digits = python[2:]
    version = f" {digits[0]}.{digits[1:]}" if len(digits) > 1 else f" {digits}"
    free = ", free-threaded" if is_free_threaded(abi) else ""
    newer = " or newer" if abi.startswith("abi3") or _any_newer(python, abi) else ""
    return f"{name}{version}{newer}{free}"


def highest_versions(facts: TreeFacts) -> list[str]:
    """List the highest version of each prefix that any file needs from outside: "GLIBC_2.17"."""
    inside = {file.facts.soname for file in facts.files}
    best: dict[str, tuple[tuple[int, ...], str]] = {}
    for file in facts.files:
        for need in file.facts.needs:
            prefix, _, number = need.version.rpartition("_")
            numbers = version_number(number)
            if need.library in inside or numbers is None or not prefix:
                continue
            best[prefix] = max(best.get(prefix, ((), "")), (numbers, need.version))
    return [version for _, (_, version) in sorted(best.items())]


def _policy(verdict: Verdict, *, everything: bool) -> list[str]:
    if not verdict.claimed or verdict.claimed == ("any",):
        return []
    kept = f"keeps {verdict.kept}"
    if verdict.kept in verdict.claimed or set(verdict.aliases) & set(verdict.claimed):
        kept = "and keeps it" if len(verdict.claimed) == 1 else kept
    lines = [f"  policy     claims {', '.join(verdict.claimed)}; {kept}"]
    outside = [breach.library for breach in verdict.breaches if not breach.version]
    newer = [b for b in verdict.breaches if b.version]
    titles = {
        "not in the policy": outside,
        "too new for it": [f"{b.version} of {b.library}" for b in newer if not _is_private(b)],
        "private to one version of the libc": [
            f"{b.version} of {b.library}" for b in newer if _is_private(b)
        ],
    }
    for title, names in titles.items():
        if names:
            shown = names if everything else names[:_FEW_LIBRARIES]
            more = f" and {len(names) - len(shown)} more (-v)" if len(shown) < len(names) else ""
            lines.append(f"             {title}: {', '.join(shown)}{more}")
    return lines


def _is_private(breach: Breach) -> bool:
    """Whether a version is for the libc's own libraries alone, and may be gone in the next one."""
    return breach.version.endswith("_PRIVATE")


def _breach(breach: Breach) -> dict[str, Any]:
    return {
        "library": breach.library,
        "version": breach.version or None,
        "wanted_by": list(breach.wanted_by),
    }


def _absent(problem: Problem, advice: str, *, everything: bool) -> list[str]:
    reason = f" ({problem.reason})" if problem.reason else ""
    return [
        f"  {' or '.join(problem.names)}: {advice}{reason}",
        f"      wanted by {_some(problem.wanted_by, everything=everything)}",
    ]


def _loads_text(
    loads: RuntimeLoads, table: Table, *, everything: bool, in_build: bool
) -> list[str]:
    lines = []
    known = []
    for load in loads.loads:
        found = suggest(load.name, table)
        if not everything and found.kind in {"none", "similar"}:
            continue  # most strings that look like sonames are no library of any system
        known.append(load)
        lines.append(f"  {load.name}: {explain(found) or 'no nixpkgs package is known to have it'}")
        lines.append(f"      named in {_some(_named_in(load), everything=everything)}")
    if not lines:
        return []
    rest = len(loads.loads) - len(known)
    if rest:
        lines.append(f"  and {count(rest, 'name')} that nixpkgs does not know (-v shows them)")
    sure = [each for each in known if suggest(each.name, table).kind in _LOADABLE]
    native = [each.name for each in sure if any(how != "Python" for _, how in each.sources)]
    python = [each.name for each in sure if each.name not in native]
    if native:
        block = "\n".join(runtime_block(native, table, in_build=in_build))
        and_expr = "" if in_build else " (--runtime-libs is known to expr, too)"
        lines += [f"  if you need them{and_expr}:", *(f"  {line}" for line in block.splitlines())]
    if python:
        # dlopen looks at the path of the file that calls it: here, of _ctypes.
        lines += [
            f"  loaded from Python, where no search path of the wheel counts: {', '.join(python)}",
            "  if you need them, write their paths into the source (substituteInPlace), or give",
            "  their packages to manylinuxPython's extraLibs",
        ]
    return ["", "may be loaded at run time:", *lines]


def _named_in(load: RuntimeLoad) -> list[str]:
    return [f"{label} ({how})" for label, how in load.sources]


def _some(names: Iterable[str], *, everything: bool) -> str:
    listed = list(names)
    shown = listed if everything else listed[:_FEW]
    more = len(listed) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")

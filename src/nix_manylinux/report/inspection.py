"""Everything that `inspect` tells of a wheel or a tree, as values, text and JSON."""

from __future__ import annotations

import re
from itertools import zip_longest

from nix_manylinux.base.store import in_store
from nix_manylinux.base.values import Value, as_json
from nix_manylinux.base.words import WIDTH, count, some, wrap
from nix_manylinux.nix.advice import library_path
from nix_manylinux.nix.packages import explain
from nix_manylinux.nix.syntax import nix_comments
from nix_manylinux.report.missing import headline, missing_text
from nix_manylinux.report.summary import absent_text, files_text, problems_text, summary
from nix_manylinux.report.symbols import SymbolTables, marks_text, symbols_text
from nix_manylinux.report.verdict import Breach, Verdict, leads_into_store
from nix_manylinux.resolve.python_loads import BY_PYTHON, CFFI, CTYPES
from nix_manylinux.target.interpreter import is_free_threaded
from nix_manylinux.target.policy import parse_floor, version_number
from nix_manylinux.target.target import ASSUMED
from nix_manylinux.tree.python import opens_for_cffi
from nix_manylinux.wheel.name import expand_tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from nix_manylinux.nix.adviser import Adviser
    from nix_manylinux.resolve.loads import RuntimeLoad, RuntimeLoads
    from nix_manylinux.resolve.plan import Plan
    from nix_manylinux.tree.facts import TreeFacts

#: So many files, and libraries, are named in one line before the rest is counted.
_FEW, _FEW_LIBRARIES = 2, 8
#: Begins lines of advice that are commands, and what belongs to them.
_PASTED = ("nix-manylinux ", " ", "#", "$(")


class Inspection(Value):
    """What is known of a wheel or tree, and how it would be linked with what was given.

    ``tags`` are of one distribution: those of several promise nothing together. ``misfits``
    is why tags don't fit the target, and what to do about it: `patch` would refuse it for
    that. ``optional`` are files that lack something, and that `patch` and `check` pass over in
    an environment. ``variant`` is the label in a wheel's name (PEP 825), "" without one.
    """

    facts: TreeFacts
    tags: tuple[str, ...]
    plan: Plan
    verdict: Verdict
    loads: RuntimeLoads
    symbols: SymbolTables
    misfits: tuple[tuple[str, str], ...] = ()
    optional: frozenset[str] = frozenset()
    variant: str = ""


def inspection_text(
    seen: Inspection,
    adviser: Adviser,
    *,
    verbose: bool,
    loads_advice: Sequence[str] = (),
    advice: Sequence[str] = (),
    width: int = WIDTH,
    paint: Callable[[str, str], str] = lambda text, _: text,
) -> list[str]:
    """Write a summary, what needs attention, and ``advice``; with ``verbose`` every file.

    ``loads_advice`` is for libraries that may be loaded at run time. Lines of advice that end in a
    colon are titles. ``paint`` gives text the look that it names:
    "bold", "red" or "dim".
    """
    missing = seen.plan.missing
    names = ", ".join(f"{dist.name} {dist.version}" for dist in seen.facts.distributions)
    lines = [paint(line, "bold") for line in wrap(names, width)] if names else []
    lines += [f"  {paint(headline(missing), 'red')}"] if missing else []
    lines += _optional(len(seen.optional), width)
    if not (missing or seen.plan.incompatible or seen.misfits):
        lines.append(f"  {paint(_fine(seen.plan), 'green')}")
    lines += _indented(summary(seen.plan, verb="to be patched"), "  ", width, rest="    ")
    for name, fact in _facts(seen, everything=verbose):
        lines += wrap(fact, width, first=f"  {name:<10} ", rest=" " * 13)
    if missing:
        what = "tree" if seen.facts.floating is None else "wheel"
        lines += ["", paint(f"not in the {what}:", "bold")]
        text = missing_text(missing, adviser, everything=verbose, shorten=True, width=width - 2)
        lines += [f"  {line}" for line in [*text, *absent_text(seen.plan, width - 2)]]
    unfit = seen.plan.incompatible
    if unfit or seen.misfits:
        lines += ["", paint("does not fit this target:", "red")]
        for what, hint in seen.misfits:
            lines += _indented([what], "  ", width, rest="    ")
            lines += _indented([hint], "    ", width, rest="    ")
        # Tags that don't fit say all that the machines of files could.
        rest = [each for each in unfit if not seen.misfits or not each.is_foreign]
        lines += _indented(problems_text(rest, everything=verbose), "  ", width)
    loads = _loads_text(seen, adviser, everything=verbose, width=width)
    if loads:
        lines += ["", paint("may be loaded at run time:", "bold"), *loads]
        lines += [f"  {paint(line, 'dim') if line[:1] == '#' else line}" for line in loads_advice]
    if verbose:
        lines += _every_file(seen, width, paint)
    lines += [""] if advice else []
    for line, following in zip_longest(advice, advice[1:], fillvalue=""):
        # A title may take two lines.
        if any(each.endswith(":") for each in (line, following)) and not line.startswith(_PASTED):
            lines.append(paint(line, "bold"))
        else:
            lines.append(f"  {paint(line, 'dim') if line.startswith('#') else line}")
    return lines


def _optional(number: int, width: int) -> list[str]:
    """Say how many of the files that lack something count for inspect alone."""
    if not number:
        return []
    are, them = ("is", "it") if number == 1 else ("are", "them")
    text = f"{number} of these files {are} optional, and patch and check do without {them}"
    why = f"nothing that can be imported or started needs {them}"
    return wrap(f"{text}: {why}", width, first="  ", rest="    ")


def _facts(seen: Inspection, *, everything: bool) -> list[tuple[str, str]]:
    """Give what is true of all files, each fact under its name."""
    facts = [("runs on", runs_on(seen.tags))] if seen.tags else []
    target = seen.plan.target
    if target.libc_directory == ASSUMED:
        what = f"{target.machine.name} with {target.libc}, as its files are, not for this machine"
        facts.append(("linked for", f"{what}; --dynamic-linker or --python names a target"))
    facts += [("variant", seen.variant)] if seen.variant else []
    policy = _policy(seen.verdict, everything=everything) if seen.tags else []
    facts += zip(["policy", *[""] * len(policy)], policy, strict=False)
    versions = highest_versions(seen.facts)
    facts += [("versions", ", ".join(versions))] if versions else []
    return facts + symbols_text(seen.symbols, everything=everything)


def _fine(plan: Plan) -> str:
    """Say of what lacks nothing whether a patch has anything to do."""
    if not plan.files:
        return "no ELF file: there is nothing to patch"
    if any(each.changes for each in plan.files):
        return "nothing is missing: a patch needs no libraries"
    if any(leads_into_store(each.file.facts) for each in plan.files):
        return "linked to the Nix store already: it loads as it is, where those paths are"
    return "nothing is missing: it loads as it is, without a patch"


def _every_file(seen: Inspection, width: int, paint: Callable[[str, str], str]) -> list[str]:
    files = files_text(seen.plan, width=width - 2)
    lines = ["", paint("files:", "bold"), *(f"  {line}" for line in files)]
    marks = marks_text(seen.symbols)
    if marks:
        lines += ["", paint("debug symbols:", "bold"), *_indented(marks, "  ", width)]
    return lines


def _indented(lines: Sequence[str], indent: str, width: int, *, rest: str = "") -> list[str]:
    """Indent lines, and wrap those that are too long; ``rest`` is what then follows begins with."""
    found = []
    for line in lines:
        own = indent + " " * (len(line) - len(line.lstrip()))
        found += wrap(line.lstrip(), width, first=own, rest=rest or f"{own}    ")
    return found


def inspection_json(seen: Inspection, adviser: Adviser) -> dict[str, Any]:
    """Return what the report's JSON doesn't hold already, as JSON values."""
    verdict = seen.verdict
    return {
        "tags": list(seen.tags),
        "runs_on": runs_on(seen.tags) if seen.tags else "",
        "variant": seen.variant or None,
        "misfits": [what for what, _ in seen.misfits],
        "policy": {
            **as_json(verdict, "claimed", "kept", "by_versions"),
            "breaches": [_breach(each) for each in verdict.breaches],
            "obstacles": [_breach(each) for each in verdict.obstacles],
        },
        "highest_versions": highest_versions(seen.facts),
        "suggestions": {
            problem.name: {
                "kind": found.kind,
                "attribute": found.attribute or None,
                "old_attribute": found.old_attribute or None,
                **as_json(found, "wheels", "notes"),
            }
            for problem in seen.plan.missing
            for found in [adviser.advise(*problem.names)]
        },
        "runtime_loads": [
            {"name": each.name, "sources": [list(source) for source in each.sources]}
            for each in seen.loads.loads
        ],
        "unparsed_python": list(seen.loads.unparsed),
        "abi3": seen.symbols.abi3 or None,
        "symbols": [
            {
                "label": each.label,
                "undefined": list(each.undefined) if each.judged else None,
                "not_in_abi3": {name: added or None for name, added in each.not_in_abi3},
                "isa": f"x86-64-v{each.isa}" if each.isa > 1 else None,
                "build_id": each.build_id or None,
                "debug_link": each.debug_link or None,
            }
            for each in seen.symbols.files
        ],
    }


def runs_on(tags: Sequence[str]) -> str:
    """Say in words what a wheel's simple tags ask for: interpreters, libc, architecture."""
    pythons: dict[str, None] = {}
    platforms: dict[str, None] = {}
    floors: dict[tuple[str, str], tuple[int, int]] = {}
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
            known = floors.setdefault((floor.libc, floor.arch), floor.version)
            floors[floor.libc, floor.arch] = min(known, floor.version)
    platforms |= {
        f"{libc} {major}.{minor} or newer on {arch}": None
        for (libc, arch), (major, minor) in floors.items()
    }
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
    """Say what a wheel claims and satisfies; then what breaks the claim, a line for each kind."""
    if not verdict.claimed or verdict.claimed == ("any",):
        return []
    kept = f"satisfies {verdict.kept}"
    if verdict.in_store:
        kept = "satisfies no policy: it is linked to the Nix store"
    elif verdict.kept.startswith("linux_"):
        kept = "satisfies no policy"
    elif verdict.kept in verdict.claimed or set(verdict.aliases) & set(verdict.claimed):
        kept = "and satisfies it" if len(verdict.claimed) == 1 else kept
    lines = [f"claims {', '.join(verdict.claimed)}; {kept}"]
    outside = [breach.library for breach in verdict.breaches if not breach.version]
    newer = [f"{b.version} of {b.library}" for b in verdict.breaches if b.version]
    # For the libc's own libraries alone, and it may be gone in the next one.
    private = [each for each in newer if "_PRIVATE of " in each]
    titles = {
        "not in the policy": outside,
        "too new for it": [each for each in newer if each not in private],
        "private to one version of the libc": private,
    }
    for title, names in titles.items():
        if names:
            more = " (-v)" if len(names) > _FEW_LIBRARIES and not everything else ""
            lines.append(f"{title}: {some(names, _FEW_LIBRARIES, everything=everything)}{more}")
    return lines


def _breach(breach: Breach) -> dict[str, Any]:
    return as_json(breach, "library", "version", "wanted_by") | {"version": breach.version or None}


def _loads_text(seen: Inspection, adviser: Adviser, *, everything: bool, width: int) -> list[str]:
    loads = seen.loads
    rows: dict[tuple[str, ...], dict[str, list[str]]] = {}
    known = []
    for load in loads.loads:
        found = adviser.advise(load.name)
        if not everything and found.kind in {"none", "similar"}:
            continue  # most strings that look like sonames are no library of any system
        known.append(load)
        named_in = tuple(f"{label} ({how})" for label, how in load.sources)
        by_provider = rows.setdefault(named_in, {})
        by_provider.setdefault(explain(found), []).append(load.name)
    lines = []
    for sources, by_provider in rows.items():
        named = some(sources, _FEW, everything=everything)
        lines += wrap(f"named in {named}:", width, first="  ", rest="      ")
        for provider, names in by_provider.items():
            lines += _indented([f"{', '.join(names)}: {provider}"], "    ", width)
    if not lines:
        return []
    rest = len(loads.loads) - len(known)
    if rest:
        lines.append(f"  and {count(rest, 'name')} that nixpkgs does not know (-v shows them)")
    if any(adviser.advise(each.name).is_nowhere for each in known):
        text = (
            "what nixpkgs has not, most programs do without: they try several names, and go on"
            " where a library is not there"
        )
        lines += wrap(text, width, first="  ", rest="  ")
    return lines + _by_ctypes(seen, adviser, width)


def _by_ctypes(seen: Inspection, adviser: Adviser, width: int) -> list[str]:
    """Say what only ctypes opens, and how it finds that: dlopen looks at the path of _ctypes."""
    native = loadable(seen, adviser)
    loads = [each for each in _sure(seen.loads, adviser) if each.name not in native]
    if not loads:
        return []
    python = [each.name for each in loads]
    said = f"loaded from Python, where no search path of the wheel counts: {', '.join(python)}; "
    if seen.facts.floating is not None or in_store(seen.facts.root):
        said += (
            "if you need them, write their paths into the source (substituteInPlace), or give"
            " their packages to manylinuxPython's extraLibs"
        )
        if any(how == CFFI for each in loads for _, how in each.sources):
            said += "; cffi opens what lies on the path of its own package (manylinuxRuntimeLibs)"
        return wrap(said, width, first="  ", rest="  ")
    found = [each for each in map(adviser.advise, python) if each.is_sure]
    command = library_path(found, width=width - 2)
    title = wrap(
        f"{said}a program is started with those that it needs:", width, first="  ", rest="  "
    )
    note = "What asks find_library wants ld and objdump on PATH, too (binutils)."
    return [*title, *(f"  {line}" for line in [*command, *nix_comments(note, width=width - 2)])]


def loadable(seen: Inspection, adviser: Adviser) -> list[str]:
    """Name the libraries that --runtime-libs leads files to, which load them by dlopen.

    Cffi's module is such a file, where it is there.
    """
    has_cffi = any(opens_for_cffi(name) for file in seen.facts.files for name in file.names)
    others = {CTYPES} if has_cffi else BY_PYTHON
    sure = _sure(seen.loads, adviser)
    return [each.name for each in sure if any(how not in others for _, how in each.sources)]


def _sure(loads: RuntimeLoads, adviser: Adviser) -> list[RuntimeLoad]:
    """Give those that somebody is known to have; of one library's two names that with a version."""
    whole = {
        (load.name.partition(".so")[0], source)
        for load in loads.loads
        for source in load.sources
        if not load.name.endswith(".so")
    }
    advised = [
        (load, adviser.advise(load.name))
        for load in loads.loads
        if any((load.name.removesuffix(".so"), source) not in whole for source in load.sources)
    ]
    return [each for each, found in advised if found.is_loadable or found.kind == "driver"]

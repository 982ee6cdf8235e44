"""Plans and results as text for people, and as JSON for programs.

The JSON's shape is ``data/report.schema.json``; ``schema`` in a report is its
version, raised whenever a reader could break.
"""

from __future__ import annotations

from collections import Counter

from nix_manylinux.base.values import as_json
from nix_manylinux.base.words import count, listed, some, wrap
from nix_manylinux.elf.facts import planned_facts
from nix_manylinux.nix.references import absent_references
from nix_manylinux.resolve.plan import FilePlan, Outcome, Plan, Problem, Report, wanting_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from nix_manylinux.base.errors import NixManylinuxError
    from nix_manylinux.report.mended import Leaves
    from nix_manylinux.target.target import Target
    from nix_manylinux.tree.facts import Damage, TreeFacts

#: Version of report.schema.json.
SCHEMA = 1

#: So many files are named for one library before the rest is only counted.
_FEW = 3
#: So many libraries of one kind: SDL has notes of 28 that it may load.
_FEW_NAMES = 6


def summary(plan: Plan, *, verb: str) -> list[str]:
    """Say in a few lines what was done to a plan's files, and what they are linked to.

    Files that lack something are counted as that, whatever else is done to them.
    """
    lacking = {each.file.label for each in plan.files} & wanting_files(plan.missing)
    others = [each for each in plan.files if each.file.label not in lacking]
    skipped = _skipped(plan)
    edited = sum(each.changes for each in others)
    fine = len(others) - edited - skipped.total()
    parts = [f"{len(lacking)} {'lacks' if len(lacking) == 1 else 'lack'} libraries"]
    parts = parts if lacking else []
    if edited or not lacking:
        parts.append(f"{edited} {verb}")
    if fine:
        was = ("it was", "they were") if verb == "patched" else ("it is", "they are")
        parts.append(f"{fine} right as {was[fine > 1]}")
    parts += _left_alone(skipped)
    lines = [f"{count(len(plan.files), 'ELF file')}: {', '.join(parts)}"]
    counts = Counter(r.outcome for each in plan.files for r in each.resolutions)
    words = _words(plan)
    parts = [f"{counts[o]} {words[o]}" for o in Outcome if counts[o] and o is not Outcome.MISSING]
    if parts:
        lines.append(f"needs: {', '.join(parts)}")
    found = {(r.outcome, r.reason, r.name) for each in plan.files for r in each.resolutions}
    for outcome in (Outcome.DRIVER, Outcome.LATER, Outcome.IGNORED):
        for why in sorted({reason for of, reason, _ in found if of is outcome}):
            names = sorted(name for of, reason, name in found if (of, reason) == (outcome, why))
            lines.append(f"{outcome.value}: {some(names, _FEW_NAMES)}{f' ({why})' if why else ''}")
    return lines


def notable(plan: Plan) -> list[str]:
    """Give a line for each need that there is something to say of: what it hides, say."""
    return [
        f"{each.file.label}: {r.name} is {f'{r.path}, which ' if r.path else ''}{r.reason}"
        for each in plan.files
        for r in each.resolutions
        if r.reason
    ]


def all_fine(plan: Plan, leaves: Leaves) -> str:
    """Say that all loads, as far as no warning doubts it, and what does not or was not seen."""
    if not plan.files:
        return "no ELF file: there is nothing to load"
    from nix_manylinux.report.mended import linked_text, stuck_text  # noqa: PLC0415 - for `check`

    skipped = _skipped(plan)
    ignored = any(r.outcome is Outcome.IGNORED for each in plan.files for r in each.resolutions)
    looked_at = count(len(plan.files) - skipped.total(), "ELF file")
    what = "everything that is needed loads" if leaves.waived else "everything loads"
    excepted = ["ignored"] * ignored + ["warned of"] * bool(plan.warnings)
    exception = f", but for what is {listed(excepted)}" if excepted else ""
    more = filter(None, [stuck_text(leaves), linked_text(leaves)])
    return "; ".join([f"{looked_at}: {what}{exception}", *more, *_left_alone(skipped)])


def absent_text(plan: Plan, width: int) -> list[str]:
    """Say which store paths are not here that files were linked to, and how they come; [] for none.

    Each of them once, however many files want it: one command fetches them all.
    """
    paths = absent_references(plan)
    if not paths:
        return []
    are, them = ("is", "it") if len(paths) == 1 else ("are", "them")
    text = (
        f"linked to {count(len(paths), 'store path')} that {are} not on this machine: patch for"
        f" this one, or fetch {them} from a cache (nix-copy-closure --from HOST: from a machine)"
    )
    return [*wrap(text, width, rest="  "), f"  nix-store --realise {' '.join(paths)}"]


def left_alone(left: Sequence[Damage]) -> tuple[str, ...]:
    """Say of each file that no edit of it could be proved safe."""
    return tuple(f"{each.label} can't be edited, and stays as it is: {each.what}" for each in left)


def unfolded(names: Sequence[str]) -> tuple[str, ...]:
    """Say which links to folders elsewhere are folders by now."""
    if not names:
        return ()
    links = count(len(names), "link to a folder", "links to folders")
    are = "is a folder" if len(names) == 1 else "are folders"
    what = f"{links} elsewhere {are} of links now, so that files in them can change"
    return (f"{what}: {some(names, 3)}",)


def put_back(restored: int) -> tuple[str, ...]:
    """Say that a killed patch was undone, where there was one."""
    was = f"{count(restored, 'file')} {'was' if restored == 1 else 'were'}"
    return (f"a patch that was killed is undone: {was} put back",) if restored else ()


def passed_by(trees: Sequence[TreeFacts]) -> tuple[str, ...]:
    """Say which links lead to files that are somebody else's."""
    names = [name for tree in trees for name in tree.passed_by]
    if not names:
        return ()
    stay = "stays what it is" if len(names) == 1 else "stay what they are"
    links = count(len(names), "link")
    return (f"{links} into a Nix store or another tree {stay}: {some(names, 3)}",)


def _skipped(plan: Plan) -> Counter[str]:
    return Counter(each.skipped for each in plan.files if each.skipped and not each.changes)


def _left_alone(skipped: Counter[str]) -> list[str]:
    return [f"{number} left alone ({why})" for why, number in sorted(skipped.items())]


_WORDS = {
    Outcome.LIBC: "from the libc",
    Outcome.TREE: "from the tree itself",
    Outcome.WHEEL: "from other wheels",
    Outcome.LIBRARY: "from library directories",
    Outcome.DRIVER: "from the graphics driver",
    Outcome.LATER: "to come later",
    Outcome.IGNORED: "ignored",
    Outcome.INCOMPATIBLE: "incompatible",
}


def _words(plan: Plan) -> dict[Outcome, str]:
    """Call a wheel a wheel, whose folders lie where an installer puts them."""
    wheel = all(tree.floating is not None for tree in plan.trees)
    return {**_WORDS, Outcome.TREE: "from the wheel itself"} if wheel else _WORDS


def problems_text(problems: Iterable[Problem], *, everything: bool) -> list[str]:
    """Give one block for each library: why, and who wants it."""
    lines = []
    for problem in problems:
        names = " or ".join(problem.names)
        lines.append(f"{names}{': ' + problem.reason if problem.reason else ''}")
        shown = problem.wanted_by if everything else problem.wanted_by[:_FEW]
        lines += [f"    wanted by {label}" for label in shown]
        more = len(problem.wanted_by) - len(shown)
        if more:
            lines.append(f"    and {count(more, 'more file')} (-v names them)")
    return lines


def files_text(plan: Plan, *, width: int) -> list[str]:
    """Give the details of every file: kind, where its needs lead, folder by folder, the edit."""
    labels = {
        f"{plan.trees[each.tree].root}/{each.file.path}": each.file.label for each in plan.files
    }
    lines, words = [], _words(plan)
    for each in plan.files:
        state = f"left alone: {each.skipped}" if each.skipped else each.file.facts.kind.value
        lines.append(f"{each.file.label}  [{state}]")
        groups: dict[str, list[str]] = {}
        for r in sorted(each.resolutions, key=lambda r: list(Outcome).index(r.outcome)):
            folder, _, base = labels.get(r.path or "", r.path or "").rpartition("/")
            where = words.get(r.outcome, r.outcome.value)
            if r.path and r.outcome is not Outcome.LIBC:
                where += f", {folder or '.'}"
            name = r.name if base in {"", r.name.rpartition("/")[2]} else f"{r.name} = {base}"
            groups.setdefault(where, []).append(f"{name} ({r.reason})" if r.reason else name)
        for where, names in groups.items():
            lines += wrap(f"{where}: {', '.join(names)}", width, first="    ", rest="        ")
        edit = each.edit
        texts = []
        if edit.search_path is not None:
            tag = "RPATH" if edit.inherited else "RUNPATH"
            texts.append(f"{tag} {':'.join(edit.search_path) or '(removed)'}")
        if edit.interpreter:
            texts.append(f"interpreter {edit.interpreter}")
        for text in (*texts, *each.notes):
            lines += wrap(text, width, first="    ", rest="        ")
    return lines


def report_json(
    command: str,
    *,
    report: Report | None = None,
    error: NixManylinuxError | None = None,
    wheel: Mapping[str, str] | None = None,
    inspection: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the report of one run as JSON values.

    ``error`` is what refused it, if it was; ``inspection`` what only
    `inspect` knows.
    """
    plan = report.plan if report else getattr(error, "plan", None)
    return {
        "schema": SCHEMA,
        "command": command,
        "status": "refused" if error else "done",
        "error": error_json(error),
        "target": _target(plan.target) if plan else None,
        "wheel": dict(wheel) if wheel else None,
        "inspection": dict(inspection) if inspection else None,
        "trees": _trees(plan) if plan else [],
        "missing": [_problem(p) for p in plan.missing] if plan else [],
        "waived": [_problem(p) for p in plan.waived] if plan else [],
        "incompatible": [_problem(p) for p in plan.incompatible] if plan else [],
        "warnings": [*(plan.warnings if plan else ()), *(report.warnings if report else ())],
        "edits": [
            {"file": e.label, **as_json(e, "how", "size_before", "size_after", "notes")}
            for e in (report.edits if report else ())
        ],
        "unedited": _left(report.unedited if report else ()),
        "references": list(report.references) if report else [],
        "absent": list(absent_references(plan)) if plan else [],
        "record": {
            "stale": report.stale_rows if report else 0,
            "dropped": report.dropped_rows if report else 0,
        },
    }


def error_json(error: NixManylinuxError | None) -> dict[str, str] | None:
    """Return an error as JSON values; its kind is the name of its class."""
    if error is None:
        return None
    return {"kind": type(error).__name__, **as_json(error, "what", "where", "hint")}


def _target(target: Target) -> dict[str, Any]:
    interpreter = target.interpreter
    return {
        "machine": target.machine.name,
        "libc": target.libc,
        "libc_version": ".".join(map(str, target.libc_version)),
        "dynamic_linker": target.dynamic_linker,
        "python": interpreter.executable if interpreter else None,
    }


def _trees(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "root": tree.root,
            "distributions": [as_json(d, "name", "version", "tags") for d in tree.distributions],
            "files": [_file(each) for each in plan.files if each.tree == position],
            "damaged": _left(tree.damaged),
        }
        for position, tree in enumerate(plan.trees)
    ]


def _left(files: Iterable[Damage]) -> list[dict[str, str]]:
    return [{"file": each.label, "what": each.what} for each in files]


def _file(each: FilePlan) -> dict[str, Any]:
    facts = each.file.facts
    planned = planned_facts(facts, each.edit)
    return {
        "path": each.file.label,
        "kind": facts.kind.value,
        "machine": str(facts.machine),
        "soname": facts.soname,
        "skipped": each.skipped or None,
        "edited": each.changes,
        "needs": [
            {"name": r.name, "outcome": r.outcome.value, "path": r.path, "reason": r.reason or None}
            for r in each.resolutions
        ],
        "search_path": {
            "tag": "RPATH" if planned.rpath is not None and planned.runpath is None else "RUNPATH",
            "before": list(facts.search_path),
            "after": list(planned.search_path),
        },
        "interpreter": planned.interpreter,
        "notes": list(each.notes),
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        **as_json(problem, "name", "wanted_by"),
        "reason": problem.reason or None,
        **(as_json(problem, "alternatives") if problem.alternatives else {}),
    }

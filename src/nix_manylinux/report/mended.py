"""What a patch would make of a tree that does not load as it is, and of files that need not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nix_manylinux.base.values import Value, replace
from nix_manylinux.base.words import count
from nix_manylinux.report.missing import UNLED, brief
from nix_manylinux.resolve.plan import FilePlan, Plan, Problem, limited, wanting_files

#: What stands in a plan's way.
_KINDS = ("missing", "incompatible")


class AfterPatch(Value):
    """What `check` has found, sorted by what becomes of it.

    ``left`` is the plan that was found, with what a patch doesn't mend and no more. ``mended``
    is what it mends: by where it is what is there already, and by the reason what else does
    not fit yet. ``lacking`` is the plan with all that stands in a patch's way: what loads
    as it is and would not be patched is among it, too.
    """

    left: Plan
    mended: dict[str, list[Problem]]
    lacking: Plan


def after_patch(found: Plan, patched: Sequence[Plan]) -> AfterPatch:
    """Sort what `check` has found by what patches, each of other files, would make of it.

    What is wrong with files that they leave alone stays.
    """
    edited, known, lacking = edited_files(patched), lacked([found]), lacked(patched)

    def is_left(label: str, _: str = "") -> bool:
        return label not in edited and not label.startswith("/")

    def is_found(label: str, name: str) -> bool:
        # A library outside of the trees may be one that nothing led to yet.
        return (name, label) in known or label.startswith("/")

    wanted = {kind: [x for p in patched for x in getattr(p, kind)] for kind in _KINDS}
    still = {kind: limited(getattr(found, kind), is_left) for kind in _KINDS}
    still["missing"] = _located(still["missing"], found)
    mended: dict[str, list[Problem]] = {}
    for problem in found.problems:
        for label in problem.wanted_by:
            if is_left(label) or any((name, label) in lacking for name in problem.names):
                continue
            where = place(problem, edited.get(label), patched) or problem.reason
            mended.setdefault(where, []).append(replace(problem, wanted_by=(label,), reason=""))
    return AfterPatch(
        left=replace(
            found, **{k: _merged([*limited(wanted[k], is_found), *still[k]]) for k in _KINDS}
        ),
        mended={where: list(_merged(each)) for where, each in mended.items()},
        lacking=replace(found, **{k: _merged([*wanted[k], *still[k]]) for k in _KINDS}),
    )


def edited_files(patched: Sequence[Plan]) -> dict[str, FilePlan]:
    """Give what patches would do to files, by their labels, but for those that are left alone."""
    return {each.file.label: each for p in patched for each in p.files if not each.skipped}


def place(problem: Problem, file: FilePlan | None, patched: Sequence[Plan]) -> str:
    """Say where in the trees that is which a patch would lead a file to; "" for nowhere."""
    resolutions = file.resolutions if file else ()
    path = next((r.path for r in resolutions if r.name in problem.names and r.path), "")
    for plan in patched:
        for tree in plan.trees:
            path = path.removeprefix(f"{tree.root}/")
    return unled(path) if path else ""


def unled(path: str) -> str:
    """Say where in the trees a library is, to which a patch will lead."""
    return f"in {brief(path.rpartition('/')[0]) or '.'}, {UNLED}"


def _located(problems: Iterable[Problem], found: Plan) -> tuple[Problem, ...]:
    """Say where in the trees that is which no patch will lead to: in a store, say."""
    places = {
        name.rpartition("/")[2]: name
        for each in found.files
        if each.file.facts.machine.fits(found.target.machine)
        for name in each.file.names
    }
    return tuple(
        replace(each, reason=unled(places[each.name]))
        if each.name in places and not each.reason
        else each
        for each in problems
    )


def with_mended(found: Plan, after: AfterPatch) -> Plan:
    """Give what was found as text tells it: with where what a patch mends is already, as a reason.

    What only seemed to be optional, since nothing led to what wants it, is missing.
    """
    lacking, missing = _pairs(found.missing), _pairs(after.left.missing)
    mended = [
        replace(each, reason=where)
        for where, problems in after.mended.items()
        for each in limited(problems, lambda label, name: (name, label) in lacking)
    ]
    return replace(
        after.left,
        missing=_merged([*after.left.missing, *mended]),
        incompatible=found.incompatible,
        waived=limited(found.waived, lambda label, name: (name, label) not in missing),
    )


def of_labels(found: Plan, labels: set[str]) -> Plan:
    """Limit what was found to what files of those labels want, or libraries outside of trees."""

    def is_one(label: str, _: str) -> bool:
        return label in labels or label.startswith("/")

    return replace(found, **{kind: limited(getattr(found, kind), is_one) for kind in _KINDS})


def _pairs(problems: Iterable[Problem]) -> set[tuple[str, str]]:
    return {(name, label) for each in problems for name in each.names for label in each.wanted_by}


def lacked(plans: Iterable[Plan]) -> set[tuple[str, str]]:
    """Give the names that files of plans can't have, or need not, each with the file's label."""
    return _pairs(each for p in plans for each in (*p.missing, *p.waived, *p.incompatible))


def _merged(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Make one of problems that differ only in who has them, sorted by name."""
    found: dict[tuple[str, str, tuple[str, ...]], set[str]] = {}
    for each in problems:
        labels = found.setdefault((each.name, each.reason, each.alternatives), set())
        labels.update(each.wanted_by)
    return tuple(
        Problem(name=name, reason=reason, alternatives=others, wanted_by=tuple(sorted(labels)))
        for (name, reason, others), labels in sorted(found.items())
    )


#: What takes libraries of a nixpkgs.
_NIXPKGS = "patch --nixpkgs"


class Leaves(Value):
    """What optional files lack, sorted by what becomes of them.

    ``waived`` is all of it, with where a patch takes a library from as its reason; ``linked``
    is what files lack all of which ``command`` links, ``stuck`` what the others lack.
    """

    waived: tuple[Problem, ...] = ()
    linked: tuple[Problem, ...] = ()
    stuck: tuple[Problem, ...] = ()
    command: str = ""


def sort_leaves(
    waived: Sequence[Problem], patched: Sequence[Plan], takes: Mapping[str, str]
) -> Leaves:
    """Sort what optional files lack; ``takes`` says of which attribute --nixpkgs takes a library.

    ``patched`` is what plain patches would make of the files.
    """
    lacking, edited = lacked(patched), edited_files(patched)

    def reason(problem: Problem, label: str) -> str:
        """Say where a patch takes it from; "" for nowhere."""
        if label in edited and not any((name, label) in lacking for name in problem.names):
            return place(problem, edited[label], patched)
        taken = next((takes[name] for name in problem.names if name in takes), "")
        return f"{_NIXPKGS} takes it from {taken}" if taken else ""

    sorted_: dict[tuple[Problem, str], set[str]] = {}
    stuck: set[str] = set()
    command = "patch"
    for problem in waived:
        for label in problem.wanted_by:
            why = reason(problem, label)
            command = _NIXPKGS if why.startswith(_NIXPKGS) else command
            stuck |= set() if why else {label}
            sorted_.setdefault((problem, why), set()).add(label)
    told = [
        replace(problem, reason=why or problem.reason, wanted_by=tuple(sorted(labels)))
        for (problem, why), labels in sorted_.items()
    ]
    return Leaves(
        waived=tuple(told),
        linked=limited(told, lambda label, _: label not in stuck),
        stuck=limited(told, lambda label, _: label in stuck),
        command=command,
    )


def stuck_text(leaves: Leaves) -> str:
    """Count in one line what is left unloadable; "" for nothing."""
    if not leaves.stuck:
        return ""
    files, libraries = _counts(leaves.stuck)
    them = "it" if files == 1 else "them"
    return (
        f"{count(files, 'optional file')} will not load"
        f" ({count(libraries, 'library', 'libraries')} missing): nothing that"
        f" can be imported or started needs {them} (-v names {them})"
    )


def linked_text(leaves: Leaves) -> str:
    """Count in one line what a patch links; "" for nothing."""
    if not leaves.linked:
        return ""
    files, libraries = _counts(leaves.linked)
    lack, them = ("lacks", "it") if files == 1 else ("lack", "them")
    what = f"{lack} {count(libraries, 'library', 'libraries')}"
    optional = f"{count(files, 'optional file')}, which {what}"
    return f"`{leaves.command}` also links {optional} (-v names {them})"


def _counts(problems: Sequence[Problem]) -> tuple[int, int]:
    return len(wanting_files(problems)), len({each.name for each in problems})

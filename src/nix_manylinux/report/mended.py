"""What a patch would make of a tree that does not load as it is."""

from __future__ import annotations

from nix_manylinux.base.values import replace
from nix_manylinux.report.missing import brief
from nix_manylinux.resolve.plan import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nix_manylinux.resolve.plan import Plan


def after_patch(found: Plan, patched: Plan) -> tuple[Plan, dict[str, list[Problem]]]:
    """Sort what `check` has found: what a patch leaves, and what it mends.

    The first is a plan that lacks what the patch would lack; what is wrong with files that
    a patch leaves alone is still there. The second is what it mends: by where it is what is
    there already, and by the reason what else does not fit yet.
    """
    edited = {each.file.label: each for each in patched.files if not each.skipped}
    roots = [f"{tree.root}/" for tree in found.trees]

    def is_left(label: str) -> bool:
        return label not in edited and not label.startswith("/")

    left = replace(
        found,
        missing=_merged([*patched.missing, *_limited(found.missing, is_left)]),
        incompatible=_merged([*patched.incompatible, *_limited(found.incompatible, is_left)]),
    )
    problems = (*patched.missing, *patched.waived, *patched.incompatible)
    lacking = {
        (name, label) for each in problems for name in each.names for label in each.wanted_by
    }
    mended: dict[str, list[Problem]] = {}
    for problem in (*found.missing, *found.incompatible):
        for label in problem.wanted_by:
            if is_left(label) or any((name, label) in lacking for name in problem.names):
                continue
            plan = edited.get(label)
            paths = [r.path for r in plan.resolutions if r.name in problem.names] if plan else []
            path = next(filter(None, paths), "")
            for root in roots:
                path = path.removeprefix(root)
            folder = brief(path.rpartition("/")[0]) or "."
            where = f"in {folder}, where nothing leads yet" if path else problem.reason
            mended.setdefault(where, []).append(replace(problem, wanted_by=(label,), reason=""))
    return left, {where: list(_merged(each)) for where, each in mended.items()}


def _limited(problems: Iterable[Problem], is_left: Callable[[str], bool]) -> Iterable[Problem]:
    for each in problems:
        labels = tuple(filter(is_left, each.wanted_by))
        if labels:
            yield replace(each, wanted_by=labels)


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

"""Files that need not load, and lack something: which of them a patch links, and which stay."""

from __future__ import annotations

from nix_manylinux.base.values import Value, replace
from nix_manylinux.base.words import count
from nix_manylinux.report.mended import edited_files, lacked, limited, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nix_manylinux.resolve.plan import Plan, Problem

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
    files = {label for each in problems for label in each.wanted_by}
    return len(files), len({each.name for each in problems})

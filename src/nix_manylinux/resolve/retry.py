"""What another plan could do better, where versions are why a plan is refused.

A library can be chosen rightly by every rule and still not work: a bundled one that
needs a newer libc than the target's, or one of two in library directories that is too
old for what a third library needs. Then the plan is made again, without the first
as a candidate, or with the other directory before its own.
"""

from __future__ import annotations

from nix_manylinux.elf.facts import ElfKind
from nix_manylinux.resolve.plan import FilePlan, Outcome, Plan
from nix_manylinux.tree.libraries import LibraryIndex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nix_manylinux.resolve.simulation import VersionFault
    from nix_manylinux.tree.facts import TreeFacts


def unloadable_providers(plan: Plan) -> frozenset[str]:
    """Give the libraries of the trees that others take, or took, and that can't be loaded here.

    Absolute paths. What nobody takes is not among them: an extension module that can't
    be loaded is a reason to refuse.
    """
    paths = plan.by_path()
    taken = {
        r.path
        for each in plan.files
        for r in each.resolutions
        if r.outcome is Outcome.TREE and r.path
    }
    taken |= superseded(plan.files, plan.trees)
    return frozenset(
        path
        for path in taken
        if path in paths
        and paths[path].file.facts.kind is ElfKind.LIBRARY
        and any(r.outcome is Outcome.INCOMPATIBLE for r in paths[path].resolutions)
    )


def superseded(files: Sequence[FilePlan], trees: Sequence[TreeFacts]) -> frozenset[str]:
    """Give the libraries of the trees whose names are needed, and answered by other files.

    That is what an earlier run has left where it passed a library over. Absolute paths.
    """
    found = [r for each in files for r in each.resolutions if r.path]
    names = {r.name.rpartition("/")[2] for r in found}
    used = {r.path for r in found}
    return frozenset(
        path
        for each in files
        for path in each.paths(trees)
        if {path.rpartition("/")[2], each.file.facts.soname} & names and path not in used
    )


def idle_libraries(
    drafts: Sequence[FilePlan], trees: Sequence[TreeFacts], passed_over: frozenset[str]
) -> list[FilePlan]:
    """Give the drafts of files that were passed over and that no other file takes now."""
    over = [draft for draft in drafts if not passed_over.isdisjoint(draft.paths(trees))]
    used = {r.path for draft in drafts if draft not in over for r in draft.resolutions}
    return [draft for draft in over if used.isdisjoint(draft.paths(trees))]


def better_order(
    libraries: LibraryIndex, faults: Iterable[VersionFault]
) -> tuple[LibraryIndex, str] | None:
    """Give the directories in an order in which one fault less is to be expected, and why.

    None where no other directory has the versions that are lacking.
    """
    for fault in faults:
        here = fault.provider.rpartition("/")[0]
        if here not in libraries.directories:
            continue
        for other in libraries.named(fault.name):
            facts = libraries.disk.facts(other)
            there = other.rpartition("/")[0]
            if facts is None or there == here or not fault.versions <= set(facts.defines):
                continue
            order = [each for each in libraries.directories if each != there]
            order.insert(order.index(here), there)
            why = (
                f"{there} is searched before {here}: {fault.wanting} needs version"
                f" {', '.join(sorted(fault.versions))} of {fault.name}"
            )
            return LibraryIndex(tuple(order), libraries.disk), why
    return None

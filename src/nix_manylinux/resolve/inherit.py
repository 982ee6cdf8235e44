"""Which files carry DT_RPATH, which is inherited along DT_NEEDED, and which DT_RUNPATH."""

from __future__ import annotations

from nix_manylinux.resolve.plan import FilePlan, Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nix_manylinux.tree.index import TreeIndex


def inheriting(drafts: Sequence[FilePlan], index: TreeIndex) -> frozenset[str]:
    """Paths of the files whose search path is to be DT_RPATH.

    The tag that a file has stays. One without any gets RUNPATH, unless a
    file that leads to it along DT_NEEDED carries DT_RPATH: a RUNPATH
    would cut that inheritance.
    """
    carriers: list[str] = []
    below: dict[str, list[str]] = {}
    for draft in drafts:
        path = index.path_of(draft.tree, draft.file)
        if draft.file.facts.rpath is not None and draft.file.facts.runpath is None:
            carriers.append(path)
        for r in draft.resolutions:
            if r.outcome is Outcome.TREE and r.path in index.files:
                below.setdefault(path, []).append(index.path_of(*index.files[r.path]))
    reached = set(carriers)
    while carriers:
        for other in below.get(carriers.pop(), ()):
            if other not in reached:
                reached.add(other)
                carriers.append(other)
    return frozenset(path for path in reached if index.files[path][1].facts.runpath is None)

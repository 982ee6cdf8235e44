"""A plan held against the simulated loader: it must take just what was planned."""

from __future__ import annotations

from nix_manylinux.model import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nix_manylinux.elf.loader import Fault, Loader
    from nix_manylinux.model import FilePlan
    from nix_manylinux.problems import Problems
    from nix_manylinux.treeindex import TreeIndex


class Simulation:
    """Opens planned files, which the loader's disk shows as they will be.

    ``forgiven`` says whether a library, needed further down on behalf of the
    file with that label, may be absent.
    """

    def __init__(
        self,
        *,
        trees: TreeIndex,
        loader: Loader,
        problems: Problems,
        forgiven: Callable[[str, str], bool],
    ) -> None:
        self._trees = trees
        self._loader = loader
        self._problems = problems
        self._forgiven = forgiven

    def open(self, plan: FilePlan) -> None:
        """Open one file of the plan; what differs becomes a problem."""
        real = self._loader.files.real
        path = f"{self._trees.trees[plan.tree].root}/{plan.file.path}"
        process = self._loader.open(path)
        renamed = dict(plan.edit.replace_needed)
        for r in plan.resolutions:
            got = process.links.get((path, renamed.get(r.name, r.name)))
            if r.path and got and real(got) != real(r.path) and r.outcome is not Outcome.LIBC:
                reason = f"the loader would take {got} instead of {r.path}"
                self._problems.add(Outcome.INCOMPATIBLE, r.name, plan.file.label, reason)
        for fault in process.faults:
            self._fault(plan, fault)

    def _fault(self, plan: FilePlan, fault: Fault) -> None:
        """Make a fault of the loader a problem, unless the file's own resolution told it."""
        owner = self._trees.owner(self._loader.files.real(fault.path))
        wanting = owner.label if owner else fault.path
        if self._problems.knows(fault.name, wanting):
            return
        if fault.kind == "version":
            self._problems.add(Outcome.INCOMPATIBLE, fault.name, wanting, fault.reason)
            return
        told = owner is not None and fault.kind == "not found"
        if not told and not self._forgiven(plan.file.label, fault.name):
            why = fault.reason or "the search paths of these libraries do not lead to it"
            self._problems.add(Outcome.MISSING, fault.name, wanting, why)

"""A plan held against the simulated loader: it must take just what was planned."""

from __future__ import annotations

import os

from nix_manylinux.base.values import Value
from nix_manylinux.resolve.plan import FilePlan, Outcome, Problem
from nix_manylinux.resolve.process import UNREACHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nix_manylinux.resolve.loader import Loader
    from nix_manylinux.resolve.process import Fault, Process
    from nix_manylinux.tree.index import TreeIndex


class VersionFault(Value):
    """A library that lacks symbol versions: who needs which of it. Paths are absolute."""

    name: str
    wanting: str
    provider: str
    versions: frozenset[str]


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
        self._trees, self._loader = trees, loader
        self._problems, self._forgiven = problems, forgiven
        #: What was found of libraries outside of the trees.
        self.version_faults: list[VersionFault] = []
        #: What is worth a warning, though it may be meant so.
        self.warnings: dict[str, None] = {}

    def open(self, plan: FilePlan) -> None:
        """Open one file of the plan; what differs becomes a problem."""
        real = self._loader.files.real
        path = self._trees.path_of(plan.tree, plan.file)
        process = self._loader.open(path)
        renamed = dict(plan.edit.replace_needed)
        for r in plan.resolutions:
            got = process.links.get((path, renamed.get(r.name, r.name)))
            if r.path and got and real(got) != real(r.path) and r.outcome is not Outcome.LIBC:
                reason = f"the loader would take {got} instead of {r.path}"
                self._problems.add(Outcome.INCOMPATIBLE, r.name, plan.file.label, reason)
        for fault in process.faults:
            hint = self._note_versions(process, fault) if fault.kind == "version" else ""
            self._fault(plan, fault, hint)

    def _note_versions(self, process: Process, fault: Fault) -> str:
        """Keep a fault for `retry`; say where what would have found the versions looks for them."""
        facts = self._loader.files.facts(fault.path)
        provider = process.known.get(fault.name)
        if facts is None or provider is None:
            return ""
        versions = frozenset(
            n.version for n in facts.needs if n.library == fault.name and not n.weak
        )
        self.version_faults.append(
            VersionFault(
                name=fault.name, wanting=fault.path, provider=provider.path, versions=versions
            )
        )
        own = self._loader.search(self._loader.own_path(fault.path, facts), fault.name).path
        other = self._loader.files.facts(own) if own and own != provider.path else None
        if own is None or other is None or not versions <= set(other.defines):
            return ""
        return f"; {own}, where it looks itself, has it: give --libs {os.path.dirname(own)} first"

    def _fault(self, plan: FilePlan, fault: Fault, hint: str) -> None:
        """Make a fault of the loader a problem, unless the file's own resolution says it."""
        owner = self._trees.owner(fault.path, self._loader.files.real)
        wanting = owner.label if owner else fault.path
        if fault.kind == "dlopen":
            self.warnings[f"{wanting}: {fault.reason}"] = None
            return
        if self._problems.knows(fault.name, wanting):
            return
        if fault.kind in {"version", "refused"}:
            self._problems.add(Outcome.INCOMPATIBLE, fault.name, wanting, fault.reason + hint)
            return
        known = owner is not None and fault.kind == "not found"
        if not known and not self._forgiven(plan.file.label, fault.name):
            why = fault.reason or UNREACHED
            self._problems.add(Outcome.MISSING, fault.name, wanting, why)


class Problems:
    """Collects problems; equal names and reasons are one, with all that want it."""

    def __init__(self) -> None:
        self._wanted: dict[tuple[Outcome, str, str, tuple[str, ...]], set[str]] = {}

    def add(
        self,
        outcome: Outcome,
        name: str,
        wanted_by: str,
        reason: str,
        alternatives: tuple[str, ...] = (),
    ) -> None:
        """Record that ``wanted_by`` can't have ``name``, nor one of ``alternatives``."""
        self._wanted.setdefault((outcome, name, reason, alternatives), set()).add(wanted_by)

    def forget(self, wanted_by: str) -> None:
        """Leave out what one file can't have: it is not needed itself."""
        for who in self._wanted.values():
            who.discard(wanted_by)

    def knows(self, name: str, wanted_by: str) -> bool:
        """Whether it is known already that ``wanted_by`` can't have ``name``."""
        return any(key[1] == name and wanted_by in who for key, who in self._wanted.items())

    def of(self, outcome: Outcome) -> tuple[Problem, ...]:
        """All libraries of one outcome, missing or incompatible, sorted by name."""
        return tuple(
            Problem(
                name=name, wanted_by=tuple(sorted(who)), reason=reason, alternatives=alternatives
            )
            for (kind, name, reason, alternatives), who in sorted(self._wanted.items())
            if kind is outcome and who
        )

"""Would everything load? The loader simulation over a tree as it stands; nothing is written."""

from __future__ import annotations

from nix_manylinux.base.errors import BadElf, BadTarget
from nix_manylinux.base.patterns import IgnoreList
from nix_manylinux.base.values import replace
from nix_manylinux.data import read_libraries
from nix_manylinux.elf.facts import ElfKind
from nix_manylinux.resolve.dlopen import musl_warning
from nix_manylinux.resolve.editable import editable_warnings
from nix_manylinux.resolve.first import older_in_python
from nix_manylinux.resolve.leaves import waive_leaves
from nix_manylinux.resolve.loader import make_loader
from nix_manylinux.resolve.plan import (
    REFUSED_BY_GLIBC,
    FilePlan,
    Options,
    Outcome,
    Plan,
    Resolution,
)
from nix_manylinux.resolve.process import UNREACHED
from nix_manylinux.resolve.requirements import requirement_warnings
from nix_manylinux.resolve.retry import superseded
from nix_manylinux.resolve.scripts import script_warnings
from nix_manylinux.resolve.simulation import Problems
from nix_manylinux.tree.index import TreeIndex, inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nix_manylinux.resolve.process import Fault, Process
    from nix_manylinux.target.target import Target
    from nix_manylinux.tree.facts import TreeFacts, TreeFile
    from nix_manylinux.tree.libraries import LibraryIndex


def check_trees(
    trees: Sequence[TreeFacts], *, target: Target, libraries: LibraryIndex, options: Options
) -> Plan:
    """Return what the loader would do now, as a plan without edits.

    Each file is opened on its own, as dlopen or execve would open it.
    """
    return _Checker(tuple(trees), target, libraries, options).run()


class _Checker:
    def __init__(
        self,
        trees: tuple[TreeFacts, ...],
        target: Target,
        libraries: LibraryIndex,
        options: Options,
    ) -> None:
        libraries = libraries.overlay([*(tree.root for tree in trees), *options.python_libs])
        self.trees = trees
        self.target = target
        self.options = options
        self.disk = libraries.disk
        self.directories = frozenset(libraries.directories)
        self.drivers = frozenset({*read_libraries().driver, *options.driver_libs})
        self.loader = make_loader(target, libraries)
        self.index = TreeIndex(trees)
        #: Of libraries of the trees, by their own needs: reported when all files have been opened.
        self.version_faults: list[Fault] = []
        self.problems = Problems()
        self.ignore = IgnoreList(options.ignore_missing, options.ignore_if_missing)
        self.warnings: dict[str, None] = {}
        for damage in (each for tree in trees for each in tree.damaged):
            self._unusable(damage.label, damage.what, options.tell_damage(damage))
        self.warnings |= dict.fromkeys(script_warnings(trees, target, options))
        self.warnings |= dict.fromkeys(requirement_warnings(trees, options.python_libs))
        for tree in trees:
            self.warnings |= dict.fromkeys(editable_warnings(tree, target, libraries))
        for path, (_, file) in self.index.files.items():
            self.disk.learn(path, file.facts)

    def run(self) -> Plan:
        self._refuse_strangers()
        files = tuple(
            self._check(position, tree, file)
            for position, tree in enumerate(self.trees)
            for file in tree.files
        )
        replaced = superseded(files, self.trees)
        for fault in self.version_faults:
            owner = self.index.owner(fault.path, self.disk.real)
            label = owner.label if owner else fault.path
            if fault.path in replaced:
                text = f"it can't be loaded here ({fault.reason}); what needs it has another one"
                self.warnings[f"{label}: {text}"] = None
            else:
                self.problems.add(Outcome.INCOMPATIBLE, fault.name, label, fault.reason)
        self.warnings |= dict.fromkeys(older_in_python(files, self.loader, self.disk))
        plan = Plan(
            target=self.target,
            trees=self.trees,
            files=files,
            missing=self.problems.of(Outcome.MISSING),
            incompatible=self.problems.of(Outcome.INCOMPATIBLE),
            warnings=(*self.warnings, *self.ignore.warnings()),
        )
        plan = waive_leaves(plan, self.disk) if self.options.missing == "leaves" else plan
        # What an environment has no file for may be excluded all the same.
        unneeded = self.ignore.unneeded()
        warns = self.options.missing == "warn"
        if unneeded and not (plan.problems or warns):
            raise unneeded
        return replace(plan, unneeded=unneeded)

    def _refuse_strangers(self) -> None:
        """Raise BadTarget where every file is for another machine: nothing would be looked at."""
        linked = [
            file.facts
            for tree in self.trees
            for file in tree.files
            if file.facts.kind.is_linked and not self.options.excludes(file.label)
        ]
        if linked and not any(facts.machine.fits(self.target.machine) for facts in linked):
            machines = sorted({str(facts.machine) for facts in linked})
            raise BadTarget(
                f"all ELF files are for {', '.join(machines)}, the target is {self.target.machine}",
                where=", ".join(tree.root for tree in self.trees),
                hint="name a target of their machine with --python or --dynamic-linker",
            )

    def _check(self, position: int, tree: TreeFacts, file: TreeFile) -> FilePlan:
        skipped = self._skipped(file)
        resolutions = () if skipped else self._open(f"{tree.root}/{file.path}", file)
        return FilePlan(tree=position, file=file, resolutions=resolutions, skipped=skipped)

    def _skipped(self, file: TreeFile) -> str:
        """Why a file is not opened, or nothing."""
        facts = file.facts
        if not facts.kind.is_linked:
            return facts.kind.value
        if pattern := self.options.excludes(file.label):
            return f"excluded by {pattern!r}"
        if not facts.machine.fits(self.target.machine):
            return f"for another machine ({facts.machine})"
        if facts.refused and self.target.libc == "glibc":
            reason = f"{REFUSED_BY_GLIBC}: {facts.refused}"
            self._unusable(file.label, reason, f"{file.label}: {reason}")
            return REFUSED_BY_GLIBC
        return ""

    def _open(self, path: str, file: TreeFile) -> tuple[Resolution, ...]:
        """Open one file as the loader would, and tell what it would complain of."""
        facts = file.facts
        process = self.loader.open(path)
        resolutions = tuple(
            self._resolution(path, file, name, process) for name in self.target.looks_for(facts)
        )
        if facts.kind is ElfKind.PROGRAM and facts.interpreter != self.target.dynamic_linker:
            self.problems.add(
                Outcome.MISSING if not self._exists(facts.interpreter) else Outcome.INCOMPATIBLE,
                facts.interpreter or "interpreter",
                file.label,
                f"it is started by {facts.interpreter}, not by {self.target.dynamic_linker}",
            )
        for fault in process.faults:
            self._fault(fault)
        if self.target.libc == "musl" and facts.kind is ElfKind.LIBRARY:
            unmet = [n for n in facts.dlopen if not set(n.sonames) & set(facts.needed)]
            self.warnings |= {musl_warning(file.label, n.sonames[0]): None for n in unmet}
        return resolutions

    def _unusable(self, label: str, reason: str, warning: str) -> None:
        """Tell of a file that this loader does not take; by a warning where it may stay."""
        if self.options.excludes(label) or self.options.damaged == "warn":
            self.warnings[warning] = None
        else:
            self.problems.add(Outcome.INCOMPATIBLE, label.rpartition("/")[2], label, reason)

    def _resolution(self, path: str, file: TreeFile, name: str, process: Process) -> Resolution:
        got = process.links.get((path, name))
        self.ignore.note(file.label, name)
        if got is None:
            if name in self.drivers:
                return Resolution(name=name, outcome=Outcome.DRIVER)
            pattern = self.ignore.ignores(file.label, name)
            if pattern is not None:
                reason = f"ignored by {pattern!r}"
                return Resolution(name=name, outcome=Outcome.IGNORED, reason=reason)
            return Resolution(name=name, outcome=Outcome.MISSING)
        return Resolution(
            name=name,
            outcome=self._origin(got),
            path=got,
            reason=self._shadowed(path, file, name, got),
        )

    def _origin(self, got: str) -> Outcome:
        """Where a file that the loader takes belongs."""
        if got in self.target.libc_sonames.values() or got == self.target.dynamic_linker:
            return Outcome.LIBC
        if any(inside(self.disk.real(got), self.disk.real(tree.root)) for tree in self.trees):
            return Outcome.TREE
        if "/site-packages/" in got:
            return Outcome.WHEEL
        if self.directories and got.rpartition("/")[0] not in self.directories:
            self.warnings[f"{got} is loaded from outside the given library directories"] = None
        return Outcome.LIBRARY

    def _shadowed(self, path: str, file: TreeFile, name: str, got: str) -> str:
        """Name the files of that name that stand behind the one that is taken."""
        others = []
        for directory in self.loader.own_path(path, file.facts):
            hit = self.loader.look(directory, name)
            if hit and hit.path and self.disk.real(hit.path) != self.disk.real(got):
                others.append(hit.path)
        return f"hides {', '.join(dict.fromkeys(others))}" if others else ""

    def _fault(self, fault: Fault) -> None:
        if fault.kind == "not found" and fault.name in self.drivers:
            return
        owner = self.index.owner(fault.path, self.disk.real)
        label = owner.label if owner else fault.path
        if fault.kind == "version" and owner is not None:
            self.version_faults.append(fault)
            return
        if fault.kind in {"version", "refused", "dlopen"}:
            self.problems.add(Outcome.INCOMPATIBLE, fault.name, label, fault.reason)
            return
        if fault.kind == "not found" and self.ignore.ignores(label, fault.name):
            return
        reason = fault.reason
        if owner is None and not reason:
            reason = UNREACHED
        self.problems.add(Outcome.MISSING, fault.name, label, reason)

    def _exists(self, path: str | None) -> bool:
        try:
            return path is not None and self.disk.facts(path) is not None
        except BadElf:
            return False

"""TreeFacts and library directories to a Plan: every decision, nothing written.

For each file: every needed name gets its one outcome (`rules`), a search
path is composed that leads to exactly those files (`searchpath`), and then the
loader is simulated over the trees as they will be (`loader`): where it
would do anything but what was planned, the plan says so and is refused.
"""

from __future__ import annotations

from nix_manylinux.base.patterns import IgnoreList, file_matches, refuse_wildcards
from nix_manylinux.base.progress import Progress, with_progress
from nix_manylinux.base.values import replace
from nix_manylinux.data import read_libraries
from nix_manylinux.elf.facts import ElfEdit, ElfKind, planned_facts
from nix_manylinux.resolve.dlopen import RuntimeLibraries, needed_by_name
from nix_manylinux.resolve.foreign import Siblings
from nix_manylinux.resolve.inherit import inheriting
from nix_manylinux.resolve.loader import make_loader
from nix_manylinux.resolve.plan import (
    FOREIGN,
    REFUSED_BY_GLIBC,
    FilePlan,
    Options,
    Outcome,
    Plan,
    Resolution,
)
from nix_manylinux.resolve.programs import MADE_EXECUTABLE, barred_warning, is_barred, is_command
from nix_manylinux.resolve.retry import better_order, idle_libraries, unloadable_providers
from nix_manylinux.resolve.rules import Resolver
from nix_manylinux.resolve.scripts import script_warnings
from nix_manylinux.resolve.searchpath import Composer, SearchPath, dropped_warning
from nix_manylinux.resolve.simulation import Problems, Simulation, VersionFault
from nix_manylinux.tree.index import TreeIndex
from nix_manylinux.tree.libraries import LibraryIndex, WheelIndex, refuse_unwritable
from nix_manylinux.tree.roots import find_pyvenv, is_package_of_nix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nix_manylinux.target.target import Target
    from nix_manylinux.tree.facts import TreeFacts, TreeFile

#: Plans that are made, at most, in place of one that is refused for versions.
_TRIES = 8

#: From this version on glibc refuses to load a library that wants an executable stack.
_NO_EXECSTACK = (2, 41)


def plan_trees(
    trees: Sequence[TreeFacts],
    *,
    target: Target,
    libraries: LibraryIndex,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Decide everything for ``trees`` together; only reads.

    What is missing or incompatible is in the plan, not raised. Raises
    `BadOption` and `BadTree` for options that can't be meant.
    """
    planner = _Planner(tuple(trees), target, libraries, options or Options())
    plan = planner.plan(progress)
    for _ in range(_TRIES if plan.incompatible else 0):
        again = planner.another(plan)
        if again is None:
            break
        other = again.plan(progress)
        if len(other.problems) >= len(plan.problems):
            break
        planner, plan = again, other
    if planner.options.missing != "leaves":
        return plan
    from nix_manylinux.resolve.leaves import waive_leaves  # noqa: PLC0415 - start-up

    return waive_leaves(plan, planner.libraries.disk)


class _Planner:
    def __init__(
        self,
        trees: tuple[TreeFacts, ...],
        target: Target,
        libraries: LibraryIndex,
        options: Options,
        *,
        passed_over: frozenset[str] = frozenset(),
        reasons: tuple[str, ...] = (),
    ) -> None:
        self._given = libraries
        self._passed_over = passed_over
        self._reasons = reasons
        self._version_faults: list[VersionFault] = []
        data = read_libraries()
        refuse_wildcards(options.driver_libs, "--driver-lib")
        refuse_wildcards(options.provided_later, "--provided-later")
        for directory in (*options.append_rpath, *filter(None, [options.driver_dir])):
            if not directory.startswith(("$ORIGIN", "${ORIGIN}")):
                refuse_unwritable(directory)
        self.trees = trees
        self.target = target
        roots = [tree.root for tree in trees]
        self.libraries = libraries = libraries.overlay([*roots, *options.python_libs])
        self.options = options
        of_machine = data.driver_directories.get(target.machine.name)
        self.driver_dir = options.driver_dir or of_machine or data.driver_directories["default"]
        self.driver_dirs = {self.driver_dir, *data.driver_directories.values()}
        self.ignore = IgnoreList(options.ignore_missing, options.ignore_if_missing)
        self.index = TreeIndex(trees)
        self.order = {directory: i for i, directory in enumerate(libraries.directories)}
        self.problems = Problems()
        self.barred: list[str] = []
        self.dropped: dict[str, list[str]] = {}
        self.siblings = Siblings(trees, target.machine)
        self.warnings = [options.tell_damage(each) for tree in trees for each in tree.damaged]
        self.warnings += script_warnings(trees, target, options, moved_only=True)
        for tree in (tree for tree in trees if find_pyvenv(tree.root)):
            from nix_manylinux.resolve.editable import editable_warnings  # noqa: PLC0415 - else unused

            self.warnings += editable_warnings(tree, target, libraries)
        if packages := [tree for tree in trees if is_package_of_nix(tree.root)]:
            from nix_manylinux.resolve.requirements import requirement_warnings  # noqa: PLC0415 - in builds

            self.warnings += requirement_warnings(packages, options.python_libs)
        disk = libraries.disk
        for path, (_, file) in self.index.files.items():
            disk.learn(path, file.facts)
        wheels = WheelIndex(options.python_libs, disk=disk)
        self.resolver = Resolver(
            target=target,
            trees=self.index,
            libraries=libraries,
            wheels=wheels,
            loader=make_loader(target, libraries),
            options=options,
            ignore=self.ignore,
            drivers=frozenset({*data.driver, *options.driver_libs}),
            last_resort=passed_over
            | {path for path, (_, f) in self.index.files.items() if options.excludes(f.label)},
        )
        self.runtime = RuntimeLibraries(
            options.runtime_libs,
            libraries=libraries,
            wheels=wheels,
            drivers=dict.fromkeys(self.resolver.drivers, self.driver_dir),
            files=tuple(self.index.files),
            roots=[tree.root for tree in trees],
        )

    def plan(self, progress: Progress | None) -> Plan:
        files = [
            (position, file) for position, tree in enumerate(self.trees) for file in tree.files
        ]
        drafts = [self._draft(*each) for each in with_progress(files, progress, "planning")]
        idle = idle_libraries(drafts, self.trees, self._passed_over) if self._passed_over else ()
        drafts = [self._leave(each) if each in idle else each for each in drafts]
        inherited = inheriting(drafts, self.index)
        plans = tuple(self._finish(draft, inherited) for draft in drafts)
        self._hold_against_loader(plans, progress)
        self.warnings += self.runtime.warnings(self.target.libc)
        return Plan(
            target=self.target,
            trees=self.trees,
            files=plans,
            missing=self.problems.of(Outcome.MISSING),
            incompatible=self.problems.of(Outcome.INCOMPATIBLE),
            warnings=(
                *self._reasons,
                *self.warnings,
                *barred_warning(self.barred),
                *dropped_warning(self.dropped),
                *self.ignore.warnings(),
                *self._older_in_python(plans),
            ),
            unneeded=self.ignore.unneeded(self.options.idle_excludes(self.trees)),
        )

    def _older_in_python(self, plans: Sequence[FilePlan]) -> Iterable[str]:
        if self.target.interpreter is None:
            return ()
        from nix_manylinux.resolve.first import older_in_python  # noqa: PLC0415 - start-up

        return older_in_python(plans, self.resolver.loader, self.resolver.disk)

    def another(self, plan: Plan) -> _Planner | None:
        """Give a planner that may do better than ``plan``, which is this one's and refused."""
        more = unloadable_providers(plan) - self._passed_over
        order = None if more else better_order(self._given, self._version_faults)
        if not more and order is None:
            return None
        libraries, why = order or (self._given, "")
        return _Planner(
            self.trees,
            self.target,
            libraries,
            self.options,
            passed_over=self._passed_over | more,
            reasons=(*self._reasons, why) if why else self._reasons,
        )

    def _leave(self, draft: FilePlan) -> FilePlan:
        """Leave a file alone that can't be loaded here, and that nobody takes any more."""
        self.problems.forget(draft.file.label)
        why = "; ".join(r.reason for r in draft.resolutions if r.reason)
        self.warnings.append(
            f"{draft.file.label}: it can't be loaded here ({why}), and what needs it is linked"
            " to a library outside of the tree; it is left alone"
        )
        return replace(draft, resolutions=(), skipped="can't be loaded here, and nothing needs it")

    # -- one file ---------------------------------------------------------

    def _draft(self, tree: int, file: TreeFile) -> FilePlan:
        """Resolve all that ``file`` needs; its edit is composed later."""
        skipped = self._skipped(tree, file)
        allow = self._allow(tree, file, skipped)
        notes = (MADE_EXECUTABLE,) if allow else ()
        if skipped:
            return FilePlan(tree=tree, file=file, skipped=skipped, notes=notes, executable=allow)
        by_name = {
            name: self.resolver.resolve(tree, file, name)
            for name in self.target.looks_for(file.facts)
        }
        for r in (*self._auxiliary(tree, file), *self._noted(tree, file)):
            # A name that is needed and wished for has the outcome of the stronger claim.
            if r.name not in by_name or by_name[r.name].outcome is Outcome.IGNORED:
                by_name[r.name] = r
        found = tuple(by_name.values())
        for r in found:
            if r.is_lacking:
                self.problems.add(r.outcome, r.name, file.label, r.reason, r.alternatives)
        return FilePlan(tree=tree, file=file, resolutions=found, notes=notes, executable=allow)

    def _allow(self, tree: int, file: TreeFile, skipped: str) -> bool:
        """Whether a program is given the right to be executed; warns of one that isn't."""
        if not is_barred(file) or skipped not in {"", ElfKind.STATIC.value}:
            return False
        if is_command(self.trees[tree], file):
            return True
        self.barred.append(file.label)
        return False

    def _skipped(self, tree: int, file: TreeFile) -> str:
        """Why ``file`` is left alone, or nothing."""
        facts = file.facts
        if pattern := self.options.excludes(file.label):
            return f"excluded by {pattern!r}"
        if not facts.machine.fits(self.target.machine):
            allowed = any(file_matches(file.label, p) for p in self.options.allow_foreign)
            if allowed or self.siblings.has(tree, file):
                return f"for another machine ({facts.machine})"
            if facts.kind.is_linked:
                self.problems.add(
                    Outcome.INCOMPATIBLE,
                    f"{FOREIGN}{facts.machine}",
                    file.label,
                    f"it is for {facts.machine}, the target is {self.target.machine};"
                    " --allow-foreign leaves it unpatched",
                )
                return f"for another machine ({facts.machine})"
        if not facts.kind.is_linked:
            return facts.kind.value
        if facts.refused and self.target.libc == "glibc":
            self.warnings.append(
                f"{file.label}: {REFUSED_BY_GLIBC}: {facts.refused}; it is left alone"
            )
            return REFUSED_BY_GLIBC
        loader = (facts.interpreter or "").rpartition("/")[2]
        if facts.kind is ElfKind.PROGRAM and ("musl" in loader) != (self.target.libc == "musl"):
            self.problems.add(
                Outcome.INCOMPATIBLE,
                loader or "no interpreter",
                file.label,
                f"it is started by {facts.interpreter}, the target is {self.target.libc}",
            )
        return ""

    def _auxiliary(self, tree: int, file: TreeFile) -> Iterable[Resolution]:
        """DT_AUXILIARY is a wish of glibc's: what can't be had is left out, as the loader does."""
        for name in file.facts.auxiliary if self.target.libc == "glibc" else ():
            yield self._optional(tree, file, name, "wished for by DT_AUXILIARY")

    def _noted(self, tree: int, file: TreeFile) -> Iterable[Resolution]:
        """Give what ``.note.dlopen`` asks for: the first soname of each entry that can be had."""
        for note in file.facts.dlopen:
            tried = [self._optional(tree, file, n, f"{note.priority} by a dlopen note")
                     for n in note.sonames]  # fmt: skip
            had = [r for r in tried if r.outcome is not Outcome.IGNORED]
            if had:
                yield had[0]
            elif note.priority == "required":
                really = [self.resolver.resolve(tree, file, name) for name in note.sonames]
                waived = [r for r in really if r.outcome is Outcome.IGNORED]
                yield waived[0] if waived else replace(really[0], alternatives=note.sonames[1:])
            else:
                yield tried[0]

    def _optional(self, tree: int, file: TreeFile, name: str, why: str) -> Resolution:
        r = self.resolver.resolve(tree, file, name)
        if r.is_lacking:
            return replace(r, outcome=Outcome.IGNORED, path=None, reason=f"not found; {why}")
        return r

    def _finish(self, draft: FilePlan, inherited: frozenset[str]) -> FilePlan:
        """Compose the edit of one file, and show the disk the file as it will be."""
        file = draft.file
        if draft.skipped:
            return draft
        tree = self.trees[draft.tree]
        place = f"{tree.root}/{file.path}"
        last = [*self.options.append_rpath]
        last += [entry for entry in file.facts.search_path if entry in self.driver_dirs]
        if any(r.outcome is Outcome.DRIVER for r in draft.resolutions):
            last.append(self.driver_dir)
        once = dict.fromkeys(last)
        composer = Composer(tree, self.resolver.loader, order=self.order, last=once)
        loads = self.runtime.directories(place)
        path = composer.compose(file, draft.resolutions, loads)
        if path.dropped and (still := self.runtime.still(place, path)):
            path = composer.compose(file, draft.resolutions, [*loads, *still])
        for directory in path.dropped:
            self.dropped.setdefault(directory, []).append(file.label)
        for name in path.unreachable:
            self.problems.add(
                Outcome.INCOMPATIBLE, name, file.label, "no search path of this file can lead to it"
            )
        edit, notes = self._edit(file, path, inherit=place in inherited)
        if self.target.libc == "musl" and file.facts.kind is ElfKind.LIBRARY:
            sonames = self.runtime.sonames(place)
            more, warnings = needed_by_name(file, draft.resolutions, sonames)
            edit = replace(edit, add_needed=more)
            notes += [f"{name} is needed from now on, so that dlopen finds it" for name in more]
            self.warnings += warnings
        self.libraries.disk.learn(place, planned_facts(file.facts, edit))
        # Nothing but its name speaks for where it came from.
        self.warnings += [
            f"{file.label}: {r.name} is taken from {r.path}: {r.reason}"
            for r in draft.resolutions
            if r.is_by_name_alone
        ]
        return replace(draft, edit=edit, notes=(*draft.notes, *notes))

    def _edit(
        self, file: TreeFile, path: SearchPath, *, inherit: bool
    ) -> tuple[ElfEdit, list[str]]:
        facts, notes = file.facts, []
        texts = tuple(entry.text for entry in path.entries)
        interpreter = None
        if facts.kind is ElfKind.PROGRAM and facts.interpreter != self.target.dynamic_linker:
            interpreter = self.target.dynamic_linker
        clear = (
            facts.executable_stack
            and facts.kind is ElfKind.LIBRARY
            and self.target.libc == "glibc"
            and self.target.libc_version >= _NO_EXECSTACK
            and not self.options.keep_execstack
        )
        if clear:
            notes.append("executable stack cleared: glibc 2.41 and newer refuse to load it")
        notes += [f"{name} is pinned to {pin}" for name, pin in path.pins]
        edit = ElfEdit(
            search_path=None if texts == facts.search_path else texts,
            inherited=inherit,
            interpreter=interpreter,
            replace_needed=path.pins,
            clear_executable_stack=clear,
        )
        return edit, notes

    def _hold_against_loader(self, files: Sequence[FilePlan], progress: Progress | None) -> None:
        """Open every file in the simulation; what differs from the plan is a problem."""
        held = Simulation(
            trees=self.index,
            loader=make_loader(self.target, self.libraries),
            problems=self.problems,
            forgiven=self._forgiven,
        )
        for plan in with_progress(files, progress, "simulating"):
            if not plan.skipped:
                held.open(plan)
        self._version_faults = held.version_faults
        self.warnings += held.warnings

    def _forgiven(self, label: str, name: str) -> bool:
        """Whether a library that is needed further down may be absent."""
        return (
            name in self.resolver.drivers
            or name in self.options.provided_later
            or self.ignore.ignores(label, name) is not None
        )

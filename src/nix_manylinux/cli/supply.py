"""What ``--nixpkgs`` gives: libraries that Nix builds or fetches, once for all of a command."""

from __future__ import annotations

from nix_manylinux.base.errors import BadOption, NixManylinuxError
from nix_manylinux.base.values import replace
from nix_manylinux.base.words import listed
from nix_manylinux.cli.taking import Taking
from nix_manylinux.nix.advice import without_choices
from nix_manylinux.nix.build import runtime_attributes, wanted_attributes
from nix_manylinux.resolve.dlopen import NoRuntimeLibrary
from nix_manylinux.resolve.plan import Options, Outcome, Plan, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nix_manylinux.cli.run import Run
    from nix_manylinux.tree.libraries import LibraryIndex

    #: Plans with libraries and options, and writes nothing.
    Planning = Callable[[LibraryIndex, Options], Plan]


class Supply:
    """The libraries that are taken of a nixpkgs for all that one command patches.

    What each of its parts (trees together, or a wheel) gets depends on what that part lacks,
    and on nothing that is patched beside it.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._nixpkgs = run.arguments.nixpkgs or ""
        self._taking = Taking(
            self._nixpkgs, run.console, run.environment, dry_run=run.arguments.dry_run
        )
        self._parts: dict[str, _Part] = {}
        self._folders: dict[str, str] = {}

    def gather(self, plans: Mapping[str, tuple[Planning, Options]]) -> None:
        """Take what the parts lack, planned as they are: what is wanted by several, once.

        It is planned again until nothing new comes of it: a library that was found may need
        others. A part that would be refused with all that can be taken wants nothing; it is
        raised if it is the only one, else by `libraries`.
        """
        self._parts = {name: _Part(*plan) for name, plan in plans.items()}
        for part in self._parts.values():
            self._guarded(part, self._plan)
        while wanted := {name for part in self._parts.values() for name in part.wanted}:
            new = sorted(wanted - self._folders.keys() - self._run.unbuilt.keys())
            if new:
                taken = self._taking.take(new, give_up=self._all_lack)
                self._folders |= taken.folders
                self._run.unbuilt |= taken.failed
                if taken.gave_up:
                    break
            for part in self._parts.values():
                if part.wanted:
                    self._guarded(part, self._give)
        for part in self._parts.values():
            if part.wanted:  # nothing was built, since nobody would have been helped
                self._guarded(part, self._refuse_early)

    def libraries(self, name: str) -> LibraryIndex:
        """Index the libraries that a part is linked to; raises what it is refused for."""
        part = self._parts[name]
        if part.error is not None:
            raise part.error
        return self._run.libraries(part.folders)

    def options(self, name: str) -> Options:
        """Give a part's options, by which in a dry run what isn't built yet counts as had."""
        return self._parts[name].promising()

    def plan_to_tell(self, name: str, plan: Plan) -> Plan:
        """Tell a part's plan as it would be with what isn't built yet, and what Nix has failed."""
        part = self._parts[name]
        promised, waiting = part.promised, part.waiting
        warnings = [why for attribute, why in self._run.unbuilt.items() if attribute in part.tried]
        if waiting:
            are = "is" if len(waiting) == 1 else "are"
            said = f"{listed(waiting)} {are} not built yet: files that nothing else changes than"
            warnings.append(f"{said} --runtime-libs are not counted")
        plan = replace(plan, warnings=(*plan.warnings, *warnings))
        if not promised:
            return plan
        files = []
        for each in plan.files:
            resolutions = tuple(
                replace(r, outcome=Outcome.LIBRARY, reason=f"of {self._nixpkgs}, not built yet")
                if r.outcome is Outcome.LATER and r.name in promised
                else r
                for r in each.resolutions
            )
            waits = resolutions != each.resolutions
            files.append(replace(each, resolutions=resolutions, promised=waits))
        return replace(plan, files=tuple(files))

    def _guarded(self, part: _Part, step: Callable[[_Part], None]) -> None:
        """Take a step with a part; what it is refused for waits if there are others."""
        try:
            step(part)
        except NixManylinuxError as error:
            # No other part would be better off with an option that can't be meant.
            if len(self._parts) == 1 or isinstance(error, BadOption):
                raise
            part.error, part.wanted = error, {}

    def _plan(self, part: _Part) -> None:
        """Plan a part with what it has, and find what it still wants."""
        first = not part.tried
        part.wanted = {}
        loaded = self._await_runtime(part)
        part.plan = part.planning(self._run.libraries(part.folders), part.promising())
        part.wanted = wanted_attributes(part.plan, part.tried)
        if first:
            self._refuse_early(part)
        for name, sonames in loaded.items():
            part.wanted.setdefault(name, []).extend(sonames)

    def _refuse_early(self, part: _Part) -> None:
        """Raise what a part would be refused for with all that it wants, before any of it is built.

        Nix says beforehand what it can't evaluate of that, so that nothing is refused twice.
        """
        plan, options, unbuilt = part.plan, part.promising(), self._run.unbuilt
        if plan is None:
            return
        if self._lacks(part) and not plan.incompatible and unbuilt.keys().isdisjoint(part.wanted):
            # Of alternatives, too, that may be taken in the place of others.
            adviser = self._run.adviser(plan)
            found = [adviser.advise(*each.names) for each in plan.missing]
            asked = {each.installable for each in found if each.may_be_taken}
            unbuilt |= self._taking.unusable(sorted(asked)) if asked else {}
        if plan.incompatible or self._lacks(part):
            _, choices = without_choices(plan.missing, self._run.adviser(plan))
            had = [] if choices else self._had(part)  # a choice is told as a whole
            if had:
                options = part.promising(had)
                plan = part.planning(self._run.libraries(), options)
            refuse(plan, options)
        elif plan.unneeded or options.forbid_rpath:
            refuse(replace(plan, missing=()), options)

    def _had(self, part: _Part) -> list[str]:
        """Name what a part gets, as far as is known."""
        wanted = part.wanted.items()
        return [name for each, of in wanted if each not in self._run.unbuilt for name in of]

    def _lacks(self, part: _Part) -> bool:
        """Whether a part is refused for what it doesn't get, as far as is known."""
        had = {*self._had(part)}
        missing = part.plan.missing if part.plan else ()
        return part.options.missing != "warn" and any(
            had.isdisjoint(each.names) for each in missing
        )

    def _all_lack(self, failed: Mapping[str, str]) -> bool:
        """Whether nobody is helped by the rest where these attributes can't be had."""
        self._run.unbuilt |= failed
        return all(part.error or self._lacks(part) for part in self._parts.values())

    def _await_runtime(self, part: _Part) -> dict[str, list[str]]:
        """Find what has the libraries of --runtime-libs that a part waits for from now on.

        Raises NoRuntimeLibrary for those that can't be had.
        """
        options = part.promising()
        try:
            if options.runtime_libs:
                part.planning(self._run.libraries(part.folders), options)
        except NoRuntimeLibrary as error:
            wanted = runtime_attributes(error.sonames, self._run.unbuilt)
            if wanted is None:
                raise
            lacking = [name for name in wanted if name in part.tried]
            for name in lacking:
                self._run.unbuilt[name] = self._has_not(name, wanted[name][0])
            if lacking:
                raise
            part.waiting += error.sonames
            return wanted
        return {}

    def _has_not(self, name: str, soname: str) -> str:
        return f"{self._nixpkgs} has {name}, but no {soname} in it"

    def _give(self, part: _Part) -> None:
        """Give a part what was taken for it, and plan it anew."""
        wanted = part.wanted
        part.tried |= wanted.keys()
        for name, sonames in wanted.items():
            folder = self._folders.get(name)
            promised = self._run.arguments.dry_run and name not in self._run.unbuilt
            if folder is not None:
                part.folders += [] if folder in part.folders else [folder]
            elif promised:
                part.promised += [each for each in sonames if each not in part.waiting]
            if folder is not None or not promised:
                part.waiting = [each for each in part.waiting if each not in sonames]
        self._plan(part)
        plan = part.plan
        left = {problem.name for problem in (*plan.missing, *plan.waived)} if plan else set()
        for name, sonames in wanted.items():
            lacking = [each for each in sonames if each in left]
            if lacking and name not in self._run.unbuilt:
                self._run.unbuilt[name] = self._has_not(name, lacking[0])


class _Part:
    """What is planned together, and what was taken for it."""

    def __init__(self, planning: Planning, options: Options) -> None:
        self.planning = planning
        self.options = options
        self.plan: Plan | None = None
        self.error: NixManylinuxError | None = None
        self.wanted: dict[str, list[str]] = {}
        self.tried: set[str] = set()
        self.folders: list[str] = []
        #: Names that what isn't built yet has, in a dry run.
        self.promised: list[str] = []
        #: Libraries to be loaded at run time that Nix has yet to give.
        self.waiting: list[str] = []

    def promising(self, more: Sequence[str] = ()) -> Options:
        later = (*self.options.provided_later, *self.promised, *more)
        loaded = [each for each in self.options.runtime_libs if each not in self.waiting]
        return replace(self.options, provided_later=later, runtime_libs=tuple(loaded))

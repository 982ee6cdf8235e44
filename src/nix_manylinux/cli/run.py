"""What all commands share: the target, the libraries, refusals, the JSON report."""

from __future__ import annotations

import os

from nix_manylinux.base.errors import BadOption, BadTree
from nix_manylinux.base.store import stored_trees
from nix_manylinux.base.values import replace
from nix_manylinux.base.words import shell
from nix_manylinux.cli import USAGE
from nix_manylinux.cli.console import Console, save_file
from nix_manylinux.report.summary import absent_text, problems_text
from nix_manylinux.target import environment
from nix_manylinux.target.environment import LostInterpreter, UnusableInterpreter, refuse_lost
from nix_manylinux.target.target import Target, choose_target
from nix_manylinux.tree.libraries import LibraryIndex, distribution_names
from nix_manylinux.tree.roots import find_pyvenv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from nix_manylinux.cli.arguments import Arguments
    from nix_manylinux.nix.adviser import Adviser
    from nix_manylinux.report.mended import Leaves
    from nix_manylinux.resolve.plan import Options, Plan

#: More of them are no date, and int() has a limit of its own.
_EPOCH_DIGITS = 20


class Run:
    """One command line being carried out."""

    def __init__(
        self,
        arguments: Arguments,
        environment: Mapping[str, str],
        console: Console,
        *,
        words: Sequence[str] = (),
    ) -> None:
        self.arguments = arguments
        #: The command line as it was typed.
        self.words = words
        self.environment = environment
        self.console = console
        #: Of nixpkgs, for an environment whose own starts nothing here; see `target`.
        self.python: str | None = None
        self.warned_of_garbage = False
        #: Warnings that were told, with what to paste, by their text.
        self._warned: dict[str, str] = {}
        #: Warnings of environments' Pythons, see `tell_doubts`.
        self._doubts: list[tuple[str, str]] = []
        #: Attributes that --nixpkgs was asked for and doesn't have, and what was said of it.
        self.unbuilt: dict[str, str] = {}

    def target(self, trees: Sequence[str], *, python: str | None = None) -> Target:
        """Find what to link for: from options, a virtual environment, the environment.

        ``python`` is the interpreter where neither of the first two names one.
        """
        given = self.arguments
        venvs = [*filter(find_pyvenv, trees)]

        def choose(python: str | None) -> Target:
            return choose_target(
                environment=self.environment,
                dynamic_linker=given.dynamic_linker,
                libc_directory=given.libc,
                python=python,
                virtual_environment=venvs[0] if venvs else None,
            )

        try:
            if venvs and not self.python:
                venvs = self._started(venvs)
            found = choose(given.python or self.python or (None if venvs else python))
        except UnusableInterpreter as error:
            own = venvs and os.path.abspath(error.environment) == os.path.abspath(venvs[0])
            if given.python or not own:
                raise
            self.python = self._python_of_nixpkgs(venvs[0], error)
            return choose(self.python)
        for venv in [] if self.python else venvs:
            self._doubt_home(venv)
        return found

    def _started(self, venvs: list[str]) -> list[str]:
        """Give those of some virtual environments whose Python is there.

        Raises LostInterpreter for the others, where no other target was named: then it is told.
        """
        given, found = self.arguments, []
        for venv in venvs:
            try:
                refuse_lost(venv)
            except LostInterpreter as error:
                if not (given.dynamic_linker or given.libc or given.python or self.in_build()):
                    raise
                self.warn_once(f"{error.where}: {error.what}")
                continue
            found.append(venv)
        return found

    def _doubt_home(self, venv: str) -> None:
        """Note where a virtual environment's Python counts on what is another one's, or gone."""
        if self.in_build():
            return
        lost = environment.lost_home(venv)
        home = lost or environment.strange_home(venv)
        name, end = environment.strange_link(venv)
        if name:
            at = "which is not there" if not os.path.exists(end) else "not where bin/python leads"
            text = (
                f"{venv}/{name} leads to {end}, {at}: programs that begin with it (pip) start"
                " another Python, or none"
            )
        elif home:
            but = "which is not there" if lost else "and bin/python leads to Nix's"
            text = (
                f"{venv}/pyvenv.cfg names a Python in {home}, {but}: it may not find its own"
                " standard library"
            )
        else:
            return
        again = environment.made_again(venv, environment.attribute_of(venv))
        self._doubts.append((f"{text}. To have it of one Python, then patch it:", f"  {again}"))

    def tell_doubts(self) -> None:
        """Warn of Pythons that may not start: behind what was done, before what to paste."""
        for text, command in self._doubts:
            self.warn_once(text, command)

    def _python_of_nixpkgs(self, venv: str, error: UnusableInterpreter) -> str:
        """Have Nix build a Python for a virtual environment whose own is gone or starts nothing.

        Raises the error itself where that wasn't asked for, or can't be done.
        """
        nixpkgs = self.arguments.nixpkgs
        linked = os.path.islink(os.path.join(venv, "bin", "python"))
        if nixpkgs is None or not error.attribute or not linked:
            raise error
        if self.arguments.dry_run:
            self.console.say(f"  would take of {nixpkgs}: {error.attribute}.out")
            error.hint = (
                "without --dry-run the environment is given that one; what else is to be taken,"
                " can be known then"
            )
            raise error
        from nix_manylinux.cli.taking import Taking  # noqa: PLC0415

        taking = Taking(nixpkgs, self.console, self.environment, dry_run=False)
        for folder in taking.take([f"{error.attribute}.out"]).folders.values():
            name = error.attribute.replace("python3", "python3.")
            python = os.path.join(os.path.dirname(folder), "bin", name)
            if os.path.exists(python):
                return python
        self.warn_once(f"{nixpkgs} has no {error.attribute}.out, or can't build it")
        error.hint = (
            "another nixpkgs may have it (--nixpkgs REF); else make the environment anew, with a"
            " Python that there is, and install its packages again"
        )
        raise error

    def target_to_look(self, trees: Sequence[str]) -> Target | None:
        """Find the target, for those who only look; None where nothing names one, or one lost."""
        given, tools = self.arguments, self.environment.get("NIX_BINTOOLS")
        named = [given.dynamic_linker, given.libc, given.python, tools, *map(find_pyvenv, trees)]
        try:
            return self.target(trees) if any(named) else None
        except LostInterpreter as error:
            self.warn_once(f"{error.where}: {error.what}")
            return None

    def libraries(self, more: Sequence[str] = ()) -> LibraryIndex:
        """Index the directories of ``--libs``, and ``more`` behind them."""
        return LibraryIndex.from_directories([*self.arguments.libs, *more])

    def options(self, trees: Sequence[str] = ()) -> Options:
        """Give the options, with paths that hold in any folder.

        In virtual environments among ``trees`` optional plugins may stay unloadable, where
        nothing else was asked for.
        """
        options = self.arguments.options
        if getattr(self.arguments.extra, "missing", "") is None and any(map(find_pyvenv, trees)):
            options = replace(options, missing="leaves")
        return replace(options, python_libs=tuple(map(os.path.abspath, options.python_libs)))

    def in_build(self) -> bool:
        """Whether this is a Nix build, not a shell that only looks like one."""
        return "NIX_BUILD_TOP" in self.environment and "IN_NIX_SHELL" not in self.environment

    def epoch(self) -> int | None:
        """Read the date that reproducible-builds.org specifies: seconds, as ``date +%s`` has it."""
        text = self.environment.get("SOURCE_DATE_EPOCH")
        if not text:
            return None
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _EPOCH_DIGITS):
            raise BadOption(
                f"is no number of seconds since 1970: {text[:40]!r}",
                where="SOURCE_DATE_EPOCH",
                hint="set it to what `date +%s` prints, or unset it to keep the wheel's own dates",
            )
        return int(text)

    def warn_once(self, text: str, *commands: str) -> None:
        """Tell one warning, and what to paste, unless it was told already."""
        if text not in self._warned:
            self._warned[text] = "\n".join([text, *commands])
            self.console.warn(self._warned[text])

    def warn(self, plan: Plan) -> None:
        """Tell the warnings of a plan, and of trees that hold nothing to look at."""
        for warning in plan.warnings:
            self.console.warn(warning)
        self.warn_of_nothing(plan)

    def leaves(self, plan: Plan, patched: Sequence[Plan]) -> Leaves:
        """Sort what may stay unloadable by what a patch would make of it: ``patched``.

        In a build, and in a Nix store, nothing is taken of a nixpkgs afterwards.
        """
        from nix_manylinux.report.mended import Leaves, sort_leaves  # noqa: PLC0415

        if not plan.waived:
            return Leaves()
        takes: dict[str, str] = {}
        stored = stored_trees(self.arguments.paths)
        if stored and self.arguments.command == "check":
            patched = ()
        elif not (stored or self.in_build()):
            from nix_manylinux.nix.build import wanted_attributes  # noqa: PLC0415

            wanted = wanted_attributes(plan, self.unbuilt)
            takes = {name: attr for attr, names in wanted.items() for name in names}
        return sort_leaves(plan.waived, patched, takes)

    def tell_leaves(self, leaves: Leaves, *, counted: bool = False) -> None:
        """Count what may stay unloadable; name it where every detail is asked for."""
        if not leaves.waived:
            return
        from nix_manylinux.report.mended import linked_text, stuck_text  # noqa: PLC0415

        if leaves.linked and not counted:
            self.console.say(linked_text(leaves))
        if leaves.stuck and not counted:
            self.console.warn(stuck_text(leaves))
        if self.console.verbose:
            text = problems_text(leaves.waived, everything=True)
            self.console.insist(f"  {line}" for line in text)

    def tell_absent(self, plan: Plan) -> None:
        """Name what files were linked to on another machine; a build sees its inputs alone."""
        if not self.in_build():
            self.console.insist(absent_text(plan, self.console.talk_width))

    def warn_of_nothing(self, plan: Plan) -> None:
        """Tell of trees in which there is nothing to look at."""
        if plan.files:
            return
        known = any(each.distributions or each.passed_by or each.damaged for each in plan.trees)
        for tree in plan.trees:
            # A wheel's own scratch folder is gone by now.
            if os.path.isdir(tree.root) and not known:
                what = "nothing is to be linked" if self.in_build() else "is it the place?"
                self.warn_once(f"{tree.root} holds no ELF file and no package; {what}")

    def refuse_unread(self, plan: Plan) -> None:
        """Raise BadTree for a tree of wheels alone: nobody has looked into them.

        Beside trees that a patch has changed it is a warning.
        """
        read = {each.tree for each in plan.files}
        for position, tree in enumerate(plan.trees):
            if self.in_build() or position in read or tree.distributions or tree.passed_by:
                continue
            # A wheel's own scratch folder is gone by now.
            names = os.listdir(tree.root) if os.path.isdir(tree.root) else ()
            wheels = sorted(name for name in names if name.endswith(".whl"))
            if wheels and read and self.arguments.command == "patch":
                self.warn_once(f"{tree.root} holds wheels, which are named one by one: *.whl")
            elif wheels:
                raise self._of_wheels(tree.root, wheels)

    def _of_wheels(self, root: str, names: Sequence[str]) -> BadTree:
        paths = self.arguments.paths
        given = next(each for each in paths if os.path.realpath(each) == os.path.realpath(root))
        wheels = f"{shell(given.rstrip('/'))}/*.whl"
        if len(names) == 1 or self.arguments.command == "graph":  # which takes no more
            wheels = shell(os.path.join(given, names[0]))
        return BadTree(
            "holds wheels, and nothing that is installed",
            where=given.rstrip("/"),
            hint=f"name them:\n{self.retyped(given, wheels)}",
        )

    def retyped(self, given: str, wheels: str) -> str:
        """Write the command line as it was typed, but for wheels in place of what was given."""
        words = [wheels if word == given else shell(word) for word in self.words]
        if self.arguments.command == "patch" and self.arguments.output_dir is None:
            words += ["--output-dir", "patched"]
        return " ".join(["nix-manylinux", *words])

    def adviser(self, plan: Plan) -> Adviser:
        """Make an adviser on what a plan lacks; other wheels that are given are at hand."""
        from nix_manylinux.nix.adviser import Adviser, inputs_that_lack  # noqa: PLC0415

        at_hand, unbuilt = distribution_names(self.arguments.options.python_libs), self.unbuilt
        if self.in_build():
            index, lacking = self.libraries(), [problem.name for problem in plan.missing]
            unbuilt = inputs_that_lack(lacking, lambda name: any(index.named(name)))
        return Adviser(plan.trees, at_hand=at_hand, unbuilt=unbuilt)

    def write_json(self, value: Mapping[str, Any]) -> None:
        """Write the JSON report, if it was asked for, where ``--json`` says.

        Its warnings are the plan's, and what else was warned of.
        """
        self.tell_doubts()
        if self.arguments.json is None:
            return
        import json  # noqa: PLC0415 - only --json wants it

        warnings = [*value["warnings"], *self._warned.values()]
        text = json.dumps({**value, "warnings": warnings}, indent=2)
        if self.arguments.json == "-":
            self.console.answer(text)
            return
        save_file(self.arguments.json, text + "\n", "report", "--json")

    def usage(self, text: str) -> int:
        """Tell what is wrong with the command line, and give the exit status for that."""
        command = self.arguments.command
        self.console.insist([f"nix-manylinux: {text}", f"try: nix-manylinux {command} --help"])
        return USAGE

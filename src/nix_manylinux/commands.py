"""What each command does with its arguments: calls the API, and tells what came of it."""

from __future__ import annotations

import os

from nix_manylinux.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nix_manylinux.arguments import Arguments
    from nix_manylinux.console import Console
    from nix_manylinux.errors import NixManylinuxError
    from nix_manylinux.index import LibraryIndex
    from nix_manylinux.model import Options, Plan, Report, Target

DONE, REFUSED, USAGE = 0, 1, 2

#: More of them are no date, and int() has a limit of its own.
_EPOCH_DIGITS = 20


class Run:
    """One command line being carried out."""

    def __init__(
        self, arguments: Arguments, environment: Mapping[str, str], console: Console
    ) -> None:
        self.arguments = arguments
        self.environment = environment
        self.console = console

    def command(self) -> int:
        """Carry it out; gives the exit status, raises what the API raises."""
        given = self.arguments
        if "" in (*given.paths, *given.libs, *given.options.python_libs, given.output_dir):
            return self._usage("an empty path names nothing; is a variable unset?")
        name = given.command
        if name == "patch":
            return self._patch()
        if name == "check":
            return self._check()
        from nix_manylinux import views  # noqa: PLC0415

        {
            "inspect": views.show_inspection,
            "expr": views.show_expression,
            "graph": views.show_graph,
        }[name](self)
        return DONE

    def refused(self, error: NixManylinuxError) -> None:
        """Tell an error, with all that a refused plan knows, and write the JSON report."""
        from nix_manylinux.report import report_json  # noqa: PLC0415

        plan: Plan | None = getattr(error, "plan", None)
        if plan is None:
            self.console.fail(error)
        else:
            self._refused_plan(plan)
        self.write_json(report_json(self.arguments.command, error=error))

    # -- commands ---------------------------------------------------------

    def _patch(self) -> int:
        given = self.arguments.paths
        wheels = [path for path in given if path.endswith(".whl") and not os.path.isdir(path)]
        if wheels and len(wheels) < len(given):
            return self._usage("patch takes trees or wheels, not both at once")
        if not wheels:
            if self.arguments.output_dir is not None and all(map(os.path.isdir, given)):
                return self._usage(
                    "--output-dir is for wheels, named one by one (*.whl);"
                    " a tree is patched where it is"
                )
            return self._patch_trees()
        if self.arguments.output_dir is None:
            return self._usage("a patched wheel is written to a folder: give --output-dir DIR")
        if len(wheels) > 1 and self.arguments.json:
            return self._usage("--json reports on one wheel; patch them one by one")
        one = self._patch_wheel if len(wheels) == 1 else self._patch_one_of_them
        return max([one(wheel, self.arguments.output_dir) for wheel in wheels])

    def _patch_one_of_them(self, wheel: str, output_dir: str) -> int:
        """Patch a wheel of several; why it is refused is told under its name."""
        from nix_manylinux.errors import BadOption, NixManylinuxError  # noqa: PLC0415

        try:
            return self._patch_wheel(wheel, output_dir)
        except BadOption:  # no other wheel would be better off
            raise
        except NixManylinuxError as error:
            self.console.insist([self.console.paint(os.path.basename(wheel), "bold")])
            self.refused(error)
            return REFUSED

    def _patch_trees(self) -> int:
        from nix_manylinux.api import patch_trees  # noqa: PLC0415

        report = patch_trees(
            self.arguments.paths,
            target=self.target(self.arguments.paths),
            libraries=self.libraries(),
            options=self.options(),
            dry_run=self.arguments.dry_run,
            progress=self.console.progress,
        )
        self._tell(" ".join(self.arguments.paths), report)
        self._warn_of_wheels(report.plan)
        self._keep(report)
        return self._done(report)

    def _patch_wheel(self, wheel: str, output_dir: str) -> int:
        from nix_manylinux.api import patch_wheel  # noqa: PLC0415

        done = patch_wheel(
            wheel,
            output_dir=output_dir,
            target=self.target(()),
            libraries=self.libraries(),
            options=self.options(),
            source_date_epoch=self._epoch(),
            dry_run=self.arguments.dry_run,
            sha256=self.arguments.json is not None,  # nobody else hears of it
            progress=self.console.progress,
        )
        self._tell(os.path.basename(wheel), done.report)
        if not self.arguments.dry_run:
            self.console.say(f"  wrote {done.path}")
        self._keep(done.report)
        return self._done(done.report, wheel={"path": done.path, "sha256": done.sha256})

    def _check(self) -> int:
        from nix_manylinux.api import check_tree  # noqa: PLC0415
        from nix_manylinux.errors import Unresolved  # noqa: PLC0415
        from nix_manylinux.report import all_fine, files_text, notable, report_json  # noqa: PLC0415

        report = check_tree(
            self.arguments.paths,
            target=self.target(self.arguments.paths),
            libraries=self.libraries(),
            options=self.options(),
        )
        plan = report.plan
        broken = bool(plan.missing or plan.incompatible)
        error = None
        if broken:
            error = Unresolved(missing=plan.missing, incompatible=plan.incompatible)
        if self.arguments.json != "-":
            lines = files_text(plan) if self.console.verbose else notable(plan)
            for line in lines:
                self.console.answer(line)
        if broken:
            self._refused_plan(plan)
        else:
            self.console.say(all_fine(plan))
        self.warn(plan)
        self.write_json(report_json("check", report=report, error=error))
        return REFUSED if broken else DONE

    # -- what the commands share -------------------------------------------

    def target(self, trees: Sequence[str]) -> Target:
        """Find what to link for: from options, a virtual environment, the environment."""
        from nix_manylinux.target import choose_target  # noqa: PLC0415
        from nix_manylinux.tree import find_pyvenv  # noqa: PLC0415

        given = self.arguments.target
        venvs = [tree for tree in trees if os.path.isdir(tree) and find_pyvenv(tree)]
        return choose_target(
            environment=self.environment,
            dynamic_linker=given.dynamic_linker,
            libc_directory=given.libc,
            python=given.python,
            virtual_environment=os.path.abspath(venvs[0]) if venvs else None,
        )

    def libraries(self) -> LibraryIndex:
        """Index the directories of ``--libs``."""
        from nix_manylinux.index import LibraryIndex  # noqa: PLC0415

        return LibraryIndex.from_directories(self.arguments.libs)

    def options(self) -> Options:
        """Give the options, with paths that hold in any folder."""
        options = self.arguments.options
        return replace(options, python_libs=tuple(os.path.abspath(d) for d in options.python_libs))

    def in_build(self) -> bool:
        """Whether this is a Nix build, not a shell that only looks like one."""
        return "NIX_BUILD_TOP" in self.environment and "IN_NIX_SHELL" not in self.environment

    def _epoch(self) -> int | None:
        """Read the date that reproducible-builds.org specifies: seconds, as ``date +%s`` has it."""
        text = self.environment.get("SOURCE_DATE_EPOCH", "")
        if not text:
            return None
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _EPOCH_DIGITS):
            from nix_manylinux.errors import BadOption  # noqa: PLC0415

            raise BadOption(
                f"is no number of seconds since 1970: {text[:40]!r}",
                where="SOURCE_DATE_EPOCH",
                hint="set it to what `date +%s` prints, or unset it to keep the wheel's own dates",
            )
        return int(text)

    def _tell(self, name: str, report: Report) -> None:
        from nix_manylinux.report import files_text, problems_text, summary  # noqa: PLC0415

        verb = "to be patched" if self.arguments.dry_run else "patched"
        self.console.say(self.console.paint(name, "bold"))
        self.console.say_all(summary(report.plan, verb=verb))
        if self.console.verbose:
            self.console.say_all(files_text(report.plan))
        if report.stale_rows or report.dropped_rows:
            self.console.say(
                f"  RECORD: {report.stale_rows} rows were stale, {report.dropped_rows} dropped"
            )
        for warning in (*report.plan.warnings, *report.warnings):
            self.console.warn(warning)
        if report.plan.missing:
            self.console.warn("left missing, as --missing warn allows:")
            self.console.insist(f"  {line}" for line in problems_text(report.plan.missing))

    def warn(self, plan: Plan) -> None:
        """Tell the warnings of a plan, and of trees that hold nothing but unread wheels."""
        for warning in plan.warnings:
            self.console.warn(warning)
        self._warn_of_wheels(plan)

    def _warn_of_wheels(self, plan: Plan) -> None:
        for tree in () if plan.files else plan.trees:
            # A wheel's own scratch folder is gone by now.
            names = os.listdir(tree.root) if os.path.isdir(tree.root) else ()
            if any(name.endswith(".whl") for name in names):
                self.console.warn(f"{tree.root} holds wheels, which are named one by one: *.whl")

    def _refused_plan(self, plan: Plan) -> None:
        from nix_manylinux.nixpkgs import load_table  # noqa: PLC0415
        from nix_manylinux.paste import plan_block  # noqa: PLC0415
        from nix_manylinux.report import problems_text  # noqa: PLC0415

        for title, problems in (
            ("these libraries are missing; nothing was changed:", plan.missing),
            ("these do not fit; nothing was changed:", plan.incompatible),
        ):
            if problems:
                self.console.insist([f"{self.console.paint('error:', 'red')} {title}"])
                text = problems_text(problems, everything=self.console.verbose)
                self.console.insist(f"  {line}" for line in text)
        block = plan_block(plan, load_table(), in_build=self.in_build())
        # A library that is given to `check` alone is on no file's search path.
        options = self.arguments.command == "check" and block and not block.startswith("#")
        self.console.insist(["", *(["patch it with:"] if options else []), *block.splitlines()])

    def _keep(self, report: Report) -> None:
        """Hold what was linked to against garbage collection, or warn that nothing does."""
        if self.arguments.dry_run:
            return
        from nix_manylinux.references import register_gc_roots  # noqa: PLC0415

        if self.arguments.gc_roots:
            register_gc_roots(report.references, self.arguments.gc_roots)
            self.console.say(f"  {len(report.references)} roots in {self.arguments.gc_roots}")
            return
        store = self.environment.get("NIX_STORE", "/nix/store")
        if not self.in_build() and any(r.startswith(f"{store}/") for r in report.references):
            self.console.warn(
                "nothing keeps the linked store paths from being garbage collected;"
                " --gc-roots DIR does"
            )

    def _done(self, report: Report, wheel: Mapping[str, str] | None = None) -> int:
        from nix_manylinux.report import report_json  # noqa: PLC0415

        self.write_json(report_json(self.arguments.command, report=report, wheel=wheel))
        return DONE

    def write_json(self, value: Mapping[str, object]) -> None:
        """Write the JSON report, if it was asked for, where ``--json`` says."""
        if self.arguments.json is None:
            return
        import json  # noqa: PLC0415 - only --json wants it

        text = json.dumps(value, indent=2)
        if self.arguments.json == "-":
            self.console.answer(text)
            return
        from nix_manylinux.console import save_file  # noqa: PLC0415

        save_file(self.arguments.json, text + "\n", "report", "--json")

    def _usage(self, text: str) -> int:
        command = self.arguments.command
        self.console.insist([f"nix-manylinux: {text}", f"try: nix-manylinux {command} --help"])
        return USAGE

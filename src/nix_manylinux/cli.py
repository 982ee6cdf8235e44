"""The command: arguments to typed options, the options to the API, errors to words.

This is the one place that looks at the environment, and the one boundary
where errors become an exit status: 0 done, 1 refused, 2 usage, 3 our fault.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nix_manylinux.arguments import Arguments
    from nix_manylinux.console import Console
    from nix_manylinux.errors import NixManylinuxError
    from nix_manylinux.index import LibraryIndex
    from nix_manylinux.model import Options, Plan, Report, Target

VERSION = "0.1.0"
DONE, REFUSED, USAGE, FAULT = 0, 1, 2, 3


def main(words: Sequence[str] | None = None) -> int:
    """Run the command with ``words`` (sys.argv's by default) and return the exit status."""
    words = sys.argv[1:] if words is None else words
    if list(words) == ["--version"]:  # asked for often, by wrappers: imports nothing
        sys.stdout.write(f"nix-manylinux {VERSION}\n")
        return DONE
    from nix_manylinux.arguments import make_parser, parse_arguments  # noqa: PLC0415

    try:
        arguments = parse_arguments(make_parser(VERSION), words)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else USAGE
    return _guarded(arguments, os.environ)


def _guarded(arguments: Arguments, environment: Mapping[str, str]) -> int:
    """Run one command; every way out of it passes here."""
    from nix_manylinux.console import Console  # noqa: PLC0415 - after --version
    from nix_manylinux.errors import BadOption, NixManylinuxError, UnneededIgnore  # noqa: PLC0415

    console = Console(
        sys.stderr,
        sys.stdout,
        environment=environment,
        quiet=arguments.quiet,
        verbose=arguments.verbose or bool(environment.get("NIX_DEBUG")),
    )
    run = _Run(arguments, environment, console)
    try:
        return run.command()
    except NixManylinuxError as error:
        run.refused(error)
        usage = isinstance(error, BadOption) and not isinstance(error, UnneededIgnore)
        return USAGE if usage else REFUSED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        console.insist(["interrupted; nothing was left half done"])
        return 130
    except Exception:  # noqa: BLE001 - the boundary: this is the one place for it
        import traceback  # noqa: PLC0415

        console.insist([
            "this is a fault of nix-manylinux, not of your wheel; please report it:",
            *traceback.format_exc().splitlines(),
        ])  # fmt: skip
        return FAULT


class _Run:
    """One command line being carried out."""

    def __init__(
        self, arguments: Arguments, environment: Mapping[str, str], console: Console
    ) -> None:
        self.arguments = arguments
        self.environment = environment
        self.console = console

    def command(self) -> int:
        return {"patch": self._patch, "check": self._check, "inspect": self._inspect}[
            self.arguments.command
        ]()

    def refused(self, error: NixManylinuxError) -> None:
        """Tell an error, with all that a refused plan knows, and write the JSON report."""
        from nix_manylinux.report import report_json  # noqa: PLC0415

        plan: Plan | None = getattr(error, "plan", None)
        if plan is None:
            self.console.fail(error)
        else:
            self._refused_plan(plan)
        self._json(report_json(self.arguments.command, error=error))

    # -- commands ---------------------------------------------------------

    def _patch(self) -> int:
        wheels = [p for p in self.arguments.paths if p.endswith(".whl") and not os.path.isdir(p)]
        if wheels and len(wheels) < len(self.arguments.paths):
            return self._usage("patch takes trees or wheels, not both at once")
        if not wheels:
            return self._patch_trees()
        if self.arguments.output_dir is None:
            return self._usage("a patched wheel is written to a folder: give --output-dir DIR")
        if len(wheels) > 1 and self.arguments.json:
            return self._usage("--json reports on one wheel; patch them one by one")
        for wheel in wheels:
            self._patch_wheel(wheel, self.arguments.output_dir)
        return DONE

    def _patch_trees(self) -> int:
        from nix_manylinux.api import patch_trees  # noqa: PLC0415

        report = patch_trees(
            self.arguments.paths,
            target=self._target(self.arguments.paths),
            libraries=self._libraries(),
            options=self._options(),
            dry_run=self.arguments.dry_run,
        )
        self._tell(" ".join(self.arguments.paths), report)
        self._keep(report)
        return self._done(report)

    def _patch_wheel(self, wheel: str, output_dir: str) -> None:
        from nix_manylinux.api import patch_wheel  # noqa: PLC0415

        done = patch_wheel(
            wheel,
            output_dir=output_dir,
            target=self._target(()),
            libraries=self._libraries(),
            options=self._options(),
            source_date_epoch=self._epoch(),
            dry_run=self.arguments.dry_run,
        )
        self._tell(os.path.basename(wheel), done.report)
        if not self.arguments.dry_run:
            self.console.say(f"  wrote {done.path}")
        self._keep(done.report)
        self._done(done.report, wheel={"path": done.path, "sha256": done.sha256})

    def _check(self) -> int:
        from nix_manylinux.api import check_tree  # noqa: PLC0415
        from nix_manylinux.errors import Unresolved  # noqa: PLC0415
        from nix_manylinux.report import files_text, report_json  # noqa: PLC0415

        report = check_tree(
            self.arguments.paths,
            target=self._target(self.arguments.paths),
            libraries=self._libraries(),
            options=self._options(),
        )
        plan = report.plan
        broken = bool(plan.missing or plan.incompatible)
        error = None
        if broken:
            error = Unresolved(missing=plan.missing, incompatible=plan.incompatible)
        if self.arguments.json != "-":
            lines = files_text(plan) if self.console.verbose else _shadows(plan)
            for line in lines:
                self.console.answer(line)
        if broken:
            self._refused_plan(plan)
        else:
            self.console.say(f"{len(plan.files)} ELF files: everything loads")
        for warning in plan.warnings:
            self.console.warn(warning)
        self._json(report_json("check", report=report, error=error))
        return REFUSED if broken else DONE

    def _inspect(self) -> int:
        from nix_manylinux.api import inspect_tree, inspect_wheel, plan_tree  # noqa: PLC0415
        from nix_manylinux.model import Report  # noqa: PLC0415
        from nix_manylinux.report import files_text, problems_text, report_json, summary  # noqa: PLC0415

        path = self.arguments.paths[0]
        facts = (
            inspect_tree(path)
            if os.path.isdir(path)
            else inspect_wheel(path, max_size=self.arguments.options.max_size)
        )
        plan = plan_tree(
            facts,
            target=self._target((path,)),
            libraries=self._libraries(),
            options=self._options(),
        )
        if self.arguments.json == "-":
            self._json(report_json("inspect", report=Report(plan=plan)))
            return DONE
        for dist in facts.distributions:
            self.console.answer(f"{dist.name} {dist.version}")
            self.console.answer(f"  tags: {', '.join(dist.tags) or 'none'}")
        for line in summary(plan, verb="to be patched"):
            self.console.answer(f"  {line}")
        for title, problems in (("missing", plan.missing), ("incompatible", plan.incompatible)):
            if problems:
                self.console.answer(f"{title}:")
                for line in problems_text(problems, everything=self.console.verbose):
                    self.console.answer(f"  {line}")
        if self.console.verbose:
            for line in files_text(plan):
                self.console.answer(line)
        self._json(report_json("inspect", report=Report(plan=plan)))
        return DONE

    # -- what the commands share -------------------------------------------

    def _target(self, trees: Sequence[str]) -> Target:
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

    def _libraries(self) -> LibraryIndex:
        from nix_manylinux.index import LibraryIndex  # noqa: PLC0415

        return LibraryIndex.from_directories(self.arguments.libs)

    def _options(self) -> Options:
        from dataclasses import replace  # noqa: PLC0415 - --version must not import it

        options = self.arguments.options
        return replace(options, python_libs=tuple(os.path.abspath(d) for d in options.python_libs))

    def _epoch(self) -> int | None:
        text = self.environment.get("SOURCE_DATE_EPOCH", "")
        return int(text) if text.isdigit() else None

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

    def _refused_plan(self, plan: Plan) -> None:
        from nix_manylinux.nixpkgs import load_table, paste_block  # noqa: PLC0415
        from nix_manylinux.report import problems_text  # noqa: PLC0415

        for title, problems in (
            ("these libraries are missing; nothing was changed:", plan.missing),
            ("these do not fit; nothing was changed:", plan.incompatible),
        ):
            if problems:
                self.console.insist([f"{self.console.paint('error:', 'red')} {title}"])
                text = problems_text(problems, everything=self.console.verbose)
                self.console.insist(f"  {line}" for line in text)
        if plan.missing:
            inside = "NIX_BUILD_TOP" in self.environment
            block = paste_block(plan.missing, load_table(), in_build=inside)
            self.console.insist(["", *block.splitlines()])

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
        inside = "NIX_BUILD_TOP" in self.environment and "IN_NIX_SHELL" not in self.environment
        if not inside and any(r.startswith(f"{store}/") for r in report.references):
            self.console.warn(
                "nothing keeps the linked store paths from being garbage collected;"
                " --gc-roots DIR does"
            )

    def _done(self, report: Report, wheel: Mapping[str, str] | None = None) -> int:
        from nix_manylinux.report import report_json  # noqa: PLC0415

        self._json(report_json(self.arguments.command, report=report, wheel=wheel))
        return DONE

    def _json(self, value: Mapping[str, object]) -> None:
        if self.arguments.json is None:
            return
        import json  # noqa: PLC0415 - only --json wants it

        text = json.dumps(value, indent=2)
        if self.arguments.json == "-":
            self.console.answer(text)
            return
        from nix_manylinux.errors import WriteFailed  # noqa: PLC0415

        try:
            with open(self.arguments.json, "w", encoding="utf-8") as file:
                file.write(text + "\n")
        except OSError as error:
            raise WriteFailed(
                f"can't write the report: {error.strerror}",
                where=self.arguments.json,
                hint="give --json a file in a folder that you may write to",
            ) from error

    def _usage(self, text: str) -> int:
        self.console.insist([f"nix-manylinux: {text}", "try: nix-manylinux patch --help"])
        return USAGE


def _shadows(plan: Plan) -> list[str]:
    return [
        f"{each.file.label}: {r.name} is {r.path}, which {r.reason}"
        for each in plan.files
        for r in each.resolutions
        if r.reason
    ]

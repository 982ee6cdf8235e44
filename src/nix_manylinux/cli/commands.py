"""The commands that write, and `check`: each calls the API, and tells what came of it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from nix_manylinux.api import check_tree, patch_wheel, patch_wheel_tree, plan_paths
from nix_manylinux.base.errors import BadOption, BadTree, NixManylinuxError
from nix_manylinux.base.files import check_writable
from nix_manylinux.base.store import stored_trees
from nix_manylinux.base.values import replace
from nix_manylinux.base.words import count, shell
from nix_manylinux.cli import DONE, REFUSED
from nix_manylinux.cli.origin import take_own_linker, tell_origin, tell_untried
from nix_manylinux.cli.roots import keep, nix_store_command, tell_lost
from nix_manylinux.report.summary import all_fine, files_text, notable, report_json, summary
from nix_manylinux.resolve.plan import Plan, Report, Unresolved
from nix_manylinux.tree.roots import find_pyvenv, is_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nix_manylinux.cli.run import Run
    from nix_manylinux.cli.supply import Planning, Supply
    from nix_manylinux.target.target import Target


def run_command(run: Run) -> int:
    """Carry a command out; gives the exit status, raises what the API raises."""
    given = run.arguments
    named = [given.python, given.dynamic_linker, given.libc, given.gc_roots, given.output_dir]
    named += [given.nixpkgs, given.prefix]
    if "" in (*given.paths, *given.libs, *given.options.python_libs, *named):
        return run.usage("an empty path names nothing; is a variable unset?")
    if given.gc_roots and not given.dry_run:
        nix_store_command(run)  # before anything is written
        check_writable(given.gc_roots, "--gc-roots")
    writers = {"patch": patch, "install": install, "check": check}
    if given.command in writers:
        several: list[Run] = []
        if len(given.paths) > 1 and given.command != "install":
            from nix_manylinux.cli.environments import each_alone  # noqa: PLC0415 - seldom

            several = each_alone(run)
        if several and (given.json or given.dist):
            option = "--json" if given.json else "--dist"
            what = f"{option} is for one virtual environment; {given.command} them one by one"
            return run.usage(what)
        do = writers[given.command]
        statuses = [_one_of_several(each, each.arguments.paths[0], do) for each in several]
        return max(statuses) if several else do(run)
    if given.command == "repair":
        from nix_manylinux.cli.portable import repair  # noqa: PLC0415 - patch needs none of it

        return repair(run)
    if given.command == "expr":
        from nix_manylinux.cli.expression import show_expression  # noqa: PLC0415 - as above

        return show_expression(run)
    from nix_manylinux.cli import views  # noqa: PLC0415 - as above

    show = {"inspect": views.show_inspection, "graph": views.show_graph, "lock": views.write_lock}
    return show[given.command](run)


def patch(run: Run) -> int:
    """Patch trees in place, or write patched wheels."""
    given = run.arguments.paths
    wheels = [path for path in given if path.endswith(".whl") and not os.path.isdir(path)]
    if wheels and (len(wheels) < len(given) or run.arguments.dist):
        return run.usage(
            "patch takes trees or wheels, not both at once; --dist is for wheels that lie"
            " beside what was installed from them"
        )
    if not wheels:
        stored = stored_trees(given)
        if stored and not run.in_build() and not run.arguments.dry_run:
            from nix_manylinux.cli.advised import anew_in_store  # noqa: PLC0415 - a refusal

            hint = anew_in_store(run, stored[0])
            raise BadTree("a Nix store is never changed", where=stored[0], hint=hint)
        if run.arguments.output_dir is not None and all(map(os.path.isdir, given)):
            return run.usage(
                f"--output-dir is for wheels, named one by one ({given[0].rstrip('/')}/*.whl);"
                " a tree is patched where it is"
            )
        return _patch_trees(run)
    return _patch_wheels(run, wheels)


def _patch_wheels(run: Run, wheels: Sequence[str]) -> int:
    output_dir = run.arguments.output_dir
    if output_dir is None:
        return run.usage("a patched wheel is written to a folder: give --output-dir DIR")
    if len(wheels) > 1 and run.arguments.json:
        return run.usage("--json reports on one wheel; patch them one by one")
    named: dict[str, str] = {}
    for wheel in filter(os.path.exists, wheels):
        other = named.setdefault(os.path.basename(wheel), wheel)
        if not os.path.samefile(other, wheel):
            both = f"{other} and {wheel} would be one file"
            return run.usage(f"{both}: give each an --output-dir of its own")
    supply = _supply(run, [[wheel] for wheel in wheels], run.target(()))
    if len(wheels) == 1:
        return _patch_wheel(run, wheels[0], output_dir, supply)

    def one(wheel: str) -> int:
        return _one_of_several(run, wheel, lambda run: _patch_wheel(run, wheel, output_dir, supply))

    return max(map(one, wheels))


def install(run: Run) -> int:
    """Install wheels into a prefix, linked."""
    from nix_manylinux.install import install_wheel  # noqa: PLC0415

    extra = run.arguments.extra
    levels = () if extra.no_compile_bytecode else extra.compile_bytecode or (0, 1)
    cores = run.environment.get("NIX_BUILD_CORES", "")
    report = install_wheel(
        run.arguments.paths,
        prefix=extra.prefix,
        target=run.target((extra.prefix,), python=sys.executable),
        libraries=run.libraries(),
        options=run.options((extra.prefix,)),
        compile_levels=levels,
        cores=int(cores) if cores.isdecimal() and len(cores) < 5 else None,
        environment=run.environment,
        link=not extra.no_link,
        progress=run.console.progress,
    )
    if not extra.no_link:
        report = _tell(run, extra.prefix, report)
    # Those that a wheel carries inside of a package (bleach's html5lib) nobody has asked for.
    found = report.plan.trees[0].distributions
    top = min((d.folder.count("/") for d in found), default=0)
    names = ", ".join(f"{d.name} {d.version}" for d in found if d.folder.count("/") == top)
    run.console.say(f"  installed {names}")
    if not (extra.no_link or run.in_build() or find_pyvenv(extra.prefix)):
        site = os.path.abspath(os.path.join(extra.prefix, os.path.dirname(found[0].folder)))
        run.console.say(f"  its commands, and Python, find it with PYTHONPATH={shell(site)}")
    keep(run, report)
    return _done(run, report)


def check(run: Run) -> int:
    """Say of trees whether everything in them would load."""

    def look() -> Report:
        return check_tree(
            run.arguments.paths,
            target=run.target(run.arguments.paths),
            libraries=run.libraries(),
            options=run.options(run.arguments.paths),
        )

    report = look()
    if take_own_linker(run, report.plan):
        report = look()
    plan = report.plan
    run.refuse_unread(plan)
    broken = bool(plan.problems)
    error = None
    if run.arguments.json != "-":
        width = run.console.width
        lines = files_text(plan, width=width) if run.console.verbose else notable(plan)
        for line in lines:
            run.console.answer(line)
    for warning in report.warnings:
        run.console.warn(warning)
    patched = _patched(run) if broken or plan.waived else []
    if broken:
        from nix_manylinux.cli.refusals import refused_check  # noqa: PLC0415

        plan = refused_check(run, plan, patched)
        error = Unresolved(plan)
    else:
        leaves = run.leaves(plan, [made for _, made in patched])
        # One sentence says what loads, and what need not.
        tell = run.console.warn if leaves.stuck else run.console.say
        tell(all_fine(plan, leaves))
        run.tell_leaves(leaves, counted=True)
        run.tell_absent(plan)
        run.warn(plan)
        tell_untried(run, plan)
        tell_lost(run)  # where all loads: a patch renews the roots
        tell_origin(run, plan)
        plan = replace(plan, waived=leaves.waived)
    report = replace(report, plan=plan)
    run.write_json(report_json("check", report=report, error=error))
    if not broken and run.arguments.extra.strict and (warned := run.console.warned):
        run.console.error(f"--strict: {count(warned, 'warning')}")
        return REFUSED
    return REFUSED if broken else DONE


def _patched(run: Run) -> list[tuple[Sequence[str], Plan]]:
    """Plan what patches would make of what is checked: trees together, and each wheel.

    Trees in a Nix store, which are built anew, are for themselves. What would be refused outright
    is left out.
    """
    from nix_manylinux.cli.command_line import part_of  # noqa: PLC0415

    paths = run.arguments.paths
    trees = [path for path in paths if is_tree(path)]
    stored = [] if run.in_build() else stored_trees(trees)
    together = [[path for path in trees if path not in stored], stored]
    target = run.target(paths)
    plans: list[tuple[Sequence[str], Plan]] = []
    for each in filter(None, [*together, *([path] for path in paths if path not in trees)]):
        options = part_of(run.options(each), each, paths)
        with suppress(NixManylinuxError):
            plan = plan_paths(each, target=target, libraries=run.libraries(), options=options)
            plans.append((each, plan))
    return plans


def _supply(run: Run, parts: Sequence[Sequence[str]], target: Target) -> Supply | None:
    """Have --nixpkgs give what parts lack; None without it. Raises what no library mends."""
    if run.arguments.nixpkgs is None:
        return None
    from nix_manylinux.cli.supply import Supply  # noqa: PLC0415
    from nix_manylinux.resolve.tags import check_wheel_tags  # noqa: PLC0415

    # What could only be said after a build, were it not asked before.
    run.epoch()
    for wheel in run.arguments.dist:
        check_wheel_tags(wheel, target)
    if run.arguments.output_dir is not None and not run.arguments.dry_run:
        check_writable(run.arguments.output_dir, "--output-dir")

    def plans(paths: Sequence[str]) -> Planning:
        return lambda libraries, options: plan_paths(
            paths,
            target=target,
            libraries=libraries,
            options=options,
            to_patch="dry run" if run.arguments.dry_run else "now",
        )

    supply = Supply(run)
    supply.gather({part[0]: (plans(part), run.options(part)) for part in parts})
    return supply


def _one_of_several(run: Run, path: str, do: Callable[[Run], int]) -> int:
    """Carry out what is done for each of several; why one is refused stands under its name."""
    name = os.path.basename(path) if path.endswith(".whl") else path
    if run.arguments.command == "check":
        run.console.say(run.console.paint(name, "bold"))
    try:
        return do(run)
    except BadOption:  # no other would be better off
        raise
    except NixManylinuxError as error:
        from nix_manylinux.cli.refusals import refused  # noqa: PLC0415 - seldom

        if run.arguments.command != "check":
            run.console.insist([run.console.paint(name, "bold")])
        refused(run, error, [path])
        return REFUSED


def _patch_trees(run: Run) -> int:
    paths = run.arguments.paths
    target = run.target(paths)
    supply = _supply(run, [paths], target)
    report = patch_wheel_tree(
        paths,
        target=target,
        libraries=supply.libraries(paths[0]) if supply else run.libraries(),
        options=supply.options(paths[0]) if supply else run.options(paths),
        dry_run=run.arguments.dry_run,
        wheels=run.arguments.dist,
        source_date_epoch=run.epoch() if run.arguments.dist else None,
        sync=not run.in_build(),  # what a build has left unfinished is no output of it
        progress=run.console.progress,
    )
    if supply:
        report = replace(report, plan=supply.plan_to_tell(paths[0], report.plan))
    run.refuse_unread(report.plan)
    report = _tell(run, " ".join(paths), report)
    run.warn_of_nothing(report.plan)
    if run.python is not None:
        from nix_manylinux.nix.venv import give_interpreter  # noqa: PLC0415

        venv = next(filter(find_pyvenv, paths))
        give_interpreter(os.path.abspath(venv), run.python)
        run.console.say(f"  {venv}/bin/python leads to {run.python}")
    keep(run, report)
    return _done(run, report)


def _patch_wheel(run: Run, wheel: str, output_dir: str, supply: Supply | None) -> int:
    done = patch_wheel(
        wheel,
        output_dir=output_dir,
        target=run.target(()),
        libraries=supply.libraries(wheel) if supply else run.libraries(),
        options=supply.options(wheel) if supply else run.options(),
        source_date_epoch=run.epoch(),
        dry_run=run.arguments.dry_run,
        sha256=run.arguments.json is not None,  # nobody else hears of it
        progress=run.console.progress,
    )
    report = done.report
    if supply:
        report = replace(report, plan=supply.plan_to_tell(wheel, report.plan))
    report = _tell(run, os.path.basename(wheel), report)
    if not run.arguments.dry_run:
        run.console.say(f"  wrote {done.path}")
    keep(run, report)
    return _done(run, report, wheel={"path": done.path, "sha256": done.sha256})


def _tell(run: Run, name: str, report: Report) -> Report:
    """Tell what was done; gives the report with what was said of what may stay unloadable."""
    verb = "to be patched" if run.arguments.dry_run else "patched"
    run.console.say(run.console.paint(name, "bold"))
    run.console.say_all(summary(report.plan, verb=verb))
    if run.console.verbose:
        run.console.say_all(files_text(report.plan, width=run.console.talk_width - 2))
        if report.stale_rows or report.dropped_rows:
            run.console.say(
                f"  RECORD said other things than the files, before: {report.stale_rows} corrected,"
                f" {report.dropped_rows} of files that are not there removed"
            )
    if report.plan.missing:
        from nix_manylinux.cli.refusals import tell_missing  # noqa: PLC0415 - --missing warn

        tell_missing(run, report.plan)
    run.tell_absent(report.plan)
    for warning in (*report.plan.warnings, *report.warnings):
        run.console.warn(warning)
    if report.plan.waived:
        leaves = run.leaves(report.plan, [report.plan])
        run.tell_leaves(leaves)
        report = replace(report, plan=replace(report.plan, waived=leaves.waived))
    tell_untried(run, report.plan)
    return report


def _done(run: Run, report: Report, wheel: Mapping[str, str] | None = None) -> int:
    tell_origin(run, report.plan)  # last, since it is what is still to be done
    run.write_json(report_json(run.arguments.command, report=report, wheel=wheel))
    return DONE

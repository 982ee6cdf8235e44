"""Why a tree can't be patched, or would not load, and what to do about it."""

from __future__ import annotations

import shlex

from nix_manylinux.nix.advice import plan_block
from nix_manylinux.report.mended import after_patch
from nix_manylinux.report.missing import headline, missing_text, rows_text
from nix_manylinux.report.summary import problems_text, report_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nix_manylinux.base.errors import NixManylinuxError
    from nix_manylinux.cli.run import Run
    from nix_manylinux.nix.adviser import Adviser
    from nix_manylinux.resolve.plan import Plan


def refused(run: Run, error: NixManylinuxError) -> None:
    """Tell an error, with all that a refused plan knows, and write the JSON report."""
    plan: Plan | None = getattr(error, "plan", None)
    if plan is None:
        run.console.fail(error)
    else:
        refused_plan(run, plan)
    run.write_json(report_json(run.arguments.command, error=error))


def refused_plan(run: Run, plan: Plan) -> None:
    """Tell all that is missing in a plan, and what to do about it."""
    adviser = run.adviser(plan)
    _tell(run, plan, adviser, "; nothing was changed")
    block = _block(run, plan, adviser)
    options = block and not block[0].startswith("#")
    run.console.insist(["", *(["to add:"] if options else []), *block])


def refused_check(run: Run, plan: Plan, patched: Plan | None) -> None:
    """Tell all that would not load. ``patched`` is what a patch would make of it, if it would."""
    left, mended = after_patch(plan, patched) if patched else (plan, {})
    adviser = run.adviser(plan)
    _tell(run, left, adviser, "")
    if mended:
        if left.missing or left.incompatible:
            run.console.insist(["a patch will mend:"])
        else:
            run.console.error("nothing is missing, but not all is linked yet; a patch will mend:")
        width, everything = run.console.talk_width - 2, run.console.verbose
        rows = rows_text(mended, everything=everything, width=width)
        run.console.insist(f"  {line}" for line in rows)
    block = _block(run, left, adviser)
    options = [line for line in block if not line.startswith("#")]
    if not mended and not options:
        run.console.insist(["", *block])
    elif run.in_build():
        run.console.insist(["", "patch it with:", *block])
    else:
        # A library that is given to `check` alone is on no file's search path.
        comments = [line for line in block if line.startswith("#")]
        command = " ".join(["nix-manylinux patch", *map(shlex.quote, _given(run))])
        lines = [f"{command} \\", *(f"  {line}" for line in options)] if options else [command]
        run.console.insist(["", "patch it with:", *lines, *comments])


def _tell(run: Run, plan: Plan, adviser: Adviser, but: str) -> None:
    everything, width = run.console.verbose, run.console.talk_width - 2
    if plan.missing:
        run.console.error(f"{headline(plan.missing)}{but}:")
        text = missing_text(plan.missing, adviser, everything=everything, width=width)
        run.console.insist(f"  {line}" for line in text)
    if plan.incompatible:
        run.console.error(f"these do not fit{but}:")
        text = problems_text(plan.incompatible, everything=everything)
        run.console.insist(f"  {line}" for line in text)


def _block(run: Run, plan: Plan, adviser: Adviser) -> Sequence[str]:
    width = run.console.talk_width
    text = plan_block(plan, adviser, in_build=run.in_build(), named=True, width=width)
    return text.splitlines()


def _given(run: Run) -> list[str]:
    """Give the words of a command line that a patch takes as well as a check."""
    given = run.arguments
    named = {
        "--python": given.target.python,
        "--dynamic-linker": given.target.dynamic_linker,
        "--libc": given.target.libc,
    }
    options = [word for option, value in named.items() if value for word in (option, value)]
    options += [f"--libs={folder}" for folder in given.libs]
    wheels = any(path.endswith(".whl") for path in given.paths)
    return [*given.paths, *(["--output-dir", "patched"] if wheels else []), *options]

"""`repair`: wheels that run anywhere."""

from __future__ import annotations

import os
import shutil

from nix_manylinux.base.errors import BadOption, NixManylinuxError
from nix_manylinux.base.words import shell
from nix_manylinux.cli import DONE, REFUSED, USAGE
from nix_manylinux.cli.advised import continued
from nix_manylinux.cli.arguments import given_of
from nix_manylinux.nix.advice import packages_block, scope
from nix_manylinux.nix.adviser import Adviser
from nix_manylinux.nix.packages import explain
from nix_manylinux.repair.model import NotPortable, RepairOptions
from nix_manylinux.repair.sbom import read_packages
from nix_manylinux.repair.text import findings_text, loads_text, repaired_json, repaired_text
from nix_manylinux.repair.wheel import repair_wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nix_manylinux.cli.run import Run
    from nix_manylinux.nix.packages import Suggestion


def repair(run: Run) -> int:
    """Repair wheels one by one; gives the worst exit status."""
    wheels = run.arguments.paths
    if len(wheels) > 1 and run.arguments.json:
        return run.usage("--json reports on one wheel; repair them one by one")
    written: dict[str, str] = {}
    return max([_repair(run, wheel, written) for wheel in wheels])


def _options(run: Run) -> RepairOptions:
    own = given_of(RepairOptions, run.arguments.extra)
    store = run.environment.get("NIX_STORE")
    if store:
        own["stores"] = tuple(dict.fromkeys([store, *RepairOptions().stores]))
    if own.get("packages") is not None:
        own["packages"] = read_packages(own["packages"])
    return RepairOptions(**own)


def _repair(run: Run, wheel: str, written: dict[str, str]) -> int:
    """Repair a wheel; ``written`` are those that were, each with what it was made of."""
    try:
        options = _options(run)
        done = repair_wheel(
            wheel,
            output_dir=run.arguments.output_dir or "",
            libraries=run.libraries(),
            options=options,
            strip=run.environment.get("STRIP") or "strip",
            source_date_epoch=run.epoch(),
            dry_run=run.arguments.dry_run,
            # Nobody else hears of them.
            sha256=run.arguments.json is not None,
            loads=run.arguments.json is not None or not run.arguments.quiet,
            progress=run.console.progress,
        )
    except NixManylinuxError as error:
        _refused(run, wheel, error)
        return USAGE if isinstance(error, BadOption) else REFUSED
    run.console.say(run.console.paint(os.path.basename(wheel), "bold"))
    run.console.say_all(
        repaired_text(
            done,
            verb="would write" if run.arguments.dry_run else "wrote",
            everything=run.console.verbose,
        )
    )
    if options.sbom == "cyclonedx" and not done.grafts:
        run.console.say("nothing comes along: there is no bill of materials (--sbom) to write")
    for warning in done.warnings:
        run.console.warn(warning)
    if other := written.get(done.path):
        run.console.warn(
            f"{done.path} was made of {other} before: of two wheels that get one name, the last"
            " one stays; to have both, repair them into folders of their own"
        )
    written[done.path] = wheel
    run.console.say_all(loads_text(done, everything=run.console.verbose))
    run.write_json(repaired_json(done))
    return DONE


def _refused(run: Run, wheel: str, error: NixManylinuxError) -> None:
    if isinstance(error, NotPortable):
        name = os.path.basename(wheel)
        run.console.insist([f"{run.console.paint('error:', 'red')} {name} can't be repaired"])
        adviser = Adviser(error.trees, unbuilt=run.unbuilt)
        found = [adviser.advise(each.soname) for each in error.findings if each.soname]
        having = {each.soname: explain(each) for each in found}
        run.console.insist(findings_text(error, having, everything=run.console.verbose))
        run.console.insist(_with_packages(run, found))
    else:
        from nix_manylinux.cli.refusals import fail  # noqa: PLC0415 - seldom

        fail(run, error)
    run.write_json(repaired_json(error=error))


def _with_packages(run: Run, found: Sequence[Suggestion]) -> list[str]:
    """Say how to repair with the packages, or folders, that have what is missing; [] for none."""
    width, in_build = run.console.talk_width - 2, run.in_build()
    block = packages_block(found, in_build=in_build, width=width)
    if in_build:
        return ["", "to add to the package:", *block, *scope(width)] if block else []
    command = f"nix-manylinux {shell(*run.words)}"
    lines = ["", "repair it with:", *continued(command, block)] if block else []
    names = [each.soname for each in found if "/" not in each.soname]
    folders = [
        f"--libs {shell(folder)}"
        for folder in system_folders()
        if any(os.path.exists(os.path.join(folder, name)) for name in names)
    ]
    if not folders:
        return lines
    here = continued(command, [" ".join(folders)])
    if lines and shutil.which("nix-build", path=run.environment.get("PATH")):
        return [*lines, "or, with what this system has:", *here]
    return ["", "repair it with what this system has:", *here]


def system_folders() -> list[str]:
    """List where systems have their libraries; on NixOS there is none of these."""
    import sysconfig  # noqa: PLC0415 - seldom

    of_machine = f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}"
    return [of_machine, "/usr/lib64", "/usr/lib", "/usr/local/lib"]

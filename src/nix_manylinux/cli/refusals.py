"""Why a tree can't be patched, or would not load, and what to do about it."""

from __future__ import annotations

import os
import re

from nix_manylinux.base.errors import BadOption, NixManylinuxError
from nix_manylinux.base.store import stored_trees
from nix_manylinux.base.values import replace
from nix_manylinux.base.words import listed, shell, some, wrap
from nix_manylinux.cli.advised import (
    advice_block,
    as_packages,
    continued,
    damaged_files,
    fetched,
    is_taken,
    patch_advice,
)
from nix_manylinux.cli.command_line import typed
from nix_manylinux.cli.origin import tell_origin
from nix_manylinux.nix.advice import OPTIONS, packages_block, scope
from nix_manylinux.nix.adviser import Adviser
from nix_manylinux.nix.packages import explain
from nix_manylinux.report.mended import AfterPatch, after_patch, of_labels, with_mended
from nix_manylinux.report.missing import headline, left_to_system, missing_text, rows_text
from nix_manylinux.report.summary import problems_text, report_json
from nix_manylinux.resolve.dlopen import NoRuntimeLibrary
from nix_manylinux.resolve.plan import Plan, wanting_files
from nix_manylinux.tree.roots import NoSuchPath, is_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nix_manylinux.cli.run import Run


def fail(run: Run, error: NixManylinuxError) -> None:
    """Tell an error, with what only the command line knows of what to do next."""
    if isinstance(error, NoSuchPath):
        error.hint = fetched(run, error) or error.hint
    run.console.fail(error)
    if isinstance(error, BadOption) and run.in_build():
        words = re.findall(r"--[a-z-]+", str(error))
        named = [f"{option} is {name}" for name, option in OPTIONS.items() if option in words]
        run.console.insist([f"  in a derivation {listed(named)}"] if named else [])


def refused(run: Run, error: NixManylinuxError, paths: Sequence[str] | None = None) -> None:
    """Tell an error, with all that a refused plan knows, and write the JSON report.

    ``paths`` are those that it is about, if not all that were given.
    """
    paths = paths or run.arguments.paths
    run.tell_doubts()
    plan: Plan | None = getattr(error, "plan", None)
    if isinstance(error, NoRuntimeLibrary):
        _refused_runtime(run, error, paths)
    elif plan is None:
        fail(run, error)
    else:
        adviser = run.adviser(plan)
        _tell(run, plan, adviser, "; nothing was changed")
        run.tell_absent(plan)
        _advise(run, plan, _advice(run, paths, plan, adviser))
    run.write_json(report_json(run.arguments.command, error=error))


def _refused_runtime(run: Run, error: NoRuntimeLibrary, paths: Sequence[str]) -> None:
    """Say who has libraries that are to be loaded at run time, and are nowhere."""
    if run.in_build():
        error.hint = "add what has it to buildInputs"
    adviser = Adviser(unbuilt=run.unbuilt)
    found = [adviser.advise(soname) for soname in error.sonames]
    whys = {each.soname: [w for w in run.unbuilt.values() if w in each.notes] for each in found}
    failed = [soname for soname, why in whys.items() if why]
    if failed:  # that is why no directory has it
        error.where = ", ".join(failed)
        error.what = "; ".join(dict.fromkeys(why for each in whys.values() for why in each))
        others = "another nixpkgs may have it (--nixpkgs REF)"
        if any("can't be downloaded" in why for each in whys.values() for why in each):
            others = "try again where the network has it"
        error.hint = f"{others}; or {error.hint}; or leave it out of --runtime-libs"
    run.console.fail(error)
    rest = [each for each in found if each.soname not in failed]
    run.console.insist(f"  {each.soname}: {explain(each)}" for each in rest)
    sure = [each for each in found if each.is_sure]
    given, width = run.arguments, run.console.talk_width - 2
    block = packages_block(sure, in_build=run.in_build(), width=width)
    if block and run.in_build():
        block += scope(width)
    elif block:
        nowhere = [each.soname for each in found if not each.is_sure]
        patches = given.command in {"patch", "install"}
        words = typed(run, paths, without=nowhere) if patches else shell(*run.words)
        command = words if patches else f"nix-manylinux {words}"
        block = continued(command, block)
        takes = all(each.may_be_taken for each in sure) and given.command == "patch"
        if takes and given.nixpkgs is None:
            block = [f"{command} --nixpkgs", "or, with packages of your choice:", *block]
        block.insert(0, f"{given.command} it with:")
        block += [f"# without {listed(nowhere)}"] if nowhere and patches else []
    run.console.insist(["", *block] if block else [])


def refused_check(run: Run, found: Plan, patched: Sequence[tuple[Sequence[str], Plan]]) -> Plan:
    """Tell all that would not load; gives what was found, for the JSON report to say the same.

    ``patched`` is what a patch would make of it: paths that are patched together, and the plan.
    """
    after = after_patch(found, [plan for _, plan in patched])
    left, adviser = after.left, run.adviser(found)
    _tell(run, left, adviser, "")
    _tell_policies(run, patched)
    if after.mended:
        stored = stored_trees(run.arguments.paths) and not run.in_build()
        mends = f"{'building it anew' if stored else 'a patch'} will mend:"
        if left.missing or left.incompatible:
            run.console.insist([mends])
        else:
            run.console.error(f"nothing is missing, but not all is linked yet; {mends}")
        width, everything = run.console.talk_width - 2, run.console.verbose
        rows = rows_text(after.mended, everything=everything, width=width)
        run.console.insist(f"  {line}" for line in rows)
    run.tell_absent(found)
    parts = _parts(run, found, patched, adviser)
    advice = [
        _advice(run, paths, part.lacking, adviser, linked=bool(part.mended))
        for paths, part in parts or [(run.arguments.paths, after)]
    ]
    packages = as_packages(run, [p for paths, _ in parts for p in paths if not is_tree(p)])
    advice = [[*advice[0], *packages]] if len(advice) == 1 else [*advice, packages]
    plan = with_mended(found, after)
    leaves = run.leaves(plan, [made for _, made in patched])
    run.tell_leaves(leaves)
    run.warn(plan)
    _advise(run, found, *advice)
    return replace(plan, waived=leaves.waived)


def _tell_policies(run: Run, patched: Sequence[tuple[Sequence[str], Plan]]) -> None:
    """Say of wheels that lack something what their policies leave to the system."""
    found: dict[str, list[str]] = {}
    for paths, plan in patched:
        name = os.path.basename(paths[0])
        if not is_tree(paths[0]) and (said := left_to_system(name, plan.missing)):
            found.setdefault(said, []).append(name)
    for said, names in found.items():
        run.console.insist(wrap(f"{some(names, 2)}: {said}", run.console.talk_width))


def _parts(
    run: Run, found: Plan, patched: Sequence[tuple[Sequence[str], Plan]], adviser: Adviser
) -> list[tuple[Sequence[str], AfterPatch]]:
    """Sort what patches mend by the commands that do it: trees together, and each wheel.

    But wheels that need nothing but --nixpkgs have one command in common, the last.
    """

    def after(*plans: Plan) -> AfterPatch:
        labels = {each.file.label for plan in plans for each in plan.files}
        return after_patch(of_labels(found, labels), plans)

    parts: list[tuple[Sequence[str], AfterPatch]] = []
    alike: list[tuple[str, Plan]] = []
    for paths, plan in patched:
        part = after(plan) if len(patched) > 1 else after_patch(found, [plan])
        if not (part.mended or part.lacking.missing):
            continue
        if not is_tree(paths[0]) and is_taken(run, part.lacking, adviser):
            alike.append((paths[0], plan))
        elif ill := _ill(paths, plan, found, part):
            parts.append((ill, part))
    if alike:
        parts.append(([path for path, _ in alike], after(*(plan for _, plan in alike))))
    return parts


def _ill(paths: Sequence[str], plan: Plan, found: Plan, after: AfterPatch) -> Sequence[str]:
    """Give those of trees that are patched together that lack something, or have what others lack.

    ``plan`` is that patch. It is all of them where it isn't known who lacks it.
    """
    if not is_tree(paths[0]):
        return paths
    mended = (each for row in after.mended.values() for each in row)
    labels = wanting_files([*after.lacking.problems, *mended])
    files = [each for each in found.files if each.file.label in labels]
    # Trees may have files of one name, not all of which lack something.
    lacking = [each for each in files if any(r.is_lacking for r in each.resolutions)]
    told = {each.file.label for each in lacking}
    lacking += [each for each in files if each.file.label not in told]
    if not lacking:
        return paths
    roots = {found.trees[each.tree].root for each in lacking}
    used = [
        r.path
        for each in plan.files
        for r in each.resolutions
        if r.path and plan.trees[each.tree].root in roots
    ]
    roots |= {t.root for t in plan.trees if any(path.startswith(f"{t.root}/") for path in used)}
    real = {*map(os.path.realpath, roots)}
    return [path for path in paths if os.path.realpath(path) in real]


def _advice(
    run: Run, paths: Sequence[str], lacking: Plan, adviser: Adviser, *, linked: bool = False
) -> list[str]:
    """Give what to paste; where only words are to be had, and no patch mends anything, these."""
    block = advice_block(run, lacking, adviser)
    if linked or block.lines or damaged_files(lacking):
        return patch_advice(run, paths, lacking, adviser)
    return [*block.comments]


def _advise(run: Run, plan: Plan, *blocks: Sequence[str]) -> None:
    """Print what to paste, behind what is to be known of the target first."""
    run.tell_doubts()
    tell_origin(run, plan, [line for block in blocks for line in block])
    for block in filter(None, blocks):
        run.console.insist(["", *block])


def tell_missing(run: Run, plan: Plan) -> None:
    """Tell what a patch has left missing, as it was allowed to: no more than a screen, or all."""
    run.console.warn(f"{headline(plan.missing)}; left so, as --missing warn allows:")
    _rows(run, plan, run.adviser(plan), shorten=True)


def _rows(run: Run, plan: Plan, adviser: Adviser, *, shorten: bool = False) -> None:
    everything, width = run.console.verbose, run.console.talk_width - 2
    text = missing_text(plan.missing, adviser, everything=everything, shorten=shorten, width=width)
    run.console.insist(f"  {line}" for line in text)


def _tell(run: Run, plan: Plan, adviser: Adviser, but: str) -> None:
    if plan.missing:
        run.console.error(f"{headline(plan.missing)}{but}:")
        _rows(run, plan, adviser)
    if plan.incompatible:
        run.console.error(f"these do not fit{but}:")
        text = problems_text(plan.incompatible, everything=run.console.verbose)
        run.console.insist(f"  {line}" for line in text)
    if plan.unneeded:
        run.console.fail(plan.unneeded)

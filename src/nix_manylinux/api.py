"""The composer of the stages: lock, scan, plan, apply, verify, in this order and no other."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, nullcontext

from nix_manylinux.base.errors import BadTarget, IncompatibleWheel
from nix_manylinux.base.files import another_folder, make_folder
from nix_manylinux.base.scratch import scratch_folder
from nix_manylinux.base.values import replace
from nix_manylinux.nix.references import plan_references
from nix_manylinux.report.summary import left_alone, passed_by, put_back, unfolded
from nix_manylinux.resolve.plan import (
    Options,
    PatchedWheel,
    Plan,
    Problem,
    Report,
    refuse,
    wanting_files,
)
from nix_manylinux.resolve.planner import plan_trees
from nix_manylinux.tree.errors import readable
from nix_manylinux.tree.facts import Damage, TreeFacts
from nix_manylinux.tree.roots import find_pyvenv, is_tree, outermost, several
from nix_manylinux.tree.scan import scan_to_check, scan_to_write
from nix_manylinux.write.lock import locked_trees
from nix_manylinux.write.verify import carry_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Literal

    from nix_manylinux.base.progress import Progress
    from nix_manylinux.report.inspection import Inspection
    from nix_manylinux.target.target import Target
    from nix_manylinux.tree.libraries import LibraryIndex
    from nix_manylinux.tree.roots import StrPath
    from nix_manylinux.write.companion import Companion


def inspect_tree(root: StrPath) -> TreeFacts:
    """Read all that is to know of the tree at ``root``, through links; raises `BadTree`."""
    return scan_to_check([os.fspath(root)])[0]


def inspect_wheel(wheel: StrPath, *, max_size: int = Options().max_size) -> TreeFacts:
    """Read all that is to know of a wheel, its RECORD held against its members.

    Raises `BadWheel`. The tree it was unpacked to is gone when
    this returns: ``root`` is only a name in the result.
    """
    from nix_manylinux.tree.unpack import unpack_for_reading  # noqa: PLC0415 - of wheels

    with ExitStack() as stack:
        return unpack_for_reading(stack, os.fspath(wheel), max_size)[0]


def inspect(
    path: StrPath, *, target: Target | None, libraries: LibraryIndex, options: Options | None = None
) -> Inspection:
    """Find out all that there is to tell of a wheel or a tree as it is; nothing is written.

    How it would be linked is planned with the libraries given: with none, what
    is missing is what a user has to add. Without a target it is planned for this machine,
    or, where the files are for another one, for what they say that they are for. Raises
    what reading raises.
    """
    from nix_manylinux.report.assumed import assumed_target  # noqa: PLC0415 - patch needs none of these
    from nix_manylinux.report.inspection import Inspection  # noqa: PLC0415
    from nix_manylinux.report.symbols import read_symbol_tables  # noqa: PLC0415
    from nix_manylinux.report.verdict import verdict  # noqa: PLC0415
    from nix_manylinux.resolve.leaves import waive_leaves  # noqa: PLC0415
    from nix_manylinux.resolve.loads import find_runtime_loads  # noqa: PLC0415
    from nix_manylinux.resolve.tags import tags_of_tree  # noqa: PLC0415
    from nix_manylinux.target.compat import tag_mismatch  # noqa: PLC0415
    from nix_manylinux.tree.unpack import unpack_for_reading  # noqa: PLC0415
    from nix_manylinux.wheel.name import disagreement, parse_wheel_name, platforms_of  # noqa: PLC0415

    options = options or Options()
    with readable(), ExitStack() as stack:
        is_wheel = not is_tree(path)
        labels: Mapping[str, str] = {}
        variant = ""
        if not is_wheel:
            facts = inspect_tree(path)
            tagged = [dist.tags for dist in facts.distributions if dist.tags]
            # Of several distributions each promises something of its own files.
            tags = tagged[0] if len(facts.distributions) == len(tagged) == 1 else ()
        else:
            name = parse_wheel_name(os.fspath(path))
            tags, variant = name.tags, name.variant
            tagged = [tags]
            facts, labels = unpack_for_reading(stack, os.fspath(path), options.max_size)
        if target is None:
            platforms = platforms_of(tag for each in tagged for tag in each)
            target, libraries = assumed_target([facts], libraries, platforms=platforms)
        plan = plan_trees([facts], target=target, libraries=libraries, options=options)
        if is_wheel:
            misfit = tag_mismatch(tags, target)
            odd = [disagreement(tags, facts.distributions[0].tags)]
            misfits = [misfit] if misfit else []
        else:
            odd, misfits = tags_of_tree(facts, target)
        optional: tuple[Problem, ...] = ()
        if plan.missing and find_pyvenv(facts.root):
            optional = waive_leaves(plan, libraries.disk).waived
        return Inspection(
            facts=facts,
            tags=tags,
            plan=replace(plan, warnings=(*plan.warnings, *filter(None, odd))),
            verdict=verdict(facts, claimed=tags),
            loads=find_runtime_loads(facts, labels),
            symbols=read_symbol_tables(plan, libraries, tags),
            misfits=tuple(misfits),
            optional=frozenset(wanting_files(optional)),
            variant=variant,
        )


def plan_paths(
    paths: Sequence[StrPath],
    *,
    target: Target | None,
    libraries: LibraryIndex,
    options: Options | None = None,
    to_look: bool = False,
    to_patch: Literal["no", "dry run", "now"] = "no",
) -> Plan:
    """Plan trees, or one wheel, by their paths; nothing is written.

    What is missing is in the plan. ``to_look`` is for who won't patch the trees: files of
    others that links lead to count as well. ``to_patch`` is for who will: tags that a patch
    would refuse are refused, and trees are recovered, unless in a "dry run", as it would.
    Without a target, see `inspect`. Raises what reading raises.
    """
    options = options or Options()
    with readable(), ExitStack() as stack:
        if is_tree(paths[0]):
            roots = outermost(paths)
            with locked_trees(roots) if to_patch == "now" else nullcontext():
                trees = (scan_to_check if to_look else scan_to_write)(roots)
            if to_patch != "no" and target is not None:
                _check_tags(trees, target)
        else:
            from nix_manylinux.resolve.tags import check_wheel_tags  # noqa: PLC0415
            from nix_manylinux.tree.unpack import unpack_for_reading  # noqa: PLC0415

            wheel = os.fspath(paths[0])
            if to_patch != "no" and target is not None:
                check_wheel_tags(wheel, target)
            trees = [unpack_for_reading(stack, wheel, options.max_size)[0]]
        if target is None:
            from nix_manylinux.report.assumed import assumed_target  # noqa: PLC0415

            target, libraries = assumed_target(trees, libraries)
        return plan_trees(trees, target=target, libraries=libraries, options=options)


def plan_tree(
    facts: TreeFacts | Sequence[TreeFacts],
    *,
    target: Target,
    libraries: LibraryIndex,
    options: Options | None = None,
) -> Plan:
    """Decide where each need of each file leads; pure, and complete.

    What is missing is in the plan; see `refuse`.
    """
    trees = [facts] if isinstance(facts, TreeFacts) else facts
    return plan_trees(trees, target=target, libraries=libraries, options=options)


def patch_wheel_tree(
    root: StrPath | Sequence[StrPath],
    *,
    target: Target,
    libraries: LibraryIndex,
    options: Options | None = None,
    dry_run: bool = False,
    wheels: Sequence[StrPath] = (),
    source_date_epoch: int | None = None,
    sync: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Link every ELF file below ``root`` to the libraries, in place.

    Several roots share one plan; one inside another, or given twice, is a part of
    that one. Each is locked, and recovered from a run that was killed, before it is
    read. Idempotent; whatever is raised, nothing has changed. With ``dry_run``
    nothing is written or locked, and the report has no edits. ``wheels`` are what the trees
    were installed from: each is linked where it is, too, as `patch_wheel` would, with members
    of ``source_date_epoch``; unless ``sync`` is false it is on the disk then. ``progress`` is told
    the stage, how many of its items are done, and how many there are. Raises
    `Unresolved`, `IncompatibleWheel`, `BadTree`, `BadOption`, `EditFailed`.
    """
    options = options or Options()
    roots = outermost(several(root))
    lock = nullcontext(0) if dry_run else locked_trees(roots)
    with lock as restored, ExitStack() as stack:
        with readable():
            trees = scan_to_write(roots, progress)
            odd = _check_tags(trees, target)
            warnings = (*put_back(restored), *passed_by(trees), *odd)
            report = planned(trees, target, libraries, options, progress, warnings=warnings)
        if dry_run:
            return report
        companions = [
            _companion(stack, os.fspath(wheel), report.plan, libraries, options) for wheel in wheels
        ]
        for it in companions:
            report = replace(report, warnings=(*report.warnings, *it.wheel.warnings))
        with linked(report, options, progress) as done:
            for it in companions:
                it.write(
                    plan_references(it.plan),
                    options=options,
                    source_date_epoch=source_date_epoch,
                    sync=sync,
                )
            return done


def planned(
    trees: Sequence[TreeFacts],
    target: Target,
    libraries: LibraryIndex,
    options: Options,
    progress: Progress | None,
    *,
    warnings: tuple[str, ...] = (),
) -> Report:
    """Plan trees that are to be written. Raises what the plan is refused for."""
    plan = plan_trees(trees, target=target, libraries=libraries, options=options, progress=progress)
    refuse(plan, options)
    return Report(plan=plan, references=plan_references(plan), warnings=warnings)


@contextmanager
def linked(report: Report, options: Options, progress: Progress | None) -> Iterator[Report]:
    """Carry a report's plan out, and undo it if the block raises; gives the report of it."""
    left: list[Damage] = []
    with carry_out(report.plan, options, left, progress) as applied:
        yield replace(
            report,
            edits=applied.edits,
            unedited=tuple(left),
            stale_rows=applied.stale_rows,
            dropped_rows=applied.dropped_rows,
            warnings=(*report.warnings, *unfolded(applied.unfolded), *left_alone(left)),
        )


def _companion(
    stack: ExitStack, path: str, beside: Plan, libraries: LibraryIndex, options: Options
) -> Companion:
    """Plan a wheel that lies beside trees which are planned, until ``stack`` is closed."""
    from nix_manylinux.resolve.tags import check_wheel_tags  # noqa: PLC0415 - trees need none
    from nix_manylinux.write.companion import companion  # noqa: PLC0415

    check_wheel_tags(path, beside.target)
    it = stack.enter_context(companion(path, beside, max_size=options.max_size))
    it.decide(libraries, options)
    return it


def check_tree(
    root: StrPath | Sequence[StrPath],
    *,
    target: Target,
    libraries: LibraryIndex,
    options: Options | None = None,
) -> Report:
    """Simulate the loader over trees and wheels as they are; nothing is written.

    A tree may be an environment that is made of links into other trees. Raises what reading
    raises, and `IncompatibleWheel`; for what is installed where all else would load.
    """
    from nix_manylinux.resolve.check import check_trees  # noqa: PLC0415 - start-up of a patch

    options = options or Options()
    with readable(), ExitStack() as stack:
        paths = several(root)
        trees = scan_to_check(outermost([path for path in paths if is_tree(path)]))
        installed = [*trees]
        for wheel in (os.fspath(path) for path in paths if not is_tree(path)):
            from nix_manylinux.resolve.tags import check_wheel_tags  # noqa: PLC0415
            from nix_manylinux.tree.unpack import unpack_for_reading  # noqa: PLC0415

            check_wheel_tags(wheel, target)
            trees.append(unpack_for_reading(stack, wheel, options.max_size)[0])
        try:
            plan = check_trees(trees, target=target, libraries=libraries, options=options)
        except BadTarget as error:
            # Not the folder that a wheel is unpacked to.
            error.where = ", ".join(os.fspath(path) for path in paths)
            raise
    try:
        odd = _check_tags(installed, target)
    except IncompatibleWheel as error:
        if not plan.problems:
            raise
        odd = [str(error)]
    return Report(plan=plan, references=plan_references(plan), warnings=tuple(odd))


def patch_wheel(
    wheel: StrPath,
    *,
    output_dir: StrPath,
    target: Target,
    libraries: LibraryIndex,
    options: Options | None = None,
    source_date_epoch: int | None = None,
    dry_run: bool = False,
    sha256: bool = True,
    progress: Progress | None = None,
) -> PatchedWheel:
    """Write a wheel of the same name to ``output_dir``, linked to the libraries.

    Members stay in their order, unchanged ones as the bytes they were; the
    same input, libraries and options give the same output, byte for byte.
    ``source_date_epoch`` (seconds) dates all members, else they keep the
    input's dates. Raises what `patch_wheel_tree` raises, and
    `BadWheel`; then there is no output. ``sha256`` is worth saying no to: the
    output is read once more for it. ``progress`` as for `patch_wheel_tree`.
    """
    from nix_manylinux.resolve.tags import check_wheel_tags  # noqa: PLC0415
    from nix_manylinux.tree.python import python_source  # noqa: PLC0415
    from nix_manylinux.tree.unpack import scan_unpacked  # noqa: PLC0415 - of wheels
    from nix_manylinux.wheel.name import disagreement  # noqa: PLC0415
    from nix_manylinux.wheel.open import open_wheel  # noqa: PLC0415
    from nix_manylinux.write.companion import write_linked  # noqa: PLC0415 - start-up

    options = options or Options()
    path = os.fspath(wheel)
    name = check_wheel_tags(path, target)
    with scratch_folder() as folder, open_wheel(path, max_size=options.max_size) as opened:
        # The rule for optional files asks Python's.
        also = python_source if options.missing == "leaves" else None
        unpacked = opened.unpack(folder, also=also, progress=progress)
        facts = scan_unpacked(unpacked, progress=progress)
        odd = disagreement(name.tags, facts.distributions[0].tags)
        warnings = (*opened.warnings, *filter(None, [odd]))
        report = planned([facts], target, libraries, options, progress, warnings=warnings)
        output = os.path.join(os.fspath(output_dir), opened.file_name)
        if dry_run:
            return PatchedWheel(path=output, sha256="", report=report)
        with linked(report, options, progress) as report:
            pass  # what follows is no reason to undo it: the tree is our own
        make_folder(os.fspath(output_dir), hint=another_folder("--output-dir"))
        digest = write_linked(
            opened,
            report.plan,
            report.references,
            output_path=output,
            source_date_epoch=source_date_epoch,
            sha256=sha256,
            progress=progress,
        )
    return PatchedWheel(path=output, sha256=digest, report=report)


def _check_tags(trees: Sequence[TreeFacts], target: Target) -> list[str]:
    """Hold the WHEEL tags of all distributions in the trees against the target; give warnings.

    Raises `IncompatibleWheel` for those that can't be for it.
    """
    if not any(dist.tags for tree in trees for dist in tree.distributions):
        return []
    from nix_manylinux.resolve.tags import fitting_tags  # noqa: PLC0415 - not every tree has tags

    return fitting_tags(trees, target)

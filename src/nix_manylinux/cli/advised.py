"""The commands that are printed to be pasted: what was typed, with what was missing in it."""

from __future__ import annotations

import os
import re
from contextlib import suppress

from nix_manylinux.base.errors import NixManylinuxError
from nix_manylinux.base.store import stored_trees
from nix_manylinux.base.values import replace
from nix_manylinux.base.words import listed, shell, some, wrap
from nix_manylinux.cli.command_line import typed
from nix_manylinux.cli.origin import python_option
from nix_manylinux.nix.advice import Block, is_plugin, plan_block, without_choices
from nix_manylinux.report.inspection import Inspection, loadable
from nix_manylinux.report.missing import left_by_policy, lost_files
from nix_manylinux.report.verdict import leads_into_store
from nix_manylinux.resolve.plan import REFUSED_BY_GLIBC, Plan, Problem, wanting_files
from nix_manylinux.target.target import ASSUMED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nix_manylinux.cli.run import Run
    from nix_manylinux.nix.adviser import Adviser
    from nix_manylinux.tree.roots import NoSuchPath

#: With so many lines of options a command isn't told twice.
_FEW_LINES = 3


def patch_advice(
    run: Run,
    paths: Sequence[str],
    lacking: Plan,
    adviser: Adviser,
    *,
    title: str = "",
    runtime: Sequence[str] = (),
    width: int | None = None,
) -> list[str]:
    """Say how to patch ``paths``, so that it works, for all that such a patch would lack.

    With libraries for ``runtime`` this is one command, and no word beside it.

    In a build, and for what lies in a Nix store, that is what the package's expression lacks.
    """
    in_build, damaged = run.in_build(), damaged_files(lacking)
    lost = lost_files(lacking.trees, {each.name for each in lacking.missing})
    lacking = _without(lacking, {*damaged, *lost})
    if in_build or stored_trees(paths):
        block = advice_block(run, lacking, adviser, in_build=True, runtime=runtime, width=width)
        if in_build:
            return to_add(block)
        title = f"{', '.join(stored_trees(paths))}: a Nix store is never patched. Build the package"
        title, *lines = _built_anew(run, title, lacking, block, runtime)
        return [*wrap(title, width or run.console.talk_width), *lines]
    block = advice_block(run, lacking, adviser, in_build=False, runtime=runtime, width=width)
    # A library that is given to `check` alone is on no file's search path.
    options, comments = block.lines, [*block.comments]
    command, python = typed(run, paths), python_option(run, lacking)
    installs = run.arguments.command == "install"
    without = "" if runtime else _anew(paths, damaged, lost) + _to_do_without(run, lacking, adviser)
    if without or not title:
        them = "it" if len(paths) == 1 else "them"
        title = f"{without}{'install' if installs else 'patch'} {them} with:"
    lines = wrap(title, width or run.console.talk_width)
    wanted = [adviser.advise(*each.names) for each in lacking.missing]
    wanted += map(adviser.advise, runtime)
    taken = all(each.may_be_taken for each in wanted if each.is_sure)
    if block.packages and not installs and taken:
        rest = block.option_lines
        if run.arguments.nixpkgs is not None:
            return [*lines, *continued(command, rest, python), *comments]
        lines += continued(f"{command} --nixpkgs", rest, python)
        if runtime:
            return lines
        if len(rest) > _FEW_LINES and not run.console.verbose:
            comments.insert(0, "# With packages of your choice: -v shows how.")
        else:
            lines += ["or, with packages of your choice:", *continued(command, options, python)]
    else:
        lines += continued(command, options, python)
    if runtime:
        return lines
    # What nixpkgs can't give would have the same command refused again.
    if not all(each.may_be_taken for each in wanted) and run.arguments.options.missing != "warn":
        comments.append("# To link all the rest and leave these: --missing warn")
    return [*lines, *comments]


def is_taken(run: Run, lacking: Plan, adviser: Adviser) -> bool:
    """Whether --nixpkgs alone gives a patch all that it lacks: it wants no other option."""
    block = advice_block(run, lacking, adviser, in_build=False)
    wanted = [adviser.advise(*each.names) for each in lacking.missing]
    mended = block.packages or not (damaged_files(lacking) or lacking.incompatible)
    return bool(mended) and not block.option_lines and all(each.may_be_taken for each in wanted)


def as_packages(run: Run, wheels: Sequence[str]) -> list[str]:
    """Say how expressions of wheels are written; [] for none, and in a build."""
    if not wheels or run.in_build():
        return []
    lines = [f"nix-manylinux expr {shell(path)}" for path in wheels[:_FEW_LINES]]
    rest = ["# and so of each of the others"] if len(wheels) > _FEW_LINES else []
    each = "each " if len(wheels) > 1 else ""
    return [f"or, {each}as a package:", *lines, *rest]


def damaged_files(plan: Plan) -> tuple[str, ...]:
    """Name the files that the loader refuses for what they are: no option mends them."""
    refused = {each.file.label for each in plan.files if each.skipped == REFUSED_BY_GLIBC}
    unread = {each.label for tree in plan.trees for each in tree.damaged}
    told = wanting_files(plan.incompatible)
    return tuple(sorted({label.rpartition("/")[2] for label in refused | (unread & told)}))


def _anew(paths: Sequence[str], damaged: Sequence[str], lost: Mapping[str, str]) -> str:
    """Say what is done about damaged files, and those that are gone; "" for none."""
    text = ""
    if lost:
        owners = listed(sorted({*lost.values()}))
        are = "is" if len(lost) == 1 else "are"
        text = f"install {owners} anew, of which {some([*lost], 2)} {are} gone; then "
    if damaged:
        are, them = ("is", "it") if len(damaged) == 1 else ("are", "them")
        if any(path.endswith(".whl") for path in paths):  # as it was published, by its RECORD
            text += f"{some(damaged, 2)} {are} broken in the wheel itself: take another release of"
            text += f" it, or leave {them} out (--exclude); to link all the rest, "
        else:
            text += f"install {some(damaged, 2)} anew, and don't strip {them}: strip damages files"
            text += " of wheels; then "
    return text


def _without(plan: Plan, names: Collection[str]) -> Plan:
    """Take out of a plan what files of these names are the reason of: they are installed anew."""

    def kept(problems: Sequence[Problem]) -> tuple[Problem, ...]:
        return tuple(each for each in problems if each.name.rpartition("/")[2] not in names)

    return replace(plan, missing=kept(plan.missing), incompatible=kept(plan.incompatible))


def _to_do_without(run: Run, lacking: Plan, adviser: Adviser) -> str:
    """Say what a patch that ignores what nobody has does not mend, and what might; "" for none.

    What only plugins want is done without by everybody.
    """
    left, _ = without_choices(lacking.missing, adviser)
    left = [each for each in left if not all(map(is_plugin, each.wanted_by))]
    found = [(each.name, adviser.advise(*each.names)) for each in left]
    names = [name for name, each in found if each.is_nowhere]
    if not names:
        return ""
    them = "it" if len(names) == 1 else "them"
    text = f"to do without {some(names, 2)} and what wants {them}, "
    whys = {*run.unbuilt.values()}
    if any(whys.intersection(each.notes) for _, each in found):
        text = (
            f"another nixpkgs may have {them} (--nixpkgs REF), or give a build of your own (--libs"
            f" DIR); {text}"
        )
    return text


def look_advice(run: Run, path: str, seen: Inspection, adviser: Adviser) -> list[str]:
    """Say how what was inspected is made to load: a patch, and for a wheel an expression.

    Nothing where it loads as it is. What doesn't fit the target has its hints already.
    """
    plan, is_wheel = seen.plan, seen.facts.floating is not None
    unlinked = plan.problems or any(each.changes for each in plan.files)
    if seen.misfits or not unlinked:
        return []
    width = run.console.width - 2
    block = advice_block(run, plan, adviser, width=width)
    if run.in_build():
        return to_add(block)
    fails = "it does not load as it is; " if wanting_files(plan.problems) - seen.optional else ""
    policy, names = left_by_policy(os.path.basename(path), plan.missing) if is_wheel else ("", [])
    if fails and len(names) == len(plan.missing) and not plan.incompatible:
        fails = f"it loads where {policy}'s libraries are, and not on Nix; "
    lines = []
    if plan.target.libc_directory == ASSUMED:  # no patch is for this machine
        title = f"{fails}as a package:"
    elif block.comments and not block.lines:
        title, lines = "or, as a package:", [f"{fails}there is nothing to add:", *block.comments]
    else:
        title = f"{fails}patch it with:"
        lines = patch_advice(run, [path], plan, adviser, title=title, width=width)
        title = "or, as a package:"
    return [*lines, title, f"nix-manylinux expr {shell(path)}"] if is_wheel else lines


def loads_advice(run: Run, path: str, seen: Inspection, adviser: Adviser) -> list[str]:
    """Say how to link what was inspected with what it may load at run time, too."""
    names = loadable(seen, adviser)
    if not names or seen.misfits:
        return []
    is_wheel, width = seen.facts.floating is not None, run.console.width - 2
    if run.in_build():
        block = advice_block(run, seen.plan, adviser, runtime=names, width=width)
        return ["if you need them:", *str(block).splitlines()]
    if seen.plan.target.libc_directory == ASSUMED:  # no patch is for this machine
        words = ["nix-manylinux", "expr", path, *(f"--runtime-libs={name}" for name in names)]
        return ["if you need them, as a package:", shell(*words)] if is_wheel else []
    title = "if you need them, patch it with:"
    lines = patch_advice(run, [path], seen.plan, adviser, title=title, runtime=names, width=width)
    lines = ["if you need them:", *lines] if stored_trees([path]) else lines
    return [*lines, "# expr takes --runtime-libs, too."] if is_wheel else lines


def fetched(run: Run, error: NoSuchPath) -> str:
    """Say how to go on with what is no path and reads like a requirement; "" if it does not."""
    given, project, versions = error.where, error.project, error.versions
    # What is patched or checked is a path of one's own, and nix-build leaves "result".
    paths = run.arguments.command in {"check", "patch"} or project.startswith("result")
    if not project or (paths and not versions):
        return ""
    lines = ["fetch its wheel first:"]
    if not versions:
        lines = [f"{error.hint}; or, if it is a package, fetch its wheel first:"]
    folder = f"{project}-wheel"
    lines.append(shell("pip", "download", "--no-deps", "--dest", folder, given))
    lines.append(run.retyped(given, f"{folder}/*.whl"))
    exact = re.fullmatch(r"==\s*([^*,;\s]+)", versions)
    release = exact[1] if exact else "VERSION"
    lines += ["or have an expression for Nix written:", f"nix-manylinux expr {project}=={release}"]
    return "\n".join(lines)


def advice_block(
    run: Run,
    plan: Plan,
    adviser: Adviser,
    *,
    in_build: bool | None = None,
    runtime: Sequence[str] = (),
    width: int | None = None,
) -> Block:
    """Give what is to be added for what a plan lacks, as Nix or as options; words as comments."""
    return plan_block(
        plan,
        adviser,
        in_build=run.in_build() if in_build is None else in_build,
        named=True,
        runtime=runtime,
        width=width or run.console.talk_width,
    )


def to_add(block: Block) -> list[str]:
    """Say in a build what its expression lacks; [] for nothing."""
    lines = str(block).splitlines()
    return ["to add:", *lines] if lines else []


def continued(command: str, options: Sequence[str], first: str = "") -> list[str]:
    """Write a command with lines of options, ``first`` before them."""
    options = [f"{first} \\" if options else first, *options] if first else options
    return [f"{command} \\", *(f"  {line}" for line in options)] if options else [command]


def anew_in_store(run: Run, path: str) -> str:
    """Say how what lies in a Nix store is built anew, with all that a patch of it would lack."""
    from nix_manylinux.api import plan_paths  # noqa: PLC0415 - a refusal

    plan, block = None, Block()
    with suppress(NixManylinuxError):
        plan = plan_paths(
            [path],
            target=run.target([path]),
            libraries=run.libraries(),
            options=replace(run.options([path]), missing="warn"),
            to_patch="dry run",
        )
        block = advice_block(run, plan, run.adviser(plan), in_build=True)
    return "\n".join(_built_anew(run, "build its package", plan, block))


def _built_anew(
    run: Run, title: str, lacking: Plan | None, block: Block, runtime: Sequence[str] = ()
) -> list[str]:
    """Say with what a package of Nix's is linked; ``block`` is what the hook lacks for it."""
    from nix_manylinux.nix.expression.outside import known_libraries  # noqa: PLC0415 - a refusal
    from nix_manylinux.nix.expression.places import format_of_tags  # noqa: PLC0415 - likewise

    trees = lacking.trees if lacking else ()
    inputs = [f"  {line}" for line in str(block).splitlines()]
    if inputs and any(leads_into_store(file.facts) for tree in trees for file in tree.files):
        return [f"{title} anew, with:", *inputs]
    lines = [
        f"{title} anew, with our overlay (./nix-manylinux is a checkout, or a link to one):",
        "  overlays = [ (import ./nix-manylinux/nix/overlay.nix) ];",
    ]
    style = format_of_tags(each.tags for tree in trees for each in tree.distributions)
    if lacking and style != "wheel":
        known = known_libraries(style)
        missing = [each for each in lacking.missing if known.isdisjoint(each.names)]
        rest = replace(lacking, missing=tuple(missing))
        more = advice_block(run, rest, run.adviser(rest), in_build=True, runtime=runtime)
        lines += ["and, where it is built from its wheel, with that one's format:"]
        lines += [f'  format = "{style}";', *(f"  {line}" for line in more.lines)]
        lines += ["or else with the hook:"]
    else:
        lines += ["and with the hook:"]
    return [*lines, "  nativeBuildInputs = [ manylinuxFixupHook ];", *inputs]

"""What wheels say that they are for, against the target; of installed ones what WHEEL files say.

Installers go by the name of a wheel's file and never read the tags in WHEEL, which may be
others (decord's py3-none wheels say cp36-cp36m). Where they don't fit the interpreter, the
extension modules decide: one that is not known to be for it makes the wheel another
interpreter's, and without any it runs.
"""

from __future__ import annotations

import os
import re

from nix_manylinux.base.errors import BadTree, IncompatibleWheel
from nix_manylinux.base.values import replace
from nix_manylinux.base.words import listed
from nix_manylinux.target.compat import check_compatible
from nix_manylinux.target.interpreter import abis_of_suffix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nix_manylinux.target.target import Target
    from nix_manylinux.tree.facts import TreeFacts
    from nix_manylinux.wheel.metadata import Distribution
    from nix_manylinux.wheel.name import WheelName


def check_wheel_tags(wheel: str, target: Target) -> WheelName:
    """Hold the tags in the name of a wheel's file against the target; gives what the name says.

    Raises `BadTree` where there is no such file, `BadWheel` where it is no wheel's name, and
    `IncompatibleWheel`.
    """
    from nix_manylinux.tree.roots import tree_root  # noqa: PLC0415 - trees need none
    from nix_manylinux.wheel.name import parse_wheel_name  # noqa: PLC0415

    if not os.path.exists(wheel):
        tree_root(wheel)
    name = parse_wheel_name(wheel)
    check_compatible(name.tags, target, where=os.path.basename(wheel))
    return name


def check_tags(tree: TreeFacts, distribution: Distribution, target: Target) -> str:
    """Hold the tags of one WHEEL against the target; gives a warning, or nothing.

    Raises `IncompatibleWheel` where platform or libc is another, or where the interpreter is
    another and RECORD names an extension module that is not known to be for this one.
    """
    where = f"{tree.root}/{distribution.folder}/WHEEL"
    try:
        check_compatible(distribution.tags, target, where=where)
    except IncompatibleWheel as error:
        check_compatible(distribution.tags, replace(target, interpreter=None), where=where)
        modules = _modules(tree, distribution)
        if modules is None or not all(_is_for(name, target) for name in modules):
            raise
        return (
            f"{where}: {error.what}, by its tags; no module of it says so, and installers go by"
            " the file's name"
        )
    return ""


def fitting_tags(trees: Sequence[TreeFacts], target: Target) -> list[str]:
    """Hold all WHEEL tags of trees against the target, as `check_tags` does; gives its warnings.

    Raises `IncompatibleWheel` for all that it refuses at once.
    """
    warnings: list[str] = []
    refused: list[tuple[str, IncompatibleWheel]] = []
    for tree, each in ((t, d) for t in trees for d in t.distributions if d.tags):
        try:
            warnings.append(check_tags(tree, each, target))
        except IncompatibleWheel as error:  # noqa: PERF203 - each is judged
            refused.append((f"{each.name} {each.version}", error))
    if len(refused) == 1:
        raise refused[0][1]
    if refused:
        raise IncompatibleWheel(
            f"{len(refused)} wheels don't fit: "
            + "; ".join(f"{who}: {error.what}" for who, error in refused),
            where=listed(dict.fromkeys(tree.root for tree in trees)),
            hint="\n".join(dict.fromkeys(error.hint for _, error in refused)),
        )
    return [*filter(None, warnings)]


def tags_of_tree(tree: TreeFacts, target: Target) -> tuple[list[str], list[tuple[str, str]]]:
    """Hold all WHEEL tags of a tree against the target, as `check_tags` does.

    Gives its warnings; and why those that it refuses don't fit, of whom that is said, and what
    to do about it.
    """
    warnings, misfits = [], []
    for distribution in (each for each in tree.distributions if each.tags):
        try:
            warnings.append(check_tags(tree, distribution, target))
        except IncompatibleWheel as error:  # noqa: PERF203 - each is judged
            who = f"{distribution.name} {distribution.version}"
            misfits.append((f"{who}: {error.what}", error.hint))
    return [*filter(None, warnings)], misfits


def _modules(tree: TreeFacts, distribution: Distribution) -> list[str] | None:
    """Name the extension modules that RECORD lists; None where it can't be read."""
    from nix_manylinux.resolve.leaves import is_module  # noqa: PLC0415 - as good as all tags fit
    from nix_manylinux.tree.disk import Disk  # noqa: PLC0415
    from nix_manylinux.wheel.record import MAX_RECORD_SIZE, parse_record  # noqa: PLC0415

    path = f"{tree.root}/{distribution.folder}/RECORD"
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_RECORD_SIZE)
        rows = parse_record(data, error=BadTree, where=path, strict=False).rows
    except (OSError, BadTree):
        return None
    site = os.path.dirname(distribution.folder)
    listed = {os.path.normpath(os.path.join(site, row.path)) for row in rows}
    disk = Disk()
    return [
        name.rpartition("/")[2]
        for file in tree.files
        for name in file.names
        if name in listed and is_module(name, disk, f"{tree.root}/{name}")
    ]


def _is_for(name: str, target: Target) -> bool:
    """Whether an extension module names an ABI that the interpreter has."""
    from nix_manylinux.tree.python import TAGGED_MODULE  # noqa: PLC0415 - as above

    interpreter = target.interpreter
    named = re.fullmatch(TAGGED_MODULE, name)
    if named is None or interpreter is None:
        return False
    suffix = name[len(f"{named['module']}.{named['variant'] or ''}") - 1 :]
    return not {abi for _, abi in interpreter.tags}.isdisjoint(abis_of_suffix(suffix))

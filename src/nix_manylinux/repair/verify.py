"""A repaired wheel, read as anybody would: unpacked, loaded in simulation, judged again."""

from __future__ import annotations

import os

from nix_manylinux.base.errors import EditFailed
from nix_manylinux.repair.needs import walk
from nix_manylinux.repair.system import (
    System,
    is_promised,
    loaders_of,
    promised_names,
)
from nix_manylinux.report.verdict import too_new
from nix_manylinux.tree.disk import Disk
from nix_manylinux.tree.unpack import unpack_and_scan
from nix_manylinux.wheel.open import open_wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.repair.choose import Choice
    from nix_manylinux.repair.model import RepairOptions
    from nix_manylinux.target.policy import Policies

_HINT = "nothing was written; please report it, with the wheel if you can share it"


def verify(
    written: str,
    file_name: str,
    folder: str,
    *,
    choice: Choice,
    policies: Policies,
    options: RepairOptions,
) -> None:
    """Hold a wheel that was written against what it claims, by what its files now say.

    ``folder`` is a new one to unpack to. Its RECORD is checked by unpacking it. Every
    file must load on a system that has the policy's libraries and nothing else, with no
    symbol version beyond it. Raises EditFailed, and BadWheel.
    """
    os.mkdir(folder)
    link = os.path.join(folder, file_name)
    os.symlink(os.path.abspath(written), link)
    tree = os.path.join(folder, "tree")
    os.mkdir(tree)
    with open_wheel(link, max_size=options.max_size) as opened:
        facts, _ = unpack_and_scan(opened, tree)
    files = [
        file
        for file in facts.files
        if (file.facts.kind.is_linked and file.facts.machine.name == choice.arch)
    ]
    known = {each.label for each in choice.files}
    others = {each.label for each in choice.others}
    files = [file for file in files if file.label in known or file.label not in others]
    names = promised_names(choice.policy, policies, choice.arch)

    def promised(soname: str) -> bool:
        return is_promised(names, choice.policy.libc, soname) or options.excludes(soname)

    machine = choice.files[0].facts.machine
    disk = Disk()
    loaders = loaders_of(
        lambda python: System(disk, facts.root, machine, promised, python=python),
        machine,
        choice.policy,
    )
    needs = walk(loaders, facts.root, files)
    wrong = [
        f"{name} is missing: {', '.join(labels)}" for (name, _), labels in needs.missing.items()
    ]
    wrong += [f"{name}: {reason}" for name, reason in needs.unfit]
    wrong += [f"{path} is outside of it" for path in needs.grafts]
    wrong += [
        f"{breach.version} of {breach.library} is too new: {', '.join(breach.wanted_by)}"
        for breach in too_new(
            [(file.label, file.facts) for file in files], choice.policy.limits[choice.arch]
        )
    ]
    if wrong:
        raise EditFailed(
            f"the repaired wheel would not work: {'; '.join(wrong)}", where=file_name, hint=_HINT
        )

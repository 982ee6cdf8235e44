"""A repaired wheel, read as anybody would: compared, loaded in simulation, judged again."""

from __future__ import annotations

import os

from nix_manylinux.base.errors import EditFailed
from nix_manylinux.base.scratch import scratch_folder
from nix_manylinux.elf.witness import call_witness
from nix_manylinux.repair.needs import walk
from nix_manylinux.repair.system import loaders_of
from nix_manylinux.report.verdict import too_new
from nix_manylinux.tree.disk import Disk
from nix_manylinux.tree.unpack import scan_unpacked
from nix_manylinux.wheel.compare import hold
from nix_manylinux.wheel.open import UnpackedWheel, Wheel, open_wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from nix_manylinux.repair.choose import PolicyChoice
    from nix_manylinux.repair.model import RepairOptions
    from nix_manylinux.tree.facts import TreeFacts

_HINT = "nothing was written; please report it, with the wheel if you can share it"


def verify(
    written: str,
    *,
    file_name: str,
    wheel: Wheel,
    before: TreeFacts,
    contents: Mapping[str, str | bytes],
    choice: PolicyChoice,
    options: RepairOptions,
) -> None:
    """Hold a wheel that was written against what it claims, by what its files now say.

    ``wheel`` was unpacked to the tree of ``before``, where its ELF files were changed, and
    new ones put, since; ``contents`` has by their members' names what was changed or added.
    The archive must hold what the tree does, by its RECORD too. Every
    file must load on a system that has the policy's libraries and nothing else, with no
    symbol version beyond it. Raises EditFailed, and BadWheel.
    """
    with scratch_folder() as folder:
        link = os.path.join(folder, file_name)
        os.symlink(os.path.abspath(written), link)
        with open_wheel(link, max_size=options.max_size) as opened:
            hold(opened, wheel, contents)
            places = {opened.location(m.name): m.name for m in opened.members if not m.is_folder}
    facts = scan_unpacked(UnpackedWheel(root=before.root, labels=places, places=tuple(places)))
    _hold_tree(facts, before, contents, places, file_name)
    files = [
        file
        for file in facts.files
        if (file.facts.kind.is_linked and file.facts.machine.name == choice.arch)
    ]
    if options.require_witness:
        for file in files:
            if file.label in contents:
                call_witness(f"{facts.root}/{file.path}", file.facts, label=file.label)
    known = {each.label for each in choice.files}
    others = {each.label for each in choice.others}
    files = [file for file in files if file.label in known or file.label not in others]
    loaders = loaders_of(
        Disk(),
        facts.root,
        choice.files[0].facts.machine,
        choice.policy,
        lambda soname: choice.promises(soname) or options.excludes(soname),
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


def _hold_tree(
    facts: TreeFacts,
    before: TreeFacts,
    contents: Mapping[str, str | bytes],
    places: Mapping[str, str],
    file_name: str,
) -> None:
    """Refuse to judge a tree that is not what the archive holds."""
    stamps = {file.label: file.stamp for file in before.files if file.label not in contents}
    odd = [file.path for file in facts.files if file.path not in places]
    now = {file.label: file.stamp for file in facts.files}
    odd += [label for label, stamp in stamps.items() if now.get(label) != stamp]
    if odd:
        raise EditFailed(
            f"the repaired wheel is not what was made: {', '.join(odd)}",
            where=file_name,
            hint=_HINT,
        )

"""A plan carried out, read back, and held against what was planned."""

from __future__ import annotations

import os

from nix_manylinux.base.errors import EditFailed, OsErrors
from nix_manylinux.base.files import EXECUTE
from nix_manylinux.base.progress import Progress, with_progress
from nix_manylinux.base.values import field_names
from nix_manylinux.elf.facts import ElfFacts, planned_facts
from nix_manylinux.elf.read import read_elf
from nix_manylinux.write.apply import AppliedPlan, apply_plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nix_manylinux.resolve.plan import Options, Plan
    from nix_manylinux.tree.facts import Damage


def verify_plan(
    plan: Plan,
    *,
    left: Sequence[Damage] = (),
    witness: bool = False,
    progress: Progress | None = None,
) -> None:
    """Read every edited file again, under each of its names; raise `EditFailed` if one differs.

    The loader was simulated over the planned facts, so a file that says just
    what was planned is loaded as was planned. Files that were ``left`` are passed by.
    With ``witness`` pyelftools must read the same.
    """
    unchanged = {each.label for each in left}
    for each in with_progress(plan.files, progress, "checking"):
        if not each.changes or each.file.label in unchanged:
            continue
        wanted = planned_facts(each.file.facts, each.edit)
        for path in each.paths(plan.trees):
            hint = "look at the disk that it is on; nothing has changed"
            with OsErrors(EditFailed, "it can't be read back", where=each.file.label, hint=hint):
                found = read_elf(path, label=each.file.label)
                barred = each.executable and not os.stat(path).st_mode & EXECUTE
            if found != wanted or barred:
                difference = "its mode" if barred else _difference(wanted, found)
                raise EditFailed(
                    f"it does not read back as planned: {difference}",
                    where=each.file.label,
                    hint="this is a fault of nix-manylinux, please report it with the file",
                )
            if witness and wanted.kind.is_linked:
                from nix_manylinux.elf.witness import call_witness  # noqa: PLC0415 - only where asked

                call_witness(path, wanted, label=each.file.label)


def carry_out(
    plan: Plan, options: Options, left: list[Damage], progress: Progress | None = None
) -> AppliedPlan:
    """Carry a plan out; ``left`` gets the files that can't be edited, where that is allowed."""
    return apply_plan(
        plan,
        check=lambda: verify_plan(plan, left=left, witness=options.witness, progress=progress),
        left=left if options.damaged == "warn" else None,
        progress=progress,
    )


def _difference(wanted: ElfFacts, found: ElfFacts | None) -> str:
    if found is None:
        return "it is no ELF file any more"
    return ", ".join(
        f"{name} is {getattr(found, name)!r} instead of {getattr(wanted, name)!r}"
        for name in field_names(wanted)
        if getattr(found, name) != getattr(wanted, name)
    )

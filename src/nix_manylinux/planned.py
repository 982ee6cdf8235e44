"""What a file will say once its edit is made: the plan's side of every comparison."""

from __future__ import annotations

from nix_manylinux.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.elf.facts import ElfEdit, ElfFacts


def planned_facts(facts: ElfFacts, edit: ElfEdit) -> ElfFacts:
    """Return what `read_elf` must say of the file once ``edit`` has been made."""
    renamed = dict(edit.replace_needed)
    rpath, runpath = facts.rpath, facts.runpath
    if edit.search_path is not None:
        text = ":".join(edit.search_path) or None
        rpath, runpath = (text, None) if edit.inherited else (None, text)
    return replace(
        facts,
        rpath=rpath,
        runpath=runpath,
        interpreter=edit.interpreter or facts.interpreter,
        needed=(*edit.add_needed, *(renamed.get(n, n) for n in facts.needed)),
        filters=tuple(renamed.get(n, n) for n in facts.filters),
        needs=tuple(replace(n, library=renamed.get(n.library, n.library)) for n in facts.needs),
        executable_stack=facts.executable_stack and not edit.clear_executable_stack,
    )

"""What a loader learns from a file, and what it should learn after an edit."""

from __future__ import annotations

from nix_manylinux.elf import format as elf
from nix_manylinux.elf.draft import tables
from nix_manylinux.elf.draft.pieces import POINTERS
from nix_manylinux.elf.draft.strings import RENAMED_TAGS, STRING_TAGS, name_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from nix_manylinux.elf.draft.headers import Object
    from nix_manylinux.elf.facts import ElfEdit


def meaning(obj: Object) -> dict[str, Any]:
    """Tell what a loader learns from a file, names in the place of offsets."""
    strings = obj.strings
    names: dict[int, list[bytes]] = {tag: [] for tag in STRING_TAGS}
    values = []
    for tag, value in obj.dynamic:
        if tag in STRING_TAGS:
            names[tag].append(name_at(strings, value))
        elif tag not in POINTERS and tag != elf.DT_STRSZ:
            values.append((tag, value))
    interp = obj.interp
    stack = obj.one(elf.PT_GNU_STACK)
    return {
        "needed": names.pop(elf.DT_NEEDED),
        "rpath": names.pop(elf.DT_RPATH),
        "runpath": names.pop(elf.DT_RUNPATH),
        "names": names,
        "values": values,
        "tags": sorted(tag for tag, _ in obj.dynamic if tag in POINTERS),
        "interpreter": None if interp is None else obj.draft.read(interp.offset, interp.filesz),
        "stack": None if stack is None else stack.flags,
        "vn_files": [name_at(strings, value) for _, value in tables.vn_files(obj)],
        "versions": [name_at(strings, value) for value in tables.version_names(obj)],
    }


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def wanted_meaning(before: Object, edit: ElfEdit) -> dict[str, Any]:
    """Tell what `meaning` shall be after an edit."""
    wanted = meaning(before)
    renamed = {_raw(old): _raw(new) for old, new in edit.replace_needed}
    going = set(map(_raw, edit.remove_needed))
    needed = [renamed.get(name, name) for name in wanted["needed"] if name not in going]
    needed += [name for name in dict.fromkeys(map(_raw, edit.add_needed)) if name not in needed]
    wanted["needed"] = needed
    wanted["vn_files"] = [renamed.get(name, name) for name in wanted["vn_files"]]
    names = wanted["names"]
    for tag in RENAMED_TAGS & names.keys():
        names[tag] = [renamed.get(name, name) for name in names[tag]]
    if edit.soname is not None:
        names[elf.DT_SONAME] = [_raw(edit.soname)] * (len(names[elf.DT_SONAME]) or 1)
    if edit.search_path is not None:
        path = [_raw(":".join(edit.search_path))] if any(edit.search_path) else []
        wanted["rpath"] = path if edit.inherited else []
        wanted["runpath"] = [] if edit.inherited else path
    if edit.interpreter is not None:
        wanted["interpreter"] = _raw(edit.interpreter) + b"\0"
    return wanted


def misread(
    before: Object, after: Object, edit: ElfEdit, dropped: tuple[int, ...]
) -> Iterator[str]:
    """Yield what a loader would learn otherwise than was asked; ``dropped`` are tags that go."""
    wanted, found = wanted_meaning(before, edit), meaning(after)
    if dropped:
        wanted["values"] = [pair for pair in wanted["values"] if pair[0] not in dropped]
    if edit.clear_executable_stack:
        if wanted["stack"] is not None:
            wanted["stack"] &= ~elf.PF_X
        elif found["stack"] == elf.PF_R | elf.PF_W:
            wanted["stack"] = found["stack"]  # there was room for a PT_GNU_STACK
    for key, value in wanted.items():
        if found[key] != value:
            yield f"{key} became {found[key]!r}, not {value!r}"

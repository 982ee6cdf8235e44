"""What an edit means for one file: new dynamic entries, a new string table.

Nothing is placed here. A string goes where an unused run of zero bytes in the
string table holds it, else behind the table's last string; a string that
nothing uses any longer is overwritten with zero bytes, so that no path of an
earlier edit stays in the file (Nix would take it for a reference). Who uses a
string is asked of every dynamic entry, symbol and version; where the answer
can't be had, strings are only ever added.
"""

from __future__ import annotations

from nix_manylinux.base.errors import EditFailed
from nix_manylinux.base.values import Value, field
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.draft import tables
from nix_manylinux.elf.draft.strings import (
    PATH_TAGS,
    RENAMED_TAGS,
    STRING_TAGS,
    StringTable,
    name_at,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.elf.draft.headers import Object
    from nix_manylinux.elf.facts import ElfEdit

_HINTS = frozenset({elf.DT_RELACOUNT, elf.DT_RELCOUNT})
#: Values of entries count from their own address, so that no entry may change its place.
_DT_MIPS_RLD_MAP_REL = 0x70000035


class Goal(Value, frozen=False, kw_only=False):
    """What a file shall hold after the edit, before anything has a place.

    ``dynamic`` are the (d_tag, value) pairs, addresses still the old ones;
    ``strings`` the string table, never shorter than it was: zero in the
    ``released`` ranges of it, new in the ``placed`` ones; ``vn_files`` the
    file offsets of vn_file words with their new values; ``interpreter`` is
    None where it stays. ``stack`` is "", "clear" or "add" for PT_GNU_STACK.
    ``dropped`` are tags that had to make room for others.
    """

    dynamic: list[tuple[int, int]]
    strings: bytearray
    old_strings: bytes
    released: list[tuple[int, int]] = field(default_factory=list)
    placed: list[tuple[int, int]] = field(default_factory=list)
    vn_files: list[tuple[int, int]] = field(default_factory=list)
    interpreter: bytes | None = None
    stack: str = ""
    dropped: tuple[int, ...] = ()
    changed: bool = False

    @property
    def growth(self) -> int:
        """By how many bytes the string table becomes longer."""
        return len(self.strings) - len(self.old_strings)


def _raw(what: str, text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    if b"\0" in raw:
        raise EditFailed(f"{what} with a NUL in it: {text!r}")
    return raw


class _Entry:
    """A dynamic entry on its way: its old value, or the string that it shall have."""

    __slots__ = ("string", "tag", "value")

    def __init__(self, tag: int, value: int = 0, string: bytes | None = None) -> None:
        self.tag = tag
        self.value = value
        self.string = string


def goal_of(obj: Object, edit: ElfEdit) -> Goal:
    """Work out what ``edit`` means for a file."""
    if obj.tags.get(elf.DT_GNU_PRELINKED) is not None:
        raise EditFailed(
            "the file is prelinked (DT_GNU_PRELINKED): its addresses are promised to others",
            hint="undo that first: prelink --undo FILE",
        )
    old = obj.strings
    entries = [_Entry(tag, value) for tag, value in obj.dynamic]
    released: list[int] = []
    if edit.search_path is not None:
        _set_search_path(entries, released, old, edit)
    _remove_needed(obj, entries, released, edit)
    renamed = {_raw("a needed name", a): _raw("a needed name", b) for a, b in edit.replace_needed}
    renamed = {a: b for a, b in renamed.items() if a != b}
    for entry in entries:
        if entry.tag in RENAMED_TAGS and (new := renamed.get(name_at(old, entry.value))):
            released.append(entry.value)
            entry.string = new
    _add_needed(entries, old, edit)
    _set_soname(entries, released, old, edit)
    vn_files = [
        (offset, value, new)
        for offset, value in (tables.vn_files(obj) if renamed else ())
        if (new := renamed.get(name_at(old, value)))
    ]
    released.extend(value for _, value, _ in vn_files)

    strings = StringTable(obj, old)
    if released:
        kept = [e.value for e in entries if e.tag in STRING_TAGS and e.string is None]
        changed = {offset for offset, _, _ in vn_files}
        kept += [value for offset, value in tables.vn_files(obj) if offset not in changed]
        strings.release(released, kept)
    # Search paths first: no needed name may share their bytes.
    for entry in sorted(entries, key=lambda entry: entry.tag not in PATH_TAGS):
        if entry.string is not None:
            entry.value = strings.place(entry.string, share=entry.tag not in PATH_TAGS)
    goal = Goal(
        dynamic=[(entry.tag, entry.value) for entry in entries],
        vn_files=[(at, strings.place(new, share=True)) for at, _, new in vn_files],
        strings=strings.data,
        old_strings=old,
        released=strings.released,
        placed=strings.placed,
        interpreter=_interpreter(obj, edit),
        stack=_stack(obj) if edit.clear_executable_stack else "",
    )
    goal.changed = bool(
        goal.dynamic != obj.dynamic
        or goal.strings != old
        or goal.vn_files
        or goal.interpreter is not None
        or goal.stack
    )
    _give_up_hints(obj, goal)
    _refuse_relative_entries(obj, goal)
    return goal


def _give_up_hints(obj: Object, goal: Goal) -> None:
    """Give an entry that is only a hint away, where the dynamic section would move else.

    DT_RELACOUNT lets the loader relocate a little faster (ld -z nocombreloc
    leaves it out). A moved dynamic section would lose RELRO, which is worth more.
    """
    if len(goal.dynamic) < obj.dynamic_slots or not tables.counted_relatives_are_plain(obj):
        return
    kept = [pair for pair in goal.dynamic if pair[0] not in _HINTS]
    if len(kept) < obj.dynamic_slots:
        goal.dropped = tuple(tag for tag, _ in goal.dynamic if tag in _HINTS)
        goal.dynamic = kept


def _refuse_relative_entries(obj: Object, goal: Goal) -> None:
    at = [i for i, (tag, _) in enumerate(obj.dynamic) if tag == _DT_MIPS_RLD_MAP_REL]
    if at and [i for i, (tag, _) in enumerate(goal.dynamic) if tag == _DT_MIPS_RLD_MAP_REL] != at:
        raise EditFailed("its dynamic entries can't change places (DT_MIPS_RLD_MAP_REL)")


def _set_search_path(entries: list[_Entry], released: list[int], old: bytes, edit: ElfEdit) -> None:
    path = _raw("a search path", ":".join(edit.search_path or ()))
    tag = elf.DT_RPATH if edit.inherited else elf.DT_RUNPATH
    present = [entry for entry in entries if entry.tag in PATH_TAGS]
    if path and present:
        # The entry that counts is kept, DT_RUNPATH where both are there.
        kept = max(present, key=lambda entry: entry.tag)
        present.remove(kept)
        kept.tag = tag
        if name_at(old, kept.value) != path:
            released.append(kept.value)
            kept.string = path
    elif path:
        entries.append(_Entry(tag, string=path))
    for entry in present:
        entries.remove(entry)
        released.append(entry.value)


def _add_needed(entries: list[_Entry], old: bytes, edit: ElfEdit) -> None:
    """Add behind the last DT_NEEDED: no symbol that is found today is then found elsewhere."""
    needed = [entry for entry in entries if entry.tag == elf.DT_NEEDED]
    names = {name_at(old, e.value) if e.string is None else e.string for e in needed}
    position = entries.index(needed[-1]) + 1 if needed else 0
    for text in edit.add_needed:
        name = _raw("a needed name", text)
        if not name:
            raise EditFailed("a needed name that is empty")
        if name not in names:
            names.add(name)
            entries.insert(position, _Entry(elf.DT_NEEDED, string=name))
            position += 1


def _remove_needed(obj: Object, entries: list[_Entry], released: list[int], edit: ElfEdit) -> None:
    """Take needed names away, but for those that a symbol version is wanted from.

    glibc looks each vn_file up among what is loaded, and aborts where it isn't.
    """
    going = {_raw("a needed name", name) for name in edit.remove_needed}
    if not going:
        return
    old = obj.strings
    for _, value in tables.vn_files(obj):
        if name_at(old, value) in going:
            name = name_at(old, value).decode("utf-8", "surrogateescape")
            raise EditFailed(f"symbol versions of {name} are wanted: it can't be left out")
    for entry in [e for e in entries if e.tag == elf.DT_NEEDED and name_at(old, e.value) in going]:
        entries.remove(entry)
        released.append(entry.value)


def _set_soname(entries: list[_Entry], released: list[int], old: bytes, edit: ElfEdit) -> None:
    if edit.soname is None:
        return
    name = _raw("a soname", edit.soname)
    if not name:
        raise EditFailed("a soname that is empty")
    present = [entry for entry in entries if entry.tag == elf.DT_SONAME]
    if not present:
        needed = [index for index, entry in enumerate(entries) if entry.tag == elf.DT_NEEDED]
        entries.insert(needed[-1] + 1 if needed else 0, _Entry(elf.DT_SONAME, string=name))
    for entry in present:
        if name_at(old, entry.value) != name:
            released.append(entry.value)
            entry.string = name


def _interpreter(obj: Object, edit: ElfEdit) -> bytes | None:
    if edit.interpreter is None:
        return None
    if obj.interp is None:
        raise EditFailed("no PT_INTERP: it has no interpreter that could be set")
    new = _raw("an interpreter", edit.interpreter) + b"\0"
    old = obj.draft.read(obj.interp.offset, min(obj.interp.filesz, 1 << 16))
    return None if old.partition(b"\0")[0] + b"\0" == new else new


def _stack(obj: Object) -> str:
    stack = obj.one(elf.PT_GNU_STACK)
    if stack is None:
        return "add" if obj.header.machine in elf.EXECUTABLE_STACK_MACHINES else ""
    return "clear" if stack.flags & elf.PF_X else ""

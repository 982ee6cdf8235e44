"""What an edit means for one file: new dynamic entries, a new string table.

Nothing is placed here. A string goes where an unused run of zero bytes in the
string table holds it, else behind the table's last string; a string that
nothing uses any longer is overwritten with zero bytes, so that no path of an
earlier edit stays in the file (Nix would take it for a reference). Who uses a
string is asked of every dynamic entry, symbol and version; where the answer
can't be had, strings are only ever added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nix_manylinux.elf import format as elf
from nix_manylinux.elf import tables
from nix_manylinux.errors import BadElf, EditFailed

if TYPE_CHECKING:
    from array import array

    from nix_manylinux.elf.object import Object
    from nix_manylinux.model import ElfEdit

#: Dynamic entries whose value is an offset into the string table.
STRING_TAGS = frozenset(
    {
        elf.DT_NEEDED,
        elf.DT_SONAME,
        elf.DT_RPATH,
        elf.DT_RUNPATH,
        elf.DT_CONFIG,
        elf.DT_DEPAUDIT,
        elf.DT_AUDIT,
        elf.DT_AUXILIARY,
        elf.DT_FILTER,
    }
)
_PATHS = frozenset({elf.DT_RPATH, elf.DT_RUNPATH})
_HINTS = frozenset({elf.DT_RELACOUNT, elf.DT_RELCOUNT})
#: Section types that we know to use .dynstr, and how.
_KNOWN_USERS = frozenset({elf.SHT_DYNSYM, elf.SHT_DYNAMIC, elf.SHT_GNU_VERDEF, elf.SHT_GNU_VERNEED})
#: Values of entries count from their own address, so that no entry may change its place.
_DT_MIPS_RLD_MAP_REL = 0x70000035


@dataclass(slots=True)
class Goal:
    """What a file shall hold after the edit, before anything has a place.

    ``dynamic`` are the (d_tag, value) pairs, addresses still the old ones;
    ``strings`` the string table, never shorter than it was: zero in the
    ``released`` ranges of it, new in the ``placed`` ones; ``vn_files`` the
    file offsets of vn_file words with their new values; ``interpreter`` is
    None where it stays. ``stack`` is "", "clear" or "add" for PT_GNU_STACK.
    ``dropped`` are tags that had to make room for others.
    """

    dynamic: list[tuple[int, int]]
    strings: bytes
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


def name_at(strings: bytes | bytearray, offset: int) -> bytes:
    """Return the NUL-terminated name at an offset of a string table."""
    end = strings.find(b"\0", offset)
    if not 0 <= offset < len(strings) or end < 0:
        raise BadElf(f"a name at {offset:#x}, and the string table has {len(strings)} bytes")
    return bytes(strings[offset:end])


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
    if obj.dt(elf.DT_GNU_PRELINKED) is not None:
        raise EditFailed(
            "the file is prelinked (DT_GNU_PRELINKED): its addresses are promised to others",
            hint="undo that first: prelink --undo FILE",
        )
    old = obj.strings
    entries = [_Entry(tag, value) for tag, value in obj.dynamic]
    released: list[int] = []
    if edit.search_path is not None:
        _set_search_path(entries, released, old, edit)
    renamed = {_raw("a needed name", a): _raw("a needed name", b) for a, b in edit.replace_needed}
    renamed = {a: b for a, b in renamed.items() if a != b}
    for entry in entries:
        if entry.tag == elf.DT_NEEDED and (new := renamed.get(name_at(old, entry.value))):
            released.append(entry.value)
            entry.string = new
    _add_needed(entries, old, edit)
    vn_files = [
        (offset, value, new)
        for offset, value in (tables.verneed_files(obj) if renamed else ())
        if (new := renamed.get(name_at(old, value)))
    ]
    released.extend(value for _, value, _ in vn_files)

    strings = _Strings(obj, old)
    if released:
        kept = [e.value for e in entries if e.tag in STRING_TAGS and e.string is None]
        changed = {offset for offset, _, _ in vn_files}
        kept += [value for offset, value in tables.verneed_files(obj) if offset not in changed]
        strings.release(released, kept)
    # Search paths first: no needed name may share their bytes.
    for entry in sorted(entries, key=lambda entry: entry.tag not in _PATHS):
        if entry.string is not None:
            entry.value = strings.place(entry.string, share=entry.tag not in _PATHS)
    goal = Goal(
        dynamic=[(entry.tag, entry.value) for entry in entries],
        vn_files=[(at, strings.place(new, share=True)) for at, _, new in vn_files],
        strings=bytes(strings.data),
        old_strings=old,
        released=strings.released,
        placed=strings.placed,
        interpreter=_interpreter(obj, edit),
        stack=_stack(obj) if edit.clear_executable_stack else "",
    )
    goal.changed = bool(
        goal.dynamic != [(tag, value) for tag, value in obj.dynamic]
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
    if len(goal.dynamic) < obj.dynamic_slots:
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
    present = [entry for entry in entries if entry.tag in _PATHS]
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


class _Strings:
    """A string table under change. It never becomes shorter."""

    def __init__(self, obj: Object, old: bytes) -> None:
        self._obj = obj
        self._used: frozenset[int] | None = None
        self._paths = [
            (value, value + len(name_at(old, value))) for tag, value in obj.dynamic if tag in _PATHS
        ]
        self.data = bytearray(old)
        self.released: list[tuple[int, int]] = []
        self.placed: list[tuple[int, int]] = []
        #: Ranges that a released name left, and that nothing has filled since.
        self._free: list[tuple[int, int]] = []
        self._names: list[array[int]] | None = None

    def _is_free(self, start: int, end: int) -> bool:
        """Whether no symbol, version or dynamic entry uses a name that starts in a range."""
        if self._used is None:
            kept = {value for tag, value in self._obj.dynamic if tag in STRING_TAGS}
            kept |= {value for _, value in tables.verneed_files(self._obj)}
            self._used = frozenset(kept.union(tables.version_names(self._obj)))
        return self._unused(start, end, self._used)

    def _unused(self, start: int, end: int, names: frozenset[int]) -> bool:
        if any(low <= start and end <= high + 1 for low, high in self._free):
            return True
        if self._has_strangers():
            return False
        wanted = frozenset(range(start, end))
        if self._names is None:
            self._names = list(tables.symbol_names(self._obj))
        return wanted.isdisjoint(names) and all(map(wanted.isdisjoint, self._names))

    def _has_strangers(self) -> bool:
        """Whether something that we don't read may use the table too."""
        obj = self._obj
        if not obj.shdrs:
            return tables.symbol_count(obj) is None
        index = obj.shdrs.index(obj.strtab)
        return (
            obj.header.shstrndx == index
            or (tables.dynsym(obj) is None and obj.dt(elf.DT_SYMTAB) is not None)
            or any(
                section.link == index and section.type not in _KNOWN_USERS
                for section in obj.shdrs
                if section.type not in {elf.SHT_NULL, elf.SHT_NOBITS}
            )
        )

    def release(self, starts: list[int], kept: list[int]) -> None:
        """Zero the names at ``starts``, unless something uses them or a part of them."""
        used = frozenset(kept).union(tables.version_names(self._obj))
        for start in set(starts):
            name = name_at(self.data, start)
            end = start + len(name)
            # A name that has no NUL before it is the end of a longer one.
            if start and name and not self.data[start - 1] and self._unused(start, end + 1, used):
                self.data[start:end] = bytes(len(name))
                self.released.append((start, end))
                self._free.append((start, end))
        self._used = used

    def place(self, name: bytes, *, share: bool) -> int:
        """Return an offset of ``name``, put where there is room or, with ``share``, found.

        A search path is never shared: other tools overwrite the old one.
        """
        wanted = name + b"\0"
        if share:
            found = self.data.find(wanted)
            while found >= 0:
                if not any(start <= found <= end for start, end in self._paths):
                    return found
                found = self.data.find(wanted, found + 1)
        start = self._hole(wanted) or self._end()
        self.data[start : start + len(wanted)] = wanted
        self.placed.append((start, start + len(wanted)))
        self._free = [
            (low, high) for low, high in self._free if high < start or low >= start + len(wanted)
        ]
        self._used = (self._used or frozenset()) | {start}
        if not share:
            self._paths.append((start, start + len(name)))
        return start

    def _hole(self, wanted: bytes) -> int | None:
        hole = self.data.find(bytes(len(wanted) + 1))
        for _ in range(16):
            if hole < 0:
                return None
            start = hole + 1
            if self._is_free(start, start + len(wanted)):
                return start
            hole = self.data.find(bytes(len(wanted) + 1), start)
        return None

    def _end(self) -> int:
        start = len(self.data)
        while start and not self.data[start - 1]:
            start -= 1
        start += 1
        if start >= len(self.data) or not self._is_free(start, len(self.data)):
            start = len(self.data)
        return start

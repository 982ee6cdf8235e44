"""A dynamic string table under change: who uses which name, and where a new one may go."""

from __future__ import annotations

from functools import cached_property

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.draft import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.elf.draft.headers import Object

#: Dynamic entries whose value is an offset into the string table.
STRING_TAGS = frozenset({
    elf.DT_NEEDED, elf.DT_SONAME, elf.DT_RPATH, elf.DT_RUNPATH, elf.DT_CONFIG,
    elf.DT_DEPAUDIT, elf.DT_AUDIT, elf.DT_AUXILIARY, elf.DT_FILTER,
})  # fmt: skip
#: The entries that hold a search path.
PATH_TAGS = frozenset({elf.DT_RPATH, elf.DT_RUNPATH})
#: The entries that name other libraries, which a loader looks for.
RENAMED_TAGS = frozenset({elf.DT_NEEDED, elf.DT_FILTER, elf.DT_AUXILIARY})
#: Section types that we know to use .dynstr, and how.
_KNOWN_USERS = frozenset({elf.SHT_DYNSYM, elf.SHT_DYNAMIC, elf.SHT_GNU_VERDEF, elf.SHT_GNU_VERNEED})


def name_at(strings: bytes | bytearray, offset: int) -> bytes:
    """Return the NUL-terminated name at an offset of a string table."""
    if 0 <= offset < len(strings):
        end = strings.find(b"\0", offset)
        if end >= 0:
            return bytes(strings[offset:end])
    raise BadElf(f"a name at {offset:#x}, and the string table has {len(strings)} bytes")


class StringTable:
    """A string table under change. It never becomes shorter."""

    def __init__(self, obj: Object, old: bytes) -> None:
        self._obj = obj
        self._used: frozenset[int] | None = None
        self._paths = [
            (value, value + len(name_at(old, value)))
            for tag, value in obj.dynamic
            if tag in PATH_TAGS
        ]
        self.data = bytearray(old)
        self.released: list[tuple[int, int]] = []
        self.placed: list[tuple[int, int]] = []
        #: Ranges that a released name left, and that nothing has filled since.
        self._free: list[tuple[int, int]] = []
        self._names: list[tables.NameOffsets] | None = None

    def _is_free(self, start: int, end: int) -> bool:
        """Whether no symbol, version or dynamic entry uses a name that starts in a range."""
        if self._used is None:
            kept = {value for tag, value in self._obj.dynamic if tag in STRING_TAGS}
            kept |= {value for _, value in tables.vn_files(self._obj)}
            self._used = frozenset(kept.union(tables.version_names(self._obj)))
        return self._unused(start, end, self._used)

    def _unused(self, start: int, end: int, names: frozenset[int]) -> bool:
        if any(low <= start and end <= high + 1 for low, high in self._free):
            return True
        if self._has_strangers:
            return False
        if self._names is None:
            self._names = list(tables.symbol_names(self._obj))
        return names.isdisjoint(range(start, end)) and not any(
            some.any_between(start, end) for some in self._names
        )

    @cached_property
    def _has_strangers(self) -> bool:
        """Whether something that we don't read may use the table too."""
        obj = self._obj
        if not obj.shdrs:
            return tables.symbol_count(obj) is None
        index = next(i for i, section in enumerate(obj.shdrs) if section is obj.strtab)
        return (
            obj.header.shstrndx == index
            or (tables.dynsym(obj) is None and obj.tags.get(elf.DT_SYMTAB) is not None)
            or any(
                section.link == index
                and section.type not in _KNOWN_USERS
                and section.type not in {elf.SHT_NULL, elf.SHT_NOBITS}
                for section in obj.shdrs
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

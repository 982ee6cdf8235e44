"""Dynamic tables as the writer needs them: their sizes, and the names that they use.

Every walk is bounded by the file and by `MAX_VERSIONS`; tables of a million
symbols are read in pieces and searched by the array, never symbol by symbol.
"""

from __future__ import annotations

from itertools import islice

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.tables import MAX_SYMBOLS, gnu_hash, sysv_hash, words
from nix_manylinux.elf.versions import verdef, verneed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator

    from nix_manylinux.elf.draft.headers import Object
    from nix_manylinux.elf.format import Section

#: Read this much of a symbol table at once; a multiple of both symbol sizes.
_CHUNK = 48 << 14


def dynsym(obj: Object) -> Section | None:
    """Find the section header of the dynamic symbol table."""
    address = obj.tags.get(elf.DT_SYMTAB)
    for section in obj.shdrs:
        if section.type == elf.SHT_DYNSYM and section.addr == address:
            return section
    return None


def symbol_count(obj: Object) -> int | None:
    """How many dynamic symbols there are, from section or hash table; None if nothing tells."""
    section = dynsym(obj)
    return _loaded_symbols(obj) if section is None else section.size // obj.symbol_size


def _loaded_symbols(obj: Object) -> int | None:
    """How many dynamic symbols a loader may come to read; None where there is no hash table.

    One that finds no symbol counts none: then it is those that relocations name.
    """
    found = [table for table in (sysv_hash(obj), gnu_hash(obj)) if table is not None]
    if not found:
        return None
    count = max(table.symbols for table in found)
    return count if any(table.in_use for table in found) else max(count, _relocated(obj))


def _relocated(obj: Object) -> int:
    """Count the symbols up to the last one that a relocation names in the upper bits of r_info."""
    wide, last = obj.layout.bits == 64, 0
    for tag, address, size in relocations(obj):
        if tag != elf.DT_RELR and size:
            plain = elf.DT_REL in {tag, obj.tags.get(elf.DT_PLTREL) if tag == elf.DT_JMPREL else 0}
            data = obj.draft.read(obj.offset_of(address, size), size // 4 * 4)
            numbers = words(data, obj.layout.endian)
            place = 2 + (obj.layout.endian == "little") if wide else 1
            step = (2 if plain else 3) * obj.word_size // 4
            last = max(last, max(numbers[place::step], default=0) >> (0 if wide else 8))
    return last + 1


def counted_relatives_are_plain(obj: Object) -> bool:
    """Whether the loader would relocate alike without DT_RELACOUNT or DT_RELCOUNT.

    It looks at no symbol of the relocations that are counted there.
    """
    word = obj.word_size
    for tag, table, size in (
        (elf.DT_RELACOUNT, elf.DT_RELA, 3 * word),
        (elf.DT_RELCOUNT, elf.DT_REL, 2 * word),
    ):
        count, address = obj.tags.get(tag), obj.tags.get(table)
        if count and address is not None:
            data = obj.draft.read(obj.offset_of(address, count * size), count * size)
            first = data[word : 2 * word]
            if any(data[word + i :: size].count(first[i : i + 1]) != count for i in range(word)):
                return False
    return True


def relocations(obj: Object) -> list[tuple[int, int, int]]:
    """List tag, address and size of each table of relocations."""
    lengths = {
        elf.DT_RELA: elf.DT_RELASZ,
        elf.DT_REL: elf.DT_RELSZ,
        elf.DT_RELR: elf.DT_RELRSZ,
        elf.DT_JMPREL: elf.DT_PLTRELSZ,
    }
    tags = obj.tags
    return [(t, tags[t], tags.get(length, 0)) for t, length in lengths.items() if t in tags]


def extents(obj: Object) -> list[tuple[int, int, int]]:
    """List tag, address and size of each table as a loader reads it, whatever sections say.

    `BadElf` where a table is not what it should be.
    """
    hashes = {elf.DT_GNU_HASH: gnu_hash(obj), elf.DT_HASH: sysv_hash(obj)}
    count = _loaded_symbols(obj) or 0
    sizes = {tag: table.size for tag, table in hashes.items() if table}
    sizes[elf.DT_SYMTAB], sizes[elf.DT_VERSYM] = count * obj.symbol_size, 2 * count
    sizes[elf.DT_VERNEED], sizes[elf.DT_VERDEF] = obj.once(_needs)[2], obj.once(_definitions)[1]
    others = [(tag, obj.tags[tag], size) for tag, size in sizes.items() if tag in obj.tags]
    return relocations(obj) + others


class NameOffsets:
    """st_name of many symbols, in a form that is searched for a range by the table.

    Each of the four bytes of the words is kept apart, in a string of its own.
    """

    __slots__ = ("_bytes",)

    def __init__(self, symbols: bytes, size: int, *, little: bool) -> None:
        """Take them from whole symbols of ``size`` bytes, which begin with st_name."""
        order = range(4) if little else range(3, -1, -1)
        self._bytes = [symbols[place::size] for place in order]

    def any_between(self, start: int, end: int) -> bool:
        """Whether any of them is ``start`` or more, and less than ``end``."""
        lowest, *upper = self._bytes
        for page in range(start >> 8, (end + 0xFF) >> 8):
            digits = page.to_bytes(3, "little")
            if upper[0].count(digits[0]) > len(lowest) // 8:  # not worth it, as in a small table
                return not frozenset(range(start, end)).isdisjoint(self._words())
            number = upper[0].find(digits[0])
            while number >= 0:
                if (
                    upper[1][number] == digits[1]
                    and upper[2][number] == digits[2]
                    and start <= (page << 8) + lowest[number] < end
                ):
                    return True
                number = upper[0].find(digits[0], number + 1)
        return False

    def _words(self) -> array[int]:
        joined = bytearray(4 * len(self._bytes[0]))
        for place, digits in enumerate(self._bytes):
            joined[place::4] = digits
        return words(joined, "little")


def symbol_names(obj: Object) -> Iterator[NameOffsets]:
    """st_name of every dynamic symbol, in pieces; `BadElf` where their number is unknown."""
    address, count = obj.tags.get(elf.DT_SYMTAB), symbol_count(obj)
    if count is None or count > MAX_SYMBOLS:
        raise BadElf(f"{count or 'nobody knows how many'} dynamic symbols")
    if address is None or not count:
        return
    offset = obj.offset_of(address, count * obj.symbol_size)
    end = offset + count * obj.symbol_size
    for start in range(offset, end, _CHUNK):
        data = obj.draft.read(start, min(_CHUNK, end - start))
        yield NameOffsets(data, obj.symbol_size, little=obj.layout.endian == "little")


def symbols_in(obj: Object, table: Section, sections: frozenset[int]) -> Iterator[int]:
    """File offsets of the symbols that a table defines in one of ``sections``."""
    size = obj.symbol_size
    end = table.offset + table.size // size * size
    low = obj.st_shndx + (0 if obj.layout.endian == "little" else 1)
    high = obj.st_shndx + (1 if obj.layout.endian == "little" else 0)
    for start in range(table.offset, end, _CHUNK):
        data = obj.draft.read(start, min(_CHUNK, end - start))
        lows, highs = data[low::size], data[high::size]
        for index in sections:
            number = lows.find(index & 0xFF)
            while number >= 0:
                if highs[number] == index >> 8:
                    yield start + number * size
                number = lows.find(index & 0xFF, number + 1)


def vn_files(obj: Object) -> list[tuple[int, int]]:
    """File offset and value of each vn_file word."""
    return obj.once(_needs)[0]


def version_names(obj: Object) -> list[int]:
    """List the string offsets that DT_VERNEED and DT_VERDEF use, vn_file left out."""
    return [*obj.once(_needs)[1], *obj.once(_definitions)[0]]


def _needs(obj: Object) -> tuple[list[tuple[int, int]], list[int], int]:
    """Give the words of `vn_files`, the offsets of other names, and the table's size."""
    files: list[tuple[int, int]] = []
    names: list[int] = []
    end = start = obj.offset_of(obj.tags[elf.DT_VERNEED]) if elf.DT_VERNEED in obj.tags else 0
    for (at, (_, _, file, *_)), versions in verneed(obj):
        files.append((at + 4, file))
        end = max(end, at + obj.layout.verneed.size)
        for place, (_, _, _, name, _) in versions:
            names.append(name)
            end = max(end, place + obj.layout.vernaux.size)
    return files, names, end - start


def _definitions(obj: Object) -> tuple[list[int], int]:
    """Give the offsets of all names of DT_VERDEF, and the table's size."""
    names: list[int] = []
    end = start = obj.offset_of(obj.tags[elf.DT_VERDEF]) if elf.DT_VERDEF in obj.tags else 0
    for (at, (_, _, _, count, *_)), versions in verdef(obj):
        end = max(end, at + obj.layout.verdef.size)
        # Loaders read the first name alone, tools as many as vd_cnt says.
        for place, (name, _) in islice(versions, max(1, count)):
            names.append(name)
            end = max(end, place + obj.layout.verdaux.size)
    return names, end - start

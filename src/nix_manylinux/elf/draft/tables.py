"""Dynamic tables as the writer needs them: their sizes, and the names that they use.

Every walk is bounded by the file and by `MAX_VERSIONS`; tables of a million
symbols are read in pieces and searched by the array, never symbol by symbol.
"""

from __future__ import annotations

import sys
from array import array

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf import format as elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from struct import Struct

    from nix_manylinux.elf.draft.bytes import Draft
    from nix_manylinux.elf.draft.headers import Object
    from nix_manylinux.elf.format import Section

#: Read this much of a symbol table at once; a multiple of both symbol sizes.
_CHUNK = 48 << 14
#: Bounds that no linked file comes near (torch has 200,000 symbols); a hostile
#: one may claim billions in a sparse file.
_MAX_SYMBOLS = 1 << 23
_MAX_CHAIN = 1 << 16
#: Version records are read by so many bytes: linkers write them one behind the other.
_RECORDS = 2048


def dynsym(obj: Object) -> Section | None:
    """Find the section header of the dynamic symbol table."""
    address = obj.dt(elf.DT_SYMTAB)
    for section in obj.shdrs:
        if section.type == elf.SHT_DYNSYM and section.addr == address:
            return section
    return None


def symbol_count(obj: Object) -> int | None:
    """How many dynamic symbols there are, from section or hash table; None if nothing tells."""
    section = dynsym(obj)
    if section is not None:
        return section.size // obj.symbol_size
    address = obj.dt(elf.DT_HASH)
    if address is not None:
        return _sysv_counts(obj, address)[1]
    address = obj.dt(elf.DT_GNU_HASH)
    if address is not None:
        return _gnu_hash(obj, address)[1]
    return None


def _sysv_counts(obj: Object, address: int) -> tuple[int, int, int]:
    """nbucket, nchain and the size of a word: 8 bytes on 64-bit s390 and Alpha."""
    wide = obj.layout.bits == 64 and obj.header.machine in {elf.EM_S390, elf.EM_ALPHA}
    size = 8 if wide else 4
    offset = obj.offset_of(address, 2 * size)
    return obj.get(offset, size), obj.get(offset + size, size), size


def sysv_hash_size(obj: Object) -> int:
    """Return the size of the DT_HASH table in bytes, 0 without one."""
    address = obj.dt(elf.DT_HASH)
    if address is None:
        return 0
    buckets, chains, size = _sysv_counts(obj, address)
    return (2 + buckets + chains) * size


def gnu_hash_size(obj: Object) -> int:
    """Return the size of the DT_GNU_HASH table in bytes, 0 without one."""
    address = obj.dt(elf.DT_GNU_HASH)
    return 0 if address is None else _gnu_hash(obj, address)[0]


def _gnu_hash(obj: Object, address: int) -> tuple[int, int]:
    """Size of the table, and the number of symbols: the end of the last bucket's chain."""
    head = obj.draft.read(obj.offset_of(address, 16), 16)
    buckets, first, bloom, _ = (obj.layout.word.unpack_from(head, i)[0] for i in (0, 4, 8, 12))
    chains = 16 + bloom * obj.word_size + buckets * 4
    if chains > min(obj.draft.size, 16 * _MAX_SYMBOLS):
        raise BadElf("DT_GNU_HASH is longer than the file, or than any that is real")
    offset = obj.offset_of(address, chains)
    start = chains - buckets * 4
    heads = _words(obj, obj.draft.read(offset + start, buckets * 4))
    last = max(heads, default=0)
    if last < first:
        return chains, first
    position = offset + chains + (last - first) * 4
    limit = position + 4 * _MAX_CHAIN
    while not obj.get(position, 4) & 1:
        position += 4
        if position > limit:
            raise BadElf("a chain of DT_GNU_HASH has no end")
    size = position + 4 - offset
    obj.offset_of(address, size)
    return size, first + (size - chains) // 4


def counted_relatives_are_plain(obj: Object) -> bool:
    """Whether the loader would relocate alike without DT_RELACOUNT or DT_RELCOUNT.

    It looks at no symbol of the relocations that are counted there.
    """
    word = obj.word_size
    for tag, table, size in (
        (elf.DT_RELACOUNT, elf.DT_RELA, 3 * word),
        (elf.DT_RELCOUNT, elf.DT_REL, 2 * word),
    ):
        count, address = obj.dt(tag), obj.dt(table)
        if count and address is not None:
            data = obj.draft.read(obj.offset_of(address, count * size), count * size)
            first = data[word : 2 * word]
            if any(data[word + i :: size].count(first[i : i + 1]) != count for i in range(word)):
                return False
    return True


def relocations(obj: Object) -> Iterator[tuple[int, int]]:
    """Yield address and size of each table of relocations."""
    for start, length in (
        (elf.DT_RELA, elf.DT_RELASZ),
        (elf.DT_REL, elf.DT_RELSZ),
        (elf.DT_RELR, elf.DT_RELRSZ),
        (elf.DT_JMPREL, elf.DT_PLTRELSZ),
    ):
        address = obj.dt(start)
        if address is not None:
            yield address, obj.dt(length) or 0


def extents(obj: Object) -> Iterator[tuple[int, int]]:
    """Yield address and size of each table as a loader reads it, whatever sections say.

    `BadElf` where a table is not what it should be.
    """
    yield from relocations(obj)
    count = 0
    for tag, read in ((elf.DT_GNU_HASH, _gnu_hash), (elf.DT_HASH, _sysv_hash)):
        address = obj.dt(tag)
        if address is not None:
            size, symbols = read(obj, address)
            count = max(count, symbols)
            yield address, size
    for tag, size in (
        (elf.DT_SYMTAB, count * obj.symbol_size),
        (elf.DT_VERSYM, 2 * count),
        (elf.DT_VERNEED, verneed_size(obj)),
        (elf.DT_VERDEF, verdef_size(obj)),
    ):
        address = obj.dt(tag)
        if address is not None:
            yield address, size


def _sysv_hash(obj: Object, address: int) -> tuple[int, int]:
    """Size of the table, and the number of symbols."""
    buckets, chains, size = _sysv_counts(obj, address)
    return (2 + buckets + chains) * size, chains


def _words(obj: Object, data: bytes, code: str = "I") -> array[int]:
    words = array(code, data)
    if obj.layout.endian != sys.byteorder:
        words.byteswap()
    return words


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
        words = array("I", bytes(joined))
        if sys.byteorder != "little":
            words.byteswap()
        return words


def symbol_names(obj: Object) -> Iterator[NameOffsets]:
    """st_name of every dynamic symbol, in pieces; `BadElf` where their number is unknown."""
    address, count = obj.dt(elf.DT_SYMTAB), symbol_count(obj)
    if count is None or count > _MAX_SYMBOLS:
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


class _Records:
    """Records at any offsets of a draft, most of them close together."""

    __slots__ = ("_data", "_draft", "_start")

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._start = 0
        self._data = b""

    def unpack(self, record: Struct, offset: int) -> tuple[int, ...]:
        """Unpack the record at an offset; `BadElf` where the file ends before its end."""
        at = offset - self._start
        if not 0 <= at <= len(self._data) - record.size:
            size = max(record.size, min(_RECORDS, self._draft.size - offset))
            self._data = self._draft.read(offset, size)
            self._start = offset
            at = 0
        return record.unpack_from(self._data, at)


def verneed(obj: Object) -> list[tuple[int, tuple[int, ...]]]:
    """File offset and fields of each record of DT_VERNEED, read once."""
    return obj.once(_verneed)


def vn_files(obj: Object) -> list[tuple[int, int]]:
    """File offset and value of each vn_file word."""
    return [(offset + 4, fields[2]) for offset, fields in verneed(obj)]


def version_names(obj: Object) -> list[int]:
    """List the string offsets that DT_VERNEED and DT_VERDEF use, vn_file left out; read once."""
    return obj.once(_version_names)


def _verneed(obj: Object) -> list[tuple[int, tuple[int, ...]]]:
    found: list[tuple[int, tuple[int, ...]]] = []
    address = obj.dt(elf.DT_VERNEED)
    if address is None:
        return found
    records, record = _Records(obj.draft), obj.layout.verneed
    for _ in range(elf.MAX_VERSIONS):
        offset = obj.offset_of(address, record.size)
        fields = records.unpack(record, offset)
        found.append((offset, fields))
        if not fields[4]:
            return found
        address += fields[4]
    raise BadElf("DT_VERNEED has no end")


def _version_names(obj: Object) -> list[int]:
    used = [name for _, _, name in _vernaux(obj)]
    used.extend(name for _, _, name in _verdaux(obj))
    return used


def _vernaux(obj: Object) -> Iterator[tuple[int, int, int]]:
    left = elf.MAX_VERSIONS
    records, record = _Records(obj.draft), obj.layout.vernaux
    for offset, (_, count, _, aux, _) in verneed(obj):
        position = offset + aux
        for _ in range(count):
            _, _, _, name, step = records.unpack(record, position)
            yield position, record.size, name
            left -= 1
            if left < 0:
                raise BadElf("DT_VERNEED has no end")
            if not step:
                break
            position += step


def _verdaux(obj: Object) -> Iterator[tuple[int, int, int]]:
    address = obj.dt(elf.DT_VERDEF)
    left = elf.MAX_VERSIONS
    records = _Records(obj.draft)
    record, aux = obj.layout.verdef, obj.layout.verdaux
    while address is not None:
        offset = obj.offset_of(address, record.size)
        fields = records.unpack(record, offset)
        yield offset, record.size, 0
        position = offset + fields[5]
        for _ in range(fields[3]):
            name, step = records.unpack(aux, position)
            yield position, aux.size, name
            left -= 1
            if left < 0:
                raise BadElf("DT_VERDEF has no end")
            if not step:
                break
            position += step
        left -= 1
        if left < 0:
            raise BadElf("DT_VERDEF has no end")
        address = address + fields[6] if fields[6] else None


def verneed_size(obj: Object) -> int:
    """How far the records of DT_VERNEED reach, in bytes from its start."""
    ends = [offset + obj.layout.verneed.size for offset, _ in verneed(obj)]
    ends.extend(offset + size for offset, size, _ in _vernaux(obj))
    return _reach(obj, elf.DT_VERNEED, ends)


def verdef_size(obj: Object) -> int:
    """How far the records of DT_VERDEF reach, in bytes from its start."""
    return _reach(obj, elf.DT_VERDEF, [offset + size for offset, size, _ in _verdaux(obj)])


def _reach(obj: Object, tag: int, ends: list[int]) -> int:
    address = obj.dt(tag)
    return 0 if address is None else max(ends) - obj.offset_of(address)

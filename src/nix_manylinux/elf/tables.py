"""Dynamic symbols: the hash tables, which alone say how many there are, and lost names."""

from __future__ import annotations

import sys
from array import array

from nix_manylinux.base.errors import BadElf
from nix_manylinux.base.values import Value
from nix_manylinux.elf import format as elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.elf.image import Image

#: Bounds that no linked file comes near (torch has 200,000 symbols); a hostile
#: one may claim billions in a sparse file.
MAX_SYMBOLS = 1 << 23
_MAX_CHAIN = 1 << 16


class HashTable(Value):
    """``size`` in bytes, the number of ``symbols``, and whether any is found by it."""

    size: int
    symbols: int
    in_use: bool


def sysv_hash(image: Image) -> HashTable | None:
    """Read how large DT_HASH is (gABI, "Hash Table"); None without one."""
    address = image.tags.get(elf.DT_HASH)
    if address is None:
        return None
    offset, room = image.locate("DT_HASH", address)
    order = image.layout.endian
    words = image.source.read(offset, 8, "DT_HASH")
    size = 4
    wide = image.layout.bits == 64 and image.header.machine in {elf.EM_S390, elf.EM_ALPHA}
    if wide and int.from_bytes(words, order) <= room:
        # Words of 8 bytes by these ABIs, and so by GNU ld; lld writes 4.
        size, words = 8, image.source.read(offset, 16, "DT_HASH")
    buckets, chains = (int.from_bytes(words[i : i + size], order) for i in (0, size))
    table = HashTable(size=(2 + buckets + chains) * size, symbols=chains, in_use=chains > 1)
    if table.size > room:
        raise BadElf("DT_HASH is longer than what is mapped there (nbucket, nchain)")
    return table


def gnu_hash(image: Image) -> HashTable | None:
    """Read how large DT_GNU_HASH is: to the end of its last bucket's chain; None without one.

    A table in which no symbol is found doesn't tell how many there are.
    """
    address = image.tags.get(elf.DT_GNU_HASH)
    if address is None:
        return None
    offset, room = image.locate("DT_GNU_HASH", address)
    source, word = image.source, image.layout.word
    head = source.read(offset, 16, "DT_GNU_HASH")
    buckets, first, bloom, _ = (word.unpack_from(head, i)[0] for i in (0, 4, 8, 12))
    chains = 16 + bloom * (image.layout.bits // 8) + buckets * 4
    if chains > min(room, 16 * MAX_SYMBOLS):
        raise BadElf("DT_GNU_HASH is longer than what is mapped there, or than any that is real")
    heads = source.read(offset + chains - buckets * 4, buckets * 4, "DT_GNU_HASH")
    last = max(words(heads, image.layout.endian), default=0)
    if not last or last < first:
        return HashTable(size=chains, symbols=first, in_use=last > 0)
    place = chains + (last - first) * 4
    limit = min(room, place + 4 * _MAX_CHAIN)
    while True:
        if place + 4 > limit:
            raise BadElf("a chain of DT_GNU_HASH has no end")
        (value,) = word.unpack(source.read(offset + place, 4, "DT_GNU_HASH"))
        place += 4
        if value & 1:
            return HashTable(size=place, symbols=first + (place - chains) // 4, in_use=True)


def words(data: bytes | bytearray, endian: str) -> array[int]:
    """Give the 32-bit words of a table."""
    found = array("I", bytes(data))
    if endian != sys.byteorder:
        found.byteswap()
    return found


#: Of so many symbols, the first ones, the names are looked at.
_SOME_SYMBOLS = 64


def has_lost_names(image: Image) -> bool:
    """Whether symbols are wanted from others, and every one of them has the name "".

    So a file ends up whose string table was moved while DT_STRTAB stayed: GNU strip does
    that to what patchelf has edited. It is mapped, and finds no symbol.
    """
    address = image.tags.get(elf.DT_SYMTAB)
    if address is None:
        return False
    size, section = (24, 6) if image.layout.bits == 64 else (16, 14)
    order = image.layout.endian
    try:
        counted = sysv_hash(image) or gnu_hash(image)
        count = min(counted.symbols, _SOME_SYMBOLS) if counted else 0
        offset, room = image.locate("DT_SYMTAB", address)
        table = image.source.read(offset, min(room, count * size), "DT_SYMTAB")
        names = {
            image.names.get("st_name", start)
            for place in range(size, len(table) - size + 1, size)
            if (start := int.from_bytes(table[place : place + 4], order))
            and not any(table[place + section : place + section + 2])
        }
    except BadElf:
        return False
    return names == {""}

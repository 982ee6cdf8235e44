"""Damage: bytes in, other bytes out, the same for the same random numbers."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.elf import layout_of

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

#: Values that sizes, counts, offsets and flags are set to.
ODD = (
    0, 1, 2, 3, 4, 7, 8, 16, 0x3F, 0x40, 0x7F, 0x80, 0xFF, 0x100, 0xFFF, 0x1000, 0x7FFF, 0x8000,
    0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF, 2**32, 2**40,
    2**63 - 1, 2**63, 2**64 - 16, 2**64 - 1,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seed:
    """A right input. ``fields`` are offsets and sizes of what is worth changing.

    ``order`` is the byte order of numbers in it, as `struct` spells it.
    """

    data: bytes
    fields: tuple[tuple[int, int], ...] = ()
    order: str = "<"
    words: tuple[bytes, ...] = ()


def elf_seed(data: bytes) -> Seed:
    """Make a seed of an ELF file: every field of its headers and its dynamic section."""
    layout = layout_of(data)
    head = layout.header(data)
    word = layout.bits // 8
    fields = [(at, 1) for at in range(4, 8)] + [(16, 2), (18, 2), (20, 4)]
    fields += [(24 + word * i, word) for i in range(3)]
    fields += [(24 + 3 * word + 4 + 2 * i, 2) for i in range(6)]
    for start, count, size in (
        (head.phoff, head.phnum, head.phentsize),
        (head.shoff, head.shnum, head.shentsize),
    ):
        for index in range(count):
            fields += [(start + index * size + at, 4) for at in range(0, size - 3, 4)]
            fields += [(start + index * size + at, 8) for at in range(0, size - 7, 8)]
    for segment in layout.segments(data[head.phoff : head.phoff + head.phnum * head.phentsize]):
        if segment.type == 2:
            span = range(segment.offset, segment.offset + segment.filesz, word)
            fields += [(at, word) for at in span] * 3
        elif segment.type in {3, 4}:
            fields += [(at, 4) for at in range(segment.offset, segment.offset + 32, 4)]
    inside = tuple((at, size) for at, size in fields if at + size <= len(data))
    return Seed(data, inside, "<" if layout.endian == "little" else ">")


def zip_seed(data: bytes) -> Seed:
    """Make a seed of a zip: every field of its headers."""
    fields = []
    for mark, size in ((b"PK\1\2", 46), (b"PK\3\4", 30), (b"PK\5\6", 22), (b"PK\6\6", 56)):
        place = data.find(mark)
        while place >= 0:
            fields += [(place + at, 2) for at in range(4, size - 1, 2)]
            fields += [(place + at, 4) for at in range(4, size - 3, 2)]
            fields += [(place + size + at, 8) for at in range(0, 40, 4)]
            place = data.find(mark, place + 1)
    inside = tuple((at, size) for at, size in fields if at + size <= len(data))
    return Seed(data, inside)


def mutate(seed: Seed, chance: random.Random, others: Sequence[Seed] = ()) -> bytes:
    """Change a few fields or bytes; sometimes cut, grow, repeat, or join with another seed."""
    data = bytearray(seed.data)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 6))):
        _change(data, seed, chance)
    way = chance.random()
    if way < 0.05:
        del data[chance.randrange(len(data) + 1) :]
    elif way < 0.08:
        place = chance.randrange(len(data) + 1)
        data[place:place] = chance.randbytes(chance.randrange(1, 40))
    elif way < 0.11 and data:
        place = chance.randrange(len(data))
        del data[place : place + chance.randrange(1, 64)]
    elif way < 0.13 and others:
        other = chance.choice(others).data
        data[chance.randrange(len(data) + 1) :] = other[chance.randrange(len(other) + 1) :]
    return bytes(data)


def _change(data: bytearray, seed: Seed, chance: random.Random) -> None:
    if not data:
        data += chance.randbytes(8)
        return
    if seed.fields and chance.random() < 0.75:
        at, size = chance.choice(seed.fields)
        if at + size <= len(data):
            code = seed.order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
            (old,) = struct.unpack_from(code, data, at)
            new = chance.choice(
                (*ODD, old + 1, old - 1, old + 8, old * 2, old ^ 0x1000, len(data), len(data) - old)
            )
            struct.pack_into(code, data, at, new % (1 << 8 * size))
            return
    if seed.words and chance.random() < 0.5:
        place = chance.randrange(len(data) + 1)
        word = chance.choice(seed.words)
        data[place : place + chance.choice((0, len(word)))] = word
        return
    place = chance.randrange(len(data))
    data[place] = chance.choice((0, 0xFF, data[place] ^ (1 << chance.randrange(8)),
                                 chance.randrange(256)))  # fmt: skip

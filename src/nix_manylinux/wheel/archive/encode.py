"""Zip archives, laid out so that the same members give the same bytes everywhere.

Nothing depends on zlib, the locale, the umask or the clock: members are stored
or copied as they were packed, headers are made from the values alone, and
zip64 fields are there exactly where the old ones have no room. All places are
known before a byte is written: who writes the members may do so in any order.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Sequence

from nix_manylinux.base.values import replace
from nix_manylinux.wheel.archive.format import (
    CENTRAL,
    END,
    END64,
    LOCAL,
    LOCATOR64,
    UTF8_FLAG,
    Member,
)

_FULL16 = 0xFFFF
_FULL32 = 0xFFFFFFFF
#: From these on a value goes into a zip64 field, and all ones into the old one.
WIDE_COUNT = _FULL16
WIDE_VALUE = _FULL32
#: 1980-01-01 00:00:00 and 2107-12-31 23:59:58 UTC, in seconds since 1970.
_FIRST_MOMENT, _LAST_MOMENT = 315_532_800, 4_354_819_198


def dos_moment(epoch: int) -> int:
    """Turn seconds since 1970 into a member's time (UTC, even seconds, 1980 to 2107)."""
    moment = time.gmtime(min(max(epoch, _FIRST_MOMENT), _LAST_MOMENT))
    date = (moment.tm_year - 1980) << 9 | moment.tm_mon << 5 | moment.tm_mday
    return date << 16 | moment.tm_hour << 11 | moment.tm_min << 5 | moment.tm_sec // 2


def place_members(members: Iterable[Member]) -> list[Member]:
    """Place members one behind another: gives them with ``start`` and ``data``.

    Their sizes and names decide; CRCs need not be known yet.
    """
    placed = []
    position = 0
    for member in members:
        data = position + LOCAL.size + len(_encode_name(member)) + len(_local_extra(member))
        placed.append(replace(member, start=position, data=data))
        position = data + member.packed
    return placed


def local_header(member: Member) -> bytes:
    """Give what is between ``start`` and ``data``."""
    extra = _local_extra(member)
    name = _encode_name(member)
    date, time = divmod(member.moment, 1 << 16)
    sizes = (_FULL32, _FULL32) if extra else (member.packed, member.size)
    header = LOCAL.pack(
        b"PK\3\4", 45 if extra else 20, UTF8_FLAG if member.utf8 else 0, member.method,
        time, date, member.crc, *sizes, len(name), len(extra),
    )  # fmt: skip
    return header + name + extra


def directory(members: Sequence[Member]) -> bytes:
    """Give what is behind the last of the placed members, to the end of the archive."""
    start = members[-1].data + members[-1].packed if members else 0
    headers = b"".join([_central(member) for member in members])
    length = len(headers)
    count = len(members)
    wide = b""
    if count >= WIDE_COUNT or max(start, length) >= WIDE_VALUE:
        values = (0, 0, count, count, length, start)
        end64 = END64.pack(b"PK\6\6", END64.size - 12, 3 << 8 | 45, 45, *values)
        wide = end64 + LOCATOR64.pack(b"PK\6\7", 0, start + length, 1)
    shown = (_FULL16, _FULL16, _FULL32, _FULL32) if wide else (count, count, length, start)
    return headers + wide + END.pack(b"PK\5\6", 0, 0, *shown, 0)


def _encode_name(member: Member) -> bytes:
    name = member.name
    return name.encode("utf-8" if member.utf8 or name.isascii() else "cp437")


def _local_extra(member: Member) -> bytes:
    if max(member.size, member.packed) < WIDE_VALUE:
        return b""
    return struct.pack("<HHQQ", 1, 16, member.size, member.packed)


def _central(member: Member) -> bytes:
    values = [member.size, member.packed, member.start]
    wide = b"".join(struct.pack("<Q", value) for value in values if value >= WIDE_VALUE)
    extra = struct.pack("<HH", 1, len(wide)) + wide if wide else b""
    version = 45 if wide else 20
    name = _encode_name(member)
    size, packed, start = (_FULL32 if value >= WIDE_VALUE else value for value in values)
    date, time = divmod(member.moment, 1 << 16)
    header = CENTRAL.pack(
        b"PK\1\2", member.system << 8 | version, version, UTF8_FLAG if member.utf8 else 0,
        member.method, time, date, member.crc, packed, size,
        len(name), len(extra), 0, 0, 0, member.attributes, start,
    )  # fmt: skip
    return header + name + extra

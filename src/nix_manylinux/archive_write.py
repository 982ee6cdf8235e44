"""Zip archives, written so that the same members give the same bytes everywhere.

Nothing depends on zlib, the locale, the umask or the clock: members are stored
or copied as they were packed, headers are made from the values alone, and
zip64 fields are there exactly where the old ones have no room.
"""

from __future__ import annotations

import calendar
import struct
import time
import zlib

from nix_manylinux.archive_format import (
    CENTRAL,
    END,
    END64,
    LOCAL,
    LOCATOR64,
    STORED,
    UTF8_FLAG,
    bad,
)
from nix_manylinux.files import write_all
from nix_manylinux.record import new_hash
from nix_manylinux.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from nix_manylinux.archive_format import Member

_FULL16 = 0xFFFF
_FULL32 = 0xFFFFFFFF
#: From these on a value goes into a zip64 field, and all ones into the old one.
WIDE_COUNT = _FULL16
WIDE_VALUE = _FULL32
_FIRST_MOMENT = calendar.timegm((1980, 1, 1, 0, 0, 0))
_LAST_MOMENT = calendar.timegm((2107, 12, 31, 23, 59, 58))


def dos_moment(epoch: int) -> int:
    """Turn seconds since 1970 into a member's time (UTC, even seconds, 1980 to 2107)."""
    moment = time.gmtime(min(max(epoch, _FIRST_MOMENT), _LAST_MOMENT))
    date = (moment.tm_year - 1980) << 9 | moment.tm_mon << 5 | moment.tm_mday
    return date << 16 | moment.tm_hour << 11 | moment.tm_min << 5 | moment.tm_sec // 2


class ArchiveWriter:
    """Writes members one after another to an open, empty file, and then the directory."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0
        self._sha256 = new_hash("sha256")
        self._written: list[Member] = []

    def _write(self, data: bytes) -> None:
        write_all(self._descriptor, data)
        self._sha256.update(data)
        self._position += len(data)

    def add(self, member: Member, pieces: Iterable[bytes]) -> None:
        """Write one member whose packed bytes are ``pieces``; its sizes and CRC are believed."""
        member = replace(member, start=self._position)
        wide = max(member.size, member.packed) >= WIDE_VALUE
        extra = struct.pack("<HHQQ", 1, 16, member.size, member.packed) if wide else b""
        name = _encode_name(member)
        header = LOCAL.pack(
            b"PK\3\4",
            45 if wide else 20,
            UTF8_FLAG if member.utf8 else 0,
            member.method,
            member.moment & _FULL16,
            member.moment >> 16,
            member.crc,
            _FULL32 if wide else member.packed,
            _FULL32 if wide else member.size,
            len(name),
            len(extra),
        )
        self._write(header + name + extra)
        before = self._position
        for piece in pieces:
            self._write(piece)
        if self._position - before != member.packed:
            raise bad("changed while it was copied", member.name, "run again")
        self._written.append(member)

    def add_stored(self, member: Member, size: int, crc: int, pieces: Iterable[bytes]) -> None:
        """Write one member unpacked, with the name, time and mode of ``member``."""
        stored = replace(member, method=STORED, size=size, packed=size, crc=crc)
        self.add(stored, _checked(stored, pieces))

    def finish(self) -> str:
        """Write the directory; give the SHA-256 of all that was written, in hex."""
        start = self._position
        for member in self._written:
            self._write(_central(member))
        length = self._position - start
        count = len(self._written)
        wide = count >= WIDE_COUNT or max(start, length) >= WIDE_VALUE
        if wide:
            values = (0, 0, count, count, length, start)
            end64 = END64.pack(b"PK\6\6", END64.size - 12, 3 << 8 | 45, 45, *values)
            self._write(end64 + LOCATOR64.pack(b"PK\6\7", 0, start + length, 1))
        self._write(
            END.pack(
                b"PK\5\6",
                0,
                0,
                _FULL16 if wide else count,
                _FULL16 if wide else count,
                _FULL32 if wide else length,
                _FULL32 if wide else start,
                0,
            )
        )
        return self._sha256.digest().hex()


def _checked(member: Member, pieces: Iterable[bytes]) -> Iterable[bytes]:
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
        yield piece
    if crc != member.crc:
        raise bad("changed while it was copied", member.name, "run again")


def _encode_name(member: Member) -> bytes:
    return member.name.encode("utf-8" if member.utf8 else "cp437")


def _central(member: Member) -> bytes:
    values = [member.size, member.packed, member.start]
    wide = b"".join(struct.pack("<Q", value) for value in values if value >= WIDE_VALUE)
    extra = struct.pack("<HH", 1, len(wide)) + wide if wide else b""
    version = 45 if wide else 20
    name = _encode_name(member)
    size, packed, start = (_FULL32 if value >= WIDE_VALUE else value for value in values)
    header = CENTRAL.pack(
        b"PK\1\2",
        member.system << 8 | version,
        version,
        UTF8_FLAG if member.utf8 else 0,
        member.method,
        member.moment & _FULL16,
        member.moment >> 16,
        member.crc,
        packed,
        size,
        len(name),
        len(extra),
        0,
        0,
        0,
        member.attributes,
        start,
    )
    return header + name + extra

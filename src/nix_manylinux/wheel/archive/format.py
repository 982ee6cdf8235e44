"""The zip format's fixed parts (APPNOTE.TXT 6.3.10), a member, the error for one, and the end."""

from __future__ import annotations

import os
import struct

from nix_manylinux.base.errors import BadWheel
from nix_manylinux.base.values import Value

STORED = 0
DEFLATED = 8
UTF8_FLAG = 0x800
DESCRIPTOR_FLAG = 0x8

LOCAL = struct.Struct("<4sHHHHHLLLHH")
CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
END = struct.Struct("<4sHHHHLLH")
END64 = struct.Struct("<4sQHHLLQQQQ")
LOCATOR64 = struct.Struct("<4sLQL")

CORRUPT = "download or build the wheel again; this copy is damaged or was tampered with"
#: A few wheels were published so (decord 0.6.0), and pip, which compares nothing, takes them.
UNTRUE_RECORD = (
    "download or build the wheel again: this copy is damaged or was tampered with. One that was"
    " published so gets a true RECORD by unpacking it and `wheel pack`; an environment that pip"
    " or uv has installed it into is patched as it is"
)


def bad(what: str, member: str = "", hint: str = CORRUPT) -> BadWheel:
    """Make the error for one member, or for the archive as a whole."""
    return BadWheel(what, where=printable(member), hint=hint)


def printable(name: str) -> str:
    """Spell control characters out, so that a name can't draw on a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


class Member(Value):
    """One member, its two headers found to agree.

    ``name`` ends in a slash for a folder. ``moment`` is date and time in DOS
    form, the date in the upper 16 bits; ``attributes`` are the external ones
    of ``system`` (3 is Unix: st_mode in the upper 16 bits). ``start`` is where
    the local header is, ``data`` where the packed bytes are.
    """

    name: str
    method: int
    utf8: bool
    crc: int
    packed: int
    size: int
    moment: int
    system: int
    attributes: int
    start: int
    data: int = 0

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder's entry, without contents."""
        return self.name.endswith("/")


def read_piece(descriptor: int, count: int, offset: int, member: str = "") -> bytes:
    """Read up to ``count`` bytes at ``offset``, at least one, or raise BadWheel."""
    try:
        piece = os.pread(descriptor, count, offset)
    except OSError as cause:
        hint = "look at the disk that it is on, or get the wheel again"
        raise bad(f"can't be read: {cause.strerror}", member, hint) from cause
    if not piece:
        raise bad("is cut short", member)
    return piece


def read_exactly(descriptor: int, count: int, offset: int) -> bytes:
    """Read ``count`` bytes at ``offset``, or raise BadWheel: the file ends before."""
    pieces = []
    while count > 0:
        piece = read_piece(descriptor, count, offset)
        pieces.append(piece)
        count -= len(piece)
        offset += len(piece)
    return b"".join(pieces)


_MAX_DIRECTORY = 2**30


def find_directory(descriptor: int, size: int) -> tuple[int, int, int]:
    """Find the central directory: its number of entries, and its first and last byte."""
    count, start, length, position = _find_end(descriptor, size)
    if start + length != position:
        what = "is cut short" if start + length > position else "has data in front of it"
        raise bad(f"{what}: its directory is not where the end record says")
    if length > _MAX_DIRECTORY:
        raise bad(f"has a directory of {length} bytes")
    return count, start, position


def _find_end(descriptor: int, size: int) -> tuple[int, int, int, int]:
    """Find the end records: how many members, the directory's start and length, their place."""
    length = min(size, END.size + 0xFFFF)
    tail = read_exactly(descriptor, length, size - length)
    found = []
    at = tail.rfind(b"PK\5\6")
    while at >= 0:
        # The comment must end where the file does: a record inside a comment doesn't.
        if length - at >= END.size and length - at - END.size == END.unpack_from(tail, at)[-1]:
            found.append(at)
        at = tail.rfind(b"PK\5\6", 0, at)
    if not found:
        raise bad("has no end record: it is cut short, has data behind it, or is no zip archive")
    if len(found) > 1:
        raise bad("has two end records")
    _, disk, first_disk, here, count, length_, start, _ = END.unpack_from(tail, found[0])
    position = size - length + found[0]
    if position >= LOCATOR64.size:
        locator = read_exactly(descriptor, LOCATOR64.size, position - LOCATOR64.size)
        if locator.startswith(b"PK\6\7"):
            shown = (disk, first_disk, here, count, length_, start)
            wide, position = _read_end64(descriptor, locator, position - LOCATOR64.size)
            for narrow, value, full in zip(shown, wide, _SENTINELS, strict=True):
                if narrow not in {value, full}:
                    raise bad("has two end records that disagree")
            disk, first_disk, here, count, length_, start = wide
    if disk or first_disk or here != count:
        raise bad("is one part of an archive of several")
    return count, start, length_, position


_SENTINELS = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)


def _read_end64(descriptor: int, locator: bytes, position: int) -> tuple[tuple[int, ...], int]:
    """Read the zip64 end record: its six values in the order of the old one, and its place."""
    _, disk, start, disks = LOCATOR64.unpack(locator)
    if disk or disks > 1:
        raise bad("is one part of an archive of several")
    if start + END64.size > position:
        raise bad("has a zip64 end record that is not where its locator says")
    record = read_exactly(descriptor, END64.size, start)
    signature, length, _, _, *values = END64.unpack(record)
    if signature != b"PK\6\6" or start + 12 + length != position:
        raise bad("has a zip64 end record that is not where its locator says")
    return tuple(values), start

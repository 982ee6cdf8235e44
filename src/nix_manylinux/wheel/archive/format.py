"""The zip format's fixed parts (APPNOTE.TXT 6.3.10), a member, and the error for one."""

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

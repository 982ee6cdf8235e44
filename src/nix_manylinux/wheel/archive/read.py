"""Zip archives, read as strictly as the strictest installer reads them.

The standard library's zipfile believes the central directory and looks at
little else; other installers stream the members and believe the local headers.
Where the two could see different files, the archive is refused: every byte
belongs to one member, to its headers, or to the directory (APPNOTE.TXT 6.3.10
is the format). Every error is a `BadWheel` whose ``where`` is the member.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib

from nix_manylinux.base.files import PIECE
from nix_manylinux.base.values import replace
from nix_manylinux.wheel.archive.format import (
    CENTRAL,
    DEFLATED,
    DESCRIPTOR_FLAG,
    LOCAL,
    STORED,
    UTF8_FLAG,
    Member,
    bad,
    find_directory,
    read_exactly,
    read_piece,
)
from nix_manylinux.wheel.archive.names import SeenNames, check_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    #: A central header: its member, and the name's bytes and the flags for the local one.
    Entry = tuple[Member, bytes, int]

#: Encrypted, patched data, strongly encrypted, masked headers.
_REFUSED_FLAGS = 0x1 | 0x20 | 0x40 | 0x2000

#: What a header shows of unpacked size, packed size, start and disk in a zip64 field.
_NO_ROOM = (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF)
_USUAL_EXTRA = 64
_LONGEST_DESCRIPTOR = 24

#: Of APPNOTE.TXT, times ten: the newest that it has, and that zipfile reads.
_MAX_VERSION = 63

#: The greatest unpacked size for each packed byte that is believed of a big
#: archive. Of 71 real wheels the most is 4; deflate's own limit is 1032.
MAX_RATIO = 200


def read_directory(descriptor: int, *, max_size: int) -> tuple[Member, ...]:
    """List the members in the order of the directory, with every header checked.

    Refused: names that leave the tree or that are one file twice, links,
    encryption, packing other than deflate, bytes that belong to nothing,
    headers that disagree, more than ``max_size`` unpacked bytes in all, and
    more than `MAX_RATIO` to one in an archive that unpacks to over a 64th of
    ``max_size``. Raises BadWheel.
    """
    size = os.fstat(descriptor).st_size
    count, start, end = find_directory(descriptor, size)
    entries = _read_entries(read_exactly(descriptor, end - start, start), count)
    total = sum(member.size for member, _, _ in entries)
    if total > max_size:
        raise bad(
            f"unpacks to {total} bytes, more than {max_size}",
            hint=f"if you trust it: --max-size {total}",
        )
    if total > max_size // 64 and total > MAX_RATIO * size:
        raise bad(
            f"unpacks to {total} bytes from {size}, as no wheel does",
            hint=f"if you trust it: --max-size {total * 64}",
        )
    members = {}
    # In the order of the file: each member ends where the next one begins.
    by_start = sorted(entries, key=lambda entry: entry[0].start)
    ends = [member.start for member, _, _ in by_start[1:]] + [start]
    position = 0
    for entry, following in zip(by_start, ends, strict=True):
        member = entry[0]
        if member.start != position:
            raise bad(_stray(position, member.start), member.name)
        members[member.name] = _check_local(descriptor, entry, following)
        position = following
    if position != start:
        raise bad(_stray(position, start))
    return tuple([members[member.name] for member, _, _ in entries])


def _stray(position: int, expected: int) -> str:
    if expected < position:
        return f"overlaps the member before it at byte {expected}"
    return f"{expected - position} bytes at byte {position} belong to no member"


def _read_entries(directory: bytes, count: int) -> list[Entry]:
    entries: list[Entry] = []
    seen = SeenNames()
    at = 0
    while at < len(directory):
        if len(directory) - at < CENTRAL.size or not directory.startswith(b"PK\1\2", at):
            raise bad(f"has a directory that is damaged at its byte {at}")
        (
            _, made_by, needed, flags, method, time, date, crc, packed, size,
            name_length, extra_length, comment_length, disk, _, attributes, start,
        ) = CENTRAL.unpack_from(directory, at)  # fmt: skip
        at += CENTRAL.size
        raw_name = directory[at : at + name_length]
        extra = directory[at + name_length : at + name_length + extra_length]
        at += name_length + extra_length + comment_length
        if at > len(directory):
            raise bad("has a directory that is cut short")
        name = _decode_name(raw_name, flags)
        size, packed, start, disk = _widen(name, extra, (size, packed, start, disk))
        if needed & 0xFF > _MAX_VERSION:
            raise bad(f"needs a reader of zip version {needed & 0xFF}", name)
        if disk:
            raise bad("is in another part of an archive of several", name)
        member = Member(
            name=name,
            method=method,
            utf8=bool(flags & UTF8_FLAG),
            crc=crc,
            packed=packed,
            size=size,
            moment=date << 16 | time,
            system=made_by >> 8,
            attributes=attributes,
            start=start,
        )
        _check_member(member, flags)
        seen.add(member)
        entries.append((member, raw_name, flags))
    if len(entries) != count:
        raise bad(f"has {len(entries)} members where its end record says {count}")
    seen.check()
    return entries


def _decode_name(raw: bytes, flags: int) -> str:
    if raw.isascii():  # then all encodings agree
        return raw.decode("ascii")
    try:
        return raw.decode("utf-8" if flags & UTF8_FLAG else "cp437")
    except UnicodeDecodeError as cause:
        name = raw.decode("utf-8", "backslashreplace")
        raise bad("has a name that is not UTF-8", name) from cause


def _extras(name: str, extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while len(extra) - at >= 4:
        kind, length = struct.unpack_from("<HH", extra, at)
        at += 4
        if at + length > len(extra):
            raise bad("has a damaged extra field", name)
        yield kind, extra[at : at + length]
        at += length
    if extra[at:].strip(b"\0"):  # some tools align with up to three zero bytes
        raise bad("has a damaged extra field", name)


def _widen(name: str, extra: bytes, narrow: Sequence[int]) -> Sequence[int]:
    """Take the zip64 field's values for those that the header has no room for.

    They are the unpacked size, the packed size, the start and the disk, in
    the order of the field.
    """
    if not extra:
        return narrow
    wide = b""
    for kind, value in _extras(name, extra):
        if kind == 0x7075 and value[5:] != name.encode():
            raise bad("has a second name in an extra field", name)
        if kind == 1:
            if wide:
                raise bad("has two zip64 fields", name)
            wide = value
    at = 0
    full = []
    for shown, none, form in zip(narrow, _NO_ROOM, ("<Q", "<Q", "<Q", "<L"), strict=True):
        number = shown
        if shown == none and wide:
            if at + struct.calcsize(form) > len(wide):
                raise bad("has a damaged zip64 field", name)
            (number,) = struct.unpack_from(form, wide, at)
            at += struct.calcsize(form)
        full.append(number)
    return full


def _check_member(member: Member, flags: int) -> None:
    check_name(member.name)
    if flags & _REFUSED_FLAGS:
        raise bad("is encrypted or patched data", member.name, "ask for a plain wheel")
    if member.method not in {STORED, DEFLATED}:
        raise bad(
            f"is packed by method {member.method}, which not every installer can read",
            member.name,
            "pack the wheel again with deflate: python -m wheel unpack, then pack",
        )
    kind = stat.S_IFMT(member.attributes >> 16)
    if kind == stat.S_IFLNK:
        raise bad("is a symbolic link, which wheels can't have", member.name)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise bad("is neither a file nor a folder", member.name)
    if kind == stat.S_IFDIR and not member.is_folder:
        raise bad("is a folder by its mode and a file by its name", member.name)
    if member.is_folder and member.size:
        raise bad("is a folder with contents", member.name)
    if member.method == STORED and member.packed != member.size:
        raise bad("is stored, yet has two sizes", member.name)


def _check_local(descriptor: int, entry: Entry, following: int) -> Member:
    """Hold the local header and the descriptor against the central header."""
    member, raw_name, central_flags = entry
    name = member.name
    room = following - member.start
    if room < LOCAL.size + len(raw_name):
        raise bad("overlaps the member behind it, or is cut short", name)
    # With the room that most extra fields need: one call for what is mostly one header.
    header = read_exactly(
        descriptor, min(room, LOCAL.size + len(raw_name) + _USUAL_EXTRA), member.start
    )
    signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = (
        LOCAL.unpack_from(header)
    )
    if signature != b"PK\3\4":
        raise bad("has no local header where the directory says", name)
    length = LOCAL.size + name_length + extra_length
    data = member.start + length
    if data + member.packed > following:
        raise bad("overlaps the member behind it, or is cut short", name)
    if length > len(header):
        header = read_exactly(descriptor, length, member.start)
    rest = header[LOCAL.size : length]
    significant = 0x1 | DESCRIPTOR_FLAG | UTF8_FLAG | 0x2000
    if rest[:name_length] != raw_name or (flags ^ central_flags) & significant:
        raise bad("has another name or other flags in its local header", name)
    if method != member.method:
        raise bad("is packed in two ways, by its two headers", name)
    size, packed, _, _ = _widen(name, rest[name_length:], (size, packed, 0, 0))
    late = bool(flags & DESCRIPTOR_FLAG)
    for local, central in (crc, member.crc), (packed, member.packed), (size, member.size):
        # What only the descriptor tells is zero here, or the zip64 mark.
        if local != central and not (late and local in {0, 0xFFFFFFFF}):
            raise bad("has other sizes or another checksum in its local header", name)
    end = data + member.packed
    if late or end != following:
        _check_trailer(descriptor, member, late=late, start=end, end=following)
    return replace(member, data=data)


def _check_trailer(descriptor: int, member: Member, *, late: bool, start: int, end: int) -> None:
    """Refuse what is behind the packed data, unless it is the right descriptor."""
    if not late:
        raise bad(_stray(start, end), member.name)
    short = end - start <= _LONGEST_DESCRIPTOR
    if not short or read_exactly(descriptor, end - start, start) not in _descriptors(member):
        raise bad("has no right data descriptor behind it", member.name)


def _descriptors(member: Member) -> tuple[bytes, ...]:
    """Give the four forms of the descriptor that may follow the data."""
    values = (member.crc, member.packed, member.size)
    forms = [struct.pack("<LQQ", *values)]
    if max(values) <= 0xFFFFFFFF:
        forms.append(struct.pack("<LLL", *values))
    return tuple(mark + form for form in forms for mark in (b"PK\7\x08", b""))


def stream(descriptor: int, member: Member) -> Iterator[bytes]:
    """Give a member's unpacked bytes in pieces of bounded size; size and CRC are checked.

    Raises BadWheel, at the latest behind the last piece.
    """
    crc = 0
    count = 0
    for piece in _unpack(descriptor, member):
        count += len(piece)
        if count > member.size:
            break
        crc = zlib.crc32(piece, crc)
        yield piece
    if count != member.size:
        side = "more" if count > member.size else "less"
        raise bad(f"unpacks to {side} than its {member.size} bytes", member.name)
    if crc != member.crc:
        raise bad("has a wrong CRC", member.name)


def packed_pieces(descriptor: int, member: Member) -> Iterator[bytes]:
    """Give a member's bytes as they are in the archive."""
    position, end = member.data, member.data + member.packed
    while position < end:
        piece = read_piece(descriptor, min(PIECE, end - position), position, member.name)
        position += len(piece)
        yield piece


def _unpack(descriptor: int, member: Member) -> Iterator[bytes]:
    if member.method == STORED or not member.packed:
        yield from packed_pieces(descriptor, member)
        return
    state = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in packed_pieces(descriptor, member):
            rest = piece
            while rest:
                yield state.decompress(rest, PIECE)
                rest = state.unconsumed_tail
                if state.unused_data:
                    raise bad("has bytes behind its packed data", member.name)
        # The last pieces may still wait for room.
        while not state.eof:
            piece = state.decompress(b"", PIECE)
            if not piece:
                raise bad("has packed data that is cut short", member.name)
            yield piece
    except zlib.error as cause:
        raise bad(f"can't be unpacked: {cause}", member.name) from cause

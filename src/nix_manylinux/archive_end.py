"""The end of a zip archive: its end records, old and zip64, and where they say the directory is."""

from __future__ import annotations

from nix_manylinux.archive_format import END, END64, LOCATOR64, bad, read_exactly

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

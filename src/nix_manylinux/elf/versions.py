"""Symbol versions (LSB, "Symbol Versioning") of one ELF image, read as glibc reads them.

It goes by the links of the records alone: neither DT_VERNEEDNUM, DT_VERDEFNUM, vn_cnt
nor vd_cnt says anything.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.facts import VersionNeed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from struct import Struct

    from nix_manylinux.elf.image import Image

    #: The file offset of a record, and its fields.
    Record = tuple[int, tuple[int, ...]]

#: How much of a version table is read at once: linkers write the records one behind the
#: other, so that most tables are in here.
_AT_ONCE = 2048


class _Chain:
    """Records that each say how far away the next one is, inside what is mapped."""

    __slots__ = ("_data", "_end", "_left", "_name", "_source", "_start", "_stop", "offset")

    def __init__(self, image: Image, name: str, address: int) -> None:
        self._source = image.source
        self._name = name
        self.offset, room = image.locate(name, address)
        #: What has been read: file offsets, and the bytes between them.
        self._start = self._stop = self.offset
        self._end = self.offset + room
        self._left = elf.MAX_VERSIONS
        self._data = b""

    def follow(self, structure: Struct, offset: int) -> Iterator[Record]:
        """Give the records of one structure, whose last field leads on, from an offset.

        Raises BadElf for one outside of what is mapped, and after too many.
        """
        size, unpack = structure.size, structure.unpack_from
        while True:
            self._left -= 1
            if self._left < 0 or not self._start <= offset <= self._stop - size:
                self._read(offset, size)
            fields = unpack(self._data, offset - self._start)
            yield offset, fields
            if not fields[-1]:
                return
            offset += fields[-1]

    def _read(self, offset: int, size: int) -> None:
        if self._left < 0:
            raise BadElf(
                f"{self._name} leads to more than {elf.MAX_VERSIONS} records,"
                " and a version index has only 15 bits"
            )
        if offset + size > self._end:
            raise BadElf(
                f"{self._name} leads to a record at {offset:#x}, behind the end of"
                f" its segment at {self._end:#x}"
            )
        self._start, self._stop = offset, min(offset + _AT_ONCE, self._end)
        self._data = self._source.read(offset, self._stop - offset, self._name)


def verneed(image: Image) -> Iterator[tuple[Record, Iterator[Record]]]:
    """Give each Verneed of DT_VERNEED with its Vernaux, all read as they are asked for."""
    if elf.DT_VERNEED in image.tags:
        chain = _Chain(image, "DT_VERNEED", image.tags[elf.DT_VERNEED])
        for record in chain.follow(image.layout.verneed, chain.offset):
            yield record, chain.follow(image.layout.vernaux, record[0] + record[1][3])


def verdef(image: Image) -> Iterator[tuple[Record, Iterator[Record]]]:
    """Give each Verdef of DT_VERDEF with its Verdaux, all read as they are asked for."""
    if elf.DT_VERDEF in image.tags:
        chain = _Chain(image, "DT_VERDEF", image.tags[elf.DT_VERDEF])
        for record in chain.follow(image.layout.verdef, chain.offset):
            yield record, chain.follow(image.layout.verdaux, record[0] + record[1][5])


def read_versions(image: Image) -> tuple[tuple[VersionNeed, ...], tuple[str, ...], str]:
    """Read what is needed in the file's order, and what is defined without the base version.

    What glibc can't follow is told by the third value, not by an error: musl reads neither
    table for a file's own sake.
    """
    needs: list[VersionNeed] = []
    defines: list[str] = []
    refused = ""
    try:
        needs.extend(_needs(image))
    except BadElf as error:
        refused = error.what
    # Of its own definitions a file's loading reads no name.
    with suppress(BadElf):
        defines.extend(_definitions(image))
    return tuple(needs), tuple(defines), refused


#: The files of a tree want the same few versions, again and again.
_version_need = lru_cache(1 << 12)(VersionNeed)


def _needs(image: Image) -> Iterator[VersionNeed]:
    first = True
    for (offset, fields), versions in verneed(image):
        if first and fields[0] != 1:
            raise BadElf(f"vn_version is {fields[0]} at {offset:#x}; only 1 is known")
        first = False
        get = image.names.get
        library = get("vn_file", fields[2])
        for _, (_, flags, _, name, _) in versions:
            weak = bool(flags & elf.VER_FLG_WEAK)
            yield _version_need(library, get("vna_name", name), weak)


def _definitions(image: Image) -> Iterator[str]:
    """Those from a record of an unknown revision on are left out: glibc refuses who wants one."""
    for (_, (revision, flags, *_)), names in verdef(image):
        if revision != 1:
            return
        if not flags & elf.VER_FLG_BASE:
            # The first name is the version itself, the others are those it inherits from.
            _, (name, _) = next(names)
            yield image.names.get("vda_name", name)

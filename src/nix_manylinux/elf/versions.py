"""Symbol versions (LSB, "Symbol Versioning") and ``.note.dlopen`` of one ELF image."""

from __future__ import annotations

from contextlib import suppress

from nix_manylinux.base.errors import BadElf
from nix_manylinux.base.values import Value
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.facts import DlopenNote, VersionNeed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from struct import Struct

    from nix_manylinux.elf.image import Image, Strings

#: So much of a file's notes is looked through; real ones have a few hundred bytes.
_MAX_NOTES = 1 << 24
#: How much of a version table is read at once.
_CHAIN = 2048
_PRIORITIES = frozenset({"required", "recommended", "suggested"})


class _Chain:
    """Records that each say how far away the next one is, inside one segment."""

    __slots__ = ("_data", "_end", "_left", "_name", "_source", "_start")

    def __init__(self, image: Image, name: str, offset: int, room: int) -> None:
        self._source = image.source
        self._name = name
        self._start = offset
        self._end = offset + room
        self._left = elf.MAX_VERSIONS
        # Linkers write the records one behind the other: most chains are in here.
        self._data = image.source.read(name, offset, min(room, _CHAIN))

    def record(self, structure: Struct, offset: int) -> tuple[int, ...]:
        """Unpack one record; raise BadElf outside the segment, or after too many."""
        self._left -= 1
        if self._left < 0:
            raise BadElf(
                f"{self._name} leads to more than {elf.MAX_VERSIONS} records,"
                " and a version index has only 15 bits"
            )
        end = offset + structure.size
        if end - self._start <= len(self._data):
            return structure.unpack_from(self._data, offset - self._start)
        if end > self._end:
            raise BadElf(
                f"{self._name} leads to a record at {offset:#x}, behind the end of"
                f" its segment at {self._end:#x}"
            )
        return structure.unpack(self._source.read(self._name, offset, structure.size))


class Versions(Value):
    """What a file needs and defines; ``refused`` says why glibc could not read on."""

    needs: tuple[VersionNeed, ...] = ()
    defines: tuple[str, ...] = ()
    refused: str = ""


def read_versions(
    image: Image, dynamic: dict[int, int], strings: Callable[[], Strings]
) -> Versions:
    """Read DT_VERNEED and DT_VERDEF as glibc does, by their links alone.

    It reads neither DT_VERNEEDNUM, DT_VERDEFNUM, vn_cnt nor vd_cnt. What it can't
    follow ends in ``refused``, not in an error: musl reads neither table for a
    file's own sake.
    """
    needs: list[VersionNeed] = []
    defines: list[str] = []
    refused = ""
    if elf.DT_VERNEED in dynamic:
        try:
            _needs(image, strings(), dynamic[elf.DT_VERNEED], needs)
        except BadElf as error:
            refused = error.what
    if elf.DT_VERDEF in dynamic:
        # Of its own definitions a file's loading reads no name.
        with suppress(BadElf):
            _definitions(image, strings(), dynamic[elf.DT_VERDEF], defines)
    return Versions(needs=tuple(needs), defines=tuple(defines), refused=refused)


def _needs(image: Image, strings: Strings, address: int, found: list[VersionNeed]) -> None:
    """Add every version of DT_VERNEED at ``address``, in the file's order."""
    layout = image.layout
    offset, room = image.locate("DT_VERNEED", address)
    chain = _Chain(image, "DT_VERNEED", offset, room)
    first = True
    while True:
        revision, _, file, aux, following = chain.record(layout.verneed, offset)
        if first and revision != 1:
            raise BadElf(f"vn_version is {revision} at {offset:#x}; only 1 is known")
        first = False
        library = strings.get("vn_file", file)
        entry = offset + aux
        while True:
            _, flags, _, name, step = chain.record(layout.vernaux, entry)
            version = strings.get("vna_name", name)
            weak = bool(flags & elf.VER_FLG_WEAK)
            found.append(VersionNeed(library=library, version=version, weak=weak))
            if not step:
                break
            entry += step
        if not following:
            return
        offset += following


def _definitions(image: Image, strings: Strings, address: int, found: list[str]) -> None:
    """Add every version that DT_VERDEF at ``address`` defines, without the base version.

    Those from a record of an unknown revision on are left out: glibc refuses whoever
    asks for one of them.
    """
    layout = image.layout
    offset, room = image.locate("DT_VERDEF", address)
    chain = _Chain(image, "DT_VERDEF", offset, room)
    known = True
    while True:
        revision, flags, _, _, _, aux, following = chain.record(layout.verdef, offset)
        known = known and revision == 1
        if known and not flags & elf.VER_FLG_BASE:
            # The first name is the version itself, the others are those it inherits from.
            name, _ = chain.record(layout.verdaux, offset + aux)
            found.append(strings.get("vda_name", name))
        if not following:
            return
        offset += following


def dlopen_notes(image: Image) -> tuple[DlopenNote, ...]:
    """Read what the file may load later, by the UAPI group's ELF dlopen metadata.

    Found in PT_NOTE; in SHT_NOTE sections where a file has no PT_NOTE. The
    notes of a segment aren't walked: linkers have merged notes of 4 and of 8
    byte alignment into one segment, which no walk survives. A note whose
    descriptor is cut short, or isn't the JSON that the specification asks
    for, is ignored, as is what lies beyond the file or beyond 16 MiB of notes,
    and so is an entry without a soname: it is a hint for packagers, no part of
    what the loader reads. A priority that is missing or unknown is "recommended".
    """
    places = [(s.offset, s.filesz) for s in image.segments if s.type == elf.PT_NOTE]
    if not places:
        places = [
            (section.offset, section.size)
            for section in image.sections()
            if section.type == elf.SHT_NOTE
        ]
    found: list[DlopenNote] = []
    left = _MAX_NOTES
    for offset, size in places:
        left -= size
        if left < 0:
            break
        if offset + size > image.source.size:
            continue
        data = image.source.read("PT_NOTE", offset, size)
        if b"FDO\0" in data:
            found.extend(_notes_in(image, data))
    return tuple(found)


def _notes_in(image: Image, data: bytes) -> list[DlopenNote]:
    note = image.layout.note
    # n_type and the owner's name, which follows it at once.
    wanted = image.layout.word.pack(elf.NT_FDO_DLOPEN) + b"FDO\0"
    found: list[DlopenNote] = []
    at = data.find(wanted)
    while at >= 0:
        end = at + len(wanted)
        if at >= 8:
            name_size, size, _ = note.unpack_from(data, at - 8)
            if name_size == len(b"FDO\0") and end + size <= len(data):
                found.extend(_entries(data[end : end + size]))
                end += size
        at = data.find(wanted, end)
    return found


def _entries(described: bytes) -> list[DlopenNote]:
    import json  # noqa: PLC0415  rarely needed, and slow to import

    try:
        entries = json.loads(described.rstrip(b"\0").decode())
    except (ValueError, RecursionError):
        return []
    found = []
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        names = entry.get("soname")
        sonames = tuple(filter(_is_name, names)) if isinstance(names, list) else ()
        if not sonames:
            continue
        priority = _text(entry.get("priority"))
        found.append(
            DlopenNote(
                sonames=sonames,
                priority=priority if priority in _PRIORITIES else "recommended",
                feature=_text(entry.get("feature")),
                description=_text(entry.get("description")),
            )
        )
    return found


def _is_name(value: object) -> bool:
    """Whether this could be a file's name: JSON can also spell lone surrogates and NUL."""
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

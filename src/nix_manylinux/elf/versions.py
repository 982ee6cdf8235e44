"""Symbol versions (LSB, "Symbol Versioning") and ``.note.dlopen`` of one ELF image."""

from __future__ import annotations

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.facts import DlopenNote, VersionNeed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from struct import Struct

    from nix_manylinux.elf.image import Image, Strings

#: All notes of a file together; real ones have a few hundred bytes.
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


def _check_count(field: str, said: int | None, found: int, link: str) -> None:
    if said is not None and said != found:
        raise BadElf(f"{field} is {said}, but {link} leads through {found} records")


def version_needs(
    image: Image, strings: Strings, address: int, count: int | None
) -> tuple[VersionNeed, ...]:
    """Every version of DT_VERNEED at ``address``, in the file's order.

    ``count`` is DT_VERNEEDNUM, None where it is absent. glibc follows the
    links alone; a count that contradicts them is BadElf here.
    """
    layout = image.layout
    offset, room = image.locate("DT_VERNEED", address)
    chain = _Chain(image, "DT_VERNEED", offset, room)
    found = []
    files = 0
    while True:
        revision, aux_count, file, aux, following = chain.record(layout.verneed, offset)
        files += 1
        if revision != 1:
            raise BadElf(f"vn_version is {revision} at {offset:#x}; only 1 is known")
        library = strings.get("vn_file", file)
        entry = offset + aux
        versions = 0
        while aux_count:
            _, flags, _, name, step = chain.record(layout.vernaux, entry)
            versions += 1
            found.append(
                VersionNeed(
                    library=library,
                    version=strings.get("vna_name", name),
                    weak=bool(flags & elf.VER_FLG_WEAK),
                )
            )
            if not step:
                break
            entry += step
        _check_count(f"vn_cnt of {library}", aux_count, versions, "vna_next")
        if not following:
            break
        offset += following
    _check_count("DT_VERNEEDNUM", count, files, "vn_next")
    return tuple(found)


def version_definitions(
    image: Image, strings: Strings, address: int, count: int | None
) -> tuple[str, ...]:
    """Every version that DT_VERDEF at ``address`` defines, without the base version.

    ``count`` is DT_VERDEFNUM, None where it is absent.
    """
    layout = image.layout
    offset, room = image.locate("DT_VERDEF", address)
    chain = _Chain(image, "DT_VERDEF", offset, room)
    found = []
    records = 0
    while True:
        revision, flags, _, names, _, aux, following = chain.record(layout.verdef, offset)
        records += 1
        if revision != 1:
            raise BadElf(f"vd_version is {revision} at {offset:#x}; only 1 is known")
        if not names:
            raise BadElf(f"vd_cnt is 0 at {offset:#x}: a version without a name")
        if not flags & elf.VER_FLG_BASE:
            # The first name is the version itself, the others are those it inherits from.
            name, _ = chain.record(layout.verdaux, offset + aux)
            found.append(strings.get("vda_name", name))
        if not following:
            break
        offset += following
    _check_count("DT_VERDEFNUM", count, records, "vd_next")
    return tuple(found)


def dlopen_notes(image: Image) -> tuple[DlopenNote, ...]:
    """Read what the file may load later, by the UAPI group's ELF dlopen metadata.

    Found in PT_NOTE; in SHT_NOTE sections where a file has no PT_NOTE. The
    notes of a segment aren't walked: linkers have merged notes of 4 and of 8
    byte alignment into one segment, which no walk survives. A note whose
    descriptor is cut short, or isn't the JSON that the specification asks
    for, is ignored, and so is an entry without a soname: it is a hint for
    packagers, no part of what the loader reads. A priority that is missing or
    unknown is "recommended".
    """
    places = [(s.offset, s.filesz) for s in image.segments if s.type == elf.PT_NOTE]
    if not places:
        places = [
            (section.offset, section.size)
            for section in image.sections()
            if section.type == elf.SHT_NOTE
        ]
    if sum(size for _, size in places) > _MAX_NOTES:
        raise BadElf(f"its notes have over {_MAX_NOTES} bytes together (p_filesz of PT_NOTE)")
    found: list[DlopenNote] = []
    for offset, size in places:
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

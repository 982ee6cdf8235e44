"""Notes of an ELF image: those for packagers (``.note.dlopen``), and instruction sets.

The notes of a segment aren't walked: linkers have merged notes of 4 and of 8 byte
alignment into one segment, which no walk survives. They are found by owner and type,
in the segments of a kind; in SHT_NOTE sections where a file has none.
"""

from __future__ import annotations

from nix_manylinux.elf import format as elf
from nix_manylinux.elf.facts import DlopenNote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nix_manylinux.elf.image import Image

#: So much of a file's notes is looked through; real ones have a few hundred bytes.
_MAX_NOTES = 1 << 24
_PRIORITIES = ("required", "recommended", "suggested")
_NT_GNU_PROPERTY_TYPE_0 = 5
_X86_ISA_1_NEEDED = 0xC0008002


def descriptors(image: Image, owner: bytes, kind: int, *places: int) -> Iterator[bytes]:
    """Give the descriptor of each note of an owner (four bytes, the NUL too) and type.

    ``places`` are types of program headers, of which the first that a file has is
    searched. What is cut short is left out, as is what lies beyond the file or
    beyond 16 MiB of notes.
    """
    wanted = image.layout.word.pack(kind) + owner
    for data in _notes(image, places):
        at = data.find(wanted) if owner in data else -1
        while at >= 0:
            end = at + len(wanted)
            if at >= 8:
                name_size, size, _ = image.layout.note.unpack_from(data, at - 8)
                if name_size == len(owner) and end + size <= len(data):
                    yield data[end : end + size]
                    end += size
            at = data.find(wanted, end)


def _notes(image: Image, places: tuple[int, ...]) -> Iterator[bytes]:
    left = _MAX_NOTES
    for place in places:
        found = [(s.offset, s.filesz) for s in image.segments if s.type == place]
        if found:
            break
    else:
        found = [(s.offset, s.size) for s in image.sections() if s.type == elf.SHT_NOTE]
    for offset, size in found:
        left -= size
        if left < 0:
            return
        if offset + size <= image.source.size:
            yield image.source.read(offset, size, "PT_NOTE")


def isa_level(image: Image) -> int:
    """Return N of the x86-64-vN that a file says it needs; 1, the baseline, if it says nothing.

    https://gitlab.com/x86-psABIs/x86-64-ABI, "Program Property": GNU_PROPERTY_X86_ISA_1_NEEDED.
    """
    bits, word, align = 0, image.layout.word, image.layout.bits // 8
    notes = descriptors(image, b"GNU\0", _NT_GNU_PROPERTY_TYPE_0, elf.PT_GNU_PROPERTY, elf.PT_NOTE)
    for data in notes if image.header.machine == elf.EM_X86_64 else ():
        place = 0
        while place + 8 <= len(data):
            kind, size = (word.unpack_from(data, place + i)[0] for i in (0, 4))
            value = data[place + 8 : place + 8 + size]
            if kind == _X86_ISA_1_NEEDED and len(value) == 4:
                bits |= int.from_bytes(value, image.layout.endian)
            place += 8 + -(-size // align) * align
    # Bit 0 is the baseline, bit 3 is v4.
    return max((level for level in range(1, 5) if bits >> (level - 1) & 1), default=1)


def dlopen_notes(image: Image) -> tuple[DlopenNote, ...]:
    """Read what the file may load later, by the UAPI group's ELF dlopen metadata.

    A note that isn't the JSON that the specification asks for is ignored, and so is
    an entry without a soname: it is a hint for packagers, no part of what the loader
    reads. A priority that is missing or unknown is "recommended".
    """
    notes = descriptors(image, b"FDO\0", elf.NT_FDO_DLOPEN, elf.PT_NOTE)
    return tuple(entry for described in notes for entry in _entries(described))


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
        priority = entry.get("priority")
        if sonames:
            known = priority if priority in _PRIORITIES else "recommended"
            found.append(DlopenNote(sonames=sonames, priority=known))
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

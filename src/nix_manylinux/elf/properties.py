"""What only few ask of an ELF file: instruction sets, symbols that it wants, names of sections.

https://gitlab.com/x86-psABIs/x86-64-ABI, "Program Property": GNU_PROPERTY_X86_ISA_1_NEEDED.
"""

from __future__ import annotations

import struct

from nix_manylinux.elf import format as elf
from nix_manylinux.elf.image import Image
from nix_manylinux.elf.read import open_elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator

    from nix_manylinux.elf.format import Section

_SHN_UNDEF, _STB_WEAK = 0, 2
_NT_GNU_PROPERTY_TYPE_0 = 5
_X86_ISA_1_NEEDED = 0xC0008002
#: Bytes of notes that are looked through; real ones have a hundred.
_MAX_NOTES = 1 << 20


def needed_isa(path: str | os.PathLike[str]) -> int:
    """Return N of the x86-64-vN that a file says it needs; 1, the baseline, if it says nothing.

    Raises BadElf and OSError as `read_elf`.
    """
    with open_elf(path) as source:
        if source is None:
            return 1
        image = Image(source)
        if image.header.machine != elf.EM_X86_64:
            return 1
        bits = 0
        for data in _notes(image):
            for kind, value in _properties(image, data):
                if kind == _X86_ISA_1_NEEDED and len(value) == 4:
                    bits |= int.from_bytes(value, image.layout.endian)
    # Bit 0 is the baseline, bit 3 is v4.
    return max((level for level in range(1, 5) if bits >> (level - 1) & 1), default=1)


def dynamic_strings(path: str | os.PathLike[str]) -> bytes:
    """Return the dynamic string table, in which every symbol's name is that others may see.

    As far as DT_STRSZ says. Raises BadElf and OSError as `read_elf`.
    """
    with open_elf(path) as source:
        if source is None:
            return b""
        image = Image(source)
        entries = dict(image.dynamic())
        address, size = entries.get(elf.DT_STRTAB), entries.get(elf.DT_STRSZ)
        if address is None or size is None:
            return b""
        offset, room = image.locate("DT_STRTAB", address)
        return source.read("string table", offset, min(size, room))


def wanted_symbols(path: str | os.PathLike[str], names: Collection[str]) -> frozenset[str]:
    """Return those of ``names`` that the file wants from others; weak ones it can do without.

    All of them where no section header tells of symbols. Raises as `dynamic_strings`.
    """
    with open_elf(path) as source:
        if source is None:
            return frozenset()
        image = Image(source)
        sections = list(image.sections())
        table = next((each for each in sections if each.type == elf.SHT_DYNSYM), None)
        if table is None or table.link >= len(sections):
            return frozenset(names)
        strings = _contents(image, sections[table.link])
        symbols = _contents(image, table)
    wide = image.layout.bits == 64
    # Elf32_Sym: name value size info other shndx; Elf64_Sym: name info other shndx value size
    record = struct.Struct(image.layout.word.format[0] + ("IBBHQQ" if wide else "IIIBBH"))
    places = {name: f"{name}\0".encode() for name in names}
    found = set()
    for fields in record.iter_unpack(symbols[: len(symbols) // record.size * record.size]):
        start, info, section = (fields[i] for i in ((0, 1, 3) if wide else (0, 3, 5)))
        if section == _SHN_UNDEF and info >> 4 != _STB_WEAK:
            found |= {name for name, text in places.items() if strings.startswith(text, start)}
    return frozenset(found)


def has_symbols(path: str | os.PathLike[str]) -> bool:
    """Whether there is anything for strip: a symbol table that no loader reads, or debug sections.

    Raises as `dynamic_strings`.
    """
    with open_elf(path) as source:
        named = [] if source is None else list(_named_sections(Image(source)))
    return any(
        section.type == elf.SHT_SYMTAB
        or (name.startswith((".debug", ".zdebug")) and not section.flags & elf.SHF_ALLOC)
        for name, section in named
    )


def section_at(path: str | os.PathLike[str], offset: int) -> str:
    """Name the section that a byte of a file is in; "" where nothing names one.

    Raises as `dynamic_strings`.
    """
    with open_elf(path) as source:
        for name, section in [] if source is None else _named_sections(Image(source)):
            inside = section.offset <= offset < section.end
            if inside and section.type not in {elf.SHT_NOBITS, elf.SHT_NULL}:
                return name
    return ""


def _named_sections(image: Image) -> Iterator[tuple[str, Section]]:
    sections = list(image.sections())
    index = image.header.shstrndx
    table = _contents(image, sections[index]) if index < len(sections) else b""
    for section in sections:
        name = table[section.name : section.name + 256].partition(b"\0")[0]
        yield name.decode("utf-8", "surrogateescape"), section


def _contents(image: Image, section: Section) -> bytes:
    if section.type == elf.SHT_NOBITS or section.end > image.source.size:
        return b""
    return image.source.read("section", section.offset, section.size)


def _notes(image: Image) -> Iterator[bytes]:
    """Give the notes of the property's own header, else those of all note segments or sections."""
    kinds = ({elf.PT_GNU_PROPERTY}, {elf.PT_NOTE})
    for kind in kinds:
        places = [(s.offset, s.filesz) for s in image.segments if s.type in kind]
        if places:
            break
    else:
        places = [(s.offset, s.size) for s in image.sections() if s.type == elf.SHT_NOTE]
    for offset, size in places:
        if size <= _MAX_NOTES and offset + size <= image.source.size:
            yield image.source.read("PT_NOTE", offset, size)


def _properties(image: Image, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give type and value of each property in notes, found by their owner's name as all are."""
    word, wide = image.layout.word, image.layout.bits // 8
    wanted = word.pack(_NT_GNU_PROPERTY_TYPE_0) + b"GNU\0"
    at = data.find(wanted)
    while at >= 0:
        end = at + len(wanted)
        if at >= 8:
            name_size, size, _ = image.layout.note.unpack_from(data, at - 8)
            if name_size == 4 and end + size <= len(data):
                place = end
                while place + 8 <= end + size:
                    kind, length = (
                        word.unpack_from(data, place)[0],
                        word.unpack_from(data, place + 4)[0],
                    )
                    yield kind, data[place + 8 : min(place + 8 + length, end + size)]
                    place += 8 + -(-length // wide) * wide
                end += size
        at = data.find(wanted, end)

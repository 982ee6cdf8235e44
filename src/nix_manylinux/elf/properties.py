"""What only few ask of an ELF file: instruction sets, symbols that it wants, names of sections."""

from __future__ import annotations

import struct

from nix_manylinux.elf import format as elf
from nix_manylinux.elf import notes
from nix_manylinux.elf.image import Image
from nix_manylinux.elf.read import open_elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator

    from nix_manylinux.elf.format import Section

_SHN_UNDEF, _STB_WEAK = 0, 2


def needed_isa(path: str | os.PathLike[str]) -> int:
    """Return N of the x86-64-vN that a file says it needs; 1, the baseline, if it says nothing.

    Raises BadElf and OSError as `read_elf`.
    """
    with open_elf(path) as source:
        return 1 if source is None else notes.needed_isa(Image(source))


def dynamic_strings(path: str | os.PathLike[str]) -> bytes:
    """Return the dynamic string table, in which every symbol's name is that others may see.

    As far as DT_STRSZ says. Raises BadElf and OSError as `read_elf`.
    """
    with open_elf(path) as source:
        if source is None:
            return b""
        image = Image(source)
        address, size = image.tags.get(elf.DT_STRTAB), image.tags.get(elf.DT_STRSZ)
        if address is None or size is None:
            return b""
        offset, room = image.locate("DT_STRTAB", address)
        return source.read(offset, min(size, room), "string table")


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
    return image.source.read(section.offset, section.size, "section")

"""What no loader asks of an ELF file, and people do: symbols, names of sections, build-id.

Read with pyelftools, tables as a whole: 4 ms a file. What repair asks of every file of
a wheel is ours: `dynamic_strings` and `needed_isa`.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager, suppress

from nix_manylinux.base.values import Value
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.image import Image
from nix_manylinux.elf.notes import isa_level
from nix_manylinux.elf.read import open_elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator
    from typing import Any

    Path = str | os.PathLike[str]

_SHN_UNDEF, _STB_LOCAL, _STB_WEAK = 0, 0, 2
#: Bounds that no linked file comes near: sections (pyelftools makes an object of each), and
#: bytes of a table.
_MAX_SECTIONS = 0xFF00
_MAX_TABLE = 1 << 28
#: Elf32_Sym: name value size info other shndx; Elf64_Sym: name info other shndx value size
_SYMBOL = {32: "I8xB1xH", 64: "IB1xH16x"}
_DEBUG = (".debug", ".zdebug")


class Symbols(Value):
    """Names of dynamic symbols: ``wanted`` from others (weak ones are not), and ``defined``.

    ``known`` is whether a section header leads to them. Debuggers find all others by
    ``build_id`` (in hex) and ``debug_link`` (a file's name).
    """

    wanted: frozenset[str] = frozenset()
    defined: frozenset[str] = frozenset()
    known: bool = False
    build_id: str = ""
    debug_link: str = ""


@contextmanager
def _sections(path: Path) -> Iterator[tuple[Any, list[Any]]]:
    """Open an ELF file, and give it with its sections; raises OSError.

    There are none where it is not ELF, and where pyelftools can't follow their headers:
    no loader reads them.
    """
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415  its import takes 40 ms

    with open(path, "rb") as stream:
        file, sections = None, []
        # It has no one kind of error: reading on from a wrong place raises anything.
        with suppress(Exception):
            file = ELFFile(stream)
            if file.num_sections() <= _MAX_SECTIONS:
                sections = list(file.iter_sections())
        yield file, sections


def _contents(file: Any, section: Any) -> bytes:  # noqa: ANN401 - untyped
    """Read a section as it is; pyelftools would inflate one that says it is compressed."""
    start, size = section["sh_offset"], section["sh_size"]
    if section["sh_type"] == "SHT_NOBITS" or size > _MAX_TABLE or start + size > file.stream_len:
        return b""
    file.stream.seek(start)
    return bytes(file.stream.read(size))


def read_symbols(path: Path) -> Symbols:
    """Read the dynamic symbols of a file, NT_GNU_BUILD_ID, and the name in ``.gnu_debuglink``."""
    from elftools.elf.sections import NoteSection  # noqa: PLC0415

    build_id = link = ""
    known, wanted, defined = False, frozenset[str](), frozenset[str]()
    with _sections(path) as (file, sections):
        for each in sections:
            if each["sh_type"] == "SHT_DYNSYM" and each["sh_link"] < len(sections) and not known:
                known = True
                order = "<" if file.little_endian else ">"
                record = struct.Struct(order + _SYMBOL[file.elfclass])
                strings = _contents(file, sections[each["sh_link"]])
                wanted, defined = _symbols(record, _contents(file, each), strings)
            elif isinstance(each, NoteSection) and each.name == ".note.gnu.build-id":
                with suppress(Exception):
                    build_id = next((str(note["n_desc"]) for note in each.iter_notes()), "")
            elif each.name == ".gnu_debuglink":
                name = _contents(file, each).partition(b"\0")[0]
                link = name.decode("utf-8", "surrogateescape")
    return Symbols(wanted=wanted, defined=defined, known=known, build_id=build_id, debug_link=link)


def _symbols(
    record: struct.Struct, symbols: bytes, strings: bytes
) -> tuple[frozenset[str], frozenset[str]]:
    """Give the names of symbols that are wanted, and of those that are defined."""
    wanted, defined = set(), set()
    for start, info, section in record.iter_unpack(
        symbols[record.size : len(symbols) // record.size * record.size]
    ):
        if section == _SHN_UNDEF:
            if info >> 4 != _STB_WEAK:
                wanted.add(start)
        elif info >> 4 != _STB_LOCAL:
            defined.add(start)
    return _names(strings, wanted), _names(strings, defined)


def _names(strings: bytes, starts: set[int]) -> frozenset[str]:
    return frozenset(
        strings[start : strings.find(b"\0", start)].decode("utf-8", "surrogateescape")
        for start in starts
        if start < len(strings)
    ) - {""}


def wanted_symbols(path: Path, names: Collection[str]) -> frozenset[str]:
    """Return those of ``names`` that the file wants from others; weak ones it can do without.

    All of them where no section header tells of symbols.
    """
    symbols = read_symbols(path)
    return symbols.wanted.intersection(names) if symbols.known else frozenset(names)


def has_symbols(path: Path) -> bool:
    """Whether there is anything for strip: symbols that no loader reads, or debug sections."""
    with _sections(path) as (_, sections):
        return any(
            each["sh_type"] == "SHT_SYMTAB"
            or (each.name.startswith(_DEBUG) and not each["sh_flags"] & elf.SHF_ALLOC)
            for each in sections
        )


def section_at(path: Path, offset: int) -> str:
    """Name the section that a byte of a file is in; "" where nothing names one."""
    with _sections(path) as (_, sections):
        for each in sections:
            inside = 0 <= offset - each["sh_offset"] < each["sh_size"]
            if inside and each["sh_type"] not in {"SHT_NOBITS", "SHT_NULL"}:
                return str(each.name)
    return ""


def dynamic_strings(path: Path) -> bytes:
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


def needed_isa(path: Path) -> int:
    """Return N of the x86-64-vN that a file says it needs; 1, the baseline, if it says nothing.

    Raises BadElf and OSError as `read_elf`.
    """
    with open_elf(path) as source:
        return 1 if source is None else isa_level(Image(source))

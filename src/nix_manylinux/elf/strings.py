"""Names of libraries among an ELF file's constants: what it may open by ``dlopen``.

A guess for people, not a fact for the loader: `ElfFacts` holds no part of it.
"""

from __future__ import annotations

import re

from nix_manylinux.elf import format as elf
from nix_manylinux.elf.image import Image
from nix_manylinux.elf.read import open_elf, unlinked_kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

#: Bytes that are read and searched at once.
_CHUNK = 1 << 20
#: The longest name that is looked for, and how many different ones.
_LONGEST = 128
_MOST = 10_000
#: A C string of its own: no text in front of it (a path, a sentence), NUL behind it.
_NAME = rb"lib[0-9A-Za-z_+.-]{1,100}?\.so(?:\.[0-9][0-9A-Za-z_]*){0,4}\0"
#: Behind it the next constant, as Rust and Go keep them: nothing tells where one ends.
_GLUED = rb"/?lib[0-9A-Za-z_+-]{1,100}?\.so(?:\.[0-9]{1,3}){1,3}(?=[0-9A-Za-z_])"


def read_only_sonames(
    path: str | os.PathLike[str], is_soname: Callable[[str], bool] = lambda _: False
) -> tuple[str, ...]:
    """Find strings such as ``libGL.so.1`` in a linked file's constants, sorted, each once.

    Searched are the read-only segments, the executable ones only where the
    linker put constants and code together; the dynamic string table, which
    holds the needed names, is left out. Strings that name a directory too are not
    found, and of those that don't end in NUL (Rust's, Go's: "libXi.so.6libX11.so.6XOpenIM")
    the ones that ``is_soname`` knows; more than 10,000 different names are not looked for.
    The file is read a mebibyte at a time, in time linear to its size.

    Empty for what is not ELF or not linked. Raises as `read_elf`.
    """
    with open_elf(path) as source:
        if source is None:
            return ()
        image = Image(source)
        if unlinked_kind(image) is not None:
            return ()
        image.check_segments()
        found: set[str] = set()
        glued: set[str] = set()
        for start, end in _constants(image):
            _search(image, start, end, found, glued)
        found |= {name for each in glued if (name := _among(each, is_soname))}
        return tuple(sorted(found))


def _constants(image: Image) -> Iterator[tuple[int, int]]:
    """Yield the file ranges that hold constants, without the dynamic string table."""
    address, size = image.tags.get(elf.DT_STRTAB), image.tags.get(elf.DT_STRSZ, 0)
    table = image.locate("DT_STRTAB", address)[0] if address is not None else 0
    # ld.bfd without -z separate-code, and gold: headers, constants and code in one.
    mixed = any(s.offset == 0 and s.flags & elf.PF_X for s in image.loads)
    for segment in image.loads:
        if segment.flags & elf.PF_W or (segment.flags & elf.PF_X and not mixed):
            continue
        start, end = segment.offset, min(segment.offset + segment.filesz, image.source.size)
        if start <= table < end:
            yield start, table
            start = min(table + size, end)
        yield start, end


def _search(image: Image, start: int, end: int, found: set[str], glued: set[str]) -> None:
    name, in_a_row = re.compile(_NAME), re.compile(_GLUED)
    while start < end and len(found) < _MOST:
        # One byte more in front tells whether a string begins here, and the
        # chunks overlap by the longest name.
        first = max(start - 1, 0)
        size = min(_CHUNK, end - first)
        data = image.source.read(first, size, "constants")
        for match in name.finditer(data, start - first):
            before = match.start() - 1
            # Printable ASCII in front: the tail of a path or a sentence.
            if before < 0 or not 0x20 <= data[before] < 0x7F:
                found.add(match.group()[:-1].decode("ascii"))
        for match in in_a_row.finditer(data, start - first):
            if len(glued) < _MOST:
                glued.add(match.group().decode("ascii"))
        if first + size >= end:
            return
        start = first + size - _LONGEST


def _among(text: str, is_soname: Callable[[str], bool]) -> str:
    """Give the soname that a text ends in, but for digits of what follows it; or ""."""
    stem, dot_so, version = text.partition(".so")
    # "/liblibXi.so.6" ends in one: what begins behind a slash is a path's last part.
    begins = [match.start() for match in re.finditer("(?<!/)lib", stem)]
    ends = range(len(version), 1, -1)  # libXi.so.62, before "2 files"
    names = (f"{stem[begin:]}{dot_so}{version[:end]}" for begin in begins for end in ends)
    return next((name for name in names if is_soname(name)), "")

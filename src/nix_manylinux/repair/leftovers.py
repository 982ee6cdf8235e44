"""Paths of the Nix store that are left in a file: on other machines they lead nowhere."""

from __future__ import annotations

import os
import re

from nix_manylinux.base.store import HASH
from nix_manylinux.elf.read import is_elf
from nix_manylinux.elf.symbols import section_at
from nix_manylinux.repair.model import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: A whole one, with its hash: what only spells the folder's name hurts nobody.
_STORE_PATH = b"/" + HASH.encode() + rb"[0-9A-Za-z+\-._?=]+(?:/[0-9A-Za-z+\-._?=@%~]+)*"
#: Bytes that are looked through at a time, and those of a path that are shown at most.
_PIECE, _LONGEST = 1 << 20, 256
#: So many are named of each file.
_FEW = 3


def store_paths(path: str, label: str, stores: Sequence[str]) -> Iterator[Finding]:
    """Find what a file still says of stores: the first few paths, each with its section."""
    raws = [os.fsencode(store) + b"/" for store in stores]
    pattern = b"(?:" + b"|".join(re.escape(raw[:-1]) for raw in raws) + b")" + _STORE_PATH
    found: dict[tuple[str, bytes], None] = {}
    with open(path, "rb", buffering=0) as file:
        elf, size = is_elf(file.read(4)), os.fstat(file.fileno()).st_size
        for start, data in _pieces(file.fileno()):
            if any(data.find(raw) >= 0 for raw in raws):
                for match in re.finditer(pattern, data):
                    if match.end() == len(data) and start + len(data) < size:
                        continue  # it goes on, and is in the next piece as a whole
                    section = section_at(path, start + match.start()) if elf else ""
                    found[section, match[0]] = None
                    if len(found) == _FEW:
                        break
            if len(found) == _FEW:
                break
    for section, text in found:
        debug = section.startswith((".debug", ".zdebug", ".symtab", ".strtab", ".stab"))
        where = f" ({section})" if section else ""
        yield Finding("debug path" if debug else "store path", f"{text.decode()}{where}", (label,))


def _pieces(descriptor: int) -> Iterator[tuple[int, bytes]]:
    """Read a file in pieces, each with the end of the one before it, as no path is longer."""
    start, kept = 0, b""
    while piece := os.pread(descriptor, _PIECE, start):
        data = kept + piece
        yield start - len(kept), data
        start += len(piece)
        kept = data[-_LONGEST:]

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
    found: dict[tuple[str, bytes], None] = {}
    with open(path, "rb", buffering=0) as file:
        elf = is_elf(file.read(4))
        for place, text in _spelt(file.fileno(), [os.fsencode(store) for store in stores]):
            found[section_at(path, place) if elf else "", text] = None
            if len(found) == _FEW:
                break
    for section, text in found:
        debug = section.startswith((".debug", ".zdebug", ".symtab", ".strtab", ".stab"))
        where = f" ({section})" if section else ""
        yield Finding("debug path" if debug else "store path", f"{text.decode()}{where}", (label,))


def _spelt(descriptor: int, stores: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Give the paths of stores in a file, and where: some twice, since pieces overlap."""
    pattern = b"(?:" + b"|".join(map(re.escape, stores)) + b")" + _STORE_PATH
    end, data, size = 0, b"", os.fstat(descriptor).st_size
    while piece := os.pread(descriptor, _PIECE, end):
        # With the end of the piece before it, as no path is longer.
        data = data[-_LONGEST:] + piece
        end += len(piece)
        if any(store + b"/" in data for store in stores):
            for match in re.finditer(pattern, data):
                if match.end() < len(data) or end >= size:  # else the next piece has it as a whole
                    yield end - len(data) + match.start(), match[0]

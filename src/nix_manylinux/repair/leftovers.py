"""Paths of the Nix store that are left in a file: on other machines they lead nowhere."""

from __future__ import annotations

import mmap
import os
import re

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf.properties import section_at
from nix_manylinux.elf.read import is_elf
from nix_manylinux.repair.model import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: A whole one, with its hash: what only spells the folder's name hurts nobody.
_STORE_PATH = rb"/[0-9a-df-np-sv-z]{32}-[0-9A-Za-z+\-._?=]+(?:/[0-9A-Za-z+\-._?=@%~]+)*"
#: So many are named of each file.
_FEW = 3


def store_paths(path: str, label: str, stores: Sequence[str]) -> Iterator[Finding]:
    """Find what a file still says of stores: the first few paths, each with its section."""
    if os.path.getsize(path) == 0:
        return
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        named = [raw for raw in map(os.fsencode, stores) if data.find(raw + b"/") >= 0]
        if not named:
            return
        pattern = b"(?:" + b"|".join(map(re.escape, named)) + b")" + _STORE_PATH
        elf = is_elf(data[:4])
        found: dict[tuple[str, bytes], None] = {}
        for match in re.finditer(pattern, data):
            section = _section(path, match.start()) if elf else ""
            found[section, match[0]] = None
            if len(found) == _FEW:
                break
    for section, text in found:
        debug = section.startswith((".debug", ".zdebug", ".symtab", ".strtab", ".stab"))
        where = f" ({section})" if section else ""
        yield Finding("debug path" if debug else "store path", f"{text.decode()}{where}", (label,))


def _section(path: str, offset: int) -> str:
    try:
        return section_at(path, offset)
    except BadElf:
        return ""

"""What in files leads to where a wheel was built: paths of the Nix store, scripts' first lines."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from nix_manylinux.base.store import HASH
from nix_manylinux.elf.read import is_elf
from nix_manylinux.elf.symbols import section_at
from nix_manylinux.repair.model import Finding

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


#: "#!/nix/store/HASH-NAME/bin/python3.12 -E"
_IN_STORE = b"/" + HASH.encode() + rb"[^\s/]+/(?:[^\s/]+/)*([^\s/]+)([^\n]*)"
_PYTHON = rb"python[0-9.]*t?"

#: What a program that was moved into site-packages is started by: installers put a script's
#: Python into its first line, and that one knows where its packages are.
_LAUNCHER = """\
#!python
import os
import sys

for folder in sys.path:
    program = os.path.join(folder, {folder!r}, {name!r})
    if os.path.isfile(program):
        os.execv(program, sys.argv)
sys.exit({missing!r})
"""


def portable_shebang(head: bytes, stores: Sequence[str], *, script: bool) -> bytes | None:
    """Give a first line in place of one that names a Nix store; None where that is no matter.

    ``head`` is how the file begins, without the end of its line. An installer writes its
    own Python into a ``script`` of the wheel (Binary distribution format); other files are
    found on PATH.
    """
    named = b"|".join(re.escape(os.fsencode(store)) for store in stores)
    match = re.fullmatch(b"#![ \\t]*(?:" + named + b")" + _IN_STORE, head)
    if match is None:
        return None
    program, arguments = match[1], match[2].rstrip()
    if program == b"env":
        # What patchShebangs makes of "env -S python3 -E" names the store twice.
        split = arguments.split(maxsplit=1)
        inner = b"#!" + split[1] if split[:1] == [b"-S"] and split[1:] else b""
        return portable_shebang(inner, stores, script=script) or b"#!/usr/bin/env" + arguments
    if re.fullmatch(_PYTHON, program):
        if script:
            return b"#!python" + arguments
        program = b"python3"
    if program == b"sh":
        return b"#!/bin/sh" + arguments
    # The kernel gives env all that follows as one word, unless -S splits it.
    return b"#!/usr/bin/env " + (b"-S " if arguments else b"") + program + arguments


def launcher(folder: str, name: str) -> bytes:
    """Write the script that starts a program which was moved to a folder of site-packages."""
    missing = f"{folder}/{name} is in no folder of sys.path"
    return _LAUNCHER.format(folder=folder, name=name, missing=missing).encode()

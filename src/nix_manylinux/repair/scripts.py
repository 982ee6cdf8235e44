"""Scripts and programs of a wheel that must not depend on where it was built."""

from __future__ import annotations

import os
import re

from nix_manylinux.base.store import HASH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

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

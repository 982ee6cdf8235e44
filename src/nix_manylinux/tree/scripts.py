"""Scripts, and whether what their first line names can start them."""

from __future__ import annotations

import os

#: execve(2) reads so much of a file (BINPRM_BUF_SIZE).
FIRST_BYTES = 256
#: What NixOS and builds have outside of a store; a build has only the first.
_EVERYWHERE = frozenset({"/bin/sh", "/usr/bin/env"})


def interpreter_of(first_bytes: bytes) -> str:
    """Give the absolute path that the ``#!`` line names; "" for none.

    ``#!python`` is none: installers put the interpreter there.
    """
    if not first_bytes.startswith(b"#!"):
        return ""
    words = first_bytes[2:FIRST_BYTES].split(b"\n", 1)[0].split()
    path = os.fsdecode(words[0]) if words else ""
    return path if path.startswith("/") else ""


def is_strange_to_nix(interpreter: str, store: str) -> bool:
    """Whether a system that has only what Nix puts there may lack an interpreter."""
    return (
        bool(interpreter)
        and interpreter not in _EVERYWHERE
        and not (interpreter.startswith(f"{store}/"))
    )

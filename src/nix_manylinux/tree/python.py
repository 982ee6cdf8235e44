"""The Python files of a tree, its scripts, and the names of extension modules."""

from __future__ import annotations

import os
from collections.abc import Iterator

from nix_manylinux.base.files import read_small

#: "x.cpython-312-x86_64-linux-gnu.so", "x.abi3.so", "x.pypy310-pp73-…so": only Python's.
#: What stands between the module and that is the name of a variant. Patterns: few runs ask.
TAGGED_MODULE = r"(?P<module>[^.]+)\.(?P<variant>[^/]+\.)?(?:cpython-|abi3|pypy)[^/]*\.?so"
#: What may be one, and any library as well: the function that Python calls tells.
PLAIN_MODULE = r"(?P<module>[A-Za-z_][A-Za-z0-9_]*)\.so"

#: Bytes of a Python file that is still read: generated tables reach megabytes.
_MAX_SOURCE = 8 << 20


def is_script(name: str) -> bool:
    """Whether an installer puts a wheel's member into ``bin``, as its specification has it."""
    return ".data/scripts/" in name


def python_source(name: str) -> bool:
    """Whether a file is Python's source, by its name."""
    return name.endswith(".py")


def opens_for_cffi(path: str) -> bool:
    """Whether a file is cffi's module, which opens what ``ffi.dlopen`` is given."""
    return path.rpartition("/")[2].startswith("_cffi_backend.")


def python_sources(root: str) -> Iterator[tuple[str, bytes]]:
    """Give path, relative to ``root``, and contents of each Python file below it, in order.

    Links to files are followed: an environment may be made of them. Of what can't be read,
    is no file or is larger than 8 MiB the contents are empty.
    """
    for folder, folders, names in os.walk(root):
        folders.sort()
        inner = os.path.relpath(folder, root)
        for name in filter(python_source, sorted(names)):
            yield name if inner == "." else f"{inner}/{name}", read_source(f"{folder}/{name}")


def read_source(path: str) -> bytes:
    """Read a Python file; empty where it can't be, is none, or is larger than 8 MiB."""
    try:
        return read_small(path, _MAX_SOURCE)
    except OSError:
        return b""


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

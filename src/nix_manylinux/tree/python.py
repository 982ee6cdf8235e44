"""The Python files of a tree and what they say, and the names of extension modules."""

from __future__ import annotations

import os
import re

from nix_manylinux.base.files import read_small

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: "x.cpython-312-x86_64-linux-gnu.so", "x.abi3.so", "x.pypy310-pp73-…so": only Python's.
#: What stands between the module and that is the name of a variant.
TAGGED_MODULE = re.compile(
    r"(?P<module>[^.]+)\.(?P<variant>[^/]+\.)?(?:cpython-|abi3|pypy)[^/]*\.?so"
)
#: What may be one, and any library as well: the function that Python calls tells.
PLAIN_MODULE = re.compile(r"(?P<module>[A-Za-z_][A-Za-z0-9_]*)\.so")

#: Bytes of a Python file that is still read: generated tables reach megabytes.
_MAX_SOURCE = 8 << 20


def python_source(name: str) -> bool:
    """Whether a file is Python's source, by its name."""
    return name.endswith(".py")


def python_sources(root: str) -> Iterator[tuple[str, bytes]]:
    """Give path, relative to ``root``, and contents of each Python file below it, in order.

    Links to files are followed: an environment may be made of them. Of what can't be read,
    is no file or is larger than 8 MiB the contents are empty.
    """
    for folder, folders, names in os.walk(root):
        folders.sort()
        inner = os.path.relpath(folder, root)
        for name in filter(python_source, sorted(names)):
            yield name if inner == "." else f"{inner}/{name}", _read(f"{folder}/{name}")


def _read(path: str) -> bytes:
    try:
        return read_small(path, _MAX_SOURCE)
    except OSError:
        return b""

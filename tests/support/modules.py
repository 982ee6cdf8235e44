"""Extension modules, and libraries for them, that need no header of Python's: for wheels to repair.

A `Workshop` is a folder like a small Nix store: each library in a folder of its own, whose
name is as long as a store path's, found by absolute search paths.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from typing import TYPE_CHECKING

from tests.support.elf import ElfBuilder
from tests.support.isolation import Sandbox
from tests.support.wheels import MadeWheel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: A module ``made._ext`` with a number ``value``; PyModuleDef by hand, as 64-bit machines have it.
MODULE = """
extern void *PyModule_Create2(void *, int);
extern int PyModule_AddIntConstant(void *, const char *, long);
static struct {{ long count; void *type, *init; long index; void *copy;
  const char *name, *doc; long size; void *rest[5]; }} def = {{1, 0, 0, 0, 0, "_ext", 0, -1}};
{declarations}
void *PyInit__ext(void) {{
  void *made = PyModule_Create2(&def, 1013);
  PyModule_AddIntConstant(made, "value", {value});
  return made;
}}
"""
EXT = f"_ext{sysconfig.get_config_var('EXT_SUFFIX')}"
TAG = f"cp3{sys.version_info.minor}-cp3{sys.version_info.minor}-linux_x86_64"


class Workshop:
    """Builds libraries under made-up store paths below ``root``, and wheels that want them."""

    def __init__(self, root: Path, letter: str = "a") -> None:
        self.root = root / "store"
        self.letter = letter
        self.files = ElfBuilder(root / "built")

    def folder(self, name: str) -> Path:
        """Give the ``lib`` of a package; another letter makes another hash of the same length."""
        place = self.root / f"{self.letter * 32}-{name}" / "lib"
        place.mkdir(parents=True, exist_ok=True)
        return place

    def library(
        self,
        name: str,
        function: str,
        value: str,
        *,
        needs: Sequence[Path] = (),
        file: str | None = None,
        flags: Sequence[str] = (),
        versions: str | None = None,
    ) -> Path:
        """Build lib``name`` with ``int function(void)``, which gives ``value``, and install it."""
        soname = f"lib{name}.so.1"
        others = "".join(f"extern int {path.name[3:].partition('.')[0]}(void);\n" for path in needs)
        built = self.files.library(
            soname,
            source=f"{others}int {function}(void) {{ return {value}; }}\n",
            soname=soname,
            needs=needs,
            runpath=":".join(str(path.parent) for path in needs) or None,
            # A build-id is a hash of the search path, too.
            flags=["-Wl,--build-id=none", *flags],
            versions=versions,
        )
        place = self.folder(name) / (file or soname)
        shutil.copy(built, place)
        if file:
            (place.parent / soname).symlink_to(file)
        return place.parent / soname

    def module(
        self,
        value: str,
        needs: Sequence[Path],
        *,
        runpath: str | None = None,
        flags: Sequence[str] = (),
        needed: Sequence[str] = (),
    ) -> bytes:
        """Build the module, which finds ``needs`` by absolute paths unless told otherwise."""
        calls = "".join(f"extern int {p.name[3:].partition('.')[0]}(void);\n" for p in needs)
        if runpath is None:
            runpath = ":".join(dict.fromkeys(str(path.parent) for path in needs))
        return self.files.library(
            EXT,
            source=MODULE.format(declarations=calls, value=value),
            needs=needs,
            needed=needed,
            runpath=runpath or None,
            libc=True,
            flags=["-Wl,--build-id=none", *flags],
        ).read_bytes()


def wheel_of(module: bytes, **more: bytes) -> MadeWheel:
    """Make the wheel ``made`` of a module, and of more members by their names."""
    files = {"made/__init__.py": b"from made._ext import value\n", f"made/{EXT}": module, **more}
    return MadeWheel(tag=TAG, files=files)


def system_sandbox(*visible: str) -> Sandbox:
    """Give a sandbox with this Python and the system's libraries; no test's folder is in it."""
    places = ["/usr", "/lib", "/lib64", "/bin", sys.base_prefix, *visible]
    there = dict.fromkeys(place for place in places if os.path.exists(place))
    return Sandbox(binds=tuple((os.path.realpath(place), place) for place in there))


def python() -> str:
    """Give the interpreter as the sandbox has it: none of a virtual environment's."""
    name = f"python3.{sys.version_info.minor}"
    return os.path.join(sys.base_prefix, "bin", name)

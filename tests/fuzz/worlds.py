"""Worlds made of any bytes: libraries, search paths and versions that contradict each other."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, TypeVar

from tests.support.world import AARCH64, TREE, X86_64, World

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf.facts import ElfFacts, ElfKind, VersionNeed
from nix_manylinux.tree.facts import TreeFacts, TreeFile
from nix_manylinux.wheel.metadata import Distribution

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

NAMES = ("liba.so.1", "libb.so.1", "libc.so.6", "libd.so", "libcuda.so.1", "libm.so.6", "x")
FOLDERS = (TREE, f"{TREE}/pkg", f"{TREE}/pkg.libs", f"{TREE}/deep/er", "/lib1", "/lib2", "/lib3")
PATHS = (
    "$ORIGIN", "${ORIGIN}/../pkg.libs", "$ORIGIN/../..", "$ORIGIN/../deep/er", "/lib1", "/lib2",
    "/gone", "", "relative", "$LIB", "$ORIGINAL", "//lib3/", "/lib1/../lib3", "/out/pkg", "/a:b",
)  # fmt: skip
VERSIONS = ("A_1", "A_2", "GLIBC_2.2.5", "GLIBC_2.99", "")


class Take:
    """Choices, read off bytes; when they are used up the first choice is always taken."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, below: int) -> int:
        """Take a number."""
        byte = self._data[self._at] if self._at < len(self._data) else 0
        self._at += 1
        return byte % below

    def one(self, of: Sequence[T]) -> T:
        """Take one of a sequence."""
        return of[self.number(len(of))]

    def some(self, of: Sequence[T], most: int) -> tuple[T, ...]:
        """Take up to ``most``, in any order, the same one twice too."""
        return tuple(self.one(of) for _ in range(self.number(most + 1)))


def facts(take: Take) -> ElfFacts:
    """Take one ELF file."""
    shape = take.number(16)
    path = ":".join(take.some(PATHS, 3)) if shape & 1 else None
    kind = ElfKind.LIBRARY
    if shape == 14:
        kind = ElfKind.PROGRAM
    elif shape == 15:
        kind = take.one(tuple(ElfKind))
    needed = take.some(NAMES, 3)
    return ElfFacts(
        machine=AARCH64 if shape == 13 else X86_64,
        kind=kind,
        soname=take.one((None, *NAMES)),
        needed=needed,
        rpath=path if shape & 2 else None,
        runpath=path if not shape & 2 or shape == 7 else None,
        interpreter="/lib64/ld-linux-x86-64.so.2" if kind is ElfKind.PROGRAM else None,
        needs=tuple(
            VersionNeed(library=take.one(NAMES), version=take.one(VERSIONS), weak=shape == 5)
            for _ in range(take.number(3))
        ),
        defines=take.some(VERSIONS, 2),
        filters=take.some(NAMES, 1) if shape == 9 else (),
        auxiliary=take.some(NAMES, 1) if shape == 11 else (),
        executable_stack=shape == 12,
        no_default_path=shape == 6,
    )


class Folders(World):
    """A disk that knows ``..`` in a directory's name, as a real one does."""

    def real(self, path: str) -> str:
        """Normalise: the root is its own parent."""
        return posixpath.normpath("/" + path.lstrip("/"))

    def names(self, directory: str) -> frozenset[str]:
        """Give the names in the directory that is meant."""
        return super().names(self.real(directory))

    def exists(self, path: str) -> bool:
        """Whether there is such a file, by any of its names."""
        return super().exists(self.real(path))


def world(take: Take) -> tuple[Folders, TreeFacts]:
    """Take a disk, and the tree on it that is to be patched."""
    disk = Folders()
    inside: dict[str, ElfFacts] = {}
    for _ in range(1 + take.number(8)):
        path = f"{take.one(FOLDERS)}/{take.one(NAMES)}"
        what = take.number(20)
        if path.startswith(f"{TREE}/"):
            inside[path.removeprefix(f"{TREE}/")] = disk.files[path] = facts(take)
        elif what == 19:
            disk.files[path] = BadElf("is damaged", where=path)
        elif what == 18:
            disk.files[path] = None
        else:
            disk.files[path] = facts(take)
    tree = TreeFacts(
        root=TREE,
        files=tuple(
            TreeFile(path=path, label=path, facts=each, size=100, mode=0o100644)
            for path, each in sorted(inside.items())
        ),
        distributions=(Distribution(folder="demo-1.dist-info", name="demo", version="1"),),
        site_packages=("",),
    )
    return disk, tree

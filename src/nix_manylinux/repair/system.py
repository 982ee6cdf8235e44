"""A system that keeps a policy and has nothing else: what a loader would find there.

It is no machine's: a wheel for s390x is judged on any other. The libraries that the
policy promises are files without contents in one directory that nothing else is in.
"""

from __future__ import annotations

import re
from functools import cache

from nix_manylinux.elf.facts import ElfFacts, ElfKind, Machine
from nix_manylinux.resolve.loader import Loader
from nix_manylinux.target.libc import GLIBC_LOADERS, is_glibc_loader, musl_linker
from nix_manylinux.target.policy import load_policies
from nix_manylinux.target.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nix_manylinux.target.policy import Policy
    from nix_manylinux.tree.disk import Disk

_LIBPYTHON = r"libpython\d+\.\d+[a-z]*\.so(\.\d+)*"

#: Where the libraries of the policy are; no such directory is on any disk.
PROMISED = "//promised"

#: Architectures whose psABI has glibc's linker in /lib64; musl's is in /lib on all (INSTALL).
_IN_LIB64 = frozenset({"x86_64", "ppc64le", "ppc64", "loongarch64"})
_USUAL = frozenset({"/lib", "/lib32", "/lib64", "/libx32", "/usr/lib", "/usr/lib64"})


class System:
    """The file system of such a machine: a tree, the disk, and what the policy promises.

    ``promised`` says of a soname whether the system has it; then no other directory
    outside of the tree is looked at for it. ``taken`` gets what the loader has from there.
    """

    def __init__(
        self,
        disk: Disk,
        root: str,
        machine: Machine,
        promised: Callable[[str], bool],
        taken: set[str],
        *,
        python: bool,
    ) -> None:
        self._disk, self._inside, self._machine = disk, f"{root}/", machine
        self._promised, self._taken = promised, taken
        #: Whether a Python is there already, as for all that it loads.
        self._python = python

    def find(self, directory: str, name: str) -> str | None:
        """Return the path of ``name`` in ``directory``, None where it can't be opened."""
        promised = self._promised(name) or (self._python and is_libpython(name))
        if directory == PROMISED:
            if not promised:
                return None
            self._taken.add(name)
            return f"{PROMISED}/{name}"
        if not f"{directory}/".startswith(self._inside) and promised:
            return None
        return self._disk.find(directory, name)

    def is_directory(self, path: str) -> bool:
        """Whether there is a directory of that name."""
        return path == PROMISED or self._disk.is_directory(path)

    def facts(self, path: str) -> ElfFacts | None:
        """Return the facts of a file; what is promised has every version that is asked of it."""
        if path.startswith(PROMISED):
            name = path.rpartition("/")[2]
            return ElfFacts(machine=self._machine, kind=ElfKind.LIBRARY, soname=name)
        return self._disk.facts(path)

    def real(self, path: str) -> str:
        """Return what tells one file from another."""
        return path if path.startswith(PROMISED) else self._disk.real(path)


def promises(policy: Policy, arch: str) -> Callable[[str], bool]:
    """Give what says of a soname whether a policy promises it, its linker's among them."""
    names = load_policies().promised(policy, arch)
    prefixes = ("libc.musl-", "ld-musl-") if policy.libc == "musl" else ()
    return lambda soname: soname in names or is_glibc_loader(soname) or soname.startswith(prefixes)


def loaders_of(
    disk: Disk,
    root: str,
    machine: Machine,
    policy: Policy,
    promised: Callable[[str], bool],
    *,
    taken: set[str] | None = None,
    libraries: tuple[str, ...] = (),
    version: tuple[int, ...] | None = None,
) -> Callable[[ElfFacts | None], Loader]:
    """Give what gives the linker of such a system for a file: for a program, without a Python.

    ``taken`` gets the names that it takes from the policy; ``libraries`` are searched last.
    """
    target = Target(
        machine=machine,
        libc=policy.libc,
        libc_version=version or policy.version,
        dynamic_linker=f"{PROMISED}/ld.so",
        libc_directory=PROMISED,
        libc_sonames={"libc.so.6": f"{PROMISED}/libc.so.6"} if policy.libc == "glibc" else {},
    )
    names = set[str]() if taken is None else taken

    @cache
    def make(python: bool) -> Loader:  # noqa: FBT001 - all that there is to say
        system = System(disk, root, machine, promised, names, python=python)
        return Loader(target, system, default=(PROMISED,), elsewhere=libraries)

    return lambda facts: make(facts is None or not embeds_python(facts))


def portable_interpreter(present: str | None, libc: str, arch: str) -> str | None:
    """Give the interpreter that a file is to get in place of ``present``; None where that stays."""
    if present is None or present.rpartition("/")[0] in _USUAL:
        return None
    if libc == "musl":
        return f"/lib/{musl_linker(arch)}"
    return f"{'/lib64' if arch in _IN_LIB64 else '/lib'}/{GLIBC_LOADERS[arch][0]}"


def is_libpython(name: str) -> bool:
    """Whether a soname is Python's own.

    Extension modules need not name it, and must not (PEP 513): a Python loads them, and
    most are not linked to it. A program that embeds Python needs it as any other library.
    """
    return re.fullmatch(_LIBPYTHON, name) is not None


def embeds_python(facts: ElfFacts) -> bool:
    """Whether a file is a program that brings its Python along."""
    return facts.kind is ElfKind.PROGRAM and any(map(is_libpython, facts.needed))

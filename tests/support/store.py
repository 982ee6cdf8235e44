"""Library directories that look like a Nix store, made of this machine's libraries.

One directory for each package, ``ROOT/<32 characters>-<package>/lib``; every
library knows the directories of its own dependencies by RUNPATH, as in a real
store, so that nothing but the libc is looked up anywhere else. The libc is a
package too, with its dynamic linker, and so is the interpreter.

A store is made once for a set of sonames and kept in the cache directory: its
paths stand in its files, so it can't be moved.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import sysconfig
import time
from dataclasses import dataclass
from functools import cache
from glob import glob
from json import dumps, loads
from typing import TYPE_CHECKING

from tests.support import host

from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Nix's own base 32: no e, o, t and u.
_DIGITS = "0123456789abcdfghijklmnpqrsvwxyz"

_UNWANTED = shutil.ignore_patterns(
    "test", "tests", "__pycache__", "site-packages", "dist-packages", "idlelib", "tkinter",
    "turtledemo", "lib2to3", "ensurepip", "config-*", "*.a", "_tkinter*", "_test*",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A finished store: package names to their directories, and what is special.

    ``providers`` says for each soname which package has it. ``python`` is an
    interpreter that needs nothing from outside of the store.
    ``default_directory`` is where the dynamic linker looks by itself, and
    ``host_linker`` where programs that were never patched expect it: a
    sandbox shows the store's libc in both places.
    """

    root: str
    packages: dict[str, str]
    providers: dict[str, str]
    dynamic_linker: str
    python: str
    default_directory: str
    host_linker: str

    def libraries(self, *packages: str) -> tuple[str, ...]:
        """List the ``lib`` directories of these packages; of all but libc and Python for none."""
        names = packages or sorted(set(self.packages) - {"glibc", "python"})
        return tuple(os.path.join(self.packages[name], "lib") for name in names)

    def providing(self, *sonames: str) -> tuple[str, ...]:
        """List the ``lib`` directories with these sonames, each once, in this order."""
        return tuple(
            dict.fromkeys(
                os.path.join(self.packages[self.providers[name]], "lib") for name in sonames
            )
        )

    @property
    def libc(self) -> str:
        """The directory of the libc and its dynamic linker."""
        return os.path.dirname(self.dynamic_linker)


def cache_directory() -> str:
    """Where stores and wheels are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "nix-manylinux")


def host_store(sonames: Iterable[str] | None = None) -> Store:
    """Give the store with these sonames and all that they need; with everything for None.

    Made on first use, by one process at a time. A soname that this machine
    lacks is left out: whoever wants it finds out by name.
    """
    return _host_store(None if sonames is None else tuple(sonames))


@cache
def _host_store(sonames: tuple[str, ...] | None) -> Store:
    libraries = _closure(host.shared_libraries(), sonames)
    key = _key(libraries)
    place = os.path.join(cache_directory(), f"store-{key[:16]}")
    root, manifest = os.path.join(place, "store"), os.path.join(place, "made")
    os.makedirs(place, exist_ok=True)
    with open(os.path.join(place, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(manifest):
            shutil.rmtree(root, ignore_errors=True)
            os.mkdir(root)
            made = _Builder(root, libraries).build()
            with open(manifest, "w", encoding="utf-8") as file:
                file.write(dumps(made))
            _forget_old_stores()
        os.utime(manifest)
    with open(manifest, encoding="utf-8") as file:
        fields = loads(file.read())
    return Store(root=root, **fields)


def _forget_old_stores() -> None:
    """Remove the stores that nobody has used for three days: other libraries, or older code."""
    for place in glob(os.path.join(cache_directory(), "store-*")):
        manifest = os.path.join(place, "made")
        if os.path.exists(manifest) and time.time() - os.path.getmtime(manifest) > 3 * 86400:
            os.unlink(manifest)
            shutil.rmtree(place, ignore_errors=True)


def base32(digest: bytes) -> str:
    """Write a digest's first 160 bits in the 32 characters of a store path."""
    number = int.from_bytes(digest[:20], "little")
    return "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(32)))


@dataclass(frozen=True, slots=True)
class _Library:
    """One of the host's libraries: its file, and the sonames that it needs."""

    path: str
    needed: tuple[str, ...]


def _interpreter_files() -> list[str]:
    """List the ELF files of the interpreter: itself and its extension modules."""
    dynload = _extension_modules()
    modules = [os.path.join(dynload, name) for name in sorted(os.listdir(dynload))]
    return [_base_executable(), *(path for path in modules if path.endswith(".so"))]


def _extension_modules() -> str:
    """Find the folder of the standard library's extension modules, inside an environment too."""
    version = "python{}.{}".format(*sys.version_info[:2])
    return os.path.join(sys.base_exec_prefix, sys.platlibdir, version, "lib-dynload")


def _base_executable() -> str:
    """Find the interpreter that a virtual environment was made from, links followed."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    return os.path.realpath(base)


def _closure(available: dict[str, str], sonames: Iterable[str] | None) -> dict[str, _Library]:
    """Gather what the sonames and the interpreter need, without the libc, by soname."""
    libc = host.glibc_sonames() - {"libcrypt.so.1"}
    wanted = list(available) if sonames is None else list(sonames)
    for path in _interpreter_files():
        wanted += host.needed_names(path)
    available = dict(available)
    found: dict[str, _Library] = {}
    while wanted:
        name = wanted.pop()
        if name in found or name in libc or name not in available:
            continue
        library = _Library(available[name], host.needed_names(available[name]))
        found[name] = library
        wanted += library.needed
        # What a package keeps to itself is in no cache: its own path leads there (libpulse).
        for private in host.private_libraries(library.path, library.needed, available):
            available.setdefault(os.path.basename(private), private)
    return dict(sorted(found.items()))


def _key(libraries: dict[str, _Library]) -> str:
    """Digest everything that the store is made from."""
    digest = hashlib.sha256(f"{sys.version} {_base_executable()}".encode())
    for module in (__file__, host.__file__):
        with open(module, "rb") as file:
            digest.update(file.read())
    for name, library in libraries.items():
        stat = os.stat(library.path)
        digest.update(f"{name} {library.path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


class _Builder:
    """Copies libraries into place and gives each the directories of what it needs."""

    def __init__(self, root: str, libraries: dict[str, _Library]) -> None:
        self.root = root
        self.libraries = libraries
        self.available = {
            **host.shared_libraries(),
            **{name: library.path for name, library in libraries.items()},
        }
        owners = host.owners([library.path for library in libraries.values()])
        self.providers = {
            name: owners.get(library.path, name.split(".so")[0])
            for name, library in libraries.items()
        }
        self.packages = {name: self.path_of(name) for name in sorted(set(self.providers.values()))}

    def path_of(self, package: str) -> str:
        """Where a package goes: the hash covers its name and the store's place."""
        digest = hashlib.sha256(f"{self.root}/{package}".encode()).digest()
        return os.path.join(self.root, f"{base32(digest)}-{package}")

    def build(self) -> dict[str, object]:
        """Make every package; returns the fields of the `Store`."""
        linker = self.copy_libc()
        for name, library in self.libraries.items():
            self.copy_library(name, library)
        python = self.copy_python(linker)
        return {
            "packages": self.packages,
            "providers": self.providers,
            "dynamic_linker": linker,
            "python": python,
            "default_directory": os.path.dirname(os.path.realpath(self.available["libc.so.6"])),
            "host_linker": dynamic_linker(_base_executable()),
        }

    def copy_libc(self) -> str:
        """Copy the dynamic linker and the libc's own libraries; returns the linker's path."""
        linker = dynamic_linker(_base_executable())
        self.packages["glibc"] = self.path_of("glibc")
        folder = os.path.join(self.packages["glibc"], "lib")
        os.makedirs(folder)
        for name in sorted(host.glibc_sonames() - {"libcrypt.so.1"}):
            if name in self.available:
                shutil.copy(self.available[name], os.path.join(folder, name))
        shutil.copy(linker, os.path.join(folder, os.path.basename(linker)))
        return os.path.join(folder, os.path.basename(linker))

    def copy_library(self, name: str, library: _Library) -> None:
        """Copy one library under its real name, with a link of its soname."""
        folder = os.path.join(self.packages[self.providers[name]], "lib")
        os.makedirs(folder, exist_ok=True)
        real = os.path.join(folder, os.path.basename(os.path.realpath(library.path)))
        if not os.path.exists(real):
            shutil.copy(library.path, real)
            self.link(real, library.needed)
        if os.path.basename(real) != name:
            os.symlink(os.path.basename(real), os.path.join(folder, name))

    def link(self, path: str, needed: tuple[str, ...], *, linker: str | None = None) -> None:
        """Set the search path of one copy to the directories of what it needs."""
        folders = dict.fromkeys(
            os.path.join(self.packages[self.providers[name]], "lib")
            for name in needed
            if name in self.providers
        )
        os.chmod(path, 0o700)
        edit_file(path, ElfEdit(search_path=tuple(folders), interpreter=linker))

    def copy_python(self, linker: str) -> str:
        """Copy the interpreter with its standard library; returns the program's path."""
        self.packages["python"] = self.path_of("python")
        version = "python{}.{}".format(*sys.version_info[:2])
        program = os.path.join(self.packages["python"], "bin", version)
        os.makedirs(os.path.dirname(program))
        shutil.copy(_base_executable(), program)
        self.link(program, host.needed_names(program), linker=linker)
        target = os.path.join(self.packages["python"], "lib", version)
        shutil.copytree(sysconfig.get_path("stdlib"), target, ignore=_UNWANTED, symlinks=False)
        dynload = os.path.join(target, "lib-dynload")
        if not os.path.isdir(dynload):
            shutil.copytree(_extension_modules(), dynload, ignore=_UNWANTED)
        for name in sorted(os.listdir(dynload)):
            path = os.path.join(dynload, name)
            self.link(path, host.needed_names(path))
        return program


def dynamic_linker(program: str) -> str:
    """Read the PT_INTERP of a program."""
    facts = read_elf(program)
    if facts is None or facts.interpreter is None:
        message = f"{program} has no dynamic linker"
        raise ValueError(message)
    return facts.interpreter


def fake_store_path(root: str, name: str) -> str:
    """Make a new, empty directory ``root/<hash>-<name>/lib``, for libraries made by a test."""
    digest = hashlib.sha256(f"{root}/{name}".encode()).digest()
    path = os.path.join(root, f"{base32(digest)}-{name}", "lib")
    os.makedirs(path)
    return path

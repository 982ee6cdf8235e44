"""Where dynamic linkers are on the systems that policies promise, for PT_INTERP of programs."""

from __future__ import annotations

from nix_manylinux.target.libc import GLIBC_LOADERS, musl_linker

#: Architectures whose psABI has glibc's linker in /lib64; musl's is in /lib on all (INSTALL).
_IN_LIB64 = frozenset({"x86_64", "ppc64le", "ppc64", "loongarch64"})
_USUAL = frozenset({"/lib", "/lib32", "/lib64", "/libx32", "/usr/lib", "/usr/lib64"})


def portable_interpreter(present: str | None, libc: str, arch: str) -> str | None:
    """Give the interpreter that a file is to get in place of ``present``; None where that stays."""
    if present is None or present.rpartition("/")[0] in _USUAL:
        return None
    if libc == "musl":
        return f"/lib/{musl_linker(arch)}"
    return f"{'/lib64' if arch in _IN_LIB64 else '/lib'}/{GLIBC_LOADERS[arch][0]}"

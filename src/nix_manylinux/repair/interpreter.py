"""Where dynamic linkers are on the systems that policies promise, for PT_INTERP of programs."""

from __future__ import annotations

#: By libc and architecture: the psABIs' paths for glibc, and INSTALL's for musl.
STANDARD = {
    ("glibc", "x86_64"): "/lib64/ld-linux-x86-64.so.2",
    ("glibc", "i686"): "/lib/ld-linux.so.2",
    ("glibc", "aarch64"): "/lib/ld-linux-aarch64.so.1",
    ("glibc", "armv7l"): "/lib/ld-linux-armhf.so.3",
    ("glibc", "ppc64le"): "/lib64/ld64.so.2",
    ("glibc", "ppc64"): "/lib64/ld64.so.1",
    ("glibc", "s390x"): "/lib/ld64.so.1",
    ("glibc", "riscv64"): "/lib/ld-linux-riscv64-lp64d.so.1",
    ("glibc", "loongarch64"): "/lib64/ld-linux-loongarch-lp64d.so.1",
    ("musl", "x86_64"): "/lib/ld-musl-x86_64.so.1",
    ("musl", "i686"): "/lib/ld-musl-i386.so.1",
    ("musl", "aarch64"): "/lib/ld-musl-aarch64.so.1",
    ("musl", "armv7l"): "/lib/ld-musl-armhf.so.1",
    ("musl", "ppc64le"): "/lib/ld-musl-powerpc64le.so.1",
    ("musl", "s390x"): "/lib/ld-musl-s390x.so.1",
    ("musl", "riscv64"): "/lib/ld-musl-riscv64.so.1",
    ("musl", "loongarch64"): "/lib/ld-musl-loongarch64.so.1",
}
_USUAL = frozenset({"/lib", "/lib32", "/lib64", "/libx32", "/usr/lib", "/usr/lib64"})


def portable_interpreter(present: str | None, libc: str, arch: str) -> str | None:
    """Give the interpreter that a file is to get in place of ``present``; None where that stays."""
    if present is None or present.rpartition("/")[0] in _USUAL:
        return None
    return STANDARD.get((libc, arch))

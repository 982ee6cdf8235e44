"""The matrix that edits are tried on: compilers, linkers, machines, kinds of file.

Each `Case` builds one library and one program that uses it, runs them with
the kernel of this machine or with qemu-user, and knows what it printed. The
cross compilers bring a glibc to run with; zig makes files of machines that
have no compiler here, which can't be run, only read back.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.elf import layout_of, without_sections

if TYPE_CHECKING:
    from pathlib import Path

#: What a file can have that an edit might harm: thread-local storage, relocations
#: of data, constructors, versions, and (where the machine has it) an IFUNC.
LIBRARY = """
#include <stdio.h>
#include <string.h>
__thread int counter = 7;
static int started;
static void __attribute__((constructor)) start(void) { started = 1; }
#ifdef WITH_IFUNC
static int chosen(void) { return 34; }
static int (*resolve(void))(void) { return chosen; }
int indirect(void) __attribute__((ifunc("resolve")));
#else
int indirect(void) { return 34; }
#endif
const char *names[] = {"a", "b", "c"};
static char zeros[5000];
int demo(void) {
    for (unsigned i = 0; i < sizeof zeros; i++) if (zeros[i]) return -1;
    memset(zeros, 1, sizeof zeros);
    return indirect() + counter + (names[1][0] == 'b' ? started : 100);
}
"""
PROGRAM = """
#include <stdio.h>
extern int demo(void);
static char zeros[9000];
int main(void) {
    for (unsigned i = 0; i < sizeof zeros; i++) if (zeros[i]) return 9;
    printf("demo %d\\n", demo());
    return 0;
}
"""
OUTPUT = "demo 42\n"


@dataclass(frozen=True, slots=True)
class Case:
    """One way to make files: a command, and how what it makes is run."""

    name: str
    compiler: tuple[str, ...]
    flags: tuple[str, ...] = ()
    runner: tuple[str, ...] = ()
    ifunc: bool = True
    pie: bool = True

    def missing(self) -> str | None:
        """Name the tool that this machine lacks, None where nothing is missing."""
        for tool in (self.compiler[0], *self.runner[:1]):
            if shutil.which(tool) is None:
                return tool
        for flag in self.flags:
            linker = flag.removeprefix("-fuse-ld=")
            if linker != flag and not any(shutil.which(name) for name in (f"ld.{linker}", linker)):
                return linker
        return None

    def build(self, folder: Path) -> tuple[Path, Path]:
        """Make libdemo.so and a program that needs it, with no search path of their own."""
        folder.mkdir(parents=True, exist_ok=True)
        library, program = folder / "libdemo.so", folder / "demo"
        if not program.exists():
            (folder / "library.c").write_text(LIBRARY)
            (folder / "program.c").write_text(PROGRAM)
            extra = ["-DWITH_IFUNC"] if self.ifunc else []
            compile_ = [*self.compiler, "-O1", *self.flags]
            _run(
                [
                    *compile_,
                    *extra,
                    "-shared",
                    "-fPIC",
                    "-Wl,-soname,libdemo.so",
                    "-o",
                    str(library),
                    str(folder / "library.c"),
                ]
            )
            kind = ["-fPIE", "-pie"] if self.pie else ["-fno-pie", "-no-pie"]
            _run([*compile_, *kind, "-o", str(program), str(folder / "program.c"), str(library)])
        return library, program

    def run(self, program: Path) -> str:
        """Start the program, every symbol bound at once, and return all that it said."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("LD_")}
        done = subprocess.run(
            [*self.runner, str(program)],
            capture_output=True,
            text=True,
            check=False,
            env={**env, "LD_BIND_NOW": "1"},
            timeout=120,
        )
        return done.stdout if done.returncode == 0 else f"exit {done.returncode}: {done.stderr}"


def bare(data: bytes) -> bytes:
    """End the file where its last segment ends, as ``llvm-strip --strip-sections`` does."""
    layout = layout_of(data)
    header = layout.header(data)
    table = data[header.phoff : header.phoff + header.phnum * header.phentsize]
    end = max(segment.offset + segment.filesz for segment in layout.segments(table))
    return without_sections(data)[:end]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")


def _cross(name: str, prefix: str, qemu: str, *, pie: bool = True, ifunc: bool = True) -> Case:
    return Case(
        f"{name}-{'pie' if pie else 'exec'}",
        (f"{prefix}-gcc",),
        runner=(f"qemu-{qemu}", "-L", f"/usr/{prefix}"),
        pie=pie,
        ifunc=ifunc,
    )


NATIVE = tuple(
    Case(f"x86_64-{linker}-{name}", ("gcc",), (f"-fuse-ld={linker}", *flags), pie=name != "exec")
    for linker in ("bfd", "gold", "lld", "mold")
    for name, flags in (
        ("pie", ()),
        ("exec", ()),
        ("2m", ("-Wl,-z,max-page-size=0x200000",)),
        ("sysv", ("-Wl,--hash-style=sysv", "-s", "-Wl,--build-id=none")),
    )
)
CROSS = tuple(
    case
    for name, prefix, qemu, ifunc in (
        ("i686", "i686-linux-gnu", "i386", True),
        ("aarch64", "aarch64-linux-gnu", "aarch64", True),
        ("armv7l", "arm-linux-gnueabihf", "arm", True),
        ("ppc64le", "powerpc64le-linux-gnu", "ppc64le", True),
        ("s390x", "s390x-linux-gnu", "s390x", True),
        ("riscv64", "riscv64-linux-gnu", "riscv64", False),
    )
    for case in (
        _cross(name, prefix, qemu, ifunc=ifunc),
        _cross(name, prefix, qemu, ifunc=ifunc, pie=False),
    )
)
MUSL = Case("x86_64-musl", ("musl-gcc",), ifunc=False)

"""Other machines and other libcs, as cross compilers bring them."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support import host
from tests.support.isolation import Sandbox
from tests.support.store import fake_store_path


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossTarget:
    """A libc and library directories for another machine, in a test's own folder.

    ``options`` are the command's, for this target; ``sysroot`` holds nothing
    but the libc, where its loader looks by itself.
    """

    triple: str
    linker: str
    sysroot: str
    options: tuple[str, ...]

    @property
    def compiler(self) -> str:
        """The C compiler that makes programs for it."""
        return f"{self.triple}-gcc"


#: What Debian's cross compilers call a machine, and its dynamic linker.
LINKERS = {
    "aarch64-linux-gnu": "ld-linux-aarch64.so.1",
    "i686-linux-gnu": "ld-linux.so.2",
    "powerpc64le-linux-gnu": "ld64.so.2",
    "s390x-linux-gnu": "ld64.so.1",
}


def cross_target(triple: str, folder: Path) -> CrossTarget:
    """Lay out a store for another machine: its glibc, libgcc and libstdc++ a path each."""
    there = Path("/usr", triple, "lib")
    root = str(folder / "store")
    glibc = fake_store_path(root, f"glibc-{triple}")
    for name in sorted(host.glibc_sonames()):
        if (there / name).exists():
            shutil.copy(there / name, glibc)
    zlib = fake_store_path(root, "zlib")
    _stand_in(triple, "libz.so.1", zlib)
    options = ["--dynamic-linker", os.path.join(glibc, LINKERS[triple]), "--libc", glibc]
    options += ["--libs", zlib]
    for name in ("libgcc_s.so.1", "libstdc++.so.6"):
        place = fake_store_path(root, name.partition(".")[0])
        shutil.copy(there / name, place)
        options += ["--libs", place]
    sysroot = folder / "sysroot"
    sysroot.mkdir()
    shutil.copytree(glibc, sysroot / "lib")
    return CrossTarget(
        triple=triple,
        linker=os.path.join(glibc, LINKERS[triple]),
        sysroot=str(sysroot),
        options=tuple(options),
    )


def _stand_in(triple: str, soname: str, folder: str) -> None:
    """Compile a library that exports what the host's of that name does, and does nothing.

    Debian has no cross package of it, and it is only to be found and bound.
    """
    output = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=posix", host.shared_libraries()[soname]],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = {line.split()[0].partition("@")[0] for line in output.splitlines()}
    source = os.path.join(folder, "source.c")
    functions = (f"int {name}(void) {{ return 0; }}\n" for name in sorted(names) if name.islower())
    Path(source).write_text("".join(functions), encoding="ascii")
    command = [f"{triple}-gcc", "-w", "-fno-builtin", "-shared", "-fPIC", "-nostdlib"]
    command += [f"-Wl,-soname,{soname}", "-o", os.path.join(folder, soname), source]
    subprocess.run(command, check=True)
    os.unlink(source)


def emulated(target: CrossTarget, *visible: str) -> tuple[Sandbox, tuple[str, ...]]:
    """Give a sandbox with qemu in it, and the command that starts programs of the target."""
    machine = target.triple.partition("-")[0]
    qemu = shutil.which(f"qemu-{machine}")
    if qemu is None:
        message = f"qemu-{machine} is not installed"
        raise FileNotFoundError(message)
    output = subprocess.run(["ldd", qemu], capture_output=True, text=True, check=False).stdout
    own = [word for word in output.split() if word.startswith("/")]
    paths = [qemu, *own, target.sysroot, *visible]
    binds = tuple((os.path.realpath(path), path) for path in dict.fromkeys(paths))
    return Sandbox(binds=binds), (qemu, "-L", target.sysroot)


#: Where Debian's package has musl's loader, which is its libc too.
MUSL_LINKER = "/lib/ld-musl-x86_64.so.1"


def musl_version() -> tuple[int, ...]:
    """Read the version that musl's loader gives of itself."""
    ran = subprocess.run([MUSL_LINKER], capture_output=True, text=True, check=False)
    (line,) = (line for line in ran.stderr.splitlines() if line.startswith("Version "))
    return tuple(int(number) for number in line.split()[1].split("."))


def musl_sandbox(*visible: str) -> Sandbox:
    """Give a sandbox whose only libc is musl."""
    binds = [(os.path.realpath(MUSL_LINKER), MUSL_LINKER), *((path, path) for path in visible)]
    return Sandbox(binds=tuple(binds))

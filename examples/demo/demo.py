"""Take numpy from PyPI, link it to library directories like Nix's, import it alone.

Run by ``./dev demo``, which sets up what this needs: a machine with Python, and
a way to hide the machine's own libraries (bubblewrap, or root for a chroot).
The library directories are made of this machine's libraries, one for each
package, as in a Nix store; with Nix you would name the real ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile

from tests.support.installed import command, library_options, target_options, unpack
from tests.support.isolation import mechanism, sandbox
from tests.support.mapped import MAPPED_FILES
from tests.support.store import host_store

#: The wheels of the story, with their hashes; the newest numpy for a Python that is newer.
LOCK = os.path.join(os.path.dirname(__file__), "../../locks/demo-wheel.txt")

#: What manylinux wheels may leave to the system, as far as this machine has it.
SONAMES = ("libstdc++.so.6", "libgcc_s.so.1", "libz.so.1")

#: Runs inside: uses numpy, then lists every file that the process has mapped.
IMPORT = f"""
import numpy
matrix = numpy.arange(9.0).reshape(3, 3) + numpy.eye(3)
assert numpy.allclose(numpy.linalg.inv(matrix) @ matrix, numpy.eye(3))
print("numpy", numpy.__version__, "inverts a matrix")
{MAPPED_FILES}
print(*sorted(path for path in mapped_files() if path.startswith("/")), sep="\\n")
"""


def main() -> int:
    """Tell the story; returns the exit status."""
    with tempfile.TemporaryDirectory(prefix="nix-manylinux-demo-") as folder:
        return Story(folder).tell()


class Story:
    """One run in a temporary folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.wheel = download(folder)
        self.store = host_store(SONAMES)
        names = [name for name in SONAMES if name in self.store.providers]
        self.directories = self.store.providing(*names)
        self.box = sandbox(self.store, folder)

    def tell(self) -> int:
        """Print each step as it happens; returns the exit status."""
        say(f"STORE={self.store.root}")
        name = os.path.basename(self.wheel)
        say(f"\n1. From PyPI: {name}, with {elf_files(self.wheel)} ELF files.")
        say("\n2. One directory for each library package, as in a Nix store:")
        self.show([*self.directories, self.store.dynamic_linker])
        say(f"\n3. Where only those, the libc and Python can be seen ({mechanism()}), it fails:")
        before = self.attempt(self.wheel, "before")
        lines = [line for line in before.splitlines() if "cannot open" in line] or [before[-200:]]
        self.show(lines[:1])
        if before.startswith("numpy"):
            say("It should not have: this machine's libraries are not hidden.")
            return 1

        say("\n4. Patched:")
        output = os.path.join(self.folder, "patched")
        options = [*target_options(self.store), *library_options(self.directories)]
        words = ["patch", self.wheel, "--output-dir", output, *options]
        self.show(["nix-manylinux " + " ".join(words).replace(" --", " \\\n         --")])
        ran = command(*words)
        self.show(ran.stderr.strip().splitlines())
        if ran.status != 0:
            return ran.status

        say("\n5. In the same place it works:")
        after = self.attempt(os.path.join(output, name), "after")
        return self.judge(after.strip().splitlines())

    def attempt(self, wheel: str, name: str) -> str:
        """Install a wheel and import numpy with nothing else in sight; returns what was said."""
        site = unpack(wheel, os.path.join(self.folder, name))
        environment = {"PYTHONPATH": site, "PYTHONDONTWRITEBYTECODE": "1"}
        ran = self.box.run([self.store.python, "-c", IMPORT], environment=environment)
        if ran.returncode == 0:
            return ran.stdout
        return ran.stderr or f"the interpreter ended with status {ran.returncode}"

    def judge(self, said: list[str]) -> int:
        """Print what numpy said and which libraries it took; 0 if all is well."""
        if not said[0].startswith("numpy"):
            self.show(said[-3:])
            return 1
        python = os.path.dirname(os.path.dirname(self.store.python))
        own = [path for path in said[1:] if path.startswith(self.folder)]
        known = [path for path in said[1:] if path not in own and not path.startswith(python)]
        self.show([said[0], f"{len(own)} files of the wheel are mapped, and of all others only:"])
        self.show([f"  {path}" for path in known])
        say(
            "     A process has one libc, that of the program which runs: here this machine's"
            " Python brings its own.\n     On Nix that is the libc that --libc named, and"
            " programs of the wheel get it by their interpreter."
        )
        outside = [path for path in said[1:] if not self.box.allows(path)]
        for path in outside:
            say(f"Not from what it was given: {path}")
        return 1 if outside else 0

    def show(self, lines: list[str]) -> None:
        """Print lines with the long names of places made short."""
        for line in lines:
            say("     " + line.replace(self.store.root, "$STORE").replace(self.folder, "."))


def say(line: str) -> None:
    """Print one line of the story at once."""
    print(line, flush=True)


def download(folder: str) -> str:
    """Fetch numpy's wheel for this interpreter; exits with pip's words if there is none."""
    for wanted in (["--require-hashes", "--requirement", LOCK], ["numpy"]):
        words = ["download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        words += ["--only-binary", ":all:", "--dest", folder, *wanted]
        ran = subprocess.run(
            [sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False
        )
        if ran.returncode == 0:
            (name,) = (name for name in os.listdir(folder) if name.endswith(".whl"))
            return os.path.join(folder, name)
    raise SystemExit(f"numpy can't be had with pip:\n{ran.stderr}")


def elf_files(wheel: str) -> int:
    """Count the ELF files in a wheel, by content."""
    with zipfile.ZipFile(wheel) as archive:
        return sum(archive.open(name).read(4) == b"\x7fELF" for name in archive.namelist())


if __name__ == "__main__":
    sys.exit(main())

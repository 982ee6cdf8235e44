"""Builds on the two rings: the package sets that the tests of the Nix side run on.

Ring one is the small nixpkgs under tests/nix/ring-one. With
``NIX_MANYLINUX_NIXPKGS`` set to a nixpkgs tree the same tests run on that one
(ring two), built with this machine's tools by the expression that
``NIX_MANYLINUX_NIXPKGS_HOST`` names.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.support.isolation import Sandbox
from tests.support.nix import environment, nix_path, store_directory
from tests.support.store import cache_directory

HERE = Path(__file__).resolve().parents[1] / "nix"

#: Arguments that are Nix paths; all others are text.
_PATHS = frozenset({"lock", "lockWheels", "project", "pureWheels", "realWheels", "uv"})


class NixMissing(RuntimeError):
    """What these tests can't do without, and how to get it."""


class BuildFailed(RuntimeError):
    """A build or an evaluation that ended badly; ``log`` is all that was said."""

    def __init__(self, what: str, log: str) -> None:
        super().__init__(f"{what} failed:\n{log[-6000:]}")
        self.log = log


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An output that was built, and what the build said (empty if it was there already)."""

    path: str
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Nix:
    """One way of calling Nix: the environment of its store, the arguments of the ring's set."""

    environment: dict[str, str]
    store: str
    arguments: dict[str, str] = field(default_factory=dict)

    def build(self, attribute: str, file: str = "default.nix", **arguments: str) -> Built:
        """Build ``attribute`` of a file of tests/nix and return its path.

        Raises BuildFailed, with the log, where Nix doesn't.
        """
        done = self._run(
            ["nix-build", "--no-out-link", str(HERE / file), "-A", attribute], arguments
        )
        return Built(path=done.stdout.split()[-1], log=done.stderr)

    def check(self, attribute: str, file: str = "default.nix", **arguments: str) -> None:
        """Build what is built once more; BuildFailed where the output is not the same."""
        command = ["nix-build", "--no-out-link", "--check", str(HERE / file), "-A", attribute]
        self._run(command, arguments)

    def fails(self, attribute: str, file: str = "default.nix", **arguments: str) -> str:
        """Build what must not build, and return what was said."""
        try:
            built = self.build(attribute, file, **arguments)
        except BuildFailed as error:
            return error.log
        raise AssertionError(f"{attribute} was built: {built.path}\n{built.log}")

    def evaluate(self, attribute: str, file: str = "default.nix", **arguments: str) -> object:
        """Evaluate ``attribute`` to JSON, strictly."""
        command = ["nix-instantiate", "--eval", "--strict", "--json"]
        done = self._run([*command, str(HERE / file), "-A", attribute], arguments)
        value: object = json.loads(done.stdout)
        return value

    def shell(self, attribute: str, script: str, folder: str) -> str:
        """Run a script in ``folder`` as in `nix-shell`, and return its output."""
        command = ["nix-shell", str(HERE / "default.nix"), "-A", attribute, "--run", script]
        return self._run(command, {}, folder=folder).stdout

    def development_environment(self, attribute: str) -> str:
        """Return the script that `nix develop` sources."""
        command = [
            "nix",
            "print-dev-env",
            "--impure",
            "--file",
            str(HERE / "default.nix"),
            attribute,
        ]
        return self._run(command, {}).stdout

    def log(self, path: str) -> str:
        """Read what the build of a store path said, however long ago."""
        return self._run(["nix-store", "--read-log", path], None).stdout

    def references(self, path: str) -> list[str]:
        """List the store paths that a store path names."""
        return self._run(["nix-store", "-q", "--references", path], None).stdout.split()

    def closure(self, path: str) -> list[str]:
        """List a store path and everything that it names, on and on."""
        return self._run(["nix-store", "-qR", path], None).stdout.split()

    @property
    def python(self) -> str:
        """The ring's interpreter as its folder is called: "python3.11"."""
        version = self.arguments.get("pythonVersion", "3.11")
        return "python" + ".".join(version.split(".")[:2])

    def _run(
        self, command: list[str], arguments: dict[str, str] | None, folder: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        if arguments is not None:
            for name, value in {**self.arguments, **arguments}.items():
                kind = "--arg" if name in _PATHS else "--argstr"
                command += [kind, name, nix_path(value) if name in _PATHS else value]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",  # Nix cuts the lines of a progress bar at any byte
            check=False,
            env=self.environment,
            timeout=1200,
            cwd=folder,
        )
        if done.returncode:
            raise BuildFailed(" ".join(command), done.stdout + done.stderr)
        return done


def unhashed(path: str) -> str:
    """Give a path below a store without the store and the hash, wherever the store is."""
    return re.sub(r"^.*?/[0-9a-df-np-sv-z]{32}-", "", path)


def ring() -> str:
    """Which ring the tests are on: "one", or "two" where a nixpkgs tree is given."""
    return "two" if os.environ.get("NIX_MANYLINUX_NIXPKGS") else "one"


@cache
def nix(which: str = "") -> Nix:
    """Find Nix and everything that a ring is made of; NixMissing names what is absent.

    The ring is the one that was asked for, unless it is named.
    """
    if shutil.which("nix-build") is None:
        raise NixMissing("the Nix tests need Nix: apt-get install nix-bin")
    for command, package in {"gcc": "gcc", "patchelf": "patchelf", "strip": "binutils"}.items():
        if not any(os.access(f"/usr/{place}bin/{command}", os.X_OK) for place in ("", "local/")):
            raise NixMissing(f"the Nix tests build with {command}: apt-get install {package}")
    # What a shell left behind would change the builds of ours that look at it.
    settings = {**environment(), "PYTHONPATH": "", "NIX_PYTHON_MANYLINUX": ""}
    return Nix(
        environment=settings, store=store_directory(), arguments=_ring_arguments(which or ring())
    )


def _ring_arguments(which: str) -> dict[str, str]:
    arguments = {"pureWheels": pure_wheels()}
    if which == "two":
        if not os.environ.get("NIX_MANYLINUX_NIXPKGS_HOST"):
            raise NixMissing(
                "ring two needs NIX_MANYLINUX_NIXPKGS_HOST: the folder of the expression that "
                "builds a nixpkgs tree with this machine's tools"
            )
        return {**arguments, "ring": "two"}
    executable, version = python()
    return {**arguments, "pythonExecutable": executable, "pythonVersion": version}


@cache
def python() -> tuple[str, str]:
    """Find the interpreter that becomes the rings' python3: CPython 3.11 if there is one.

    The real wheels of the list are cp311; any other Python runs the rest.
    """
    found = shutil.which("python3.11", path="/usr/bin:/usr/local/bin")
    # Not sys.executable: in a virtual environment that is only a link.
    executable = found or str(getattr(sys, "_base_executable", sys.executable))
    done = subprocess.run(
        [executable, "-c", "import platform; print(platform.python_version())"],
        capture_output=True,
        text=True,
        check=True,
    )
    return executable, done.stdout.strip()


def zig_folder() -> str:
    """Find where ziglang, of PyPI, has its program; NixMissing without it."""
    found = find_spec("ziglang")
    if found is None or not found.submodule_search_locations:
        raise NixMissing("a compiler for old glibcs is missing: pip install ziglang")
    return next(iter(found.submodule_search_locations))


def store_alone(nix: Nix) -> Sandbox:
    """Give a place where nothing but the store is visible, and its libc for the default."""
    libc = nix.build("interpreter.glibc").path + "/lib"
    places = ((nix.store, nix.store), (libc, "/lib64"), (libc, "/lib/x86_64-linux-gnu"))
    return Sandbox(binds=places)


def pure_wheels() -> str:
    """Fill a folder with the wheels of locks/stand-ins.txt, by pip, and return it.

    The folder is the lock's: another lock has another.
    """
    lock = Path(__file__).parents[2] / "locks" / "stand-ins.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    folder = os.path.join(cache_directory(), f"nix-stand-ins-{digest[:16]}")
    os.makedirs(cache_directory(), exist_ok=True)
    with open(f"{folder}.lock", "w", encoding="ascii") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        if not os.path.isdir(folder):
            with tempfile.TemporaryDirectory(dir=cache_directory()) as place:
                made = os.path.join(place, "made")
                command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
                command += ["--disable-pip-version-check", "--only-binary", ":all:"]
                command += ["--require-hashes", "--requirement", str(lock), "--dest", made]
                subprocess.run(command, check=True)
                os.rename(made, folder)
    return folder

"""Wheels unpacked as an installer does it, and the command run on what comes of it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.support.store import Store


def site_packages(prefix: str) -> str:
    """Give the site-packages of a prefix, for the Python that runs the tests."""
    version = "python{}.{}".format(*sys.version_info[:2])
    return os.path.join(prefix, "lib", version, "site-packages")


def unpack(wheel: str, prefix: str, *, interpreter: str = sys.executable) -> str:
    """Install a wheel into ``prefix`` as ``$out`` of a Nix build; returns its site-packages.

    Every row of RECORD is checked first. ``interpreter`` goes into the
    shebangs. Raises what `installer` raises.
    """
    libraries = site_packages(prefix)
    scheme = {
        "purelib": libraries,
        "platlib": libraries,
        "headers": os.path.join(prefix, "include"),
        "scripts": os.path.join(prefix, "bin"),
        "data": prefix,
    }
    destination = SchemeDictionaryDestination(scheme, interpreter, "posix")
    with warnings.catch_warnings(), WheelFile.open(Path(wheel)) as source:
        # Some wheels carry bytecode, which installer leaves out and says so.
        warnings.filterwarnings("ignore", "Skip installing .*__pycache__", RuntimeWarning)
        source.validate_record(validate_contents=True)
        install(source, destination, additional_metadata={})
    return libraries


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a run of the command gave back."""

    status: int
    stdout: str
    stderr: str


def command(*arguments: str, environment: Mapping[str, str] | None = None) -> Ran:
    """Run ``nix-manylinux`` in a process of its own, as a user would; every status is returned."""
    # By import, not by the script's path: a checkout is tested through PYTHONPATH too.
    start = "from nix_manylinux.cli.main import main; raise SystemExit(main())"
    outcome = subprocess.run(
        [sys.executable, "-c", start, *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env={**os.environ, **(environment or {})},
        check=False,
    )
    return Ran(status=outcome.returncode, stdout=outcome.stdout, stderr=outcome.stderr)


def target_options(store: Store) -> list[str]:
    """Spell out a store's libc as the target of a run."""
    return ["--dynamic-linker", store.dynamic_linker, "--libc", store.libc]


def library_options(directories: Iterable[str]) -> list[str]:
    """Give each directory as a ``--libs`` of a run."""
    return [word for path in directories for word in ("--libs", path)]


def fingerprint(root: str) -> dict[str, tuple[int, int, str]]:
    """Record mode, inode and digest (or link target) of everything below a directory."""
    found: dict[str, tuple[int, int, str]] = {}
    for folder, folders, files in os.walk(root):
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            stat = os.lstat(path)
            if os.path.islink(path):
                content = os.readlink(path)
            elif os.path.isfile(path):
                content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            else:
                content = ""
            found[os.path.relpath(path, root)] = (stat.st_mode, stat.st_ino, content)
    return found

"""Packages built here from their sources, repaired: auditwheel's tags, and imports elsewhere.

What is on this machine decides what they are linked to: Debian's libraries, with the
packages that `PACKAGES` names. It takes twenty minutes, and is done when it is asked for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.modules import python, system_sandbox
from tests.wheels.corpus import wheel as corpus_wheel

import nix_manylinux as nm

pytestmark = pytest.mark.asked_for("NIX_MANYLINUX_SDISTS")

#: Requirement -> what to import, and the Debian packages that it is built with.
PACKAGES = {
    "brotli==1.1.0": ("brotli", ""),
    "cffi==2.0.0": ("_cffi_backend", "libffi-dev"),
    "greenlet==3.2.3": ("greenlet", ""),
    "h5py==3.14.0": ("h5py", "libhdf5-dev"),
    "lxml==6.0.0": ("lxml.etree", "libxml2-dev libxslt1-dev"),
    "lz4==4.4.4": ("lz4.frame", ""),
    "markupsafe==3.0.2": ("markupsafe._speedups", ""),
    "msgpack==1.1.1": ("msgpack._cmsgpack", ""),
    "pillow==11.3.0": ("PIL._imaging", "libjpeg-dev zlib1g-dev"),
    "psycopg2==2.9.10": ("psycopg2", "libpq-dev"),
    "pyyaml==6.0.2": ("yaml._yaml", "libyaml-dev"),
    "regex==2025.7.34": ("regex", ""),
    "shapely==2.1.1": ("shapely", "libgeos-dev"),
    "ujson==5.10.0": ("ujson", ""),
    "uwsgi==2.0.30": ("", ""),
}
#: Requirement -> the beginning of the name of a wheel that it imports.
NUMPY = "numpy-2.4.6-cp311-cp311-manylinux"
ALSO = {"h5py==3.14.0": NUMPY, "shapely==2.1.1": NUMPY}
SYSTEM = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu")


def built(requirement: str, folder: Path) -> Path:
    """Build a wheel from its source distribution, once for all runs of a folder."""
    name, _, version = requirement.partition("==")
    kept = Path(os.environ["NIX_MANYLINUX_SDISTS"])
    folder = kept if kept.is_dir() else folder
    start = f"{name}-{version}-"
    found = [path for path in folder.iterdir() if path.name.lower().startswith(start)]
    if not found:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        command += [f"--no-binary={name}", "--wheel-dir", str(folder), requirement]
        subprocess.run(command, check=True)
        return built(requirement, folder)
    return found[0]


@pytest.mark.parametrize("requirement", PACKAGES)
def test_a_package_from_its_source(requirement: str, tmp_path: Path) -> None:
    """The tag is auditwheel's, every graft is found under its own name, and it imports."""
    module, needs = PACKAGES[requirement]
    wheel = built(requirement, tmp_path)
    folders = [folder for folder in SYSTEM if os.path.isdir(folder)]
    done = nm.repair_wheel(
        wheel,
        output_dir=tmp_path / "ours",
        libraries=nm.LibraryIndex.from_directories(folders),
    )
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    theirs = subprocess.run(
        [sys.executable, "-m", "auditwheel", "repair", str(wheel), "-w", str(tmp_path / "theirs")],
        capture_output=True, text=True, check=False, env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert theirs.returncode == 0, f"{theirs.stderr}\n(built with {needs or 'nothing more'})"
    (other,) = (tmp_path / "theirs").iterdir()
    assert set(done.platforms) <= set(other.stem.rpartition("-")[2].split("."))
    home = tmp_path / "in"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    others = [corpus_wheel(ALSO[requirement])] if requirement in ALSO else []
    subprocess.run([*command, "--prefix", str(home), done.path, *others], check=True)
    site = next(home.glob("lib/python3*/site-packages"))
    maps = "print([line.split()[-1] for line in open('/proc/self/maps') if '.libs/' in line])"
    code = f"import {module}\n{maps}" if module else maps
    ran = system_sandbox(str(home)).run(
        [python(), "-c", code], environment={"PYTHONPATH": str(site)}
    )
    assert ran.returncode == 0, ran.stderr
    if module and done.grafts:
        assert any(os.path.basename(graft.member) in ran.stdout for graft in done.grafts)
    for program in (home / "bin").iterdir() if (home / "bin").is_dir() else ():
        box = system_sandbox(str(home), os.path.dirname(os.path.dirname(sys.executable)))
        ran = box.run([str(program), "--version"], environment={"PYTHONPATH": str(site)})
        assert ran.returncode == 0, ran.stderr
    again = nm.repair_wheel(
        done.path, output_dir=tmp_path / "again", libraries=nm.LibraryIndex.from_directories([])
    )
    assert Path(again.path).read_bytes() == Path(done.path).read_bytes()
    shutil.rmtree(tmp_path)

"""Real wheels, patched as trees and as wheels: everything in them loads, alone.

The quick part of the list; ``./dev wheels`` runs all of it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import installer
import packaging
import pytest
from tests.support.installed import (
    command,
    fingerprint,
    library_options,
    target_options,
    unpack,
)
from tests.support.isolation import sandbox
from tests.support.loading import open_libraries
from tests.support.store import Store, host_store
from tests.wheels import corpus
from tests.wheels.runner import elf_files, run_wheel

import nix_manylinux

pytestmark = pytest.mark.wheels

#: What the quick part needs of the system: C and C++, zlib, GL, X11, glib.
SONAMES = (
    "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1", "libGL.so.1", "libX11.so.6", "libXext.so.6",
    "libSM.so.6", "libICE.so.6", "libxcb.so.1", "libglib-2.0.so.0", "libgthread-2.0.so.0",
)  # fmt: skip

NUMPY = "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64"

#: The start of each wheel's name, and how many libraries and programs it has.
QUICK = {
    NUMPY: (22, 0),
    "numpy-1.17.3": (21, 0),
    "pandas-": (45, 0),
    "pillow-": (26, 0),
    "lxml-": (7, 0),
    "cryptography-50.0.2-cp311-abi3-manylinux2014_x86_64": (1, 0),
    "opencv_python-": (41, 0),
    # What pip picks; a library in it has a PT_INTERP of one byte.
    "opencv_python-5.0.0.93-cp37-abi3-manylinux_2_28": (42, 0),
    "psycopg2_binary-": (16, 0),
    "pyproj-": (15, 0),
    "ruff-": (0, 1),
    "ninja-": (0, 1),
}


@pytest.fixture(scope="module")
def store() -> Store:
    """Make the store of the quick part."""
    return host_store(SONAMES)


@pytest.mark.parametrize("mode", ["tree", "wheel"])
@pytest.mark.parametrize("start", QUICK)
def test_everything_loads(start: str, mode: str, store: Store, tmp_path: Path) -> None:
    """Every library opens with all its symbols, every program reaches main, nothing is missing.

    What each process had loaded is what the simulation says.
    """
    result = run_wheel(corpus.wheel(start), store, mode=mode, work=str(tmp_path))
    assert result.refused == ""
    assert result.failures == {}
    assert result.unresolved == {}
    assert result.differences == {}
    assert result.again == []
    assert (result.libraries, result.programs) == QUICK[start]


@pytest.mark.parametrize(
    ("alike", "programs"),
    [
        (False, 4),
        pytest.param(True, 124, marks=pytest.mark.asked_for("NIX_MANYLINUX_WHOLE_LIST")),
    ],
)
def test_torch_loads(store: Store, tmp_path: Path, *, alike: bool, programs: int) -> None:
    """All of torch's 12 libraries open, and a program of each layout starts; all 124 if asked for.

    They are its own tests, made by one linker from one library: each costs a
    start with a library of 434 MB.
    """
    wheel = corpus.wheel_if_here("torch-")
    result = run_wheel(wheel, store, mode="tree", work=str(tmp_path), alike=alike)
    assert result.refused == ""
    failures = result.failures
    if "-cp311-" in wheel and sys.version_info[:2] != (3, 11):  # which lacks its private names
        failures = {f: why for f, why in failures.items() if "undefined symbol: _Py" not in why}
    assert failures == {}
    assert (result.libraries, result.programs) == (12, programs)


def patched_wheel(store: Store, start: str, folder: Path, *more: str) -> str:
    """Patch a wheel of the list into ``folder``; returns the new one's path."""
    wheel = corpus.wheel(start)
    options = [*target_options(store), *library_options(store.libraries())]
    ran = command("patch", wheel, "--output-dir", str(folder), *options, *more)
    assert ran.status == 0, ran.stderr
    return str(folder / os.path.basename(wheel))


def test_pip_and_installer_take_it(store: Store, tmp_path: Path) -> None:
    """A patched wheel installs with pip and with a strict installer, and all of it loads."""
    wheel = patched_wheel(store, NUMPY, tmp_path / "patched")
    by_pip, by_installer = tmp_path / "pip", tmp_path / "installer"
    python = [sys.executable, "-m"]
    pip = [*python, "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    # Whatever Python runs this: the wheel is for 3.11.
    pip += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.11"]
    pip += ["--abi", "cp311", "--platform", "manylinux2014_x86_64"]
    subprocess.run([*pip, "--no-index", "--target", str(by_pip), wheel], check=True)
    strict = [*python, "installer", "--validate-record", "all", "--no-compile-bytecode"]
    subprocess.run([*strict, "--prefix", str(by_installer), wheel], check=True)
    for folder in (by_pip, by_installer):
        libraries, _ = elf_files(str(folder))
        assert len(libraries) == QUICK[NUMPY][0]
        loaded = open_libraries(sandbox(store, str(folder)), libraries)
        assert not [one for one in loaded.values() if not one.ok]


@pytest.mark.parametrize("start", [NUMPY, "ninja-", "pyproj-"])
def test_a_second_patch_changes_nothing(start: str, store: Store, tmp_path: Path) -> None:
    """Patched again, a tree keeps every byte, inode and mode, and a wheel its hash."""
    options = [*target_options(store), *library_options(store.libraries())]
    tree = tmp_path / "tree"
    unpack(corpus.wheel(start), str(tree))
    original = fingerprint(str(tree))
    assert command("patch", str(tree), *options).status == 0
    once = fingerprint(str(tree))
    assert once != original
    assert command("patch", str(tree), *options).status == 0
    assert fingerprint(str(tree)) == once
    wheel = patched_wheel(store, start, tmp_path / "once")
    again = tmp_path / "again"
    assert command("patch", wheel, "--output-dir", str(again), *options).status == 0
    assert (again / os.path.basename(wheel)).read_bytes() == Path(wheel).read_bytes()


@pytest.mark.parametrize("start", [NUMPY, "opencv_python-"])
def test_a_refused_patch_changes_nothing(start: str, store: Store, tmp_path: Path) -> None:
    """Without the libraries it is refused, all are named, and no byte has changed anywhere."""
    tree = tmp_path / "tree"
    unpack(corpus.wheel(start), str(tree))
    before = fingerprint(str(tree))
    refused = command("patch", str(tree), *target_options(store))
    assert refused.status == 1
    assert "libgcc_s.so.1" in refused.stderr
    assert "libz.so.1" in refused.stderr
    assert fingerprint(str(tree)) == before
    output = tmp_path / "output"
    wheel = corpus.wheel(start)
    words = ["patch", wheel, "--output-dir", str(output), *target_options(store)]
    assert command(*words).status == 1
    assert not output.exists() or not list(output.iterdir())


def interpreters() -> list[str]:
    """List one interpreter for each Python from 3.10 on that this machine has."""
    found: dict[str, str] = {}
    folders = [*os.get_exec_path(), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]
    ask = "import sys; print(*sys.version_info[:2], sys.version_info >= (3, 10))"
    for folder in folders:
        for minor in range(10, 16):
            path = shutil.which(f"python3.{minor}", path=folder)
            if path is None:
                continue
            ran = subprocess.run([path, "-Ic", ask], capture_output=True, text=True, check=False)
            if ran.stdout.strip() == f"3 {minor} True":
                found.setdefault(f"3.{minor}", path)
    return list(found.values())


def test_the_hash_is_the_same_everywhere(store: Store, tmp_path: Path) -> None:
    """Whatever Python, hash seed, locale, time zone and umask: a wheel's bytes are the same."""
    wheel = corpus.wheel("psycopg2_binary-")
    options = [*target_options(store), *library_options(store.libraries())]
    start = "from nix_manylinux.cli.main import main; raise SystemExit(main())"
    # Only pure Python is imported, so another version's site-packages will do.
    files = [str(module.__file__) for module in (nix_manylinux, installer, packaging)]
    modules = os.pathsep.join(os.path.dirname(os.path.dirname(file)) for file in files)
    written: list[bytes] = []
    for number, python in enumerate([sys.executable, *interpreters()]):
        output = tmp_path / str(number)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": modules,
            "PYTHONHASHSEED": str(number),
            "TZ": ("UTC", "Asia/Kolkata", "America/St_Johns")[number % 3],
            "LC_ALL": ("C", "C.UTF-8")[number % 2],
        }
        subprocess.run(
            [python, "-S", "-c", start, "patch", wheel, "--output-dir", str(output), *options],
            env=environment,
            umask=(0o022, 0o077)[number % 2],
            check=True,
            capture_output=True,
        )
        written.append((output / os.path.basename(wheel)).read_bytes())
    assert len(written) >= 2
    assert len(set(written)) == 1

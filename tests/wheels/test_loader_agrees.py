"""The loader simulation against the real loader, over real wheels.

What `elf.loader` says that opening a file brings in is held against what the
kernel says was mapped, file by file, before patching and after it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command, library_options, target_options, unpack
from tests.support.isolation import sandbox
from tests.support.loading import Loaded, open_libraries, start_program
from tests.support.store import Store, host_store
from tests.wheels import corpus
from tests.wheels.runner import elf_files
from tests.wheels.test_wheels import NUMPY, SONAMES

from nix_manylinux.index import LibraryIndex
from nix_manylinux.resolve import make_loader
from nix_manylinux.target import from_dynamic_linker

if TYPE_CHECKING:
    from pathlib import Path

    from nix_manylinux.elf.loader import Process

pytestmark = pytest.mark.wheels

WHEELS = [NUMPY, "pandas-", "pillow-", "pyproj-", "psycopg2_binary-", "opencv_python-", "ninja-"]


@pytest.fixture(scope="module")
def store() -> Store:
    """Make the store of the quick part."""
    return host_store(SONAMES)


def simulated(store: Store, paths: list[str]) -> dict[str, Process]:
    """Open each file in the simulation, without a library directory to help."""
    target = from_dynamic_linker(store.dynamic_linker)
    loader = make_loader(target, LibraryIndex.from_directories([]))
    return {path: loader.open(path) for path in paths}


def beyond_the_libc(store: Store, paths: list[str]) -> set[str]:
    """Give the real paths, without the libc's own files under any of their names."""
    libc = set(os.listdir(store.libc))
    real = (os.path.realpath(path) for path in paths)
    return {path for path in real if os.path.basename(path) not in libc}


def disagreement(store: Store, process: Process, loaded: Loaded) -> str:
    """Say where simulation and loader differ; empty where they don't."""
    if loaded.error:
        if "undefined symbol" in loaded.error or loaded.error.startswith("killed by"):
            return f"simulated {process.faults}" if process.faults else ""
        lost = {fault.name for fault in process.faults}
        named = [name for name in lost if name in loaded.error]
        return "" if named else f"said {loaded.error}, simulated {process.faults}"
    if process.faults:
        return f"loaded, simulated {process.faults}"
    predicted = beyond_the_libc(store, [each.path for each in process.objects])
    mapped = beyond_the_libc(store, list(loaded.mapped)) | {os.path.realpath(loaded.path)}
    return "" if predicted == mapped else f"they differ in {sorted(predicted ^ mapped)}"


@pytest.mark.parametrize("state", ["unpatched", "patched"])
@pytest.mark.parametrize("start", WHEELS)
def test_the_simulation_is_the_loader(start: str, state: str, store: Store, tmp_path: Path) -> None:
    """For every file the same files are loaded, or the same names are missing."""
    tree = str(tmp_path / "tree")
    unpack(corpus.wheel(start), tree)
    if state == "patched":
        options = [*target_options(store), *library_options(store.libraries())]
        ran = command("patch", tree, *options)
        assert ran.status == 0, ran.stderr
    libraries, programs = elf_files(tree)
    box = sandbox(store, tree)
    loaded = open_libraries(box, libraries)
    loaded |= {program: start_program(box, program) for program in programs}
    processes = simulated(store, [*libraries, *programs])
    told = {path: disagreement(store, processes[path], loaded[path]) for path in loaded}
    assert {path: text for path, text in told.items() if text} == {}


@pytest.mark.parametrize("start", ["pillow-", "opencv_python-"])
def test_check_says_what_the_loader_does(start: str, store: Store, tmp_path: Path) -> None:
    """The command's verdict on a tree is the loader's: refused before, fine afterwards."""
    tree = str(tmp_path / "tree")
    unpack(corpus.wheel(start), tree)
    target = target_options(store)
    for status in (1, 0):
        libraries, _ = elf_files(tree)
        loaded = open_libraries(sandbox(store, tree), libraries)
        assert all(one.ok for one in loaded.values()) == (status == 0)
        assert command("check", tree, *target).status == status
        command("patch", tree, *target, *library_options(store.libraries()))

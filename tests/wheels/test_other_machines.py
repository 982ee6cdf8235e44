"""Wheels for machines and libcs that are not ours: patched here, and right there."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.installed import command, fingerprint, target_options, unpack
from tests.support.loading import open_libraries
from tests.support.machines import MUSL_LINKER, cross_target, emulated, musl_sandbox, musl_version
from tests.support.scene import run_path
from tests.support.store import host_store
from tests.wheels import corpus
from tests.wheels.runner import elf_files

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.wheels

WHEELS = {
    "numpy-1.26.4-cp311-cp311-manylinux_2_17_aarch64": "aarch64-linux-gnu",
    "cryptography-50.0.2-cp311-abi3-manylinux2014_aarch64": "aarch64-linux-gnu",
    "numpy-1.19.5-cp36-cp36m-manylinux1_i686": "i686-linux-gnu",
    "cffi-2.1.1-cp311-cp311-manylinux2014_ppc64le": "powerpc64le-linux-gnu",
    "cffi-2.1.1-cp311-cp311-manylinux2014_s390x": "s390x-linux-gnu",
}

MUSL = "numpy-2.4.6-cp311-cp311-musllinux"


def report_of(path: Path) -> dict[str, Any]:
    """Read a JSON report's files, by their path."""
    (tree,) = json.loads(path.read_text())["trees"]
    return {file["path"]: file for file in tree["files"]}


def complaints(path: str) -> list[str]:
    """List what readelf and eu-readelf have to say against a file's headers, without its name."""
    found: list[str] = []
    for words in (["readelf", "-hldSVW"], ["eu-readelf", "-hldSV"]):
        ran = subprocess.run(
            [*words, path], capture_output=True, text=True, errors="replace", check=False
        )
        found += [line.replace(path, "FILE") for line in ran.stderr.splitlines()]
    return sorted(found)


@pytest.mark.parametrize("start", WHEELS)
def test_what_is_written_is_right_by_readelf(start: str, tmp_path: Path) -> None:
    """Each file has the path that was planned, by readelf, which has nothing new to complain of.

    A directory is appended to every path, so that every file is written.
    """
    target = cross_target(WHEELS[start], tmp_path)
    tree, original = tmp_path / "tree", tmp_path / "original"
    for folder in (tree, original):
        unpack(corpus.wheel(start), str(folder))
    report = tmp_path / "report.json"
    extra = ["--append-rpath", "/run/opengl-driver/lib", "--json", str(report)]
    ran = command("patch", str(tree), *target.options, *extra)
    assert ran.status == 0, ran.stderr
    files = report_of(report)
    libraries, programs = elf_files(str(tree))
    assert len(files) == len(libraries) + len(programs) > 0
    for path, file in files.items():
        written = str(tree / path)
        searched = file["search_path"]
        assert run_path(tree / path) == f"{searched['tag']} {':'.join(searched['after'])}"
        assert searched["after"][-1] == "/run/opengl-driver/lib"
        assert complaints(written) == complaints(str(original / path))
    once = fingerprint(str(tree))
    again = command("patch", str(tree), *target.options, *extra)
    assert again.status == 0, again.stderr
    assert fingerprint(str(tree)) == once


@pytest.mark.parametrize("start", [start for start in WHEELS if "aarch64" in start])
def test_what_is_written_loads_in_an_emulator(start: str, tmp_path: Path) -> None:
    """On an emulated machine with nothing but a libc and the library directories all opens."""
    target = cross_target(WHEELS[start], tmp_path)
    tree = tmp_path / "tree"
    unpack(corpus.wheel(start), str(tree))
    ran = command("patch", str(tree), *target.options, "--append-rpath", "/run/opengl-driver/lib")
    assert ran.status == 0, ran.stderr
    libraries, _ = elf_files(str(tree))
    box, emulator = emulated(target, str(tree), str(tmp_path / "store"))
    loaded = open_libraries(box, libraries, compiler=target.compiler, emulator=emulator)
    assert {path: one.error for path, one in loaded.items() if not one.ok} == {}


@pytest.mark.parametrize("start", WHEELS)
def test_it_is_refused_for_this_machine(start: str, tmp_path: Path) -> None:
    """A wheel for another machine is refused here by the machine's name, unchanged."""
    store = host_store(["libz.so.1"])
    tree = tmp_path / "tree"
    unpack(corpus.wheel(start), str(tree))
    before = fingerprint(str(tree))
    refused = command("patch", str(tree), *target_options(store))
    assert refused.status == 1
    machine = start.rpartition("_" if "aarch64" in start or "i686" in start else "2014_")[2]
    assert machine in refused.stderr
    assert fingerprint(str(tree)) == before


def test_a_musl_wheel_is_refused_on_glibc(tmp_path: Path) -> None:
    """A musllinux wheel on a glibc target is refused for what it is, as tree and as wheel."""
    store = host_store(["libz.so.1"])
    tree = tmp_path / "tree"
    wheel = corpus.wheel(MUSL)
    unpack(wheel, str(tree))
    before = fingerprint(str(tree))
    output = tmp_path / "output"
    for words in ([str(tree)], [wheel, "--output-dir", str(output)]):
        refused = command("patch", *words, *target_options(store))
        assert refused.status == 1
        assert "musl" in refused.stderr
    assert fingerprint(str(tree)) == before
    assert not output.exists() or not list(output.iterdir())


def test_a_musl_wheel_loads_on_musl(tmp_path: Path) -> None:
    """For a musl target it is patched, as a wheel too, and opens where musl is the only libc.

    The wheel's libgcc_s packs its relocations (DT_RELR), which musl reads from
    1.2.4 on: with an older one it crashes as it is, and so does what needs it.
    Nothing else may fail, and every library is found.
    """
    tree, output = tmp_path / "tree", tmp_path / "output"
    wheel = corpus.wheel(MUSL)
    options = ["--dynamic-linker", MUSL_LINKER]
    ran = command("patch", wheel, "--output-dir", str(output), *options)
    assert ran.status == 0, ran.stderr
    unpack(str(output / os.path.basename(wheel)), str(tree))
    libraries, _ = elf_files(str(tree))
    assert len(libraries) == 25
    checked = command("check", str(tree), *options)
    assert checked.status == 0, checked.stderr
    loaded = open_libraries(musl_sandbox(str(tree)), libraries, compiler="musl-gcc")
    failed = {path: one.error for path, one in loaded.items() if not one.ok}
    if musl_version() >= (1, 2, 4):
        assert failed == {}
    assert set(failed.values()) <= {"killed by signal 11 while it was loaded"}
    assert set(failed) <= with_packed_relocations(libraries)


def with_packed_relocations(libraries: list[str]) -> set[str]:
    """Find the libraries that have DT_RELR, and those that need one of them, by file name."""
    packed: set[str] = set()
    needed: dict[str, set[str]] = {}
    for path in libraries:
        output = subprocess.run(
            ["readelf", "-dW", path], capture_output=True, text=True, check=True
        ).stdout
        needed[path] = {
            line.partition("[")[2].rpartition("]")[0]
            for line in output.splitlines()
            if "(NEEDED)" in line
        }
        if "(RELR)" in output:
            packed.add(path)
    while True:
        names = {os.path.basename(path) for path in packed}
        more = {path for path in libraries if needed[path] & names} - packed
        if not more:
            return packed
        packed |= more

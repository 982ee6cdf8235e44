"""The right to be executed: given where an installer may give it, and nowhere else.

installer and pip go by the mode in the archive, for ``.data/scripts`` too; uv
allows all of that. A program that came without a mode would never start from
the Nix store.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command, fingerprint, site_packages, target_options, unpack
from tests.support.isolation import sandbox
from tests.support.store import Store, host_store
from tests.support.trees import plan_all
from tests.support.wheels import MadeWheel

from nix_manylinux.base.values import replace
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.resolve.programs import barred_warning
from nix_manylinux.write.apply import apply_plan

if TYPE_CHECKING:
    from tests.support.elf import ElfBuilder

SCRIPTS = "made-1.0.data/scripts"
NO_MODE = {f"{SCRIPTS}/tool": 0o100644, f"{SCRIPTS}/static": 0, f"{SCRIPTS}/odd": 0o755}
ELSEWHERE = {"made/helper": 0o100644, "made-1.0.data/data/bin/datum": 0o100644}


@pytest.fixture(scope="module")
def store() -> Store:
    """Make a store with a libc, and little else."""
    return host_store(["libz.so.1"])


@pytest.fixture(scope="module")
def wheel(elf_files: ElfBuilder, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a wheel of programs that its archive gives no right to be executed."""
    folder = tmp_path_factory.mktemp("wheel")
    program = elf_files.program("seven", source="int main(void) { return 7; }\n").read_bytes()
    source = folder / "eight.c"
    source.write_text("int main(void) { return 8; }\n")
    subprocess.run(["gcc", "-static", "-o", folder / "eight", source], check=True)
    return MadeWheel(
        tag="py3-none-manylinux_2_17_x86_64",
        files={
            "made/__init__.py": b"",
            "made/helper": program,
            "made-1.0.data/data/bin/datum": program,
            f"{SCRIPTS}/tool": program,
            f"{SCRIPTS}/odd": program,
            f"{SCRIPTS}/static": (folder / "eight").read_bytes(),
            f"{SCRIPTS}/text": b"#!/bin/sh\n",
        },
        modes={**NO_MODE, **ELSEWHERE},
    ).write(folder)


def executable(path: Path) -> bool:
    """Whether everybody may execute a file."""
    return path.stat().st_mode & 0o111 == 0o111


def started(store: Store, prefix: str, name: str) -> int:
    """Start a program of a prefix where nothing else is visible; give its status."""
    return sandbox(store, prefix).run([os.path.join(prefix, "bin", name)]).returncode


def pip(wheel: str, prefix: str) -> None:
    """Install a wheel with pip, as it comes with Python."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    install += ["--disable-pip-version-check", "--prefix", prefix, wheel]
    subprocess.run(install, check=True)


@pytest.mark.parametrize("install", [unpack, pip])
def test_a_wheels_scripts_start(install: object, wheel: str, store: Store, tmp_path: Path) -> None:
    """Programs of .data/scripts start from what is installed from a patched wheel, else not."""
    output = tmp_path / "patched"
    ran = command("patch", wheel, "--output-dir", str(output), *target_options(store))
    assert ran.status == 0, ran.stderr
    assert "made/helper are programs that may not be executed" in ran.stderr
    for source, right in ((wheel, False), (str(output / os.path.basename(wheel)), True)):
        prefix = str(tmp_path / f"prefix-{right}")
        assert callable(install)
        install(source, prefix)
        for name in ("tool", "static", "odd"):
            assert executable(Path(prefix, "bin", name)) == right
        for place in (Path(prefix, "bin"), Path(site_packages(prefix), "made")):
            for name in {"datum", "text", "helper"} & set(os.listdir(place)):
                assert not executable(place / name)
    assert [started(store, prefix, name) for name in ("tool", "static", "odd")] == [7, 8, 7]


def test_what_the_archive_says(wheel: str, store: Store, tmp_path: Path) -> None:
    """Modes of three members change, to a regular file's; a second patch changes no byte."""
    output, again = tmp_path / "patched", tmp_path / "again"
    options = target_options(store)
    assert command("patch", wheel, "--output-dir", str(output), *options).status == 0
    written = output / os.path.basename(wheel)
    modes = {}
    for path in (wheel, str(written)):
        with zipfile.ZipFile(path) as archive:
            modes[path] = {each.filename: each.external_attr >> 16 for each in archive.infolist()}
    changed = {name: mode for name, mode in modes[str(written)].items()
               if mode != modes[wheel].get(name, mode)}  # fmt: skip
    assert changed == dict.fromkeys(NO_MODE, stat.S_IFREG | 0o755)
    ran = command("patch", str(written), "--output-dir", str(again), *options)
    assert ran.status == 0
    assert (again / written.name).read_bytes() == written.read_bytes()


def test_an_installed_tree(wheel: str, store: Store, tmp_path: Path) -> None:
    """In a tree what stands in bin is made to start; a hard link beyond the tree keeps its mode."""
    prefix, cache = tmp_path / "prefix", tmp_path / "cache"
    unpack(wheel, str(prefix))
    cache.mkdir()
    for name in ("tool", "static"):
        os.link(prefix / "bin" / name, cache / name)
    before = fingerprint(str(cache))
    options = target_options(store)
    ran = command("patch", str(prefix), *options)
    assert ran.status == 0, ran.stderr
    assert fingerprint(str(cache)) == before
    assert [started(store, str(prefix), name) for name in ("tool", "static", "datum")] == [7, 8, 7]
    assert not executable(prefix / "bin/text")
    helper = Path(site_packages(str(prefix)), "made/helper")
    assert not executable(helper)
    assert f"{helper.relative_to(prefix)} is a program that may not be executed" in ran.stderr
    once = fingerprint(str(prefix))
    assert command("patch", str(prefix), *options).status == 0
    assert fingerprint(str(prefix)) == once
    assert command("check", str(prefix), *options).status == 0


def test_modes_are_put_back(wheel: str, tmp_path: Path) -> None:
    """Undone, a tree has every mode and inode again."""
    prefix = tmp_path / "prefix"
    unpack(wheel, str(prefix))
    os.link(prefix / "bin/tool", prefix / "bin/tool-again")
    before = fingerprint(str(prefix))
    plan = plan_all(prefix)
    files = tuple(
        replace(
            each, executable=True, edit=each.edit if each.file.facts.kind.is_linked else ElfEdit()
        )
        for each in plan.files
    )
    applied = apply_plan(replace(plan, files=files))
    assert executable(prefix / "bin/tool-again")
    assert fingerprint(str(prefix)) != before
    applied.undo()
    record = os.path.join(os.path.relpath(site_packages(str(prefix)), prefix),
                          "made-1.0.dist-info/RECORD")  # fmt: skip
    after = fingerprint(str(prefix))
    assert {name: each for name, each in after.items() if name != record} == {
        name: each for name, each in before.items() if name != record
    }
    assert after[record][::2] == before[record][::2]


def test_many_programs_are_told_in_one_line() -> None:
    """Torch has 160 programs; a build's log is not the place to list them."""
    (line,) = barred_warning([f"torch/bin/{number}" for number in range(160)])
    assert line.startswith("torch/bin/0, torch/bin/1, torch/bin/2 and 157 more are programs that")
    assert barred_warning([]) == []

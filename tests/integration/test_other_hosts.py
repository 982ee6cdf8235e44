"""Wheels looked at, locked and repaired on a machine that is not what they are for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import Ran, command, target_options
from tests.support.locks import uv_lock
from tests.support.nix import ROOT
from tests.support.store import host_store
from tests.support.wheels import MadeWheel, tiny_library

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.elf import ElfBuilder


@pytest.fixture
def macos(tmp_path: Path) -> Callable[..., Ran]:
    """Give the command as it would find things on a Mac with an Arm processor."""
    program = tmp_path / "python3"
    program.write_bytes(b"\xcf\xfa\xed\xfe" + bytes(28))
    program.chmod(0o755)

    def run(*words: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.macos", str(program), *words],
            cwd=ROOT,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    return run


def made(folder: Path, **more: bytes) -> str:
    """Make a wheel for x86_64 that needs libz, and what else is given."""
    library = tiny_library("ext.so", "libz.so.1", "libc.so.6")
    files = {"made/__init__.py": b"", "made/ext.so": library, **more}
    return MadeWheel(files=files).write(folder)


def test_a_wheel_is_inspected_on_macos(macos: Callable[..., Ran], tmp_path: Path) -> None:
    """Nothing names a target: the files say what they are for."""
    wheel = made(tmp_path)
    seen = macos("inspect", wheel, "--json", str(tmp_path / "report"))
    assert seen.status == 0, seen.stderr
    assert "linked for x86_64 with glibc, as its files are" in seen.stdout
    assert "libz.so.1: zlib" in seen.stdout
    report = json.loads((tmp_path / "report").read_text())
    assert [problem["name"] for problem in report["missing"]] == ["libz.so.1"]
    (file,) = report["trees"][0]["files"]
    assert {need["name"]: need["outcome"] for need in file["needs"]} == {
        "libz.so.1": "missing",
        "libc.so.6": "libc",
    }


def test_other_commands_on_macos(macos: Callable[..., Ran], tmp_path: Path) -> None:
    """What needs no target does its work; what needs one says how to name it."""
    wheel = made(tmp_path)
    drawn = macos("graph", wheel)
    assert (drawn.status, "libz.so.1" in drawn.stdout) == (0, True), drawn.stderr
    written = macos("expr", wheel)
    assert (written.status, "manylinux2014" in written.stdout) == (0, True), written.stderr
    lock = tmp_path / "uv.lock"
    lock.write_text(uv_lock())
    locked = macos("lock", str(lock), "--no-inspect", "-o", str(tmp_path / "out.json"))
    assert locked.status == 0, locked.stderr
    (place,) = json.loads((tmp_path / "out.json").read_text())["environments"]
    assert "aarch64-linux" in place
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs/libz.so.1").write_bytes(tiny_library("libz.so.1", "libc.so.6"))
    repaired = macos(
        "repair", wheel, "--output-dir", str(tmp_path / "o"), "--libs", str(tmp_path / "libs")
    )
    assert repaired.status == 0, repaired.stderr
    refused = macos("patch", wheel, "--output-dir", str(tmp_path / "p"))
    assert refused.status == 1
    assert "tells no target" in refused.stderr
    assert "--dynamic-linker" in refused.stderr


def test_a_patch_on_macos(macos: Callable[..., Ran], tmp_path: Path) -> None:
    """With a target named, trees and wheels are patched; it is the same bytes as on Linux."""
    library = Path(tmp_path / "libs/libz.so.1")
    library.parent.mkdir()
    library.write_bytes(tiny_library("libz.so.1", "libc.so.6"))
    words = [*target_options(host_store(["libc.so.6"])), "--libs", str(library.parent)]
    outputs = []
    for run, name in ((macos, "mac"), (command, "linux")):
        done = run("patch", made(tmp_path), "--output-dir", str(tmp_path / name), *words)
        assert done.status == 0, done.stderr
        (wheel,) = (tmp_path / name).iterdir()
        outputs.append(wheel.read_bytes())
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("triple", "platform", "target"),
    [
        ("aarch64-linux-gnu", "manylinux_2_17_aarch64", "aarch64 with glibc"),
        ("aarch64-linux-musl", "musllinux_1_2_aarch64", "aarch64 with musl"),
        ("s390x-linux-gnu", "manylinux_2_28_s390x", "s390x with glibc"),
    ],
)
def test_a_wheel_for_another_machine(
    triple: str, platform: str, target: str, elf_files: ElfBuilder, tmp_path: Path
) -> None:
    """It is looked at as what it is for: with all that it needs, and no word of this machine."""
    extension = elf_files.library(
        "ext.so", target=triple, needed=["libz.so.1", "libc.so.6" if "gnu" in triple else "libc.so"]
    )
    wheel = MadeWheel(
        tag=f"cp311-cp311-{platform}", files={"made/ext.so": extension.read_bytes()}
    ).write(tmp_path)
    seen = command("inspect", wheel)
    assert seen.status == 0, seen.stderr
    assert f"linked for {target}, as its files are" in seen.stdout
    assert "libz.so.1: zlib" in seen.stdout
    assert "needs: 1 from the libc" in seen.stdout
    assert "does not fit" not in seen.stdout
    assert "libz.so.1" in command("graph", wheel, "--format", "mermaid").stdout

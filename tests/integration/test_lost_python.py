"""Virtual environments that have lost their Python: said by name, with what to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command
from tests.support.trees import snapshot
from tests.support.wheels import tiny_library

from nix_manylinux.base.errors import BadTarget
from nix_manylinux.target.environment import strange_home, strange_link
from nix_manylinux.target.target import choose_target

if TYPE_CHECKING:
    from pathlib import Path

MINOR = sys.version_info[1]
LOST = "/nix/store/00000000000000000000000000000000-python3-3.11.2"


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """Make an environment as Python itself does: one of three links leads out of it."""
    folder = tmp_path / "an env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = folder / f"lib/python3.{MINOR}/site-packages"
    (site / "a.so").write_bytes(tiny_library("a.so"))
    return folder


def lead_away(venv: Path, to: str) -> None:
    """Lead the environment's interpreter to a place where there is none, as its maker links it."""
    for name in ("python", "python3", f"python3.{MINOR}"):
        link = venv / "bin" / name
        if link.is_symlink() and link.readlink().is_absolute():
            link.unlink()
            link.symlink_to(to)


@pytest.mark.parametrize("to", [f"{LOST}/bin/python3", "/no/such/python3", ""])
@pytest.mark.parametrize("verb", ["check", "patch"])
def test_lost_interpreters_are_named(venv: Path, verb: str, to: str) -> None:
    """One line what, one what to do; nothing is changed, and nothing else guessed as the target."""
    if to:
        lead_away(venv, to)
    else:
        (venv / "bin/python").unlink()
    before = snapshot(venv)
    done = command(verb, str(venv), "--json", "-")
    assert done.status == 1
    first, *rest = done.stderr.splitlines()
    leads = f" leads to {to}, which" if to else ""
    assert first == f"error: {venv}: bin/python{leads} is not there"
    assert rest[1].strip().startswith(f"rm -f '{venv}'/bin/python* && ")
    assert f"3{MINOR}" in rest[1] or f" 3.{MINOR} " in rest[1]
    assert rest[1].endswith(f" -m venv '{venv}'")
    assert (f"nix-store --realise {LOST}" in done.stderr) is to.startswith(LOST)
    assert json.loads(done.stdout)["error"]["kind"] == "LostInterpreter"
    assert snapshot(venv) == before
    with pytest.raises(BadTarget, match="is not there"):
        choose_target(environment={}, virtual_environment=str(venv))


@pytest.mark.parametrize("verb", ["check", "patch", "inspect"])
def test_who_names_a_target_is_told(venv: Path, verb: str) -> None:
    """Then, and for who only looks, it is a warning, given once."""
    lead_away(venv, "/no/such/python3")
    target = [] if verb == "inspect" else ["--python", sys.executable]
    done = command(verb, str(venv), *target)
    assert done.status == 0, done.stderr
    assert done.stderr.count(f"warning: {venv}: bin/python leads to /no/such/python3") == 1


def test_a_home_that_is_gone(venv: Path) -> None:
    """The interpreter may start all the same; where it doesn't, that is why, and it is said."""
    settings = venv / "pyvenv.cfg"
    settings.write_text(f"home = /no/such/bin\nuv = 0.9\nversion_info = 3.{MINOR}.1\n")
    told = "pyvenv.cfg names a Python in /no/such/bin, which is not there"
    for verb in ("check", "patch", "inspect", "graph"):
        again = command(verb, str(venv))
        assert again.status == 0
        # What a person has to do stands last, but for what to paste.
        first, second = again.stderr.splitlines()[-2:]
        assert first.startswith(f"warning: {venv}/{told}: it may not find its own standard library")
        assert second.startswith("  uv venv --allow-existing --python")
    (venv / f"lib/python3.{MINOR}/site-packages/a.so").write_bytes(
        tiny_library("a.abi3.so", "libz.so.1")
    )
    for verb in ("check", "patch"):
        found = command(verb, str(venv), "--missing", "fail").stderr
        assert found.index("1 library missing") < found.index("patch it with")
        assert found.count("its own standard library") == 1
        assert found.index("its own standard library") < found.index("patch it with")
    lead_away(venv, str(venv.parent / "stuck"))
    (venv.parent / "stuck").write_text("#!/bin/sh\necho '<no Python frame>' >&2\nexit 1\n")
    (venv.parent / "stuck").chmod(0o755)
    for verb in ("check", "patch"):
        done = command(verb, str(venv))
        assert done.status == 1
        lines = done.stderr.splitlines()
        assert lines[0] == f"error: {venv}: bin/python can't start: {told}"
        assert "uv venv --allow-existing --python" in lines[2]
        assert "its own" not in done.stderr
    shutil.rmtree(venv / "bin")
    assert "bin/python is not there" in command("check", str(venv)).stderr


def test_two_pythons_in_one_environment(
    venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m venv` over an old environment changes its settings, and leaves its links."""
    monkeypatch.setenv("NIX_STORE_DIR", str(tmp_path / "store"))
    python = tmp_path / "store" / f"{'0' * 32}-python3/bin/python3"
    system = tmp_path / "usr/bin"
    for folder in (python.parent, system):
        folder.mkdir(parents=True)
        (folder / "python3").write_text("")
    (venv / "bin/python").unlink()
    (venv / "bin/python").symlink_to(python)
    settings = venv / "pyvenv.cfg"
    settings.write_text(f"home = {system}\n")
    assert strange_home(str(venv)) == str(system)
    settings.write_text(f"home = {python.parent}\n")
    assert not strange_home(str(venv))
    # By a profile's links, as on NixOS.
    (system / "python3").unlink()
    (system / "python3").symlink_to(python)
    settings.write_text(f"home = {system}\n")
    assert not strange_home(str(venv))


@pytest.mark.parametrize("end", ["/no/such/python3", sys.executable])
def test_another_python_by_another_name(
    venv: Path, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A patch that led bin/python alone to Nix's left pip, which begins with bin/python3, dead."""
    monkeypatch.setenv("NIX_STORE_DIR", str(tmp_path / "store"))
    python = tmp_path / "store" / f"{'0' * 32}-python3/bin" / os.path.basename(sys.executable)
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert strange_link(str(venv)) == ("", "")
    shutil.copy(sys.executable, tmp_path / "store" / "copy")
    for name in ("python", "python3"):
        (venv / "bin" / name).unlink()
        (venv / "bin" / name).symlink_to(tmp_path / "store" / "copy")
    assert strange_link(str(venv)) == ("", "")
    (venv / "bin/python3").unlink()
    (venv / "bin/python3").symlink_to(end)
    assert strange_link(str(venv)) == ("bin/python3", os.path.realpath(end))
    monkeypatch.delenv("NIX_STORE_DIR")
    told = f"{venv}/bin/python3 leads to /no/such/python3, which is not there: programs that begin"
    (venv / "bin/python").unlink()
    (venv / "bin/python").symlink_to(sys.executable)
    for verb in ("check", "patch"):
        done = command(verb, str(venv))
        assert done.status == 0, done.stderr
        assert (told in done.stderr) is (end == "/no/such/python3")

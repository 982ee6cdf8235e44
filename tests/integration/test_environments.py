"""Several virtual environments in one command, and environments inside of a folder."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command
from tests.support.trees import snapshot
from tests.support.wheels import tiny_library

from nix_manylinux.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

MINOR = sys.version_info[1]

#: An interpreter that says it is of another version, and is this one else.
OTHER = """#!{python}
import sys, sysconfig
sys.version_info = (3, {minor}, 1, "final", 0)
variables = sysconfig.get_config_vars()
variables["EXT_SUFFIX"] = variables["EXT_SUFFIX"].replace("cpython-{own}", "cpython-3{minor}")
exec(sys.argv[-1])
"""


def environment(folder: Path, minor: int, *needed: str) -> Path:
    """Make a virtual environment of one module, for one Python."""
    site = folder / f"lib/python3.{minor}/site-packages"
    info = site / "one-1.dist-info"
    info.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = 3.{minor}.1\n")
    python = folder / "bin/python"
    python.write_text(OTHER.format(python=sys.executable, minor=minor, own=f"3{MINOR}"))
    python.chmod(0o755)
    (site / f"one.cpython-3{minor}-x86_64-linux-gnu.so").write_bytes(tiny_library("one", *needed))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: one\nVersion: 1\n")
    tag = f"cp3{minor}-cp3{minor}-linux_{os.uname().machine}"
    (info / "WHEEL").write_text(f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
    return folder


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    """Make environments of two Pythons."""
    return [str(environment(tmp_path / f"py3{minor}", minor)) for minor in (MINOR, MINOR + 1)]


@pytest.mark.parametrize("verb", ["check", "patch"])
def test_each_is_for_its_own_python(two: list[str], verb: str) -> None:
    """In any order: `patch ~/.local/share/uv/tools/*` has Pythons as they come."""
    for paths in (two, two[::-1]):
        done = command(verb, *paths)
        assert done.status == 0, done.stderr
        names = [line for line in done.stderr.splitlines() if line in two]
        assert names == paths
        assert "is for Python" not in done.stderr


def test_one_is_refused_and_the_others_are_patched(tmp_path: Path) -> None:
    """As of several wheels; what one has is no library of another's."""
    libs = tmp_path / "libs"
    libs.mkdir()
    (libs / "libx.so.1").write_bytes(tiny_library("libx.so.1"))
    lacking = environment(tmp_path / "a", MINOR, "liby.so.1")
    having = environment(tmp_path / "b", MINOR, "libx.so.1")
    site = having / f"lib/python3.{MINOR}/site-packages"
    (site / "liby.so.1").write_bytes(tiny_library("liby.so.1"))
    before = snapshot(lacking)
    done = command("patch", str(lacking), str(having), f"--libs={libs}", "--missing=fail")
    assert done.status == 1
    assert f"{lacking}\nerror: 1 library missing" in done.stderr
    assert f"nix-manylinux patch {lacking} " in done.stderr
    assert f"{having}\n  2 ELF files: 1 patched" in done.stderr
    assert snapshot(lacking) == before
    checked = command("check", str(lacking), str(having), f"--libs={libs}", "--missing=fail")
    assert checked.status == 1
    assert "liby.so.1" in checked.stderr
    assert "libx.so.1" not in checked.stderr


def test_one_report_is_of_one_environment(two: list[str], tmp_path: Path) -> None:
    """A report has one target."""
    for verb in ("check", "patch"):
        done = command(verb, *two, "--json", str(tmp_path / "report"))
        assert done.status == 2
        assert f"--json is for one virtual environment; {verb} them one by one" in done.stderr
    assert command("check", two[0], "--json", "-").status == 0


def test_the_same_twice(two: list[str]) -> None:
    """Is once, however it was written."""
    done = command("check", two[0], f"{two[0]}/", two[0], "--json", "-")
    assert done.status == 0, done.stderr
    assert done.stderr == "1 ELF file: everything loads\n"


@pytest.mark.parametrize("verb", ["check", "patch"])
def test_environments_inside_of_a_folder(two: list[str], tmp_path: Path, verb: str) -> None:
    """`patch .` in a project, `.tox`, the tools of uv: it is said that no Python was asked."""
    done = command(verb, str(tmp_path))
    assert done.status == 0, done.stderr
    did = {"check": "looked at", "patch": "linked"}[verb]
    lines = done.stderr.splitlines()
    told = f"warning: {tmp_path} holds 2 virtual environments, and was not {did} for their Pythons"
    (at,) = (number for number, line in enumerate(lines) if line.startswith(told))
    assert lines[at + 1] == f"  nix-manylinux {verb} {' '.join(two)}"
    # Not where a target was named, and not for the environment itself.
    assert "holds" not in command(verb, str(tmp_path), "--python", sys.executable).stderr
    assert "holds" not in command(verb, *two).stderr


def test_it_is_said_of_what_is_refused(tmp_path: Path) -> None:
    """Before what is to be pasted."""
    environment(tmp_path / ".venv", MINOR, "libz.so.1")
    for verb in ("check", "patch"):
        done = command(verb, str(tmp_path))
        assert done.status == 1
        inside = done.stderr.index("holds 1 virtual environment, and was not")
        assert inside < done.stderr.index("patch it with:")
        assert f"  nix-manylinux {verb} {tmp_path}/.venv\n" in done.stderr


@pytest.mark.parametrize("verb", ["check", "patch"])
def test_a_part_of_an_environment(tmp_path: Path, verb: str) -> None:
    """Who names its site-packages, or a package in it, means the environment's Python, too."""
    venv = environment(tmp_path / "env", MINOR)
    site = venv / f"lib/python3.{MINOR}/site-packages"
    done = command(verb, str(site))
    assert done.status == 0, done.stderr
    did = {"check": "looked at", "patch": "linked"}[verb]
    assert done.stderr.endswith(
        f"warning: {site} is part of a virtual environment, and was not {did} for its Python; to"
        f" have it {did} for its own:\n  nix-manylinux {verb} {venv}\n"
    )
    assert "part of" not in command(verb, str(site), "--python", sys.executable).stderr


def test_no_tree_where_an_environment_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who names none is told of the one that is meant, where a project has it."""
    monkeypatch.chdir(tmp_path)
    for verb, words in (("patch", ".venv --nixpkgs"), ("check", ".venv")):
        for made in (False, True):
            (tmp_path / ".venv").mkdir(exist_ok=True)
            settings = tmp_path / ".venv/pyvenv.cfg"
            settings.touch() if made else settings.unlink(missing_ok=True)
            assert main([verb]) == 2
            tried = words if made else "--help"
            assert capsys.readouterr().err.endswith(f"\ntry: nix-manylinux {verb} {tried}\n")


def test_all_wheels_that_do_not_fit_are_told_at_once(tmp_path: Path) -> None:
    """Of an environment whose Python was exchanged there are many."""
    venv = environment(tmp_path / "env", MINOR)
    for name, tag in (("two", f"cp3{MINOR + 1}-cp3{MINOR + 1}"), ("six", "cp36-cp36m")):
        info = venv / f"lib/python3.{MINOR}/site-packages/{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}-linux_x86_64\n")
        module = f"{name}.{tag.replace('cp3', 'cpython-3').partition('-cpython')[0]}.so"
        (info / "RECORD").write_text(f"{module},,\n")
        (info.parent / module).write_bytes(tiny_library(name))
    before = snapshot(venv)
    done = command("patch", str(venv))
    assert done.status == 1
    assert f"{venv}: 2 wheels don't fit: six 1: the wheel is for Python 3.6, " in done.stderr
    assert f"; two 1: the wheel is for Python 3.{MINOR + 1}, " in done.stderr
    assert snapshot(venv) == before

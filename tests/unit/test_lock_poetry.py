"""Locks of poetry before lock version 2.1: what is wanted stands in pyproject.toml alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.locks import digest_of

from nix_manylinux.lock.choose import choose
from nix_manylinux.lock.model import BadLock
from nix_manylinux.lock.project import specifier_of
from nix_manylinux.lock.read import read_lock
from nix_manylinux.target.place import Place

if TYPE_CHECKING:
    from pathlib import Path

PLACE = Place(python="3.12", system="x86_64-linux")

EVERYTHING = ["back", "check", "colours", "console", "loop", "pywin", "server", "speed"]
DEPENDENCIES = {
    "console": 'pywin = {version = "*", markers = "sys_platform == \\"win32\\""}',
    "server": 'loop = {version = "*", optional = true, markers = "python_version < \\"3.12\\" and'
    ' extra == \\"fast\\""}\nspeed = {version = "*", optional = true, markers = "extra == '
    '\\"fast\\""}\n[package.extras]\nfast = ["loop (>=1)", "speed"]',
}
POETRY = """
[tool.poetry.dependencies]
python = "^3.10"
console = "*"
Server = {version = "*", extras = ["fast"]}
numbers = [{version = "1.0", python = "<3.12"}, {version = ">=2", python = ">=3.12"}]
back = {version = "*", python = "<3.11"}
colours = {version = "*", platform = "win32"}
cache = {version = "*", optional = true}
[tool.poetry.extras]
quick = ["cache"]
[tool.poetry.group.Dev.dependencies]
check = "*"
"""
STANDARD = """
[project]
name = "demo"
dependencies = ["console>=1", "server[fast]", "numbers; sys_platform == 'linux'",
  "back; python_version < '3.11'", "colours ; sys_platform == 'win32'"]
optional-dependencies = {quick = ["cache"]}
[tool.poetry.dependencies]
console = {source = "own"}
back = {source = "own"}
[tool.poetry.dev-dependencies]
check = "*"
"""


def locked(folder: Path, project: str = "", *, version: str = "2.0") -> str:
    """Write a lock, and its pyproject.toml; give the lock's path."""
    text = ""
    names = [*EVERYTHING, "cache", "numbers", "numbers"]
    for place, name in enumerate(names):
        number, python = ("2.0", ">=3.12") if place == len(names) - 1 else ("1.0", ">=3.8,<3.12")
        python = python if name == "numbers" else ">=3.8"
        file = f"{name}-{number}-py3-none-any.whl"
        text += f'[[package]]\nname = "{name}"\nversion = "{number}"\n'
        text += (
            f'optional = {"true" if name == "cache" else "false"}\npython-versions = "{python}"\n'
        )
        text += f'files = [{{file = "{file}", hash = "sha256:{digest_of(file)}"}}]\n'
        if name in DEPENDENCIES:
            text += f"[package.dependencies]\n{DEPENDENCIES[name]}\n"
    text += f'[extras]\nquick = ["cache"]\n[metadata]\nlock-version = "{version}"\n'
    path = folder / "poetry.lock"
    path.write_text(f'{text}python-versions = "^3.10"\n')
    if project:
        (folder / "pyproject.toml").write_text(project)
    return str(path)


def taken(path: str, extras: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> set[str]:
    """Name what an environment takes of a lock, with versions other than 1.0."""
    packages = choose(read_lock(path, extras=extras, groups=groups), PLACE).packages
    versions = {name: each.package.version for name, each in packages.items()}
    return {name if number == "1.0" else f"{name}-{number}" for name, number in versions.items()}


@pytest.mark.parametrize("project", [POETRY, STANDARD], ids=["poetry's", "standard"])
def test_what_the_project_wants(project: str, tmp_path: Path) -> None:
    """What only Windows or older Pythons want is not taken, nor what only a group wants."""
    path = locked(tmp_path, project)
    plain = {"console", "server", "speed", "numbers-2.0"}
    assert taken(path) == plain
    assert taken(path, extras=("Quick",)) == {*plain, "cache"}
    assert taken(path, groups=("dev",)) == {*plain, "check"}
    with pytest.raises(BadLock, match="has no group 'docs'"):
        read_lock(path, groups=["docs"])
    with pytest.raises(BadLock, match="has no extra 'slow'"):
        read_lock(path, extras=["slow"])


def test_without_a_project(tmp_path: Path) -> None:
    """All is wanted that is not optional; so it is where the file says nothing of dependencies."""
    for project in ("", "[build-system]\nrequires = []\n"):
        assert taken(locked(tmp_path, project)) == {*EVERYTHING, "numbers-2.0"}
    # A lock of today says itself what is wanted: nobody looks beside it.
    path = locked(tmp_path, "[project]\ndependencies = ['console']\n", version="2.1")
    with pytest.raises(BadLock, match=r"wants numbers 1.0 and 2.0"):
        taken(path)


def test_what_can_not_be_read(tmp_path: Path) -> None:
    """A pyproject.toml that is none is named."""
    for project, what in (
        ("[project]\ndependencies = ['a b c']\n", "has a requirement that can't be read: 'a b c'"),
        ("= 1", "is no TOML"),
        ("tool = 1", "tool is not of the right type"),
    ):
        with pytest.raises(BadLock, match=what):
            read_lock(locked(tmp_path, project))


def test_the_python_that_it_is_for(tmp_path: Path) -> None:
    """Poetry's constraints are held against the Python, as far as specifiers can say them."""
    path = locked(tmp_path, POETRY)
    with pytest.raises(BadLock) as caught:
        choose(read_lock(path), Place(python="3.9", system="x86_64-linux"))
    assert "is for Python >=3.10,<4, not 3.9" in str(caught.value)
    known = {
        "^3.10": ">=3.10,<4", "~3.10": ">=3.10,<3.11", "~3": ">=3,<4", "3.11": "==3.11.*",
        "3.11.5": "==3.11.5", ">=3.8, <3.12": ">=3.8,<3.12", "3.*": "==3.*", "*": "", "<3||>4": "",
    }  # fmt: skip
    assert {text: specifier_of(text) for text in known} == known
    # What is no constraint allows all, and is no reason to stop.
    strange = ("~3.*", "^3.*", ">=3.*", f"^{'9' * 5000}", f"~3.{'9' * 5000}", "~", "3.9.1.2.3")
    assert {specifier_of(text) for text in strange} == {""}

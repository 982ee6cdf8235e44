"""Locks with files, folders and checkouts of the project's own: as real uv writes them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from tests.integration.test_uv_locks import uv
from tests.support.wheels import MadeWheel

from nix_manylinux.cli.main import main
from nix_manylinux.data import data_path
from nix_manylinux.lock.make import make_lock
from nix_manylinux.lock.model import BadLock
from nix_manylinux.target.place import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACE = Place(python="3.12", system="x86_64-linux")

PROJECT = """
[project]
name = "demo"
version = "0"
requires-python = ">=3.10"
dependencies = ["one", "flat", "paged", "folder", "checkout", "archive"]
[tool.uv.sources]
one = { path = "vendor/one-1.0-py3-none-any.whl" }
flat = { index = "flat" }
folder = { path = "folder" }
checkout = { git = "{checkout}", subdirectory = "inner" }
archive = { path = "vendor/archive-1.0.tar.gz" }
[[tool.uv.index]]
name = "flat"
url = "./flat"
format = "flat"
[[tool.uv.index]]
name = "paged"
url = "./paged"
default = true
"""

FOLDER = """
[project]
name = "folder"
version = "3"
[build-system]
requires = []
build-backend = "backend"
"""

#: What poetry 2.5.1 writes for a wheel, a folder and a checkout.
POETRY = """
[[package]]
name = "one"
version = "1.0"
optional = false
python-versions = "*"
groups = ["main"]
files = [{file = "one-1.0-py3-none-any.whl", hash = "sha256:{digest}"}]

[package.source]
type = "file"
url = "vendor/one-1.0-py3-none-any.whl"

[[package]]
name = "folder"
version = "3"
optional = false
python-versions = "*"
groups = ["main"]
files = []
develop = {develop}

[package.source]
type = "directory"
url = "folder"

[[package]]
name = "checkout"
version = "4"
optional = false
python-versions = "*"
groups = ["main"]
files = []
develop = false

[package.source]
type = "git"
url = "https://example.org/checkout.git"
reference = "main"
resolved_reference = "0123456789012345678901234567890123456789"
subdirectory = "inner"

[metadata]
lock-version = "2.1"
python-versions = "*"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have uv lock and export a project that takes all it requires from folders."""
    folder = tmp_path_factory.mktemp("at hand") / "project"
    places = {"one": "vendor", "flat": "flat", "paged": "paged/paged"}
    for name, place in places.items():
        (folder / place).mkdir(parents=True)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode()
        made = MadeWheel(name, "1.0", "py3-none-any", {f"{name}.py": b""}, metadata=metadata)
        file = Path(made.write(folder / place)).name
        if name == "paged":
            (folder / place / "index.html").write_text(f'<a href="{file}">{file}</a>')
    parent = folder.parent
    for place in ("project/folder", "checkout/inner", "archive-1.0"):
        (parent / place).mkdir(parents=True)
        name = "folder" if "/" in place else "archive"
        (parent / place / "pyproject.toml").write_text(FOLDER.replace("folder", name))
    (parent / "checkout/inner/pyproject.toml").write_text(FOLDER.replace("folder", "checkout"))
    (parent / "archive-1.0/PKG-INFO").write_text(
        "Metadata-Version: 2.2\nName: archive\nVersion: 1.0\n"
    )
    git = "git -c user.name=N -c user.email=n@example.org"
    commands = f"""
        tar -czf project/vendor/archive-1.0.tar.gz archive-1.0
        cd checkout; git init -q .; git add .; {git} commit -qm all"""
    subprocess.run(["bash", "-euc", commands], cwd=parent, check=True)
    text = PROJECT.replace("{checkout}", (parent / "checkout").as_uri())
    (folder / "pyproject.toml").write_text(text)
    uv(folder, "lock")
    uv(folder, "export", "-q", "-o", "pylock.toml")
    uv(folder, "export", "-q", "-o", "requirements.txt")
    return folder


def made(lock: Path, *, beside: Path | None = None, inspect: bool = True) -> Mapping[str, Any]:
    """Give what is made of a lock, with no index to ask; it is of the schema."""
    found = make_lock(
        str(lock), [PLACE], cache=str(lock.parent / "cache"), inspect=inspect,
        environment={**os.environ, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull},
        beside=None if beside is None else str(beside),
    )  # fmt: skip
    jsonschema.validate(found.value, json.loads(Path(data_path("lock.schema.json")).read_text()))
    (environment,) = found.value["environments"].values()
    assert isinstance(environment, dict)
    return environment


@pytest.mark.parametrize("kind", ["uv.lock", "pylock.toml", "requirements.txt"])
def test_what_lies_with_the_project(kind: str, project: Path) -> None:
    """Wheels by their paths, with digests that a folder's index doesn't tell; sources, too."""
    if kind == "requirements.txt":  # it says of a folder's index what it says of any
        lines = (project / kind).read_text().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(("flat", "paged"))]
        (project / kind).write_text("".join(kept))
    environment = made(project / kind)
    paths = {
        "one": "vendor/one-1.0-py3-none-any.whl",
        "flat": "flat/flat-1.0-py3-none-any.whl",
        "paged": "paged/paged/paged-1.0-py3-none-any.whl",
    }
    if kind == "requirements.txt":
        paths = {"one": paths["one"]}
    found = environment["packages"]
    assert {name: each["path"] for name, each in found.items()} == paths
    for name, path in paths.items():
        assert found[name]["version"] == "1.0"
        assert found[name]["sha256"] == hashlib.sha256((project / path).read_bytes()).hexdigest()
        assert "url" not in found[name]
    assert made(project / kind, inspect=False)["packages"].keys() == paths.keys()
    sources = environment["sources"]
    assert sources["folder"]["local"] == "directory folder"
    assert sources["archive"]["sdist"]["path"] == "vendor/archive-1.0.tar.gz"
    checkout = project.parent / "checkout"
    (revision,) = (checkout / ".git/refs/heads").iterdir()
    assert sources["checkout"] == {
        "version": "0" if kind == "requirements.txt" else "3",
        "dependencies": [],
        "local": f"git {checkout.as_uri()}",
        "revision": revision.read_text().strip(),
        "subdirectory": "inner",
    }


def test_paths_are_from_what_is_written(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever that is; what is not there, or is another file, is refused."""
    elsewhere = project.parent / "nix"
    found = made(project / "uv.lock", beside=elsewhere)
    assert found["packages"]["one"]["path"] == "../project/vendor/one-1.0-py3-none-any.whl"
    assert found["sources"]["folder"]["local"] == "directory ../project/folder"
    (tmp_path / "uv.lock").write_text((project / "uv.lock").read_text())
    assert main(["lock", str(tmp_path / "uv.lock"), "--python-version", "3.12"]) == 1
    said = capsys.readouterr().err
    assert "flat-1.0-py3-none-any.whl: can't be read: No such file or directory\n  put back" in said
    for name in ("vendor", "flat", "paged/paged"):
        (tmp_path / name).mkdir(parents=True)
        for file in (project / name).iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(BadLock, match="is not what was locked: its sha256 is another"):
        made(tmp_path / "uv.lock")
    one = tmp_path / "vendor/one-1.0-py3-none-any.whl"
    one.unlink()
    os.mkfifo(one)
    with pytest.raises(BadLock, match="is no file"):
        made(tmp_path / "uv.lock")


def test_poetry_s_own_files(project: Path, tmp_path: Path) -> None:
    """A wheel by its path; a folder, one that is worked on, a checkout."""
    (tmp_path / "vendor").mkdir()
    data = (project / "vendor/one-1.0-py3-none-any.whl").read_bytes()
    (tmp_path / "vendor/one-1.0-py3-none-any.whl").write_bytes(data)
    text = POETRY.replace("{digest}", hashlib.sha256(data).hexdigest())
    (tmp_path / "poetry.lock").write_text(text.replace("{develop}", "false"))
    found = made(tmp_path / "poetry.lock")
    assert found["packages"]["one"]["path"] == "vendor/one-1.0-py3-none-any.whl"
    assert found["sources"]["folder"]["local"] == "directory folder"
    assert found["sources"]["checkout"]["local"] == "git https://example.org/checkout.git"
    assert found["sources"]["checkout"]["revision"] == "0123456789" * 4
    (tmp_path / "poetry.lock").write_text(text.replace("{develop}", "true"))
    assert "folder" not in made(tmp_path / "poetry.lock")["sources"]


@pytest.mark.parametrize(
    ("more", "is_installed"),
    [
        ("", True),
        ("[tool.poetry]\npackage-mode = false\n", False),
        ('[tool.poetry]\nname = "other"\n', True),
    ],
)
def test_poetry_s_own_project(
    more: str,
    is_installed: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
) -> None:
    """The lock doesn't say what `poetry install` installs of the folder; the project does."""
    folder = POETRY[POETRY.index('[[package]]\nname = "checkout"') : POETRY.index("[metadata]")]
    text = f"{folder}{POETRY[POETRY.index('[metadata]') :]}"
    (tmp_path / "poetry.lock").write_text(text)
    project = '[project]\nname = "Demo"\nversion = "1.2"\n[build-system]\nrequires = []\n'
    (tmp_path / "pyproject.toml").write_text(f"{project}{more}")
    demo = {"version": "1.2", "dependencies": ["checkout"], "local": "directory ."}
    found = made(tmp_path / "poetry.lock")
    assert found.get("projects") == ({"demo": demo} if is_installed else None)

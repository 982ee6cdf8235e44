"""Locks of PEP 751 as tools write them: with the project in them, for one environment alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.locks import Release, pylock

from nix_manylinux.cli.main import main
from nix_manylinux.lock.choose import choose, python_for
from nix_manylinux.lock.model import BadLock
from nix_manylinux.lock.read import read_lock
from nix_manylinux.target.place import Place

if TYPE_CHECKING:
    from pathlib import Path

OWN = '[[packages]]\nname = "demo"\ndirectory = { path = "%s"%s }\n'


def written(folder: Path, text: str) -> str:
    """Write a lock; give its path."""
    (folder / "pylock.toml").write_text(text)
    return str(folder / "pylock.toml")


@pytest.mark.parametrize(
    ("folder", "editable", "is_own"),
    [(".", "", True), ("./", "", True), ("../lib", ", editable = true", True), ("lib", "", False)],
)
def test_the_project_itself(
    folder: str,
    editable: str,
    is_own: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is said, and not in it, as of a uv.lock: nixpkgs has it not (uv export writes it)."""
    path = written(tmp_path, pylock() + OWN % (folder, editable))
    assert main(["lock", path, "--no-inspect", "--python-version", "3.12", "-o", "-"]) == 0
    told = capsys.readouterr()
    assert ("demo is not in it, only what the lock has for it" in told.err) == is_own
    assert ("and built from what it is: demo (directory lib)\n" in told.err) != is_own
    (found,) = json.loads(told.out)["environments"].values()
    assert "demo" in found["projects" if is_own else "sources"]


def test_environments_choose_the_python(tmp_path: Path) -> None:
    """What a lock is for may be markers, which pdm writes beside requires-python."""
    only = "environments = [\"python_version >= '3.13'\"]\n"
    path = written(tmp_path, pylock().replace("\n\n", f"\n{only}\n", 1))
    lock = read_lock(path)
    assert python_for(lock, ["3.12"]) == "3.13"
    assert python_for(lock, ["3.14"]) == "3.14"
    with pytest.raises(BadLock) as caught:
        choose(lock, Place(python="3.12", system="x86_64-linux"))
    assert str(caught.value.hint).endswith("name another --system, or --python-version 3.13")


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ("cp313-cp313-manylinux_2_28_x86_64", "3 of them have one for Python 3.13: --python-v"),
        (
            "cp313-cp313-macosx_11_0_arm64",
            "3 of them have one for other systems alone: uv lock, or",
        ),
        ("cp313-cp313-manylinux_2_28_aarch64", ""),
    ],
)
def test_a_lock_of_one_environment(
    tag: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`pip lock` has the wheels of the Python and system that it ran on: it is said, of several."""
    project = tuple(Release(name, "1.0", (tag,), wanted=True) for name in ("a", "b", "c"))
    path = written(tmp_path, pylock(project))
    words = ["lock", path, "--no-inspect", "--python-version", "3.12", "--system", "x86_64-linux"]
    assert main(words) == 0
    said = capsys.readouterr().err.replace("\n", " ")
    assert "no wheel fits for a, b, c: taken from nixpkgs" in said
    assert told in said
    assert told or "of them" not in said
    (tmp_path / "one").mkdir()
    assert main(["lock", written(tmp_path / "one", pylock(project[:1])), *words[2:]]) == 0
    assert "of them" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        (
            "cp311-cp311-manylinux_2_28_x86_64",
            "; it has one for Python 3.11: --python-version 3.11",
        ),
        ("cp312-cp312-macosx_11_0_arm64", "; it has one for other systems alone: uv lock, or"),
        ("cp310-cp310-manylinux_2_28_x86_64", ""),
    ],
)
def test_what_can_not_be_built_either(
    tag: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of one package without a source archive it is said which Python has a wheel, if any (torch).

    No Python that the lock isn't for.
    """
    project = (Release("torch", "2.1", (tag,), sdist=False, wanted=True), Release("b", wanted=True))
    path = written(tmp_path, pylock(project))
    words = ["lock", path, "--no-inspect", "--python-version", "3.12", "--system", "x86_64-linux"]
    assert main(words) == 0
    said = capsys.readouterr().err
    start = "no wheel fits for torch 2.1, and pylock.toml has no source archive of it"
    assert f"{start}{told}" in said
    assert told or f"{start}\n" in said
    assert "taken from nixpkgs" not in said

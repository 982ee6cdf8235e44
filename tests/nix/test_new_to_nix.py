"""docs/new-to-nix.md, from its first command to its last, as one who reads it types them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from tests.nix.test_guides import PROJECT, WHEEL, place, wheels
from tests.support.guides import commands, take

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nix.test_guides import Place

pytestmark = pytest.mark.nix
__all__ = ["place", "wheels"]

GUIDE = "docs/new-to-nix.md"
take(GUIDE, *(command.text for command in commands(GUIDE)))
(
    PYTHON, MAKE, INSTALL, PATCH, AGAIN, _, _, *COLLEAGUE, LINK, INSTALL_LINKED, REALISE, SYNC,
    BACK_1, BACK_2, BACK_3, ROOTS,
) = (command.text for command in commands(GUIDE))  # fmt: skip


def test_an_environment(place: Place) -> None:
    """Made with Nix's Python, it works once it is patched; and again where that comes later."""
    venv = place.folder / ".venv"
    place.run(PYTHON, MAKE, INSTALL, PATCH)
    place.imports(f"{venv}/bin/python", venv)
    place.run(PYTHON, AGAIN, PATCH)
    place.imports(f"{venv}/bin/python", venv)


def test_for_a_colleague(place: Place, wheels: Path) -> None:
    """What a project is made of gives the same environment, with three commands of its four."""
    (place.folder / "pyproject.toml").write_text(PROJECT)
    shutil.copytree(wheels, place.folder / "wheels", dirs_exist_ok=True)
    place.run(*COLLEAGUE)
    place.imports(f"{place.folder}/.venv/bin/python", place.folder / ".venv")


@pytest.mark.parametrize("kind", ["environment", "project"])
def test_back_again(place: Place, wheels: Path, kind: str) -> None:
    """What is installed anew is as its wheel has it, and nothing of ours is left."""
    venv = place.folder / ".venv"
    back = [BACK_1, BACK_2, BACK_3]
    install, back = (INSTALL, back) if kind == "environment" else ("uv sync", [SYNC])
    if kind == "project":
        (place.folder / "pyproject.toml").write_text(PROJECT)
        shutil.copytree(wheels, place.folder / "wheels", dirs_exist_ok=True)
    place.run(PYTHON, MAKE, install)
    before = {path: path.read_bytes() for path in venv.rglob("*") if path.is_file()}
    place.run(PATCH)
    assert any(path.read_bytes() != data for path, data in before.items())
    place.run(*back, ROOTS)
    assert not (place.folder / "installed.txt").exists()
    after = {path: path.read_bytes() for path in venv.rglob("*") if path.is_file()}
    assert {p for p, data in before.items() if after[p] != data} == set()
    assert {path.name for path in after.keys() - before.keys()} <= {"REQUESTED"}


def test_a_wheel_for_others(place: Place) -> None:
    """It is installed by its path, and says what of the store it wants."""
    venv = place.folder / ".venv"
    place.run(PYTHON, MAKE, f"cp wheels/{WHEEL} .", LINK, INSTALL_LINKED)
    place.imports(f"{venv}/bin/python", venv)
    zlib = place.run("nix-build '<nixpkgs>' -A zlib --no-out-link").splitlines()[-1]
    assert zlib in place.run(REALISE).splitlines()

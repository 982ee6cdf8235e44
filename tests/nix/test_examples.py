"""The examples that are evaluated: each gives the output recorded beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.nix import ROOT, nix_path, run_nix
from tests.support.sets import packages

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.nix

EXAMPLES = sorted(file.parent for file in ROOT.glob("examples/*/expected.json"))


@pytest.fixture(scope="module")
def nixpkgs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder that is imported as `<nixpkgs>` is: a function of overlays."""
    folder = tmp_path_factory.mktemp("nixpkgs")
    (folder / "default.nix").write_text(
        f"""{{ overlays ? [ ] }}: let
          root = {nix_path(ROOT)};
          set = {packages(overlay=False)};
        in builtins.foldl' (set: set.extend) set overlays"""
    )
    return folder


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda folder: folder.name)
def test_output(example: Path, nixpkgs: Path) -> None:
    """The command in the example's first lines gives what is recorded."""
    assert (
        f"nix-instantiate --eval --strict --json examples/{example.name}"
        in (example / "default.nix").read_text()
    )
    found = run_nix(
        *("nix-instantiate", "--eval", "--strict", "--json", "-I", f"nixpkgs={nixpkgs}"),
        str(example),
    )
    assert json.loads(found) == json.loads((example / "expected.json").read_text())


def test_there_are_examples() -> None:
    """The examples were found where they are looked for."""
    assert {example.name for example in EXAMPLES} >= {
        *("overlay-without-flakes", "select-wheel", "wheel-list"),
    }

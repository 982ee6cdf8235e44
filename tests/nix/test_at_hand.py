"""What is asked of the nixpkgs at hand: what is there, and what of that can be evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.rings import nix

from nix_manylinux.nix.nixpkgs import ask_nixpkgs, find_unusable

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.nix

NIXPKGS = """{ ... }: rec {
  zlib.outPath = "zlib";
  gone = null;
  python3 = { pythonVersion = "3.11"; pkgs = { six.outPath = "six"; }; };
  python314.pkgs = {
    six.outPath = "six";
    numpy.outPath = { }.libc;
    # Known only when it is built: an evaluation that writes nothing can't tell.
    built.outPath = builtins.readFile (
      derivation { name = "built"; system = builtins.currentSystem; builder = "/bin/sh"; });
    refused.outPath = throw "Package refused is marked as broken, refusing to evaluate.";
  };
}"""


def test_what_can_be_evaluated(tmp_path: Path) -> None:
    """Each by itself where one of them stops the evaluation, with Nix's word for it."""
    (tmp_path / "default.nix").write_text(NIXPKGS)
    environment = {**nix("one").environment, "NIX_PATH": f"nixpkgs={tmp_path}"}
    at_hand = ask_nixpkgs(environment)
    assert at_hand
    assert at_hand.packages == {"six"}
    names = ["pkgs.zlib", "pkgs.gone", "pkgs.new or pkgs.zlib"]
    assert find_unusable(names, "3.14", environment) == {"pkgs.gone": "it is null there"}
    names += [f"python.pkgs.{name}" for name in ("six", "numpy", "built", "refused")]
    assert find_unusable(names, "3.14", environment) == {
        "pkgs.gone": "it is null there",
        "python.pkgs.numpy": "attribute 'libc' missing",
        "python.pkgs.refused": "Package refused is marked as broken, refusing to evaluate.",
    }
    # Another interpreter is asked where there is none of that version.
    assert find_unusable(["python.pkgs.six"], "3.9", environment) == {}

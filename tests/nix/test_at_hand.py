"""What is asked of the nixpkgs at hand: what is there, and what of that can be evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.rings import nix

from nix_manylinux.base.programs import run_program
from nix_manylinux.nix import nixpkgs
from nix_manylinux.nix.nixpkgs import Nixpkgs, ask_nixpkgs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.nix

#: As nixpkgs has aliases: not to be seen where they are not allowed.
NIXPKGS = """{ config ? { }, ... }: let
  warn = text: value: builtins.trace "evaluation warning: ${text}" value;
in rec {
  zlib.outPath = "zlib";
  gone = null;
  thrown.outPath = throw "thrown is insecure";
  unfree.library.outPath = throw "it is unfree";
  python3 = { pythonVersion = "3.11"; pkgs = { six.outPath = "six"; }; };
  python314.pkgs = {
    six = { outPath = "six"; version = "1.17.0"; };
    numpy.outPath = { }.libc;
    # Known only when it is built: an evaluation that writes nothing can't tell.
    built.outPath = builtins.readFile (
      derivation { name = "built"; system = builtins.currentSystem; builder = "/bin/sh"; });
    refused.outPath = throw "Package refused is marked as broken, refusing to evaluate.";
  };
} // (if config.allowAliases or true then {
  mysql80 = throw "'mysql80' reached its end and has been removed.";
  xxHash = warn "'xxHash' has been renamed to 'xxhash'" { outPath = "xxhash"; };
  quiet.outPath = "zlib";
} else { })"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Give the environment of a Nix whose nixpkgs this is."""
    (tmp_path / "default.nix").write_text(NIXPKGS)
    return {**nix("one").environment, "NIX_PATH": f"nixpkgs={tmp_path}"}


def find_unusable(
    names: list[str], at_hand: Nixpkgs, python: str, environment: dict[str, str]
) -> dict[str, str]:
    """Give what is found not to be had."""
    return nixpkgs.look_into(at_hand, names, python, environment).unusable


def test_what_can_be_evaluated(environment: dict[str, str]) -> None:
    """Each by itself where one of them stops the evaluation, with Nix's word for it."""
    at_hand = ask_nixpkgs(environment)
    assert at_hand
    assert at_hand.packages == {"six"}
    assert not at_hand.attributes & {"mysql80", "xxHash", "quiet"}
    names = ["pkgs.zlib", "pkgs.gone", "pkgs.new or pkgs.zlib"]
    assert find_unusable(names, at_hand, "3.14", environment) == {"pkgs.gone": "it is null there"}
    names += [f"python.pkgs.{name}" for name in ("six", "numpy", "built", "refused", "none")]
    assert find_unusable(names, at_hand, "3.14", environment) == {
        "pkgs.gone": "it is null there",
        "python.pkgs.numpy": "attribute 'libc' missing",
        "python.pkgs.refused": "Package refused is marked as broken, refusing to evaluate.",
        "python.pkgs.none": "it is not there",
    }
    found = nixpkgs.look_into(at_hand, names, "3.14", environment)
    assert found.versions == {"python.pkgs.six": "1.17.0"}
    # Another interpreter is asked where there is none of that version.
    assert find_unusable(["python.pkgs.six"], at_hand, "3.9", environment) == {}


def test_what_is_not_there(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that are missing, throw or lead to another are told in one evaluation, and why."""
    at_hand = ask_nixpkgs(environment)
    assert at_hand
    calls: list[int] = []

    def run(*arguments: object, **options: object) -> object:
        calls.append(1)
        return run_program(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(nixpkgs, "run_program", run)
    names = ["pkgs.zlib", "pkgs.none", "pkgs.a.b or pkgs.none", "pkgs ? unfree.library"]
    names += ["pkgs ? unfree.none", "pkgs ? none.library"]
    missing = "it is not there"
    assert find_unusable(names, at_hand, "3.11", environment) == {
        "pkgs.none": missing, "pkgs.a.b or pkgs.none": missing,
        "pkgs ? unfree.none": missing, "pkgs ? none.library": missing,
    }  # fmt: skip
    assert len(calls) == 1
    names = ["pkgs.zlib", "pkgs.thrown", "pkgs.mysql80", "pkgs.xxHash", "pkgs.quiet"]
    assert find_unusable(names, at_hand, "3.11", environment) == {
        "pkgs.thrown": "thrown is insecure",
        "pkgs.mysql80": "'mysql80' reached its end and has been removed.",
        "pkgs.xxHash": "an alias: 'xxHash' has been renamed to 'xxhash'",
        "pkgs.quiet": "an alias",
    }
    assert len(calls) == 1 + 1 + 4

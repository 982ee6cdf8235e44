"""An expression for nixpkgs itself says nothing of this machine, and what a reviewer asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def wheel(tmp_path: Path) -> str:
    """Make a wheel that wants a library of a name that Python's set has, and one in an output."""
    files = {
        "demo/__init__.py": b"",
        "demo/fast.so": tiny_library("fast.so", "libzstd.so.1", "libbrotlicommon.so.1"),
    }
    tag = "cp311-cp311-manylinux_2_17_x86_64"
    return str(MadeWheel(name="demo", version="1.0", tag=tag, files=files).write(tmp_path))


def test_text(
    wheel: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """<nixpkgs> is not asked; libraries are arguments, which python-packages.nix passes on."""

    def ask(_: object) -> None:
        raise AssertionError("<nixpkgs> was asked")

    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", ask)
    assert main(["expr", "--for-nixpkgs", wheel]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(
        "# pkgs/development/python-modules/demo/default.nix, and in python-packages.nix:\n"
        "# demo = callPackage ../development/python-modules/demo"
        " { inherit (pkgs) brotli zstd; };\n{\n  lib,\n"
    )
    assert "  buildInputs = [\n    (lib.getLib brotli)\n    zstd\n  ];\n" in said.out
    assert "    maintainers = with lib.maintainers; [ ];\n" in said.out
    assert "pkgs." not in said.out
    assert "this nixpkgs" not in said.out + said.err


def test_not_with_local(wheel: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What lies beside the expression is no source of nixpkgs'."""
    assert main(["expr", "--for-nixpkgs", "--local", wheel]) == 2
    assert "--for-nixpkgs fetches the wheel: without --local" in capsys.readouterr().err


def test_without_it(
    wheel: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere nobody passes libraries on, or asks for maintainers."""
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: None)
    assert main(["expr", wheel]) == 0
    text = capsys.readouterr().out
    assert "(lib.getLib pkgs.brotli)\n    pkgs.zstd\n" in text
    assert "maintainers" not in text

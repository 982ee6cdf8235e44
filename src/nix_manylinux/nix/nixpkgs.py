"""What the nixpkgs that is at hand has: its Python, and the names of its Python packages."""

from __future__ import annotations

import json

from nix_manylinux.base.values import Value
from nix_manylinux.nix.references import NoNix, find_nix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: Names that only lead to others, or say that something is gone, are not counted.
_QUESTION = """
let pkgs = import <nixpkgs> { config = { allowAliases = false; }; };
in {
  python = pkgs.python3.pythonVersion;
  packages = builtins.attrNames pkgs.python3.pkgs;
  attributes = builtins.attrNames pkgs;
  system = builtins.currentSystem;
}
"""

#: Seconds. A `<nixpkgs>` that has to be fetched first is not at hand.
_PATIENCE = 30


class Nixpkgs(Value):
    """``python`` is the version of its python3, "3.12"; ``system`` the machine's, for Nix.

    ``packages`` are the names in that Python's set, ``attributes`` those at the top.
    """

    python: str
    system: str
    packages: frozenset[str]
    attributes: frozenset[str]


def ask_nixpkgs(environment: Mapping[str, str]) -> Nixpkgs | None:
    """Look into ``<nixpkgs>``, a second or two; None where there is no Nix, or no nixpkgs."""
    import subprocess  # noqa: PLC0415 - start-up

    try:
        tool = find_nix("nix-instantiate", environment, option="", hint="")
        done = subprocess.run(
            [tool, "--eval", "--strict", "--json", "-E", _QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=dict(environment),
            timeout=_PATIENCE,
            check=True,
        )
        told = json.loads(done.stdout)
        return Nixpkgs(
            python=str(told["python"]),
            system=str(told["system"]),
            packages=frozenset(map(str, told["packages"])),
            attributes=frozenset(map(str, told["attributes"])),
        )
    except (NoNix, OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError):
        return None

"""Package sets as expressions, for tests that evaluate: those of the ring that was asked for."""

from __future__ import annotations

from typing import Any

from tests.support.nix import ROOT, evaluate, nix_path, nix_string
from tests.support.rings import nix, ring

#: An overlay with a package for each library that a policy names.
STAND_INS = "(import (root + /tests/nix/stand-ins.nix))"


def packages(
    *,
    overlay: bool = True,
    extra: str = STAND_INS,
    config: str = "",
    more: str = "",
    number: str | None = None,
) -> str:
    """Give the expression of a package set; `root` must be the project's folder there.

    With ``overlay`` it has the project's overlay; ``extra`` are further
    overlays, as expressions with spaces between, ``config`` nixpkgs' options,
    as the inside of a set, ``more`` further arguments, likewise, ``number``
    "one" or "two" where it must be that ring.
    """
    ours = "(import (root + /nix/overlay.nix))" if overlay else ""
    given = dict(nix().arguments)
    given.pop("ring", None)
    wheels = given.pop("pureWheels")
    arguments = "".join(f"{name} = {nix_string(value)}; " for name, value in given.items())
    return (
        f"(import (root + /tests/nix/ring-{number or ring()}) {{ {arguments} {more}"
        f" wheels = {nix_path(wheels)}; overlays = [ {extra} {ours} ]; config = {{ {config} }}; }})"
    )


def expression(body: str) -> str:
    """Make an expression that can stand by itself of one that uses `root`."""
    return f"let root = {nix_path(ROOT)}; in {body}"


def broken_claims(file: str, *, arguments: str = "", more: str = "") -> Any:  # noqa: ANN401 -- JSON
    """Give the claims of a .nix file (lib.runTests form) that don't hold, with what they gave.

    The file is a function of `pkgs`, a set with the overlay, `plain`, one
    without, and of ``arguments``; ``more`` goes to both sets.
    """
    return evaluate(
        f"""let
          claims = import (root + "/tests/nix/{file}") {{
            pkgs = {packages(more=more)};
            plain = {packages(overlay=False, more=more)};
            {arguments}
          }};
          broken = builtins.filter (name: claims.${{name}}.expr != claims.${{name}}.expected)
            (builtins.attrNames claims);
        in assert claims != {{ }};
          builtins.intersectAttrs (builtins.groupBy (name: name) broken) claims"""
    )

"""What the Nix tests share."""

from __future__ import annotations

import pytest
from tests.support.rings import Nix, nix


@pytest.fixture(scope="session", name="nix")
def _nix() -> Nix:
    """Real Nix, with the package set of the ring that was asked for."""
    return nix()


@pytest.fixture(scope="session")
def nix_one() -> Nix:
    """Real Nix with ring one, for what the nixpkgs of ring two can't be asked on one machine."""
    return nix("one")

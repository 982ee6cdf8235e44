"""Ring one must not drift from ring two: the record of the last run there is fresh."""

from __future__ import annotations

import json

import pytest
from tests.nix import ring_two

pytestmark = pytest.mark.nix


def test_the_record_is_of_these_files() -> None:
    """Whoever changes hooks/, nix/ or tests/nix/ runs ring two again: tests/nix/ring_two.py."""
    record = json.loads(ring_two.RECORD.read_text(encoding="utf-8"))
    assert record["hash"] == ring_two.fingerprint(), "stale: run tests/nix/ring_two.py"


def test_everything_passed_there() -> None:
    """The record holds results, and all of them are good."""
    record = json.loads(ring_two.RECORD.read_text(encoding="utf-8"))
    assert set(record["results"].values()) == {"passed"}
    assert len(record["results"]) == record["passed"] > 50

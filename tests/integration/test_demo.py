"""The README's first command, from what it needs of a set-up on."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from tests.support import isolation

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "demo.py"


@pytest.mark.wheels
@pytest.mark.parametrize("mechanism", ["bubblewrap", "chroot"])
def test_the_demo_tells_its_story(
    mechanism: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Numpy from PyPI fails where nothing is visible, is patched, and works there; so it ends."""
    if mechanism not in isolation.possible():
        pytest.xfail(f"{mechanism} is not possible here")
    monkeypatch.setattr(isolation, "mechanism", lambda: mechanism)
    demo = runpy.run_path(str(DEMO))
    demo["Story"].tell.__globals__["mechanism"] = lambda: mechanism
    assert demo["main"]() == 0
    said = capfd.readouterr().out
    assert "cannot open shared object file" in said
    assert "inverts a matrix" in said
    assert f"({mechanism})" in said
    assert "Not from what it was given" not in said

"""The outputs that the documentation shows are what the command prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.wheels import corpus

from nix_manylinux.cli import main

RECORDED = Path(__file__).parents[2] / "docs" / "output"
#: Record anew: `nix-manylinux inspect WHEEL > docs/output/inspect-NAME.txt`.
WHEELS = {
    "inspect-opencv-python": "opencv_python-",
    "inspect-pyside6-essentials": "pyside6_essentials-",
    "inspect-nvidia-cusparse": "nvidia_cusparse_cu12-",
    "inspect-torch": "torch-",
}


@pytest.mark.wheels
@pytest.mark.parametrize("name", sorted(WHEELS))
def test_inspect(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What inspect says of a real wheel is what stands in docs/output."""
    for variable in ("NIX_BUILD_TOP", "NIX_BINTOOLS"):
        monkeypatch.delenv(variable, raising=False)
    assert main(["inspect", corpus.wheel(WHEELS[name])]) == 0
    assert capsys.readouterr().out == (RECORDED / f"{name}.txt").read_text()


def test_every_record_is_tested() -> None:
    """No output stands in the documentation without a test."""
    assert {path.stem for path in RECORDED.iterdir()} == set(WHEELS)

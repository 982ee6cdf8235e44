"""The examples that are built: each gives the output recorded beside it."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.support.nix import ROOT
from tests.wheels.corpus import wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.rings import Nix

pytestmark = [pytest.mark.nix, pytest.mark.wheels]

EXAMPLES = sorted(file.parent for file in ROOT.glob("examples/*/expected.txt"))

#: A whole name of a wheel that an example fetches.
FILE = re.compile(r'file = "([^"]+\.whl)"|fetch "([^"]+\.whl)"')


def for_cp311(example: Path) -> bool:
    """Whether an example's wheel is for that Python alone: so is numpy's, which none names."""
    text = (example / "default.nix").read_text()
    return "-cp311-cp311-" in text or FILE.search(text) is None


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(folder, marks=[pytest.mark.cp311] if for_cp311(folder) else [])
        for folder in EXAMPLES
    ],
    ids=lambda folder: folder.name,
)
def test_output(nix: Nix, example: Path) -> None:
    """The command in the example's first lines gives what is recorded; no download is needed."""
    text = (example / "default.nix").read_text()
    assert f"nix-build examples/{example.name} && cat result" in text
    names = ["".join(match) for match in FILE.findall(text)]
    for name in names or ["numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64"]:
        # Under its name and hash it is the fetcher's output: nothing is fetched.
        subprocess.run(
            ["nix-store", "--add-fixed", "sha256", wheel(name)],
            env=nix.environment,
            check=True,
            capture_output=True,
        )
    with open(nix.build(f"examples.{example.name}").path, encoding="utf-8") as file:
        assert file.read() == (example / "expected.txt").read_text()


def test_there_are_examples() -> None:
    """The examples were found where they are looked for."""
    assert len(EXAMPLES) == 6

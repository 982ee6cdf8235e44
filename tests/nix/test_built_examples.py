"""The examples that are built: each gives the output recorded beside it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.modules import python, system_sandbox
from tests.support.nix import ROOT
from tests.support.rings import zig_folder
from tests.wheels.corpus import wheel

from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
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
    built = nix.build(f"examples.{example.name}", zigFolder=zig_folder())
    assert Path(built.path).read_text() == (example / "expected.txt").read_text()


@pytest.mark.cp311
@pytest.mark.parametrize(
    ("example", "glibc"),
    [
        ("c-for-manylinux2014", (2, 17)),
        ("rust-for-manylinux2014", (2, 17)),
        ("cpp-for-manylinux_2_28", (2, 28)),
    ],
)
def test_what_an_old_glibc_takes(
    nix: Nix, example: str, glibc: tuple[int, int], tmp_path: Path
) -> None:
    """The wheel is installed by pip, and imported where the store isn't to be seen.

    No symbol is of a newer glibc, and no library is wanted that isn't glibc's.
    """
    folder = Path(nix.build(f"examples.{example}.wheel", zigFolder=zig_folder()).path)
    (wheel,) = folder.glob("*.whl")
    words = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target"]
    site = tmp_path / "site"
    subprocess.run([*words, str(site), str(wheel)], check=True, capture_output=True)
    (module,) = site.glob("demo*.so")
    facts = read_elf(module)
    assert facts is not None
    wanted = [need.version.removeprefix("GLIBC_") for need in facts.needs]
    assert wanted
    assert max(tuple(map(int, version.split("."))) for version in wanted) <= glibc
    of_glibc = ("libc.so.", "libm.so.", "libpthread.so.", "libdl.so.", "ld-linux-")
    assert [name for name in facts.needed if not name.startswith(of_glibc)] == []
    ran = system_sandbox(str(site)).run(
        [python(), "-c", "import demo; print(demo.answer, getattr(demo, 'other', -1))"],
        environment={"PYTHONPATH": str(site)},
    )
    assert ran.stdout == "42 -1\n", ran.stderr


def test_there_are_examples() -> None:
    """The examples were found where they are looked for."""
    assert len(EXAMPLES) == 9

"""The rules of tests/conftest.py, seen from outside: a pytest of its own runs on them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

SKIPS = """
import pytest
def test_skips():
    pytest.skip("no compiler")
@pytest.mark.xfail
def test_known():
    raise AssertionError
"""

SKIPS_WHILE_IMPORTED = """
import pytest
pytest.skip("no compiler", allow_module_level=True)
"""

ASKED_FOR = """
import pytest
@pytest.mark.asked_for("A_WHOLE_NIXPKGS")
def test_ring_two():
    pass
def test_ring_one():
    pass
"""


def run(folder: Path, text: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run pytest on one module of this text, under our conftest and a clean environment."""
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = asked_for(variable): x\n")
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments, str(folder)],
        env={"PATH": os.environ["PATH"], **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return outcome.returncode, outcome.stdout


@pytest.mark.parametrize("text", [SKIPS, SKIPS_WHILE_IMPORTED])
def test_a_skip_fails_on_ci(tmp_path: Path, text: str) -> None:
    """With CI=true a skipped test or module is a failure that gives the skip's reason."""
    status, output = run(tmp_path, text, CI="true")
    assert status != 0
    assert "skipped, which CI takes for a failure" in output
    assert "no compiler" in output


def test_a_skip_is_a_skip_elsewhere(tmp_path: Path) -> None:
    """Without CI a skip stays a skip, and an expected failure is one in both."""
    status, output = run(tmp_path, SKIPS)
    assert status == 0
    assert "1 skipped, 1 xfailed" in output
    assert "1 failed, 1 xfailed" in run(tmp_path, SKIPS, CI="true")[1]


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_what_was_not_asked_for_is_counted(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A test marked asked_for is left out by name, and runs where its variable is set."""
    status, output = run(tmp_path, ASKED_FOR, *arguments, CI="true")
    assert status == 0
    assert "1 passed" in output
    assert "1 not run: set A_WHOLE_NIXPKGS to ask for them" in output
    status, output = run(tmp_path, ASKED_FOR, *arguments, CI="true", A_WHOLE_NIXPKGS="/x")
    assert status == 0
    assert "2 passed" in output
    assert "not run" not in output

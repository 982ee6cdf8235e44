"""The folder of the moment: where it is made, and that nothing of it stays."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from nix_manylinux.base import scratch
from nix_manylinux.base.errors import WriteFailed
from nix_manylinux.base.scratch import scratch_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the environment says of temporary folders."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["TMPDIR", "TEMP", "TMP"])
def test_is_where_the_environment_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three names that tempfile looks at are looked at, and nobody else may look inside."""
    monkeypatch.setenv(name, str(tmp_path))
    with scratch_folder() as folder:
        assert os.path.dirname(folder) == str(tmp_path)
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert os.listdir(tmp_path) == []


def test_another_place_where_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TMPDIR that is not there is passed over, as tempfile does."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr(scratch, "_TEMPORARY", (str(tmp_path),))
    with scratch_folder() as folder:
        assert os.path.dirname(folder) == str(tmp_path)


def test_no_place_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no folder can be made, the error names the one that was wished for."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr(scratch, "_TEMPORARY", (str(tmp_path / "neither"),))
    with pytest.raises(WriteFailed, match="nowhere") as caught, scratch_folder():
        pytest.fail("there is no folder")
    assert "TMPDIR" in caught.value.hint


def test_all_in_it_is_deleted_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders, read-only files and links go; what a link leads to stays."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    with scratch_folder() as folder:
        os.makedirs(f"{folder}/a/b/c")
        os.symlink(kept, f"{folder}/a/link")
        with open(f"{folder}/a/b/file", "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o400)
    assert os.listdir(place) == []
    assert (kept / "file").read_text() == "x"

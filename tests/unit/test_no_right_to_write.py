"""Who may not write somewhere is told so: there is nothing to undo, and no word of undoing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from nix_manylinux.write.replacement import Replacement
from nix_manylinux.write.unfold import Unfolding

if TYPE_CHECKING:
    from pathlib import Path


def refuse(*_: object) -> None:
    """Be chmod for somebody else's folder, which can't be told from the owner's by root."""
    raise PermissionError(1, os.strerror(1))


@pytest.mark.parametrize("kind", ["copy", "folder"])
def test_what_was_not_begun_is_not_undone(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one's environment: its folder's mode can't be changed, neither to nor fro."""
    (tmp_path / "file").write_text("here")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "chmod", refuse)
    change: Replacement | Unfolding = Replacement([str(tmp_path / "file")])
    if kind == "folder":
        change = Unfolding(str(tmp_path / "link"), (), {})
    with pytest.raises(PermissionError):
        change.begin()
    change.undo()
    assert sorted(os.listdir(tmp_path)) == ["file", "link", "real"]

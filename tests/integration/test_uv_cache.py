"""A virtual environment that uv filled with hard links into its cache."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.host import beside_python
from tests.support.trees import plan_all, snapshot
from tests.wheels.corpus import wheel

from nix_manylinux.write.apply import apply_plan

if TYPE_CHECKING:
    from pathlib import Path

    from nix_manylinux.tree.facts import TreeFile


def links(root: Path, file: TreeFile) -> int:
    """Count a file's names, its links in a cache among them."""
    return (root / file.path).stat().st_nlink


@pytest.mark.wheels
def test_the_cache_keeps_its_bytes(tmp_path: Path) -> None:
    """Patching one environment changes neither uv's cache nor another environment; undo neither."""
    uv = beside_python("uv")
    cache = tmp_path / "cache"
    environment = {**os.environ, "UV_CACHE_DIR": str(cache), "UV_OFFLINE": "1"}
    for name in ("one", "two"):
        venv = str(tmp_path / name)
        made = [uv, "venv", "--quiet", "--python", sys.executable, venv]
        subprocess.run(made, check=True, env=environment)
        install = [uv, "pip", "install", "--quiet", "--no-deps", "--link-mode", "hardlink"]
        install += [
            "--python",
            f"{venv}/bin/python",
            wheel("ninja-"),
            wheel("tbb-"),
        ]
        subprocess.run(install, check=True, env=environment)
    plan = plan_all(tmp_path / "one")
    shared = [file for file in plan.trees[0].files if links(tmp_path / "one", file) > 1]
    assert shared, "uv made no hard links: this test saw nothing"
    before = {name: snapshot(tmp_path / name) for name in ("cache", "one", "two")}

    apply_plan(plan).undo()
    assert {name: snapshot(tmp_path / name) for name in before} == before

    with apply_plan(plan) as applied:
        assert {edit.label for edit in applied.edits if edit.how == "copied"} == {
            file.label for file in shared
        }
    for name in ("cache", "two"):
        # Their files have a link less now, and nothing else is different.
        after = snapshot(tmp_path / name)
        assert {path: (*value[:2], value[3]) for path, value in after.items()} == {
            path: (*value[:2], value[3]) for path, value in before[name].items()
        }
    for file in plan_all(tmp_path / "one").trees[0].files:
        assert file.facts.search_path == ("/nix/store/x/lib",)
        assert links(tmp_path / "one", file) == 1

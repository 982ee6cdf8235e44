"""One LibraryIndex for many plans: of trees that change between them, and of several threads."""

from __future__ import annotations

import shutil
import sys
import threading
from typing import TYPE_CHECKING

from tests.support.elf import ElfBuilder

from nix_manylinux import (
    LibraryIndex,
    Target,
    check_tree,
    inspect_tree,
    patch_wheel_tree,
    plan_tree,
)
from nix_manylinux.tree.disk import Disk

if TYPE_CHECKING:
    from pathlib import Path

TARGET = Target.from_interpreter(sys.executable)


def test_trees_may_change_between_plans(tmp_path: Path) -> None:
    """Each sees what is there by then: no pins, nothing missing that is there."""
    files = ElfBuilder(tmp_path / "elf")
    one, two = (files.library(f"lib{n}.so.1", soname=f"lib{n}.so.1") for n in ("one", "two"))
    tree, other = tmp_path / "tree", tmp_path / "other"
    (tree / "pkg").mkdir(parents=True)
    (other / "lib").mkdir(parents=True)
    for library, folder in ((one, tree / "pkg"), (two, other / "lib")):
        shutil.copy(library, folder)
    shutil.copy(files.library("user.so", needs=[one]), tree / "pkg")
    (tmp_path / "libs").mkdir()
    index = LibraryIndex.from_directories([tmp_path / "libs"])
    patch_wheel_tree([tree, other], target=TARGET, libraries=index)
    shutil.copy(two, tree / "pkg")
    shutil.copy(files.library("user2.so", needs=[two]), tree / "pkg")
    report = patch_wheel_tree(tree, target=TARGET, libraries=index)
    (plan,) = (each for each in report.plan.files if each.file.path == "pkg/user2.so")
    assert plan.edit.search_path == ("$ORIGIN",)
    assert not plan.edit.replace_needed
    found = check_tree(tree, target=TARGET, libraries=index).plan
    assert not found.missing
    assert not found.incompatible
    (tree / "pkg" / two.name).unlink()
    found = check_tree(tree, target=TARGET, libraries=index).plan
    assert [problem.name for problem in found.missing] == [two.name]
    assert plan_tree(inspect_tree(tree), target=TARGET, libraries=index).missing


def test_threads_share_an_index(tmp_path: Path) -> None:
    """Who asks while another thread still reads the directories lacks nothing."""
    library = ElfBuilder(tmp_path / "elf").library("liba.so.1.2", soname="liba.so.1")
    (tmp_path / "libs").mkdir()
    shutil.copy(library, tmp_path / "libs")
    reading, done = threading.Event(), threading.Event()

    class Slow(Disk):
        def names(self, directory: str) -> frozenset[str]:
            if threading.current_thread() is slow:
                reading.set()
                done.wait(60)
            return super().names(directory)

    index = LibraryIndex.from_directories([tmp_path / "libs"], disk=Slow())
    for ask in (index.named, index.with_soname):
        reading.clear()
        done.clear()
        slow = threading.Thread(target=ask_all, args=(ask,))
        slow.start()
        assert reading.wait(60)
        found = list(ask("liba.so.1" if ask == index.with_soname else library.name))
        done.set()
        slow.join()
        assert found == [f"{tmp_path}/libs/{library.name}"]


def ask_all(ask: object) -> None:
    """Ask for what isn't there."""
    assert callable(ask)
    assert not list(ask("nothing"))

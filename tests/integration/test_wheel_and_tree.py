"""A wheel patched as an archive has the libraries that the tree installed from it gets."""

from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import ElfBuilder
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.api import inspect_wheel, patch_wheel, patch_wheel_tree, plan_tree
from nix_manylinux.elf.read import read_elf
from nix_manylinux.target.target import from_running
from nix_manylinux.tree.libraries import LibraryIndex
from nix_manylinux.wheel.open import open_wheel

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("$ORIGIN/../data:/nowhere", ("$ORIGIN/../data",)),
        ("$ORIGIN/none:$ORIGIN/../data/deep/er", ("$ORIGIN/../data/deep/er",)),
        ("$ORIGIN/../data/deep:$ORIGIN/../data/dee", ("$ORIGIN/../data/deep",)),
        ("$ORIGIN/../../../../etc:$ORIGIN/../data/deep/er/x.txt", ()),
    ],
)
def test_folders_without_libraries_count(
    written: str, kept: tuple[str, ...], tmp_path: Path
) -> None:
    """An own entry that leads to a folder of the wheel stays, though nothing there is unpacked."""
    library = ElfBuilder(tmp_path / "elf").library("a.so", runpath=written).read_bytes()
    made = MadeWheel(
        tag="py3-none-linux_x86_64",
        files={"made/lib/a.so": library, "made/data/deep/er/x.txt": b"x"},
    )
    path = made.write(tmp_path)
    tree = tmp_path / "tree"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tree)
    target, libraries = from_running(), LibraryIndex.from_directories([])
    patch_wheel_tree(tree, target=target, libraries=libraries)
    done = patch_wheel(path, output_dir=tmp_path / "out", target=target, libraries=libraries)
    facts = read_elf(tree / "made/lib/a.so")
    assert facts is not None
    assert facts.search_path == kept
    with zipfile.ZipFile(done.path) as archive:
        assert archive.read("made/lib/a.so") == (tree / "made/lib/a.so").read_bytes()


def test_only_folders_with_files_are_made(tmp_path: Path) -> None:
    """Of the folders that an installer makes, those are there that something was written to."""
    library = ElfBuilder(tmp_path / "elf").library("a.so").read_bytes()
    files = {"made/lib/a.so": library, "made/data/deep/x.txt": b"", "made/none.so": b"text"}
    path = MadeWheel(files=files).write(tmp_path)
    with open_wheel(path) as wheel:
        unpacked = wheel.unpack(str(tmp_path / "tree"))
    site = tmp_path / "tree/lib/python/site-packages"
    assert {each.name for each in site.iterdir()} == {"made", wheel.dist_info}
    assert {each.name for each in (site / "made").iterdir()} == {"lib", "none.so"}
    unpacked.make_folders([f"{site}/made/data", f"{site}/made/dat", "/made/data", str(tmp_path)])
    assert {each.name for each in (site / "made").iterdir()} == {"lib", "none.so", "data"}


def test_a_wheel_is_planned_as_a_tree(tmp_path: Path) -> None:
    """The facts of a wheel are all that a plan asks: the folder that it was unpacked to is gone."""
    library = tiny_library("a.so", "libnone.so.1")
    path = MadeWheel(tag="py3-none-linux_x86_64", files={"made/a.so": library}).write(tmp_path)
    facts = inspect_wheel(path)
    assert not os.path.exists(facts.root)
    libraries = LibraryIndex.from_directories([])
    plan = plan_tree(facts, target=from_running(), libraries=libraries)
    assert [(each.name, each.wanted_by) for each in plan.missing] == [
        ("libnone.so.1", ("made/a.so",))
    ]

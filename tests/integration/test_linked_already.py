"""What an earlier patch has linked into a Nix store stays, whatever a later one is given."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command, library_options, target_options
from tests.support.scene import SITE, Scene, run_path
from tests.support.store import host_store
from tests.support.trees import snapshot

from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit

if TYPE_CHECKING:
    from tests.support.installed import Ran


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Give a tree of one file that was linked to two libraries of a store."""
    scene = Scene(home=tmp_path, store=host_store(["libz.so.1", "libstdc++.so.6"]))
    one, two = (scene.files.library(f"lib{n}.so.1", soname=f"lib{n}.so.1") for n in ("one", "two"))
    scene.library("one", one)
    scene.library("two", two)
    scene.put("pkg/linked.abi3.so", scene.files.library("linked.so", needs=[two, one]))
    done = run(scene, "patch", *library_options(scene.libraries))
    assert done.status == 0, done.stderr
    return scene


def run(scene: Scene, verb: str, *words: str) -> Ran:
    """Run the command on the scene's tree, in place; the scene's store is Nix's."""
    return command(
        verb,
        str(scene.home / "tree"),
        *target_options(scene.store),
        *words,
        environment={**os.environ, "NIX_STORE": str(scene.home / "store")},
    )


def linked(scene: Scene) -> Path:
    """Give the path of the file that is linked already."""
    return scene.home / "tree" / SITE / "pkg/linked.abi3.so"


def test_a_file_that_loads_stays(scene: Scene) -> None:
    """A second patch with other libraries, or with none, changes nothing that is right."""
    three = scene.files.library("libthree.so.1", soname="libthree.so.1")
    scene.put("pkg/new.abi3.so", scene.files.library("new.so", needs=[three]))
    before = linked(scene).read_bytes()
    assert run(scene, "patch").status == 1  # for libthree alone
    done = run(scene, "patch", "--missing", "warn")
    assert done.status == 0, done.stderr
    assert "libone" not in done.stderr
    assert linked(scene).read_bytes() == before
    done = run(scene, "patch", "--libs", scene.library("three", three))
    assert done.status == 0, done.stderr
    assert linked(scene).read_bytes() == before
    assert run(scene, "check").status == 0
    # In another order than the one that it was given in.
    state = snapshot(scene.home / "tree")
    assert run(scene, "patch", "--libs", scene.libraries[1]).status == 0
    assert snapshot(scene.home / "tree") == state


def test_what_is_given_comes_first(scene: Scene) -> None:
    """Newer libraries take the place of those that are linked."""
    newer = scene.library("newer-one", Path(scene.libraries[0], "libone.so.1"))
    done = run(scene, "patch", "--libs", newer)
    assert done.status == 0, done.stderr
    assert newer in run_path(linked(scene))
    assert scene.libraries[0] not in run_path(linked(scene))
    assert scene.libraries[1] in run_path(linked(scene))


def test_what_is_gone_is_missing(scene: Scene) -> None:
    """A store path that was collected is no library any more; nor is one outside of the store."""
    elsewhere = scene.home / "elsewhere"
    shutil.move(scene.libraries[0], elsewhere)
    done = run(scene, "patch")
    assert done.status == 1
    assert "1 library missing" in done.stderr
    assert "libone.so.1" in done.stderr
    path = (scene.libraries[1], str(elsewhere))
    edit_file(str(linked(scene)), ElfEdit(search_path=path))
    assert run(scene, "patch").status == 1


@pytest.mark.parametrize("verb", ["patch", "check", "inspect"])
def test_store_paths_of_another_machine(scene: Scene, verb: str) -> None:
    """They are named, once for all files, with the command that fetches them, and in JSON."""
    scene.put("pkg/copy.abi3.so", linked(scene))
    gone = Path(scene.libraries[0]).parent
    assert run(scene, verb, "--json", str(scene.home / "report")).status == 0
    assert json.loads((scene.home / "report").read_text())["absent"] == []
    shutil.move(gone, scene.home / "elsewhere")
    done = run(scene, verb, "--json", str(scene.home / "report"))
    said = (done.stdout + done.stderr).splitlines()
    (at,) = (n for n, line in enumerate(said) if "store path that is not on this machine" in line)
    assert f"nix-store --realise {gone}" in "".join(said[at : at + 3])
    assert json.loads((scene.home / "report").read_text())["absent"] == [str(gone)]
    # What fills the gap in another way is no news.
    library = scene.files.library("libone.so.1", soname="libone.so.1")
    again = run(scene, "patch", "--libs", scene.library("again", library))
    assert "not on this machine" not in again.stdout + again.stderr


def test_a_build_sees_only_its_inputs(scene: Scene) -> None:
    """There a store path that isn't seen says nothing of the machine."""
    shutil.move(Path(scene.libraries[0]).parent, scene.home / "elsewhere")
    place = {"NIX_STORE": str(scene.home / "store"), "NIX_BUILD_TOP": str(scene.home)}
    words = ["check", str(scene.home / "tree"), *target_options(scene.store)]
    done = command(*words, environment={**os.environ, **place})
    assert done.status == 1
    assert "on this machine" not in done.stderr


def test_pins_stay(scene: Scene) -> None:
    """A needed name that is a path in the store is one that an earlier patch has written."""
    pin = f"{scene.libraries[0]}/libone.so.1"
    edit_file(
        str(linked(scene)),
        ElfEdit(search_path=(scene.libraries[1],), replace_needed=(("libone.so.1", pin),)),
    )
    before = linked(scene).read_bytes()
    done = run(scene, "patch", "--json", str(scene.home / "report"))
    assert done.status == 0, done.stderr
    assert linked(scene).read_bytes() == before
    (tree,) = json.loads((scene.home / "report").read_text())["trees"]
    ((pinned, other),) = [
        sorted(each["needs"], key=lambda need: need["name"])[:2] for each in tree["files"]
    ]
    assert [pinned["path"], pinned["reason"]] == [pin, "linked already"]
    assert other["reason"] == "linked already"

"""Trees whose files are links to files elsewhere, as uv's ``--link-mode symlink`` makes them."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.host import beside_python
from tests.support.installed import command, library_options, target_options
from tests.support.scene import SITE, Scene, call
from tests.support.store import host_store
from tests.support.trees import plan_all, snapshot
from tests.support.wheels import row
from tests.wheels.corpus import wheel

from nix_manylinux.base.files import is_temporary
from nix_manylinux.write.apply import apply_plan
from nix_manylinux.write.lock import locked_trees

if TYPE_CHECKING:
    from tests.support.installed import Ran

_SOURCE = """
const char *zlibVersion(void);
int demo(void) { return zlibVersion()[0] == '1' ? 7 : 0; }
"""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Give a tree of one library that lies in a cache, by two names."""
    scene = Scene(home=tmp_path, store=host_store(["libz.so.1", "libstdc++.so.6"]))
    cache = tmp_path / "cache"
    cache.mkdir()
    zlib = scene.files.library("libz.so.1", soname="libz.so.1", source="void zlibVersion(void){}")
    built = scene.files.library("ext.so", source=_SOURCE, needs=[zlib])
    (cache / "ext.so").write_bytes(built.read_bytes())
    for name in ("ext.so", "same.so"):
        put_link(scene, f"pkg/{name}", cache / "ext.so")
    return scene


def put_link(scene: Scene, name: str, target: Path) -> Path:
    """Put a link into site-packages."""
    place = scene.home / "tree" / SITE / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)
    return place


def run(scene: Scene, verb: str, *words: str, store: str = "/nowhere") -> Ran:
    """Run the command on the scene's tree, in place."""
    words = (*target_options(scene.store), *library_options(scene.libraries), *words)
    return command(
        verb, str(scene.home / "tree"), *words, environment={**os.environ, "NIX_STORE": store}
    )


def test_a_copy_takes_the_place_of_the_link(scene: Scene) -> None:
    """What the links lead to keeps its bytes; the names stay one file; a second patch is idle."""
    program = scene.home / "cache/prog"
    program.write_bytes(scene.files.program("prog").read_bytes())
    program.chmod(0o755)
    put_link(scene, "../../../bin/prog", program)
    interpreter = put_link(scene, "../../../bin/python3", Path(sys.executable).resolve())
    checked = run(scene, "check")
    assert "pkg/ext.so" in checked.stderr
    assert "bin/prog" in checked.stderr
    scene.libraries += scene.store.libraries()
    cache = snapshot(scene.home / "cache")
    done = run(scene, "patch")
    assert done.status == 0, done.stderr
    site = scene.home / "tree" / SITE
    one, other = site / "pkg/ext.so", site / "pkg/same.so"
    assert not one.is_symlink()
    assert os.path.samefile(one, other)
    assert call(scene, str(one)) == "7"
    assert interpreter.is_symlink()
    assert snapshot(scene.home / "cache") == cache
    before = snapshot(scene.home / "tree")
    again = run(scene, "patch")
    assert again.status == 0, again.stderr
    assert snapshot(scene.home / "tree") == before
    checked = run(scene, "check")
    assert checked.status == 0, checked.stderr


def test_a_refusal_leaves_the_links(scene: Scene) -> None:
    """What is missing is named by the link's path, and nothing has changed."""
    before = snapshot(scene.home)
    done = run(scene, "patch")
    assert done.status == 1
    assert "libz.so.1" in done.stderr
    assert "pkg/ext.so" in done.stderr
    assert {name for name in snapshot(scene.home) if name not in before} == set()
    assert snapshot(scene.home / "tree") == {
        name.removeprefix("tree/"): value
        for name, value in before.items()
        if name.startswith("tree/")
    }


def test_optional_plugins_that_are_links_may_stay(scene: Scene) -> None:
    """What only a plugin lacks is waived by the plugin's name here, not by that of its file."""
    scene.libraries += scene.store.libraries()
    for name in ("direct", "through"):
        absent = scene.files.library(f"libabsent-{name}.so.1", soname=f"libabsent-{name}.so.1")
        inner = scene.files.library(f"lib{name}.so", needs=[absent], runpath="$ORIGIN")
        outer = scene.files.library(f"plugin-{name}.so", needs=[inner], runpath="$ORIGIN")
        for file in (inner, outer):
            (scene.home / "cache" / file.name).write_bytes(file.read_bytes())
            put_link(scene, f"pkg/plugins/{file.name}", scene.home / "cache" / file.name)
    done = run(scene, "patch", "--missing", "leaves")
    assert done.status == 0, done.stderr
    assert "2 optional files will not load (2 libraries missing)" in done.stderr
    checked = run(scene, "check", "--missing", "leaves")
    assert checked.status == 0, checked.stderr
    refused = run(scene, "patch", "--missing", "fail")
    assert refused.status == 1
    assert str(scene.home / "cache") not in refused.stderr


def test_optional_plugins_in_a_folder_that_is_a_link_may_stay(scene: Scene) -> None:
    """A plugin's search path leads through ".." to a library here, in an environment of links."""
    package = scene.home / "package"
    (package / "lib").mkdir(parents=True)
    (package / "plugins").mkdir()
    lacking = scene.files.library("libx.so", soname="libx.so", needed=["libnobody.so.1"])
    plugin = scene.files.library("libp.so", needed=["libx.so"], runpath="$ORIGIN/../lib")
    (package / "lib" / "libx.so").write_bytes(lacking.read_bytes())
    (package / "plugins" / "libp.so").write_bytes(plugin.read_bytes())
    put_link(scene, "kit", package)
    done = run(scene, "check", "--missing", "leaves", "-v")
    assert done.status == 0, done.stderr
    assert "libnobody.so.1" in done.stderr


def test_what_is_somebody_elses_stays(scene: Scene) -> None:
    """A file of a Nix store is not copied, and the report says so."""
    before = snapshot(scene.home / "tree")
    done = run(scene, "patch", store=str(scene.home / "cache"))
    assert done.status == 0, done.stderr
    assert "2 links into a Nix store or another tree stay what they are: " in done.stderr
    assert "pkg/ext.so, " in done.stderr
    assert snapshot(scene.home / "tree") == before


def test_a_way_back(scene: Scene) -> None:
    """Undone, every name is the link that it was."""
    tree = scene.home / "tree"
    before = snapshot(tree)
    with locked_trees([str(tree)]):
        apply_plan(plan_all(tree, adopt=True)).undo()
    assert snapshot(tree) == before


def test_a_run_that_was_killed_on_the_way(scene: Scene) -> None:
    """Two names can't change hands in one step: the next run gives both back."""
    tree = scene.home / "tree"
    before = snapshot(tree)
    program = (
        "import os, sys; from tests.support.trees import plan_all;"
        "from nix_manylinux.write import apply, replacement;"
        "from nix_manylinux.write.lock import locked_trees;"
        "replacement._link_over = lambda *_: os._exit(9)\n"
        "with locked_trees(sys.argv[1:]): apply.apply_plan(plan_all(sys.argv[1], adopt=True))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tree)], check=False)
    assert done.returncode == 9
    assert snapshot(tree) != before
    with locked_trees([str(tree)]):
        pass
    left = {
        name: value[::3]  # kind and contents; a temporary name may be left until the next patch
        for name, value in snapshot(tree).items()
        if not is_temporary(os.path.basename(name))
    }
    assert left == {name: value[::3] for name, value in before.items()}


def farm(scene: Scene) -> Path:
    """Give a farm of links to folders: a package, its dist-info, and a folder that it links to."""
    farm = scene.home / "farm"
    library = (scene.home / "cache/ext.so").read_bytes()
    files = {
        "pkg/__init__.py": b"",
        "pkg/libext.so.1": library,
        "pkg/sub/plain.py": b"",
        "pkg/deep/down/other.so": scene.files.library("o.so", runpath="/nowhere").read_bytes(),
        "far/more.so": scene.files.library("m.so", runpath="/no/where").read_bytes(),
        "far/_more.py": b"",
    }
    for name, data in files.items():
        (farm / name).parent.mkdir(parents=True, exist_ok=True)
        (farm / name).write_bytes(data)
    for name, leads in {
        "pkg/libext.so": "libext.so.1",
        "pkg/far": str(farm / "far"),
        "pkg/again": "deep",
        "pkg/deep/up": "..",
        "pkg/deep/home": str(scene.home / "tree"),
        "pkg/nowhere": "not/there",
        "far/back": str(farm / "pkg"),
    }.items():
        (farm / name).symlink_to(leads)
    listed = {name: data for name, data in files.items() if name.startswith("pkg/")}
    rows = "".join(row(name, data) + "\n" for name, data in listed.items())
    info = farm / "made-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made\nVersion: 1.0\n")
    (info / "RECORD").write_text(f"{rows}made-1.0.dist-info/RECORD,,\n")
    for name in ("pkg", "made-1.0.dist-info"):
        shutil.rmtree(scene.home / "tree" / SITE / name, ignore_errors=True)
        put_link(scene, name, farm / name)
    return farm


def contents(root: Path) -> dict[str, tuple[object, ...]]:
    """Give kinds and contents of all names but temporary ones."""
    found = snapshot(root).items()
    return {
        name: value[::3] for name, value in found if not any(map(is_temporary, name.split("/")))
    }


def test_links_to_folders_become_folders_of_links(scene: Scene) -> None:
    """Where files change: they are copies, all else is a link, and the farm keeps its bytes."""
    scene.libraries += scene.store.libraries()
    farmed = farm(scene)
    before = snapshot(farmed)
    checked = run(scene, "check")
    assert checked.status == 1, checked.stderr
    seen = run(scene, "inspect")
    assert "3 ELF files: 3 to be patched" in seen.stdout
    done = run(scene, "patch")
    assert done.status == 0, done.stderr
    assert "3 ELF files: 3 patched" in done.stderr
    assert "3 links to folders elsewhere are folders of links now" in done.stderr
    assert f"so that files in them can change: {SITE}/made-1.0" in done.stderr
    assert snapshot(farmed) == before
    site = scene.home / "tree" / SITE
    assert call(scene, str(site / "pkg/libext.so")) == "7"
    copied = ["libext.so.1", "far/more.so", "deep/down/other.so"]
    links = {
        "libext.so": "libext.so.1",
        "again": "deep",
        "__init__.py": str(farmed / "pkg/__init__.py"),
        "sub": str(farmed / "pkg/sub"),
        "far/_more.py": str(farmed / "far/_more.py"),
    }
    for name in copied:
        assert not (site / "pkg" / name).is_symlink()
    for name, leads in links.items():
        assert os.readlink(site / "pkg" / name) == leads
    record = site / "made-1.0.dist-info/RECORD"
    assert not record.is_symlink()
    for path, digest, _size in csv.reader(record.read_text().splitlines()):
        data = (site / path).read_bytes()
        made = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        assert digest in {"", f"sha256={made}"}, path
    after = snapshot(scene.home / "tree")
    again = run(scene, "patch")
    assert "0 patched, 3 right as they were" in again.stderr
    assert snapshot(scene.home / "tree") == after
    checked = run(scene, "check")
    assert checked.status == 0, checked.stderr


def test_folders_of_others_stay(scene: Scene) -> None:
    """A link to a folder of a Nix store is named, whatever the store lies in."""
    farmed = farm(scene)
    tree = scene.home / "tree"
    before = snapshot(tree)
    for store in (farmed / "pkg", farmed):
        done = run(scene, "patch", store=str(store))
        assert done.status == 0, done.stderr
        assert " into a Nix store or another tree stay" in done.stderr
        assert f" what it is: {SITE}/pkg" in done.stderr or f" are: {SITE}/" in done.stderr
        assert snapshot(tree) == before


def test_a_link_to_everything(scene: Scene) -> None:
    """A link to a folder that holds the tree is no part of it: nobody walks in a circle."""
    scene.libraries += scene.store.libraries()
    for name, leads in (("root", "/"), ("home", str(scene.home)), ("up", "..")):
        put_link(scene, f"pkg/{name}", Path(leads))
    for verb in ("patch", "check"):
        done = run(scene, verb)
        assert done.status == 0, done.stderr


def test_a_way_back_to_links_to_folders(scene: Scene) -> None:
    """Undone, every link is what it was, and nobody's folder was touched."""
    farmed, tree = farm(scene), scene.home / "tree"
    before = snapshot(tree), snapshot(farmed)
    with locked_trees([str(tree)]):
        applied = apply_plan(plan_all(tree, adopt=True))
        assert applied.unfolded == tuple(
            f"{SITE}/{name}" for name in ("made-1.0.dist-info", "pkg", "pkg/far")
        )
        applied.undo()
    assert (snapshot(tree), snapshot(farmed)) == before


@pytest.mark.parametrize(
    ("where", "at"), [("os.unlink", 1), ("os.rename", 1), ("os.rename", 2), ("os.replace", 2)]
)
def test_a_run_that_was_killed_while_it_unfolded(where: str, at: int, scene: Scene) -> None:
    """The next run puts the links back, then does it all."""
    farmed, tree = farm(scene), scene.home / "tree"
    before, theirs = contents(tree), snapshot(farmed)
    program = (
        "import os, sys; from tests.support.trees import plan_all;"
        "from nix_manylinux.write import apply;"
        "from nix_manylinux.write.lock import locked_trees;"
        "real, calls = WHERE, []\n"
        "def dying(*words, **more):\n"
        "    calls.append(1)\n"
        "    os._exit(9) if len(calls) == AT else real(*words, **more)\n"
        "plan = plan_all(sys.argv[1], adopt=True)\n"
        "WHERE = dying\n"
        "with locked_trees(sys.argv[1:]): apply.apply_plan(plan)"
    )
    program = program.replace("WHERE", where).replace("AT", str(at))
    done = subprocess.run([sys.executable, "-c", program, str(tree)], check=False)
    assert done.returncode == 9
    with locked_trees([str(tree)]):
        pass
    assert contents(tree) == before
    with locked_trees([str(tree)]), apply_plan(plan_all(tree, adopt=True)):
        pass
    assert not [name for name in snapshot(tree) if "nix-manylinux-" in name]
    assert not (tree / SITE / "pkg").is_symlink()
    assert snapshot(farmed) == theirs


@pytest.mark.wheels
def test_an_environment_that_uv_filled_with_links(tmp_path: Path) -> None:
    """Every file of uv's cache keeps its bytes, and RECORD, which is a link as well, is a file."""
    cache = tmp_path / "cache"
    environment = {**os.environ, "UV_CACHE_DIR": str(cache), "UV_OFFLINE": "1"}
    uv, venv = beside_python("uv"), tmp_path / "venv"
    made = [uv, "venv", "--quiet", "--python", sys.executable, str(venv)]
    subprocess.run(made, check=True, env=environment)
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--link-mode", "symlink"]
    install += ["--python", str(venv / "bin/python"), wheel("ninja-"), wheel("tbb-")]
    subprocess.run(install, check=True, env=environment)
    plan = plan_all(venv, adopt=True)
    assert any(file.linked for file in plan.trees[0].files), "uv made no links: nothing was seen"
    before = snapshot(cache)
    with apply_plan(plan):
        pass
    assert snapshot(cache) == before
    for file in plan_all(venv).trees[0].files:
        assert file.facts.search_path == ("/nix/store/x/lib",)
        assert file.linked == ()
    assert plan.trees[0].passed_by == ()

"""Roots of Nix's garbage collector: what they hold, where they go, and that they are roots."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command, target_options
from tests.support.nix import environment, run_nix, store_directory
from tests.support.scene import Scene
from tests.support.store import host_store
from tests.support.wheels import MadeWheel

from nix_manylinux.nix.references import interpreter_references

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.installed import Ran

pytestmark = pytest.mark.nix

NAME = ".nix-manylinux-roots"
VERSION = "python{}.{}".format(*sys.version_info[:2])

#: A library, an interpreter, and an environment around it whose interpreter is a link.
PACKAGES = """
let
  package = name: script: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    PATH = "/bin:/usr/bin";
    args = [ "-c" ": @HOME@; ${script}" ]; # no two tests share one
  };
in
rec {
  library = package "some-library" "mkdir -p $out/lib; cp @LIBRARY@ $out/lib/libsome.so.1";
  newer = package "newer-library" "mkdir -p $out/lib; cp @LIBRARY@ $out/lib/libsome.so.1";
  python = package "some-python" "mkdir -p $out/bin; ln -s @PYTHON@ $out/bin/@VERSION@";
  wrapped = package "some-python-env"
    "mkdir -p $out/bin; ln -s ${python}/bin/@VERSION@ $out/bin/python3";
}
"""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Give a virtual environment whose one module wants one library."""
    scene = Scene(home=tmp_path, store=host_store(["libz.so.1"]))
    library = scene.files.library("libsome.so.1", soname="libsome.so.1")
    user = scene.files.library("user.so", needed=["libsome.so.1"])
    scene.put("pkg/user.abi3.so", user)
    text = PACKAGES.replace("@LIBRARY@", str(library)).replace("@PYTHON@", scene.store.python)
    text = text.replace("@VERSION@", VERSION).replace("@HOME@", str(tmp_path))
    (tmp_path / "default.nix").write_text(text)
    venv(scene, f"{built(scene, 'wrapped')}/bin/python3")
    return scene


def built(scene: Scene, attribute: str) -> str:
    """Build a package; gives its store path."""
    expression = str(scene.home / "default.nix")
    return run_nix("nix-build", expression, "-A", attribute, "--no-out-link").strip()


def venv(scene: Scene, python: str) -> Path:
    """Make the tree of a scene a virtual environment, as uv does."""
    tree = scene.home / "tree"
    (tree / "bin").mkdir(exist_ok=True)
    for name, leads in (("python", python), ("python3", "python"), (VERSION, "python")):
        (tree / "bin" / name).unlink(missing_ok=True)
        (tree / "bin" / name).symlink_to(leads)
    (tree / "pyvenv.cfg").write_text(f"home = {os.path.dirname(python)}\n")
    return tree


def patch(path: Path | str, *words: str) -> Ran:
    """Patch with the real store known; it has to go well."""
    done = run("patch", path, *words)
    assert done.status == 0, done.stderr
    return done


def run(verb: str, path: Path | str, *words: str) -> Ran:
    """Run a command with the real store known."""
    variables = {**environment(), "NIX_STORE": store_directory()}
    return command(verb, str(path), *words, environment=variables)


def roots(folder: Path) -> set[str]:
    """Give the names, without hashes, of what a folder holds that Nix takes for roots."""
    found = set()
    for link in folder.iterdir():
        said = run_nix("nix-store", "--query", "--roots", os.readlink(link))
        if any(line.startswith(f"{link} ->") for line in said.splitlines()):
            found.add(os.path.basename(os.readlink(link))[33:])
    return found


def test_the_interpreter_is_kept(scene: Scene) -> None:
    """Every store path by which an environment's Python is reached, and no other."""
    tree, libs = scene.home / "tree", f"--libs={built(scene, 'library')}/lib"
    done = patch(tree, libs, "--gc-roots", str(tree / NAME))
    assert f"3 roots in {tree / NAME}" in done.stderr
    assert roots(tree / NAME) == {"some-library", "some-python-env", "some-python"}
    # What names it is followed through folders that are links, and through pyvenv.cfg.
    profile, wrapped = scene.home / "profile", built(scene, "wrapped")
    profile.symlink_to(wrapped)
    assert interpreter_references(f"{profile}/bin/python3") == {wrapped, built(scene, "python")}
    shutil.copy(scene.store.python, tree / "bin/copy")
    assert interpreter_references(str(tree / "bin/copy")) == {wrapped}


def test_the_python_that_was_named_is_kept(scene: Scene) -> None:
    """A wheel's roots hold it as well; one root is no "1 roots"."""
    user = (scene.home / "tree/lib/python3/site-packages/pkg/user.abi3.so").read_bytes()
    made = MadeWheel(name="one", tag="py3-none-linux_x86_64", files={"one/user.abi3.so": user})
    wheel, out = made.write(scene.home), scene.home / "out"
    libs = f"--libs={built(scene, 'library')}/lib"
    done = patch(wheel, "-o", str(out), libs, *target_options(scene.store))
    assert f"1 store path that is linked to; --gc-roots {out / NAME} prevents" in done.stderr
    done = patch(
        *(wheel, "-o", str(out), libs, *target_options(scene.store), f"--gc-roots={out / NAME}")
    )
    assert f"1 root in {out / NAME}" in done.stderr
    python = f"--python={built(scene, 'python')}/bin/{VERSION}"
    # The folder is there: what is patched next to it belongs there, too.
    done = patch(wheel, "-o", str(out), libs, python)
    assert f"2 roots in {out / NAME}" in done.stderr
    assert "garbage" not in done.stderr
    assert roots(out / NAME) == {"some-library", "some-python"}


@pytest.mark.parametrize("way", ["copied", "moved"])
def test_copies_and_moved_trees(scene: Scene, way: str) -> None:
    """Links that came along are none of Nix's roots, until the next patch, whatever it is."""
    tree, other = scene.home / "tree", scene.home / "other"
    patch(tree, f"--libs={built(scene, 'library')}/lib", "--gc-roots", str(tree / NAME))
    if way == "copied":
        shutil.copytree(tree, other, symlinks=True)
    else:
        tree.rename(other)
    assert roots(other / NAME) == set()
    lost = f"warning: {other}: 3 links in {NAME} are no roots that Nix knows"
    (scene.home / "link").symlink_to(other if way == "moved" else tree)
    for path, told in (other, True), (scene.home / "link", way == "moved"):
        done = run("check", path)
        assert done.status == 0, done.stderr
        assert (lost.replace(str(other), str(path)) in done.stderr) is told
        assert (f"  nix-manylinux patch {path}\n" in done.stderr) is told
    done = patch(other)
    assert "no root" not in run("check", other).stderr
    assert "garbage" not in done.stderr
    assert roots(other / NAME) == {"some-library", "some-python-env", "some-python"}


def test_roots_elsewhere(scene: Scene) -> None:
    """Nobody is told that nothing keeps what roots elsewhere do; each tree has its own."""
    tree, libs = scene.home / "tree", f"--libs={built(scene, 'library')}/lib"
    other = scene.copy()
    assert "garbage collection may take 3 store paths" in patch(tree, libs).stderr
    elsewhere = scene.home / "elsewhere"
    patch(tree, "--gc-roots", str(elsewhere))
    assert "garbage" not in patch(tree).stderr
    next(elsewhere.glob("*-some-library")).unlink()
    assert "garbage collection may take 1 store path that" in patch(tree).stderr
    (other / NAME).mkdir()
    (other / "lib/python3/site-packages/pkg/user.abi3.so").unlink()
    done = patch(tree, str(other))
    assert "garbage collection may take 1 store path that" in done.stderr
    assert roots(other / NAME) == {"some-python-env", "some-python"}


def test_roots_that_cannot_be_renewed(scene: Scene) -> None:
    """Without Nix an environment that has roots is patched as ever, and told so."""
    tree = scene.home / "tree"
    patch(tree, f"--libs={built(scene, 'library')}/lib", "--gc-roots", str(tree / NAME))
    variables = {"NIX_STORE": store_directory(), "PATH": "/nowhere"}
    done = command("patch", str(tree), environment={**environment(), **variables})
    assert done.status == 0
    assert f"the roots in {tree / NAME} are not renewed: " in done.stderr


@pytest.mark.parametrize("named", [True, False])
def test_what_is_linked_no_more_is_dropped(scene: Scene, named: bool) -> None:  # noqa: FBT001
    """From a tree's own folder; what files that are left alone lead to stays, others' links too."""
    tree, keeps = scene.home / "tree", scene.home / "tree" / NAME
    asked = [f"--gc-roots={keeps}"] * named
    module = tree / "lib/python3/site-packages/pkg/user.abi3.so"
    plain = module.read_bytes()
    patch(tree, f"--libs={built(scene, 'library')}/lib", "--gc-roots", str(keeps))
    (keeps / "mine").symlink_to(built(scene, "newer"))
    shutil.copy(module, module.with_name("other.abi3.so"))
    module.write_bytes(plain)
    newer, alone = f"--libs={built(scene, 'newer')}/lib", ["--exclude", "*other*"]
    done = patch(tree, newer, *alone, *asked)
    assert f"  3 roots in {keeps}\n" in done.stderr
    libraries = {"some-library", "newer-library"}
    assert {name[33:] for name in os.listdir(keeps)} & libraries == libraries
    module.with_name("other.abi3.so").unlink()
    done = patch(tree, *asked)
    assert f"roots in {keeps}; 1 removed, to which nothing is linked any more" in done.stderr
    assert {name[33:] for name in os.listdir(keeps)} & libraries == {"newer-library"}
    assert (keeps / "mine").is_symlink()
    module.unlink()
    done = patch(tree, *asked)
    assert "1 removed" in done.stderr
    assert roots(keeps) >= {"some-python", "some-python-env"}


def test_a_python_that_was_named_once_stays(scene: Scene) -> None:
    """Where it is no environment, commands may begin with it."""
    tree, python = scene.home / "tree", f"--python={built(scene, 'python')}/bin/{VERSION}"
    (tree / "pyvenv.cfg").unlink()
    libs, keeps = f"--libs={built(scene, 'library')}/lib", tree / NAME
    patch(tree, libs, python, f"--gc-roots={keeps}")
    patch(tree, *target_options(scene.store))
    assert roots(keeps) >= {"some-library", "some-python"}


def test_a_folder_of_several_keeps_all(scene: Scene) -> None:
    """What one run knows nothing of is another tree's, or another wheel's."""
    tree, keeps = scene.home / "tree", scene.home / "keeps"
    for library in ("library", "newer"):
        copy = scene.copy()
        patch(copy, f"--libs={built(scene, library)}/lib", f"--gc-roots={keeps}")
    patch(tree, f"--libs={built(scene, 'newer')}/lib", f"--gc-roots={keeps}")
    assert roots(keeps) >= {"some-library", "newer-library"}


def test_what_nothing_keeps_is_in_the_report(scene: Scene) -> None:
    """A warning is told to programs, too."""
    report = scene.home / "report"
    patch(scene.home / "tree", f"--libs={built(scene, 'library')}/lib", "--json", str(report))
    told = json.loads(report.read_text())["warnings"]
    assert any(each.startswith("garbage collection may take 3 store paths") for each in told)

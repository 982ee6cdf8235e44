"""``--nixpkgs``: one command, and what is missing is built by Nix, linked, and kept."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command, target_options
from tests.support.nix import environment
from tests.support.scene import SITE, Scene, run_path
from tests.support.store import host_store
from tests.support.trees import snapshot
from tests.support.wheels import MadeWheel

from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.nix

#: A nixpkgs in small: libX11 needs what only libxcb has; openssl_1_1 must not be built.
NIXPKGS = """
let
  package = name: files: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    PATH = "/bin:/usr/bin";
    args = [
      "-c"
      "mkdir -p $out/lib; for f in ${toString files}; do cp $f $out/lib/$(basename $f); done"
    ];
  };
in
{
  libx11 = package "libx11" [ (toString ./libX11.so.6) ];
  libxcb = package "libxcb" [ (toString ./libxcb.so.1) ];
  openssl_1_1 = throw "insecure";
}
"""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Give a scene on a store that has little but the libc, and a small nixpkgs."""
    scene = Scene(home=tmp_path, store=host_store(["libz.so.1", "libstdc++.so.6"]))
    folder = tmp_path / "nixpkgs"
    folder.mkdir()
    files = scene.files
    for name in ("libX11.so.6", "libxcb.so.1"):
        shutil.copy(files.library(name, soname=name), folder)
    (folder / "default.nix").write_text(NIXPKGS)
    user = files.library("user.so", needed=["libX11.so.6", "libxcb.so.1"])
    scene.put("pkg/user.abi3.so", user)
    return scene


def words(scene: Scene, *more: str) -> list[str]:
    """Give the command line."""
    tree = str(scene.home / "tree")
    return [
        "patch",
        tree,
        *target_options(scene.store),
        "--nixpkgs",
        str(scene.home / "nixpkgs"),
        *more,
    ]


def test_what_is_missing_is_built(scene: Scene) -> None:
    """One command: Nix builds, the tree is linked, roots keep it; a second changes nothing."""
    done = command(*words(scene), environment=environment())
    assert done.status == 0, done.stderr
    assert "libx11.out libxcb.out" in done.stderr
    tree = scene.home / "tree"
    _, path = run_path(tree / SITE / "pkg/user.abi3.so").split()
    assert [name for folder in path.split(":") for name in os.listdir(folder)] == [
        *("libX11.so.6", "libxcb.so.1")
    ]
    checked = command("check", str(tree), *target_options(scene.store))
    assert checked.status == 0, checked.stderr
    roots = sorted(os.listdir(tree / ".nix-manylinux-roots"))
    assert [root[33:] for root in roots] in (["libx11", "libxcb"], ["libxcb", "libx11"])
    before = snapshot(tree)
    assert command(*words(scene), environment=environment()).status == 0
    assert snapshot(tree) == before


def test_wheels_have_their_roots_beside_them(scene: Scene) -> None:
    """Patched wheels are kept as trees are; without --nixpkgs it is said once that nothing is."""
    user = (scene.home / "tree" / SITE / "pkg/user.abi3.so").read_bytes()
    wheels = [
        MadeWheel(name=name, files={f"{name}/user.abi3.so": user}).write(scene.home)
        for name in ("one", "two")
    ]
    out = scene.home / "out"
    ask = ["patch", *wheels, "-o", str(out), *target_options(scene.store)]
    nixpkgs = ["--nixpkgs", str(scene.home / "nixpkgs")]
    done = command(*ask, *nixpkgs, environment=environment())
    assert done.status == 0, done.stderr
    roots = out / ".nix-manylinux-roots"
    assert {root[33:] for root in os.listdir(roots)} == {"libx11", "libxcb"}
    assert "garbage" not in done.stderr
    held = {"NIX_STORE": str(next(roots.iterdir()).resolve().parent)}
    folders = [f"--libs={root.resolve()}/lib" for root in roots.iterdir()]
    shutil.rmtree(roots)
    done = command(*ask, *folders, environment=environment() | held)
    assert done.status == 0, done.stderr
    assert done.stderr.count("garbage collection may take") == 1


@pytest.fixture
def foreign(scene: Scene) -> Path:
    """Make a virtual environment of the tree whose Python was built for other systems: uv's."""
    version = "python{}.{}".format(*sys.version_info[:2])
    elsewhere = scene.home / "uv/bin" / version
    elsewhere.parent.mkdir(parents=True)
    shutil.copy(scene.store.python, elsewhere)
    edit_file(str(elsewhere), ElfEdit(interpreter="/no/such/ld-linux-x86-64.so.2"))
    modules = scene.home / "uv/lib" / version / "lib-dynload"
    modules.mkdir(parents=True)
    suffix = str(sysconfig.get_config_var("EXT_SUFFIX"))
    (modules / f"some{suffix}").touch()
    tree = scene.home / "tree"
    (tree / "bin").mkdir()
    (tree / "bin/python").symlink_to(elsewhere)
    (tree / "bin/python3").symlink_to("python")
    (tree / "pyvenv.cfg").write_text(f"home = {elsewhere.parent}\nversion = 3\n")
    attribute = version.replace(".", "")
    package = f"""{attribute} = derivation {{
      name = "python3"; system = builtins.currentSystem; builder = "/bin/sh"; PATH = "/bin";
      args = [ "-c" "mkdir -p $out/lib $out/bin; ln -s {scene.store.python} $out/bin/{version}" ];
    }};"""
    default = scene.home / "nixpkgs/default.nix"
    default.write_text(NIXPKGS.replace("libxcb = package", f"{package} libxcb = package"))
    return tree


def test_a_python_that_starts_nothing(scene: Scene, foreign: Path) -> None:
    """The message says what to do; --nixpkgs does it: Python and libraries, linked and kept."""
    before = snapshot(foreign)
    for words_ in (["patch", str(foreign)], ["check", str(foreign)]):
        done = command(*words_)
        assert done.status == 1
        assert "was built for other systems" in done.stderr
        assert f'bin/python3" {foreign}' in done.stderr
        assert snapshot(foreign) == before
    option = ["patch", str(foreign), "--nixpkgs", str(scene.home / "nixpkgs")]
    done = command(*option, "--dry-run", environment=environment())
    assert "would build" in done.stderr
    assert snapshot(foreign) == before
    done = command(*option, environment=environment())
    assert done.status == 0, done.stderr
    python = os.readlink(foreign / "bin/python")
    assert os.path.realpath(python) == os.path.realpath(scene.store.python)
    assert os.readlink(foreign / "bin/python3") == "python"
    settings = (foreign / "pyvenv.cfg").read_text()
    assert settings == f"home = {os.path.dirname(python)}\nversion = 3\n"
    assert any(root.endswith("-python3") for root in os.listdir(foreign / ".nix-manylinux-roots"))
    assert command("check", str(foreign)).status == 0
    # What can't be built leaves the environment as it is, and the message is the first one.
    (foreign / "bin/python").unlink()
    (foreign / "bin/python").symlink_to(scene.home / "uv/bin" / os.path.basename(python))
    (scene.home / "nixpkgs/default.nix").write_text("{ }")
    before = snapshot(foreign)
    done = command(*option, environment=environment())
    assert done.status == 1
    assert "was built for other systems" in done.stderr
    assert snapshot(foreign) == before


def test_a_python_that_is_gone(scene: Scene, foreign: Path) -> None:
    """--nixpkgs gives an environment another one of its version; a dry run says so."""
    shutil.rmtree(scene.home / "uv")
    minor = sys.version_info[1]
    (foreign / "pyvenv.cfg").write_text(f"home = {scene.home}/uv/bin\nversion_info = 3.{minor}.1\n")
    before = snapshot(foreign)
    option = ["patch", str(foreign), "--nixpkgs", str(scene.home / "nixpkgs")]
    done = command(*option, "--dry-run", environment=environment())
    assert f"would build of {scene.home}/nixpkgs: python3{minor}.out" in done.stderr
    assert snapshot(foreign) == before
    done = command(*option, environment=environment())
    assert done.status == 0, done.stderr
    assert os.path.realpath(foreign / "bin/python") == os.path.realpath(scene.store.python)
    done = command("check", str(foreign))
    assert (done.status, "warning" in done.stderr) == (0, False), done.stderr


def test_a_dry_run_says_what_it_would_build(scene: Scene) -> None:
    """Nothing is built, and the tree is as it was."""
    before = snapshot(scene.home / "tree")
    done = command(*words(scene, "--dry-run"), environment=environment())
    assert done.status == 0, done.stderr
    assert "would build" in done.stderr
    assert "libx11.out libxcb.out" in done.stderr
    assert "1 more file would be linked to what was built" in done.stderr
    assert "later: libX11" not in done.stderr
    assert snapshot(scene.home / "tree") == before


def test_a_dry_run_of_several_wheels(scene: Scene) -> None:
    """What would be built for one is there for the next, which wants more."""
    paths = []
    for name, needed in (("one", ["libX11.so.6"]), ("two", ["libX11.so.6", "libxcb.so.1"])):
        user = scene.files.library(f"{name}.so", needed=needed).read_bytes()
        made = MadeWheel(name=name, tag="py3-none-linux_x86_64", files={f"{name}/m.abi3.so": user})
        paths.append(str(made.write(scene.home)))
    option = ["--nixpkgs", str(scene.home / "nixpkgs"), "--output-dir", str(scene.home / "out")]
    given = ["patch", *paths, *target_options(scene.store), *option, "--dry-run"]
    done = command(*given, environment=environment())
    assert done.status == 0, done.stderr
    assert [
        line.rpartition(": ")[2] for line in done.stderr.splitlines() if "would build" in line
    ] == [
        "libx11.out",
        "libxcb.out",
    ]


def test_what_nixpkgs_lacks_and_what_is_insecure(scene: Scene) -> None:
    """The first is told, the second is never built unasked; what stays missing is refused."""
    default = scene.home / "nixpkgs/default.nix"
    default.write_text(NIXPKGS.replace("libxcb = package", "other = package"))
    scene.put("pkg/more.abi3.so", scene.files.library("more.so", needed=["libssl.so.1.1"]))
    before = snapshot(scene.home / "tree")
    done = command(*words(scene), environment=environment())
    assert done.status == 1
    assert "has no libxcb.out, or can't build it" in done.stderr
    assert "building of" in done.stderr
    # What was asked for in vain is not advised once more.
    advice = done.stderr.partition("patch it with:\n")[2]
    assert "libxcb.out" not in advice
    assert f"--nixpkgs {scene.home}/nixpkgs" in advice
    assert "/user.abi3.so:libxcb.so.1" in advice
    assert "openssl_1_1" not in done.stderr.partition("error:")[0]
    assert "libssl.so.1.1" in done.stderr
    assert "# To link all the rest and leave these: --missing warn" in done.stderr
    # A dry run knows what there is to build.
    dry = command(*words(scene, "--dry-run"), environment=environment())
    assert dry.status == 1
    assert "has no libxcb.out, or can't build it" in dry.stderr
    assert snapshot(scene.home / "tree") == before


def test_what_was_built_and_does_not_have_it(scene: Scene) -> None:
    """The attribute is there, its library isn't: said so, and not advised again."""
    default = scene.home / "nixpkgs/default.nix"
    default.write_text(NIXPKGS.replace("(toString ./libxcb.so.1)", "(toString ./libX11.so.6)"))
    done = command(*words(scene), environment=environment())
    assert done.status == 1
    assert "nixpkgs has libxcb.out, but no libxcb.so.1 in it" in " ".join(done.stderr.split())
    assert "-A libxcb" not in done.stderr


def test_without_nix(scene: Scene) -> None:
    """One line says what is needed."""
    done = command(*words(scene), environment={**environment(), "PATH": "/nowhere"})
    assert done.status == 1
    assert "--nixpkgs needs the command nix-build" in done.stderr
    before = snapshot(scene.home / "tree")
    wanted = [
        "patch",
        str(scene.home / "tree"),
        *target_options(scene.store),
        "--gc-roots",
        "roots",
    ]
    done = command(*wanted, environment={**environment(), "PATH": "/nowhere"})
    assert done.status == 1
    assert "--gc-roots needs the command nix-store" in done.stderr
    assert snapshot(scene.home / "tree") == before


def test_nothing_to_keep_without_nix(scene: Scene, tmp_path: Path) -> None:
    """Where nothing is missing and nothing of a store is linked, no Nix is asked for."""
    (tmp_path / "empty").mkdir()
    options = [*target_options(scene.store), "--nixpkgs"]
    alone = {**environment(), "PATH": "/nowhere"}
    done = command("patch", str(tmp_path / "empty"), *options, environment=alone)
    assert done.status == 0, done.stderr

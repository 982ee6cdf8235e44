"""``--nixpkgs``: one command, and what is missing is built by Nix, linked, and kept."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command, target_options
from tests.support.nix import environment
from tests.support.scene import SITE, Scene, run_path
from tests.support.store import host_store
from tests.support.trees import snapshot
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.write.lock import locked_trees

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
    (tree / "pyvenv.cfg").write_text(f"home = {elsewhere.parent}\nuv = 0.9\nversion = 3\n")
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
    assert "would take of" in done.stderr
    assert snapshot(foreign) == before
    done = command(*option, environment=environment())
    assert done.status == 0, done.stderr
    python = os.readlink(foreign / "bin/python")
    assert os.path.realpath(python) == os.path.realpath(scene.store.python)
    assert os.readlink(foreign / "bin/python3") == "python"
    settings = (foreign / "pyvenv.cfg").read_text()
    assert settings == f"home = {os.path.dirname(python)}\nuv = 0.9\nversion = 3\n"
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
    assert "another nixpkgs may have it (--nixpkgs REF)" in done.stderr
    assert snapshot(foreign) == before


@pytest.mark.parametrize("what", ["python", "home"])
def test_a_python_that_is_gone(scene: Scene, foreign: Path, what: str) -> None:
    """--nixpkgs gives an environment another one of its version; a dry run says so."""
    shutil.rmtree(scene.home / "uv")
    if what == "home":  # it is there, and finds no standard library
        python = foreign / "bin/python"
        python.unlink()
        python.symlink_to(scene.home / "stuck")
        (scene.home / "stuck").write_text("#!/bin/sh\nexit 1\n")
        (scene.home / "stuck").chmod(0o755)
    minor = sys.version_info[1]
    (foreign / "pyvenv.cfg").write_text(f"home = {scene.home}/uv/bin\nversion_info = 3.{minor}.1\n")
    # `python -m venv` over an older environment leaves links to two Pythons.
    (foreign / "bin/python3").unlink(missing_ok=True)
    (foreign / "bin/python3").symlink_to(sys.executable)
    tool = foreign / "bin/tool"
    tool.write_text("#!/no/such/.venv/bin/python3\n")
    before = snapshot(foreign)
    option = ["patch", str(foreign), "--nixpkgs", str(scene.home / "nixpkgs")]
    done = command(*option, "--dry-run", environment=environment())
    assert f"would take of {scene.home}/nixpkgs: python3{minor}.out" in done.stderr
    assert "without --dry-run the environment is given that one" in done.stderr
    assert snapshot(foreign) == before
    done = command(*option, environment=environment())
    assert done.status == 0, done.stderr
    for name in ("python", "python3"):
        assert os.path.realpath(foreign / "bin" / name) == os.path.realpath(scene.store.python)
    # It was moved as well: what starts its commands is told while it has no Python yet.
    (mend,) = (line for line in done.stderr.splitlines() if line.startswith("  sed -i"))
    subprocess.run(["bash", "-ec", mend], check=True)
    assert tool.read_text() == f"#!{foreign}/bin/python3\n"
    done = command("check", str(foreign))
    assert (done.status, "is not there" in done.stderr) == (0, False), done.stderr


def test_a_dry_run_says_what_it_would_build(scene: Scene, tmp_path: Path) -> None:
    """Nothing is built; what would be linked to it is to be patched, in text and in JSON."""
    before = snapshot(scene.home / "tree")
    report = tmp_path / "report"
    done = command(*words(scene, "--dry-run", "--json", str(report)), environment=environment())
    assert done.status == 0, done.stderr
    nixpkgs = scene.home / "nixpkgs"
    assert f"  would take of {nixpkgs}: libx11.out libxcb.out\n" in done.stderr
    assert "  Nix would build 2 packages\n" in done.stderr
    assert "  1 ELF file: 1 to be patched\n  needs: 2 from library directories\n" in done.stderr
    assert "later" not in done.stderr
    (file,) = json.loads(report.read_text())["trees"][0]["files"]
    assert file["edited"]
    assert {(need["name"], need["outcome"], need["reason"]) for need in file["needs"]} == {
        (name, "library", f"of {nixpkgs}, not built yet") for name in ("libX11.so.6", "libxcb.so.1")
    }
    assert snapshot(scene.home / "tree") == before
    # With all of it in the store it is known what a patch would do, and whether it would.
    assert command(*words(scene), environment=environment()).status == 0
    done = command(*words(scene, "--dry-run"), environment=environment())
    assert "Nix would" not in done.stderr
    assert "  1 ELF file: 0 to be patched, 1 right as it is\n" in done.stderr


def wheel(scene: Scene, name: str, *needed: str, tag: str = "py3-none-linux_x86_64") -> str:
    """Write a wheel of one module that needs libraries."""
    user = scene.files.library(f"{name}.so", needed=[*needed]).read_bytes()
    made = MadeWheel(name=name, tag=tag, files={f"{name}/m.abi3.so": user})
    return str(made.write(scene.home))


@pytest.mark.parametrize("dry_run", [["--dry-run"], []])
def test_several_wheels_are_built_for_once(scene: Scene, dry_run: list[str]) -> None:
    """What several want is taken once; each gets what it wants itself, as if alone."""
    one = wheel(scene, "one", "libX11.so.6")
    two = wheel(scene, "two", "libX11.so.6", "libxcb.so.1")
    nixpkgs = ["--nixpkgs", str(scene.home / "nixpkgs")]

    def patch(*wheels: str, out: str) -> str:
        given = ["patch", *wheels, *target_options(scene.store), *nixpkgs, *dry_run]
        done = command(*given, "-o", str(scene.home / out), environment=environment())
        assert done.status == 0, done.stderr
        return done.stderr

    told = patch(one, two, out="both")
    verb = "would take" if dry_run else "taking"
    assert [line for line in told.splitlines() if " of /" in line] == [
        f"  {verb} of {nixpkgs[1]}: libx11.out libxcb.out"
    ]
    assert told.count("1 to be patched" if dry_run else "1 patched") == 2
    patch(one, out="alone")
    if not dry_run:
        name = os.path.basename(one)
        both = (scene.home / "both" / name).read_bytes()
        assert both == (scene.home / "alone" / name).read_bytes()


def test_what_is_loaded_at_run_time(scene: Scene) -> None:
    """What --runtime-libs names is taken as well, by trees and wheels; a dry run builds nothing."""
    one = wheel(scene, "one", "libX11.so.6")
    asks = ["--runtime-libs", "libxcb.so.1", *target_options(scene.store)]
    asks += ["--nixpkgs", str(scene.home / "nixpkgs")]
    both = ["patch", one, "-o", str(scene.home / "out"), *asks]
    for dry_run, verb in (["--dry-run"], "would take"), ([], "taking"):
        done = command(*both, *dry_run, environment=environment())
        assert done.status == 0, done.stderr
        assert f"  {verb} of {scene.home}/nixpkgs: libx11.out libxcb.out\n" in done.stderr
        uncounted = "warning: libxcb.so.1 is not built yet: files that nothing else changes than"
        assert (uncounted in done.stderr) is bool(dry_run)
    scene.put("pkg/user.abi3.so", scene.files.library("user.so", needed=["libX11.so.6"]))
    done = command("patch", str(scene.home / "tree"), *asks, environment=environment())
    assert done.status == 0, done.stderr
    _, path = run_path(scene.home / "tree" / SITE / "pkg/user.abi3.so").split()
    assert sorted(name for folder in path.split(":") for name in os.listdir(folder)) == [
        *("libX11.so.6", "libxcb.so.1")
    ]
    # What nobody may take unasked, or nixpkgs lacks, is refused before anything is written.
    default = scene.home / "nixpkgs/default.nix"
    default.write_text(NIXPKGS.replace("libxcb = package", "other = package"))
    before = snapshot(scene.home / "tree")
    for soname, said in ("libssl.so.1.1", "openssl_1_1"), ("libxcb.so.1", "has no libxcb.out"):
        words_ = [soname if word == "libxcb.so.1" else word for word in asks]
        done = command("patch", str(scene.home / "tree"), *words_, environment=environment())
        assert done.status == 1, done.stderr
        (first,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
        assert first.startswith(f"error: {soname}: ")
        # The cause comes first, where that is known.
        assert ("no library directory holds this" in first) is (said == "openssl_1_1")
        assert said in (done.stderr if said == "openssl_1_1" else first)
    fails = """libxcb = derivation {
      name = "fails"; system = builtins.currentSystem; builder = "/bin/sh";
      args = [ "-c" "exit 3" ];
    }; other = package"""
    default.write_text(NIXPKGS.replace("libxcb = package", fails))
    report = scene.home / "report"
    given = ["patch", str(scene.home / "tree"), *asks, "--json", str(report)]
    done = command(*given, environment=environment())
    assert done.status == 1, done.stderr
    why = f"libxcb.out of {default.parent} could not be built"
    assert f"error: libxcb.so.1: {why}\n  another nixpkgs may have it" in done.stderr
    assert done.stderr.count(why) == 1
    assert json.loads(report.read_text())["error"]["what"] == why
    assert snapshot(scene.home / "tree") == before


def test_what_nixpkgs_lacks(scene: Scene) -> None:
    """It is told by whoever asks for it, also in a dry run; what stays missing is refused."""
    default = scene.home / "nixpkgs/default.nix"
    default.write_text(NIXPKGS.replace("libxcb = package", "other = package"))
    before = snapshot(scene.home / "tree")
    for dry_run in ([], ["--dry-run"]):
        done = command(*words(scene, *dry_run), environment=environment())
        assert done.status == 1
        said = " ".join(done.stderr.split())
        assert f"libxcb.so.1: {default.parent} has no libxcb.out " in said
        assert "Nix has to" not in done.stderr  # what would be of no use isn't built
        assert done.stderr.count("has no") == 1
        assert "attribute 'libxcb'" not in done.stderr
        assert (
            "another nixpkgs may have it (--nixpkgs REF), or give a build of your own (--libs DIR);"
            " to do without libxcb.so.1 and what wants it, patch it with:"
        ) in said
        # What was asked for in vain is not advised once more.
        advice = done.stderr.partition("patch it with:\n")[2]
        assert "libxcb.out" not in advice
        assert f"--nixpkgs {scene.home}/nixpkgs" in advice
        assert "/user.abi3.so:libxcb.so.1" in advice
        assert "# To link all the rest and leave these: --missing warn" in done.stderr
    assert snapshot(scene.home / "tree") == before


@pytest.mark.parametrize("had", ["mpi", "mpich", ""])
def test_alternatives_are_one_choice(scene: Scene, had: str) -> None:
    """The command that is advised leaves out those that aren't taken, and is not refused."""
    sonames = {"mpich": "libmpi.so.12", "mpi": "libmpi.so.40"}
    files = {}
    for name, soname in sonames.items():
        shutil.copy(scene.files.library(soname, soname=soname), scene.home / "nixpkgs")
        files[f"mpi4py/MPI.{name}.abi3.so"] = tiny_library(f"MPI.{name}.so", soname)
    made = MadeWheel(name="mpi4py", tag="py3-none-any", files=files)
    path = str(made.write(scene.home))
    has = f'{had} = package "{had}" [ (toString ./{sonames[had]}) ]; }}' if had else "}"
    default = scene.home / "nixpkgs/default.nix"
    default.write_text(NIXPKGS[: NIXPKGS.rindex("}")] + has)
    given = ["patch", path, *target_options(scene.store), "--nixpkgs", str(scene.home / "nixpkgs")]
    done = command(*given, "-o", str(scene.home / "out"), environment=environment())
    assert done.status == 1, done.stderr
    advised = done.stderr.partition("patch it with:\n")[2].partition("\n#")[0]
    words_ = shlex.split(advised.replace("\\\n", ""))[1:]
    assert "nix-build" not in advised  # what nixpkgs has --nixpkgs gives
    done = command(*words_, environment=environment())
    assert done.status == 0, done.stderr
    assert ("1 patched" in done.stderr) is bool(had), done.stderr


def test_what_is_insecure_is_refused_before_a_build(scene: Scene) -> None:
    """It is never built unasked; nothing else is built for what will be refused then."""
    scene.put("pkg/more.abi3.so", scene.files.library("more.so", needed=["libssl.so.1.1"]))
    before = snapshot(scene.home / "tree")
    done = command(*words(scene), environment=environment())
    assert done.status == 1
    assert "taking of" not in done.stderr
    assert "error: 1 library missing, wanted by pkg/more.abi3.so; nothing was changed" in (
        done.stderr
    )
    # The rest is still --nixpkgs' to give.
    assert f"--nixpkgs {scene.home}/nixpkgs \\\n  $(nix-build" in done.stderr
    assert "-A openssl_1_1" in done.stderr
    assert "libx11" not in done.stderr
    assert snapshot(scene.home / "tree") == before
    done = command(*words(scene, "--missing", "warn"), environment=environment())
    assert done.status == 0, done.stderr
    assert "libx11.out libxcb.out\n" in done.stderr


def refusals(scene: Scene) -> dict[str, tuple[list[str], str]]:
    """Give arguments that are refused whatever Nix would build, and what is said of them."""
    home = scene.home
    other = wheel(scene, "other", "libX11.so.6", tag="py3-none-musllinux_1_2_x86_64")
    later = wheel(scene, "later", "libX11.so.6", tag="cp399-cp399-linux_x86_64")
    right = wheel(scene, "right", "libX11.so.6")
    tiny = tiny_library()
    arm = tiny[:18] + (183).to_bytes(2, "little") + tiny[20:]
    stray = MadeWheel(
        name="stray",
        tag="py3-none-linux_x86_64",
        files={
            "stray/m.abi3.so": scene.files.library("s.so", needed=["libX11.so.6"]).read_bytes(),
            "stray/arm.so": arm,
        },
    ).write(home)
    broken = home / "broken-1-py3-none-linux_x86_64.whl"
    broken.write_bytes(b"PK no zip")
    (home / "file").touch()
    out = ["-o", str(home / "out")]
    tree = str(home / "tree")
    return {
        "libc": ([other, *out], "for musl"),
        "python": ([later, *out, "--python", sys.executable], "for Python 3.99"),
        "machine": ([str(stray), *out], "it is for aarch64"),
        "damaged": ([str(broken), *out], "broken-1-py3"),
        "spelling": ([str(home / "no.whl"), *out], "no such file"),
        "entry": ([right, *out, "--ignore-missing", "libtypo.so.1"], "libtypo.so.1"),
        "folder": ([right, "-o", str(home / "file/out")], "is no folder"),
        "roots": ([tree, "--gc-roots", str(home / "file/roots")], "give --gc-roots a folder"),
        "wheel beside": ([tree, "--dist", other], "for musl"),
        "nixpkgs": ([tree, "--nixpkgs", "nixpkgs"], "flake:nixpkgs"),
    }


CASES = (
    "libc",
    "python",
    "machine",
    "damaged",
    "spelling",
    "entry",
    "folder",
    "roots",
    "wheel beside",
)


@pytest.mark.parametrize("case", [*CASES, "nixpkgs"])
def test_refused_before_anything_is_built(scene: Scene, case: str) -> None:
    """What no library mends is told at once, and Nix isn't asked."""
    more, said = refusals(scene)[case]
    (scene.home / "nixpkgs/default.nix").write_text('throw "asked"')
    words_ = ["patch", "--nixpkgs", str(scene.home / "nixpkgs"), *target_options(scene.store)]
    done = command(*words_, *more, environment=environment())
    assert done.status in {1, 2}, done.stderr
    assert said in done.stderr
    assert "taking of" not in done.stderr
    assert "asked" not in done.stderr


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_a_tree_for_another_libc_is_refused_before_a_build(
    scene: Scene, dry_run: list[str]
) -> None:
    """What its distributions are for stands in their WHEEL."""
    folder = scene.home / "tree" / SITE / "other-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: other\nVersion: 1\n")
    (folder / "WHEEL").write_text("Wheel-Version: 1.0\nTag: py3-none-musllinux_1_2_x86_64\n")
    done = command(*words(scene, *dry_run), environment=environment())
    assert done.status == 1
    assert "the wheel is for musl" in done.stderr
    assert " of /" not in done.stderr


def test_one_of_several_is_refused(scene: Scene) -> None:
    """It costs no build, and the others are patched."""
    one = wheel(scene, "one", "libX11.so.6")
    other = wheel(scene, "other", "libxcb.so.1", tag="py3-none-musllinux_1_2_x86_64")
    given = ["patch", other, one, "-o", str(scene.home / "out"), *target_options(scene.store)]
    done = command(*given, "--nixpkgs", str(scene.home / "nixpkgs"), environment=environment())
    assert done.status == 1
    assert ": libx11.out\n" in done.stderr
    assert {*os.listdir(scene.home / "out")} == {".nix-manylinux-roots", os.path.basename(one)}


def test_a_locked_tree_is_refused_before_a_build(scene: Scene) -> None:
    """Another patch of it is running: that is known at once."""
    with locked_trees([str(scene.home / "tree")]):
        done = command(*words(scene), environment=environment())
    assert done.status == 1
    assert "another patch of this tree is running" in done.stderr
    assert "taking of" not in done.stderr


def test_what_fails_to_build_is_tried_once(scene: Scene) -> None:
    """The end of its log is shown, with -v all; what else was built is linked all the same."""
    count = scene.home / "count"
    fails = f"""libxcb = derivation {{
      name = "fails-{os.getpid()}"; system = builtins.currentSystem; builder = "/bin/sh";
      args = [ "-c" "echo once >> {count}; for i in 1 2 3; do echo said $i; done; exit 3" ];
    }}; other = package"""
    default = scene.home / "nixpkgs/default.nix"
    default.write_text(NIXPKGS.replace("libxcb = package", fails))
    done = command(*words(scene, "--missing", "warn"), environment=environment())
    assert done.status == 0, done.stderr
    assert count.read_text() == "once\n"
    assert f"warning: libxcb.out of {default.parent} could not be built\n" in done.stderr
    assert "  the end of what Nix said (-v for all):\n" in done.stderr
    assert "    said 3\n" in done.stderr
    assert "failed with exit code 3" in done.stderr
    assert "1 patched" in done.stderr or "lacks libraries" in done.stderr
    assert os.listdir(scene.home / "tree/.nix-manylinux-roots")[0].endswith("-libx11")


def test_what_nix_says_is_shown_to_whoever_asks(scene: Scene) -> None:
    """Only -v shows it; without, two lines say what is taken and what has to be done for it."""
    done = command(*words(scene, "--dry-run", "-v"), environment=environment())
    assert "    these 2 derivations will be built:\n" in done.stderr
    done = command(*words(scene), environment=environment())
    assert done.status == 0, done.stderr
    assert "  Nix has to build 2 packages\n  building may take long; inter" in done.stderr
    assert "building '" not in done.stderr
    # All is there now: it is said what is linked, and nothing of building.
    done = command(*words(scene), environment=environment())
    assert "taking of" in done.stderr
    assert "build" not in done.stderr


@pytest.mark.parametrize("reference", ["<nowhere>", "an empty folder"])
def test_a_nixpkgs_that_is_none(scene: Scene, reference: str) -> None:
    """It is one error, not a warning for each library, and nothing is changed."""
    before = snapshot(scene.home / "tree")
    if not reference.startswith("<"):
        reference = str(scene.home / "empty")
        (scene.home / "empty").mkdir()
    given = ["patch", str(scene.home / "tree"), *target_options(scene.store)]
    done = command(*given, "--nixpkgs", reference, environment=environment())
    assert done.status == 1
    assert f"error: {reference}: Nix can't read it: " in done.stderr
    assert "warning" not in done.stderr
    assert "a flake reference: flake:nixpkgs\n" in done.stderr
    assert snapshot(scene.home / "tree") == before


def test_a_flake(scene: Scene) -> None:
    """A flake reference is read by every Nix that knows flakes: 2.8, too."""
    flake = scene.home / "flake"
    shutil.copytree(scene.home / "nixpkgs", flake)
    default = (flake / "default.nix").read_text()
    (flake / "default.nix").write_text(default.replace("builtins.currentSystem", '"x86_64-linux"'))
    (flake / "flake.nix").write_text(
        "{ outputs = { self }: { legacyPackages.x86_64-linux = import ./default.nix; }; }"
    )
    given = ["patch", str(scene.home / "tree"), *target_options(scene.store)]
    done = command(*given, "--nixpkgs", f"path:{flake}", environment=environment())
    assert done.status == 0, done.stderr
    assert f"taking of path:{flake}: libx11.out libxcb.out" in done.stderr
    done = command(*given, "--nixpkgs", f"path:{flake}/not", environment=environment())
    assert done.status == 1
    # Nix 2.8 says "getting status of ...", Nix 2.26 "... does not exist".
    assert f"error: path:{flake}/not: Nix can't read it: " in done.stderr
    assert f"{flake}/not'" in done.stderr.replace("//", "/").split("can't read it: ")[1]


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

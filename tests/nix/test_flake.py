"""The flake, default.nix and the template, with ring one in nixpkgs' place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.support.nix import ROOT, evaluate, nix_path, nix_string, run_nix
from tests.support.sets import STAND_INS, expression, packages

from nix_manylinux.data import read_xorg_renames

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.nix

SYSTEM = f"{os.uname().machine}-linux"

#: What only a whole nixpkgs has: the shell's tools are never built here.
TOOLS = """(final: prev: {
  nixfmt = final.stdenv.mkDerivation { name = "nixfmt"; dontUnpack = true; };
  # The project's own shell has no name, and more in it than this set.
  mkShell = args: final.stdenv.mkDerivation {
    name = "shell"; dontUnpack = true; strictDeps = true;
    nativeBuildInputs = if args ? name then args.packages else args.nativeBuildInputs or [ ];
    buildInputs = args.buildInputs or [ ];
  };
  python311 = final.python3;
  python312 = final.python3;
  uv = null;
})"""


@pytest.fixture(scope="module")
def nixpkgs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a flake that offers ring one under the names that nixpkgs' flake has."""
    folder = tmp_path_factory.mktemp("nixpkgs")
    body = packages(overlay=False, extra=f"{STAND_INS} {TOOLS}", number="one")
    (folder / "flake.nix").write_text(
        f"""{{
          outputs = _: let root = {nix_path(ROOT)}; set = {body}; in {{
            inherit (set) lib;
            legacyPackages.x86_64-linux = set;
            legacyPackages.aarch64-linux = set;
            legacyPackages.aarch64-darwin = set;
            legacyPackages.x86_64-darwin = set;
          }};
        }}"""
    )
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what belongs to the flake: the checkout may hold virtual environments and more."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("nix", "hooks", "share", "src", "templates", "tests/nix"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
    for name in (
        "flake.nix",
        "flake.lock",
        "default.nix",
        "pyproject.toml",
        "README.md",
        "LICENSE",
    ):
        shutil.copy(ROOT / name, folder / name)
    return folder


def nix_flake(*arguments: str, nixpkgs: Path) -> str:
    """Run a command of Nix on a flake, with ``nixpkgs`` for its input, and no lock written."""
    return run_nix(
        "nix",
        *arguments,
        "--impure",
        "--no-write-lock-file",
        "--override-input",
        "nixpkgs",
        f"path:{nixpkgs}",
    )


def test_flake_check(project: Path, nixpkgs: Path) -> None:
    """`nix flake check` passes: the tool, lib's tests and every policy's proof are built."""
    nix_flake("flake", "check", f"path:{project}", nixpkgs=nixpkgs)


def test_flake_outputs(project: Path, nixpkgs: Path) -> None:
    """The flake offers what its documentation names, and nixpkgs is its only input."""
    shown = json.loads(nix_flake("flake", "show", "--json", f"path:{project}", nixpkgs=nixpkgs))
    assert set(shown) == {
        *("checks", "devShells", "formatter", "lib", "overlays", "packages", "templates"),
    }
    assert set(shown["packages"][SYSTEM]) == {
        *("default", "manylinux-compat", "manylinux-fixup-hook"),
        *("manylinux-install-hook", "nix-manylinux"),
    }
    assert {*shown["packages"]["aarch64-darwin"]} == {"default", "nix-manylinux"}
    lock = json.loads((ROOT / "flake.lock").read_text())
    assert lock["nodes"]["root"]["inputs"] == {"nixpkgs": "nixpkgs"}
    assert set(lock["nodes"]) == {"nixpkgs", "root"}


def test_the_built_tool_runs(project: Path, nixpkgs: Path) -> None:
    """`nix build` gives the command, which runs with a hostile PYTHONPATH."""
    built = nix_flake("build", "--no-link", "--json", f"path:{project}", nixpkgs=nixpkgs)
    out = json.loads(built)[0]["outputs"]["out"]
    hostile = project / "hostile"
    (hostile / "packaging").mkdir(parents=True)
    (hostile / "packaging" / "__init__.py").write_text("raise SystemExit('not this one')")
    done = subprocess.run(
        [f"{out}/bin/nix-manylinux", "inspect", "--help"],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(hostile), "PATH": os.environ["PATH"]},
    )
    assert "inspect" in done.stdout


def test_lib_is_the_pure_part(project: Path, nixpkgs: Path) -> None:
    """The flake's lib is nix/lib, and pkgs.lib is left alone."""
    found = nix_flake("eval", "--json", f"path:{project}#lib.policies", nixpkgs=nixpkgs)
    assert json.loads(found)[0]["name"] == "manylinux_2_5"
    assert evaluate(f"({packages()}).lib ? selectWheel") is False


def test_default_nix() -> None:
    """default.nix adds the overlay to a set, once, and hands out its parts."""
    body = f"""let
      plain = {packages(overlay=False)};
      ours = import (root + /default.nix) {{ pkgs = plain; }};
      again = import (root + /default.nix) {{ inherit (ours) pkgs; }};
    in [
      (builtins.attrNames ours)
      (ours.manylinuxFixupHook.drvPath == again.manylinuxFixupHook.drvPath)
      (ours.pkgs.python3.pkgs.manylinuxFixupHook.drvPath == ours.manylinuxFixupHook.drvPath)
    ]"""
    names, same, one = evaluate(body)
    assert names == [
        *("buildManylinuxWheel", "fetchPypi", "lib"),
        *("manylinuxFixupHook", "manylinuxInstallHook"),
        *("manylinuxLockedPackages", "manylinuxPython", "manylinuxStdenv"),
        *("manylinuxVenvHook", "manylinuxWheels"),
        *("nix-manylinux", "overlay", "patchManylinuxWheel", "pkgs", "pythonManylinuxPackages"),
    ]
    assert same
    assert one


#: A nixpkgs with an overlay of its own behind all that it is given.
LAST = """{ overlays ? [ ] }: let
  root = ROOT;
  last = final: prev: if prev ? nix-manylinux then
    { nix-manylinux = prev.nix-manylinux.overrideAttrs { last = true; }; } else { };
in builtins.foldl' (set: set.extend) SET (overlays ++ [ last ])"""


def test_one_derivation_whichever_way_it_is_had(
    project: Path, nixpkgs: Path, tmp_path: Path
) -> None:
    """By default.nix, the overlay and the flake: what was built for one is there for the others."""
    body = packages(overlay=False, extra=f"{STAND_INS} {TOOLS}", number="one")
    text = LAST.replace("ROOT", nix_path(ROOT)).replace("SET", body)
    (tmp_path / "default.nix").write_text(text)
    parts = "map (each: each.drvPath) (with set; [ nix-manylinux manylinuxFixupHook ])"
    found = [
        json.loads(
            run_nix(
                *("nix-instantiate", "--eval", "--strict", "--json", "-I", f"nixpkgs={tmp_path}"),
                *("-E", f"let root = {nix_path(ROOT)}; set = {each}; in {parts}"),
            )
        )
        for each in (
            "import (root + /default.nix) { }",
            "import <nixpkgs> { overlays = [ (import (root + /nix/overlay.nix)) ]; }",
        )
    ]
    assert found[0] == found[1]
    (plain,) = evaluate(
        f"let set = ({body}).extend (import (root + /nix/overlay.nix)); in [ ({parts}) ]"
    )
    for name, expected in zip(("nix-manylinux", "manylinux-fixup-hook"), plain, strict=True):
        words = ("eval", "--raw", f"path:{project}#packages.{SYSTEM}.{name}.drvPath")
        assert nix_flake(*words, nixpkgs=nixpkgs) == expected


@pytest.mark.cp311
def test_the_template(project: Path, nixpkgs: Path, tmp_path: Path) -> None:
    """The template evaluates to a numpy built from the wheel of this machine."""
    copied = tmp_path / "template"
    shutil.copytree(project / "templates" / "wheel", copied)
    name = nix_flake(
        *("eval", "--raw", f"path:{copied}#packages.{SYSTEM}.numpy.src.name"),
        *("--override-input", "nix-manylinux", f"path:{project}"),
        nixpkgs=nixpkgs,
    )
    assert name.startswith("numpy-1.26.4-cp3")
    assert name.endswith(f"_{os.uname().machine}.whl")


def test_the_template_of_a_shell(project: Path, nixpkgs: Path, tmp_path: Path) -> None:
    """`nix develop` in a copy makes a virtual environment, and so does `#venv` without one."""
    copied = tmp_path / "template"
    shutil.copytree(project / "templates" / "venv", copied)
    for number, shell in enumerate((f"path:{copied}", f"path:{project}#venv")):
        folder = tmp_path / str(number)
        folder.mkdir()
        own = ("--override-input", "nix-manylinux", f"path:{project}") if number == 0 else ()
        text = nix_flake("print-dev-env", shell, *own, nixpkgs=nixpkgs)
        (folder / "environment").write_text(f"{text}\ncommand -v python\n")
        ran = subprocess.run(
            ["bash", "environment"], cwd=folder, check=True, capture_output=True, text=True
        )
        assert ran.stdout.splitlines()[-1] == f"{folder}/.venv/bin/python"


def test_the_overlay_has_no_logic() -> None:
    """Every attribute of the overlay is there whatever nixpkgs it is laid over."""
    names = evaluate("builtins.attrNames (import (root + /nix/overlay.nix) { } { })")
    assert [name for name in names if name not in read_xorg_renames()] == [
        *("buildManylinuxWheel", "fetchPypi"),
        *("manylinuxFixupHook", "manylinuxInstallHook"),
        *("manylinuxLockedPackages", "manylinuxPython", "manylinuxStdenv"),
        *("manylinuxVenvHook", "manylinuxWheels"),
        *("nix-manylinux", "patchManylinuxWheel"),
        *("pythonManylinuxPackages", "pythonPackagesExtensions"),
    ]
    assert {*read_xorg_renames()} <= {*names}
    assert nix_string("${x}") == '"\\${x}"'
    assert expression("1").endswith("in 1")


def test_libraries_of_x_have_their_new_names() -> None:
    """What `expr` writes is there in a nixpkgs of either age; the newer name counts."""
    found = evaluate(
        """let
          over = import (root + /nix/overlay.nix);
          final = { xorg = { libX11 = "old"; xcbutilwm = "old"; }; };
          names = over final { libx11 = "new"; };
        in [ names.libx11 names.libxcb-wm ]"""
    )
    assert found == ["new", "old"]

"""The hook as a nixpkgs would have it: taken there by the commands of the page, and built."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.support.guides import commands, take
from tests.support.nix import ROOT, nix_path, nix_string, run_nix

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.rings import Nix

pytestmark = pytest.mark.nix

PAGE = "docs/nix-in-nixpkgs.md"
COMMANDS = take(PAGE, *(command.text for command in commands(PAGE)))

#: All variables that autoPatchelfHook reads, each set.
OLD = """
  runtimeDependencies = [ set.zlib ];
  appendRunpaths = [ "/run/appended" ];
  extraAutoPatchelfLibs = [ "/x" ];
  autoPatchelfIgnoreMissingDeps = [ "libcuda.so.1" ];
  autoPatchelfFlags = [ "--keep-libc" ];
  patchelfFlags = [ "--debug" ];
"""


@pytest.fixture(scope="module")
def hook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the hook in an empty nixpkgs beside a link to this checkout."""
    folder = tmp_path_factory.mktemp("beside")
    (folder / "nix-manylinux").symlink_to(ROOT)
    nixpkgs = folder / "nixpkgs"
    nixpkgs.mkdir()
    subprocess.run(["bash", "-euc", "\n".join(COMMANDS)], cwd=nixpkgs, check=True)
    return nixpkgs / "pkgs/by-name/ma/manylinuxFixupHook"


def build(nix: Nix, hook: Path, body: str) -> list[str]:
    """Build what an expression makes of `set`, which has the hook of that folder."""
    arguments = "".join(
        f"{name} = {nix_path(value) if name == 'pureWheels' else nix_string(value)}; "
        for name, value in nix.arguments.items()
    )
    text = f"""let
      set = import {nix_path(ROOT / "tests/nix/world.nix")} {{
        {arguments}
        extraOverlays = [ (final: _: {{
          manylinuxFixupHook = final.callPackage {nix_path(hook / "package.nix")} {{ }};
        }}) ];
      }};
    in {body}"""
    return run_nix("nix-build", "--no-out-link", "-E", text).split()


def log_of(nix: Nix, hook: Path, attributes: str) -> str:
    """Read what a build of one library says, with these attributes."""
    (path,) = build(
        nix,
        hook,
        f"""set.stdenv.mkDerivation {{
          name = "library";
          dontUnpack = true;
          strictDeps = true;
          nativeBuildInputs = [ set.manylinuxFixupHook ];
          buildInputs = [ set.zlib ];
          installPhase = ''
            mkdir -p $out/lib
            echo 'int one;' | ''${{CC:-cc}} -shared -x c - -o $out/lib/libone.so
          '';
          {attributes}
        }}""",
    )
    log = nix.log(path)
    assert "manylinuxFixup: links the outputs out" in log
    return log


def test_nothing_of_the_rest_is_left(hook: Path) -> None:
    """What stays out is gone, its comments too, and what is there is what bash can read."""
    text = "".join(file.read_text() for file in hook.iterdir())
    for name in ("NIX_PYTHON_MANYLINUX", "manylinuxPolicy", "manylinuxAutoLibs", "AutoPatchelfArg"):
        assert name not in text
    for name in ("autoPatchelfNames", "dontUseManylinuxVenv", "manylinux-compat", "../", "docs/"):
        assert name not in text
    assert '"dontAutoPatchelf"' in (hook / "variable-names.nix").read_text()
    for script in hook.glob("*.sh"):
        subprocess.run(["bash", "-n", script], check=True)
        assert not re.search(
            r"^# shellcheck source.*\n(?!source)", script.read_text(), re.MULTILINE
        )


def test_its_tests_build(nix: Nix, hook: Path) -> None:
    """Those of the page's own command; a build that sets nothing odd warns of nothing."""
    assert len(build(nix, hook, "set.manylinuxFixupHook.tests")) >= 2
    assert "WARNING" not in log_of(nix, hook, "dontAutoPatchelf = true;")


def test_old_names_are_warned_of(nix: Nix, hook: Path) -> None:
    """Each variable of autoPatchelfHook that is set, with what the page has in its place."""
    log = log_of(nix, hook, OLD)
    said = dict(re.findall(r"WARNING: this hook doesn't read (\w+); here the same is: (.*)", log))
    assert said.keys() == {
        *("runtimeDependencies", "appendRunpaths", "extraAutoPatchelfLibs", "patchelfFlags"),
        *("autoPatchelfIgnoreMissingDeps", "autoPatchelfFlags"),
    }
    table = (ROOT / PAGE).read_text().partition("| in its place |")[2].partition("\n\n")[0]
    for name, instead in said.items():
        (row,) = [row for row in table.splitlines() if f"`{name}`" in row]
        assert [word for word in re.findall(r"\w*anylinux\w+", instead) if word not in row] == []

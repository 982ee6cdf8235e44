"""docs/publish.md: from the package in it to a wheel that is installed, command by command."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
from tests.nix.test_flake import project
from tests.support import guides
from tests.support.guides import take
from tests.support.modules import Workshop, system_sandbox
from tests.support.nix import ROOT, nix_path, run_nix
from tests.support.rings import nix
from tests.support.rings import python as rings_python
from tests.support.sets import packages
from tests.support.wheels import MadeWheel

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.nix, pytest.mark.cp311]
__all__ = ["project"]

TEXT = (ROOT / "docs/publish.md").read_text()

#: A library with what a compiler wants of it, for a compiler that no wrapper tells of inputs.
ZSTD = """(final: prev: {
  zstd = final.runCommand "zstd-1.5.7" { meta.license.spdxId = "BSD-3-Clause"; } ''
    mkdir -p $out/lib $out/include $out/nix-support
    echo 'const char *ZSTD_versionString(void);' > $out/include/zstd.h
    echo 'const char *ZSTD_versionString(void) { return "1.5.7"; }' |
      gcc -shared -fPIC -x c - -Wl,-soname,libzstd.so.1 -o $out/lib/libzstd.so.1.5.7
    ln -s libzstd.so.1.5.7 $out/lib/libzstd.so.1
    ln -s libzstd.so.1 $out/lib/libzstd.so
    printf 'export LIBRARY_PATH=%s LD_RUN_PATH=%s CPATH=%s\\n' $out/lib $out/lib $out/include \\
      > $out/nix-support/setup-hook
  '';
})"""


GUIDE = "docs/publish.md"
BUILD, SHOW, *INSTALL, IMPORT, COMPILED, AGAIN, FLAKE, FLAKE_COMPILED, FLAKE_AGAIN = take(
    GUIDE,
    *("nix-build -A wheel", "ls result/"),
    *("python3 -m venv", "elsewhere/bin/pip", "elsewhere/bin/python"),
    *("nix-build -A default --check", "nix-build -A wheel --check"),
    *("nix build .#wheel", "nix build .#default --rebuild", "nix build .#wheel --rebuild"),
)
REPAIR, *BY_HAND = take(
    GUIDE, "nix-manylinux repair", "nix --extra", "SOURCE_DATE_EPOCH=", "cmp by-hand"
)
blocks = partial(guides.blocks, GUIDE)


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """Write the package as the document shows it."""
    folder = tmp_path / "demo"
    folder.mkdir()
    package, flake, *_ = blocks("nix")
    (folder / "default.nix").write_text(package)
    (folder / "flake.nix").write_text(flake)
    (folder / "pyproject.toml").write_text(blocks("toml")[0])
    (folder / "setup.py").write_text(blocks("python")[0])
    (folder / "demo.c").write_text(blocks("c")[0])
    return folder


@pytest.fixture
def nixpkgs(tmp_path: Path) -> Path:
    """Make a folder that is `<nixpkgs>`, and a flake as nixpkgs is one."""
    folder = tmp_path / "nixpkgs"
    folder.mkdir()
    body = packages(overlay=False, extra=ZSTD, number="one")
    (folder / "default.nix").write_text(
        f"{{ overlays ? [ ] }}: let root = {nix_path(ROOT)}; in"
        f" builtins.foldl' (set: set.extend) {body} overlays"
    )
    (folder / "flake.nix").write_text(
        "{ outputs = _: { legacyPackages.x86_64-linux = import ./. { }; }; }"
    )
    return folder


def test_the_commands_in_their_order(demo: Path, nixpkgs: Path) -> None:
    """Nix-build, ls, venv, pip, python, --check: each does what the document says."""
    (demo / "nix-manylinux").symlink_to(ROOT)
    variables = {**nix("one").environment, "NIX_PATH": f"nixpkgs={nixpkgs}"}

    def typed(script: str, **more: str) -> str:
        done = subprocess.run(
            ["sh", "-ec", script], cwd=demo, env={**variables, **more},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    typed(BUILD)
    shape = blocks("")[0].strip().replace("cp313", r"cp311").replace("2_34", r"\d+_\d+")
    assert re.fullmatch(shape, typed(SHOW).strip())
    # The document's own lines, with the rings' Python, this one's pip, and no index asked.
    made = f"{rings_python()[0]} -m venv --without-pip"
    script = "\n".join(INSTALL).replace("python3 -m venv", made)
    script = script.replace("elsewhere/bin/pip", f"{sys.executable} -m pip --python elsewhere")
    typed(script, PIP_NO_INDEX="1", PYTHONPATH="")
    # The store is not to be seen there.
    box = system_sandbox(str(demo / "elsewhere"))
    ran = box.run(["/bin/sh", "-c", f"cd {demo} && {IMPORT}"])
    assert ran.stdout == "1.5.7\n", ran.stderr
    # It has been built before, though `result` lies in the folder now.
    typed(f"{COMPILED}\n{AGAIN}")
    path = f"{os.path.dirname(sys.executable)}:{variables['PATH']}"
    typed("\n".join(BY_HAND), PATH=path, SOURCE_DATE_EPOCH="")


def test_a_copy_of_the_example(nixpkgs: Path, tmp_path: Path) -> None:
    """The folder that the page offers builds where it is copied to, a checkout in it."""
    copied = tmp_path / "copied"
    shutil.copytree(ROOT / "examples/portable-wheel", copied)
    (copied / "nix-manylinux").symlink_to(ROOT)
    done = subprocess.run(
        ["sh", "-ec", BUILD], cwd=copied, capture_output=True, text=True, check=False,
        env={**nix("one").environment, "NIX_PATH": f"nixpkgs={nixpkgs}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = (copied / "result").iterdir()
    assert wheel.name.startswith("demo-1.0-cp3")


def test_the_commands_of_the_flake(demo: Path, nixpkgs: Path, project: Path) -> None:
    """Nix build, and --rebuild: the same wheel."""
    inputs = ["--impure", "--no-write-lock-file", "--no-link"]
    for name, path in (("nixpkgs", nixpkgs), ("nix-manylinux", project)):
        inputs += ["--override-input", name, f"path:{path}"]
    inputs += ["--override-input", "nix-manylinux/nixpkgs", f"path:{nixpkgs}"]
    shown = run_nix(*FLAKE.replace(".#", f"path:{demo}#").split(), *inputs, "--json")
    (wheel,) = os.listdir(json.loads(shown)[0]["outputs"]["out"])
    assert wheel.startswith("demo-1.0-cp311-cp311-manylinux_2_")
    for again in (FLAKE_COMPILED, FLAKE_AGAIN):
        run_nix(*again.replace(".#", f"path:{demo}#").split(), *inputs)


def test_the_command_and_the_function(tmp_path: Path) -> None:
    """What is written for use without Nix runs as it stands, on a wheel of that name."""
    workshop = Workshop(tmp_path)
    one = workshop.library("one", "one", "1")
    made = MadeWheel(
        name="demo", tag="cp313-cp313-linux_x86_64",
        files={"demo.so": workshop.module("one()", [one], runpath="/nowhere")},
    )  # fmt: skip
    (tmp_path / "dist").mkdir()
    made.write(tmp_path / "dist")
    libs = str(one.parent)
    command = REPAIR.replace("/opt/lib", libs)
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path}
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, env=variables, check=True)
    (written,) = (tmp_path / "wheelhouse").iterdir()
    first = written.read_bytes()
    shutil.rmtree(tmp_path / "wheelhouse")
    code = blocks("python")[1].replace("/opt/lib", libs)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "demo.libs/libone-" in done.stdout
    assert written.read_bytes() == first


def test_what_is_said_of_the_tag() -> None:
    """In the command's words."""
    from nix_manylinux.repair.model import Finding, RepairedWheel
    from nix_manylinux.repair.text import repaired_text

    done = RepairedWheel(
        path="x.whl",
        sha256="",
        platforms=("manylinux_2_34_x86_64",),
        promised=("libc.so.6",),
        obstacles=(
            Finding(
                "version",
                "GLIBC_2.34 of libc.so.6 is newer than manylinux_2_31",
                ("demo.cpython-313-x86_64-linux-gnu.so",),
            ),
        ),
    )
    *said, _ = repaired_text(done, verb="wrote", everything=False)
    assert said == blocks("")[1].strip().splitlines()


def test_the_list_of_packages_is_read(tmp_path: Path) -> None:
    """As the document writes it, with every field."""
    from nix_manylinux.base.values import field_names
    from nix_manylinux.repair.sbom import read_packages

    path, text = tmp_path / "packages.json", blocks("json")[0]
    path.write_text(text)
    (package,) = read_packages(str(path))
    assert package.text == "zstd 1.5.7 (BSD-3-Clause)"
    assert sorted(json.loads(text)[0]) == sorted(field_names(package))


def test_the_arguments_are_those_of_the_function() -> None:
    """The table names each argument of buildManylinuxWheel but the package, and no other."""
    source = (ROOT / "nix/build-manylinux-wheel.nix").read_text()
    arguments = re.findall(r"^  (\w+) \? ", source, re.MULTILINE)
    table = TEXT.partition("| argument |")[2].partition("## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == sorted(arguments)


def test_the_titles_of_refusals_are_those_that_are_said() -> None:
    """Each row of the table begins with the words of the command."""
    from nix_manylinux.repair.text import TITLES

    table = TEXT.partition("| it says |")[2].partition("## ")[0]
    rows = re.findall(r"^\| (these|debug)([^|]*) \|", table, re.MULTILINE)
    said = {first + rest for first, rest in rows}
    assert said == set(TITLES.values())


@pytest.mark.parametrize("number", range(len(blocks("nix"))))
def test_every_expression_parses(number: int) -> None:
    """Nix takes each block of the document for an expression."""
    run_nix("nix-instantiate", "--parse", "-", given="{ pkgs, demo }: " + blocks("nix")[number])

"""Expressions for real wheels parse, and build under the overlay."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.nix import run_nix
from tests.support.wheels import MadeWheel, tiny_library
from tests.wheels import corpus

from nix_manylinux.nix.expression.download import download_wheels
from nix_manylinux.nix.expression.wheel import describe_wheel
from nix_manylinux.nix.expression.write import build_expression
from nix_manylinux.nix.nixpkgs import ask_cuda
from nix_manylinux.nix.origin import DEFAULT_INDEX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.rings import Nix

pytestmark = [pytest.mark.nix, pytest.mark.wheels]

#: Twelve wheels that differ in everything an expression can show.
WHEELS = (
    "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64",
    "pandas",
    "pillow-",
    "ruff",
    "opencv_python",
    "cffi-2.1.1-cp311-cp311-manylinux2014_x86_64",
    "cryptography-50.0.2-cp311-abi3-manylinux2014_x86_64",
    "lxml",
    "psycopg2_binary",
    "nvidia_nvjitlink",
    "tbb",
    "packaging",
    "soundfile",
    "numpy-2.4.6-cp311-cp311-musllinux",
)

#: What pandas wants, under the names of the attributes.
FOR_PANDAS = {
    "numpy": "numpy==2.4.6",
    "python-dateutil": "python-dateutil==2.9.0.post0",
    "six": "six==1.17.0",
}


@cache
def expression(path: str, *beside: str, for_nixpkgs: bool = False) -> str:
    """Write the expression for one wheel, and those that are one package with it."""
    others = dict.fromkeys(beside, DEFAULT_INDEX)
    wheel = describe_wheel(path, look_for_loads=True, beside=others)
    return build_expression([wheel], for_nixpkgs=for_nixpkgs).text


@pytest.mark.parametrize("start", WHEELS)
def test_parses(start: str, tmp_path: Path) -> None:
    """Nix parses the expression of every kind of wheel."""
    file = tmp_path / "package.nix"
    file.write_text(expression(corpus.wheel(start)), encoding="utf-8")
    assert "buildPythonPackage" in run_nix("nix-instantiate", "--parse", str(file))


def build(
    nix: Nix,
    folder: Path,
    name: str,
    wheels: dict[str, str],
    beside: Sequence[str] = (),
    *,
    for_nixpkgs: bool = False,
) -> str:
    """Build one of several packages; the wheels are in the store already, nothing is fetched."""
    files = {}
    for package, path in wheels.items():
        subprocess.run(
            ["nix-store", "--add-fixed", "sha256", path, *beside],
            env=nix.environment,
            capture_output=True,
            check=True,
        )
        files[package] = str(folder / f"{package}.nix")
        text = expression(path, *beside, for_nixpkgs=for_nixpkgs)
        (folder / f"{package}.nix").write_text(text, encoding="utf-8")
    return nix.build(name, "expr.nix", expressions=json.dumps(files)).path


@pytest.mark.slow
@pytest.mark.parametrize(
    "start",
    [
        pytest.param("numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64", marks=pytest.mark.cp311),
        pytest.param("pillow-", marks=pytest.mark.cp311),
        "ruff",
    ],
)
def test_builds(start: str, nix: Nix, tmp_path: Path) -> None:
    """A wheel that needs no other package builds as it is written, imports check included."""
    assert build(nix, tmp_path, "package", {"package": corpus.wheel(start)})


@pytest.mark.slow
@pytest.mark.cp311
def test_opencv_builds(nix: Nix, tmp_path: Path) -> None:
    """opencv-python builds on the numpy that is built beside it."""
    wheels = {
        "numpy": corpus.wheel("numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64"),
        "opencv": corpus.wheel("opencv_python"),
    }
    assert build(nix, tmp_path, "opencv", wheels)


@pytest.mark.slow
@pytest.mark.cp311
def test_pandas_builds(nix: Nix, tmp_path: Path) -> None:
    """Pandas builds on packages that are fetched by name, each from an expression of its own."""
    wheels = {"pandas": corpus.wheel("pandas")}
    for name, requirement in FOR_PANDAS.items():
        ((wheels[name],),) = download_wheels(
            [requirement],
            python_versions=["3.11"],
            systems=["x86_64-linux"],
            into=str(tmp_path / name),
            environment=os.environ,
        )
    assert build(nix, tmp_path, "pandas", wheels)


@pytest.mark.slow
def test_one_of_several_is_installed(nix: Nix, tmp_path: Path) -> None:
    """What can't load is removed before the build links and proves the rest."""
    folder = "demo/of ${several}"
    files = {
        f"{folder}/lib{name}{n}.so": tiny_library(f"lib{name}{n}.so", f"libexpat.so.{version}")
        for name in ("core", "ops")
        for n, version in ((1, 0), (2, 1), (3, 7))
    }
    files["demo/__init__.py"] = b""
    tag = "py3-none-manylinux1_x86_64"
    wheel = MadeWheel(name="demo", version="1.0", tag=tag, files=files).write(tmp_path)
    built = build(nix, tmp_path, "demo", {"demo": str(wheel)})
    assert "rm $out/" in (tmp_path / "demo.nix").read_text(encoding="utf-8")
    (libraries,) = Path(built).rglob("of $*")
    assert sorted(each.name for each in libraries.iterdir()) == ["libcore2.so", "libops2.so"]


@pytest.mark.slow
@pytest.mark.parametrize("for_nixpkgs", [False, True])
def test_two_parts_of_a_package(for_nixpkgs: bool, nix: Nix, tmp_path: Path) -> None:  # noqa: FBT001
    """Wheels that bring one regular package are installed at once, and linked to one another."""
    tag = "py3-none-manylinux1_x86_64"
    parts = {
        "base": {"demo/libdemo.so.1": tiny_library("libdemo.so.1", "libexpat.so.1")},
        "more": {"demo/libmore.so.1": tiny_library("libmore.so.1", "libdemo.so.1")},
    }
    base, more = (
        str(
            MadeWheel(
                name=f"demo_{name}", version="1.0", tag=tag, files={"demo/__init__.py": b"", **own}
            ).write(tmp_path)
        )
        for name, own in parts.items()
    )
    built = Path(build(nix, tmp_path, "demo", {"demo": base}, [more], for_nixpkgs=for_nixpkgs))
    text = (tmp_path / "demo.nix").read_text(encoding="utf-8")
    assert ("buildPythonPackage (finalAttrs: {" in text) == for_nixpkgs
    (package,) = built.rglob("demo")
    assert {each.name for each in package.iterdir()} >= {"libdemo.so.1", "libmore.so.1"}
    there = sorted(each.name for each in package.parent.glob("*.dist-info"))
    assert there == ["demo_base-1.0.dist-info", "demo_more-1.0.dist-info"]


@pytest.mark.parametrize(
    ("torch", "cuda"),
    [
        ('{ buildInputs = [ { } { pname = "cuda_cudart"; version = "12.8"; } ]; }', "12"),
        ("{ }", "13"),
        ('throw "none"', ""),
    ],
)
def test_the_cuda_of_torch(torch: str, cuda: str, tmp_path: Path) -> None:
    """What torch is linked to is asked, else the usual one; it may be that there is no torch."""
    bound = f'python3.pkgs.torch-bin = {torch}; cudaPackages.cuda_cudart.version = "13.0.1";'
    (tmp_path / "default.nix").write_text(f"{{ ... }}: {{ {bound} }}", encoding="utf-8")
    environment = {**os.environ, "NIX_PATH": f"nixpkgs={tmp_path}"}
    assert ask_cuda("torch-bin", environment) == cuda

"""Several wheels whose files lie in one package are one expression, analysed as one."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.cli.main import main
from nix_manylinux.nix.expression import download
from nix_manylinux.nix.expression.download import download_wheels
from nix_manylinux.nix.expression.wheel import DescribedWheel, describe_wheel
from nix_manylinux.nix.expression.write import build_expression
from nix_manylinux.nix.origin import DEFAULT_INDEX

if TYPE_CHECKING:
    from pathlib import Path

ABI3 = "cp310-abi3"


def family(folder: Path, *, tag: str = ABI3, cpu: str = "x86_64") -> list[str]:
    """Write three wheels: two with parts of one package, and what both need."""
    parts = [
        ("demo-base", "2_28", ABI3, ["Requires-Dist: glue==1.0", "Requires-Python: >=3.12"]),
        ("demo-more", "2_34", tag, ["Requires-Dist: demo-base", "Requires-Dist: numpy"]),
        ("glue", "2_28", ABI3, ["Requires-Python: <3.15"]),
    ]
    files = {
        "demo-base": {
            "demo/__init__.py": b"",
            "demo/core.abi3.so": extension("core", "libzstd.so.1"),
            "demo/libdemo.so.1": tiny_library("libdemo.so.1"),
        },
        "demo-more": {
            "demo/__init__.py": b"",
            "demo/charts.abi3.so": extension("charts", "libdemo.so.1", "libglue.so.1"),
        },
        "glue": {"glue/__init__.py": b"", "glue/libglue.so.1": tiny_library("libglue.so.1")},
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, floor, its, headers in parts:
        part = name.partition("-")[2].capitalize()
        summary = f"Summary: Binds things ({part})"
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", summary, *headers]
        made = MadeWheel(
            name=name.replace("-", "_"), version="1.0", tag=f"{its}-manylinux_{floor}_{cpu}",
            files=files[name], metadata="\n".join([*lines, ""]).encode(),
        )  # fmt: skip
        paths.append(str(made.write(folder)))
    return paths


def extension(name: str, *needed: str) -> bytes:
    """Make what looks like an extension module, as far as strings go."""
    return tiny_library(f"{name}.abi3.so", *needed) + f"\0PyInit_{name}\0".encode()


def joined(paths: list[str]) -> DescribedWheel:
    """Describe wheels as one package."""
    first, *others = paths
    beside = dict.fromkeys(others, DEFAULT_INDEX)
    return describe_wheel(first, look_for_loads=True, beside=beside)


def written(*wheels: DescribedWheel) -> str:
    """Write an expression for nixpkgs with the shipped tables."""
    return build_expression(wheels, for_nixpkgs=True).text


def test_one_package(tmp_path: Path) -> None:
    """What they have of each other is no input; each wheel is fetched, and a part imported."""
    text = written(joined(family(tmp_path)))
    assert 'pname = "demo";' in text  # which most of them are of, and what is imported
    assert 'description = "Binds things";' in text
    assert 'format = "manylinux_2_34";' in text  # of all of them the newest
    assert re.findall(r'file = "(\w+)-\$\{finalAttrs.version\}', text) == [
        "demo_base",
        "demo_more",
        "glue",
    ]
    assert text.count("(fetchPypi {") == 2
    assert (
        '  preInstall = lib.concatMapStrings (wheel: "ln -s ${wheel} dist/${wheel.name}\\n")'
        " finalAttrs.wheels;\n"
    ) in text
    assert "  dependencies = [ numpy ];\n" in text
    assert "  buildInputs = [ zstd ];\n" in text
    assert 'disabled = pythonOlder "3.12" || pythonAtLeast "3.15";' in text
    checked = text.partition("pythonImportsCheck = [")[2].partition("]")[0].split()
    assert checked == ['"demo"', '"glue"', '"demo.charts"', '"demo.core"']


def test_the_name_of_several(tmp_path: Path) -> None:
    """Where no two begin alike it is the first one's name; a wheel alone keeps its own."""
    base, more, glue = family(tmp_path)
    assert joined([more, glue, base]).package == "demo"
    assert joined([glue, base]).package == "glue"
    alone = joined([base])
    assert alone.package == "demo-base"
    assert 'description = "Binds things (Base)";' in written(alone)


def test_several_places(tmp_path: Path) -> None:
    """A wheel that serves several Pythons stands once; what differs is a list to choose from."""
    sets = [
        family(tmp_path / cpu / tag, tag=f"{tag}-{tag}", cpu=cpu)
        for cpu in ("aarch64", "x86_64")
        for tag in ("cp312", "cp313")
    ]
    text = written(*map(joined, sets))
    assert text.count("demo_base-") == text.count("glue-") == 2
    assert text.count("demo_more-") == 4
    assert 'disabled = pythonOlder "3.12" || pythonAtLeast "3.14";' in text


def test_the_client_is_asked_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which wheels go together is told by the place, in the order of the requirements."""
    pip = tmp_path / "pip"
    pip.write_text(
        "#!/bin/sh\nwhile [ $# -gt 1 ]; do\n"
        "case $1 in --dest) dest=$2 ;; --python-version) python=$2 ;; esac; shift; done\n"
        'tag=py3; case $1 in *more*) tag=cp${python#3.} ;; esac; touch "$dest/${1%%=*}-1.0-$tag"\n'
    )
    pip.chmod(0o755)
    monkeypatch.setattr(download, "pip_command", lambda _: [str(pip)])
    found = download_wheels(
        ["more==1.0", "base==1.0"], python_versions=["3.12", "3.13"], systems=["x86_64-linux"],
        into=str(tmp_path / "into"), environment=os.environ,
    )  # fmt: skip
    names = [[os.path.basename(path) for path in each] for each in found]
    assert names == [["more-1.0-cp12", "base-1.0-py3"], ["more-1.0-cp13", "base-1.0-py3"]]


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ([0, 0], "one package is made of wheels of several projects: demo-base"),
        ([0, 3], "demo-base requires glue==1.0, and glue 2.0 is given"),
    ],
)
def test_refused(
    chosen: list[int], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another Python's wheel is no second part, nor is another release of what is required."""
    paths = family(tmp_path)
    paths.append(str(MadeWheel(name="glue", version="2.0").write(tmp_path)))
    copy = str(MadeWheel(name="demo_base", version="1.0").write(tmp_path))
    words = [paths[chosen[0]], copy if chosen == [0, 0] else paths[chosen[1]]]
    assert main(["expr", *words]) == 2
    assert said in capsys.readouterr().err


def test_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files and names don't mix; the paths of files are from here, where the text is saved."""
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: None)
    monkeypatch.chdir(tmp_path)
    paths = [os.path.relpath(path) for path in family(tmp_path / "some wheels")]
    assert main(["expr", paths[0], "glue==1.0"]) == 2
    assert "of wheels at hand, or of NAME==VERSION: not of both" in capsys.readouterr().err
    assert main(["expr", "--local", *paths]) == 0
    text = capsys.readouterr().out
    assert f'  src = ./. + "/{paths[0]}";\n' in text
    assert f'  wheels = [\n    (./. + "/{paths[1]}")\n' in text
    assert "dist/${baseNameOf wheel}" in text


@pytest.mark.parametrize("begin", ["", "{}/"])
def test_a_path_from_here(
    begin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--local` leads to the file from this folder, however it was named."""
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: None)
    monkeypatch.chdir(tmp_path)
    name = os.path.basename(family(tmp_path / "wheels")[0])
    assert main(["expr", "--local", f"{begin.format(tmp_path)}wheels/{name}"]) == 0
    said = capsys.readouterr()
    assert f"  src = ./wheels/{name};\n" in said.out
    assert "in this folder" in said.err
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["expr", "--local", f"{tmp_path}/wheels/{name}"]) == 0
    assert f"  src = {tmp_path}/wheels/{name};\n" in capsys.readouterr().out

"""Editable installs: what an environment leads to outside of it is told where it won't load."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import tiny_library

from nix_manylinux.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

SITE = "lib/python3.11/site-packages"


def put(root: Path, files: dict[str, bytes]) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def environment(root: Path, project: Path, how: dict[str, str], *, editable: bool = True) -> Path:
    """Make an environment in which a project is installed."""
    told = {"url": project.as_uri(), "dir_info": {"editable": True} if editable else {}}
    files = {
        "pyvenv.cfg": b"home = /usr/bin\n",
        f"{SITE}/demo-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1\n",
        f"{SITE}/demo-1.0.dist-info/RECORD": b"",
        f"{SITE}/demo-1.0.dist-info/direct_url.json": json.dumps(told).encode(),
        **{f"{SITE}/{name}": text.encode() for name, text in how.items()},
    }
    put(root, files)
    (root / "bin").mkdir()
    (root / "bin/python").symlink_to(sys.executable)
    return root


@pytest.mark.parametrize("command", ["check", "patch"])
def test_a_module_outside_of_the_environment(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`import demo.ext` fails, though all of the environment loads; the command mends it."""
    project = put(
        tmp_path / "my project",
        {
            "src/demo/ext.so": tiny_library("ext.so", "libgone.so.1"),
            "src/demo/right.so": tiny_library("right.so", "libc.so.6"),
            "src/build/old.so": tiny_library("old.so", "libold.so.1"),
        },
    )
    pth = {"__editable__.demo-1.0.pth": f"import sys\n\n{project}/src\n/\n"}
    tree = environment(tmp_path / "v", project, pth)
    assert main([command, str(tree)]) == 0
    err = capsys.readouterr().err
    said = " ".join(err.split())
    assert f"{project}/src, which an editable install leads to" in said
    assert "and demo/ext.so there won't find libgone.so.1. To link that" in said
    (line,) = (line for line in err.splitlines() if line.startswith("  nix-manylinux patch"))
    python = f"{tree}/bin/python"
    words = ["nix-manylinux", "patch", f"{project}/src", "--python", python, "--nixpkgs"]
    assert shlex.split(line) == words
    # What has no project that is installed so is somebody else's.
    other = environment(tmp_path / "w", project, pth, editable=False)
    assert main([command, str(other)]) == 0
    assert "editable" not in capsys.readouterr().err


def test_an_environment_in_its_project(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A finder of setuptools leads to packages; of the project's folder not all is named."""
    project = put(tmp_path / "p", {"demo/ext.so": tiny_library("ext.so", "libgone.so.1")})
    finder = f"MAPPING: dict[str, str] = {{'demo': '{project}/demo', 'a': '/gone'}}\n"
    how = {"__editable___demo_1_0_finder.py": finder, "demo.pth": f"{project}\n"}
    put(project / ".venv" / SITE, {"inner.so": tiny_library("inner.so", "libc.so.6")})
    tree = environment(project / ".venv", project, how)
    assert main(["check", str(tree)]) == 0
    err = capsys.readouterr().err
    assert err.count(f"nix-manylinux patch {project}/demo --python") == 1
    assert f"nix-manylinux patch {project} " not in err
    # As `setup.py develop` has it.
    (tree / SITE / "demo-1.0.dist-info/direct_url.json").unlink()
    (tree / SITE / "demo.egg-link").write_text(f"{project}\n.")
    assert main(["check", str(tree)]) == 0
    assert f"nix-manylinux patch {project}/demo --python" in capsys.readouterr().err
    (tree / SITE / "demo.egg-link").write_bytes(b"\0\n")
    (tree / SITE / "demo.pth").write_bytes(b"\0\xff\n")
    url, info = tree / SITE / "demo-1.0.dist-info/direct_url.json", {"editable": True}
    (tree / SITE / "demo2.pth").write_text(f"{project}\n")
    broken = [
        json.dumps({"url": each, "dir_info": info}) for each in (1, None, "http://[", "file:///%00")
    ]
    for text in ("[]", "[" * 60000, *broken):
        url.write_text(text)
        assert main(["check", str(tree)]) == 0
        assert "editable" not in capsys.readouterr().err

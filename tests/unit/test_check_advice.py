"""What `check` says of a tree that does not load: what a patch mends, and what it needs."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

from tests.support.wheels import tiny_library

from nix_manylinux.cli.main import main
from nix_manylinux.target.target import from_running

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def put(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files, and give their folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_what_is_there_is_not_called_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As pip leaves it: the wheel's own library is there, and a patch leads to it."""
    files = {
        "pkg.libs/libinner-0a1b2c3d.so.1": tiny_library("libinner-0a1b2c3d.so.1", "libmimerapi.so"),
        "pkg.libs/libouter-0a1b2c3d.so.1": tiny_library(
            "libouter-0a1b2c3d.so.1", "libinner-0a1b2c3d.so.1"
        ),
    }
    tree = str(put(tmp_path / "tree", files))
    assert main(["check", tree]) == 1
    told = capsys.readouterr().err
    assert told == (
        "error: 1 library missing, wanted by pkg.libs/libinner-0a1b2c3d.so.1:\n"
        "  libmimerapi.so: nowhere in nixpkgs\n"
        "a patch will mend:\n"
        "  libinner-0a1b2c3d.so.1: in pkg.libs, where nothing leads yet\n"
        "      wanted by pkg.libs/libouter-0a1b2c3d.so.1\n"
        "\n"
        "patch it with:\n"
        f"nix-manylinux patch {tree} \\\n"
        "  --ignore-missing pkg.libs/libinner-0a1b2c3d.so.1:libmimerapi.so\n"
        "# Ignore only what you will not use. Where another wheel brings the library, add that "
        "wheel\n"
        "# (--python-libs SITE_PACKAGES), or where that one needs this one, name the library in\n"
        "# --provided-later SONAME.\n"
    )
    # What is to be pasted is taken without a word, and then all is well.
    command = told.partition("patch it with:\n")[2].partition("\n#")[0].replace("\\\n", "")
    words = shlex.split(command)[1:]
    assert main(words) == 0
    assert "can be dropped" not in capsys.readouterr().err
    assert main(["check", tree, *words[2:]]) == 0


def test_only_a_patch_is_wanted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Where nothing is missing at all, the error says so, and the command has no options."""
    files = {
        "a/libone.so": tiny_library("libone.so", "libtwo.so"),
        "b/libtwo.so": tiny_library("libtwo.so"),
    }
    tree = str(put(tmp_path / "tree", files))
    assert main(["check", tree]) == 1
    assert capsys.readouterr().err == (
        "error: nothing is missing, but not all is linked yet; a patch will mend:\n"
        "  libtwo.so: in b, where nothing leads yet\n"
        "      wanted by a/libone.so\n"
        "\n"
        "patch it with:\n"
        f"nix-manylinux patch {tree}\n"
    )


def test_files_of_a_store_are_not_patched(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link into a Nix store stays what it is: what its file lacks, no option of patch adds."""
    store = put(tmp_path / "store/package/lib", {"libs.so": tiny_library("libs.so", "libz.so.1")})
    tree = put(tmp_path / "tree", {"here.so": tiny_library("here.so")})
    (tree / "linked.so").symlink_to(store / "libs.so")
    (tree / "folder").symlink_to(store)
    monkeypatch.setenv("NIX_STORE", str(tmp_path / "store"))
    assert main(["check", str(tree)]) == 1
    told = capsys.readouterr().err
    assert "nix-build" not in told
    assert "patch it with" not in told
    assert "A patch leaves alone what lies in a Nix store: folder/libs.so." in told
    (options,) = [line for line in told.splitlines() if "--exclude" in line]
    exclude = shlex.split("--exclude " + options.partition("--exclude ")[2])
    assert main(["check", str(tree), *exclude]) == 0
    # What else lacks it is patched as ever.
    put(tree, {"own.so": tiny_library("own.so", "libz.so.1")})
    assert main(["check", str(tree)]) == 1
    assert "patch it with" in capsys.readouterr().err


def test_scripts_that_can_not_start(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `#!` line that leads nowhere, or where only other systems have something, is named."""
    files = {
        "bin/nowhere": b"#!/no/such/bash -e\n",
        "bin/own": f"#! {tmp_path}/tree/bin/python\n".encode(),
        "bin/common": b"#!/usr/bin/env python3\n",
        "bin/plain": b"echo\n",
        "pkg/tool": b"#!/also/not/there\n",
        "pkg/module.py": b"#!/usr/local/bin/python2\n",
        "bin/host": b"#!" + os.fsencode(sys.executable) + b"\n",
    }
    tree = put(tmp_path / "tree", files)
    (tree / "pkg/tool").chmod(0o755)

    def told(*words: str) -> list[str]:
        assert main(["check", str(tree), *words]) == 0
        lines = capsys.readouterr().err.splitlines()
        return sorted(line for line in lines if "can't be started" in line)

    assert told() == [
        "warning: bin/nowhere can't be started: it begins with #!/no/such/bash, which is not there",
        "warning: pkg/tool can't be started: it begins with #!/also/not/there, which is not there",
    ]
    assert told("--exclude", "pkg/*", "--exclude", "bin/n*") == []
    linker = os.path.realpath(from_running().dynamic_linker)
    monkeypatch.setenv("NIX_STORE", os.path.dirname(linker))
    (line,) = told("--exclude", "pkg/*", "--exclude", "bin/n*", "--dynamic-linker", linker)
    assert f"bin/host can't be started: it begins with #!{sys.executable}, which Nix does" in line

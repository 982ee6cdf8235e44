"""What is said of files that need not load, and lack something: a patch links them, or nothing."""

from __future__ import annotations

from json import loads
from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import tiny_library

from nix_manylinux.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


def put(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files, and give their folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def waived(report: Path) -> dict[tuple[str, str], str | None]:
    """Give what a report says of each library that an optional file lacks."""
    told = loads(report.read_text())["waived"]
    return {
        (each["name"], label.rpartition("/")[2]): each["reason"]
        for each in told
        for label in each["wanted_by"]
    }


@pytest.mark.parametrize("broken", [False, True])
def test_optional_files_that_a_patch_links(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    broken: bool,  # noqa: FBT001
) -> None:
    """What a patch links isn't told as what will not load; text and JSON say the same."""
    nixpkgs = "patch --nixpkgs takes it from zlib.out"
    leaf = tiny_library("libleaf.so", "libz.so.1")
    files = {"libleaf.so": leaf, "m.abi3.so": tiny_library("m.so", *["libz.so.1"] * broken)}
    tree, report = str(put(tmp_path / "tree", files)), tmp_path / "report"
    words = ["check", tree, "--missing", "leaves", "--json", str(report)]
    also = "`patch --nixpkgs` also links 1 optional file, which lacks 1 library (-v names it)\n"
    assert main(words) == broken
    told = capsys.readouterr().err
    assert "warning" not in told
    assert "will not load" not in told
    if broken:
        # The thing to do stands last.
        assert f"\n{also}\npatch it with:\n" in told
        assert told.endswith("| sed 's:.*:--libs=&/lib:')\n")
    else:
        assert told == f"2 ELF files: everything that is needed loads; {also}"
    assert waived(report) == {("libz.so.1", "libleaf.so"): nixpkgs}
    main([*words, "-v"])
    assert f"  libz.so.1: {nixpkgs}\n      wanted by libleaf.so\n" in capsys.readouterr().err
    # One that lacks what nobody has, too, stays what it is.
    put(tmp_path / "tree", {"libs.so": tiny_library("libs.so", "libz.so.1", "libmimerapi.so")})
    assert main(words) == broken
    told = capsys.readouterr().err
    assert "1 optional file" in told.partition("warning: ")[2]
    assert also.strip() in told
    assert waived(report) == {
        ("libz.so.1", "libleaf.so"): nixpkgs,
        ("libz.so.1", "libs.so"): nixpkgs,
        ("libmimerapi.so", "libs.so"): None,
    }


def test_optional_files_that_any_patch_links(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What lies in the tree already needs no nixpkgs."""
    files = {
        "a/libleaf.so": tiny_library("libleaf.so", "libinner-0a1b2c3d.so.1"),
        "b/libinner-0a1b2c3d.so.1": tiny_library("libinner-0a1b2c3d.so.1"),
    }
    tree, report = str(put(tmp_path / "tree", files)), tmp_path / "report"
    words = ["check", tree, "--missing", "leaves", "--json", str(report)]
    assert main(words) == 0
    assert capsys.readouterr().err == (
        "2 ELF files: everything that is needed loads;"
        " `patch` also links 1 optional file, which lacks 1 library (-v names it)\n"
    )
    place = "in b, where nothing leads yet"
    assert waived(report) == {("libinner-0a1b2c3d.so.1", "libleaf.so"): place}
    assert main(["patch", tree, "--missing", "leaves"]) == 0
    assert "optional file" not in capsys.readouterr().err
    assert main(["check", tree]) == 0


def test_a_patch_says_what_another_one_links(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no warning there either; in a build, where no nixpkgs is asked, it stays one."""
    tree = str(put(tmp_path / "tree", {"libleaf.so": tiny_library("libleaf.so", "libz.so.1")}))
    report = tmp_path / "report"
    words = ["patch", tree, "--missing", "leaves", "--json", str(report)]
    assert main(words) == 0
    told = capsys.readouterr().err
    assert "`patch --nixpkgs` also links 1 optional file" in told
    assert "warning" not in told
    assert waived(report)["libz.so.1", "libleaf.so"] == "patch --nixpkgs takes it from zlib.out"
    monkeypatch.setenv("NIX_BUILD_TOP", str(tmp_path))
    monkeypatch.delenv("IN_NIX_SHELL", raising=False)
    assert main(words) == 0
    assert "warning: 1 optional file will not load (1 library missing)" in capsys.readouterr().err
    assert waived(report)["libz.so.1", "libleaf.so"] is None

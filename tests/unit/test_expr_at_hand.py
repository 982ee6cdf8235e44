"""What the nixpkgs at hand has not is not written as if it were there, and is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.expressions import every_note
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.base.values import replace
from nix_manylinux.cli.main import main
from nix_manylinux.nix.expression.wheel import describe_wheel
from nix_manylinux.nix.expression.write import Expression, build_expression
from nix_manylinux.nix.nixpkgs import Nixpkgs, asked_as
from nix_manylinux.nix.packages import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


#: So many names are at the top of nixpkgs, and not in a part of it.
MANY = frozenset(map(str, range(20_000)))
WHOLE = Nixpkgs(
    python="3.13", system="x86_64-linux", packages=frozenset({"numpy"}),
    attributes=MANY | {"zlib", "zstd", "ffmpeg_7"},
)  # fmt: skip
PART = replace(WHOLE, attributes=frozenset({"zlib", "zstd"}))

FILES = {
    "demo/__init__.py": b"",
    "demo/fast.cpython-311-x86_64-linux-gnu.so": tiny_library("fast.so", "libzstd.so.1"),
    "demo/plugins/libqsqlibase.so": tiny_library("libqsqlibase.so", "libfbclient.so.2"),
}


def made(folder: Path, files: Mapping[str, bytes] = FILES, headers: str = "") -> str:
    """Make a wheel: a module, and a plug-in that wants a client library."""
    metadata = f"Metadata-Version: 2.4\nName: demo\nVersion: 1.0\n{headers}\n"
    tag = "cp311-cp311-manylinux_2_28_x86_64"
    wheel = MadeWheel(name="demo", version="1.0", tag=tag, files={**files})
    return replace_metadata(wheel, metadata).write(folder)


def replace_metadata(wheel: MadeWheel, metadata: str) -> MadeWheel:
    """Give the wheel that METADATA."""
    wheel.metadata = metadata.encode()
    return wheel


def written(path: str, nixpkgs: Nixpkgs | None, *, for_nixpkgs: bool = True) -> Expression:
    """Write an expression with the shipped tables."""
    return build_expression(
        [describe_wheel(path)], nixpkgs=nixpkgs,
        for_nixpkgs=for_nixpkgs,
    )  # fmt: skip


@pytest.mark.parametrize("for_nixpkgs", [True, False])
def test_a_plugin_without_its_library(for_nixpkgs: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """The line that leaves it out is written, and no input; who reads no comments is told, too."""
    gone = replace(WHOLE, unusable={"pkgs.firebird": "'firebird' has been removed"})
    which = "<nixpkgs>" if for_nixpkgs else "this nixpkgs"
    for at_hand, why in ((WHOLE, "it is not there"), (gone, "'firebird' has been removed")):
        found = written(made(tmp_path), at_hand, for_nixpkgs=for_nixpkgs)
        said = f"Not to be had of {which} ({why}): firebird (libfbclient.so.2)."
        assert found.lacking == (said,)
        assert f"  # {said}\n" in found.text.replace("\n  # (", " (")
        assert '\n  manylinuxIgnoreMissingDeps = [ "libfbclient.so.2" ];\n' in found.text
        zstd = "zstd" if for_nixpkgs else "pkgs.zstd"
        assert f"  buildInputs = [ {zstd} ];\n" in found.text
        assert "  firebird" not in found.text
        assert {"pkgs.firebird", "pkgs.zstd"} <= {*found.named}
    # As nixpkgs' own tables have it where none is at hand.
    assert "    firebird\n" in written(made(tmp_path), None, for_nixpkgs=for_nixpkgs).text


def test_a_module_without_its_library(tmp_path: Path) -> None:
    """What has to load stops the build: no line ignores it, and the text says what helps."""
    files = {
        "demo/__init__.py": b"",
        "demo/fast.cpython-311-x86_64-linux-gnu.so": tiny_library("fast.so", "libfbclient.so.2"),
    }
    found = written(made(tmp_path, files), WHOLE)
    assert found.lacking[0].endswith("(it is not there): firebird (libfbclient.so.2).")
    assert "buildInputs = " not in found.text
    assert '\n  # manylinuxIgnoreMissingDeps = [ "libfbclient.so.2" ];\n' in found.text
    assert "The build stops until" in found.text.replace("\n  # ", " ")


def test_another_of_several(tmp_path: Path) -> None:
    """Of files for several FFmpegs the one is kept that nixpkgs has one for."""
    files = {
        f"demo/libcore{number}.so": tiny_library(f"libcore{number}.so", f"libavcodec.so.{version}")
        for number, version in ((7, 61), (8, 62))
    }
    path = made(tmp_path, files)
    assert "  buildInputs = [ ffmpeg_8 ];\n" in written(path, None).text
    assert "  buildInputs = [ ffmpeg_7 ];\n" in written(path, WHOLE).text
    # Of none it is the one that others have, and not what nobody has.
    none = replace(WHOLE, attributes=MANY)
    files["demo/libcore3.so"] = tiny_library("libcore3.so", "libavcodec.so.57")
    text = written(made(tmp_path, files), none).text
    assert "Kept: libcore8.so.\n" in text
    # One of them loads: what that needs is not ignored.
    assert '\n  # manylinuxIgnoreMissingDeps = [ "libavcodec.so.62" ];\n' in text


def test_python_packages(tmp_path: Path) -> None:
    """What is required stays, and is told; an extra's package that isn't there is left out."""
    headers = (
        "Provides-Extra: more\nRequires-Dist: numpy\nRequires-Dist: scipy\n"
        "Requires-Dist: gdown; extra == 'more'"
    )
    found = written(made(tmp_path, headers=headers), WHOLE)
    assert "  dependencies = [\n    numpy\n    scipy\n  ];\n" in found.text
    assert found.absent == {"scipy": ""}
    assert "gdown" not in found.text
    assert "Not in <nixpkgs>, and only for extras: gdown." in every_note(found)


@pytest.mark.parametrize("for_nixpkgs", [True, False])
def test_versions(for_nixpkgs: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """What that nixpkgs has is held against METADATA; what isn't known is left to the author."""
    names = ("numpy", "pillow", "scipy", "torch", "six")
    versions = {
        "numpy": "2.3.1",
        "pillow": "12.0.0",
        "six": "1-unstable-2026-01-01",
        "torch": "2.9",
    }
    at_hand = replace(
        WHOLE, packages=frozenset(names),
        versions={f"python.pkgs.{name}": version for name, version in versions.items()},
    )  # fmt: skip
    required = ("numpy<2", "pillow>=5,!=8.3.*", "scipy>=1", "six>=1", "torch; extra == 'x'")
    headers = "".join(f"Requires-Dist: {each}\n" for each in required)
    path = made(tmp_path, headers=f"{headers}Provides-Extra: x")
    found = written(path, at_hand, for_nixpkgs=for_nixpkgs)
    which = "<nixpkgs>" if for_nixpkgs else "this nixpkgs"
    wrong = f"METADATA wants numpy<2, and {which} has 2.3.1."
    assert (wrong in found.lacking) == (not for_nixpkgs)
    assert (f"  # {wrong}\n" in found.text) == (not for_nixpkgs)
    to_check = (
        "METADATA wants scipy>=1, six>=1: hold nixpkgs' versions against that, as"
        " pythonRuntimeDepsCheckHook does for what nixpkgs builds"
    )
    told = [wrong, to_check, "pillow 12.0.0 of <nixpkgs>: as METADATA wants them"]
    notes = [note for note in every_note(found) if "METADATA wants" in note]
    assert notes == (told if for_nixpkgs else [])


def test_a_part_of_nixpkgs_is_not_believed(tmp_path: Path) -> None:
    """A set of a few packages says nothing of nixpkgs: the text is whole, and that is told."""
    path = made(tmp_path, headers="Requires-Dist: numpy\nRequires-Dist: scipy")
    known = "packages are named as nixpkgs had them in"
    found = written(path, replace(PART, unusable={"pkgs.zstd": "it is null there"}))
    assert found.text == written(path, None).text
    assert not found.lacking
    assert not found.absent
    (note,) = (note for note in every_note(found) if known in note)
    assert "(2 names at its top), and lacks scipy, firebird, zstd" in note
    (note,) = (note for note in every_note(written(path, None)) if known in note)
    assert note.endswith(": there is no <nixpkgs> to ask")
    assert not any(known in note for note in every_note(written(path, WHOLE)))
    # Outside of nixpkgs it is the one to build with.
    assert "firebird" in written(path, PART, for_nixpkgs=False).lacking[0]


def test_it_is_asked_until_nothing_is_new(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All names at once, what is named in place of others, too; and no name twice."""
    whole = replace(WHOLE, attributes=WHOLE.attributes | {"firebird"})
    asked: list[set[str]] = []

    def find(nixpkgs: Nixpkgs, names: Iterable[str], *_: object) -> Nixpkgs:
        asked.append({*names})
        found = {n: "refusing to evaluate" for n in asked[-1] if n == "pkgs.firebird"}
        return replace(nixpkgs, unusable={**nixpkgs.unusable, **found})

    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: whole)
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.look_into", find)
    assert main(["expr", "--for-nixpkgs", made(tmp_path)]) == 0
    said = capsys.readouterr()
    (first,) = asked
    assert {"pkgs.firebird", "pkgs.zstd"} <= first
    told = "Not to be had of <nixpkgs> (refusing to evaluate): firebird (libfbclient.so.2)."
    assert f"warning: {told}" in said.err.replace("\n", " ")
    assert "  buildInputs = [ zstd ];\n" in said.out


def test_how_it_is_asked() -> None:
    """By the new name or the old one; of what is unfree, whether it is there."""
    found = {soname: asked_as(suggest(soname)) for soname in (
        "libz.so.1", "libX11.so.6", "libkrb5.so.3", "libcublas.so.12", "libstdc++.so.6"
    )}  # fmt: skip
    assert found == {
        "libz.so.1": "pkgs.zlib",
        "libX11.so.6": "pkgs.libx11 or pkgs.xorg.libX11",
        "libkrb5.so.3": "pkgs.krb5",
        "libcublas.so.12": "pkgs ? cudaPackages_12.libcublas",
        "libstdc++.so.6": "pkgs.stdenv.cc.cc",
    }
    older = replace(WHOLE, attributes=MANY | {"unixODBC"})
    assert older.why_not(suggest("libodbc.so.2")) == "it is not there, but unixODBC is"
    unfree = suggest("libcublas.so.12")
    assert WHOLE.why_not(unfree) == "it is not there"
    assert not replace(WHOLE, attributes=MANY | {"cudaPackages_12"}).why_not(unfree)

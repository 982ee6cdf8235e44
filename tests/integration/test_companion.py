"""A wheel beside what was installed from it is linked as it would be by itself, byte for byte."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import ElfBuilder
from tests.support.layouts import LAYOUTS, SITE, TAG, layouts
from tests.support.trees import snapshot
from tests.support.wheels import MadeWheel

from nix_manylinux import LibraryIndex, Target, Unresolved, patch_wheel, patch_wheel_tree
from nix_manylinux.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = Target.from_interpreter(sys.executable)
EPOCH = 315532800


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> ElfBuilder:
    """Build each file once for all tests."""
    return ElfBuilder(tmp_path_factory.mktemp("companion-elf"))


@pytest.fixture(scope="session")
def libraries(files: ElfBuilder, tmp_path_factory: pytest.TempPathFactory) -> LibraryIndex:
    """Give a library directory with what the extension needs."""
    folder = tmp_path_factory.mktemp("companion-store") / "lib"
    folder.mkdir()
    shutil.copy(files.library("libneeded.so.1", soname="libneeded.so.1"), folder)
    return LibraryIndex.from_directories([folder])


@pytest.fixture(scope="session")
def extension(files: ElfBuilder) -> bytes:
    """Give a library that has to be linked."""
    return files.library("ext.so", needed=["libneeded.so.1"]).read_bytes()


def installed(wheel: str, prefix: Path) -> str:
    """Install a wheel, and put it beside, as a build's `dist` output has it; give its path."""
    words = [sys.executable, "-W", "ignore", "-m", "installer", "--prefix", str(prefix)]
    subprocess.run([*words, "--no-compile-bytecode", wheel], check=True)
    dist = prefix.with_name("dist")
    dist.mkdir()
    return shutil.copy(wheel, str(dist))


def both(wheel: str, prefix: Path, libraries: LibraryIndex) -> tuple[bytes, bytes]:
    """Patch a wheel beside its tree, and by itself."""
    beside = prefix.with_name("dist") / os.path.basename(wheel)
    alone = patch_wheel(
        wheel,
        output_dir=prefix.with_name("o"),
        target=TARGET,
        libraries=libraries,
        source_date_epoch=EPOCH,
    )
    patch_wheel_tree(
        [prefix, beside.parent],
        target=TARGET,
        libraries=libraries,
        wheels=[beside],
        source_date_epoch=EPOCH,
        sync=False,
    )
    assert os.listdir(beside.parent) == [beside.name]
    return beside.read_bytes(), Path(alone.path).read_bytes()


@pytest.mark.parametrize("number", range(LAYOUTS))
def test_every_layout(
    number: int, extension: bytes, libraries: LibraryIndex, tmp_path: Path
) -> None:
    """Whatever is where in the prefix, the wheel is what it is by itself."""
    wheel = layouts(extension)[number].write(tmp_path)
    installed(wheel, tmp_path / "prefix")
    beside, alone = both(wheel, tmp_path / "prefix", libraries)
    assert beside == alone


def _stripped(prefix: Path) -> None:
    with (prefix / SITE / "made/ext.so").open("ab") as file:
        file.write(b"more")


def _moved(prefix: Path) -> None:
    (prefix / "lib2").mkdir()
    (prefix / SITE / "made/ext.so").rename(prefix / "lib2/ext.so")


def _linked(prefix: Path) -> None:
    _moved(prefix)
    (prefix / SITE / "made/ext.so").symlink_to(prefix / "lib2/ext.so")


def _swapped(prefix: Path) -> None:
    shutil.copy(prefix / SITE / "made/other.so", prefix / SITE / "made/ext.so")


def _gone(prefix: Path) -> None:
    shutil.rmtree(prefix / SITE / "made-1.0.dist-info")


def _sibling(prefix: Path) -> None:
    """Give the tree a library of that name itself, which the wheel has not."""
    shutil.copy(prefix / SITE / "made/other.so", prefix / SITE / "made/libneeded.so.1")


@pytest.mark.parametrize("change", [_stripped, _moved, _linked, _swapped, _gone, _sibling])
def test_the_tree_has_changed(
    change: Callable[[Path], None],
    files: ElfBuilder,
    extension: bytes,
    libraries: LibraryIndex,
    tmp_path: Path,
) -> None:
    """What fixups did to the tree never reaches the wheel."""
    other = files.library("other.so", soname="libneeded.so.1").read_bytes()
    twin = {"made/ext.so": extension, "made/twin.so": extension, "made/other.so": other}
    wheel = MadeWheel(tag=TAG, files=twin).write(tmp_path)
    installed(wheel, tmp_path / "prefix")
    change(tmp_path / "prefix")
    beside, alone = both(wheel, tmp_path / "prefix", libraries)
    assert beside == alone


def test_what_the_build_has_removed(
    files: ElfBuilder, extension: bytes, libraries: LibraryIndex, tmp_path: Path
) -> None:
    """What can't load, and isn't installed any more, keeps no wheel from being linked."""
    lacking = files.library("lacking.so", needed=["libnowhere.so.1", "libneeded.so.1"])
    contents = {"made/ext.so": extension, "made/lacking.so": lacking.read_bytes()}
    wheel = MadeWheel(tag=TAG, files=contents).write(tmp_path)
    installed(wheel, tmp_path / "prefix")
    dist = tmp_path / "dist" / os.path.basename(wheel)
    with pytest.raises(Unresolved):
        patch_wheel_tree([tmp_path / "prefix"], target=TARGET, libraries=libraries, wheels=[dist])
    (tmp_path / "prefix" / SITE / "made/lacking.so").unlink()
    patch_wheel_tree([tmp_path / "prefix"], target=TARGET, libraries=libraries, wheels=[dist])
    with zipfile.ZipFile(dist) as archive:
        linked = [name for name in contents if archive.read(name) != contents[name]]
    assert "made/ext.so" in linked


def test_on_another_file_system(
    extension: bytes,
    libraries: LibraryIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a file can have no other name it is copied."""
    link = os.link

    def refuse(source: str, target: str, **given: bool) -> None:
        if "/dist/" in target:
            raise OSError(18, "Invalid cross-device link")
        link(source, target, **given)

    wheel = layouts(extension)[3].write(tmp_path)
    installed(wheel, tmp_path / "prefix")
    monkeypatch.setattr(os, "link", refuse)
    beside, alone = both(wheel, tmp_path / "prefix", libraries)
    assert beside == alone


def test_all_or_nothing(extension: bytes, tmp_path: Path) -> None:
    """Where the wheel is refused the tree stays as it was; the other way round too."""
    made = {"made/ext.so": extension, "made/lost/ext.so": extension}
    wheel = MadeWheel(tag=TAG, files=made).write(tmp_path)
    prefix = tmp_path / "prefix"
    beside = Path(installed(wheel, prefix))
    before = snapshot(tmp_path)
    with pytest.raises(Unresolved):
        patch_wheel_tree(
            prefix, wheels=[beside], target=TARGET, libraries=LibraryIndex.from_directories([])
        )
    assert snapshot(tmp_path) == before
    damaged = bytearray(beside.read_bytes())
    damaged[200] ^= 0xFF
    beside.write_bytes(damaged)
    os.unlink(prefix / SITE / "made/ext.so")
    os.unlink(prefix / SITE / "made/lost/ext.so")
    before = snapshot(tmp_path)
    words = ["patch", str(prefix), "--dist", str(beside), "--python", sys.executable, "-q"]
    assert main(words) == 1
    assert snapshot(tmp_path) == before

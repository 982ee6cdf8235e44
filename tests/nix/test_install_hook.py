"""manylinuxInstallHook against nixpkgs' own hook: every byte of every output."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import ElfBuilder
from tests.support.layouts import LAYOUTS, layouts

from nix_manylinux.base.digest import encode_digest, new_hash

if TYPE_CHECKING:
    from tests.support.rings import Nix

pytestmark = pytest.mark.nix


@pytest.fixture(scope="session")
def wheels(nix: Nix, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give a folder with a folder for each layout, its wheel in it."""
    root = tmp_path_factory.mktemp("layouts")
    builder = ElfBuilder(root / "elf")
    extension = builder.library("ext.so", needed=["libnest.so.1"]).read_bytes()
    tag = f"cp{nix.python.removeprefix('python').replace('.', '')}-none-linux_x86_64"
    for number, made in enumerate(layouts(extension, tag)):
        folder = root / "wheels" / str(number)
        folder.mkdir(parents=True)
        made.write(folder)
    return str(root / "wheels")


def contents(root: Path) -> dict[str, tuple[int, bytes]]:
    """Read all files; the output's own name is replaced, and RECORD held against the files."""
    own = os.path.basename(root).encode()
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.name != "RECORD":
            data = path.read_bytes().replace(own[:32], b"o" * 32)
            found[str(path.relative_to(root))] = (path.stat().st_mode, data)
        elif path.name == "RECORD":
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))
            for name, digest, size in rows:
                if digest:
                    data = (path.parents[1] / name).read_bytes()
                    state = new_hash("sha256")
                    state.update(data)
                    assert (digest, size) == (
                        encode_digest("sha256", state.digest()),
                        str(len(data)),
                    )
            # Wrapped programs name the output, so that their hashes differ.
            listed = "\n".join(name for name, _, _ in rows)
            found[str(path.relative_to(root))] = (path.stat().st_mode, listed.encode())
    return found


def test_every_byte_is_the_same(nix: Nix, wheels: str) -> None:
    """What nixpkgs' install phase and a patch give, bytecode included, on one core as on many."""
    built = Path(nix.build("install.all", realWheels=wheels).path)
    compiled = 0
    for number in range(LAYOUTS):
        for output in ("", "-dist"):
            theirs = contents((built / f"{number}-theirs{output}").resolve())
            assert theirs
            for way in ("ours", "single"):
                ours = contents((built / f"{number}-{way}{output}").resolve())
                assert ours.keys() == theirs.keys(), f"layout {number}, {way}"
                differ = [name for name, value in ours.items() if value != theirs[name]]
                assert differ == [], f"layout {number}, {way}"
            compiled += sum(name.endswith(".pyc") for name in theirs)
    assert compiled > 2 * LAYOUTS


def test_what_the_package_does_itself(nix: Nix, wheels: str) -> None:
    """Its installPhase is its own; preInstall and postInstall run, and RECORD is true."""
    own = Path(nix.build("install.ownPhase", realWheels=wheels).path)
    assert [path.suffix for path in own.iterdir() if path.is_file()] == [".whl"]
    hooks = Path(nix.build("install.hooks", realWheels=wheels).path)
    assert (hooks / "order").read_text() == "before\nafter\n"
    (module,) = hooks.glob("lib/*/site-packages/made/__init__.py")
    assert "added = 1" in module.read_text()
    assert contents(hooks)


def test_alone(nix: Nix, wheels: str) -> None:
    """Without the fixup hook the files are as the wheel has them."""
    alone = Path(nix.build("install.alone", realWheels=wheels).path)
    (extension,) = alone.glob("lib/*/site-packages/made/ext.so")
    assert b"-nest-1" not in extension.read_bytes()


def test_in_any_derivation(nix: Nix, wheels: str) -> None:
    """`manylinuxInstallWheel` takes a wheel as the store has it, for the Python of the inputs."""
    plain = Path(nix.build("install.plain", realWheels=wheels).path)
    (extension,) = plain.glob("lib/*/site-packages/made/ext.so")
    assert b"-nest-1" in extension.read_bytes()
    assert list(plain.rglob("*.opt-1.pyc"))
    assert contents(plain)
    log = nix.fails("install.withoutPython", realWheels=wheels)
    assert "no Python among the build inputs" in log


@pytest.mark.parametrize("case", ["noBytecode", "structured"])
def test_flags(nix: Nix, wheels: str, case: str) -> None:
    """`manylinuxInstallFlags` reach the command."""
    built = Path(nix.build(f"install.{case}", realWheels=wheels).path)
    assert list(built.rglob("*.py"))
    assert not list(built.rglob("*.pyc"))

"""RECORD by value: odd spellings are taken and written right, and RECORDs inside of RECORDs."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from installer.sources import WheelFile
from tests.support.elf import ElfBuilder
from tests.support.trees import snapshot
from tests.support.wheels import MadeWheel, row

from nix_manylinux import (
    BadWheel,
    LibraryIndex,
    Target,
    install_wheel,
    patch_wheel,
    patch_wheel_tree,
)
from nix_manylinux.base.digest import encode_digest

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = Target.from_interpreter(sys.executable)
NOTHING = LibraryIndex.from_directories([])
OWN = "made-1.0.dist-info/RECORD"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give a library that a patch changes: its search path leads nowhere."""
    files = ElfBuilder(tmp_path_factory.mktemp("records"))
    return files.library("ext.so", runpath="/nowhere").read_bytes()


def each(change: Callable[[str, str, str], str]) -> Callable[[str], str]:
    """Change every row but RECORD's own."""

    def changed(text: str) -> str:
        rows = [line.split(",") for line in text.splitlines()]
        return "".join(
            f"{change(*fields) if fields[0] != OWN else ','.join(fields)}\n" for fields in rows
        )

    return changed


def standard(path: str, hash_: str, size: str) -> str:
    """Spell a digest in the standard alphabet, with padding."""
    return f"{path},{hash_.translate(str.maketrans('-_', '+/'))}=,{size}"


def only(name: str, text: str) -> Callable[[str, str, str], str]:
    """Put something else in the place of one row."""
    return lambda *fields: text if fields[0] == name else ",".join(fields)


def hashed(name: str, algorithm: str, data: bytes = b"y = 2\n") -> str:
    """Write a row of another algorithm than SHA-256."""
    return f"{name},{encode_digest(algorithm, hashlib.new(algorithm, data).digest())},6\n"


B = "made/b.py"
TAKEN = {
    "padded": each(lambda path, hash_, size: f"{path},{hash_}=,{size}"),
    "standard alphabet": each(standard),
    "capitals": each(lambda path, hash_, size: f"{path},{hash_.replace('sha', 'SHA')},{size}"),
    "dot slash": each(lambda *fields: "./" + ",".join(fields)),
    "backslashes": each(lambda path, *rest: ",".join([path.replace("/", "\\"), *rest])),
    "mark": lambda text: "\ufeff" + text,
    "twice": lambda text: text.splitlines(keepends=True)[0] + text,
    "no own row": lambda text: text.replace(f"{OWN},,\n", ""),
    "no size": each(lambda path, hash_, _size: f"{path},{hash_},"),
    "no hash": each(only(B, f"{B},,")),
    "no row": lambda text: "".join(
        line for line in text.splitlines(keepends=True) if not line.startswith(B)
    ),
    "row of nothing": lambda text: row("made/gone.py", b"x") + "\n" + text,
    "row outside": lambda text: row("../x", b"x") + "\n" + text,
    "row of a folder": lambda text: f"made/,,\n{text}",
    "steps to and fro": each(lambda *fields: "made/.././/" + ",".join(fields)),
    "digits that don't count": each(lambda path, hash_, size: f"{path},{hash_},+0{size}"),
    "two algorithms": lambda text: hashed(B, "sha512") + text,
    "twice, once empty": lambda text: f"{B},,\n{text}",
    "hash of itself": lambda text: text.replace(f"{OWN},,", row(OWN, b"x")),
}
REFUSED = {
    "wrong digest": (each(only(B, f"{B},sha256={'A' * 43},6")), "does not have the hash"),
    "wrong padded digest": (each(only(B, f"{B},sha256={'A' * 43}=,6")), "does not have the hash"),
    "two that differ": (lambda text: row(B, b"y = 3\n") + f"\n{text}", "different hashes"),
    "two algorithms that differ": (
        lambda text: text + hashed(B, "sha512", b"y = 3\n"),
        "different hashes",
    ),
    "no digest": (each(only(B, f"{B},sha256=nonsense,6")), "does not have the hash"),
    "wrong size": (each(only(B, row(B, b"y = 2\n").replace(",6", ",99"))), "99 by RECORD"),
    "weak hash": (each(only(B, f"{B},md5=AAAAAAAAAAAAAAAAAAAAAA,6")), "hashed by md5"),
}


def made(library: bytes, change: Callable[[str], str] = str) -> MadeWheel:
    """Make a wheel with an odd RECORD."""
    files = {"made/__init__.py": b"x = 1\n", B: b"y = 2\n", "made/ext.so": library}
    wheel = MadeWheel(tag="py3-none-linux_x86_64", files=files)
    wheel.record = change(wheel.contents()[OWN].decode())
    return wheel


@pytest.mark.parametrize("edited", [True, False], ids=["edited", "nothing to edit"])
@pytest.mark.parametrize("kind", TAKEN)
def test_what_installers_take(kind: str, edited: bool, library: bytes, tmp_path: Path) -> None:  # noqa: FBT001
    """It is patched, the output's RECORD is in normal form, and a second patch changes nothing."""
    wheel = made(library if edited else b"no library", TAKEN[kind]).write(tmp_path)
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target"]
    subprocess.run([*command, tmp_path / "pip", wheel], check=True)
    done = patch_wheel(wheel, output_dir=tmp_path / "out", target=TARGET, libraries=NOTHING)
    with WheelFile.open(Path(done.path)) as source:
        source.validate_record(validate_contents=True)
    assert bool(done.report.warnings) == (kind in {"no row", "row of nothing", "row outside"})
    again = patch_wheel(done.path, output_dir=tmp_path / "again", target=TARGET, libraries=NOTHING)
    assert again.sha256 == done.sha256


@pytest.mark.parametrize("kind", TAKEN)
def test_what_installers_leave_in_a_tree(kind: str, library: bytes, tmp_path: Path) -> None:
    """Pip copies odd rows, and adds rows of its own beside those it doesn't know again.

    Afterwards there is one true row in normal form for each file. What is only spelt
    otherwise is not told as stale.
    """
    wheel = made(library, TAKEN[kind]).write(tmp_path)
    tree = tmp_path / "tree"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*command, "--no-compile", "--target", tree, wheel], check=True)
    report = patch_wheel_tree(tree, target=TARGET, libraries=NOTHING)
    rows = list(csv.reader((tree / OWN).read_text().splitlines()))
    rows = [fields for fields in rows if not fields[0].startswith("../") and fields[0] != "made/"]
    files = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert sorted(fields[0] for fields in rows) == sorted(files)
    assert stale(tree) == []
    assert report.stale_rows == (kind == "hash of itself")
    before = snapshot(tree)
    patch_wheel_tree(tree, target=TARGET, libraries=NOTHING)
    assert snapshot(tree) == before


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_true(kind: str, library: bytes, tmp_path: Path) -> None:
    """A claim that isn't true stays refused, and nothing is written."""
    change, error = REFUSED[kind]
    wheel = made(library, change).write(tmp_path)
    with pytest.raises(BadWheel, match=error):
        patch_wheel(wheel, output_dir=tmp_path / "out", target=TARGET, libraries=NOTHING)
    assert not list(tmp_path.glob("out/*"))


def nested(library: bytes, extra: str = "") -> MadeWheel:
    """Make a wheel that carries a distribution, RECORD and all, which carries another one."""
    deep = {"ext.so": library, "deep-1.dist-info/METADATA": b"Name: deep\nVersion: 1\n"}
    deep["deep-1.dist-info/RECORD"] = listing(deep, "deep-1.dist-info/RECORD")
    inner = {**{f"sub/{name}": data for name, data in deep.items()}, "other.so": library}
    inner["inner-1.dist-info/METADATA"] = b"Name: inner\nVersion: 1\n"
    inner["inner-1.dist-info/RECORD"] = listing(inner, "inner-1.dist-info/RECORD", extra)
    files = {f"made/vendor/{name}": data for name, data in inner.items()}
    return MadeWheel(tag="py3-none-linux_x86_64", files=files)


def listing(files: dict[str, bytes], own: str, extra: str = "") -> bytes:
    """Write a RECORD."""
    rows = "".join(row(name, data) + "\n" for name, data in files.items())
    return f"{rows}{extra}{own},,\n".encode()


def stale(root: Path) -> list[str]:
    """List the rows of all RECORDs below a folder that aren't true."""
    wrong = []
    for record in sorted(root.rglob("*.dist-info/RECORD")):
        with record.open(newline="") as file:
            for path, hash_, size in csv.reader(file):
                if not hash_ or path.startswith("../"):
                    continue
                data = (record.parent.parent / path).read_bytes()
                digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
                if hash_ != f"sha256={digest.decode()}" or size not in {"", str(len(data))}:
                    wrong.append(f"{record.relative_to(root)}: {path}")
    return wrong


@pytest.mark.parametrize("extra", ["", "sub/__pycache__/x.cpython-311.pyc,,\n"])
def test_records_in_records(extra: str, library: bytes, tmp_path: Path) -> None:
    """Innermost first, so that all are true after one patch: as tree, as wheel, installed."""
    wheel = nested(library, extra).write(tmp_path)
    tree = tmp_path / "tree"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tree)
    assert stale(tree) == []
    report = patch_wheel_tree(tree, target=TARGET, libraries=NOTHING)
    assert len(report.edits) == 2
    assert stale(tree) == []
    before = snapshot(tree)
    patch_wheel_tree(tree, target=TARGET, libraries=NOTHING)
    assert snapshot(tree) == before

    done = patch_wheel(wheel, output_dir=tmp_path / "out", target=TARGET, libraries=NOTHING)
    with zipfile.ZipFile(done.path) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert stale(tmp_path / "unpacked") == []
    again = patch_wheel(done.path, output_dir=tmp_path / "again", target=TARGET, libraries=NOTHING)
    assert again.sha256 == done.sha256

    install_wheel(
        wheel, prefix=tmp_path / "prefix", target=TARGET, libraries=NOTHING,
        compile_levels=(), environment=dict(os.environ),
    )  # fmt: skip
    assert stale(tmp_path / "prefix") == []


@pytest.mark.parametrize("text", ["no RECORD at all", "made/gone.py,sha256=x,1\n", "\0"])
def test_a_record_that_is_data(text: str, library: bytes, tmp_path: Path) -> None:
    """What a distribution carries as a file, a test's say, is no business of a patch."""
    inner = "made/tests/data/x-1.dist-info/RECORD"
    wheel = MadeWheel(tag="py3-none-linux_x86_64", files={inner: text.encode(), "e.so": library})
    path = wheel.write(tmp_path)
    tree = tmp_path / "tree"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tree)
    report = patch_wheel_tree(tree, target=TARGET, libraries=NOTHING)
    assert (len(report.edits), report.stale_rows, report.dropped_rows) == (1, 0, 0)
    assert (tree / inner).read_text() == text
    done = patch_wheel(path, output_dir=tmp_path / "out", target=TARGET, libraries=NOTHING)
    with zipfile.ZipFile(done.path) as archive:
        assert archive.read(inner).decode() == text

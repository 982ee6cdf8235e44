"""Real wheels: opened without a complaint, and written again so that installers take them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.support.trees import plan_all, snapshot
from tests.wheels import corpus

from nix_manylinux.base.errors import BadTree
from nix_manylinux.tree.scan import scan_tree
from nix_manylinux.wheel.open import FLOATING, open_wheel
from nix_manylinux.wheel.record import hash_descriptor, parse_record
from nix_manylinux.wheel.rewrite import REFERENCES, write_wheel
from nix_manylinux.write.apply import apply_plan

if TYPE_CHECKING:
    from pathlib import Path

SMALL = [
    "packaging-26.3",
    "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64",
    "numpy-1.17.3",
    "ninja-",
    "psycopg2_binary",
    "tbb-",
    "cffi-2.1.1-cp311-cp311-manylinux2014_s390x",
]


def read(path: str, into: Path) -> int:
    """Open, unpack and scan one wheel; give the number of its ELF files."""
    with open_wheel(path) as wheel:
        unpacked = wheel.unpack(str(into))
        members = {member.name for member in wheel.members}
    facts = scan_tree(str(into), labels=unpacked.labels, floating=FLOATING)
    assert {file.label for file in facts.files} <= members
    assert len(facts.distributions) == 1
    return len(facts.files)


def elf_members(path: str) -> int:
    """Count the members that begin as ELF files do, by another reader."""
    count = 0
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                count += member.read(4) == b"\x7fELF"
    return count


@pytest.mark.wheels
@pytest.mark.parametrize("name", SMALL)
def test_real_wheels_open(name: str, tmp_path: Path) -> None:
    """A real wheel is right, and no ELF file of it is missed."""
    path = corpus.wheel(name)
    assert read(path, tmp_path) == elf_members(path)


@pytest.mark.wheels
@pytest.mark.asked_for("NIX_MANYLINUX_LOAD")
@pytest.mark.parametrize("name", sorted(corpus.entries()))
def test_every_wheel_of_the_list_opens(name: str, tmp_path: Path) -> None:
    """So is every wheel of the list, of up to 19,540 members."""
    path = corpus.wheel(name)
    assert read(path, tmp_path) == elf_members(path)
    shutil.rmtree(tmp_path)  # pytest would keep 7 GB until the last test


@pytest.mark.wheels
@pytest.mark.parametrize("name", ["psycopg2_binary", "ninja-"])
def test_a_written_wheel_installs(name: str, tmp_path: Path) -> None:
    """With a member exchanged and one added, pip and `installer` install what we wrote."""
    path = corpus.wheel(name)
    (tmp_path / "out").mkdir()
    with open_wheel(path) as wheel:
        unpacked = wheel.unpack(str(tmp_path / "tree"))
        place, member = min((p, m) for p, m in unpacked.labels.items() if "METADATA" not in m)
        file = tmp_path / "tree" / place
        with file.open("ab") as stream:
            stream.write(b"\0")
        output = str(tmp_path / "out" / wheel.file_name)
        extra = {f"{wheel.dist_info}/{REFERENCES}": b"/nix/store/x\n"}
        write_wheel(wheel, {member: str(file)}, output_path=output, extra=extra)
    # Unchanged members are the bytes they were: only the stored ones weigh more.
    with zipfile.ZipFile(output) as archive:
        assert {
            i.filename for i in archive.infolist() if i.compress_type == zipfile.ZIP_STORED
        } == {
            i.filename
            for i in archive.infolist()
            if i.filename.endswith(("/", "/RECORD", REFERENCES)) or i.filename == member
        }
    python = sys.executable
    by_installer = [python, "-m", "installer", "--validate-record", "all", "--no-compile-bytecode"]
    by_installer += ["--destdir", str(tmp_path / "installer")]
    by_pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--no-index"]
    by_pip += ["--disable-pip-version-check", "--target", str(tmp_path / "pip")]
    by_pip += ["--python-version", "3.11"]  # the wheel's, whatever runs this test
    for command in (by_installer, by_pip):
        subprocess.run([*command, output], check=True)
    for top in ("installer", "pip"):
        named = (tmp_path / top).rglob(os.path.basename(member))
        (found,) = (path for path in named if path.is_file())
        assert found.read_bytes() == file.read_bytes()


@pytest.mark.wheels
@pytest.mark.parametrize("name", ["psycopg2_binary", "ninja-"])
def test_an_installed_tree(name: str, tmp_path: Path) -> None:
    """Installed by `installer`, edited by our own writer: RECORD is true; again is no change."""
    command = [sys.executable, "-m", "installer", "--no-compile-bytecode", "--destdir"]
    subprocess.run([*command, str(tmp_path), corpus.wheel(name)], check=True)
    plan = plan_all(tmp_path)
    with apply_plan(plan) as applied:
        assert [edit.label for edit in applied.edits] == [file.file.path for file in plan.files]
    assert applied.edits
    (record,) = tmp_path.rglob("RECORD")
    rows = parse_record(record.read_bytes(), error=BadTree, where="RECORD").rows
    files = {os.path.normpath(record.parent.parent / row.path): row for row in rows}
    assert {str(path) for path in tmp_path.rglob("*") if path.is_file()} == files.keys()
    for path, row in files.items():
        if row.hash:
            with open(path, "rb") as file:
                hash_, size = hash_descriptor(file.fileno())
            assert (row.hash, row.size) == (hash_, str(size)), path
    before = snapshot(tmp_path)
    with apply_plan(plan_all(tmp_path)) as again:
        assert (again.edits, again.stale_rows, again.dropped_rows) == ((), 0, 0)
    assert snapshot(tmp_path) == before

"""What is written is held against what was meant: every way to differ is an error, and no wheel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.modules import EXT, Workshop, wheel_of
from tests.support.wheels import MadeWheel, row, tiny_library

import nix_manylinux as nm
from nix_manylinux.base.errors import BadWheel, EditFailed
from nix_manylinux.base.files import PIECE
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.repair.edits import Editor
from nix_manylinux.wheel.archive.write import fill
from nix_manylinux.wheel.compare import hold
from nix_manylinux.wheel.open import open_wheel
from nix_manylinux.wheel.rewrite import write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

NESTED = "made/inner-1.0.dist-info/RECORD"
FILES = {
    "made/__init__.py": b"x = 1\n" * 99,
    "made/data": bytes(range(256)) * 4096,
    "made/_ext.so": tiny_library(),
    NESTED: b"x.py,,\n",
}
INFO = "made-1.0.dist-info"


def held(tmp_path: Path, new: MadeWheel, contents: dict[str, str | bytes]) -> None:
    """Hold a wheel against the one of `FILES`."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old = MadeWheel(files=FILES).write(tmp_path / "old")
    with open_wheel(old) as before, open_wheel(new.write(tmp_path / "new")) as after:
        hold(after, before, contents)


@pytest.mark.parametrize("as_file", [False, True])
def test_a_wheel_that_holds_what_it_should(tmp_path: Path, *, as_file: bool) -> None:
    """Changed and new members as they were given; RECORDs of inner distributions by RECORD."""
    given = {"made/_ext.so": b"other" * 10**5, "made.libs/new": b""}
    files = {**FILES, **given, NESTED: b"y.py,,\n"}
    contents: dict[str, str | bytes] = dict(given)
    if as_file:
        for number, (name, data) in enumerate(given.items()):
            (tmp_path / f"{number}").write_bytes(data)
            contents[name] = str(tmp_path / f"{number}")
    held(tmp_path, MadeWheel(files=files), contents)


@pytest.mark.parametrize(
    ("changes", "given", "message"),
    [
        ({"made/data": b"else"}, {}, "made/data: is not what the wheel had"),
        ({"made/new": b""}, {}, "made/new: is in one of the wheels only"),
        ({}, {"made/new": b""}, "made/new: is in one of the wheels only"),
        ({"made/data": b"else"}, {"made/data": b"elsa"}, "made/data: does not hold what"),
        ({"made/data": b"else"}, {"made/data": b"elsewhere"}, "made/data: does not hold what"),
        ({"made/data": b"else"}, {"made/data": b"els"}, "made/data: does not hold what"),
    ],
)
@pytest.mark.parametrize("as_file", [False, True])
def test_a_wheel_that_holds_something_else(
    changes: dict[str, bytes],
    given: dict[str, bytes],
    message: str,
    tmp_path: Path,
    *,
    as_file: bool,
) -> None:
    """By name, or by contents; RECORD says the same as the archive in all of these."""
    contents: dict[str, str | bytes] = dict(given)
    if as_file:
        for name, data in given.items():
            (tmp_path / "given").write_bytes(data)
            contents[name] = str(tmp_path / "given")
    with pytest.raises(BadWheel, match=message):
        held(tmp_path, MadeWheel(files={**FILES, **changes}), contents)


def test_a_wheel_that_lost_a_member(tmp_path: Path) -> None:
    """Nothing of the old one may be left out."""
    files = {name: data for name, data in FILES.items() if name != "made/data"}
    with pytest.raises(BadWheel, match="made/data: is in one of the wheels only"):
        held(tmp_path, MadeWheel(files=files), {})


def test_a_member_that_was_packed_anew(tmp_path: Path) -> None:
    """It would have to be unpacked to be known for the same."""
    with pytest.raises(BadWheel, match="is not what the wheel had"):
        held(tmp_path, MadeWheel(files=FILES, deflate=False), {})


@pytest.mark.parametrize("of", ["changed", "kept", "inner"])
def test_a_record_that_says_something_else(of: str, tmp_path: Path) -> None:
    """Of what was changed, of what was kept, of a RECORD that follows other changes."""
    member = {"changed": "made/_ext.so", "kept": "made/data", "inner": NESTED}[of]
    files = {**FILES, **({NESTED: b"y.py,,\n"} if of == "inner" else {})}
    made = MadeWheel(files=files)
    lines = made.contents()[f"{INFO}/RECORD"].decode().splitlines()
    wrong = row(member, bytes(len(files[member])))
    made.record = "".join(
        (wrong if line.startswith(f"{member},") else line) + "\n" for line in lines
    )
    contents: dict[str, str | bytes] = {member: FILES[member]} if of == "changed" else {}
    with pytest.raises(BadWheel, match=f"{member}: .*RECORD"):
        held(tmp_path, made, contents)


def test_a_record_that_lacks_something(tmp_path: Path) -> None:
    """It would be completed where the wheel is read; what we write needs no mercy."""
    made = MadeWheel(files=FILES)
    lines = made.contents()[f"{INFO}/RECORD"].decode().splitlines()
    made.record = "".join(f"{line}\n" for line in lines[1:])
    with pytest.raises(BadWheel, match="lacks something"):
        held(tmp_path, made, {})


@pytest.fixture
def wheel(tmp_path: Path) -> str:
    """Give a wheel whose module needs a library; another file of it is left alone."""
    workshop = Workshop(tmp_path / "workshop")
    module = workshop.module("one()", [workshop.library("one", "one", "1")])
    return wheel_of(module, **{"made/_other.so": tiny_library()}).write(tmp_path)


def corrupt_edit(monkeypatch: pytest.MonkeyPatch, _tmp_path: Path) -> None:
    """Leave the names of grafts out of the edits."""
    monkeypatch.setattr(Editor, "_new_names", lambda *_: ())


def corrupt_tree(monkeypatch: pytest.MonkeyPatch, _tmp_path: Path) -> None:
    """Change a file that nobody says is changed, behind the writer's back."""

    def write(*words: Any, check: Callable[[str], None], **more: Any) -> str:  # noqa: ANN401
        def late(written: str) -> None:
            folder = Path(more["scratch"]).parent
            (other,) = folder.rglob("_other.so")
            other.write_bytes(tiny_library("libelse.so.1"))
            check(written)

        return write_wheel(*words, check=late, **more)

    monkeypatch.setattr("nix_manylinux.repair.wheel.write_wheel", write)


def corrupt_copy(monkeypatch: pytest.MonkeyPatch, _tmp_path: Path) -> None:
    """Write the bytes of one member for another."""

    def wrong(source: int, target: int, pairs: Any, *rest: Any) -> Any:  # noqa: ANN401
        written = fill(source, target, pairs, *rest)
        member = written["made/_other.so"]
        os.pwrite(target, bytes(member.packed), member.data)
        return written

    monkeypatch.setattr("nix_manylinux.wheel.rewrite.fill", wrong)


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (corrupt_edit, "would not work: libone.so.1 is missing"),
        (corrupt_tree, "is not what was made: made/_other.so"),
        (corrupt_copy, "made/_other.so: is not what the wheel had"),
    ],
)
def test_a_fault_of_ours_gives_no_wheel(
    corrupt: Callable[[pytest.MonkeyPatch, Path], None],
    message: str,
    wheel: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever goes wrong on the way is found where the result is looked at."""
    output = tmp_path / "out"
    none = nm.LibraryIndex.from_directories(())
    assert nm.repair_wheel(wheel, output_dir=output, libraries=none).edited == (f"made/{EXT}",)
    os.unlink(next(output.iterdir()))
    corrupt(monkeypatch, tmp_path)
    with pytest.raises((BadWheel, EditFailed), match=message):
        nm.repair_wheel(wheel, output_dir=output, libraries=none)
    assert not os.listdir(output)


def test_edits_are_what_they_are_meant_to_be() -> None:
    """An edit without anything in it is told from one that clears the search path."""
    assert not ElfEdit()
    assert ElfEdit(search_path=())


@pytest.mark.parametrize("length", [1, PIECE - 2, PIECE, 3 * PIECE])
def test_members_with_a_mark_are_unpacked(length: int, tmp_path: Path) -> None:
    """Wherever in them it is; what is small and has none is not."""
    files = {
        "made/first": b"/nix/store/" + bytes(length),
        "made/last": bytes(length) + b"/nix/store/",
        "made/none": bytes(length),
        "made/script": b"#!/bin/sh\n" + bytes(length),
    }
    path = MadeWheel(files=files).write(tmp_path)
    with open_wheel(path) as opened:
        unpacked = opened.unpack(str(tmp_path / "tree"), marks=lambda _: [b"/nix/store/"])
    # What is larger than a piece is written before the mark can be known to be absent.
    large = {name for name in files if len(files[name]) > PIECE}
    assert unpacked.marked == {"made/first", "made/last", *large}
    there = {*unpacked.labels.values()} - {f"{INFO}/METADATA", f"{INFO}/WHEEL"}
    assert there >= {"made/first", "made/last"}
    assert there == unpacked.marked
    for place, name in unpacked.labels.items():
        if name in files:
            assert (tmp_path / "tree" / place).read_bytes() == files[name]

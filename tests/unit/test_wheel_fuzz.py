"""Wheels and RECORDs made of anything: an error of ours, or a right answer, and no file."""

from __future__ import annotations

import os
import shutil
import string
import struct
import tempfile
import zipfile
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.support.records import update_record
from tests.support.wheels import Entry, MadeWheel, Zip, tiny_library

from nix_manylinux.base.errors import BadElf, BadTree, BadWheel
from nix_manylinux.tree.scan import scan_tree
from nix_manylinux.wheel.open import open_wheel
from nix_manylinux.wheel.record import Record, parse_record

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = {
    "made/": b"",
    "made/_ext.so": tiny_library(),
    "made/data.txt": b"abc" * 20,
    "made-1.0.data/scripts/t": b"#!python\n",
}
SEEDS = [
    MadeWheel(files=FILES).encode(),
    MadeWheel(files=FILES, deflate=False, descriptor="marked").encode(),
    MadeWheel(files=FILES, zip64=True, archive=Zip(zip64_end=True)).encode(),
]
#: Where a zip's own fields are: a flipped byte of data only fails its checksum.
PLACES = [
    [
        place + offset
        for mark in (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\x08")
        for place in range(len(seed))
        if seed.startswith(mark, place)
        for offset in range(60)
        if place + offset < len(seed)
    ]
    for seed in SEEDS
]
VALUES = st.sampled_from(
    [b"\0", b"\1", b"\x7f", b"\xff", b"\0\0", b"\xff\xff", b"\0" * 4, b"\xff" * 4, b"\xff" * 8]
) | st.binary(min_size=1, max_size=8)


@st.composite
def broken_wheels(draw: Callable[[st.SearchStrategy[object]], object]) -> bytes:
    """Exchange bytes of a right wheel, mostly in its headers; cut it, or repeat a part."""
    number = draw(st.integers(0, len(SEEDS) - 1))
    assert isinstance(number, int)
    data = bytearray(SEEDS[number])
    changes = draw(st.lists(st.tuples(st.sampled_from(PLACES[number]), VALUES), max_size=4))
    assert isinstance(changes, list)
    for place, value in changes:
        data[place : place + len(value)] = value
    kind = draw(st.sampled_from(["whole", "whole", "cut", "more", "doubled", "hole"]))
    place = draw(st.integers(0, len(data)))
    assert isinstance(place, int)
    if kind == "cut":
        del data[place:]
    elif kind == "more":
        data[place:place] = b"PK\5\6" + bytes(18)
    elif kind == "doubled":
        data = bytearray(bytes(data) * 2)
    elif kind == "hole":
        del data[place : place + 4]
    return bytes(data)


def holds(data: bytes) -> bool:
    """Open, unpack and scan; whether it is a wheel. Anything but our errors escapes."""
    folder = tempfile.mkdtemp()
    try:
        path = os.path.join(folder, MadeWheel().file_name)
        with open(path, "wb") as file:
            file.write(data)
        into = os.path.join(folder, "tree")
        try:
            with open_wheel(path, max_size=2**20) as wheel:
                wheel.unpack(into)
                names = [member.name for member in wheel.members]
            scan_tree(into)
        except (BadWheel, BadElf) as error:
            assert error.where  # noqa: PT017 - an error without a place is a fault
            return False
        finally:
            assert set(os.listdir(folder)) <= {os.path.basename(path), "tree"}
        # What we take, the standard library reads alike.
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == names
    finally:
        shutil.rmtree(folder)
    return True


@settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
@given(broken_wheels())
@example(SEEDS[0])
@example(SEEDS[1])
@example(SEEDS[2])
def test_broken_wheels(data: bytes) -> None:
    """A wheel with exchanged bytes is refused, or read as zipfile reads it."""
    assert holds(data) or data not in SEEDS


NAMES = st.text(
    st.sampled_from("ab./\\\0\n\r,\"'é\u0301\u212a:" + string.ascii_uppercase[:3]), max_size=12
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(NAMES, st.integers(0, 0xFFFF)), max_size=4))
def test_hostile_names(members: list[tuple[str, int]]) -> None:
    """Whatever members are called, none is written outside the folder, and nothing breaks."""
    files = {**FILES, **{name: b"\x7fELF" for name, _ in members}}
    made = MadeWheel(files=files, modes=dict(members))
    holds(made.encode())


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200)
    | st.text(st.sampled_from('ab,"\r\n\0=/.é'), max_size=80).map(str.encode)
)
@example(b'a,sha256=x,1\r\n"b""c,\nd",,\n\n')
def test_any_record(data: bytes) -> None:
    """Any bytes are refused or give rows whose spelling adds up to what was read."""
    try:
        record = parse_record(data, error=BadTree, where="RECORD", strict=False)
    except BadTree as error:
        assert error.where == "RECORD"  # noqa: PT017
        return
    again = parse_record(record.encode(), error=BadTree, where="RECORD", strict=False)
    assert [(r.path, r.hash, r.size) for r in again.rows] == [
        (r.path, r.hash, r.size) for r in record.rows
    ]
    made = Record(rows=tuple(record.row(r.path, r.hash, r.size) for r in record.rows))
    rows = parse_record(made.encode(), error=BadTree, where="RECORD", strict=False).rows
    assert [(r.path, r.hash, r.size) for r in rows] == [
        (r.path, r.hash, r.size) for r in record.rows
    ]


ROWS = st.tuples(
    st.sampled_from(["a", "b/c", "../x", "../../y", "/etc/group", "i-1.dist-info/RECORD", "l", ""]),
    st.sampled_from(["", "sha256=x", "md5=x", "sha512=", "=", "nonsense=1"]),
    st.sampled_from(["", "0", "1", "-1", "x"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(ROWS, max_size=6))
def test_any_rows_become_true(rows: list[tuple[str, str, str]]) -> None:
    """Whatever an installed RECORD says: afterwards it is true, and a second time unchanged."""
    root = tempfile.mkdtemp()
    try:
        os.makedirs(f"{root}/tree/b")
        os.makedirs(f"{root}/tree/i-1.dist-info")
        for name in ("tree/a", "tree/b/c", "x"):
            with open(f"{root}/{name}", "w", encoding="ascii") as file:
                file.write(name)
        os.symlink("/nowhere", f"{root}/tree/l")
        path = f"{root}/tree/i-1.dist-info/RECORD"
        with open(path, "w", encoding="ascii") as file:
            file.write("".join(",".join(row) + "\n" for row in rows))
        try:
            update_record(f"{root}/tree", "i-1.dist-info")
        except BadTree:
            return
        with open(path, "rb") as file:
            after = file.read()
        assert not update_record(f"{root}/tree", "i-1.dist-info").written
        with open(path, "rb") as file:
            assert file.read() == after
        assert sorted(os.listdir(root)) == ["tree", "x"]
    finally:
        shutil.rmtree(root)


def test_entries_can_lie() -> None:
    """The builder of the seeds makes what it says: a lie in one header is in the bytes."""
    honest = Zip(entries=[Entry("a", b"abc")]).encode()
    lying = Zip(entries=[Entry("a", b"abc", size=5)]).encode()
    assert len(honest) == len(lying)
    assert struct.pack("<L", 5) in lying
    assert honest != lying

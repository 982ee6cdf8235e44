"""Wheels written again: the same bytes for the same input, and valid by everyone's reading."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import MadeWheel, row, tiny_library

from nix_manylinux.base.errors import BadWheel, WriteFailed
from nix_manylinux.wheel.archive.encode import place_members
from nix_manylinux.wheel.archive.write import Content
from nix_manylinux.wheel.open import open_wheel
from nix_manylinux.wheel.rewrite import REFERENCES, write_wheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nix_manylinux.wheel.archive.format import Member

LIBRARY = tiny_library()
NEW = LIBRARY + b"\0edited"
FILES = {
    "made/__init__.py": b"x = 1\n" * 99,
    "made/": b"",
    "made/_ext.so": LIBRARY,
    "made-1.0.data/scripts/tool": LIBRARY,
}
INFO = "made-1.0.dist-info"
REFS = {f"{INFO}/{REFERENCES}": b"/nix/store/abc-zlib\n"}


def rewrite(
    path: str,
    output: Path,
    changed: dict[str, bytes],
    *,
    extra: dict[str, bytes] | None = None,
    epoch: int | None = None,
) -> bytes:
    """Open, check and write one wheel; give the output's bytes."""
    output.mkdir(exist_ok=True)
    files = {}
    for number, (name, data) in enumerate(changed.items()):
        file = output.parent / f"changed-{number}"
        file.write_bytes(data)
        files[name] = str(file)
    with open_wheel(path) as wheel:
        wheel.extract({})
        result = str(output / wheel.file_name)
        digest = write_wheel(wheel, files, output_path=result, extra=extra, source_date_epoch=epoch)
    data = (output / wheel.file_name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == digest
    assert os.listdir(output) == [os.path.basename(result)]
    return data


def validate(path: Path) -> None:
    """Let `installer` hold every row of RECORD against the wheel."""
    from installer.sources import WheelFile

    with WheelFile.open(path) as source:
        source.validate_record(validate_contents=True)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("shape", ["plain", "record-first", "descriptor", "zip64", "stored"])
def test_exchanges_members(shape: str, line_end: str, tmp_path: Path) -> None:
    """Order, modes, times and packed bytes stay; what changed is stored; RECORD is true."""
    made = MadeWheel(
        files=FILES,
        line_end=line_end,
        record_first=shape == "record-first",
        descriptor="marked" if shape == "descriptor" else "",
        zip64=shape == "zip64",
        deflate=shape != "stored",
        modes={"made-1.0.data/scripts/tool": 0o100755, "made/_ext.so": 0o100600},
    )
    path = made.write(tmp_path)
    changed = {"made/_ext.so": NEW, "made-1.0.data/scripts/tool": NEW}
    rewrite(path, tmp_path / "out", changed, extra=REFS)
    output = tmp_path / "out" / made.file_name
    validate(output)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(output) as new:
        names = [info.filename for info in old.infolist()]
        names.insert(names.index(f"{INFO}/RECORD"), f"{INFO}/{REFERENCES}")
        assert [info.filename for info in new.infolist()] == names
        for info in new.infolist():
            assert info.flag_bits & 8 == 0
            if info.filename in {*changed, *REFS, f"{INFO}/RECORD"}:
                assert info.compress_type == zipfile.ZIP_STORED
            else:
                assert info.compress_type == old.getinfo(info.filename).compress_type
                assert info.compress_size == old.getinfo(info.filename).compress_size
            if info.filename not in REFS:
                assert info.date_time == old.getinfo(info.filename).date_time
                assert info.external_attr == old.getinfo(info.filename).external_attr
        assert new.read("made/_ext.so") == NEW
        record = new.read(f"{INFO}/RECORD").decode()
    lines = record.split(line_end)
    assert lines[-3:] == [
        row(f"{INFO}/{REFERENCES}", REFS[f"{INFO}/{REFERENCES}"]),
        f"{INFO}/RECORD,,",
        "",
    ]
    assert row("made/_ext.so", NEW) in lines
    # What Nix looks for is there in plain bytes.
    assert b"/nix/store/abc-zlib" in output.read_bytes()


def test_a_second_writing_changes_no_byte(tmp_path: Path) -> None:
    """What we wrote comes out the same when nothing, or the same, is changed again."""
    path = MadeWheel(files=FILES, descriptor="bare64", zip64=True).write(tmp_path)
    first = rewrite(path, tmp_path / "1", {"made/_ext.so": NEW}, extra=REFS)
    again = str(tmp_path / "1" / MadeWheel().file_name)
    assert rewrite(again, tmp_path / "2", {}, extra=REFS) == first
    assert rewrite(again, tmp_path / "3", {"made/_ext.so": NEW}, extra=REFS) == first


def test_the_references_are_those_of_the_last_run(tmp_path: Path) -> None:
    """An older references member is renewed in place, or goes with its row."""
    path = MadeWheel(files=FILES).write(tmp_path)
    rewrite(path, tmp_path / "1", {}, extra=REFS)
    first = str(tmp_path / "1" / MadeWheel().file_name)
    other = rewrite(first, tmp_path / "2", {}, extra={f"{INFO}/{REFERENCES}": b"/nix/store/b\n"})
    assert b"abc-zlib" not in other
    assert other.count(REFERENCES.encode()) == 3
    assert REFERENCES.encode() not in rewrite(first, tmp_path / "3", {})
    validate(tmp_path / "2" / MadeWheel().file_name)
    validate(tmp_path / "3" / MadeWheel().file_name)


def test_a_date_from_outside(tmp_path: Path) -> None:
    """SOURCE_DATE_EPOCH dates every member, no earlier than zip can say, whatever the zone."""
    path = MadeWheel(files=FILES).write(tmp_path)
    outputs = {}
    for epoch, year in ((1_000_000_000, 2001), (0, 1980), (2**40, 2107)):
        rewrite(path, tmp_path / str(epoch), {"made/_ext.so": NEW}, extra=REFS, epoch=epoch)
        output = tmp_path / str(epoch) / MadeWheel().file_name
        with zipfile.ZipFile(output) as archive:
            assert {info.date_time[0] for info in archive.infolist()} == {year}
        outputs[epoch] = output.read_bytes()
    assert outputs[0] != outputs[1_000_000_000]


def test_nothing_around_us_shows(tmp_path: Path) -> None:
    """Umask, time zone, locale and another process change no byte of the output."""
    path = MadeWheel(files={**FILES, "made/größe": b"1"}).write(tmp_path)
    (tmp_path / "new").write_bytes(NEW)
    program = """
import os, sys
os.umask(int(sys.argv[1], 8))
from nix_manylinux.wheel.open import open_wheel
from nix_manylinux.wheel.rewrite import write_wheel
with open_wheel(sys.argv[2]) as wheel:
    wheel.extract({})
    print(write_wheel(wheel, {"made/_ext.so": sys.argv[3]}, output_path=sys.argv[4]))
"""
    digests = set()
    for umask, zone, locale in (("077", "UTC", "C"), ("000", "Asia/Tokyo", "C.UTF-8")):
        output = tmp_path / umask
        command = [sys.executable, "-c", program, umask, path, str(tmp_path / "new"), str(output)]
        environment = {
            "TZ": zone,
            "LC_ALL": locale,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONHASHSEED": umask,
        }
        digests.add(subprocess.check_output(command, env=environment, text=True))
        assert stat.S_IMODE(output.stat().st_mode) == 0o666 & ~int(umask, 8)
    assert len(digests) == 1


def test_replaces_an_older_output_or_the_input(tmp_path: Path) -> None:
    """The output may be there already, and may be the input itself."""
    path = MadeWheel(files=FILES).write(tmp_path / ".")
    new = tmp_path / "new"
    new.write_bytes(NEW)
    with open_wheel(path) as wheel:
        wheel.extract({})
        write_wheel(wheel, {"made/_ext.so": str(new)}, output_path=path)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("made/_ext.so") == NEW


#: What goes wrong, and what is raised then.
FAULTS: dict[str, type[BaseException]] = {
    "disk-full": WriteFailed,
    "no-folder": WriteFailed,
    "read-error": WriteFailed,
    "grown": BadWheel,
    "shorter": BadWheel,
    "interrupt": KeyboardInterrupt,
    "terminated": SystemExit,
}


@pytest.mark.parametrize("size", [100, 3 * 2**20], ids=["one-thread", "threads"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_leaves_the_old_output_and_nothing_else(
    fault: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong while it is written: the old file is whole, no temporary one is left."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(3))
    news = {f"made/{number}.so": tmp_path / f"new-{number}" for number in range(4)}
    path = MadeWheel(files={**FILES, **dict.fromkeys(news, LIBRARY)}).write(tmp_path)
    for new in news.values():
        new.write_bytes(NEW + b"#" * size)
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old.whl").write_bytes(b"old")
    place = "nowhere/x.whl" if fault == "no-folder" else "old.whl"
    arm(fault, tmp_path / "new-2", monkeypatch)
    with open_wheel(path) as wheel:
        wheel.extract({})
        with pytest.raises(FAULTS[fault]):
            write_wheel(
                wheel, {n: str(new) for n, new in news.items()}, output_path=str(folder / place)
            )
    assert (folder / "old.whl").read_bytes() == b"old"
    assert os.listdir(folder) == ["old.whl"]
    assert threading.active_count() == 1


def arm(fault: str, victim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ``fault`` happen in the middle of the writing."""
    real, calls = os.pwrite, iter(range(10**6))

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        if next(calls) == 5:
            if fault == "disk-full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if fault == "interrupt":
                raise KeyboardInterrupt
            if fault == "terminated":
                os.kill(os.getpid(), signal.SIGTERM)
        # Short writes are the system's right.
        return real(descriptor, data[: max(1, len(data) // 2)], offset)

    def placed(members: Iterable[Member]) -> list[Member]:
        result = place_members(members)
        data = victim.read_bytes()
        victim.write_bytes(data + b"?" if fault == "grown" else data[:-1])
        return result

    def pieces(content: Content) -> Iterator[bytes]:
        del content
        yield b"x"
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pwrite", pwrite)
    if fault in {"grown", "shorter"}:
        monkeypatch.setattr("nix_manylinux.wheel.rewrite.place_members", placed)
    if fault == "read-error":
        monkeypatch.setattr(Content, "pieces", pieces)


def test_threads_write_what_one_would_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many processors there are, and whatever they finish first: the same bytes."""
    names = [f"made/{number}.so" for number in range(9)]
    texts = {f"made/{number}.py": os.urandom(999 * number) for number in range(99)}
    path = MadeWheel(files={**FILES, **dict.fromkeys(names, LIBRARY), **texts}).write(tmp_path)
    changed = {name: NEW + bytes([i]) * 2**20 for i, name in enumerate(names)}
    written = set()
    for count in (1, 2, 8):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, count=count: range(count))
        written.add(rewrite(path, tmp_path / str(count), changed, extra=REFS))
        validate(tmp_path / str(count) / MadeWheel().file_name)
    assert len(written) == 1


def test_what_is_copied_is_what_was_there(tmp_path: Path) -> None:
    """Members alone and in runs, of many and of no bytes, in any order: all are as they were."""
    texts = {f"made/{n}": os.urandom(n * n * 40) for n in (0, 300, 0, 1, 2, 250, 3, 0, 20, 200)}
    made = MadeWheel(files={**texts, **FILES}, deflate=False)
    rewrite(made.write(tmp_path), tmp_path / "out", {"made/_ext.so": NEW})
    with zipfile.ZipFile(tmp_path / "out" / made.file_name) as archive:
        for name, text in texts.items():
            assert archive.read(name) == text


def test_the_whole_is_hashed_for_those_who_ask(tmp_path: Path) -> None:
    """The output's digest costs one more reading: who has no use for it may say so."""
    path = MadeWheel(files=FILES).write(tmp_path)
    with open_wheel(path) as wheel:
        wheel.extract({})
        place = str(tmp_path / "x.whl")
        assert write_wheel(wheel, {}, output_path=place, sha256=False) == ""
        assert len(write_wheel(wheel, {}, output_path=place)) == 64


def test_refuses_names_that_are_not_there(tmp_path: Path) -> None:
    """A caller that would change RECORD, or no member at all, made a mistake."""
    path = MadeWheel(files=FILES).write(tmp_path)
    with open_wheel(path) as wheel:
        for name in ("made/none", f"{INFO}/RECORD"):
            with pytest.raises(ValueError, match="no members to change"):
                write_wheel(wheel, {name: path}, output_path=str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_zip64_where_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes, places and counts that old fields can't hold go into new ones, read by everybody."""
    path = MadeWheel(files=FILES).write(tmp_path)
    small = rewrite(path, tmp_path / "small", {"made/_ext.so": NEW})
    monkeypatch.setattr("nix_manylinux.wheel.archive.encode.WIDE_VALUE", 300)
    monkeypatch.setattr("nix_manylinux.wheel.archive.encode.WIDE_COUNT", 3)
    wide = rewrite(path, tmp_path / "wide", {"made/_ext.so": NEW})
    assert len(wide) > len(small)
    assert b"PK\6\6" in wide
    output = tmp_path / "wide" / MadeWheel().file_name
    validate(output)
    with open_wheel(str(output)) as wheel:
        wheel.extract({})
    assert rewrite(str(output), tmp_path / "again", {}) == wide
    monkeypatch.undo()
    assert rewrite(str(output), tmp_path / "back", {}) == small


@pytest.mark.asked_for("NIX_MANYLINUX_LOAD")
def test_more_than_four_gigabytes(tmp_path: Path) -> None:
    """A member of over 4 GiB, and one that begins behind it, come through zip64 both ways."""
    size = 2**32 + 10
    big = tmp_path / "big"
    with open(big, "wb") as file:
        file.truncate(size)
    path = MadeWheel(files={**FILES, "made/big.bin": b""}).write(tmp_path)
    output = tmp_path / "out" / MadeWheel().file_name
    output.parent.mkdir()
    with open_wheel(path) as wheel:
        wheel.extract({})
        write_wheel(wheel, {"made/big.bin": str(big)}, output_path=str(output))
    big.unlink()
    with open(output, "rb") as file:
        file.seek(-200, os.SEEK_END)
        assert struct.pack("<4s", b"PK\6\6") in file.read()
    with zipfile.ZipFile(output) as archive:
        assert archive.getinfo("made/big.bin").file_size == size
        assert archive.read(f"{INFO}/WHEEL").startswith(b"Wheel-Version")
    with open_wheel(str(output)) as wheel:
        assert max(member.size for member in wheel.members) == size
    output.unlink()


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 8192, 50_000])
def test_parts_make_one_stream(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deflated in parts, files and bytes alike inflate to what they were, for every reader."""
    from nix_manylinux.wheel.archive import write as archive_write

    monkeypatch.setattr(archive_write, "_PART", 4096)
    monkeypatch.setattr(archive_write, "_SMALL", 1024)
    made = MadeWheel(files=FILES)
    path = made.write(tmp_path)
    data = (b"%d,".join([b""] * 20) % tuple(range(19)) * (size // 20 + 1))[:size]
    (tmp_path / "new").write_bytes(data)
    outputs = []
    for cores in ({0}, {0, 1, 2}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: cores)
        output = tmp_path / f"{len(cores)}.whl"
        parts = tmp_path / f"{len(cores)}-parts"
        parts.mkdir()
        with open_wheel(path) as wheel:
            wheel.extract({})
            write_wheel(
                wheel, {"made/_ext.so": str(tmp_path / "new")}, output_path=str(output),
                extra={f"{INFO}/more": data}, compression=6, scratch=str(parts),
            )  # fmt: skip
        outputs.append(output.read_bytes())
        with zipfile.ZipFile(output) as archive:
            assert archive.testzip() is None
            assert archive.read("made/_ext.so") == archive.read(f"{INFO}/more") == data
            info = archive.getinfo("made/_ext.so")
            assert (info.compress_type == zipfile.ZIP_DEFLATED) == (size > 1)
            assert info.compress_size <= size
    assert outputs[0] == outputs[1]
    named = tmp_path / "named" / made.file_name
    named.parent.mkdir()
    named.write_bytes(outputs[0])
    validate(named)


def test_what_a_check_raises_leaves_no_output(tmp_path: Path) -> None:
    """It is called with the whole file, under another name; the old one stays."""
    path = MadeWheel(files=FILES).write(tmp_path)
    output = tmp_path / "out" / "made.whl"
    output.parent.mkdir()
    output.write_bytes(b"old")

    def check(written: str) -> None:
        assert zipfile.ZipFile(written).testzip() is None
        raise BadWheel("made up")

    with open_wheel(path) as wheel:
        wheel.extract({})
        with pytest.raises(BadWheel, match="made up"):
            write_wheel(wheel, {}, output_path=str(output), check=check)
    assert os.listdir(output.parent) == [output.name]
    assert output.read_bytes() == b"old"


@pytest.mark.parametrize("moment", ["made", "renamed"])
def test_runs_beside_each_other_leave_each_other_alone(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who tidies up after killed runs takes no file of a living one, from first to last."""
    output = tmp_path / "out"
    output.mkdir()
    name = Path(MadeWheel(files=FILES).write(tmp_path)).name
    real_replace, real_lock = os.replace, fcntl.flock
    tidying: list[threading.Thread] = []

    def tidy_slowly(path: str, descriptor: int) -> None:
        with contextlib.closing(os.fdopen(descriptor)):
            time.sleep(0.2)
            os.unlink(path)

    def lock(descriptor: int, how: int) -> None:
        if moment == "made" and not tidying:
            (path,) = map(str, output.iterdir())
            other = os.open(path, os.O_RDONLY)
            real_lock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            tidying.append(threading.Thread(target=tidy_slowly, args=(path, other)))
            tidying[0].start()
        real_lock(descriptor, how)

    def replace(old: str, new: str) -> None:
        if moment == "renamed":
            monkeypatch.undo()
            with open_wheel(str(tmp_path / name)) as wheel:
                write_wheel(wheel, {}, output_path=str(output / f"other-{name}"))
        real_replace(old, new)

    monkeypatch.setattr("nix_manylinux.wheel.rewrite.fcntl.flock", lock)
    monkeypatch.setattr("nix_manylinux.wheel.rewrite.os.replace", replace)
    with open_wheel(str(tmp_path / name)) as wheel:
        write_wheel(wheel, {}, output_path=str(output / name))
    for thread in tidying:
        thread.join()
    assert {each.name for each in output.iterdir()} - {f"other-{name}"} == {name}

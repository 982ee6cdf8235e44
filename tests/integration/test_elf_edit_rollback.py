"""An edit that doesn't come to its end leaves the file as it was, wherever it was stopped."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.elf import ElfBuilder
from tests.support.signals import signals_as_exceptions

from nix_manylinux.base.errors import EditFailed
from nix_manylinux.elf.edit.edit import Edited, edit_file
from nix_manylinux.elf.facts import ElfEdit

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

LONG = tuple(f"/nix/store/{i:032d}-package-{i}-1.2.3/lib" for i in range(5))
EDIT = ElfEdit(search_path=LONG * 3)
SOURCE = "int demo(void) { return 42; }"
#: What writes and puts back.
MODULES = ("elf/edit/edit.py", "elf/edit/patchelf.py", "base/files.py")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> ElfBuilder:
    """Build each file once for all tests."""
    return ElfBuilder(tmp_path_factory.mktemp("rollback"))


@pytest.fixture(params=["x86_64-linux-gnu", "powerpc-linux-gnueabihf"], ids=["own", "patchelf"])
def library(files: ElfBuilder, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Give a library that the writer edits in place, or one that it gives to patchelf."""
    built = files.library(source=SOURCE, target=request.param, needed=["libneeded.so.1"])
    path = Path(shutil.copy(built, tmp_path))
    os.utime(path, ns=(11, 12))
    return path


def state(path: Path) -> tuple[bytes, int, int, int]:
    """Give all that must come back."""
    status = path.stat()
    return path.read_bytes(), status.st_mtime_ns, status.st_mode, status.st_ino


class Striker:
    """Raises KeyboardInterrupt before the line of the writer with one number, and the next ones.

    Lines count from the moment that the edit is certain: `told`.
    """

    def __init__(self, number: int, times: int) -> None:
        self.at = range(number, number + times)
        self.count = itertools.count()
        self.struck = 0
        self.edits: list[Edited] = []

    def told(self, edited: Edited) -> None:
        """Note the edit, as `apply` does in its log."""
        self.edits.append(edited)

    def __call__(self, frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401
        """Do what `sys.settrace` asks of a trace function."""
        if not frame.f_code.co_filename.endswith(MODULES):
            return None
        if event == "line" and self.edits and next(self.count) in self.at:
            self.struck += 1
            raise KeyboardInterrupt
        return self


def interrupted(path: Path, striker: Striker) -> bool:
    """Edit while something strikes; tell whether it was felt."""
    old = sys.gettrace()
    sys.settrace(striker)
    try:
        edit_file(str(path), EDIT, before_write=striker.told)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(old)
    return False


# Between the opening of a temporary file and its `with` Python closes it, and warns of that.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("times", [1, 2])
def test_an_interruption_before_any_line(library: Path, times: int) -> None:
    """Ctrl-C anywhere in the writing, once or twice: what was told beforehand puts all back."""
    before = state(library)
    points = 0
    for number in itertools.count():
        striker = Striker(number, times)
        felt = interrupted(library, striker)
        (edited,) = striker.edits
        if not striker.struck:
            break
        assert felt, f"the interruption at line {number} was swallowed"
        points += 1
        edited.undo()
        assert state(library) == before, f"interrupted at line {number}"
    assert points > 15
    assert state(library) != before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("turn", range(4))
def test_a_signal_between_two_writes(
    library: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, turn: int
) -> None:
    """The signals that end a command leave the file as it was, before the command ends."""
    before = state(library)
    inode = library.stat().st_ino
    real, calls = os.pwrite, itertools.count()

    def striking(descriptor: int, data: bytes, offset: int) -> int:
        count = real(descriptor, data[: max(1, len(data) // 2)], offset)
        if os.fstat(descriptor).st_ino == inode and next(calls) == turn:
            signal.raise_signal(number)
        return count

    monkeypatch.setattr(os, "pwrite", striking)
    with pytest.raises((KeyboardInterrupt, SystemExit)), signals_as_exceptions():
        edit_file(str(library), EDIT)
    monkeypatch.undo()
    assert next(calls) > turn
    assert state(library) == before


def test_writes_may_be_short(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that takes a few bytes at a time gets all of them."""
    copy = Path(shutil.copy(library, library.with_name("copy.so")))
    edit_file(str(copy), EDIT)
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:997], offset))
    edit_file(str(library), EDIT)
    assert library.read_bytes() == copy.read_bytes()


def failing(inode: int, turn: int, code: int) -> Callable[[int, bytes, int], int]:
    """Make a pwrite that fails once, at one of the calls for a file."""
    real, calls = os.pwrite, itertools.count()

    def write(descriptor: int, data: bytes, offset: int) -> int:
        if os.fstat(descriptor).st_ino == inode and next(calls) == turn:
            if code:
                raise OSError(code, os.strerror(code))
            return 0
        return real(descriptor, data, offset)

    return write


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, 0], ids=["full", "I/O", "nothing"])
def test_a_write_that_fails(library: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """No space, an I/O error, a write of nothing, at each write: one error, the file as it was."""
    before = state(library)
    for turn in itertools.count():
        monkeypatch.setattr(os, "pwrite", failing(library.stat().st_ino, turn, code))
        try:
            edit_file(str(library), EDIT)
        except EditFailed as error:
            monkeypatch.undo()
            assert state(library) == before
            assert error.where == str(library)  # noqa: PT017 - the last turn raises nothing
            assert error.hint  # noqa: PT017
        else:
            break
    assert turn > 0
    assert state(library) != before


def test_what_does_not_read_back_is_undone(
    files: ElfBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that gives other bytes than it got: the old ones are put back, and it is said."""
    path = Path(shutil.copy(files.library(source=SOURCE), tmp_path))
    before = state(path)
    real_read, real_write = os.pread, os.pwrite
    written: list[int] = []

    def write(descriptor: int, data: bytes, offset: int) -> int:
        written.append(offset)
        return real_write(descriptor, data, offset)

    def read(descriptor: int, size: int, offset: int) -> bytes:
        data = real_read(descriptor, size, offset)
        return data[:-1] + bytes([data[-1] ^ 1]) if written and data else data

    monkeypatch.setattr(os, "pwrite", write)
    monkeypatch.setattr(os, "pread", read)
    with pytest.raises(EditFailed, match="does not read back"):
        edit_file(str(path), EDIT)
    monkeypatch.undo()
    assert written
    assert state(path) == before

"""Nobody waits for the end of a huge member whose outcome is not wanted any more."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from tests.support.records import update_record
from tests.support.signals import signals_as_exceptions
from tests.support.wheels import MadeWheel, row, tiny_library

from nix_manylinux.base.errors import BadWheel
from nix_manylinux.wheel import open as wheel_module
from nix_manylinux.wheel.archive import write as archive_fill
from nix_manylinux.wheel.archive.format import bad
from nix_manylinux.wheel.archive.read import packed_pieces, stream
from nix_manylinux.wheel.archive.write import Content
from nix_manylinux.wheel.open import open_wheel
from nix_manylinux.wheel.rewrite import write_wheel
from nix_manylinux.write import records as record_update

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nix_manylinux.wheel.open import Wheel

#: Bytes from which on there are threads; and of packed bytes that another thread copies.
MUCH, COPIED = 5 * 2**20, 2**20

#: How the owner of the threads comes to want no more.
ENDS: dict[str, type[BaseException]] = {
    "SIGTERM": SystemExit,
    "SIGINT": KeyboardInterrupt,
    "failure": BadWheel,
}


class Endless:
    """A member that never ends, in one thread, and the end of the run, in its owner's."""

    def __init__(self, end: str) -> None:
        self._end = end
        self._begun = threading.Event()
        self.threads: set[int] = set()
        self.ended: list[str] = []

    def huge(self) -> Iterator[bytes]:
        """Give pieces for a minute, after which the work has proved to look at nothing."""
        self.threads.add(threading.get_ident())
        for _ in range(6000):
            self._begun.set()
            yield b""
            threading.Event().wait(0.01)
        self.ended.append("huge")

    def small(self) -> Iterator[bytes]:
        """Wait until the other one is being worked on, and end the run."""
        self.threads.add(threading.get_ident())
        assert self._begun.wait(60)
        if self._end == "failure":
            raise bad("is made up")
        os.kill(os.getpid(), getattr(signal, self._end))
        yield b""
        self.ended.append("small")


@pytest.fixture
def _two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.mark.usefixtures("_two_processors")
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("work", ["unpacked", "written", "copied"])
def test_a_huge_member_is_left(
    work: str, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a signal, or a failure before it, a huge member is left at its next piece."""
    files = {"made/0.py": b"small", "made/1.bin": bytes(COPIED), "made/2.bin": bytes(MUCH)}
    path = MadeWheel(files={**files, "made/a.so": tiny_library()}, deflate=False).write(tmp_path)
    output = tmp_path / "out"
    output.mkdir()
    new = tmp_path / "new"
    with new.open("wb") as file:
        file.truncate(MUCH)
    endless = Endless(end)
    victim = {"unpacked": "made/2.bin", "written": str(new), "copied": "made/1.bin"}[work]

    def doubled(
        real: Iterator[bytes | memoryview], name: str | bytes
    ) -> Iterator[bytes | memoryview]:
        if name == victim:
            return endless.huge()
        return endless.small() if name in {"made/0.py", b"small"} else real

    def patch(wheel: Wheel) -> None:
        if work == "unpacked":
            wheel.unpack(str(tmp_path / "into"))
        changed, extra = {"made/2.bin": str(new)}, {"made/0.py": b"small"}
        write_wheel(wheel, changed, extra=extra, output_path=str(output / "made.whl"))

    pieces = Content.pieces
    with open_wheel(path) as wheel, signals_as_exceptions():
        wheel.extract({})
        monkeypatch.setattr(wheel_module, "stream", lambda d, m: doubled(stream(d, m), m.name))
        monkeypatch.setattr(Content, "pieces", lambda c: doubled(pieces(c), c.source))
        monkeypatch.setattr(
            archive_fill, "packed_pieces", lambda d, m: doubled(packed_pieces(d, m), m.name)
        )
        with pytest.raises(ENDS[end]):
            patch(wheel)
    assert endless.ended == []
    assert len(endless.threads) == 2
    assert threading.active_count() == 1
    assert os.listdir(output) == []


@pytest.mark.usefixtures("_two_processors")
@pytest.mark.parametrize("end", ENDS)
def test_a_huge_file_of_a_tree_is_left(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a signal, or a failure before it, a huge file is hashed to its next piece at most."""
    info = tmp_path / "made-1.0.dist-info"
    info.mkdir()
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(MUCH)
    (tmp_path / "small").write_bytes(b"small")
    listed = f"{row('small', b'stale')}\nhuge,sha256=stale,{MUCH}\n"
    (info / "RECORD").write_text(listed)
    endless = Endless(end)

    def hash_descriptor(
        _descriptor: int, _algorithm: str, size: int, going: Callable[[], bool]
    ) -> tuple[str, int]:
        for _ in endless.huge() if size == MUCH else endless.small():
            if not going():
                break
        return "", 0

    monkeypatch.setattr(record_update, "hash_descriptor", hash_descriptor)
    with signals_as_exceptions(), pytest.raises(ENDS[end]):
        update_record(str(tmp_path), info.name)
    assert endless.ended == []
    assert len(endless.threads) == 2
    assert threading.active_count() == 1
    assert (info / "RECORD").read_text() == listed

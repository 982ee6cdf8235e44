"""Progress: a line that is drawn again on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.support.trees import Appender, plan_all

from nix_manylinux.base.progress import with_progress
from nix_manylinux.cli.console import Console
from nix_manylinux.write.apply import apply_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest


class Clock:
    """A clock that goes on by ``step`` seconds whenever it is looked at."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        """Look at it."""
        self.now += self.step
        return self.now


def run(console: Console) -> None:
    """Work on a hundred items, and say one thing at the end."""
    for _ in with_progress(range(100), console.progress, "editing"):
        pass
    console.say("done")


def terminal(work: Callable[[Console], None], **environment: str) -> str:
    """Give what a terminal of 80 columns is sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with os.fdopen(theirs, "w", encoding="utf-8") as talk:
        work(Console(talk, io.StringIO(), environment=environment))
    text = b""
    with suppress(OSError):  # a terminal whose other side is closed ends with EIO
        while piece := os.read(ours, 1 << 16):
            text += piece
    os.close(ours)
    return text.decode()


def on_terminal(monkeypatch: pytest.MonkeyPatch, step: float, **environment: str) -> str:
    """Give what a terminal is sent."""
    monkeypatch.setattr("time.monotonic", Clock(step))
    return terminal(run, **environment)


def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second one line is drawn, again and again, and is gone before the next words."""
    text = on_terminal(monkeypatch, 0.05)
    draws = text.split("\r\x1b[K")
    assert draws[0] == ""
    assert "editing" in draws[1]
    assert len(draws) > 20
    assert draws[-1] == "done\r\n"
    assert "\n" not in "".join(draws[:-1])


def test_what_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build is named, and what Nix says of it shown as far as it fits; elsewhere it is named."""
    monkeypatch.setattr("time.monotonic", Clock(6.0))
    said = f"checking\x1b[2J for {'everything ' * 20}"

    def build(console: Console) -> None:
        for number in (0, 1, 1):
            console.progress("building zlib-1.3,", number, 2, said)

    last = terminal(build).split("\r\x1b[K")[-1]
    assert last.startswith(
        "building zlib-1.3, 1 of 2: checking [2J for everything everything every"
    )
    assert len(last) == 79
    log = io.StringIO()
    build(Console(log, io.StringIO(), environment={}))
    assert log.getvalue() == "building zlib-1.3, 1 of 2 (12 s)\n"


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work of less than a second shows nothing of itself, on a terminal too."""
    assert on_terminal(monkeypatch, 0.001) == "done\r\n"


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """No escape sequence is sent to a terminal that can't have one."""
    text = on_terminal(monkeypatch, 0.5, TERM="dumb")
    assert "\x1b" not in text
    assert text.splitlines()[0].startswith("editing ")


def lines(monkeypatch: pytest.MonkeyPatch, *, quiet: bool = False) -> Iterator[str]:
    """Give what a pipe is sent."""
    monkeypatch.setattr("time.monotonic", Clock(0.5))
    talk = io.StringIO()
    run(Console(talk, io.StringIO(), environment={}, quiet=quiet))
    return iter(talk.getvalue().splitlines())


def test_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets whole lines, ten seconds apart; --quiet takes them away."""
    found = list(lines(monkeypatch))
    assert found[-1] == "done"
    assert 4 <= len(found) <= 8
    # Not before the tenth second, and never of nothing.
    assert all(int(line.rpartition("(")[2].split()[0]) >= 10 for line in found[:-1])
    assert not any(" 0 of " in line for line in found)
    assert all(line.startswith("editing ") and " of 100 (" in line for line in found[:-1])
    assert list(lines(monkeypatch, quiet=True)) == []


def test_stages_tell_all_their_items(tmp_path: Path) -> None:
    """The caller's function is told of each item, from none to all of them."""
    from tests.support.wheels import tiny_library

    for number in range(3):
        (tmp_path / f"{number}.so").write_bytes(tiny_library())
    seen: list[tuple[str, int, int]] = []
    plan = plan_all(tmp_path)
    apply_plan(plan, edit_file=Appender(), progress=lambda *each: seen.append(each)).close()
    assert seen == [("editing", done, 3) for done in range(4)]

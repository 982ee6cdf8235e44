"""What people see: standard error for talk, standard output for what was asked for."""

from __future__ import annotations

import contextlib
import os
import re
import time

from nix_manylinux.base.errors import NixManylinuxError, OsErrors, WriteFailed
from nix_manylinux.base.files import write_file
from nix_manylinux.base.words import WIDTH, wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import TextIO


#: Control characters: a file's name must not move the cursor or begin a line of its own.
_CONTROL = r"[\x00-\x1f\x7f-\x9f]"
#: The same, but for the colours that `Console.paint` makes.
_UNPAINTED = r"\x1b(?!\[(?:[0-2]|3[1-3])(?:;[0-2]|;3[1-3])*m)|[\x00-\x1a\x1c-\x1f\x7f-\x9f]"
#: Begins a line of a hint that is a command, as an indented one is: broken, it would be two.
_TO_PASTE = ("nix-manylinux ", "nix-store ", "pip download ", "python3 ", "uv venv ")
_CODES = {"red": "31", "yellow": "33", "green": "32", "bold": "1", "dim": "2"}


class Console:
    """Writes lines to ``talk`` (progress, summaries, errors) and ``answer`` (results).

    Colours only where the stream is a terminal and NO_COLOR is unset or empty
    (https://no-color.org). Talk that can't be written is lost and never stops
    what is talked about; a reader of answers may leave, and is written to no more.
    """

    def __init__(
        self,
        talk: TextIO,
        answer: TextIO,
        *,
        environment: Mapping[str, str],
        quiet: bool = False,
        verbose: bool = False,
    ) -> None:
        self._talk = talk
        self._answer = answer
        self._plain = bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb"
        self.quiet = quiet
        self.verbose = verbose
        #: Warnings so far.
        self.warned = 0
        self._started = time.monotonic()
        self._next = self._started + 1.0
        self._shown = False

    @property
    def width(self) -> int:
        """Columns of a line: the terminal's, if answers go to one, of 60 to 100."""
        return _columns(self._answer)

    @property
    def talk_width(self) -> int:
        """The same of talk."""
        return _columns(self._talk)

    @property
    def on_terminal(self) -> bool:
        """Whether somebody watches: the place for progress bars."""
        return not self.quiet and self._talk.isatty()

    @property
    def answers_on_terminal(self) -> bool:
        """Whether answers are read where they are written, and not in a file."""
        return self._answer.isatty()

    def progress(self, stage: str, done: int, total: int, said: str = "") -> None:
        """Show how far a stage has come, once the work has taken a second.

        ``said`` is the last word of who does it, of which a terminal shows what fits, in place of
        a bar. One line is drawn again and again, and gone before anything else is written;
        elsewhere there is a line every ten seconds, from the tenth on, so that whoever reads the
        log of a long build sees that it goes on.
        """
        now = time.monotonic()
        if self.quiet or now < self._next or not total:
            return
        text = f"{stage} {done} of {total}"
        if self._plain or not self._talk.isatty():
            if not done or now < self._started + 10.0:
                return
            self._next = now + 10.0
            self._line(self._talk, f"{text} ({now - self._started:.0f} s)")
            return
        self._next = now + 0.1
        with contextlib.suppress(OSError):
            columns = os.get_terminal_size(self._talk.fileno()).columns
            width = min(columns - len(text) - 4, 40)
            if said:
                text = f"{text}: {re.sub(_CONTROL, ' ', said)}"[: max(columns - 1, 0)]
            elif width > 4:
                filled = width * done // total
                text = f"[{'#' * filled}{'.' * (width - filled)}] {text}"
        self._shown = True
        with self._losable():
            self._talk.write(f"\r\x1b[K{text}")
            self._talk.flush()

    def clear(self) -> None:
        """Take the line of `progress` away, if there is one."""
        if self._shown:
            self._shown = False
            with self._losable():
                self._talk.write("\r\x1b[K")
                self._talk.flush()

    def say(self, text: str = "") -> None:
        """Write one line of talk, unless it is to be quiet."""
        if not self.quiet:
            indent = text[: len(text) - len(text.lstrip())]
            self.insist(self._broken(text.lstrip(), indent, f"{indent}    "))

    def say_all(self, lines: Iterable[str], indent: str = "  ") -> None:
        """Write lines of talk, indented."""
        for line in lines:
            self.say(f"{indent}{line}" if line else "")

    def tell(self, lines: Sequence[str]) -> None:
        """Write one sentence of talk, and as it is what is to be pasted."""
        if lines and not self.quiet:
            self.say(lines[0])
            self.insist(lines[1:])

    def warn(self, text: str) -> None:
        """Write one warning, its first line, and what is to be pasted; quiet hides neither."""
        self.warned += 1
        text, *commands = text.split("\n")
        self._titled("warning:", "yellow", text)
        self.insist(commands)

    def error(self, text: str) -> None:
        """Write what is wrong."""
        self._titled("error:", "red", text)

    def fail(self, error: NixManylinuxError) -> None:
        """Write an error: where, what, and what to do next."""
        where = f"{error.where}: " if error.where else ""
        self.error(f"{where}{error.what}")
        for line in error.hint.splitlines():
            pasted = line.startswith((" ", *_TO_PASTE))
            self.insist([f"  {line}"] if pasted else self._broken(line, "  "))

    def insist(self, lines: Iterable[str]) -> None:
        """Write lines of talk as they are, quiet or not."""
        for line in lines:
            self._line(self._talk, line)

    def answer(self, text: str) -> None:
        """Write what was asked for to standard output, line by line. Raises WriteFailed."""
        with self._answering():
            for line in text.splitlines() or [""]:
                self._line(self._answer, line)

    def finish(self) -> None:
        """Write what is still held back. Raises WriteFailed where that is an answer."""
        with self._losable():
            self._talk.flush()
        with self._answering():
            self._answer.flush()

    def _titled(self, title: str, style: str, text: str) -> None:
        line, *others = self._broken(text, f"{title} ")
        self.insist([f"{self.paint(title, style)}{line[len(title) :]}", *others])

    def _broken(self, text: str, first: str = "", rest: str = "  ") -> list[str]:
        """Break talk between words where a terminal's line ends; else it is one line."""
        if not self._talk.isatty():
            return [first + text]
        return wrap(text, self.talk_width, first=first, rest=rest)

    def paint(self, text: str, *styles: str, answer: bool = False) -> str:
        """Return ``text`` in colour, where colour is wanted: in talk, or in an answer."""
        stream = self._answer if answer else self._talk
        if self._plain or not stream.isatty():
            return text
        codes = ";".join(_CODES[style] for style in styles)
        return f"\x1b[{codes}m{text}\x1b[0m"

    @contextlib.contextmanager
    def _losable(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            _silence(self._talk)

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _silence(self._answer)
            if not isinstance(error, BrokenPipeError):  # its reader has seen enough
                raise WriteFailed(
                    f"can't be written: {error.strerror}", where="standard output"
                ) from error

    def _line(self, stream: TextIO, text: str) -> None:
        self.clear()
        # Names in wheels and ELF files are bytes; show what can't be shown as escapes.
        control = _CONTROL if self._plain or not stream.isatty() else _UNPAINTED
        safe = re.sub(control, lambda match: repr(match[0])[1:-1], text)
        safe = safe.encode("utf-8", "backslashreplace").decode("utf-8")
        encoding = stream.encoding or "utf-8"
        line = safe.encode(encoding, "backslashreplace").decode(encoding) + "\n"
        if stream is self._answer:
            stream.write(line)
        else:
            with self._losable():
                stream.write(line)


def _columns(stream: TextIO) -> int:
    with contextlib.suppress(OSError, ValueError):
        return max(60, min(os.get_terminal_size(stream.fileno()).columns or WIDTH, WIDTH))
    return WIDTH


def _silence(stream: TextIO) -> None:
    """Lead a stream to nowhere: what it still holds would fail again when Python ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), stream.fileno())


def save_file(path: str, text: str, what: str, option: str) -> None:
    """Write ``what`` was asked for to the file that ``option`` named, or raise WriteFailed."""
    hint = f"give {option} a file in a folder that you may write to"
    with OsErrors(WriteFailed, f"can't write the {what}", where=path, hint=hint):
        write_file(path, text.encode())

"""Words for people: numbers with their nouns, and lines that fit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

#: Columns of a line where no terminal says better.
WIDTH = 100


def count(number: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun: "1 file", "2 files", "2 libraries"."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def wrap(text: str, width: int = WIDTH, *, first: str = "", rest: str = "") -> list[str]:
    """Break ``text`` between words into lines of at most ``width`` columns, as far as words allow.

    ``first`` begins the first line, ``rest`` all others. No word is broken: paths are
    there to be copied.
    """
    if len(first) + len(text) <= width:
        return [first + text]
    lines, line = [], first
    for word in text.split(" "):
        if line not in {first, rest} and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = rest + word
        else:
            line += word if line in {first, rest} else f" {word}"
    return [*lines, line]


def some(names: Collection[str], limit: int, *, everything: bool = False) -> str:
    """List the first of the names, and count the others; or list them all."""
    shown = [*names][: None if everything else limit]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def listed(names: Iterable[str]) -> str:
    """Write names as a sentence has them: "a, b and c"; "" for none."""
    *others, last = ("", *names)
    return f"{', '.join(others[1:])} and {last}" if len(others) > 1 else last


def shell(*words: str) -> str:
    """Write words of a command so that a shell takes them as they are: a line to paste."""
    import shlex  # noqa: PLC0415 - a 200th of a small tree's time, and seldom asked for

    return shlex.join(words)


def on_several_lines(lines: Sequence[str]) -> list[str]:
    """Write a shell's command of several lines: all but the last say that more follows."""
    return [*(f"{line} \\" for line in lines[:-1]), *lines[-1:]]


def capital(text: str) -> str:
    """Begin a sentence."""
    return text[:1].upper() + text[1:]


def grouped(notes: Iterable[tuple[str, str]]) -> list[str]:
    """Say each sentence once, behind all the names that it is true of."""
    named: dict[str, dict[str, None]] = {}
    for name, note in notes:
        named.setdefault(note, {})[name] = None
    return [f"{', '.join(names)}: {note}" for note, names in named.items()]

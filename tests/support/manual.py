"""The manual page, and the shells' completions by shtab, of the one parser.

    python -m tests.support.manual

writes them into share/, from where packages install them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import shtab

from nix_manylinux.cli.arguments import make_parser
from nix_manylinux.cli.main import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "nix-manylinux"
SHARE = Path(__file__).parents[2] / "share"

#: Where a package installs each file, below its ``share``.
PLACES = {
    "man": f"man/man1/{NAME}.1",
    "bash": f"bash-completion/completions/{NAME}",
    "zsh": f"zsh/site-functions/_{NAME}",
    "fish": f"fish/vendor_completions.d/{NAME}.fish",
}

#: The metavars that stand for a folder, and those for any file.
_FOLDERS = frozenset({"DIR"})
_FILES = frozenset(
    {
        "FILE",
        "EXE",
        "WHEEL",
        "LOCKFILE",
        "TREE|WHEEL",
        "WHEEL|TREE",
        "SONAME|DIR",
        "WHEEL|NAME==VERSION",
        "cyclonedx|FILE",
    }
)


def texts() -> dict[str, str]:
    """Give the text of each file in `PLACES`, the same for every Python."""
    shells = {
        shell: shtab.complete(_parser(), shell=shell) + "\n" for shell in PLACES if shell != "man"
    }
    return {"man": man_page(), **shells}


def man_page() -> str:
    """Write the manual page, in man(7)'s macros."""
    parser = make_parser(VERSION)
    lines = [
        f'.TH NIX-MANYLINUX 1 "" "{NAME} {VERSION}" "User Commands"',
        ".SH NAME",
        f"{_roff(NAME)} \\- {_roff(_lower(parser.description or ''))}",
        ".SH SYNOPSIS",
        f".B {_roff(NAME)}",
        ".I COMMAND",
        "[\\fIOPTION\\fR]... \\fIPATH\\fR...",
        ".SH COMMANDS",
    ]
    for name, command in each_command(parser):
        lines += [f".SS {_roff(name)}", _roff(command.description or "")]
        for action in each_option(command):
            if isinstance(action, argparse._HelpAction):  # noqa: SLF001 - argparse names it so
                continue
            words = ", ".join(f"\\fB{_roff(word)}\\fR" for word in action.option_strings)
            value = f"\\fI{_roff(_value(action))}\\fR" if _value(action) else ""
            lines += [".TP", " ".join(filter(None, [words, value])), _roff(action.help or "")]
    lines += [
        ".SH EXIT STATUS",
        "0 done, 1 refused (nothing was changed), 2 usage, 3 a fault of our own.",
        ".SH ENVIRONMENT",
        ".TP\n.B NIX_BINTOOLS\nthe target's linker, where no option names one",
        ".TP\n.B SOURCE_DATE_EPOCH\ndates the members of a patched wheel, in seconds since 1970",
        ".TP\n.B NO_COLOR\nno colours, even on a terminal",
        ".TP\n.B NIX_DEBUG\ntells of every file, as \\fB\\-v\\fR does",
    ]
    return "\n".join(lines) + "\n"


def each_command(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Give the parsers of the commands, by name."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            yield from action.choices.items()


def each_option(command: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Give the options of a command."""
    yield from (a for a in command._actions if a.option_strings)  # noqa: SLF001 - likewise


def _parser() -> argparse.ArgumentParser:
    """Make the parser, with a mark at what is a file or a folder."""
    parser = make_parser(VERSION)
    for _, command in each_command(parser):
        for action in command._actions:  # noqa: SLF001 - likewise
            kind = shtab.DIRECTORY if action.metavar in _FOLDERS else shtab.FILE
            if action.metavar in _FOLDERS | _FILES:
                action.complete = kind  # type: ignore[attr-defined]  # shtab reads it
    return parser


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.choices:
        return "|".join(map(str, action.choices))
    return str(action.metavar or action.dest.upper())


def _lower(sentence: str) -> str:
    return (sentence[:1].lower() + sentence[1:]).rstrip(".")


def _roff(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")


def main() -> None:
    """Write all of them."""
    for kind, text in texts().items():
        path = SHARE / PLACES[kind]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()

"""The manual page and the shells' completions, made from the one parser.

`python -m nix_manylinux.cli.manual DIRECTORY` writes them below ``share`` folders
as packages install them; a test holds the committed ones against it.
"""

from __future__ import annotations

import argparse
import os
import sys

from nix_manylinux.cli.arguments import make_parser
from nix_manylinux.cli.main import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "nix-manylinux"

#: Where a package installs each file, below its ``share``.
PLACES = {
    "man": f"man/man1/{NAME}.1",
    "bash": f"bash-completion/completions/{NAME}",
    "zsh": f"zsh/site-functions/_{NAME}",
    "fish": f"fish/vendor_completions.d/{NAME}.fish",
}


def texts() -> dict[str, str]:
    """Give the text of each file in `PLACES`."""
    return {"man": man_page(), "bash": bash(), "zsh": zsh(), "fish": fish()}


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


def bash() -> str:
    """Write the completion for bash."""
    parser = make_parser(VERSION)
    commands = list(each_command(parser))
    cases = "\n".join(
        f"  {name}) options='{' '.join(_words(command))}' ;;" for name, command in commands
    )
    return f"""\
# bash completion for {NAME}
_nix_manylinux() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} options=
  case ${{COMP_WORDS[1]-}} in
{cases}
  *) options='{" ".join([name for name, _ in commands])} --help --version' ;;
  esac
  if ((COMP_CWORD == 1)) || [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
  fi
}}
complete -o bashdefault -o default -F _nix_manylinux {NAME}
"""


def zsh() -> str:
    """Write the completion for zsh."""
    lines = [f"#compdef {NAME}", "", "local -a commands", "commands=("]
    parser = make_parser(VERSION)
    lines += [
        f"  {_quote(f'{name}:{_lower(command.description or str())}')}"
        for name, command in each_command(parser)
    ]
    lines += [")", "if ((CURRENT == 2)); then", "  _describe command commands", "  return", "fi"]
    lines.append("case ${words[2]} in")
    for name, command in each_command(parser):
        lines.append(f"{name}) _arguments \\")
        for action in each_option(command):
            text = (action.help or "").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
            takes = ":value:_files" if _value(action) else ""
            lines += [f"  {_quote(f'*{word}[{text}]{takes}')} \\" for word in action.option_strings]
        lines += ["  '*:file:_files' ;;"]
    return "\n".join([*lines, "esac"]) + "\n"


def fish() -> str:
    """Write the completion for fish."""
    parser = make_parser(VERSION)
    lines = []
    for name, command in each_command(parser):
        lines.append(
            f"complete -c {NAME} -n __fish_use_subcommand -a {name}"
            f" -d {_quote(_lower(command.description or ''))}"
        )
        for action in each_option(command):
            words = "".join(
                f" -l {word[2:]}" if word.startswith("--") else f" -s {word[1:]}"
                for word in action.option_strings
            )
            takes = " -r" if _value(action) else ""
            lines.append(
                f"complete -c {NAME} -n '__fish_seen_subcommand_from {name}'{words}{takes}"
                f" -d {_quote(action.help or '')}"
            )
    return "\n".join(lines) + "\n"


def each_command(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Give the parsers of the commands, by name."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            yield from action.choices.items()


def each_option(command: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Give the options of a command."""
    yield from (a for a in command._actions if a.option_strings)  # noqa: SLF001 - likewise


def _words(command: argparse.ArgumentParser) -> list[str]:
    return [word for action in each_option(command) for word in action.option_strings]


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


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


if __name__ == "__main__":
    for kind, text in texts().items():
        path = os.path.join(sys.argv[1], PLACES[kind])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

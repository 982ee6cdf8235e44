"""Options as tables, and the groups of them that several commands share."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

DRY_RUN = {"--dry-run": "decide everything, write nothing"}
LIBS = {"--libs DIR...": "a directory of libraries"}
IGNORE = {
    "--ignore-missing [FILE_GLOB:]SONAME_GLOB...":
        "libraries that may stay missing, in the files that match",
    "--ignore-if-missing [FILE_GLOB:]SONAME_GLOB...":
        "the same, but an entry that no file needs is only a warning",
}  # fmt: skip
DAMAGED = {
    "--damaged {fail,warn}": "fail: refuse, the default; warn: pass by files that can't be edited,"
    " or that no loader takes",
}
WITNESS = {
    "--witness": "have pyelftools, too, read back every file that was written, and refuse where it"
    " says anything else",
}
GC_ROOTS = {
    "--gc-roots DIR": "register every store path that is linked to, and the interpreter's, so that"
    " garbage collection spares it (default: .nix-manylinux-roots of the tree, or of --output-dir,"
    " where --nixpkgs is given or has been)",
}


def add_options(
    add: Callable[..., object],
    table: Mapping[str, str],
    **more: Any,  # noqa: ANN401 - argparse's
) -> None:
    """Add options with their help, each spelt as in a usage, and with ``more`` of argparse's words.

    That is "--flag", "-o, --one WORD", "--many WORD..." for one that may be repeated, or
    "--choice {this,that}".
    """
    for spelling, text in table.items():
        names = [part.rstrip(",") for part in spelling.split()]
        word = "" if names[-1].startswith("-") else names.pop()
        if not word:
            add(*names, action="store_true", help=text, **more)
        elif word.endswith("..."):
            what, default, value = text.partition(" (default: ")
            help_ = f"{what} (repeatable{'; default: ' if default else ')'}{value}"
            add(*names, action="append", metavar=word[:-3], help=help_, **more)
        elif word.startswith("{"):
            add(*names, choices=word[1:-1].split(","), help=text, **more)
        else:
            add(*names, metavar=word, help=text, **more)


def common(
    command: argparse.ArgumentParser, metavar: str, *, many: bool = False, json: bool = True
) -> None:
    """Add what all commands take: paths, the report, how much is said."""
    command.add_argument("paths", nargs="+" if many else None, metavar=metavar)
    report = {"--json FILE": "write the report as JSON ('-': stdout; default: no report)"}
    add_options(command.add_argument, {
        **(report if json else {}),
        "-q, --quiet": "only warnings and errors",
        "-v, --verbose": "every file",
    })  # fmt: skip


def target_options(command: argparse.ArgumentParser) -> None:
    """Add what chooses the target."""
    group = command.add_argument_group("what to link for")
    add_options(group.add_argument, {
        "--python EXE": "the interpreter: tags are checked against it, its libc is the target"
        " (default: the virtual environment's; else the libc of NIX_BINTOOLS, or the running"
        " Python's)",
        "--dynamic-linker FILE": "the target's dynamic linker (default: the interpreter's)",
        "--libc DIR": "the directory of the target's libc (default: the linker's)",
    })  # fmt: skip


def library_options(command: argparse.ArgumentParser) -> None:
    """Add where libraries are."""
    group = command.add_argument_group("where libraries are")
    wheels = {"--python-libs DIR...": "another wheel's site-packages"}
    add_options(group.add_argument, {**LIBS, **wheels})
    size_option(group.add_argument)


def rule_options(command: argparse.ArgumentParser) -> None:
    """Add how needs are resolved."""
    add = command.add_argument_group("how to resolve").add_argument
    add_options(add, {
        "--runtime-libs SONAME|DIR...": "for dlopen: goes on the path of the files that load it",
        "--append-rpath DIR...": "at the end of every path",
        "--forbid-rpath DIR...": "refuse what would search DIR or a directory in it",
        **IGNORE,
        "--provided-later SONAME...": "another wheel, which needs this one, brings it",
    })  # fmt: skip
    driver_option(add)
    add_options(add, {
        "--driver-dir DIR": "where the driver's libraries are at run time (default:"
        " /run/opengl-driver/lib, on i686 /run/opengl-driver-32/lib)",
        "--exclude GLOB...": "files to leave alone",
        "--allow-foreign GLOB...": "files for other machines that may stay unpatched",
        "--keep-libc": "look the libc's own libraries up like all others",
        "--keep-execstack": "leave executable stacks as they are",
        "--missing {fail,leaves,warn}": "fail: refuse, the default; leaves: let optional plugins,"
        " which nothing that can be imported or started needs, stay unloadable, the default for"
        " virtual environments; warn: patch what can be patched",
        **DAMAGED,
    })  # fmt: skip


def driver_option(add: Callable[..., object]) -> None:
    """Add what else is of the graphics driver."""
    text = "a library of the graphics driver, besides the known ones"
    add_options(add, {"--driver-lib SONAME...": text}, dest="driver_libs")


def size_option(add: Callable[..., object]) -> None:
    """Add how large a wheel may be."""
    text = "unpacked size of a wheel that is still believed (default: 64 GiB)"
    add_options(add, {"--max-size BYTES": text}, type=size)


def size(text: str) -> int:
    """Read a number of bytes, as argparse's ``type``."""
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value

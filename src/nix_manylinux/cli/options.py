"""The groups of options that several commands share."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def common(
    command: argparse.ArgumentParser, metavar: str, *, many: bool = False, json: bool = True
) -> None:
    """Add what all commands take: paths, the report, how much is said."""
    command.add_argument("paths", nargs="+" if many else None, metavar=metavar)
    if json:
        command.add_argument(
            "--json",
            metavar="FILE",
            help="write the report as JSON ('-': stdout; default: no report)",
        )
    command.add_argument("-q", "--quiet", action="store_true", help="only warnings and errors")
    command.add_argument("-v", "--verbose", action="store_true", help="every file")


def target_options(command: argparse.ArgumentParser) -> None:
    """Add what chooses the target."""
    group = command.add_argument_group("what to link for")
    group.add_argument(
        "--python", metavar="EXE",
        help="the interpreter: tags are checked against it, its libc is the target (default:"
        " the virtual environment's; else the libc of NIX_BINTOOLS, or the running Python's)",
    )  # fmt: skip
    group.add_argument(
        "--dynamic-linker",
        metavar="FILE",
        help="the target's dynamic linker (default: the interpreter's)",
    )
    group.add_argument(
        "--libc", metavar="DIR", help="the directory of the target's libc (default: the linker's)"
    )


def library_options(command: argparse.ArgumentParser) -> None:
    """Add where libraries are."""
    group = command.add_argument_group("where libraries are")
    group.add_argument(
        "--libs", action="append", metavar="DIR", help="a directory of libraries (repeatable)"
    )
    group.add_argument(
        "--python-libs", action="append", metavar="DIR",
        help="another wheel's site-packages (repeatable)",
    )  # fmt: skip
    group.add_argument(
        "--max-size", type=size, metavar="BYTES",
        help="unpacked size of a wheel that is still believed (default: 64 GiB)",
    )  # fmt: skip


def rule_options(command: argparse.ArgumentParser) -> None:
    """Add how needs are resolved."""
    group = command.add_argument_group("how to resolve")
    add = group.add_argument
    add(
        "--runtime-libs",
        action="append",
        metavar="SONAME|DIR",
        help="for dlopen: goes on the path of the files that load it (repeatable)",
    )
    add(
        "--append-rpath",
        action="append",
        metavar="DIR",
        help="at the end of every path (repeatable)",
    )
    add(
        "--forbid-rpath",
        action="append",
        metavar="DIR",
        help="refuse what would search DIR or a directory in it (repeatable)",
    )
    ignore_options(add)
    add(
        "--provided-later",
        action="append",
        metavar="SONAME",
        help="another wheel, which needs this one, brings it (repeatable)",
    )
    add(
        "--driver-lib",
        dest="driver_libs",
        action="append",
        metavar="SONAME",
        help="a library of the graphics driver, besides the known ones (repeatable)",
    )
    add(
        "--driver-dir",
        metavar="DIR",
        help="where the driver's libraries are at run time (default: /run/opengl-driver/lib,"
        " on i686 /run/opengl-driver-32/lib)",
    )
    add("--exclude", action="append", metavar="GLOB", help="files to leave alone (repeatable)")
    add(
        "--allow-foreign",
        action="append",
        metavar="GLOB",
        help="files for other machines that may stay unpatched (repeatable)",
    )
    add(
        "--keep-libc",
        action="store_true",
        default=None,
        help="look the libc's own libraries up like all others",
    )
    add(
        "--keep-execstack",
        action="store_true",
        default=None,
        help="leave executable stacks as they are",
    )
    missing_option(add)
    damaged_option(add)


def missing_option(add: Callable[..., object]) -> None:
    """Add what may stay missing in what is written."""
    add(
        "--missing",
        choices=("fail", "leaves", "warn"),
        help="fail: refuse, the default; leaves: let optional plugins, which nothing that can be"
        " imported or started needs, stay unloadable, the default for virtual environments;"
        " warn: patch what can be patched",
    )


def missing_to_check_option(add: Callable[..., object]) -> None:
    """Add what may stay missing in what is only looked at."""
    add(
        "--missing",
        choices=("fail", "leaves"),
        help="fail: every file must load, the default; leaves: optional plugins, which nothing"
        " that can be imported or started needs, need not, the default for virtual environments",
    )


def ignore_options(add: Callable[..., object]) -> None:
    """Add the patterns of what may stay missing."""
    add(
        "--ignore-missing",
        action="append",
        metavar="[FILE_GLOB:]SONAME_GLOB",
        help="libraries that may stay missing, in the files that match (repeatable)",
    )
    add(
        "--ignore-if-missing",
        action="append",
        metavar="[FILE_GLOB:]SONAME_GLOB",
        help="the same, but an entry that no file needs is only a warning (repeatable)",
    )


def size(text: str) -> int:
    """Read a number of bytes, as argparse's ``type``."""
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def witness_option(add: Callable[..., object]) -> None:
    """Add the second reader of what was written."""
    add("--witness", action="store_true", default=None,
        help="have pyelftools, too, read back every file that was written, and refuse where it"
        " says anything else")  # fmt: skip


def damaged_option(add: Callable[..., object]) -> None:
    """Add what becomes of files that can't be edited."""
    add("--damaged", choices=("fail", "warn"),
        help="fail: refuse, the default; warn: pass by files that can't be edited, or that no"
        " loader takes")  # fmt: skip

"""The options of the commands that write Nix: of expr, and of lock."""

from __future__ import annotations

from nix_manylinux.cli.options import common

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def expr_options(command: argparse.ArgumentParser) -> None:
    """Add what `expr` takes."""
    command.add_argument("paths", metavar="WHEEL|NAME[==VERSION]")
    command.add_argument(
        "--python-version", action="append", metavar="3.N",
        help="a Python to fetch a wheel for, and to evaluate markers for (repeatable; default: what"
        " the tags say, else that of <nixpkgs>' python3, else 3.12)",
    )  # fmt: skip
    command.add_argument(
        "--system", action="append", metavar="SYSTEM",
        help="a Nix system, likewise (repeatable; default: what the tags say, else Nix's own, else"
        " x86_64-linux)",
    )  # fmt: skip
    command.add_argument(
        "--local", action="store_true",
        help="the source is WHEEL itself, beside the expression: for one that is on no index, or on"
        " one where Nix can't fetch it (a password)",
    )  # fmt: skip
    command.add_argument(
        "--for-nixpkgs", action="store_true",
        help="write it for nixpkgs itself: <nixpkgs> is not asked, nothing of this machine is in"
        " it, and what only its author needs (the file's place, the line for python-packages.nix)"
        " is on standard error",
    )  # fmt: skip
    command.add_argument(
        "--fetch-required", action="store_true",
        help="fetch the wheels that it requires, large ones too, to know which libraries they"
        " have, and which CUDA",
    )  # fmt: skip
    command.add_argument(
        "--runtime-libs", action="append", metavar="SONAME",
        help="a library that is loaded by dlopen: its package becomes a build input too"
        " (repeatable)",
    )  # fmt: skip


def lock_options(command: argparse.ArgumentParser) -> None:
    """Add what `lock` takes."""
    common(command, "LOCKFILE", json=False)
    command.add_argument(
        "-o", "--output", metavar="FILE",
        help="default: manylinux.lock.json beside LOCKFILE; '-' is standard output",
    )  # fmt: skip
    command.add_argument(
        "--python-version", action="append", metavar="3.N",
        help="a Python to lock for (repeatable; default: that of .python-version beside LOCKFILE,"
        " else of <nixpkgs>' python3, else this one's version, if LOCKFILE allows it, else one that"
        " it allows)",
    )  # fmt: skip
    command.add_argument(
        "--system", action="append", metavar="SYSTEM",
        help="a Nix system, such as aarch64-linux, likewise (repeatable; default: this machine's)",
    )  # fmt: skip
    command.add_argument(
        "--extra", action="append", metavar="NAME", help="an extra of the project (repeatable)"
    )
    command.add_argument(
        "--group", action="append", metavar="NAME",
        help="a dependency group of the project (repeatable)",
    )  # fmt: skip
    command.add_argument(
        "--no-inspect", action="store_true",
        help="fetch no wheel: what they need of nixpkgs and of each other is then not known",
    )  # fmt: skip
    command.add_argument(
        "--check", action="store_true", help="only say whether FILE is of this LOCKFILE"
    )

"""The command line's words: one parser, read into typed options."""

from __future__ import annotations

import argparse
import re

from nix_manylinux.base.values import Value, field_names
from nix_manylinux.cli.options import (
    DAMAGED,
    DRY_RUN,
    GC_ROOTS,
    IGNORE,
    LIBS,
    WITNESS,
    add_options,
    common,
    driver_option,
    library_options,
    rule_options,
    size_option,
    target_options,
)
from nix_manylinux.resolve.plan import Options
from nix_manylinux.tree.roots import find_pyvenv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn


class _Parser(argparse.ArgumentParser):
    """A parser that says in a line what is wrong, what may have been meant, and where help is."""

    given: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        from difflib import get_close_matches  # noqa: PLC0415 - seldom

        choices = [str(each) for action in self._actions for each in action.choices or ()]
        known = [*self._option_string_actions, *choices]
        unknown = re.search(r"arguments: (\S+)|choice: '([^']+)'", message)
        word = (unknown[1] or unknown[2]) if unknown else ""
        known = [each for each in known if each != word]  # another option may take it
        meant = get_close_matches(word, known, 1) if word else []
        if meant:
            message += f"; did you mean {meant[0]}?"
        elif unknown and unknown[1] and not unknown[1].startswith("-"):
            one = [a.metavar for a in self._actions if not a.option_strings and a.nargs is None]
            message += f"; it takes one {one[0]}" if one else ""
        elif "required: TREE|WHEEL" in message and "--nixpkgs" in self.given:
            message += "; it stands before --nixpkgs, which takes the word behind it for REF"
        words = "--help"
        if "required: TREE|WHEEL" in message and find_pyvenv(".venv"):
            words = ".venv --nixpkgs" if self.prog.endswith(" patch") else ".venv"
        self.exit(2, f"{self.prog}: {message}\ntry: {self.prog} {words}\n")


class Arguments(Value):
    """One parsed command line. ``extra`` holds what only one command knows."""

    command: str
    paths: tuple[str, ...]
    options: Options
    python: str | None = None
    dynamic_linker: str | None = None
    libc: str | None = None
    libs: tuple[str, ...] = ()
    output_dir: str | None = None
    prefix: str | None = None
    dist: tuple[str, ...] = ()
    nixpkgs: str | None = None
    gc_roots: str | None = None
    dry_run: bool = False
    json: str | None = None
    quiet: bool = False
    verbose: bool = False
    extra: argparse.Namespace


def make_parser(version: str) -> argparse.ArgumentParser:
    """Return the parser of all commands; building it looks at nothing outside."""
    parser = _Parser(
        prog="nix-manylinux",
        description="Link manylinux wheels to the libraries of the Nix store,"
        " or say what is missing.",
        epilog="Exit status: 0 done, 1 refused, 2 usage, 3 a fault of our own.",
    )
    parser.add_argument("--version", action="version", version=f"nix-manylinux {version}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (summary, fill) in _COMMANDS.items():
        description = summary[0].upper() + summary[1:]
        fill(commands.add_parser(name, help=summary, description=description))
    return parser


def _patch(command: argparse.ArgumentParser) -> None:
    common(command, "TREE|WHEEL", many=True)
    target_options(command)
    library_options(command)
    rule_options(command)
    add_options(command.add_argument, {
        "-o, --output-dir DIR": "where patched wheels go (no default: it must be said)",
        **DRY_RUN,
        "--dist WHEEL...": "a wheel that TREE was installed from, to be linked in its place too",
    })  # fmt: skip
    add_options(command.add_argument, {
        "--nixpkgs REF": "have Nix build or fetch what is missing, never what is unfree or"
        " insecure; REF is a path or a flake reference (default: <nixpkgs>)",
    }, nargs="?", const="<nixpkgs>")  # fmt: skip
    add_options(command.add_argument, {**GC_ROOTS, **WITNESS})


def _install(command: argparse.ArgumentParser) -> None:
    common(command, "WHEEL", many=True)
    add = command.add_argument
    add_options(add, {"--prefix DIR": "where packages and commands go"}, required=True)
    text = "an optimisation level to compile for (default: 0 and 1)"
    add_options(add, {"--compile-bytecode LEVEL...": text}, type=int, choices=(0, 1, 2))
    add_options(add, {
        "--no-compile-bytecode": "leave compiling to the first import",
        "--no-link": "leave linking to a later patch: every byte is what PyPA's installer writes",
        **GC_ROOTS,
        **WITNESS,
    })  # fmt: skip
    target_options(command)
    library_options(command)
    rule_options(command)


def _repair(command: argparse.ArgumentParser) -> None:
    common(command, "WHEEL", many=True)
    add = command.add_argument
    add_options(add, {"-o, --output-dir DIR": "where repaired wheels go"}, required=True)
    add_options(add, {
        **DRY_RUN,
        "--policy NAME": "manylinux_X_Y, musllinux_X_Y, or auto: the oldest that is kept (default)",
        "--also-tags {aliases,kept}": "aliases: the policy's names of before PEP 600, too; kept:"
        " the oldest policy, too (default: neither)",
        **LIBS,
        "--exclude GLOB...": "a library to leave to the system that the wheel is installed on;"
        " libx.so covers libx.so.1",
        "--graft SONAME...": "a library that is loaded by dlopen",
        "--allow-store-paths GLOB...": "members that may name paths of the Nix store",
        "--require-witness": "have pyelftools, too, read every file that was edited, and refuse"
        " where it says anything else",
        "--strip": "take symbols and debug sections away ($STRIP)",
        "--lib-dir NAME": "the folder for libraries (default: NAME.libs)",
        "--allow-isa {x86-64,x86-64-v2,x86-64-v3,x86-64-v4}": "the instruction set that files may"
        " need (default: x86-64)",
        "--sbom cyclonedx|FILE": "a bill of materials for dist-info: one that is written, or a file"
        " (default: none)",
        "--packages FILE": "JSON that says which packages folders are of: name, version, licences,"
        " source (default: none)",
    })  # fmt: skip
    text = "for what is written anew; 0 stores it (default: 5)"
    add_options(add, {"--compression 0..9": text}, type=int, choices=range(10))
    size_option(add)


def _check(command: argparse.ArgumentParser) -> None:
    common(command, "TREE|WHEEL", many=True)
    target_options(command)
    library_options(command)
    add_options(command.add_argument, IGNORE)
    driver_option(command.add_argument)
    add_options(command.add_argument, {
        "--exclude GLOB...": "files that need not load",
        "--missing {fail,leaves}": "fail: every file must load, the default; leaves: optional"
        " plugins, which nothing that can be imported or started needs, need not, the default for"
        " virtual environments",
        **DAMAGED,
        "--strict": "a warning is exit status 1, too: of what METADATA requires and is not there",
    })  # fmt: skip


def _inspect(command: argparse.ArgumentParser) -> None:
    common(command, "WHEEL|TREE", many=True)
    target_options(command)
    library_options(command)
    add_options(command.add_argument, {"--exclude GLOB...": "files to leave out, broken ones too"})


def _graph(command: argparse.ArgumentParser) -> None:
    common(command, "WHEEL|TREE", json=False)
    add_options(command.add_argument, {
        "--format {dot,mermaid,svg,html}": "default: what the name of --output ends in, else dot",
        "--detail {auto,files,folders}": "a box for each file or for each folder; auto, the"
        " default: folders where files are too many",
        "-o, --output FILE": "default: standard output",
    })  # fmt: skip
    target_options(command)
    library_options(command)
    rule_options(command)


def _expr(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "paths", nargs="+", metavar="WHEEL|NAME[==VERSION]",
        help="several are one package: wheels whose files lie in the same folders (PySide6's); the"
        " first names it",
    )  # fmt: skip
    add_options(command.add_argument, {
        "--python-version 3.N...": "a Python to fetch a wheel for, and to evaluate markers for"
        " (default: what the tags say, else that of <nixpkgs>' python3, else 3.12)",
        "--system SYSTEM...": "a Nix system, likewise (default: what the tags say, else Nix's own,"
        " else x86_64-linux)",
        "--local": "the source is WHEEL itself, by its path from here: for one that is on no index,"
        " or on one where Nix can't fetch it (a password)",
        "--for-nixpkgs": "write it for nixpkgs itself, best with that as <nixpkgs>; what only its"
        " author needs (the file's place, the line for python-packages.nix) is on standard error",
        "--fetch-required": "fetch the wheels that it requires, large ones too, to know which"
        " libraries they have, and which CUDA",
        "--cuda VERSION": "of files for several versions of CUDA those for this one, 12 (default:"
        " that of whom the wheel is loaded into)",
        "--runtime-libs SONAME...": "a library that is loaded by dlopen: its package becomes a"
        " build input too",
    })  # fmt: skip


def _lock(command: argparse.ArgumentParser) -> None:
    common(command, "LOCKFILE", json=False)
    add_options(command.add_argument, {
        "-o, --output FILE": "default: manylinux.lock.json beside LOCKFILE; '-' is standard output",
        "--python-version 3.N...": "a Python to lock for (default: that of .python-version beside"
        " LOCKFILE, else of <nixpkgs>' python3, else this one's version, if LOCKFILE allows it,"
        " else one that it allows)",
        "--system SYSTEM...": "a Nix system, such as aarch64-linux, likewise (default: this"
        " machine's)",
        "--extra NAME...": "an extra of the project",
        "--group NAME...": "a dependency group of the project",
        "--package NAME...": "a member of uv's workspace (default: the project of LOCKFILE's"
        " folder, else all of them)",
        "--all-packages": "all members of uv's workspace",
        "--projects": "have the expression build the user's own projects, too",
        "--no-inspect": "fetch no wheel: what they need of nixpkgs and of each other is then not"
        " known",
        "--check": "only say whether FILE is of this LOCKFILE",
    })  # fmt: skip


#: Name -> summary, and what adds the options.
_COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "patch": ("link a wheel, or trees in place", _patch),
    "install": ("install wheels into a prefix, linked, in one pass", _install),
    "repair": ("make a wheel that runs on any Linux: libraries come along", _repair),
    "check": ("would everything load? changes nothing", _check),
    "inspect": ("tags, policy, needs, versions, who provides what", _inspect),
    "expr": ("print a ready buildPythonPackage expression", _expr),
    "lock": ("write what an environment's lock file asks for, for Nix", _lock),
    "graph": ("a picture of who needs what, and where it comes from", _graph),
}


def parse_arguments(version: str, words: Sequence[str]) -> Arguments:
    """Read ``words``; leaves by SystemExit as argparse does: 2 where they are wrong."""
    if words and words[0] in _COMMANDS:
        # The parser of all commands reads every word twice, and that of one command has
        # a fifth of the options: of a small wheel's time the difference is a tenth.
        summary, fill = _COMMANDS[words[0]]
        _leave_untranslated()
        command = _Parser(
            prog=f"nix-manylinux {words[0]}",
            description=summary[0].upper() + summary[1:],
            formatter_class=_unmeasured,
        )
        fill(command)
        command.formatter_class = argparse.HelpFormatter
        libs, others = _without_libs(words[1:])
        command.given = others
        space = command.parse_args(others, argparse.Namespace(command=words[0]))
        if libs:
            space.libs = libs
    else:
        space = make_parser(version).parse_args(words)
    return Arguments(**{
        **given_of(Arguments, space),
        "paths": tuple(space.paths) if isinstance(space.paths, list) else (space.paths,),
        "options": Options(**given_of(Options, space)),
        "extra": space,
    })  # fmt: skip


def given_of(kind: type[Value], space: argparse.Namespace) -> dict[str, Any]:
    """Give the fields of a value that a command line names; what repeats is a tuple."""
    found = {name: getattr(space, name, None) for name in field_names(kind)}
    return {n: tuple(v) if isinstance(v, list) else v for n, v in found.items() if v is not None}


def _leave_untranslated() -> None:
    """Keep argparse from looking for translations of its words: Python comes with none.

    To look, gettext imports locale: three hundredths of a small tree's time.
    """
    vars(argparse)["_"] = str


def _unmeasured(prog: str) -> argparse.HelpFormatter:
    """Make a formatter that doesn't ask for the terminal's width.

    argparse makes one for each option that is added, to see that its metavar
    fits, and imports shutil and every compressor to ask.
    """
    return argparse.HelpFormatter(prog, width=80)


def _without_libs(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take every ``--libs DIR`` and ``--libs=DIR`` out: argparse is quadratic in the options.

    A hook gives hundreds. Where argparse could read one of them in another
    way, as it may behind an option or in another spelling, all are left to it.
    """
    end = words.index("--") if "--" in words else len(words)
    libs: list[str] = []
    others: list[str] = []
    index = 0
    while index < end:
        word, follower = words[index], words[index + 1] if index + 1 < end else ""
        name, equals, value = word.partition("=")
        index += 1
        if name not in {"--l", "--li", "--lib", "--libs"}:
            others.append(word)
        elif name != "--libs" or (others and others[-1].startswith("-")):
            return [], [*words]
        elif equals:
            libs.append(value)
        elif follower and not follower.startswith("-"):
            libs.append(follower)
            index += 1
        else:
            return [], [*words]
    return libs, [*others, *words[end:]]

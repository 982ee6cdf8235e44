"""The command: arguments to typed options, the options to the API, errors to words.

This is the one place that looks at the environment, and the one boundary
where errors become an exit status: 0 done, 1 refused, 2 usage, 3 our fault.
"""

from __future__ import annotations

import gc
import os
import sys

from nix_manylinux.cli import DONE, FAULT, INTERRUPTED, REFUSED, USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nix_manylinux.cli.arguments import Arguments

VERSION = "0.1.0"


def run() -> int:
    """Be the process's command: what `main` does, and leaving without taking apart what it held.

    Python would look at each module and value as it ends: a twelfth of a small tree's time.
    """
    status = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return status  # Python says so, with a status of its own
    os._exit(status)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command with ``words`` (sys.argv's by default) and return the exit status."""
    words = sys.argv[1:] if words is None else words
    _open_streams()
    if list(words) == ["--version"]:  # asked for often, by wrappers: imports nothing
        return _version()
    # We make next to no cycles, and the search for them is a tenth of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        from nix_manylinux.cli.arguments import parse_arguments  # noqa: PLC0415 - after --version

        try:
            arguments = parse_arguments(VERSION, words)
        except SystemExit as leaving:
            return leaving.code if isinstance(leaving.code, int) else USAGE
        return _guarded(arguments, words, os.environ)
    finally:
        if collecting:
            gc.enable()


def _open_streams() -> None:
    """Open the standard streams that are closed, or files of ours would take their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _version() -> int:
    try:
        sys.stdout.write(f"nix-manylinux {VERSION}\n")
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # as for every answer
            sys.stderr.write(f"error: standard output: can't be written: {error.strerror}\n")
            return REFUSED
    return DONE


def _guarded(arguments: Arguments, words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one command; every way out of it passes here."""
    from nix_manylinux.base.errors import BadOption, NixManylinuxError, UnneededIgnore  # noqa: PLC0415
    from nix_manylinux.cli.commands import run_command  # noqa: PLC0415 - after --version
    from nix_manylinux.cli.console import Console  # noqa: PLC0415
    from nix_manylinux.cli.run import Run  # noqa: PLC0415

    console = Console(
        sys.stderr,
        sys.stdout,
        environment=environment,
        quiet=arguments.quiet,
        verbose=arguments.verbose or bool(environment.get("NIX_DEBUG")),
    )
    run = Run(arguments, environment, console, words=words)
    try:
        status = run_command(run)
        console.finish()
    except NixManylinuxError as error:
        from nix_manylinux.cli.refusals import refused  # noqa: PLC0415 - seldom

        try:
            refused(run, error)
            console.finish()
        except NixManylinuxError as another:  # the report can't be written either
            if str(another) != str(error):
                console.fail(another)
        usage = isinstance(error, BadOption) and not isinstance(error, UnneededIgnore)
        return USAGE if usage else REFUSED
    except KeyboardInterrupt:
        console.insist(["interrupted; nothing was left half done"])
        return INTERRUPTED
    except Exception:  # noqa: BLE001 - the boundary: this is the one place for it
        import traceback  # noqa: PLC0415

        console.insist([
            "this is a fault of nix-manylinux, not of your wheel; please report it:",
            *traceback.format_exc().splitlines(),
        ])  # fmt: skip
        return FAULT
    return status

"""nixpkgs' auto-patchelf, run as its hook runs it, where its script is at hand.

The script is no part of this project: ``$NIX_MANYLINUX_AUTO_PATCHELF`` gives
the path of ``auto-patchelf.py`` in a checkout of nixpkgs, and
``$NIX_MANYLINUX_AUTO_PATCHELF_TOOLS`` a folder whose patchelf it is to take, if
that is not the one beside this interpreter.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import host
from tests.support.installed import Ran

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.store import Store

VARIABLE = "NIX_MANYLINUX_AUTO_PATCHELF"
TOOLS = f"{VARIABLE}_TOOLS"


def script() -> str | None:
    """Give the path of the script, or None where nobody gave it."""
    return os.environ.get(VARIABLE) or None


def auto_patchelf(
    paths: str | Iterable[str],
    libraries: Iterable[str],
    store: Store,
    *options: str,
    tools: str | None = None,
) -> Ran:
    """Run the script over ``paths`` with these library directories, for the store's libc.

    ``tools`` is a directory whose patchelf is taken. Raises LookupError where
    the script isn't at hand.
    """
    program = script()
    if program is None:
        message = f"{VARIABLE} is not set"
        raise LookupError(message)
    with tempfile.TemporaryDirectory(prefix="nix-manylinux-bintools-") as bintools:
        support = Path(bintools, "nix-support")
        support.mkdir()
        support.joinpath("dynamic-linker").write_text(store.dynamic_linker)
        support.joinpath("orig-libc").write_text(os.path.dirname(store.libc))
        if tools is None:
            tools = os.environ.get(TOOLS) or os.path.dirname(host.patchelf())
        path = os.environ["PATH"]
        outcome = subprocess.run(
            [
                sys.executable,
                program,
                "--paths",
                *([paths] if isinstance(paths, str) else paths),
                "--libs",
                *libraries,
                *options,
            ],
            env={
                **os.environ,
                "NIX_BINTOOLS": bintools,
                "PATH": f"{tools}:{path}" if tools else path,
            },
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    return Ran(status=outcome.returncode, stdout=outcome.stdout, stderr=outcome.stderr)

"""Real Nix for the tests, in the machine's own store, with no daemon and no network."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

#: The project's folder.
ROOT = Path(__file__).parents[2]

#: An expression that is imported in place of ring one: a nixpkgs with real
#: phases, as a function of `overlays` (see tests/nix/README.md).
RING_TWO = "NIX_MANYLINUX_NIXPKGS"

_CONFIG = """
experimental-features = nix-command flakes
substitute = false
sandbox = false
"""


class NixFailed(AssertionError):
    """A command of Nix that ended badly, with all that it said on standard error."""


def environment() -> dict[str, str]:
    """Give the environment for Nix: this machine's, and the settings that need no root's help."""
    return {**os.environ, "NIX_CONFIG": _CONFIG, "NIX_PATH": ""}


def run_nix(*arguments: str, timeout: float = 600) -> str:
    """Run one of Nix's commands and return its standard output, or raise NixFailed."""
    done = subprocess.run(
        [*arguments, "--option", "build-users-group", ""],
        check=False,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=timeout,
    )
    if done.returncode != 0:
        raise NixFailed(done.stderr)
    return done.stdout


def evaluate(expression: str, **arguments: object) -> Any:  # noqa: ANN401 -- JSON is what it is
    """Evaluate an expression, a function of ``arguments`` where there are any, deeply, to JSON.

    Arguments cross over as JSON; relative paths start at the project's folder.
    """
    text = f"({expression})"
    if arguments:
        text += f" (builtins.fromJSON {nix_string(json.dumps(arguments))})"
    return json.loads(
        run_nix(
            "nix-instantiate", "--eval", "--strict", "--json", "-E", f"let root = {ROOT}; in {text}"
        )
    )


def nix_string(text: str) -> str:
    """Quote a text for an expression."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'"{escaped}"'

"""Real Nix for the tests, in the machine's own store, with no daemon and no network."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

#: The project's folder.
ROOT = Path(__file__).parents[2]

_CONFIG = """
experimental-features = nix-command flakes
substitute = false
sandbox = false
build-users-group =
"""


class NixFailed(AssertionError):
    """A command of Nix that ended badly, with all that it said on standard error."""


def environment() -> dict[str, str]:
    """Give the environment for Nix: this machine's, and the settings that need no root's help."""
    variables = {**os.environ, "NIX_CONFIG": _CONFIG, "NIX_PATH": ""}
    store = store_directory()
    if store != "/nix/store":
        home = os.path.dirname(store)
        variables |= {"NIX_REMOTE": "local", "NIX_STORE_DIR": store}
        for name in ("state", "log", "conf"):
            variables[f"NIX_{name.upper()}_DIR"] = os.path.join(home, name)
    return variables


def store_directory() -> str:
    """Choose a store that this user may write: the machine's own, else one in the cache."""
    store = "/nix/store"
    if os.geteuid() == 0:
        os.makedirs(store, exist_ok=True)
    if os.access(store, os.W_OK):
        return store
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "nix-manylinux", "nix", "store")


def run_nix(*arguments: str, given: str | None = None, timeout: float = 600) -> str:
    """Run one of Nix's commands and return its standard output, or raise NixFailed.

    ``given`` is what it finds on standard input.
    """
    done = subprocess.run(
        arguments,
        check=False,
        capture_output=True,
        input=given,
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
    # On standard input: one argument can't be longer than 128 KiB.
    body = f"let root = {nix_path(ROOT)}; in {text}"
    return json.loads(run_nix("nix-instantiate", "--eval", "--strict", "--json", "-", given=body))


def nix_path(path: str | Path) -> str:
    """Spell an absolute path for an expression; Nix's own form for them has no spaces."""
    return f"(/. + {nix_string(str(path))})"


def nix_string(text: str) -> str:
    """Quote a text for an expression."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'"{escaped}"'

# ruff: noqa: INP001 -- this module is copied into an interpreter, never imported from a package
"""Runs first whenever an interpreter of a development shell starts in a virtual environment.

Installers leave libraries there that nothing has linked yet, and nobody is asked before the
next import: so each start looks whether something was installed, by the time stamps of two
folders, and has it linked. The shell's hook (hooks/manylinux-venv-hook.sh) says by what.
"""

import os
import sys


def _has_changed(link: str) -> bool:
    stamp = os.path.join(sys.prefix, ".nix-manylinux-linked")
    wanted = f"{link} {os.environ.get('NIX_MANYLINUX_VENV_OPTIONS', '')}"
    library = os.path.basename(os.path.dirname(os.__file__))
    places = ("bin", os.path.join("lib", library, "site-packages"))
    try:
        with open(stamp, encoding="utf-8", errors="surrogateescape") as stream:
            if stream.read() != wanted:
                return True
        since = os.stat(stamp).st_mtime_ns
        return any(os.stat(os.path.join(sys.prefix, p)).st_mtime_ns > since for p in places)
    except OSError:
        return True


def _link() -> None:
    link = os.environ.get("NIX_MANYLINUX_VENV_LINK")
    if not link or sys.prefix == sys.base_prefix or not _has_changed(link):
        return
    import subprocess  # noqa: PLC0415 - every start of Python comes this far

    subprocess.call([link, sys.prefix], stdin=subprocess.DEVNULL, stdout=2)


def _run_next() -> None:
    """Run what was sitecustomize before us, here or further on in the search path."""
    here = os.path.dirname(os.path.abspath(__file__))
    others = [place for place in sys.path if os.path.abspath(place) != here]
    files = [os.path.join(place, "sitecustomize.py") for place in others]
    for path in (os.path.join(here, "_sitecustomize_before.py"), *files):
        if os.path.isfile(path):
            with open(path, "rb") as stream:
                code = compile(stream.read(), path, "exec")
            # What Python itself would do with it.
            exec(code, {"__name__": "sitecustomize", "__file__": path})  # noqa: S102
            break


try:
    _link()
except OSError as error:  # the interpreter starts all the same
    sys.stderr.write(f"manylinuxVenv: {error}\n")
_run_next()

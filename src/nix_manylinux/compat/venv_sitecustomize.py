# ruff: noqa: INP001 -- this module is copied into an interpreter, never imported from a package
"""Runs first whenever an interpreter of a development shell starts in a virtual environment.

Installers leave libraries there that nothing has linked yet, and nobody is asked before the
next import: so each start looks whether something was installed, by the time stamps of two
folders, and has it linked. The shell's hook (hooks/manylinux-venv-hook.sh) says by what, and
what it said last stands in the environment: an editor, or a terminal outside of the shell,
finds it there.
"""

import os
import sys

_LINK, _OPTIONS = "NIX_MANYLINUX_VENV_LINK", "NIX_MANYLINUX_VENV_OPTIONS"


def _recorded() -> str:
    """Give the program that linked this environment last, and its options; "" for none."""
    stamp = os.path.join(sys.prefix, ".nix-manylinux-linked")
    try:
        with open(stamp, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except OSError:
        return ""


def _has_changed() -> bool:
    library = os.path.basename(os.path.dirname(os.__file__))
    places = ("bin", os.path.join("lib", library, "site-packages"))
    try:
        since = os.stat(os.path.join(sys.prefix, ".nix-manylinux-linked")).st_mtime_ns
        return any(os.stat(os.path.join(sys.prefix, p)).st_mtime_ns > since for p in places)
    except OSError:
        return True


def _is_the_shells() -> bool:
    own = os.environ.get("VIRTUAL_ENV", "")
    try:
        return own == sys.prefix or os.path.samefile(own, sys.prefix)
    except OSError:
        return False


def _link() -> None:
    link = os.environ.get(_LINK)
    if sys.prefix == sys.base_prefix or link == "":  # what links starts a Python, too
        return
    wanted = recorded = _recorded()
    # An environment of another shell's keeps what that one said.
    if link and (not recorded or _is_the_shells()):
        wanted = f"{link} {os.environ.get(_OPTIONS, '')}"
    if not wanted or (wanted == recorded and not _has_changed()):
        return
    link, _, options = wanted.partition(" ")
    try:
        if not os.path.exists(link):
            raise FileNotFoundError(0, "it is gone from the store; enter the shell once more")
        import subprocess  # noqa: PLC0415 - every start of Python comes this far

        told = {**os.environ, _OPTIONS: options}
        subprocess.call([link, sys.prefix], stdin=subprocess.DEVNULL, stdout=2, env=told)
    except OSError as error:  # the interpreter starts all the same
        sys.stderr.write(
            f"manylinuxVenv: what was installed is not linked: {link}: {error.strerror}\n"
        )


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


_link()
_run_next()

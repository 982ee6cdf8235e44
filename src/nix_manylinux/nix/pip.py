"""The ordinary client for wheels: which command is pip here, how it is asked, what it says."""

from __future__ import annotations

import importlib.util
import os
import sys
from shutil import which

from nix_manylinux.base.errors import NixManylinuxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from nix_manylinux.target.place import Place


class NoPip(NixManylinuxError):
    """Something has to be fetched, and there is neither pip nor uv, which can run it."""


def pip_command(environment: Mapping[str, str]) -> list[str]:
    """Give the first words of a call of pip.

    It is the running interpreter's own, else the one on ``PATH``, else the one that uv
    fetches and runs (``uv tool run``): `uv tool install` and Nix make environments without
    pip. Raises NoPip with what to install.
    """
    own = importlib.util.find_spec("pip")
    if own is not None and own.origin is not None:
        # By its folder: what a wrapper put on sys.path, another process doesn't have.
        return [sys.executable, os.path.dirname(own.origin)]
    path = environment.get("PATH", os.defpath)
    for name in ("pip", "pip3"):
        found = which(name, path=path)
        if found is not None:
            return [found]
    uv = which("uv", path=path)
    if uv is not None:
        return [uv, "tool", "run", "--quiet", "--python", sys.executable, "pip"]
    raise NoPip(
        "wheels are fetched by pip, and there is none",
        hint="install pip or uv, so that one of them is on PATH: nix-shell -p uv",
    )


def wheels_of(place: Place) -> list[str]:
    """Give the options that let pip take a place's wheels, and nothing else."""
    words = ["--only-binary", ":all:", "--disable-pip-version-check"]
    words += ["--implementation", "cp", "--python-version", place.python.rstrip("t")]
    if place.python.endswith("t"):  # whose ABI tags are its own (PEP 703, PEP 803)
        words += ["--abi", f"cp{place.series.replace('.', '')}", "--abi", "abi3t"]
    return words + [word for each in place.platforms() for word in ("--platform", each)]


#: What `complaint` gives for a file whose digest is not the one that was asked for.
OTHER_FILE = "its index has another file, of another sha256"


def complaint(said: bytes) -> str:
    """Give the line that tells most of what pip says where it fails."""
    lines = said.decode("utf-8", "replace").strip().splitlines()
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    errors = [line for line in errors if not line.startswith("ResolutionImpossible")]
    if any(line.startswith("THESE PACKAGES DO NOT MATCH THE HASHES") for line in errors):
        return OTHER_FILE  # pip shouts a paragraph
    limits = [line.strip() for line in lines if "(constraint)" in line]
    return (limits or errors or lines or ["pip said nothing"])[-1]

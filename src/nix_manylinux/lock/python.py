"""The Python that a lock is for, where nobody has named one."""

from __future__ import annotations

import os
import re

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from nix_manylinux.lock.model import BadLock, Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from nix_manylinux.target.place import Place

#: Those that nixpkgs may have, the likeliest first.
_PYTHONS = ("3.13", "3.12", "3.11", "3.14", "3.15", "3.10", "3.9", "3.8")

#: A request of `.python-version` for a CPython, as uv and pyenv write it; later digits don't count.
_PINNED = re.compile(r"(?:cpython[@-]?)?(3\.[0-9]{1,2})(?:\.[0-9]+)?(t?)")


def pinned_python(path: str) -> str:
    """Give the Python that `.python-version` beside a lock asks for, as "3.12"; or ""."""
    beside = os.path.join(os.path.dirname(path), ".python-version")
    try:
        with open(beside, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file.read(1 << 16).splitlines()]
    except OSError:
        return ""
    first = next((line for line in lines if line and not line.startswith("#")), "")
    found = _PINNED.fullmatch(first)
    return f"{found[1]}{found[2]}" if found else ""


def python_for(lock: Lock, preferred: Iterable[str] = ()) -> str | None:
    """Give the first of the preferred Pythons that the lock allows, else another that it allows.

    None where there is none. Raises BadLock for a requires-python that can't be read.
    """
    return next((each for each in (*preferred, *_PYTHONS) if _fits(lock, f"{each}.0")), None)


def check_python(lock: Lock, place: Place) -> None:
    """Raise BadLock where the lock is not for a place's Python; it names one that would do."""
    if _fits(lock, place.full_version):
        return
    other = python_for(lock)
    raise BadLock(
        f"is for Python {lock.requires_python}, not {place.python}",
        where=lock.kind,
        hint=f"--python-version {other}" if other else "lock the project for another Python",
    )


def _fits(lock: Lock, version: str) -> bool:
    try:
        allowed = SpecifierSet(lock.requires_python)
    except InvalidSpecifier as error:
        raise BadLock(f"requires-python is {lock.requires_python!r}", where=lock.kind) from error
    return allowed.contains(version.replace("t", ""), prereleases=True)  # 3.14t is 3.14

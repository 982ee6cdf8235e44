# ruff: noqa: INP001 -- this module is copied into an interpreter, never imported from a package
"""What installers may believe about manylinux wheels, decided by NIX_PYTHON_MANYLINUX.

Installers import a module of this name, if there is one, and ask it (PEP 600;
PEP 513, 571 and 599 for the three attributes). The variable is read once:

- unset, empty or ``0``: no manylinux wheel is compatible;
- ``1``: all that the running glibc allows;
- a policy, ``manylinux2014``, ``2014`` or ``manylinux_2_28``: that one and older ones;
- anything else: a warning, and none.

The module stands alone, so that it can be put into any Python 3's
site-packages, and never raises: an exception here is a traceback of pip's.
"""

from __future__ import annotations

import os
import re
import sys

_ALIASES = {
    "2010": (2, 12),
    "2014": (2, 17),
    "manylinux1": (2, 5),
    "manylinux2010": (2, 12),
    "manylinux2014": (2, 17),
}

_NONE = (0, 0)
_ALL = (10**6, 0)


def _allowed(setting: str) -> tuple[int, int]:
    """Read the variable: the newest glibc whose manylinux wheels are allowed."""
    setting = setting.strip()
    if setting in {"", "0"}:
        return _NONE
    if setting == "1":
        return _ALL
    match = re.match(r"manylinux_([0-9]{1,4})_([0-9]{1,4})\Z", setting)
    if match:
        return (int(match.group(1)), int(match.group(2)))
    if setting not in _ALIASES:
        _warn(
            f"NIX_PYTHON_MANYLINUX={setting!r} is no manylinux policy, so no manylinux wheel "
            "counts as compatible; set it to 1, manylinux2014, manylinux_2_28 or the like"
        )
    return _ALIASES.get(setting, _NONE)


def _warn(message: str) -> None:
    try:  # noqa: SIM105 (contextlib would be one import more in every interpreter)
        sys.stderr.write(f"_manylinux: {message}\n")
    except Exception:  # noqa: BLE001, S110 (there may be no standard error; an installer goes on)
        pass


def _running() -> tuple[int, int] | None:
    """Give the running glibc's version; None where this is no glibc, or it doesn't tell."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        match = re.match(r"([0-9]+)\.([0-9]+)", version)
    except Exception:  # noqa: BLE001 (musl and others raise what they like)
        return None
    if name != "glibc" or match is None:
        return None
    return (int(match.group(1)), int(match.group(2)))


_LIMIT = min(_allowed(os.environ.get("NIX_PYTHON_MANYLINUX", "")), _running() or _NONE)

manylinux1_compatible = _LIMIT >= (2, 5)
manylinux2010_compatible = _LIMIT >= (2, 12)
manylinux2014_compatible = _LIMIT >= (2, 17)


def manylinux_compatible(tag_major: int, tag_minor: int, tag_arch: str) -> bool:
    """Tell whether wheels of manylinux_MAJOR_MINOR_ARCH are welcome (PEP 600).

    Installers have looked at the architecture themselves.
    """
    del tag_arch
    try:
        return (tag_major, tag_minor) <= _LIMIT
    except Exception:  # noqa: BLE001 (whatever an installer may pass)
        return False

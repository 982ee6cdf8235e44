"""A lock file of any of the four kinds, recognised by its name and its contents."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import NamedTuple

from nix_manylinux.base.errors import OsErrors
from nix_manylinux.lock.model import MAX_BYTES, BadLock, Lock
from nix_manylinux.lock.poetry import read_poetry
from nix_manylinux.lock.project import project_beside
from nix_manylinux.lock.pylock import read_pylock
from nix_manylinux.lock.requirements import read_requirements
from nix_manylinux.lock.toml import parse_toml
from nix_manylinux.lock.uv import read_uv

_CONDA = "conda's packages are no wheels; lock wheels: uv pip compile --generate-hashes"

#: What other tools write, by name or its end -> how to come from there to a lock that is known.
_OTHERS = {
    "Pipfile.lock": "pipenv requirements --hash > requirements.txt, and name that",
    "pdm.lock": "pdm export --format pylock --output pylock.toml, and name that",
    "pyproject.toml": "lock the project first (uv lock, poetry lock, pip lock), and name the lock",
    "pixi.lock": _CONDA,
    ".yml": _CONDA,
    ".yaml": _CONDA,
}


def read_lock(
    path: str,
    *,
    extras: Sequence[str] = (),
    groups: Sequence[str] = (),
    packages: Sequence[str] = (),
    all_packages: bool = False,
) -> Lock:
    """Read uv.lock, pylock.toml, poetry.lock, or a requirements file with hashes.

    ``extras`` and ``groups`` are those of the project that are wanted, too, ``packages`` members
    of a workspace, in place of what its own tool would take. Raises BadLock.
    """
    where = os.path.basename(path)
    hint = "name a uv.lock, pylock.toml, poetry.lock, or requirements.txt with hashes"
    other = next((_OTHERS[end] for end in _OTHERS if where.endswith(end)), "")
    with OsErrors(BadLock, "can't be read", where=path, hint=hint):
        if os.path.getsize(path) > MAX_BYTES:
            raise BadLock(f"has more than {MAX_BYTES} bytes", where=path)
        with open(path, "rb") as file:
            data = file.read()
    if other:
        raise BadLock("is no lock file of a kind that is known", where=path, hint=other)
    lock = _read(data, path, where, _Asked(extras, groups, packages, all_packages))
    if lock is None:
        raise BadLock("is no lock file of a kind that is known", where=path, hint=hint)
    if (packages or all_packages) and lock.kind != "uv.lock":
        raise BadLock(
            "has no members to ask for: those are of uv's workspaces",
            where=where,
            hint="leave --package and --all-packages out",
        )
    return lock


class _Asked(NamedTuple):
    """What of a lock is wanted."""

    extras: Sequence[str]
    groups: Sequence[str]
    packages: Sequence[str]
    all_packages: bool


def _read(data: bytes, path: str, where: str, asked: _Asked) -> Lock | None:
    sha256 = hashlib.sha256(data).hexdigest()
    if not where.endswith((".toml", ".lock")):
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as cause:
            raise BadLock(f"is not UTF-8 at byte {cause.start}", where=where) from cause
        lock = read_requirements(text, sha256, where, folder=os.path.dirname(path))
        if asked.extras or asked.groups:
            raise BadLock(
                "has no extras and no groups: what is in it was decided when it was made",
                where=where,
                hint="lock them in, and leave --extra and --group out: uv export --extra NAME"
                " --group NAME",
            )
        return lock
    table = parse_toml(data, where)
    if "lock-version" in table:
        return read_pylock(table, sha256, where, extras=asked.extras, groups=asked.groups)
    metadata = table.get("metadata")
    if isinstance(metadata, dict) and "lock-version" in metadata:
        project = project_beside(path)
        return read_poetry(table, sha256, extras=asked.extras, groups=asked.groups, project=project)
    if "version" in table and ("package" in table or "requires-python" in table):
        return read_uv(table, sha256, **asked._asdict())
    return None

"""Files that lie with a project, which its lock knows by their paths."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from nix_manylinux.base.digest import sha256_of
from nix_manylinux.base.errors import OsErrors
from nix_manylinux.base.values import replace
from nix_manylinux.lock.fetch import Fetched
from nix_manylinux.lock.model import BadLock, File
from nix_manylinux.nix.origin import DEFAULT_INDEX

if TYPE_CHECKING:
    from nix_manylinux.lock.choose import Chosen, Selection


def files_at_hand(
    choice: Selection, folder: str, reader: str
) -> tuple[Selection, dict[str, Fetched]]:
    """Find the wheels that lie with a lock in ``folder``; by packages' names.

    In the choice they have their digests, and, as archives and folders of sources do, their paths
    as ``reader``, another folder, needs them. One that has a URL, too, and isn't there, is left to
    be fetched. Raises BadLock for one that isn't there, or isn't what was locked.
    """
    packages, found = dict(choice.packages), dict[str, Fetched]()
    for name, chosen in choice.packages.items():
        wheel, sdist, local = chosen.wheel, chosen.package.sdist, chosen.package.local
        if wheel and wheel.path:
            place = os.path.join(folder, wheel.path)
            if wheel.url and not os.path.exists(place):
                packages[name] = replace(chosen, wheel=replace(wheel, path=""))
                continue
            path = _path_from(reader, place, wheel.path)
            wheel = replace(wheel, sha256=_digest(wheel, place), path=path, url="")
            packages[name] = replace(chosen, wheel=wheel)
            found[name] = Fetched(wheel, place, DEFAULT_INDEX)
        elif wheel is None and sdist and sdist.path:
            path = _path_from(reader, os.path.join(folder, sdist.path), sdist.path)
            package = replace(chosen.package, sdist=replace(sdist, path=path))
            packages[name] = replace(chosen, package=package)
        elif local and local.kind == "directory":
            packages[name] = _folder_from(reader, folder, chosen)
    projects = {name: _folder_from(reader, folder, each) for name, each in choice.projects.items()}
    return replace(choice, packages=packages, projects=projects), found


def _folder_from(reader: str, folder: str, chosen: Chosen) -> Chosen:
    local = chosen.package.local
    if local is None:
        return chosen
    path = _path_from(reader, os.path.join(folder, local.place), local.place)
    return replace(chosen, package=replace(chosen.package, local=replace(local, place=path)))


def _digest(file: File, place: str) -> str:
    """Give the sha256 of a file, if it is the one that was locked. Raises BadLock."""
    hint = "put back the file that the project was locked with, or lock it again"
    with OsErrors(BadLock, "can't be read", where=place, hint=hint):
        if not stat.S_ISREG(os.stat(place).st_mode):
            raise BadLock("is no file", where=place, hint=hint)
        digest = sha256_of(place).hex()
    if file.sha256 not in {"", digest}:
        raise BadLock("is not what was locked: its sha256 is another", where=place, hint=hint)
    return digest


def _path_from(folder: str, place: str, path: str) -> str:
    """Give a path as it is from a folder; an absolute one that leads out of it stays so."""
    near = os.path.relpath(place or ".", folder or ".")
    return path if os.path.isabs(path) and near.startswith("..") else near

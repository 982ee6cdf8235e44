"""Nix's store and its state: where they are, and which store paths a path leads through."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

#: What names in a store begin with: a hash in Nix's base 32. A pattern.
HASH = r"[0-9a-df-np-sv-z]{32}-"

#: So many links a path may lead through: Linux follows no more.
_MOST_LINKS = 40


def nix_store() -> str:
    """Give the folder of Nix's store: a build says where it is, and so may who calls Nix."""
    places = (os.environ.get(name) for name in ("NIX_STORE", "NIX_STORE_DIR"))
    return next(filter(None, places), "/nix/store")


def in_store(path: str) -> bool:
    """Whether an absolute path lies in Nix's store, which never changes."""
    return path[:1] == "/" and path.startswith(f"{nix_store()}/")


def stored_trees(paths: Iterable[str]) -> list[str]:
    """Give those of some paths that are folders in Nix's store, whichever way they are reached."""
    return [each for each in paths if os.path.isdir(each) and in_store(os.path.realpath(each))]


def store_path(path: str) -> str:
    """Give the store path that an absolute path lies in; "" outside of Nix's store."""
    store = nix_store()
    name = path[len(store) + 1 :].partition("/")[0] if path.startswith(f"{store}/") else ""
    return f"{store}/{name}" if name else ""


def store_paths_on_the_way(path: str) -> set[str]:
    """Give every store path that a path leads through, link by link, to where it ends."""
    return {found for step in _steps(os.path.abspath(path)) if (found := store_path(step))}


def _steps(path: str) -> Iterator[str]:
    """Give a path's folders, then itself; where one is a link, what that leads to, likewise."""
    here, names, links = "/", path.split("/"), 0
    while names:
        name = names.pop(0)
        if name in {"", "."}:
            continue
        if name == "..":
            here = os.path.dirname(here)
            continue
        step = os.path.join(here, name)
        yield step
        if not os.path.islink(step):
            here = step
            continue
        links += 1
        if links > _MOST_LINKS:
            return
        leads = os.readlink(step)
        here = "/" if leads.startswith("/") else here
        names = leads.split("/") + names


def roots_folder() -> str:
    """Give the folder in which Nix notes the links outside of it that are roots."""
    return os.path.join(os.environ.get("NIX_STATE_DIR") or "/nix/var/nix", "gcroots/auto")

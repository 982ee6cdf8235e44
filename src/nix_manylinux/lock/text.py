"""A lock as text for Nix: JSON, sorted, one fact a line; its shape is lock.schema.json's."""

from __future__ import annotations

import json
import os
import re

from nix_manylinux.base.digest import sha256_of
from nix_manylinux.base.errors import OsErrors
from nix_manylinux.base.values import as_json
from nix_manylinux.base.words import shell
from nix_manylinux.lock.model import BadLock, File, Lock
from nix_manylinux.nix.syntax import nix_beside, python_attribute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from nix_manylinux.lock.choose import Chosen, Selection
    from nix_manylinux.lock.needs import WheelNeeds

#: Each package of a circle names all of it, and all of it is one derivation.
MAX_CIRCLE = 500

#: Of the JSON's shape; a reader that knows another one refuses it.
SCHEMA = 1


def lock_json(
    lock: Lock,
    choices: Sequence[Selection],
    needs: Mapping[str, Mapping[str, WheelNeeds]],
    wanted: Mapping[str, Sequence[str] | bool],
) -> dict[str, Any]:
    """Give the JSON's values.

    ``needs`` are by environment (`key_of`) and package, and empty where the wheels were not
    looked into. ``wanted`` are the project's "extras", "groups" and the like.
    """
    return {
        "schema": SCHEMA,
        "lock": {
            "kind": lock.kind,
            "sha256": lock.sha256,
            **{
                kind: names if isinstance(names, bool) else sorted({*names})
                for kind, names in wanted.items()
                if names
            },
        },
        "environments": {
            key_of(each): _environment(each, needs.get(key_of(each), {})) for each in choices
        },
    }


def key_of(choice: Selection) -> str:
    """Name an environment: "3.12-x86_64-linux"."""
    return f"{choice.place.series}-{choice.place.system}"


def write_json(value: Mapping[str, Any]) -> str:
    """Spell the JSON the one way: sorted, two spaces, one fact a line."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True) + "\n"


def how_to_use(written: str, path: str, python: str, *, projects: bool = False) -> str:
    """Write a file for nix-build that makes the environment of a lock, which is from ``path``.

    With ``projects`` the user's own are in it.
    """
    folder = os.path.dirname(os.path.abspath(written))
    beside = folder == os.path.dirname(os.path.abspath(path))
    # Elsewhere there may be no way to it from here that Nix could take.
    files = [f"  lockFile = {nix_beside(os.path.basename(path))};"] if beside else []
    return "\n".join([
        "{",
        "  # ./nix-manylinux: a checkout of this tool, or a link to one: ln -s PATH nix-manylinux",
        "  pkgs ? import <nixpkgs> { overlays = [ (import ./nix-manylinux/nix/overlay.nix) ]; },",
        "}:",
        "(pkgs.manylinuxLockedPackages {",
        f"  lock = {nix_beside(os.path.basename(written))};",
        *files,
        f"  python = pkgs.{python_attribute(python)};",
        *(["  projects = true;"] if projects else []),
        "}).env",
    ])  # fmt: skip


def check_fresh(written: str, path: str) -> None:
    """Raise BadLock unless ``written`` is a lock of ours, made from the file at ``path``."""
    words = ["nix-manylinux", "lock", path, "-o", written]
    with OsErrors(BadLock, "can't be read", where=path, named=True):
        sha256 = sha256_of(path).hex()
        with open(written, "rb") as file:
            data = file.read()
    try:
        value = json.loads(data)
        made_from = value["lock"]["sha256"] if value["schema"] == SCHEMA else None
        if made_from != sha256:
            words += _options_of(value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what, hint = "is no lock of nix-manylinux", shell(*words)
        raise BadLock(what, where=written, hint=hint) from error
    if made_from != sha256:
        what = f"is stale: {path} has changed since"
        raise BadLock(what, where=written, hint=shell(*words))


def _options_of(value: Mapping[str, Any]) -> list[str]:
    """Give the options by which a lock was made, as far as it is of ours at all."""
    keys = [key.split("-", 1) for key in value["environments"]]
    options = {
        "--python-version": sorted({key[0] for key in keys}, key=len),
        "--system": sorted({key[1] for key in keys}),
        "--extra": value["lock"].get("extras", []),
        "--group": value["lock"].get("groups", []),
        "--package": value["lock"].get("packages", []),
    }
    all_packages = ["--all-packages"] if value["lock"].get("allPackages") else []
    words = [word for option, names in options.items() for name in names for word in (option, name)]
    words += all_packages
    packages = [p for each in value["environments"].values() for p in each["packages"].values()]
    unseen = packages and not any("format" in package for package in packages)
    return [*words, "--no-inspect"] if unseen else words


def _environment(choice: Selection, needs: Mapping[str, WheelNeeds]) -> dict[str, Any]:
    edges = {
        name: sorted({*chosen.dependencies, *(needs[name].wheels if name in needs else ())})
        for name, chosen in choice.packages.items()
    }
    # Wheels that need each other are installed as one. A source is built without what needs it.
    wheels = {name for name, chosen in choice.packages.items() if chosen.wheel is not None}
    groups = circles_of({name: edges[name] for name in edges if name in wheels})
    largest = max(map(len, groups), default=0)
    if largest > MAX_CIRCLE:
        raise BadLock(
            f"{largest} packages require each other in a circle, more than {MAX_CIRCLE}",
            where=str(choice.place),
            hint="they would have to be built as one: is the lock what a tool wrote?",
        )
    circles = {name: group for group in circles_of(edges) for name in group if name not in wheels}
    circles |= {name: group for group in groups for name in group}
    packages = {}
    sources = {}
    for name, chosen in choice.packages.items():
        entry: dict[str, Any] = {"version": chosen.package.version, "dependencies": edges[name]}
        if name in circles:
            entry["circle"] = circles[name]
        if chosen.wheel is None:
            sources[name] = entry | _source(chosen)
            continue
        entry |= _file(chosen.wheel)
        if found := needs.get(name):
            entry["format"] = found.format
            entry["needs"] = as_json(found, "drivers", "nixpkgs", "unknown")
        packages[name] = entry
    projects = _projects(choice.projects)
    return {
        "roots": list(choice.roots),
        "packages": packages,
        "sources": sources,
        **({"projects": projects} if projects else {}),
    }


def _projects(projects: Mapping[str, Chosen]) -> dict[str, Any]:
    """Give the entries of the user's own; of those that need each other each names all of them."""
    edges = {name: each.dependencies for name, each in projects.items()}
    circles = {name: {"circle": group} for group in circles_of(edges) for name in group}
    return {
        name: {"version": each.package.version, "dependencies": list(edges[name])}
        | circles.get(name, {})
        | _source(each)
        for name, each in projects.items()
    }


def _file(file: File) -> dict[str, str]:
    url = re.sub(r"^(https?://)[^/?#]*@", r"\1", file.url)  # no name, no password
    where = {"path": file.path} if file.path else {"url": url} if url else {}
    digest = {"sha256": file.sha256} if file.sha256 else {}
    return {"file": file.name, **digest, **where}


def _source(chosen: Chosen) -> dict[str, Any]:
    package = chosen.package
    told = {
        "sdist": package.sdist and _file(package.sdist),
        "local": package.local and str(package.local),
        "revision": package.local and package.local.revision,
        "subdirectory": package.subdirectory,
    }
    return {key: value for key, value in told.items() if value}


def circles_of(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """List the groups of packages that need each other, each sorted (Kosaraju's algorithm)."""
    known = {name: [each for each in others if each in edges] for name, others in edges.items()}
    back: dict[str, list[str]] = {name: [] for name in known}
    for name, others in known.items():
        for other in others:
            back[other].append(name)
    seen: set[str] = set()
    order = [name for start in sorted(known) for name in _visit(start, known, seen)]
    seen = set()
    groups = [_visit(start, back, seen) for start in reversed(order)]
    return [sorted(group) for group in groups if len(group) > 1]


def _visit(start: str, edges: Mapping[str, Sequence[str]], seen: set[str]) -> list[str]:
    """Give all that is reached and was not seen yet, each behind what it leads to."""
    if start in seen:
        return []
    seen.add(start)
    left, done = [(start, iter(edges[start]))], []
    while left:
        name, others = left[-1]
        following = next((each for each in others if each not in seen), None)
        if following is None:
            done.append(name)
            left.pop()
        else:
            seen.add(following)
            left.append((following, iter(edges[following])))
    return done

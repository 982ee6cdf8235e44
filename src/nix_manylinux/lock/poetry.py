"""poetry.lock: lock versions 1.1 to 2.1.

What the project wants itself, and where, the file says since lock version 2.1. For older ones
that is read from the pyproject.toml beside it; where there is none, every package of the main
group is wanted everywhere.
"""

from __future__ import annotations

import re
from collections import Counter

from nix_manylinux.lock.model import (
    BadLock,
    Dependency,
    Local,
    Lock,
    Package,
    checked_file,
    checked_name,
    checked_version,
    refuse_unknown,
    web_addresses,
)
from nix_manylinux.lock.project import (
    conditions_of,
    edges_of,
    groups_of,
    project_itself,
    specifier_of,
    wanted_by,
)
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from nix_manylinux.lock.toml import TomlTable


def read_poetry(
    table: TomlTable,
    sha256: str,
    *,
    extras: Sequence[str],
    groups: Sequence[str],
    project: TomlTable | None = None,
) -> Lock:
    """Read a poetry.lock. ``extras`` and ``groups`` are those of the project that are wanted.

    ``project`` is the pyproject.toml beside it. Raises BadLock.
    """
    metadata = table.table("metadata")
    version = metadata.string("lock-version")
    if version.partition(".")[0] not in {"1", "2"}:
        raise BadLock(
            f"is of lock version {version or 'none'}, and 1.1 to 2.1 are known",
            where=table.where,
            hint="lock again with a newer poetry",
        )
    # Before lock version 2.0 files stood in the metadata, by package.
    elsewhere = metadata.table("files")
    offered = table.table("extras")
    refuse_unknown(extras, offered, table.where, kind="extra")
    asked = {*map(normalise_name, extras)}
    by_extra = {
        checked_name(name, table.where)
        for extra in offered
        if normalise_name(extra) in asked
        for name in offered.strings(extra)
    }
    rows = list(table.tables("package"))
    old = version.startswith("1.") or version == "2.0"
    direct = wanted_by(project, extras=extras, groups=groups) if old and project else ()
    known = {name for row in rows for name in _groups(row)}
    if known and not direct:  # lock version 2.0 doesn't tell them
        refuse_unknown(groups, known, table.where, kind="group")
    every = {*known, *(groups_of(project) if old and project else ())} - {"main"}
    names = {normalise_name(name) for name in groups}
    wanted_groups = {"main", *(name for name in known if normalise_name(name) in names)}
    names_of = [checked_name(row.get("name"), row.where) for row in rows]
    twice = {name for name, times in Counter(names_of).items() if old and times > 1}
    packages, roots = [], []
    for name, row in zip(names_of, rows, strict=True):
        listed = row.tables("files") if "files" in row else elsewhere.tables(name)
        source = row.table("source")
        kind, url = source.string("type"), source.string("url")
        is_project = kind == "directory" and row.flag("develop")
        own, path = url if kind == "url" else "", url if kind == "file" else ""
        files = [checked_file(f.get("file"), f.get("hash"), own, f.where, path) for f in listed]
        package = Package(
            name=name,
            version=checked_version(row.get("version"), row.where),
            marker=_marker(row, wanted_groups, twice),
            dependencies=tuple(edges_of(row.table("dependencies"))),
            extras=tuple(_extras(row)),
            wheels=tuple(file for file in files if file.name.endswith(".whl")),
            sdist=next((file for file in files if not file.name.endswith(".whl")), None),
            local=Local(kind=kind, place=url, revision=source.string("resolved_reference"))
            if kind not in {"", "legacy", "pypi", "url", "file"}
            else None,
            subdirectory=source.string("subdirectory"),
            indexes=web_addresses(url) if kind == "legacy" else (),
            is_project=is_project,
        )
        packages.append(package)
        is_wanted = not row.flag("optional") or name in by_extra
        if is_wanted and (_groups(row) or {"main"}) & wanted_groups:
            roots.append(Dependency(name=name, version=package.version))
    wanted = direct or tuple(roots)
    if project and (itself := project_itself(project)) and itself[0] not in names_of:
        folder = Local(kind="directory", place=".")
        name, own_version = itself
        packages.append(
            Package(
                name=name,
                version=own_version,
                dependencies=wanted,
                local=folder,
                is_project=True,
            )
        )
        wanted = (*wanted, Dependency(name=name))
    return Lock(
        kind="poetry.lock",
        sha256=sha256,
        packages=tuple(packages),
        roots=wanted,
        requires_python=specifier_of(metadata.string("python-versions")),
        extra=tuple(sorted(asked)),
        left={
            "group": tuple(name for name in sorted(every) if normalise_name(name) not in names),
            "extra": tuple(name for name in sorted(offered) if normalise_name(name) not in asked),
        },
    )


def _groups(row: TomlTable) -> set[str]:
    """Give the groups that a package is of; none where the lock doesn't tell."""
    return {*row.strings("groups"), *filter(None, [row.string("category")])}


def _marker(row: TomlTable, groups: set[str], twice: Collection[str]) -> str:
    """Read a package's own marker (lock version 2.1): one for all groups, or for some of them.

    Of an older lock's packages of one name that one is meant which is for the Python.
    """
    if isinstance(row.get("markers"), dict):
        each = row.table("markers")
        found = [each.string(group) for group in sorted(_groups(row) & groups)]
        return " or ".join(f"({marker})" for marker in found) if all(found) else ""
    if normalise_name(row.string("name")) in twice:
        return " and ".join(conditions_of(row.string("python-versions")))
    return row.string("markers")


def _extras(row: TomlTable) -> Iterator[tuple[str, tuple[Dependency, ...]]]:
    """Give what a package's extras add: names in front of their constraints, and their markers."""
    table, own = row.table("extras"), row.table("dependencies")
    optional = {normalise_name(name) for name in own}
    markers = {edge.name: edge.marker for edge in edges_of(own, optional=optional)}
    for extra in table:
        names = [text.partition(" ")[0].partition("[")[0] for text in table.strings(extra)]
        mine = rf"""extra\s*==\s*(["']){re.escape(extra)}\1"""
        found = [checked_name(name, table.where) for name in names]
        marked = [
            (name, re.sub(mine, "os_name == 'posix'", markers.get(name, ""))) for name in found
        ]
        yield extra, tuple(Dependency(name=name, marker=marker) for name, marker in marked)

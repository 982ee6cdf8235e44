"""uv.lock (https://docs.astral.sh/uv/concepts/projects/layout/#the-lockfile): version 1."""

from __future__ import annotations

from nix_manylinux.lock.model import (
    BadLock,
    Dependency,
    File,
    Lock,
    Package,
    checked_file,
    checked_name,
    checked_version,
    file_of,
    web_addresses,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nix_manylinux.lock.toml import TomlTable

#: Kinds of ``source`` that are the project's own folders.
_PROJECT = ("virtual", "editable")


def read_uv(table: TomlTable, sha256: str, *, extras: Sequence[str], groups: Sequence[str]) -> Lock:
    """Read a uv.lock. ``extras`` and ``groups`` are those of the project that are wanted.

    The roots are the dependencies of the workspace's members. Raises BadLock.
    """
    if table.integer("version") != 1:
        raise BadLock(
            f"is of version {table.integer('version')}, and only 1 is known",
            where=table.where,
            hint="a newer nix-manylinux may know it",
        )
    packages: list[Package] = []
    roots: list[Dependency] = []
    projects: list[str] = []
    known: set[str] = set()
    for row in table.tables("package"):
        source = row.table("source")
        name = checked_name(row.get("name"), row.where)
        optional = row.table("optional-dependencies")
        added = {key: tuple(_edges(optional, key)) for key in optional}
        own = tuple(_edges(row, "dependencies"))
        if any(kind in source for kind in _PROJECT):
            projects += [name] if "editable" in source else []  # else no package at all
            roots += own
            roots += [edge for extra in extras for edge in added.get(extra, ())]
            development = row.table("dev-dependencies")
            roots += [edge for group in groups for edge in _edges(development, group)]
            known |= {*added, *development}
            continue
        packages.append(
            Package(
                name=name,
                version=checked_version(row.get("version") or "0", row.where),
                marker=" or ".join(f"({each})" for each in row.strings("resolution-markers")),
                dependencies=own,
                extras=tuple(sorted(added.items())),
                wheels=tuple(map(_file, row.tables("wheels"))),
                sdist=_file(row.table("sdist")) if "sdist" in row else None,
                local=_local(source),
                indexes=web_addresses(source.string("registry")),
            )
        )
    for wanted in (*extras, *groups):
        if wanted not in known:
            raise BadLock(
                f"has no extra or group {wanted!r}",
                where=table.where,
                hint=f"it has {', '.join(sorted(known)) or 'none'}",
            )
    return Lock(
        kind="uv.lock",
        sha256=sha256,
        packages=tuple(packages),
        roots=tuple(roots),
        requires_python=table.string("requires-python"),
        projects=tuple(projects),
    )


def _edges(row: TomlTable, key: str) -> Iterator[Dependency]:
    for edge in row.tables(key):
        yield Dependency(
            name=checked_name(edge.get("name"), edge.where),
            marker=edge.string("marker"),
            extras=edge.strings("extra"),
            version=edge.string("version"),
        )


def _file(row: TomlTable) -> File:
    url = row.string("url")
    name = row.string("filename") or file_of(url or row.string("path"))
    return checked_file(name, row.get("hash"), url, row.where)


def _local(source: TomlTable) -> str:
    for kind in ("git", "directory", "path"):
        if kind in source:
            return f"{kind} {source.string(kind)}"
    return ""

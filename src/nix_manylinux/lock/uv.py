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
    extra_name,
    file_of,
    refuse_unknown,
    web_addresses,
)
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nix_manylinux.lock.toml import TomlTable

#: Kinds of ``source`` that are the user's own folders, whose packages are no files.
_PROJECT = ("virtual", "editable")


def read_uv(table: TomlTable, sha256: str, *, extras: Sequence[str], groups: Sequence[str]) -> Lock:
    """Read a uv.lock. ``extras`` and ``groups`` are those of the project that are wanted.

    The roots are the workspace's members, or what a script requires. Raises BadLock.
    """
    if table.integer("version") != 1:
        raise BadLock(
            f"is of version {table.integer('version')}, and only 1 is known",
            where=table.where,
            hint="a newer nix-manylinux may know it",
        )
    rows = list(table.tables("package"))
    packages = tuple(map(_package, rows))
    projects = {each.name: each for each in packages if each.is_project}
    members = [projects[name] for name in _members(table, rows) if name in projects]
    wanted, asked = [*map(normalise_name, extras)], [*map(normalise_name, groups)]
    manifest = table.table("manifest")
    roots, names = [*_edges(manifest, "requirements")], []
    common = manifest.table("dependency-groups")  # of a workspace without a project
    known = [*common]
    for group in (each for each in asked if each in common):
        roots += _edges(common, group)
    for member, row in zip(packages, rows, strict=True):
        if member not in members:
            continue
        # What is empty stands there alone.
        metadata = row.table("metadata")
        offered = {*(extra for extra, _ in member.extras), *metadata.strings("provides-extras")}
        roots.append(
            Dependency(name=member.name, extras=tuple(each for each in wanted if each in offered))
        )
        names.append(extra_name("project", member.name))
        development = row.table("dev-dependencies")
        grouped = {*development, *metadata.table("requires-dev")}
        for group in (each for each in asked if each in grouped):
            roots += _edges(development, group)
            names.append(extra_name("group", member.name, group))
        known += [*offered, *grouped]
    refuse_unknown([*extras, *groups], known, table.where)
    return Lock(
        kind="uv.lock",
        sha256=sha256,
        packages=packages,
        roots=tuple(roots),
        requires_python=table.string("requires-python"),
        extra=tuple(names),
        conflicts=tuple(tuple(_conflict(rows)) for rows in table.lists("conflicts")),
        environments=table.strings("supported-markers"),
    )


def _members(table: TomlTable, rows: Sequence[TomlTable]) -> list[str]:
    """Name the projects that the lock is of; others in it are what those depend on."""
    manifest = table.table("manifest")
    listed = [checked_name(name, manifest.where) for name in manifest.strings("members")]
    if listed or "requirements" in manifest:
        return listed
    named = [
        (checked_name(row.get("name"), row.where), source.string(kind))
        for row in rows
        for source in [row.table("source")]
        for kind in _PROJECT
        if kind in source
    ]
    return [name for name, folder in named if folder == "."] or [name for name, _ in named]


def _package(row: TomlTable) -> Package:
    source = row.table("source")
    optional = row.table("optional-dependencies")
    return Package(
        name=checked_name(row.get("name"), row.where),
        version=checked_version(row.get("version") or "0", row.where),
        marker=" or ".join(f"({each})" for each in row.strings("resolution-markers")),
        dependencies=tuple(_edges(row, "dependencies")),
        extras=tuple((key, tuple(_edges(optional, key))) for key in sorted(optional)),
        wheels=tuple(map(_file, row.tables("wheels"))),
        sdist=_file(row.table("sdist")) if "sdist" in row else None,
        local=_local(source),
        indexes=web_addresses(source.string("registry")),
        source=_spelt(source),
        is_project=any(kind in source for kind in _PROJECT),
    )


def _edges(row: TomlTable, key: str) -> Iterator[Dependency]:
    for edge in row.tables(key):
        yield Dependency(
            name=checked_name(edge.get("name"), edge.where),
            marker=edge.string("marker"),
            extras=edge.strings("extra") or edge.strings("extras"),
            version=edge.string("version"),
            source=_spelt(edge.table("source")),
        )


def _spelt(source: TomlTable) -> str:
    return " ".join(f"{kind} {value}" for kind, value in sorted(source.items()))


def _conflict(rows: Iterable[TomlTable]) -> Iterator[tuple[str, str]]:
    """Give what can't be in one environment: what `Lock.extra` has for it, and what it is."""
    for row in rows:
        package = checked_name(row.get("package"), row.where)
        name, kind = next(
            ((row.string(kind), kind) for kind in ("extra", "group") if kind in row),
            ("", "project"),
        )
        yield extra_name(kind, package, name), f"{kind} {name or package}"


def _file(row: TomlTable) -> File:
    url = row.string("url")
    name = row.string("filename") or file_of(url or row.string("path"))
    return checked_file(name, row.get("hash"), url, row.where)


def _local(source: TomlTable) -> str:
    for kind in ("git", "directory", "path", "editable"):
        if kind in source:
            return f"{kind} {source.string(kind)}"
    return ""

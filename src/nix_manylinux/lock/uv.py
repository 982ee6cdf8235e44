"""uv.lock (https://docs.astral.sh/uv/concepts/projects/layout/#the-lockfile): version 1."""

from __future__ import annotations

import os
from urllib.parse import parse_qsl

from nix_manylinux.base.words import some
from nix_manylinux.lock.model import (
    BadLock,
    Dependency,
    File,
    Local,
    Lock,
    Package,
    checked_file,
    checked_name,
    checked_version,
    extra_name,
    file_of,
    path_of,
    refuse_unknown,
    web_addresses,
)
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from nix_manylinux.lock.toml import TomlTable

#: Kinds of ``source`` that are the user's own folders, whose packages are no files.
_PROJECT = ("virtual", "editable")


def read_uv(
    table: TomlTable,
    sha256: str,
    *,
    extras: Sequence[str],
    groups: Sequence[str],
    packages: Sequence[str] = (),
    all_packages: bool = False,
) -> Lock:
    """Read a uv.lock. ``extras`` and ``groups`` are those of the project that are wanted.

    The roots are what `uv sync` begins with: the project of the lock's folder, or all of a
    workspace that has none there, or what a script requires; else the members ``packages``,
    or all of them. Raises BadLock.
    """
    if table.integer("version") != 1:
        raise BadLock(
            f"is of version {table.integer('version')}, and only 1 is known",
            where=table.where,
            hint="a newer nix-manylinux may know it",
        )
    rows = list(table.tables("package"))
    read = tuple(map(_package, rows))
    members = _members(table, [_Member(*pair) for pair in zip(read, rows, strict=True)])
    own = [each for each in members if each.is_own]
    refuse_unknown(packages, [each.name for each in members], table.where, kind="member")
    named = {*map(normalise_name, packages)}
    taken = [each for each in members if each.name in named]
    taken = members if all_packages else taken or own or members
    wanted, asked = [*map(normalise_name, extras)], [*map(normalise_name, groups)]
    common = table.table("manifest").table("dependency-groups")  # of a workspace without a project
    offered = {extra for member in taken for extra in member.extras}
    grouped = {group for member in taken for group in member.groups}
    # uv has them of the project in the lock's folder, too, whichever member is named.
    known = {*grouped, *common, *(group for member in own for group in member.groups)}
    _refuse_other([*wanted, *asked], offered | known, taken, members, table.where)
    roots, names = [*_edges(table.table("manifest"), "requirements")], []
    for member in taken:
        mine = tuple(each for each in wanted if each in member.extras)
        roots.append(Dependency(name=member.name, extras=mine))
        names.append(extra_name("project", member.name))
    for group in asked:
        roots += _edges(common, group)
        for member in taken if group in grouped else own:
            if group in member.groups:
                roots += _edges(member.row.table("dev-dependencies"), group)
                names.append(extra_name("group", member.name, group))
    return Lock(
        kind="uv.lock",
        sha256=sha256,
        packages=read,
        roots=tuple(roots),
        requires_python=table.string("requires-python"),
        extra=tuple(names),
        conflicts=tuple(tuple(_conflict(rows)) for rows in table.lists("conflicts")),
        environments=table.strings("supported-markers"),
        left={
            "package": tuple(each.name for each in members if each not in taken),
            "group": tuple(sorted({*grouped, *common} - {*asked})),
            "extra": tuple(sorted(offered - {*wanted})),
        },
    )


def _refuse_other(
    asked: Sequence[str],
    known: Collection[str],
    taken: Sequence[_Member],
    members: Sequence[_Member],
    where: str,
) -> None:
    """Raise BadLock for an extra or a group that is not of the members that are taken."""
    for name in asked:
        has = [each.name for each in members if name in {*each.extras, *each.groups}]
        if has and name not in known:
            raise BadLock(
                f"has no extra or group {name!r} of {some([each.name for each in taken], 3)}",
                where=where,
                hint=f"{some(has, 3)} has it: --package {has[0]}",
            )
    refuse_unknown(asked, known, where)


class _Member:
    """A project of the lock: its package, its row; the extras and groups that can be asked for."""

    def __init__(self, package: Package, row: TomlTable) -> None:
        self.package, self.row, self.name = package, row, package.name
        # What is empty stands there alone.
        metadata = row.table("metadata")
        self.extras = {*(name for name, _ in package.extras), *metadata.strings("provides-extras")}
        self.groups = {*row.table("dev-dependencies"), *metadata.table("requires-dev")}

        source = row.table("source")
        self.is_own = "." in [source.get(kind) for kind in _PROJECT]  # of the lock's folder


def _members(table: TomlTable, found: Sequence[_Member]) -> list[_Member]:
    """Give the projects that the lock is of; others in it are what those depend on."""
    projects = [each for each in found if each.package.is_project]
    manifest = table.table("manifest")
    listed = [checked_name(name, manifest.where) for name in manifest.strings("members")]
    if listed or "requirements" in manifest:
        return [each for each in projects if each.name in listed]
    return [each for each in projects if each.is_own] or projects


def _package(row: TomlTable) -> Package:
    source = row.table("source")
    optional = row.table("optional-dependencies")
    return Package(
        name=checked_name(row.get("name"), row.where),
        version=checked_version(row.get("version") or "0", row.where),
        marker=" or ".join(f"({each})" for each in row.strings("resolution-markers")),
        dependencies=tuple(_edges(row, "dependencies")),
        extras=tuple((key, tuple(_edges(optional, key))) for key in sorted(optional)),
        wheels=tuple(_file(each, source) for each in row.tables("wheels")),
        sdist=_file(row.table("sdist"), source) if "sdist" in row else None,
        local=_local(source),
        indexes=web_addresses(source.string("registry")),
        source=_spelt(source),
        subdirectory=_inside(source),
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


def _file(row: TomlTable, source: TomlTable) -> File:
    """Read a file; one of a folder's index has its path from there, one file its source's place."""
    folder = source.string("registry")
    path = row.string("path") and os.path.join(path_of(folder), row.string("path"))
    url, path = row.string("url") or source.string("url"), path or source.string("path")
    name = row.string("filename") or file_of(url or path)
    return checked_file(name, row.get("hash"), url, row.where, path)


def _local(source: TomlTable) -> Local | None:
    url, _, revision = source.string("git").partition("#")
    if url:
        return Local(kind="git", place=url.partition("?")[0], revision=revision)
    folder = source.string("directory") or source.string("editable")
    return Local(kind="directory", place=folder) if folder else None


def _inside(source: TomlTable) -> str:
    """Say where in an archive or a checkout a package is."""
    _, _, query = source.string("git").partition("#")[0].partition("?")
    return source.string("subdirectory") or dict(parse_qsl(query)).get("subdirectory", "")

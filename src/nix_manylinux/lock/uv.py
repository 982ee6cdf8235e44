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
    refuse_unknown,
    web_addresses,
)
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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
    developments = {
        each.name: row.table("dev-dependencies")
        for each, row in zip(packages, rows, strict=True)
        if each in members
    }
    developments[""] = manifest.table("dependency-groups")  # of a workspace without a project
    known = [name for development in developments.values() for name in development]
    known += [extra for member in members for extra, _ in member.extras]
    refuse_unknown([*extras, *groups], known, table.where)

    roots = [*_edges(manifest, "requirements")]
    for member in members:
        own = tuple(extra for extra, _ in member.extras if extra in wanted)
        roots.append(Dependency(name=member.name, extras=own))
    names = [f"project-{len(member.name)}-{member.name}" for member in members]
    for name, development in developments.items():
        for group in (each for each in asked if each in development):
            roots += _edges(development, group)
            names.append(f"group-{len(name)}-{name}-{group}")
    reached = _reached(roots, projects)
    names += [f"extra-{len(name)}-{name}-{extra}" for name, extra in reached if extra]
    _refuse_conflicts(table, {*names})
    editable = {each.name for each, row in zip(packages, rows, strict=True) if _is_editable(row)}
    return Lock(
        kind="uv.lock",
        sha256=sha256,
        packages=packages,
        roots=tuple(roots),
        requires_python=table.string("requires-python"),
        projects=tuple(name for name in projects if (name, "") in reached and name in editable),
        extra=tuple(sorted(names)),
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


def _is_editable(row: TomlTable) -> bool:
    return "editable" in row.table("source")


def _reached(roots: Iterable[Dependency], projects: Mapping[str, Package]) -> set[tuple[str, str]]:
    """Give the projects that edges lead to, each with "" and the extras that it is wanted with."""
    reached: set[tuple[str, str]] = set()
    queue = [*roots]
    while queue:
        edge = queue.pop()
        if (project := projects.get(edge.name)) is None:
            continue
        added = {**dict(project.extras), "": project.dependencies}
        new = {(edge.name, extra) for extra in ("", *edge.extras)} - reached
        reached |= new
        queue += [each for _, extra in new for each in added.get(extra, ())]
    return reached


def _refuse_conflicts(table: TomlTable, names: set[str]) -> None:
    """Raise BadLock for what the project says that can't be had at once."""
    for conflict in table.lists("conflicts"):
        said = []
        for row in conflict:
            package = checked_name(row.get("package"), row.where)
            extra, group = row.string("extra"), row.string("group")
            kind = "extra" if extra else "group" if group else "project"
            name = f"{kind}-{len(package)}-{package}"
            if (f"{name}-{extra or group}" if extra or group else name) in names:
                said.append(f"{kind} {extra or group or package}")
        if len(said) > 1:
            raise BadLock(
                f"has a conflict of {' and '.join(said)}: they can't be in one environment",
                where=table.where,
                hint="ask for one of them, and make a file of each: -o FILE"
                if any(not each.startswith("project") for each in said)
                else "export one, and name that: uv export --package NAME --format pylock.toml"
                " -o pylock.toml",
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

"""poetry.lock: lock versions 1.1 to 2.1.

The file says nothing of the project itself; its dependencies are read from the pyproject.toml
beside it, and where there is none every package of the main group is wanted.
"""

from __future__ import annotations

import re

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from nix_manylinux.lock.model import (
    BadLock,
    Dependency,
    Lock,
    Package,
    checked_file,
    checked_name,
    checked_version,
    refuse_unknown,
    web_addresses,
)
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nix_manylinux.lock.toml import TomlTable


def read_poetry(
    table: TomlTable, sha256: str, *, extras: Sequence[str], groups: Sequence[str]
) -> Lock:
    """Read a poetry.lock. ``extras`` and ``groups`` are those of the project that are wanted.

    Raises BadLock.
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
    known = {name for row in table.tables("package") for name in _groups(row)}
    if known:  # lock version 2.0 doesn't tell them
        refuse_unknown(groups, known, table.where, kind="group")
    names = {normalise_name(name) for name in groups}
    wanted_groups = {"main", *(name for name in known if normalise_name(name) in names)}
    packages, roots = [], []
    for row in table.tables("package"):
        name = checked_name(row.get("name"), row.where)
        rows = row.tables("files") if "files" in row else elsewhere.tables(name)
        kind, url = (row.table("source").string(key) for key in ("type", "url"))
        own = url if kind == "url" else ""
        files = [checked_file(f.get("file"), f.get("hash"), own, f.where) for f in rows]
        package = Package(
            name=name,
            version=checked_version(row.get("version"), row.where),
            marker=_marker(row, wanted_groups),
            dependencies=tuple(_edges(row.table("dependencies"))),
            extras=tuple(_extras(row)),
            wheels=tuple(file for file in files if file.name.endswith(".whl")),
            sdist=next((file for file in files if not file.name.endswith(".whl")), None),
            local=f"{kind} {url}" if kind not in {"", "legacy", "pypi"} else "",
            indexes=web_addresses(url) if kind == "legacy" else (),
        )
        packages.append(package)
        is_wanted = not row.flag("optional") or name in by_extra
        if is_wanted and (_groups(row) or {"main"}) & wanted_groups:
            roots.append(Dependency(name=name, version=package.version))
    return Lock(
        kind="poetry.lock",
        sha256=sha256,
        packages=tuple(packages),
        roots=tuple(roots),
        requires_python=_requires_python(metadata.string("python-versions")),
        extra=tuple(sorted(asked)),
    )


def _requires_python(text: str) -> str:
    """Spell what poetry says of Pythons as a specifier (PEP 440); "" where there is none."""
    caret = re.sub(r"\^(3(?:\.[0-9]+)*)", r">=\1,<4", text.replace(" ", ""))
    spelt = re.sub(r"(?<![<>=!~])~(3\.[0-9]+)(?:\.[0-9]+)?(?=,|$)", r"==\1.*", caret)
    try:
        return str(SpecifierSet(spelt))
    except InvalidSpecifier:  # alternatives, "||"
        return ""


def _groups(row: TomlTable) -> set[str]:
    """Give the groups that a package is of; none where the lock doesn't tell."""
    return {*row.strings("groups"), *filter(None, [row.string("category")])}


def _marker(row: TomlTable, groups: set[str]) -> str:
    """Read a package's own marker (lock version 2.1): one for all groups, or for some of them."""
    if isinstance(row.get("markers"), dict):
        each = row.table("markers")
        found = [each.string(group) for group in sorted(_groups(row) & groups)]
        return " or ".join(f"({marker})" for marker in found) if all(found) else ""
    return row.string("markers")


def _edges(table: TomlTable) -> Iterator[Dependency]:
    for key in table:
        name, value = checked_name(key, table.where), table.get(key)
        if isinstance(value, str):
            yield Dependency(name=name)
            continue
        for row in [table.table(key)] if isinstance(value, dict) else table.tables(key):
            if not row.flag("optional"):
                yield Dependency(
                    name=name, marker=row.string("markers"), extras=row.strings("extras")
                )


def _extras(row: TomlTable) -> Iterator[tuple[str, tuple[Dependency, ...]]]:
    """Give what a package's extras add: names in front of their constraints."""
    table = row.table("extras")
    for extra in table:
        names = [text.partition(" ")[0].partition("[")[0] for text in table.strings(extra)]
        yield extra, tuple(Dependency(name=checked_name(n, table.where)) for n in names)

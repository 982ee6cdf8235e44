"""The pyproject.toml beside a poetry.lock: what the project wants, which old locks don't tell."""

from __future__ import annotations

import os
import re

from packaging.requirements import InvalidRequirement, Requirement

from nix_manylinux.base.errors import OsErrors
from nix_manylinux.base.files import read_small
from nix_manylinux.lock.model import (
    MAX_BYTES,
    BadLock,
    Dependency,
    checked_name,
    checked_version,
    refuse_unknown,
)
from nix_manylinux.lock.toml import TomlTable, parse_toml
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def project_beside(lock: str) -> TomlTable | None:
    """Read the pyproject.toml beside a lock; None where there is none. Raises BadLock."""
    path = os.path.join(os.path.dirname(lock), "pyproject.toml")
    if not os.path.exists(path):
        return None
    with OsErrors(BadLock, "can't be read", where=path):
        return parse_toml(read_small(path, MAX_BYTES), "pyproject.toml")


def project_itself(project: TomlTable) -> tuple[str, str] | None:
    """Give the name and the version of what `poetry install` installs of the folder itself.

    None for nothing, or if it isn't said what builds it. Raises BadLock.
    """
    poetry, standard = project.table("tool").table("poetry"), project.table("project")
    name = standard.string("name") or poetry.string("name")
    if not name or "build-system" not in project or poetry.get("package-mode") is False:
        return None
    version = standard.string("version") or poetry.string("version") or "0"
    return checked_name(name, project.where), checked_version(version, project.where)


def wanted_by(
    project: TomlTable, *, extras: Sequence[str], groups: Sequence[str]
) -> tuple[Dependency, ...]:
    """List what a project wants directly, with these of its extras and groups. Raises BadLock."""
    poetry, standard = project.table("tool").table("poetry"), project.table("project")
    asked = {*map(normalise_name, extras)}
    own = poetry.table("dependencies")
    if "dependencies" in standard:  # those of poetry's own table only say where from
        found = [*_requirements(standard.strings("dependencies"), standard.where)]
        for extra in standard.table("optional-dependencies"):
            if normalise_name(extra) in asked:
                texts = standard.table("optional-dependencies").strings(extra)
                found += _requirements(texts, standard.where)
    else:
        offered = poetry.table("extras")
        of_extra = {
            normalise_name(name)
            for extra in offered
            if normalise_name(extra) in asked
            for name in offered.strings(extra)
        }
        found = [*edges_of(own, optional=of_extra)]
    known = groups_of(project)
    refuse_unknown(groups, known, project.where, kind="group")
    names = {*map(normalise_name, groups)}
    for name, table in known.items():
        found += edges_of(table) if normalise_name(name) in names else ()
    return tuple(each for each in found if each.name != "python")


def groups_of(project: TomlTable) -> dict[str, TomlTable]:
    """Give the tables of a project's dependency groups, those of poetry's own table."""
    poetry = project.table("tool").table("poetry")
    tables = poetry.table("group")
    known = {name: tables.table(name).table("dependencies") for name in tables}
    if "dev-dependencies" in poetry:
        known.setdefault("dev", poetry.table("dev-dependencies"))
    return known


def edges_of(
    table: TomlTable, *, optional: set[str] | frozenset[str] = frozenset()
) -> Iterator[Dependency]:
    """Yield the edges of a table of dependencies as poetry writes it; of optional ones, these."""
    for key in table:
        name, value = checked_name(key, table.where), table.get(key)
        if isinstance(value, str):
            yield Dependency(name=name)
            continue
        for row in [table.table(key)] if isinstance(value, dict) else table.tables(key):
            if not row.flag("optional") or name in optional:
                conditions = [row.string("markers"), *conditions_of(row.string("python"))]
                if row.string("platform"):
                    conditions.append(f"sys_platform == {row.string('platform')!r}")
                marker = " and ".join(f"({each})" for each in conditions if each)
                yield Dependency(name=name, marker=marker, extras=row.strings("extras"))


#: Numbers of a Python's version are short.
_CONSTRAINT = re.compile(r"(\^|~|>=|<=|<|>|==|!=|~=)?\s*([0-9]{1,4}(?:\.[0-9]{1,4}){0,3}(?:\.\*)?)")


def specifier_of(constraint: str) -> str:
    """Give a constraint of Python, as poetry writes it, as a specifier; "" for "||" and others."""
    parts = []
    for part in filter(None, map(str.strip, constraint.split(","))):
        match = _CONSTRAINT.fullmatch(part)
        if match is None:
            return ""
        sign, version = match[1] or "==", match[2]
        if version.endswith("*") and sign not in {"==", "!="}:
            return ""
        if match[1] is None and version.count(".") == 1 and not version.endswith("*"):
            version += ".*"  # "3.11" is any of its releases
        numbers = version.split(".")
        if sign == "^":
            parts += [f">={version}", f"<{int(numbers[0]) + 1}"]
        elif sign == "~":
            end = [numbers[0], str(int(numbers[1]) + 1)] if numbers[1:] else [str(int(version) + 1)]
            parts += [f">={version}", f"<{'.'.join(end)}"]
        else:
            parts.append(f"{sign}{version}")
    return ",".join(parts)


def conditions_of(constraint: str) -> list[str]:
    """Give markers that hold where a constraint of Python does."""
    found = []
    for part in filter(None, specifier_of(constraint).split(",")):
        sign, version = re.split("(?<=[=<>~])(?=[0-9])", part, maxsplit=1)
        found.append(f"python_full_version {sign} '{version}'")
    return found


def _requirements(texts: Sequence[str], where: str) -> Iterator[Dependency]:
    for text in texts:
        try:
            found = Requirement(text)
        except InvalidRequirement as error:
            what = f"has a requirement that can't be read: {text[:100]!r}"
            raise BadLock(what, where=where) from error
        yield Dependency(
            name=checked_name(found.name, where),
            marker=str(found.marker or ""),
            extras=tuple(sorted(found.extras)),
        )

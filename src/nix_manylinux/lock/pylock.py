"""pylock.toml (PEP 751), by `packaging.pylock`."""

from __future__ import annotations

import posixpath

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
    file_of,
    refuse_unknown,
    version_in,
    web_addresses,
)
from nix_manylinux.wheel.name import without_variant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from packaging.pylock import Package as LockedPackage


def read_pylock(
    values: Mapping[str, Any],
    sha256: str,
    where: str,
    *,
    extras: Sequence[str],
    groups: Sequence[str],
) -> Lock:
    """Read a pylock.toml. Every package whose marker holds is wanted.

    ``extras`` and ``groups``, which markers ask for, must be the lock's. Raises BadLock.
    """
    try:
        from packaging.pylock import Pylock, PylockUnsupportedVersionError, PylockValidationError  # noqa: PLC0415 - only this kind of lock needs it
    except ImportError as error:
        raise BadLock(
            "is of PEP 751, which the library packaging reads from 26.0 on",
            where=where,
            hint="install a newer packaging beside nix-manylinux",
        ) from error
    plain = dict(values)
    if isinstance(values.get("packages"), list):
        plain["packages"] = [*map(_without_variants, values["packages"])]
    try:
        lock = Pylock.from_dict(plain)
    except (PylockValidationError, PylockUnsupportedVersionError) as error:
        raise BadLock(f"is no lock of PEP 751: {error}", where=where) from error
    refuse_unknown(extras, lock.extras or (), where, kind="extra")
    refuse_unknown(groups, lock.dependency_groups or (), where, kind="group")
    pairs = zip(lock.packages, values["packages"], strict=True)
    packages = tuple(_package(each, row, where) for each, row in pairs)
    default = tuple(lock.default_groups or ())
    return Lock(
        kind="pylock.toml",
        sha256=sha256,
        packages=packages,
        roots=tuple(Dependency(name=each.name, version=each.version) for each in packages),
        requires_python=str(lock.requires_python or ""),
        default_groups=default,
        environments=tuple(map(str, lock.environments or ())),
        left={
            "group": tuple(sorted({*(lock.dependency_groups or ())} - {*groups, *default})),
            "extra": tuple(sorted({*(lock.extras or ())} - {*extras})),
        },
    )


def _without_variants(package: Any) -> Any:  # noqa: ANN401 - whatever the lock has
    """Take the wheels of variants out (PEP 825), which packaging has no names for."""
    wheels = package.get("wheels") if isinstance(package, dict) else None
    if not isinstance(wheels, list):
        return package
    kept = [w for w in wheels if not isinstance(w, dict) or not without_variant(_name(w))[1]]
    if len(kept) == len(wheels):
        return package
    rest = {key: value for key, value in package.items() if key != "wheels"}
    return {**rest, "wheels": kept} if kept else rest


def _package(each: LockedPackage, row: Mapping[str, Any], where: str) -> Package:
    name = checked_name(each.name, where)
    place = f"{where}: {name}"
    wheels = [_file(wheel, place) for wheel in row.get("wheels", ())]
    sdist = _file(row["sdist"], place) if each.sdist else None
    if each.archive is not None:  # one file that the project names itself
        archive = _file(row["archive"], place)
        wheels, sdist = ([archive], None) if archive.name.endswith(".whl") else ([], archive)
    version = str(each.version or next(map(version_in, filter(None, [*wheels, sdist])), "0"))
    inside = each.vcs or each.directory or each.archive
    return Package(
        name=name,
        version=checked_version(version, place),
        marker=str(each.marker or ""),
        dependencies=tuple(_edges(each, place)),
        wheels=tuple(wheels),
        sdist=sdist,
        local=_local(each),
        indexes=web_addresses(str(each.index or "")),
        subdirectory=str(inside.subdirectory or "") if inside else "",
        is_project=_is_own(each),
    )


def _edges(each: LockedPackage, where: str) -> Iterator[Dependency]:
    for edge in each.dependencies or ():
        version = edge.get("version", "")
        yield Dependency(
            name=checked_name(edge.get("name"), where),
            version=version if isinstance(version, str) else "",
        )


def _name(file: Mapping[str, Any]) -> str:
    given = [file.get(key) for key in ("name", "url", "path")]
    return next((last for each in given if isinstance(each, str) and (last := file_of(each))), "")


def _file(file: Mapping[str, Any], where: str) -> File:
    """Read what packaging has looked at, or the wheel of a variant, which it has not."""
    hashes, path = file.get("hashes"), file.get("path")
    digest = hashes.get("sha256") if isinstance(hashes, dict) else None
    where_it_lies = path if isinstance(path, str) else ""
    return checked_file(_name(file), digest, file.get("url"), where, where_it_lies)


def _is_own(each: LockedPackage) -> bool:
    """Whether it is what the lock is of: the folder that this lies in, or one to be worked on."""
    folder = each.directory
    own = folder is not None and posixpath.normpath(str(folder.path)) == "."
    return own or bool(folder and folder.editable)


def _local(each: LockedPackage) -> Local | None:
    if (vcs := each.vcs) is not None:
        return Local(kind=vcs.type, place=str(vcs.url or vcs.path), revision=vcs.commit_id)
    return Local(kind="directory", place=str(each.directory.path)) if each.directory else None

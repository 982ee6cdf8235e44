"""pylock.toml (PEP 751), by `packaging.pylock`."""

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
from nix_manylinux.wheel.name import without_variant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from packaging.pylock import Package as LockedPackage
    from packaging.pylock import PackageSdist, PackageWheel


def read_pylock(values: Mapping[str, Any], sha256: str, where: str) -> Lock:
    """Read a pylock.toml. Every package whose marker holds is wanted. Raises BadLock."""
    try:
        from packaging.pylock import Pylock, PylockUnsupportedVersionError, PylockValidationError  # noqa: PLC0415 - only this kind of lock needs it
    except ImportError as error:
        raise BadLock(
            "is of PEP 751, which the library packaging reads from 26.0 on",
            where=where,
            hint="install a newer packaging beside nix-manylinux",
        ) from error
    values, variants = _without_variants(values)
    try:
        lock = Pylock.from_dict(values)
    except (PylockValidationError, PylockUnsupportedVersionError) as error:
        raise BadLock(f"is no lock of PEP 751: {error}", where=where) from error
    packages = tuple(
        _package(each, where, variants.get(number, ())) for number, each in enumerate(lock.packages)
    )
    return Lock(
        kind="pylock.toml",
        sha256=sha256,
        packages=packages,
        roots=tuple(Dependency(name=each.name, version=each.version) for each in packages),
        requires_python=str(lock.requires_python or ""),
    )


def _without_variants(
    values: Mapping[str, Any],
) -> tuple[Mapping[str, Any], dict[int, list[dict[str, Any]]]]:
    """Take the wheels of variants out (PEP 825), which packaging has no names for; by package."""
    packages = values.get("packages")
    if not isinstance(packages, list):
        return values, {}
    found: dict[int, list[dict[str, Any]]] = {}
    kept = []
    for number, package in enumerate(packages):
        wheels = package.get("wheels") if isinstance(package, dict) else None
        rows = wheels if isinstance(wheels, list) else []
        of_variants = [r for r in rows if isinstance(r, dict) and without_variant(_name(r))[1]]
        if not of_variants:
            kept.append(package)
            continue
        found[number] = of_variants
        others = [row for row in rows if row not in of_variants]
        rest = {key: value for key, value in package.items() if key != "wheels"}
        kept.append({**rest, **({"wheels": others} if others else {})})
    return {**values, "packages": kept}, found


def _name(wheel: Mapping[str, Any]) -> str:
    given = [wheel.get(key) for key in ("name", "url", "path")]
    text = next((each for each in given if isinstance(each, str)), "")
    return file_of(text)


def _package(each: LockedPackage, where: str, variants: Iterable[dict[str, Any]]) -> Package:
    name = checked_name(each.name, where)
    place = f"{where}: {name}"
    return Package(
        name=name,
        version=checked_version(str(each.version or "0"), place),
        marker=str(each.marker or ""),
        dependencies=tuple(_edges(each, place)),
        wheels=(
            *(_file(wheel, place) for wheel in each.wheels or ()),
            *(_variant(wheel, place) for wheel in variants),
        ),
        sdist=_file(each.sdist, place) if each.sdist else None,
        local=_local(each),
        indexes=web_addresses(str(each.index or "")),
    )


def _edges(each: LockedPackage, where: str) -> Iterator[Dependency]:
    for edge in each.dependencies or ():
        version = edge.get("version", "")
        yield Dependency(
            name=checked_name(edge.get("name"), where),
            version=version if isinstance(version, str) else "",
        )


def _file(each: PackageWheel | PackageSdist, where: str) -> File:
    last = file_of(each.url or each.path or "")
    return checked_file(last or each.name, each.hashes.get("sha256"), each.url, where)


def _variant(wheel: Mapping[str, Any], where: str) -> File:
    hashes, url = wheel.get("hashes"), wheel.get("url")
    digest = hashes.get("sha256") if isinstance(hashes, dict) else None
    return checked_file(_name(wheel), digest, url if isinstance(url, str) else None, where)


def _local(each: LockedPackage) -> str:
    if each.vcs is not None:
        return f"{each.vcs.type} {each.vcs.url or each.vcs.path}"
    if each.directory is not None:
        return f"directory {each.directory.path}"
    if each.archive is not None:
        return f"archive {each.archive.url or each.archive.path}"
    return ""

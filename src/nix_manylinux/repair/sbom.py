"""What a repaired wheel carries of others, as a CycloneDX document for its dist-info (PEP 770).

Nothing of it depends on this machine, or on the day: no time, no serial number, and no path
of the Nix store. https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import re

from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.store import HASH
from nix_manylinux.repair.model import Graft, SbomPackage
from nix_manylinux.wheel.metadata import Distribution, normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any


#: A store path's name: "openssl-3.0.14-lib" is version 3.0.14 of openssl.
_STORE_NAME = rf"/{HASH}(?P<name>.+?)(?:-(?P<version>[0-9][^-/]*))?(?:-[a-z]+)?/"


def read_packages(path: str) -> tuple[SbomPackage, ...]:
    """Read a list of packages in JSON, with the fields of `SbomPackage`. Raises BadOption."""
    import json  # noqa: PLC0415 - few ask for it

    try:
        with open(path, encoding="utf-8") as file:
            rows = _list(json.load(file))
        return tuple(
            SbomPackage(
                paths=tuple(_texts(row["paths"])),
                name=str(row["name"]),
                version=str(row.get("version") or ""),
                licenses=tuple(_texts(row.get("licenses") or [])),
                source=str(row.get("source") or ""),
            )
            for row in rows
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as cause:
        raise BadOption(
            f"is no list of packages: {type(cause).__name__}: {cause}",
            where=path,
            hint='write [{"paths": ["/folder"], "name": "zlib", "version": "1.3.1",'
            ' "licenses": ["Zlib"], "source": "https://..."}]',
        ) from cause


def _texts(values: object) -> list[str]:
    return [str(value) for value in _list(values)]


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"a list is needed, not {value!r}")
    return value


def package_at(path: str, packages: Iterable[SbomPackage]) -> SbomPackage:
    """Tell whose a library is: by what is known, else by its store path, else by its own name."""
    for package in packages:
        if any(f"{path}/".startswith(f"{folder.rstrip('/')}/") for folder in package.paths):
            return package
    found = re.search(_STORE_NAME, path)
    if found:
        return SbomPackage(paths=(), name=found["name"], version=found["version"] or "")
    return SbomPackage(paths=(), name=path.rpartition("/")[2].partition(".so")[0])


def cyclonedx(
    distribution: Distribution,
    file_name: str,
    grafts: Sequence[Graft],
    packages: Iterable[SbomPackage],
) -> bytes:
    """Write the document: the wheel, its grafts, and which of them needs which."""
    import json  # noqa: PLC0415 - few ask for it
    from urllib.parse import quote  # noqa: PLC0415 - as above

    known = tuple(packages)
    version, file = (quote(text, safe="") for text in (distribution.version, file_name))
    purl = f"pkg:pypi/{normalise_name(distribution.name)}@{version}?file_name={file}"
    component = {
        "type": "library",
        "bom-ref": purl,
        "name": distribution.name,
        "version": distribution.version,
        "purl": purl,
    }
    names = {graft.member.rpartition("/")[2]: graft.member for graft in grafts}
    needs: dict[str, set[str]] = {purl: set(), **{graft.member: set() for graft in grafts}}
    for graft in grafts:
        for wanting in graft.wanted_by:
            needs[names.get(wanting, purl)].add(graft.member)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": component,
            "tools": {"components": [{"type": "application", "name": "nix-manylinux"}]},
        },
        "components": [_component(graft, package_at(graft.source, known)) for graft in grafts],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(needed)} for ref, needed in sorted(needs.items())
        ],
    }
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def _component(graft: Graft, package: SbomPackage) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": graft.member,
        "name": package.name,
        "hashes": [{"alg": "SHA-256", "content": graft.sha256}],
        "properties": [{"name": "nix-manylinux:soname", "value": graft.soname}],
    }
    if package.version:
        found["version"] = package.version
    if package.licenses:
        found["licenses"] = [{"license": {"id": each}} for each in package.licenses]
    if package.source:
        found["externalReferences"] = [{"type": "source-distribution", "url": package.source}]
    return found

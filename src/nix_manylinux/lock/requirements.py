"""requirements.txt with hashes, as uv, pip-tools and pip write it.

It names no file, only digests, so which wheel is meant is known when the files are at hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement

from nix_manylinux.base.values import replace
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

_HASH = re.compile(r"\s--hash[= ](?P<algorithm>[a-z0-9]+):(?P<digest>[0-9a-fA-F]+)")

#: Where an index is and the like: the ordinary client has settings of its own.
_SETTINGS = re.compile(
    r"(?:-i|--index-url|--extra-index-url|--no-index|-f|--find-links|--trusted-host|--pre"
    r"|--no-binary|--only-binary|--prefer-binary|--require-hashes|--use-feature)(?:[= ].*)?"
)


_INDEX = re.compile(r"(?:-i|--index-url|--extra-index-url)[= ]\s*(?P<url>\S+)")


def read_requirements(text: str, sha256: str, where: str) -> Lock:
    """Read a requirements file. Every line whose marker holds is wanted. Raises BadLock."""
    packages: list[Package] = []
    nameless: dict[tuple[str, str], tuple[str, ...]] = {}
    loose, indexes = list[str](), list[str]()
    for number, line in _lines(text):
        place = f"{where}: line {number}"
        if _SETTINGS.fullmatch(line):
            if match := _INDEX.fullmatch(line):
                indexes += web_addresses(match["url"])
            continue
        if line.startswith("-"):
            raise BadLock(
                f"has an option that a lock can't have: {line.split()[0]}",
                where=place,
                hint="lock into one file: uv pip compile --generate-hashes",
            )
        found = _HASH.finditer(line)
        digests = tuple(x["digest"].lower() for x in found if x["algorithm"] == "sha256")
        try:
            requirement = Requirement(_HASH.sub("", line).strip())
        except InvalidRequirement as error:
            raise BadLock(f"is no requirement: {error}".splitlines()[0], where=place) from error
        name = checked_name(requirement.name, place)
        pins = [each.version for each in requirement.specifier if each.operator in {"==", "==="}]
        if not digests or (len(pins) != 1 and not requirement.url):
            loose.append(f"{name} (line {number})")
            continue
        wheels: tuple[File, ...] = ()
        if requirement.url:
            file = file_of(requirement.url)
            wheels = (checked_file(file, digests[0], requirement.url.partition("#")[0], place),)
            pins = [file.split("-")[1] if file.count("-") > 1 else "0"]
        version, marker = checked_version(pins[0], place), str(requirement.marker or "")
        packages.append(Package(name=name, version=version, marker=marker, wheels=wheels))
        if not wheels:
            nameless[name, version] = digests
    if loose:
        raise BadLock(
            f"does not pin these by version and sha256: {', '.join(loose)}",
            where=where,
            hint="lock them: uv pip compile --generate-hashes, pip-compile --generate-hashes",
        )
    return Lock(
        kind="requirements.txt",
        sha256=sha256,
        packages=tuple(p if p.wheels else replace(p, indexes=tuple(indexes)) for p in packages),
        roots=tuple(Dependency(name=each.name, version=each.version) for each in packages),
        nameless=tuple(sorted(nameless.items())),
    )


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Join continued lines, leave comments out; number of the first line, and the text."""
    start, parts = 0, list[str]()
    for number, raw in enumerate([*text.splitlines(), ""], 1):  # the last may be continued, too
        line = re.sub(r"(?:^|\s)#.*$", "", raw).rstrip()
        start = start or number
        parts.append(line.removesuffix("\\"))
        if line.endswith("\\"):
            continue
        joined = " ".join(parts).strip()
        if joined:
            yield start, joined
        start, parts = 0, []

"""requirements.txt with hashes, as uv, pip-tools and pip write it.

It names no file, only digests, so which wheel is meant is known when the files are at hand.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qsl

from packaging.requirements import InvalidRequirement, Requirement

from nix_manylinux.base.values import replace
from nix_manylinux.base.words import some
from nix_manylinux.lock.model import (
    BadLock,
    Dependency,
    Local,
    Lock,
    Package,
    checked_file,
    checked_name,
    checked_version,
    file_of,
    path_of,
    version_in,
    web_addresses,
)
from nix_manylinux.lock.project import project_beside

_HASH = re.compile(r"\s--hash[= ](?P<algorithm>[a-z0-9]+):(?P<digest>[0-9a-fA-F]+)")

#: Where an index is and the like: the ordinary client has settings of its own.
_SETTINGS = re.compile(
    r"(?:-i|--index-url|--extra-index-url|--no-index|-f|--find-links|--trusted-host|--pre"
    r"|--no-binary|--only-binary|--prefer-binary|--require-hashes|--use-feature)(?:[= ].*)?"
)

_INDEX = re.compile(r"(?:-i|--index-url|--extra-index-url)[= ]\s*(?P<url>\S+)")

_EDITABLE = re.compile(r"(?:-e|--editable)[= ]\s*(?P<place>.*)")

#: What stands in place of a name and a version: a URL, or a path.
_PLACE = re.compile(
    r"(?P<place>[^\s;\[]*/[^\s;\[]*|\.{1,2})(?:\[[^]]*\])?\s*(?:;\s*(?P<marker>.*))?"
)

#: A checkout of version control, as pip writes it.
_CHECKOUT = re.compile(r"(?P<kind>git|hg|svn|bzr)\+(?P<url>.*?)(?:@(?P<revision>[^@/]*))?")

_ARCHIVE = (".whl", ".zip", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


def read_requirements(text: str, sha256: str, where: str, *, folder: str = "") -> Lock:
    """Read a requirements file of a folder. Every line whose marker holds is wanted.

    Raises BadLock.
    """
    packages: list[Package] = []
    nameless: dict[tuple[str, str], tuple[str, ...]] = {}
    loose, indexes = list[str](), list[str]()
    for number, line in _lines(text):
        place = f"{where}: line {number}"
        if _SETTINGS.fullmatch(line):
            if match := _INDEX.fullmatch(line):
                indexes += web_addresses(match["url"])
            continue
        package, digests, is_pinned = _package(line, place, folder)
        if not is_pinned:
            loose.append(f"{package.name} (line {number})")
        elif digests:
            nameless[package.name, package.version] = digests
        packages.append(package)
    if loose:
        raise BadLock(
            f"does not pin these by version and sha256: {some(loose, 5)}",
            where=where,
            hint=_lock_it(where),
        )
    return Lock(
        kind="requirements.txt",
        sha256=sha256,
        packages=tuple(
            replace(p, indexes=tuple(indexes)) if (p.name, p.version) in nameless else p
            for p in packages
        ),
        roots=tuple(Dependency(name=each.name, version=each.version) for each in packages),
        nameless=tuple(sorted(nameless.items())),
    )


def _package(line: str, where: str, folder: str) -> tuple[Package, tuple[str, ...], bool]:
    """Read one line: its package, the digests of files that have no names, whether it is pinned."""
    editable = _EDITABLE.fullmatch(line)
    if line.startswith("-") and not editable:
        raise BadLock(
            f"has an option that a lock can't have: {line.split(maxsplit=1)[0]}",
            where=where,
            hint=_lock_it(where.partition(": line ")[0]),
        )
    found = _HASH.finditer(line)
    digests = tuple(x["digest"].lower() for x in found if x["algorithm"] == "sha256")
    text = _HASH.sub("", editable["place"] if editable else line).strip()
    name, pins = "", list[str]()
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        unnamed = _PLACE.fullmatch(text)
        if unnamed is None:
            raise BadLock(f"is no requirement: {error}".splitlines()[0], where=where) from error
        url, marker = unnamed["place"], unnamed["marker"] or ""
    else:
        name, url = checked_name(requirement.name, where), requirement.url or ""
        marker = str(requirement.marker or "")
        pins = [e.version for e in requirement.specifier if e.operator in {"==", "==="}]
    if not url:
        is_pinned = bool(digests) and len(pins) == 1
        version = checked_version(pins[0], where) if is_pinned else "0"
        return Package(name=name, version=version, marker=marker), digests, is_pinned
    package = replace(_direct(name, url, digests, where, folder), marker=marker)
    if package.local is not None:
        is_project = editable is not None and package.local.kind == "directory"
        return replace(package, is_project=is_project), (), True
    files = [*package.wheels, *filter(None, [package.sdist])]
    return package, (), all(file.sha256 or file.path for file in files)


def _lock_it(name: str) -> str:
    file = shlex.quote(name)
    return (
        f"lock it, and name what was written: uv pip compile --universal {file} -o pylock.toml"
        f" (for this Python and system alone: pip lock -r {file})"
    )


def _direct(name: str, url: str, digests: Sequence[str], where: str, folder: str) -> Package:
    """Read what a URL or a path leads to: one file, a checkout, a folder with a project."""
    address, _, fragment = url.partition("#")
    told = dict(parse_qsl(fragment))
    path = "" if re.match("https?:", address) else path_of(address)
    local = None
    if checkout := _CHECKOUT.fullmatch(address):
        place, revision = checkout["url"], checkout["revision"] or ""
        local = Local(kind=checkout["kind"], place=place, revision=revision)
        named = told.get("egg") or file_of(place).removesuffix(".git")
        name = name or checked_name(named, where)
    elif path and not path.endswith(_ARCHIVE):
        local = Local(kind="directory", place=path)
        name = name or _project_in(folder, path, where)
    if local is not None:
        inside = told.get("subdirectory", "")
        return Package(name=name, version="0", local=local, subdirectory=inside)
    file = checked_file(file_of(address), [*digests, None][0], "" if path else address, where, path)
    name = name or checked_name(re.sub(r"-[0-9].*$", "", file.name), where)
    package = Package(
        name=name, version=version_in(file), subdirectory=told.get("subdirectory", "")
    )
    is_wheel = file.name.endswith(".whl")
    return replace(package, wheels=(file,)) if is_wheel else replace(package, sdist=file)


def _project_in(folder: str, path: str, where: str) -> str:
    """Give the name of the project in a folder: what its pyproject.toml says, else the folder's."""
    place = os.path.abspath(os.path.join(folder, path))
    project = project_beside(os.path.join(place, "requirements.txt"))
    tables = [project.table("project"), project.table("tool").table("poetry")] if project else []
    names = [name for table in tables if (name := table.string("name"))]
    return checked_name(names[0] if names else os.path.basename(place), where)


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

"""A lock file of any kind as one value, and the errors that one can cause."""

from __future__ import annotations

import re
from urllib.parse import unquote

from nix_manylinux.base.errors import NixManylinuxError
from nix_manylinux.base.values import Value, field
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: What a file's name may be: it becomes a name in the Nix store and in Nix code.
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,210}")

#: A normalised project name (PEP 503).
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")

#: A version as PEP 440 spells it, and what poetry and uv let pass.
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,127}")

_SHA256 = re.compile(r"[0-9a-f]{64}")

#: Lock files with more are no project's: a hostile one must not keep us busy.
MAX_PACKAGES = 20_000

MAX_BYTES = 256 * 2**20

#: Characters of a value in a message.
_LONGEST_SHOWN = 100


class BadLock(NixManylinuxError):
    """A lock file that can't be read, or that asks for what no environment can have."""


class File(Value):
    """One file of a release: its name, its sha256 in hex ("" for none), its URL if there is one.

    ``path`` is where it lies, absolute or from the lock's folder, if it is no index's; it
    comes before the URL.
    """

    name: str
    sha256: str
    url: str = ""
    path: str = ""


class Local(Value):
    """What a package is made from that is no file of an index.

    ``kind`` is "directory", or of version control ("git"), ``place`` a folder or a URL,
    ``revision`` a commit.
    """

    kind: str
    place: str
    revision: str = ""

    def __str__(self) -> str:
        """Say it as "git https://example.org/demo"."""
        return f"{self.kind} {self.place}"


class Dependency(Value):
    """One edge: a normalised name, a marker ("" for always), extras.

    A version, and the ``source`` of the package, where they are said.
    """

    name: str
    marker: str = ""
    extras: tuple[str, ...] = ()
    version: str = ""
    source: str = ""


class Package(Value):
    """One release in a lock.

    ``marker`` says in which environments it is wanted at all. ``extras`` maps an extra's
    name to the dependencies that it adds. ``sdist`` is its source archive. ``local`` is
    what the project itself is, or a folder, a checkout of version control. ``indexes`` are URLs
    of those that the lock names. ``source`` tells packages of one name and version apart.
    ``subdirectory`` is where in its archive, checkout or folder it is.
    ``is_project`` is of folders of the user's own that are walked through and not installed.
    """

    name: str
    version: str
    marker: str = ""
    dependencies: tuple[Dependency, ...] = ()
    extras: tuple[tuple[str, tuple[Dependency, ...]], ...] = ()
    wheels: tuple[File, ...] = ()
    sdist: File | None = None
    local: Local | None = None
    indexes: tuple[str, ...] = ()
    source: str = ""
    subdirectory: str = ""
    is_project: bool = False


class Lock(Value):
    """A whole lock: its kind ("uv.lock"), its sha256, its packages, and where walking begins.

    ``requires_python`` is a specifier or "". ``nameless`` are digests of files whose names
    the lock doesn't tell (requirements): sha256 in hex, by (name, version). ``extra`` are the
    values that ``extra`` has in markers, all at once; those of projects' extras that are
    walked through come to them (`extra_name`). ``conflicts`` are sets of such values, each
    with what it is, of which no environment has two. ``default_groups`` are dependency
    groups that are taken where none is asked for. ``environments`` are markers: the lock
    is for where one of them holds, everywhere if there is none. ``left`` are names that were
    not asked for, by the option that asks for them ("group").
    """

    kind: str
    sha256: str
    packages: tuple[Package, ...]
    roots: tuple[Dependency, ...]
    requires_python: str = ""
    nameless: tuple[tuple[tuple[str, str], tuple[str, ...]], ...] = ()
    extra: tuple[str, ...] = ()
    conflicts: tuple[tuple[tuple[str, str], ...], ...] = ()
    default_groups: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    left: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


def extra_name(kind: str, package: str, name: str = "") -> str:
    """Give what uv compares ``extra`` with for a "project", or an "extra" or a "group" of one."""
    return "-".join(filter(None, [kind, str(len(package)), package, name]))


def refuse_unknown(
    asked: Iterable[str], known: Iterable[str], where: str, *, kind: str = "extra or group"
) -> None:
    """Raise BadLock for the first extra or group that was asked for and isn't known."""
    there = {normalise_name(each): each for each in known}
    for wanted in asked:
        if normalise_name(wanted) not in there:
            raise BadLock(
                f"has no {kind} {wanted!r}",
                where=where,
                hint=f"it has {', '.join(sorted(there.values())) or 'none'}",
            )


def shown(value: object) -> str:
    """Quote a value for a message, which is one line whatever a lock holds."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def without_digest(what: str, where: str) -> BadLock:
    """Make the error for a file whose sha256 the lock doesn't have."""
    hint = "lock again with a tool that writes sha256 digests: uv, pip lock, poetry"
    return BadLock(what, where=where, hint=hint)


def file_of(url: str) -> str:
    """Give the name of the file that a URL, or a path, leads to; any text has one, or ""."""
    return unquote(re.split("[?#]", url, maxsplit=1)[0].rpartition("/")[2])


def version_in(file: File) -> str:
    """Give the version that a file's name has, "0" for none: "demo-1.0.tar.gz" is of 1.0."""
    stem = re.sub(r"\.(?:tar\.[a-z0-9]+|tgz|zip|whl)$", "", file.name)
    parts = stem.split("-")
    version = parts[1 if file.name.endswith(".whl") else -1] if parts[1:] else ""
    return version if re.match("[0-9]", version) and _VERSION.fullmatch(version) else "0"


def path_of(url: str) -> str:
    """Give the path that a URL of a file ("file:///srv/demo") names; a path stays as it is."""
    if not url.startswith("file:"):
        return url
    return unquote(re.sub(r"^file:(?://[^/]*)?|[?#].*$", "", url))


def checked_name(name: object, where: str) -> str:
    """Give a project's normalised name, or raise BadLock."""
    normal = normalise_name(name) if isinstance(name, str) else ""
    if len(normal) > 200 or not _NAME.fullmatch(normal):
        raise BadLock(f"{shown(name)} is no project's name", where=where)
    return normal


def checked_version(version: object, where: str) -> str:
    """Give a version, or raise BadLock."""
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise BadLock(f"{shown(version)} is no version", where=where)
    return version


def web_addresses(*texts: str) -> tuple[str, ...]:
    """Give those that are addresses of the web, and one word: they become pip's options."""
    return tuple(text for text in texts if re.fullmatch(r"https?://[!-~]{1,4000}", text))


def checked_file(name: object, digest: object, url: object, where: str, path: str = "") -> File:
    """Give a file, or raise BadLock: a name that leads nowhere, a sha256, a URL of the web.

    ``digest`` is "sha256:HEX" or HEX, or None: uv has none of some files of indexes that
    don't tell it. Such a file can't be taken, unless it lies at hand, but may be there (`choose`).
    """
    if isinstance(url, str) and url.startswith("file:"):
        url, path = "", path or path_of(url)
    if "\0" in path:
        raise BadLock(f"{name} has a path that leads nowhere: {shown(path)}", where=where)
    if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
        raise BadLock(f"{shown(name)} is no name of a file of a release", where=where)
    text = digest.removeprefix("sha256:").lower() if isinstance(digest, str) else ""
    if digest is not None and not _SHA256.fullmatch(text):
        raise without_digest(f"{name} has no sha256, but {shown(digest)}", where)
    if url is None or url == "":
        return File(name=name, sha256=text, path=path)
    if not isinstance(url, str) or not re.fullmatch(r"https?://[!-~]{1,4000}", url):
        what = f"{name} has a URL that nothing can be fetched from: {shown(url)}"
        raise BadLock(what, where=where)
    return File(name=name, sha256=text, url=url, path=path)

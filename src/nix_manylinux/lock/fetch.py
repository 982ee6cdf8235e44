"""The wheels of a lock, fetched by the ordinary client (pip), kept by their digests."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from nix_manylinux.base.digest import sha256_of
from nix_manylinux.base.errors import OsErrors, WriteFailed
from nix_manylinux.base.files import write_file
from nix_manylinux.base.programs import run_program
from nix_manylinux.base.scratch import scratch_folder
from nix_manylinux.lock.model import BadLock, File, Package
from nix_manylinux.nix.origin import Origin, find_origins
from nix_manylinux.nix.pip import OTHER_FILE, complaint, pip_command, wheels_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nix_manylinux.base.progress import Progress
    from nix_manylinux.target.place import Place

    #: A package, and the digests one of which its file must have.
    Wanted = tuple[Package, tuple[str, ...]]

#: What `_fetch` says of a release that has files, but no wheel for the place.
_NO_WHEEL = "no wheel fits"

#: What it says where there is one, and only other files were locked: an archive, older wheels.
_OTHER_WHEEL = "the wheel that fits is not locked"

#: Beside a wheel: where it is from.
_ORIGIN = "origin.json"

#: pip processes at once: each waits for the network most of the time.
_CLIENTS = 4

#: Wheels for one of them: a process takes as long to start as to fetch a small wheel.
_AT_ONCE = 8


class Fetched(NamedTuple):
    """A file, with its URL where the default index doesn't have it; where it lies, and was."""

    file: File
    path: str
    origin: Origin


def fetch_wheels(
    wanted: Sequence[Wanted],
    place: Place,
    *,
    cache: str,
    environment: Mapping[str, str],
    progress: Progress | None = None,
    passed_by: list[str] | None = None,
) -> dict[str, Fetched]:
    """Fetch a wheel for each package; by the package's name.

    Files are kept in ``cache``, by digest; what is there isn't fetched again. Of several
    digests, those of a release's files, pip chooses, and its choice is kept by place. pip
    goes by its own settings (indexes, proxies) and is told the digests; where they don't do,
    the indexes that the lock names are asked, too, or a file's own URL. A release whose files
    the lock doesn't name, and of which the index has no wheel that fits, is left out; so is one
    whose wheel there has no digest of the lock's, and ``passed_by`` gets its name. Raises
    BadLock with pip's own words for all that could not be had, NoPip, WriteFailed.
    """
    found = {
        each[0].name: kept
        for each in wanted
        if (digest := _chosen(each, place, cache)) and (kept := _kept(cache, digest))
    }
    left = [each for each in wanted if each[0].name not in found]
    refused: dict[str, str] = {}
    if left:
        pip = pip_command(environment)
        lock = threading.Lock()
        count = len(wanted) - len(left)

        def fetch(some: Sequence[Wanted]) -> None:
            nonlocal count
            results = _fetch(some, place, cache, pip, environment)
            if isinstance(results, str) and len(some) == 1 and _told(some[0][0]):
                # pip's settings come first: they may name a mirror, and hold a password.
                again = _fetch(some, place, cache, pip, environment, as_told=True)
                results = results if isinstance(again, str) else again
            if isinstance(results, str) and len(some) > 1:  # then whose fault it is
                for each in some:
                    fetch([each])
                return
            with lock:
                if not isinstance(results, str):
                    found.update(results)
                else:
                    ((package, _),) = some
                    refused[f"{package.name} {package.version}"] = results
                count += len(some)
                if progress is not None:
                    progress("fetching", count, len(wanted))

        parts = [left[at : at + _AT_ONCE] for at in range(0, len(left), _AT_ONCE)]
        with ThreadPoolExecutor(_CLIENTS) as pool:
            list(pool.map(fetch, parts))
    if passed_by is not None:
        passed_by += [each for each, said in refused.items() if said == _OTHER_WHEEL]
    if failures := {k: v for k, v in refused.items() if v not in {_NO_WHEEL, _OTHER_WHEEL}}:
        # Without a look into the files a lock that names none says nothing of them.
        raise _unfetched(failures, place, are_known=all(package.wheels for package, _ in left))
    return found


def _unfetched(failures: Mapping[str, str], place: Place, *, are_known: bool) -> BadLock:
    hints = []
    if OTHER_FILE in failures.values():
        hints.append("lock the project again, if its files are meant to have changed")
    if {*failures.values()} != {OTHER_FILE}:
        hints += [
            "pip must reach their index: PIP_EXTRA_INDEX_URL names one besides the default one",
            "a version that was deleted there is had no more: lock another one",
        ]
    if are_known:
        hints.append("or leave them unread: --no-inspect")
    names = "; ".join(f"{name} ({said})" for name, said in sorted(failures.items()))
    return BadLock(
        f"these wheels can't be fetched: {names}", where=str(place), hint="; ".join(hints)
    )


def _choice(wanted: Wanted, place: Place, cache: str) -> str:
    """Name the file that says which of several files pip has chosen for a place."""
    package, digests = wanted
    asked = (package.name, package.version, place.python, *place.platforms(), *sorted(digests))
    return os.path.join(cache, "chosen", hashlib.sha256("\n".join(asked).encode()).hexdigest())


def _chosen(wanted: Wanted, place: Place, cache: str) -> str:
    """Give the digest of the one file that is meant; "" where pip has to choose."""
    if len(wanted[1]) == 1:
        return wanted[1][0]
    try:
        with open(_choice(wanted, place, cache), encoding="ascii", errors="replace") as stream:
            digest = stream.read(65)
    except OSError:
        return ""
    return digest if digest in wanted[1] else ""


def _kept(cache: str, digest: str) -> Fetched | None:
    """Give a file that was fetched before, if it still has its digest, and is known from where."""
    folder = os.path.join(cache, digest)
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        with open(os.path.join(folder, _ORIGIN), encoding="utf-8") as stream:
            told = json.load(stream)
        url, path, kept_back = str(told["url"]), str(told["path"]), bool(told["kept_back"])
        for name in sorted(os.listdir(folder)):
            file = os.path.join(folder, name)
            if name.endswith(".whl") and sha256_of(file).hex() == digest:
                origin = Origin(url=url, path=path, kept_back=kept_back)
                return Fetched(File(name=name, sha256=digest, url=url), file, origin)
    return None


def _fetch(
    wanted: Sequence[Wanted],
    place: Place,
    cache: str,
    pip: Sequence[str],
    environment: Mapping[str, str],
    *,
    as_told: bool = False,
) -> dict[str, Fetched] | str:
    """Fetch some wheels, by their packages' names; gives what pip said where that fails.

    From where the lock tells that they are, if ``as_told``.
    """
    with scratch_folder() as folder:
        listing = os.path.join(folder, "requirements.txt")
        with open(listing, "w", encoding="utf-8") as stream:
            for package, digests in wanted:
                hashes = "".join(f" --hash=sha256:{digest}" for digest in digests)
                source = _told(package) if as_told else ""
                stream.write(f"{source or f'{package.name}=={package.version}'}{hashes}\n")
        downloads, log = os.path.join(folder, "files"), os.path.join(folder, "log")
        command = [*pip, "download", "--no-deps", "--require-hashes", "--quiet", "--log", log]
        command += [*wheels_of(place), "--dest", downloads, "-r", listing]
        done = run_program(command, environment)
        if done.returncode:
            (package, _), *others = wanted
            # Where the lock names no files, only the index knows whether one is a wheel.
            said = complaint(done.stderr)
            if not others and not package.wheels and _is_source(package, pip, environment):
                return _OTHER_WHEEL if said == OTHER_FILE else _NO_WHEEL
            return said
        paths = [os.path.join(downloads, name) for name in sorted(os.listdir(downloads))]
        origins = find_origins(log, paths, pip=pip, environment=environment)
        by_digest = {sha256_of(path).hex(): path for path in paths}
        found = {}
        for each in wanted:
            package, digests = each
            digest = next((each for each in digests if each in by_digest), "")
            if not digest:
                return f"pip fetched no file with a digest of the lock: {', '.join(by_digest)}"
            path = by_digest[digest]
            origin = origins[path]
            file = File(name=os.path.basename(path), sha256=digest, url=origin.url)
            found[package.name] = Fetched(file, _keep(path, cache, digest), origin)
            values = {"url": origin.url, "path": origin.path, "kept_back": origin.kept_back}
            _keep_text(json.dumps(values), os.path.join(cache, digest, _ORIGIN))
            if len(digests) > 1:
                _keep_text(digest, _choice(each, place, cache))
        return found


def _is_source(package: Package, pip: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the index has a release, though pip finds no wheel of it; nothing is fetched."""
    command = [*pip, "index", "versions", "--pre", "--ignore-requires-python", package.name]
    done = run_program([*command, "--disable-pip-version-check"], environment)
    said = done.stdout.decode("utf-8", "replace")
    _, _, versions = said.partition("Available versions: ")
    return package.version in versions.partition("\n")[0].split(", ")


def _told(package: Package) -> str:
    """Write for pip where the lock has a package from: indexes, else the file's own URL."""
    indexes = "".join(f"--extra-index-url {url}\n" for url in package.indexes)
    if indexes:
        return f"{indexes}{package.name}=={package.version}"
    return next((f"{package.name} @ {file.url}" for file in package.wheels if file.url), "")


def _keep(path: str, cache: str, digest: str) -> str:
    """Move a file into the cache, whole or not at all."""
    folder = os.path.join(cache, digest)
    name = os.path.basename(path)
    hint = "make room there, or set XDG_CACHE_HOME to a folder that has it"
    with OsErrors(WriteFailed, "can't be written", where=folder, hint=hint):
        os.makedirs(folder, exist_ok=True)
        beside = os.path.join(folder, f".{os.urandom(8).hex()}.tmp")
        shutil.copyfile(path, beside)
        os.replace(beside, os.path.join(folder, name))
    return os.path.join(folder, name)


def _keep_text(text: str, path: str) -> None:
    """Write a note into the cache; without it pip is asked again."""
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_file(path, text.encode("ascii"))

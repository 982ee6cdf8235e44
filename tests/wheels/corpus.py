"""The real wheels that we test with: where they are, and how one is fetched.

``wheels.tsv`` names each with its sha256; ``more.tsv`` and ``picked.tsv`` do for
those that only ``./dev wheels --list NAME`` takes, ``shown.tsv`` for some that only
the documentation shows, and ``tools.tsv`` for tools that tests run. They are kept in
``$NIX_MANYLINUX_WHEELS``, or in the cache directory, and fetched by pip, under
the tags that their names carry, so any interpreter can fetch any wheel.
"""

from __future__ import annotations

import csv
import fcntl
import functools
import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import parse_wheel_filename
from tests.support.store import cache_directory


class FetchError(RuntimeError):
    """A wheel that could not be had, or that is not the one of the list."""


class NotHereError(FetchError):
    """A wheel with a local version ("+cpu"), which no package index of this machine has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a list: a file name, its size and sha256 in hex, and what it is good for.

    ``beside`` are the starts of file names of wheels that belong beside it
    although its metadata doesn't require them.
    """

    file: str
    megabytes: str
    sha256: str
    good_for: str
    beside: tuple[str, ...] = ()


#: The lists of the runner.
LISTS = ("wheels.tsv", "more.tsv", "picked.tsv")


@functools.cache
def entries(name: str = "wheels.tsv") -> dict[str, Entry]:
    """Read one of the lists, by file name."""
    with Path(__file__).with_name(name).open(encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t")
        found = [
            Entry(
                file=row["file"],
                megabytes=row["MB"],
                sha256=row["sha256"],
                good_for=row["good for"],
                beside=tuple(row.get("beside", "").split()),
            )
            for row in rows
        ]
    return {entry.file: entry for entry in found}


def named(start: str) -> Entry:
    """Find the entry of all lists whose file name begins with ``start``.

    Of several wheels in one list, or of another release, none is meant. Raises
    LookupError for these, and where there is none.
    """
    lists = [entries(name) for name in (*LISTS, "shown.tsv", "tools.tsv")]
    found = [[each for name, each in one.items() if name.startswith(start)] for one in lists]
    first = next(filter(None, found), [])
    if len(first) != 1 or len({each.file.split("-")[1] for one in found for each in one}) != 1:
        message = f"{sum(map(len, found))} wheels of the lists begin with {start}"
        raise LookupError(message)
    return first[0]


def folder() -> str:
    """Find the folder of the wheels, and make it if it isn't there."""
    path = os.environ.get("NIX_MANYLINUX_WHEELS") or os.path.join(cache_directory(), "wheels")
    os.makedirs(path, exist_ok=True)
    return path


def is_here(entry: Entry) -> bool:
    """Whether a wheel was fetched before."""
    return os.path.exists(os.path.join(folder(), entry.file))


def wheel(start: str) -> str:
    """Give the path of the one wheel of the lists whose name begins so, fetched if need be.

    Raises `FetchError`, with what pip said.
    """
    entry = named(start)
    path = os.path.join(folder(), entry.file)
    if not os.path.exists(path):
        with open(os.path.join(folder(), f".{entry.file}.lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(path):
                _fetch(entry, path)
    return path


def wheel_if_here(start: str) -> str:
    """Give a wheel as `wheel` does; one that no index here has makes the test an expected failure.

    The public index has no wheels with local versions, and its plain one is
    another build, with another hash.
    """
    import pytest

    try:
        return wheel(start)
    except NotHereError as error:
        pytest.xfail(str(error))


def required(requirement: str) -> str:
    """Give the path of a wheel that is on no list: what pip takes for this interpreter.

    Kept beside the wheels of the lists. Raises `FetchError`, with what pip said.
    """
    place = os.path.join(
        cache_directory(), "required", hashlib.sha256(requirement.encode()).hexdigest()[:16]
    )
    if not os.path.isdir(place):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(place)) as scratch:
            got = os.path.join(scratch, "got")
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
            command += ["--disable-pip-version-check", "--no-cache-dir", "--only-binary", ":all:"]
            outcome = _pip([*command, "--dest", got, requirement])
            if outcome.returncode != 0:
                message = f"{requirement} can't be fetched:\n{outcome.stdout}{outcome.stderr}"
                raise FetchError(message)
            os.rename(got, place)
    (file,) = os.listdir(place)
    return os.path.join(place, file)


def _fetch(entry: Entry, path: str) -> None:
    name, version, _, tags = parse_wheel_filename(entry.file)
    python = min(tag.interpreter for tag in tags)
    digits = python.removeprefix("cp") if python.startswith("cp") else "311"
    with tempfile.TemporaryDirectory(dir=folder()) as place:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", place]
        command += ["--disable-pip-version-check", "--only-binary", ":all:"]
        command += ["--implementation", "cp", "--python-version", f"{digits[0]}.{digits[1:]}"]
        for abi in sorted({tag.abi for tag in tags}):
            command += ["--abi", abi]
        # To pip the first is the best: a sibling has the older tags, too, but not the newest.
        for platform in sorted({tag.platform for tag in tags}, reverse=True):
            command += ["--platform", platform]
        outcome = _pip([*command, f"{name}=={version}"])
        if outcome.returncode != 0:
            if version.local and "No matching distribution" in outcome.stderr:
                message = f"no package index here has {entry.file}"
                raise NotHereError(message)
            message = f"{entry.file} can't be fetched:\n{outcome.stdout}{outcome.stderr}"
            raise FetchError(message)
        (file,) = os.listdir(place)
        got = os.path.join(place, file)
        digest = hashlib.sha256(Path(got).read_bytes()).hexdigest()
        if digest != entry.sha256:
            message = (
                f"{file} was fetched for {entry.file}, with sha256 {digest}: not the listed one"
            )
            raise FetchError(message)
        os.rename(got, path)


def _pip(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)

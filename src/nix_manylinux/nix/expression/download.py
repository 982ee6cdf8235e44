"""The wheels of a release, fetched by the ordinary client: pip, as a subprocess."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from nix_manylinux.base.errors import BadOption, NixManylinuxError, OsErrors
from nix_manylinux.nix.expression.dependencies import requirements_in
from nix_manylinux.nix.expression.relatives import Release
from nix_manylinux.nix.origin import Origin, find_origins, read_log
from nix_manylinux.nix.pip import complaint, pip_command, wheels_of
from nix_manylinux.target.place import Place, places_of
from nix_manylinux.wheel.metadata import normalise_name, read_headers, required_names
from nix_manylinux.wheel.name import parse_wheel_name
from nix_manylinux.wheel.open import open_wheel

#: A project's name, and NAME==VERSION with a version as PEP 440 spells them.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_RELEASE = re.compile(rf"{_NAME.pattern}(?P<version>==[A-Za-z0-9.!+_-]+)?")

#: What pip takes for a file, where there is one of that name: it would build it.
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz", ".xz", ".txz", ".lzma", ".tlz", ".lz")

#: Where a wheel has what goes to site-packages, if not at the top.
_DATA = re.compile(r"^[^/]+\.data/(?:pure|plat)lib/")


class NoSuchWheel(NixManylinuxError):
    """The client found no wheel for a release, a Python and a system."""


def download_wheels(
    requirements: Sequence[str],
    *,
    python_versions: Sequence[str],
    systems: Sequence[str],
    into: str,
    environment: Mapping[str, str],
    progress: bool = False,
) -> list[dict[str, Origin]]:
    """Fetch the wheels of NAME==VERSION for every Python and system; their paths, by file name.

    Those for one place are in one dict, in the order of the requirements, and no two dicts are of
    the same files. Of NAME alone it is the release that the client takes for the first place, of
    those that the wheels before it require.
    ``into`` is a folder for the files; each is given with where the client has it from. With
    ``progress``
    the client draws its bar on standard error. Raises BadOption for other requirements,
    NoPip, NoSuchWheel with the client's own words.
    """
    for requirement in requirements:
        release = _RELEASE.fullmatch(requirement)
        if release is None or (not release["version"] and requirement.lower().endswith(_ARCHIVES)):
            name = _NAME.match(requirement)
            raise BadOption(
                f"{requirement!r} is neither a wheel nor NAME nor NAME==VERSION",
                hint="give the path of a wheel, or a release, as in numpy==1.26.4; which there"
                f" are says: pip index versions {name[0] if name else 'NAME'}",
            )
    places = places_of(python_versions, systems)
    command = pip_command(environment)
    releases = [*requirements]
    found: dict[tuple[str, ...], dict[str, Origin]] = {}
    for place in places:
        together: dict[str, Origin] = {}
        for number, requirement in enumerate(releases):
            folder = os.path.join(into, place.system, place.python, str(number))
            log = os.path.join(into, f"{place.system}-{place.python}-{number}.log")
            os.makedirs(folder, exist_ok=True)
            words = ["download", "--no-deps", "--log", log, *wheels_of(place), "--dest", folder]
            asked = requirement if "==" in requirement else _limited(requirement, together, place)
            what = f"{asked} for {place}"
            _ask([*command, *words], [asked], environment, what, progress=progress)
            paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
            together |= find_origins(log, paths, pip=command, environment=environment)
            if "==" not in requirement and paths:
                version = parse_wheel_name(os.path.basename(paths[0])).version
                releases[number] = f"{requirement}=={version}"
        # The same abi3 or py3 wheel serves several Pythons.
        found[tuple(map(os.path.basename, together))] = together
    return [found[names] for names in sorted(found)]


def read_logs(folder: str) -> list[str]:
    """Give what the client has said about the files that it saw, for `download_wheels`'s folder."""
    names = (name for name in sorted(os.listdir(folder)) if name.endswith(".log"))
    return [read_log(os.path.join(folder, name)) for name in names]


def files_of_required(
    requirements: Sequence[str],
    place: Place,
    *,
    into: str,
    environment: Mapping[str, str],
    progress: bool = False,
) -> dict[str, frozenset[str]]:
    """Fetch what requirements ask for, directly and through others; file names by wheel.

    Among the names are the paths in site-packages of each ``__init__.py``.
    Raises NoPip, NoSuchWheel with the client's own words.
    """
    folder = os.path.join(into, "required")
    os.makedirs(folder, exist_ok=True)
    command = [*pip_command(environment), "download", *wheels_of(place), "--dest", folder]
    _ask(command, requirements, environment, ", ".join(requirements), progress=progress)
    found = {}
    for name in sorted(os.listdir(folder)):
        with zipfile.ZipFile(os.path.join(folder, name)) as archive:
            members = [_DATA.sub("", member) for member in archive.namelist()]
        inits = (member for member in members if member.endswith("/__init__.py"))
        files = frozenset([*(member.rpartition("/")[2] for member in members), *inits])
        found[normalise_name(name.partition("-")[0])] = files
    return found


def release_that_fits(
    requirement: str,
    place: Place,
    *,
    into: str,
    environment: Mapping[str, str],
) -> tuple[str, list[str]]:
    """Give the version that the client would take for a requirement, and its Requires-Dist.

    Where the index has METADATA by itself, no wheel is fetched. Raises NoPip, NoSuchWheel with
    the client's own words.
    """
    command = [*pip_command(environment), "install", "--no-deps"]
    (_, version, texts), *_ = _report(command, [requirement], place, into, environment)
    return version, texts


def releases_of(
    requirements: Sequence[str],
    place: Place,
    *,
    into: str,
    environment: Mapping[str, str],
) -> dict[str, Release]:
    """Give what the client would take for some requirements, and for all that these require.

    By normalised name; for the rest as `release_that_fits`.
    """
    command = [*pip_command(environment), "install"]
    found = {}
    for name, version, texts in _report(command, requirements, place, into, environment):
        required = requirements_in({"requires-dist": texts}, place)
        found[name] = Release(version=version, requires=tuple(required_names(required)))
    return found


def _report(
    command: Sequence[str],
    requirements: Sequence[str],
    place: Place,
    into: str,
    environment: Mapping[str, str],
) -> list[tuple[str, str, list[str]]]:
    """Give the normalised name, the version and the Requires-Dist of all that pip would install."""
    report = os.path.join(into, "report.json")
    words = ["--dry-run", "--ignore-installed", "--report", report]
    words += [*wheels_of(place), "--target", into]
    _ask([*command, *words], requirements, environment, ", ".join(requirements))
    try:
        with open(report, encoding="utf-8") as stream:
            every = [each["metadata"] for each in json.load(stream)["install"]]
        return [
            (
                normalise_name(str(each["name"])),
                str(each["version"]),
                [*map(str, each.get("requires_dist") or ())],
            )
            for each in every
        ]
    except (OSError, ValueError, LookupError, TypeError) as error:
        where = ", ".join(requirements)
        raise NoSuchWheel("pip's report can't be read", where=where) from error


def _limited(requirement: str, paths: Iterable[str], place: Place) -> str:
    """Spell NAME with the versions that wheels fetched before it require of it."""
    own = normalise_name(requirement)
    limits = SpecifierSet()
    for path in paths:
        with open_wheel(path) as wheel:
            headers = read_headers(wheel.texts[f"{wheel.dist_info}/METADATA"])
        for each in map(Requirement, requirements_in(headers, place)):
            limits &= each.specifier if normalise_name(each.name) == own else ""
    return f"{requirement}{limits}"


def _ask(
    command: Sequence[str],
    requirements: Sequence[str],
    environment: Mapping[str, str],
    what: str,
    *,
    progress: bool = False,
) -> None:
    bar = ["--progress-bar", "on" if progress else "off"]
    with OsErrors(NoSuchWheel, "can't be run", where=command[0]):
        done = subprocess.run(
            [*command, *bar, "--", *requirements],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if progress else subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            check=False,
        )
    if done.returncode != 0:
        hint = (
            "it may have no wheel but a source archive, or wheels for other Pythons and systems:"
            " its page on the index lists the files; --python-version and --system choose others,"
            " and PIP_EXTRA_INDEX_URL another index"
        )
        raise NoSuchWheel(complaint(done.stderr), where=what, hint=hint)

"""The wheels of a release, fetched by the ordinary client: pip, as a subprocess."""

from __future__ import annotations

import os
import re
import sys

from nix_manylinux.base.errors import BadOption, NixManylinuxError
from nix_manylinux.nix.pip import pip_command
from nix_manylinux.target.place import platforms_of
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nix_manylinux.target.place import Place

#: A project's name, and NAME==VERSION with a version as PEP 440 spells them.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_PINNED = re.compile(rf"{_NAME.pattern}==[A-Za-z0-9.!+_-]+")


#: With "t" one without the GIL, whose ABI tags are its own (PEP 703, PEP 803).
_PYTHON = re.compile(r"3\.[0-9]+t?")


class NoSuchWheel(NixManylinuxError):
    """The client found no wheel for a release, a Python and a system."""


def download_wheels(
    requirement: str,
    *,
    python_versions: Sequence[str],
    systems: Sequence[str],
    into: str,
    environment: Mapping[str, str],
    glibc: tuple[int, int] = (2, 41),
    progress: bool = False,
    pip: Sequence[str] = (),
) -> list[str]:
    """Fetch the wheel of NAME==VERSION for every Python and system; paths, each once, sorted.

    ``into`` is a folder for the files. With ``progress`` the client draws its
    bar on standard error. ``pip`` is the client's command, the one of
    `pip_command` where it is not given. Raises BadOption for a requirement
    that pins nothing, NoPip, NoSuchWheel with the client's own words.
    """
    if not _PINNED.fullmatch(requirement):
        name = _NAME.match(requirement)
        raise BadOption(
            f"{requirement!r} is neither a wheel nor NAME==VERSION",
            hint="give the path of a wheel, or pin the release, as in numpy==1.26.4; which there"
            f" are says: pip index versions {name[0] if name else 'NAME'}",
        )
    for python in python_versions:
        if not _PYTHON.fullmatch(python):
            raise BadOption(
                f"{python!r} is no version of Python", hint="write 3.11, 3.14t or the like"
            )
    found: set[tuple[str, str]] = set()
    for system in systems:
        for python in python_versions:
            folder = os.path.join(into, system, python)
            os.makedirs(folder, exist_ok=True)
            _download(
                [
                    *(pip or pip_command(environment)),
                    *_arguments([requirement], python, platforms_of(system, glibc=glibc), folder),
                ],
                environment,
                f"{requirement} for Python {python} on {system}",
                progress=progress,
            )
            found.update((name, os.path.join(folder, name)) for name in os.listdir(folder))
    # The same abi3 or py3 wheel serves several Pythons.
    return [path for _, path in sorted(dict(sorted(found)).items())]


def files_of_required(
    requirements: Sequence[str],
    place: Place,
    *,
    into: str,
    environment: Mapping[str, str],
    progress: bool = False,
    pip: Sequence[str] = (),
) -> dict[str, frozenset[str]]:
    """Fetch what requirements ask for, directly and through others; file names by wheel.

    Raises NoPip, NoSuchWheel with the client's own words.
    """
    import zipfile  # noqa: PLC0415 (start-up: seldom asked for)

    folder = os.path.join(into, "required")
    os.makedirs(folder, exist_ok=True)
    words = _arguments(requirements, place.python, place.platforms(), folder, alone=False)
    command = [*(pip or pip_command(environment)), *words]
    _download(command, environment, ", ".join(requirements), progress=progress)
    found = {}
    for name in sorted(os.listdir(folder)):
        with zipfile.ZipFile(os.path.join(folder, name)) as archive:
            files = frozenset(member.rpartition("/")[2] for member in archive.namelist())
        found[normalise_name(name.partition("-")[0])] = files
    return found


def _arguments(
    requirements: Sequence[str],
    python: str,
    platforms: Iterable[str],
    folder: str,
    *,
    alone: bool = True,
) -> list[str]:
    command = ["download", *(["--no-deps"] if alone else [])]
    command += ["--only-binary", ":all:", "--disable-pip-version-check"]
    command += ["--implementation", "cp", "--python-version", python.rstrip("t")]
    command += ["--dest", folder]
    if python.endswith("t"):
        command += ["--abi", f"cp{python.replace('.', '')}", "--abi", "abi3t"]
    for platform in platforms:
        command += ["--platform", platform]
    return [*command, "--", *requirements]


def _download(
    command: Sequence[str], environment: Mapping[str, str], what: str, *, progress: bool
) -> None:
    import subprocess  # noqa: PLC0415 (start-up)

    end = command.index("--")
    command = [*command[:end], "--progress-bar", "on" if progress else "off", *command[end:]]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if progress else subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            check=False,
        )
    except OSError as error:
        raise NoSuchWheel(f"can't be run: {error.strerror}", where=command[0]) from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").splitlines()
        lines = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR:")]
        reason = lines[-1] if lines else (said[-1] if said else "pip said nothing")
        hint = (
            "it may have no wheel but a source archive, or wheels for other Pythons and systems:"
            " its page on the index lists the files; --python-version and --system choose others"
        )
        raise NoSuchWheel(reason, where=what, hint=hint)

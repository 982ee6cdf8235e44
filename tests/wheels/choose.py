"""``python -m tests.wheels.choose PROJECT[==VERSION]...``: rows for a list, as pip picks them.

For each release the wheel that pip takes for the runner's target comes first,
then every other wheel of the release that fits, in pip's order: a user of an
older pip, or of an older glibc, gets those. ``picked.tsv`` is made so. All are
fetched into the folder of the wheels. Rows go to standard output, what can't be
had to standard error.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import parse_wheel_filename
from tests.wheels import corpus

from nix_manylinux.target.place import Place

#: The target: CPython and glibc of the system that the runner's store is made of.
PYTHON = "3.11"
PLATFORMS = tuple(Place(python="3.12", system="x86_64-linux", glibc=(2, 36)).platforms())


def main(requirements: list[str]) -> int:
    """Print the rows; 1 if a project has no wheel for the target."""
    status = 0
    for requirement in requirements:
        files = fitting(requirement)
        if not files:
            print(f"{requirement}: no wheel fits", file=sys.stderr, flush=True)  # noqa: T201
            status = 1
        for path in files:
            print(row(path), flush=True)  # noqa: T201 - asked for
    return status


def fitting(requirement: str) -> list[str]:
    """Fetch every wheel of a release that fits the target, in the order of pip's choice."""
    platforms = list(PLATFORMS)
    found: list[str] = []
    while path := picked(requirement, platforms):
        name, version, _, tags = parse_wheel_filename(os.path.basename(path))
        own = {tag.platform for tag in tags}
        if own.isdisjoint(PLATFORMS):  # pure Python, where nothing better fits
            return found or [path]
        found.append(path)
        requirement = f"{name}=={version}"
        # To pip a platform of the older names allows those before it, too.
        for older, newer in (
            ("manylinux1_", "manylinux2010_"),
            ("manylinux2010_", "manylinux2014_"),
        ):
            own |= {tag.replace(older, newer) for tag in own if tag.startswith(older)}
        platforms = [platform for platform in platforms if platform not in own]
    return found


def picked(requirement: str, platforms: list[str]) -> str | None:
    """Let pip take a wheel for these platforms; its path, None where there is none."""
    if not platforms:
        return None
    with tempfile.TemporaryDirectory(dir=corpus.folder()) as place:
        options = ["--disable-pip-version-check", "--quiet", "--no-deps", "--only-binary", ":all:"]
        options += ["--implementation", "cp", "--python-version", PYTHON]
        for platform in platforms:
            options += ["--platform", platform]
        ask = ["install", "--dry-run", "--ignore-installed", "--report", "-", "--target", place]
        told = _pip(*ask, *options, requirement)
        if told is None:
            return None
        (chosen,) = json.loads(told)["install"]
        name = unquote(os.path.basename(urlsplit(chosen["download_info"]["url"]).path))
        path = os.path.join(corpus.folder(), name)
        if not os.path.exists(path):
            if _pip("download", "--dest", place, *options, requirement) is None:
                return None
            os.rename(os.path.join(place, name), path)
        return path


def _pip(*words: str) -> str | None:
    """Run pip; its output, None where it finds no wheel. Other failures are told."""
    command = [sys.executable, "-m", "pip", *words]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode == 0:
        return ran.stdout
    if "No matching distribution" not in ran.stderr:
        print(ran.stderr, file=sys.stderr, flush=True)  # noqa: T201
    return None


def row(path: str) -> str:
    """Spell a line of a list; what the wheel is good for is left to whoever adds it."""
    name, version = os.path.basename(path).split("-")[:2]
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    megabytes = f"{os.path.getsize(path) / 1e6:.1f}"
    return "\t".join([name, version, os.path.basename(path), megabytes, digest, "", ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

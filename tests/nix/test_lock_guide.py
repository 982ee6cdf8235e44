"""docs/locks.md on locks: two commands, the project itself, what is pinned for others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.nix.test_guides import (
    ADD,
    LOCKS,
    PROJECT,
    WHEEL,
    flake_of,
    index,
    input_by_url,
    place,
    project,
    wheels,
)
from tests.support.guides import blocks, take
from tests.support.nix import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nix.test_guides import Place

pytestmark = pytest.mark.nix
__all__ = ["place", "project", "wheels"]

LOCK, BUILD = take(LOCKS, "nix-manylinux lock", "nix-build")
COLLEAGUE = take(
    LOCKS, "nix flake init -t nix-manylinux#lock", "git add flake.nix", "nix build",
    "git add flake.lock",
)  # fmt: skip


def lock_here(place: Place, *, backend: str = "") -> None:
    """Make a project that uv has locked, and type the first of the two commands.

    With a backend it is a package.
    """
    before = PROJECT.partition("[tool.uv]" if backend else "no-index")[0]
    (place.folder / "pyproject.toml").write_text(before + backend)
    nowhere = "unset UV_OFFLINE UV_NO_INDEX UV_FIND_LINKS"
    with index(place.folder / f"wheels/{WHEEL}") as address:
        place.run(nowhere, "uv lock", UV_INDEX_URL=address)
    # Under its name and hash it is the fetcher's output: nothing is fetched.
    place.run(f"nix-store --add-fixed sha256 wheels/{WHEEL}")
    place.run(place.here(LOCK))


def test_from_a_lock(place: Place) -> None:
    """A project that uv has locked, two commands, an environment."""
    lock_here(place)
    place.run(BUILD)
    place.imports(f"{os.path.realpath(place.folder / 'result')}/bin/python3")


def test_the_project_itself(place: Place) -> None:
    """It is built where it is asked for, and can then be imported like what it requires."""
    text = (ROOT / LOCKS).read_text(encoding="utf-8")
    assert "unless `projects = true;` stands beside `python`, as\n`lock --projects` writes" in text
    backend = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    (place.folder / "src/demo").mkdir(parents=True)
    (place.folder / "src/demo/__init__.py").write_text("import cv2\n")
    lock_here(place, backend=backend)
    place.run(place.here(LOCK.replace(" lock ", " lock --projects ")))
    place.run(BUILD, "result/bin/python3 -c 'import demo'")
    built = os.path.realpath(place.folder / "result")
    place.run("echo '# a remark' >> environment.nix", BUILD)  # which is no part of the project
    assert os.path.realpath(place.folder / "result") == built


def test_for_a_colleague(place: Place, project: Path) -> None:
    """A flake and its lock, committed, give a clone the same; and so do pins without flakes."""
    # Nix 2.8 takes no flake of git from a folder with a space.
    place.folder = place.folder.rename(place.folder.parent / "project")
    flake_of(place)
    name, add = ADD
    place.run(place.here(name, {"git+https://example.org/nix-manylinux": f"path:{project}"}), add)
    lock_here(place)
    written = blocks(LOCKS, "nix")
    (place.folder / "environment.nix").write_text(written[0])
    init, files, build, last = COLLEAGUE
    # What stands for nixpkgs here is another flake, and finds the project outside of the store.
    here = f"sed -i 's|github:NixOS/nixpkgs/nixos-unstable|path:{place.nixpkgs}|' flake.nix"
    here += f"\n{input_by_url(project)}"
    build += " --impure"
    git = "git -c user.name=N -c user.email=n@example.org"
    place.run("git init -q .", init, here, files, build, last, f"{git} commit -qm pinned")
    built = os.path.realpath(place.folder / "result")
    place.imports(f"{built}/bin/python3")
    place.run("nix registry remove nix-manylinux", f"git clone -q '{place.folder}' ../clone")
    place.run(f"cd ../clone; {build}", NIX_PATH="")
    assert os.path.realpath(place.folder.parent / "clone/result") == built

    commit = f"git init -q .; git add .; {git} commit -qm all"
    place.run(f"cp -r {project} ../ours; cd ../ours; chmod -R u+w .; {commit}")
    revision = place.run("git -C ../ours rev-parse HEAD").strip()
    place.run("tar -czf ../nixpkgs.tar.gz -C .. nixpkgs")
    address = f"file://{place.folder.parent}/nixpkgs.tar.gz"
    digest = place.run(f"nix-prefetch-url --unpack {address} 2>/dev/null").split()[-1]
    (pinned,) = (each for each in written if "fetchTarball" in each)
    changes = {
        "https://example.org/nix-manylinux": f"file://{place.folder.parent}/ours",
        "0" * 52: digest,
        "0" * 40: revision,
        "https://example.org/nixpkgs/0000000.tar.gz": address,
    }
    (place.folder / "environment.nix").write_text(place.here(pinned, changes))
    place.run(BUILD, NIX_PATH="")
    place.imports(f"{os.path.realpath(place.folder / 'result')}/bin/python3")

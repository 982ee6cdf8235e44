"""Libraries of nixpkgs, built or fetched by Nix for what is missing."""

from __future__ import annotations

import os

from nix_manylinux.nix.advice import without_choices
from nix_manylinux.nix.adviser import Adviser
from nix_manylinux.nix.references import find_nix
from nix_manylinux.resolve.plan import Problem
from nix_manylinux.resolve.rules import KEPT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nix_manylinux.nix.packages import Table
    from nix_manylinux.resolve.plan import Plan


def wanted_attributes(plan: Plan, table: Table, tried: Collection[str]) -> dict[str, list[str]]:
    """Give the attributes of nixpkgs, outputs included, that have what is missing in a plan.

    Sorted; with each the names that it is wanted for. What a plan has waived counts too, and
    what was linked earlier: libraries of two nixpkgs need not work together. Those in
    ``tried`` are left out, and what is unfree, insecure or another language's: nobody has
    asked for that.
    """
    adviser = Adviser(table, plan.trees)
    linked = [
        Problem(name=r.name.rpartition("/")[2], wanted_by=(each.file.label,))
        for each in plan.files
        for r in each.resolutions
        if r.reason == KEPT
    ]
    problems, _ = without_choices((*plan.missing, *plan.waived, *linked), adviser)
    wanted: dict[str, list[str]] = {}
    for problem in problems:
        found = adviser.advise(*problem.names)
        if found.may_be_taken and found.installable not in tried:
            wanted.setdefault(found.installable, []).append(problem.name)
    return dict(sorted(wanted.items()))


def build_libraries(
    attributes: Sequence[str],
    nixpkgs: str,
    *,
    environment: Mapping[str, str],
    dry_run: bool = False,
) -> tuple[list[str], list[str]]:
    """Build or fetch attributes; gives their ``lib`` folders, and the attributes that failed.

    With ``dry_run`` they are only evaluated: there are no folders of what isn't there.

    ``nixpkgs`` is ``<nixpkgs>``, a path, or a flake reference (with a colon or "#"). All are
    asked for in one call; where that fails, one by one. Nix draws its progress on standard
    error. Raises NoNix where there is none.
    """
    flake = ":" in nixpkgs or "#" in nixpkgs
    tool = find_nix(
        "nix" if flake else "nix-build",
        environment,
        option="--nixpkgs",
        hint="name directories of libraries with --libs",
    )
    more = ["--dry-run"] if dry_run else []
    folders, failed = [], []
    paths = _build(tool, attributes, nixpkgs, environment, more, quiet=len(attributes) > 1)
    if paths is None:
        paths = []
        for attribute in attributes:
            one = _build(tool, [attribute], nixpkgs, environment, more, quiet=False)
            if one is None:
                failed.append(attribute)
            else:
                paths += one
    for path in paths:
        folder = os.path.join(path, "lib")
        if os.path.isdir(folder):
            folders.append(folder)
    return list(dict.fromkeys(folders)), failed


def _build(
    tool: str,
    attributes: Sequence[str],
    nixpkgs: str,
    environment: Mapping[str, str],
    more: Sequence[str],
    *,
    quiet: bool,
) -> list[str] | None:
    """Run Nix once; the paths that it prints, or None where it fails."""
    import subprocess  # noqa: PLC0415 (start-up)

    if os.path.basename(tool) == "nix":
        reference = nixpkgs.partition("#")[0]
        command = [tool, "--extra-experimental-features", "nix-command flakes", "build"]
        command += ["--no-link", "--print-out-paths"]
        command += [f"{reference}#{name.replace('.out', '^out')}" for name in attributes]
    else:
        command = [tool, nixpkgs, "--no-out-link"]
        command += [word for name in attributes for word in ("-A", name)]
    command += more
    # What Nix says is for whoever waits; a failure of all is reported for each.
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet else None,
        env=dict(environment),
        text=True,
        check=False,
    )
    return done.stdout.split() if done.returncode == 0 else None

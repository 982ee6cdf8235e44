"""The store paths that a plan links to: what Nix must know, and what a root must hold."""

from __future__ import annotations

import os
import re

from nix_manylinux.base.errors import NixManylinuxError
from nix_manylinux.elf.facts import planned_facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from nix_manylinux.resolve.plan import Plan

#: A store path: 32 characters of Nix's base 32, a dash and a name, below any store.
_STORE_PATH = re.compile(r"/(?:[^/]+/)*?[0-9a-df-np-sv-z]{32}-[0-9A-Za-z+._?=-]+")


def plan_references(plan: Plan) -> tuple[str, ...]:
    """Every store path that a file of the plan will name, sorted."""
    found: set[str] = set()
    roots = tuple(tree.root for tree in plan.trees)
    for each in plan.files:
        if each.skipped:
            continue
        facts = planned_facts(each.file.facts, each.edit)
        for text in (*facts.search_path, *facts.needed, facts.interpreter or ""):
            match = _STORE_PATH.match(text)
            if match and not text.startswith(roots):
                found.add(match.group())
    return tuple(sorted(found))


def register_gc_roots(references: Iterable[str], folder: str) -> None:
    """Make each reference a root of Nix's garbage collector, by a link in ``folder``.

    Raises `NixManylinuxError` where nix-store is not to be had or says no.
    """
    import shutil  # noqa: PLC0415 - start-up
    import subprocess  # noqa: PLC0415

    tool = shutil.which("nix-store")
    if tool is None:
        raise NixManylinuxError(
            "--gc-roots needs the command nix-store", hint="install Nix, or leave --gc-roots out"
        )
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise NixManylinuxError(
            f"can't make the folder for the roots: {error.strerror}",
            where=folder,
            hint="give --gc-roots a folder that you may write to",
        ) from error
    for reference in references:
        link = os.path.join(os.path.abspath(folder), os.path.basename(reference))
        if os.path.islink(link) and os.readlink(link) == reference:
            continue  # an earlier run's
        done = subprocess.run(
            [tool, "--realise", reference, "--add-root", link],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NixManylinuxError(
                f"nix-store could not make a root: {done.stderr.strip()}",
                where=reference,
                hint=f"nix-store --realise {reference} --add-root {link}",
            )

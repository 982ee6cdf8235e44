"""The store paths that a plan links to: what Nix must know, and what a root must hold."""

from __future__ import annotations

import os
import re
from contextlib import suppress

from nix_manylinux.base.errors import NixManylinuxError, OsErrors
from nix_manylinux.base.files import another_folder
from nix_manylinux.base.programs import run_program
from nix_manylinux.base.store import HASH, roots_folder, store_path, store_paths_on_the_way
from nix_manylinux.elf.facts import ElfFacts, planned_facts
from nix_manylinux.resolve.plan import wanting_files
from nix_manylinux.target.environment import pyvenv_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from nix_manylinux.resolve.plan import Plan

#: Where Nix's own installers put its commands, where PATH doesn't say.
_PLACES = ("/nix/var/nix/profiles/default/bin", "/run/current-system/sw/bin")

#: A store path, below any store.
_STORE_PATH = rf"/(?:[^/]+/)*?{HASH}[0-9A-Za-z+._?=-]+"


class NoNix(NixManylinuxError):
    """A command of Nix is wanted, and there is none."""


def plan_references(
    plan: Plan, *, tree: int | None = None, skipped: bool = False
) -> tuple[str, ...]:
    """Every store path that a file of the plan, or of one of its trees, will name; sorted.

    Of files that are left alone, too, if ``skipped``.
    """
    texts: set[str] = set()
    roots = tuple(tree.root for tree in plan.trees)
    for each in plan.files:
        if (each.skipped and not skipped) or tree not in {None, each.tree}:
            continue
        texts.update(led_to(planned_facts(each.file.facts, each.edit)))
    matches = (re.match(_STORE_PATH, text) for text in texts if not text.startswith(roots))
    return tuple(sorted({match.group() for match in matches if match}))


def absent_references(plan: Plan) -> tuple[str, ...]:
    """Store paths that are not here, and that files are linked to which lack something; sorted."""
    lacking = wanting_files((*plan.problems, *plan.waived))
    found = set()
    for each in plan.files:
        if each.file.label in lacking:
            found |= {store_path(text) for text in led_to(each.file.facts)}
    return tuple(sorted(path for path in found - {""} if not os.path.lexists(path)))


def led_to(facts: ElfFacts) -> tuple[str, ...]:
    """Give all that an ELF file leads to by a path, or may: folders, libraries, the interpreter."""
    return (*facts.search_path, *facts.needed, facts.interpreter or "")


def find_nix(command: str, environment: Mapping[str, str], *, option: str, hint: str) -> str:
    """Find one of Nix's commands, on PATH or where its installers put it.

    Raises `NoNix`, which says that ``option`` needs it.
    """
    import shutil  # noqa: PLC0415 - start-up

    places = environment.get("PATH", os.defpath).split(os.pathsep)
    path = os.pathsep.join([place for place in places if os.path.isabs(place)] + [*_PLACES])
    found = shutil.which(command, path=path)
    if found is None:
        raise NoNix(f"{option} needs the command {command}", hint=f"install Nix, or {hint}")
    return found


def interpreter_references(python: str) -> set[str]:
    """Give the store paths without which an interpreter doesn't start: a path, link by link.

    Where it is a virtual environment's, those of the Python that this was made with, too.
    """
    found = store_paths_on_the_way(python)
    home = pyvenv_settings(os.path.dirname(os.path.dirname(python))).get("home")
    found |= store_paths_on_the_way(home) if home else set()
    return {path for path in found if os.path.exists(path)}


def registered_roots() -> dict[str, str]:
    """Give the links that Nix knows as roots of its garbage collector, and where they lead.

    A link that was copied or moved since is none, whatever it leads to.
    """
    folder = roots_folder()
    found = {}
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):  # gone, and Nix has not noticed yet
                link = os.readlink(os.path.join(folder, name))
                found[link] = os.readlink(link)
    return found


def drop_gc_roots(folder: str, kept: Collection[str]) -> int:
    """Remove the roots that `register_gc_roots` once made in ``folder``, but for those of ``kept``.

    Gives how many; links of other names, or to other places, are somebody else's.
    """
    dropped = 0
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        link = os.path.join(folder, name)
        leads = os.readlink(link) if os.path.islink(link) else ""
        if leads not in kept and store_path(leads) == leads and os.path.basename(leads) == name:
            with suppress(OSError):
                os.unlink(link)
                dropped += 1
    return dropped


def register_gc_roots(references: Iterable[str], folder: str, tool: str) -> None:
    """Make each reference a root of Nix's garbage collector, by a link in ``folder``.

    ``tool`` is the path of nix-store. Raises `NixManylinuxError` where it says no.
    """
    hint = another_folder("--gc-roots")
    with OsErrors(
        NixManylinuxError, "can't make the folder for the roots", where=folder, hint=hint
    ):
        os.makedirs(folder, exist_ok=True)
    known = registered_roots()
    for reference in references:
        link = os.path.join(os.path.abspath(folder), os.path.basename(reference))
        if known.get(link) == reference:
            continue  # an earlier run's
        done = run_program([tool, "--realise", reference, "--add-root", link], os.environ)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise NixManylinuxError(
                f"nix-store could not make a root: {said}",
                where=reference,
                hint=f"nix-store --realise {reference} --add-root {link}",
            )

"""A target that is this system's where the libraries are Nix's: told, with what chooses Nix's."""

from __future__ import annotations

import os
import re

from nix_manylinux.base.store import in_store
from nix_manylinux.base.values import replace
from nix_manylinux.elf.facts import ElfKind
from nix_manylinux.nix.references import plan_references
from nix_manylinux.target.environment import made_again, python_of_nix
from nix_manylinux.target.foreign import is_linker
from nix_manylinux.tree.roots import find_pyvenv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.cli.run import Run
    from nix_manylinux.resolve.plan import Plan


def tell_origin(run: Run, plan: Plan) -> None:
    """Warn once where nobody has chosen the target, and it isn't Nix's, but libraries are.

    An environment's own Python is no choice either: uv takes the system's where there is one.
    """
    linker = plan.target.dynamic_linker
    if not _is_unchosen(run, plan):
        return
    nixpkgs = getattr(run.arguments.extra, "nixpkgs", None)
    libraries = any(in_store(os.path.realpath(folder)) for folder in run.arguments.libs)
    if not (nixpkgs or libraries or any(map(in_store, plan_references(plan)))):
        return
    places = [getattr(run.arguments.extra, "prefix", None) or "", *run.arguments.paths]
    environment = next(filter(find_pyvenv, filter(None, places)), None)
    python = plan.target.interpreter
    if environment and python:
        real = os.path.realpath(python.executable)
        where = "where only Nix is, as on NixOS, it doesn't start. To make it again with Nix's:"
        option = ["--nixpkgs", nixpkgs] if nixpkgs not in {None, "<nixpkgs>"} else ["--nixpkgs"]
        import shlex  # noqa: PLC0415 - start-up

        words = ["nix-manylinux", "patch", environment, *option]
        attribute = "python{}{}".format(*python.version)
        run.warn_once(
            f"the Python of {environment} is {real}, not Nix's, though libraries are: {where}",
            f"  {made_again(environment, attribute)}",
            f"  {shlex.join(words)}",
        )
    elif any(not each.skipped for each in plan.files):
        does = "checked against" if run.arguments.command == "check" else "linked for"
        run.warn_once(
            f"{does} this system's libc ({linker}), that of the Python which runs this command,"
            " though libraries are Nix's. For a Python of Nix's, as on NixOS, add:",
            f"  --python {python_of_nix(_attribute(plan))}",
        )


def take_own_linker(run: Run, plan: Plan) -> bool:
    """Choose, where nobody has, what all programs of a plan are linked for in the store already.

    Whether there is such a dynamic linker, and no environment whose Python has a say.
    """
    if not _is_unchosen(run, plan) or any(map(find_pyvenv, run.arguments.paths)):
        return False
    programs = [each.file.facts for each in plan.files if not each.skipped]
    programs = [facts for facts in programs if facts.kind is ElfKind.PROGRAM]
    named = {facts.interpreter or "" for facts in programs}
    if len(named) != 1 or not in_store(linker := named.pop()) or not is_linker(linker):
        return False
    given = replace(run.arguments.target, dynamic_linker=linker)
    run.arguments = replace(run.arguments, target=given)
    run.console.say(f"for {linker}, which its programs are linked for:")
    return True


def _is_unchosen(run: Run, plan: Plan) -> bool:
    """Whether the target is this system's, and nobody has said that it is to be."""
    given = run.arguments.target
    chosen = given.dynamic_linker or given.libc or given.python or run.python
    linker = os.path.realpath(plan.target.dynamic_linker)
    return not (chosen or run.in_build() or in_store(linker))


def _attribute(plan: Plan) -> str:
    """Name nixpkgs' Python that the tags ask for, "" where they leave it open."""
    tags = [tag for tree in plan.trees for dist in tree.distributions for tag in dist.tags]
    minors = {match[1] for tag in tags if (match := re.match(r"cp3([0-9]+)-cp3\1-", tag))}
    return f"python3{minors.pop()}" if len(minors) == 1 else ""

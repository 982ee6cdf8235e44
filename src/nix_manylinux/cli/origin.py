"""A target that is this system's where the libraries are Nix's: told, with what chooses Nix's."""

from __future__ import annotations

import os
import re

from nix_manylinux.base.store import in_store, nix_store
from nix_manylinux.base.values import replace
from nix_manylinux.base.words import listed, shell
from nix_manylinux.elf.facts import ElfFacts, ElfKind
from nix_manylinux.nix.references import plan_references
from nix_manylinux.target.environment import is_linker, made_again, python_of_nix
from nix_manylinux.tree.roots import find_pyvenv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nix_manylinux.cli.run import Run
    from nix_manylinux.resolve.plan import Plan
    from nix_manylinux.tree.facts import TreeFacts


#: What a failed command leaves of "$(nix-build ...)/bin/python3", but for the version, and
#: of "$(nix-build ...)/lib".
_PYTHON = "/bin/python"
_LIBRARIES = frozenset({"/lib", "/lib32", "/lib64"})


def tell_origin(run: Run, plan: Plan, advice: Sequence[str] = ()) -> None:
    """Warn once where nobody has chosen the target, and it isn't Nix's, but libraries are.

    An environment's own Python is no choice either: uv takes the system's where there is one.
    ``advice`` is what is printed next: commands that would take libraries of Nix's count, and
    what they do already isn't told before them.
    """
    if run.in_build():
        return
    given, unasked = run.arguments, False
    if not (given.python or given.dynamic_linker or given.libc):
        from nix_manylinux.cli.environments import tell_unasked  # noqa: PLC0415 - where it asks

        unasked = tell_unasked(run, plan)
    for path in run.arguments.libs:
        if path.rstrip("/") in _LIBRARIES:
            _tell_failed(run, "--libs", path)
    program = run.arguments.python or ""
    python_failed = program.rstrip("0123456789.") == _PYTHON
    unchosen = _is_unchosen(run, plan)
    if not (unchosen or python_failed):
        return
    nixpkgs, python = run.arguments.nixpkgs, plan.target.interpreter
    libraries = any(in_store(os.path.realpath(folder)) for folder in run.arguments.libs)
    of_nix = nixpkgs or libraries or any(map(in_store, plan_references(plan)))
    if of_nix and python_failed:
        _tell_failed(run, "--python", program)
    if not unchosen:
        return
    places = [run.arguments.prefix or "", *run.arguments.paths]
    environment = next(filter(find_pyvenv, filter(None, places)), None)
    advised = any("nix-build" in line or "--nixpkgs" in line for line in advice)
    if environment and python and (of_nix or (advised and os.path.isdir(nix_store()))):
        real = os.path.realpath(python.executable)
        option = ["--nixpkgs", nixpkgs] if nixpkgs not in {None, "<nixpkgs>"} else ["--nixpkgs"]
        words = ["nix-manylinux", "patch", environment, *option]
        attribute = "python{}{}".format(*python.version)
        run.warn_once(
            f"the Python of {environment} is {real}, not Nix's: where only Nix is, as on NixOS,"
            " it doesn't start. To make it again with Nix's:",
            f"  {made_again(environment, attribute)}",
            *([] if advised else [f"  {shell(*words)}"]),
        )
    elif of_nix and not (advised or unasked) and (choice := python_option(run, plan)):
        does = "checked against" if run.arguments.command == "check" else "linked for"
        run.warn_once(
            f"{does} this system's libc ({plan.target.dynamic_linker}), that of the Python which"
            " runs this command. For a Python of Nix's, as on NixOS, add:",
            f"  {choice}",
        )


def _tell_failed(run: Run, option: str, path: str) -> None:
    """Warn, where Nix is, of a path that is what a failed substitution leaves of Nix's."""
    if os.path.isdir(nix_store()):
        run.warn_once(
            f"{option} is {path}, this system's and not Nix's:"
            f" has the command in $(...){path} failed?"
        )


def python_option(run: Run, plan: Plan) -> str:
    """Give the option that names a Python of Nix's, where nobody has, and a plan depends on it.

    A program gets its interpreter, an installed wheel its place; what lacks a version may fit
    another libc. All else is written alike for any. "" where that is so, and for environments.
    """
    if not _is_unchosen(run, plan) or any(map(find_pyvenv, run.arguments.paths)):
        return ""
    installs = run.arguments.command == "install"
    unfit = any(not each.is_foreign for each in plan.incompatible)
    if not (installs or unfit or _programs(plan)):
        return ""
    minors = _minors(plan.trees)  # where the tags leave it open, any
    return f"--python {python_of_nix(f'python3{minors[0]}' if len(minors) == 1 else '')}"


def _programs(plan: Plan) -> list[ElfFacts]:
    programs = [each.file.facts for each in plan.files if not each.skipped]
    return [facts for facts in programs if facts.kind is ElfKind.PROGRAM]


def take_own_linker(run: Run, plan: Plan) -> bool:
    """Choose, where nobody has, what all programs of a plan are linked for in the store already.

    Whether there is such a dynamic linker, and no environment whose Python has a say.
    """
    if not _is_unchosen(run, plan) or any(map(find_pyvenv, run.arguments.paths)):
        return False
    named = {facts.interpreter or "" for facts in _programs(plan)}
    if len(named) != 1 or not in_store(linker := named.pop()) or not is_linker(linker):
        return False
    run.arguments = replace(run.arguments, dynamic_linker=linker)
    run.console.say(f"for {linker}, which its programs are linked for:")
    return True


def _is_unchosen(run: Run, plan: Plan) -> bool:
    """Whether the target is this system's, and nobody has said that it is to be."""
    given = run.arguments
    chosen = given.dynamic_linker or given.libc or given.python or run.python
    linker = os.path.realpath(plan.target.dynamic_linker)
    return not (chosen or run.in_build() or in_store(linker))


def tell_untried(run: Run, plan: Plan) -> None:
    """Say for which Pythons the wheels of a tree are where none was looked at; a build's hook does.

    ``pip install --target`` takes wheels for any Python, and leaves no trace of which was meant.
    """
    trees = [tree for tree in plan.trees if tree.floating is None]
    minors = _minors(trees)
    if minors and not plan.target.interpreter and not run.in_build():
        versions = listed(f"3.{minor}" for minor in minors)
        run.console.say(
            f"  by their tags the wheels are for CPython {versions}; --python PROGRAM holds them"
            " against one"
        )


def _minors(trees: Iterable[TreeFacts]) -> list[int]:
    """Give the second numbers of the CPythons, and no later ones, that the tags ask for."""
    tags = [tag for tree in trees for dist in tree.distributions for tag in dist.tags]
    return sorted(
        {int(found[1]) for tag in tags if (found := re.match(r"cp3([0-9]+)-cp3\1-", tag))}
    )

"""Several virtual environments in one command, and those inside of what was named."""

from __future__ import annotations

import os

from nix_manylinux.base.store import in_store
from nix_manylinux.base.values import replace
from nix_manylinux.base.words import count, listed
from nix_manylinux.cli.run import Run
from nix_manylinux.tree.roots import environment_around, find_pyvenv, outermost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.resolve.plan import Plan
    from nix_manylinux.tree.facts import TreeFacts


def each_alone(run: Run) -> list[Run]:
    """Give a run for each of several virtual environments, if nothing else was named; else [].

    Each is a process's own: it has its own Python, and nothing of one is for another. In a build,
    where all outputs are one package, they stay together.
    """
    paths = run.arguments.paths
    if len(paths) < 2 or run.in_build() or not all(map(find_pyvenv, paths)):
        return []
    from nix_manylinux.cli.command_line import part_of  # noqa: PLC0415 - seldom

    typed_as = {os.path.abspath(path): path for path in reversed(paths)}
    alone = [typed_as[root] for root in outermost(paths)]
    if len(alone) == 1:
        return []
    runs: list[Run] = []
    for path in alone:
        options = part_of(run.arguments.options, [path], paths)
        words = [word for word in run.words if word == path or word not in paths]
        arguments = replace(run.arguments, paths=(path,), options=options)
        runs.append(Run(arguments, run.environment, run.console, words=words))
    return runs


def tell_unasked(run: Run, plan: Plan) -> bool:
    """Warn of virtual environments that hold what was named, or lie in it, and weren't named.

    Their Pythons had no say. Whether there are any.
    """
    given = run.arguments
    typed_as = {os.path.realpath(path): path for path in given.paths}
    trees = [tree for tree in plan.trees if tree.root in typed_as and not in_store(tree.root)]
    trees = [tree for tree in trees if not find_pyvenv(tree.root)]
    around = [env for tree in trees if (env := environment_around(typed_as[tree.root]))]
    inside = [
        os.path.normpath(os.path.join(typed_as[tree.root], home))
        for tree in trees
        for home in _homes(tree)
    ]
    if not (around or inside):
        return False
    from nix_manylinux.cli.command_line import typed  # noqa: PLC0415 - seldom

    environments = [*dict.fromkeys([*around, *inside])]
    words = typed(run, environments).replace(" patch ", f" {given.command} ", 1)
    done = "linked" if given.command == "patch" else "looked at"
    one = len(environments) == 1
    what = f"holds {count(len(inside), 'virtual environment')}"
    if around:
        what = f"is part of {'a virtual environment' if one else 'virtual environments'}"
    run.warn_once(
        f"{listed(typed_as.values())} {what}, and was not {done} for"
        f" {'its Python' if one else 'their Pythons'};"
        f" to have {'it' if one else 'each'} {done} for its own:",
        f"  {words}",
    )
    return True


def _homes(tree: TreeFacts) -> list[str]:
    """Give the virtual environments that hold a tree's site-packages, relative to the tree."""
    parts = (folder.split("/")[:-3] for folder in tree.site_packages)
    homes = dict.fromkeys("/".join(each) for each in parts if each)
    return [home for home in homes if find_pyvenv(os.path.join(tree.root, home))]

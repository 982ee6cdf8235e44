"""Files for other machines that a package has beside its own, for whom it is installed on those.

pulp has its solver for three machines, pvporcupine its library for eight. Nobody has to allow
such files: the loader never looks at them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nix_manylinux.elf.facts import Machine
    from nix_manylinux.tree.facts import TreeFacts, TreeFile


class Siblings:
    """What packages of some trees have for a machine, by package and name."""

    def __init__(self, trees: Sequence[TreeFacts], machine: Machine) -> None:
        self._trees, self._machine = trees, machine
        self._known: dict[int, frozenset[tuple[str, str]]] = {}

    def has(self, tree: int, file: TreeFile) -> bool:
        """Whether the package of a file has one of that name for the machine."""
        facts = self._trees[tree]
        if tree not in self._known:
            own = (each for each in facts.files if each.facts.machine.fits(self._machine))
            self._known[tree] = frozenset(place_of(facts, each) for each in own)
        return place_of(facts, file) in self._known[tree]


def place_of(facts: TreeFacts, file: TreeFile) -> tuple[str, str]:
    """Give the package that a file is in, by its folder in site-packages, and the file's name."""
    folder, _, name = file.path.rpartition("/")
    for site in facts.site_packages:
        prefix = f"{site}/" if site else ""
        if file.path.startswith(prefix):
            return prefix + file.path[len(prefix) :].partition("/")[0], name
    return folder, name

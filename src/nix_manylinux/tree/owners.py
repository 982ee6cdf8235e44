"""Which wheels the files of an environment came with, by their RECORDs, and what those require."""

from __future__ import annotations

import os

from nix_manylinux.tree.libraries import recorded
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.tree.facts import TreeFacts


class Owners:
    """The distributions of one tree, with the ELF files that each lists, by their names in it."""

    def __init__(self, tree: TreeFacts) -> None:
        self._requires = {normalise_name(d.name): d.requires for d in tree.distributions}
        self._of: dict[str, set[str]] = {}
        files = {name for file in tree.files for name in file.names}
        for each in tree.distributions:
            site = os.path.dirname(each.folder)
            for path in recorded(f"{tree.root}/{each.folder}"):
                name = f"{site}/{path}" if site else path
                name = os.path.normpath(name) if ".." in path else name
                if name in files:
                    self._of.setdefault(name, set()).add(normalise_name(each.name))

    def of(self, *names: str) -> set[str]:
        """Give those who list a file by one of its names; empty where nobody does."""
        return set().union(*(self._of.get(name, ()) for name in names))

    def required(self, owners: set[str]) -> set[str]:
        """Give what distributions require directly, there or not, those for extras too."""
        return set().union(*(self._requires[name] for name in owners))

    def are_strangers(self, one: str, other: str) -> bool:
        """Whether two files came with wheels of which the first's doesn't lead to the other's.

        It leads to what it requires, directly or through others. Of what nobody lists nothing
        is known.
        """
        theirs, queue = self.of(other), self.of(one)
        seen = queue
        while queue and theirs.isdisjoint(seen):
            queue = (self.required(queue) & self._requires.keys()) - seen
            seen = seen | queue
        return bool(seen and theirs) and theirs.isdisjoint(seen)

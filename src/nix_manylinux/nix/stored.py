"""Packages in a Nix store that a plan finds something wrong with: their files, linked or not."""

from __future__ import annotations

import os

from nix_manylinux.base.store import store_path
from nix_manylinux.base.values import Value
from nix_manylinux.base.words import some
from nix_manylinux.nix.references import led_to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from nix_manylinux.resolve.plan import Plan


class StoredPackage(Value):
    """A store path, with the ``labels`` of its files that something is wrong with.

    ``files`` counts all of its ELF files that the plan knows; ``linked`` is whether any of
    them leads into a store. Where none does, nothing was linked when the package was built.
    """

    path: str
    labels: tuple[str, ...]
    files: int
    linked: bool

    @property
    def sentence(self) -> str:
        """Say what is wrong, and where it is mended; what the package lacks is to follow."""
        if self.linked:
            verb = "wants" if len(self.labels) == 1 else "want"
            return (
                f"{self.path} lacks what {some(self.labels, 1)} {verb}: it was linked when it was"
                " built, and is mended in its own expression:"
            )
        return (
            f"{self.path} is not linked: none of its ELF files ({self.files}) leads into a"
            " Nix store. Build it with manylinuxFixupHook, which a manylinux format brings, and"
            " without dontFixup and dontManylinuxFixup:"
        )


def stored_packages(plan: Plan, labels: Iterable[str]) -> tuple[StoredPackage, ...]:
    """Give the packages that files lie in which trees only have links to, of some labels."""
    wanted = {*labels}
    found: dict[str, list[tuple[str, bool]]] = {}
    for each in plan.files:
        tree = plan.trees[each.tree]
        if f"{each.file.path}/".startswith(tuple(f"{name}/" for name in tree.passed_by)):
            path = store_path(os.path.realpath(os.path.join(tree.root, each.file.path)))
            linked = any(map(store_path, led_to(each.file.facts)))
            found.setdefault(path, []).append((each.file.label, linked))
    return tuple(
        StoredPackage(path=path, labels=theirs, files=len(files), linked=any(x for _, x in files))
        for path, files in sorted(found.items())
        if path and (theirs := tuple(sorted(label for label, _ in files if label in wanted)))
    )

"""Libraries that a wheel has itself, and that no search path of its files leads to."""

from __future__ import annotations

import posixpath

from nix_manylinux.base.values import replace
from nix_manylinux.elf.tokens import origin_entry
from nix_manylinux.repair.needs import walk
from nix_manylinux.repair.system import loaders_of, promises
from nix_manylinux.tree.index import TreeIndex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nix_manylinux.target.policy import Policy
    from nix_manylinux.tree.disk import Disk
    from nix_manylinux.tree.facts import TreeFacts, TreeFile


def led_inside(
    facts: TreeFacts, files: Sequence[TreeFile], disk: Disk, policy: Policy, arch: str
) -> dict[str, tuple[str, ...]]:
    """Lead files to libraries of the wheel that they need by name, and don't find.

    The nearest of that name; then what it needs itself, and so on. Gives the entries that
    they will have, by their paths, and has the disk show them so. Of what ``policy``
    promises nothing is missing.
    """
    tree, led = TreeIndex((facts,)), dict[str, tuple[str, ...]]()
    by_label = {file.label: file for file in files}
    promised, machine = promises(policy, arch), files[0].facts.machine
    while True:
        loaders = loaders_of(disk, facts.root, machine, policy, promised)
        missing = walk(loaders, facts.root, files).missing
        found = [
            _lead(tree, by_label[label], name, led, disk)
            for (name, _), labels in missing.items()
            for label in labels
            if label in by_label
        ]
        if not any(found):
            return led


def _lead(
    tree: TreeIndex, file: TreeFile, name: str, led: dict[str, tuple[str, ...]], disk: Disk
) -> bool:
    """Lead one file to the nearest library of a name; false where that changes nothing."""
    root = tree.trees[0].root
    path, base = f"{root}/{file.path}", name.rpartition("/")[2]
    near = [each for each in tree.near(base, 0, path) if each.rpartition("/")[2] == base]
    if not near:
        return False
    inner = near[0].rpartition("/")[0][len(root) + 1 :]
    entry = origin_entry(posixpath.dirname(file.path), inner)
    entries = tuple(dict.fromkeys((*led.get(path, ()), entry)))
    known = disk.facts(path) or file.facts
    # No search path leads to a name with a slash: a linker's, for what has no DT_SONAME.
    needed = tuple(base if each == name else each for each in known.needed)
    if (entries, needed) == (led.get(path), known.needed):
        return False
    led[path] = entries
    raw = ":".join((*file.facts.search_path, *entries))
    disk.learn(path, replace(file.facts, needed=needed, rpath=raw, runpath=None))
    return True

"""Files that an installer has put into a tree, and that are gone: RECORD has them still."""

from __future__ import annotations

import os

from nix_manylinux.base.files import read_small

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from nix_manylinux.tree.facts import TreeFacts

#: Bytes of a RECORD that is still read; torch's has a million.
_MAX = 1 << 26


def lost_files(trees: Sequence[TreeFacts], names: Collection[str]) -> dict[str, str]:
    """Give those file names that a RECORD lists and its tree lacks, with their distributions."""
    found = {}
    for tree in trees:
        for dist in tree.distributions:
            folder = os.path.join(tree.root, dist.folder)
            try:
                record = read_small(f"{folder}/RECORD", _MAX)
            except OSError:  # there is none, or it is closed to us: nothing is known
                continue
            for line in record.decode("utf-8", "replace").splitlines():
                path = line.rsplit(",", 2)[0].strip('"')
                name = path.rpartition("/")[2]
                if name in names and not os.path.lexists(os.path.join(folder, "..", path)):
                    found[name] = dist.name
    return found

"""Search paths of files in a wheel: from each of them to the folder of the grafts."""

from __future__ import annotations

import posixpath

from nix_manylinux.elf.tokens import origin_entries
from nix_manylinux.wheel.open import SITE_PACKAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from nix_manylinux.elf.facts import ElfFacts


def kept_entries(facts: ElfFacts, root: str, path: str) -> list[str]:
    """Give the entries of a file's search path that hold anywhere: into site-packages, or the tree.

    Other wheels are reached so, too, that are installed to the same site-packages.
    Absolute ones, empty ones (the current directory) and those that leave go.
    """
    home = posixpath.join(root, SITE_PACKAGES)
    place = posixpath.join(root, path)
    kept = []
    inside = home if place.startswith(f"{home}/") else root
    for entry in facts.search_path:
        led = origin_entries([entry], place, facts.machine)
        if entry.startswith(("$ORIGIN", "${ORIGIN}")) and all(
            f"{each}/".startswith(f"{inside}/") for each in led
        ):
            kept.append(entry)
    return list(dict.fromkeys(kept))


def search_path(kept: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    """Join entries, each once."""
    return tuple(dict.fromkeys((*kept, *more)))

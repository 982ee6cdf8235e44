"""Warnings about files that stay as they are."""

from __future__ import annotations

from nix_manylinux.base.words import count, some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nix_manylinux.tree.facts import Damage, TreeFacts


def left_alone(left: Sequence[Damage]) -> tuple[str, ...]:
    """Say of each file that no edit of it could be proved safe."""
    return tuple(f"{each.label} can't be edited, and stays as it is: {each.what}" for each in left)


def unfolded(names: Sequence[str]) -> tuple[str, ...]:
    """Say which links to folders elsewhere are folders by now."""
    if not names:
        return ()
    links = count(len(names), "link to a folder", "links to folders")
    are = "is a folder" if len(names) == 1 else "are folders"
    what = f"{links} elsewhere {are} of links now, so that files in them can change"
    return (f"{what}: {some(names, 3)}",)


def passed_by(trees: Sequence[TreeFacts]) -> tuple[str, ...]:
    """Say which links lead to files that are somebody else's."""
    names = [name for tree in trees for name in tree.passed_by]
    if not names:
        return ()
    stay = "stays what it is" if len(names) == 1 else "stay what they are"
    links = count(len(names), "link")
    return (f"{links} into a Nix store or another tree {stay}: {some(names, 3)}",)

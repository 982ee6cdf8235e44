"""Warnings about files that stay as they are."""

from __future__ import annotations

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
    what = "links to folders elsewhere are folders of links now, so that files in them can change"
    return (f"{what}: {_some(names)}",)


def passed_by(trees: Sequence[TreeFacts]) -> tuple[str, ...]:
    """Say which links lead to files that are somebody else's."""
    names = [name for tree in trees for name in tree.passed_by]
    if not names:
        return ()
    return (f"links into a Nix store or another tree stay what they are: {_some(names)}",)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

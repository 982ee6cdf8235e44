"""Which extension modules a build imports to prove that its libraries load: few, and for users."""

from __future__ import annotations

from nix_manylinux.nix.expression.outside import led_to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from nix_manylinux.nix.expression.extensions import Extension
    from nix_manylinux.nix.expression.wheel import DescribedWheel

#: More than this nobody reads.
_MOST = 4


def chosen_extensions(wheels: Sequence[DescribedWheel], unmet: Collection[str]) -> list[str]:
    """Name extension modules to import besides the packages, which load none of them.

    The one that leads to most of the wheel's libraries, or of which its Python files speak
    most, and then those that lead to further libraries. Only of those nearest to the top, the
    public ones before the private. What needs one of ``unmet``, sonames and paths, is not named.
    """
    first = wheels[0]
    everywhere = set.intersection(*({e.name for e in wheel.extensions} for wheel in wheels))
    files = {file.path: file for file in first.facts.files}
    leads: dict[Extension, set[str]] = {}
    for each in first.extensions:
        led = led_to(first.facts, [each.path])
        needed = {name for path in led for name in files[path].facts.needed}
        if each.name in everywhere and (led | needed).isdisjoint(unmet):
            leads[each] = led
    nearest = min((each.name.count(".") for each in leads), default=0)
    near = [each for each in leads if each.name.count(".") == nearest]
    rest = [each for each in near if "._" not in f".{each.name}"] or near
    covered = {each.path for each in first.extensions}
    chosen: list[str] = []
    while rest and len(chosen) < _MOST:
        best = min(rest, key=lambda e: (-len(leads[e] - covered), -e.mentions, e.name))
        if chosen and leads[best] <= covered:
            break
        chosen.append(best.name)
        covered |= leads[best]
        rest.remove(best)
    return chosen

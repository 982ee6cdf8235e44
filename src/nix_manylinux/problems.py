"""What stands in the way of a plan, gathered by library and told once."""

from __future__ import annotations

from nix_manylinux.model import Outcome, Problem


class Problems:
    """Collects problems; equal names and reasons are one, with all that want it."""

    def __init__(self) -> None:
        self._wanted: dict[tuple[Outcome, str, str], set[str]] = {}

    def add(self, outcome: Outcome, name: str, wanted_by: str, reason: str) -> None:
        """Record that ``wanted_by`` can't have ``name``."""
        self._wanted.setdefault((outcome, name, reason), set()).add(wanted_by)

    def knows(self, name: str, wanted_by: str) -> bool:
        """Whether it is told already that ``wanted_by`` can't have ``name``."""
        return any(n == name and wanted_by in who for (_, n, _), who in self._wanted.items())

    def missing(self) -> tuple[Problem, ...]:
        """All libraries that nothing provides, sorted by name."""
        return self._of(Outcome.MISSING)

    def incompatible(self) -> tuple[Problem, ...]:
        """All libraries that are there and don't fit, sorted by name."""
        return self._of(Outcome.INCOMPATIBLE)

    def _of(self, outcome: Outcome) -> tuple[Problem, ...]:
        return tuple(
            Problem(name=name, wanted_by=tuple(sorted(who)), reason=reason)
            for (kind, name, reason), who in sorted(self._wanted.items())
            if kind is outcome
        )

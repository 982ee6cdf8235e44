"""The markers of a lock, evaluated for one place, with all extras that are wanted there."""

from __future__ import annotations

import re

from packaging.markers import (
    InvalidMarker,
    Marker,
    UndefinedComparison,
    UndefinedEnvironmentName,
)

from nix_manylinux.lock.model import BadLock, Lock, Package, extra_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from nix_manylinux.target.place import Place


class Markers:
    """Says of a marker whether it holds in a place; ``extra`` are the values of extra, all at once.

    Raises BadLock for what is no marker, with whose it is.
    """

    def __init__(
        self, lock: Lock, place: Place, extras: Sequence[str], groups: Sequence[str]
    ) -> None:
        self.extra = frozenset(lock.extra)
        self._kind = lock.kind
        self._conflicts = [{name for name, _ in conflict} for conflict in lock.conflicts]
        self._values: dict[str, str | frozenset[str]] = {
            **place.environment(""),
            "extras": frozenset(extras),
            "dependency_groups": frozenset(groups or lock.default_groups),
        }
        self._known = {"": True}
        projects = {each.name: each for each in lock.packages if each.is_project}
        while self._learn(frozenset(_wanted_extras(lock, projects, self))):
            pass

    def __call__(self, marker: str, whose: str) -> bool:
        """Whether a marker holds."""
        if marker not in self._known:
            self._known[marker] = self.would_hold(marker, whose, ())
        return self._known[marker]

    def would_hold(self, marker: str, whose: str, extra: Iterable[str]) -> bool:
        """Whether a marker holds if extra has some more values, and none that conflicts with these.

        What uv's markers say of two in conflict is anything.
        """
        own = {*extra}
        conflicts = [each for each in self._conflicts if each & own] if own else []
        other = set().union(*conflicts) - own
        settled = _settled(marker, (self.extra - other) | own)
        return _evaluate(settled, self._values, f"{self._kind}: {whose}")

    def _learn(self, extra: frozenset[str]) -> bool:
        """Take more values of extra; whether any is new."""
        if extra <= self.extra:
            return False
        self.extra |= extra
        self._known = {"": True}
        return True


def _wanted_extras(lock: Lock, projects: Mapping[str, Package], markers: Markers) -> Iterator[str]:
    """Give the values of extra for the projects' extras that the roots lead to."""
    reached: set[tuple[str, str]] = set()
    queue = [*lock.roots]
    while queue:
        edge = queue.pop()
        project = projects.get(edge.name)
        if project is None:
            continue
        # uv writes into an edge's marker that the extras of the edge are wanted.
        own = [extra_name("extra", edge.name, extra) for extra in edge.extras]
        if edge.marker and not markers.would_hold(edge.marker, edge.name, own):
            continue
        added = {**dict(project.extras), "": project.dependencies}
        new = {(edge.name, extra) for extra in ("", *edge.extras)} - reached
        reached |= new
        queue += [each for _, extra in new for each in added.get(extra, ())]
    return (extra_name("extra", name, extra) for name, extra in reached if extra)


def refuse_conflicts(lock: Lock, place: Place, extra: Collection[str]) -> None:
    """Raise BadLock for what the project says that can't be had at once."""
    for conflict in lock.conflicts:
        said = [text for name, text in conflict if name in extra]
        if len(said) > 1:
            alone = all(text.startswith("project ") for text in said)
            raise BadLock(
                f"has a conflict of {' and '.join(said)}: they can't be in one environment",
                where=f"{lock.kind}: {place}",
                hint="ask for one of them, and make a file of each: --package NAME -o FILE"
                if alone
                else "ask for one of them, and make a file of each: -o FILE",
            )


def _settled(marker: str, extra: Collection[str]) -> str:
    """Decide all that a marker asks of ``extra``, which has several values at once.

    packaging knows one. uv asks so for what is in conflict with other things
    ("extra-4-demo-cpu"), poetry for the project's extras.
    """
    return re.sub(
        _EXTRA,
        # All places are posix.
        lambda m: f"os_name {'==' if (m[3] in extra) is (m[1] == '==') else '!='} 'posix'",
        marker,
    )


_EXTRA = r"""\bextra\s*(==|!=)\s*(['"])([^'"]*)\2"""


def _evaluate(text: str, values: Mapping[str, str | frozenset[str]], where: str) -> bool:
    """Whether a marker holds. Raises BadLock for one that can't be read."""
    if len(text) > _LONGEST_MARKER:
        raise BadLock(f"has a marker of {len(text)} characters", where=where)
    try:
        marker = Marker(text)
        try:
            return marker.evaluate(values, context="lock_file")
        except TypeError:  # packaging before 25.0, which has no such context
            return marker.evaluate({**values})
    except (
        InvalidMarker, UndefinedComparison, UndefinedEnvironmentName, RecursionError, KeyError,
    ) as error:  # fmt: skip
        what = f"has a marker that can't be evaluated: {text[:100]!r}"
        raise BadLock(what, where=where) from error


#: Characters. uv writes some of 30,000 for extras in conflict (nvalchemi-toolkit).
_LONGEST_MARKER = 200_000

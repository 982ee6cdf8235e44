"""What is known of the wheels around one: what pip would take, else the table of families."""

from __future__ import annotations

from nix_manylinux.base.values import Value, field
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from nix_manylinux.data import Sibling


class Release(Value):
    """A release that is required: its version, and the normalised names of what it requires."""

    version: str
    requires: tuple[str, ...] = ()


class Relatives(Value):
    """What is known of the wheels around one that is to be packaged.

    ``own`` are the normalised names of what is packaged. ``families`` are those of our table,
    ``releases`` what pip would take for it and for all that it requires, by normalised name; empty
    where pip wasn't asked. ``files`` are the names of the files of those that were looked into:
    of these the table is not asked who shares a folder. ``options`` are those of the command line
    that hold for the other wheels as well, with their values.
    """

    own: frozenset[str]
    families: tuple[Mapping[str, Sibling], ...] = field(hash=False)
    releases: Mapping[str, Release] = field(default_factory=dict, hash=False)
    files: Mapping[str, Collection[str]] = field(default_factory=dict, hash=False)
    options: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)

    def requires(self, name: str) -> tuple[str, ...]:
        """Give what a wheel requires, directly, and on whom it builds of what pip takes."""
        families = (each for each in self.families if name in each)
        builds_on = [other for each in families for other in each[name].builds_on]
        if name not in self.releases:
            return tuple(builds_on)
        taken = (other for other in builds_on if other in self.releases)
        return (*self.releases[name].requires, *taken)

    def reached(self, names: Iterable[str]) -> set[str]:
        """Give some wheels, and all that they require, one through others."""
        queue = [*names]
        for name in queue:
            queue += [each for each in self.requires(name) if each not in queue]
        return {*queue}

    def coming_later(self, names: Iterable[str]) -> list[str]:
        """Give those of some wheels that need what is packaged, so that they are no input of it."""
        return [name for name in names if not self.own.isdisjoint(self.reached([name]))]

    def shared(self, inits: Iterable[str]) -> list[str]:
        """Give the files that shut folders, of its own and of what it builds with."""
        families = (each for each in self.families if not self.own.isdisjoint(each))
        more = (path for each in families for sibling in each.values() for path in sibling.shares)
        return [*dict.fromkeys([*inits, *more])]

    def sharing(self, path: str) -> list[str]:
        """Give the wheels of a family that are known to have a file of this path."""
        return [name for each in self.families for name in each if path in each[name].shares]

    def one_package(self, path: str) -> list[str]:
        """Give the wheels that can be had only together, since they share a file: the whole first.

        That is the one which is called like the file's folder, if there is one: with what it
        requires of its family it is all that its users have. Empty where it is not known that
        what is packaged is one of them.
        """
        sharing = self.sharing(path)
        whole = [name for name in sharing if name == whole_of(path)]
        families = [each for each in self.families if not each.keys().isdisjoint(sharing)]
        family = {name for each in families for name in each}
        # A later release may have parts that the table has not.
        begin = f"{whole_of(path)}-"
        ours = [
            name for name in self.own if name in sharing or (sharing and name.startswith(begin))
        ]
        members = {
            name
            for name in self.reached([*(whole or sharing), *ours])
            if name in family or name.startswith(begin)
        }
        return [] if self.own.isdisjoint(members) else [*whole, *sorted(members.difference(whole))]


def whole_of(path: str) -> str:
    """Give the name that the whole of a family has, by the path of a file that its parts share."""
    return normalise_name(path.rpartition("/")[0].replace("/", "."))

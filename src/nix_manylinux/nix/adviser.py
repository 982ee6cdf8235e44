"""Who provides a library that wheels lack: a wheel that they require, nixpkgs, or nobody.

Requires-Dist comes first: what a required wheel brings, or may bring, is built to work
with the wheel that requires it. Two copies in one process seldom do.
"""

from __future__ import annotations

import re

from nix_manylinux.base.values import replace
from nix_manylinux.base.words import listed
from nix_manylinux.data import read_families, read_nixpkgs_names, read_sonames
from nix_manylinux.nix.makers import letters
from nix_manylinux.nix.packages import (
    Suggestion,
    of_wheel,
    package_set,
    suggest,
)
from nix_manylinux.nix.syntax import nix_path
from nix_manylinux.tree.owners import Owners
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from nix_manylinux.tree.facts import TreeFacts

#: Words in the names of projects that say nothing of their libraries.
_SAYS_NOTHING = frozenset(
    {
        *("addons", "api", "base", "bin", "bindings", "client", "common", "core", "cpu", "data"),
        *("essentials", "ext", "extra", "extras", "gpu", "headless", "lib", "libs", "plugins"),
        *("python", "runtime", "tools", "types", "utils"),
    }
)

#: Of so many wheels a word in their names still may tell one that has a library.
_MANY = 3


class Adviser:
    """Advises on what some trees lack.

    ``required`` are normalised names of the wheels that are required; those of the trees'
    own metadata where it isn't given. What is ``at_hand`` was looked into already, and
    doesn't have it. ``files`` are the names of the files of some of those that are required,
    directly or through others: of these nothing is guessed. ``cuda`` is the set of nixpkgs with
    the CUDA of what is required, where that is known.
    ``unbuilt`` are attributes (with their outputs) that are not to be had, and why; ``refuse``
    says it of what the nixpkgs at hand has not, "" of the rest.
    """

    def __init__(
        self,
        trees: Iterable[TreeFacts] = (),
        *,
        required: Iterable[str] | None = None,
        at_hand: Iterable[str] = (),
        files: Mapping[str, Collection[str]] | None = None,
        cuda: str = "",
        unbuilt: Mapping[str, str] | None = None,
        refuse: Callable[[Suggestion], str] | None = None,
    ) -> None:
        trees = tuple(trees)
        own = {normalise_name(d.name) for tree in trees for d in tree.distributions}
        #: Needed names -> what is required by the wheels whose files need them, where that is known
        self._asked: dict[str, set[str]] = {}
        if required is None:
            required = {name for tree in trees for d in tree.distributions for name in d.requires}
            self._asked = _required_by_owners(trees)
        self._unbuilt = unbuilt or {}
        self._refuse = refuse
        self._there = own | set(at_hand)
        self._files = files or {}
        self._required = tuple(sorted(set(required) - self._there - self._files.keys()))
        self._own = own
        self.cuda = cuda or read_nixpkgs_names().cuda
        files_of_trees = [file for tree in trees for file in tree.files]
        rows = [read_sonames().get(file.facts.soname or "") for file in files_of_trees]
        #: Sets of nixpkgs that have libraries which the wheels bring themselves.
        self._brought = {name for row in rows if row and (name := package_set(row.attr))}
        #: Needed names -> required wheels to whose folders the search paths of who needs them lead
        self._led: dict[str, set[str]] = {}
        for file in files_of_trees:
            folders = {
                normalise_name(each) for p in file.facts.search_path for each in p.split("/")
            }
            if led := folders.intersection(self._required):
                for name in file.facts.needed:
                    self._led.setdefault(name, set()).update(led)
        #: Stems of needed names that come with a wheel, and attributes that have them -> wheels
        self._siblings: dict[str, tuple[str, ...]] = {}
        needed = {name for file in files_of_trees for name in file.facts.needed}
        for name in sorted(needed.difference(*(tree.brought for tree in trees))):
            found = suggest(name)
            wheels = self._by_name(name) or found.wheels
            if wheels:
                self._siblings.setdefault(_stem(name), wheels)
                if found.attribute:
                    self._siblings.setdefault(found.attribute, wheels)

    def advise(self, *sonames: str) -> Suggestion:
        """Say who has one of several names any of which would do: the first that is had."""
        found = [self._one(soname) for soname in sonames]
        return next((each for each in found if each.is_sure), found[0])

    def _one(self, soname: str) -> Suggestion:
        found = suggest(soname)
        if found.kind == "driver":
            return found
        return (
            self._of_files(soname)
            or self._of_family(soname)
            or self._of_required(soname, found)
            or self._of_nixpkgs(found)
        )

    def _of_files(self, soname: str) -> Suggestion | None:
        """Say which of the wheels whose files are known have a library; None for none of them."""
        having = sorted(name for name, files in self._files.items() if soname in files)
        note = f"in the required wheel {' or '.join(having)}"
        return of_wheel(soname, *having, note=note) if having else None

    def _of_family(self, soname: str) -> Suggestion | None:
        """Say which wheel of a family has a library, of which the trees or what they require are.

        None where none has it.
        """
        for family in read_families():
            if not of_one_project((*self._own, *self._required), family):
                continue
            exact = any(soname in wheel.brings for wheel in family.values())
            for name, wheel in family.items():
                # Versions change with the wheel's.
                has = soname in wheel.brings if exact else _stem(soname) in map(_stem, wheel.brings)
                if not has or name in self._there | self._files.keys():
                    continue
                later = not self._own.isdisjoint(wheel.builds_on)
                required = "required " if name in self._of_those(soname) and not later else ""
                note = f"in the {required}wheel {name}{', which needs this one' if later else ''}"
                return of_wheel(soname, name, note=note, later=later)
        return None

    def of_their_families(self, wheels: Collection[str], among: Iterable[str]) -> set[str]:
        """Give those among some wheels that are of the families of others, by their names."""
        families = [each for each in read_families() if not each.keys().isdisjoint(wheels)]
        return {*of_one_project((name for family in families for name in family), among)}

    def is_undeclared(self, wheel: str) -> bool:
        """Whether a wheel is known to be needed, and none is required that could require it."""
        families = [family for family in read_families() if wheel in family]
        return bool(families) and all(each.keys().isdisjoint(self._required) for each in families)

    def _of_required(self, soname: str, found: Suggestion) -> Suggestion | None:
        """Say which wheels may have a library, or should and don't; None for no wheel's."""
        wheels = self._wheels(soname, found)
        if not wheels:
            return None
        absent = tuple(name for name in wheels if name not in self._there | self._files.keys())
        if not absent:
            note = f"missing in {listed(wheels)}, which is at hand"
            return Suggestion(soname=soname, kind="none", notes=(note,))
        if set(absent).isdisjoint(self._of_those(soname)):
            return of_wheel(soname, *absent)
        note = f"expected from the required wheel {' or '.join(absent)}"
        return of_wheel(soname, *absent, note=note)

    def _of_nixpkgs(self, found: Suggestion) -> Suggestion:
        if found.installable in self._unbuilt:
            note = self._unbuilt[found.installable]
            return replace(found, kind="none", attribute="", notes=(note,))
        name = package_set(found.attribute)
        if not found.is_sure or not name or name not in self._brought:
            note = self._refuse(found) if self._refuse and found.is_sure else ""
            return replace(found, kind="absent", notes=(note,)) if note else found
        note = (
            f"in nixpkgs only with the other libraries of {name}, of which this wheel brings its"
            " own: two copies in one process don't work"
        )
        return replace(found, kind="none", attribute="", notes=(note,))

    def _wheels(self, soname: str, found: Suggestion) -> tuple[str, ...]:
        """Name the wheels that have a library, or may have it."""
        stem = _stem(soname)
        wheels = self._by_name(soname) or found.wheels
        wheels = wheels or self._siblings.get(found.attribute or stem, ())
        if not wheels and not found.is_sure:
            wheels = tuple(sorted(self._led.get(soname, ())))
        if not wheels and not found.is_sure:  # libc10_cuda.so lies where libc10.so does
            parts = stem.split("_")
            shorter = ("_".join(parts[:length]) for length in range(len(parts) - 1, 0, -1))
            wheels = next((self._siblings[each] for each in shorter if each in self._siblings), ())
        if not wheels and not found.is_sure:  # libTKBO.so.7.8.1 is opencascade-occt's: netgen-occt
            words = set(re.split("[-_.]", found.attribute))
            named = {name: [*_name_words(name)][-1:] for name in self._of_those(soname)}
            wheels = tuple(name for name, last in named.items() if words.intersection(last))
        if not wheels and package_set(found.attribute) in self._brought:
            # Several wheels of one project share a set.
            wheels = of_one_project(self._own, self._required)
        return wheels

    def _by_name(self, soname: str) -> tuple[str, ...]:
        """Name the required wheels that are called like a library.

        A word that is in the names of many says nothing: "nvidia" of libnvidia-fatbinaryloader.so.
        """
        called, required = letters(_stem(soname)), self._of_those(soname)
        named: dict[str, list[str]] = {}
        for name in required:
            for word in filter(called.startswith, _name_words(name)):
                named.setdefault(word, []).append(name)
        telling = {name for names in named.values() if len(names) <= _MANY for name in names}
        return tuple(name for name in required if name in telling)

    def _of_those(self, soname: str) -> Sequence[str]:
        """Name the wheels that those who need a library require; all where that isn't known."""
        asked = self._asked.get(soname)
        return [name for name in self._required if asked is None or name in asked]


def _required_by_owners(trees: Iterable[TreeFacts]) -> dict[str, set[str]]:
    """Give needed names with what the distributions require whose RECORDs list who needs them.

    Of an environment only: a wheel has one distribution. A name is left out where somebody
    needs it whom no RECORD lists. What others there require doesn't count: fonttools may
    require brotli, and libbrotlidec.so.1 of a Qt is another's.
    """
    found: dict[str, set[str]] = {}
    unknown: set[str] = set()
    for tree in trees:
        if len(tree.distributions) < 2:
            unknown.update(name for file in tree.files for name in file.facts.needed)
            continue
        owners = Owners(tree)
        for file in tree.files:
            asked = owners.of(*file.names)
            for needed in file.facts.needed:
                found.setdefault(needed, set()).update(owners.required(asked))
            unknown.update(() if asked else file.facts.needed)
    return {name: names for name, names in found.items() if name not in unknown}


def inputs_that_lack(sonames: Iterable[str], is_there: Callable[[str], bool]) -> dict[str, str]:
    """Say which attributes lack libraries although they are given: others of theirs are there.

    To add such a package again would help nobody: this build of it is without.
    """
    found = {}
    for soname in sonames:
        row, has = read_sonames().get(soname), suggest(soname)
        if row and has.kind == "exact" and has.attribute.startswith(row.attr):
            rows = (each for each in read_sonames().values() if each.attr == row.attr)
            if any(each.output == row.output and is_there(each.soname) for each in rows):
                found[has.installable] = (
                    f"{nix_path(has.attribute)} is among the inputs, without it"
                )
    return found


def of_one_project(wheels: Iterable[str], among: Iterable[str]) -> tuple[str, ...]:
    """Give those among some wheels whose names begin with the first word of another one's."""
    begins = {name.partition("-")[0] for name in wheels}
    return tuple(name for name in among if name.partition("-")[0] in begins)


def _stem(soname: str) -> str:
    return soname.partition(".so")[0]


def _name_words(project: str) -> Iterator[str]:
    """Give the words of a project's name that a library of it may begin with."""
    for word in project.split("-"):
        if len(word) > 2 and word not in _SAYS_NOTHING and not re.fullmatch(r"cu[0-9]+", word):
            yield re.sub("^lib|(?<=...)libs?$", "", word)

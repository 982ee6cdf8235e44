"""Who may answer a needed name: the rules of resolution, in their order.

The rules are numbered as in docs/resolution.md; the first candidate that fits
wins, and what did not fit is reported when nothing did.
"""

from __future__ import annotations

import os
from functools import cache, partial
from itertools import chain

from nix_manylinux.base.errors import BadElf
from nix_manylinux.base.store import in_store
from nix_manylinux.elf.facts import ElfFacts, ElfKind
from nix_manylinux.elf.tokens import expand_tokens, origin_entries
from nix_manylinux.resolve.faults import version_reason
from nix_manylinux.resolve.plan import KEPT, OTHER_WHEEL, Options, Outcome, Resolution
from nix_manylinux.target.policy import load_policies, version_number
from nix_manylinux.tree.index import TreeIndex, inside, site_of
from nix_manylinux.tree.libraries import recorded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nix_manylinux.base.patterns import IgnoreList
    from nix_manylinux.resolve.loader import Loader
    from nix_manylinux.target.target import Target
    from nix_manylinux.tree.facts import TreeFacts, TreeFile
    from nix_manylinux.tree.libraries import LibraryIndex, WheelIndex


class Resolver:
    """Applies the rules for one target, to one set of trees and libraries."""

    def __init__(
        self,
        *,
        target: Target,
        trees: TreeIndex,
        libraries: LibraryIndex,
        wheels: WheelIndex,
        loader: Loader,
        options: Options,
        ignore: IgnoreList,
        drivers: frozenset[str],
        last_resort: frozenset[str],
    ) -> None:
        self.target, self.loader, self.trees = target, loader, trees
        self.libraries, self.wheels, self.disk = libraries, wheels, libraries.disk
        self.options, self.ignore, self.drivers = options, ignore, drivers
        #: Libraries of the trees that are taken only where there is no other one.
        self._last_resort = last_resort
        self._store_faults: dict[str, str] = {}
        self._promised = cache(partial(_promised, target))
        #: What is required, directly or by others; the nearest first.
        self._required = cache(lambda direct: wheels.required(sorted(direct)))
        #: The path of the file that was asked about last, and where its own search path leads.
        self._own: tuple[str, list[str], list[str]] = ("", [], [])

    def resolve(self, tree: int, file: TreeFile, name: str) -> Resolution:
        """Give the one outcome for ``name``, needed by ``file``."""
        self.ignore.note(file.label, name)
        libc = self.loader.libc_path(name)
        if libc is not None and not self.options.keep_libc:
            reason = self._version_reason(file.facts, name, libc)
            if reason:
                return Resolution(name=name, outcome=Outcome.INCOMPATIBLE, reason=reason)
            return Resolution(name=name, outcome=Outcome.LIBC, path=libc)
        wanted = name
        if "/" in name:
            kept = self._absolute(tree, file, name)
            if kept is not None:
                return kept
            wanted = name.rpartition("/")[2]
        unfit: list[tuple[bool, str]] = []
        candidates = self._in_order(tree, file, wanted)
        if in_store(name) and self.disk.exists(name):  # a pin of an earlier run
            candidates = chain(candidates, [(Outcome.LIBRARY, name, KEPT)])
        for outcome, path, note in candidates:
            reason, hard = self._unfitness(file.facts, name, path)
            if not reason:
                return Resolution(name=name, outcome=outcome, path=path or None, reason=note)
            unfit.append((hard, reason))
        return self._unanswered(file, name, wanted, unfit)

    def _unanswered(
        self, file: TreeFile, name: str, wanted: str, unfit: list[tuple[bool, str]]
    ) -> Resolution:
        incompatible = [reason for hard, reason in unfit if hard]
        if incompatible:
            return Resolution(
                name=name,
                outcome=Outcome.INCOMPATIBLE,
                reason="; ".join(dict.fromkeys(incompatible)),
            )
        if wanted in self.options.provided_later:
            return Resolution(name=name, outcome=Outcome.LATER, reason="declared to come later")
        pattern = self.ignore.ignores(file.label, wanted)
        if pattern is not None:
            return Resolution(name=name, outcome=Outcome.IGNORED, reason=f"ignored by {pattern!r}")
        reasons = "; ".join(dict.fromkeys(reason for _, reason in unfit))
        return Resolution(name=name, outcome=Outcome.MISSING, reason=reasons)

    def _in_order(self, tree: int, file: TreeFile, name: str) -> Iterator[tuple[Outcome, str, str]]:
        """All that could answer, those of last resort at the end."""
        if not self._last_resort:
            yield from self._candidates(tree, file, name)
            return
        put_off = []
        for each in self._candidates(tree, file, name):
            if each[1] in self._last_resort:
                put_off.append(each)
            else:
                yield each
        yield from put_off

    def _candidates(
        self, tree: int, file: TreeFile, name: str
    ) -> Iterator[tuple[Outcome, str, str]]:
        """All that could answer, best first: outcome, path, and what to say of it."""
        facts = self.trees.trees[tree]
        path = f"{facts.root}/{file.path}"
        if self._own[0] != path:
            entries = origin_entries(file.facts.search_path, path, file.facts.machine)
            within = [d for d in entries if inside(d, facts.root) and self.disk.names(d)]
            self._own = path, entries, within
        _, entries, within = self._own
        own = (self.disk.find(d, name) for d in within)
        for found in chain(own, self.trees.near(name, tree, path)):  # rules 2 and 3
            if found and not self._is_anothers(path, name, found):
                yield Outcome.TREE, found, ""
        named = self._of_named_wheels(facts, path, entries, name)
        yield from ((Outcome.WHEEL, found, "") for found in named)  # rule 4
        yield from ((Outcome.LIBRARY, found, "") for found in self.libraries.named(name))  # rule 5
        if name in self.drivers:  # rule 6
            yield Outcome.DRIVER, "", "comes with the graphics driver"
            return
        for lookup in (self.wheels.named, self.wheels.with_soname):  # rule 7
            for site in self.wheels.site_packages:
                yield from ((Outcome.WHEEL, found, OTHER_WHEEL) for found in lookup(name, site))
        if name not in self.options.provided_later:  # behind rule 7
            under_others = self.libraries.with_soname(name)
            yield from ((Outcome.LIBRARY, found, "") for found in under_others)
        yield from ((Outcome.LIBRARY, found, KEPT) for found in self._linked(path, file, name))  # 8

    def _is_anothers(self, path: str, name: str, found: str) -> bool:
        """Whether a library that policies promise of the system is another wheel's copy of it.

        Who brings libstdc++.so.6 (semgrep) brings it for itself, as old as it may be; in an
        environment others would be linked to it, and it is the first in the process.
        """
        shared = any(len(tree.distributions) > 1 for tree in self.trees.trees)
        return shared and name in self._promised() and self.trees.are_strangers(path, found)

    def _linked(self, path: str, file: TreeFile, name: str) -> Iterator[str]:
        """Rule 8: the file's own search path, as it is, leads to it in a Nix store."""
        root = f"{path.removesuffix(file.path)}"
        for directory in self.loader.own_path(path, file.facts):
            if in_store(directory) and not f"{directory}/".startswith(root):
                found = self.disk.find(directory, name)
                if found is not None:
                    yield found

    def _of_named_wheels(
        self, facts: TreeFacts, path: str, entries: list[str], name: str
    ) -> Iterator[str]:
        """Rule 4: wheels that the file's own `$ORIGIN` entry names, or Requires-Dist.

        What a required wheel requires in turn counts, too: cmeel's wheels use the
        libraries of those that theirs depend on.
        """
        home = site_of(facts, path)
        for directory in entries:
            if home is not None and inside(directory, home):
                for site in self.wheels.site_packages:
                    found = self.disk.find(site + directory[len(home) :], name)
                    if found is not None:
                        yield found
        direct = frozenset(each for d in facts.distributions for each in d.requires)
        for dist in self._required(direct):
            yield from self._of_distribution(dist, name)

    def _of_distribution(self, dist: str, name: str) -> Iterator[str]:
        for site in self.wheels.site_packages:
            owners = self.wheels.owners(site)
            for found in self.wheels.named(name, site) if dist in owners else ():
                if len(owners) == 1 or found[len(site) + 1 :] in recorded(owners[dist]):
                    yield found

    def _absolute(self, tree: int, file: TreeFile, name: str) -> Resolution | None:
        """Judge a needed name with a slash: kept if it leads to where we look anyway."""
        root = self.trees.trees[tree].root
        origin = f"{root}/{file.path}".rpartition("/")[0]
        path = os.path.normpath(expand_tokens(name, {"ORIGIN": origin}) or name)
        if path in self.target.libc_sonames.values():
            outcome = Outcome.LIBC
        elif path in self.trees.files and name.startswith("$"):
            outcome = Outcome.TREE
        elif path.rpartition("/")[0] in self.libraries.directories:
            outcome = Outcome.LIBRARY
        elif any(inside(path, site) for site in self.wheels.site_packages):
            outcome = Outcome.WHEEL
        else:
            return None
        if not self.disk.exists(path) or self._unfitness(file.facts, name, path)[0]:
            return None
        return Resolution(name=name, outcome=outcome, path=path)

    def _unfitness(self, wanting: ElfFacts, name: str, path: str) -> tuple[str, bool]:
        """Why ``path`` can't be taken, and whether that makes the need incompatible."""
        if not path:  # the driver: never looked at
            return "", False
        try:
            facts = self.disk.facts(path)
        except BadElf as error:
            return f"{path} is not usable: {error.what}", False
        if facts is None:
            return f"{path} is not an ELF file", False
        if not facts.machine.fits(self.target.machine):
            return f"{path} is for {facts.machine}, not {self.target.machine}", False
        if facts.kind is not ElfKind.LIBRARY:
            return f"{path} is a {facts.kind.value}, not a library", False
        reason = self._version_reason(wanting, name, path)
        if not reason and path not in self.trees.files:
            reason = self._store_reason(path)
        return reason, bool(reason)

    def _version_reason(self, wanting: ElfFacts, name: str, path: str) -> str:
        """Name the symbol versions that ``wanting`` needs of ``path`` and that it lacks."""
        if self.target.libc == "musl":
            return ""  # musl has no symbol versions
        wanted = [n for n in wanting.needs if n.library == name and not n.weak]
        facts = self.disk.facts(path) if wanted else None
        if facts is None:
            return ""
        reason = version_reason(path, facts, wanted, self.target.libc_version)
        lacking = [n.version for n in wanted if n.version not in facts.defines]
        best = _highest(facts.defines, lacking[-1]) if lacking else ""
        return f"{reason} (it goes up to {best})" if reason and best else reason

    def _store_reason(self, path: str) -> str:
        """Why a library from outside the trees can't itself be loaded, by versions."""
        known = self._store_faults.get(path)
        if known is None:
            process = self.loader.open(path)
            known = "; ".join(
                f"{fault.path} needs a newer {fault.name}: {fault.reason}"
                for fault in process.faults
                if fault.kind == "version"
            )
            self._store_faults[path] = known
        return known


def _promised(target: Target) -> frozenset[str]:
    """Give the libraries that a policy promises for a target, of the system."""
    policies = load_policies().of("", target.libc)
    return frozenset().union(*(each.sonames for each in policies))


def _highest(versions: tuple[str, ...], like: str) -> str:
    """Return the highest of ``versions`` with the prefix of ``like`` ("GLIBC_2.36")."""
    prefix = like.rpartition("_")[0] + "_"
    numbered = []
    for version in versions:
        number = version_number(version.removeprefix(prefix))
        if version.startswith(prefix) and number is not None:
            numbered.append((number, version))
    return max(numbered)[1] if numbered else ""

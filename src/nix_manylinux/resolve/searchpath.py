"""The search path of one file: the directories it needs, in an order that is true.

A search path is a list of directories, so one that is there for one library
can hide another. The order is chosen so that the loader takes what was
chosen; where no order does, the needed name itself is made to say where
(a *pin*: DT_NEEDED with the path of the file, which no directory can hide).
"""

from __future__ import annotations

import os

from nix_manylinux.base.store import in_store
from nix_manylinux.base.values import Value
from nix_manylinux.base.words import some
from nix_manylinux.elf.facts import ElfKind
from nix_manylinux.elf.tokens import expand_tokens, origin_entries, origin_entry
from nix_manylinux.resolve.plan import Outcome, Resolution
from nix_manylinux.tree.index import inside, site_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nix_manylinux.resolve.loader import Loader
    from nix_manylinux.tree.facts import TreeFacts, TreeFile

_FOUND = frozenset({Outcome.TREE, Outcome.WHEEL, Outcome.LIBRARY})


class Entry(Value, kw_only=False):
    """One entry: as it will be written, and the directory that it means."""

    text: str
    directory: str


class SearchPath(Value, kw_only=False):
    """What was composed for one file.

    ``pins`` are (needed name, what to write instead); ``unreachable`` are
    needed names whose provider no path of this file can express. ``dropped`` are
    entries into a store that is there, where nothing lies that the file needs.
    """

    entries: tuple[Entry, ...]
    pins: tuple[tuple[str, str], ...] = ()
    unreachable: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


class Composer:
    """Composes search paths for the files of one tree."""

    def __init__(
        self, tree: TreeFacts, loader: Loader, *, order: Mapping[str, int], last: Collection[str]
    ) -> None:
        self.tree = tree
        self.loader = loader
        self._order = order
        self._last = last

    def compose(
        self, file: TreeFile, resolutions: Sequence[Resolution], extra: Sequence[str] = ()
    ) -> SearchPath:
        """Return the path by which ``file`` finds exactly what ``resolutions`` chose.

        ``extra`` are directories for loads that DT_NEEDED doesn't show; they
        come after all that is needed, and before the appended ones.
        """
        later = any(r.outcome is Outcome.LATER for r in resolutions)
        kept = self._kept(file, keep_absent=later)
        found = [r for r in resolutions if r.outcome in _FOUND and not self._by_path(file, r)]
        renamed = [r for r in found if r.path and r.path.rpartition("/")[2] != r.name]
        entries = self._with(file, kept, found, extra, resolutions)
        wanted = {r.name: r.path for r in found if r.path and r not in renamed}
        entries = self._ordered(entries, wanted)
        if any(r.is_kept for r in found):
            entries = self._as_it_was(file, entries, wanted)
        dirs = [e.directory for e in entries]
        pins, unreachable = [], []
        for r in (*renamed, *(r for r in resolutions if self._hidden(file, r, dirs, renamed))):
            pin = self._pin(file, r)
            if pin is None:
                unreachable.append(r.name)
            else:
                pins.append((r.name, pin))
        pinned = {name for name, pin in pins if "/" in pin}
        if pinned:  # a directory that only served a pinned name serves no more
            left = [r for r in found if r.name not in pinned]
            entries = self._ordered(self._with(file, kept, left, extra, resolutions), wanted)
        unreachable += [r.name for r in found if self._floating(file, r)]
        return SearchPath(
            tuple(entries),
            tuple(pins),
            tuple(dict.fromkeys(unreachable)),
            self._dropped(file, entries),
        )

    def _dropped(self, file: TreeFile, entries: list[Entry]) -> tuple[str, ...]:
        """List directories of a store that went, and were there for nothing that is needed."""
        left = {e.directory for e in entries}
        gone = [os.path.normpath(each) for each in file.facts.search_path if in_store(each)]
        return tuple(
            each
            for each in gone
            if each not in left
            and self.loader.files.is_directory(each)
            and not any(self.loader.look(each, name) for name in file.facts.needed)
        )

    def _by_path(self, file: TreeFile, r: Resolution) -> bool:
        """Whether the needed name is the path of its file already (a pin of an earlier run)."""
        text = expand_tokens(r.name, {"ORIGIN": self._folder(file.path)})
        return "/" in r.name and text is not None and os.path.normpath(text) == r.path

    def _kept(self, file: TreeFile, *, keep_absent: bool) -> list[Entry]:
        """Return the file's own entries that lead inside the tree, in their order."""
        path = f"{self.tree.root}/{file.path}"
        origin = path.rpartition("/")[0]
        home = site_of(self.tree, path) or self.tree.root if keep_absent else None
        kept: dict[str, Entry] = {}
        for raw in file.facts.search_path:
            for directory in self._meanings(file, raw, path):
                there = inside(directory, self.tree.root) and self.loader.files.is_directory(
                    directory
                )
                if there or (home is not None and inside(directory, home)):
                    plain = raw.startswith("$ORIGIN") and expand_tokens(raw, {"ORIGIN": origin})
                    text = raw if plain else origin_entry(origin, directory)
                    kept.setdefault(directory, Entry(text, directory))
        return list(kept.values())

    @staticmethod
    def _meanings(file: TreeFile, raw: str, path: str) -> list[str]:
        if raw.startswith("/") and "$" not in raw:
            return [os.path.normpath(raw)]
        return origin_entries([raw], path, file.facts.machine)

    def _with(
        self,
        file: TreeFile,
        kept: list[Entry],
        found: Sequence[Resolution],
        extra: Sequence[str],
        resolutions: Sequence[Resolution],
    ) -> list[Entry]:
        """Add the directories of all that was found, each only where it is not reached yet."""
        entries = list(kept)
        origins = list(dict.fromkeys(self._folder(name) for name in file.names))
        for r in found:
            folder = (r.path or "").rpartition("/")[0]
            if r.outcome is Outcome.TREE and inside(folder, self.tree.root):
                for origin in () if self._floating(file, r) else origins:
                    if folder not in {_expand(e, origin) for e in entries}:
                        entries.append(Entry(origin_entry(origin, folder), folder))
        tail = [r for r in found if not r.is_by_name_alone]
        by_rule = sorted(tail, key=self._rank) + [r for r in found if r.is_by_name_alone]
        folders = [(r.path or "").rpartition("/")[0] for r in by_rule]
        folders += [*extra, *self._last]
        if file.facts.no_default_path and any(r.outcome is Outcome.LIBC for r in resolutions):
            folders.append(self.loader.target.libc_directory)
        known = {e.directory for e in entries}
        own = [f for f in folders if inside(f, self.tree.root) and f not in self._last]
        entries += [Entry(f, f) for f in dict.fromkeys(folders) if f not in known and f not in own]
        return entries

    def _rank(self, r: Resolution) -> tuple[int, int]:
        folder = (r.path or "").rpartition("/")[0]
        rule = {Outcome.TREE: 3, Outcome.WHEEL: 4}.get(r.outcome, 5)
        return rule, self._order.get(folder, len(self._order))

    def _folder(self, name: str) -> str:
        return f"{self.tree.root}/{name}".rpartition("/")[0]

    def _ordered(self, entries: list[Entry], wanted: dict[str, str]) -> list[Entry]:
        """Return the entries in the first order that hides nothing; as they are if none does.

        ``wanted`` maps needed names to their files. A directory that holds
        another file of that name has to come after the one that was chosen.
        """
        after: dict[int, set[int]] = {i: set() for i in range(len(entries))}
        for name, path in wanted.items():
            hits = [self.loader.look(e.directory, name) for e in entries]
            right = [
                i for i, hit in enumerate(hits) if hit and hit.path and self._same(hit.path, path)
            ]
            wrong = [i for i, hit in enumerate(hits) if hit is not None and i not in right]
            if right:
                for i in wrong:
                    after[i].add(right[0])
        order: list[int] = []
        left = list(range(len(entries)))
        while left:
            free = next((i for i in left if not after[i] & set(left)), None)
            if free is None:
                return entries  # a circle: some name has to be pinned
            order.append(free)
            left.remove(free)
        return [entries[i] for i in order]

    def _as_it_was(
        self, file: TreeFile, entries: list[Entry], wanted: dict[str, str]
    ) -> list[Entry]:
        """Return the entries in the order that the file has them in, if that is true as well."""
        before = {text: i for i, text in enumerate(file.facts.search_path)}
        if before.keys() != {e.text for e in entries}:
            return entries
        order = sorted(entries, key=lambda e: before[e.text])
        return order if self._ordered(order, wanted) == order else entries

    def _hidden(
        self, file: TreeFile, r: Resolution, dirs: Sequence[str], renamed: Sequence[Resolution]
    ) -> bool:
        """Whether the loader, following ``dirs``, would take another file than ``r``'s."""
        if "/" in r.name or r.path is None or r in renamed:
            return False
        if r.outcome is Outcome.LIBC:
            if self.loader.target.libc == "musl":
                return False  # its own names are never searched for
            if file.facts.kind is not ElfKind.PROGRAM and r.name in self.loader.always_loaded():
                return False
            hit = self.loader.search(dirs, r.name)
            return bool(hit.fatal) or (hit.path is not None and not self._same(hit.path, r.path))
        if r.outcome not in _FOUND or self._floating(file, r):
            return False
        hit = self.loader.search(dirs, r.name)
        return hit.path is None or not self._same(hit.path, r.path)

    def _pin(self, file: TreeFile, r: Resolution) -> str | None:
        """Return what to write for the needed name so that nothing can hide the file."""
        path = r.path or ""
        folder, _, base = path.rpartition("/")
        if not inside(path, self.tree.root):
            return path
        if base != r.name and self.loader.search([folder], base).path:
            return base  # in the tree under its own file name: the path leads there
        if self.loader.target.libc == "musl" or len(file.names) > 1:
            return None
        return f"{origin_entry(self._folder(file.path), folder)}/{base}"

    def _floating(self, file: TreeFile, r: Resolution) -> bool:
        """Whether the way to ``r``'s file crosses into a folder whose place isn't known."""
        if self.tree.floating is None or r.outcome is not Outcome.TREE or r.path is None:
            return False
        home = f"{self.tree.root}/{self.tree.floating}"
        return inside(r.path, home) and not inside(f"{self.tree.root}/{file.path}", home)

    def _same(self, one: str, other: str) -> bool:
        return self.loader.files.real(one) == self.loader.files.real(other)


def dropped_warning(dropped: Mapping[str, Sequence[str]]) -> list[str]:
    """Say, a line for each directory, which ones files had and don't have any more, and why."""
    return [
        f"{directory} is off the search path of {some(labels, 1)}: nothing that is needed lies"
        " there; for what is loaded by name at run time there is --runtime-libs"
        " (manylinuxRuntimeLibs in Nix)"
        for directory, labels in dropped.items()
    ]


def _expand(entry: Entry, origin: str) -> str:
    text = expand_tokens(entry.text, {"ORIGIN": origin})
    return os.path.normpath(text) if text else entry.directory

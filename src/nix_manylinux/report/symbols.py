"""Symbols of a tree's files: which nothing defines, which an abi3 module may not use, and marks.

For people only: the loader simulation goes by names of libraries and versions.
"""

from __future__ import annotations

import re
from contextlib import suppress

from nix_manylinux.base.values import Value
from nix_manylinux.base.words import count, some
from nix_manylinux.data import read_stable_abi
from nix_manylinux.elf.facts import planned_facts
from nix_manylinux.elf.symbols import Symbols, needed_isa, read_symbols
from nix_manylinux.resolve.loader import make_loader
from nix_manylinux.target.place import minor_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nix_manylinux.resolve.plan import FilePlan, Plan
    from nix_manylinux.resolve.process import Process
    from nix_manylinux.tree.libraries import LibraryIndex

#: CPython's own names, and its private ones. Whatever imports a module has them.
_PYTHON = re.compile("_?Py[A-Z_][A-Za-z0-9]*_?")
#: So many files, and names of one, are named before the rest is counted.
_FEW_FILES, _FEW_NAMES = 2, 8


class FileSymbols(Value):
    """One file: ``undefined`` is what it wants and nothing that it loads defines, sorted.

    ``judged`` is whether all that it loads was there to look at. ``not_in_abi3`` are symbols
    that are not in the stable ABI which its wheel's tag names, each with the Python that
    added it to the ABI, "" for none (of judged files only). ``isa`` is N of the
    x86-64-vN that it says it needs.
    """

    label: str
    undefined: tuple[str, ...]
    judged: bool
    not_in_abi3: tuple[tuple[str, str], ...]
    isa: int
    build_id: str
    debug_link: str


class SymbolTables(Value):
    """What the symbols of all files say; ``abi3`` is the oldest Python of an abi3 tag, or ""."""

    files: tuple[FileSymbols, ...] = ()
    abi3: str = ""


def read_symbol_tables(plan: Plan, libraries: LibraryIndex, tags: Sequence[str]) -> SymbolTables:
    """Read the symbols of the files of a plan, and of all that they will load."""
    abi3 = oldest_abi3(tags)
    return SymbolTables(files=tuple(_Reader(plan, libraries, abi3).files()), abi3=abi3)


def oldest_abi3(tags: Sequence[str]) -> str:
    """Give the oldest Python that tags promise to fit by the stable ABI: "3.7"; "" for none."""
    found = [
        int(minor)
        for tag in tags
        for python, abi, _ in [tag.split("-", 2)]
        if abi == "abi3"
        for minor in re.findall(r"cp3([0-9]+)", python)
    ]
    return f"3.{min(found)}" if found else ""


class _Reader:
    def __init__(self, plan: Plan, libraries: LibraryIndex, abi3: str) -> None:
        self._plan, self._abi3 = plan, abi3
        self._stable = read_stable_abi() if abi3 else {}
        libraries = libraries.overlay([tree.root for tree in plan.trees])
        for each in plan.files:
            libraries.disk.learn(self._path(each), planned_facts(each.file.facts, each.edit))
        self._loader = make_loader(plan.target, libraries)
        self._known: dict[str, Symbols] = {}

    def _path(self, each: FilePlan) -> str:
        return f"{self._plan.trees[each.tree].root}/{each.file.path}"

    def files(self) -> Iterator[FileSymbols]:
        for each in self._plan.files:
            path, facts = self._path(each), each.file.facts
            if not facts.kind.is_linked:
                continue
            symbols, known = self._symbols(path), None
            if not each.skipped and facts.machine.fits(self._plan.target.machine):
                known = self._defined(self._loader.open(path))
            undefined = symbols.wanted - (known or frozenset())
            python = frozenset(filter(_PYTHON.match, undefined))
            yield FileSymbols(
                label=each.file.label,
                undefined=() if known is None else tuple(sorted(undefined - python)),
                judged=known is not None,
                not_in_abi3=tuple(self._newer(python, judged=known is not None)),
                isa=needed_isa(path),
                build_id=symbols.build_id,
                debug_link=symbols.debug_link,
            )

    def _newer(self, names: frozenset[str], *, judged: bool) -> Iterator[tuple[str, str]]:
        """Find names that came later, or never; those may be of a library that is missing."""
        for name in sorted(names) if self._abi3 else ():
            added = self._stable.get(name, "")
            if minor_of(added) > minor_of(self._abi3) if added else judged:
                yield name, added

    def _symbols(self, path: str) -> Symbols:
        """Read a file once; one of a target that is only described has none."""
        if path not in self._known:
            with suppress(OSError):
                self._known[path] = read_symbols(path)
        return self._known.setdefault(path, Symbols())

    def _defined(self, process: Process) -> frozenset[str] | None:
        """Gather what all that is loaded defines; None where not all of it is known."""
        # What imports a module has the libm: CPython is linked to it.
        paths = [
            self._plan.target.libc_sonames.get("libm.so.6"),
            *(o.path for o in process.objects),
        ]
        tables = [self._symbols(path) for path in paths if path]
        if process.faults or not all(each.known for each in tables):
            return None
        return frozenset().union(*(each.defined for each in tables))


def symbols_text(seen: SymbolTables, *, everything: bool) -> list[tuple[str, str]]:
    """Say what is wrong with symbols, and which files want more than the first x86-64 has."""
    limit = len(seen.files) if everything else _FEW_FILES
    rows: list[tuple[str, str]] = []
    strange = [each for each in seen.files if each.not_in_abi3]
    if seen.abi3 and not strange:
        judged = all(each.judged for each in seen.files)
        no_more = "nothing but" if judged else "nothing newer than"
        rows.append(("abi3", f"uses {no_more} the stable ABI of Python {seen.abi3}"))
    for each in strange[:limit]:
        names = [f"{name} ({added or 'never in it'})" for name, added in each.not_in_abi3]
        named = some(names, _FEW_NAMES, everything=everything)
        rows.append(("abi3", f"not in Python {seen.abi3}'s stable ABI: {named}, in {each.label}"))
    undefined = [each for each in seen.files if each.undefined]
    for each in undefined[:limit]:
        named = some(each.undefined, _FEW_NAMES, everything=everything)
        rows.append(("symbols", f"nothing that it loads defines {named}: {each.label}"))
    for rest, name in ((strange[limit:], "abi3"), (undefined[limit:], "symbols")):
        if rest:
            rows.append((name, f"the same of {count(len(rest), 'other file')} (-v)"))
    for level in (2, 3, 4):
        labels = [each.label for each in seen.files if each.isa == level]
        if labels:
            shown = some(labels, limit)
            rows.append(("processor", f"x86-64-v{level} or newer for {shown}"))
    return [
        ("" if i and rows[i - 1][0] == name else name, text) for i, (name, text) in enumerate(rows)
    ]


def marks_text(seen: SymbolTables) -> list[str]:
    """Say where debuggers look for the symbols of each file."""
    lines = []
    for each in seen.files:
        parts = [f"build-id {each.build_id}"] if each.build_id else []
        parts += [f"in {each.debug_link}"] if each.debug_link else []
        if parts:
            lines.append(f"{each.label}: {', '.join(parts)}")
    return lines

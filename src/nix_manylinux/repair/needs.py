"""What the files of a wheel need beyond a policy, and where it is: one walk for each policy."""

from __future__ import annotations

from nix_manylinux.base.values import Value
from nix_manylinux.repair.system import PROMISED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from nix_manylinux.elf.facts import ElfFacts
    from nix_manylinux.resolve.loader import Loader
    from nix_manylinux.tree.facts import TreeFile


class Needs(Value):
    """Where every need leads that no policy answers.

    ``links`` are paths, by the file that needs and the needed name; files of the wheel and
    libraries outside are alike in it. ``grafts`` are those that are outside, sorted.
    ``missing`` and ``unfit`` map a name, and a sentence about it, to the files concerned.
    """

    links: Mapping[str, Mapping[str, str]]
    grafts: tuple[str, ...]
    missing: Mapping[tuple[str, str], tuple[str, ...]]
    unfit: Mapping[tuple[str, str], tuple[str, ...]]
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many libraries have to come along, those that nobody has found among them."""
        return len(self.grafts) + len({name for name, _ in self.missing})


def walk(
    loaders: Callable[[ElfFacts | None], Loader],
    root: str,
    files: Sequence[TreeFile],
    *,
    extra: Iterable[str] = (),
) -> Needs:
    """Load every file as its loader would, and note what it takes for whom.

    A file that lacks a library alone may have it from a file that loads it: then that is
    where it leads. ``extra`` are libraries that come along whatever needs them.
    """
    walked = _GraftWalk(loaders(None), root)
    for file in files:
        walked.open(f"{root}/{file.path}", loaders(file.facts))
    for path in extra:
        walked.open(path, loaders(None))
    return walked.result({f"{root}/{file.path}": file.label for file in files}, extra)


class _GraftWalk:
    def __init__(self, loader: Loader, root: str) -> None:
        self._real = loader.files.real
        self._root = f"{root}/"
        #: What a file takes when it is opened itself, and what in others' processes.
        self._own: dict[str, dict[str, str]] = {}
        self._others: dict[str, dict[str, str]] = {}
        self._faults: set[tuple[str, str, str, str]] = set()
        self._notes: set[tuple[str, str]] = set()

    def open(self, path: str, loader: Loader) -> None:
        process = loader.open(path)
        opened = self._real(path)
        self._own.setdefault(opened, {})
        for (wanting, name), got in process.links.items():
            real = self._real(wanting)
            found = self._own if real == opened else self._others
            found.setdefault(real, {}).setdefault(name, self._real(got))
        for fault in process.faults:
            wanting = self._real(fault.path)
            if fault.kind == "dlopen":  # it may be needed by a program, or preloaded
                self._notes.add((wanting, fault.reason))
            # A file of the wheel speaks for itself when it is opened itself.
            elif wanting == opened or not wanting.startswith(self._root):
                self._faults.add((fault.kind, wanting, fault.name, fault.reason))

    def result(self, labels: Mapping[str, str], extra: Iterable[str]) -> Needs:
        links: dict[str, dict[str, str]] = {}
        for found in (self._own, self._others):
            for wanting, names in found.items():
                for name, got in names.items():
                    if not got.startswith(PROMISED):
                        links.setdefault(wanting, {}).setdefault(name, got)
        names_of = {self._real(path): label for path, label in labels.items()}
        taken = set(map(self._real, extra)).union(*(names.values() for names in links.values()))
        missing: dict[tuple[str, str], set[str]] = {}
        unfit: dict[tuple[str, str], set[str]] = {}
        for kind, wanting, name, reason in self._faults:
            if name in self._others.get(wanting, {}):
                continue
            problems = missing if kind in {"not found", "unreadable"} else unfit
            problems.setdefault((name, reason), set()).add(names_of.get(wanting, wanting))
        return Needs(
            links=links,
            grafts=tuple(sorted(got for got in taken if not got.startswith(self._root))),
            missing={key: tuple(sorted(found)) for key, found in sorted(missing.items())},
            unfit={key: tuple(sorted(found)) for key, found in sorted(unfit.items())},
            notes=tuple(
                sorted(f"{names_of.get(wanting, wanting)}: {why}" for wanting, why in self._notes)
            ),
        )

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
    real, inside = loaders(None).files.real, f"{root}/"
    #: What a file takes when it is opened itself, and what in others' processes.
    own: dict[str, dict[str, str]] = {}
    others: dict[str, dict[str, str]] = {}
    faults: set[tuple[str, str, str, str]] = set()
    notes: set[tuple[str, str]] = set()
    opened = [(f"{root}/{file.path}", loaders(file.facts)) for file in files]
    for path, loader in [*opened, *((path, loaders(None)) for path in extra)]:
        process, at = loader.open(path), real(path)
        for (wanting, name), got in process.links.items():
            found = own if real(wanting) == at else others
            found.setdefault(real(wanting), {}).setdefault(name, real(got))
        for fault in process.faults:
            if fault.kind == "dlopen":  # it may be needed by a program, or preloaded
                notes.add((real(fault.path), fault.reason))
            # A file of the wheel speaks for itself when it is opened itself.
            elif real(fault.path) == at or not real(fault.path).startswith(inside):
                faults.add((fault.kind, real(fault.path), fault.name, fault.reason))
    links: dict[str, dict[str, str]] = {}
    for wanting, names in (*own.items(), *others.items()):
        for name, got in names.items():
            if not got.startswith(PROMISED):
                links.setdefault(wanting, {}).setdefault(name, got)
    named = {real(f"{root}/{file.path}"): file.label for file in files}
    taken = set(map(real, extra)).union(*(names.values() for names in links.values()))
    left = {fault for fault in faults if fault[2] not in others.get(fault[1], {})}
    absent = {fault for fault in left if fault[0] in {"not found", "unreadable"}}
    return Needs(
        links=links,
        grafts=tuple(sorted(got for got in taken if not got.startswith(inside))),
        missing=_labelled(absent, named),
        unfit=_labelled(left - absent, named),
        notes=tuple(sorted(f"{named.get(wanting, wanting)}: {why}" for wanting, why in notes)),
    )


def _labelled(
    faults: Iterable[tuple[str, str, str, str]], named: Mapping[str, str]
) -> dict[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], set[str]] = {}
    for _, wanting, name, reason in faults:
        found.setdefault((name, reason), set()).add(named.get(wanting, wanting))
    return {key: tuple(sorted(labels)) for key, labels in sorted(found.items())}

"""Files of a wheel that are alternatives: the same for several FFmpegs, CUDAs, MPIs or the like.

One of them is used, whichever loads. Libraries for all of them at once are what nobody has.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from nix_manylinux.base.words import count, listed
from nix_manylinux.nix.syntax import nix_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from nix_manylinux.nix.packages import Suggestion

#: "libtorchcodec_core7", "libbitsandbytes_cuda128": what differs is at the end.
_NUMBERED = re.compile(r"(?P<stem>.+?)(?:[_-][a-z]*)?[0-9]+")
#: "MPI.mpich", "MPI.openmpi".
_WORDED = re.compile(r"(?P<stem>.+)[._-][a-z]+")
#: What the names of Python's modules end in.
_TAG = re.compile(r"\.(?:cpython-|pypy|abi3).*")


class Alternative(NamedTuple):
    """Files that go together: ``attributes`` of nixpkgs have all that they want, or ``lacking``."""

    files: tuple[str, ...]
    attributes: tuple[str, ...]
    lacking: tuple[str, ...]


class Choice(NamedTuple):
    """One of the alternatives is taken, and the others are left alone."""

    taken: Alternative
    others: tuple[Alternative, ...]

    @property
    def left(self) -> tuple[str, ...]:
        """The files of those that are not taken."""
        return tuple(sorted(file for each in self.others for file in each.files))


def find_choices(
    wanted: Mapping[str, Collection[str]], advise: Callable[[str], Suggestion], *, prefer: str = ""
) -> tuple[Choice, ...]:
    """Find what is a choice. ``wanted`` are the names that files lack, by the files' labels.

    Files in one folder whose names differ in the last number, or word with or without one, are
    alternatives where they want one library in several versions, each another one. First
    comes what wheels have all for, then what is of the set of nixpkgs to ``prefer``, then the
    newest; last what nixpkgs has nothing for.
    """
    groups: dict[tuple[str, str, bool], list[str]] = {}
    for label in sorted(wanted):
        folder, _, base = label.rpartition("/")
        name = _TAG.sub("", base.partition(".so")[0])
        numbered = _NUMBERED.fullmatch(name)
        match = numbered or _WORDED.fullmatch(name)
        if match:
            groups.setdefault((folder, match["stem"], numbered is None), []).append(label)
    families = _families(list(groups.values()), wanted)
    members = {label for family in families for label in family}
    # What all kinds of files want has nothing to do with the choice.
    shared = {name for label, names in wanted.items() if label not in members for name in names}
    for family in families:
        for one, other in combinations(family, 2):
            if _conflict(wanted[one], wanted[other]):
                shared |= {*wanted[one]} & {*wanted[other]}
    chosen = (_choose(each, wanted, shared, advise, prefer) for each in families)
    return tuple(filter(None, chosen))


def _families(
    groups: Iterable[list[str]], wanted: Mapping[str, Collection[str]]
) -> list[list[str]]:
    """Keep groups of alternatives; those of one folder that differ in the same are one family.

    An FFmpeg's core and its hooks are two groups.
    """
    families: list[tuple[str, set[str], list[str]]] = []
    for group in groups:
        stems = _differing(group, wanted)
        folder = group[0].rpartition("/")[0]
        if not stems:
            continue
        near = [each for each in families if each[0] == folder and each[1] & stems]
        if near:
            near[0][1].update(stems)
            near[0][2].extend(group)
        else:
            families.append((folder, stems, [*group]))
    return [labels for _, _, labels in families]


def _choose(
    family: Iterable[str],
    wanted: Mapping[str, Collection[str]],
    shared: set[str],
    advise: Callable[[str], Suggestion],
    prefer: str,
) -> Choice | None:
    options: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    known: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Suggestion]] = {}
    for label in family:
        own = sorted(set(wanted[label]) - shared)
        if not own:
            continue
        found = [each for each in map(advise, own) if each.kind not in {"driver", "wheel"}]
        attributes = tuple(sorted({each.attribute for each in found if each.is_sure}))
        lacking = tuple(sorted({each.soname for each in found if not each.is_sure}))
        options.setdefault((attributes, lacking), []).append(label)
        known[attributes, lacking] = found
    alternatives = [Alternative(tuple(sorted(files)), *key) for key, files in options.items()]
    alternatives.sort(key=lambda each: _order(each, known[each.attributes, each.lacking], prefer))
    return Choice(alternatives[0], tuple(alternatives[1:])) if len(alternatives) > 1 else None


def _order(each: Alternative, found: Sequence[Suggestion], prefer: str) -> tuple[object, ...]:
    """Order what is had before what the nixpkgs at hand lacks, and both before what none has."""
    nowhere = any(not (own.is_sure or own.kind == "absent") for own in found)
    names = sorted({own.attribute for own in found if own.is_sure or own.kind == "absent"})
    preferred = any(name.startswith(f"{prefer}.") for name in names)
    parts = [part for name in names for part in re.split(r"([0-9]+)", name)]
    newest = tuple((part, 0) if not part.isdigit() else ("", -int(part)) for part in parts)
    return bool(each.lacking), nowhere, bool(names) and not preferred, newest, each.lacking


def choice_text(choices: Iterable[Choice], verb: str) -> list[str]:
    """Say what was chosen; ``verb`` is what came of it: "Taken", "Kept"."""
    sentences = []
    for taken, _ in choices:
        why = f", for {_packages(taken)}" if taken.attributes else ""
        names = [label.rpartition("/")[2] for label in taken.files]
        few = [names[0], count(len(names) - 1, "other")] if len(names) > 3 else names
        sentences.append(f"Built several times, and one loads. {verb}{why}: {listed(few)}.")
    return sentences


def in_place_text(choices: Iterable[Choice]) -> list[str]:
    """Say, in a sentence or in none, what could have been taken."""
    every = [each for _, others in choices for each in others if not each.lacking]
    named = sorted({*map(_packages, every)} - {""})
    return [f"Files for {listed(named)} are in the wheel, too."] if named else []


def _packages(alternative: Alternative) -> str:
    """Name packages, or the set that all of several are of."""
    sets = {name.partition(".")[0] for name in alternative.attributes}
    if len(sets) == 1 and len(alternative.attributes) > 1:
        return nix_path(*sets)
    return listed(nix_path(name.removesuffix(".lib")) for name in alternative.attributes)


def _conflict(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether one library is wanted in two versions."""
    versions = {(parts := name.partition(".so"))[0]: parts[2] for name in one}
    others = (name.partition(".so") for name in other)
    return any(versions.get(stem, version) != version for stem, _, version in others)


def _differing(group: Iterable[str], wanted: Mapping[str, Collection[str]]) -> set[str]:
    """Give the libraries that are wanted in several versions, by no file in two; else nothing."""
    versions: dict[str, set[str]] = {}
    for label in group:
        own: dict[str, str] = {}
        for name in wanted[label]:
            stem, _, version = name.partition(".so")
            if own.setdefault(stem, version) != version:
                return set()
            versions.setdefault(stem, set()).add(version)
    return {stem for stem, found in versions.items() if len(found) > 1}

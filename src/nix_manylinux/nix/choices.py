"""Files of a wheel that are alternatives: the same for several FFmpegs, CUDAs or the like.

One of them is used, whichever loads. Libraries for all of them at once are what nobody has.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from nix_manylinux.base.words import count, listed, some
from nix_manylinux.nix.syntax import nix_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from nix_manylinux.nix.packages import Suggestion

#: "libtorchcodec_core7", "libbitsandbytes_cuda128": what differs is at the end.
_NUMBERED = re.compile(r"(?P<stem>.+?)[_-]?[a-z]*[0-9]+")


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
    wanted: Mapping[str, Collection[str]], advise: Callable[[str], Suggestion]
) -> tuple[Choice, ...]:
    """Find what is a choice. ``wanted`` are the names that files lack, by the files' labels.

    Files in one folder whose names differ in the last number, or word with a number, are
    alternatives where they want one library in several versions, each another one. What
    nixpkgs has nothing for is never taken where it has something for another one.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for label in sorted(wanted):
        folder, _, base = label.rpartition("/")
        match = _NUMBERED.fullmatch(base.partition(".so")[0])
        if match:
            groups.setdefault((folder, match["stem"]), []).append(label)
    members = [label for group in groups.values() if _differ(group, wanted) for label in group]
    # What all kinds of files want has nothing to do with the choice.
    shared = {name for label, names in wanted.items() if label not in members for name in names}
    for one, other in combinations(members, 2):
        if _conflict(wanted[one], wanted[other]):
            shared |= {*wanted[one]} & {*wanted[other]}
    # Files of several groups that want the same belong together: an FFmpeg's core and its hooks.
    by_folder: dict[str, dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]]] = {}
    for label in members:
        found = [advise(name) for name in sorted(set(wanted[label]) - shared)]
        found = [each for each in found if each.kind not in {"driver", "wheel"}]
        attributes = tuple(sorted({each.attribute for each in found if each.is_sure}))
        lacking = tuple(sorted({each.soname for each in found if not each.is_sure}))
        options = by_folder.setdefault(label.rpartition("/")[0], {})
        options.setdefault((attributes, lacking), []).append(label)
    choices = []
    for options in by_folder.values():
        alternatives = [
            Alternative(tuple(files), attributes, lacking)
            for (attributes, lacking), files in options.items()
            if attributes or lacking
        ]
        alternatives.sort(key=lambda each: (bool(each.lacking), each.attributes, each.lacking))
        if len(alternatives) > 1:
            choices.append(Choice(alternatives[0], tuple(alternatives[1:])))
    return tuple(choices)


def choice_text(choice: Choice) -> list[str]:
    """Say what was chosen, and what could be in its place: one sentence for each line."""
    taken = _with(choice.taken)
    lines = [f"A choice, of which one loads, and the others are left alone. Taken: {taken}."]
    lines += [f"In its place: {_with(each)}." for each in choice.others if not each.lacking]
    without = [each for each in choice.others if each.lacking]
    if without:
        files = _files(sorted(file for each in without for file in each.files))
        names = some(sorted({name for each in without for name in each.lacking}), 4)
        lines.append(f"nixpkgs lacks libraries for {files}: {names}.")
    return lines


def _with(alternative: Alternative) -> str:
    names = listed(nix_path(each) for each in alternative.attributes) or "nothing of nixpkgs"
    return f"{names}, for {_files(alternative.files)}"


def _files(labels: Iterable[str]) -> str:
    names = [label.rpartition("/")[2] for label in labels]
    if len(names) <= 3:
        return listed(names)
    return f"{names[0]} and {count(len(names) - 1, 'other')}"


def _conflict(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether one library is wanted in two versions."""
    versions = {(parts := name.partition(".so"))[0]: parts[2] for name in one}
    others = (name.partition(".so") for name in other)
    return any(versions.get(stem, version) != version for stem, _, version in others)


def _differ(group: list[str], wanted: Mapping[str, Collection[str]]) -> bool:
    """Whether a library is wanted in several versions, and by no file in two."""
    versions: dict[str, set[str]] = {}
    for label in group:
        own: dict[str, str] = {}
        for name in wanted[label]:
            stem, _, version = name.partition(".so")
            if own.setdefault(stem, version) != version:
                return False
            versions.setdefault(stem, set()).add(version)
    return any(len(found) > 1 for found in versions.values())

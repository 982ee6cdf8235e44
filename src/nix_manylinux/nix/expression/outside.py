"""The libraries that a wheel's files want from neither libc, wheel nor policy, and who has them."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

from nix_manylinux.data import read_libraries
from nix_manylinux.nix.adviser import Adviser
from nix_manylinux.nix.choices import find_choices
from nix_manylinux.target.policy import parse_floor, policy_for

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from nix_manylinux.nix.choices import Choice
    from nix_manylinux.nix.expression.wheel import DescribedWheel
    from nix_manylinux.nix.packages import Suggestion, Table
    from nix_manylinux.target.policy import Policies
    from nix_manylinux.tree.facts import TreeFacts, TreeFile

_ORIGINS = ("$ORIGIN/", "${ORIGIN}/")


class OutsideLibraries(NamedTuple):
    """Where libraries come from that a format's policy does not bring.

    ``found`` has one suggestion for each attribute of nixpkgs, ``nobody``
    one for each soname that nixpkgs lacks, ``elsewhere`` sonames with the words that
    say which other wheels have them. ``choices`` are files that are alternatives: what
    those want that are left alone is in none of the three. ``undeclared`` are Python
    packages that have some of ``elsewhere``, where the wheels require nothing at all.
    """

    found: tuple[Suggestion, ...]
    nobody: tuple[Suggestion, ...]
    elsewhere: tuple[tuple[str, str], ...]
    choices: tuple[Choice, ...]
    undeclared: tuple[str, ...]


def outside_libraries(
    wheels: Sequence[DescribedWheel],
    required: Sequence[str],
    files: Mapping[str, Collection[str]],
    *,
    style: str,
    table: Table,
    policies: Policies,
) -> OutsideLibraries:
    """Sort what the files need by where it comes from; ``style`` is the format ("manylinux1").

    ``required`` are the normalised names of the wheels that they require somewhere,
    ``files`` those in some of them; see `Adviser`.
    """
    known = known_libraries(style, table, policies)
    facts = (wheel.facts for wheel in wheels)
    adviser = Adviser(table, facts, required=required, files=files)
    wanted, choices = _wanted(wheels, known, adviser)
    found: dict[str, Suggestion] = {}
    nobody, elsewhere = [], []
    undeclared: set[str] = set()
    suggestions = [(adviser.advise(*names), "") for names in _noted(wheels, known)]
    suggestions += [(adviser.advise(name), folder) for name, folder in sorted(wanted.items())]
    for suggestion, folder in suggestions:
        if suggestion.kind == "driver":
            continue
        if suggestion.kind == "wheel":
            elsewhere.append((suggestion.soname, suggestion.notes[0]))
            # What is required may require it in its turn.
            undeclared |= set() if required else {*suggestion.wheels}
        # Unfree, insecure, of another language: then the other wheel is meant.
        elif folder and not suggestion.may_be_taken:
            note = f"looked for in {folder}, another wheel's: see dependencies"
            elsewhere.append((suggestion.soname, note))
        elif suggestion.is_sure:
            found.setdefault(suggestion.attribute, suggestion)
        else:
            nobody.append(suggestion)
    return OutsideLibraries(
        found=tuple(sorted(found.values(), key=lambda each: each.attribute.lower())),
        nobody=tuple(nobody),
        elsewhere=tuple(elsewhere),
        choices=choices,
        undeclared=tuple(sorted(undeclared)),
    )


def _wanted(
    wheels: Iterable[DescribedWheel], known: set[str], adviser: Adviser
) -> tuple[dict[str, str], tuple[Choice, ...]]:
    """Give what is needed from outside, each with the other wheel's folder, or ""; and choices.

    What only files want that are not chosen is not in it.
    """
    choices: dict[tuple[str, ...], Choice] = {}
    wanted: dict[str, str] = {}
    for wheel in wheels:
        lacking: dict[str, list[str]] = {}
        names = list(outside_names(wheel.facts, known))
        for name, file in names:
            lacking.setdefault(file.path, []).append(name)
        chosen = find_choices(lacking, adviser.advise)
        choices |= {choice.left: choice for choice in chosen}
        left = {path for choice in chosen for path in choice.left}
        for name, file in names:
            if file.path not in left:
                wanted[name] = wanted.get(name) or _foreign_folder(file, wheel.facts)
    return wanted, tuple(choices.values())


def _noted(wheels: Iterable[DescribedWheel], known: set[str]) -> Iterable[tuple[str, ...]]:
    """Yield the alternatives of each dlopen note that is required and not met by the wheel."""
    for wheel in wheels:
        own = _own_names(wheel.facts)
        for file in wheel.facts.files:
            for note in file.facts.dlopen:
                if note.priority == "required" and not set(note.sonames) & (own | known):
                    yield note.sonames


def _own_names(facts: TreeFacts) -> set[str]:
    own = {posixpath.basename(name) for file in facts.files for name in file.names}
    return own | {file.facts.soname for file in facts.files if file.facts.soname}


def known_libraries(style: str, table: Table, policies: Policies) -> set[str]:
    """Give the sonames that a target has anyway: its libc's, and those of the format's policy."""
    libc = {
        name
        for name in read_libraries().glibc
        # Some have left glibc, and have a package of their own now: libcrypt.so.1.
        if name not in table.rows or table.rows[name].attr == "glibc"
    }
    known = libc | set(policies.musl_sonames.values())
    return known | policy_for(style, policies).sonames if parse_floor(style) else known


def outside_names(facts: TreeFacts, known: set[str]) -> Iterable[tuple[str, TreeFile]]:
    """Yield the needed names that are neither known nor in the wheel, with the file that needs."""
    own = _own_names(facts)
    for file in facts.files:
        if file.facts.kind.is_linked:
            for name in file.facts.needed:
                if name not in own and name not in known and "ld-linux" not in name:
                    yield name, file


def _foreign_folder(file: TreeFile, facts: TreeFacts) -> str:
    """Name the folder of site-packages, not of this wheel, that a file's search path leads to."""
    for site in facts.site_packages:
        for entry in file.facts.search_path:
            if not file.path.startswith(f"{site}/") or not entry.startswith(_ORIGINS):
                continue
            path = posixpath.normpath(
                posixpath.join(posixpath.dirname(file.path), entry.partition("/")[2])
            )
            ours = any(name.startswith(f"{path}/") for each in facts.files for name in each.names)
            if path.startswith(f"{site}/") and not ours:
                return path[len(site) + 1 :]
    return ""

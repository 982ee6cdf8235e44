"""The libraries that a wheel's files want from neither libc, wheel nor policy, and who has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nix_manylinux.data import read_libraries, read_sonames
from nix_manylinux.elf.tokens import origin_entries
from nix_manylinux.nix.choices import Choice, find_choices
from nix_manylinux.nix.expression.cuda import Cuda, about_cuda
from nix_manylinux.nix.packages import Suggestion, explain
from nix_manylinux.target.libc import is_glibc_loader
from nix_manylinux.target.policy import load_policies, parse_floor, policy_for

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from nix_manylinux.nix.adviser import Adviser
    from nix_manylinux.nix.expression.wheel import DescribedWheel
    from nix_manylinux.tree.facts import TreeFacts, TreeFile


class OutsideLibraries(NamedTuple):
    """Where libraries come from that a format's policy does not bring.

    ``found`` has one suggestion for each attribute of nixpkgs, ``wanting`` the numbers of the
    wheels that want it, or a soname that nobody has, where some don't; ``reasons`` are sentences
    about it, and ``cuda_of`` is the package whose CUDA it has to be. ``elsewhere`` are sonames with
    the words that say which other wheels have them, ``wheels`` the names of those, and of what is
    required of their families, ``later`` what wheels have that need this one. What nobody
    has is in ``nobody`` where only optional files want it, else in ``needed``, with the files that
    have to load. ``runtime`` are sonames that were asked for, and that no package is known for,
    with words about it.
    ``choices`` are files that are alternatives, for each of the wheels: what those want that are
    left alone is in none of these. ``undeclared`` are Python packages that have some of
    ``elsewhere``, and that nothing required can bring. ``unmet`` are sonames that a build surely
    lacks: of drivers, of nobody, of what comes later. ``opened`` are sonames of drivers that files
    open by name: that costs no input.
    """

    found: tuple[Suggestion, ...]
    wanting: dict[str, set[int]]
    reasons: tuple[str, ...]
    cuda_of: str
    nobody: tuple[Suggestion, ...]
    needed: tuple[tuple[Suggestion, tuple[str, ...]], ...]
    elsewhere: tuple[tuple[str, str], ...]
    wheels: tuple[str, ...]
    later: tuple[Suggestion, ...]
    runtime: tuple[tuple[str, str], ...]
    choices: tuple[tuple[Choice, ...], ...]
    undeclared: tuple[str, ...]
    unmet: frozenset[str]
    opened: frozenset[str]


class _Want(NamedTuple):
    """A library that is wanted: by any of its ``names``, by ``files`` in the wheels.

    ``folder`` is another wheel's that a search path leads to, ``needed`` whether one of the
    files has to load, ``wheels`` the numbers of these.
    """

    names: tuple[str, ...]
    files: tuple[str, ...] = ()
    folder: str = ""
    needed: bool = False
    wheels: frozenset[int] = frozenset()


def outside_libraries(
    wheels: Sequence[DescribedWheel],
    required: Sequence[str],
    adviser: Adviser,
    known: set[str],
    *,
    runtime_libs: Sequence[str] = (),
    brought: Collection[str] = (),
    cuda: Cuda | None = None,
) -> OutsideLibraries:
    """Sort what the files need by where it comes from.

    ``required`` are the normalised names of the wheels that they require somewhere, ``known``
    the libraries that are there anyway (`known_libraries`), ``brought`` the attributes of
    packages that are (`brought_packages`): what else they have needs no input. ``runtime_libs``
    are sonames that were asked for besides. ``cuda`` is the one to take, if that is known.
    """
    wants, choices = _wanted(wheels, known, adviser)
    advised = [(want, adviser.advise(*want.names)) for want in wants]
    # Where no library has to load, the package may be of no use without.
    must = (reached_from(wheel.facts, wheel.entries) for wheel in wheels)
    paths = ((file.path for file in wheel.facts.files) for wheel in wheels)
    if not all(map(set.isdisjoint, must, paths)):
        advised = _spared(advised, required, adviser)
    drivers = {name for want, each in advised if each.kind == "driver" for name in want.names}
    later = [each for _, each in advised if each.later]
    of_wheels = [each for _, each in advised if each.kind == "wheel" and not each.later]
    rest = [(want, each) for want, each in advised if each.kind not in {"wheel", "driver"}]
    # Unfree, insecure, of another language: then the other wheel is meant.
    led = [(want, each) for want, each in rest if want.folder and not each.may_be_taken]
    rest = [pair for pair in rest if pair not in led]
    absent = [(want, each) for want, each in rest if not each.is_sure]
    own = {name for wheel in wheels for name in wheel.facts.brought}
    asked = [adviser.advise(name) for name in sorted({*runtime_libs} - own - known)]
    found: dict[str, Suggestion] = {}
    wanting: dict[str, set[int]] = {}
    every = frozenset(range(len(wheels)))
    by_numbers = [(each, want.wheels) for want, each in rest] + [(each, every) for each in asked]
    for each, numbers in by_numbers:
        if each.is_sure and each.attribute not in brought:
            found.setdefault(each.attribute, each)
            wanting.setdefault(each.attribute, set()).update(numbers)
    wanting |= {each.soname: {*want.wheels} for want, each in absent}
    # What to do about it is said of all of them at once.
    elsewhere = [(each.soname, each.notes[0].partition(": take ")[0]) for each in of_wheels]
    there = "looked for in {}, another wheel's: see dependencies"
    elsewhere += [(each.soname, there.format(want.folder)) for want, each in led]
    names = tuple(sorted({name for each in of_wheels for name in each.wheels}))
    loader, reasons = about_cuda(found, {*required, *names}, cuda, adviser)
    return OutsideLibraries(
        found=tuple(sorted(found.values(), key=lambda each: each.attribute.lower())),
        wanting={name: numbers for name, numbers in wanting.items() if numbers != every},
        reasons=reasons,
        cuda_of=loader,
        nobody=tuple(each for want, each in absent if not want.needed),
        needed=tuple((each, want.files) for want, each in absent if want.needed),
        elsewhere=tuple(elsewhere),
        wheels=tuple(sorted(adviser.of_their_families(names, required).union(names))),
        later=tuple(later),
        runtime=tuple(
            (each.soname, explain(each))
            for each in asked
            if not each.is_sure and each.kind != "driver" and "/" not in each.soname
        ),
        choices=choices,
        # What is required may require it in its turn.
        undeclared=tuple(n for n in names if not required or adviser.is_undeclared(n)),
        unmet=frozenset(
            drivers.union((each.soname for each in later), *(want.names for want, each in absent))
        ),
        opened=frozenset(
            name
            for wheel, each in zip(wheels, choices, strict=True)
            for name in _opened(wheel, each)
        ),
    )


def _spared(
    advised: Sequence[tuple[_Want, Suggestion]], required: Sequence[str], adviser: Adviser
) -> list[tuple[_Want, Suggestion]]:
    """Leave to others what only optional files want of a package that is not required.

    A plugin for torch is loaded behind torch, where both are there; what else such a file wants
    that isn't had for nothing, as CUDA isn't, is left to it, too.
    """
    spared: dict[tuple[str, ...], str] = {}
    plugins: set[str] = set()
    for want, each in advised:
        expected = any(n in required or adviser.is_undeclared(n) for n in each.wheels)
        if each.kind == "wheel" and not (each.later or want.needed or expected):
            plugins.update(want.files)
            its = each.notes[0].partition(": take ")[0]
            spared[want.names] = f"{its}, which is not required"
    for want, each in advised:
        if not each.may_be_taken and plugins.issuperset(want.files):
            spared.setdefault(want.names, "for the same files")
    return [
        (
            want._replace(folder=""),
            Suggestion(soname=each.soname, kind="none", notes=(spared[want.names],)),
        )
        if want.names in spared
        else (want, each)
        for want, each in advised
    ]


def _opened(wheel: DescribedWheel, choices: Iterable[Choice]) -> Iterator[str]:
    """Name the drivers' libraries whose names stand in files that stay, of each its version."""
    left = {path for choice in choices for path in choice.left}
    kept = {file.label for file in wheel.facts.files if file.path not in left}
    named = {load.name for load in wheel.loads if any(f in kept for f, _ in load.sources)}
    for name in named & read_libraries().driver:
        if not any(other.startswith(f"{name}.") for other in named):
            yield name


def _wanted(
    wheels: Sequence[DescribedWheel], known: set[str], adviser: Adviser
) -> tuple[list[_Want], tuple[tuple[Choice, ...], ...]]:
    """Give what is needed from outside, by its name; and choices.

    What only files want that are not chosen is not in it.
    """
    choices: list[tuple[Choice, ...]] = []
    wants: dict[tuple[str, ...], _Want] = {}
    for number, wheel in enumerate(wheels):
        lacking: dict[str, list[str]] = {}
        names = [*outside_names(wheel.facts, known)]
        for name, file in names:
            lacking.setdefault(file.path, []).append(name)
        chosen = find_choices(lacking, adviser.advise, prefer=adviser.cuda)
        choices.append(chosen)
        left = {path for choice in chosen for path in choice.left}
        kept = [((name,), file) for name, file in names if file.path not in left]
        taken = {path for choice in chosen for path in choice.taken.files}
        must = reached_from(wheel.facts, {*wheel.entries, *taken})
        by_names: dict[tuple[str, ...], list[TreeFile]] = {}
        for each, file in [*_noted(wheel, known), *kept]:
            by_names.setdefault(each, []).append(file)
        linked = [f for f in wheel.facts.files if f.facts.kind.is_linked and f.path not in left]
        for each, files in by_names.items():
            old = wants.get(each, _Want(each))
            # A file that has to load is what a reader is told first.
            strict = [file.label for file in files if file.path in must]
            folders = (_foreign_folder(file, wheel.facts) for file in files)
            wants[each] = _Want(
                names=each,
                files=old.files or tuple(strict or [file.label for file in files]),
                folder=old.folder or next(filter(None, folders), ""),
                needed=old.needed or bool(strict) or len(files) == len(linked),
                wheels=old.wheels | {number},
            )
    return sorted(wants.values()), tuple(choices)


def reached_from(facts: TreeFacts, paths: Iterable[str]) -> set[str]:
    """Give some files' paths, and those of all in the wheel that they need, one through others."""
    by_name: dict[str, TreeFile] = {}
    for file in facts.files:
        for name in (*file.names, file.facts.soname or ""):
            by_name.setdefault(name.rpartition("/")[2], file)
    reached = {*paths}
    queue = [file for file in facts.files if file.path in reached]
    while queue:
        for name in queue.pop().facts.needed:
            found = by_name.get(name)
            if found is not None and found.path not in reached:
                reached.add(found.path)
                queue.append(found)
    return reached


def _noted(wheel: DescribedWheel, known: set[str]) -> Iterable[tuple[tuple[str, ...], TreeFile]]:
    """Yield the alternatives of each dlopen note that is required and not met by the wheel."""
    there = wheel.facts.brought | known
    for file in wheel.facts.files:
        for note in file.facts.dlopen:
            if note.priority == "required" and there.isdisjoint(note.sonames):
                yield note.sonames, file


def known_libraries(style: str) -> set[str]:
    """Give the sonames that a target has anyway: its libc's, and those of the format's policy."""
    rows = read_sonames()
    known = {
        name
        for name in read_libraries().glibc
        # Some have left glibc, and have a package of their own now: libcrypt.so.1.
        if name not in rows or rows[name].attr == "glibc"
    }
    promised = policy_for(style).sonames if parse_floor(style) else ()
    return known.union(load_policies().musl_sonames.values(), promised)


def brought_packages(style: str, adviser: Adviser) -> set[str]:
    """Give the attributes that a format has among the build inputs, for its policy's libraries.

    libgomp is no policy's, and of one package with libstdc++, which is.
    """
    if not parse_floor(style):
        return set()
    found = map(adviser.advise, policy_for(style).sonames)
    return {each.attribute for each in found if each.is_sure}


def outside_names(facts: TreeFacts, known: set[str]) -> Iterable[tuple[str, TreeFile]]:
    """Yield the needed names that are neither known nor in the wheel, with the file that needs."""
    own = facts.brought
    for file in facts.files:
        if file.facts.kind.is_linked:
            for name in file.facts.needed:
                if name not in own and name not in known and not is_glibc_loader(name):
                    yield name, file


def _foreign_folder(file: TreeFile, facts: TreeFacts) -> str:
    """Name the folder of site-packages, not of this wheel, that a file's search path leads to."""
    place, machine = f"{facts.root}/{file.path}", file.facts.machine
    for site in (each for each in facts.site_packages if file.path.startswith(f"{each}/")):
        for folder in origin_entries(file.facts.search_path, place, machine):
            path = folder.removeprefix(f"{facts.root}/")
            ours = any(name.startswith(f"{path}/") for each in facts.files for name in each.names)
            if path.startswith(f"{site}/") and not ours:
                return path[len(site) + 1 :]
    return ""

"""Where an expression takes libraries from: build inputs, other wheels, and what nobody has."""

from __future__ import annotations

import re

from nix_manylinux.base.patterns import exact_pattern
from nix_manylinux.base.words import capital, grouped, listed, shell, some
from nix_manylinux.nix.expression.choosing import choices
from nix_manylinux.nix.expression.conditions import condition, in_brackets
from nix_manylinux.nix.expression.layout import (
    block,
    concatenated,
    items_list,
    paragraph,
    remark,
    remarks,
)
from nix_manylinux.nix.expression.names import CHECK, FILL_IN, OTHERS
from nix_manylinux.nix.expression.places import named_pythons
from nix_manylinux.nix.nixpkgs import package_of
from nix_manylinux.nix.packages import Suggestion, explain
from nix_manylinux.nix.syntax import nix_comment, nix_path, nix_string
from nix_manylinux.resolve.python_loads import BY_PYTHON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from nix_manylinux.nix.adviser import Adviser
    from nix_manylinux.nix.expression.names import Names
    from nix_manylinux.nix.expression.outside import OutsideLibraries
    from nix_manylinux.nix.expression.wheel import DescribedWheel
    from nix_manylinux.target.place import Place

#: How `find_runtime_loads` calls a note that is obeyed.
_REQUIRED = "dlopen note, required"

#: Files and libraries that a remark names before it counts.
_FEW = 3

#: What libraries are for that are loaded by name, by what theirs begin with.
_PURPOSES = {
    "X11": re.compile(r"libX|libxcb|libICE|libSM|libxkbcommon-x11"),
    "Wayland": re.compile(r"libwayland|libdecor|libxkbcommon"),
    "OpenGL": re.compile(r"libGL|libEGL|libOpenGL|libvulkan|libgbm|libdrm"),
    "TLS": re.compile(r"lib(?:ssl|crypto|gnutls)\.so"),
    "sound": re.compile(r"libasound|libpulse|libpipewire|libjack|libsndio|libopenal|libsamplerate"),
}
_REST = "the rest"


def inputs(
    wheels: Sequence[DescribedWheel],
    libraries: OutsideLibraries,
    names: Names,
    others: Iterable[str],
    runtime_libs: Sequence[str],
) -> Iterator[str]:
    """Write where the libraries come from. ``others`` are sentences on wheels that have some."""
    yield from paragraph(_inputs(wheels, libraries, names))
    yield from paragraph(choices(wheels, libraries.choices, names))
    elsewhere = names.author(_sentences(libraries.elsewhere))
    yield from paragraph([*elsewhere, *names.author(others, OTHERS)])
    if libraries.later:
        later = sorted({each.soname for each in libraries.later})
        lines = block("manylinuxProvidedLater", map(nix_string, later))
        yield from paragraph([*remarks(_about(libraries.later, names)), *lines])
    yield from paragraph(_ignored(wheels, libraries, names))
    if runtime := libraries.opened.union(runtime_libs):
        lines = block("manylinuxRuntimeLibs", map(nix_string, sorted(runtime)))
        said = _opened(wheels, libraries, runtime)
        more = names.author(_sentences(libraries.runtime))
        yield from paragraph([*remarks(said), *more, *lines])


def _opened(
    wheels: Sequence[DescribedWheel], libraries: OutsideLibraries, runtime: Collection[str]
) -> Iterator[str]:
    """Say which files open libraries by name, and which of these are of the graphics driver."""
    for of_driver in (True, False):
        files: dict[str, str] = {}
        sonames: set[str] = set()
        wanted = {name for name in runtime if (name in libraries.opened) == of_driver}
        for wheel, its in zip(wheels, libraries.choices, strict=True):
            left = {path for choice in its for path in choice.left}
            kept = {file.label for file in wheel.facts.files if file.path not in left}
            for load in wheel.loads:
                labels = {label for label, how in load.sources if how != _REQUIRED} & kept
                if load.name in wanted and labels:
                    sonames.add(load.name)
                    # One of a file's names is enough.
                    files |= {label.partition(".so")[0]: label for label in sorted(labels)[::-1]}
        if sonames:
            which = "" if len(sonames) == len(runtime) else f": {listed(sorted(sonames))}"
            begin = "Of the graphics driver, opened" if of_driver else "Opened"
            yield f"{begin} by name by {some(sorted(files.values()), _FEW)}{which}."


def _inputs(
    wheels: Sequence[DescribedWheel], libraries: OutsideLibraries, names: Names
) -> Iterator[str]:
    """Write buildInputs, those of some wheels alone by themselves."""
    yield from remarks(libraries.reasons)
    yield from names.author(_about(libraries.found, names))
    if not libraries.found:
        return
    items = {each.attribute: names.library(each) for each in libraries.found}
    yield from _listed("buildInputs", items, wheels, libraries)


def _listed(
    name: str,
    items: Mapping[str, str],
    wheels: Sequence[DescribedWheel],
    libraries: OutsideLibraries,
    *,
    comments: Iterable[str] = (),
) -> list[str]:
    """Write a binding to items, by what ``libraries.wanting`` has: some wheels' by themselves.

    ``comments`` stand among what is for all.
    """
    parts: dict[str, list[str]] = {"": []}
    for key, item in items.items():
        parts.setdefault(condition(wheels, libraries.wanting.get(key, ())), []).append(item)
    always = parts.pop("")
    lists = [items_list(always)] if always else []
    if comments := [*map(nix_comment, comments)]:
        lists = ["\n".join(["[", *(f"  {each}" for each in (*always, *comments)), "]"])]
    lists += [
        f"lib.optionals {in_brackets(when)} {items_list(each)}" for when, each in parts.items()
    ]
    return concatenated(name, lists)


def _ignored(
    wheels: Sequence[DescribedWheel], libraries: OutsideLibraries, names: Names
) -> Iterator[str]:
    """Ignore what only optional files want; what others want stops the build, and is said."""
    if not libraries.nobody and not libraries.needed:
        return
    needed = [each for each, _ in libraries.needed]
    every = [*libraries.nobody, *needed]
    said = _absent(each for each in every if each.kind == "absent")
    names.said += said
    about = _about([each for each in every if each.kind != "absent"], names)
    yield from remarks([*about, *said])
    optional = {each.soname: nix_string(exact_pattern(each.soname)) for each in libraries.nobody}
    strict = [nix_string(exact_pattern(each.soname)) for each in needed]
    if strict:
        files = sorted({label for _, labels in libraries.needed for label in labels})
        sonames = [each.soname for each in needed]
        stops = (
            f"{some(files, _FEW)}: can be imported, or is all that there is, and wants"
            f" {some(sonames, _FEW)}. The build stops until buildInputs or dependencies bring"
            " that, or you ignore it, and do without the files."
        )
        yield from remark(stops)
        if names.for_nixpkgs:
            names.tell([f"buildInputs, or manylinuxIgnoreMissingDeps: {stops}"], FILL_IN)
    name = "manylinuxIgnoreMissingDeps"
    if optional:
        yield from _listed(name, optional, wheels, libraries, comments=strict)
    else:
        yield from map(nix_comment, block(name, strict))


def _absent(suggestions: Iterable[Suggestion]) -> list[str]:
    """Say which packages the nixpkgs at hand has not, for which libraries, all of a reason once."""
    reasons: dict[str, dict[str, list[str]]] = {}
    for each in suggestions:
        packages = reasons.setdefault(each.notes[0], {})
        packages.setdefault(nix_path(package_of(each.attribute, each)), []).append(each.soname)
    lists = {
        why: ", ".join(f"{name} ({', '.join(sonames)})" for name, sonames in packages.items())
        for why, packages in reasons.items()
    }
    return [f"{capital(why)}: {packages}." for why, packages in lists.items()]


def runtime_loads(
    wheels: Sequence[DescribedWheel],
    places: Sequence[Place],
    adviser: Adviser,
    names: Names,
    declared: Sequence[str],
    *,
    options: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    """Name what may be loaded at run time beyond what is ``declared``, and who has it.

    The command that links it has the Pythons of the tags, or those in ``options``.
    """
    loads = {load.name: load for wheel in wheels for load in wheel.loads}
    # The Python that runs has its own in it, and no other's would do.
    loads = {name: load for name, load in loads.items() if not name.startswith("libpython")}
    providers: dict[str, list[str]] = {}
    files: set[str] = set()
    python = []
    for name, load in sorted(loads.items()):
        # What a note requires is linked.
        native = [label for label, how in load.sources if how not in {*BY_PYTHON, _REQUIRED}]
        newer = any(_is_newer(other, name) for other in loads)
        found = adviser.advise(name)
        if newer or not found.may_be_taken or name in declared:
            continue
        attribute = nix_path(found.attribute)
        if native:
            providers.setdefault(attribute, []).append(name)
            files.update(native)
        elif any(how in BY_PYTHON for _, how in load.sources):
            python.append(f"{name} ({attribute})")
    release = " ".join(wheels[0].releases)
    pythons = options.get("--python-version") or (
        [place.python for place in places] if named_pythons(wheels) else []
    )
    release += "".join(dict.fromkeys(f" --python-version {each}" for each in pythons))
    release += "".join(sorted({f" --system {each.system}" for each in places}))
    if providers:
        yield from paragraph(_by_name(providers, files, names, release, declared))
    if python:
        # dlopen looks at the path of the file that calls it: here, of _ctypes.
        said = (
            f"Loaded from Python, where no search path of the wheel counts: {', '.join(python)}. If"
            " you need that, write its path into the source (substituteInPlace)."
        )
        yield from paragraph(names.author([said]))


def _is_newer(one: str, other: str) -> bool:
    """Whether two sonames are of one library, and the first is of a later version."""
    (stem, _, version), (stem_too, _, than) = one.partition(".so"), other.partition(".so")
    numbers, numbers_too = ([*map(int, re.findall("[0-9]+", each))] for each in (version, than))
    return stem == stem_too and numbers > numbers_too


def _by_name(
    providers: Mapping[str, Sequence[str]],
    files: Iterable[str],
    names: Names,
    release: str,
    declared: Sequence[str],
) -> list[str]:
    """Say what files load by name if it is there, and the way to have it."""
    said = f"Loaded at run time if it is there, by {some(sorted(files), _FEW)}"
    if names.for_nixpkgs:
        sonames = sorted(name for each in providers.values() for name in each)
        return names.author([f"{said}; {_to_link(release, sonames, declared)}"], CHECK)
    having = ", ".join(f"{attr} ({', '.join(each)})" for attr, each in providers.items())
    if len(providers) > 2 * _FEW:
        having = f"{some([*providers], 2 * _FEW)} (nix-manylinux inspect WHEEL)"
    how = "nix-manylinux expr --runtime-libs SONAME links it"
    return names.author([f"{said}: {having}; {how}."])


def _to_link(release: str, sonames: Iterable[str], declared: Sequence[str]) -> str:
    """Give a command that has libraries linked, with a line for each purpose, and for what is."""
    lines: dict[str, list[str]] = {}
    for soname in sonames:
        purpose = next((key for key, value in _PURPOSES.items() if value.match(soname)), _REST)
        lines.setdefault(purpose, []).append(f"--runtime-libs {shell(soname)}")
    order = [each for each in (*_PURPOSES, _REST) if each in lines]
    which = "what is not needed"
    if order != [_REST]:
        which += f" of its lines, for {listed(order)}"
    if {"X11", "Wayland"} <= lines.keys():
        which += " (one of X11 and Wayland makes a window)"
    command = [f"nix-manylinux expr --for-nixpkgs {release}"]
    linked = [f"--runtime-libs {shell(soname)}" for soname in declared]
    command += [f"  {' '.join(each)}" for each in (linked, *map(lines.get, order)) if each]
    return f"to have it linked, this without {which}:\n" + " \\\n".join(command)


def _about(suggestions: Iterable[Suggestion], names: Names) -> list[str]:
    """Give what is to be minded, each sentence once with all libraries that it is true of.

    In a file of nixpkgs without these, where it is of a list that has them.
    """
    pairs = [
        (each.soname, note)
        for each in suggestions
        for note in (each.notes if each.is_sure else [explain(each)])
    ]
    notes = {note for _, note in pairs}
    if names.for_nixpkgs and len(notes) == 1 and not any(each.is_sure for each in suggestions):
        return [f"{capital(*notes)}."]
    return _sentences(pairs)


def _sentences(notes: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{each}." for each in grouped(notes)]

"""Where an expression takes libraries from: build inputs, other wheels, and what nobody has."""

from __future__ import annotations

import shlex

from nix_manylinux.base.patterns import exact_pattern
from nix_manylinux.base.words import listed, some
from nix_manylinux.nix.choices import choice_text
from nix_manylinux.nix.expression.layout import block, grouped, remark, remarks
from nix_manylinux.nix.packages import explain
from nix_manylinux.nix.syntax import nix_comment, nix_path, nix_string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nix_manylinux.nix.adviser import Adviser
    from nix_manylinux.nix.expression.names import Names
    from nix_manylinux.nix.expression.outside import OutsideLibraries
    from nix_manylinux.nix.expression.wheel import DescribedWheel
    from nix_manylinux.nix.packages import Suggestion

#: How `find_runtime_loads` calls a note that is obeyed.
_REQUIRED = "dlopen note, required"

#: Files and libraries that a remark names before it counts.
_FEW = 3


def inputs(
    libraries: OutsideLibraries, names: Names, pins: Mapping[str, str], runtime_libs: Sequence[str]
) -> Iterator[str]:
    """Write where the libraries come from. ``pins`` are versions that are required exactly."""
    found = [each for each in libraries.found if names.has(each)]
    absent = [each for each in libraries.found if not names.has(each)]
    if libraries.found:
        yield ""
        yield from remarks(_about(found))
        if absent:
            lacking = [f"{nix_path(each.attribute)} ({each.soname})" for each in absent]
            sentence = f"Left out, since this nixpkgs lacks it: {', '.join(lacking)}."
            yield from remark(names.tell(sentence))
    if found:
        inputs = [*map(names.library, found)]
        if unusable := names.unusable("pkgs."):
            yield from remark(names.tell(f"Not to be had of this nixpkgs: {unusable}."))
        yield from block("buildInputs", inputs)
    for choice in libraries.choices:
        yield ""
        said = choice_text(choice)
        yield from remarks(each.replace("left alone", "not installed") for each in said)
    if libraries.choices:
        left = sorted({path for choice in libraries.choices for path in choice.left})
        yield from _not_installed(left)
    if libraries.elsewhere:
        yield ""
        yield from remarks(grouped(libraries.elsewhere))
        yield from remarks(_not_from_source(libraries.wheels, pins))
    if libraries.later:
        yield ""
        yield from remarks(_about(libraries.later))
        later = sorted({each.soname for each in libraries.later})
        yield from block("manylinuxProvidedLater", map(nix_string, later))
    yield from _ignored(libraries)
    if runtime_libs:
        yield ""
        yield from remarks(grouped(libraries.runtime))
        names_of_them = [nix_string(soname) for soname in sorted({*runtime_libs})]
        yield from block("manylinuxRuntimeLibs", names_of_them)


def _not_installed(paths: Iterable[str]) -> Iterator[str]:
    """Remove what can't load, so that the build proves all that is installed."""
    yield "postInstall = ''"
    for path in paths:
        _, site, inner = path.partition("/site-packages/")
        folder, inner = ("$out/${python.sitePackages}", inner) if site else ("$out", path)
        escaped = shlex.quote(inner).replace("''", "'''").replace("${", "''${")
        # Of several wheels each has its own.
        yield f"  rm -f {folder}/{escaped}"
    yield "'';"


def _not_from_source(wheels: Sequence[str], pins: Mapping[str, str]) -> Iterator[str]:
    """Warn that packages of nixpkgs' own are not those wheels, whatever they are called."""
    if not wheels:
        return
    release = "NAME==VERSION"
    if len(wheels) == 1:
        release = f"{wheels[0]}=={pins.get(wheels[0], 'VERSION')}"
    wheel, names = ("wheel", "that name") if len(wheels) == 1 else ("wheels", "these names")
    yield (
        f"Take the {wheel} of {listed(wheels)}, too (nix-manylinux expr {release}): what nixpkgs"
        f" may build from source under {names} has libraries of its own."
    )


def _ignored(libraries: OutsideLibraries) -> Iterator[str]:
    """Ignore what only optional files want; what others want stops the build, and is said."""
    if not libraries.nobody and not libraries.needed:
        return
    yield ""
    yield from remarks(_about([*libraries.nobody, *(each for each, _ in libraries.needed)]))
    optional = [nix_string(exact_pattern(each.soname)) for each in libraries.nobody]
    strict = [nix_string(exact_pattern(each.soname)) for each, _ in libraries.needed]
    if strict:
        files = sorted({label for _, labels in libraries.needed for label in labels})
        sonames = [each.soname for each, _ in libraries.needed]
        yield from remark(
            f"{some(files, _FEW)}: can be imported, or is all that there is, and wants"
            f" {some(sonames, _FEW)}. The build stops until buildInputs or dependencies bring"
            " that, or you ignore it, and do without the files."
        )
    if optional:
        yield "manylinuxIgnoreMissingDeps = ["
        yield from (f"  {each}" for each in optional)
        yield from (f"  {nix_comment(each)}" for each in strict)
        yield "];"
    else:
        yield from map(nix_comment, block("manylinuxIgnoreMissingDeps", strict))


def runtime_loads(
    wheels: Sequence[DescribedWheel], adviser: Adviser, declared: Iterable[str]
) -> Iterator[str]:
    """Name what may be loaded at run time beyond what is ``declared``, and who has it."""
    declared = {*declared}
    loads = {load.name: load for wheel in wheels for load in wheel.loads}
    providers: dict[str, list[str]] = {}
    files: set[str] = set()
    python = []
    for name, load in sorted(loads.items()):
        # What a note requires is linked.
        native = [label for label, how in load.sources if how not in {"Python", _REQUIRED}]
        versioned = name.endswith(".so") and any(other.startswith(f"{name}.") for other in loads)
        found = adviser.advise(name)
        if versioned or not found.may_be_taken or name in declared:
            continue
        attribute = nix_path(found.attribute)
        if native:
            providers.setdefault(attribute, []).append(name)
            files.update(native)
        elif any(how == "Python" for _, how in load.sources):
            python.append(f"{name} ({attribute})")
    if providers:
        yield ""
        where = some(sorted(files), _FEW)
        having = ", ".join(f"{attr} ({', '.join(names)})" for attr, names in providers.items())
        said = f"named in {where}: {having}"
        if len(providers) > 2 * _FEW:
            said = f"of {', '.join(providers)}; which and by what: nix-manylinux inspect WHEEL"
        yield from remark(f"May be loaded at run time, {said}.")
        yield from remark(
            "It is not linked. What you need of it: nix-manylinux expr --runtime-libs SONAME, which"
            " adds it to buildInputs and manylinuxRuntimeLibs."
        )
    if python:
        yield ""
        # dlopen looks at the path of the file that calls it: here, of _ctypes.
        yield from remark(
            f"Loaded from Python, where no search path of the wheel counts: {', '.join(python)}. If"
            " you need that, write its path into the source (substituteInPlace)."
        )


def _about(suggestions: Iterable[Suggestion]) -> list[str]:
    """Give what is to be minded, each sentence once with all libraries that it is true of."""
    notes = ((each.soname, note) for each in suggestions for note in _notes(each))
    return grouped(notes)


def _notes(suggestion: Suggestion) -> Sequence[str]:
    return suggestion.notes if suggestion.is_sure else [explain(suggestion)]

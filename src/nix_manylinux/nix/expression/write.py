"""A complete buildPythonPackage expression for a wheel, as text that parses and builds."""

from __future__ import annotations

import re

from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.patterns import exact_glob, exact_globs, exact_pattern
from nix_manylinux.base.words import listed
from nix_manylinux.nix import packages as nixpkgs
from nix_manylinux.nix.choices import choice_text
from nix_manylinux.nix.expression.dependencies import read_dependencies
from nix_manylinux.nix.expression.licenses import nixpkgs_licenses
from nix_manylinux.nix.expression.outside import outside_libraries
from nix_manylinux.nix.syntax import (
    NOT_AN_ARGUMENT,
    nix_comment,
    nix_comments,
    nix_list,
    nix_name,
    nix_path,
    nix_string,
)
from nix_manylinux.target.interpreter import is_free_threaded
from nix_manylinux.target.place import Place
from nix_manylinux.target.policy import LEGACY_FLOORS, Floor, parse_floor
from nix_manylinux.tree.scripts import is_strange_to_nix
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from nix_manylinux.nix.expression.dependencies import Dependencies
    from nix_manylinux.nix.expression.outside import OutsideLibraries
    from nix_manylinux.nix.expression.wheel import DescribedWheel
    from nix_manylinux.nix.packages import Suggestion, Table
    from nix_manylinux.target.policy import Policies
    from nix_manylinux.tree.facts import TreeFile


#: A Python of our day.
_PYTHON = "3.12"

#: Columns of a comment, two before it included.
_COMMENT = 98


def build_expression(
    wheels: Sequence[DescribedWheel],
    *,
    table: Table,
    policies: Policies,
    places: Sequence[Place] = (),
    runtime_libs: Sequence[str] = (),
    beside: Mapping[str, Collection[str]] | None = None,
) -> str:
    """Write the expression for the wheels of one release, one for each Python and platform.

    Markers are evaluated in ``places``, those of `expression_places` where none are given.
    ``beside`` are the file names of required wheels, as far as they are known.
    ``runtime_libs`` are sonames for ``manylinuxRuntimeLibs``. The result is a
    function for ``python3Packages.callPackage``, in the format of nixfmt.
    Raises BadOption for no wheels, or wheels of several releases.
    """
    if len({(normalise_name(wheel.name.name), wheel.name.version) for wheel in wheels}) != 1:
        raise BadOption("an expression is for the wheels of one release of one package")
    first = wheels[0]
    places = places or expression_places(wheels)
    dependencies = read_dependencies(first.headers, places)
    style = _format(wheels)
    required = (*dependencies.always, *dependencies.sometimes)
    libraries = outside_libraries(
        wheels, required, beside or {}, style=style, table=table, policies=policies
    )
    body = [
        f"pname = {nix_string(normalise_name(first.header('name') or first.name.name))};",
        f"version = {nix_string(first.header('version') or first.name.version)};",
        f"format = {nix_string(style)};",
        "",
        *_source(wheels),
        *_dependencies(dependencies, libraries.undeclared),
        *_hook(wheels, style),
        *_build_inputs(libraries, runtime_libs),
        *_scripts(wheels),
        *_foreign(wheels, places),
        *_imports_check(wheels),
        *_meta(wheels, places),
    ]
    text = "\n".join(f"  {line}" if line else "" for line in body)
    arguments = _arguments([*required, *libraries.undeclared], text)
    head = "".join(f"  {name},\n" for name in arguments)
    return f"{{\n{head}}}:\nbuildPythonPackage {{\n{text}\n}}\n"


def expression_places(
    wheels: Sequence[DescribedWheel],
    *,
    python_versions: Sequence[str] = (),
    systems: Sequence[str] = (),
) -> list[Place]:
    """Give the places that an expression is for: "3.11" or "3.14t", and "x86_64-linux".

    Where they are not given, the wheels' tags tell; where those don't, it is a Python of
    our day and the commonest system.
    """
    return [
        Place(python=python, system=system)
        for python in python_versions or named_pythons(wheels) or [_PYTHON]
        for system in systems or _systems(wheels)
    ]


#: The expression's own arguments, and what in its text shows that it uses one.
_USES = {
    "lib": r"\blib\.(?:licenses|sourceTypes|optionals|elem|hasSuffix)\b",
    "stdenv": r"\bstdenv\.hostPlatform\b",
    "buildPythonPackage": "",
    "fetchPypi": "",
    "manylinuxFixupHook": r"\bmanylinuxFixupHook\b",
    "pkgs": r"\bpkgs\.",
    "python": r"\bpython\.(?:version|pythonVersion|pkgs)\b",
}


def _arguments(packages: Iterable[str], text: str) -> list[str]:
    """List the function's arguments: our own that the text uses, then the packages."""
    own = [name for name, use in _USES.items() if re.search(use, text)]
    return [*own, *sorted({_argument(name) for name in {*packages} - NOT_AN_ARGUMENT})]


def _argument(package: str) -> str:
    """Name a Python package's attribute as an argument: nixpkgs begins those of digits with "_".

    What Nix means something else by can be no argument, and is selected.
    """
    if package in NOT_AN_ARGUMENT:
        return f"python.pkgs.{nix_name(package)}"
    return f"_{package}" if package[0].isdigit() or package in _USES else package


def _format(wheels: Iterable[DescribedWheel]) -> str:
    """Name the format that allows all the wheels: the highest of their floors."""
    floors = [floor for wheel in wheels if (floor := _floor(wheel))]
    if not floors:
        return "wheel"
    highest = max(floors, key=lambda floor: (floor.libc == "glibc", floor.version))
    for name, version in LEGACY_FLOORS.items():
        if highest.libc == "glibc" and highest.version == version:
            return name
    return str(Floor(libc=highest.libc, major=highest.major, minor=highest.minor))


def _floor(wheel: DescribedWheel) -> Floor | None:
    """Give the lowest floor among a wheel's tags, of glibc before musl."""
    floors = [floor for tag in wheel.name.tags if (floor := parse_floor(tag.rpartition("-")[2]))]
    return min(floors, key=lambda floor: (floor.libc != "glibc", floor.version), default=None)


def named_pythons(wheels: Iterable[DescribedWheel]) -> list[str]:
    """List the versions of Python that the wheels' tags name."""
    tags = [tag.partition("-")[0] for wheel in wheels for tag in wheel.name.tags]
    named = {match[1] for tag in tags if (match := re.fullmatch(r"cp3([0-9]+)", tag))}
    return [f"3.{minor}" for minor in sorted(named, key=int)]


def _systems(wheels: Iterable[DescribedWheel]) -> list[str]:
    """List the Nix systems of the wheels; a pure wheel is evaluated for the commonest."""
    systems = {_nix_cpu(floor.arch) + "-linux" for wheel in wheels if (floor := _floor(wheel))}
    return sorted(systems) or ["x86_64-linux"]


def _nix_cpu(arch: str) -> str:
    return {"ppc64le": "powerpc64le", "ppc64": "powerpc64"}.get(arch, arch)


def _source(wheels: Sequence[DescribedWheel]) -> Iterator[str]:
    """Write src: one file by its name, or the list that fetchPypi chooses from."""
    if "+" in wheels[0].name.version:
        yield '# A local version (+...) is never on PyPI: add url = "..." beside file.'
    if len(wheels) == 1:
        yield "src = fetchPypi {"
        yield f"  file = {nix_string(wheels[0].file)};"
        yield f"  hash = {nix_string(wheels[0].sri)};"
        yield "};"
        return
    yield "src = fetchPypi {"
    yield "  pythonVersion = python.version;"
    abis = {tag.split("-")[1] for wheel in wheels for tag in wheel.name.tags}
    if any(is_free_threaded(abi) for abi in abis):
        yield '  freeThreaded = lib.hasSuffix "t" (python.executable or "");'
    yield "  files = ["
    for wheel in sorted(wheels, key=lambda wheel: wheel.file):
        yield "    {"
        yield f"      file = {nix_string(wheel.file)};"
        yield f"      hash = {nix_string(wheel.sri)};"
        yield "    }"
    yield "  ];"
    yield "};"


def _dependencies(dependencies: Dependencies, undeclared: Sequence[str]) -> Iterator[str]:
    if dependencies.always or dependencies.sometimes or undeclared:
        yield ""
        if undeclared:
            yield nix_comment(f"Not required by METADATA, but by files: {listed(undeclared)}.")
        names = [_argument(name) for name in sorted({*dependencies.always, *undeclared})]
        lines = _block("dependencies", names).split("\n")
        groups: dict[tuple[Place, ...], list[str]] = {}
        for name, where in dependencies.sometimes.items():
            groups.setdefault(where, []).append(_argument(name))
        for where, members in groups.items():
            # To nixpkgs a Python without the GIL is of the same version.
            versions = (f"{place.python.rstrip('t')} {place.system}" for place in where)
            places = [nix_string(each) for each in dict.fromkeys(versions)]
            here = '"${python.pythonVersion} ${stdenv.hostPlatform.system}"'
            lines[-1] = lines[-1].removesuffix(";")
            condition = f"lib.optionals (lib.elem {here} {nix_list(places, width=200)})"
            lines.append(f"++ {condition} {nix_list(members, width=60)};")
        yield from lines
    if dependencies.extras:
        yield ""
        # Not arguments: a package that nixpkgs lacks hurts only where its extra is used.
        yield "optional-dependencies = with python.pkgs; {"
        for extra, packages in dependencies.extras.items():
            block = _block(nix_name(extra), [_argument(name) for name in packages])
            yield from (f"  {line}" for line in block.split("\n"))
        yield "};"


def _hook(wheels: Iterable[DescribedWheel], style: str) -> Iterator[str]:
    """Ask for the hook where the format doesn't: a wheel for any platform that has libraries."""
    if style == "wheel" and any(_linked(wheel) for wheel in wheels):
        yield ""
        yield "nativeBuildInputs = [ manylinuxFixupHook ];"


def _scripts(wheels: Iterable[DescribedWheel]) -> Iterator[str]:
    """Name the scripts that Nix can't start as they are."""
    strange: dict[str, list[str]] = {}
    for name, interpreter in sorted({each for wheel in wheels for each in wheel.facts.scripts}):
        if is_strange_to_nix(interpreter, "/nix/store"):
            strange.setdefault(interpreter, []).append(name.rpartition("/")[2])
    if strange:
        yield ""
        yield from _remarks(
            f"{listed(names)}: begins with #!{interpreter}, which patchShebangs mends where the"
            " package that has it is a build input."
            for interpreter, names in strange.items()
        )


def _foreign(wheels: Iterable[DescribedWheel], places: Sequence[Place]) -> Iterator[str]:
    """Allow the files that are for another machine than the one that a wheel is built on."""
    paths: dict[str, None] = {}
    for wheel in wheels:
        floor = _floor(wheel)
        systems = {_nix_cpu(floor.arch)} if floor else {p.system.partition("-")[0] for p in places}
        for file in _linked(wheel):
            if systems - {_nix_cpu(file.facts.machine.name)}:
                paths[file.path] = None
    if paths:
        yield ""
        globs = sorted(map(nix_string, exact_globs(tuple(paths))))
        yield from _block("manylinuxAllowForeign", globs).split("\n")


def _linked(wheel: DescribedWheel) -> list[TreeFile]:
    return [file for file in wheel.facts.files if file.facts.kind.is_linked]


def _build_inputs(libraries: OutsideLibraries, runtime_libs: Sequence[str]) -> Iterator[str]:
    if libraries.found:
        yield ""
        yield from _remarks(_about(libraries.found))
        yield from _block("buildInputs", [_input(each) for each in libraries.found]).split("\n")
    for choice in libraries.choices:
        yield ""
        yield from _remarks(choice_text(choice))
    if libraries.choices:
        left = {path for choice in libraries.choices for path in choice.left}
        yield from _block("manylinuxExclude", map(nix_string, map(exact_glob, sorted(left)))).split(
            "\n"
        )
    if libraries.elsewhere:
        yield ""
        yield from _remarks(_grouped(libraries.elsewhere))
    if libraries.nobody:
        yield ""
        yield from _remarks(_about(libraries.nobody))
        names = [nix_string(exact_pattern(each.soname)) for each in libraries.nobody]
        yield from _block("manylinuxIgnoreMissingDeps", names).split("\n")
    if runtime_libs:
        yield ""
        names = [nix_string(soname) for soname in sorted(set(runtime_libs))]
        yield from _block("manylinuxRuntimeLibs", names).split("\n")


def _about(suggestions: Iterable[Suggestion]) -> list[str]:
    """Give what is to be minded, each sentence once with all libraries that it is true of."""
    notes = ((each.soname, note) for each in suggestions for note in _notes(each))
    return _grouped(notes)


def _notes(suggestion: Suggestion) -> Sequence[str]:
    return suggestion.notes if suggestion.is_sure else [nixpkgs.explain(suggestion)]


def _grouped(notes: Iterable[tuple[str, str]]) -> list[str]:
    named: dict[str, dict[str, None]] = {}
    for name, note in notes:
        named.setdefault(note, {})[name] = None
    return [f"{', '.join(names)}: {note}." for note, names in named.items()]


def _input(suggestion: Suggestion) -> str:
    new = f"pkgs.{nix_path(suggestion.attribute)}"
    if not suggestion.old_attribute:
        return new
    return f"({new} or pkgs.{nix_path(suggestion.old_attribute)})"


def _imports_check(wheels: Sequence[DescribedWheel]) -> Iterator[str]:
    modules = sorted(set.intersection(*(set(wheel.modules) for wheel in wheels)))
    if modules:
        yield ""
        names = [nix_string(module) for module in modules[:8]]
        yield from _block("pythonImportsCheck", names).split("\n")


def _meta(wheels: Sequence[DescribedWheel], places: Iterable[Place]) -> Iterator[str]:
    first = wheels[0]
    yield ""
    yield "meta = {"
    summary = re.sub(r"^(?:An?|The)\s+", "", _line(first.header("summary")).rstrip(".").strip())
    if summary:
        yield f"  description = {nix_string(summary[:1].upper() + summary[1:])};"
    homepage = _line(_homepage(first))
    if homepage:
        yield f"  homepage = {nix_string(homepage)};"
    yield from (f"  {line}" for line in _license(first))
    native = any(wheel.facts.files for wheel in wheels)
    if native:
        yield "  sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];"
        systems = sorted({place.system for place in places})
        yield from (
            f"  {line}" for line in _block("platforms", map(nix_string, systems)).split("\n")
        )
    pname = normalise_name(first.name.name)
    programs = [name for name in first.programs if normalise_name(name) == pname]
    if programs or len(first.programs) == 1:
        yield f"  mainProgram = {nix_string(_line((programs or list(first.programs))[0]))};"
    yield "};"


def _line(text: str) -> str:
    """Give text that a Nix string can hold on one line: control characters become spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _license(wheel: DescribedWheel) -> Iterator[str]:
    expression, text = wheel.header("license-expression"), wheel.header("license")
    found = nixpkgs_licenses(expression, text, wheel.headers.get("classifier", ()))
    names = [f"lib.licenses.{name}" for name in found]
    if len(names) == 1:
        yield f"license = {names[0]};"
    elif names:
        yield from _block("license", names).split("\n")
    else:
        answer = expression or text
        said = repr(" ".join(answer.split())[:70]) if answer else "nothing"
        yield f"# license: METADATA says {said}"


def _homepage(wheel: DescribedWheel) -> str:
    """Give Home-page, or the Project-URL that is labelled most like one."""
    urls = {}
    for value in wheel.headers.get("project-url", ()):
        label, _, url = value.partition(",")
        urls[re.sub(r"[^a-z]", "", label.lower())] = url.strip()
    labels = ("homepage", "home", "repository", "source", "sourcecode", "github", "documentation")
    return next((urls[label] for label in labels if label in urls), wheel.header("home-page"))


def _remarks(sentences: Iterable[str]) -> Iterator[str]:
    for sentence in dict.fromkeys(sentences):
        yield from nix_comments(sentence, width=_COMMENT)


def _block(name: str, items: Iterable[str]) -> str:
    """Write a binding to a list, one item a line where there are several, as nixfmt does."""
    items = list(items)
    return f"{name} = {nix_list(items, width=200 if len(items) < 2 else 0)};"

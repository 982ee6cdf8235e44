"""A complete buildPythonPackage expression for a wheel, as text that parses and builds."""

from __future__ import annotations

from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.patterns import exact_globs
from nix_manylinux.base.values import Value, field
from nix_manylinux.base.words import listed
from nix_manylinux.data import read_families
from nix_manylinux.nix.adviser import Adviser
from nix_manylinux.nix.expression.bundled import (
    bundled_cuda,
    bundled_versions,
    unfree_libraries,
)
from nix_manylinux.nix.expression.conditions import format_text, formats
from nix_manylinux.nix.expression.cuda import (
    Cuda,
    check_fit,
    cuda_in_files,
    how_to_check,
    loader_among,
)
from nix_manylinux.nix.expression.dependencies import (
    package_names,
    read_dependencies,
)
from nix_manylinux.nix.expression.family import other_wheels
from nix_manylinux.nix.expression.inputs import inputs, runtime_loads
from nix_manylinux.nix.expression.layout import block, paragraph, remarks
from nix_manylinux.nix.expression.meta import imports_check, meta
from nix_manylinux.nix.expression.names import CHECK, FILL_IN, WHERE, AtHand, Names
from nix_manylinux.nix.expression.outside import (
    OutsideLibraries,
    brought_packages,
    known_libraries,
    outside_libraries,
)
from nix_manylinux.nix.expression.places import (
    disabled_text,
    expression_places,
    floor_of,
)
from nix_manylinux.nix.expression.relatives import Relatives, Release
from nix_manylinux.nix.expression.required import (
    optional_packages,
    required_packages,
    which_release,
)
from nix_manylinux.nix.expression.source import beside_lines, source_lines
from nix_manylinux.nix.expression.where import where_it_goes
from nix_manylinux.nix.syntax import nix_string
from nix_manylinux.resolve.foreign import place_of
from nix_manylinux.target.place import nix_cpu
from nix_manylinux.tree.python import is_strange_to_nix
from nix_manylinux.wheel.metadata import normalise_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from nix_manylinux.nix.expression.wheel import DescribedWheel
    from nix_manylinux.nix.nixpkgs import Nixpkgs
    from nix_manylinux.target.place import Place
    from nix_manylinux.tree.facts import TreeFile


class Expression(Value):
    """The text, and ``lacking``: sentences in it that say what the nixpkgs at hand has not.

    ``absent`` are required Python packages that it has not, or can't evaluate, with why: Nix is to
    be given these, and no text says that they are not there.

    ``asks`` are requirements of which pip is to be asked: with what it takes for these, and for all
    that they require, as ``releases``, sentences on other wheels name each with its version.

    ``chain`` are the packages that have to be made of wheels, too, where there are some.

    ``named`` is what it takes from nixpkgs, as Nix spells it: "pkgs.zlib", "python.pkgs.numpy".
    ``first`` are faults of the whole that are to be read before it. ``notes`` are for who writes a
    file of nixpkgs, and belong beside it, under what they are good for. With ``is_part`` it is no
    file of nixpkgs alone: ``first`` has the command that writes the whole.
    """

    text: str
    lacking: tuple[str, ...]
    named: tuple[str, ...]
    first: tuple[str, ...] = ()
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    absent: dict[str, str] = field(default_factory=dict, hash=False)
    asks: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()
    is_part: bool = False


def build_expression(
    wheels: Sequence[DescribedWheel],
    *,
    places: Sequence[Place] = (),
    runtime_libs: Sequence[str] = (),
    beside: Mapping[str, Collection[str]] | None = None,
    releases: Mapping[str, Release] | None = None,
    options: Mapping[str, Sequence[str]] | None = None,
    cuda: Cuda | None = None,
    nixpkgs: Nixpkgs | None = None,
    local: Mapping[str, str] | None = None,
    for_nixpkgs: bool = False,
    again: str = "",
) -> Expression:
    """Write the expression for the wheels of one release, one for each Python and platform.

    Markers are evaluated in ``places``, those of `expression_places` where none are given.
    ``beside`` are the file names of required wheels, as far as they are known, ``cuda`` is the
    version that they are built for.
    ``releases`` are what pip takes for it and what it requires, where that was asked, ``options``
    those that commands for other wheels have (`Relatives`).
    ``runtime_libs`` are sonames for ``manylinuxRuntimeLibs``. ``nixpkgs`` is the one at hand:
    what it lacks is said. ``local`` are paths of wheels from where the expression is, by their
    file names: these are the source. With ``for_nixpkgs`` it is as a file of nixpkgs has it: with
    a line for maintainers, and what its line in python-packages.nix must be. ``again`` is the
    command that writes it for another release, for a file that has several hashes. The text is a
    function for ``python3Packages.callPackage``, in the format of nixfmt. Raises BadOption for no
    wheels, or wheels of several releases.
    """
    if len({(normalise_name(wheel.name.name), wheel.name.version) for wheel in wheels}) != 1:
        raise BadOption("an expression is for the wheels of one release of one package")
    first = wheels[0]
    places = places or expression_places(wheels)
    dependencies = read_dependencies(first.headers, places)
    styles = formats(wheels)
    files = beside or {}
    if not (cuda and cuda.sure):
        cuda = cuda_in_files(files) or cuda
    if for_nixpkgs:  # which has CUDA from no wheel
        files = {name: each for name, each in files.items() if not name.startswith("nvidia-")}
    at_hand = AtHand(nixpkgs, for_nixpkgs=for_nixpkgs)
    relatives = Relatives(
        own=frozenset(normalise_name(name.name) for name in first.names),
        families=read_families(),
        releases=releases or {},
        files=files,
        options=options or {},
    )
    every = package_names([*dependencies.always, *dependencies.sometimes])
    of_extras = {name for each in dependencies.extras_for_users().values() for name in each}
    later = relatives.coming_later(package_names(of_extras.difference(every)))
    dependencies = dependencies.without([*later, *relatives.coming_later(every)])
    required = package_names([*dependencies.always, *dependencies.sometimes])
    adviser = Adviser(
        (wheel.facts for wheel in wheels),
        required=required,
        files=files,
        cuda=cuda.package_set if cuda else "",
        refuse=at_hand.refuse,
    )
    known = set.intersection(*(known_libraries(each) for each in styles))
    brought = set.intersection(*(brought_packages(each, adviser) for each in styles))
    libraries = outside_libraries(
        wheels, required, adviser, known, runtime_libs=runtime_libs, brought=brought, cuda=cuda
    )
    attributes = [each.attribute for each in libraries.found]
    bundled = bundled_versions(wheels)
    first_of_all = [*check_fit(cuda, wheels, attributes, bundled)]
    extras = dependencies.extras_for_users()
    for_extras = package_names(name for each in extras.values() for name in each)
    packages = {*required, *libraries.undeclared, *for_extras}
    names = Names(
        packages,
        at_hand,
        linked={*libraries.wheels, libraries.cuda_of},
    )
    pname = first.package
    version = first.header("version") or first.name.version
    others = other_wheels(first, every, libraries.wheels, relatives, names)
    if for_nixpkgs:  # who reads it writes another file than this one
        first_of_all += others.faults
    minded = [
        *([] if for_nixpkgs else remarks(others.faults)),
        *remarks(bundled_cuda(wheels, {*required, *libraries.undeclared})),
    ]
    loader = libraries.cuda_of or (bundled and loader_among({*required, *libraries.undeclared}))
    to_check = which_release(libraries.undeclared, first.releases)
    if loader and not (cuda and cuda.sure):
        to_check.append(_to_check(loader, libraries, bundled, nixpkgs, places))
    disabled = disabled_text(wheels, names.known.pythons, by_tags=for_nixpkgs)
    # So nixpkgs has it, for overrideAttrs; its releases until 25.11 take no function.
    own = "finalAttrs." if for_nixpkgs else ""
    source = list(source_lines(wheels, version, own, local=local, again=again))
    body = [
        f"pname = {nix_string(pname)};",
        f"version = {nix_string(version)};",
        f"format = {format_text(styles)};",
        *([f"disabled = {disabled};"] if disabled else []),
        *paragraph(source),
        *paragraph(beside_lines(wheels, version, own, local=local)),
        *paragraph(required_packages(dependencies, libraries.undeclared, places, names, minded)),
        *paragraph(optional_packages(extras, dependencies.left_out, names)),
        *paragraph(_hook(wheels, styles)),
        *inputs(wheels, libraries, names, others.too, runtime_libs),
        *runtime_loads(wheels, places, adviser, names, runtime_libs, options=options or {}),
        *paragraph(_scripts(wheels)),
        *paragraph(_foreign(wheels, places)),
        *paragraph(imports_check(wheels, _not_there(libraries))),
        *paragraph(meta(wheels, places, names, f"${{{own}version}}")),
    ]
    text = _call(body, own, recursive=bool(first.beside))
    head = "".join(f"  {name},\n" for name in names.arguments(text))
    if for_nixpkgs:
        names.tell(where_it_goes(pname, first, names, styles, whole=not others.faults), WHERE)
        names.tell(() if "lib.licenses.unfree" in text else unfree_libraries(wheels), FILL_IN)
        names.tell([*to_check, *names.doubts()], CHECK)
    return Expression(
        text=f"{{\n{head}}}:\n{text}\n",
        lacking=tuple(names.said),
        named=tuple(names.named),
        first=tuple(first_of_all),
        notes=names.beside(),
        is_part=for_nixpkgs and others.is_part,
        absent=names.absent,
        asks=tuple(others.asks),
        chain=tuple(others.chain),
    )


def _to_check(
    loader: str,
    libraries: OutsideLibraries,
    bundled: Iterable[str],
    nixpkgs: Nixpkgs | None,
    places: Iterable[Place],
) -> str:
    """Say how the CUDA that is taken, or bundled, is held against that of who loads the wheel."""
    sets = [each.attribute for each in libraries.found if each.attribute.startswith("cudaP")]
    taken = min(sets).partition(".")[0] if sets else f"CUDA {listed(sorted(bundled))}"
    chosen = (choice.taken for each in libraries.choices for choice in each)
    several = any(name.startswith("cudaP") for each in chosen for name in each.attributes)
    systems = len({place.system for place in places})
    return how_to_check(loader, taken, nixpkgs, several=several, systems=systems)


def _call(body: Iterable[str], own: str, *, recursive: bool) -> str:
    """Write the call of buildPythonPackage, with a name for its own attributes if it needs one.

    ``own`` is how these are called.
    """
    inner = "".join(f"  {line}\n" if line else "\n" for line in body)
    recursive = recursive or f"${{{own}version}}" in inner
    if own:
        begin, end = ("(finalAttrs: {", "})") if recursive else ("{", "}")
        return f"\nbuildPythonPackage {begin}\n{inner}{end}"
    return f"buildPythonPackage {'rec ' if recursive else ''}{{\n{inner}}}"


def _not_there(libraries: OutsideLibraries) -> set[str]:
    """Give what the package built can't load: sonames that it lacks, and paths of files."""
    left = (path for each in libraries.choices for choice in each for path in choice.left)
    return {*libraries.unmet, *left}


def _hook(wheels: Iterable[DescribedWheel], styles: Collection[str]) -> Iterator[str]:
    """Ask for the hook where the format doesn't: a wheel for any platform that has libraries."""
    if "wheel" in styles and any(_linked(wheel) for wheel in wheels):
        yield "nativeBuildInputs = [ manylinuxFixupHook ];"


def _scripts(wheels: Iterable[DescribedWheel]) -> Iterator[str]:
    """Name the scripts that Nix can't start as they are."""
    strange: dict[str, list[str]] = {}
    for name, interpreter in sorted({each for wheel in wheels for each in wheel.facts.scripts}):
        if is_strange_to_nix(interpreter, "/nix/store"):
            strange.setdefault(interpreter, []).append(name.rpartition("/")[2])
    return remarks(
        f"{listed(names)}: begins with #!{interpreter}, which patchShebangs mends where the"
        " package that has it is a build input."
        for interpreter, names in strange.items()
    )


def _foreign(wheels: Iterable[DescribedWheel], places: Sequence[Place]) -> list[str]:
    """Allow the files that are for another machine than the one that a wheel is built on.

    But for those of which their package has one for that machine, too: nobody has to.
    """
    paths: dict[str, None] = {}
    for wheel in wheels:
        floor = floor_of(wheel)
        cpus = {nix_cpu(floor.arch)} if floor else {p.system.partition("-")[0] for p in places}
        linked = [(place_of(wheel.facts, f), f) for f in _linked(wheel)]
        having: dict[tuple[str, str], set[str]] = {}
        for place, file in linked:
            having.setdefault(place, set()).add(nix_cpu(file.facts.machine.name))
        paths |= {file.path: None for place, file in linked if cpus - having[place]}
    globs = sorted(map(nix_string, exact_globs(tuple(paths))))
    return block("manylinuxAllowForeign", globs) if paths else []


def _linked(wheel: DescribedWheel) -> list[TreeFile]:
    return [file for file in wheel.facts.files if file.facts.kind.is_linked]

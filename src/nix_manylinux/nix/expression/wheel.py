"""What an expression for a wheel is made of: its metadata, its modules and programs, its needs."""

from __future__ import annotations

import base64
import glob
import os
import re
import zipfile
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, NamedTuple

from nix_manylinux.base.digest import sha256_of
from nix_manylinux.base.files import read_regular
from nix_manylinux.base.scratch import scratch_folder
from nix_manylinux.base.values import Value, field
from nix_manylinux.elf.facts import ElfKind
from nix_manylinux.nix.expression.extensions import Extension, unloaded_extensions, without_copies
from nix_manylinux.nix.expression.imports import without_extras
from nix_manylinux.nix.expression.joined import common_name, join_headers, join_trees
from nix_manylinux.nix.origin import DEFAULT_INDEX, Origin
from nix_manylinux.resolve.leaves import is_module
from nix_manylinux.resolve.loads import RuntimeLoad, find_runtime_loads
from nix_manylinux.resolve.python_loads import BY_PYTHON, CFFI, CTYPES
from nix_manylinux.tree.disk import Disk
from nix_manylinux.tree.python import TAGGED_MODULE, is_script, python_source
from nix_manylinux.tree.scan import scan_tree
from nix_manylinux.wheel.metadata import MAX_METADATA, normalise_name, read_headers
from nix_manylinux.wheel.name import WheelName, parse_wheel_name
from nix_manylinux.wheel.open import Wheel, open_wheel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from nix_manylinux.tree.facts import TreeFacts

#: Folders that projects put beside their package, and that nobody means to import.
_NOT_IMPORTED = frozenset(
    {"test", "tests", "testing", "doc", "docs", "example", "examples", "benchmarks", "scripts"}
)

#: The text of a license (PEP 639 has it in a folder of dist-info).
_LICENSE = re.compile(r"\.dist-info/(?:licenses/)?LICEN[CS]E[^/]*$")

#: "numpy/core/x.cpython-311-x86_64-linux-gnu.so", "x.abi3.so", "x.so": a module called "x".
_MODULE = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:\.py|(?:\.(?:cpython|pypy|abi3)[^/]*)?\.so)"
)


class WheelFile(NamedTuple):
    """A wheel as it is fetched, and the ``places`` of its files in the tree that it was put into.

    The rest is as in `DescribedWheel`.
    """

    file: str
    sri: str
    name: WheelName
    origin: Origin
    places: frozenset[str]


class DescribedWheel(Value):
    """One wheel, as far as an expression for it must know it.

    ``file`` is its file name, ``sri`` its sha256 as Nix writes it; ``headers``
    are METADATA's by lower-case name; ``modules`` what can be imported, by
    dotted names; ``programs`` what lands in ``bin``; ``entries`` the paths of programs and
    of modules: what is started or imported. ``loads`` are what may be loaded at run time; and
    ``extensions`` what importing ``modules`` does not load (`unloaded_extensions`), where that
    was looked for. ``inits`` are the outermost ``__init__.py`` in site-packages that shut other
    folders of that name out, where the same was looked for. ``license_begins`` is the first
    line of its file LICENSE. ``origin`` is where the file is from.
    ``beside`` are others that are one package with it: all but the first three is of them, too.
    """

    file: str
    sri: str
    name: WheelName
    headers: dict[str, list[str]] = field(hash=False)
    modules: tuple[str, ...]
    programs: tuple[str, ...]
    entries: frozenset[str]
    loads: tuple[RuntimeLoad, ...] = ()
    extensions: tuple[Extension, ...] = ()
    inits: tuple[str, ...] = ()
    license_begins: str = ""
    facts: TreeFacts
    origin: Origin = DEFAULT_INDEX
    beside: tuple[WheelFile, ...] = ()

    @property
    def names(self) -> tuple[WheelName, ...]:
        """What its file name says, and those of the wheels beside it."""
        return (self.name, *(each.name for each in self.beside))

    @property
    def package(self) -> str:
        """The normalised name of the package that it is, with those beside it."""
        own = normalise_name(self.header("name") or self.name.name)
        names = [own, *(normalise_name(each.name.name) for each in self.beside)]
        return common_name(names, self.modules) if self.beside else own

    @property
    def releases(self) -> list[str]:
        """NAME==VERSION of all that it is made of."""
        return [f"{normalise_name(name.name)}=={name.version}" for name in self.names]

    def opened(self) -> tuple[set[str], set[str], set[str]]:
        """Give what its own files may load at run time, what cffi opens for it, and ctypes."""
        ways = [(load.name, {how for _, how in load.sources}) for load in self.loads]
        own = {name for name, how in ways if how - BY_PYTHON}
        by_cffi, by_ctypes = ({name for name, how in ways if by in how} for by in (CFFI, CTYPES))
        return own, by_cffi, by_ctypes

    def header(self, name: str) -> str:
        """Give a header's first value, or "" where there is none (or only UNKNOWN)."""
        value = next(iter(self.headers.get(name, ())), "").strip()
        return "" if value.upper() == "UNKNOWN" else value


def describe_wheel(
    path: str,
    *,
    look_for_loads: bool = False,
    origin: Origin = DEFAULT_INDEX,
    beside: Mapping[str, Origin] | None = None,
) -> DescribedWheel:
    """Read a wheel; its ELF files are unpacked into a folder of the moment. Raises BadWheel.

    With ``look_for_loads`` its Python files are read, too, for what they load. ``beside`` are
    paths of wheels that are one package with it. Raises BadOption for those that can't be.
    """
    origins = {path: origin, **(beside or {})}

    def also(name: str) -> bool:
        wanted = is_script(name) or (look_for_loads and python_source(name))
        return wanted or _LICENSE.search(name) is not None

    with scratch_folder() as folder, ExitStack() as stack:
        wheels = [stack.enter_context(open_wheel(each)) for each in origins]
        files = [_file(wheel, origins[wheel.path]) for wheel in wheels]
        headers = [read_headers(each.texts[f"{each.dist_info}/METADATA"]) for each in wheels]
        joined = join_headers(headers, [each.name for each in files])
        unpacked = [
            wheel.unpack(os.path.join(folder, str(number)), also=also)
            for number, wheel in enumerate(wheels)
        ]
        labels = {place: label for each in unpacked for place, label in each.labels.items()}
        facts = scan_tree(join_trees([each.root for each in unpacked]), labels=labels)
        importable = _importable(facts)
        entries = frozenset(
            file.path
            for file in facts.files
            if file.facts.kind is ElfKind.PROGRAM or not importable.isdisjoint(file.names)
        )
        site = wheels[0].location("")
        every = frozenset[str]().union(*(each.places for each in files))
        libraries = {name for file in facts.files for name in file.names} - importable
        places = every - libraries
        modules = without_extras(
            _modules({path[len(site) :] for path in places if path.startswith(site)}),
            [os.path.join(facts.root, each) for each in facts.site_packages],
            joined.get("requires-dist", ()),
        )
        first, *others = files
        return DescribedWheel(
            file=first.file,
            sri=first.sri,
            name=first.name,
            headers=joined,
            modules=modules,
            programs=_programs(wheels, every),
            entries=entries,
            loads=find_runtime_loads(facts, labels).loads,
            extensions=unloaded_extensions(facts, entries, modules) if look_for_loads else (),
            inits=_inits(facts, modules),
            license_begins=_license_begins(facts.root),
            facts=facts,
            origin=origin,
            beside=tuple(others),
        )


def _license_begins(root: str) -> str:
    for path in sorted(glob.glob(f"{glob.escape(root)}/**/*.dist-info/**/*", recursive=True)):
        if _LICENSE.search(path) and (read := read_regular(path, 1 << 20)):
            lines = read[0].decode("utf-8", "replace").splitlines()
            return next((line.strip() for line in lines if re.search(r"[^\W_]", line)), "")
    return ""


def _file(wheel: Wheel, origin: Origin) -> WheelFile:
    return WheelFile(
        file=wheel.file_name,
        sri=f"sha256-{base64.b64encode(sha256_of(wheel.path)).decode('ascii')}",
        name=parse_wheel_name(wheel.file_name),
        origin=origin,
        places=frozenset(wheel.location(e.name) for e in wheel.members if not e.is_folder),
    )


def _inits(facts: TreeFacts, modules: Iterable[str]) -> tuple[str, ...]:
    """Give the modules' files of that name that were unpacked, by their paths in site-packages."""
    found = []
    for path in (f"{module.replace('.', '/')}/__init__.py" for module in modules):
        for site in facts.site_packages:
            try:
                with open(os.path.join(facts.root, site, path), "rb") as file:
                    shuts = re.search(rb"extend_path|declare_namespace", file.read()) is None
            except OSError:
                continue
            found += [path] if shuts else []
    return tuple(found)


def _importable(facts: TreeFacts) -> set[str]:
    """Give the names of extension modules, while the tree is there."""
    disk = Disk()
    return {
        name
        for file in facts.files
        for name in file.names
        if is_module(name, disk, f"{facts.root}/{file.path}")
    }


def _modules(paths: Collection[str]) -> tuple[str, ...]:
    """List the packages and modules worth importing; namespace packages are gone into.

    ``paths`` are of site-packages. Of private ones only where there are no others
    (argon2-cffi-bindings), in namespaces only extension modules: other files may lie there
    (PyQt5.sip).
    """
    found: set[str] = set()
    loose: set[str] = set()
    packages = {os.path.dirname(path) for path in paths if _name(path) == "__init__"}
    for path in paths:
        parts = path.split("/")
        if parts[0].endswith((".dist-info", ".data", ".libs")):
            continue
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in packages:
                found.add(".".join(parts[:depth]))
                break
        else:
            name = _name(path)
            if name and (len(parts) == 1 or re.fullmatch(TAGGED_MODULE, parts[-1])):
                loose.add(".".join([*parts[:-1], name]))
    found |= without_copies(loose)
    named = [name for name in found if _is_worth_importing(name)]
    return tuple(sorted([name for name in named if "._" not in f".{name}"] or named))


def _name(path: str) -> str:
    """Give the name of the module that a file is, in its folder; "" for any other file."""
    match = _MODULE.fullmatch(path.rpartition("/")[2])
    return match["name"] if match else ""


def _is_worth_importing(module: str) -> bool:
    parts = module.split(".")
    # ibm_db_tests wants a database, and nobody wants it.
    tests = parts[0] in _NOT_IMPORTED or parts[0].lower().endswith(("_test", "_tests"))
    tests = tests or parts[-1].endswith("__mypyc")
    return not tests and all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", part) for part in parts)


def _programs(wheels: Sequence[Wheel], places: Iterable[str]) -> tuple[str, ...]:
    """List the console scripts of entry_points.txt, and the files in ``.data/scripts``."""
    names = {place.removeprefix("bin/") for place in places if place.startswith("bin/")}
    for wheel in wheels:
        with zipfile.ZipFile(wheel.path) as archive, suppress(KeyError):
            with archive.open(f"{wheel.dist_info}/entry_points.txt") as file:
                text = file.read(MAX_METADATA).decode("utf-8", "replace")
            names.update(_console_scripts(text.splitlines()))
    return tuple(sorted(names))


def _console_scripts(lines: Iterable[str]) -> Iterator[str]:
    """Read the names in the section (entry points specification, "File format")."""
    section = ""
    for line in lines:
        text = line.strip()
        if text.startswith("["):
            section = text.strip("[]").strip()
        elif section == "console_scripts" and "=" in text and not text.startswith(("#", ";")):
            yield text.partition("=")[0].strip()

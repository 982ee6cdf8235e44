"""The extension modules of a wheel that importing its packages does not load, by its source."""

from __future__ import annotations

import os
import re
import sys

from nix_manylinux.base.values import Value
from nix_manylinux.nix.expression.imports import and_above, surely_imported
from nix_manylinux.tree.disk import Disk
from nix_manylinux.tree.python import python_sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from nix_manylinux.tree.facts import TreeFacts

#: "x.cpython-311-x86_64-linux-gnu.so", "x.abi3.so", "x.so".
_EXTENSION = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:\.(?:cpython|pypy|abi3)[^/]*)?\.so")

_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")

#: Words in the name of a module or a program that is for those who work on the package.
_FOR_DEVELOPERS = frozenset(
    {"test", "tests", "testing", "benchmark", "benchmarks", "example", "examples", "mypyc"}
)


class Extension(Value):
    """An extension module: its dotted name, its path in the tree, and in how many files it stands.

    ``mentions`` are Python files of the wheel that have the last part of its name as a word,
    ``wanted`` the other extension modules that have its name: those that import it.
    """

    name: str
    path: str
    mentions: int
    wanted: int = 0


def unloaded_extensions(
    facts: TreeFacts, entries: Iterable[str], modules: Sequence[str]
) -> tuple[Extension, ...]:
    """Give the extension modules of those ``modules`` whose import surely loads none of theirs.

    Those beside of all modules are given where no module loads any. ``entries`` are the paths
    of what can be imported, among others. Reads the tree that ``facts`` are of. Tests and the
    like are left out.
    """
    disk = Disk()
    named = dict(_named(facts, entries))
    paths = {
        name: named[name]
        for name in without_copies(named)
        # pycryptodome's are opened by cffi, whatever their names say.
        if disk.mentions(f"{facts.root}/{named[name]}", f"PyInit_{name.rpartition('.')[2]}")
    }
    if not paths:
        return ()
    sites = [os.path.join(facts.root, site) for site in _sites(facts)]
    files = {path: text for site in sites for path, text in python_sources(site)}
    sources = {_module(path): text for path, text in files.items()}
    packages = {_module(path) for path in files if path.endswith("/__init__.py")}
    loaded = {}
    for module in modules:
        theirs = {name for name in paths if module in _above(name, modules)}
        loaded[module] = _loaded(module, theirs, sources, packages)
    missed = [
        name
        for name in paths
        if is_for_users(name)
        # cv2.cv2 takes its package's place, and refuses another name.
        and name.split(".")[-1:] != name.split(".")[-2:-1]
        and not any(loaded[module] for module in _above(name, loaded))
        and _is_of_packages(name, packages, modules)
    ]
    if not missed:
        return ()
    words = [frozenset(_WORD.findall(text)) for text in sources.values()]
    wanted = _wanted(facts.root, paths)
    return tuple(
        Extension(
            name=name,
            path=paths[name],
            mentions=sum(name.rpartition(".")[2].encode() in each for each in words),
            wanted=wanted.get(name, 0),
        )
        for name in sorted(missed)
    )


def without_copies(modules: Iterable[str]) -> set[str]:
    """Leave out folders that are copies of Python's own modules.

    panda3d's deploy_libs are for programs that are made of it; nobody imports them from there.
    """
    folders: dict[str, set[str]] = {}
    for module in modules:
        folder, _, name = module.rpartition(".")
        folders.setdefault(folder, set()).add(name)
    for folder, names in [*folders.items()]:
        if folder and len(names) > 1 and 2 * len(names & sys.stdlib_module_names) >= len(names):
            del folders[folder]
    return {f"{folder}.{n}".lstrip(".") for folder, names in folders.items() for n in names}


def _wanted(root: str, paths: Mapping[str, str]) -> dict[str, int]:
    """Count for each module the files of others that have its dotted name."""
    tops = sorted({re.escape(name.partition(".")[0]).encode() for name in paths})
    dotted = re.compile(rb"\b(?:" + b"|".join(tops) + rb")(?:\.[A-Za-z0-9_]+)+")
    found: dict[str, int] = {}
    for own, path in paths.items():
        with open(os.path.join(root, path), "rb") as file:
            texts = {*dotted.findall(file.read())}
        names = {name for text in texts for name in and_above(text.decode("ascii"))}
        for name in names & (paths.keys() - {own}):
            found[name] = found.get(name, 0) + 1
    return found


def _above(name: str, modules: Iterable[str]) -> list[str]:
    """Give the modules that a module is of; of none, it counts to all of them."""
    found = [each for each in modules if name == each or name.startswith(f"{each}.")]
    return found or list(modules)


def _is_of_packages(name: str, packages: Collection[str], modules: Collection[str]) -> bool:
    """Whether all folders below a package are packages: others' modules go by other names."""
    return all(
        each in packages
        for each in and_above(name)[:-1]
        if any(each.startswith(f"{top}.") for top in modules)
    )


def _named(facts: TreeFacts, entries: Iterable[str]) -> Iterator[tuple[str, str]]:
    entries = {*entries}
    for file in facts.files:
        for name in file.names if file.path in entries else ():
            for site in _sites(facts):
                inner = name.removeprefix(f"{site}/")
                match = _EXTENSION.fullmatch(inner.rpartition("/")[2])
                if inner != name and match:
                    folder = inner.rpartition("/")[0]
                    module = _module(f"{folder}/{match['name']}.py".lstrip("/"))
                    if all(part.isidentifier() for part in module.split(".")):
                        yield module, file.path


def _sites(facts: TreeFacts) -> list[str]:
    """Give site-packages, without those inside of it: no .pth counts where a build imports."""
    every = facts.site_packages
    return [site for site in every if not any(site.startswith(f"{other}/") for other in every)]


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def is_for_users(name: str) -> bool:
    """Whether a module or a program is for more than the work on its package, by its name."""
    return _FOR_DEVELOPERS.isdisjoint(re.split(r"[._-]", name.lower()))


def _loaded(
    module: str,
    extensions: Collection[str],
    sources: Mapping[str, bytes],
    packages: Iterable[str],
) -> str:
    """Name an extension that importing a module surely loads; "" where none is found."""
    queue = [module]
    seen: set[str] = set()
    while queue:
        name = queue.pop(0)
        if name in seen:
            continue
        seen.add(name)
        if name in extensions:
            return name
        text = sources.get(name, b"")
        package = name if name in packages else name.rpartition(".")[0]
        for found in surely_imported(text, package):
            queue += and_above(found)
    return ""

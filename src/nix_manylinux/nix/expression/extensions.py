"""The extension modules of a wheel that importing its packages does not load, by its source."""

from __future__ import annotations

import ast
import os
import re
import sys

from nix_manylinux.base.values import Value
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

#: What catches a module that isn't there.
_CATCHING = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})

#: What asks whether code is for type checkers, or for another system.
_NOT_HERE = re.compile(r"TYPE_CHECKING|platform|os\.name|version_info")


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
        names = {name for text in texts for name in _and_above(text.decode("ascii"))}
        for name in names & (paths.keys() - {own}):
            found[name] = found.get(name, 0) + 1
    return found


def _and_above(name: str) -> list[str]:
    """Give a dotted name, and the packages that it is in."""
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _above(name: str, modules: Iterable[str]) -> list[str]:
    """Give the modules that a module is of; of none, it counts to all of them."""
    found = [each for each in modules if name == each or name.startswith(f"{each}.")]
    return found or list(modules)


def _is_of_packages(name: str, packages: Collection[str], modules: Collection[str]) -> bool:
    """Whether all folders below a package are packages: others' modules go by other names."""
    return all(
        each in packages
        for each in _and_above(name)[:-1]
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
        for found in _imports(text, package):
            queue += _and_above(found)
    return ""


def _imports(text: bytes, package: str) -> Iterator[str]:
    """Name what importing a module surely imports; a name in a package may be a module or not."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    queue: list[ast.stmt] = list(tree.body)
    while queue:
        each = queue.pop(0)
        if isinstance(each, ast.Import):
            yield from (alias.name for alias in each.names)
        elif isinstance(each, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - each.level + 1] if each.level else []
            base = ".".join([*above, *filter(None, [each.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in each.names)
        elif isinstance(each, ast.If):
            queue += [] if _NOT_HERE.search(ast.unparse(each.test)) else each.body
            queue += each.orelse
        elif isinstance(each, ast.Try):
            queue += [] if any(map(_is_forgiving, each.handlers)) else each.body + each.orelse
            queue += each.finalbody
        elif isinstance(each, ast.ClassDef):
            queue += each.body


def _is_forgiving(handler: ast.ExceptHandler) -> bool:
    """Whether a handler goes on where a module can't be imported."""
    names = set(_WORD.findall(ast.unparse(handler.type).encode())) if handler.type else set()
    catching = not handler.type or any(name.encode() in names for name in _CATCHING)
    return catching and not any(isinstance(each, ast.Raise) for each in handler.body)

"""What importing a Python module surely imports, by its source."""

from __future__ import annotations

import ast
import os
import re

from nix_manylinux.tree.python import read_source
from nix_manylinux.wheel.metadata import normalise_name, required_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

#: What catches a module that isn't there.
_CATCHING = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})

#: What asks whether code is for type checkers, or for another system.
_NOT_HERE = re.compile(r"TYPE_CHECKING|platform|os\.name|version_info")


def without_extras(
    modules: Sequence[str], sites: Collection[str], requires: Sequence[str]
) -> tuple[str, ...]:
    """Leave out modules whose import surely wants what only an extra brings, or pytest.

    ``sites`` are folders that have the modules' sources, ``requires`` the values of
    Requires-Dist. Of modules that all do, or one alone, all stay: duckdb stays without
    adbc_driver_duckdb, which wants adbc_driver_manager.
    """
    always = {*required_names([text for text in requires if "extra" not in text.partition(";")[2]])}
    extras = {*required_names([*requires]), "pytest"} - always
    rest = tuple(name for name in modules if not _wants(name, sites, extras))
    return rest or tuple(modules)


def _wants(module: str, sites: Collection[str], names: Collection[str]) -> bool:
    """Whether importing a module surely imports one of a wheel of these normalised names."""
    queue, seen = [module], {module}
    while queue:
        name = queue.pop()
        if normalise_name(name.partition(".")[0]) in names:
            return True
        text, package = _source(name, sites)
        found = {each for one in surely_imported(text, package) for each in and_above(one)}
        queue += found - seen
        seen |= found
    return False


def _source(module: str, sites: Collection[str]) -> tuple[bytes, str]:
    """Read a module's source, b"" for none, and name the package that it is, or is in."""
    inner = module.replace(".", "/")
    for site in sites:
        if text := read_source(os.path.join(site, inner, "__init__.py")):
            return text, module
        if text := read_source(os.path.join(site, f"{inner}.py")):
            return text, module.rpartition(".")[0]
    return b"", ""


def and_above(name: str) -> list[str]:
    """Give a dotted name, and the packages that it is in."""
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def surely_imported(text: bytes, package: str) -> Iterator[str]:
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
    names = re.findall(r"\w+", ast.unparse(handler.type)) if handler.type else ()
    catching = not handler.type or not _CATCHING.isdisjoint(names)
    return catching and not any(isinstance(each, ast.Raise) for each in handler.body)

"""What Python files ask ctypes and cffi to load, by the literals in them; nothing is run.

Three kinds of literals tell: those that a loading function is called with, directly or
by a variable of the same file; those that a function is called with whose name speaks of
loading libraries (PyOpenGL's loadLibrary, weasyprint's _dlopen); and whole sonames that
stand anywhere in a file that loads something. What only looks like a name counts where
some system has such a library.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: Calls whose first argument, or keyword "name", is a library.
_LOADERS = frozenset({"CDLL", "PyDLL", "LoadLibrary", "dlopen", "find_library", "load_library"})
#: One of these is in every Python file that can be of interest.
HINTS = (b"DLL(", b"CDLL", b"PyDLL", b"Library(", b"dlopen", b"find_library", b"library(")
#: The name of a function that hands on what it is called with to one of the loaders.
_WRAPPER = re.compile(
    r"_*(?:find|load|open|locate)\w*lib(?:rary|raries|s)?|_*dlopen\w*|\w*DLL", re.IGNORECASE
)
_SONAME = re.compile(r"lib[\w.+-]+\.so(?:\.[\w.]+)?")

#: How a library is loaded: by ctypes, and by cffi, whose module has a search path of its own.
CTYPES, CFFI = "Python", "Python, by cffi"
BY_PYTHON = frozenset({CTYPES, CFFI})

#: Folders and modules of these names are for other systems than ours (pyglet, PyOpenGL).
_ELSEWHERE = frozenset({"cygwin", "darwin", "mac", "macos", "osx", "win", "win32", "windows"})
#: Those that are part of a longer name, too (ipykernel/_eventloop_macos.py).
_WORDS = _ELSEWHERE - {"mac", "win", "windows"}
#: Frameworks of macOS, and what is asked for beside them (urllib3's securetransport).
_FRAMEWORKS = frozenset(
    {"AppKit", "ApplicationServices", "Carbon", "Cocoa", "CoreFoundation", "CoreGraphics"}
    | {"CoreServices", "CoreText", "Foundation", "IOKit", "Security", "SystemConfiguration", "objc"}
)


def is_for_others(path: str) -> bool:
    """Whether a Python file is for another system than Linux, by its place."""
    parts = path.removesuffix(".py").lower().split("/")
    words = {word for part in parts for word in part.split("_")}
    whole = {part.strip("_") for part in parts}
    return not (_ELSEWHERE.isdisjoint(whole) and _WORDS.isdisjoint(words))


def loads_in_python(
    source: bytes, is_known: Callable[[str], bool]
) -> tuple[tuple[str, str], ...] | None:
    """Return the libraries that ``source`` loads, each with how; None where it can't be parsed.

    For ``find_library("GL")`` it is the name without a version: "libGL.so". ``is_known`` says
    whether any system has a library of a name, with or without a version.
    """
    if not any(hint in source for hint in HINTS):
        return ()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    nodes = [*ast.walk(tree)]
    aliases, variables = _aliases(nodes), _variables(nodes)
    calls = [(_called(node, aliases), node) for node in nodes if isinstance(node, ast.Call)]
    found: set[tuple[str, str]] = set()
    for name, call in calls:
        if name in _LOADERS:
            found |= _loaded(name, call, variables, is_known)
        elif _WRAPPER.fullmatch(name):
            texts = (text for argument in call.args for text in _texts(argument))
            found |= _likely(texts, CTYPES, is_known)
    called = {name for name, _ in calls}
    if not called.isdisjoint(_LOADERS):
        sonames = (text for node in nodes if _SONAME.fullmatch(text := _text(node)))
        found |= _likely(sonames, CFFI if "dlopen" in called else CTYPES, is_known)
    frameworks = {(f"lib{name}.so", CTYPES) for name in _FRAMEWORKS}
    return tuple(sorted(_best(found - frameworks)))


def _loaded(
    function: str,
    call: ast.Call,
    variables: Mapping[str, Iterable[str]],
    is_known: Callable[[str], bool],
) -> set[tuple[str, str]]:
    """Give what a call of a loading function names."""
    how = CFFI if function == "dlopen" else CTYPES
    first = call.args[:1] or [word.value for word in call.keywords if word.arg == "name"]
    given = next(iter(first), None)
    if isinstance(given, ast.Name):
        return _likely(variables.get(given.id, ()), how, is_known)
    text = _text(given)
    if not _is_plain(text) or (function != "find_library" and ".so" not in text):
        return _likely([text], how, is_known)
    return {(f"lib{text}.so" if function == "find_library" else text, how)}


def _best(found: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Give one way for each name, and no name without a version where there is one with it."""
    for name, how in found:
        versioned = any(other.startswith(f"{name}.") for other, _ in found)
        if not versioned and not (how == CTYPES and (name, CFFI) in found):
            yield name, how


def _likely(
    texts: Iterable[str], how: str, is_known: Callable[[str], bool]
) -> set[tuple[str, str]]:
    """Give the libraries that texts may mean: by a soname, or a name as find_library takes it.

    That one cffi asks, too, for what is no file's name.
    """
    plain = filter(_is_plain, texts)
    names = ((t, how) if _SONAME.fullmatch(t) else (f"lib{t}.so", CTYPES) for t in plain)
    return {(name, by) for name, by in names if is_known(name)}


def _is_plain(text: str) -> bool:
    return bool(text) and text.isprintable() and "/" not in text


def _called(call: ast.Call, aliases: Mapping[str, str]) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    name = getattr(function, "id", "")
    return aliases.get(name, name)


def _text(node: ast.AST | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ""


def _texts(node: ast.AST) -> list[str]:
    """Give the literal that an expression is, or those of a list or a tuple."""
    items = node.elts if isinstance(node, ast.List | ast.Tuple | ast.Set) else [node]
    return [text for item in items if (text := _text(item))]


def _aliases(nodes: list[ast.AST]) -> dict[str, str]:
    """Give what loading functions are called here: `find_library as _find_library`."""
    return {
        each.asname: each.name
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for each in node.names
        if each.asname and each.name in _LOADERS
    }


def _variables(nodes: list[ast.AST]) -> dict[str, list[str]]:
    """Give the literals that variables are set to, and those of lists that they run through."""
    found: dict[str, list[str]] = defaultdict(list)
    loops: list[tuple[str, ast.AST]] = []
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found[target.id] += _texts(node.value)
        elif isinstance(node, ast.For | ast.comprehension) and isinstance(node.target, ast.Name):
            loops.append((node.target.id, node.iter))
    for name, iterated in loops:
        found[name] += found[iterated.id] if isinstance(iterated, ast.Name) else _texts(iterated)
    return found

"""The house's plan: what each wing may import, and that nothing goes round in a circle.

docs/house.md shows the wings, and follows a call through them.
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

import pytest
from tests.support.house import HOUSE, PLACE, SOURCE, WINGS, current, line_of

if TYPE_CHECKING:
    from pathlib import Path

#: Not rooms: the names of the package, and what is run in other interpreters.
OUTSIDE = {
    *("", "__main__"),
    *(f"compat.{name}" for name in ("_manylinux", "compile_modules", "venv_sitecustomize")),
}


def modules() -> dict[str, Path]:
    """All modules by their name below the package; a wing's ``__init__`` has the wing's name."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        found[name.removesuffix("__init__").removesuffix(".")] = path
    return found


MODULES = modules()
ROOMS = sorted(set(MODULES) - OUTSIDE)


def imports(name: str) -> set[str]:
    """Modules of ours that one imports, wherever in it; those that only types need count too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nix_manylinux"):
            base = (node.module or "").removeprefix("nix_manylinux").lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                found.add(inner if inner in MODULES else base)
    return found - {""}


def wing_of(name: str) -> str:
    """Give the innermost wing that a module is a room of."""
    while name not in WINGS:
        name = name.rpartition(".")[0]
    return name


def allowed(wing: str) -> set[str]:
    """All wings that the rooms of one may import from."""
    return {wing, *WINGS[wing].split()}


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_what_its_wing_may(name: str) -> None:
    """No import goes where the table doesn't let it, at run time or for types."""
    others = {other: wing_of(other) for other in imports(name)}
    assert {o: w for o, w in others.items() if w not in allowed(wing_of(name))} == {}


def test_the_wings_stand_on_each_other() -> None:
    """The table itself has no circle and names only wings that there are."""
    graph = {wing: allowed(wing) - {wing} for wing in WINGS}
    assert set().union(*graph.values()) <= set(WINGS)
    assert list(TopologicalSorter(graph).static_order())
    single = {wing for wing in WINGS if not (SOURCE / wing.replace(".", "/")).is_dir()}
    assert single == {"api", "install"}


def test_no_circle() -> None:
    """Imports never go round in a circle, not even those that only types need."""
    try:
        TopologicalSorter({name: imports(name) - {name} for name in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_has_one_subject(name: str) -> None:
    """A module says in its first line what it is about, and ends before line 400."""
    text = MODULES[name].read_text()
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) < 400


def test_no_two_classes_have_one_name() -> None:
    """Who reads a class's name knows which one it is; private ones count as well."""
    names: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                names.setdefault(node.name, []).append(module)
    assert {name: homes for name, homes in names.items() if len(homes) > 1} == {}


def test_no_two_functions_have_one_name() -> None:
    """Who searches for a name finds its one meaning; `main` is what each program begins with."""
    names: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name[0] != "_":
                names.setdefault(node.name, []).append(module)
    assert {name for name, homes in names.items() if len(homes) > 1} <= {"main"}


def test_the_document_shows_the_house() -> None:
    """docs/house.md is of this source; `python -m tests.support.house` writes it anew."""
    text = HOUSE.read_text()
    assert text == current(text)
    places = list(PLACE.finditer(text))
    assert len(places) > 15
    assert [m[0] for m in places if not line_of(m["path"], m["text"])] == []

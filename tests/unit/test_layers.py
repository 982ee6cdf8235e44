"""The house's order: a module imports only from those before it."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "nix_manylinux"

#: From the ground up. A new module takes its place here.
ORDER = """
values errors signals elf.facts model modes progress parallel data
elf.format elf.image elf.versions elf.read elf.strings
elf.draft elf.tables elf.object elf.bss elf.sound elf.stringtable elf.goal elf.pieces elf.survey
elf.meaning elf.check elf.layout elf.build
elf.patchelf elf.edit elf.loader
policy tags verdict libc interpreter target
files record record_update metadata
archive_format archive_end archive_names archive archive_write archive_fill
wheel_checks wheel_write wheel
tree index treeindex patterns problems planned
candidates searchpath runtime simulation resolve check
inuse editor replacement undo_log journal apply verify references
nixtext nixpkgs paste report runtime_loads inspection
graph_model graph_fold graph_build graph_layout graph_svg graph_text graph_html graph
described licenses dependencies outside expr download
api arguments console views commands cli manual
""".split()  # noqa: SIM905 - a list of a hundred quotes is no easier to keep


def imports(path: Path) -> set[str]:
    """Modules of ours that a file imports at run time, wherever in it."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nix_manylinux"):
            base = (node.module or "").removeprefix("nix_manylinux").lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                found.add(inner if inner in ORDER else base)
    return found - {""}


def modules() -> dict[str, Path]:
    """All modules by their name below the package."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def test_every_module_has_its_place() -> None:
    """The order names every module, and none that isn't there."""
    outside = {"__init__", "__main__", "elf", "compat._manylinux"}
    assert set(modules()) - outside == set(ORDER)
    assert len(ORDER) == len(set(ORDER))


def test_modules_import_only_from_below() -> None:
    """No import goes up, at the top of a file or inside a function."""
    places = {name: place for place, name in enumerate(ORDER)}
    upward = [
        f"{name} imports {other}"
        for name, path in modules().items()
        if name in places
        for other in imports(path)
        if places.get(other, -1) >= places[name]
    ]
    assert upward == []


def test_modules_stay_rooms() -> None:
    """A module that passes 360 lines has to be split; 300 is where it begins to ask."""
    assert [n for n, p in modules().items() if len(p.read_text().splitlines()) > 360] == []

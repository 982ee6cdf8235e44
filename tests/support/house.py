"""What docs/house.md shows of the source, kept true: the wings, and places by file and line.

    python -m tests.support.house

writes both parts of the document anew.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "nix_manylinux"
HOUSE = ROOT / "docs" / "house.md"

#: Each wing and those that it may import, besides itself; from the ground up.
WINGS = {
    "base": "",
    "data": "base",
    "elf": "base",
    "elf.draft": "base elf",
    "elf.proof": "base elf elf.draft",
    "elf.edit": "base elf elf.draft elf.proof",
    "wheel.archive": "base",
    "wheel": "base wheel.archive",
    "target": "base data elf wheel",
    "tree": "base elf wheel",
    "resolve": "base data elf wheel target tree",
    "write": "base elf elf.edit wheel tree resolve",
    "nix": "base data elf wheel target tree resolve",
    "nix.expression": "base data elf wheel target tree resolve nix",
    "lock": "base data target nix nix.expression wheel",
    "report": "base data elf wheel target tree resolve nix",
    "repair": "base elf elf.edit wheel target tree resolve report",
    "report.picture": "base data elf wheel target tree resolve nix report",
    "api": "base data elf wheel target tree resolve write nix report",
    "install": "base data elf wheel target tree resolve write nix report api",
    "cli": "base data elf target tree resolve lock nix nix.expression report report.picture"
    " api install repair",
}

#: A place in the document: path and line, then the text that stands in that line.
PLACE = re.compile(r"`(?P<path>[\w./-]+):(?P<line>\d+)` `(?P<text>[^`]+)`")

_BEGIN, _END = "<!-- wings: python -m tests.support.house -->\n", "<!-- end of wings -->\n"


def answer(wing: str) -> str:
    """Give the first line of a wing's docstring: the question that it answers."""
    folder = SOURCE / wing.replace(".", "/")
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, path
    return docstring.splitlines()[0]


def picture() -> str:
    """Draw the wings, the ones that stand on nothing at the bottom."""
    rows = ["| wing | what it answers | may import |", "|---|---|---|"]
    for wing in reversed(WINGS):
        name = f"`{wing}`" if wing in {"api", "install"} else f"`{wing.replace('.', '/')}/`"
        rows.append(f"| {name} | {answer(wing)} | {WINGS[wing].replace('.', '/') or 'nothing'} |")
    return "\n".join(rows) + "\n"


def line_of(path: str, text: str) -> int:
    """Give the number of the first line of a file that holds a text, 0 for none."""
    lines = (ROOT / path).read_text().splitlines()
    return next((number for number, line in enumerate(lines, 1) if text in line), 0)


def current(document: str) -> str:
    """Give the document as it has to be: the table of wings, and every line number, anew."""
    head, _, rest = document.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    document = f"{head}{_BEGIN}\n{picture()}\n{_END}{tail}"
    return PLACE.sub(
        lambda m: f"`{m['path']}:{line_of(m['path'], m['text'])}` `{m['text']}`", document
    )


if __name__ == "__main__":
    HOUSE.write_text(current(HOUSE.read_text()))

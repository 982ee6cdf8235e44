"""The commands that the documents show, each of which some test runs or `EXCUSED` excuses.

A test takes its commands from a document with `take`, at the beginning of its module, and
runs what it was given: a command that has changed is run as it is now, one that is gone
fails there, and one that nobody has taken fails in `tests/unit/test_documents.py`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    if path.name != "CHANGELOG.md"
)

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(?:^|\s+)#(?: .*)?$")


class Command(NamedTuple):
    """One command of a document, without comments; it may have several lines."""

    document: str
    text: str


#: Commands that no test runs as they stand, and why.
EXCUSED = {
    Command("README.md", "./dev demo"): "tests/integration/test_demo.py runs what it starts",
    Command("README.md", "./dev test"): "is what runs the tests",
    Command("CONTRIBUTING.md", "./dev setup"): "the tests run in what it makes",
    Command("CONTRIBUTING.md", ". .venv/bin/activate"): "the tests run in what it makes",
    Command("CONTRIBUTING.md", "pytest tests/unit"): "a part of the tests",
    Command("CONTRIBUTING.md", "pytest tests/integration -k patch"): "a part of the tests",
    Command("CONTRIBUTING.md", "pytest -m nix"): "a part of the tests",
    Command(
        "CONTRIBUTING.md", "pytest $(grep -rlw read_lock tests --include='test_*.py')"
    ): "a part of the tests",
}

#: What some test has taken.
taken: set[Command] = set()


def blocks(document: str, language: str) -> list[str]:
    """Give the blocks of one language in a document, in their order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [body for name, body in _BLOCK.findall(text) if name == language]


def commands(document: str) -> list[Command]:
    r"""Give the commands in a document's blocks of shell, one for each that a reader types.

    A line that ends in ``\``, or inside of quotes, goes on in the next one.
    """
    found = []
    for block in blocks(document, "sh"):
        text = ""
        for line in block.splitlines():
            text += _COMMENT.sub("", line)
            if text.endswith("\\") or text.count("'") % 2 or text.count('"') % 2:
                text += "\n"
            elif text.strip():
                found.append(Command(document, text.strip()))
                text = ""
        if text.strip():
            raise ValueError(f"{document}: a command has no end: {text}")
    return found


def take(document: str, *starts: str) -> list[str]:
    """Give the commands that begin with these words, one for each, and note that they are run.

    One that is given whole is that one, whatever else begins so. Raises LookupError where a
    document has none, or several.
    """
    every = commands(document)
    found: list[Command] = []
    for start in starts:
        fitting = {command for command in every if command.text == start}
        fitting = fitting or {each for each in every if each.text.startswith(start)}
        if len(fitting) != 1:
            raise LookupError(f"{len(fitting)} commands of {document} begin with {start!r}")
        found += fitting
    taken.update(found)
    return [command.text for command in found]

"""The documents: links lead somewhere, none is too long, and all are in the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.wheels import terminal

ROOT = Path(__file__).parents[2]
FILES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")]
)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")

#: Tables of what was measured; nobody reads them from end to end.
TABLES = {"wheels.md", "CHANGELOG.md"}


def anchors(path: Path) -> set[str]:
    """Name the headings of a document as links to them do."""
    headings = re.findall(r"^#+ (.*)$", _without_code(path), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def _without_code(path: Path) -> str:
    return re.sub(
        r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link names a file that is there, and a heading of it."""
    for name, anchor in LINK.findall(_without_code(path)):
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), name
        if anchor:
            assert anchor in anchors(target), f"{name}#{anchor}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_none_is_too_long(path: Path) -> None:
    """Under 300 lines, but for tables."""
    if path.name not in TABLES:
        assert len(path.read_text(encoding="utf-8").splitlines()) < 300


def test_all_are_in_the_index() -> None:
    """docs/README.md leads to every document."""
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in ROOT.glob("docs/*.md") if f"({path.name})" not in index] == [
        "README.md"
    ]


def test_the_picture_is_of_what_is_printed() -> None:
    """docs/terminal.svg is drawn from the recorded output: python -m tests.wheels.terminal."""
    output = terminal.OUTPUT.read_text(encoding="utf-8")
    assert terminal.PICTURE.read_text(encoding="utf-8") == terminal.draw(output)

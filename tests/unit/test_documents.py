"""The documents: links lead somewhere, none is too long, and all are in the index."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from tests.support import guides
from tests.support.guides import DOCUMENTS, EXCUSED, blocks, commands, taken
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


def test_what_the_readme_has_one_type_stands_in_the_guides() -> None:
    """Each command of its table is the beginning of one in the guide of its row, which is run."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition("| you have |")[2].partition("\n\n")[0]
    rows = [line.split("|") for line in table.splitlines() if "](docs/" in line]
    assert len(rows) > 5
    for _, _, typed, guide, _ in rows:
        document = re.findall(r"\((docs/[^)#]*)", guide)[0]
        known = [re.sub(r" --python-version \S+", "", each.text) for each in commands(document)]
        for text in re.findall(r"`(nix[- ][^`]*)`", typed):
            for command in text.split(" && "):
                assert any(each.startswith(command) for each in known), (document, command)


def test_all_are_in_the_index() -> None:
    """docs/README.md leads to every document."""
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in ROOT.glob("docs/*.md") if f"({path.name})" not in index] == [
        "README.md"
    ]


def test_every_command_is_run() -> None:
    """Each command in a block of shell is taken by a test of these modules, or is excused."""
    importlib.import_module("tests.nix.test_guides")
    importlib.import_module("tests.nix.test_in_nixpkgs")
    importlib.import_module("tests.nix.test_lock_guide")
    importlib.import_module("tests.nix.test_new_to_nix")
    importlib.import_module("tests.nix.test_publish")
    shown = {command for document in DOCUMENTS for command in commands(document)}
    assert shown - taken - set(EXCUSED) == set()
    assert set(EXCUSED) - shown == set()
    # What looks like a command stands in such a block, where it is found.
    for document in DOCUMENTS:
        for body in blocks(document, ""):
            assert not body.startswith(("nix", "uv ", "pip ", "python", "$ ")), document


def test_commands_are_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Comments go, lines that go on are one command, and one that has no end is an error."""
    monkeypatch.setattr(guides, "ROOT", tmp_path)
    (tmp_path / "a.md").write_text(
        "```sh\n# all of it\none a#b  # why\ntwo \\\n  x\nthree 'y\n z'\n```\n"
        "```\nno command\n```\n"
    )
    assert [command.text for command in commands("a.md")] == [
        *("one a#b", "two \\\n  x", "three 'y\n z'"),
    ]
    assert guides.take("a.md", "one") == ["one a#b"]
    guides.taken.discard(guides.Command("a.md", "one a#b"))
    with pytest.raises(LookupError):
        guides.take("a.md", "four")
    (tmp_path / "a.md").write_text("```sh\none 'x\n```\n")
    with pytest.raises(ValueError, match="has no end"):
        commands("a.md")


def test_the_picture_is_of_what_is_printed() -> None:
    """docs/terminal.svg is drawn from the recorded output: python -m tests.wheels.terminal."""
    output = terminal.OUTPUT.read_text(encoding="utf-8")
    assert terminal.PICTURE.read_text(encoding="utf-8") == terminal.draw(output)

"""The manual page and the completions say what the parser says."""

from __future__ import annotations

import argparse
import subprocess

import pytest
from tests.support.manual import PLACES, SHARE, each_command, each_option, man_page, texts

from nix_manylinux.cli.arguments import make_parser


@pytest.mark.parametrize("kind", sorted(PLACES))
def test_the_committed_files_are_fresh(kind: str) -> None:
    """`python -m tests.support.manual` has been run since the parser changed."""
    assert (SHARE / PLACES[kind]).read_text() == texts()[kind]


def test_every_option_is_in_each() -> None:
    """No text leaves out an option that patch takes."""
    for text in texts().values():
        for option in ("append-rpath", "ignore-missing", "gc-roots", "max-size"):
            assert option in text.replace("\\-", "-")


def test_every_option_says_its_default() -> None:
    """What an option is where it isn't given stands in its help, or that it may be repeated."""
    for name, command in each_command(make_parser("1")):
        for action in each_option(command):
            if action.nargs == 0 or action.required:
                continue
            repeats = isinstance(action, argparse._AppendAction)  # noqa: SLF001
            wanted = "repeatable" if repeats else "default"
            assert wanted in (action.help or ""), (name, action.option_strings)


def test_the_document_has_every_option_of_patch() -> None:
    """docs/options.md names each, in short or long."""
    text = (SHARE.parent / "docs/options.md").read_text()
    (patch,) = [each for name, each in each_command(make_parser("1")) if name == "patch"]
    for action in each_option(patch):
        named = any(f"`{word}" in text for word in action.option_strings)
        assert named or "--help" in action.option_strings, action.option_strings


def test_bash_completes() -> None:
    """A real bash completes a command, an option, and what an option may be."""
    script = texts()["bash"]
    for words in ("pa", "patch --gc", "patch --missing w"):
        line = f"nix-manylinux {words}"
        script += f"COMP_WORDS=({line}) COMP_CWORD={len(line.split()) - 1}\n"
        script += "_shtab_nix_manylinux; echo ${COMPREPLY[*]}\n"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["patch", "--gc-roots", "warn"]


def test_groff_takes_the_page() -> None:
    """The page is made of macros that man knows, with no line that begins by accident."""
    page = man_page()
    known = (".TH", ".SH", ".SS", ".TP", ".B", ".I")
    assert all(line.split()[0] in known for line in page.splitlines() if line.startswith("."))
    assert not any(line.startswith("'") for line in page.splitlines())

"""Words for people: numbers with their nouns, lines that fit, lists that end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nix_manylinux.base.words import count, listed, on_several_lines, some, wrap

WORDS = st.lists(st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1))


@given(WORDS, st.integers(10, 60), st.integers(0, 6), st.integers(0, 6))
def test_lines_fit_and_lose_nothing(words: list[str], width: int, first: int, rest: int) -> None:
    """Only a word that is too long by itself goes beyond; the words are all there, in order."""
    lines = wrap(" ".join(words), width, first="#" * first, rest="-" * rest)
    starts = ["#" * first] + ["-" * rest] * (len(lines) - 1)
    texts = [line[len(start) :] for line, start in zip(lines, starts, strict=True)]
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True))
    assert " ".join(texts) == " ".join(words)
    for line, text in zip(lines, texts, strict=True):
        assert len(line) <= width or " " not in text
    # No line could have taken the next line's first word as well.
    for line, following in zip(lines, texts[1:], strict=False):
        assert len(line) + 1 + len(following.split(" ")[0]) > width


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (count(1, "file"), "1 file"),
        (count(0, "file"), "0 files"),
        (count(2, "library", "libraries"), "2 libraries"),
        (some(["a", "b", "c"], 2), "a, b and 1 more"),
        (some(["a", "b"], 2), "a, b"),
        (some(["a", "b", "c"], 2, everything=True), "a, b, c"),
        (" ".join(on_several_lines(["a", "b", "c"])), "a \\ b \\ c"),
        (" ".join(on_several_lines([])), ""),
        (listed([]), ""),
        (listed(["a"]), "a"),
        (listed(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_sentences(made: str, text: str) -> None:
    """One is one, and the rest is counted."""
    assert made == text

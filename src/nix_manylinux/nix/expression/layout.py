"""How parts of an expression are laid out: bindings, comments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from nix_manylinux.nix.syntax import nix_comments, nix_list

#: Columns of a comment, two before it included.
_COMMENT = 98


def remark(text: str) -> list[str]:
    """Write a comment, of as many lines as it takes."""
    return nix_comments(text, width=_COMMENT)


def remarks(sentences: Iterable[str]) -> Iterator[str]:
    """Write comments, each sentence once and on lines of its own."""
    for sentence in dict.fromkeys(sentences):
        yield from remark(sentence)


def paragraph(lines: Iterable[str]) -> list[str]:
    """Put an empty line before some, where there are any."""
    lines = [*lines]
    return ["", *lines] if lines else []


def block(name: str, items: Iterable[str]) -> list[str]:
    """Write a binding to a list, one item a line where there are several, as nixfmt does."""
    return f"{name} = {items_list([*items])};".split("\n")


def items_list(items: Sequence[str]) -> str:
    """Write a list, one item a line where there are several."""
    return nix_list(items, width=200 if len(items) < 2 else 0)


def concatenated(name: str, parts: Sequence[str]) -> list[str]:
    """Write a binding to lists that are one behind another, on one line where they fit."""
    line = f"{name} = {' ++ '.join(parts)};"
    if "\n" not in line and len(line) < _COMMENT:
        return [line]
    return f"{name} = {f'{chr(10)}++ '.join(parts)};".split("\n")

"""Files of which one loads: what is kept of them, and how the rest is not installed."""

from __future__ import annotations

import re
from os.path import commonprefix

from nix_manylinux.base.words import on_several_lines, shell
from nix_manylinux.nix.choices import Choice, choice_text, in_place_text
from nix_manylinux.nix.expression.conditions import condition, in_brackets
from nix_manylinux.nix.expression.layout import remarks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nix_manylinux.nix.expression.names import Names
    from nix_manylinux.nix.expression.wheel import DescribedWheel

#: What Pythons and systems differ in, in the names of modules.
_TAG = re.compile(r"\.(?:cpython-|pypy)[^/]*\.so$")


def choices(
    wheels: Sequence[DescribedWheel], found: Sequence[Sequence[Choice]], names: Names
) -> Iterator[str]:
    """Say what is kept, and remove the rest: the build then proves all that is installed.

    ``found`` are the choices in each of the wheels. What some wheels alone have is removed for
    these alone.
    """
    flat = [choice for each in found for choice in each]
    if not flat:
        return
    yield from remarks(choice_text(flat, "Kept"))
    yield from names.author(in_place_text(flat))
    several = len(wheels) > 1
    having: dict[str, set[int]] = {}
    for number, each in enumerate(found):
        for choice in each:
            for path in choice.left:
                name = _TAG.sub(".*.so", path) if several else path
                having.setdefault(name, set()).add(number)
    parts: dict[tuple[int, ...], list[str]] = {}
    for path, numbers in sorted(having.items()):
        parts.setdefault(tuple(sorted(numbers)), []).append(path)
    lines: list[str] = []
    for having_them, paths in parts.items():
        when = condition(wheels, having_them)
        # A file that is gone in the next release is to be noticed, where it can't be another's.
        sure = bool(when) or len(having_them) == len(wheels)
        before = f"lib.optionalString {in_brackets(when)} " if when else ""
        lines.append(f"{'+' if lines else 'postInstall ='} {before}''")
        lines += [*_removed(paths, "rm" if sure else "rm -f"), "''"]
    lines[-1] += ";"
    yield from lines


def _removed(paths: Iterable[str], command: str) -> list[str]:
    """Write the command for files: each folder once, and in it what names have in common."""
    folders: dict[str, list[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, []).append(name)
    words = [_word(folder, names) for folder, names in folders.items()]
    if len(words) == 1:
        return [f"  {command} {words[0]}"]
    return on_several_lines([f"  {command}", *(f"    {each}" for each in words)])


def _word(folder: str, names: Sequence[str]) -> str:
    """Write files of a folder as one word of Bash, in a string of Nix's of several lines."""
    outside, site, inner = f"{folder}/".partition("/site-packages/")
    place = "$out/${python.sitePackages}/" if site else "$out/"
    word = f"{_quoted((inner if site else outside).lstrip('/'))}{braces(names)}"
    return place + word.replace("''", "'''").replace("${", "''${")


def braces(names: Sequence[str]) -> str:
    """Write names as one word of Bash: "lib{a,b}{1,2}.so"."""
    if len(names) == 1:
        return _quoted(names[0])
    start, end = commonprefix([*names]), commonprefix([name[::-1] for name in names])[::-1]  # noqa: RUF071
    # Numbers and words are not cut.
    if start != "lib":
        after = "".join(name[len(start) : len(start) + 1] for name in names)
        start = start.rstrip("0123456789") if re.search(r"[0-9]", after) else start
        start = re.sub(r"[A-Za-z]+$", "", start) if re.search(r"[A-Za-z]", after) else start
    end = end[max(0, len(end) + len(start) - min(map(len, names))) :]
    if any(re.search(r"[0-9]$", name[: len(name) - len(end)]) for name in names):
        end = end.lstrip("0123456789")
    heads: dict[str, list[str]] = {}
    for name in names:
        inner = name[len(start) : len(name) - len(end)]
        head = inner.rstrip("0123456789")
        heads.setdefault(head, []).append(inner[len(head) :])
    tails = {tuple(each) for each in heads.values()}
    if len(heads) > 1 and len(tails) == 1 and len(min(tails)) > 1:
        middle = f"{_list(map(_quoted, heads))}{_list(min(tails))}"
    else:
        middle = _list(f"{_quoted(head)}{_list(each)}" for head, each in heads.items())
    return f"{_quoted(start)}{middle}{_quoted(end)}"


def _list(items: Iterable[str]) -> str:
    items = [*items]
    return items[0] if len(items) == 1 else f"{{{','.join(items)}}}"


def _quoted(text: str) -> str:
    """Quote a part of a word, for Bash; "*" was put there by us."""
    return "*".join(shell(part) if part else "" for part in text.split("*"))

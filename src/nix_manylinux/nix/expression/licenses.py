"""A wheel's license as nixpkgs names it, where that is known for sure."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nix_manylinux.data import NixpkgsNames


_FAMILIES = (
    (r"affero (?:gnu )?(?:general public licen[cs]e|gpl)", "agpl"),
    (r"(?:lesser|library) (?:gnu )?(?:general public licen[cs]e|gpl)", "lgpl"),
    (r"general public licen[cs]e", "gpl"),
)
_COPYLEFT = re.compile(r"\b([al]?gpl)[\s(,-]*(?:v|version)?[\s.]*([23](?:\.1)?)\b")
_OR_LATER = re.compile(r"or[\s-](?:any[\s-])?(?:later|newer)|\+")


def nixpkgs_licenses(
    expression: str, text: str, classifiers: Sequence[str], begins: str, names: NixpkgsNames
) -> tuple[str, ...]:
    """Name the licenses as attributes of lib.licenses; empty where one of them isn't known.

    ``expression`` is License-Expression (PEP 639), which counts before
    ``text``, the License field, and that before the classifiers, which may not contradict it.
    ``begins`` is the first line of the file LICENSE: its title counts where METADATA says the
    same in fewer words, or nothing.
    """
    found = _of_expression(expression, names) or _of_expression(text, names)
    if found:
        return found
    words = names.licenses.get(text.strip().lower())
    if words:
        return (words,)
    named = [
        classifier.rpartition("::")[2].strip().lower()
        for classifier in classifiers
        if classifier.startswith("License ::")
    ]
    known = [names.licenses.get(name) for name in named]
    found = tuple(dict.fromkeys(name for name in known if name)) if all(known) else ()
    doubt = re.findall(r"\w+", candidates(text))
    if doubt and found and set(found).isdisjoint(doubt):
        return ()  # as of "GPLv2-or-later", of which there is no classifier but GPLv2
    title = begins.strip().lower()
    if found or title not in names.licenses:
        return found
    said = {word.strip().lower() for word in (expression, text, *named)}
    fewer = all(word.removesuffix(" license") in title for word in said)
    return (names.licenses[title],) if fewer else ()


def candidates(text: str) -> str:
    """Say which of lib.licenses words that leave something open may mean; "" for no idea.

    Of a whole license, its first two lines: all of them have "any later version" further down.
    """
    lines = [*filter(None, map(str.strip, text.splitlines()))]
    words = " ".join(lines[:2]).lower()
    for long, short in _FAMILIES:
        words = re.sub(long, short, words)
    if match := _COPYLEFT.search(words):
        name = f"{match[1]}{match[2].replace('.', '')}"
        if _OR_LATER.search(words):
            return f"{name}Plus"
        return f'{name}Only, or {name}Plus where its files say "any later version"'
    if re.search(r"\bproprietary\b", words):
        return "unfree, or unfreeRedistributable where it may be passed on"
    if re.search(r"\bapache\b", words):
        return "asl20, where it is version 2.0"
    return "bsd2 or bsd3, by the number of its clauses" if re.search(r"\bbsd\b", words) else ""


def _of_expression(expression: str, names: NixpkgsNames) -> tuple[str, ...]:
    """Read an SPDX expression of known identifiers; exceptions (WITH) are not known."""
    terms = re.split(r"\s+(?:and|or)\s+", re.sub(r"[()]", " ", expression).strip().lower())
    known = [names.spdx.get(term.strip()) for term in terms]
    return tuple(dict.fromkeys(name for name in known if name)) if all(known) else ()

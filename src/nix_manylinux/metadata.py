"""METADATA and WHEEL: their headers, and the names and tags in them.

Read by hand: email.parser's import costs more than reading the headers of a
hundred distributions.
"""

from __future__ import annotations

import re

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")


def read_headers(data: bytes) -> dict[str, list[str]]:
    """Read the headers of METADATA or WHEEL (RFC 822 style): values by lower-case name, in order.

    Continued lines are joined; what follows the first empty line is the
    description. Lines that are no header are passed by, as installers do.
    """
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    headers: dict[str, list[str]] = {}
    last: list[str] | None = None
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line:
            break
        if line[0] in " \t":
            if last is not None:
                last[-1] = f"{last[-1]} {line.strip()}".strip()
            continue
        name, colon, value = line.partition(":")
        if colon:
            last = headers.setdefault(name.strip().lower(), [])
            last.append(value.strip())
    return headers


def normalise_name(name: str) -> str:
    """Spell a distribution's name the one way that compares (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required_names(requirements: list[str] | tuple[()]) -> tuple[str, ...]:
    """Take the normalised names out of Requires-Dist values, each once, sorted."""
    matches = (_REQUIREMENT.match(text) for text in requirements)
    return tuple(sorted({normalise_name(match[1]) for match in matches if match}))


def expand_tags(tags: list[str] | tuple[()]) -> tuple[str, ...]:
    """Spell compressed tag sets out (PEP 425): ``py2.py3-none-any`` is two tags."""
    expanded: dict[str, None] = {}
    for tag in tags:
        parts = tag.split("-")
        if len(parts) != 3:
            expanded[tag] = None
            continue
        pythons, abis, platforms = (part.split(".") for part in parts)
        for python in pythons:
            for abi in abis:
                for platform in platforms:
                    expanded[f"{python}-{abi}-{platform}"] = None
    return tuple(expanded)

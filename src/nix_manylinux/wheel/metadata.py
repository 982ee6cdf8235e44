"""METADATA and WHEEL: their headers, and the names and tags in them.

Read by hand: email.parser's import costs more than reading the headers of a
hundred distributions.
"""

from __future__ import annotations

import itertools
import re

from nix_manylinux.base.values import Value

#: Bytes of METADATA and of WHEEL. Descriptions of a megabyte exist.
MAX_METADATA = 16 * 2**20

#: Bytes that a wheel may unpack to and is still believed.
MAX_WHEEL = 64 * 2**30

#: A kilobyte could spell a thousand million of them; no wheel has a hundred.
_MAX_TAGS = 10_000
_REQUIREMENT = r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"


class Distribution(Value):
    """What a ``.dist-info`` folder says of the wheel that it came from.

    ``folder`` is relative to the tree; ``tags`` are WHEEL's Tag lines,
    expanded; ``requires`` the normalised names in Requires-Dist, each once.
    """

    folder: str
    name: str
    version: str
    tags: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


def read_headers(data: bytes) -> dict[str, list[str]]:
    """Read the headers of METADATA or WHEEL (RFC 822 style): values by lower-case name, in order.

    Continued lines are joined; what follows the first empty line is the
    description. Lines that are no header are passed by, as installers do.
    """
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    headers: dict[str, list[list[str]]] = {}
    lines: list[str] = []  # of the header at hand; those in front of the first have none
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line:
            break
        if line[0] in " \t":
            lines.append(line)
            continue
        name, colon, value = line.partition(":")
        if colon:
            lines = [value]
            headers.setdefault(name.strip().lower(), []).append(lines)
    return {
        name: [" ".join(filter(None, map(str.strip, lines))) for lines in values]
        for name, values in headers.items()
    }


def normalise_name(name: str) -> str:
    """Spell a distribution's name the one way that compares (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required_names(requirements: list[str] | tuple[()]) -> tuple[str, ...]:
    """Take the normalised names out of Requires-Dist values, each once, sorted."""
    matches = (re.match(_REQUIREMENT, text) for text in requirements)
    return tuple(sorted({normalise_name(match[1]) for match in matches if match}))


def expand_tags(tags: list[str] | tuple[()]) -> tuple[str, ...]:
    """Spell compressed tag sets out (PEP 425): ``py2.py3-none-any`` is two tags.

    What is no tag stays as it is, and so does a set that would make too many.
    """
    expanded: dict[str, None] = {}
    for tag in tags:
        parts = [part.split(".") for part in tag.split("-")]
        left = _MAX_TAGS - len(expanded)
        if len(parts) == 3 and len(parts[0]) * len(parts[1]) * len(parts[2]) <= left:
            expanded.update(dict.fromkeys(map("-".join, itertools.product(*parts))))
        else:
            expanded[tag] = None
    return tuple(expanded)

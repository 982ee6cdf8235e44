"""A wheel's license as nixpkgs names it, where that is known for sure."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: SPDX identifier, in lower case -> attribute of nixpkgs' lib.licenses (lib/licenses.nix).
_BY_SPDX = {
    "0bsd": "bsd0",
    "agpl-3.0-only": "agpl3Only",
    "agpl-3.0-or-later": "agpl3Plus",
    "apache-2.0": "asl20",
    "bsd-2-clause": "bsd2",
    "bsd-3-clause": "bsd3",
    "bsl-1.0": "boost",
    "cc0-1.0": "cc0",
    "gpl-2.0-only": "gpl2Only",
    "gpl-2.0-or-later": "gpl2Plus",
    "gpl-3.0-only": "gpl3Only",
    "gpl-3.0-or-later": "gpl3Plus",
    "hpnd": "hpnd",
    "isc": "isc",
    "lgpl-2.1-only": "lgpl21Only",
    "lgpl-2.1-or-later": "lgpl21Plus",
    "lgpl-3.0-only": "lgpl3Only",
    "lgpl-3.0-or-later": "lgpl3Plus",
    "mit": "mit",
    "mit-0": "mit0",
    "mit-cmu": "mit-cmu",
    "mpl-2.0": "mpl20",
    "psf-2.0": "psfl",
    "unlicense": "unlicense",
    "zlib": "zlib",
    "zpl-2.1": "zpl21",
}

#: How people spell the same in the License field and in classifiers.
_BY_WORDS = {
    "3-clause bsd": "bsd3",
    "3-clause bsd license": "bsd3",
    "apache 2": "asl20",
    "apache 2.0": "asl20",
    "apache 2.0 license": "asl20",
    "apache license 2.0": "asl20",
    "apache license, version 2.0": "asl20",
    "apache software license": "asl20",
    "apache-2.0 license": "asl20",
    "bsd 2-clause": "bsd2",
    "bsd 3-clause": "bsd3",
    "bsd 3-clause license": "bsd3",
    "bsd-3": "bsd3",
    "isc license (iscl)": "isc",
    "mit license": "mit",
    "mozilla public license 2.0 (mpl 2.0)": "mpl20",
    "mpl 2.0": "mpl20",
    "other/proprietary license": "unfree",
    "python software foundation license": "psfl",
    "the unlicense (unlicense)": "unlicense",
    "zope public license": "zpl21",
}


def nixpkgs_licenses(expression: str, text: str, classifiers: Sequence[str]) -> tuple[str, ...]:
    """Name the licenses as attributes of lib.licenses; empty where one of them isn't known.

    ``expression`` is License-Expression (PEP 639), which counts before
    ``text``, the License field, and that before the classifiers.
    """
    found = _of_expression(expression) or _of_expression(text)
    if found:
        return found
    words = _BY_WORDS.get(text.strip().lower())
    if words:
        return (words,)
    named = [
        classifier.rpartition("::")[2].strip().lower()
        for classifier in classifiers
        if classifier.startswith("License ::")
    ]
    known = [_BY_WORDS.get(name) for name in named]
    return tuple(dict.fromkeys(name for name in known if name)) if all(known) else ()


def _of_expression(expression: str) -> tuple[str, ...]:
    """Read an SPDX expression of known identifiers; exceptions (WITH) are not known."""
    terms = re.split(r"\s+(?:and|or)\s+", re.sub(r"[()]", " ", expression).strip().lower())
    names = [_BY_SPDX.get(term.strip()) for term in terms]
    return tuple(dict.fromkeys(name for name in names if name)) if all(names) else ()

"""Nix expressions as text: strings, attribute paths and lists that parse as what was meant."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.words import wrap

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*")

#: Words that no attribute may be called without quotes (Nix manual, "Identifiers").
_KEYWORDS = frozenset({"assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"})

#: Lower-case names that mean something else: keywords, and what is in scope everywhere
#: (Nix manual, "Built-in Constants" and "Built-in Functions"), which `with` does not hide.
NOT_AN_ARGUMENT = _KEYWORDS.union(
    ("abort", "break", "builtins", "derivation", "false", "import", "map", "null", "throw", "true")
)

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "$": "\\$"}


def nix_string(text: str) -> str:
    """Write ``text`` as a Nix string in double quotes (Nix manual, "String literal").

    Only a ``$`` that would begin an interpolation is escaped. Raises BadOption
    for a NUL, which no Nix string can hold.
    """
    if "\0" in text:
        raise BadOption(f"{text!r} holds a NUL, which a Nix string can't")
    body = re.sub(r'[\\"\n\r\t]|\$(?=\{)', lambda match: _ESCAPES[match[0]], text)
    return f'"{body}"'


def nix_comment(text: str) -> str:
    """Write a comment of one line; what can't be seen, or would end the line, is spelt out."""
    spelt = (c if c.isprintable() else repr(c)[1:-1] for c in text)
    return f"# {''.join(spelt)}"


def nix_comments(text: str, *, width: int) -> list[str]:
    """Write a comment of as many lines as it takes; see `nix_comment`."""
    return wrap(nix_comment(text), width, rest="# ")


def nix_name(name: str) -> str:
    """Write one attribute name, quoted where it is no identifier."""
    if _IDENTIFIER.fullmatch(name) and name not in _KEYWORDS:
        return name
    return nix_string(name)


def nix_path(attribute: str) -> str:
    """Write a dotted attribute path, "stdenv.cc.cc.lib", each part quoted where it must be."""
    return ".".join(nix_name(part) for part in attribute.split("."))


def nix_beside(name: str) -> str:
    """Write the path of a file, from where the expression is: literals have fewer characters."""
    begin, inner = ("/", name[1:]) if name.startswith("/") else ("./", name)
    if re.fullmatch(r"[A-Za-z0-9._+-]+(?:/[A-Za-z0-9._+-]+)*", inner):
        return f"{begin}{inner}"
    return f"{begin}. + {nix_string(f'/{inner}')}"


def python_attribute(python: str) -> str:
    """Name a Python as nixpkgs does: "3.12" is python312, "3.14t" python314FreeThreading."""
    free = "FreeThreading" if python.endswith("t") else ""
    return f"python{python.rstrip('t').replace('.', '')}{free}"


def nix_list(items: Iterable[str], *, used: int = 0, width: int = 80) -> str:
    """Write a list of expressions that are ready: on one line if it fits, else one a line.

    ``used`` are the characters that stand on that line already.
    """
    items = list(items)
    line = f"[ {' '.join(items)} ]" if items else "[ ]"
    if used + len(line) <= width:
        return line
    return "\n".join(["[", *(f"  {item}" for item in items), "]"])

"""`$ORIGIN` and its like: the tokens of search paths, expanded in one place."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nix_manylinux.elf.facts import Machine


def expand_tokens(text: str, tokens: Mapping[str, str]) -> str | None:
    """Replace ``$NAME`` and ``${NAME}``; None where a ``$`` begins no known name."""
    parts = text.split("$")
    out = [parts[0]]
    for part in parts[1:]:
        for name, value in tokens.items():
            if part.startswith("{" + name + "}"):
                out.append(value + part[len(name) + 2 :])
                break
            rest = part[len(name) :]
            if part.startswith(name) and not (rest[:1].isalnum() or rest[:1] == "_"):
                out.append(value + rest)
                break
        else:
            return None
    return "".join(out)


def origin_entries(entries: Iterable[str], path: str, machine: Machine) -> list[str]:
    """Return the directories of a file's `$ORIGIN` entries, absolute and normalised.

    An entry with ``$LIB`` or ``$PLATFORM`` stands for the spellings that a
    builder can have meant.
    """
    origin = path.rpartition("/")[0]
    found = []
    for entry in entries:
        if "$ORIGIN" not in entry and "${ORIGIN}" not in entry:
            continue
        for lib in ("lib", "lib64") if "LIB" in entry else ("",):
            tokens = {"ORIGIN": origin, "LIB": lib, "PLATFORM": machine.name}
            text = expand_tokens(entry, tokens)
            if text:
                found.append(os.path.normpath(text))
    return list(dict.fromkeys(found))


def origin_entry(folder: str, directory: str) -> str:
    """Return the `$ORIGIN` entry that leads from a file's folder to a directory.

    Both are absolute, or relative to one place.
    """
    way = os.path.relpath(directory, folder or ".")
    return "$ORIGIN" if way == "." else f"$ORIGIN/{way}"

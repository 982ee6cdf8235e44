"""The patterns that a user writes: which file, which soname, and whether it was needed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from nix_manylinux.base.errors import BadOption, UnneededIgnore
from nix_manylinux.base.values import Value, field
from nix_manylinux.base.words import listed

_WILDCARDS = "*?["


def file_matches(label: str, pattern: str) -> bool:
    """Whether a file's label, or its path below site-packages, matches ``pattern``."""
    if fnmatchcase(label, pattern):
        return True
    _, found, inside = label.partition("/site-packages/")
    return bool(found) and fnmatchcase(inside, pattern)


def exact_pattern(soname: str, labels: Sequence[str] = ()) -> str:
    """Write the ignore pattern for one soname, in no more files than those that want it.

    One file is named, several by the folder that they share, if any. Characters
    that patterns give a meaning to stand for themselves; a colon in the soname,
    which would end the file's part, for any character.
    """
    pattern = _literally(soname).replace(":", "?")
    globs = exact_globs(labels)
    return f"{globs[0]}:{pattern}" if len(globs) == 1 else pattern


def exact_globs(labels: Sequence[str]) -> list[str]:
    """Write patterns for files: one for each outermost folder, for what its files share.

    A file that is there alone is named.
    """
    groups: dict[str, list[str]] = {}
    for label in labels:
        file = _in_site_packages(label)
        groups.setdefault(file.partition("/")[0], []).append(file)
    return [
        _literally(files[0])
        if len(files) == 1
        else f"{_literally(os.path.commonpath([os.path.dirname(file) for file in files]))}/*"
        for files in groups.values()
    ]


def exact_glob(label: str) -> str:
    """Write the pattern for one file."""
    return _literally(_in_site_packages(label))


def _in_site_packages(label: str) -> str:
    return label.partition("/site-packages/")[2] or label


def _literally(text: str) -> str:
    escaped = re.sub(r"[*?\[]", lambda match: f"[{match[0]}]", text)
    # It is for people to read and to paste: what can't be seen stands for any character.
    return "".join(c if c.isprintable() else "?" for c in escaped)


class IgnorePattern(Value, frozen=False, kw_only=False):
    """One ``[FILE_GLOB:]SONAME_GLOB``, and what it has met so far.

    ``wanted`` is whether a file that it covers needs such a soname at all;
    ``used`` whether it ever kept one from being missing. A ``lenient`` one
    need not be wanted.
    """

    text: str
    file_glob: str
    soname_glob: str
    lenient: bool = False
    wanted: bool = field(default=False)
    used: bool = field(default=False)

    @classmethod
    def parse(cls, text: str, *, lenient: bool = False) -> IgnorePattern:
        """Read one pattern; `BadOption` where it would cover everything."""
        file_glob, colon, soname_glob = text.rpartition(":")
        stem = soname_glob
        for wildcard in _WILDCARDS:
            stem = stem.partition(wildcard)[0]
        if not stem.removeprefix("lib"):
            raise BadOption(
                "an ignore pattern must begin with a literal part of the soname: one that"
                " covers everything hides real breakage",
                where=text,
                hint="write the sonames out, each as --ignore-missing SONAME",
            )
        return cls(text, file_glob if colon else "*", soname_glob, lenient)

    def covers(self, label: str, soname: str) -> bool:
        """Whether this pattern is about ``soname`` in the file called ``label``."""
        return fnmatchcase(soname, self.soname_glob) and file_matches(label, self.file_glob)


class IgnoreList:
    """All ignore patterns of one run, judged over all of its trees.

    ``lenient`` ones come from where nobody checked them before
    (autoPatchelfIgnoreMissingDeps): unneeded ones are a warning.
    """

    def __init__(self, patterns: Iterable[str], lenient: Iterable[str]) -> None:
        self._patterns = [
            *(IgnorePattern.parse(text) for text in patterns),
            *(IgnorePattern.parse(text, lenient=True) for text in lenient),
        ]

    def note(self, label: str, soname: str) -> None:
        """Record that the file ``label`` needs ``soname``."""
        for pattern in self._patterns:
            if not pattern.wanted and pattern.covers(label, soname):
                pattern.wanted = True

    def ignores(self, label: str, soname: str) -> str | None:
        """Return the text of the first pattern that lets ``soname`` be missing there."""
        for pattern in self._patterns:
            if pattern.covers(label, soname):
                pattern.wanted = pattern.used = True
                return pattern.text
        return None

    def unneeded(self, excludes: Sequence[str] = ()) -> UnneededIgnore | None:
        """Give the error that names all entries which no file needs, and ``excludes``, if any."""
        entries = {
            "no file needs what this ignore entry names: ": [
                p.text for p in self._patterns if not p.wanted and not p.lenient
            ],
            "no ELF file is what this exclude entry names: ": excludes,
        }
        said = [first + ", ".join(texts) for first, texts in entries.items() if texts]
        lists = ("manylinuxIgnoreMissingDeps (--ignore-missing)", "manylinuxExclude (--exclude)")
        where = [name for name, texts in zip(lists, entries.values(), strict=True) if texts]
        hint = f"remove it from {listed(where)}, or correct its spelling"
        return UnneededIgnore("; ".join(said), hint=hint) if said else None

    def warnings(self) -> list[str]:
        """One line for each entry that could be dropped."""
        return [
            f"the ignore entry {p.text!r} can be dropped: "
            + ("everything that it covers was found" if p.wanted else "no file needs it")
            for p in self._patterns
            if not p.used
        ]


def refuse_wildcards(sonames: Iterable[str], option: str) -> None:
    """Raise `BadOption` where ``option``, a list of exact sonames, holds a pattern."""
    for soname in sonames:
        if any(c in soname for c in _WILDCARDS) or not soname or "/" in soname:
            raise BadOption(
                f"{option} takes exact sonames", where=soname, hint="write each soname out"
            )

"""Whose a library is: of the packages of nixpkgs that have it, the one that makes it."""

from __future__ import annotations

import re
from functools import cache

from nix_manylinux.data import SonameRow, read_sonames

#: name, ".so", version: both "libtbb.so.12" and "libMagick.Q16.so.10".
SONAME = re.compile(r"(?P<stem>.+?)\.so(?:\.(?P<version>.+))?")

#: Programs that come with a run-time environment, or with libraries, that others made:
#: Java's, JavaFX, Chromium's, Mozilla's, ARPACK, freeDiameter; and Android's libc.
_BRING_OTHERS = frozenset(
    {
        *("bionic", "elmerfem", "glamoroustoolkit", "jabref", "mailspring", "nix-scheduler-hook"),
        *("olvid", "open5gs", "opensoldat", "polar-bookshelf", "react-native-debugger"),
        *("supertux", "zotero"),
    }
)

#: Packages that make a library of their own under a name that others made known.
_OTHER_MAKERS = frozenset({"e2fsprogs", "glibc", "heimdal", "libressl", "mvapich", "systemdLibs"})


@cache
def rows_by_stem() -> dict[str, tuple[SonameRow, ...]]:
    """Give the rows of nixpkgs' libraries by their names without versions."""
    stems: dict[str, list[SonameRow]] = {}
    for row in read_sonames().values():
        match = SONAME.fullmatch(row.soname)
        if match and row.attr:
            stems.setdefault(match["stem"], []).append(row)
    return {stem: tuple(found) for stem, found in stems.items()}


def is_borrowed(row: SonameRow) -> bool:
    """Whether the library is some application's private copy of another package's.

    A provider is a package whose purpose is the library. Names decide that: of the
    packages that have a library, in any version, one is called like it (libgit2, not
    glamoroustoolkit), or like another of its own libraries (openssl, not mailspring); a
    name behind another one's with a dash is a copy of that one (servarr-ffmpeg). What
    only one package has is nobody's copy: libasound is alsa-lib's. musl's soname is libc.so.
    Where a maker is not in nixpkgs at all (Chromium's ffmpeg), names can't tell.
    """
    match = SONAME.fullmatch(row.soname)
    stem = match["stem"] if match else row.soname
    package = _without_version(row.attr)
    if stem == "libc" or package in _OTHER_MAKERS or _is_called_like(stem, row.attr):
        return False
    if package in _BRING_OTHERS:
        return True
    others = {each.attr for each in rows_by_stem().get(stem, ())} - {row.attr}
    makers = {each for each in others if not _is_variant(row.attr, each)}
    purposes = _purposes()
    return (
        any(_is_called_like(stem, each) for each in makers)
        or (row.attr not in purposes and any(each in purposes for each in makers))
        or any(row.attr.endswith(f"-{each}") for each in others)
    )


@cache
def _purposes() -> frozenset[str]:
    """Give the packages that are called like one of their libraries."""
    return frozenset(
        row.attr
        for stem, rows in rows_by_stem().items()
        for row in rows
        if _is_called_like(stem, row.attr)
    )


def _is_called_like(stem: str, attribute: str) -> bool:
    library, package = letters(stem), letters(_without_version(attribute))
    if len(library) < 3:  # "z" is in many a name
        return package in {library, f"{library}lib"}
    return bool(package) and (
        library in package or (len(package) > 2 and library.startswith(package))
    )


def _is_variant(attribute: str, other: str) -> bool:
    """Whether a package is another one with something behind its name: qgis-ltr is qgis."""
    base = letters(_without_version(other))
    return bool(base) and letters(_without_version(attribute)).startswith(base)


def _without_version(attribute: str) -> str:
    return re.sub(r"[-_]?[0-9]+(?:[._-][0-9]+)*$", "", attribute.rpartition(".")[2])


def letters(name: str) -> str:
    """Give what of a library's or a package's name is worth comparing."""
    return re.sub(r"[^a-z0-9+]", "", name.lower().removeprefix("lib"))

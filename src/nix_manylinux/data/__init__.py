"""Readers of the facts that lie beside this file; each file is read once, where it is asked for.

The files are read by the Nix side too, so they stay plain JSON and TSV. The
JSON files say in ``source`` and ``note`` where their facts come from.
``nixpkgs-sonames.tsv.gz`` is ranked from the nix-index database of 2026-03-29
(nix-community/nix-index-database, MIT; x86_64-linux, one nixpkgs revision), with rows by
hand for what a listing of files can't show. Names that nixpkgs' aliases.nix of 2026-07-01
says are gone are gone from it, and renamed ones have their new names. A row is changed by hand:

    gunzip nixpkgs-sonames.tsv.gz       # edit the .tsv: columns by tabs, rows sorted as bytes
    gzip -9n nixpkgs-sonames.tsv        # -n: without the time

``nixpkgs-xorg-renames.tsv`` is nixpkgs' own list of moves out of ``xorg``.
"""

from __future__ import annotations

import json
import os
from functools import cache

from nix_manylinux.base.values import Value, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Libraries(Value):
    """The classes of sonames that no package search may answer (``libraries.json``).

    ``glibc``: what glibc itself installs; ``musl_reserved``: the prefixes that
    musl's loader answers with itself (ldso/dynlink.c, load_library);
    ``driver``: what comes with the host's graphics driver, which is found in
    ``driver_directories``, by architecture or "default"; ``opens``: what a file of a name
    opens by names that it puts together, through the file ``opened_by``; ``hwcaps``: folders
    that glibc's loader searches before a directory itself, by architecture, in its order.
    """

    glibc: frozenset[str]
    musl_reserved: tuple[str, ...]
    driver: frozenset[str]
    driver_directories: dict[str, str] = field(hash=False)
    opens: dict[str, tuple[str, ...]] = field(hash=False)
    opened_by: str
    hwcaps: dict[str, tuple[str, ...]] = field(hash=False)


class SonameRow(Value):
    """One row of ``nixpkgs-sonames.tsv.gz``: who in nixpkgs provides a soname.

    ``others`` are attributes that have it too, best first. ``note`` is empty
    or "driver", "unfree", "insecure", "no provider"; ``attr`` may be empty
    with the first and the last of these.
    """

    soname: str
    attr: str
    output: str
    others: tuple[str, ...] = ()
    note: str = ""


class NixpkgsNames(Value):
    """What nixpkgs calls things (``nixpkgs-names.json``).

    ``versioned`` gives names of one version by plain names; ``wheels`` are Python packages that
    nixpkgs has from source and, as NAME-bin, from a wheel, ``built`` some that it has from source
    alone, ``hidden`` libraries that its Python set has packages called like; ``spdx`` and
    ``licenses`` give attributes of lib.licenses by identifiers and by other words; ``cuda`` is
    what cudaPackages is; ``pythons`` are the first and the last Python that have packages, and
    ``built_for`` of these for which nixpkgs builds all of them, its own one first; ``month`` is
    when all names were held against nixpkgs last, "July 2026".
    """

    versioned: dict[str, str] = field(hash=False)
    wheels: frozenset[str]
    built: frozenset[str]
    hidden: frozenset[str]
    spdx: dict[str, str] = field(hash=False)
    licenses: dict[str, str] = field(hash=False)
    cuda: str
    pythons: tuple[str, str]
    built_for: tuple[str, str]
    month: str


class Sibling(Value):
    """A wheel of a family: the sonames that it brings for the others, and on whom it builds.

    ``shares`` are files that others of them have, too, and that shut a folder of Python's: only
    as one package can they be had together.
    """

    brings: frozenset[str]
    builds_on: tuple[str, ...]
    shares: tuple[str, ...] = ()


def data_path(name: str) -> str:
    """Give the path of the data file ``name``, for those who read it themselves (a test, Nix)."""
    return os.path.join(os.path.dirname(__file__), name)


@cache
def read_libraries() -> Libraries:
    """Read ``libraries.json``."""
    raw = _read_json("libraries.json")
    return Libraries(
        glibc=frozenset(raw["glibc"]),
        musl_reserved=tuple(raw["musl_reserved"]),
        driver=frozenset(raw["driver"]),
        driver_directories=raw["driver_directories"],
        opens={file: tuple(names) for file, names in raw["opens"].items()},
        opened_by=raw["opened_by"],
        hwcaps={arch: tuple(names) for arch, names in raw["hwcaps"].items()},
    )


@cache
def read_policies() -> dict[str, Any]:
    """Read ``manylinux-policies.json`` as it stands; `target.policy` gives it types."""
    return _read_json("manylinux-policies.json")


@cache
def read_stable_abi() -> dict[str, str]:
    """Read ``stable-abi.json``: symbol -> the Python that added it to the stable ABI, "3.2"."""
    symbols = _read_json("stable-abi.json")["symbols"]
    return {name: version for version, names in symbols.items() for name in names}


@cache
def read_sonames() -> dict[str, SonameRow]:
    """Read ``nixpkgs-sonames.tsv.gz``, by soname: 12,500 rows, some 20 ms."""
    import gzip  # noqa: PLC0415 (start-up: only advice needs it)

    with gzip.open(data_path("nixpkgs-sonames.tsv.gz"), "rt", encoding="utf-8") as stream:
        next(stream)
        rows = [line.rstrip("\n").split("\t") for line in stream]
    return {
        soname: SonameRow(
            soname=soname,
            attr=attr,
            output=output,
            others=tuple(name.strip() for name in others.split(",") if name.strip()),
            note=note,
        )
        for soname, attr, output, others, note in rows
    }


@cache
def read_xorg_renames() -> dict[str, str]:
    """Read ``nixpkgs-xorg-renames.tsv``: new attribute name -> old one (``xorg.libX11``)."""
    with open(data_path("nixpkgs-xorg-renames.tsv"), encoding="utf-8") as stream:
        next(stream)
        rows = [line.rstrip("\n").split("\t") for line in stream]
    return {row[0]: row[1] for row in rows}


@cache
def read_nixpkgs_names() -> NixpkgsNames:
    """Read ``nixpkgs-names.json``."""
    raw = _read_json("nixpkgs-names.json")
    first, last = raw["pythons"]
    own, newest = raw["built_for"]
    return NixpkgsNames(
        versioned=raw["versioned"],
        wheels=frozenset(raw["wheels"]),
        built=frozenset(raw["built"]),
        hidden=frozenset(raw["hidden"]),
        spdx=raw["spdx"],
        licenses=raw["licenses"],
        cuda=raw["cuda"],
        pythons=(first, last),
        built_for=(own, newest),
        month=raw["month"],
    )


@cache
def read_families() -> tuple[dict[str, Sibling], ...]:
    """Read ``wheel-families.json``: for each family its wheels, by normalised name."""
    return tuple(
        {
            name: Sibling(
                brings=frozenset(each["brings"]),
                builds_on=tuple(each["builds_on"]),
                shares=tuple(each.get("shares", ())),
            )
            for name, each in wheels.items()
        }
        for wheels in _read_json("wheel-families.json")["families"].values()
    )


def _read_json(name: str) -> dict[str, Any]:
    with open(data_path(name), encoding="utf-8") as stream:
        value: dict[str, Any] = json.load(stream)
    return value

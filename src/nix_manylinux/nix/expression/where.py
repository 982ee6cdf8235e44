"""Where in nixpkgs the file of a package goes, under which name, and what it stands on there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nix_manylinux.base.words import shell
from nix_manylinux.nix.expression.meta import homepage_of, imported_as
from nix_manylinux.nix.syntax import nix_name
from nix_manylinux.wheel.metadata import normalise_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from nix_manylinux.nix.expression.names import Names
    from nix_manylinux.nix.expression.wheel import DescribedWheel


def where_it_goes(
    pname: str, wheel: DescribedWheel, names: Names, formats: Collection[str], *, whole: bool
) -> Iterator[str]:
    """Say where in nixpkgs the file is, and what calls it: what Python's set hides is passed on.

    ``whole`` is whether no other wheel has to be one package with this one. "wheel" among its
    ``formats`` is nixpkgs' own.
    """
    attribute = names.attribute(pname)
    if names.has_wheel(pname):
        yield (
            f"nixpkgs has {pname}-bin already, from its wheel: bump that, by the script in its"
            " folder (prefetch.sh) where it has one. Its files may be another index's, and for more"
            " systems, its hook another: of this, dependencies, optional-dependencies and the"
            " license are of use there"
        )
        return
    given = f"inherit (pkgs) {' '.join(sorted(names.inherited))}; " if names.inherited else ""
    built = names.is_built_too(pname)
    file, why = "default.nix", ""
    if built:
        attribute = f"{attribute.removesuffix('-bin')}-bin"
        file, why = "bin.nix", f", since nixpkgs builds {pname} from source already"
    line = _line(attribute, pname, file, given)
    path = f"pkgs/{_FOLDER}/{pname}/{file}"
    yield f"save it as {path}{why}, and in pkgs/top-level/python-packages.nix write:\n{line}"
    if not built:
        yield from _of_another_name(pname, wheel, names, given)
    if whole and not wheel.facts.files:
        yield "nothing of it is compiled: nixpkgs builds such a package from its source archive"
    new = "a fetchPypi for it comes"
    if {*formats} != {"wheel"}:
        new = "its format, and a fetchPypi that takes file, come"
    yield (
        f"{new} with pull requests 1, 2 and 4 of docs/nix-in-nixpkgs.md: until they are in nixpkgs,"
        " it is evaluated with this project's overlay alone"
    )


_FOLDER = "development/python-modules"


def _line(attribute: str, pname: str, file: str, given: str) -> str:
    """Write the line of python-packages.nix."""
    path = f"../{_FOLDER}/{pname}/{file}".removesuffix("/default.nix")
    return f"{nix_name(attribute)} = callPackage {path} {{ {given}}};"


def _of_another_name(pname: str, wheel: DescribedWheel, names: Names, given: str) -> Iterator[str]:
    """Say by what other name nixpkgs has, or may have, the same from source."""
    if not names.is_believed():
        yield (
            f"if nixpkgs has {pname} already, from source (look in python-packages.nix), this is"
            f" {pname}-bin, in bin.nix beside it"
        )
    if needle := re.sub(r"^https?://(?:www\.)?|/$", "", homepage_of(wheel)):
        yield (
            "its homepage tells whether nixpkgs has the same under another name:\n"
            f"git grep -lF {shell(needle)} pkgs"
        )
    for other in dict.fromkeys([pname, *map(normalise_name, imported_as(wheel))]):
        if other != pname and names.is_built_too(other):
            line = _line(f"{other}-bin", other, "bin.nix", given)
            yield (
                f"imported as {other}, which nixpkgs builds from source. If that has the same"
                f" homepage, save this as pkgs/{_FOLDER}/{other}/bin.nix, have other files of yours"
                f" take {other}-bin in place of {pname}, and write:\n{line}"
            )
        elif names.is_at_the_top(other):
            yield f"nixpkgs has pkgs.{other}: look whether that brings the Python package, too"

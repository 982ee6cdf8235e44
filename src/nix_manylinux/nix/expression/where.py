"""Where in nixpkgs the file of a package goes, under which name, and what it stands on there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nix_manylinux.nix.expression.meta import imported_as
from nix_manylinux.nix.syntax import nix_name
from nix_manylinux.wheel.metadata import normalise_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nix_manylinux.nix.expression.names import Names
    from nix_manylinux.nix.expression.wheel import DescribedWheel


def where_it_goes(pname: str, wheel: DescribedWheel, names: Names, *, whole: bool) -> Iterator[str]:
    """Say where in nixpkgs the file is, and what calls it: what Python's set hides is passed on.

    ``whole`` is whether no other wheel has to be one package with this one.
    """
    given = f"inherit (pkgs) {' '.join(sorted(names.inherited))}; " if names.inherited else ""
    folder, attribute = f"development/python-modules/{pname}", names.attribute(pname)
    built = names.is_built_too(pname)
    file = "/bin.nix" if built else ""
    if built and not attribute.endswith("-bin"):
        attribute = f"{attribute}-bin"
    if names.has_wheel(pname):
        yield (
            f"nixpkgs has {attribute} already, from its wheel: bump version and hashes there, and"
            " take of this what is new; that one may be for more systems"
        )
    else:
        path = f"pkgs/{folder}{file or '/default.nix'}"
        why = f", since nixpkgs builds {pname} from source already" if built else ""
        line = f"{nix_name(attribute)} = callPackage ../{folder}{file} {{ {given}}};"
        yield f"save it as {path}{why}, and in pkgs/top-level/python-packages.nix write:\n{line}"
        if not built:
            yield from _of_another_name(pname, wheel, names)
    if whole and not wheel.facts.files:
        yield "nothing of it is compiled: nixpkgs builds such a package from its source archive"
    yield (
        "its format, and a fetchPypi that takes file, come with pull requests 1, 2 and 4 of"
        " docs/nix-in-nixpkgs.md: until they are in nixpkgs, it is evaluated with this project's"
        " overlay alone"
    )


def _of_another_name(pname: str, wheel: DescribedWheel, names: Names) -> Iterator[str]:
    """Say by what other name nixpkgs has, or may have, the same from source."""
    if not names.is_believed():
        yield (
            f"if nixpkgs has {pname} already, from source (look in python-packages.nix), this is"
            f" {pname}-bin, in bin.nix beside it"
        )
    for other in dict.fromkeys([pname, *map(normalise_name, imported_as(wheel))]):
        if other != pname and names.is_built_too(other):
            yield (
                f"imported as {other}, which nixpkgs builds from source: if that is the same"
                f" software, this is {other}-bin, in"
                f" pkgs/development/python-modules/{other}/bin.nix, and other files of yours that"
                f" take {pname} take that"
            )
        elif names.is_at_the_top(other):
            yield f"nixpkgs has pkgs.{other}: look whether that brings the Python package, too"

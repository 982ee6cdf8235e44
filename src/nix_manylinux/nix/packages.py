"""Who in nixpkgs provides a library."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest

from nix_manylinux.base.values import Value, replace
from nix_manylinux.base.words import listed
from nix_manylinux.data import (
    SonameRow,
    read_libraries,
    read_nixpkgs_names,
    read_sonames,
    read_xorg_renames,
)
from nix_manylinux.nix.makers import SONAME, is_borrowed, letters, rows_by_stem
from nix_manylinux.nix.syntax import nix_path
from nix_manylinux.wheel.metadata import normalise_name

#: auditwheel grafts libfoo.so.1 under the name libfoo-1a2b3c4d.so.1 (its repair.py).
_GRAFTED = re.compile(r"(?P<stem>.+)-[0-9a-f]{8}(?P<rest>\.so(?:\.[^/]*)?)")

#: Package sets of other languages: a library there is seldom meant for anybody else.
_OF_A_LANGUAGE = re.compile(
    r"(?:chicken|gnat|java|lua|ocaml|perl|postgresql|python|swift|tcl)[0-9]*Packages(?:_[0-9]+)?\..*"
)


class Suggestion(Value):
    """What nixpkgs has for one soname.

    ``kind`` is "exact"; "file" (the name of a file whose soname is known);
    "other version" (the same library with another major version: the ABI
    differs); "driver" (comes with the host's graphics driver); "wheel" (comes with
    those in ``wheels``, or may come with one of them: Python packages, by their
    normalised names); "similar" (only ``similar`` names are known); "none"; or "absent" (the
    nixpkgs at hand has not the package that others have).
    ``attribute`` is what goes into an expression, output included where it isn't "out",
    and is empty for the four before the last; ``output`` is the output in any case.
    ``old_attribute`` is its name in older nixpkgs. ``doubtful`` is what is unfree, insecure
    or another language's. ``later`` is what a wheel has that needs this one, so that it can
    be no input of it. ``notes`` are sentences about it, which don't name it.
    """

    soname: str
    kind: str
    attribute: str = ""
    output: str = ""
    old_attribute: str = ""
    similar: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()
    doubtful: bool = False
    later: bool = False
    notes: tuple[str, ...] = ()

    @property
    def is_sure(self) -> bool:
        """Whether the attribute provides what was asked for, as far as its name can tell."""
        return self.kind in {"exact", "file"}

    @property
    def is_nowhere(self) -> bool:
        """Whether no package, no wheel and no driver is known to have the library."""
        return self.kind in {"other version", "similar", "none"}

    @property
    def may_be_taken(self) -> bool:
        """Whether it is sure, and nobody has to be asked before it is built."""
        return self.is_sure and not self.doubtful

    @property
    def is_loadable(self) -> bool:
        """Whether nixpkgs has the very library, for --runtime-libs to name.

        A name without a version is a link beside it: packages keep those with the library.
        """
        plain = self.kind == "file" and self.soname.endswith(".so")
        return (self.kind == "exact" or plain) and not self.doubtful

    @property
    def installable(self) -> str:
        """The attribute with its output always spelt, as ``nix-build -A`` takes it."""
        if not self.attribute or self.output != "out":
            return self.attribute
        return f"{self.attribute}.out"


#: Packages that are drivers: NixOS has them where drivers are, and two of one mix in a process.
_DRIVERS = frozenset({"mesa"})


@lru_cache(maxsize=1 << 16)
def suggest(soname: str) -> Suggestion:
    """Look ``soname`` up: exactly, as a file's name, by its name without version, by likeness."""
    grafted, row = _GRAFTED.fullmatch(soname), read_sonames().get(soname)
    if soname in read_libraries().driver or (
        row and (row.note == "driver" or row.attr in _DRIVERS)
    ):
        note = "comes with the host's graphics driver, from no package"
        return Suggestion(soname=soname, kind="driver", notes=(note,))
    if grafted:
        original = grafted["stem"] + grafted["rest"]
        note = (
            f"a copy of {original} that auditwheel put into some wheel, together "
            "with what needs it; in this one it is missing"
        )
        return Suggestion(soname=soname, kind="none", notes=(note,))
    package = _python_package(row) if row else ""
    if package:
        return of_wheel(soname, package)
    if soname in _NAMESAKES:
        return Suggestion(soname=soname, kind="none", notes=(_NAMESAKES[soname],))
    if row and row.attr:
        others = [attr for attr in row.others if not _OF_A_LANGUAGE.fullmatch(attr)]
        plain = [replace(row, attr=attr, output="out", others=(), note="") for attr in others]
        for each in (row, *plain):
            if not is_borrowed(each):
                return _from_row(soname, each, "exact")
    return _by_family(soname)


def of_wheel(soname: str, *wheels: str, note: str = "", later: bool = False) -> Suggestion:
    """Suggest the wheels of Python packages: none of nixpkgs has a library for them."""
    packages, its = ("package", "its wheel,") if len(wheels) == 1 else ("packages", "their wheels,")
    note = note or f"of the Python {packages} {listed(wheels)}: take {its} too"
    return Suggestion(soname=soname, kind="wheel", wheels=wheels, later=later, notes=(note,))


def _python_package(row: SonameRow) -> str:
    """Name the Python package whose own library it is, or "".

    A name without a version is no interface for others: where a Python package has it as
    well, a wheel means that one (libtorch.so).
    """
    for attribute in (row.attr, *(row.others if row.soname.endswith(".so") else ())):
        if attribute.startswith("python") and _OF_A_LANGUAGE.fullmatch(attribute):
            return normalise_name(attribute.rpartition(".")[2])
    return ""


def package_set(attribute: str) -> str:
    """Name the set that a package's libraries are built together in: "kdePackages", or "".

    CUDA's and ROCm's are no such sets: their libraries go by their sonames, and
    wheels bring some of them and leave others to the system.
    """
    name = attribute.partition(".")[0]
    together = re.search(r"(?<!cuda)(?<!rocm)Packages|Qt[0-9]|_all_", name)
    return name if name != attribute and together else ""


#: How one gets what nixpkgs doesn't give unasked.
_UNFREE = ", which wants config.allowUnfree, or NIXPKGS_ALLOW_UNFREE=1"
_INSECURE = ", which wants config.permittedInsecurePackages, or NIXPKGS_ALLOW_INSECURE=1"
_WANTED = {"unfree": [f"unfree{_UNFREE}"], "insecure": [f"marked insecure{_INSECURE}"]}


def explain(suggestion: Suggestion) -> str:
    """Say in one line who provides a library, and what is to be minded about it, in short."""
    parts = []
    if suggestion.is_sure or suggestion.kind == "absent":
        parts.append(nix_path(suggestion.attribute))
        if suggestion.old_attribute:
            parts.append(f"{nix_path(suggestion.old_attribute)} in older nixpkgs")
    parts += [n.removesuffix(_UNFREE).removesuffix(_INSECURE) for n in suggestion.notes]
    if suggestion.similar:
        parts.append(f"similar names: {', '.join(suggestion.similar)}")
    return "; ".join(parts)


#: What wheels mean by a name that some other library in nixpkgs has as well.
_NAMESAKES = {
    "libirc.so": "of Intel's compilers: the wheel intel-cmplr-lib-rt has it, and "
    "nixpkgs' libirc is another library",
}


def _by_family(soname: str) -> Suggestion:
    """Look up a soname that has no row of its own, by its name without the version."""
    nowhere = Suggestion(soname=soname, kind="none", notes=("nowhere in nixpkgs",))
    match = SONAME.fullmatch(soname)
    if match is None:
        return nowhere
    family = [row for row in rows_by_stem().get(match["stem"], ()) if not is_borrowed(row)]
    # A name without a version promises no file with one.
    versioned = [row for row in family if not row.soname.endswith(".so")]
    family = versioned or family
    packages = {_python_package(row) for row in family} - {""}
    if packages:
        return of_wheel(soname, *sorted(packages))
    for known in versioned:
        if soname.startswith(f"{known.soname}.") and _may_be_of(match["version"], known.attr):
            note = f"the name of a file, whose soname is {known.soname}"
            return _from_row(soname, known, "file", note)
    if family and match["version"] is None:
        likely = max(family, key=_likelihood)
        note = f"in nixpkgs it is {likely.soname}"
        return _from_row(soname, likely, "file", note)
    if family:
        nearest = _nearest(match["version"], family)
        note = (
            f"nixpkgs has only {nearest.soname} ({nix_path(nearest.attr)}): another ABI, which "
            "will not load in its place"
        )
        return _from_row(soname, nearest, "other version", note)
    similar = _similar(match["stem"])
    return replace(nowhere, kind="similar", similar=similar) if similar else nowhere


def _may_be_of(version: str, attribute: str) -> bool:
    """Whether a file of this version may be a package's: opencascade-occt_7_6 has no 7.8.1."""
    match = re.search("[0-9]+([._-][0-9]+)+$", attribute)
    ours, its = _numbers(version), _numbers(match[0] if match else "")
    return ours[:1] != its[:1] or ours[: len(its)] == its[: len(ours)]


def _from_row(soname: str, row: SonameRow, kind: str, note: str = "") -> Suggestion:
    plain = soname.endswith(".so")  # of no version in particular
    versioned = read_nixpkgs_names().versioned
    name = row.attr if plain else versioned.get(row.attr, row.attr)
    output = "" if row.output == "out" else f".{row.output}"
    old = read_xorg_renames().get(row.attr)
    notes = [note] if note else []
    if kind != "other version":  # which nobody is advised to build
        notes += _WANTED.get(row.note, ())
    if _OF_A_LANGUAGE.fullmatch(row.attr):
        notes.append("a package of another language: a weak hint")
    return Suggestion(
        soname=soname,
        kind=kind,
        attribute=f"{name}{output}",
        output=row.output,
        old_attribute=f"{old}{output}" if old else "",
        doubtful=len(notes) > bool(note),
        notes=tuple(notes),
    )


def _likelihood(row: SonameRow) -> tuple[bool, bool, int, tuple[int, ...]]:
    """Order rows of one library: called like it, not kept for its age, plain of name, new.

    openssl comes before libressl and openssl_1_1, netcdf before what bundles it.
    """
    library, _, version = row.soname.partition(".so")
    alike = letters(library).startswith(letters(row.attr))
    return alike, not row.attr[-1:].isdigit(), -len(row.attr), _numbers(version)


def _nearest(version: str, family: Sequence[SonameRow]) -> SonameRow:
    """Choose the version that lies nearest to the wanted one, the newer of two."""
    wanted = _numbers(version)

    def distance(row: SonameRow) -> tuple[list[int], list[int]]:
        ours = _numbers(row.soname.partition(".so")[2])
        pairs = [*zip_longest(ours, wanted, fillvalue=0)]
        return [abs(a - b) for a, b in pairs], [-a for a, _ in pairs]

    return min(family, key=distance)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"[0-9]{1,9}", version))


def _similar(stem: str) -> tuple[str, ...]:
    """Name up to three libraries whose names look like a slip of the pen away."""
    from difflib import get_close_matches  # noqa: PLC0415 (start-up: only advice needs it)

    by_case = {name.lower(): name for name in rows_by_stem() if abs(len(name) - len(stem)) <= 2}
    found = get_close_matches(stem.lower(), by_case, n=3, cutoff=0.88)
    return tuple(rows_by_stem()[by_case[name]][0].soname for name in found)

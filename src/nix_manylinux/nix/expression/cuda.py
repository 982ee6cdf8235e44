"""The CUDA of whom a wheel is loaded into: one process has room for one version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import nix_manylinux.nix.nixpkgs as at_hand
from nix_manylinux.base.errors import BadOption, NixManylinuxError
from nix_manylinux.base.words import listed, shell
from nix_manylinux.nix.expression.dependencies import cuda_required, requirements_in
from nix_manylinux.nix.expression.download import release_that_fits
from nix_manylinux.wheel.metadata import required_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from nix_manylinux.nix.adviser import Adviser
    from nix_manylinux.nix.expression.wheel import DescribedWheel
    from nix_manylinux.nix.nixpkgs import Nixpkgs
    from nix_manylinux.target.place import Place

#: Python packages that load CUDA, and others into the same process.
_LOADERS = ("torch", "tensorflow", "jaxlib", "cupy", "paddlepaddle")


class Cuda(NamedTuple):
    """A version of CUDA, "13", and who says that it has to be this one: "torch 2.14.1 requires".

    ``sure`` is whether that is nixpkgs, or who asks for it. ``loader`` is the Python package of
    nixpkgs' that has it.
    """

    version: str
    said: str
    sure: bool = False
    loader: str = ""

    @property
    def package_set(self) -> str:
        """The set of nixpkgs that has it."""
        return f"cudaPackages_{self.version}"


def cuda_in_files(files: Mapping[str, Collection[str]]) -> Cuda | None:
    """Give the CUDA that wheels bring, by the names of their files."""
    for wheel, names in sorted(files.items()):
        for name in sorted(names):
            match = re.fullmatch(r"libcudart\.so\.([0-9]+)", name)
            if match:
                return Cuda(match[1], f"the required wheel {wheel} brings")
    return None


def loader_of_cuda(wheel: DescribedWheel, place: Place) -> str:
    """Give the requirement of whom a wheel with CUDA loads into; "" for none.

    Where METADATA requires none, it is the one whose libraries the files need.
    """
    needed = _needed(wheel)
    if not any(name.startswith("libcudart") for name in needed | wheel.facts.brought):
        return ""
    found = requirements_in(wheel.headers, place)
    declared = (each for each in found if required_names([each])[0] in _LOADERS)
    linked = (name for name in _LOADERS if f"lib{name}.so" in needed)
    return next(declared, next(linked, ""))


def has_to_choose(wheel: DescribedWheel) -> bool:
    """Whether a wheel takes CUDA from elsewhere: then who loads it tells which."""
    return any(name.startswith("libcudart.so") for name in _needed(wheel))


def _needed(wheel: DescribedWheel) -> set[str]:
    return {name for file in wheel.facts.files for name in file.facts.needed}


def cuda_asked_for(text: str) -> Cuda:
    """Take "12", or "12.8": nixpkgs, and sonames, tell versions by the first number. BadOption."""
    match = re.fullmatch(r"([1-9][0-9]?)(\.[0-9]+)*", text)
    if not match:
        raise BadOption(f"--cuda {text}: is no version of CUDA", hint="such as: --cuda 12")
    return Cuda(match[1], "asked for is", sure=True)


def check_fit(
    cuda: Cuda | None,
    wheels: Iterable[DescribedWheel],
    attributes: Iterable[str],
    bundled: Iterable[str],
) -> Iterator[str]:
    """Say it where the CUDA that has to be is none of those that wheels are for.

    They are for what they need, as ``attributes`` of nixpkgs or not, and ``bundled`` versions.
    Raises BadOption where it was asked for.
    """
    needed = (re.fullmatch(r"libcudart\.so\.([0-9]+).*", n) for w in wheels for n in _needed(w))
    sets = (re.match(r"cudaPackages_([0-9]+)", name) for name in attributes)
    taken, wanted = ({match[1] for match in each if match} for each in (sets, needed))
    versions = {*bundled, *(taken or wanted)}
    if cuda is None or not cuda.sure or not versions or cuda.version in versions:
        return
    # Of an old one there are files, and nobody knows the libraries any more.
    old = cuda.version in wanted
    own = listed(sorted(versions if old else versions | wanted, key=int))
    if not cuda.loader:
        why = f"the wheel is for CUDA {own}{'' if ' and ' in own else ' alone'}"
        if old:
            why = f"no package is known for its libraries, and CUDA {own} was taken"
        raise BadOption(
            f"--cuda {cuda.version}: {why}",
            hint="another release of the wheel may be for it; or leave --cuda out",
        )
    which = "what is known for this wheel" if old else "this wheel"
    yield (
        f"{cuda.loader}-bin of this nixpkgs has CUDA {cuda.version}, {which} is for {own}: two"
        " CUDAs in one process; take the release of the wheel that fits, or wait for nixpkgs"
    )


def cuda_of_nixpkgs(
    requirement: str, nixpkgs: Nixpkgs | None, environment: Mapping[str, str]
) -> Cuda | None:
    """Ask for the CUDA of whom a wheel loads into, where nixpkgs has that from its wheel."""
    loader = required_names([requirement])[0]
    package = f"{loader}-bin"
    if nixpkgs is None or package not in nixpkgs.packages:
        return None
    version = at_hand.ask_cuda(package, environment)
    said = f"nixpkgs' {package} has"
    return Cuda(version, said, sure=True, loader=loader) if version else None


def cuda_required_by_loader(
    requirement: str,
    place: Place,
    *,
    into: str,
    environment: Mapping[str, str],
) -> Cuda | None:
    """Ask the client for METADATA of whom a wheel loads into; None where that fails."""
    try:
        version, requires = release_that_fits(
            requirement, place, into=into, environment=environment
        )
        found = cuda_required(requirements_in({"requires-dist": requires}, place))
    except NixManylinuxError:
        return None
    said = f"{required_names([requirement])[0]} {version} requires"
    return Cuda(found, said) if found else None


def how_to_check(
    loader: str, taken: str, nixpkgs: Nixpkgs | None, *, several: bool, systems: int
) -> str:
    """Say how the CUDA that was taken is held against that of nixpkgs' wheel of the loader.

    That may be another one, or none, on each of the ``systems``.
    """
    package = f"{loader}-bin"
    other = "the same command with --cuda VERSION" if several else "another release of the wheel"
    said = f"{taken} has to be what nixpkgs' {package} has; where it is not, {other}"
    if systems > 1:
        said += f"; on a system where {package} has no CUDA, the same command without that --system"
    if nixpkgs and package not in nixpkgs.packages:
        again = "set NIX_PATH=nixpkgs=CHECKOUT, of one that has it, and run this again"
        return f"{said}. <nixpkgs> has no {package} to ask: {again}"
    question = f"nix-instantiate --eval -E {shell(at_hand.cuda_question(package))}"
    return f"{said}:\n{question}"


def loader_among(packages: Collection[str]) -> str:
    """Name the Python package that loads CUDA, and these into its process; "" for none."""
    return next((name for name in _LOADERS if name in packages), "")


def about_cuda(
    attributes: Iterable[str], packages: Collection[str], cuda: Cuda | None, adviser: Adviser
) -> tuple[str, tuple[str, ...]]:
    """Name the Python package whose CUDA these attributes of nixpkgs have to be; "" for none.

    And say why this CUDA was taken, and what it has to agree with.
    """
    sets = [name.partition(".")[0] for name in attributes if name.startswith("cudaPackages")]
    loader = loader_among(packages) if sets else ""
    if not loader:
        return "", ()
    taken = min(sets)
    if cuda and taken == cuda.package_set:
        why = f"{cuda.said} {cuda.version}"
    else:
        why = "nixpkgs' usual one is taken" if taken == adviser.cuda else f"the wheel wants {taken}"
    return loader, (f"Must be {loader}'s CUDA: {why}.",)

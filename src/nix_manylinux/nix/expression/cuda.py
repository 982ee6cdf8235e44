"""The CUDA of whom a wheel is loaded into: one process has room for one version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from nix_manylinux.base.errors import NixManylinuxError
from nix_manylinux.nix.expression.dependencies import cuda_required, requirements_in
from nix_manylinux.nix.expression.download import release_that_fits
from nix_manylinux.wheel.metadata import required_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from nix_manylinux.nix.adviser import Adviser
    from nix_manylinux.nix.expression.wheel import DescribedWheel
    from nix_manylinux.target.place import Place

#: Python packages that load CUDA, and others into the same process.
_LOADERS = ("torch", "tensorflow", "jaxlib", "cupy", "paddlepaddle")


class Cuda(NamedTuple):
    """A version of CUDA, "13", and who says that it has to be this one: "torch 2.14.1 requires"."""

    version: str
    said: str

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


def cuda_required_by_loader(
    wheel: DescribedWheel,
    place: Place,
    *,
    into: str,
    environment: Mapping[str, str],
    pip: Sequence[str] = (),
) -> Cuda | None:
    """Ask the client for METADATA of whom a wheel with CUDA loads into; None where that fails."""
    if not any(
        name.startswith("libcudart.so") for f in wheel.facts.files for name in f.facts.needed
    ):
        return None
    for requirement in requirements_in(wheel.headers, place):
        (name,) = required_names([requirement])
        if name not in _LOADERS:
            continue
        try:
            version, requires = release_that_fits(
                requirement, place, into=into, environment=environment, pip=pip
            )
            found = cuda_required(requirements_in({"requires-dist": requires}, place))
        except NixManylinuxError:
            return None
        return Cuda(found, f"{name} {version} requires") if found else None
    return None


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

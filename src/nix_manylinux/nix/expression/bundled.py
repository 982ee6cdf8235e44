"""What a wheel brings of others that has to be minded: unfree libraries, and a version of CUDA."""

from __future__ import annotations

import re

from nix_manylinux.base.words import listed
from nix_manylinux.nix.expression.cuda import loader_among
from nix_manylinux.nix.makers import rows_by_stem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from nix_manylinux.nix.expression.wheel import DescribedWheel

#: A library with the hash by which auditwheel, and who works alike, tell copies apart.
_LIBRARY = re.compile(r"(?P<stem>lib.+?)(?:[.-][0-9a-f]{8})?\.so(?:\.(?P<version>[0-9]+).*)?")

#: LLVM's free one goes by Intel's name, too.
_FREE_TOO = frozenset({"libiomp5"})


def unfree_libraries(wheels: Iterable[DescribedWheel]) -> Iterator[str]:
    """Say which libraries in the wheels are unfree where nixpkgs has them."""
    found: dict[str, str] = {}
    for stem, _ in sorted(_brought(wheels)):
        rows = rows_by_stem().get(stem, ()) if stem not in _FREE_TOO else ()
        if rows and all("unfree" in row.note for row in rows):
            found[stem] = rows[0].attr.rpartition(".")[2]
    if found:
        yield (
            f"license: bundles {listed(found)}; where nixpkgs has the same"
            f" ({', '.join(dict.fromkeys(found.values()))}), it is unfree, so that meta.license"
            " wants lib.licenses.unfreeRedistributable, too"
        )


def bundled_cuda(wheels: Iterable[DescribedWheel], required: Collection[str]) -> Iterator[str]:
    """Say with whose CUDA that in the wheels has to agree."""
    loader = loader_among(required)
    if loader and (versions := bundled_versions(wheels)):
        cuda = listed(sorted(versions))
        yield f"Must be {loader}'s CUDA: the wheel bundles libcudart of CUDA {cuda}."


def bundled_versions(wheels: Iterable[DescribedWheel]) -> set[str]:
    """Give the versions of CUDA whose libcudart is in the wheels."""
    return {version for stem, version in _brought(wheels) if stem == "libcudart" and version}


def _brought(wheels: Iterable[DescribedWheel]) -> set[tuple[str, str]]:
    names = {name for wheel in wheels for name in wheel.facts.brought}
    matches = (_LIBRARY.fullmatch(name) for name in names)
    return {(match["stem"], match["version"] or "") for match in matches if match}

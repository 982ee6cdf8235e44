"""Expressions of wheels that are made up, with the shipped tables, and what is said beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.nix.expression.wheel import DescribedWheel, describe_wheel
from nix_manylinux.nix.expression.write import Expression, build_expression

if TYPE_CHECKING:
    from pathlib import Path

    from nix_manylinux.nix.nixpkgs import Nixpkgs


def made(
    folder: Path,
    *needed: str,
    name: str = "demo",
    headers: str = "",
    tag: str = "cp311-cp311-manylinux_2_28_x86_64",
) -> DescribedWheel:
    """Make and describe a wheel with one module that needs libraries."""
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{headers}\n"
    files = {"demo/__init__.py": b"", "demo/fast.so": tiny_library("fast.so", *needed)}
    return describe_wheel(
        MadeWheel(name=name, version="1.0", tag=tag, files=files, metadata=metadata.encode()).write(
            folder
        )
    )


def written(
    *wheels: DescribedWheel, nixpkgs: Nixpkgs | None = None, for_nixpkgs: bool = True
) -> Expression:
    """Write an expression with the shipped tables."""
    return build_expression(wheels, nixpkgs=nixpkgs, for_nixpkgs=for_nixpkgs)


def every_note(expression: Expression) -> list[str]:
    """List what is told beside it, under whatever heading."""
    return [sentence for several in expression.notes.values() for sentence in several]

"""Link manylinux wheels to the libraries of the Nix store, or say what is missing.

The names below are the public ones; each is imported when it is first used,
so that importing the package costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.api import (
        check_tree,
        inspect_tree,
        inspect_wheel,
        patch_trees,
        patch_wheel,
        patch_wheel_tree,
        plan_tree,
    )
    from nix_manylinux.errors import (
        BadElf,
        BadOption,
        BadTarget,
        BadTree,
        BadWheel,
        EditFailed,
        IncompatibleWheel,
        NixManylinuxError,
        Unresolved,
        WriteFailed,
    )
    from nix_manylinux.index import LibraryIndex
    from nix_manylinux.model import Options, PatchedWheel, Plan, Report, TreeFacts
    from nix_manylinux.target import Target

__all__ = [
    "BadElf",
    "BadOption",
    "BadTarget",
    "BadTree",
    "BadWheel",
    "EditFailed",
    "IncompatibleWheel",
    "LibraryIndex",
    "NixManylinuxError",
    "Options",
    "PatchedWheel",
    "Plan",
    "Report",
    "Target",
    "TreeFacts",
    "Unresolved",
    "WriteFailed",
    "check_tree",
    "inspect_tree",
    "inspect_wheel",
    "patch_trees",
    "patch_wheel",
    "patch_wheel_tree",
    "plan_tree",
]

_HOMES = ("errors", "target", "model", "index", "api")


def __getattr__(name: str) -> object:
    """Import a public name from the module that it lives in (PEP 562)."""
    if name in __all__:
        from importlib import import_module  # noqa: PLC0415

        for home in _HOMES:
            module = import_module(f"nix_manylinux.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__]

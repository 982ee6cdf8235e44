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
        patch_wheel,
        patch_wheel_tree,
        plan_tree,
    )
    from nix_manylinux.base.errors import (
        BadElf,
        BadOption,
        BadTarget,
        BadTree,
        BadWheel,
        EditFailed,
        IncompatibleWheel,
        NixManylinuxError,
        WriteFailed,
    )
    from nix_manylinux.install import install_wheel
    from nix_manylinux.repair.model import NotPortable, RepairedWheel, RepairOptions
    from nix_manylinux.repair.wheel import repair_wheel
    from nix_manylinux.resolve.plan import Options, PatchedWheel, Plan, Report, Unresolved
    from nix_manylinux.target.target import Target
    from nix_manylinux.tree.facts import TreeFacts
    from nix_manylinux.tree.libraries import LibraryIndex

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
    "NotPortable",
    "Options",
    "PatchedWheel",
    "Plan",
    "RepairOptions",
    "RepairedWheel",
    "Report",
    "Target",
    "TreeFacts",
    "Unresolved",
    "WriteFailed",
    "check_tree",
    "inspect_tree",
    "inspect_wheel",
    "install_wheel",
    "patch_wheel",
    "patch_wheel_tree",
    "plan_tree",
    "repair_wheel",
]

#: The modules that the public names live in.
_HOMES = {
    "api": "check_tree inspect_tree inspect_wheel patch_wheel patch_wheel_tree plan_tree",
    "base.errors": "BadElf BadOption BadTarget BadTree BadWheel EditFailed IncompatibleWheel"
    " NixManylinuxError WriteFailed",
    "install": "install_wheel",
    "repair.model": "NotPortable RepairOptions RepairedWheel",
    "repair.wheel": "repair_wheel",
    "resolve.plan": "Options PatchedWheel Plan Report Unresolved",
    "target.target": "Target",
    "tree.facts": "TreeFacts",
    "tree.libraries": "LibraryIndex",
}


def __getattr__(name: str) -> object:
    """Import a public name from the module that it lives in (PEP 562)."""
    home = next((module for module, names in _HOMES.items() if name in names.split()), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - nothing is imported for nothing

    return getattr(import_module(f"nix_manylinux.{home}"), name)


def __dir__() -> list[str]:
    return [*__all__]

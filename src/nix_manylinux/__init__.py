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

#: The module that each public name lives in.
_HOMES = {
    "BadElf": "base.errors",
    "BadOption": "base.errors",
    "BadTarget": "base.errors",
    "BadTree": "base.errors",
    "BadWheel": "base.errors",
    "EditFailed": "base.errors",
    "IncompatibleWheel": "base.errors",
    "LibraryIndex": "tree.libraries",
    "NixManylinuxError": "base.errors",
    "NotPortable": "repair.model",
    "Options": "resolve.plan",
    "PatchedWheel": "resolve.plan",
    "Plan": "resolve.plan",
    "RepairOptions": "repair.model",
    "RepairedWheel": "repair.model",
    "Report": "resolve.plan",
    "Target": "target.target",
    "TreeFacts": "tree.facts",
    "Unresolved": "resolve.plan",
    "WriteFailed": "base.errors",
    "check_tree": "api",
    "inspect_tree": "api",
    "inspect_wheel": "api",
    "install_wheel": "install",
    "patch_wheel": "api",
    "patch_wheel_tree": "api",
    "plan_tree": "api",
    "repair_wheel": "repair.wheel",
}


def __getattr__(name: str) -> object:
    """Import a public name from the module that it lives in (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - nothing is imported for nothing

    return getattr(import_module(f"nix_manylinux.{home}"), name)


def __dir__() -> list[str]:
    return [*__all__]

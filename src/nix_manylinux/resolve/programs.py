"""The right to be executed: which programs are given it, and which will never have it.

An installer goes by the mode in the archive (pip 23 and 26, installer 1.1); uv 0.13
allows all of ``NAME.data/scripts``, as the wheel specification suggests for archives
that were made where there are no such modes. What lies in the Nix store has the
mode that it came with for good.
"""

from __future__ import annotations

from nix_manylinux.base.files import EXECUTE
from nix_manylinux.base.words import some
from nix_manylinux.elf.facts import ElfKind
from nix_manylinux.tree.python import is_script

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.tree.facts import TreeFacts, TreeFile


MADE_EXECUTABLE = "made executable: it is a program for the folder of scripts"


def is_barred(file: TreeFile) -> bool:
    """Whether it is a program that nobody may execute, by its mode."""
    return file.facts.kind in {ElfKind.PROGRAM, ElfKind.STATIC} and not file.mode & EXECUTE


def is_command(tree: TreeFacts, file: TreeFile) -> bool:
    """Whether a file is, or will be installed, where commands are: ``PREFIX/bin``."""
    if is_script(file.label):
        return True
    if tree.floating is not None:
        return False  # a wheel says where its files belong
    folders = set()
    for site in tree.site_packages:
        prefix, _, inside = f"/{site}".rpartition("/lib")
        if inside.count("/") == 2 and inside.endswith("/site-packages"):
            folders.add(f"{prefix}/bin".lstrip("/"))
    return any(name.rpartition("/")[0] in folders for name in file.names)


def barred_warning(labels: list[str]) -> list[str]:
    """Say in one line, or none, which programs will never start (torch has 160 of them)."""
    if not labels:
        return []
    what = "is a program" if len(labels) == 1 else "are programs"
    hint = "what is to be started needs that right before it is in the store: chmod +x"
    return [
        f"{some(labels, 3)} {what} that may not be executed, and no installer allows it; {hint}"
    ]

"""A wheel, unpacked to a folder and scanned like any other tree."""

from __future__ import annotations

from nix_manylinux.base.scratch import scratch_folder
from nix_manylinux.elf.tokens import origin_entries
from nix_manylinux.tree.python import is_script, python_source
from nix_manylinux.tree.scan import scan_tree
from nix_manylinux.wheel.open import FLOATING, UnpackedWheel, open_wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack

    from nix_manylinux.base.progress import Progress
    from nix_manylinux.tree.facts import TreeFacts


def scan_unpacked(unpacked: UnpackedWheel, *, progress: Progress | None = None) -> TreeFacts:
    """Read the tree of a wheel, once more where files of it have changed since."""
    facts = scan_tree(unpacked.root, labels=unpacked.labels, floating=FLOATING, progress=progress)
    # What a file's own search path names is there, even if it holds nothing that is loaded.
    for file in facts.files:
        path, entries = f"{facts.root}/{file.path}", file.facts.search_path
        unpacked.make_folders(origin_entries(entries, path, file.facts.machine))
    return facts


def unpack_for_reading(
    stack: ExitStack, path: str, max_size: int
) -> tuple[TreeFacts, Mapping[str, str]]:
    """Unpack a wheel with its Python files and scripts, until ``stack`` is closed.

    Gives the labels of all that was written, too, by path below its folder.
    """
    folder = stack.enter_context(scratch_folder())
    opened = stack.enter_context(open_wheel(path, max_size=max_size))
    unpacked = opened.unpack(folder, also=lambda n: python_source(n) or is_script(n))
    return scan_unpacked(unpacked), unpacked.labels

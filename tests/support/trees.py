"""Trees on disk for tests of what writes to them, and an editor whose edits anyone can read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nix_manylinux.elf.edit.edit import Edited
from nix_manylinux.elf.facts import ElfEdit, Machine
from nix_manylinux.resolve.plan import FilePlan, Plan
from nix_manylinux.target.target import Target
from nix_manylinux.tree.scan import scan_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from nix_manylinux.tree.facts import TreeFacts

TARGET = Target(
    machine=Machine(number=62, bits=64, endian="little"),
    libc="glibc",
    libc_version=(2, 40),
    dynamic_linker="/nix/store/glibc/lib/ld-linux-x86-64.so.2",
    libc_directory="/nix/store/glibc/lib",
    libc_sonames={},
)


def plan_all(
    *roots: str | os.PathLike[str], search_path: str = "/nix/store/x/lib", adopt: bool = False
) -> Plan:
    """Plan one new search path for every ELF file of the trees; links out are theirs if adopted."""
    trees: tuple[TreeFacts, ...] = tuple(
        scan_tree(os.fspath(root), adopt_except=() if adopt else None) for root in roots
    )
    files = tuple(
        FilePlan(tree=number, file=file, edit=ElfEdit(search_path=(search_path,)))
        for number, tree in enumerate(trees)
        for file in tree.files
    )
    return Plan(target=TARGET, trees=trees, files=files)


def snapshot(root: str | os.PathLike[str]) -> dict[str, tuple[object, ...]]:
    """Give all that must not change below a folder: kinds, modes, inodes, links, contents."""
    found: dict[str, tuple[object, ...]] = {}
    for top, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = os.path.join(top, name)
            status = os.lstat(path)
            content: object = None
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            inode = None if name == "RECORD" else status.st_ino
            key = os.path.relpath(path, root)
            found[key] = (status.st_mode, inode, status.st_nlink, content)
    return found


class Appended(Edited):
    """One edit of `Appender`."""

    on_undo: Callable[[], None]

    def undo(self) -> None:
        """Cut the inode back."""
        self.on_undo()
        os.truncate(self.path, self.size_before)


@dataclass
class Appender:
    """An editor that appends the search path to the inode, once.

    ``before`` and ``after`` are called around each edit with its path, and
    ``on_undo`` before each step back: where a test puts its fault.
    """

    before: Callable[[str], None] = lambda _path: None
    after: Callable[[str], None] = lambda _path: None
    on_undo: Callable[[], None] = lambda: None
    how: str = "in place"
    labels: list[str | None] = field(default_factory=list)

    def __call__(
        self,
        path: str,
        edit: ElfEdit,
        *,
        label: str | None = None,
        before_write: Callable[[Edited], None] | None = None,
    ) -> Edited:
        """Edit one file."""
        self.labels.append(label)
        self.before(path)
        assert edit.search_path is not None
        mark = ("\n" + ":".join(edit.search_path)).encode()
        with open(path, "r+b") as file:
            old = file.read()
            if old.endswith(mark):
                return Appended(
                    path=path,
                    how="unchanged",
                    size_before=len(old),
                    size_after=len(old),
                    on_undo=self.on_undo,
                )
            status = os.stat(path)
            edited = Appended(
                path=path,
                how=self.how,
                size_before=len(old),
                size_after=len(old) + len(mark),
                notes=("appended",),
                old=((0, old[:4]),),
                inode=(status.st_dev, status.st_ino),
                times=(status.st_atime_ns, status.st_mtime_ns),
                on_undo=self.on_undo,
            )
            if before_write is not None:
                before_write(edited)
            file.write(mark)
        self.after(path)
        return edited

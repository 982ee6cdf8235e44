"""What `apply` wants of an editor of ELF files, and `nix_manylinux.elf.edit` is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from nix_manylinux.elf.facts import ElfEdit


class Edited(Protocol):
    """What became of one file: its sizes in bytes, sentences for the report, and the way back.

    ``how`` is "in place" or "patchelf", and "unchanged" where no byte was written.
    """

    @property
    def path(self) -> str:
        """Give the path that was edited."""

    @property
    def how(self) -> str:
        """Say how it was done."""

    @property
    def size_before(self) -> int:
        """Give the size in bytes."""

    @property
    def size_after(self) -> int:
        """Give the size in bytes."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Give sentences for the report."""

    @property
    def old(self) -> tuple[tuple[int, bytes], ...]:
        """Give the offsets and the old bytes of what was written over."""

    @property
    def inode(self) -> tuple[int, int]:
        """Give device and inode."""

    @property
    def times(self) -> tuple[int, int]:
        """Give the old access and modification times in nanoseconds."""

    def undo(self) -> None:
        """Put the inode's old bytes back."""


class EditFile(Protocol):
    """Edits the inode at a path; raises EditFailed or BadElf with the file as it was."""

    def __call__(
        self,
        path: str,
        edit: ElfEdit,
        *,
        label: str | None = None,
        before_write: Callable[[Edited], None] | None = None,
    ) -> Edited:
        """Edit; ``label`` is what errors call the file.

        ``before_write`` is called when all is known and nothing written; what
        it raises stops the edit.
        """

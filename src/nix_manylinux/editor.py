"""What `apply` wants of an editor of ELF files, and `nix_manylinux.elf.edit` is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nix_manylinux.model import ElfEdit


class Edited(Protocol):
    """What became of one file: its sizes in bytes, sentences for the report, and the way back.

    ``how`` is "in place" or "patchelf", and "unchanged" where no byte was written.
    """

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

    def undo(self) -> None:
        """Put the inode's old bytes back."""


class EditFile(Protocol):
    """Edits the inode at a path; raises EditFailed or BadElf with the file as it was."""

    def __call__(self, path: str, edit: ElfEdit, *, label: str | None = None) -> Edited:
        """Edit; ``label`` is what errors call the file."""

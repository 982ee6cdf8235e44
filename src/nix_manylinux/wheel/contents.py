"""Where the contents of a member go, and files elsewhere that hold the same."""

from __future__ import annotations

import os

from nix_manylinux.base.digest import encode_digest, new_hash
from nix_manylinux.base.errors import OsErrors, WriteFailed
from nix_manylinux.base.files import PIECE, SMALLEST_ELF, is_called_library, make_folder, write_all
from nix_manylinux.base.scratch import ROOM
from nix_manylinux.base.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from nix_manylinux.base.parallel import Look
    from nix_manylinux.wheel.archive.format import Member
    from nix_manylinux.wheel.record import Row

    T = TypeVar("T")


class Output(Value, kw_only=False):
    """Where a member goes, nowhere without a path; whole, or only if it may hold one of the marks.

    That is told of its first piece; ELF files are written whole in any case.
    """

    path: str | None
    mode: int
    whole: bool = True
    marks: tuple[bytes, ...] = ()

    def create(self) -> int:
        """Make the file, which must be new, and the folders that it needs; give a descriptor."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return _in_its_folder(self.path or "", lambda path: os.open(path, flags, self.mode))


def _in_its_folder(path: str, make: Callable[[str], T]) -> T:
    """Make something that may be the first of its folder."""
    try:
        return make(path)
    except FileNotFoundError:
        make_folder(os.path.dirname(path), hint=ROOM)
        return make(path)


class MemberFiles:
    """Files that may hold what members hold, by the members' names; RECORD's hash decides.

    ``taken`` are the ELF files that were found: they get another name where the
    member is unpacked, or are copied where that can't be.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = paths
        self.taken: set[str] = set()

    def find(self, member: Member, row: Row, look: Look) -> MemberFile | None:
        """Give a member's file if it has the member's size and hash."""
        path = self._paths.get(member.name)
        if path is None:
            return None
        state = new_hash(row.algorithm)
        head = b""
        try:
            # A link's other name would be one of the link.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb", buffering=0) as file:
                if os.fstat(descriptor).st_size != member.size:
                    return None
                while piece := file.read(PIECE):
                    look()
                    head = head or piece[:4]
                    state.update(piece)
        except OSError:
            return None  # the wheel has it too
        if encode_digest(row.algorithm, state.digest()) != row.hash:
            return None
        elf = head == b"\x7fELF" and member.size >= SMALLEST_ELF
        if elf:
            self.taken.add(member.name)
        return MemberFile(path, member.name, elf)


class MemberFile(Value, kw_only=False):
    """A file with a member's contents."""

    path: str
    name: str
    elf: bool

    def _link(self, path: str) -> bool:
        """Give the file another name; false on another file system, or where it has too many."""
        try:
            _in_its_folder(path, lambda new: os.link(self.path, new, follow_symlinks=False))
        except OSError:
            return False
        return True

    def put(self, output: Output) -> bool:
        """Do for the member what reading it would; says whether it is there."""
        whole = output.whole or self.elf
        if output.path is None or not (whole or is_called_library(self.name)):
            return False
        with OsErrors(WriteFailed, "can't be written", where=output.path, hint=ROOM):
            if self.elf and self._link(output.path):
                return True
            descriptor = output.create()
            try:
                if whole:
                    with open(self.path, "rb", buffering=0) as file:
                        while piece := file.read(PIECE):
                            write_all(descriptor, piece)
            finally:
                os.close(descriptor)
        return True

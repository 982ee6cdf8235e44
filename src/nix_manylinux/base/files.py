"""Writing that either happened or didn't: whole files by rename, read-only folders for a moment.

All but `make_folder` raises plain ``OSError``; the callers know what the file was
for, and say so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator

from nix_manylinux.base.errors import OsErrors, WriteFailed
from nix_manylinux.base.signals import signals_held

#: In a tree's root while it is edited in place; see `nix_manylinux.write.undo_log`.
UNDO_LOG = ".nix-manylinux-undo"

#: In a tree that ``--nixpkgs`` was asked for: links to what it is linked to, no part of it.
GC_ROOTS = ".nix-manylinux-roots"

#: Bytes of the smallest ELF header, ELFCLASS32's: what is shorter is no ELF file.
SMALLEST_ELF = 52

#: Bytes that are read, hashed and written at a time: they stay in the processor's cache.
PIECE = 1 << 18

#: The bits of a mode that say who may execute.
EXECUTE = 0o111


def is_called_library(path: str) -> bool:
    """Whether a file has the name of a shared library."""
    base = path.rpartition("/")[2]
    return ".so" in base and f"{base}.".find(".so.", 1) > 0  # ".so" alone is no library's name


def is_temporary(name: str, ending: str = "tmp") -> bool:
    """Whether ``name`` is one that `temporary_beside` gives: what a killed run may leave behind."""
    pattern = rf"\.nix-manylinux-[0-9a-f]{{16}}\.{ending}"
    return name[:1] == "." and re.fullmatch(pattern, name) is not None


def temporary_beside(path: str, ending: str = "tmp") -> str:
    """Name a file, new and ours alone, in the folder of ``path``."""
    name = f".nix-manylinux-{os.urandom(8).hex()}.{ending}"
    return os.path.join(os.path.dirname(path), name)


@contextlib.contextmanager
def writable_folder(folder: str) -> Iterator[None]:
    """Let names in ``folder`` be made and replaced while the block runs; its mode is put back."""
    if os.access(folder, os.W_OK | os.X_OK):
        yield
        return
    mode = stat.S_IMODE(os.stat(folder).st_mode)
    os.chmod(folder, mode | stat.S_IWUSR | stat.S_IXUSR)
    try:
        yield
    finally:
        try:
            os.chmod(folder, mode)
        except OSError:
            # Nobody else will put it back: one more try, for what was only a moment's failure.
            os.chmod(folder, mode)


def copy_owner_and_mode(descriptor: int, like: os.stat_result) -> None:
    """Give an open file the owner and the mode bits of another one.

    An owner that may not be set is let go: then the mode's set-id bits go
    with it, as chown(2) would have cleared them.
    """
    mode = stat.S_IMODE(like.st_mode)
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (like.st_uid, like.st_gid):
        try:
            os.fchown(descriptor, like.st_uid, like.st_gid)
        except PermissionError:
            mode &= ~(stat.S_ISUID | stat.S_ISGID)
    os.fchmod(descriptor, mode)


def read_regular(path: str, most: int, *, flags: int = 0) -> tuple[bytes, os.stat_result] | None:
    """Read a file of at most ``most`` bytes, and its status; None for what is larger, or no file.

    ``flags`` are more of open(2)'s. A name may be a FIFO by now: it isn't waited for.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size <= most:
            return file.read(), status
    return None


def read_small(path: str, most: int) -> bytes:
    """Read a file as `read_regular` does: nothing of what is larger, or no file."""
    found = read_regular(path, most)
    return found[0] if found else b""


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte: write(2) may take fewer than it is given."""
    while (count := os.write(descriptor, data)) < len(data):
        data = data[count:]


def write_all_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write every byte at an offset: pwrite(2) may take fewer than it is given."""
    while (count := os.pwrite(descriptor, data, offset)) < len(data):
        if not count:
            raise OSError(errno.EIO, "a write wrote nothing")
        data, offset = data[count:], offset + count


def write_file(path: str, data: bytes) -> None:
    """Write a file that somebody asked for by name: all of it, or what was there before.

    A link is followed. What is no regular file (a pipe, /dev/stdout) is
    written to as it is.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as there:
            there.write(data)
        return
    with signals_held():
        _put(os.path.realpath(path), data, 0o666)  # as open() would: the umask decides


def replace_file(path: str, data: bytes, like: os.stat_result) -> None:
    """Put a new file in the place of ``path``, with the owner and mode of ``like``.

    A link at ``path`` is replaced, never written through. On any failure the
    old file is still there and nothing else is.
    """
    with writable_folder(os.path.dirname(path)):
        _put(path, data, 0o600, like)


def _put(path: str, data: bytes, mode: int, like: os.stat_result | None = None) -> None:
    """Write a file beside ``path``, then let it take the name; nothing is left of a failure."""
    temporary = temporary_beside(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, mode)
    try:
        try:
            write_all(descriptor, data)
            if like is not None:
                copy_owner_and_mode(descriptor, like)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def executable(mode: int) -> int:
    """Return the mode with the right to execute it for everyone who may read it."""
    return mode | (mode & 0o444) >> 2


def another_folder(option: str) -> str:
    """Say what to do about a folder that an option names, and that can't be written to."""
    return f"give {option} a folder that you may write to"


def check_writable(path: str, option: str) -> None:
    """Raise WriteFailed where ``option`` names a folder that can't be written to, or made."""
    place = os.path.abspath(path)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    why = "" if os.path.isdir(place) else "is no folder"
    if not why and not os.access(place, os.W_OK | os.X_OK):
        why = "can't be written to"
    if why:
        raise WriteFailed(why, where=place, hint=another_folder(option))


def make_folder(path: str, *, hint: str) -> None:
    """Make a folder and those above it, where they are not there; WriteFailed with ``hint``."""
    with OsErrors(WriteFailed, "can't make the folder", where=path, hint=hint):
        os.makedirs(path, exist_ok=True)

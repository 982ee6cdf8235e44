"""A copy that takes a file's place, under all of its names, and can give it back.

For inodes that must not be written: those with links beyond the tree (uv's
cache), those that a process has mapped, those that are read-only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Sequence

from nix_manylinux.base.files import (
    copy_owner_and_mode,
    executable,
    temporary_beside,
    writable_folder,
    write_all,
)

_CHUNK = 1 << 20
#: copy_file_range(2) says these where it can't do what read and write can.
_NO_COPY_RANGE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}


class Replacement:
    """One inode of a tree, and the copy that may take over its names.

    ``names`` are absolute, the file's own path first, then the hard links to
    it inside the tree, or symbolic ones out of it. With ``allow`` the copy may be
    executed by all who may read it. `begin` makes the copy at `path`, beside the first
    name; `finish` puts it in place of all of them, so that they stay links of
    one another; `undo` gives every name its old inode back, whatever was
    reached; `close` lets go of the old inode. Raises OSError.
    """

    def __init__(self, names: Sequence[str], *, allow: bool = False) -> None:
        self.names = tuple(names)
        self._allow = allow
        self.path = temporary_beside(names[0])
        self.backups = tuple(temporary_beside(name) for name in names)
        self._source = os.path.realpath(names[0])
        self._status = os.lstat(self._source)

    def begin(self) -> None:
        """Copy contents and extended attributes; the copy may be written by its owner."""
        with writable_folder(os.path.dirname(self.path)):
            source = os.open(self._source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                target = os.open(self.path, flags, 0o600)
                try:
                    _copy(source, target)
                finally:
                    os.close(target)
            finally:
                os.close(source)

    def finish(self, before_rename: Callable[[], None] = lambda: None) -> None:
        """Give the copy the owner, the mode and the attributes, and then every name.

        ``before_rename`` is called when every name's old inode has its entry
        in ``backups``, and all names still lead to it.
        """
        self._dress(self.path, self._source, allow=self._allow)
        for name, backup in zip(self.names, self.backups, strict=True):
            with writable_folder(os.path.dirname(name)):
                self._keep(name, backup)
        before_rename()
        with writable_folder(os.path.dirname(self.path)):
            os.replace(self.path, self.names[0])
        for name in self.names[1:]:
            _link_over(self.names[0], name)

    def _dress(self, copy: str, like: str, *, allow: bool = False) -> None:
        descriptor = os.open(copy, os.O_RDONLY | os.O_CLOEXEC)
        try:
            copy_owner_and_mode(descriptor, self._status)
            if allow:
                os.fchmod(descriptor, executable(stat.S_IMODE(os.fstat(descriptor).st_mode)))
            _copy_attributes(like, descriptor)
        finally:
            os.close(descriptor)

    def _keep(self, name: str, backup: str) -> None:
        """Keep a name for the old inode; where links are forbidden, keep a copy of it."""
        try:
            os.link(name, backup, follow_symlinks=False)
        except PermissionError:
            # fs.protected_hardlinks: another owner's file that we may not write.
            if os.path.islink(name):
                os.symlink(os.readlink(name), backup)
                return
            if name != self.names[0]:
                os.link(self.backups[0], backup, follow_symlinks=False)
                return
            copy = Replacement((name,))
            copy.path = backup
            copy.begin()
            self._dress(backup, name)
            os.utime(backup, ns=(self._status.st_atime_ns, self._status.st_mtime_ns))

    def undo(self) -> None:
        """Give every name the old inode back, and delete the copy.

        Names are exchanged, nothing is made: that works on a full disk too. Where nothing was
        reached, nothing is touched, which who may not write there could not.
        """
        for name, backup in zip(self.names, self.backups, strict=True):
            if not os.path.lexists(backup):
                continue
            with writable_folder(os.path.dirname(name)), contextlib.suppress(FileNotFoundError):
                os.replace(backup, name)
        self.close()

    def close(self) -> None:
        """Delete what `undo` would have needed."""
        # rename(2) of two names of one inode does nothing and leaves both.
        failed = None
        for path in filter(os.path.lexists, (self.path, *self.backups)):
            try:
                with writable_folder(os.path.dirname(path)), contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            except OSError as error:  # noqa: PERF203 - the others are to go all the same
                failed = error
        if failed is not None:
            raise failed


def _link_over(source: str, name: str) -> None:
    """Make ``name`` one more link to ``source``, in one step."""
    with writable_folder(os.path.dirname(name)):
        temporary = temporary_beside(name)
        os.link(source, temporary, follow_symlinks=False)
        try:
            os.replace(temporary, name)
        finally:
            # rename(2) of two names of one inode does nothing and leaves both.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _copy(source: int, target: int) -> None:
    left = os.fstat(source).st_size
    try:
        # Shares the blocks where the file system can.
        while left and (count := os.copy_file_range(source, target, left)):
            left -= count
    except AttributeError:  # Linux alone has it
        pass
    except OSError as cause:
        if cause.errno not in _NO_COPY_RANGE:
            raise
    while piece := os.read(source, _CHUNK):
        write_all(target, piece)


def _copy_attributes(source: str, target: int) -> None:
    """Copy extended attributes, those that may be: no permission or no support is no error."""
    try:
        names = os.listxattr(source, follow_symlinks=False)
    except (OSError, AttributeError):  # os has them on Linux alone
        return
    for name in names:
        with contextlib.suppress(OSError):
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False))


def hard_links(names: Sequence[str], status: os.stat_result) -> list[str]:
    """Pick those names that are the inode's own, not symbolic links to it."""
    found = [(name, os.lstat(name)) for name in names]
    return [n for n, own in found if os.path.samestat(own, status) and stat.S_ISREG(own.st_mode)]

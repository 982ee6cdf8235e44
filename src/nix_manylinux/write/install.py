"""A staging folder that becomes a part of a prefix: all of it, or nothing.

What is new to a prefix is made in a folder inside it, on the same file system, and
moved to its places by renames. Before the first of them, the names that will appear are
written down in the prefix; whoever installs there next deletes what a killed run had
moved. Nothing that was there is ever replaced.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator

from nix_manylinux.base.errors import BadTree, OsErrors, WriteFailed
from nix_manylinux.base.files import is_temporary, make_folder, temporary_beside, write_file
from nix_manylinux.base.signals import signals_held
from nix_manylinux.write.lock import locked_trees

#: In a prefix while files are moved into it: the names that are new, each ended by a NUL.
INSTALL_LOG = ".nix-manylinux-install"

_ROOM = "make room there, give this user the right to write there, or name another --prefix"


@contextlib.contextmanager
def staged(prefix: str) -> Iterator[str]:
    """Give an empty folder whose files become the prefix's when the block ends well.

    ``prefix`` is absolute, without links, and made if it isn't there. It is locked
    meanwhile, and first cleaned of what a killed run left. Raises BadTree where a name is
    there already or another run holds the prefix, WriteFailed where it can't be written;
    then, and on SIGINT, SIGTERM and SIGHUP, the prefix is as it was.
    """
    new = not os.path.isdir(prefix)
    make_folder(prefix, hint=_ROOM)
    try:
        refused = OsErrors(WriteFailed, "can't be written", where=prefix, hint=_ROOM, named=True)
        with locked_trees([prefix]), refused, signals_held() as interrupts:
            _clean(prefix)
            staging = temporary_beside(f"{prefix}/", "staging")
            os.mkdir(staging, 0o755)
            try:
                interrupts.release()
                yield staging
                interrupts.hold()
                _move(staging, prefix)
                interrupts.check()
            finally:
                interrupts.hold()
                shutil.rmtree(staging, ignore_errors=True)
    except BaseException:
        if new:
            _delete_empty(prefix)
        raise


def _delete_empty(prefix: str) -> None:
    """Delete a prefix that we have made, unless another run has it by now."""
    with contextlib.suppress(OSError):
        descriptor = os.open(prefix, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rmdir(prefix)
        finally:
            os.close(descriptor)


def _clean(prefix: str) -> None:
    """Delete what a run that was killed had moved, and its staging folder."""
    log = os.path.join(prefix, INSTALL_LOG)
    if os.path.lexists(log):
        with open(log, "rb") as file:
            names = file.read().split(b"\0")[:-1]
        for name in map(os.fsdecode, names):
            _delete(prefix, name)
        os.unlink(log)
    for name in os.listdir(prefix):
        if is_temporary(name, "staging"):
            _delete_staging(os.path.join(prefix, name))
        elif is_temporary(name):
            os.unlink(os.path.join(prefix, name))


def _delete_staging(folder: str) -> None:
    """Delete a killed run's folder, in which its compilers may write one last file each."""
    tries = 9
    while os.path.lexists(folder):
        tries -= 1
        shutil.rmtree(folder, ignore_errors=tries > 0)


def _delete(prefix: str, name: str) -> None:
    """Delete one thing that a log names; names that lead out of the prefix are nobody's log."""
    path = os.path.join(prefix, name)
    folder = os.path.realpath(os.path.dirname(path))
    if os.path.isabs(name) or not f"{folder}/".startswith(f"{prefix}/") or name in {"", ".", ".."}:
        raise BadTree(
            "is not a log of ours",
            where=os.path.join(prefix, INSTALL_LOG),
            hint="delete it if the prefix came with it",
        )
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _move(staging: str, prefix: str) -> None:
    """Rename everything to its place, or put it back."""
    names = list(_new_names(staging, prefix))
    log = os.path.join(prefix, INSTALL_LOG)
    write_file(log, b"".join(os.fsencode(name) + b"\0" for name in names))
    try:
        for name in names:
            os.rename(os.path.join(staging, name), os.path.join(prefix, name))
        os.unlink(log)  # from here on they stay
    except BaseException:
        for name in names:
            _delete(prefix, name)
        with contextlib.suppress(OSError):
            os.unlink(log)
        raise


def _new_names(staging: str, prefix: str) -> Iterator[str]:
    """Give what has to be moved: whole folders where the prefix has none of that name.

    Bytecode that some package left behind may be replaced; BadTree for all else that is there.
    """
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(os.path.join(staging, folder)) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            name = os.path.join(folder, entry.name)
            there = os.path.join(prefix, name)
            if not os.path.lexists(there) or os.path.basename(folder) == "__pycache__":
                yield name
            elif entry.is_dir(follow_symlinks=False) and os.path.isdir(there):
                folders.append(name)
            else:
                raise BadTree(
                    "is there already",
                    where=there,
                    hint="uninstall the package that it belongs to, or name another --prefix",
                )

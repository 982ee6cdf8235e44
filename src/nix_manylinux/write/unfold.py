"""A link to a folder elsewhere, and the folder of links that takes its place.

Files of a folder that a tree only links to can't get a copy there: the folder is
somebody else's. So it is unfolded: a folder of the tree's own, with a link for
everything that the other one has. Folders below it stay links where no file of theirs
changes.
"""

from __future__ import annotations

import contextlib
import os
import stat

from nix_manylinux.base.files import is_temporary, temporary_beside, writable_folder
from nix_manylinux.tree.index import inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from nix_manylinux.resolve.plan import Plan


class Unfolding:
    """One link, absolute, and the folder that may take its place.

    ``folders`` are those below it, relative, that are to be folders too; ``homes`` are
    links above it that were unfolded, with what they led to. `begin` makes
    all of it at a temporary name, `finish` puts it in the link's place, `undo` puts the
    link back, whatever was reached, and `close` lets go of it. Raises OSError.
    """

    def __init__(self, link: str, folders: Collection[str], homes: Mapping[str, str]) -> None:
        self.link = link
        self.path = temporary_beside(link)
        self.backup = temporary_beside(link)
        self._real = os.path.realpath(link)
        self._folders = frozenset(folders)
        self._homes = {**homes, link: self._real}

    def begin(self) -> None:
        """Make the folder of links."""
        with writable_folder(os.path.dirname(self.link)):
            self._make("")

    def _make(self, folder: str) -> None:
        source, made = os.path.join(self._real, folder), os.path.join(self.path, folder)
        os.mkdir(made, 0o700)
        with os.scandir(source) as entries:
            for entry in entries:
                name = os.path.join(folder, entry.name)
                if is_temporary(entry.name):
                    continue
                if name in self._folders and entry.is_dir(follow_symlinks=False):
                    self._make(name)
                else:
                    os.symlink(self._target(entry, folder), os.path.join(made, entry.name))
        owner, status = os.lstat(self.link), os.stat(source)
        with contextlib.suppress(PermissionError):
            os.chown(made, owner.st_uid, owner.st_gid)
        os.chmod(made, stat.S_IMODE(status.st_mode))

    def _target(self, entry: os.DirEntry[str], folder: str) -> str:
        """Where a new link leads: a link to what is in the folder as well leads to that here."""
        real = os.path.realpath(entry.path)
        for link, home in reversed(self._homes.items()):
            if entry.is_symlink() and inside(real, home):
                return os.path.relpath(link + real[len(home) :], os.path.join(self.link, folder))
        return os.path.join(self._real, folder, entry.name)

    def finish(self, write_down: Callable[[list[str], list[str]], None]) -> None:
        """Exchange the two, in two steps: a folder can't be renamed over a link.

        Before, ``write_down`` is told at which name the link is kept, and whose place it has.
        """
        with writable_folder(os.path.dirname(self.link)):
            try:
                os.link(self.link, self.backup, follow_symlinks=False)
            except PermissionError:  # fs.protected_hardlinks, or a file system without
                os.symlink(os.readlink(self.link), self.backup)
            write_down([self.backup], [self.link])
            os.unlink(self.link)
            os.rename(self.path, self.link)

    def undo(self) -> None:
        """Put the link back, and delete the folder of links."""
        if os.path.lexists(self.backup):
            put_link_back(self.backup, self.link)
        self.close()

    def close(self) -> None:
        """Delete what `undo` would have needed, if there is any of it."""
        if not any(map(os.path.lexists, (self.path, self.backup))):
            return
        with writable_folder(os.path.dirname(self.link)):
            delete_links(self.path)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.backup)


def put_link_back(link: str, place: str) -> None:
    """Rename a link to its place, where a folder of links may be by now. Raises OSError."""
    with writable_folder(os.path.dirname(place)):
        aside = temporary_beside(place)
        if os.path.isdir(place) and not os.path.islink(place):
            os.rename(place, aside)
        os.replace(link, place)
        delete_links(aside)


def delete_links(path: str) -> None:
    """Delete a folder of links with all that is in it, if it is there. Raises OSError."""
    if not os.path.isdir(path) or os.path.islink(path):
        return
    os.chmod(path, 0o700)
    with os.scandir(path) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                delete_links(entry.path)
            else:
                os.unlink(entry.path)
    os.rmdir(path)


def unfoldings(plan: Plan) -> Iterator[tuple[int, Unfolding]]:
    """Give what a plan must unfold, and in which tree, a folder before those in it.

    That is where files change, and in such a tree dist-info folders, too: RECORD will.
    """
    for number, tree in enumerate(plan.trees):
        changing = [
            name
            for each in plan.files
            if each.tree == number and each.changes
            for name in each.file.linked
        ]
        below = {os.path.dirname(name) for name in changing if folded_above(name, tree.folded)}
        if not below:
            continue
        below |= {d.folder for d in tree.distributions if folded_above(d.folder, tree.folded)}
        # A link to a folder in such a folder is unfolded in its turn.
        below |= {os.path.dirname(top) for top in tree.folded if any(inside(b, top) for b in below)}
        homes: dict[str, str] = {}
        for top in tree.folded:
            here = {b for b in below if inside(b, top)}
            if here:
                folders = {above for b in here for above in _up_to(b, top)}
                link = f"{tree.root}/{top}"
                above = {path: home for path, home in homes.items() if inside(link, path)}
                homes[link] = os.path.realpath(link)
                yield number, Unfolding(link, folders, above)


def folded_above(name: str, folded: Collection[str]) -> bool:
    """Whether a name in a tree leads through a link to a folder elsewhere."""
    return any(inside(name, top) for top in folded)


def _up_to(folder: str, top: str) -> Iterator[str]:
    """Give a folder and those above it, relative to ``top`` above all of them."""
    steps = folder[len(top) + 1 :].split("/")
    for count in range(1, len(steps) + 1):
        yield "/".join(steps[:count])

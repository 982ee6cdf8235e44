"""The RECORDs of installed trees, made true again after files were edited."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator

from nix_manylinux.base.digest import STRONG_HASHES
from nix_manylinux.base.errors import BadTree, OsErrors
from nix_manylinux.base.files import replace_file, temporary_beside, writable_folder
from nix_manylinux.base.parallel import Crew, Key
from nix_manylinux.base.values import Value, replace
from nix_manylinux.tree.errors import unreadable
from nix_manylinux.wheel.record import Record, Row, hash_descriptor
from nix_manylinux.write.listing import Listing, carried_files, read_listings


class RecordUpdate(Value):
    """What became of one RECORD: rows that were untrue before us, and rows of vanished files.

    ``written`` says whether the file changed; ``undo`` puts the old one back,
    ``close`` deletes what that would have needed.
    """

    stale: int = 0
    dropped: int = 0
    written: bool = False
    undo: Callable[[], None] = lambda: None
    close: Callable[[], None] = lambda: None


class RecordUpdates:
    """RECORDs on their way to be true for every file that they list.

    Rows are read by value, as a wheel's are, and written in normal form.
    Every file is read once: an installed tree is stale before us (shebangs,
    wrapped programs, removed tests). SHA-256 of all of torch takes longer
    than linking it, so other processors hash from the start, and the files
    that are going to be edited as soon as they are `settled`. Order and line
    endings stay; rows without a hash stay without, RECORD's own among them.
    A row that leads out of its root is neither read nor changed.
    """

    def __init__(
        self,
        folders: Iterable[tuple[str, str]],
        *,
        unsettled: Collection[str] = (),
        inodes: Collection[tuple[int, int]] = (),
    ) -> None:
        """Read the RECORD, if there is one, in each (root, dist-info folder in it); begin to hash.

        Files of the paths ``unsettled`` (absolute) are left for later, and so is what
        turns out to be another name of ``inodes`` (device and inode). Raises BadTree.
        """
        # A tree may lie in another one, whose root has more of the rows within it.
        places = {
            os.path.join(root, dist_info): (root, dist_info)
            for root, dist_info in sorted(folders, reverse=True)
        }
        self._listings = read_listings(places.values())
        self._carried = carried_files(self._listings)
        self._unsettled = frozenset(unsettled)
        self._inodes = inodes
        self._later: dict[str, list[tuple[int, Key]]] = {}
        self._aliases: list[tuple[int, Key]] = []
        self._crew = Crew(self._hash)
        self._crew.add(self._first_jobs())

    def _first_jobs(self) -> Iterator[tuple[int, Key]]:
        for number, listing in enumerate(self._listings):
            for index, path in enumerate(listing.paths):
                if path is None:
                    continue
                job = _claimed_size(listing.record.rows[index]), (number, index)
                if path in self._unsettled:
                    self._later.setdefault(path, []).append(job)
                else:
                    yield job

    def settled(self, paths: Iterable[str]) -> None:
        """Have files of these paths (absolute) hashed: they are as they will be."""
        jobs = [job for path in paths for job in self._later.pop(path, ())]
        if jobs:
            self._crew.add(jobs)

    def finish(self) -> None:
        """Hash what is left, with every file settled, and wait for it. Raises BadTree."""
        self.settled(list(self._later))
        self._crew.finish()
        self._inodes = ()
        self._crew = Crew(self._hash)
        self._crew.add(self._aliases)
        self._crew.finish()

    def close(self) -> None:
        """Let go of the other processors: what isn't known by now isn't wanted."""
        self._crew.stop()

    def write(
        self, changed: Collection[str], write_down: Callable[[str, str], None] = lambda *_: None
    ) -> Iterator[RecordUpdate]:
        """Write each RECORD that changes, by a rename: a link is replaced, not followed.

        ``write_down`` is told before which name holds what, and of which path. Rows of the
        paths ``changed`` (absolute) don't count as stale. A RECORD that a distribution
        carries as a file stays what it is unless it has rows of them. Raises BadTree.
        """
        rewritten: set[str] = set()
        # A distribution may carry others, RECORDs and all (ray): the innermost first, for
        # those further out list them.
        for listing in sorted(self._listings, key=lambda each: each.file.count("/"), reverse=True):
            for index, path in enumerate(listing.paths):
                if path in rewritten and path is not None:
                    row = listing.record.rows[index]
                    listing.truths[index] = _true_row(listing.record, row, path, ())
            done = {*changed, *rewritten}
            if listing.file in self._carried and done.isdisjoint(listing.paths):
                continue
            update = _write_listing(listing, done, write_down)
            if update.written:
                rewritten.add(listing.file)
            yield update

    def _hash(self, key: Key) -> None:
        number, index = key
        listing = self._listings[number]
        row, path = listing.record.rows[index], listing.paths[index]
        if path is None:
            return
        if path == listing.file:
            listing.truths[index] = _unhashed(listing.record, row)
            return
        awaited = () if path in self._unsettled else self._inodes
        try:
            listing.truths[index] = _true_row(
                listing.record, row, path, awaited, lambda: self._crew.wanted(key)
            )
        except _AnotherName:
            self._aliases.append((_claimed_size(row), key))


class _AnotherName(Exception):
    """A row's file is one that is still going to be edited, under another name."""


def _true_row(
    record: Record,
    row: Row,
    path: str,
    awaited: Collection[tuple[int, int]],
    going: Callable[[], bool] = lambda: True,
) -> Row | None:
    """Give a row's truth; _AnotherName is raised for the inodes ``awaited``.

    What is given means nothing when ``going`` has said no.
    """
    if not row.hash and not row.size:
        # It claims nothing (a .pyc); only a file that is gone changes it.
        return row if os.path.lexists(path) else None
    try:
        # A name that became a FIFO must not hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        # A link that leads nowhere has a name, but no contents to hash.
        return _unhashed(record, row) if os.path.lexists(path) else None
    except OSError as cause:
        raise unreadable(cause, row.path) from cause
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return row
        if (status.st_dev, status.st_ino) in awaited:
            raise _AnotherName
        if not row.hash:
            size = str(status.st_size)
            return row if row.size == size else record.row(row.path, "", size)
        algorithm = row.algorithm.lower()
        algorithm = algorithm if algorithm in STRONG_HASHES else "sha256"
        hash_, count = hash_descriptor(descriptor, algorithm, status.st_size, going)
    except OSError as cause:
        raise unreadable(cause, row.path) from cause
    finally:
        os.close(descriptor)
    if row.hash == hash_ and row.size in {"", str(count)}:
        return row
    return record.row(row.path, hash_, count if row.size else "")


def _write_listing(
    listing: Listing, changed: Collection[str], write_down: Callable[[str, str], None]
) -> RecordUpdate:
    record, path = listing.record, listing.file
    kept: list[Row] = []
    stale = dropped = 0
    for row, place, truth in zip(record.rows, listing.paths, listing.truths, strict=True):
        if truth is None:
            dropped += 1
        else:
            stale += place not in changed and not row.says(truth)
            kept.append(truth)
    found = RecordUpdate(stale=stale, dropped=dropped)
    if tuple(kept) == listing.as_read:
        return found

    fresh = Record(rows=tuple(kept), line_end=record.line_end).encode()
    backup = temporary_beside(path)

    def undo() -> None:
        with writable_folder(os.path.dirname(path)):
            os.replace(backup, path)

    def close() -> None:
        # The folder may be a link to somebody else's again, if all was undone.
        if os.path.lexists(backup):
            with writable_folder(os.path.dirname(path)), contextlib.suppress(FileNotFoundError):
                os.unlink(backup)

    hint = "give this user the right to write there, or free some space"
    with OsErrors(BadTree, "can't be rewritten", where=listing.where, hint=hint):
        try:
            # A name more: going back to it needs no room, which a full disk doesn't have.
            with writable_folder(os.path.dirname(path)):
                os.link(path, backup, follow_symlinks=False)
            write_down(backup, path)
            replace_file(path, fresh, listing.status)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                undo()
            # rename(2) of two names of one inode does nothing and leaves both.
            close()
            raise
    return replace(found, written=True, undo=undo, close=close)


def _claimed_size(row: Row) -> int:
    # It decides about the order only, and may be any text: int() refuses 4,301 digits.
    return int(row.size[:18]) if row.size.isascii() and row.size.isdigit() else 0


def _unhashed(record: Record, row: Row) -> Row:
    return record.row(row.path) if row.hash or row.size else row

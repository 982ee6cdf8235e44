"""A plan carried out: every edit and every RECORD, or nothing.

The only way in to what writes to trees. What was done is kept until
`AppliedPlan.close`, so that a failure, an interruption, or a check that comes
afterwards can still put every byte back.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from nix_manylinux.base.errors import BadTree, EditFailed
from nix_manylinux.base.files import writable_folder
from nix_manylinux.base.progress import Progress, with_progress
from nix_manylinux.base.values import replace
from nix_manylinux.resolve.plan import EditRecord, FilePlan, Plan
from nix_manylinux.tree.facts import Damage
from nix_manylinux.write.inuse import FilesInUse
from nix_manylinux.write.journal import Journal
from nix_manylinux.write.records import RecordUpdate, RecordUpdates
from nix_manylinux.write.replacement import Replacement, hard_links
from nix_manylinux.write.undo_log import UndoLog
from nix_manylinux.write.unfold import delete_links, unfoldings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from nix_manylinux.elf.edit.edit import Edited
    from nix_manylinux.elf.facts import ElfEdit

    #: Edits the inode at a path, as `edit_file` does.
    EditFile = Callable[..., Edited]

#: Errors of writing in place that a copy can get round: a running program, no
#: permission for the file (the folder may be ours).
_COPY_INSTEAD = {errno.ETXTBSY, errno.EACCES, errno.EPERM}


class AppliedPlan:
    """What `apply_plan` did, and the way back, until `close` or `undo`.

    ``edits`` leaves out files that turned out to be as planned already; ``unfolded``
    are links to folders that folders of links took the place of;
    ``stale_rows`` and ``dropped_rows`` are sums of `RecordUpdate`'s. As a
    context manager it closes at the end of the block, and undoes if the block
    raises.
    """

    def __init__(
        self,
        journal: Journal,
        edits: tuple[EditRecord, ...],
        unfolded: tuple[str, ...],
        updates: list[RecordUpdate],
    ) -> None:
        self.edits = edits
        self.unfolded = unfolded
        self.stale_rows = sum(update.stale for update in updates)
        self.dropped_rows = sum(update.dropped for update in updates)
        self._journal = journal

    def __enter__(self) -> AppliedPlan:  # noqa: PYI034 - Self is newer than Python 3.10
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.undo()

    def close(self) -> None:
        """Let go of what `undo` needs. A second call does nothing."""
        self._journal.close()

    def undo(self) -> None:
        """Put everything back, in reverse order. A second call does nothing.

        Signals wait until it is done. Raises EditFailed if something could
        not be put back.
        """
        self._journal.undo()


def _edit_elf(path: str, edit: ElfEdit, **how: Any) -> Edited:  # noqa: ANN401 - edit_file's
    from nix_manylinux.elf.edit.edit import edit_file  # noqa: PLC0415 - many a tree needs no edit

    return edit_file(path, edit, **how)


def apply_plan(
    plan: Plan,
    *,
    check: Callable[[], None] | None = None,
    edit_file: EditFile = _edit_elf,
    left: list[Damage] | None = None,
    progress: Progress | None = None,
) -> AppliedPlan:
    """Edit every file that the plan has an edit for, then make every RECORD true.

    A file is edited in place, or, where its inode has links beyond the tree, is
    there by a link out of it, is in use or is read-only, as a copy that takes its
    place under all its names. The caller holds the locks of the trees
    (`locked_trees`). The way back, of files and RECORDs, is logged in each tree's root,
    so that `recover_tree` can undo a run that was killed. ``check`` is called when all
    files are edited. A file for which no edit can be proved safe stays as it is and is
    put into ``left``, if there is one. Whatever it or anything else raises, and on
    SIGINT, SIGTERM and SIGHUP, every byte is put back first. Raises BadTree where
    a tree can't be read or changed since it was, EditFailed, BadElf.
    """
    journal = Journal()
    try:
        run = _Run(plan, journal, edit_file, left=left, progress=progress)
        run.delete_leftovers()
        run.unfold()
        with contextlib.closing(run.begin_records()) as records:
            run.edit_files(records)
            if check is not None:
                check()
            updates = run.update_records(records)
            applied = AppliedPlan(journal, run.edits, run.unfolded, updates)
        # From here on every way out leads through `undo` or `close`.
        journal.interrupts.release()
    except BaseException:
        journal.undo()
        raise
    return applied


class _TooMuchToWriteDown(Exception):
    """The whole file would change (patchelf): a copy is as cheap, and needs no undo log."""


class _Run:
    """One pass over a plan."""

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        edit_file: EditFile,
        *,
        left: list[Damage] | None,
        progress: Progress | None,
    ) -> None:
        self.edits: tuple[EditRecord, ...] = ()
        self.unfolded: tuple[str, ...] = ()
        self._plan, self._journal = plan, journal
        self._edit_file, self._left, self._progress = edit_file, left, progress
        self._in_use = FilesInUse()
        self._changed: set[str] = set()
        self._logs = {tree.root: UndoLog(tree.root) for tree in plan.trees}
        journal.commit_steps += [log.delete for log in self._logs.values()]

    def delete_leftovers(self) -> None:
        """Delete what a killed run left: with the lock held, nobody's run needs it."""
        for tree in self._plan.trees:
            for leftover in tree.leftovers:
                path = os.path.join(tree.root, leftover)
                with _os_errors(leftover, "deleted"), writable_folder(os.path.dirname(path)):
                    if os.path.isdir(path) and not os.path.islink(path):
                        delete_links(path)
                    else:
                        os.unlink(path)

    def unfold(self) -> None:
        """Make folders of links of links to folders elsewhere, in which files will change."""
        for number, unfolding in unfoldings(self._plan):
            root = self._plan.trees[number].root
            self._journal.interrupts.check()
            label = os.path.relpath(unfolding.link, root)
            with _os_errors(label, "unfolded"):
                self._journal.undo_steps.append(unfolding.undo)
                self._journal.close_steps.append(unfolding.close)
                unfolding.begin()
                unfolding.finish(self._logs[root].add_names)
            self.unfolded += (label,)

    def begin_records(self) -> RecordUpdates:
        """Read every RECORD; files that aren't edited are hashed from now on."""
        changing = [each for each in self._plan.files if each.changes]
        stamps = [each.file.stamp for each in changing]
        return RecordUpdates(
            [
                (tree.root, each.folder)
                for tree in self._plan.trees
                for each in tree.distributions
                # What was not unfolded is somebody else's.
                if os.path.realpath(f"{tree.root}/{each.folder}") == f"{tree.root}/{each.folder}"
            ],
            unsettled=[path for each in changing for path in each.paths(self._plan.trees)],
            inodes={(stamp[0], stamp[1]) for stamp in stamps if stamp},
        )

    def edit_files(self, records: RecordUpdates) -> None:
        """Make sure that no file changed since it was read, then edit them all."""
        # Overlapping trees have a file twice; the plan for it is the same.
        trees = self._plan.trees
        wanted = {each.paths(trees)[0]: each for each in self._plan.files if each.changes}
        for path, file_plan in wanted.items():
            _check_stamp(path, file_plan)
        # The largest first: they take longest to hash, and that can begin behind the edit.
        done: dict[str, EditRecord] = {}
        order = sorted(wanted.items(), key=lambda item: item[1].file.size, reverse=True)
        for path, file_plan in with_progress(order, self._progress, "editing"):
            self._journal.interrupts.check()
            record = self._edit_or_leave(path, file_plan)
            names = file_plan.paths(trees)
            if record is not None and record.how != "unchanged":
                done[path] = record
                self._changed.update(names)
            records.settled(names)
        self.edits = tuple(done[path] for path in wanted if path in done)

    def update_records(self, records: RecordUpdates) -> list[RecordUpdate]:
        """Make the RECORD of every distribution true."""
        # Nothing is written while hashes are waited for: a signal needn't wait.
        self._journal.interrupts.release()
        records.finish()
        self._journal.interrupts.hold()
        updates = []
        for update in records.write(self._changed, self._write_down):
            self._journal.undo_steps.append(update.undo)
            self._journal.close_steps.append(update.close)
            updates.append(update)
            self._journal.interrupts.check()
        return updates

    def _write_down(self, backup: str, path: str) -> None:
        """Log which name holds what a path held, in the innermost of the trees around it."""
        root = max((root for root in self._logs if path.startswith(f"{root}/")), key=len)
        self._logs[root].add_names([backup], [path])

    def _edit_or_leave(self, path: str, file_plan: FilePlan) -> EditRecord | None:
        """Edit a file; None for one that stays, since nothing proves an edit of it safe."""
        try:
            return self._edit(path, file_plan)
        except EditFailed as error:
            # What the disk refused is no matter of the file.
            if self._left is None or isinstance(error.__cause__, OSError):
                raise
            self._left.append(Damage(label=file_plan.file.label, what=error.what))
            return None

    def _edit(self, path: str, file_plan: FilePlan) -> EditRecord:
        root = self._plan.trees[file_plan.tree].root
        log = self._logs[root]
        with _os_errors(file_plan.file.label, "edited"):
            linked = [os.path.join(root, name) for name in file_plan.file.linked]
            status = os.stat(path, follow_symlinks=bool(linked))
            names = [*hard_links(file_plan.paths(self._plan.trees), status), *linked]
            if not names:  # another file has taken the name since
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            record = None
            # A mode is given by way of a copy: a rename is all or nothing, killed or not.
            if (
                not file_plan.executable
                and not linked
                and status.st_nlink <= len(names)
                and os.access(path, os.W_OK)
                and path not in self._in_use
            ):
                record = self._edit_in_place(path, file_plan, log)
            if record is None:
                record = self._edit_copy(names, file_plan, log)
        return record

    def _edit_in_place(self, path: str, file_plan: FilePlan, log: UndoLog) -> EditRecord | None:
        """Edit the inode itself; None where only a copy can be edited."""
        label = file_plan.file.label

        def write_down(edited: Edited) -> None:
            if edited.how != "in place":
                raise _TooMuchToWriteDown
            log.add(edited)
            # Before the first byte: an editor that fails may be unable to put all of them back.
            self._journal.undo_steps.append(edited.undo)

        try:
            edited = self._edit_file(path, file_plan.edit, label=label, before_write=write_down)
        except _TooMuchToWriteDown:
            return None
        except EditFailed as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno in _COPY_INSTEAD:
                return None
            raise
        return _record(edited, label, edited.how)

    def _edit_copy(self, names: list[str], file_plan: FilePlan, log: UndoLog) -> EditRecord:
        label = file_plan.file.label
        copy = Replacement(names, allow=file_plan.executable)
        self._journal.undo_steps.append(copy.undo)
        self._journal.close_steps.append(copy.close)
        copy.begin()
        if file_plan.edit:
            try:
                edited = self._edit_file(copy.path, file_plan.edit, label=label)
            except EditFailed:
                copy.undo()
                raise
            record = _record(edited, label, "patchelf" if edited.how == "patchelf" else "copied")
            if edited.how == "unchanged" and not file_plan.executable:
                copy.undo()
                return replace(record, how="unchanged")
        else:
            size = os.path.getsize(copy.path)
            record = EditRecord(label=label, how="copied", size_before=size, size_after=size)

        def write_down() -> None:
            if not file_plan.file.linked:
                log.add_names(copy.backups, names)
                return
            for backup, name in zip(copy.backups, names, strict=True):  # each an inode of its own
                log.add_names([backup], [name])

        copy.finish(write_down)
        return record


def _record(edited: Edited, label: str, how: str) -> EditRecord:
    return EditRecord(
        label=label,
        how=how,
        size_before=edited.size_before,
        size_after=edited.size_after,
        notes=tuple(edited.notes),
    )


def _check_stamp(path: str, file_plan: FilePlan) -> None:
    """Refuse a file that is not what was read when the plan was made."""
    with _os_errors(file_plan.file.label, "read"):
        status = os.stat(path) if file_plan.file.linked else os.lstat(path)
    stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if not stat.S_ISREG(status.st_mode) or file_plan.file.stamp not in {(), stamp}:
        raise _changed(file_plan.file.label)


def _changed(label: str) -> BadTree:
    return BadTree(
        "changed since it was read",
        where=label,
        hint="run again when nothing else writes to the tree",
    )


@contextlib.contextmanager
def _os_errors(label: str, done: str) -> Iterator[None]:
    """Turn the operating system's errors into ours, with the file's label."""
    try:
        yield
    except FileNotFoundError as cause:
        raise _changed(label) from cause
    except OSError as cause:
        raise EditFailed(
            f"can't be {done}: {cause.strerror}",
            where=label,
            hint="give this user the right to write there, or free some space; nothing has changed",
        ) from cause

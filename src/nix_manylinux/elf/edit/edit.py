"""ElfEdit -> bytes, in place: the one writer.

An edit is laid out on a `Draft`, proved there (`check`), and only then
written: what the file grows by first, then the few pages that differ. Their
old bytes are kept in the `Edited` that comes back, so that whoever changes
many files can put all of them back.
"""

from __future__ import annotations

import os
import stat

from nix_manylinux.base.errors import BadElf, EditFailed, OsErrors
from nix_manylinux.base.files import write_all_at
from nix_manylinux.base.values import Value, field, replace
from nix_manylinux.base.words import listed
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.draft.bytes import Change, Draft
from nix_manylinux.elf.draft.goal import goal_of
from nix_manylinux.elf.draft.headers import Nonsense, Object, Unproven
from nix_manylinux.elf.draft.pieces import pieces_of
from nix_manylinux.elf.draft.survey import Survey
from nix_manylinux.elf.edit.build import Build
from nix_manylinux.elf.edit.layout import NoRoom, plans
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.proof.contents import differences
from nix_manylinux.elf.read import read_elf
from nix_manylinux.elf.source import Source, read_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nix_manylinux.elf.edit.patchelf import Backup

_HINT = "give this user the right to write there, or free some space; nothing has changed"
_LEAVE = (
    "nothing has changed; --damaged warn links all other files, --exclude GLOB leaves this one"
    " alone (--damaged=warn in manylinuxFixupFlags, manylinuxExclude in Nix), and please report"
    " it if it runs as it is"
)

#: Bytes. Headers that lead far behind the file would make it a huge one, most of it a hole.
_MAX_GROWTH = 1 << 31

#: Machines whose ABI documents this writer was held against.
_MACHINES = frozenset({
    elf.EM_386, elf.EM_X86_64, elf.EM_ARM, elf.EM_AARCH64, elf.EM_PPC64,
    elf.EM_S390, elf.EM_RISCV, elf.EM_LOONGARCH,
})  # fmt: skip


class Edited(Value, kw_only=False):
    """What became of one file, and what it takes to undo that.

    ``how`` is "in place" or "patchelf", and "unchanged" where the file
    already was as it should be: then no byte was written. Sizes are in bytes;
    ``notes`` are sentences for the report.
    """

    path: str
    how: str
    size_before: int
    size_after: int
    notes: tuple[str, ...] = ()
    old: tuple[tuple[int, bytes], ...] = field(default=(), repr=False)
    inode: tuple[int, int] = (0, 0)
    times: tuple[int, int] = (0, 0)
    backup: Backup | None = None

    def undo(self) -> None:
        """Put the old bytes, the old length and the old times back.

        Raises EditFailed if another file has taken the path meanwhile,
        OSError where it can't be written.
        """
        if self.how == "unchanged":
            return
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) != self.inode:
                raise EditFailed("it was replaced since it was edited", where=self.path)
            self.restore(descriptor)
        finally:
            os.close(descriptor)

    def restore(self, descriptor: int) -> None:
        """Do what `undo` does through a descriptor that is open for writing."""
        if self.backup is not None:
            self.backup.restore(descriptor)
        # Only what differs is written: where nothing can be, little may have changed.
        if os.fstat(descriptor).st_size != self.size_before:
            os.ftruncate(descriptor, self.size_before)
        for offset, data in self.old:
            if os.pread(descriptor, len(data), offset) != data:
                write_all_at(descriptor, data, offset)
        os.utime(descriptor, ns=self.times)


def edit_file(
    path: str,
    edit: ElfEdit,
    *,
    label: str | None = None,
    before_write: Callable[[Edited], None] | None = None,
) -> Edited:
    """Edit the ELF file at ``path``, the inode itself; ``label`` is what errors call it.

    Only headers and the tables that an edit concerns are read. Added needed
    names go behind the last DT_NEEDED, so that nothing which is found today
    is then found elsewhere; one that is there already is left. Raises BadElf
    for a file that contradicts the gABI, EditFailed where no layout could be
    proved safe or the file can't be written; it is then what it was before.
    ``before_write`` is called with the edit when it is certain, and nothing is
    written yet; what it raises is raised.
    """
    where = label or path
    with OsErrors(EditFailed, "can't be opened", where=where, hint=_HINT):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return _edit(descriptor, path, edit, before_write)
    except (BadElf, EditFailed) as error:
        if not error.hint:
            error.hint = f"it would have to get {_described(edit)}; {_LEAVE}"
        error.at(where)
        raise
    except OSError as error:
        raise EditFailed(f"can't be edited: {error.strerror}", where=where, hint=_HINT) from error
    finally:
        os.close(descriptor)


def _described(edit: ElfEdit) -> str:
    """Say what an edit changes, for those who have to do it in another way."""
    parts = []
    if edit.interpreter is not None:
        parts.append(f"the interpreter {edit.interpreter}")
    if edit.search_path is not None:
        parts.append(f"the search path {':'.join(edit.search_path) or '(none)'}")
    if edit.soname is not None:
        parts.append(f"the soname {edit.soname}")
    parts += [f"no needed name {name}" for name in edit.remove_needed]
    parts += [f"the needed name {new} for {old}" for old, new in edit.replace_needed]
    parts += [f"the needed name {name}" for name in edit.add_needed]
    if edit.clear_executable_stack:
        parts.append("a stack that is not executable")
    return listed(parts)


def _edit(
    descriptor: int, path: str, edit: ElfEdit, before_write: Callable[[Edited], None] | None
) -> Edited:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise EditFailed("not a regular file")
    source = Source(descriptor)
    untouched = Edited(
        path,
        "unchanged",
        source.size,
        source.size,
        inode=(status.st_dev, status.st_ino),
        times=(status.st_atime_ns, status.st_mtime_ns),
    )
    sections = False
    try:
        try:
            before = Object(Draft(source))
            sections = bool(before.shdrs)
            found = draft_edit(before, edit)
        except Nonsense:
            found = draft_edit(Object(Draft(source), sections=False), edit)
    except BadElf as error:
        # What no loader takes is damaged; what one takes is only too much for this writer.
        read_elf(path)
        raise Unproven(error.what) from error
    except Unproven as error:
        # patchelf has no option for the stack: what is left for it may be nothing.
        if not sections or edit == ElfEdit(clear_executable_stack=True):
            raise
        return _edit_elsewhere(source, untouched, edit, str(error), before_write)
    if found is None:
        return untouched
    changes, size, notes = found
    if not changes:
        return replace(untouched, notes=notes)
    old = tuple((change.offset, change.old) for change in changes)
    edited = replace(untouched, how="in place", size_after=size, notes=notes, old=old)
    _carry_out(edited, before_write, lambda descriptor: _write(descriptor, edited, changes))
    return edited


def _edit_elsewhere(
    source: Source,
    untouched: Edited,
    edit: ElfEdit,
    reason: str,
    before_write: Callable[[Edited], None] | None,
) -> Edited:
    """Let patchelf do it, and put what it made into the same inode."""
    from nix_manylinux.elf.edit.patchelf import Backup, pour, run_patchelf  # noqa: PLC0415  only for the rare file

    with run_patchelf(source, edit, reason=reason) as made:
        if edit.clear_executable_stack:
            edit_file(made.name, ElfEdit(clear_executable_stack=True))
        result = Source(made.fileno())
        edited = replace(
            untouched,
            how="patchelf",
            size_after=result.size,
            notes=(f"patchelf was used: {reason}",),
            backup=Backup(source),
        )
        _carry_out(edited, before_write, lambda descriptor: pour(result, descriptor))
    return edited


def draft_edit(before: Object, edit: ElfEdit) -> tuple[list[Change], int, tuple[str, ...]] | None:
    """Lay an edit out on a draft and prove it; return what to write, the new size, and notes.

    None where the file is already as it should be. Raises EditFailed, with what was wrong
    with each layout, if none is safe.
    """
    goal = goal_of(before, edit)
    if not goal.changed:
        return None
    if before.header.machine not in _MACHINES:
        raise Unproven(f"machine {before.header.machine} (e_machine) is not one that we know")
    faults: list[str] = []
    survey = Survey(before, goal, pieces_of(before))
    for plan in plans(survey):
        build = Build(survey.over(Draft(before.draft.base)), plan)
        try:
            build.run()
            if build.draft.size > before.draft.base.size + _MAX_GROWTH:
                # Before anybody reads all of that.
                raise NoRoom(f"the file would have {build.draft.size} bytes")
            after = Object(build.draft, like=before)
            changes = build.draft.changes()
            wrong = differences(survey, after, edit, changes)
        except (BadElf, EditFailed) as error:
            wrong = [str(error)]
        if not wrong:
            return changes, build.draft.size, tuple(build.notes)
        faults.append(
            f"{plan.strings or 'strings stay'}, {plan.place or 'nothing moves'}: {wrong[0]}"
        )
    if survey.has_payload:
        raise EditFailed(
            "there is data behind the ELF image, and the edit needs more room than there is"
            " before it",
            hint=f"it would have to get {_described(edit)}: do that before the data is appended, or"
            " leave the file alone (--exclude, or --damaged warn) and start it where the linker"
            " of its own system is (nix-ld, buildFHSEnv); nothing has changed",
        )
    raise Unproven("no layout could be proved safe (" + ("; ".join(faults) or "no room") + ")")


def _carry_out(
    edited: Edited, before_write: Callable[[Edited], None] | None, write: Callable[[int], None]
) -> None:
    """Write to the inode that was read, which must be what it was, or leave it so."""
    if before_write is not None:
        before_write(edited)
    descriptor = os.open(edited.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino, status.st_size) != (*edited.inode, edited.size_before):
            raise EditFailed("it changed while the edit was prepared")
        try:
            write(descriptor)
        except BaseException:
            edited.restore(descriptor)
            raise
    finally:
        os.close(descriptor)


def _write(descriptor: int, edited: Edited, changes: list[Change]) -> None:
    # A full disk shows at the end of the file, before anything is written over.
    for change in sorted(changes, key=lambda c: (c.end <= edited.size_before, c.offset)):
        write_all_at(descriptor, change.new, change.offset)
    if os.fstat(descriptor).st_size != edited.size_after:
        os.ftruncate(descriptor, edited.size_after)
    for change in changes:
        if read_at(descriptor, change.offset, len(change.new)) != change.new:
            raise EditFailed("what was written does not read back")

"""A wheel written again with some members exchanged, so that equal inputs give equal bytes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat

from nix_manylinux.base.digest import digest_of, sha256_of
from nix_manylinux.base.errors import BadWheel, WriteFailed
from nix_manylinux.base.files import executable, is_temporary, temporary_beside, write_all_at
from nix_manylinux.base.signals import signals_held
from nix_manylinux.base.values import replace
from nix_manylinux.wheel.archive.encode import directory, dos_moment, place_members
from nix_manylinux.wheel.archive.write import Content, deflate, fill
from nix_manylinux.wheel.record import Record, Row, parse_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from nix_manylinux.base.progress import Progress
    from nix_manylinux.wheel.archive.format import Member
    from nix_manylinux.wheel.open import Wheel

#: The member of the dist-info folder that names the store paths, one a line.
#: Nix scans a build's output for them and can't look into packed members:
#: without it, a patched wheel would not keep its libraries alive.
REFERENCES = "nix-manylinux-references"

#: What is being written to a folder ends so; no tree takes it for its own.
_UNFINISHED = "whl.tmp"


def write_wheel(
    wheel: Wheel,
    changed: Mapping[str, str],
    *,
    output_path: str,
    extra: Mapping[str, str | bytes] | None = None,
    allowed: Collection[str] = (),
    source_date_epoch: int | None = None,
    compression: int = 0,
    scratch: str = "",
    check: Callable[[str], None] | None = None,
    sha256: bool = True,
    sync: bool = True,
    progress: Progress | None = None,
) -> str:
    """Write ``wheel`` to ``output_path`` with new contents; give the file's SHA-256 in hex.

    ``changed`` maps member names to files, ``extra`` names of new (or renewed)
    members to bytes, or to files; both are listed in RECORD, and stored unpacked, or
    deflated at the level ``compression``, for which ``scratch`` is an empty folder. Other
    members are copied as they are packed, in the same order; new ones come
    before RECORD. Modes stay, but members in ``allowed`` may be executed; times
    are ``source_date_epoch`` (seconds, UTC) where that is given, else the
    input's. A `REFERENCES` member of an earlier run that is not in ``extra``
    is left out. The wheel's contents must have been checked, by `Wheel.unpack` or `Wheel.extract`.
    Without ``sha256``, for which all of the output is read once more, "" is given.
    ``check`` is called with the path of the whole file before it gets its name; what it
    raises is raised, and there is no output.

    The output is written beside its place, synced (unless ``sync`` is false: then a loss of
    power may leave a part of it), and renamed: after a failure the old file is there and
    nothing else. Raises WriteFailed, and
    BadWheel where the input changed meanwhile.
    """
    own = f"{wheel.dist_info}/RECORD"
    extra = dict(extra or {})
    unknown = changed.keys() - {member.name for member in wheel.members} | {own} & extra.keys()
    if unknown or own in changed:
        raise ValueError(f"no members to change: {sorted(unknown) or own}")
    try:
        algorithms = {row.path: row.algorithm for row in wheel.record.rows}
        sources: dict[str, str | bytes] = {**changed, **extra}
        sources |= _nested_records(wheel, changed)
        contents = {
            name: Content(source, algorithms.get(name) or "sha256")
            for name, source in sources.items()
        }
        dropped = {f"{wheel.dist_info}/{REFERENCES}"} - extra.keys()
        members = [m for m in _members(wheel.members, own, list(extra)) if m.name not in dropped]
        changes = wheel.mended or bool(contents) or len(members) < len(wheel.members)
        packs = bool(compression) and changes
        renewed = dict(contents)
        if packs:
            deflate([*contents.values()], compression, scratch)
        if changes:
            # Where digests are still missing, it is as long as it will be.
            renewed[own] = _new_record(wheel.record, own, contents, dropped)
            if packs:
                deflate([renewed[own]], compression, scratch)
        placed = place_members(_renewed(members, renewed, allowed, source_date_epoch))
        # RECORD is the last to be known, wherever its place is.
        pairs = list(zip(members, placed, strict=True))
        before = [pair for pair in pairs if pair[0].name != own] if changes else pairs
        with _replaced(output_path, sync=sync) as (descriptor, temporary):
            written = fill(wheel.descriptor, descriptor, before, contents, progress)
            if changes:
                if not packs:
                    renewed[own] = _new_record(wheel.record, own, contents, dropped)
                (place,) = (member for member in placed if member.name == own)
                written[own] = renewed[own].write(descriptor, place)
            end = placed[-1].data + placed[-1].packed
            write_all_at(descriptor, directory([written[m.name] for m in placed]), end)
            if check is not None:
                check(temporary)
            return sha256_of(descriptor).hex() if sha256 else ""
    except BadWheel as error:
        error.at(wheel.path)
        raise
    except OSError as cause:
        raise WriteFailed(
            f"can't be written: {cause.strerror}",
            where=output_path,
            hint="make room there, or name another --output-dir",
        ) from cause


def is_nested_record(name: str) -> bool:
    """Whether a member is the RECORD of a distribution that the wheel carries as files."""
    return name.endswith(".dist-info/RECORD") and name.count("/") > 1


def _nested_records(wheel: Wheel, changed: Mapping[str, str]) -> dict[str, bytes]:
    """Give the new RECORDs of distributions that the wheel carries as files (ray's), by member.

    Those have rows for files that change; the innermost are first, for others list them.
    What can't be read as a RECORD is a file like any other.
    """
    names = [member.name for member in wheel.members if is_nested_record(member.name)]
    renewed: dict[str, bytes] = {}
    for name in sorted(names, key=lambda each: each.count("/"), reverse=True):
        base = name.rsplit("/", 2)[0]
        try:
            record = parse_record(wheel.read(name), error=BadWheel, where=name)
        except BadWheel:
            continue
        rows = []
        for row in record.rows:
            path = f"{base}/{row.path}"
            if not row.hash or path not in {**changed, **renewed}:
                rows.append(row)
                continue
            data = renewed[path] if path in renewed else _contents(changed[path])
            rows.append(record.row(row.path, digest_of([data]), len(data)))
        if tuple(rows) != record.rows:
            renewed[name] = replace(record, rows=tuple(rows)).encode()
    return renewed


def _contents(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _new_record(
    record: Record, own: str, contents: Mapping[str, Content], dropped: set[str]
) -> Content:
    """Give RECORD with a true row for all contents; rows for new members before its own."""
    listed = {row.path for row in record.rows}
    added = [
        record.row(name, content.hash, content.size)
        for name, content in contents.items()
        if name not in listed
    ]
    rows: list[Row] = []
    for row in record.rows:
        if row.path in dropped:
            continue
        if row.path == own:
            rows += added
            added = []
        content = contents.get(row.path)
        # Even the same digest gets a row of our own spelling, of a length that is known before.
        rows.append(record.row(row.path, content.hash, content.size) if content else row)
    renewed = Record(rows=(*rows, *added), line_end=record.line_end)
    return Content(renewed.encode(), "sha256")


def _members(members: tuple[Member, ...], own: str, extra: list[str]) -> list[Member]:
    """Put members that are new in front of RECORD, with RECORD's time."""
    names = [member.name for member in members]
    at, mode = names.index(own), (stat.S_IFREG | 0o644) << 16
    added = [
        replace(members[at], name=name, utf8=not name.isascii(), system=3, attributes=mode)
        for name in extra
        if name not in names
    ]
    return [*members[:at], *added, *members[at:]]


def _renewed(
    members: Iterable[Member],
    contents: Mapping[str, Content],
    allowed: Collection[str],
    source_date_epoch: int | None,
) -> Iterator[Member]:
    """Give the members as they are to be but for CRCs; those in ``contents`` are new."""
    moment = None if source_date_epoch is None else dos_moment(source_date_epoch)
    for member in members:
        new = _allowed(member) if member.name in allowed else member
        if moment is not None:
            new = replace(new, moment=moment)
        content = contents.get(member.name)
        if content is not None:
            method, size, packed = content.method, content.size, content.packed
            new = replace(new, method=method, size=size, packed=packed)
        yield new


def _allowed(member: Member) -> Member:
    """Let everybody execute a member, in the words that installers look for."""
    mode = executable(stat.S_IMODE(member.attributes >> 16) or 0o644)
    attributes = (stat.S_IFREG | mode) << 16 | member.attributes & 0xFFFF
    return replace(member, system=3, attributes=attributes)


def _begin(path: str) -> tuple[str, int]:
    """Open a new file beside ``path`` that is locked while it is open."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    while True:
        temporary = temporary_beside(path, _UNFINISHED)
        # The umask decides about the file's mode, as for any other output.
        descriptor = os.open(temporary, flags, 0o666)
        with contextlib.suppress(OSError):  # no locks here: then nobody tidies up either
            # Who took it for a killed run's holds the lock until it is deleted.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.exists(temporary):
            return temporary, descriptor
        os.close(descriptor)  # taken for a killed run's before it was locked


def _delete_unfinished(folder: str) -> None:
    """Delete what killed runs left in the folder: what nobody holds a lock on."""
    for name in os.listdir(folder):
        if not is_temporary(name, _UNFINISHED):
            continue
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def _replaced(path: str, *, sync: bool) -> Iterator[tuple[int, str]]:
    """Open a new file that takes the place of ``path`` when the block is done, or vanishes.

    Gives its descriptor, and its name meanwhile.
    """
    _delete_unfinished(os.path.dirname(path) or ".")
    with signals_held() as interrupts:
        temporary, descriptor = _begin(path)
        try:
            try:
                interrupts.release()
                yield descriptor, temporary
                if sync:
                    os.fsync(descriptor)
            finally:
                interrupts.hold()
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(descriptor)  # and its lock: until here nobody takes it for a killed run's
    if not sync:
        return
    # The new file is there, whole and synced. That its name survives a loss of
    # power is not worth an error, and not every file system can say so.
    with contextlib.suppress(OSError):
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

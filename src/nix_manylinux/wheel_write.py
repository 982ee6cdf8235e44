"""A wheel written again with some members exchanged, so that equal inputs give equal bytes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import zlib

from nix_manylinux.archive import packed_pieces
from nix_manylinux.archive_write import ArchiveWriter, dos_moment
from nix_manylinux.errors import BadWheel, WriteFailed
from nix_manylinux.modes import executable
from nix_manylinux.progress import told
from nix_manylinux.record import Record, encode_digest, new_hash
from nix_manylinux.signals import signals_held
from nix_manylinux.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from nix_manylinux.archive_format import Member
    from nix_manylinux.progress import Progress
    from nix_manylinux.record import Row
    from nix_manylinux.wheel import Wheel

#: The member of the dist-info folder that names the store paths, one a line.
#: Nix scans a build's output for them and can't look into packed members:
#: without it, a patched wheel would not keep its libraries alive.
REFERENCES = "nix-manylinux-references"

_CHUNK = 1 << 20

#: What is being written to a folder; no tree takes it for its own.
_UNFINISHED = re.compile(r"\.nix-manylinux-[0-9a-f]{16}\.whl\.tmp")


class _Source:
    """The new contents of one member: a file or bytes, summed up once, read again to be written."""

    def __init__(self, source: str | bytes, algorithm: str) -> None:
        self._source = source
        self.size = 0
        self.crc = 0
        state = new_hash(algorithm)
        for piece in self.pieces():
            state.update(piece)
            self.crc = zlib.crc32(piece, self.crc)
            self.size += len(piece)
        self.hash = encode_digest(algorithm, state.digest())

    def pieces(self) -> Iterator[bytes]:
        if isinstance(self._source, bytes):
            yield self._source
            return
        with open(self._source, "rb") as file:
            while piece := file.read(_CHUNK):
                yield piece


def write_wheel(
    wheel: Wheel,
    changed: Mapping[str, str],
    *,
    output_path: str,
    extra: Mapping[str, bytes] | None = None,
    allowed: Collection[str] = (),
    source_date_epoch: int | None = None,
    progress: Progress | None = None,
) -> str:
    """Write ``wheel`` to ``output_path`` with new contents; give the file's SHA-256 in hex.

    ``changed`` maps member names to files, ``extra`` names of new (or renewed)
    members to bytes; both are stored unpacked and listed in RECORD. Other
    members are copied as they are packed, in the same order; new ones come
    before RECORD. Modes stay, but members in ``allowed`` may be executed; times
    are ``source_date_epoch`` (seconds, UTC) where that is given, else the
    input's. A `REFERENCES` member of an earlier run that is not in ``extra``
    is left out. The wheel's contents must have been checked, by `Wheel.unpack` or `Wheel.verify`.

    The output is written beside its place, synced, and renamed: after a
    failure the old file is there and nothing else. Raises WriteFailed, and
    BadWheel where the input changed meanwhile.
    """
    own = f"{wheel.dist_info}/RECORD"
    extra = dict(extra or {})
    unknown = changed.keys() - {member.name for member in wheel.members} | {own} & extra.keys()
    if unknown or own in changed:
        raise ValueError(f"no members to change: {sorted(unknown) or own}")
    try:
        algorithms = {row.path: row.algorithm for row in wheel.record.rows}
        contents: dict[str, str | bytes] = {**changed, **extra}
        sources = {
            name: _Source(content, algorithms.get(name) or "sha256")
            for name, content in contents.items()
        }
        dropped = {f"{wheel.dist_info}/{REFERENCES}"} - extra.keys()
        record = _new_record(wheel.record, own, sources, dropped)
        data = record.encode()
        if data != wheel.record.encode():
            sources[own] = _Source(data, "sha256")
        members = _members(wheel.members, own, [name for name in sources if name in extra])
        with _replaced(output_path) as descriptor:
            writer = ArchiveWriter(descriptor)
            for member in told(members, progress, "writing"):
                if member.name in dropped:
                    continue
                if member.name in allowed:
                    member = _allowed(member)  # noqa: PLW2901
                if source_date_epoch is not None:
                    member = replace(member, moment=dos_moment(source_date_epoch))  # noqa: PLW2901
                source = sources.get(member.name)
                if source is None:
                    writer.add(member, packed_pieces(wheel.descriptor, member))
                else:
                    writer.add_stored(member, source.size, source.crc, source.pieces())
            return writer.finish()
    except BadWheel as error:
        error.at(wheel.path)
        raise
    except OSError as cause:
        raise WriteFailed(
            f"can't be written: {cause.strerror}",
            where=output_path,
            hint="make room there, or name another --output-dir",
        ) from cause


def _new_record(
    record: Record, own: str, sources: Mapping[str, _Source], dropped: set[str]
) -> Record:
    """Give RECORD with a true row for every source; rows for new members before its own."""
    listed = {row.path for row in record.rows}
    added = [
        record.row(name, source.hash, source.size)
        for name, source in sources.items()
        if name not in listed
    ]
    rows: list[Row] = []
    for row in record.rows:
        if row.path in dropped:
            continue
        if row.path == own:
            rows += added
            added = []
        source = sources.get(row.path)
        if source is None or (row.hash, row.size) == (source.hash, str(source.size)):
            rows.append(row)
        else:
            rows.append(record.row(row.path, source.hash, source.size))
    return Record(rows=(*rows, *added), line_end=record.line_end)


def _members(members: tuple[Member, ...], own: str, extra: list[str]) -> list[Member]:
    """Put members that are new in front of RECORD, with RECORD's time."""
    present = {member.name for member in members}
    result = []
    for member in members:
        if member.name == own:
            result += [
                replace(
                    member,
                    name=name,
                    utf8=not name.isascii(),
                    system=3,
                    attributes=(stat.S_IFREG | 0o644) << 16,
                )
                for name in extra
                if name not in present
            ]
        result.append(member)
    return result


def _allowed(member: Member) -> Member:
    """Let everybody execute a member, in the words that installers look for."""
    mode = executable(stat.S_IMODE(member.attributes >> 16) or 0o644)
    attributes = (stat.S_IFREG | mode) << 16 | member.attributes & 0xFFFF
    return replace(member, system=3, attributes=attributes)


def _begin(path: str) -> tuple[str, int]:
    """Open a new file beside ``path`` that is locked while it is open."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    while True:
        name = f".nix-manylinux-{os.urandom(8).hex()}.whl.tmp"
        temporary = os.path.join(os.path.dirname(path), name)
        # The umask decides about the file's mode, as for any other output.
        descriptor = os.open(temporary, flags, 0o666)
        with contextlib.suppress(OSError):  # no locks here: then nobody tidies up either
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.exists(temporary):
            return temporary, descriptor
        os.close(descriptor)  # taken for a killed run's before it was locked


def _delete_unfinished(folder: str) -> None:
    """Delete what killed runs left in the folder: what nobody holds a lock on."""
    for name in os.listdir(folder):
        if not _UNFINISHED.fullmatch(name):
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
def _replaced(path: str) -> Iterator[int]:
    """Open a new file that takes the place of ``path`` when the block is done, or vanishes."""
    _delete_unfinished(os.path.dirname(path) or ".")
    with signals_held() as interrupts:
        temporary, descriptor = _begin(path)
        try:
            try:
                interrupts.release()
                yield descriptor
                os.fsync(descriptor)
            finally:
                interrupts.hold()
                os.close(descriptor)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    # The new file is there, whole and synced. That its name survives a loss of
    # power is not worth an error, and not every file system can say so.
    with contextlib.suppress(OSError):
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

"""RECORD: the rows of a wheel's or an installed distribution's list of files.

The format is https://packaging.python.org/specifications/recording-installed-packages/:
CSV with path, ``algorithm=digest`` (urlsafe base64, unpadded) and size.

The rows are read with the standard library's csv in wheels and trees alike,
not with ``installer.records``: its import alone costs more than patching a
small tree, and it keeps neither the line endings nor the spelling of the rows,
which a run that changes nothing must not touch. The tests hold the two
readers against each other.
"""

from __future__ import annotations

import binascii
import contextlib
import os
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from nix_manylinux.errors import BadTree, NixManylinuxError
from nix_manylinux.files import replace_file, writable_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    class _Hash(Protocol):
        def update(self, data: bytes | memoryview, /) -> None: ...
        def digest(self) -> bytes: ...


#: "sha256 or better; specifically, md5, sha1 and sha224 cannot be used" is the
#: rule of the format; these are the ones that every hashlib has.
STRONG_HASHES = frozenset(
    {"sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512", "blake2b", "blake2s"}
)

#: Bytes. torch's, with 12,000 rows, has 1.3 million.
MAX_RECORD_SIZE = 256 * 2**20

_CHUNK = 1 << 20
_URLSAFE = bytes.maketrans(b"+/", b"-_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row as it stands. ``text`` is its spelling, the line ending included.

    ``hash`` and ``size`` are empty where the row makes no claim.
    """

    path: str
    hash: str
    size: str
    text: str

    @property
    def algorithm(self) -> str:
        """The name in front of the digest; empty where there is no hash."""
        return self.hash.partition("=")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """All rows in order, and the line ending that new ones get."""

    rows: tuple[Row, ...]
    line_end: str = "\n"

    def row(self, path: str, hash_: str = "", size: int | str = "") -> Row:
        """Make a row, quoted where CSV wants that, that ends as the other rows do."""
        shown = '"' + path.replace('"', '""') + '"' if set(path) & set(',"\r\n') else path
        text = f"{shown},{hash_},{size}{self.line_end}"
        return Row(path=path, hash=hash_, size=str(size), text=text)

    def encode(self) -> bytes:
        """Give the file's bytes: rows that nobody touched as they were spelt."""
        # The last row of some files has no line ending; one in front of
        # another row needs it.
        texts = [row.text for row in self.rows]
        for i, text in enumerate(texts[:-1]):
            if not text.endswith(("\n", "\r")):
                texts[i] = text + self.line_end
        return "".join(texts).encode("utf-8", "surrogateescape")


def parse_record(
    data: bytes, *, error: type[NixManylinuxError], where: str, strict: bool = True
) -> Record:
    """Read the rows; ``error`` is raised for what is no RECORD.

    ``strict`` wants UTF-8, as the format says; without it other bytes in
    names are kept (surrogateescape), for trees whose files have such names.
    """
    import csv  # noqa: PLC0415 - only trees with a RECORD need it
    import io  # noqa: PLC0415

    try:
        text = data.decode("utf-8", "strict" if strict else "surrogateescape")
    except UnicodeDecodeError as cause:
        raise error(f"is not UTF-8 at byte {cause.start}", where=where, hint=_REBUILD) from cause
    if "\0" in text:
        raise error("holds a NUL byte", where=where, hint=_REBUILD)

    spelling: list[str] = []

    def lines() -> Iterator[str]:
        # newline="" cuts at \n, \r and \r\n only, and keeps them.
        for line in io.StringIO(text, newline=""):
            spelling.append(line)
            yield line

    rows: list[Row] = []
    reader = csv.reader(lines(), strict=True)
    try:
        for fields in reader:
            if fields:
                if len(fields) != 3 or not fields[0]:
                    raise error(
                        f"line {reader.line_num} has {len(fields)} fields,"
                        " not a path, a hash and a size",
                        where=where,
                        hint=_REBUILD,
                    )
                path, hash_, size = fields
                rows.append(Row(path=path, hash=hash_, size=size, text="".join(spelling)))
            spelling.clear()
    except csv.Error as cause:
        raise error(
            f"line {reader.line_num} is not CSV: {cause}", where=where, hint=_REBUILD
        ) from cause
    crlf = bool(rows) and rows[0].text.endswith("\r\n")
    return Record(rows=tuple(rows), line_end="\r\n" if crlf else "\n")


_REBUILD = "install or build the package again; its list of files is damaged"


def new_hash(algorithm: str) -> _Hash:
    """Start one of the `STRONG_HASHES`."""
    import hashlib  # noqa: PLC0415 - a tree without a RECORD never hashes

    if algorithm == "sha256":  # the usual one, past hashlib.new's search
        return hashlib.sha256()
    return hashlib.new(algorithm)


def encode_digest(algorithm: str, digest: bytes) -> str:
    """Spell a digest as RECORD does: ``sha256=`` and unpadded urlsafe base64."""
    encoded = binascii.b2a_base64(digest, newline=False).translate(_URLSAFE).rstrip(b"=")
    return f"{algorithm}={encoded.decode('ascii')}"


def hash_descriptor(descriptor: int, algorithm: str = "sha256") -> tuple[str, int]:
    """Hash an open file from its current position: the RECORD spelling and the bytes read."""
    state = new_hash(algorithm)
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    size = 0
    while count := os.readv(descriptor, [buffer]):
        state.update(view[:count])
        size += count
    return encode_digest(algorithm, state.digest()), size


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordUpdate:
    """What `update_record` found: rows that were untrue before us, and rows of vanished files.

    ``outside`` counts rows that lead out of the tree; they are left alone.
    ``written`` says whether the file changed; `undo` puts the old one back.
    """

    stale: int = 0
    dropped: int = 0
    outside: int = 0
    written: bool = False
    _undo: Callable[[], None] | None = None

    def undo(self) -> None:
        """Put the old file back, or do nothing where none was written."""
        if self._undo is not None:
            self._undo()


def update_record(root: str, dist_info: str, changed: Iterable[str] = ()) -> RecordUpdate:
    """Make the RECORD in ``dist_info`` true for every file that it lists.

    ``dist_info`` and ``changed`` are relative to ``root``; rows of ``changed``
    files are brought up to date and don't count as stale. Every listed file is
    read once: an installed tree is stale before us (shebangs, wrapped
    programs, removed tests), and SHA-256 of all of torch takes half a second.
    Order and line endings stay; rows without a hash stay without, RECORD's own
    among them. A row that leads out of ``root`` is neither read nor changed.
    The file is written only if it changes, by a rename: a link is replaced,
    not followed. No RECORD: nothing to do. Raises BadTree.
    """
    path = os.path.join(root, dist_info, "RECORD")
    where = os.path.join(dist_info, "RECORD")
    try:
        data, status = _read_record(path, where)
    except FileNotFoundError:
        return RecordUpdate()
    except OSError as cause:
        raise _unreadable(cause, where) from cause
    record = parse_record(data, error=BadTree, where=where, strict=False)
    kept, found = _true_rows(record, root, os.path.dirname(dist_info), where, frozenset(changed))
    if kept == record.rows:
        return found

    old_link = os.readlink(path) if os.path.islink(path) else None
    fresh = Record(rows=kept, line_end=record.line_end).encode()

    def undo() -> None:
        if old_link is None:
            replace_file(path, data, status)
        else:
            with writable_folder(os.path.dirname(path)):
                os.unlink(path)
                os.symlink(old_link, path)

    try:
        replace_file(path, fresh, status)
    except OSError as cause:
        raise BadTree(
            f"can't be rewritten: {cause.strerror}",
            where=where,
            hint="give this user the right to write there, or free some space",
        ) from cause
    return replace(found, written=True, _undo=undo)


def _read_record(path: str, where: str) -> tuple[bytes, os.stat_result]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_RECORD_SIZE:
            raise BadTree(
                f"is no regular file of at most {MAX_RECORD_SIZE} bytes",
                where=where,
                hint=_REBUILD,
            )
        return file.read(), status


def _true_rows(
    record: Record, root: str, base: str, where: str, changed: frozenset[str]
) -> tuple[tuple[Row, ...], RecordUpdate]:
    kept: list[Row] = []
    stale = dropped = outside = 0
    for row in record.rows:
        place = _place(row.path, root, base)
        if place is None:
            outside += 1
            kept.append(row)
            continue
        truth = (
            _unhashed(record, row)
            if place == where
            else _true_row(record, row, os.path.join(root, place))
        )
        if truth is None:
            dropped += 1
            continue
        if truth is not row and place not in changed:
            stale += 1
        kept.append(truth)
    return tuple(kept), RecordUpdate(stale=stale, dropped=dropped, outside=outside)


def _place(path: str, root: str, base: str) -> str | None:
    """Where in the tree a row leads, None if out of it. Paths are relative to site-packages."""
    if path.startswith("/"):
        path = os.path.normpath(path)
        return os.path.relpath(path, root) if path.startswith(root.rstrip("/") + "/") else None
    place = os.path.normpath(os.path.join(base, path))
    return None if place == ".." or place.startswith("../") else place


def _unhashed(record: Record, row: Row) -> Row:
    return record.row(row.path) if row.hash or row.size else row


def _true_row(record: Record, row: Row, path: str) -> Row | None:
    """Give the row itself where it is true, another one where it isn't, None for no file."""
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
        raise _unreadable(cause, row.path) from cause
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return row
        if not row.hash:
            size = str(status.st_size)
            return row if row.size == size else record.row(row.path, "", size)
        algorithm = row.algorithm if row.algorithm in STRONG_HASHES else "sha256"
        hash_, count = hash_descriptor(descriptor, algorithm)
    except OSError as cause:
        raise _unreadable(cause, row.path) from cause
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    if row.hash == hash_ and row.size in {"", str(count)}:
        return row
    return record.row(row.path, hash_, count if row.size else "")


def _unreadable(cause: OSError, where: str) -> BadTree:
    return BadTree(
        f"can't be read: {cause.strerror}",
        where=where,
        hint="give this user the right to read it: chmod -R u+rX on the tree",
    )

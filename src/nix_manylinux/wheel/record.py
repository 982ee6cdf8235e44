"""RECORD: the rows of a wheel's or an installed distribution's list of files.

The format is https://packaging.python.org/specifications/recording-installed-packages/:
CSV with path, ``algorithm=digest`` (urlsafe base64, unpadded) and size.

Rows with quotes are read with the standard library's csv in wheels and trees
alike, not with ``installer.records``: its import alone costs more than patching
a small tree, and it keeps neither the line endings nor the spelling of the
rows, which a run that changes nothing must not touch. The tests hold the
readers against each other.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
from functools import partial

from nix_manylinux.base.digest import STRONG_HASHES, encode_digest, new_hash
from nix_manylinux.base.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nix_manylinux.base.errors import NixManylinuxError

    #: Makes an error of what is wrong.
    Refusal = Callable[[str], NixManylinuxError]

#: Bytes. torch's, with 12,000 rows, has 1.3 million.
MAX_RECORD_SIZE = 256 * 2**20

#: Characters; csv has it for a field.
_MAX_LINE = 128 * 2**10

#: Bytes read at once: many, as a thread that has hashed them waits for the interpreter.
_CHUNK = 1 << 23


class Row:
    """One row as it stands. ``text`` is its spelling, the line ending included.

    ``hash`` and ``size`` are empty where the row makes no claim. No `Value`:
    torch has 12,000 of them.
    """

    __slots__ = ("hash", "path", "size", "text")

    def __init__(self, path: str, hash_: str, size: str, text: str) -> None:
        self.path, self.hash, self.size, self.text = path, hash_, size, text

    @property
    def algorithm(self) -> str:
        """The name in front of the digest; empty where there is no hash."""
        return self.hash.partition("=")[0]

    def says(self, other: Row) -> bool:
        """Whether hash and size are those of a row in normal form, however they are spelt."""
        return self is other or (
            plain_hash(self.hash) == other.hash and plain_size(self.size) == other.size
        )


class Record(Value):
    """All rows in order, and the line ending that new ones get."""

    rows: tuple[Row, ...]
    line_end: str = "\n"

    def row(self, path: str, hash_: str = "", size: int | str = "") -> Row:
        """Make a row, quoted where CSV wants that, that ends as the other rows do."""
        text = ",".join(map(_field, (path, hash_, str(size)))) + self.line_end
        return Row(path, hash_, str(size), text)

    def encode(self) -> bytes:
        """Give the file's bytes: rows that nobody touched as they were spelt."""
        # The last row of some files has no line ending; one in front of
        # another row needs it.
        texts = [row.text for row in self.rows]
        for i, text in enumerate(texts[:-1]):
            if not text.endswith(("\n", "\r")):
                texts[i] = text + self.line_end
        return "".join(texts).encode("utf-8", "surrogateescape")


def _field(text: str) -> str:
    """Spell a field of CSV, in quotes where it needs them."""
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\r\n') else text


def parse_record(
    data: bytes, *, error: type[NixManylinuxError], where: str, strict: bool = True
) -> Record:
    """Read the rows; ``error`` is raised for what is no RECORD.

    ``strict`` wants UTF-8, as the format says; without it other bytes in
    names are kept (surrogateescape), for trees whose files have such names.
    """
    refusal = partial(error, where=where, hint=REBUILD)
    try:
        text = data.decode("utf-8", "strict" if strict else "surrogateescape")
    except UnicodeDecodeError as cause:
        raise refusal(f"is not UTF-8 at byte {cause.start}") from cause
    if "\0" in text:
        raise refusal("holds a NUL byte")

    rows: list[Row] = []
    for number, fields, spelling in (_quoted if '"' in text else _plain)(text, refusal):
        if len(fields) != 3 or not fields[0]:
            raise refusal(f"line {number} has {len(fields)} fields, not a path, a hash and a size")
        path, hash_, size = fields
        rows.append(Row(path, hash_, size, spelling))
    crlf = bool(rows) and rows[0].text.endswith("\r\n")
    return Record(rows=tuple(rows), line_end="\r\n" if crlf else "\n")


def _plain(text: str, refusal: Refusal) -> Iterator[tuple[int, list[str], str]]:
    """Read rows of which none is quoted: line, fields and spelling, as `_quoted` gives them."""
    # newline="" cuts at \n, \r and \r\n only, and keeps them.
    for number, line in enumerate(io.StringIO(text, newline=""), 1):
        if len(line) > _MAX_LINE:
            raise refusal(f"line {number} is not CSV: no path is so long")
        fields = line.rstrip("\r\n").split(",")
        if fields != [""]:
            yield number, fields, line


def _quoted(text: str, refusal: Refusal) -> Iterator[tuple[int, list[str], str]]:
    import csv  # noqa: PLC0415 - few RECORDs need it

    spelling: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            spelling.append(line)
            yield line

    reader = csv.reader(lines(), strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields, "".join(spelling)
            spelling.clear()
    except csv.Error as cause:
        raise refusal(f"line {reader.line_num} is not CSV: {cause}") from cause


#: What to do about a RECORD that can't be read.
REBUILD = "install or build the package again; its list of files is damaged"


def plain_path(path: str) -> str:
    """Spell a path as zip archives spell it: no byte order mark, no "./", forward slashes."""
    path = path.removeprefix("\ufeff").replace("\\", "/")
    if path.startswith(".") or "/." in path or "//" in path:
        path = posixpath.normpath(path) + "/" * path.endswith("/")
    return path


def plain_size(text: str) -> str:
    """Spell a size as the format says: installers take "+4" and " 04" for 4 (int, parse)."""
    if text.isdigit() and text.isascii() and text[0] != "0":
        return text  # as nearly all are
    found = re.fullmatch(_SIZE, text)
    return found[1] if found else text


_SIZE = r"[ \t]*\+?0*([0-9]+)[ \t]*"


def plain_hash(text: str) -> str:
    """Spell a hash as the format says: lower-case algorithm, unpadded urlsafe base64.

    Installers take digests with padding, in the standard alphabet, and (pip, uv) in hex,
    as catboost's and gmsh's wheels have them. What is no digest of its algorithm is
    given back as it is: nothing is equal to it.
    """
    if len(text) == _USUAL and text.startswith("sha256=") and not set("+/=") & set(text[7:]):
        return text  # as nearly all are: torch has 12,000 of them
    import base64  # noqa: PLC0415 - for odd ones

    algorithm, _, digest = text.partition("=")
    algorithm = algorithm.lower()
    if algorithm not in STRONG_HASHES:
        return text
    size = len(new_hash(algorithm).digest())
    try:
        if len(digest) == 2 * size and not digest.strip("0123456789abcdefABCDEF"):
            raw = bytes.fromhex(digest)
        else:
            letters = digest.rstrip("=").translate(_STANDARD)
            raw = base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except ValueError:
        return text
    return encode_digest(algorithm, raw) if len(raw) == size else text


#: Characters of "sha256=" and 32 bytes in unpadded base64.
_USUAL = 50

#: From the urlsafe alphabet to the standard one, which binascii knows.
_STANDARD = str.maketrans("-_", "+/")


def hash_descriptor(
    descriptor: int,
    algorithm: str = "sha256",
    size: int = _CHUNK,
    going: Callable[[], bool] = lambda: True,
) -> tuple[str, int]:
    """Hash an open file from its current position: the RECORD spelling and the bytes read.

    ``size`` is what is expected: a small file needs no large buffer. As soon as
    ``going`` says no it is given up, and what is returned means nothing.
    """
    state = new_hash(algorithm)
    total = 0
    if size < _CHUNK:  # one call reads it all, and shows that there is no more
        data = os.read(descriptor, size + 1)
        state.update(data)
        total = len(data)
        if total == size:
            return encode_digest(algorithm, state.digest()), total
    buffer = memoryview(bytearray(min(size + 1, _CHUNK)))
    while going() and (count := os.readv(descriptor, [buffer])):
        state.update(buffer[:count])
        total += count
    return encode_digest(algorithm, state.digest()), total

"""The members of an archive that is laid out, written to their places on all processors.

Each byte of a new member is read once, and hashed, summed and written while it
is at hand: RECORD and the headers tell of the bytes that are there. Old
members are copied as they are packed, small neighbours at one go.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence

from nix_manylinux.base.digest import digest_of, encode_digest, new_hash
from nix_manylinux.base.files import PIECE, write_all, write_all_at
from nix_manylinux.base.parallel import Look, in_parallel
from nix_manylinux.base.progress import Progress, shared
from nix_manylinux.base.values import replace
from nix_manylinux.wheel.archive.encode import local_header
from nix_manylinux.wheel.archive.format import DEFLATED, STORED, Member, bad, read_exactly
from nix_manylinux.wheel.archive.read import packed_pieces

#: A member as it is in the old archive, and as it is placed in the new one.
Pair = tuple[Member, Member]

#: Bytes of packed neighbours that are copied with one read and one write.
_RUN = 1 << 20
#: How many bytes are copied while one is hashed; how many are hashed while one is deflated.
_COPIED = 8
_DEFLATED = 8
#: Bytes that are deflated by themselves, and how far back deflate refers (RFC 1951).
_PART, _WINDOW = 4 << 20, 32 << 10
#: Less than so many bytes need no file when they are deflated.
_SMALL = 1 << 18


class Content:
    """What a member is to hold: ``source`` is a file's path, or bytes.

    ``size`` is known at once, ``hash`` once it is written, or `deflated`. Until then it is
    another digest of the same length, in RECORD's spelling. ``packed`` is the size in the
    archive.
    """

    def __init__(self, source: str | bytes, algorithm: str) -> None:
        self.source = source
        self._algorithm = algorithm
        self.size = self.packed = (
            len(source) if isinstance(source, bytes) else os.stat(source).st_size
        )
        self.hash = digest_of((), algorithm)
        #: The deflated bytes, or files that hold them, one behind the other; none if it is stored.
        self.parts: list[str | bytes] = []
        self._crc = 0

    @property
    def method(self) -> int:
        """How the member is packed."""
        return DEFLATED if self.parts else STORED

    def measure(self, look: Look) -> None:
        """Learn hash and CRC before anything is written."""
        state = new_hash(self._algorithm)
        for piece in self.pieces():
            look()
            state.update(piece)
            self._crc = zlib.crc32(piece, self._crc)
        self.hash = encode_digest(self._algorithm, state.digest())

    def part(self, start: int, end: int) -> bytes:
        """Give the bytes from ``start`` to ``end``."""
        if isinstance(self.source, bytes):
            return self.source[start:end]
        with open(self.source, "rb", buffering=0) as file:
            return os.pread(file.fileno(), end - start, start)

    def write(self, descriptor: int, member: Member, look: Look = lambda: None) -> Member:
        """Fill the member's place, header included; gives the member with its true CRC.

        ``look`` is called before each piece. Raises BadWheel where the file
        has another size by now, and OSError.
        """
        state, crc = new_hash(self._algorithm), 0
        position, end = member.data, member.data + member.packed
        for piece in self.pieces():
            look()
            if len(piece) > end - position:
                raise _changed(member)
            if not self.parts:
                state.update(piece)
                crc = zlib.crc32(piece, crc)
            write_all_at(descriptor, piece, position)
            position += len(piece)
        if position != end:
            raise _changed(member)
        if not self.parts:
            self.hash, self._crc = encode_digest(self._algorithm, state.digest()), crc
        member = replace(member, crc=self._crc)
        write_all_at(descriptor, local_header(member), member.start)
        return member

    def pieces(self) -> Iterator[bytes | memoryview]:
        """Give all bytes, as they are packed; each piece is good until the next is asked for."""
        for part in self.parts or [self.source]:
            yield from _pieces(part, self.size)


def _pieces(source: str | bytes, size: int) -> Iterator[bytes | memoryview]:
    """Give the bytes, or those of a file that has about so many; each piece until the next."""
    if isinstance(source, bytes):
        yield source
        return
    buffer = bytearray(min(size + 1, PIECE))
    view = memoryview(buffer)
    with open(source, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            yield view[:count]


def deflate(contents: Sequence[Content], level: int, folder: str) -> None:
    """Deflate contents on all processors, into files of ``folder``; their hashes are known then.

    Cut where they are cut, whatever number of processors there is, each part with what is
    before it as its dictionary: a stream like any other, a thousandth longer. What doesn't
    become shorter is stored. Raises OSError.
    """
    jobs: list[tuple[int, int]] = []
    for index, content in enumerate(contents):
        jobs += [(index, -1), *((index, start) for start in range(0, content.size, _PART))]
    sizes = [
        contents[i].size if start < 0 else _DEFLATED * min(_PART, contents[i].size - start)
        for i, start in jobs
    ]
    names = len(os.listdir(folder))  # of an earlier call: names tell of nothing else

    def do(number: int, look: Look) -> tuple[str | bytes, int]:
        index, start = jobs[number]
        content = contents[index]
        if start < 0:
            content.measure(look)
            return b"", 0
        packed = _deflated(content, start, level, look)
        if content.size <= _SMALL:
            data = b"".join(packed)
            return data, len(data)
        path = os.path.join(folder, f"{names}-{number}")
        with open(path, "wb", buffering=0) as file:
            for piece in packed:
                write_all(file.fileno(), piece)
            return path, file.tell()

    parts: dict[int, list[tuple[str | bytes, int]]] = {}
    for (index, start), made in zip(jobs, in_parallel(do, sizes), strict=True):
        if start >= 0:
            parts.setdefault(index, []).append(made)
    for index, made_of in parts.items():
        packed = sum(size for _, size in made_of)
        if packed < contents[index].size:
            contents[index].packed = packed
            contents[index].parts = [part for part, _ in made_of]


def _deflated(content: Content, start: int, level: int, look: Look) -> Iterator[bytes]:
    """Give the deflated bytes of one part, as they come."""
    before = content.part(max(0, start - _WINDOW), start)
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 8, 0, before)
    end = min(start + _PART, content.size)
    for place in range(start, end, PIECE):
        look()
        yield packer.compress(content.part(place, min(place + PIECE, end)))
    yield packer.flush(zlib.Z_FINISH if end == content.size else zlib.Z_SYNC_FLUSH)


def _changed(member: Member) -> Exception:
    return bad("changed while it was copied", member.name, "run again")


def fill(
    source: int,
    target: int,
    pairs: Sequence[Pair],
    contents: Mapping[str, Content],
    progress: Progress | None = None,
) -> dict[str, Member]:
    """Write every member of ``pairs`` to its place in ``target``, an open file.

    Those in ``contents`` get what is there, the others the packed bytes that
    they have in ``source``. Gives the new members, with their true CRCs, by name.
    Raises BadWheel and OSError.
    """
    jobs = list(_jobs(pairs, contents))
    step = shared(pairs, progress, "writing")
    written: dict[str, Member] = {}

    def do(index: int, look: Look) -> None:
        job = jobs[index]
        for _ in job:
            step()
        content = contents.get(job[0][1].name)
        if content is None:
            _copy(source, target, job, look)
            written.update((new.name, new) for _, new in job)
        else:
            ((_, new),) = job
            written[new.name] = content.write(target, new, look)

    def cost(job: Sequence[Pair]) -> int:
        first, last = job[0][1], job[-1][1]
        size = last.data + last.packed - first.start
        return size if first.name in contents else size // _COPIED

    in_parallel(do, [cost(job) for job in jobs])
    step()
    return written


def _jobs(pairs: Sequence[Pair], contents: Mapping[str, Content]) -> Iterator[list[Pair]]:
    """Divide the members: new ones each by itself, and runs of neighbours in both archives."""
    run: list[Pair] = []
    for pair in pairs:
        old, new = pair
        if run and (new.name in contents or not _is_next(run, old, new)):
            yield run
            run = []
        if new.name in contents:
            yield [pair]
        else:
            run.append(pair)
    if run:
        yield run


def _is_next(run: Sequence[Pair], old: Member, new: Member) -> bool:
    (first, _), (last, placed) = run[0], run[-1]
    return (
        placed.data + placed.packed == new.start
        and last.data + last.packed <= old.start
        and old.data + old.packed - first.data <= _RUN
    )


def _copy(source: int, target: int, run: Sequence[Pair], look: Look) -> None:
    """Copy the packed bytes of neighbours, under new headers."""
    old, new = run[0]
    if len(run) == 1:
        write_all_at(target, local_header(new), new.start)
        position = new.data
        for piece in packed_pieces(source, old):
            look()
            write_all_at(target, piece, position)
            position += len(piece)
        return
    start, last = old.data, run[-1][0]
    data = memoryview(read_exactly(source, last.data + last.packed - start, start))
    pieces: list[bytes | memoryview] = []
    for old, placed in run:
        at = old.data - start
        pieces += (local_header(placed), data[at : at + old.packed])
    write_all_at(target, b"".join(pieces), new.start)

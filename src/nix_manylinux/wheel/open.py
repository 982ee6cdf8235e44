"""Wheels: an archive that an installer may be given, opened, unpacked and checked.

What a wheel must be is https://packaging.python.org/specifications/binary-distribution-format/;
`wheel.archive` says what the zip file itself must be. Every error is a `BadWheel`
that names the wheel and the member.
"""

from __future__ import annotations

import os
import stat
from itertools import chain

from nix_manylinux.base.digest import encode_digest, new_hash
from nix_manylinux.base.errors import BadWheel, WriteFailed
from nix_manylinux.base.files import PIECE, SMALLEST_ELF, is_called_library, make_folder, write_all
from nix_manylinux.base.parallel import Look, in_parallel
from nix_manylinux.base.progress import Progress, shared
from nix_manylinux.base.scratch import ROOM
from nix_manylinux.base.values import Value, field
from nix_manylinux.wheel.archive.format import UNTRUE_RECORD, Member, bad
from nix_manylinux.wheel.archive.read import read_directory, stream
from nix_manylinux.wheel.checks import (
    check_identity,
    find_dist_info,
    read_metadata,
    read_text,
    settle_record,
    split_file_name,
)
from nix_manylinux.wheel.contents import MemberFiles, Output
from nix_manylinux.wheel.metadata import MAX_METADATA, MAX_WHEEL, Distribution, read_headers
from nix_manylinux.wheel.name import wheel_file_name
from nix_manylinux.wheel.record import MAX_RECORD_SIZE, Record, parse_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _hashlib import HASH
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet


#: Where site-packages is in an unpacked wheel: the interpreter is not known yet,
#: so what is above it is the tree's ``floating`` folder.
FLOATING = "lib/python"
SITE_PACKAGES = f"{FLOATING}/site-packages"

#: Folders of ``NAME-VERSION.data``, and where an installer puts them below a prefix.
_SCHEMES = {
    "purelib": f"{SITE_PACKAGES}/",
    "platlib": f"{SITE_PACKAGES}/",
    "scripts": "bin/",
    "headers": "include/",
    "data": "",
}


class UnpackedWheel(Value):
    """What `Wheel.unpack` wrote: every file's place below ``root``, with its member's name.

    ``places`` are those of all files that an installer would write; ``marked`` are the
    members that hold a mark of theirs, or that are too large to tell.
    """

    root: str
    labels: Mapping[str, str]
    places: Sequence[str]
    marked: AbstractSet[str] = frozenset()

    def make_folders(self, paths: Iterable[str]) -> None:
        """Make those of the absolute ``paths`` that an installer would make. Raises WriteFailed."""
        start = f"{os.path.realpath(self.root)}/"
        for path in paths:
            if path.startswith(start) and not os.path.isdir(path):
                inside = f"{path[len(start) :]}/"
                if any(place.startswith(inside) for place in self.places):
                    make_folder(path, hint=ROOM)


class Wheel(Value):
    """An open wheel whose structure was found right; its hashes are checked by `unpack`.

    ``file_name`` is the wheel's own, without the hash that the Nix store puts
    in front. ``members`` are in the order of the archive. ``mended`` is whether
    ``record`` is not RECORD as it stands: its own form was odd, or it lacked something,
    which ``warnings`` tell.
    """

    path: str
    file_name: str
    distribution: Distribution
    members: tuple[Member, ...]
    record: Record
    descriptor: int = field(repr=False)
    texts: Mapping[str, bytes] = field(repr=False)
    mended: bool = False
    warnings: tuple[str, ...] = ()

    def __enter__(self) -> Wheel:  # noqa: PYI034 - Self is newer than Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    @property
    def dist_info(self) -> str:
        """The name of its one dist-info folder."""
        return self.distribution.folder

    @property
    def is_purelib(self) -> bool:
        """Whether WHEEL says that the root is for ``purelib``; most wheels with ELF say no."""
        wheel = read_headers(self.texts[f"{self.dist_info}/WHEEL"])
        return wheel.get("root-is-purelib", [""])[0].lower() == "true"

    def read(self, name: str) -> bytes:
        """Give a member's contents. Raises BadWheel, KeyError where there is no such member."""
        (member,) = (each for each in self.members if each.name == name)
        return b"".join(stream(self.descriptor, member))

    def scheme_of(self, name: str) -> tuple[str, str]:
        """Give the scheme that a member is installed by, "" for the wheel's own, and its path."""
        data, _, rest = name.partition("/")
        if data == self.dist_info.removesuffix(".dist-info") + ".data" and rest:
            scheme, _, path = rest.partition("/")
            return scheme, path
        return "", name

    def location(self, name: str) -> str:
        """Give the path below a prefix at which an installer puts a member."""
        scheme, path = self.scheme_of(name)
        if not scheme:
            return f"{SITE_PACKAGES}/{name}"
        if scheme not in _SCHEMES:
            hint = f"known are {', '.join(_SCHEMES)}"
            raise bad(f"is for the unknown place {scheme!r}", name, hint)
        return _SCHEMES[scheme] + path

    def unpack(
        self,
        into: str,
        *,
        also: Callable[[str], bool] | None = None,
        marks: Callable[[str], Iterable[bytes]] | None = None,
        sources: MemberFiles | None = None,
        progress: Progress | None = None,
    ) -> UnpackedWheel:
        """Write the ELF files to ``into``, at the places that an installer would choose.

        Every member is read and held against RECORD, as in `extract`. Folders
        are made where a file is (9 of torch's 726). Written whole are ELF
        files, the dist-info folder's METADATA and WHEEL, and what ``also``
        takes by its name, or what may hold one of the ``marks`` that are given for its name; other
        files that are called like a library are there without contents, so that a search
        meets their names. What ``sources`` has is taken in place of the packed bytes, which
        are not looked at then. Raises BadWheel, WriteFailed.
        """
        places = {member.name: self.location(member.name) for member in self._files()}

        def output(member: Member) -> Output:
            name = member.name
            whole = name in self.texts or (also is not None and also(name))
            looked_for = tuple(marks(name)) if marks else ()
            return Output(f"{into}/{places[name]}", _own_mode(member), whole, looked_for)

        there = self._read_all(output, sources=sources, progress=progress)
        return UnpackedWheel(
            root=into,
            labels={places[name]: name for name in there},
            places=tuple(places.values()),
            marked={name for name, marked in there.items() if marked},
        )

    def extract(
        self,
        places: Mapping[str, str],
        *,
        mode: Callable[[Member], int] | None = None,
        cores: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write members whole, each to the absolute path that ``places`` has for its name.

        Every member, written or not, is read and held against RECORD: size, CRC, hash.
        ``mode`` gives a file's mode before the umask; by default it is the member's own.
        ``cores`` is how many processors are used at most. Raises BadWheel, WriteFailed.
        """
        mode = mode or _own_mode
        self._read_all(
            lambda each: Output(places.get(each.name), mode(each)), cores=cores, progress=progress
        )

    def _files(self) -> list[Member]:
        record = f"{self.dist_info}/RECORD"
        return [m for m in self.members if not m.is_folder and m.name != record]

    def _read_all(
        self,
        output_of: Callable[[Member], Output],
        *,
        progress: Progress | None,
        cores: int | None = None,
        sources: MemberFiles | None = None,
    ) -> dict[str, bool]:
        """Read all members on all cores; gives those that are written, and whether with a mark."""
        rows = {row.path: row for row in self.record.rows}
        members = self._files()
        step = shared(members, progress, "unpacking")

        def read(index: int, look: Look) -> tuple[bool, bool]:
            member = members[index]
            row, output = rows[member.name], output_of(member)
            step()
            if sources and (source := sources.find(member, row, look)):
                return source.put(output), False
            state = new_hash(row.algorithm)
            found = self._read_member(member, state, output, look)
            if encode_digest(row.algorithm, state.digest()) != row.hash:
                what = "does not have the hash that RECORD gives"
                raise bad(what, member.name, UNTRUE_RECORD)
            return found

        try:
            written = in_parallel(read, [member.size for member in members], cores=cores)
        except BadWheel as error:
            error.at(self.path)
            raise
        step()
        results = zip(members, written, strict=True)
        return {member.name: found for member, (there, found) in results if there}

    def _read_member(
        self, member: Member, state: HASH, output: Output, look: Look
    ) -> tuple[bool, bool]:
        """Hash one member; write it if it is one that we want, say so, and whether for a mark."""
        pieces, whole = stream(self.descriptor, member), output.whole
        head = b""
        # By four bytes an ELF file can be told from others.
        enough = min(member.size, PIECE) if output.marks and not whole else 4
        for piece in pieces:
            look()
            head += piece
            if len(head) >= enough:
                break
        marked = any(mark in head for mark in output.marks)
        marked |= bool(output.marks) and len(head) < member.size
        whole |= marked or (head.startswith(b"\x7fELF") and member.size >= SMALLEST_ELF)
        descriptor = -1
        try:
            if output.path is not None and (whole or is_called_library(member.name)):
                descriptor = output.create()
            for piece in chain((head,), pieces):
                look()
                state.update(piece)
                if whole and descriptor >= 0:
                    write_all(descriptor, piece)
        except OSError as cause:
            raise WriteFailed(
                f"can't be written: {cause.strerror}", where=output.path or self.path, hint=ROOM
            ) from cause
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return descriptor >= 0, marked


def _own_mode(member: Member) -> int:
    mode = stat.S_IMODE(member.attributes >> 16) & 0o777 | 0o600
    # Installers take the mode of what says nothing of its type for none.
    return mode if stat.S_ISREG(member.attributes >> 16) else mode & ~0o111


def open_wheel(path: str, *, max_size: int = MAX_WHEEL) -> Wheel:
    """Open a wheel and check all of its structure: the archive, the names, dist-info, RECORD.

    ``max_size`` is the unpacked size in bytes that is still believed. The
    wheel is a context manager, which closes its file. Raises BadWheel.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as cause:
        raise BadWheel(
            f"can't be opened: {getattr(cause, 'strerror', None) or cause}",
            where=path,
            hint="name a wheel file that this user may read",
        ) from cause
    try:
        return _open(descriptor, path, max_size)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, BadWheel):
            error.at(path)
        raise


def _open(descriptor: int, path: str, max_size: int) -> Wheel:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise bad("is no regular file", hint="name a wheel file")
    file_name = wheel_file_name(path)
    stem, build = split_file_name(file_name)
    members = read_directory(descriptor, max_size=max_size)
    dist_info = find_dist_info(members)
    by_name = {member.name: member for member in members}
    for signature in ("RECORD.jws", "RECORD.p7s"):
        if f"{dist_info}/{signature}" in by_name:
            raise bad(
                "signs RECORD, which patching must change",
                f"{dist_info}/{signature}",
                "take the signature out of the wheel, or patch what is installed from it",
            )
    texts = {
        name: read_text(descriptor, by_name, name, MAX_METADATA)
        for name in (f"{dist_info}/METADATA", f"{dist_info}/WHEEL")
    }
    distribution = read_metadata(texts, dist_info)
    check_identity(distribution, stem, build)
    name = f"{dist_info}/RECORD"
    record = parse_record(
        read_text(descriptor, by_name, name, MAX_RECORD_SIZE), error=BadWheel, where=name
    )
    settled, warnings = settle_record(record, members, name, descriptor)
    wheel = Wheel(
        path=path,
        file_name=file_name,
        distribution=distribution,
        members=members,
        record=settled,
        mended=settled is not record,
        warnings=warnings,
        descriptor=descriptor,
        texts=texts,
    )
    _check_locations(wheel)
    return wheel


def _check_locations(wheel: Wheel) -> None:
    """Refuse two members that would be installed at one place, or one below the other."""
    places: dict[str, str] = {}
    folders: dict[str, str] = {}
    for member in wheel.members:
        if member.is_folder:
            continue
        place = wheel.location(member.name)
        if place.endswith("/") or not place:
            raise bad("is a file where a folder has to be", member.name)
        if place in places:
            raise bad(f"is installed to the same place as {places[place]}", member.name)
        places[place] = member.name
        parent = place.rpartition("/")[0]
        while parent and parent not in folders:
            folders[parent] = member.name
            parent = parent.rpartition("/")[0]
    for place in places.keys() & folders.keys():
        raise bad(f"is installed where a folder is for {folders[place]}", places[place])

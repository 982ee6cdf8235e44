"""A wheel laid out as an interpreter wants it, by PyPA's installer; the bytes are written by us.

`installer` says what is installed where, what a script looks like, and what RECORD says
(https://packaging.python.org/specifications/binary-distribution-format/). Members are
inflated, checked and written on all cores before it runs: it is told what is there.
"""

from __future__ import annotations

import configparser
import os
import stat
from functools import cached_property
from pathlib import Path
from typing import cast

import installer
from installer.destinations import SchemeDictionaryDestination
from installer.records import Hash, RecordEntry
from installer.sources import WheelSource
from installer.utils import construct_record_file, fix_shebang

from nix_manylinux.base.errors import BadWheel
from nix_manylinux.base.files import EXECUTE, make_folder, write_all
from nix_manylinux.wheel.archive.format import Member, bad
from nix_manylinux.wheel.record import hash_descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from typing import BinaryIO

    from installer.utils import Scheme

    from nix_manylinux.base.progress import Progress
    from nix_manylinux.wheel.open import Wheel

#: What the dist-info folder says of who has installed it (PEP 376).
INSTALLER = b"nix-manylinux\n"

_ROOM = "make room there, or install into another prefix"


class Installation:
    """One wheel on its way into ``staging``, a folder that stands for ``prefix``.

    ``scheme`` are the folders of an interpreter for that prefix, absolute, by the names of
    sysconfig ("purelib", "platlib", "scripts", "data", "include"); scripts name
    ``interpreter``. ``signed`` is whether INSTALLER says who has installed it. ``warnings``
    are of what installers leave out. Raises BadWheel for a place that is not below the prefix.
    """

    def __init__(
        self,
        wheel: Wheel,
        *,
        scheme: Mapping[str, str],
        prefix: str,
        staging: str,
        interpreter: str,
        signed: bool = True,
    ) -> None:
        self.wheel = wheel
        self._signed = signed
        self.warnings: list[str] = []
        folders = {**scheme, "headers": f"{scheme['include']}/{wheel.distribution.name}"}
        self._destination = _Destination(folders, prefix, staging, interpreter)
        self.modules: list[str] = []
        #: Member name -> absolute path in the staging folder, of what is installed.
        self.files = dict(self._members())

    def _members(self) -> Iterator[tuple[str, str]]:
        record = f"{self.wheel.dist_info}/RECORD"
        root = "purelib" if self.wheel.is_purelib else "platlib"
        for member in self.wheel.members:
            if member.is_folder or member.name == record:
                continue
            if "__pycache__" in member.name.split("/")[:-1]:
                self.warnings.append(f"{member.name} is left out, as installers do: they compile")
                continue
            scheme, path = self.wheel.scheme_of(member.name)
            place = self._destination.place(scheme or root, path)
            if scheme in {"", "purelib", "platlib"} and place.endswith(".py"):
                self.modules.append(place)
            yield member.name, place

    @cached_property
    def digests(self) -> dict[str, tuple[str, int]]:
        """The digest and the size that the wheel's RECORD has for each place."""
        rows = {row.path: (row.hash, int(row.size)) for row in self.wheel.record.rows if row.hash}
        return {place: rows[name] for name, place in self.files.items()}

    def extract(
        self,
        present: Mapping[str, tuple[str, int]],
        *,
        cores: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write every member to its place, checked, and the scripts of its entry points.

        ``cores`` is how many processors are used at most. ``present`` maps places that
        other wheels have filled to their digests: a file that is the same may be there
        already. Raises BadWheel where it differs, and what `Wheel.extract` raises.
        """
        for name, place in self.files.items():
            if present.get(place, self.digests[place]) != self.digests[place]:
                raise BadWheel(
                    "another wheel has a different file for the same place",
                    where=f"{self.wheel.path}: {name}",
                    hint="install one of them into a prefix of its own",
                )
        wanted = {name: place for name, place in self.files.items() if place not in present}
        self.wheel.extract(wanted, mode=_mode, cores=cores, progress=progress)
        source = _Source(self.wheel, self.files)
        self._destination.rows |= self.digests
        try:
            more = {"INSTALLER": INSTALLER} if self._signed else {}
            installer.install(source, self._destination, more)
        except (ValueError, KeyError, AssertionError, configparser.Error) as error:
            why = str(error).partition("\n")[0] or "an entry point is none"
            raise BadWheel(
                f"can't be installed: {why}",
                where=self.wheel.path,
                hint="its entry_points.txt is not what installers read",
            ) from error

    def finish(self, changed: Collection[str]) -> None:
        """Write RECORD; the files of the paths ``changed`` are not what the wheel had."""
        self._destination.write_record(changed)


class _Source(WheelSource):
    """A wheel of ours in the words of `installer`: checked already, its files in place."""

    def __init__(self, wheel: Wheel, files: Mapping[str, str]) -> None:
        name, _, version = wheel.dist_info.removesuffix(".dist-info").rpartition("-")
        super().__init__(name, version)
        self._wheel = wheel
        self._files = files

    @property
    def dist_info_filenames(self) -> list[str]:
        """Names of the files of dist-info."""
        start = f"{self._wheel.dist_info}/"
        return [m.name[len(start) :] for m in self._wheel.members if m.name.startswith(start)]

    def read_dist_info(self, filename: str) -> str:
        """Text of one of them."""
        with open(self._files[f"{self._wheel.dist_info}/{filename}"], encoding="utf-8") as file:
            return file.read()

    def validate_record(self) -> None:
        """Do nothing: `open_wheel` and `Wheel.extract` have checked more."""

    def get_contents(self) -> Iterator[tuple[tuple[str, str, str], BinaryIO, bool]]:
        """Rows, contents and modes. RECORD is the destination's, which knows all digests."""
        for member in self._wheel.members:
            if member.name in self._files:
                path = self._files[member.name]
                with _Contents(path) as stream:
                    yield (member.name, "", ""), stream, bool(_mode(member) & EXECUTE)


class _Destination(SchemeDictionaryDestination):
    """Where everything is already: it writes what `installer` makes, and RECORD in the end."""

    def __init__(self, scheme: dict[str, str], prefix: str, staging: str, interpreter: str) -> None:
        super().__init__(scheme, interpreter, "posix")
        self._prefix, self._staging = prefix, staging
        #: Digest and size of each file that is in place.
        self.rows: dict[str, tuple[str, int]] = {}
        self._record: tuple[Scheme, str, list[tuple[Scheme, RecordEntry]]]

    def place(self, scheme: str, path: str) -> str:
        """Give a place in the staging folder; BadWheel where it isn't below the prefix."""
        final = os.path.normpath(f"{self.scheme_dict[scheme]}/{path}")
        if not final.startswith(f"{self._prefix}/"):
            raise bad(f"is installed to {final}, which is not below {self._prefix}", path)
        return self._staging + final[len(self._prefix) :]

    def write_file(
        self,
        scheme: Scheme,
        path: str | os.PathLike[str],
        stream: BinaryIO,
        is_executable: bool,  # noqa: FBT001 - installer's signature
    ) -> RecordEntry:
        """Give the row of a file that is there; a script may need its interpreter."""
        name = os.fspath(path)
        place = self.place(scheme, name)
        if place not in self.rows:
            return self.write_to_fs(scheme, name, stream, is_executable)
        if scheme == "scripts":
            with fix_shebang(stream, self.interpreter) as fixed:
                if fixed is not stream:
                    return self.write_to_fs(scheme, name, fixed, is_executable)
        return self._row(place, name)

    def write_to_fs(
        self,
        scheme: Scheme,
        path: str,
        stream: BinaryIO,
        is_executable: bool,  # noqa: FBT001 - installer's signature
    ) -> RecordEntry:
        """Write a file of `installer`'s making."""
        place = self.place(scheme, path)
        make_folder(os.path.dirname(place), hint=_ROOM)
        data = stream.read()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(place, flags, 0o777 if is_executable else 0o666)
        try:
            write_all(descriptor, data)
        finally:
            os.close(descriptor)
        return self._hashed(place, path)

    def _path_with_destdir(self, scheme: Scheme, path: str) -> Path:
        return Path(self.place(scheme, path))

    def finalize_installation(
        self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
    ) -> None:
        """Keep the rows until the files are linked."""
        self._record = scheme, record_file_path, list(records)

    def write_record(self, changed: Collection[str]) -> None:
        """Write RECORD, with what the files have now."""
        root, path, entries = self._record
        renewed = []
        for scheme, entry in entries:
            place = self.place(scheme, entry.path)
            if place in changed and (scheme, entry.path) != (root, path):
                renewed.append((scheme, self._hashed(place, entry.path)))
            else:
                renewed.append((scheme, entry))

        def prefix_of(scheme: str) -> str | None:
            if scheme == root:
                return None
            return os.path.relpath(self.scheme_dict[scheme], self.scheme_dict[root]) + "/"

        with construct_record_file(renewed, prefix_of) as stream:
            self.write_to_fs(root, path, stream, is_executable=False)

    def _hashed(self, place: str, path: str) -> RecordEntry:
        with open(place, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.rows[place] = hash_descriptor(file.fileno(), size=size)
        return self._row(place, path)

    def _row(self, place: str, path: str) -> RecordEntry:
        digest, size = self.rows[place]
        return RecordEntry(path, Hash.parse(digest), size)


class _Contents:
    """A file that is opened when it is read from: most are not."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> BinaryIO:
        return cast("BinaryIO", self)

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def __getattr__(self, name: str) -> object:
        if self._file is None:
            self._file = open(self._path, "rb", buffering=0)  # noqa: SIM115 - closed above
        return getattr(self._file, name)


def _mode(member: Member) -> int:
    """Give the mode that installers give a file, before the umask: 0666, or 0777."""
    mode = member.attributes >> 16
    return 0o777 if stat.S_ISREG(mode) and mode & EXECUTE else 0o666

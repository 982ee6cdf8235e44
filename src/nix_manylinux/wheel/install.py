"""A wheel laid out as an interpreter wants it: its files, its commands, its RECORD.

What is installed where is of
https://packaging.python.org/specifications/binary-distribution-format/; what a command looks
like, how a script gets its interpreter, and how RECORD is spelt, PyPA's `installer` says.
Members are inflated, checked and written on all cores.
"""

from __future__ import annotations

import configparser
import os
import stat
from functools import cached_property
from typing import cast

from installer.records import Hash, RecordEntry
from installer.scripts import Script
from installer.utils import construct_record_file, fix_shebang, parse_entrypoints

from nix_manylinux.base.errors import BadWheel
from nix_manylinux.base.files import EXECUTE, executable, make_folder, write_all
from nix_manylinux.wheel.archive.format import Member, bad
from nix_manylinux.wheel.record import hash_descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

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
        self._prefix, self._staging = prefix, staging
        self._interpreter, self._signed = interpreter, signed
        self._folders = {**scheme, "headers": f"{scheme['include']}/{wheel.distribution.name}"}
        self._root = "purelib" if wheel.is_purelib else "platlib"
        self.warnings: list[str] = []
        self.modules: list[str] = []
        #: What RECORD lists: paths, each below the folder of its scheme.
        self._rows: list[tuple[str, str]] = []
        #: Digest and size of each file that is in place.
        self._written: dict[str, tuple[str, int]] = {}
        self._members = list(self._find_members())
        #: Member name -> absolute path in the staging folder, of what is installed.
        self.files = {m.name: self._place(scheme, path) for m, scheme, path in self._members}

    def _find_members(self) -> Iterator[tuple[Member, str, str]]:
        record = f"{self.wheel.dist_info}/RECORD"
        for member in self.wheel.members:
            if member.is_folder or member.name == record:
                continue
            if "__pycache__" in member.name.split("/")[:-1]:
                self.warnings.append(f"{member.name} is left out, as installers do: they compile")
                continue
            scheme, path = self.wheel.scheme_of(member.name)
            if scheme in {"", "purelib", "platlib"} and path.endswith(".py"):
                self.modules.append(self._place(scheme or self._root, path))
            yield member, scheme or self._root, path

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
        self._written = dict(self.digests)
        try:
            self._write_commands()
        except (ValueError, KeyError, AssertionError, configparser.Error) as error:
            why = str(error).partition("\n")[0] or "an entry point is none"
            raise BadWheel(
                f"can't be installed: {why}",
                where=self.wheel.path,
                hint="its entry_points.txt is not what installers read",
            ) from error
        for member, scheme, path in self._members:
            if scheme == "scripts":
                self._name_interpreter(self.files[member.name])
            self._rows.append((scheme, path))
        if self._signed:
            own = self._root, f"{self.wheel.dist_info}/INSTALLER"
            if self._place(*own) not in self._written:
                self._write(self._place(*own), INSTALLER)
            self._rows.append(own)

    def _write_commands(self) -> None:
        """Write the scripts of the entry points."""
        listing = self.files.get(f"{self.wheel.dist_info}/entry_points.txt")
        if listing is None:
            return
        with open(listing, encoding="utf-8") as file:
            text = file.read()
        for name, module, attr, section in parse_entrypoints(text):
            script, data = Script(name, module, attr, section).generate(self._interpreter, "posix")
            place = self._place("scripts", script)
            self._write(place, data)
            os.chmod(place, executable(stat.S_IMODE(os.stat(place).st_mode)))
            self._rows.append(("scripts", script))

    def _name_interpreter(self, place: str) -> None:
        """Have a script name its interpreter, if it is one of Python's."""
        with open(place, "rb") as file, fix_shebang(file, self._interpreter) as fixed:
            data = b"" if fixed is file else fixed.read()
        if data:
            self._write(place, data)

    def _place(self, scheme: str, path: str) -> str:
        """Give a place in the staging folder; BadWheel where it isn't below the prefix."""
        final = os.path.normpath(f"{self._folders[scheme]}/{path}")
        if not final.startswith(f"{self._prefix}/"):
            raise bad(f"is installed to {final}, which is not below {self._prefix}", path)
        return self._staging + final[len(self._prefix) :]

    def _write(self, place: str, data: bytes) -> None:
        """Write a file that no member of the wheel is, or is no more."""
        make_folder(os.path.dirname(place), hint=_ROOM)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(place, flags, 0o666)
        try:
            write_all(descriptor, data)
        finally:
            os.close(descriptor)
        self._hash(place)

    def _hash(self, place: str) -> None:
        with open(place, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            self._written[place] = hash_descriptor(file.fileno(), size=size)

    def finish(self, changed: Collection[str]) -> None:
        """Write RECORD; the files of the paths ``changed`` are not what the wheel had."""
        own = f"{self.wheel.dist_info}/RECORD"
        entries = []
        for scheme, path in self._rows:
            place = self._place(scheme, path)
            if place in changed:
                self._hash(place)
            digest, size = self._written[place]
            entries.append((cast("Scheme", scheme), RecordEntry(path, Hash.parse(digest), size)))
        entries.append((cast("Scheme", self._root), RecordEntry(own, None, None)))

        def prefix_of(scheme: str) -> str | None:
            if scheme == self._root:
                return None
            return os.path.relpath(self._folders[scheme], self._folders[self._root]) + "/"

        with construct_record_file(entries, prefix_of) as stream:
            self._write(self._place(self._root, own), stream.read())


def _mode(member: Member) -> int:
    """Give the mode that installers give a file, before the umask: 0666, or 0777."""
    mode = member.attributes >> 16
    return 0o777 if stat.S_ISREG(mode) and mode & EXECUTE else 0o666

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

from nix_manylinux.base.digest import digest_of
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
        #: What RECORD lists: scheme and path of each place.
        self._rows: dict[str, tuple[str, str]] = {}
        #: Digest and size of each file that is in place.
        self.written: dict[str, tuple[str, int]] = {}
        self._members = list(self._find_members())
        #: Member name -> absolute path in the staging folder, of what is installed.
        self.files = {m.name: self._place(scheme, path) for m, scheme, path in self._members}
        self._refuse_equal_places()

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

    def _refuse_equal_places(self) -> None:
        """Raise BadWheel where two folders of the wheel are one for this interpreter."""
        names: dict[str, str] = {}
        for name, place in self.files.items():
            if names.setdefault(place, name) != name:
                raise BadWheel(
                    f"is installed to the same place as {names[place]}",
                    where=f"{self.wheel.path}: {name}",
                    hint="its archive has a file twice: unpack it, delete one, and pack it again",
                )

    def extract(
        self,
        present: Mapping[str, Installation],
        *,
        cores: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write every member to its place, checked, and the scripts of its entry points.

        ``cores`` is how many processors are used at most. ``present`` maps places that
        other wheels have filled to those: a file that is the same may be there
        already. Raises BadWheel where it differs, and what `Wheel.extract` raises.
        """
        for name, place in self.files.items():
            other = present.get(place)
            if other and other.digests.get(place, other.written[place]) != self.digests[place]:
                raise self._clash(name, other)
        wanted = {name: place for name, place in self.files.items() if place not in present}
        self.wheel.extract(wanted, mode=_mode, cores=cores, progress=progress)
        # Theirs may be more than was unpacked: a script names its interpreter by now.
        self.written = {
            place: present[place].written[place] if place in present else digest
            for place, digest in self.digests.items()
        }
        try:
            self._write_commands(present)
        except (ValueError, KeyError, AssertionError, configparser.Error) as error:
            why = str(error).partition("\n")[0] or "an entry point is none"
            raise BadWheel(
                f"can't be installed: {why}",
                where=self.wheel.path,
                hint="its entry_points.txt is not what installers read",
            ) from error
        for member, scheme, path in self._members:
            place = self.files[member.name]
            if scheme == "scripts" and place not in present:
                self._name_interpreter(place)
            self._rows[place] = scheme, path
        if self._signed:
            own = self._root, f"{self.wheel.dist_info}/INSTALLER"
            self._write(self._place(*own), INSTALLER)
            self._rows[self._place(*own)] = own

    def _clash(self, name: str, other: Installation) -> BadWheel:
        return BadWheel(
            f"{os.path.basename(other.wheel.path)} has a different file for the same place",
            where=f"{self.wheel.path}: {name}",
            hint="install one of them into a prefix of its own",
        )

    def _write_commands(self, present: Mapping[str, Installation]) -> None:
        """Write the scripts of the entry points, in place of scripts of the same name."""
        listing = self.files.get(f"{self.wheel.dist_info}/entry_points.txt")
        if listing is None:
            return
        with open(listing, encoding="utf-8") as file:
            text = file.read()
        for name, module, attr, section in parse_entrypoints(text):
            script, data = Script(name, module, attr, section).generate(self._interpreter, "posix")
            place = self._place("scripts", script)
            if other := present.get(place):  # tensorflow has tensorboard's, too
                if other.written[place] != (digest_of([data]), len(data)):
                    raise self._clash(f"command {name}", other)
                self.written[place] = other.written[place]
            else:
                self._write(place, data)
                os.chmod(place, executable(stat.S_IMODE(os.stat(place).st_mode)))
            self._rows[place] = "scripts", script

    def _name_interpreter(self, place: str) -> None:
        """Have a script name its interpreter, if it is one of Python's."""
        with open(place, "rb") as file, fix_shebang(file, self._interpreter) as fixed:
            data = b"" if fixed is file else fixed.read()
        if data:
            self._write(place, data)

    def _place(self, scheme: str, path: str) -> str:
        """Give a place in the staging folder; BadWheel where it leads out of where it belongs."""
        folder = os.path.normpath(self._folders[scheme])
        final = os.path.normpath(f"{folder}/{path}")
        for home in (folder, self._prefix):
            if not final.startswith(f"{home}/"):
                error = bad(f"is installed to {final}, which is not below {home}", path)
                error.at(self.wheel.path)
                raise error
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
            self.written[place] = hash_descriptor(file.fileno(), size=size)

    def finish(self, changed: Collection[str]) -> None:
        """Write RECORD; the files of the paths ``changed`` are not what the wheel had."""
        own = f"{self.wheel.dist_info}/RECORD"
        entries = []
        for place, (scheme, path) in self._rows.items():
            if place in changed:
                self._hash(place)
            digest, size = self.written[place]
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

"""The file system as the loader would see it, each thing read at most once."""

from __future__ import annotations

import os

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf.read import read_elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from nix_manylinux.elf.facts import ElfFacts


class _Read:
    """What was read of directories, files and links, by their paths."""

    __slots__ = ("facts", "names", "real")

    def __init__(self) -> None:
        self.names: dict[str, frozenset[str]] = {}
        self.facts: dict[str, ElfFacts | BadElf | None] = {}
        self.real: dict[str, str] = {}


class Disk:
    """What was read is shared with every `overlay`; what one learns is its own."""

    def __init__(self) -> None:
        self._own = self._shared = _Read()
        # What this view has asked for before is found in one step.
        self._names, self._facts, self._real = self._own.names, self._own.facts, self._own.real
        #: Beginnings of the paths of what is read by this view alone.
        self._anew: tuple[str, ...] = ()
        self._learned: dict[str, ElfFacts] = {}

    def overlay(self, anew: Collection[str] = ()) -> Disk:
        """Give a view of this disk that can `learn`: what is read through it is read for both.

        But for what is in the folders ``anew``: those may have changed since they were read.
        A scanned tree need not be read again, and a plan shows its files as they
        will be; whoever shares the disk goes on seeing what is there.
        """
        above = Disk()
        above._shared = self._shared
        paths = map(os.path.abspath, anew), map(os.path.realpath, anew)
        above._anew = tuple({*self._anew}.union(*paths))
        above._learned = dict(self._learned)
        return above

    def names(self, directory: str) -> frozenset[str]:
        """All names in a directory; none where there is no such directory."""
        found = self._names.get(directory)
        if found is None:
            known = self._kept(directory).names
            found = known.get(directory)
            if found is None:
                try:
                    found = frozenset(os.listdir(directory))
                except OSError:
                    found = frozenset()
                known[directory] = found
            self._names[directory] = found
        return found

    def _kept(self, path: str) -> _Read:
        """Give what keeps what is read of a path."""
        return self._own if path.startswith(self._anew) else self._shared

    def find(self, directory: str, name: str) -> str | None:
        """Return the path of ``name`` in ``directory`` if the loader could open it."""
        if "/" in name:  # a subdirectory of hardware capabilities
            sub, _, name = name.rpartition("/")
            directory = f"{directory}/{sub}"
        if name not in self.names(directory):
            return None
        path = f"{directory}/{name}"
        return path if self.exists(path) else None

    def exists(self, path: str) -> bool:
        """Whether there is a file, links followed."""
        return os.path.exists(path)

    def is_directory(self, path: str) -> bool:
        """Whether there is a directory, links followed."""
        return os.path.isdir(path)

    def libraries_below(self, folder: str) -> Iterator[str]:
        """Paths of everything below ``folder`` that is named like a library, sorted by folder."""
        for inner, folders, names in os.walk(folder):
            folders.sort()
            yield from (f"{inner}/{name}" for name in sorted(names) if ".so" in name)

    def real(self, path: str) -> str:
        """Return the path with all links resolved: what tells one file from another."""
        known = self._real.get(path)
        if known is None:
            links = self._kept(path).real
            known = links.get(path) or self._resolved(path)
            self._real[path] = links[path] = known
        return known

    def _resolved(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        if not path.startswith("/") or name in {"", ".", ".."}:
            return os.path.realpath(path)
        # Asked of each folder once: realpath asks of every one each time.
        place = f"{self.real(folder) if folder else ''}/{name}".replace("//", "/")
        return os.path.realpath(place) if os.path.islink(place) else place

    def facts(self, path: str) -> ElfFacts | None:
        """Return what ELF says of the file, or None where it is no ELF file.

        Raises `BadElf`, each time that it is asked, for a broken one.
        """
        real = self.real(path)
        if real in self._learned:
            return self._learned[real]
        if real not in self._facts:
            files = self._kept(real).facts
            if real not in files:
                files[real] = self._read(real, path)
            self._facts[real] = files[real]
        known = self._facts[real]
        if isinstance(known, BadElf):
            raise known
        return known

    def _read(self, real: str, path: str) -> ElfFacts | BadElf | None:
        try:
            return read_elf(real, label=path)
        except BadElf as error:
            return error
        except OSError:
            return None

    def learn(self, path: str, facts: ElfFacts) -> None:
        """Take ``facts`` for those of the file at ``path``, whatever the disk has."""
        self._learned[self.real(path)] = facts

    def mentions(self, path: str, name: str) -> bool:
        """Whether the file holds ``name`` as a whole C string."""
        import mmap  # noqa: PLC0415 - only --runtime-libs asks

        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return data.find(b"\0" + os.fsencode(name) + b"\0") >= 0

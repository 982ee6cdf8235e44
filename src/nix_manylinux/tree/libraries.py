"""Library directories, and what stands in them: listed once, opened on demand.

A directory costs one listing, and a library is parsed only when somebody asks
for its name. Nothing is cached outside the values that are passed in.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import cache

from nix_manylinux.base.errors import BadElf, BadOption, BadTree
from nix_manylinux.base.files import read_small
from nix_manylinux.tree.disk import Disk
from nix_manylinux.wheel.metadata import MAX_METADATA, normalise_name, read_headers, required_names


class LibraryIndex:
    """Directories of libraries, searched in the order given.

    ``from_directories`` raises `BadTree` for a directory that isn't there, and
    `BadOption` for one that no search path can name. What is in the directories is read
    once; of trees, and of other wheels, each plan sees what is there by then. Several
    threads may use one index.
    """

    def __init__(self, directories: tuple[str, ...], disk: Disk) -> None:
        self.directories = directories
        self.disk = disk
        self._by_name: dict[str, list[str]] | None = None
        self._by_soname: dict[str, list[str]] | None = None

    @classmethod
    def from_directories(
        cls, directories: Iterable[str | os.PathLike[str]], *, disk: Disk | None = None
    ) -> LibraryIndex:
        """Make an index of ``directories``, each counted once; nothing is opened yet."""
        disk = disk or Disk()
        unique = dict.fromkeys(usable_directory(os.fspath(d), disk) for d in directories)
        return cls(tuple(unique), disk)

    def overlay(self, anew: Collection[str] = ()) -> LibraryIndex:
        """Give the same index over an overlay of its disk: for a plan that others don't see.

        What is in the folders ``anew`` is read again.
        """
        return LibraryIndex(self.directories, self.disk.overlay(anew))

    def named(self, name: str) -> Iterator[str]:
        """Paths of the files called ``name``, in the order of the directories."""
        if self._by_name is None:
            found: dict[str, list[str]] = {}
            for directory in self.directories:
                for each in self.disk.names(directory):
                    found.setdefault(each, []).append(f"{directory}/{each}")
            self._by_name = found
        yield from filter(self.disk.exists, self._by_name.get(name, ()))

    def with_soname(self, soname: str) -> list[str]:
        """Return paths of libraries under another name whose DT_SONAME is ``soname``.

        The first call opens every library there is, so it is the last thing
        to try before a library is called missing.
        """
        if self._by_soname is None:
            found: dict[str, list[str]] = {}
            for directory in self.directories:
                for name in sorted(self.disk.names(directory)):
                    path = f"{directory}/{name}"
                    own = soname_of(self.disk, path) if ".so" in name else None
                    if own is not None and own != name:
                        found.setdefault(own, []).append(path)
            self._by_soname = found
        return self._by_soname.get(soname, [])


class WheelIndex:
    """The site-packages of other wheels, walked when first asked: every file by name."""

    def __init__(self, directories: Iterable[str], *, disk: Disk) -> None:
        self.site_packages = tuple(dict.fromkeys(usable_directory(d, disk) for d in directories))
        self.disk = disk
        self._by_name = cache(self._find_names)
        #: Of a site-packages: normalised distribution names with their dist-info folders.
        self.owners = cache(self._find_owners)
        self._requirements = cache(_requirements)

    def named(self, name: str, site_packages: str) -> list[str]:
        """Paths of the files called ``name`` below ``site_packages``, sorted."""
        return self._by_name(site_packages).get(name, [])

    def with_soname(self, soname: str, site_packages: str) -> list[str]:
        """Paths below ``site_packages`` whose DT_SONAME is ``soname``, under another name."""
        stem = soname.partition(".so")[0]
        return [
            path
            for name, paths in sorted(self._by_name(site_packages).items())
            if ".so" in name and name.startswith(stem) and name != soname
            for path in paths
            if soname_of(self.disk, path) == soname
        ]

    def _find_owners(self, site_packages: str) -> dict[str, str]:
        found = _distributions(self.disk.names(site_packages), {"dist-info"})
        return {name: f"{site_packages}/{folder}" for name, folder in found.items()}

    def required(self, names: Iterable[str]) -> list[str]:
        """Give normalised names with all that their distributions here require, nearest first.

        Requirements for extras count: whether an extra was asked for, nobody knows.
        """
        found = dict.fromkeys(names)
        queue = list(found)
        while queue:
            following = [
                each
                for name in queue
                for site in self.site_packages
                if (dist_info := self.owners(site).get(name))
                for each in self._requirements(dist_info)
            ]
            queue = [each for each in dict.fromkeys(following) if each not in found]
            found |= dict.fromkeys(queue)
        return list(found)

    def _find_names(self, site_packages: str) -> dict[str, list[str]]:
        files: dict[str, list[str]] = {}
        for path in self.disk.libraries_below(site_packages):
            files.setdefault(path.rpartition("/")[2], []).append(path)
        return files


def _requirements(dist_info: str) -> tuple[str, ...]:
    data = b""
    with suppress(OSError):  # an installer that was interrupted leaves folders without it
        data = read_small(f"{dist_info}/METADATA", MAX_METADATA)
    return required_names(read_headers(data).get("requires-dist", ()))


def soname_of(disk: Disk, path: str) -> str | None:
    """Return the DT_SONAME of a readable library, None of anything else."""
    try:
        facts = disk.facts(path)
    except BadElf:
        return None
    return facts.soname if facts else None


def usable_directory(directory: str, disk: Disk) -> str:
    """Return ``directory`` made absolute, or say why no search path can hold it.

    The loader splits at colons and expands ``$``, with no way to quote either.
    """
    refuse_unwritable(directory)
    path = os.path.abspath(directory)
    if not disk.is_directory(path):
        hint = "check the spelling, and whether the command in a $(...) of it has failed"
        raise BadTree("there is no such directory", where=directory, hint=hint)
    return path


def refuse_unwritable(directory: str) -> None:
    """Raise `BadOption` for a directory that DT_RUNPATH can't express."""
    bad = [c for c in ":$\n\0" if c in directory]
    if bad:
        raise BadOption(
            f"a search path can't hold a directory with {bad[0]!r} in its name",
            where=directory,
            hint="give the directory by a link whose name has no ':', '$' or newline",
        )


def recorded(dist_info: str) -> Iterator[str]:
    """Give what the RECORD in a folder lists, relative to the folder's own; nothing without one."""
    data = b""
    with suppress(OSError):  # there is none, or it is closed to us
        data = read_small(f"{dist_info}/RECORD", _MAX_RECORD)
    for line in os.fsdecode(data).splitlines():
        # PyPA's installer writes "./" where a file is not of the root's scheme.
        yield line.rsplit(",", 2)[0].strip('"').removeprefix("./")


def distribution_names(folders: Iterable[str]) -> set[str]:
    """Give the normalised names of what is installed in folders, there or not, by any installer."""
    names = (os.listdir(folder) for folder in folders if os.path.isdir(folder))
    return {name for each in names for name in _distributions(each, _KINDS)}


#: Bytes of a RECORD that is still read; torch's has a million.
_MAX_RECORD = 1 << 26
_KINDS = frozenset({"dist-info", "egg-info", "egg-link"})


def _distributions(names: Iterable[str], kinds: Collection[str]) -> dict[str, str]:
    """Give the normalised names of distributions, with the entries of a folder that name them."""
    parts = ((entry, *entry.rpartition(".")) for entry in sorted(names))
    return {
        normalise_name(stem.partition("-")[0]): entry
        for entry, stem, _, kind in parts
        if stem and kind in kinds
    }

"""Libraries that a file loads by dlopen: declared by the user, put on the right paths.

glibc looks for them along the search path of the file that calls dlopen. musl looks along
the program's only (ldso/dynlink.c, dlopen: needed_by is the head of the list), but knows
what is loaded by the name that it was needed by: there a library gets the name among its
own needs.
"""

from __future__ import annotations

from functools import partial

from nix_manylinux.base.errors import NixManylinuxError
from nix_manylinux.base.patterns import refuse_wildcards
from nix_manylinux.data import read_libraries
from nix_manylinux.tree.libraries import LibraryIndex, WheelIndex, usable_directory
from nix_manylinux.tree.python import opens_for_cffi, python_sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from nix_manylinux.resolve.plan import Resolution
    from nix_manylinux.resolve.searchpath import SearchPath
    from nix_manylinux.tree.facts import TreeFile


class NoRuntimeLibrary(NixManylinuxError):
    """Sonames of ``--runtime-libs``, ``sonames``, that no directory holds."""

    def __init__(self, sonames: Sequence[str]) -> None:
        several = len(sonames) > 1
        super().__init__(
            "no library directory holds "
            + ("these runtime libraries" if several else "this runtime library"),
            where=", ".join(sonames),
            hint=f"name the {'directories' if several else 'directory'} with --libs DIR",
        )
        self.sonames = tuple(sonames)


class RuntimeLibraries:
    """The values of ``--runtime-libs``: sonames and directories.

    A soname's directory goes to the files that hold that soname as a string, and to
    cffi's module where Python files below ``roots`` do, and to that through which others open
    what has names that they put together; where none does (the name is put
    together at run time), and for a plain directory, to all of them; not at all where only
    Python opens it, elsewhere. Raises `NoRuntimeLibrary` for sonames that no directory holds.
    """

    def __init__(
        self,
        values: Sequence[str],
        *,
        libraries: LibraryIndex,
        wheels: WheelIndex,
        drivers: Mapping[str, str],
        files: Sequence[str],
        roots: Sequence[str],
    ) -> None:
        self._libraries = libraries
        self._wheels = wheels
        self._drivers = drivers
        #: The values that each file holds as a string, and those that none holds.
        self._sonames: dict[str, list[str]] = {}
        self._unscoped: list[str] = []
        #: Those that only Python opens, by modules that are not here.
        self._by_python: list[str] = []
        self._folders = {value: self._directory(value) for value in values}
        nowhere = [value for value, folder in self._folders.items() if not folder]
        if nowhere:
            raise NoRuntimeLibrary(nowhere)
        opened = self._opened = partial(opened_through, {path.rpartition("/")[2] for path in files})
        cffi = [path for path in files if opens_for_cffi(path)] if values else []
        holding = {
            value: [path for path in files if libraries.disk.mentions(path, value)]
            for value in values
            if "/" not in value
        }
        asked = [value for value, holders in holding.items() if cffi or not holders]
        named = _named_in_python(asked, roots) if asked else {}
        for value in values:
            users = dict.fromkeys(holding.get(value, ()))
            users |= dict.fromkeys(cffi if named.get(value) else ())
            users |= dict.fromkeys(path for path in files if value in opened(path))
            for path in users:
                self._sonames.setdefault(path, []).append(value)
            if not users:
                (self._by_python if value in named else self._unscoped).append(value)

    def directories(self, path: str) -> list[str]:
        """Directories to put on the search path of the file at ``path``."""
        return [self._folders[each] for each in (*self.sonames(path), *self._unscoped)]

    def still(self, path: str, search: SearchPath) -> list[str]:
        """Directories that a search path would drop, and that have what a file holds the name of.

        An earlier patch was told so, or whoever has built it; what lies in another entry needs
        none of them. Of cffi's module only Python files could say, so that all stay.
        """
        if opens_for_cffi(path):
            return [each for each in search.dropped if self._libraries.disk.names(each)]
        opened = self._opened(path)
        disk, entries = self._libraries.disk, [each.directory for each in search.entries]
        return [
            directory
            for directory in search.dropped
            if any(
                disk.mentions(path, name) or name in opened
                for name in disk.names(directory)
                if ".so" in name and not any(disk.find(entry, name) for entry in entries)
            )
        ]

    def warnings(self, libc: str) -> Iterator[str]:
        """Say what will not be found: Python opens it elsewhere, or musl asks programs alone."""
        if self._by_python:
            yield (
                f"{', '.join(self._by_python)}: opened from Python, along the search path of its"
                " own module for ctypes, or of cffi's, which are no files of these trees; nothing"
                " leads there. Start the program with LD_LIBRARY_PATH (inspect writes it), write"
                " the path into the source, or give it to cffi's package"
            )
        if self._unscoped and libc == "musl":
            names = ", ".join(self._unscoped)
            what = "musl looks for what is loaded by dlopen along the program's search path only"
            yield f"{what}: {names} can be found by programs of these trees, not by their libraries"

    def sonames(self, path: str) -> list[str]:
        """Sonames that the file at ``path`` holds, and loads by them."""
        return [*dict.fromkeys(self._sonames.get(path, ()))]

    def _directory(self, value: str) -> str:
        if "/" in value:
            return usable_directory(value, self._libraries.disk)
        refuse_wildcards([value], "--runtime-libs")
        if value in self._drivers:
            return self._drivers[value]
        found = next(self._libraries.named(value), None)
        for site in self._wheels.site_packages:
            found = found or next(iter(self._wheels.named(value, site)), None)
        return found.rpartition("/")[0] if found else ""


def opened_through(there: Collection[str], path: str) -> set[str]:
    """Give what is opened through a file by names that others, among those there, put together."""
    data = read_libraries()
    if path.rpartition("/")[2] != data.opened_by:
        return set()
    return {name for file, names in data.opens.items() if file in there for name in names}


def _named_in_python(values: Sequence[str], roots: Sequence[str]) -> dict[str, bool]:
    """Give those values that Python files load, and whether by cffi."""
    from nix_manylinux.resolve.python_loads import CFFI, is_for_others, loads_in_python  # noqa: PLC0415

    # find_library takes a name without a version.
    meant = {f"{each.partition('.so')[0]}.so": each for each in values}
    meant |= {each: each for each in values}
    found: dict[str, bool] = {}
    for path, source in (each for root in roots for each in python_sources(root)):
        named = () if is_for_others(path) else loads_in_python(source, meant.__contains__)
        for name, how in named or ():
            if value := meant.get(name):
                found[value] = found.get(value, False) or how == CFFI
    return found


def needed_by_name(
    file: TreeFile, resolutions: Sequence[Resolution], sonames: Sequence[str]
) -> tuple[tuple[str, ...], list[str]]:
    """Give the names that a library for musl must need, to load them by dlopen; and warnings.

    ``sonames`` are those that a user has declared. What a dlopen note only recommends is
    not loaded for it, but reported.
    """
    found = {r.name for r in resolutions if r.path}
    names = [*sonames]
    warnings = []
    for note in file.facts.dlopen:
        had = [name for name in note.sonames if name in found]
        if note.priority == "required":
            names += had[:1]
        elif had and not set(note.sonames) & {*file.facts.needed, *names}:
            warnings.append(musl_warning(file.label, had[0]))
    return tuple(n for n in dict.fromkeys(names) if n not in file.facts.needed), warnings


def musl_warning(label: str, name: str) -> str:
    """Say of a library for musl that it may not find what it loads by dlopen."""
    return (
        f"{label}: musl looks for {name}, which it loads by dlopen, along the program's search"
        " path only; --runtime-libs makes it needed"
    )

"""Libraries that a file loads by dlopen: declared by the user, put on the right paths."""

from __future__ import annotations

from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.patterns import refuse_wildcards
from nix_manylinux.tree.libraries import usable_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nix_manylinux.tree.libraries import LibraryIndex, WheelIndex


class RuntimeLibraries:
    """The values of ``--runtime-libs``: sonames and directories.

    A soname's directory goes to the files that hold that soname as a string;
    where none does (the name is put together at run time), and for a plain
    directory, to all of them. Raises `BadOption` for a soname that no
    directory holds.
    """

    def __init__(
        self,
        values: Sequence[str],
        *,
        libraries: LibraryIndex,
        wheels: WheelIndex,
        drivers: Mapping[str, str],
        files: Sequence[str],
    ) -> None:
        self._libraries = libraries
        self._wheels = wheels
        self._drivers = drivers
        everywhere: list[str] = []
        scoped: dict[str, list[str]] = {}
        for value in values:
            folder = self._directory(value)
            users = [] if "/" in value else self._users(value, files)
            if users:
                for path in users:
                    scoped.setdefault(path, []).append(folder)
            else:
                everywhere.append(folder)
        self._everywhere = everywhere
        self._scoped = scoped

    def directories(self, path: str) -> list[str]:
        """Directories to put on the search path of the file at ``path``."""
        return [*self._scoped.get(path, ()), *self._everywhere]

    def _users(self, soname: str, files: Sequence[str]) -> list[str]:
        return [path for path in files if self._libraries.disk.mentions(path, soname)]

    def _directory(self, value: str) -> str:
        if "/" in value:
            return usable_directory(value, self._libraries.disk)
        refuse_wildcards([value], "--runtime-libs")
        if value in self._drivers:
            return self._drivers[value]
        found = next(self._libraries.named(value), None)
        for site in self._wheels.site_packages:
            found = found or next(iter(self._wheels.named(value, site)), None)
        if found is None:
            raise BadOption(
                "no library directory holds this runtime library",
                where=value,
                hint="add its package to buildInputs (--libs DIR), or give its directory instead",
            )
        return found.rpartition("/")[0]

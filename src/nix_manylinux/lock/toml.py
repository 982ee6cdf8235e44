"""TOML with its types checked as it is read: what is not of the right type is a BadLock."""

from __future__ import annotations

import sys

from nix_manylinux.lock.model import MAX_PACKAGES, BadLock

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeVar

    T = TypeVar("T")


class TomlTable(dict[str, object]):
    """A table of a document, which knows its place in it."""

    def __init__(self, values: Mapping[str, object], where: str) -> None:
        super().__init__(values)
        self.where = where

    def string(self, key: str) -> str:
        """Give a string; "" for nothing."""
        return self._of(key, str, "")

    def integer(self, key: str) -> int:
        """Give an integer; 0 for nothing."""
        return self._of(key, int, 0)

    def flag(self, key: str) -> bool:
        """Give a boolean; false for nothing."""
        return self._of(key, bool, False)  # noqa: FBT003 - the default

    def strings(self, key: str) -> tuple[str, ...]:
        """Give a list of strings; none for nothing."""
        found = self._of(key, list, [])
        if not all(isinstance(each, str) for each in found):
            raise BadLock(f"{key} is no list of strings", where=self.where)
        return tuple(found)

    def table(self, key: str) -> TomlTable:
        """Give a table; an empty one for nothing."""
        return TomlTable(self._of(key, dict, {}), f"{self.where}: {key}")

    def tables(self, key: str) -> Iterator[TomlTable]:
        """Give a list of tables; none for nothing."""
        found = self._of(key, list, [])
        if len(found) > MAX_PACKAGES:
            raise BadLock(
                f"{key} has {len(found)} entries, more than {MAX_PACKAGES}", where=self.where
            )
        for number, each in enumerate(found, 1):
            where = f"{self.where}: {key} {number}"
            if not isinstance(each, dict):
                raise BadLock("is no table", where=where)
            name = each.get("name")
            yield TomlTable(each, f"{self.where}: {key} {name}" if isinstance(name, str) else where)

    def lists(self, key: str) -> Iterator[list[TomlTable]]:
        """Give a list of lists of tables; none for nothing."""
        for number, each in enumerate(self._of(key, list, []), 1):
            yield list(TomlTable({key: each}, f"{self.where}: {key} {number}").tables(key))

    def _of(self, key: str, kind: type[T], default: T) -> T:
        found = self.get(key, default)
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            raise BadLock(f"{key} is not of the right type ({kind.__name__})", where=self.where)
        return found


def parse_toml(data: bytes, where: str) -> TomlTable:
    """Read a document. Raises BadLock."""
    try:
        return TomlTable(tomllib.loads(data.decode("utf-8")), where)
    except (ValueError, RecursionError) as error:  # its own, no UTF-8, numbers beyond int()'s limit
        raise BadLock(f"is no TOML: {error}", where=where) from error

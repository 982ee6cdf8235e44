"""An installed RECORD as it was read: rows in normal form, and where each of them leads."""

from __future__ import annotations

import os
from collections.abc import Iterable

from nix_manylinux.base.errors import BadTree
from nix_manylinux.base.files import read_regular
from nix_manylinux.base.values import Value
from nix_manylinux.tree.errors import unreadable
from nix_manylinux.wheel.record import (
    MAX_RECORD_SIZE,
    REBUILD,
    Record,
    Row,
    parse_record,
    plain_path,
)


class Listing(Value, kw_only=False):
    """One RECORD as it was read, and what its rows lead to: a path, None if out of the tree.

    ``record`` is in normal form, ``as_read`` are its rows as they stand.
    A row's truth is the row itself until it is known, and where it is true;
    another row where it isn't; None where there is no file any more.
    """

    where: str
    file: str
    status: os.stat_result
    as_read: tuple[Row, ...]
    record: Record
    paths: list[str | None]
    truths: list[Row | None]


def read_listings(places: Iterable[tuple[str, str]]) -> list[Listing]:
    """Read the RECORDs that there are, in (root, dist-info folder in it).

    One that a distribution carries as a file may be anything, and is left out where it
    is no RECORD. Raises BadTree for others.
    """
    listings = []
    refused: dict[str, BadTree] = {}
    for root, dist_info in places:
        try:
            listing = _read_listing(root, dist_info)
        except BadTree as error:
            refused[os.path.join(root, dist_info, "RECORD")] = error
            continue
        if listing is not None:
            listings.append(listing)
    carried = carried_files(listings)
    for file in refused.keys() - carried:
        raise refused[file]
    return listings


def carried_files(listings: Iterable[Listing]) -> set[str]:
    """Give the files that RECORDs have rows of, but for themselves."""
    return {
        path
        for listing in listings
        for path in listing.paths
        if path is not None and path != listing.file
    }


def _read_listing(root: str, dist_info: str) -> Listing | None:
    where = os.path.join(dist_info, "RECORD")
    file = os.path.join(root, where)
    try:
        found = read_regular(file, MAX_RECORD_SIZE)
    except FileNotFoundError:
        return None
    except OSError as cause:
        raise unreadable(cause, where) from cause
    if found is None:
        what = f"is no regular file of at most {MAX_RECORD_SIZE} bytes"
        raise BadTree(what, where=where, hint=REBUILD)
    data, status = found
    as_read = parse_record(data, error=BadTree, where=where, strict=False)
    base = os.path.join(root, os.path.dirname(dist_info), "")
    rows: list[Row] = []
    paths: list[str | None] = []
    known: dict[str | None, int] = {}
    for each in as_read.rows:
        row, place = _plain_row(as_read, each, root, base)
        if place in known:
            rows[known[place]] = _merged(as_read, rows[known[place]], row)
            continue
        if place is not None:
            known[place] = len(rows)
        rows.append(row)
        paths.append(place)
    record = Record(rows=tuple(rows), line_end=as_read.line_end)
    return Listing(where, file, status, as_read.rows, record, paths, [*rows])


def _plain_row(record: Record, row: Row, root: str, base: str) -> tuple[Row, str | None]:
    """Give a row and its file; with its path in normal form where only that leads to one."""
    place = _place(row.path, root, base)
    plain = plain_path(row.path)
    if plain and plain != row.path and not (place and os.path.lexists(place)):
        there = _place(plain, root, base)
        if there and os.path.lexists(there):
            return record.row(plain, row.hash, row.size), there
    return row, place


def _merged(record: Record, one: Row, other: Row) -> Row:
    """Make one of two rows of a file: pip adds its own where it doesn't know a path again."""
    chosen = one if one.hash else other
    plain = plain_path(chosen.path)
    return chosen if chosen.path == plain else record.row(plain, chosen.hash, chosen.size)


def _place(path: str, root: str, base: str) -> str | None:
    """Where a row leads, None if out of the tree. Its path is relative to site-packages."""
    full = base + path
    # What normpath leaves as it is; torch has 12,000 rows.
    if "/." in path or "//" in path or path[0] in "./" or path[-1] == "/":
        full = os.path.normpath(os.path.join(base, path))
        if not full.startswith(os.path.join(root, "")):
            return None
    return full

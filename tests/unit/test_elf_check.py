"""The parts of the proof that look at many bytes at once, held against a look at each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nix_manylinux.elf.draft.bytes import Change
from nix_manylinux.elf.draft.goal import Goal
from nix_manylinux.elf.proof import contents as check

RANGES = st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 300)), max_size=6)


def verdict(old: bytes, new: bytes, released: list[tuple[int, int]]) -> list[str]:
    """Ask the proof about a string table."""
    goal = Goal([], bytearray(new), old, released=released)
    after: Any = SimpleNamespace(strings=new)
    return list(check._strings(after, goal))  # noqa: SLF001 - the part that is tested


@given(
    words=st.lists(st.binary(min_size=0, max_size=90), min_size=1, max_size=40),
    changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4),
    released=RANGES,
    tail=st.binary(max_size=20),
)
@settings(max_examples=300, deadline=None)
def test_only_zero_and_released_bytes_of_a_string_table_may_change(
    words: list[bytes],
    changes: list[tuple[int, int]],
    released: list[tuple[int, int]],
    tail: bytes,
) -> None:
    """Of any table, for any bytes that were written over it, byte by byte."""
    old = b"\0".join([b"", *words, b""])
    new = bytearray(old + tail)
    for place, value in changes:
        new[place % len(old)] = value
    free = [(low, min(low + size, len(old))) for low, size in released if low < len(old)]
    places = {place for low, high in free for place in range(low, high)}
    wrong = any(
        was and was != now and place not in places
        for place, (was, now) in enumerate(zip(old, new, strict=False))
    )
    expected = ["a string that was in use was written over"] if wrong else []
    assert verdict(old, bytes(new), free) == expected


def test_one_byte_of_a_large_string_table_is_found() -> None:
    """At each seam of the blocks that are compared."""
    old = b"\0" + b"name\0" * 60_000
    for place in (1, 1023, 1024, 65535, 65536, 65537, len(old) - 2):
        new = bytearray(old)
        new[place] ^= 0x80
        assert bool(verdict(old, bytes(new), [])) == bool(old[place])
        assert not verdict(old, bytes(new), [(place, place + 1)])


def test_a_string_table_never_becomes_shorter() -> None:
    """Nor another than the one that was meant."""
    assert verdict(b"\0name\0", b"\0name", []) == ["the string table became shorter"]
    goal = Goal([], bytearray(b"\0name\0"), b"\0name\0")
    after: Any = SimpleNamespace(strings=b"\0nama\0")
    assert list(check._strings(after, goal)) == [  # noqa: SLF001
        "the string table is not the one that was meant"
    ]


@given(
    sizes=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=8),
    start=st.integers(0, 90),
    size=st.integers(0, 30),
)
def test_what_a_change_concerns_is_told(
    sizes: list[tuple[int, int]], start: int, size: int
) -> None:
    """Of any range and any changes in order, as each change for itself would tell."""
    changes: list[Change] = []
    end = 0
    for gap, length in sizes:
        changes.append(Change(end + gap, bytes(length), b"x" * length))
        end += gap + length
    touched = check._touched(changes)  # noqa: SLF001
    expected = any(c.offset < start + size and c.end > start for c in changes)
    assert touched(start, start + size) == expected

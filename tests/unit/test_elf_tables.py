"""What searches whole tables at once finds what a look at each entry would."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_manylinux.elf import format as elf
from nix_manylinux.elf.draft.tables import NameOffsets

#: Offsets from everywhere, and many that lie close together.
OFFSETS = st.lists(
    st.integers(0, (1 << 32) - 1) | st.integers(0x1F0, 0x310) | st.integers(0xFFF0, 0x1_0010),
    max_size=60,
)


@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize("size", [16, 24])
@given(offsets=OFFSETS, start=st.integers(0, 0x400) | st.integers(0xFF00, 0x1_0100), data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_range_of_names_is_searched_exactly(
    *, size: int, little: bool, offsets: list[int], start: int, data: st.DataObject
) -> None:
    """For symbols of both classes and byte orders: whether any st_name lies in a range."""
    end = start + data.draw(st.integers(1, 700))
    order: Literal["little", "big"] = "little" if little else "big"
    symbols = b"".join(
        offset.to_bytes(4, order) + bytes([number & 0xFF]) * (size - 4)
        for number, offset in enumerate(offsets)
    )
    names = NameOffsets(symbols, size, little=little)
    assert names.any_between(start, end) == any(start <= offset < end for offset in offsets)


@given(common=st.integers(0, 255), start=st.integers(0, 0xFFFF))
def test_symbols_that_share_a_byte_are_searched_too(common: int, start: int) -> None:
    """A table made so that one byte tells nothing is answered as well."""
    offsets = [(number << 16) + (common << 8) + number % 256 for number in range(1, 400)]
    symbols = b"".join(offset.to_bytes(4, "little") + bytes(12) for offset in offsets)
    names = NameOffsets(symbols, 16, little=True)
    for offset in (start, 0x10000 + (common << 8) + 1):
        expected = any(offset <= other < offset + 9 for other in offsets)
        assert names.any_between(offset, offset + 9) == expected


def test_constants_have_names() -> None:
    """Errors say DT_NEEDED, not 0x1; what has no name here keeps its number."""
    assert elf.constant("DT", elf.DT_NEEDED) == "DT_NEEDED"
    assert elf.constant("PT", elf.PT_GNU_STACK) == "PT_GNU_STACK"
    assert elf.constant("PT", 0x70000001) == "PT_0x70000001"

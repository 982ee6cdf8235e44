"""Work on many files at once gives what one loop gives."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nix_manylinux.parallel import in_parallel

BIG = 8 * 2**20


@given(st.lists(st.integers(0, BIG), max_size=40))
def test_results_are_in_order(sizes: list[int]) -> None:
    """Whatever the sizes, each result stands at its index."""
    assert in_parallel(lambda index: index * 2, sizes) == [i * 2 for i in range(len(sizes))]


@pytest.mark.parametrize("size", [1, BIG])
def test_the_first_error_is_raised(size: int) -> None:
    """Of several failures the lowest index counts, with threads and without."""

    def work(index: int) -> int:
        if index % 3 == 2:
            raise ValueError(index)
        return index

    with pytest.raises(ValueError, match=r"^2$"):
        in_parallel(work, [size] * 20)


def test_little_work_needs_no_threads() -> None:
    """A small wheel is read in the thread that asked."""
    assert set(in_parallel(lambda _: threading.get_ident(), [10] * 9)) == {threading.get_ident()}


def test_a_failure_spares_the_rest() -> None:
    """Behind a failure only lower indexes are still worked on: theirs could be the first."""
    seen = set()

    def work(index: int) -> None:
        seen.add(index)
        if index == 0:
            raise ValueError(index)

    with pytest.raises(ValueError, match="0"):
        in_parallel(work, [9 * BIG, *[BIG] * 2000])
    assert len(seen) < 2001

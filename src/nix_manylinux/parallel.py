"""Work on many files at once, where the work lets go of the interpreter: hashing, inflating."""

from __future__ import annotations

import os

from nix_manylinux.signals import signals_held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

#: Less than so many bytes is faster without threads; no more of them than that; and
#: what opening a file costs, in bytes worked on meanwhile.
_MUCH, _MAX_THREADS, _PER_FILE = 4 * 2**20, 8, 16 * 2**10


def in_parallel(work: Callable[[int], T], sizes: list[int]) -> list[T]:
    """Do ``work`` for each index of ``sizes`` (bytes), on all processors where it is much.

    Each thread gets files of about the same total, the largest first. Raises
    what ``work`` raised for the lowest index, as one loop would; work for
    higher ones may have been done by then.
    """
    threads = min(_MAX_THREADS, len(os.sched_getaffinity(0)))
    if threads < 2 or sum(sizes) < _MUCH:
        return [work(index) for index in range(len(sizes))]
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - small trees need none

    shares: list[list[int]] = [[] for _ in range(threads)]
    loads = [0] * threads
    for index in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
        least = loads.index(min(loads))
        shares[least].append(index)
        loads[least] += sizes[index] + _PER_FILE
    done: dict[int, T] = {}
    failed: dict[int, BaseException] = {}
    limit = len(sizes)  # from here on nobody asks for results any more

    def do(share: list[int]) -> None:
        nonlocal limit
        for index in share:
            if index < limit:
                try:
                    done[index] = work(index)
                except BaseException as error:  # noqa: BLE001 - raised below
                    failed[index] = error
                    limit = min(limit, index)

    with ThreadPoolExecutor(threads) as pool:
        try:
            with signals_held():  # a thread that is only half started would not be waited for
                running = [pool.submit(do, share) for share in shares]
            for finished in running:
                finished.result()
        except BaseException:
            limit = 0  # an interrupt
            raise
    if failed:
        raise failed[min(failed)]
    return [done[index] for index in range(len(sizes))]

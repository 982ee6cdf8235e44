"""How far a stage has come, reported to whoever asked."""

from __future__ import annotations

from _thread import allocate_lock  # threading's Lock, without its import of a millisecond
from collections.abc import Callable, Collection, Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

#: Called with the stage ("unpacking", "reading", "planning", "simulating",
#: "editing", "checking", "writing"), how many of its items are done, and how many there are.
Progress = Callable[[str, int, int], None]


def with_progress(items: Collection[T], progress: Progress | None, stage: str) -> Iterator[T]:
    """Give the items one by one, and tell ``progress`` before each and behind the last."""
    if progress is None:
        yield from items
        return
    for done, item in enumerate(items):
        progress(stage, done, len(items))
        yield item
    progress(stage, len(items), len(items))


def shared(items: Collection[T], progress: Progress | None, stage: str) -> Callable[[], None]:
    """Do what `with_progress` does for items that several threads take, in any order.

    Called before each item, by any thread, and once behind the last.
    """
    if progress is None:
        return lambda: None
    steps = with_progress(items, progress, stage)
    turn = allocate_lock()

    def step() -> None:
        with turn:
            next(steps, None)

    return step

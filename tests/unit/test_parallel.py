"""Work on many files at once gives what one loop gives."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.signals import signals_as_exceptions

from nix_manylinux.base.parallel import Crew, in_parallel

BIG = 8 * 2**20


@given(st.lists(st.integers(0, BIG), max_size=40))
def test_results_are_in_order(sizes: list[int]) -> None:
    """Whatever the sizes, each result stands at its index."""
    assert in_parallel(lambda index, _: index * 2, sizes) == [i * 2 for i in range(len(sizes))]


@pytest.mark.parametrize("size", [1, BIG])
def test_the_first_error_is_raised(size: int) -> None:
    """Of several failures the lowest index counts, with threads and without."""

    def work(index: int, _look: object) -> int:
        if index % 3 == 2:
            raise ValueError(index)
        return index

    with pytest.raises(ValueError, match=r"^2$"):
        in_parallel(work, [size] * 20)


def test_little_work_needs_no_threads() -> None:
    """A small wheel is read in the thread that asked."""
    assert set(in_parallel(lambda *_: threading.get_ident(), [10] * 9)) == {threading.get_ident()}


def test_a_failure_spares_the_rest() -> None:
    """Behind a failure only lower indexes are still worked on: theirs could be the first."""
    seen = set()

    def work(index: int, _look: object) -> None:
        seen.add(index)
        if index == 0:
            raise ValueError(index)

    with pytest.raises(ValueError, match="0"):
        in_parallel(work, [9 * BIG, *[BIG] * 2000])
    assert len(seen) < 2001


@pytest.fixture
def _two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be another processor, whatever this machine has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.mark.usefixtures("_two_processors")
def test_another_thread_begins_at_once() -> None:
    """Much work is begun while the owner still does something else, and small jobs wait for it."""
    begun = threading.Event()
    workers: dict[tuple[int, ...], int] = {}

    def work(key: tuple[int, ...]) -> None:
        workers[key] = threading.get_ident()
        begun.set()

    crew = Crew(work)
    crew.add([(BIG, (0,)), (1, (1,))])
    assert begun.wait(60)
    assert workers.keys() == {(0,)}
    crew.finish()
    assert workers[0,] != threading.get_ident() == workers[1,]


@pytest.mark.usefixtures("_two_processors")
def test_a_crew_goes_home_when_it_is_stopped() -> None:
    """Long work that looks at ``stopped`` ends with it; what wasn't begun isn't done."""
    begun = threading.Event()
    done: list[tuple[int, ...]] = []

    def work(key: tuple[int, ...]) -> None:
        begun.set()
        while not crew.stopped:
            threading.Event().wait(0.01)
        done.append(key)

    crew = Crew(work)
    crew.add([(BIG, (0,)), (BIG, (1,)), (1, (2,))])
    assert begun.wait(60)
    crew.stop()
    assert done == [(1,)]
    assert threading.active_count() == 1
    crew.stop()


@pytest.mark.usefixtures("_two_processors")
def test_an_interrupt_is_raised_at_once() -> None:
    """KeyboardInterrupt in the owner's thread doesn't wait for the work, and ends it."""
    owner = threading.get_ident()

    def work(_key: tuple[int, ...]) -> None:
        if threading.get_ident() == owner:
            raise KeyboardInterrupt
        while not crew.stopped:
            threading.Event().wait(0.01)

    crew = Crew(work)
    crew.add([(BIG, (0,)), (1, (1,)), (BIG, (2,))])
    with pytest.raises(KeyboardInterrupt):
        crew.finish()
    assert threading.active_count() == 1


@pytest.mark.usefixtures("_two_processors")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_others_are_waited_for(number: int) -> None:
    """Nobody works on when it is raised, even if the owner did nothing but wait."""
    done: list[tuple[int, ...]] = []

    def work(key: tuple[int, ...]) -> None:
        if not key[0]:
            begun.wait(60)
            return
        begun.set()
        threading.Event().wait(0.1)  # meanwhile the owner begins to wait
        os.kill(os.getpid(), number)
        while not crew.stopped:
            threading.Event().wait(0.01)
        threading.Event().wait(0.1)
        done.append(key)

    begun = threading.Event()
    crew = Crew(work)
    with signals_as_exceptions():
        crew.add([(BIG, (1,)), (1, (0,))])
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            crew.finish()
    assert done == [(1,)]
    assert threading.active_count() == 1


@pytest.mark.usefixtures("_two_processors")
def test_where_no_thread_may_start_the_owner_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on processes makes it slower, and nothing else."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert in_parallel(lambda index, _: index, [BIG] * 9) == list(range(9))


def test_a_signal_while_threads_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM at the moment in which threads are started: none is left behind."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        start(thread)

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4))
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    before = threading.active_count()
    with signals_as_exceptions(), pytest.raises(SystemExit):
        in_parallel(lambda *_: None, [BIG] * 9)
    assert threading.active_count() == before

"""Work on many files at once, where the work lets go of the interpreter: hashing, inflating."""

from __future__ import annotations

import os
from bisect import insort
from collections.abc import Callable, Iterable
from contextlib import nullcontext

from nix_manylinux.base.signals import signals_held

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from typing import Any, TypeVar

    T = TypeVar("T")

#: What a job is called; of several that fail the lowest is raised.
Key = tuple[int, ...]
#: Called now and then by long work: leaves it by an exception when nobody wants it any more.
Look = Callable[[], None]

#: Less than so many bytes is faster without threads; and no more threads than that.
_MUCH, _MAX_THREADS = 4 * 2**20, 8
#: Bytes of a job that another thread may do: one that soon wants the interpreter
#: back waits for it longer than it worked, and makes the others wait.
_LARGE = 64 * 2**10


def processors() -> int:
    """How many processors this process may use; macOS says only how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Unwanted(Exception):
    """The work was left half done, since its result is not wanted."""


class Crew:
    """Threads that work while the one that they belong to goes on, and in the end with it.

    ``work`` is called once for each key that was added: in a thread for each
    other processor if there is much to do, those of the most bytes first, and
    in the owner's, which does all the small ones. ``cores`` is how many of them work at most.
    """

    def __init__(self, work: Callable[[Key], None], *, cores: int | None = None) -> None:
        self._cores = cores
        #: Whether nobody wants any result any more; long work asks `wanted`.
        self.stopped = False
        self._work = work
        self._small: list[Key] = []
        self._large: list[tuple[int, Key]] = []
        self._bytes = 0
        self._complete = False
        self._failure: tuple[Key, BaseException] | None = None
        self._threads: list[threading.Thread] = []
        self._news: Any = nullcontext()  # a threading.Condition once there are threads

    def add(self, jobs: Iterable[tuple[int, Key]]) -> None:
        """Have jobs done: the bytes and the key of each."""
        with self._news:
            for size, key in jobs:
                if size < _LARGE:
                    self._small.append(key)
                else:
                    insort(self._large, (size, key))
                    self._bytes += size
            if self._threads:
                self._news.notify_all()
        if not self._threads and self._bytes >= _MUCH:
            try:
                self._start()
            except BaseException:  # a signal that was held meanwhile
                self.stop()
                raise

    def wanted(self, key: Key) -> bool:
        """Whether a job still matters: behind a failure only lower keys do, which may come first.

        Long work asks this now and then, and is given up where the answer is no.
        """
        return not self.stopped and (self._failure is None or key < self._failure[0])

    def finish(self) -> None:
        """Work on what is left, and wait for the others' last jobs.

        Raises what ``work`` raised for the lowest key, as one loop would; jobs
        of higher keys may have been done by then, or left out. What only
        concerns this thread (KeyboardInterrupt) is raised as soon as the others
        have stopped.
        """
        # Thread.join, left by an exception, takes a thread for ended that goes on (CPython
        # before 3.13): a signal is no exception here. It stops the work, which ends soon.
        with signals_held(self._forget) if self._threads else nullcontext():
            try:
                self._close()
                while self._small:
                    self._do(self._small.pop(), Exception)
                while (key := self._next()) is not None:
                    self._do(key, Exception)
                self._join()
            except BaseException:
                self.stop()
                raise
            if self._failure is not None:
                raise self._failure[1]

    def stop(self) -> None:
        """Send the threads home: the results are not wanted. A second call does nothing."""
        self._forget()
        with signals_held() if self._threads else nullcontext():
            self._small.clear()
            self._large.clear()
            self._close()
            self._join()

    def _forget(self) -> None:
        self.stopped = True

    def _start(self) -> None:
        import threading  # noqa: PLC0415 - small trees need none

        self._news = threading.Condition()
        count = min(_MAX_THREADS, processors(), self._cores or _MAX_THREADS) - 1
        with signals_held():  # a thread that is only half started would not be waited for
            for _ in range(count):
                thread = threading.Thread(target=self._serve, daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the system allows no more: fewer do
                    return
                self._threads.append(thread)

    def _serve(self) -> None:
        while (key := self._next()) is not None:
            self._do(key, BaseException)

    def _next(self) -> Key | None:
        """Take the largest job, or wait for one; None where none will come."""
        with self._news:
            while not self._large and not self._complete:
                self._news.wait()
            return self._large.pop()[1] if self._large else None

    def _do(self, key: Key, caught: type[BaseException]) -> None:
        if not self.wanted(key):
            return
        try:
            self._work(key)
        except caught as error:
            with self._news:
                if self._failure is None or key < self._failure[0]:
                    self._failure = key, error

    def _close(self) -> None:
        with self._news:
            self._complete = True
            if self._threads:
                self._news.notify_all()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()


def in_parallel(
    work: Callable[[int, Look], T], sizes: list[int], *, cores: int | None = None
) -> list[T]:
    """Do ``work`` for each index of ``sizes`` (bytes), on all processors where it is much.

    ``cores`` is how many processors are used at most. Long work calls what it
    is given with the index now and then: it is left there after a signal, or
    when a lower index has failed. Raises what ``work`` raised for the lowest
    index, as one loop would; work for higher ones may have been done by then.
    """
    done: dict[int, T] = {}

    def one(key: Key) -> None:
        def look() -> None:
            if not crew.wanted(key):
                raise _Unwanted

        done[key[0]] = work(key[0], look)

    crew = Crew(one, cores=cores)
    try:
        crew.add((size, (index,)) for index, size in enumerate(sizes))
        crew.finish()
    except BaseException:
        crew.stop()  # nobody works on when this is left, wherever the signal came
        raise
    return [done[index] for index in range(len(sizes))]

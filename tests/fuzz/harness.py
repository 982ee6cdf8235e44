"""One loop for all fuzzers: seeds, damage, a verdict, and a corpus that grows with what is new.

A target's ``run`` takes bytes and gives a word for what became of them
("refused: ...", "taken"); whatever it raises is a find. Inputs whose word (or,
with ``coverage``, whose executed lines of our source) was not seen before are
damaged further, as coverage-guided fuzzers do. Everything follows from the
seed number, so a run can be repeated; a find is also kept as a file.
"""

from __future__ import annotations

import os
import random
import re
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fuzz.mutation import Seed, mutate

import nix_manylinux

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    Verdict = Callable[[bytes], str]

#: What tells one sentence of an error from another: its words, not its numbers and names.
_VARIABLE = re.compile(r"0x[0-9a-f]+|\d+|'[^']*'|\"[^\"]*\"")
_SOURCE = os.path.dirname(nix_manylinux.__file__) + os.sep
#: Inputs that a corpus may grow by.
_MOST = 4000


@dataclass(frozen=True, slots=True)
class Target:
    """One fuzzer: ``seeds`` and ``run`` are made in a folder that is the target's alone.

    ``budget`` is the number of inputs that CI spends on it.
    """

    name: str
    prepare: Callable[[str], tuple[list[Seed], Verdict]]
    budget: int


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    inputs: int = 0
    words: Counter[str] = field(default_factory=Counter)
    corpus: int = 0

    @property
    def taken(self) -> int:
        """How many inputs were not refused."""
        return sum(n for word, n in self.words.items() if not word.startswith("refused"))


class Found(Exception):
    """An input that broke a promise; ``path`` is the file that holds it."""

    def __init__(self, target: str, path: str, number: int) -> None:
        super().__init__(
            f"{target}: input {number} is a find; replay it with"
            f" python -m tests.fuzz --target {target} --replay {path}"
        )
        self.path = path


def refused(sentence: str) -> str:
    """Give the word for an error's sentence."""
    return "refused: " + _VARIABLE.sub("#", sentence)[:80]


def fuzz(
    target: Target,
    inputs: int,
    folder: str,
    *,
    seed: int = 1,
    coverage: bool = False,
    keep: str | None = None,
) -> Outcome:
    """Run so many inputs; raise `Found` at the first one that breaks a promise."""
    seeds, run = target.prepare(folder)
    chance = random.Random(f"{target.name} {seed}")  # noqa: S311 - to be repeated, not to be secret
    corpus = list(seeds)
    outcome = Outcome()
    lines: set[tuple[str, int, int]] = set()
    for number in range(inputs):
        parent = corpus[number] if number < len(seeds) else chance.choice(corpus)
        data = parent.data if number < len(seeds) else mutate(parent, chance, corpus)
        before = len(lines)
        try:
            with _traced(lines) if coverage else _untraced():
                word = run(data)
        except Exception as error:
            path = os.path.join(keep or folder, f"find-{target.name}-{seed}-{number}")
            with open(path, "wb") as file:
                file.write(data)
            raise Found(target.name, path, number) from error
        outcome.inputs += 1
        new = word not in outcome.words or len(lines) > before
        outcome.words[word] += 1
        if new and number >= len(seeds) and len(corpus) < _MOST:
            corpus.append(Seed(data, parent.fields, parent.order, parent.words))
    outcome.corpus = len(corpus)
    return outcome


@contextmanager
def _untraced() -> Iterator[None]:
    yield


@contextmanager
def _traced(lines: set[tuple[str, int, int]]) -> Iterator[None]:
    """Note every step from line to line of our source while the block runs."""
    last = 0

    def local(frame: FrameType, event: str, _argument: Any) -> Any:  # noqa: ANN401 - sys.settrace's
        nonlocal last
        if event == "line":
            lines.add((frame.f_code.co_filename, last, frame.f_lineno))
            last = frame.f_lineno
        return local

    def entered(frame: FrameType, _event: str, _argument: Any) -> Any:  # noqa: ANN401 - likewise
        return local if frame.f_code.co_filename.startswith(_SOURCE) else None

    old = sys.gettrace()
    sys.settrace(entered)
    try:
        yield
    finally:
        sys.settrace(old)

"""A fixed number of damaged inputs for every reader and writer, from a fixed seed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.harness import Found, Target, fuzz
from tests.fuzz.mutation import Seed, mutate
from tests.fuzz.targets import TARGETS
from tests.support.world import elf, of, plan

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_damage(target: Target, tmp_path: Path) -> None:
    """Damaged inputs are refused with an error of ours, or taken with every promise kept."""
    outcome = fuzz(target, target.budget, str(tmp_path))
    assert outcome.inputs == target.budget
    # Seeds that are all refused, or never, would test nothing.
    assert outcome.taken
    assert len(outcome.words) > 4
    print(f"{target.name}: {outcome.inputs} inputs, {outcome.taken} taken")  # noqa: T201


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_any_damage(target: Target, tmp_path: Path) -> None:
    """The same, with inputs that hypothesis chooses and makes small."""
    seeds, run = target.prepare(str(tmp_path))

    @settings(max_examples=60, deadline=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.sampled_from(range(len(seeds))), st.randoms(use_true_random=False))
    def check(number: int, chance: random.Random) -> None:
        run(mutate(seeds[number], chance, seeds))

    check()


def test_coverage_finds_what_chance_does_not(tmp_path: Path) -> None:
    """Guided by lines, the corpus grows with inputs that words alone don't tell apart."""
    target = next(each for each in TARGETS if each.name == "elf-read")
    plain = fuzz(target, 300, str(tmp_path))
    guided = fuzz(target, 300, str(tmp_path), coverage=True)
    assert guided.corpus > plain.corpus


def _broken(_folder: str) -> tuple[list[Seed], Callable[[bytes], str]]:
    def run(data: bytes) -> str:
        if b"\xff" in data:
            raise ZeroDivisionError
        return "taken"

    return [Seed(b"abc" * 9)], run


def test_a_find_is_kept(tmp_path: Path) -> None:
    """What a target raises is a find: its input is in a file, and the same seed finds it again."""
    paths = []
    for _ in range(2):
        with pytest.raises(Found, match=r"--replay") as caught:
            fuzz(Target("broken", _broken, 0), 1000, str(tmp_path))
        paths.append(caught.value.path)
    assert paths[0] == paths[1]
    with open(paths[0], "rb") as file:
        assert b"\xff" in file.read()


def test_long_runs_count() -> None:
    """The command for long runs prints how many inputs it ran."""
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", "50", "--target", "record"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("record: 50 inputs in ")
    assert done.stdout.endswith("50 inputs in all\n")


# -- what the fuzzers found ------------------------------------------------------


def test_a_name_needed_and_wished_for_has_one_outcome() -> None:
    """DT_AUXILIARY may repeat what DT_NEEDED says; the need decides (found by resolve)."""
    files = {"a.so": elf("liba.so.1", auxiliary=("liba.so.1", "libb.so.1"))}
    outcomes = [(r.name, r.outcome.value) for r in of(plan(files), "a.so").resolutions]
    assert outcomes == [("liba.so.1", "missing"), ("libb.so.1", "ignored")]

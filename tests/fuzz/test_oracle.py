"""A fixed share of the oracle: what the loaders take is accepted, and loads when edited."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from tests.fuzz import oracle

if TYPE_CHECKING:
    from pathlib import Path

INPUTS = 600
#: The kinds of false refusals that docs/reliability.md explains.
_EXPLAINED = re.compile(
    r"EI_CLASS|machine elf|e_type|PT_LOAD at # wants|no end of a name|DT_VERNEED|vn_file|vna_name"
    r"|DT_STRTAB|a version of it is needed|plan_trees: \w*\s*$|it is started by"
)


@pytest.fixture(scope="module")
def count(tmp_path_factory: pytest.TempPathFactory) -> oracle.Count:
    """Judge a fixed number of mutants from a fixed seed."""
    return oracle.run(os.path.realpath(tmp_path_factory.mktemp("oracle")), INPUTS)


def test_what_loads_is_accepted(count: oracle.Count) -> None:
    """Whatever a loader takes, reader, plan and check take, and it loads after an edit."""
    assert count.inputs == INPUTS
    refusals = [kind for kind in count.kinds if kind.startswith("false refusal")]
    assert [kind for kind in refusals if not _EXPLAINED.search(kind)] == []
    # Damaged relocations read what happens to lie somewhere, and that may differ.
    crashed = sum(n for kind, n in count.kinds.items() if kind.startswith("edited, and then"))
    assert crashed <= INPUTS // 200


def test_the_oracle_asks_every_loader(count: oracle.Count) -> None:
    """Seeds that are all refused, or all loaded, would teach nothing."""
    for libc in ("glibc", "musl"):
        for kind in ("L", "X"):
            assert count.words[f"{libc} {kind} loaded"] > INPUTS // 60
    assert count.words["glibc L refused"] > INPUTS // 60
    assert count.words["edit in place"] > INPUTS // 5


def test_what_linkers_write_is_not_disputed(tmp_path: Path) -> None:
    """The unchanged files load or don't, and we say the same."""
    judge, unchanged = oracle.Oracle(str(tmp_path)), oracle.Count()
    made = oracle.originals(str(tmp_path / "originals"))
    judge.judge([(each, each.seed.data) for each in made], unchanged)
    assert len(made) > 200
    assert [k for k in unchanged.kinds if not k.startswith("false praise (musl")] == []

"""picked.tsv holds what pip picks, and every other wheel of those releases that fits."""

from __future__ import annotations

from itertools import groupby

import pytest
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename
from tests.wheels import choose, corpus

#: The tags that pip allows for the target, best first.
VERSION = tuple(int(part) for part in choose.PYTHON.split("."))
ORDER = [
    *cpython_tags(VERSION, platforms=choose.PLATFORMS),
    *compatible_tags(VERSION, "cp311", choose.PLATFORMS),
]


def releases() -> dict[str, list[str]]:
    """Give the files of each release in picked.tsv, by NAME==VERSION."""
    files = list(corpus.entries("picked.tsv"))
    return {
        "==".join(key): list(group) for key, group in groupby(files, lambda f: f.split("-")[:2])
    }


def test_the_first_is_the_best() -> None:
    """By the order of tags that installers share, each release's wheels stand in pip's order."""
    places = {tag: place for place, tag in enumerate(ORDER)}
    for release, files in releases().items():
        best = [
            min(places[tag] for tag in parse_wheel_filename(file)[3] if tag in places)
            for file in files
        ]
        assert best == sorted(set(best)), release


@pytest.mark.wheels
def test_pip_picks_them() -> None:
    """PyNaCl's release has three wheels that fit: pip takes the first, then the others."""
    (release,) = (name for name in releases() if name.startswith("pynacl=="))
    chosen = [path.rpartition("/")[2] for path in choose.fitting(release)]
    assert chosen == releases()[release]
    assert len(chosen) == 3


@pytest.mark.wheels
@pytest.mark.slow
@pytest.mark.asked_for("NIX_MANYLINUX_WHOLE_LIST")
@pytest.mark.parametrize("release", releases())
def test_pip_picks_them_all(release: str) -> None:
    """Every release of the list has those wheels for the target, and no other."""
    assert [path.rpartition("/")[2] for path in choose.fitting(release)] == releases()[release]

"""The verdict on real wheels is auditwheel's own."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.support.host import beside_python
from tests.wheels import corpus

from nix_manylinux.report.verdict import verdict
from nix_manylinux.tree.scan import scan_tree
from nix_manylinux.wheel.name import parse_wheel_name
from nix_manylinux.wheel.open import open_wheel

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.wheels, pytest.mark.slow]

#: The auditwheel that the policies were read from is among the locked packages. It
#: needs seconds for these and ten minutes for PySide6: the others only when asked for.
_QUICK = ("cffi-2.1.1-cp311-cp311-manylinux2014_x86_64", "lxml", "orjson", "packaging", "tbb",
          "ninja", "numpy-2.4.6", "nvidia_nvjitlink", "shiboken6", "shapely")  # fmt: skip
_NAMES = [
    name
    if name.startswith(_QUICK)
    else pytest.param(name, marks=pytest.mark.asked_for("NIX_MANYLINUX_WHOLE_LIST"))
    for name in sorted(corpus.entries())
]


@pytest.mark.parametrize("name", _NAMES)
def test_auditwheel_agrees(name: str, tmp_path: Path) -> None:
    """Every wheel of the corpus keeps the policy that ``auditwheel show`` gives, without exception.

    Symbol versions are compared where auditwheel found nothing outside: it
    adds those of the libraries that it finds on this machine.
    """
    path = corpus.wheel_if_here(name)
    done = subprocess.run(
        [beside_python("auditwheel"), "show", "--json", path],
        capture_output=True,
        text=True,
        check=False,
    )
    theirs = json.loads(done.stdout)
    with open_wheel(path) as wheel:
        unpacked = wheel.unpack(str(tmp_path))
    facts = scan_tree(unpacked.root, labels=unpacked.labels)
    ours = verdict(facts, claimed=parse_wheel_name(path).tags)
    if not facts.files:
        assert "does not look like a platform wheel" in theirs["error"]
        assert ours.kept == "any"
        return
    assert ours.kept == theirs["overall_tag"]
    if not ours.kept.startswith("linux_"):
        assert ours.by_versions == theirs["sym_tag"]
    claimed = {tag.rpartition("-")[2] for tag in parse_wheel_name(path).tags}
    assert set(ours.claimed) == claimed

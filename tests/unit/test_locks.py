"""What tests and linters install is exact, whole, and names no index: locks/ and pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "locks").iterdir())


def array(name: str) -> list[Requirement]:
    """Read an array of pyproject.toml; tomllib is not in every Python that we run on."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(name)} = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    lines = "\n".join(line.partition("#")[0] for line in found[1].splitlines())
    return [Requirement(quoted) for quoted in re.findall(r'"([^"]+)"', lines)]


def locked(path: Path) -> list[tuple[Requirement, int]]:
    """Read a lock file: requirements, each with the number of its hashes."""
    logical = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    found = []
    for line in logical:
        if line.startswith("#") or not line.strip():
            continue
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), line
        found.append((Requirement(requirement), len(hashes)))
    return found


def test_there_is_one_for_each_purpose() -> None:
    """Those that `dev` and the tests read, and no other."""
    names = ["demo-wheel.txt", "demo.txt", "docs.txt", "stand-ins.txt", "test.txt"]
    assert [path.name for path in LOCKS] == names


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_line_is_an_exact_version_with_hashes(path: Path) -> None:
    """No range, no URL, no option: what pip takes with --require-hashes from any index."""
    assert "://" not in path.read_text(encoding="utf-8")
    requirements = locked(path)
    assert requirements
    for requirement, hashes in requirements:
        assert hashes > 0, requirement
        assert requirement.url is None
        assert [each.operator for each in requirement.specifier] == ["=="]


@pytest.mark.parametrize(
    ("lock", "arrays"),
    [
        ("test", ["dependencies", "test", "build", "requires"]),
        ("demo", ["dependencies", "demo", "build", "requires"]),
        ("docs", ["docs", "build", "requires"]),
        ("stand-ins", ["stand-ins"]),
        ("demo-wheel", ["demo-wheel"]),
    ],
)
def test_it_answers_what_is_asked(lock: str, arrays: list[str]) -> None:
    """All that pyproject.toml asks for is locked, in a version that it allows, for any Python."""
    found = [requirement for requirement, _ in locked(ROOT / "locks" / f"{lock}.txt")]
    for name in arrays:
        for wanted in array(name):
            answers = [
                each
                for each in found
                if canonicalize_name(each.name) == canonicalize_name(wanted.name)
            ]
            allowed = [next(iter(each.specifier)).version in wanted.specifier for each in answers]
            assert any(allowed) if wanted.marker else allowed and all(allowed), (
                f"{wanted} is not in locks/{lock}.txt: renew it with ./dev lock"
            )

"""Runs the Nix tests on a real nixpkgs, and writes down what came of it.

    NIX_MANYLINUX_NIXPKGS=TREE NIX_MANYLINUX_NIXPKGS_HOST=FOLDER \
        python tests/nix/ring_two.py [pytest arguments]

``ring-two.json`` then holds the tree's revision, the date, each test's result
and a hash over hooks/, nix/ and tests/nix/; `test_ring_two.py` fails when that
hash is stale. Nothing is written unless every test passed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree as ET  # the file is our own pytest's

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "tests" / "nix" / "ring-two.json"

#: What decides how the Nix side behaves, and how that is tested.
FOLDERS = ("hooks", "nix", "tests/nix")


def fingerprint() -> str:
    """Hash every file of FOLDERS, by path and content; the record itself is left out."""
    digest = hashlib.sha256()
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path != RECORD and "__pycache__" not in path.parts:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{path.relative_to(ROOT).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def revision(tree: str) -> str:
    """Name the commit of a nixpkgs tree, and say if it was edited."""
    git = ["git", "-C", tree]
    done = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    remote = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no"],
        capture_output=True,
        text=True,
        check=True,
    )
    edited = [line[3:] for line in remote.stdout.splitlines()]
    return done.stdout.strip() + (f" with edits to {', '.join(edited)}" if edited else "")


def results(report: str) -> dict[str, str]:
    """Read pytest's report: test to "passed" or what else became of it."""
    found = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 -- our own pytest wrote it
        name = f"{case.get('classname', '').removeprefix('tests.nix.')}::{case.get('name')}"
        kinds = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}]
        found[name] = kinds[0] if kinds else "passed"
    return found


def main(words: list[str]) -> int:
    """Run, record, and return pytest's exit status."""
    tree = os.environ.get("NIX_MANYLINUX_NIXPKGS")
    if not tree or not os.environ.get("NIX_MANYLINUX_NIXPKGS_HOST"):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    before = fingerprint()
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--junit-xml", report]
        command += ["--deselect", "tests/nix/test_ring_two.py", "tests/nix", *words]
        done = subprocess.run(command, cwd=ROOT, check=False)
        outcome = results(report) if os.path.exists(report) else {}
    wrong = sorted(name for name, result in outcome.items() if result != "passed")
    if done.returncode or wrong or not outcome:
        sys.stderr.write(f"not recorded: {len(wrong)} of {len(outcome)} did not pass\n")
        return done.returncode or 1
    if words:
        sys.stderr.write("not recorded: not all tests were asked for\n")
        return 0
    record = {
        "nixpkgs": revision(tree),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "hash": before,
        "passed": len(outcome),
        "results": outcome,
    }
    # Written last, and only by a whole run.
    RECORD.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

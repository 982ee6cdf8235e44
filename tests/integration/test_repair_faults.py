"""A repair that is killed, or that a system call fails: the whole wheel, or none."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.support.faults import count_calls, killed
from tests.support.modules import Workshop, wheel_of

import nix_manylinux as nm

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give a wheel whose module needs a library that has to come along."""
    folder = tmp_path_factory.mktemp("faults")
    workshop = Workshop(folder)
    one = workshop.library("one", "one", "42")
    module = workshop.module("one()", [one])
    return wheel_of(module, **{"made/run": b"#!/bin/sh\n"}).write(folder)


def repair(wheel: str, output: Path) -> str:
    """Repair it; give the name of what was written."""
    done = nm.repair_wheel(wheel, output_dir=output, libraries=nm.LibraryIndex.from_directories([]))
    return os.path.basename(done.path)


def test_killed_at_any_call(wheel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file or the new one stands there, and the next run leaves nothing else."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    name = repair(wheel, tmp_path / "calm")
    whole = (tmp_path / "calm" / name).read_bytes()
    output = tmp_path / "out"
    output.mkdir()
    points = 0
    for number in itertools.count():
        (output / name).write_bytes(b"old")
        ended = not killed(lambda: repair(wheel, output), number)
        assert (output / name).read_bytes() in {b"old", whole}
        shutil.rmtree(tmp_path / "temporary")
        (tmp_path / "temporary").mkdir()
        if ended:
            break
        points += 1
    repair(wheel, output)
    assert os.listdir(output) == [name]
    assert (output / name).read_bytes() == whole
    assert points > 40


def test_failing_at_any_call(wheel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One error with a hint, and nothing is left: no output, no temporary file."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    output = tmp_path / "out"
    output.mkdir()
    refused = 0
    for number in itertools.count():
        failed: list[str] = []

        def fail(name: str, failed: list[str] = failed) -> None:
            failed.append(name)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

        undo = count_calls(fail, number)
        try:
            repair(wheel, output)
            assert len(os.listdir(output)) == 1
        except nm.NixManylinuxError as error:
            refused += 1
            assert error.hint, str(error)  # noqa: PT017 - every error says what to do next
            assert os.listdir(output) == [], failed
        finally:
            undo()
        for made in output.iterdir():
            made.unlink()
        # What could not be deleted is the system's to tidy up.
        if failed != ["unlink"]:
            assert os.listdir(temporary) == [], failed
        shutil.rmtree(temporary)
        temporary.mkdir()
        if not failed:
            break
    assert refused > 30

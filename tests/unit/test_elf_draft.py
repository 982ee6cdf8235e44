"""A draft behaves like the file that it stands for."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path  # noqa: TC003  pytest reads the annotations' names

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf.draft.bytes import Draft
from nix_manylinux.elf.source import Source

WRITES = st.lists(st.tuples(st.integers(0, 90), st.binary(min_size=0, max_size=40)), max_size=12)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file of 64 known bytes."""
    file = tmp_path_factory.mktemp("draft") / "file"
    file.write_bytes(bytes(range(1, 65)))
    return file


@given(writes=WRITES, cut=st.none() | st.integers(0, 64))
@settings(max_examples=300, deadline=None)
def test_reads_what_was_written(
    path: Path, writes: list[tuple[int, bytes]], cut: int | None
) -> None:
    """Any writes, overlapping or beyond the end, and a cut: every byte is as in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        draft, model = Draft(Source(descriptor)), bytearray(range(1, 65))
        if cut is not None:
            draft.cut(cut)
            del model[cut:]
        for offset, data in writes:
            draft.write(offset, data)
            if data:
                model.extend(bytes(max(0, offset - len(model))))
                model[offset : offset + len(data)] = data
        assert draft.size == len(model)
        assert draft.read(0, draft.size) == model
        for start in range(0, draft.size, 7):
            assert draft.read(start, min(5, draft.size - start)) == model[start : start + 5]
        applied = bytearray(range(1, 65))[: draft.size]
        applied.extend(bytes(draft.size - len(applied)))
        for change in draft.changes():
            assert change.old == bytes(range(1, 65))[change.offset : change.end]
            applied[change.offset : change.end] = change.new
        assert applied == model
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (0, 65), (64, 1), (1 << 62, 1 << 62)])
def test_nothing_is_read_from_beyond_the_end(path: Path, offset: int, size: int) -> None:
    """A size is held against the file before memory is taken for it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        source = Source(descriptor)
        for reader in (source, Draft(source)):
            with pytest.raises(BadElf, match="ends behind the end of the file"):
                reader.read(offset, size)
    finally:
        os.close(descriptor)


@given(wants=st.lists(st.tuples(st.integers(0, 299_999), st.integers(0, 40_000)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_read_of_a_file_is_what_the_file_has(
    tmp_path_factory: pytest.TempPathFactory, wants: list[tuple[int, int]]
) -> None:
    """Of any size, in any order, across the blocks that are kept and up to the end."""
    file = tmp_path_factory.getbasetemp() / "blocks"
    data = b"".join(number.to_bytes(3, "little") for number in range(100_000))
    if not file.exists():
        file.write_bytes(data)
    descriptor = os.open(file, os.O_RDONLY)
    try:
        source = Source(descriptor)
        for offset, size in wants:
            end = min(offset + size, len(data))
            assert source.read(offset, end - offset) == data[offset:end]
    finally:
        os.close(descriptor)


def test_what_is_kept_of_a_file_is_bounded(tmp_path: Path) -> None:
    """Reads all over a large file take no more memory than a few, and stay right."""
    file = tmp_path / "large"
    with file.open("wb") as stream:
        stream.truncate(1 << 30)
        stream.seek(1 << 29)
        stream.write(b"middle")
    descriptor = os.open(file, os.O_RDONLY)
    try:
        source = Source(descriptor)
        tracemalloc.start()
        for offset in range(0, 1 << 30, 1 << 20):
            assert source.read(offset, 6) == (b"middle" if offset == 1 << 29 else bytes(6))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
        os.close(descriptor)

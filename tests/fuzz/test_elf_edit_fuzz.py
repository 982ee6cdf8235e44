"""Damaged files: the writer refuses them with one kind of error, or edits them soundly.

A fixed number of mutations from a fixed seed; ``NIX_MANYLINUX_FUZZ=200000``
runs that many (and ``NIX_MANYLINUX_FUZZ_SEED`` others).
"""

from __future__ import annotations

import os
import random
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import ElfBuilder, layout_of
from tests.support.wheels import tiny_library

from nix_manylinux.base.errors import NixManylinuxError
from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from pathlib import Path

BUDGET = int(os.environ.get("NIX_MANYLINUX_FUZZ") or 800)
SEED = int(os.environ.get("NIX_MANYLINUX_FUZZ_SEED") or 7)
#: No single edit may take longer, whatever the file says of itself.
SECONDS = 5.0
LONG = tuple(f"/nix/store/{i:032d}-package-{i}-1.2.3/lib" for i in range(5))
EDITS = (
    ElfEdit(search_path=LONG),
    ElfEdit(search_path=(), clear_executable_stack=True),
    ElfEdit(search_path=("/a",), inherited=True, add_needed=("libnew.so.1",)),
    ElfEdit(replace_needed=(("libneeded.so.1", "libanother-longer-name.so.1"),)),
    ElfEdit(interpreter="/nix/store/" + "x" * 200 + "/ld.so", search_path=LONG),
    ElfEdit(add_needed=tuple(f"libmany-{i}.so" for i in range(12))),
    ElfEdit(soname="libquite-another-soname-1a2b3c4d.so.1", search_path=()),
    ElfEdit(remove_needed=("libneeded.so.1",), soname="s.so"),
)
TARGETS = ("x86_64-linux-gnu", "x86-linux-gnu", "s390x-linux-gnu", "arm-linux-gnueabihf")
#: Values that sizes, counts and offsets are set to.
ODD = (0, 1, 2, 7, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**40, 2**63, 2**64 - 1)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Make small files of both classes and both byte orders."""
    files = ElfBuilder(tmp_path_factory.mktemp("seeds"))
    found = [tiny_library("libtiny.so.1", "libneeded.so.1")]
    for target in TARGETS:
        library = files.library(
            "libseed.so",
            source="int demo(void) { return 1; } extern int puts(const char *); int x(void)"
            ' { return puts("x"); }',
            target=target,
            needed=["libneeded.so.1"],
            runpath="$ORIGIN/lib",
            libc=True,
            flags=["-s"],
        )
        found.append(library.read_bytes())
    found.append(files.program("seed", target=TARGETS[0], flags=["-s"]).read_bytes())
    return found


def headers(data: bytes) -> list[tuple[int, int]]:
    """Offset and size of every field that says where something is, or how long."""
    layout = layout_of(data)
    head = layout.header(data)
    word = layout.bits // 8
    fields = [(16 + 8 + word * i, word) for i in range(3)]
    fields += [(16 + 8 + 3 * word + 4 + 2 * i, 2) for i in range(6)]
    for start, count, size in (
        (head.phoff, head.phnum, head.phentsize),
        (head.shoff, head.shnum, head.shentsize),
    ):
        for index in range(count):
            fields += [(start + index * size + at, 4) for at in range(0, size - 3, 4)]
    for segment in layout.segments(data[head.phoff : head.phoff + head.phnum * head.phentsize]):
        if segment.type == 2:
            span = range(segment.offset, segment.offset + segment.filesz, word)
            fields += [(at, word) for at in span]
    return fields


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Damage a file: odd numbers in its headers, flipped bytes, a cut, bytes behind it."""
    changed = bytearray(data)
    layout = layout_of(data)
    order = "<" if layout.endian == "little" else ">"
    fields = headers(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at, size = chance.choice(fields)
        if at + size > len(changed):
            continue
        code = {2: "H", 4: "I", 8: "Q"}[size]
        old = struct.unpack_from(order + code, changed, at)[0]
        new = chance.choice((*ODD, old + 1, old - 1, old + 8, old * 2, len(data), old ^ 0x1000))
        struct.pack_into(order + code, changed, at, new % (1 << 8 * size))
    way = chance.random()
    if way < 0.2:
        for _ in range(chance.randrange(1, 9)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    elif way < 0.25:
        del changed[chance.randrange(len(changed)) :]
    elif way < 0.3:
        changed += bytes(chance.randrange(1, 99)) + b"payload"
    return bytes(changed)


def test_no_damage_is_too_much(seeds: list[bytes], tmp_path: Path) -> None:
    """An error leaves the file as it was; an edit that is done reads back as meant."""
    chance = random.Random(SEED)  # noqa: S311  the same damage every time
    path = tmp_path / "damaged"
    done = 0
    for turn in range(BUDGET):
        data = mutated(chance.choice(seeds), chance)
        edit = chance.choice(EDITS)
        path.write_bytes(data)
        started = time.monotonic()
        try:
            result = edit_file(str(path), edit)
        except NixManylinuxError:
            assert path.read_bytes() == data, turn
        else:
            done += 1
            assert path.stat().st_size == result.size_after
            check(path, edit, turn)
            result.undo()
            assert path.read_bytes() == data, turn
        assert time.monotonic() - started < SECONDS, turn
    assert done > BUDGET // 20  # most damage is to fields that no edit depends on


def check(path: Path, edit: ElfEdit, turn: int) -> None:
    """Read an edited file with the reader, which is stricter here and laxer there."""
    try:
        facts = read_elf(path)
    except NixManylinuxError:
        return  # a fault that the edit has nothing to do with
    assert facts is not None
    if edit.search_path is not None and facts.kind.is_linked:
        assert facts.search_path == edit.search_path, turn
    for name in edit.add_needed:
        assert name in facts.needed, turn
    if edit.soname is not None and facts.kind.is_linked:
        assert facts.soname == edit.soname, turn
    assert not set(edit.remove_needed) & set(facts.needed), turn


def test_huge_sizes_take_no_memory(seeds: list[bytes], tmp_path: Path) -> None:
    """Sizes of 4 GiB in a sparse file of 8 GiB are refused before they are read."""
    import tracemalloc

    path = tmp_path / "sparse"
    for data in seeds[:2]:
        for at, size in headers(data):
            if size != 8:
                continue
            changed = bytearray(data)
            struct.pack_into("<Q", changed, at, 1 << 32)
            path.write_bytes(changed)
            os.truncate(path, 8 << 30)
            tracemalloc.start()
            with suppress(NixManylinuxError):
                edit_file(str(path), EDITS[0])
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 200 << 20, hex(at)

"""Our reader against pyelftools, which is the reference: on fixtures and on real wheels."""

from __future__ import annotations

import io
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.constants import E_FLAGS
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.elf import TARGETS, Poker, arrangement, parse_elf
from tests.wheels import corpus

from nix_manylinux.elf import format as elf
from nix_manylinux.elf.facts import ElfKind
from nix_manylinux.elf.read import read_elf
from nix_manylinux.elf.witness import contradictions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from random import Random

    from tests.support.elf import ElfBuilder


#: Wheels of over 80 MB: 22 layouts of 112 are found in these alone (November 2026).
LARGE = frozenset(
    name
    for name in corpus.entries()
    if name.startswith(("nvidia_cusparse", "pyside6_essentials", "torch", "ziglang"))
)


def compare(data: bytes) -> ElfKind:
    """Assert that both readers agree on one file, and return its kind."""
    facts = parse_elf(data)
    assert facts is not None
    if facts.kind.is_linked or facts.kind is ElfKind.STATIC:
        assert contradictions(io.BytesIO(data), facts) == []
    return facts.kind


@pytest.mark.parametrize("target", [None, *TARGETS])
def test_both_readers_agree_on_fixtures(elf_files: ElfBuilder, target: str | None) -> None:
    """Every machine's library, program and versions read alike."""
    library = elf_files.library(
        "libv.so.1", target=target, soname="libv.so.1", versions="V_1 { demo; }; V_2 { } V_1;"
    )
    user = elf_files.library(
        source="int demo(void); int mine(void) { return demo(); }",
        target=target,
        needs=[library],
        needed=["libother.so.3"],
        rpath="$ORIGIN/../lib",
    )
    program = elf_files.program(target=target, interpreter="/lib/ld-demo.so", needs=[library])
    assert [compare(path.read_bytes()) for path in (library, user, program)] == [
        ElfKind.LIBRARY,
        ElfKind.LIBRARY,
        ElfKind.PROGRAM,
    ]


@pytest.mark.parametrize("target", ["arm-linux-gnueabihf", "arm-linux-gnueabi"])
def test_the_float_abi_is_the_one_of_the_reference(elf_files: ElfBuilder, target: str) -> None:
    """EF_ARM_ABI_FLOAT_HARD and _SOFT are what the ABI document's constants say."""
    data = elf_files.library(target=target).read_bytes()
    flags = ELFFile(io.BytesIO(data))["e_flags"]
    facts = parse_elf(data)
    assert facts is not None
    assert bool(flags & E_FLAGS.EF_ARM_ABI_FLOAT_HARD) == (facts.machine.abi == "hard")
    assert bool(flags & E_FLAGS.EF_ARM_ABI_FLOAT_SOFT) == (facts.machine.abi == "soft")


def members(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the ELF members of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                head = member.read(4)
                if head == b"\x7fELF":
                    yield info.filename, head + member.read()


def disagreements(
    wheels: Iterable[Path], folder: Path, kinds: Counter[ElfKind], *, once: bool
) -> list[str]:
    """Compare the files of wheels, with ``once`` only the first of each layout."""
    different: list[str] = []
    layouts = set()
    copy = folder / "member"
    for wheel in wheels:
        for name, data in members(wheel):
            layout = arrangement(data)
            if once and layout in layouts:
                continue
            layouts.add(layout)
            try:
                kinds[compare(data)] += 1
            except AssertionError as error:
                different.append(f"{wheel.name}: {name}: {error}")
            copy.write_bytes(data)
            if read_elf(copy, label=name) != parse_elf(data, label=name):
                different.append(f"{wheel.name}: {name}: read_elf differs from parse_elf")
    # Shown by -rP: how much was compared.
    counts = " ".join(f"{kind.name}={n}" for kind, n in kinds.items())
    sys.stdout.write(f"{counts} layouts={len(layouts)}\n")
    return different


@pytest.mark.wheels
def test_both_readers_agree_on_every_layout_of_the_list(tmp_path: Path) -> None:
    """One file of each layout in the list's wheels of up to 80 MB reads alike.

    A layout is what a reader finds its way by: class, byte order, machine,
    and the order of program headers and dynamic entries (`arrangement`).
    """
    wheels = [Path(corpus.wheel(name)) for name in corpus.entries() if name not in LARGE]
    kinds: Counter[ElfKind] = Counter()
    different = disagreements(wheels, tmp_path, kinds, once=True)
    assert not different, "\n".join(different)
    assert kinds[ElfKind.LIBRARY] > 70


@pytest.mark.wheels
@pytest.mark.slow
@pytest.mark.asked_for("NIX_MANYLINUX_WHOLE_LIST")
def test_both_readers_agree_on_every_wheel_of_the_cache(tmp_path: Path) -> None:
    """Needs, names, paths and versions of all files of all cached wheels are the same."""
    kinds: Counter[ElfKind] = Counter()
    found = sorted(Path(corpus.folder()).glob("*.whl"))
    different = disagreements(found, tmp_path, kinds, once=False)
    assert not different, "\n".join(different)
    assert kinds[ElfKind.LIBRARY] > 70


@pytest.mark.parametrize("target", [None, "x86-linux-gnu", "s390x-linux-gnu"])
@given(chance=st.randoms(use_true_random=False))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_both_readers_agree_on_any_order(
    elf_files: ElfBuilder, target: str | None, chance: Random
) -> None:
    """Whatever order a linker gives program headers and dynamic entries, both read the same."""
    library = elf_files.library("libv.so.1", target=target, versions="V_1 { demo; };")
    data = elf_files.library(
        source="int demo(void); int mine(void) { return demo(); }",
        target=target,
        soname="libmine.so.2",
        needs=[library],
        needed=["libother.so.3"],
        runpath="$ORIGIN/../lib",
    ).read_bytes()
    poker = Poker(data)
    header = poker.layout.header(data)
    segments = poker.segments()
    loads = iter([segment for segment in segments if segment.type == elf.PT_LOAD])
    chance.shuffle(segments)
    # The gABI lets PT_LOADs come in no order but that of their addresses.
    segments = [next(loads) if segment.type == elf.PT_LOAD else segment for segment in segments]
    table = b"".join(map(poker.layout.pack_segment, segments))
    poker.data[header.phoff : header.phoff + len(table)] = table
    section = poker.sections[".dynamic"]
    end = section.offset + section.size
    pairs = list(poker.layout.dyn.iter_unpack(data[section.offset : end]))
    entries = pairs[: pairs.index((elf.DT_NULL, 0))]
    chance.shuffle(entries)
    packed = b"".join(poker.layout.dyn.pack(*entry) for entry in entries)
    poker.data[section.offset : section.offset + len(packed)] = packed
    assert compare(bytes(poker.data)) is ElfKind.LIBRARY

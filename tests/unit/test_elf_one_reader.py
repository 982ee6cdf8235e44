"""The reader and the writer's draft read the same structures by the same rules, the loader's."""

from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.elf import TARGETS, Poker, parse_elf, without_sections

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.draft.bytes import Draft
from nix_manylinux.elf.draft.headers import Object
from nix_manylinux.elf.draft.tables import symbol_count, version_names
from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.image import MIN_PAGE, Image
from nix_manylinux.elf.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.elf import ElfBuilder

#: Machines that the writer edits.
EDITED = [None, *(t for t in TARGETS if not t.startswith(("mips", "powerpc-")))]
EXPORTS = (
    "extern int puts(const char *); int mine(void) { return 1; }"
    ' int more(void) { return puts("x"); }'
)
#: Nothing is exported: the hash table counts none, and relocations name them all the same.
IMPORTS = (
    "extern int puts(const char *), other(void);"
    ' __attribute__((visibility("hidden"))) int mine(void) { return puts("x") + other(); }'
    " static void *all[] = {(void *)puts, (void *)other, (void *)all};"
    ' __attribute__((visibility("hidden"), used)) void **kept = (void **)all;'
)
SIZE = 24_000
PLACES = st.integers(0, 14_000) | st.sampled_from([0, 1, 4095, 4096, 4097, 8191, 8192])
#: Offset, address, bytes in the file, bytes in memory.
LOADS = st.lists(
    st.tuples(st.integers(0, 12_000), PLACES, PLACES, PLACES)
    | st.tuples(st.just(0), st.just(0), PLACES, PLACES),
    min_size=1,
    max_size=5,
)


def image_of(loads: list[tuple[int, int, int, int]]) -> Image:
    """Make an image of nothing but PT_LOADs, in a file of `SIZE` bytes."""
    layout = elf.LAYOUTS[2, 1]
    rows = [elf.Segment(elf.PT_LOAD, 4, o, a, a, f, m, 4096) for o, a, f, m in loads]
    header = elf.FileHeader(
        elf.ET_DYN, elf.EM_X86_64, 1, 0, 64, 0, 0, 64, layout.phdr.size, len(rows), 0, 0, 0
    )
    data = b"\x7fELF\2\1\1" + bytes(9) + layout.pack_header(header)
    data += b"".join(map(layout.pack_segment, rows))
    return Image(Source(data=data.ljust(SIZE, b"\0")))


def mapped(loads: list[tuple[int, int, int, int]]) -> dict[int, int]:
    """Map each address that the file fills to its offset, page by page as a loader does."""
    found: dict[int, int] = {}
    for offset, address, filled, memory in loads:
        start = address // MIN_PAGE * MIN_PAGE
        end = -(-(address + max(filled, memory)) // MIN_PAGE) * MIN_PAGE
        for place in range(start, end):
            found.pop(place, None)
            behind = place >= address + filled and memory > filled
            if place - address + offset >= 0 and not behind:
                found[place] = place - address + offset
    return found


@given(loads=LOADS, asked=st.lists(PLACES, max_size=10))
@settings(max_examples=150, deadline=None)
def test_an_address_leads_where_whole_pages_lead(
    loads: list[tuple[int, int, int, int]], asked: list[int]
) -> None:
    """Segments in any order, over and across each other: as if each page were mapped in turn."""
    image, known = image_of(loads), mapped(loads)
    edges = [a + d for _, a, f, m in loads for d in (0, f, m, f - 1, -1)]
    for place in [*asked, *edges]:
        if place not in known:
            with pytest.raises(BadElf, match="which no PT_LOAD fills"):
                image.locate("it", place)
            continue
        offset, room = image.locate("it", place)
        assert offset == known[place]
        run = 0
        while known.get(place + run) == offset + run:
            run += 1
        assert room == max(0, min(run, SIZE - offset))


def test_thousands_of_segments_over_each_other_are_sorted_at_once() -> None:
    """A hostile table of them costs no square of their number."""
    loads = [(number % 9, 100_000 - number, 1 << 20, 1 << 20) for number in range(60_000)]
    layout, image = elf.LAYOUTS[2, 1], image_of([])
    image.loads = [elf.Segment(elf.PT_LOAD, 4, o, a, a, f, m, 1) for o, a, f, m in loads]
    assert layout.bits == 64
    assert image.locate("it", 90_000)[0] == (59_999 % 9) + 90_000 - (100_000 - 59_999)


@pytest.mark.parametrize("style", ["gnu", "sysv", "both"])
@pytest.mark.parametrize("target", EDITED)
def test_symbols_are_counted_alike_without_sections(
    elf_files: ElfBuilder, target: str | None, style: str
) -> None:
    """By the hash tables of every linker, s390x's with lld's words of 4 bytes too."""
    for source in (EXPORTS, IMPORTS):
        data = elf_files.library(
            "counted.so", source=source, target=target, flags=[f"-Wl,--hash-style={style}"]
        ).read_bytes()
        whole, bare = (Object(Draft(Source(data=each))) for each in (data, without_sections(data)))
        assert whole.shdrs
        assert not bare.shdrs
        assert symbol_count(bare) == symbol_count(whole)


def test_versions_are_followed_by_their_links(elf_files: ElfBuilder) -> None:
    """No loader reads vn_cnt: names behind its end are in use all the same."""
    needed = elf_files.library(
        "libv.so.1", soname="libv.so.1", versions="V_1 { demo; }; V_2 { other; };",
        source="int demo(void) { return 1; } int other(void) { return 2; }",
    )  # fmt: skip
    poker = Poker(
        elf_files.library(
            source="int demo(void), other(void); int mine(void) { return demo() + other(); }",
            needs=[needed],
        ).read_bytes()
    )
    before = Object(Draft(Source(data=bytes(poker.data))))
    poker.word(".gnu.version_r", 2, 0, size=2)
    after = Object(Draft(Source(data=bytes(poker.data))))
    facts = parse_elf(bytes(poker.data))
    assert facts is not None
    assert {need.version for need in facts.needs} == {"V_1", "V_2"}
    assert version_names(after) == version_names(before)
    assert len(version_names(after)) == 2


def test_a_table_that_ends_in_the_rest_of_a_page_is_edited(
    elf_files: ElfBuilder, tmp_path: Path
) -> None:
    """Without sections, with a PT_LOAD that ends inside its version records: it is mapped whole."""
    original = elf_files.library(
        source='#include <stdio.h>\nint mine(void) { return puts(""); }', libc=True
    )
    poker = Poker(original.read_bytes())
    records = poker.sections[".gnu.version_r"]
    first = next(s for s in poker.segments() if s.type == elf.PT_LOAD)
    end = records.address + records.size - 8
    assert first.vaddr < end < first.vend
    assert first.vend - end < MIN_PAGE
    poker.segment(elf.PT_LOAD, filesz=end - first.vaddr, memsz=end - first.vaddr)
    path = tmp_path / "short.so"
    path.write_bytes(without_sections(bytes(poker.data)))
    load = ["python3", "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", str(path)]
    assert subprocess.run(load, check=False).returncode == 0
    result = edit_file(str(path), ElfEdit(search_path=("/" + "x" * 300,)))
    assert result.how == "in place"
    assert subprocess.run(load, check=False).returncode == 0


def test_a_dynamic_section_that_ends_in_the_rest_of_a_page_is_edited(
    elf_files: ElfBuilder, tmp_path: Path
) -> None:
    """A PT_DYNAMIC and a PT_LOAD that are too short for DT_NULL: loaders read on, and so do we."""
    path = tmp_path / "short.so"
    poker = Poker(elf_files.library(runpath="/old").read_bytes())
    section = poker.sections[".dynamic"]
    entries = [tag for tag, _ in struct.iter_unpack(
        "<QQ", poker.data[section.offset : section.offset + section.size]
    )]  # fmt: skip
    used = entries.index(elf.DT_NULL) * 16 - 32
    header = poker.layout.header(bytes(poker.data))
    for index, segment in enumerate(poker.segments()):
        if segment.holds(section.offset) and segment.type in {elf.PT_LOAD, elf.PT_DYNAMIC}:
            size = section.address + used - segment.vaddr
            segment.filesz = segment.memsz = size
            place = header.phoff + index * header.phentsize
            poker.data[place : place + header.phentsize] = poker.layout.pack_segment(segment)
    path.write_bytes(without_sections(bytes(poker.data)))
    facts = parse_elf(path.read_bytes())
    assert facts is not None
    assert facts.runpath == "/old"
    assert edit_file(str(path), ElfEdit(search_path=("/new",))).how == "in place"
    facts = parse_elf(path.read_bytes())
    assert facts is not None
    assert facts.runpath == "/new"

"""Hostile and damaged ELF files: one error type, which names the field and its value.

What no loader reads may be anything: then the file is read as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import time
import tracemalloc
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.elf import Poker, parse_elf, without_sections

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    import struct
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.support.elf import ElfBuilder

#: A machine of each class and byte order; None is gcc's ELF64, little-endian.
LAYOUTS = [None, "powerpc64-linux-gnu", "arm-linux-gnueabihf", "powerpc-linux-gnueabihf"]


@pytest.fixture(scope="session", params=LAYOUTS)
def good(elf_files: ElfBuilder, request: pytest.FixtureRequest) -> bytes:
    """Build a library with every table that the reader reads."""
    target: str | None = request.param
    needed = elf_files.library(
        "libv.so.1", target=target, soname="libv.so.1", versions="V_1 { demo; };"
    )
    return elf_files.library(
        source="int demo(void); int mine(void) { return demo(); }",
        target=target,
        soname="libgood.so.2",
        needs=[needed],
        runpath="$ORIGIN/lib",
        versions="G_1 { mine; }; G_2 { } G_1;",
        flags=["-Wl,--build-id=sha1"],
    ).read_bytes()


def _ident(index: int, value: int, poker: Poker) -> None:
    poker.data[index] = value


def _header(poker: Poker, **fields: int) -> None:
    poker.header(**fields)


def _segment(kind: int, poker: Poker, **fields: int) -> None:
    poker.segment(kind, **fields)


def _dynamic(tag: int, value: int, poker: Poker) -> None:
    poker.dynamic(tag, value)


def _word(section: str, offset: int, value: int, poker: Poker, *, size: int = 4) -> None:
    poker.word(section, offset, value, size=size)


def _no_tag(tag: int, poker: Poker) -> None:
    poker.dynamic(tag, 0, new_tag=0x6FFFFEFF)


def _interpreter(poker: Poker, *, size: int) -> None:
    offset = poker.sections[".dynsym"].offset + 1
    poker.segment(elf.PT_GNU_STACK, type=elf.PT_INTERP, offset=offset, filesz=size)
    poker.data[offset : offset + min(size, 8)] = b"/" * min(size, 8)


def _vd_aux(poker: Poker) -> None:
    # The base version's name is not read; the second record's is.
    start = poker.sections[".gnu.version_d"].offset
    following = poker.layout.verdef.unpack_from(poker.data, start)[6]
    poker.word(".gnu.version_d", following + 12, 0x7FFFFFF0)


def _append(poker: Poker, content: bytes, *, size: int = 0) -> None:
    """Put bytes behind the file and a PT_LOAD at 0x60000000 over them (and over a hole)."""
    size = size or len(content)
    poker.segment(
        elf.PT_GNU_STACK,
        type=elf.PT_LOAD,
        offset=len(poker.data),
        vaddr=0x60000000,
        filesz=size,
        memsz=size,
    )
    poker.data += content


#: Name of the corruption -> what does it, and what the error says.
CORRUPTIONS: dict[str, tuple[Callable[[Poker], None], str]] = {
    "class 0": (partial(_ident, elf.EI_CLASS, 0), "EI_CLASS 0 and EI_DATA"),
    "class 3": (partial(_ident, elf.EI_CLASS, 3), "EI_CLASS 3 and EI_DATA"),
    "byte order 0": (partial(_ident, elf.EI_DATA, 0), "EI_DATA 0 are no class"),
    "byte order 9": (partial(_ident, elf.EI_DATA, 9), "EI_DATA 9 are no class"),
    "type none": (partial(_header, type=0), "e_type is 0x0"),
    "type unknown": (partial(_header, type=0xFE01), "e_type is 0xfe01"),
    "no segments": (partial(_header, phnum=0), r"no PT_LOAD \(e_phnum\)"),
    "extended segment count": (
        partial(_header, phnum=0xFFFF),
        "program header table .* ends behind",
    ),
    "many segments": (partial(_header, phnum=0xFFFE), "program header table .* ends behind"),
    "segment size": (partial(_header, phentsize=33), "e_phentsize is 33"),
    "segment table outside": (
        partial(_header, phoff=0x7FFFFFFF),
        "program header table .* at 0x7fffffff",
    ),
    "no load": (partial(_segment, elf.PT_LOAD, vaddr=0x70000000), "which no PT_LOAD fills"),
    "load before the file": (partial(_segment, elf.PT_LOAD, vaddr=0xFFF), "which no PT_LOAD fills"),
    "load outside": (partial(_segment, elf.PT_LOAD, offset=0x7FFFFFFF), "0x7fffffff .p_offset"),
    "load too long": (partial(_segment, elf.PT_LOAD, filesz=0xFFFFFFFF), "wants 4294967295 bytes"),
    "dynamic nowhere": (
        partial(_segment, elf.PT_DYNAMIC, vaddr=0x7FFFFFF0),
        "p_vaddr of PT_DYNAMIC is 0x7ffffff0",
    ),
    "no string table": (partial(_no_tag, elf.DT_STRTAB), "no DT_STRTAB"),
    "string table nowhere": (
        partial(_dynamic, elf.DT_STRTAB, 0x7FFFFFF0),
        "DT_STRTAB is 0x7ffffff0, which no PT_LOAD",
    ),
    "needed outside": (
        partial(_dynamic, elf.DT_NEEDED, 0x10000000),
        "DT_NEEDED is 0x10000000, where",
    ),
    "runpath outside": (partial(_dynamic, elf.DT_RUNPATH, 0x10000000), "DT_RUNPATH is 0x10000000"),
}
#: Name of what no loader reads, or glibc alone -> what does it, and what glibc says of it.
TAKEN: dict[str, tuple[Callable[[Poker], None], str]] = {
    "ident version": (partial(_ident, elf.EI_VERSION, 7), "EI_VERSION"),
    "version": (partial(_header, version=2), "e_version is not 1"),
    "section size": (partial(_header, shentsize=3), ""),
    "section table outside": (partial(_header, shoff=0x7FFFFFF0), ""),
    "many sections": (partial(_header, shnum=0xFEFF), ""),
    "load shrinks": (partial(_segment, elf.PT_LOAD, memsz=5), ""),
    "dynamic elsewhere": (partial(_segment, elf.PT_DYNAMIC, offset=8), ""),
    "dynamic too long": (partial(_segment, elf.PT_DYNAMIC, filesz=0xFFFFFFF0), ""),
    "dynamic empty": (partial(_segment, elf.PT_DYNAMIC, filesz=0), "without a dynamic section"),
    "no string table size": (partial(_no_tag, elf.DT_STRSZ), ""),
    "string table too long": (partial(_dynamic, elf.DT_STRSZ, 0xFFFFFFFF), ""),
    "string table too short": (partial(_dynamic, elf.DT_STRSZ, 1), ""),
    "string table empty": (partial(_dynamic, elf.DT_STRSZ, 0), ""),
    "verneed nowhere": (partial(_dynamic, elf.DT_VERNEED, 0x7FFFFFF0), "DT_VERNEED is 0x7ffffff0"),
    "verneed count high": (partial(_dynamic, elf.DT_VERNEEDNUM, 0xFFFFFFFF), ""),
    "verneed count low": (partial(_dynamic, elf.DT_VERNEEDNUM, 0), ""),
    "vn_version": (partial(_word, ".gnu.version_r", 0, 2, size=2), "vn_version is 2"),
    "vn_cnt": (partial(_word, ".gnu.version_r", 2, 9, size=2), ""),
    "vn_file": (partial(_word, ".gnu.version_r", 4, 0x10000000), "vn_file is 0x10000000"),
    "vn_aux": (partial(_word, ".gnu.version_r", 8, 0x7FFFFFF0), "DT_VERNEED leads to a record at"),
    "vn_next far": (
        partial(_word, ".gnu.version_r", 12, 0x7FFFFFF0),
        "DT_VERNEED leads to a record",
    ),
    "vna_name": (partial(_word, ".gnu.version_r", 24, 0x10000000), "vna_name is 0x10000000"),
    "vna_next far": (partial(_word, ".gnu.version_r", 28, 0x7FFFFFF0), "leads to a record at"),
    "verdef nowhere": (partial(_dynamic, elf.DT_VERDEF, 0x7FFFFFF0), ""),
    "verdef count": (partial(_dynamic, elf.DT_VERDEFNUM, 0x7FFFFFFF), ""),
    "vd_version": (partial(_word, ".gnu.version_d", 0, 3, size=2), ""),
    "vd_cnt": (partial(_word, ".gnu.version_d", 6, 0, size=2), ""),
    "vd_aux": (
        partial(_word, ".gnu.version_d", 28 + 12, 0x7FFFFFF0),
        "",
    ),
    "vd_next": (partial(_word, ".gnu.version_d", 16, 0x7FFFFFF0), ""),
    "notes outside": (partial(_segment, elf.PT_NOTE, offset=0x7FFFFFFF), ""),
    "notes too long": (partial(_segment, elf.PT_NOTE, filesz=0xFFFFFFFF), ""),
    "interpreter too short": (partial(_interpreter, size=1), ""),
    "interpreter too long": (partial(_interpreter, size=4097), ""),
    "interpreter without end": (partial(_interpreter, size=8), ""),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_one_wrong_field_is_one_clear_error(good: bytes, name: str) -> None:
    """Each field of the table, made wrong by itself, is named with its value."""
    change, message = CORRUPTIONS[name]
    poker = Poker(good)
    change(poker)
    with pytest.raises(BadElf) as caught:
        parse_elf(bytes(poker.data))
    assert re.search(message, caught.value.what)


@pytest.mark.parametrize("name", TAKEN)
def test_what_no_loader_reads_may_be_anything(good: bytes, name: str) -> None:
    """What glibc alone looks at is told of the file, and the rest is what it was."""
    change, message = TAKEN[name]
    poker = Poker(good)
    change(poker)
    facts, right = parse_elf(bytes(poker.data)), parse_elf(good)
    assert facts is not None
    assert right is not None
    assert re.search(message, facts.refused)
    assert bool(facts.refused) == bool(message)
    assert (facts.kind, facts.soname, facts.needed) == (right.kind, right.soname, right.needed)
    assert (facts.runpath, facts.interpreter) == (right.runpath, right.interpreter)


def test_two_wrong_fields_are_one_clear_error(good: bytes) -> None:
    """Every two of the table at once, in both orders: the error is that of one of the two."""
    changes: dict[str, dict[int, int]] = {}
    for name, (change, _) in CORRUPTIONS.items():
        poker = Poker(good)
        change(poker)
        assert len(poker.data) == len(good)
        changes[name] = {
            place: new
            for place, (new, old) in enumerate(zip(poker.data, good, strict=True))
            if new != old
        }
    pairs = 0
    for one, other in itertools.permutations(CORRUPTIONS, 2):
        # One field can't be wrong in two ways.
        if changes[one].keys() & changes[other].keys():
            continue
        data = bytearray(good)
        for place, value in (*changes[one].items(), *changes[other].items()):
            data[place] = value
        with pytest.raises(BadElf) as caught:
            parse_elf(bytes(data))
        told = [name for name in (one, other) if re.search(CORRUPTIONS[name][1], caught.value.what)]
        assert told, f"{one} and {other}: {caught.value.what}"
        pairs += 1
    print(f"{pairs} pairs")  # noqa: T201
    assert pairs > 300


#: What an error of the reader must name: a field or a table of the gABI.
_FIELD = re.compile(
    r"\b(?:e|p|sh|d|vn|vna|vd|vda)_[a-z]+\b|\b(?:DT|PT|SHT|EI)_[A-Z_]+|header table"
)


def _parts(names: str, layout: struct.Struct, place: int) -> list[tuple[str, int, int]]:
    """Give the fields of one packed structure: name, place in the file, size in bytes."""
    found = []
    for name, letter in zip(names.split(), layout.format[1:], strict=True):
        size = {"H": 2, "I": 4, "Q": 8}[letter]
        found.append((name, place, size))
        place += size
    return found


def _fields(data: bytes) -> list[tuple[str, int, int]]:
    """List every field of every table that the reader may look at."""
    poker = Poker(data)
    layout = poker.layout
    header = layout.header(data)
    found = [(f"e_ident[{index}]", index, 1) for index in range(elf.EI_NIDENT)]
    names = " ".join(f"e_{name}" for name in elf.FileHeader._fields)
    found += _parts(names, layout.ehdr, elf.EI_NIDENT)
    wide = "p_type p_flags p_offset p_vaddr p_paddr p_filesz p_memsz p_align"
    narrow = "p_type p_offset p_vaddr p_paddr p_filesz p_memsz p_flags p_align"
    tables = [
        (wide if layout.bits == 64 else narrow, layout.phdr, header.phoff, header.phnum),
        (
            " ".join(f"sh_{name}" for name in elf.Section._fields),
            layout.shdr, header.shoff, header.shnum,
        ),
    ]  # fmt: skip
    for section, names, record in (
        (".dynamic", "d_tag d_val", layout.dyn),
        (".gnu.hash", "nbuckets", layout.word),
        (".gnu.version_r", "vn_version vn_cnt vn_file vn_aux vn_next", layout.verneed),
        (".note.gnu.build-id", "n_namesz n_descsz n_type", layout.note),
    ):
        place, size = poker.sections[section].offset, poker.sections[section].size
        count = size // record.size if section == ".dynamic" else 4 if "hash" in section else 1
        tables.append((names, record, place, count))
    needs = poker.sections[".gnu.version_r"].offset + layout.verneed.size
    tables.append(("vna_hash vna_flags vna_other vna_name vna_next", layout.vernaux, needs, 1))
    place = poker.sections[".gnu.version_d"].offset
    names = "vd_version vd_flags vd_ndx vd_cnt vd_hash vd_aux vd_next"
    for _ in range(3):
        verdef = layout.verdef.unpack_from(data, place)
        tables += [
            (names, layout.verdef, place, 1),
            ("vda_name vda_next", layout.verdaux, place + verdef[5], 1),
        ]
        place += verdef[6]
    for names, structure, start, count in tables:
        for index in range(count):
            parts = _parts(names, structure, start + index * structure.size)
            found += [(f"{name} {index}", place, size) for name, place, size in parts]
    return found


def _outcome(data: bytes, what: str) -> str:
    """Read; an error has to name a field."""
    try:
        parse_elf(data)
    except BadElf as error:
        told = error.what
    else:
        return "read"
    assert _FIELD.search(told), f"{what}: {told}"
    return "refused"


def test_every_value_of_every_field(good: bytes) -> None:
    """Each field of each table, set to each awkward value: an error that names a field, or read."""
    poker = Poker(good)
    outcomes: Counter[str] = Counter()
    changes = []
    for name, place, size in _fields(good):
        old = int.from_bytes(good[place : place + size], poker.layout.endian)
        top = (1 << 8 * size) - 1
        for value in sorted({0, 1, old - 1, old + 1, top, top >> 1, (top >> 1) + 1} - {old}):
            if not 0 <= value <= top:
                continue
            new = value.to_bytes(size, poker.layout.endian)
            changes.append((f"{name} = {value:#x}", place, new))
            outcomes[_outcome(_with(good, changes[-1:]), changes[-1][0])] += 1
    print(dict(outcomes))  # noqa: T201
    assert outcomes["refused"] > 60
    assert outcomes["read"] > 300
    chance = random.Random(11)  # noqa: S311 - the same pairs every time
    for _ in range(4000):
        pair = chance.sample(changes, 2)
        _outcome(_with(good, pair), " and ".join(name for name, _, _ in pair))


def _with(good: bytes, changes: Sequence[tuple[str, int, bytes]]) -> bytes:
    data = bytearray(good)
    for _, place, new in changes:
        data[place : place + len(new)] = new
    return bytes(data)


def test_a_version_chain_that_never_ends_is_cut(good: bytes) -> None:
    """Links that overlap can spell millions of records; a version index has 15 bits."""
    poker = Poker(good)
    record = poker.layout.verneed.pack(1, 0, 1, 0, poker.layout.verneed.size)
    _append(poker, record * 40_000)
    poker.dynamic(elf.DT_VERNEED, 0x60000000)
    facts = parse_elf(bytes(poker.data))
    assert facts is not None
    assert "more than 32767 records" in facts.refused


def _cut(data: bytes, end: int) -> str:
    """Say what became of a file's first bytes: "refused", "alike" or "different"."""
    try:
        facts = parse_elf(data[:end])
    except BadElf:
        return "refused"
    whole = parse_elf(data)
    assert facts is not None
    assert whole is not None
    return "alike" if facts == whole else "different"


def test_a_cut_file_is_refused_or_read_alike(good: bytes) -> None:
    """A file may lose what belongs to no segment, and zeros behind its end: nothing else."""
    for data in good, without_sections(good):
        outcomes = Counter(_cut(data, end) for end in range(64, len(data), 64))
        assert outcomes["refused"]
        assert outcomes["alike"]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_change_of_any_bytes_is_refused_or_read(good: bytes, data: st.DataObject) -> None:
    """Mutated headers and tables raise BadElf or are read; nothing else ever leaves."""
    poker = Poker(good)
    places = [
        (0, 64 + 56 * 12),
        *((s.offset, s.size) for s in poker.sections.values() if s.size and s.address),
    ]
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 6), "changes")):
        start, size = data.draw(st.sampled_from(places), "table")
        place = start + data.draw(st.integers(0, size - 1), "offset")
        value = data.draw(
            st.sampled_from([b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\1", b"\x80"]), "value"
        )
        changed[place : place + len(value)] = value
    with contextlib.suppress(BadElf):
        parse_elf(bytes(changed))


@settings(max_examples=300, deadline=None)
@given(tail=st.binary(max_size=300), kind=st.sampled_from([1, 2]), order=st.sampled_from([1, 2]))
def test_random_bytes_behind_the_magic_are_refused_or_read(
    tail: bytes, kind: int, order: int
) -> None:
    """Nothing but BadElf leaves, whatever stands behind a plausible e_ident."""
    with contextlib.suppress(BadElf):
        parse_elf(b"\x7fELF" + bytes([kind, order, 1]) + bytes(9) + tail)


def _huge_hash(poker: Poker) -> None:
    """Make a library that wants nothing and starts somewhere, with 0x30000000 empty buckets."""
    poker.header(entry=poker.sections[".text"].address)
    for tag in (elf.DT_SONAME, elf.DT_NEEDED):
        poker.dynamic(tag, 0, new_tag=0x6FFFFEFF)
    poker.dynamic(elf.DT_VERNEED, 0, new_tag=0x6FFFFEFF)
    poker.dynamic(elf.DT_GNU_HASH, 0x60000000)
    _append(poker, b"".join(map(poker.layout.word.pack, (0x30000000, 0, 0, 0))), size=0xD0000000)


def _huge_dynamic(poker: Poker) -> None:
    section = poker.sections[".dynamic"]
    start = len(poker.data)
    content = poker.data[section.offset : section.offset + section.size]
    _append(poker, bytes(content), size=0xD0000000)
    poker.segment(elf.PT_DYNAMIC, offset=start, vaddr=0x60000000, filesz=0xD0000000)


def _endless_dynamic(poker: Poker) -> None:
    start = len(poker.data)
    _append(poker, poker.layout.dyn.pack(0x6FFFFEFF, 0) * 70_000, size=0xD0000000)
    poker.segment(elf.PT_DYNAMIC, offset=start, vaddr=0x60000000, filesz=0xD0000000)


def _huge_strings(poker: Poker) -> None:
    section = poker.sections[".dynstr"]
    content = poker.data[section.offset : section.offset + section.size]
    _append(poker, bytes(content), size=0xD0000000)
    poker.dynamic(elf.DT_STRTAB, 0x60000000)
    poker.dynamic(elf.DT_STRSZ, 0xD0000000)


#: What is huge -> what makes it so, and the error, None where the file is read all the same.
HUGE: dict[str, tuple[Callable[[Poker], None], str | None]] = {
    "notes": (partial(_segment, elf.PT_NOTE, filesz=0xE0000000), None),
    "dynamic section": (_huge_dynamic, None),
    "dynamic section without end": (_endless_dynamic, "no DT_NULL in its 65536 entries"),
    "string table": (_huge_strings, None),
    "hash table": (_huge_hash, None),
}


@pytest.mark.parametrize("what", HUGE)
def test_huge_sizes_in_a_huge_file_cost_nothing(good: bytes, tmp_path: Path, what: str) -> None:
    """Sizes of gigabytes that a sparse file really has are read in bounded time and memory."""
    poker = Poker(good)
    change, message = HUGE[what]
    change(poker)
    path = tmp_path / "huge.so"
    poker.header(shoff=0, shnum=0, shstrndx=0)
    path.write_bytes(poker.data)
    with path.open("r+b") as file:
        file.truncate(0xF8000000)
    tracemalloc.start()
    started = time.process_time()
    try:
        if message is None:
            facts = read_elf(path)
            assert facts is not None
            assert facts.soname in {"libgood.so.2", None}
            assert facts.kind.value == "library"
        else:
            with pytest.raises(BadElf, match=message):
                read_elf(path)
        spent = time.process_time() - started
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert spent < 5

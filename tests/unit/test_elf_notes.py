"""`.note.dlopen`: what it says is reported, and what is wrong in it is nobody's error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import TARGETS, Poker, parse_elf

from nix_manylinux.elf import format as elf
from nix_manylinux.elf.facts import DlopenNote

if TYPE_CHECKING:
    from tests.support.elf import ElfBuilder

CODE = "int demo(void) { return 42; }\n"


def note(described: str, *, kind: int = elf.NT_FDO_DLOPEN, owner: str = "FDO") -> str:
    """Write C that emits one note as the specification's macro does."""
    literal = json.dumps(described)
    return f"""
struct note {{ unsigned namesz, descsz, type; char owner[4]; char text[sizeof({literal})]; }};
__attribute__((used, section(".note.dlopen"), aligned(4)))
static const struct note a_note = {{ 4, sizeof({literal}), {kind:#x}, "{owner}", {literal} }};
{CODE}"""


def read(files: ElfBuilder, source: str, target: str | None = None) -> tuple[DlopenNote, ...]:
    """Compile a library and read its notes."""
    facts = parse_elf(files.library(source=source, target=target).read_bytes())
    assert facts is not None
    return facts.dlopen


@pytest.mark.parametrize("target", [None, *TARGETS])
def test_notes_are_read_on_every_machine(elf_files: ElfBuilder, target: str | None) -> None:
    """Sonames, priority, feature and description come out of both byte orders."""
    described = json.dumps(
        [
            {
                "soname": ["libbpf.so.1", "libbpf.so.0"],
                "priority": "suggested",
                "feature": "bpf",
                "description": "sandboxing",
            },
            {"soname": ["libfido2.so.1"], "priority": "required"},
        ]
    )
    assert read(elf_files, note(described), target) == (
        DlopenNote(sonames=("libbpf.so.1", "libbpf.so.0"), priority="suggested"),
        DlopenNote(sonames=("libfido2.so.1",), priority="required"),
    )


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ('[{"soname":["liba.so"]}]', "recommended"),
        ('[{"soname":["liba.so"],"priority":"urgent"}]', "recommended"),
        ('[{"soname":["liba.so"],"priority":7}]', "recommended"),
        ('[{"soname":["liba.so"],"priority":["required"]}]', "recommended"),
        ('[{"feature":"x"},{"soname":["liba.so"],"priority":"required"}]', "required"),
        ('[7,null,{"soname":[]},{"soname":"liba.so"},{"soname":["liba.so"]}]', "recommended"),
        ('[{"soname":["",3,"x\\u0000y","\\ud800","liba.so"]}]', "recommended"),
    ],
)
def test_entries_are_taken_with_defaults(
    elf_files: ElfBuilder, described: str, expected: str
) -> None:
    """A priority that is missing or unknown is "recommended"; what has no name is skipped."""
    assert read(elf_files, note(described)) == (
        DlopenNote(sonames=("liba.so",), priority=expected),
    )


@pytest.mark.parametrize(
    "source",
    [
        note("no json"),
        note(""),
        note('{"soname":["liba.so"]}'),
        note("[" * 50_000),
        note('[{"soname":["liba.so"]}]', kind=elf.NT_FDO_DLOPEN + 1),
        note('[{"soname":["liba.so"]}]', owner="GNU"),
        note('[{"soname":["liba.so"]}]').replace("{ 4, sizeof", "{ 9, sizeof"),
        note('[{"soname":["liba.so"]}]').replace("{ 4, sizeof", "{ 4, 0x7fffffff + sizeof"),
    ],
    ids=["text", "empty", "object", "deep", "type", "owner", "name size", "size"],
)
def test_what_is_no_dlopen_note_is_ignored(elf_files: ElfBuilder, source: str) -> None:
    """Malformed hints are no error of the file: the loader doesn't read them."""
    assert read(elf_files, source) == ()


def test_a_note_behind_others_is_found(elf_files: ElfBuilder) -> None:
    """Notes of 4 and 8 byte alignment stand in one segment where linkers merged them."""
    poker = Poker(
        elf_files.library(
            source=note('[{"soname":["liba.so"]}]'), flags=["-Wl,--build-id=sha1"]
        ).read_bytes()
    )
    start = poker.sections[".note.gnu.build-id"]
    end = poker.sections[".note.dlopen"]
    poker.segment(elf.PT_NOTE, offset=start.offset, filesz=end.offset + end.size - start.offset)
    # What a merged note of the other alignment does to a walk: a length that leads astray.
    poker.word(".note.gnu.build-id", 4, 0x7FFFFFF0)
    facts = parse_elf(bytes(poker.data))
    assert facts is not None
    assert DlopenNote(sonames=("liba.so",)) in facts.dlopen


def test_without_a_note_segment_sections_are_asked(elf_files: ElfBuilder) -> None:
    """A linker script may leave PT_NOTE out; the section is there all the same."""
    poker = Poker(
        elf_files.library(
            source=note('[{"soname":["liba.so"]}]'), flags=["-Wl,--build-id=none"]
        ).read_bytes()
    )
    while any(segment.type == elf.PT_NOTE for segment in poker.segments()):
        poker.segment(elf.PT_NOTE, type=0)
    facts = parse_elf(bytes(poker.data))
    assert facts is not None
    assert facts.dlopen == (DlopenNote(sonames=("liba.so",)),)

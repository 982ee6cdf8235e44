"""The proof of an edit, tried on edits that went wrong: nothing that is wrong gets written."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import ElfBuilder, Poker

from nix_manylinux.base.errors import EditFailed
from nix_manylinux.base.values import replace
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.edit import edit as writer
from nix_manylinux.elf.edit import layout, patchelf
from nix_manylinux.elf.edit.build import Build
from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit

if TYPE_CHECKING:
    from pathlib import Path

LONG = tuple(f"/nix/store/{i:032d}-package-{i}-1.2.3/lib" for i in range(5))
EDIT = ElfEdit(search_path=LONG, replace_needed=(("libneeded.so.1", "libother-name.so.1"),))
#: How many bytes are spoilt, one after another.
BUDGET = int(os.environ.get("NIX_MANYLINUX_FUZZ") or 300)
SOURCE = """
extern int printf(const char *, ...);
__thread int counter = 1;
const char *names[] = {"a", "b"};
int demo(void) { return printf("%s", names[counter]); }
"""


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> ElfBuilder:
    """Build each file once for all tests."""
    return ElfBuilder(tmp_path_factory.mktemp("proof"))


class Faulty(Build):
    """A build that does all right, and then one byte wrong."""

    place = 0
    bits = 1

    def run(self) -> None:
        """Lay out the edit and spoil it."""
        super().run()
        byte = self.draft.read(self.place, 1)[0]
        self.draft.write(self.place, bytes([byte ^ self.bits]))


def places_that_count(data: bytes) -> list[int]:
    """List the offsets of all bytes that belong to a header or a section of an edited file."""
    poker = Poker(data)
    header = poker.layout.header(data)
    size = elf.EI_NIDENT + poker.layout.ehdr.size
    found = [*range(4, 6), *range(elf.EI_NIDENT, size)]
    found += range(header.phoff, header.phoff + header.phnum * header.phentsize)
    found += range(header.shoff + header.shentsize, header.shoff + header.shnum * header.shentsize)
    for name, section in poker.sections.items():
        if name not in {"", ".bss", ".tbss"}:
            found += range(section.offset, section.offset + section.size)
    # The value of the DT_NULL that ends the dynamic section means nothing (gABI).
    dynamic = poker.sections[".dynamic"]
    table = data[dynamic.offset : dynamic.offset + dynamic.size]
    tags = [tag for tag, _ in poker.layout.dyn.iter_unpack(table)]
    at = dynamic.offset + tags.index(elf.DT_NULL) * poker.layout.dyn.size + 8
    return [place for place in found if not at <= place < at + 8]


def refused(path: Path, data: bytes) -> bool:
    """Whether the writer finds the fault, and leaves the file as it was."""
    path.write_bytes(data)
    try:
        edit_file(str(path), EDIT)
    except EditFailed as error:
        assert path.read_bytes() == data
        return "no layout could be proved safe" in str(error)
    return False


@pytest.mark.parametrize("linker", ["bfd", "lld"])
def test_one_wrong_byte_is_found(
    files: ElfBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linker: str
) -> None:
    """In any header or section of the finished draft: the layout isn't taken, nor any other."""
    library = files.library(
        source=SOURCE, needed=["libneeded.so.1"], libc=True, flags=[f"-fuse-ld={linker}"]
    )
    data = library.read_bytes()
    path = tmp_path / "libdemo.so"
    path.write_bytes(data)
    # The layout that is taken, and no other, in which the place may be padding.
    monkeypatch.setattr(writer, "plans", lambda survey: [next(layout.plans(survey))])
    edit_file(str(path), EDIT)
    places = places_that_count(path.read_bytes())
    monkeypatch.setattr(writer, "Build", Faulty)
    monkeypatch.setattr(patchelf, "find_patchelf", lambda: None)
    chance = random.Random(5)  # noqa: S311 - the same places every time
    missed = []
    for place in sorted(chance.sample(places, min(BUDGET, len(places)))):
        monkeypatch.setattr(Faulty, "place", place)
        monkeypatch.setattr(Faulty, "bits", 1 << chance.randrange(8))
        if not refused(path, data):
            missed.append(place)
    assert not missed, "\n".join(told(path, data, place) for place in missed)


class Forgetful(Build):
    """A build that leaves out the last section header, or adds one."""

    by = -1

    def run(self) -> None:
        """Lay out the edit and count the section headers wrong."""
        super().run()
        layout, header = self.obj.layout, self.obj.header
        header = replace(header, shnum=header.shnum + self.by)
        self.draft.write(elf.EI_NIDENT, layout.pack_header(header))
        self.draft.write(self.draft.size, bytes(layout.shdr.size))


@pytest.mark.parametrize("by", [-1, 1])
def test_a_section_header_too_few_or_too_many_is_found(
    files: ElfBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: int
) -> None:
    """Before anything is compared that both files would need to have."""
    library = files.library(source=SOURCE, needed=["libneeded.so.1"], libc=True)
    data = library.read_bytes()
    monkeypatch.setattr(writer, "Build", Forgetful)
    monkeypatch.setattr(Forgetful, "by", by)
    monkeypatch.setattr(patchelf, "find_patchelf", lambda: None)
    assert refused(tmp_path / "libdemo.so", data)


def told(path: Path, data: bytes, place: int) -> str:
    """Say what a place of the edited file is."""
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "Build", Build)
        edit_file(str(path), EDIT)
    poker = Poker(path.read_bytes())
    header = poker.layout.header(bytes(poker.data))
    if header.phoff <= place < header.phoff + header.phnum * header.phentsize:
        number, at = divmod(place - header.phoff, header.phentsize)
        return f"program header {poker.segments()[number]} + {at}"
    if header.shoff <= place < header.shoff + header.shnum * header.shentsize:
        number, at = divmod(place - header.shoff, header.shentsize)
        return f"section header {number} + {at}"
    for name, section in poker.sections.items():
        if section.offset <= place < section.offset + section.size:
            return f"{name} + {place - section.offset}"
    return f"file header + {place}"

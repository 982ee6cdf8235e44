"""Structures that lie across two segments, as patchelf leaves them in programs."""

from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from tests.support.host import patchelf

from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from pathlib import Path


def test_strings_across_two_segments(tmp_path: Path) -> None:
    """A program whose .dynstr patchelf moved over the end of a PT_LOAD is read as it runs."""
    program = tmp_path / "program"
    subprocess.run(
        ["gcc", "-no-pie", "-x", "c", "-", "-o", program],
        input="int main(void) { return 0; }",
        text=True,
        check=True,
    )
    for count in (20, 100, 200):
        path = ":".join(f"/nix/store/{number:032}-library/lib" for number in range(count))
        subprocess.run([patchelf(), "--set-rpath", path, program], check=True)
    assert subprocess.run([program], check=False).returncode == 0
    facts = read_elf(str(program))
    assert facts is not None
    assert facts.runpath == path
    assert facts.needed == ("libc.so.6",)


def cut_in_strings(program: Path) -> None:
    """Cut the PT_LOAD of .dynstr in two at a page inside of it, at the cost of a PT_NOTE."""
    with open(program, "rb") as stream:
        elf = ELFFile(stream)
        strings = elf.get_section_by_name(".dynstr")
        assert strings is not None
        start, size = strings["sh_offset"], strings["sh_size"]
        place, number = elf["e_phoff"], elf["e_phnum"]
    cut = start // 4096 * 4096 + 4096
    assert cut < start + size
    data = bytearray(program.read_bytes())
    header = struct.Struct("<IIQQQQQQ")
    old = list(header.iter_unpack(data[place : place + number * header.size]))
    note = next(fields for fields in old if fields[0] == 4)
    new = []
    for fields in old:
        kind, flags, offset, address, physical, filled, _, align = fields
        if kind == 1 and offset <= start < offset + filled:
            front = cut - offset
            rest = filled - front
            new.append((kind, flags, offset, address, physical, front, front, align))
            new.append((kind, flags, cut, address + front, physical + front, rest, rest, align))
        elif fields is not note:
            new.append(fields)
    data[place : place + number * header.size] = b"".join(header.pack(*each) for each in new)
    program.write_bytes(data)


@pytest.mark.parametrize("length", [1, 30, 3000, 60_000])
@pytest.mark.parametrize("kind", ["-no-pie", "-pie"])
def test_edits_of_strings_across_two_segments(kind: str, length: int, tmp_path: Path) -> None:
    """Strings that go on in the next segment are edited in place, as semgrep-core's: it runs."""
    program = tmp_path / "program"
    subprocess.run(
        ["gcc", kind, "-x", "c", "-", "-o", program, f"-Wl,-rpath,/{'x' * 9000}"],
        input="int main(void) { return 0; }",
        text=True,
        check=True,
    )
    cut_in_strings(program)
    assert subprocess.run([program], check=False).returncode == 0
    before = read_elf(str(program))
    assert before is not None
    linker = tmp_path / ("l" * 100)
    linker.symlink_to(before.interpreter or "")
    for step in range(3):
        paths = ("/" + str(step) * length, "/nowhere")
        edit = ElfEdit(search_path=paths, interpreter=str(linker))
        assert edit_file(str(program), edit).how == "in place"
        facts = read_elf(str(program))
        assert facts is not None
        assert facts.runpath == ":".join(paths)
        assert facts.interpreter == str(linker)
        assert subprocess.run([program], check=False).returncode == 0
    assert edit_file(str(program), edit).how == "unchanged"

"""Structures that lie across two segments, as patchelf leaves them in programs."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.support.host import patchelf

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

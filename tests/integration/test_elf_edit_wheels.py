"""Every ELF file of real wheels: edited by our own writer, proved, and hardly larger."""

from __future__ import annotations

import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.wheels import corpus

from nix_manylinux.base.values import replace
from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit, ElfFacts
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.wheels

LONG = ("$ORIGIN", *(f"/nix/store/{i:032d}-package-{i}/lib" for i in range(5)))
LOADER = "/lib64/ld-linux-x86-64.so.2"
WHEELS = (
    "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "numpy-1.26.4-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
    "numpy-1.19.5-cp36-cp36m-manylinux1_i686.whl",
    "cffi-2.1.1-cp311-cp311-manylinux2014_s390x.manylinux_2_17_s390x.whl",
    "cffi-2.1.1-cp311-cp311-manylinux2014_ppc64le.manylinux_2_17_ppc64le.whl",
    "psycopg2_binary-2.9.13-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "tbb-2023.2.0-py2.py3-none-manylinux_2_28_x86_64.whl",
)


def verified(path: Path, facts: ElfFacts) -> int | None:
    """Let this machine's dynamic linker judge a file of its own kind."""
    if (facts.machine.number, facts.machine.bits) != (62, 64):
        return None
    return subprocess.run([LOADER, "--verify", str(path)], check=False).returncode


@pytest.mark.parametrize("name", WHEELS)
def test_every_file_of_a_wheel(name: str, tmp_path: Path) -> None:
    """None is refused or left to patchelf, all read as before; the wheel grows by 5 % at most."""
    sizes = grown = count = 0
    path = tmp_path / "file.so"
    with zipfile.ZipFile(corpus.wheel(name)) as archive:
        for info in archive.infolist():
            data = archive.read(info)
            if not data.startswith(b"\x7fELF"):
                continue
            path.write_bytes(data)
            facts = read_elf(path, label=info.filename)
            assert facts is not None
            if not facts.kind.is_linked:
                continue
            before = verified(path, facts)
            edit = ElfEdit(search_path=LONG, inherited=facts.rpath is not None)
            result = edit_file(str(path), edit, label=info.filename)
            assert result.how == "in place", info.filename
            after = read_elf(path, label=info.filename)
            assert after is not None
            assert after.search_path == LONG
            assert replace(after, rpath=None, runpath=None) == replace(
                facts, rpath=None, runpath=None
            ), info.filename
            assert verified(path, facts) == before, info.filename
            count += 1
            sizes += result.size_before
            grown += result.size_after - result.size_before
    assert count
    assert grown <= max(0.05 * sizes, 4096 * count)

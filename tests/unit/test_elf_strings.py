"""Sonames among the constants: found where programs keep them, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.elf import Poker

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.read import read_elf
from nix_manylinux.elf.strings import read_only_sonames

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.elf import ElfBuilder

#: As vtk opens OpenGL, EGL and X: several names of each, by dlopen alone.
LIKE_VTK = r"""
extern void *dlopen(const char *, int);
static const char *const names[] = {"libGL.so.1", "libGL.so", "libEGL.so.1", "libX11-xcb.so.1"};
void *demo(int i) { return dlopen(names[i], 1); }
const char *other(int i) {
    return i ? "/usr/lib/libpath.so.1" : i > 1 ? "cannot open libtext.so.1" : "libhalf.so was lost";
}
char writable[] = "libwritable.so.1";
const char *more(void) { return "lib%s.so\0lib.so\0libclntsh.so.23.1\0libstdc++.so.6"; }
"""
FOUND = (
    *("libEGL.so.1", "libGL.so", "libGL.so.1", "libX11-xcb.so.1"),
    *("libclntsh.so.23.1", "libstdc++.so.6"),
)


@pytest.mark.parametrize("layout", ["-Wl,-z,separate-code", "-Wl,-z,noseparate-code"])
def test_names_among_the_constants_are_found(elf_files: ElfBuilder, layout: str) -> None:
    """C strings of their own count; paths, sentences, writable data and needed names don't."""
    path = elf_files.library(
        source=LIKE_VTK,
        soname="libmine.so.1",
        needed=["libneeded.so.1"],
        runpath="/opt/libdir.so",
        flags=[layout, "-O1"],
    )
    assert read_only_sonames(path) == FOUND


@pytest.mark.parametrize("target", ["aarch64-linux-gnu", "powerpc-linux-gnueabihf"])
def test_names_are_found_on_other_machines(elf_files: ElfBuilder, target: str) -> None:
    """Class and byte order make no difference."""
    assert read_only_sonames(elf_files.library(source=LIKE_VTK, target=target)) == FOUND


def test_a_name_at_any_place_of_a_large_file_is_found(elf_files: ElfBuilder) -> None:
    """Names that lie across the border of what is read at once are whole."""
    step = 4093
    count = 800
    source = (
        f"const struct {{ char name[16]; char gap[{step - 16}]; }} table[{count}] = {{\n"
        + ",\n".join(f'{{"libn{i:04}.so.1", {{1}}}}' for i in range(count))
        + "};\n"
    )
    path = elf_files.library(source=source)
    assert path.stat().st_size > 3 << 20
    assert read_only_sonames(path) == tuple(f"libn{i:04}.so.1" for i in range(count))


def test_names_without_an_end_are_found_where_they_are_known(elf_files: ElfBuilder) -> None:
    """As Rust lays constants down: one behind the other, in front of whatever comes next."""
    text = (
        "usr/lib/liblibXi.so.6libX11-xcb.so.1libX11-xcb.soXOpenlibEGL.so.1libEGL.soegl"
        "libGL.so.12 files of /opt/libpath.so.1X and Library libtext.so.1 is lost, libodd.so.1odd"
    )
    known = {"libXi.so.6", "libX11-xcb.so.1", "libEGL.so.1", "libGL.so.1", "libpath.so.1"}
    known |= {"libtext.so.1", "libXi.so", "libX11-xcb.so"}
    path = elf_files.library(source=f'const char text[] = "{text}";')
    assert read_only_sonames(path) == ()
    names = ("libEGL.so.1", "libGL.so.1", "libX11-xcb.so.1", "libXi.so.6")
    assert read_only_sonames(path, known.__contains__) == names


def test_what_is_not_linked_has_none(elf_files: ElfBuilder, tmp_path: Path) -> None:
    """Objects and other files are not searched; a damaged library is an error."""
    assert read_only_sonames(elf_files.object(source=LIKE_VTK)) == ()
    text = tmp_path / "text"
    text.write_bytes(b"\0libGL.so.1\0")
    assert read_only_sonames(text) == ()
    poker = Poker(elf_files.library(source=LIKE_VTK).read_bytes())
    poker.segment(elf.PT_LOAD, offset=1 << 30)
    broken = tmp_path / "broken.so"
    broken.write_bytes(poker.data)
    with pytest.raises(BadElf, match="p_offset"):
        read_only_sonames(broken)


@pytest.mark.wheels
def test_what_real_wheels_open_is_found(tmp_path: Path) -> None:
    """OpenCL is opened by opencv at run time only, and nothing in DT_NEEDED says so."""
    import zipfile

    from tests.wheels import corpus

    with zipfile.ZipFile(corpus.wheel("opencv_python-5.0.0.93")) as archive:
        member = next(name for name in archive.namelist() if name.endswith("cv2.abi3.so"))
        path = archive.extract(member, tmp_path)
    facts = read_elf(path)
    names = read_only_sonames(path)
    assert facts is not None
    assert "libOpenCL.so" in names
    assert not set(facts.needed) & set(names)

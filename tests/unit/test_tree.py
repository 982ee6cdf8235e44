"""Trees: ELF files by content, once per inode; nothing outside is looked at."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import MadeWheel, tiny_library
from tests.support.world import X86_64

from nix_manylinux.base.errors import BadTree
from nix_manylinux.elf.facts import ElfFacts, ElfKind
from nix_manylinux.tree import scan as tree_module
from nix_manylinux.tree.disk import Disk
from nix_manylinux.tree.libraries import WheelIndex, distribution_names
from nix_manylinux.tree.roots import find_pyvenv
from nix_manylinux.tree.scan import scan_tree
from nix_manylinux.wheel.metadata import expand_tags, read_headers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIBRARY = tiny_library("libtiny.so.1", "libz.so.1")


def test_finds_elf_by_content(tmp_path: Path) -> None:
    """Name, mode and ending decide nothing: the contents do."""
    (tmp_path / "data.bin").write_bytes(LIBRARY)
    (tmp_path / "data.bin").chmod(0o600)
    (tmp_path / "script.so").write_text("/* GNU ld script */")
    (tmp_path / "short.so").write_bytes(b"\x7fELF")
    (tmp_path / "empty.so").write_bytes(b"")
    facts = scan_tree(str(tmp_path))
    assert [file.path for file in facts.files] == ["data.bin"]
    assert facts.files[0].facts.soname == "libtiny.so.1"
    assert facts.files[0].facts.needed == ("libz.so.1",)
    assert (facts.files[0].size, facts.files[0].mode) == (len(LIBRARY), 0o100600)


def test_one_file_per_inode(tmp_path: Path) -> None:
    """Hard links and links inside the tree are aliases; links beyond it are counted."""
    tree = tmp_path / "tree"
    (tree / "b").mkdir(parents=True)
    (tree / "b/lib.so.1").write_bytes(LIBRARY)
    os.link(tree / "b/lib.so.1", tree / "a.so")
    os.link(tree / "b/lib.so.1", tmp_path / "cache")
    (tree / "b/lib.so").symlink_to("lib.so.1")
    (tree / "0.so").symlink_to("b/lib.so")
    # Ends at the same inode, but by its name outside.
    (tree / "elsewhere.so").symlink_to(tmp_path / "cache")
    (facts,) = scan_tree(str(tree)).files
    assert facts.path == "a.so"
    assert facts.aliases == ("0.so", "b/lib.so", "b/lib.so.1")


def test_nothing_outside_is_read(tmp_path: Path) -> None:
    """Links out of the tree, to files and to folders, and circles are passed by."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "lib.so").write_bytes(LIBRARY)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file.so").symlink_to(outside / "lib.so")
    (tree / "folder").symlink_to(outside)
    (tree / "up").symlink_to("..")
    (tree / "circle").symlink_to("circle")
    (tree / "gone").symlink_to("nowhere")
    assert scan_tree(str(tree)).files == ()


def test_special_files_are_ignored(tmp_path: Path) -> None:
    """A FIFO is not waited for, a socket and a device not opened."""
    os.mkfifo(tmp_path / "fifo.so")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.so"))
        assert scan_tree(str(tmp_path)).files == ()


def test_metadata_of_others_is_not_waited_for(tmp_path: Path) -> None:
    """What --python-libs names may be anybody's: a FIFO says nothing of what is required."""
    for name in ("made", "odd"):
        (tmp_path / f"{name}-1.0.dist-info").mkdir()
    (tmp_path / "made-1.0.dist-info/METADATA").write_text("Requires-Dist: other\n")
    os.mkfifo(tmp_path / "odd-1.0.dist-info/METADATA")
    (tmp_path / "old-1.0-py3.11.egg-info").mkdir()
    index = WheelIndex([str(tmp_path)], disk=Disk())
    assert index.required(["made", "odd"]) == ["made", "odd", "other"]
    assert {*index.owners(str(tmp_path))} == {"made", "odd"}
    assert distribution_names([str(tmp_path)]) == {"made", "odd", "old"}


def test_labels_and_order(tmp_path: Path) -> None:
    """Files come sorted by path, whatever order the directory has, under their labels."""
    for name in ("b.so", "a.so", "c/a.so"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(LIBRARY)
    facts = scan_tree(str(tmp_path), labels={"a.so": "member/a.so"}, floating="c")
    assert [file.label for file in facts.files] == ["member/a.so", "b.so", "c/a.so"]
    assert facts.floating == "c"


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    """Any byte string is a file name."""
    with open(os.fsencode(tmp_path) + b"/\xff\n.so", "wb") as file:
        file.write(LIBRARY)
    (facts,) = scan_tree(str(tmp_path)).files
    assert facts.path == "\udcff\n.so"


def test_distributions(tmp_path: Path) -> None:
    """A dist-info folder gives name, version, tags and what it requires."""
    site = tmp_path / "lib/python3.11/site-packages"
    info = site / "made-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: Made\nVersion: 1.0\n"
        "Requires-Dist: Zope.Interface (>=1)\n"
        "Requires-Dist: nvidia_cublas-cu12==12 ; extra == 'x'\n"
        "Requires-Dist: zope-interface\n\nRequires-Dist: not-me\n"
    )
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nTag: py2.py3-none-any\n")
    (site / "broken-2.dist-info").mkdir()
    (tmp_path / "lib/pypy3.10/site-packages").mkdir(parents=True)
    (tmp_path / "other/x-1.dist-info").mkdir(parents=True)
    facts = scan_tree(str(tmp_path))
    broken, made, other = facts.distributions
    assert (made.name, made.version) == ("Made", "1.0")
    assert made.tags == ("py2-none-any", "py3-none-any")
    assert made.requires == ("nvidia-cublas-cu12", "zope-interface")
    assert (broken.name, broken.version) == ("broken", "2")
    assert other.folder == "other/x-1.dist-info"
    assert facts.site_packages == (
        "lib/pypy3.10/site-packages",
        "lib/python3.11/site-packages",
        "other",
    )


def test_an_unpacked_wheel_is_its_own_site_packages(tmp_path: Path) -> None:
    """Where dist-info is at the top, site-packages is the tree itself."""
    (tmp_path / MadeWheel().dist_info).mkdir()
    assert scan_tree(str(tmp_path)).site_packages == ("",)


def test_a_file_that_vanishes_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever deletes a file meanwhile makes the scan fail, with the file's name."""
    (tmp_path / "a.so").write_bytes(LIBRARY)

    def vanish(path: str, *, label: str | None = None) -> None:
        del label
        os.unlink(path)
        os.stat(path)

    monkeypatch.setattr(tree_module, "read_elf", vanish)
    with pytest.raises(BadTree, match="vanished") as caught:
        scan_tree(str(tmp_path))
    assert caught.value.where == "a.so"


@pytest.mark.parametrize("call", ["scandir", "open"])
def test_what_may_not_be_read_is_an_error(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No permission is an error with the path and what to do."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/a.so").write_bytes(LIBRARY)
    real = getattr(os, call)

    def denied(path: str, *rest: int) -> object:
        # Root may read everything, and tests run as root too: the answer is made up.
        if "secret" in path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path, *rest)

    monkeypatch.setattr(os, call, denied)
    with pytest.raises(BadTree, match="Permission denied") as caught:
        scan_tree(str(tmp_path))
    assert caught.value.where == ("secret" if call == "scandir" else "secret/a.so")
    assert "chmod" in caught.value.hint


def test_too_deep_a_tree_is_an_error(tmp_path: Path) -> None:
    """A tree deeper than a path may be long is refused, without a recursion limit."""
    here = os.open(tmp_path, os.O_RDONLY)
    opened = [here]
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=here)
        here = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        opened.append(here)
    try:
        with pytest.raises(BadTree, match="name too long"):
            scan_tree(str(tmp_path))
    finally:
        for parent, folder in zip(reversed(opened[:-1]), reversed(opened[1:]), strict=True):
            os.close(folder)
            os.rmdir("d" * 200, dir_fd=parent)
        os.close(opened[0])


def test_deep_nesting_within_limits(tmp_path: Path) -> None:
    """A thousand folders in one another are no problem."""
    path = str(tmp_path)
    for _ in range(1500):
        path += "/d"
        os.mkdir(path)
    with open(f"{path}/x.so", "wb") as file:
        file.write(LIBRARY)
    assert len(scan_tree(str(tmp_path)).files) == 1
    while path != str(tmp_path):  # shutil.rmtree would recurse
        for name in os.listdir(path):
            if os.path.isfile(f"{path}/{name}"):
                os.unlink(f"{path}/{name}")
        os.rmdir(path)
        path = os.path.dirname(path)


def test_ten_thousand_files(tmp_path: Path) -> None:
    """Many files are no problem: each other file is opened once, and its first bytes read."""
    for number in range(100):
        (tmp_path / f"{number}").mkdir()
        for each in range(100):
            (tmp_path / f"{number}/{each}.py").write_bytes(b"")
    (tmp_path / "50/x.so").write_bytes(LIBRARY)
    assert [file.path for file in scan_tree(str(tmp_path)).files] == ["50/x.so"]


def test_no_directory(tmp_path: Path) -> None:
    """A root that is no directory is refused."""
    with pytest.raises(BadTree, match="no such file or directory"):
        scan_tree(str(tmp_path / "nowhere"))


def test_leftovers_of_a_killed_run_are_no_files(tmp_path: Path) -> None:
    """A temporary file of ours is told apart, so that it is never planned for."""
    name = ".nix-manylinux-0123456789abcdef.tmp"
    (tmp_path / name).write_bytes(LIBRARY)
    facts = scan_tree(str(tmp_path))
    assert (facts.files, facts.leftovers) == ((), (name,))


def test_pyvenv(tmp_path: Path) -> None:
    """A virtual environment gives its interpreter, there or not; a tree without pyvenv.cfg none."""
    assert find_pyvenv(str(tmp_path)) is None
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\n")
    assert find_pyvenv(str(tmp_path)) == str(tmp_path / "bin/python")


def test_metadata_that_goes_on_and_on() -> None:
    """A header of a million lines is one value; tags that would be a thousand million stay one."""
    data = b"Name: a\nLicense: x" + b"\n x" * 1_000_000
    assert read_headers(data) == {"name": ["a"], "license": [" ".join("x" * 1_000_001)]}
    tag = "-".join([".".join(map(str, range(1000)))] * 3)
    assert expand_tags(["a.b-c.d-e", tag]) == ("a-c-e", "a-d-e", "b-c-e", "b-d-e", tag)
    few = "-".join([".".join(map(str, range(20)))] * 3)
    assert len(expand_tags([f"{few}{n}" for n in range(1000)])) < 11_000


def test_headers() -> None:
    """Continued lines, CRLF and a byte order mark are read as email.parser reads them."""
    data = "\ufeffName: a\r\nLicense: one\r\n\ttwo\r\njunk\r\n\r\nTag: no\r\n".encode()
    assert read_headers(data) == {"name": ["a"], "license": ["one two"]}
    assert expand_tags(["cp311-cp311-a.b", "odd"]) == (
        "cp311-cp311-a",
        "cp311-cp311-b",
        "odd",
    )


def test_links_out_of_the_tree_are_followed_to_look_only(tmp_path: Path) -> None:
    """Asked to, what is behind links counts by the link's path; circles end.

    The interpreter and what is in somebody else's folder don't count: programs start
    where they really are.
    """
    outside = tmp_path / "outside"
    (outside / "lib").mkdir(parents=True)
    (outside / "lib" / "libtiny.so.1").write_bytes(LIBRARY)
    (outside / "lib" / "up").symlink_to(outside)
    (outside / "program").write_bytes(LIBRARY.replace(b"\3\0", b"\2\0", 1))  # ET_EXEC
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file.so").symlink_to(outside / "lib" / "libtiny.so.1")
    (tree / "folder").symlink_to(outside / "lib")
    (tree / "program").symlink_to(outside / "program")
    (tree / "above").symlink_to(tmp_path)
    assert scan_tree(str(tree)).files == ()
    file, program = scan_tree(str(tree), through_links=True).files
    assert (file.path, file.aliases[0]) == ("file.so", "folder/libtiny.so.1")
    assert program.names == ("folder/up/program", "program")
    (file,) = scan_tree(str(tree), through_links=True, adopt_except=[str(outside)]).files
    (tree / "program").rename(tree / "python3.11")
    (tree / "folder").unlink()
    (other,) = scan_tree(str(tree), through_links=True).files
    assert file.path == other.path == "file.so"


def test_links_to_what_is_closed_to_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others' files and folders may be closed: that is no error of the tree that links to them."""
    closed, tree = tmp_path / "closed", tmp_path / "tree"
    closed.mkdir()
    tree.mkdir()
    (closed / "shut.so").write_bytes(LIBRARY)
    (tree / "file.so").symlink_to(closed / "shut.so")
    (tree / "folder").symlink_to(closed)
    opened, listed = os.open, os.scandir

    def refuse(path: str, *words: int) -> int:
        if path.endswith("shut.so"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opened(path, *words)

    def refuse_folder(path: str) -> Iterator[os.DirEntry[str]]:
        if path.endswith("folder"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "open", refuse)
    assert scan_tree(str(tree), adopt_except=()).files == ()
    monkeypatch.setattr(os, "scandir", refuse_folder)
    assert scan_tree(str(tree), adopt_except=()).files == ()


def test_links_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders elsewhere that all link to all others are given up, in one line."""
    monkeypatch.setattr(tree_module, "_MAX_FOLDED", 500)
    for one in range(7):
        (tmp_path / f"far/{one}").mkdir(parents=True)
        for other in range(7):
            (tmp_path / f"far/{one}/{other}").symlink_to(tmp_path / f"far/{other}")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "start").symlink_to(tmp_path / "far/0")
    with pytest.raises(BadTree, match="more than 500 links to folders"):
        scan_tree(str(tree), adopt_except=())


def test_a_damaged_file_is_told_of(tmp_path: Path) -> None:
    """A file that is cut short is named with what is wrong, and all others are read."""
    (tmp_path / "cut.so").write_bytes(LIBRARY[:100])
    (tmp_path / "whole.so").write_bytes(LIBRARY)
    facts = scan_tree(str(tmp_path))
    assert [file.path for file in facts.files] == ["whole.so"]
    (told,) = facts.damaged
    assert told.label == "cut.so"
    assert "ends behind the end of the file" in told.what


def test_an_overlay_keeps_what_it_learns_to_itself(tmp_path: Path) -> None:
    """What a plan shows of its files is not what the disk below it shows."""
    (tmp_path / "text").write_text("no ELF file")
    disk = Disk()
    above = disk.overlay()
    above.learn(f"{tmp_path}/text", ElfFacts(machine=X86_64, kind=ElfKind.LIBRARY))
    assert above.facts(f"{tmp_path}/text") is not None
    assert disk.facts(f"{tmp_path}/text") is None
    assert disk.overlay().facts(f"{tmp_path}/text") is None

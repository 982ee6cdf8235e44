"""Trees under rough conditions: patched twice at once, changing, killed, odd, deep and many."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import ElfBuilder
from tests.support.trees import plan_all, snapshot
from tests.support.wheels import tiny_library

from nix_manylinux.api import check_tree, inspect, patch_wheel_tree, plan_paths
from nix_manylinux.base.errors import BadTree, NixManylinuxError
from nix_manylinux.elf.read import open_elf
from nix_manylinux.resolve.plan import Options
from nix_manylinux.target.target import from_running
from nix_manylinux.tree.disk import Disk
from nix_manylinux.tree.libraries import LibraryIndex
from nix_manylinux.write.apply import apply_plan
from nix_manylinux.write.lock import locked_trees

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATH = "/nix/store/" + "x" * 32 + "-zlib-1.3.1/lib"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give a library that has to grow for a search path."""
    path = ElfBuilder(tmp_path_factory.mktemp("elf")).library("a.so", soname="a.so")
    return path.read_bytes()


def fill(root: Path, library: bytes, number: int) -> None:
    """Make a tree of so many libraries, a hundred in a folder."""
    for each in range(number):
        folder = root / f"d{each // 100:03d}"
        if each % 100 == 0:
            folder.mkdir(parents=True)
        (folder / f"lib{each}.so").write_bytes(library)


def contents(root: Path) -> dict[str, object]:
    """Give names, modes and bytes."""
    return {name: (value[0], value[3]) for name, value in snapshot(root).items()}


def patch(root: Path) -> None:
    """Do what the command does with one tree."""
    with locked_trees([str(root)]), apply_plan(plan_all(root, search_path=PATH)):
        pass


PROGRAM = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from nix_manylinux.base.errors import NixManylinuxError
from tests.integration.test_rough_trees import patch
try:
    patch(Path({root!r}))
except NixManylinuxError as error:
    sys.exit(f"refused: {{error}}")
"""


def start(root: Path) -> subprocess.Popen[str]:
    """Start a patch in a process of its own."""
    program = PROGRAM.format(path=sys.path, root=str(root))
    return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)


def test_trees_in_one_another(tmp_path: Path) -> None:
    """A tree that is given twice, through a link or as a part of another is patched once."""
    (tmp_path / "elf").mkdir()
    files = ElfBuilder(tmp_path / "elf")
    core = files.library("libcore.so.1", soname="libcore.so.1")
    user = files.library("user.so", needs=[core])
    root = tmp_path / "root"
    for file, folder in ((core, root / "libs"), (user, root / "pkg")):
        folder.mkdir(parents=True)
        shutil.copy(file, folder)
    beside = tmp_path / "root2"
    shutil.copytree(root, beside)
    (tmp_path / "link").symlink_to(root)
    target, libraries = from_running(), LibraryIndex.from_directories([])
    report = patch_wheel_tree([root], target=target, libraries=libraries)
    assert len(report.edits) == 1
    done = snapshot(root)
    roots: list[str | Path] = [
        root / "pkg",
        root,
        tmp_path / "link",
        f"{root}/",
        tmp_path / "link" / "libs",
    ]
    report = patch_wheel_tree(roots, target=target, libraries=libraries)
    assert (len(report.plan.files), len(report.edits)) == (2, 0)
    assert snapshot(root) == done
    assert len(check_tree(roots, target=target, libraries=libraries).plan.files) == 2
    # A name that another begins with is no folder of it.
    assert len(patch_wheel_tree([root, beside], target=target, libraries=libraries).plan.files) == 4


def test_several_patches_at_once(library: bytes, tmp_path: Path) -> None:
    """Each of four patches of one tree is done or refused with the reason; the tree is right."""
    fill(tmp_path / "calm", library, 150)
    patch(tmp_path / "calm")
    expected = contents(tmp_path / "calm")
    done = refused = 0
    for number in range(3):
        root = tmp_path / f"tree{number}"
        fill(root, library, 150)
        running = [start(root) for _ in range(4)]
        for process in running:
            _, talk = process.communicate(timeout=60)
            done += process.returncode == 0
            if process.returncode:
                refused += 1
                assert talk.startswith("refused: "), talk
                assert "running" in talk or "changed since it was read" in talk
        assert contents(root) == expected
    assert done >= 3
    assert done + refused == 12
    print(f"{done} done, {refused} refused")  # noqa: T201


def test_killed_at_random_times(library: bytes, tmp_path: Path) -> None:
    """Killed at any time, the next patch makes the tree what an undisturbed one makes it."""
    chance = random.Random(7)  # noqa: S311 - the same times, as far as a machine can keep them
    fill(tmp_path / "calm", library, 150)
    began = time.monotonic()
    process = start(tmp_path / "calm")
    process.communicate(timeout=60)
    spent = time.monotonic() - began
    assert process.returncode == 0
    expected = contents(tmp_path / "calm")
    killed = interrupted = 0
    for number in range(12):
        root = tmp_path / f"tree{number}"
        fill(root, library, 150)
        process = start(root)
        time.sleep(spent * chance.uniform(0.3, 1.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        interrupted += os.path.lexists(root / ".nix-manylinux-undo")
        patch(root)
        assert contents(root) == expected
        shutil.rmtree(root)
    assert killed
    print(f"{killed} killed, {interrupted} of them in the middle of writing")  # noqa: T201


@pytest.mark.parametrize("what", ["vanish", "change", "swap"])
def test_a_tree_that_changes_meanwhile(what: str, library: bytes, tmp_path: Path) -> None:
    """Another writer meanwhile: an error of ours or a right result, and nothing of ours is left."""
    root = tmp_path / "tree"
    fill(root, library, 60)
    stop = threading.Event()
    problems: list[BaseException] = []

    def disturb() -> None:
        turn = 0
        try:
            while not stop.is_set():
                path = root / f"d000/lib{turn % 60}.so"
                turn += 7
                if what == "vanish":
                    path.unlink(missing_ok=True)
                elif what == "change":
                    (root / f"d000/new{turn % 5}").write_bytes(b"\x7fELF" + bytes(turn % 90))
                else:
                    other = root / "d000/other"
                    other.write_bytes(library)
                    other.replace(path)
                if what != "change":
                    path.write_bytes(library)
        except BaseException as error:  # noqa: BLE001 - told in the main thread
            problems.append(error)

    thread = threading.Thread(target=disturb)
    thread.start()
    ended = set()
    try:
        for _ in range(25):
            try:
                patch(root)
                ended.add("done")
            except NixManylinuxError as error:  # noqa: PERF203 - it goes on
                assert error.what  # noqa: PT017 - its kind is counted
                ended.add(type(error).__name__)
    finally:
        stop.set()
        thread.join()
    assert not problems
    assert ended
    left = [name for _, _, files in os.walk(root) for name in files if name.endswith(".tmp")]
    assert not left


def test_another_file_under_the_name(
    library: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is replaced while it is looked at is an error that names it, and no fault."""
    root = tmp_path / "tree"
    fill(root, library, 1)
    monkeypatch.setattr("nix_manylinux.write.apply.hard_links", lambda _paths, _status: [])
    with pytest.raises(BadTree, match=r"lib0\.so"):
        patch(root)
    assert (root / "d000/lib0.so").read_bytes() == library


def test_a_tree_of_everything(library: bytes, tmp_path: Path) -> None:
    """FIFOs, sockets, devices, links out and names of any bytes: only ELF files change."""
    root = tmp_path / "tree"
    root.mkdir()
    outside = tmp_path / "outside.so"
    outside.write_bytes(library)
    (root / "out.so").symlink_to(outside)
    (root / "folder").symlink_to(tmp_path)
    (root / "circle").symlink_to("circle")
    os.mkfifo(root / "fifo.so")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket.so"))
    try:
        os.mknod(root / "device.so", 0o600 | 0o020000, os.makedev(1, 3))
    except PermissionError:  # not root: then there can be none
        assert os.geteuid() != 0
    odd = os.fsencode(root) + b"/\xff \n$(touch x)'\".so"
    with open(odd, "wb") as file:
        file.write(library)
    (root / "-rf").write_bytes(library)
    before = contents(root)
    patch(root)
    after = contents(root)
    assert outside.read_bytes() == library
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"-rf", os.fsdecode(os.path.basename(odd))}


def test_unreadable(library: bytes, tmp_path: Path) -> None:
    """A file or a folder that may not be read is an error that names it; nothing is written."""
    fill(tmp_path, library, 3)
    (tmp_path / "d000/closed").mkdir()
    program = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from tests.support.trees import plan_all
from nix_manylinux.base.errors import BadTree
if os.geteuid() == 0:
    os.setuid(65534)
try:
    plan_all({str(tmp_path)!r})
except BadTree as error:
    sys.exit(f"{{error.where}}: {{error.what}}")
"""
    # Everybody may come this far, and only this far.
    folder = tmp_path
    while folder != folder.parent and os.stat(folder).st_uid == os.getuid():
        if not os.stat(folder).st_mode & 0o001:
            folder.chmod(0o755)
        folder = folder.parent
    (tmp_path / "d000/closed").chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip().endswith("d000/closed: can't be read: Permission denied")
    (tmp_path / "d000/closed").chmod(0o755)
    (tmp_path / "d000/lib1.so").chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip().endswith("d000/lib1.so: can't be read: Permission denied")


def test_deep(library: bytes, tmp_path: Path) -> None:
    """A file below eight hundred folders is patched; deeper than a path may be is an error."""
    here = tmp_path / "tree"
    path = here
    for _ in range(800):
        path = path / "d"
    path.mkdir(parents=True)
    (path / "a.so").write_bytes(library)
    patch(here)
    assert (path / "a.so").read_bytes() != library
    folder = os.open(path, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("n" * 200, dir_fd=folder)
        inner = os.open("n" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    with pytest.raises(BadTree, match="File name too long"):
        patch(here)
    # pytest's own way of deleting is not made for this.
    subprocess.run(["rm", "-rf", str(here)], check=True)


def measured(root: Path, number: int, make: Callable[[Path, int], None]) -> tuple[float, int]:
    """Make a tree and patch it; give the seconds of processor time and the peak in MiB."""
    make(root, number)
    target = from_running()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            patch_wheel_tree([root], target=target, libraries=LibraryIndex.from_directories([]))
            status = 0
        finally:
            os._exit(status)
    _, status, usage = os.wait4(child, 0)
    assert status == 0
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def needing(root: Path, number: int) -> None:
    """Make libraries that each need one of the first hundred, which is in another folder."""
    names = [f"libn{each}.so" for each in range(number)]
    for each, name in enumerate(names):
        folder = root / f"d{each // 100:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        needed = [names[each % 100]] if each >= 100 else []
        (folder / name).write_bytes(tiny_library(name, *needed))


def test_memory_is_bounded(tmp_path: Path) -> None:
    """Four times the files want little more memory for each; the times are only told.

    The peak of a forked child begins with that of the test's process, so the
    two runs are compared.
    """
    number = int(os.environ.get("NIX_MANYLINUX_LOAD") or 1600)
    small, little = measured(tmp_path / "small", number // 4, needing)
    large, much = measured(tmp_path / "large", number, needing)
    print(f"{number // 4} files: {small:.1f} s, {little} MiB")  # noqa: T201
    print(f"{number} files: {large:.1f} s, {much} MiB")  # noqa: T201
    assert much - little < 16 + number * 0.02
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2**31


@pytest.mark.parametrize("do", ["inspect", "check", "patch", "plan"])
def test_a_file_that_vanishes_once_it_was_scanned(
    do: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked of its contents later is an error of ours, too."""
    target, index = from_running(), LibraryIndex.from_directories([])
    (tmp_path / "tree").mkdir()
    path = tmp_path / "tree/module.so"
    path.write_bytes(tiny_library("module.so", "libnot.so.1"))
    hook = "elf.symbols.open_elf" if do == "inspect" else "tree.disk.Disk.mentions"
    real: Callable[..., object] = open_elf if do == "inspect" else Disk.mentions

    def vanish(*arguments: object) -> object:
        path.unlink(missing_ok=True)
        return real(*arguments)

    def run() -> object:
        options = Options(missing="leaves")
        if do == "inspect":
            return inspect(path.parent, target=target, libraries=index)
        if do == "plan":
            return plan_paths([path.parent], target=target, libraries=index, options=options)
        done = check_tree if do == "check" else patch_wheel_tree
        return done(path.parent, target=target, libraries=index, options=options)

    monkeypatch.setattr(f"nix_manylinux.{hook}", vanish)
    with pytest.raises(BadTree, match="vanished while the tree was read"):
        run()
    assert not path.exists()

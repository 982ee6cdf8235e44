"""Disk full, I/O errors, interrupted calls, kills: at every system call of `patch` that writes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.support.elf import ElfBuilder
from tests.support.fault_points import remove
from tests.support.wheels import MadeWheel, row

import nix_manylinux
from nix_manylinux.target.target import from_running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SITE = "lib/python3.11/site-packages"
FAULTS = {
    "disk full": ("fail", errno.ENOSPC),
    "I/O error": ("fail", errno.EIO),
    "interrupted": ("fail", errno.EINTR),
    "not permitted": ("fail", errno.EACCES),
    "disk full from there on": ("full", errno.ENOSPC),
    "I/O errors from there on": ("dead", errno.EIO),
    "half of a write": ("short", 0),
    "half of every read and write": ("all short", 0),
    "killed": ("kill", 0),
    "terminated": ("terminate", 0),
}


#: Calls that each scene is known to make, and the faults therefore meet.
CALLS = {
    "tree": {"openat", "write", "pwrite64", "rename", "unlink", "linkat", "fchmod"},
    "wheel": {"openat", "write", "pwrite64", "rename", "unlink", "mkdir", "fsync", "rmdir"},
    "read-only": {"openat", "write", "pwrite64", "rename", "unlink", "linkat", "fchmod", "chmod"},
}


#: The scenes of so much that several threads work, with every call that reads them as well.
THREADED = {
    "large-tree": {"openat", "read", "pread64", "write", "pwrite64", "rename", "unlink"},
    "large-wheel": CALLS["wheel"] | {"read", "pread64"},
}
#: What errors are called is the same in threads: those of all files, of room, and of the rest.
THREADED_FAULTS = (
    "I/O error",
    "disk full from there on",
    "I/O errors from there on",
    "half of every read and write",
    "killed",
    "terminated",
)


class Scenes(NamedTuple):
    """The shim, and a folder for each scene with what is given and the libraries to link to."""

    shim: str
    folders: dict[str, str]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """Make a tree and a wheel with every kind of file that `patch` treats in its own way."""
    top = tmp_path_factory.mktemp("faults")
    shim = str(top / "faulty_calls.so")
    source = os.path.join(os.path.dirname(__file__), "../support/faulty_calls.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", shim,
                    source, "-ldl"], check=True)  # fmt: skip
    files = ElfBuilder(top / "elf")
    needed = files.library("libneeded.so.1", soname="libneeded.so.1")
    makers = {
        "tree": make_tree,
        "wheel": make_wheel,
        "read-only": make_read_only_tree,
        "large-tree": make_large_tree,
        "large-wheel": make_large_wheel,
    }
    assert makers.keys() == CALLS.keys() | THREADED.keys()
    for scene, make in makers.items():
        (top / scene / "libs").mkdir(parents=True)
        shutil.copy(needed, top / scene / "libs")
        given = top / scene / "given"
        given.mkdir()
        make(given, files, needed)
    return Scenes(shim, {scene: str(top / scene) for scene in makers})


def small_files(files: ElfBuilder, needed: Path) -> tuple[bytes, bytes, bytes]:
    """Build two libraries and a program."""
    library = files.library("a.so", needs=[needed])
    longer = files.library("b.so", needs=[needed], flags=["-Wl,-z,noseparate-code"])
    tool = files.program("tool", interpreter="/lib/ld-made-up.so", needs=[needed])
    return library.read_bytes(), longer.read_bytes(), tool.read_bytes()


def large_files(files: ElfBuilder, needed: Path) -> dict[str, bytes]:
    """Build two libraries: together over the 4 MiB from which on threads are worth it."""
    found = {}
    for number in (1, 2):
        source = f"const char pad[2200000] = {{{number}}};"
        path = files.library(f"{number}.so", source=source, needs=[needed])
        found[path.name] = path.read_bytes()
    return found


def make_tree(given: Path, files: ElfBuilder, needed: Path) -> None:
    """Make a tree of which files are edited in place and copied, with four RECORDs."""
    library, longer, tool = small_files(files, needed)
    site = given / "tree" / SITE
    info = site / "made-1.0.dist-info"
    info.mkdir(parents=True)
    (given / "tree/bin").mkdir()
    (site / "a.so").write_bytes(library)
    (site / "b.so").write_bytes(longer)
    (given / "tree/bin/tool").write_bytes(tool)
    (given / "tree/bin/tool").chmod(0o755)
    os.link(site / "b.so", site / "b-again.so")
    os.link(site / "b.so", given / "cache.so")
    (site / ".nix-manylinux-0123456789abcdef.tmp").write_bytes(b"left by a killed run")
    # More of them, one a link: what was made true has to be undone if the next one fails.
    for name in "linked-1.0", "other-1.0", "third-1.0":
        (site / f"{name}.dist-info").mkdir()
        record = site / f"{name}.dist-info/RECORD"
        if name == "linked-1.0":
            record.symlink_to("kept")
        record.write_text(f"{row('a.so', b'stale')}\n")
    rows = [row("a.so", library), row("b.so", b"stale"), row("../../../bin/tool", tool)]
    (info / "RECORD").write_text("".join(f"{each}\n" for each in rows))


def make_read_only_tree(given: Path, files: ElfBuilder, needed: Path) -> None:
    """Make it as the store has it: files that are replaced, in folders that are opened for it."""
    library, longer, _ = small_files(files, needed)
    site = given / "tree" / SITE
    info = site / "made-1.0.dist-info"
    info.mkdir(parents=True)
    for name, file in ("a.so", library), ("b.so", longer):
        (site / name).write_bytes(file)
        (site / name).chmod(0o444)
    rows = [row("a.so", library), row("b.so", b"stale")]
    (info / "RECORD").write_text("".join(f"{each}\n" for each in rows))
    (info / "RECORD").chmod(0o444)
    info.chmod(0o555)
    site.chmod(0o555)


def make_wheel(given: Path, files: ElfBuilder, needed: Path) -> None:
    """Make a wheel of small members, and an older output."""
    library, longer, tool = small_files(files, needed)
    members = {
        "made/a.so": library,
        "made/b.so": longer,
        "made/data.txt": b"data" * 2000,
        "made-1.0.data/scripts/tool": tool,
    }
    write_wheels(given, members, {"made-1.0.data/scripts/tool": 0o100755})


def make_large_wheel(given: Path, files: ElfBuilder, needed: Path) -> None:
    """Make a wheel whose members are unpacked, written and copied by several threads."""
    # Each in its own folder: which thread makes a common one is another one in every run.
    members = {f"made/of-{name}/{name}": data for name, data in large_files(files, needed).items()}
    # Of so many packed bytes on even a copy is left to another thread.
    packed = b"".join(hashlib.sha512(bytes([n])).digest() for n in range(64)) * 150
    write_wheels(given, {**members, "made/packed/data": packed}, {})


def write_wheels(given: Path, members: dict[str, bytes], modes: dict[str, int | None]) -> None:
    """Write the wheel that is patched, and something in the place of the output."""
    tag = "py3-none-linux_x86_64"
    made = MadeWheel(tag=tag, files=members, modes=modes)
    (given / "out").mkdir()
    made.write(given)
    (given / "out" / made.file_name).write_bytes(b"an older wheel")


def make_large_tree(given: Path, files: ElfBuilder, needed: Path) -> None:
    """Make a tree whose files are hashed by other threads, some while others are edited."""
    site = given / "tree" / SITE
    (site / "made-1.0.dist-info").mkdir(parents=True)
    rows = []
    for name, data in large_files(files, needed).items():
        for each, contents in (name, data), (f"{name}.txt", data[::-1]):
            (site / each).write_bytes(contents)
            rows.append(row(each, b"stale"))
    (site / "made-1.0.dist-info/RECORD").write_text("".join(f"{each}\n" for each in rows))


def strike(
    scenes: Scenes,
    scene: str,
    fault: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    *,
    watcher: Sequence[str] = (),
) -> dict[str, Any]:
    """Run one scene with one fault at every point; "none" only counts the points."""
    folder = scenes.folders[scene]
    # Thousands of files are made and synced: in memory, where there is room for that.
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own name is made in it
    top = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else tmp_path))
    request.addfinalizer(lambda: remove(str(top)))
    work = top / "scene"
    top.chmod(0o755)
    shutil.copytree(folder, work, symlinks=True, copy_function=shutil.copy2)
    # copytree makes copies of hard links.
    if scene == "tree":
        for name in f"tree/{SITE}/b-again.so", "cache.so":
            (work / "given" / name).unlink()
            os.link(work / f"given/tree/{SITE}/b.so", work / "given" / name)
    # Nobody, who runs one of the scenes, may not come to a checkout in somebody's home.
    package = Path(nix_manylinux.__file__).parent
    shutil.copytree(package, top / "code" / package.name)
    mode, code = FAULTS.get(fault, ("count", 0))
    done = subprocess.run(
        [*watcher, sys.executable, "-m", "tests.support.fault_points", scenes.shim, scene,
         from_running().dynamic_linker, str(work), mode, str(code)],
        env={**os.environ, "LD_PRELOAD": scenes.shim, "PYTHONDONTWRITEBYTECODE": "1",
             "PYTHONPATH": str(top / "code")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def judge(found: dict[str, Any], calls: set[str], scene: str, fault: str) -> None:
    """Hold one scene with one fault against the promise."""
    points = Counter(name for name, _ in found["points"])
    varying = f" ({found['varying']} more in some runs)" if found["varying"] else ""
    print(f"patch {scene.upper()}, {fault}: {points.total()} points{varying}, {found['ends']}")  # noqa: T201
    assert not found["bad"], "\n".join(found["bad"])
    if fault in {"I/O error", "terminated"}:  # of the others some are no faults for some calls
        assert set(points) >= calls
    assert points.total() > 5


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scene", CALLS)
def test_every_point(
    scene: str, fault: str, scenes: Scenes, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Whatever call fails: the old state or the new one, nothing else, and the next run is right.

    A tree that a patch was killed in is put right by the next patch.
    """
    found = strike(scenes, scene, fault, tmp_path, request)
    judge(found, CALLS[scene], scene, fault)


@pytest.mark.parametrize("fault", THREADED_FAULTS)
@pytest.mark.parametrize("scene", THREADED)
def test_every_point_of_threads(
    scene: str, fault: str, scenes: Scenes, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The same, where several threads read, hash, unpack and write; none of them is left.

    Whichever thread makes a call, and whenever: what is struck is the call on its file.
    """
    found = strike(scenes, scene, fault, tmp_path, request)
    judge(found, THREADED[scene], scene, fault)


#: System calls that change no file, whatever they are given.
HARMLESS = frozenset(
    """
    access arch_prctl prctl brk clock_gettime clock_nanosleep close close_range dup dup2 dup3
    epoll_create1 eventfd2 exit exit_group faccessat faccessat2 fadvise64 fcntl flock fstat fstatfs
    futex getcwd getdents64 getegid geteuid getgid getpid getppid getrandom gettid getuid getxattr
    ioctl kill lgetxattr listxattr llistxattr lseek lstat madvise membarrier memfd_create mmap
    mprotect mremap munmap newfstatat pipe2 poll prlimit64 readlink readlinkat
    restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield
    set_robust_list set_tid_address setgid setgroups setuid sigaltstack stat statfs statx sysinfo
    tgkill umask uname wait4
    """.split()  # noqa: SIM905 - a list of a hundred quotes is no easier to keep
)
#: What strace calls a call, and what the shim counts it as.
SAME = {"open": "openat", "ftruncate": "ftruncate64", "truncate": "truncate64"}
_CALL = re.compile(r"(\d+) +(\w+)\((.*)")


#: What reads a file, and is struck too where there are threads.
READING = frozenset({"openat", "read", "readv", "pread64"})


def seen_calls(log: Path, process: int) -> Iterator[tuple[str, str]]:
    """Give the calls of one process and of its threads, from its trace, with their arguments."""
    lines = log.read_text(errors="replace").splitlines()
    ours = {str(process)}
    for line in lines:
        begun = re.fullmatch(r"(\d+) .*\bclone3?\b.* = (\d+)", line)
        if begun and begun[1] in ours:
            ours.add(begun[2])
    for line in lines:
        match = _CALL.fullmatch(line)
        if match and match[1] in ours:
            yield SAME.get(match[2], match[2]), match[3]


def sort_calls(calls: Iterable[tuple[str, str]], root: str) -> dict[str, Counter[str]]:
    """Count those that may have changed a file, and those that read one below ``root``."""
    found: dict[str, Counter[str]] = {"changing": Counter(), "reading": Counter()}
    for name, arguments in calls:
        is_opened = name == "openat" and "O_DIRECTORY" not in arguments
        if name == "mmap":
            assert not ("MAP_SHARED" in arguments and "PROT_WRITE" in arguments), arguments
            assert root not in arguments
        elif name.startswith("clone"):
            assert "CLONE_THREAD" in arguments  # another process would be seen by nobody
        elif is_opened and re.search("O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", arguments):
            found["changing"][name] += "/dev/null" not in arguments
        elif name in READING:
            found["reading"][name] += root in arguments and (is_opened or name != "openat")
        # Standard output and error are talk.
        elif name not in HARMLESS and not (name == "write" and arguments.startswith(("1<", "2<"))):
            found["changing"][name] += 1
    return {kind: +counter for kind, counter in found.items()}


@pytest.mark.parametrize("scene", [*CALLS, *THREADED])
def test_no_call_passes_by(
    scene: str, scenes: Scenes, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What strace sees of `patch`, and may change a file, are the very calls that were counted.

    Of the system calls only those pass that are known to change nothing: a
    call that nobody thought of makes this fail. With threads, all of them
    count, and so do the calls that read.
    """
    log = tmp_path / "log"
    watcher = ["strace", "-f", "-qq", "-y", "-s", "256", "-e", "signal=none", "-o", str(log)]
    found = strike(scenes, scene, "none", tmp_path, request, watcher=watcher)
    seen = sort_calls(seen_calls(log, found["child"]), found["root"])
    print(f"patch {scene.upper()}: {dict(seen['changing'])}")  # noqa: T201
    assert seen["changing"] == Counter(name for name, kind in found["points"] if kind != "r")
    assert set(seen["changing"]) >= CALLS.get(scene, set())
    if scene in THREADED:
        assert seen["reading"] == Counter(name for name, kind in found["points"] if kind == "r")

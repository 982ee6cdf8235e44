"""Disk full, I/O errors, interrupted calls, kills: at every system call of `patch` that writes."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.support.elf import ElfBuilder
from tests.support.wheels import MadeWheel, row

from nix_manylinux.target import from_running

if TYPE_CHECKING:
    from collections.abc import Sequence

SITE = "lib/python3.11/site-packages"
FAULTS = {
    "disk full": ("fail", errno.ENOSPC),
    "I/O error": ("fail", errno.EIO),
    "interrupted": ("fail", errno.EINTR),
    "not permitted": ("fail", errno.EACCES),
    "disk full from there on": ("full", errno.ENOSPC),
    "I/O errors from there on": ("dead", errno.EIO),
    "half of a write": ("short", 0),
    "killed": ("kill", 0),
    "terminated": ("terminate", 0),
}


#: Calls that each scene is known to make, and the faults therefore meet.
CALLS = {
    "tree": {"openat", "write", "pwrite64", "rename", "unlink", "linkat", "fchmod"},
    "wheel": {"openat", "write", "pwrite64", "rename", "unlink", "mkdir", "fsync", "rmdir"},
    "read-only": {"openat", "write", "pwrite64", "rename", "unlink", "linkat", "fchmod", "chmod"},
}


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
    library = files.library("a.so", needs=[needed]).read_bytes()
    longer = files.library("b.so", needs=[needed], flags=["-Wl,-z,noseparate-code"]).read_bytes()
    tool = files.program("tool", interpreter="/lib/ld-made-up.so", needs=[needed]).read_bytes()
    folders = {}
    for scene in CALLS:
        given = top / scene / "given"
        (top / scene / "libs").mkdir(parents=True)
        shutil.copy(needed, top / scene / "libs")
        if scene == "wheel":
            made = MadeWheel(
                tag="py3-none-linux_x86_64",
                files={
                    "made/a.so": library,
                    "made/b.so": longer,
                    "made/data.txt": b"data" * 2000,
                    "made-1.0.data/scripts/tool": tool,
                },
                modes={"made-1.0.data/scripts/tool": 0o100755},
            )
            (given / "out").mkdir(parents=True)
            made.write(given)
            (given / "out" / made.file_name).write_bytes(b"an older wheel")
        elif scene == "read-only":
            # As the store has them: files that are replaced, in folders that are opened for it.
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
        else:
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
        folders[scene] = str(top / scene)
    return Scenes(shim, folders)


def strike(
    scenes: Scenes,
    scene: str,
    fault: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    *,
    watcher: Sequence[str] = (),
) -> dict[str, object]:
    """Run one scene with one fault at every point; "none" only counts the points."""
    folder = scenes.folders[scene]
    # Thousands of files are made and synced: in memory, where there is room for that.
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own name is made in it
    top = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else tmp_path))
    request.addfinalizer(lambda: shutil.rmtree(top, ignore_errors=True))
    work = top / "scene"
    top.chmod(0o755)
    shutil.copytree(folder, work, symlinks=True, copy_function=shutil.copy2)
    # copytree makes copies of hard links.
    if scene == "tree":
        for name in f"tree/{SITE}/b-again.so", "cache.so":
            (work / "given" / name).unlink()
            os.link(work / f"given/tree/{SITE}/b.so", work / "given" / name)
    mode, code = FAULTS.get(fault, ("count", 0))
    done = subprocess.run(
        [*watcher, sys.executable, "-m", "tests.support.fault_points", scenes.shim, scene,
         from_running().dynamic_linker, str(work), mode, str(code)],
        env={**os.environ, "LD_PRELOAD": scenes.shim, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scene", CALLS)
def test_every_point(
    scene: str, fault: str, scenes: Scenes, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Whatever call fails: the old state or the new one, nothing else, and the next run is right.

    A tree that a patch was killed in is put right by the next patch.
    """
    found = strike(scenes, scene, fault, tmp_path, request)
    points = found["points"]
    assert isinstance(points, list)
    print(f"patch {scene.upper()}, {fault}: {len(points)} points, {found['ends']}")  # noqa: T201
    bad = found["bad"]
    assert isinstance(bad, list)
    assert not bad, "\n".join(bad)
    assert set(points) >= CALLS[scene]
    assert len(points) > 30


#: System calls that change no file, whatever they are given.
HARMLESS = frozenset(
    """
    access arch_prctl brk clock_gettime clock_nanosleep close close_range dup dup2 dup3
    epoll_create1 eventfd2 exit exit_group faccessat faccessat2 fadvise64 fcntl flock fstat fstatfs
    futex getcwd getdents64 getegid geteuid getgid getpid getppid getrandom gettid getuid getxattr
    ioctl kill lgetxattr listxattr llistxattr lseek lstat madvise membarrier memfd_create mmap
    mprotect mremap munmap newfstatat pipe2 poll pread64 prlimit64 read readlink readlinkat readv
    restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield
    set_robust_list set_tid_address setgid setgroups setuid sigaltstack stat statfs statx sysinfo
    tgkill umask uname wait4
    """.split()  # noqa: SIM905 - a list of a hundred quotes is no easier to keep
)
#: What strace calls a call, and what the shim counts it as.
SAME = {"open": "openat", "ftruncate": "ftruncate64", "truncate": "truncate64"}
_CALL = re.compile(r"(\d+) +(\w+)\((.*)")


def changing_calls(log: Path, process: int) -> Counter[str]:
    """Count the calls of one process, from its trace, that may have changed a file."""
    found: Counter[str] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        match = _CALL.fullmatch(line)
        if not match or int(match[1]) != process:
            continue
        name, arguments = SAME.get(match[2], match[2]), match[3]
        if name == "mmap":
            assert not ("MAP_SHARED" in arguments and "PROT_WRITE" in arguments), line
        if name == "openat" and (
            not re.search("O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", arguments) or "/dev/null" in arguments
        ):
            continue
        # Standard output and error are talk.
        if name in HARMLESS or (name == "write" and arguments.startswith(("1<", "2<"))):
            continue
        found[name] += 1
    return found


@pytest.mark.parametrize("scene", CALLS)
def test_no_call_passes_by(
    scene: str, scenes: Scenes, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What strace sees of `patch`, and may change a file, are the very calls that were counted.

    Of the system calls only those pass that are known to change nothing: a
    call that nobody thought of makes this fail.
    """
    log = tmp_path / "log"
    watcher = ["strace", "-f", "-qq", "-y", "-s", "64", "-e", "signal=none", "-o", str(log)]
    found = strike(scenes, scene, "none", tmp_path, request, watcher=watcher)
    points, child = found["points"], found["child"]
    assert isinstance(points, list)
    assert isinstance(child, int)
    seen = changing_calls(log, child)
    print(f"patch {scene.upper()}: {dict(seen)}")  # noqa: T201
    assert seen == Counter(points)
    assert set(seen) >= CALLS[scene]

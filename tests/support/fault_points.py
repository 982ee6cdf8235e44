"""The command, failing or killed at each of its calls that write, under `faulty_calls.c`.

``python -m tests.support.fault_points SHIM SCENE LINKER FOLDER MODE [CODE]``
runs ``patch`` undisturbed, and then once for every call that changes a file,
each time in a fresh scene. It prints JSON: the names of the calls, how the
runs ended, and a sentence for each outcome that breaks the promise.

In a scene whose files are large several threads work, and every call that
reads the scene's files counts as well. Calls that not every run makes (which
thread is the first to make a folder) are left out there, and told.
"""

from __future__ import annotations

import base64
import csv
import ctypes
import errno
import hashlib
import importlib
import io
import json
import mmap
import os
import pkgutil
import re
import shutil
import signal
import stat
import sys
import threading
import zipfile
from collections import Counter
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, Any, NamedTuple

import nix_manylinux
from nix_manylinux.base.files import UNDO_LOG
from nix_manylinux.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable

#: A snapshot: paths, each with its mode and, for a regular file, bytes, time and links.
Found = dict[str, Any]

#: What may stay where it could not be deleted: one file beside another, a folder in TMPDIR.
TEMPORARY = re.compile(r"(.*/)?\.nix-manylinux-[0-9a-f]{16}(\.whl)?\.tmp|tmp|tmp/nix-manylinux-.*")
#: Left in the scene by a killed run; deleted as soon as the tree is locked, and by right.
LEFTOVER = ".nix-manylinux-0123456789abcdef.tmp"
NOBODY = 65534
#: The status of a process that SIGTERM ended in order.
TERMINATED = 128 + signal.SIGTERM
MODES = {
    name: number
    for number, name in enumerate(
        ("count", "fail", "kill", "full", "short", "terminate", "dead", "all short"), 1
    )
}
#: Calls of a length.
SIZED = {"read", "readv", "pread64", "write", "pwrite64", "copy_file_range"}
#: What ends a run at which threads are left.
THREADS_LEFT = 5
#: How often a run with threads is counted, and struck until it makes the call in question.
COUNTED, TRIED = 3, 20
#: The numbers, and the sizes of the texts behind them, in the order of faulty_calls.c.
_MODE, _NTH, _CODE, _READS, _SEEN, _HITS, _ROOM = range(7)
_LINE, _NAMES = 2 * 4096, 1 << 20
_ROOT = 7 * ctypes.sizeof(ctypes.c_long)
_TARGET = _ROOT + _LINE
_LOG = _TARGET + _LINE


class Point(NamedTuple):
    """A call by its name, file and offset, and how many such calls go before it.

    ``kind`` is "+" for what a full disk refuses, "r" for what only reads.
    """

    line: str
    nth: int
    kind: str

    @property
    def name(self) -> str:
        """The call's name."""
        return self.line.partition(" ")[0]


class Shim:
    """The preloaded library's memory, shared with the processes that are forked."""

    def __init__(self, path: str, root: str, *, reads: bool) -> None:
        self._map = mmap.mmap(-1, _LOG + _NAMES)
        self._fields = (ctypes.c_long * 7).from_buffer(self._map)
        self._fields[_READS] = reads
        self._text(_ROOT, os.path.join(root, ""))
        library = ctypes.CDLL(path)
        library.fault_state(ctypes.c_void_p(ctypes.addressof(self._fields)))

    def _text(self, place: int, text: str) -> None:
        data = os.fsencode(text) + b"\0"
        assert len(data) <= _LINE
        self._map[place : place + len(data)] = data

    def set(self, mode: int, point: Point | None = None, code: int = 0) -> None:
        """Arm it."""
        self._text(_TARGET, point.line if point else "")
        for index, value in ((_NTH, point.nth if point else 0), (_CODE, code)):
            self._fields[index] = value
        for index in (_SEEN, _HITS, _ROOM):
            self._fields[index] = 0
        self._fields[_MODE] = mode

    @property
    def reached(self) -> bool:
        """Whether the call was made that it is armed for."""
        return self._fields[_SEEN] > self._fields[_NTH]

    def points(self) -> list[Point]:
        """Give the calls that were counted, in order."""
        log = os.fsdecode(self._map[_LOG : _LOG + self._fields[_ROOM]])
        made: Counter[str] = Counter()
        found = []
        for line in log.splitlines():
            found.append(Point(line[1:], made[line[1:]], line[0]))
            made[line[1:]] += 1
        return found


def remove(root: str) -> None:
    """Delete what is there, read-only folders too: only root can empty those as they are."""
    for top, _, _ in os.walk(root):
        os.chmod(top, 0o700)
    shutil.rmtree(root, ignore_errors=True)


def snapshot(root: str) -> Found:
    """Give all that a failed run must leave as it was: kinds, modes, bytes, links and times."""
    found: Found = {}
    for top, folders, files in os.walk(root):
        for name in [*folders, *files]:
            if name == LEFTOVER:
                continue
            path = os.path.join(top, name)
            status = os.lstat(path)
            content: Any = None
            if stat.S_ISLNK(status.st_mode):
                content = (os.readlink(path), 0, 0)
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = (file.read(), status.st_mtime_ns, status.st_nlink)
            found[os.path.relpath(path, root)] = (status.st_mode, content)
    return found


def bytes_of(found: Found) -> Found:
    """Leave the times out of a snapshot."""
    return {
        name: (mode, content and (content[0], content[2]))
        for name, (mode, content) in found.items()
    }


def owners_open(found: Found) -> Found:
    """Give all folders the mode that their owner may write to."""
    return {
        name: (mode | stat.S_IRWXU if stat.S_ISDIR(mode) else mode, content)
        for name, (mode, content) in found.items()
    }


def matters(mode: str, point: Point) -> bool:
    """Whether a fault at a point is another one than the same at the next point."""
    if mode == "full":  # what needs no room is not refused
        return point.kind == "+"
    if mode in {"short", "all short"}:  # only what has a length can be half done
        return point.name in SIZED
    # To be killed, or to lose the disk, before something is read, is to be so behind it.
    return point.kind != "r" or mode not in {"kill", "dead"}


def untrue(found: Found) -> list[str]:
    """Name what is wrong in trees and wheels: rows of RECORD, CRCs of members."""
    wrong = []
    files = {name: value[1][0] for name, value in found.items() if value[1]}
    for name, data in list(files.items()):
        if name.startswith("out/") and name.endswith(".whl"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                wrong += [name] if archive.testzip() else []
                files |= {f"{name}/{each}": archive.read(each) for each in archive.namelist()}
    for name, data in files.items():
        if not name.endswith(".dist-info/RECORD"):
            continue
        base = os.path.dirname(os.path.dirname(name))
        for path, hash_, size in csv.reader(io.StringIO(data.decode())):
            if hash_:
                contents = files[os.path.normpath(os.path.join(base, path))]
                digest = base64.urlsafe_b64encode(hashlib.sha256(contents).digest())
                right = f"sha256={digest.decode().rstrip('=')}", str(len(contents))
                wrong += [f"{name}: {path}"] if (hash_, size) != right else []
    return wrong


class Points:
    """One scene and one kind of fault, at every point."""

    def __init__(self, shim: str, scene: str, linker: str, folder: str) -> None:
        self.scene = scene
        self.folder = folder
        self.given = os.path.join(folder, "given")
        self.work = os.path.join(folder, "work")
        self.is_wheel = scene.endswith("wheel")
        self.is_threaded = scene.startswith("large")
        self.shim = Shim(shim, self.work, reads=self.is_threaded)
        self.words = [
            "patch", "--dynamic-linker", linker, "--libs", os.path.join(folder, "libs"),
            os.path.join(self.work, self._wheel() if self.is_wheel else "tree"),
        ]  # fmt: skip
        if self.is_wheel:
            self.words += ["--output-dir", os.path.join(self.work, "out")]
        # Nothing is read-only to root.
        self.is_nobodys = scene == "read-only" and os.geteuid() == 0
        self.points: list[Point] = []
        self.child = 0
        self.reached = False
        self.varying = 0
        self.changed = False
        self.leftovers = [
            os.path.join(self.work, os.path.relpath(top, self.given), LEFTOVER)
            for top, _, files in os.walk(self.given)
            if LEFTOVER in files
        ]
        self.ends: Counter[str] = Counter()
        self.bad: list[str] = []

    def _wheel(self) -> str:
        return next(name for name in os.listdir(self.given) if name.endswith(".whl"))

    def fresh(self) -> None:
        """Make the scene again; hard links and times are kept."""
        remove(self.work)
        linked: dict[int, str] = {}

        def copy(source: str, target: str) -> None:
            first = linked.setdefault(os.stat(source).st_ino, target)
            if first == target:
                shutil.copy2(source, target)
            else:
                os.link(first, target)

        shutil.copytree(self.given, self.work, copy_function=copy, symlinks=True)
        os.mkdir(os.path.join(self.work, "tmp"))
        if self.is_nobodys:
            for top, folders, files in os.walk(self.work):
                for name in [".", *folders, *files]:
                    os.lchown(os.path.join(top, name), NOBODY, NOBODY)

    def run(self, arm: Callable[[], None]) -> tuple[int, str]:
        """Run the command in a process of its own: its exit status (-9 if killed), its talk."""
        talk = os.memfd_create("talk")
        self.child = child = os.fork()
        if child == 0:
            status = 4
            try:
                os.dup2(talk, 1)
                os.dup2(talk, 2)
                if self.is_nobodys:
                    os.setgroups([])
                    os.setgid(NOBODY)
                    os.setuid(NOBODY)
                arm()
                status = main(self.words)
                sys.stdout.flush()
                sys.stderr.flush()
                if threading.active_count() > 1:
                    status = THREADS_LEFT
            except SystemExit as error:
                status = int(error.code or 0)
                if threading.active_count() > 1:
                    status = THREADS_LEFT
            except BaseException as error:  # noqa: BLE001 - whatever it is, the parent tells
                os.write(2, repr(error).encode())
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        self.points, self.reached = self.shim.points(), self.shim.reached
        self.shim.set(0)
        size = os.fstat(talk).st_size
        text = os.pread(talk, size, 0).decode(errors="replace")
        os.close(talk)
        return (-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)), text

    def import_everything(self) -> None:
        """Load every module, and run twice in this process: the others have nothing to load.

        They may be nobody's, who can't read what an interpreter in somebody's home
        has. The second run changes nothing, and needn't be tried again where all is done.
        """
        for module in pkgutil.walk_packages(nix_manylinux.__path__, "nix_manylinux."):
            if not module.name.endswith(".__main__"):
                importlib.import_module(module.name)
        self.fresh()
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
            assert main(self.words) == 0
            after = bytes_of(snapshot(self.work))
            assert main(self.words) == 0
        assert bytes_of(snapshot(self.work)) == after

    def count(self) -> tuple[list[Point], Found]:
        """Run undisturbed; gives the points that every run has, and what comes out."""
        self.import_everything()
        counted = []
        after: Found = {}
        for _ in range(COUNTED if self.is_threaded else 1):
            self.fresh()
            before = bytes_of(snapshot(self.work))
            status, text = self.run(lambda: self.shim.set(MODES["count"]))
            assert status == 0, text
            found = bytes_of(snapshot(self.work))
            assert found not in (before, {})
            assert after in ({}, found), "two runs, two outcomes"
            after = found
            counted.append(self.points)
        assert not untrue(after), untrue(after)
        every = [{point[:2] for point in points} for points in counted]
        always = set.intersection(*every)
        self.varying = len(set.union(*every) - always)
        return [point for point in counted[-1] if point[:2] in always], after

    def every(self, mode: str, code: int) -> list[Point]:
        """Strike at every point; gives the points."""
        points, after = self.count()
        if mode == "count":
            return self.points
        points = [point for point in points if matters(mode, point)]
        before: Found = {}
        # "all short" strikes at all of them in one run.
        for point in points[:1] if mode == "all short" else points:
            what = f"{mode} {errno.errorcode.get(code, '')} at {point.line}, {point.nth}"
            for _ in range(TRIED if self.is_threaded else 1):
                if not before or self.changed or not all(map(os.path.exists, self.leftovers)):
                    self.fresh()
                    before = snapshot(self.work)
                ended = self.run(lambda point=point: self.shim.set(MODES[mode], point, code))  # type: ignore[misc]
                reached = self.reached
                self._judge(what, point.name, ended, before, after)
                if reached:
                    break
            else:
                self.bad.append(f"{what}: not reached")
        return points

    def _judge(
        self, what: str, name: str, ended: tuple[int, str], before: Found, after: Found
    ) -> None:
        status, text = ended
        now = snapshot(self.work)
        self.changed = now != before
        self._expect("Traceback" not in text, f"{what}: {text}", text, "")
        if status == 0:
            self._done(what, name, bytes_of(now), after)
        elif status == 1:
            self._expect("error:" in text, f"{what}: no error was told", text, "")
            if now == before:
                self.ends["refused, as before"] += 1
            else:
                self._after_death(what, text, now, before)
        elif status in {TERMINATED, -signal.SIGTERM} and what.startswith("terminate"):
            # Where there is no way back any more, it is done, and says that it was ended;
            # where nothing had begun, there is nothing to put in order.
            self.ends["ended, as before" if now == before else "ended, done"] += 1
            right = now == before or (status == TERMINATED and bytes_of(now) == after)
            self._expect(right, f"{what}: neither the old state nor the new", now, before)
        elif status == -signal.SIGKILL and what.startswith("kill"):
            self.ends["killed"] += 1
            self._after_kill(what, now, before, after)
        else:
            self.bad.append(f"{what}: status {status}: {text}")
        # Runs of the old state and of the new one have come out right.
        if self.changed and bytes_of(now) != after:
            self._run_again(what, status, after)

    def _run_again(self, what: str, status: int, after: Found) -> None:
        """Hold that the next run makes everything right."""
        shutil.rmtree(os.path.join(self.work, "tmp"))
        os.mkdir(os.path.join(self.work, "tmp"))
        again, text = self.run(lambda: None)
        if again == 1 and status == -signal.SIGKILL and "error:" in text:
            self.ends["refused after a kill"] += 1
            return
        found = bytes_of(snapshot(self.work))
        self._expect(again == 0, f"{what}: then refused: {text}", again, 0)
        if status == -signal.SIGKILL or what.startswith("dead"):
            # A folder that was opened for its owner to write to may stay so.
            found, after = owners_open(found), owners_open(after)
        self._expect(found == after, f"{what}: patched again, and not right", found, after)

    def _done(self, what: str, name: str, found: Found, after: Found) -> None:
        undeleted = name in {"unlink", "unlinkat", "rmdir", "chmod"}
        if (undeleted or what.startswith("dead")) and found != after:
            # What can't be deleted is named as ours, and the next run deletes it.
            self.ends["done, a temporary file stays"] += 1
            kept = [n for n in found if n not in after]
            right = all(TEMPORARY.fullmatch(name) for name in kept)
            self._expect(right, f"{what}: left {kept}", found, after)
        else:
            self.ends["done in spite of it"] += 1
            self._expect(found == after, f"{what}: done, but not right", found, after)

    def _after_death(self, what: str, text: str, now: Found, before: Found) -> None:
        """Hold what must be true where nothing could be written any more, nor be put back.

        It is told, and the next run has all that it takes.
        """
        dead = what.startswith("dead")
        self._expect(dead, f"{what}: {text.strip()}: something is left", now, before)
        now, before = owners_open(now), owners_open(before)
        changed = [n for n in {*now, *before} if now.get(n) != before.get(n)]
        ours = [n for n in changed if TEMPORARY.fullmatch(n) or n == f"tree/{UNDO_LOG}"]
        if len(ours) == len(changed):
            self.ends["refused, temporary files stay"] += 1
            return
        self.ends["refused, and told that it could not be undone"] += 1
        self._expect("could not be undone" in text, f"{what}: {text}", now, before)

    def _after_kill(self, what: str, now: Found, before: Found, after: Found) -> None:
        """Hold what must be true even before anybody repairs anything."""
        outside = "cache.so" if self.scene == "tree" else None
        for name, (_, content) in before.items():
            if name == outside or name.endswith(".whl"):
                whole = {content[0]}
                if name.startswith("out/"):
                    whole.add(after[name][1][0])
                found = now.get(name, (0, (b"",)))[1][0]
                self._expect(found in whole, f"{what}: {name} is a part", len(found), "old or new")

    def _expect(self, right: object, sentence: str, found: Any, wanted: Any) -> None:  # noqa: ANN401
        if right:
            return
        if isinstance(found, dict):
            names = [n for n in {*found, *wanted} if found.get(n) != wanted.get(n)]
            sentence += f" ({', '.join(sorted(names)[:5])})"
        self.bad.append(sentence[:600])


def _main() -> None:
    path, scene, linker, folder, mode, *code = sys.argv[1:]
    os.environ["TMPDIR"] = os.path.join(folder, "work/tmp")
    if scene.startswith("large"):  # whatever this machine has
        os.sched_getaffinity = lambda _: {0, 1, 2}
    points = Points(path, scene, linker, folder)
    found = points.every(mode, int(code[0]) if code else 0)
    json.dump(
        {
            "points": [(point.name, point.kind) for point in found],
            "varying": points.varying,
            "ends": points.ends,
            "bad": points.bad,
            "child": points.child,
            "root": os.path.join(points.work, ""),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    _main()

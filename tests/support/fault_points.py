"""The command, failing or killed at each of its calls that write, under `faulty_calls.c`.

``python -m tests.support.fault_points SHIM SCENE LINKER FOLDER MODE [CODE]``
runs ``patch`` once undisturbed, and then once for every call that changes a
file, each time in a fresh scene. It prints JSON: the names of the calls, how
the runs ended, and a sentence for each outcome that breaks the promise.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import re
import shutil
import signal
import stat
import sys
from collections import Counter
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, Any

from nix_manylinux.cli import main
from nix_manylinux.files import UNDO_LOG

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
MODES = {"count": 1, "fail": 2, "kill": 3, "full": 4, "short": 5, "terminate": 6, "dead": 7}
#: number, mode, code, count, hits and room of the names: the order of faulty_calls.c.
_MODE, _NUMBER, _CODE, _COUNT, _HITS, _ROOM = range(6)


class Shim:
    """The preloaded library's memory, shared with the processes that are forked."""

    def __init__(self, path: str) -> None:
        self._map = mmap.mmap(-1, 6 * 8 + (1 << 16))
        self._fields = (ctypes.c_long * 6).from_buffer(self._map)
        library = ctypes.CDLL(path)
        library.fault_state(ctypes.c_void_p(ctypes.addressof(self._fields)))

    def set(self, mode: int, number: int = -1, code: int = 0) -> None:
        """Arm it."""
        for index, value in ((_NUMBER, number), (_CODE, code), (_COUNT, 0), (_HITS, 0), (_ROOM, 0)):
            self._fields[index] = value
        self._fields[_MODE] = mode

    @property
    def hits(self) -> int:
        """How often it struck."""
        return self._fields[_HITS]

    def names(self) -> list[str]:
        """Give the calls that were counted, in order."""
        return self._map[48 : 48 + self._fields[_ROOM]].decode().split()


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


class Points:
    """One scene and one kind of fault, at every point."""

    def __init__(self, shim: Shim, scene: str, linker: str, folder: str) -> None:
        self.shim = shim
        self.scene = scene
        self.folder = folder
        self.given = os.path.join(folder, "given")
        self.work = os.path.join(folder, "work")
        self.words = [
            "patch", "--dynamic-linker", linker, "--libs", os.path.join(folder, "libs"),
            os.path.join(self.work, self._wheel() if scene == "wheel" else "tree"),
        ]  # fmt: skip
        if scene == "wheel":
            self.words += ["--output-dir", os.path.join(self.work, "out")]
        # Nothing is read-only to root.
        self.is_nobodys = scene == "read-only" and os.geteuid() == 0
        self.names: list[str] = []
        self.child = 0
        self.hits = 0
        self.ends: Counter[str] = Counter()
        self.bad: list[str] = []

    def _wheel(self) -> str:
        return next(name for name in os.listdir(self.given) if name.endswith(".whl"))

    def fresh(self) -> None:
        """Make the scene again; hard links and times are kept."""
        shutil.rmtree(self.work, ignore_errors=True)
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
            except SystemExit as error:
                status = int(error.code or 0)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the parent tells
                os.write(2, repr(error).encode())
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        self.names, self.hits = self.shim.names(), self.shim.hits
        self.shim.set(0)
        size = os.fstat(talk).st_size
        text = os.pread(talk, size, 0).decode(errors="replace")
        os.close(talk)
        return (-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)), text

    def import_everything(self) -> None:
        """Run once in this process, so that the others have no module to load."""
        import nix_manylinux.report  # noqa: F401 - what a refusal needs

        self.fresh()
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
            assert main(self.words) == 0

    def every(self, mode: str, code: int) -> list[str]:
        """Strike at every point; gives the names of the points."""
        self.import_everything()
        self.fresh()
        before = snapshot(self.work)
        status, text = self.run(lambda: self.shim.set(MODES["count"]))
        names = self.names
        assert status == 0, text
        after = bytes_of(snapshot(self.work))
        assert after != bytes_of(before)
        if mode == "count":
            return names
        before = {}
        for number, name in enumerate(names):
            if not before or snapshot(self.work) != before:
                self.fresh()
                before = snapshot(self.work)
            status, text = self.run(lambda n=number: self.shim.set(MODES[mode], n, code))  # type: ignore[misc]
            what = f"{mode} {errno.errorcode.get(code, '')} at {number} ({name})"
            if not self.hits:
                self.ends["not reached"] += 1
            self._judge(what, (status, text), before, after)
        return names

    def _judge(self, what: str, ended: tuple[int, str], before: Found, after: Found) -> None:
        status, text = ended
        killed = what.startswith("kill")
        now = snapshot(self.work)
        if status == 0:
            found = bytes_of(now)
            undeleted = what.endswith(("(unlink)", "(unlinkat)", "(rmdir)", "(chmod)"))
            if (undeleted or what.startswith("dead")) and found != after:
                # What can't be deleted is named as ours, and the next run deletes it.
                self.ends["done, a temporary file stays"] += 1
                kept = [n for n in found if n not in after]
                right = all(TEMPORARY.fullmatch(name) for name in kept)
                self._expect(right, f"{what}: left {kept}", found, after)
            else:
                self.ends["done in spite of it"] += 1
                self._expect(found == after, f"{what}: done, but not right", found, after)
        elif status == 1:
            self._expect("error:" in text, f"{what}: no error was told", text, "")
            if now == before:
                self.ends["refused, as before"] += 1
                return  # and a run of this very state has come out right
            self._after_death(what, text, now, before)
        elif status == TERMINATED and what.startswith("terminate"):
            # Where there is no way back any more, it is done, and says that it was ended.
            self.ends["ended, as before" if now == before else "ended, done"] += 1
            right = now == before or bytes_of(now) == after
            self._expect(right, f"{what}: neither the old state nor the new", now, before)
            if now == before:
                return
        elif status == -signal.SIGKILL and killed:
            self.ends["killed"] += 1
            self._after_kill(what, now, before, after)
        else:
            self.bad.append(f"{what}: status {status}: {text}")
            return
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
    shim = Shim(path)
    os.environ["TMPDIR"] = os.path.join(folder, "work/tmp")
    points = Points(shim, scene, linker, folder)
    names = points.every(mode, int(code[0]) if code else 0)
    found = {"points": names, "ends": points.ends, "bad": points.bad, "child": points.child}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    _main()

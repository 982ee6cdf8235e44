"""Plans carried out: all of it or nothing, and no byte outside the tree."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.support.signals import signals_as_exceptions
from tests.support.trees import Appender, plan_all, snapshot
from tests.support.wheels import row, tiny_library

from nix_manylinux.api import patch_wheel_tree
from nix_manylinux.base.errors import BadTree, EditFailed
from nix_manylinux.base.files import UNDO_LOG
from nix_manylinux.resolve.plan import Options
from nix_manylinux.target.target import from_running
from nix_manylinux.tree.libraries import LibraryIndex
from nix_manylinux.write.apply import apply_plan
from nix_manylinux.write.lock import locked_trees

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIBRARY = tiny_library()
MARK = b"\n/nix/store/x/lib"
SITE = "lib/python3.11/site-packages"
RECORD = f"{SITE}/made-1.0.dist-info/RECORD"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give an installed tree of two libraries, a program and a RECORD that lists them."""
    root = tmp_path / "tree"
    names = [f"{SITE}/made/a.so", f"{SITE}/made/b.so", "bin/tool"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(LIBRARY)
    (root / "bin/tool").chmod(0o755)
    (root / RECORD).parent.mkdir()
    rows = [row(os.path.relpath(name, SITE), LIBRARY) for name in names]
    (root / RECORD).write_text("".join(f"{line}\n" for line in rows) + "made/gone.py,,\n")
    return root


def hold(path: Path) -> mmap.mmap:
    """Map a file as a loader would."""
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def test_edits_in_place_and_makes_record_true(tree: Path) -> None:
    """Plain files keep their inodes and modes; RECORD has the new hashes and loses gone rows."""
    before = snapshot(tree)
    editor = Appender()
    with apply_plan(plan_all(tree), edit_file=editor) as applied:
        pass
    assert editor.labels == ["bin/tool", f"{SITE}/made/a.so", f"{SITE}/made/b.so"]
    assert [edit.how for edit in applied.edits] == ["in place"] * 3
    assert applied.edits[0].size_after == len(LIBRARY + MARK)
    assert (applied.stale_rows, applied.dropped_rows) == (0, 1)
    after = snapshot(tree)
    assert after.keys() == before.keys()
    for name in editor.labels:
        assert name is not None
        assert after[name] == (*before[name][:3], LIBRARY + MARK)
    rows = (tree / RECORD).read_text().splitlines()
    assert rows == [
        row("made/a.so", LIBRARY + MARK),
        row("made/b.so", LIBRARY + MARK),
        row("../../../bin/tool", LIBRARY + MARK),
    ]


def test_a_second_run_changes_nothing(tree: Path) -> None:
    """What is as planned already is no edit, and no byte, time or inode changes."""
    apply_plan(plan_all(tree), edit_file=Appender()).close()
    before = {name: os.stat(tree / name) for name in snapshot(tree)}
    applied = apply_plan(plan_all(tree), edit_file=Appender())
    applied.close()
    assert applied.edits == ()
    after = {name: os.stat(tree / name) for name in snapshot(tree)}
    for name, status in before.items():
        assert (status.st_ino, status.st_mtime_ns) == (after[name].st_ino, after[name].st_mtime_ns)


def test_hard_links_beyond_the_tree_keep_their_bytes(tree: Path) -> None:
    """An inode that others share is copied; its names in the tree stay links of one another."""
    inside, cache = tree / f"{SITE}/made/a.so", tree.parent / "cache.so"
    os.link(inside, cache)
    os.link(inside, tree / "bin/also.so")
    (tree / "bin/soft.so").symlink_to("also.so")
    os.chmod(cache, 0o640)
    os.utime(cache, ns=(1, 2))
    before = os.stat(cache)
    applied = apply_plan(plan_all(tree), edit_file=Appender())
    applied.close()
    hows = {edit.label: edit.how for edit in applied.edits}
    assert hows == {
        "bin/also.so": "copied",
        f"{SITE}/made/b.so": "in place",
        "bin/tool": "in place",
    }
    after = os.stat(cache)
    assert cache.read_bytes() == LIBRARY
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_mode,
    )
    assert after.st_nlink == 1
    assert os.path.samefile(inside, tree / "bin/also.so")
    assert inside.read_bytes() == (tree / "bin/soft.so").read_bytes() == LIBRARY + MARK
    assert stat.S_IMODE(inside.stat().st_mode) == 0o640
    assert row("made/a.so", LIBRARY + MARK) in (tree / RECORD).read_text()


@pytest.mark.parametrize("leases", [True, False])
def test_a_mapped_file_is_copied(
    leases: bool,  # noqa: FBT001
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that has a library mapped keeps its bytes, whether leases can be had or not."""
    if not leases:

        def refuse(*_arguments: object) -> int:
            raise OSError(errno.EINVAL, "no leases")

        monkeypatch.setattr(fcntl, "fcntl", refuse)
    mapped = tree / f"{SITE}/made/a.so"
    with hold(mapped) as view:
        applied = apply_plan(plan_all(tree), edit_file=Appender())
        applied.close()
        assert view[:] == LIBRARY
    assert {edit.label for edit in applied.edits if edit.how == "copied"} == {f"{SITE}/made/a.so"}
    assert mapped.read_bytes() == LIBRARY + MARK


def test_a_running_program_is_copied(tree: Path) -> None:
    """A program that runs goes on running, and its file is edited all the same."""
    tool = tree / "bin/tool"
    shutil.copy(shutil.which("sleep") or "", tool)
    with subprocess.Popen([str(tool), "60"]) as process:
        try:
            while os.readlink(f"/proc/{process.pid}/exe") != str(tool):
                time.sleep(0.01)
            applied = apply_plan(plan_all(tree), edit_file=Appender())
            applied.close()
            assert process.poll() is None
        finally:
            process.kill()
    assert applied.edits[0].how == "copied"
    assert tool.read_bytes().endswith(MARK)
    assert os.access(tool, os.X_OK)


def test_what_can_not_be_written_in_place_is_copied(tree: Path) -> None:
    """ETXTBSY and EACCES from the editor lead to a copy, other errors to a failure."""
    codes = iter([errno.ETXTBSY, errno.EACCES, errno.EIO])

    def refuse(path: str) -> None:
        if ".tmp" not in path:
            code = next(codes)
            raise EditFailed("no", where=path) from OSError(code, os.strerror(code))

    before = snapshot(tree)
    with pytest.raises(EditFailed, match="no"):
        apply_plan(plan_all(tree), edit_file=Appender(before=refuse))
    assert snapshot(tree) == before
    assert next(codes, None) is None


def test_read_only_files_and_folders_keep_their_modes(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files 0444 and 0555 in folders 0555, as a store has them, are edited; modes stay."""
    names = [f"{SITE}/made/a.so", f"{SITE}/made", "bin/tool", "bin"]
    for name in names:
        (tree / name).chmod(0o444 if name.endswith(".so") else 0o555)
    real = os.access
    # Root may write anywhere: answer as for anybody else.
    monkeypatch.setattr(
        os, "access", lambda path, mode: real(path, mode) and os.stat(path).st_mode & 0o200 != 0
    )
    applied = apply_plan(plan_all(tree), edit_file=Appender())
    hows = {edit.label: edit.how for edit in applied.edits}
    assert hows == {
        "bin/tool": "copied",
        f"{SITE}/made/a.so": "copied",
        f"{SITE}/made/b.so": "in place",
    }
    applied.close()
    modes = [stat.S_IMODE((tree / name).stat().st_mode) for name in names]
    assert modes == [0o444, 0o555, 0o555, 0o555]
    assert (tree / "bin/tool").read_bytes() == LIBRARY + MARK


def test_extended_attributes_go_with_the_copy(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copied file has the attributes of the old one; one that may not be set is no failure."""
    file = tree / "bin/tool"
    os.link(file, tree.parent / "cache")
    # Not every file system has attributes: they are kept by inode here.
    kept = {os.stat(file).st_ino: {"user.note": b"kept", "security.x": b"refused"}}

    def set_attribute(place: str | int, name: str, value: bytes) -> None:
        if name.startswith("security."):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        kept.setdefault(os.stat(place).st_ino, {})[name] = value

    monkeypatch.setattr(os, "listxattr", lambda path, **_: list(kept.get(os.stat(path).st_ino, {})))
    monkeypatch.setattr(os, "getxattr", lambda path, name, **_: kept[os.stat(path).st_ino][name])
    monkeypatch.setattr(os, "setxattr", set_attribute)
    apply_plan(plan_all(tree), edit_file=Appender()).close()
    assert kept[os.stat(file).st_ino] == {"user.note": b"kept"}


def fail(_path: str) -> None:
    """Fail as an editor does."""
    raise EditFailed("no layout could be proved safe")


def interrupt(_path: str) -> None:
    """Be interrupted from within."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("fault", [fail, interrupt])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_failure_puts_every_byte_back(
    fault: Callable[[str], None], number: int, tree: Path
) -> None:
    """Whichever edit fails, in place or as a copy: bytes, inodes, links and modes are back."""
    os.link(tree / f"{SITE}/made/a.so", tree.parent / "cache")
    os.link(tree / f"{SITE}/made/a.so", tree / "bin/a-link.so")
    before, outside = snapshot(tree), snapshot(tree.parent)
    calls = iter(range(1, 9))

    def sometimes(path: str) -> None:
        if next(calls) == number:
            fault(path)

    with pytest.raises((EditFailed, KeyboardInterrupt)):
        apply_plan(plan_all(tree), edit_file=Appender(before=sometimes))
    assert snapshot(tree) == before
    assert snapshot(tree.parent) == outside


def test_a_later_failure_can_still_undo(tree: Path) -> None:
    """Until `close`, whoever checks the result can have everything back, RECORD included."""
    os.link(tree / f"{SITE}/made/a.so", tree.parent / "cache")
    before = snapshot(tree)
    applied = apply_plan(plan_all(tree), edit_file=Appender())
    assert snapshot(tree) != before
    applied.undo()
    assert snapshot(tree) == before
    applied.undo()
    with pytest.raises(ZeroDivisionError), apply_plan(plan_all(tree), edit_file=Appender()):
        _ = 1 / 0
    assert snapshot(tree) == before


def test_a_record_that_can_not_be_read_undoes_the_edits(tree: Path) -> None:
    """RECORD comes last, and its failure takes the edits back."""
    (tree / RECORD).write_text('"open')
    before = snapshot(tree)
    with pytest.raises(BadTree, match="not CSV"):
        apply_plan(plan_all(tree), edit_file=Appender())
    assert snapshot(tree) == before


def test_what_can_not_be_undone_is_told(tree: Path) -> None:
    """A step back that fails is named, and the others are taken all the same."""

    def broken() -> None:
        raise OSError(errno.EIO, "Input/output error")

    calls = iter(range(9))

    def on_undo() -> None:
        if next(calls) == 0:
            broken()

    applied = apply_plan(plan_all(tree), edit_file=Appender(on_undo=on_undo))
    with pytest.raises(EditFailed, match=r"could not be undone: .*Input/output error"):
        applied.undo()
    assert (tree / "bin/tool").read_bytes() == LIBRARY


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_undoes_everything_first(number: signal.Signals, tree: Path) -> None:
    """A signal waits for the file at hand, everything is put back, and then it is raised."""
    before = snapshot(tree)
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    editor = Appender(
        after=lambda _path: os.kill(os.getpid(), number),
        # A second one, while the first one's undoing is on its way, waits.
        on_undo=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit) as caught:
        apply_plan(plan_all(tree), edit_file=editor)
    if number != signal.SIGINT:
        assert caught.value.args == (128 + number,)
    assert len(editor.labels) == 1
    assert snapshot(tree) == before
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_a_signal_between_apply_and_close_is_raised_at_once(tree: Path) -> None:
    """While the result is verified a signal gets through, and the block undoes."""
    before = snapshot(tree)

    def verify() -> None:
        with apply_plan(plan_all(tree), edit_file=Appender()):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

    with pytest.raises(SystemExit):
        verify()
    assert snapshot(tree) == before


def test_signals_as_exceptions(tmp_path: Path) -> None:
    """SIGTERM runs every finally on its way out, around an apply as well, and handlers are back."""
    before = signal.getsignal(signal.SIGTERM)
    cleaned = []

    def work(number: int) -> None:
        with signals_as_exceptions():
            try:
                with apply_plan(plan_all(tmp_path), edit_file=Appender()):
                    pass
                os.kill(os.getpid(), number)
                time.sleep(5)
            finally:
                cleaned.append(number)

    with pytest.raises(SystemExit) as caught:
        work(signal.SIGTERM)
    assert caught.value.code == 143
    with pytest.raises(KeyboardInterrupt):
        work(signal.SIGINT)
    assert cleaned == [signal.SIGTERM, signal.SIGINT]
    assert signal.getsignal(signal.SIGTERM) is before


def test_ignored_signals_stay_ignored(tree: Path) -> None:
    """Under nohup SIGHUP stays without effect."""
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        hang_up = Appender(after=lambda _path: os.kill(os.getpid(), signal.SIGHUP))
        apply_plan(plan_all(tree), edit_file=hang_up).close()
    finally:
        signal.signal(signal.SIGHUP, old)
    assert (tree / "bin/tool").read_bytes() == LIBRARY + MARK


def test_a_real_process_that_is_terminated(tree: Path) -> None:
    """A process that gets SIGTERM in the middle puts the tree back and ends with status 143."""
    before = snapshot(tree)
    program = f"""
import sys, time
sys.path[:0] = {sys.path!r}
from nix_manylinux.write.apply import apply_plan
from tests.support.trees import Appender, plan_all
def slow(path):
    print(path, flush=True)
    time.sleep(0.3)
apply_plan(plan_all({str(tree)!r}), edit_file=Appender(after=slow)).close()
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
    assert process.returncode == 143
    assert snapshot(tree) == before


def test_two_runs_at_once(tree: Path) -> None:
    """The second patch of a tree is refused while the first has not closed, and may run then."""
    with locked_trees([str(tree)]):
        with (
            pytest.raises(BadTree, match="another patch of this tree is running") as caught,
            locked_trees([str(tree.parent / ".." / tree.parent.name / tree.name)]),
        ):
            pass
        first = apply_plan(plan_all(tree), edit_file=Appender())
        with pytest.raises(BadTree, match="a patch of it is running"):
            plan_all(tree)
        first.close()
    assert (caught.value.where, bool(caught.value.hint)) == (str(tree), True)
    with locked_trees([str(tree)]):
        apply_plan(plan_all(tree), edit_file=Appender()).close()


def test_runs_for_a_tree_and_a_folder_in_it(tree: Path) -> None:
    """Neither runs while the other does: they have the same files. Trees beside each other do."""
    inner, beside = tree / SITE, tree.parent / "beside"
    beside.mkdir()
    running = "another patch of this tree is running"
    for first, second in ((tree, inner), (inner, tree)):
        with locked_trees([str(first)]), locked_trees([str(beside)]):
            with pytest.raises(BadTree, match=running) as caught, locked_trees([str(second)]):
                pass
            assert caught.value.where == str(tree)


@pytest.mark.parametrize("above", [True, False])
def test_a_lock_of_who_has_run_us_is_held_for_us(*, above: bool, tree: Path) -> None:
    """`flock . nix-manylinux patch .venv` would wait for itself; whoever else holds it is heard."""
    locks = (
        "import sys; from nix_manylinux.write.lock import locked_trees\n"
        "with locked_trees([sys.argv[1]]): print('locked')"
    )
    command = [sys.executable, "-c", locks, str(tree)]
    folder = tree.parent if above else tree
    done = subprocess.run(
        ["flock", str(folder), *command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "locked\n"), done.stderr
    holder = ["flock", str(folder), "sh", "-c", "echo held; read _"]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        other.communicate(b"\n")
    assert "another patch of this tree is running" in done.stderr


@pytest.mark.parametrize("killed", ["tree", "folder"])
def test_a_killed_run_for_a_tree_and_a_folder_in_it(killed: str, tree: Path) -> None:
    """Its log would put old bytes over what a run for the other has written: it comes first."""
    inner = tree / SITE
    half, other = (tree, inner) if killed == "tree" else (inner, tree)
    (half / UNDO_LOG).write_bytes(b"nix-manylinux undo 1\n")
    target, libraries = from_running(), LibraryIndex.from_directories([])
    options = Options(missing="warn")
    with pytest.raises(BadTree, match="was killed before it was done") as caught:
        patch_wheel_tree(other, target=target, libraries=libraries, options=options)
    assert caught.value.where == str(half)
    for root in (half, other):
        patch_wheel_tree(root, target=target, libraries=libraries, options=options)
    assert not (half / UNDO_LOG).exists()


@pytest.mark.parametrize("change", ["contents", "gone", "link", "other"])
def test_a_file_that_changed_since_it_was_read_is_refused(change: str, tree: Path) -> None:
    """Whoever writes, deletes or replaces a file after the scan makes the run fail untouched."""
    plan = plan_all(tree)
    file = tree / f"{SITE}/made/b.so"
    if change == "contents":
        file.write_bytes(LIBRARY + b"!")
    else:
        file.rename(tree.parent / "elsewhere")
        if change == "link":
            file.symlink_to(tree.parent / "elsewhere")
        elif change == "other":
            file.write_bytes(LIBRARY)
    before, outside = snapshot(tree), snapshot(tree.parent)
    with pytest.raises(BadTree, match="changed since it was read") as caught:
        apply_plan(plan, edit_file=Appender())
    assert caught.value.where == f"{SITE}/made/b.so"
    assert snapshot(tree) == before
    assert snapshot(tree.parent) == outside


def test_leftovers_of_a_killed_run_go(tree: Path) -> None:
    """What a killed run left is deleted by the next one."""
    left = tree / "bin/.nix-manylinux-0123456789abcdef.tmp"
    left.write_bytes(LIBRARY)
    apply_plan(plan_all(tree), edit_file=Appender()).close()
    assert not left.exists()


def test_trees_that_overlap(tree: Path) -> None:
    """A file of two trees is edited once, and every RECORD that lists it is true."""
    applied = apply_plan(plan_all(tree, tree / "lib", tree), edit_file=Appender())
    applied.close()
    assert len(applied.edits) == 3
    assert (tree / f"{SITE}/made/a.so").read_bytes() == LIBRARY + MARK
    assert row("made/a.so", LIBRARY + MARK) in (tree / RECORD).read_text()


def test_outside_the_main_thread(tree: Path) -> None:
    """A thread that may set no handlers can apply a plan."""
    done: list[int] = []

    def work() -> None:
        with apply_plan(plan_all(tree), edit_file=Appender()) as applied:
            done.append(len(applied.edits))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [3]


def test_a_tree_that_is_gone(tree: Path) -> None:
    """A root that vanished is refused, whenever it vanishes."""
    plan = plan_all(tree)
    tree.rename(tree.parent / "moved")
    with pytest.raises(BadTree, match="can't be opened"), locked_trees([str(tree)]):
        pass
    with pytest.raises(BadTree, match="changed since it was read"):
        apply_plan(plan, edit_file=Appender())

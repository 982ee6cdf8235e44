"""`install_wheel`, held against PyPA's installer followed by a patch, and against faults."""

from __future__ import annotations

import contextlib
import csv
import errno
import itertools
import os
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import ElfBuilder
from tests.support.faults import count_calls, killed
from tests.support.layouts import LAYOUTS, TAG, layouts
from tests.support.trees import snapshot
from tests.support.wheels import MadeWheel

from nix_manylinux import (
    BadTree,
    BadWheel,
    IncompatibleWheel,
    LibraryIndex,
    NixManylinuxError,
    Target,
    Unresolved,
    install_wheel,
    patch_wheel_tree,
)
from nix_manylinux.base.digest import digest_of
from nix_manylinux.cli.main import main
from nix_manylinux.write.install import INSTALL_LOG
from nix_manylinux.write.lock import locked_trees

if TYPE_CHECKING:
    from pathlib import Path

TARGET = Target.from_interpreter(sys.executable)
SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> ElfBuilder:
    """Build each file once for all tests."""
    return ElfBuilder(tmp_path_factory.mktemp("install-elf"))


@pytest.fixture(scope="session")
def store(files: ElfBuilder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a library directory with what the extension needs."""
    folder = tmp_path_factory.mktemp("install-store") / "lib"
    folder.mkdir()
    shutil.copy(files.library("libneeded.so.1", soname="libneeded.so.1"), folder)
    return folder


@pytest.fixture(scope="session")
def extension(files: ElfBuilder) -> bytes:
    """Give a library that has to be linked."""
    return files.library("ext.so", needed=["libneeded.so.1"]).read_bytes()


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Give mode and contents of each file; whoever installed it is left out, as is its row."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            name, content = str(path.relative_to(root)), path.read_bytes()
            if path.name == "INSTALLER":
                continue
            if path.name == "RECORD":
                lines = content.splitlines(keepends=True)
                content = b"".join(line for line in lines if b"/INSTALLER," not in line)
            found[name] = path.stat().st_mode, content
    return found


def reference(wheel: str, prefix: Path, store: Path, levels: tuple[int, ...] = ()) -> None:
    """Install with PyPA's installer as nixpkgs calls it, then patch the tree."""
    words = [sys.executable, "-W", "ignore", "-m", "installer", "--prefix", str(prefix)]
    words += [f"--compile-bytecode={level}" for level in levels] or ["--no-compile-bytecode"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800", "PYTHONHASHSEED": "0"}
    subprocess.run([*words, wheel], check=True, env=environment)
    libraries = LibraryIndex.from_directories([store])
    patch_wheel_tree(prefix, target=TARGET, libraries=libraries)


def install(*wheels: str, prefix: Path, store: Path, levels: tuple[int, ...] = ()) -> None:
    """Install as the command does."""
    install_wheel(
        wheels,
        prefix=prefix,
        target=TARGET,
        libraries=LibraryIndex.from_directories([store]),
        compile_levels=levels,
        environment={"SOURCE_DATE_EPOCH": "315532800"},
    )


@pytest.mark.parametrize("number", range(LAYOUTS))
def test_the_same_as_an_installer_and_a_patch(
    number: int, extension: bytes, store: Path, tmp_path: Path
) -> None:
    """Every byte and every mode, bytecode included, but for INSTALLER."""
    wheel = layouts(extension)[number].write(tmp_path)
    prefix = tmp_path / "prefix"
    reference(wheel, prefix, store, (0, 1, 2))
    expected = tree(prefix)
    shutil.rmtree(prefix)
    install(wheel, prefix=prefix, store=store, levels=(0, 1, 2))
    assert tree(prefix) == expected
    assert (prefix / SITE / "made-1.0.dist-info/INSTALLER").read_text() == "nix-manylinux\n"
    assert sum(name.endswith(".pyc") for name in expected) >= 3
    # What is right from the start is left alone.
    before = snapshot(prefix)
    libraries = LibraryIndex.from_directories([store])
    patch_wheel_tree(prefix, target=TARGET, libraries=libraries)
    assert snapshot(prefix) == before


def test_a_refusal_leaves_nothing(extension: bytes, tmp_path: Path) -> None:
    """Without the library there is no prefix; one that was there is as it was."""
    wheel = layouts(extension)[0].write(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    for prefix in (tmp_path / "new", empty):
        with pytest.raises(Unresolved):
            install(wheel, prefix=prefix, store=empty)
    assert not (tmp_path / "new").exists()
    assert list(empty.iterdir()) == []


def test_what_is_there_is_never_replaced(extension: bytes, store: Path, tmp_path: Path) -> None:
    """The same wheel twice is refused; another one joins; old bytecode is no obstacle."""
    wheel = layouts(extension)[0].write(tmp_path)
    prefix = tmp_path / "prefix"
    stale = prefix / SITE / "made/__pycache__"
    stale.mkdir(parents=True)
    name = f"__init__.cpython-{sys.version_info[0]}{sys.version_info[1]}.pyc"
    (stale / name).write_bytes(b"stale")
    install(wheel, prefix=prefix, store=store, levels=(0,))
    assert (stale / name).read_bytes() != b"stale"
    before = snapshot(prefix)
    with pytest.raises(BadTree, match="is there already"):
        install(wheel, prefix=prefix, store=store)
    assert snapshot(prefix) == before
    files = {"other/ext.so": extension}
    other = MadeWheel(name="other", tag=TAG, files=files).write(tmp_path)
    install(other, prefix=prefix, store=store)
    assert (prefix / SITE / "made/ext.so").exists()
    assert (prefix / SITE / "other/ext.so").exists()


def test_several_wheels_at_once(files: ElfBuilder, store: Path, tmp_path: Path) -> None:
    """They share one plan; a file that both bring must be the same one."""
    inner = files.library("libinner.so", soname="libinner.so").read_bytes()
    user = files.library("user.so", needed=["libinner.so"], runpath="$ORIGIN/../inner").read_bytes()
    one = MadeWheel(
        name="inner", tag=TAG, files={"ns/__init__.py": b"", "inner/libinner.so": inner}
    )
    two = MadeWheel(name="user", tag=TAG, files={"ns/__init__.py": b"", "user/user.so": user})
    prefix = tmp_path / "prefix"
    install(one.write(tmp_path), two.write(tmp_path), prefix=prefix, store=store)
    assert (prefix / SITE / "user/user.so").read_bytes() == user
    records = [(prefix / SITE / f"{n}-1.0.dist-info/RECORD").read_text() for n in ("inner", "user")]
    assert all("ns/__init__.py" in record for record in records)
    two.files["ns/__init__.py"] = b"differs = 1\n"
    with pytest.raises(BadWheel, match="a different file for the same place"):
        install(one.write(tmp_path), two.write(tmp_path), prefix=tmp_path / "2", store=store)
    assert not (tmp_path / "2").exists()


def untrue_rows(prefix: Path) -> list[str]:
    """Give the paths that a RECORD below a prefix has twice, or with another hash than theirs."""
    wrong = []
    for record in (prefix / SITE).glob("*.dist-info/RECORD"):
        rows = list(csv.reader(record.read_text().splitlines()))
        wrong += [path for path, n in Counter(path for path, _, _ in rows).items() if n > 1]
        for path, digest, _ in rows:
            data = (prefix / SITE / path).read_bytes()
            wrong += [path] if digest and digest_of([data]) != digest else []
    return wrong


@pytest.mark.parametrize("command", ["entry points", "scripts"])
def test_commands_that_two_wheels_have(command: str, store: Path, tmp_path: Path) -> None:
    """One of the same contents is shared, with true RECORDs; another one is refused."""

    def wheel(name: str, text: str) -> str:
        path = f"{name}-1.0.dist-info/entry_points.txt"
        content = f"[console_scripts]\nboard = {text}:main\n"
        if command == "scripts":
            path, content = f"{name}-1.0.data/scripts/board", f"#!python\nprint({text!r})\n"
        return MadeWheel(name=name, tag=TAG, files={path: content.encode()}).write(tmp_path)

    prefix = tmp_path / "prefix"
    install(wheel("one", "board"), wheel("two", "board"), prefix=prefix, store=store)
    assert (prefix / "bin/board").read_text().startswith(f"#!{sys.executable}\n")
    assert not untrue_rows(prefix)
    with pytest.raises(BadWheel, match=r"board: one-1\.0-.*whl has a different file"):
        install(wheel("one", "board"), wheel("two", "other"), prefix=tmp_path / "2", store=store)
    assert not (tmp_path / "2").exists()


def test_files_that_a_wheel_has_and_we_write(store: Path, tmp_path: Path) -> None:
    """An entry point comes before a script of its name, as for pip and uv; INSTALLER is ours."""
    files_ = {
        "made-1.0.data/scripts/board": b"#!python\n",
        "made-1.0.dist-info/entry_points.txt": b"[console_scripts]\nboard = made:main\n",
        "made-1.0.dist-info/INSTALLER": b"conda\n",
    }
    prefix = tmp_path / "prefix"
    install(MadeWheel(tag=TAG, files=files_).write(tmp_path), prefix=prefix, store=store)
    assert "from made import main" in (prefix / "bin/board").read_text()
    assert (prefix / SITE / "made-1.0.dist-info/INSTALLER").read_text() == "nix-manylinux\n"
    assert not untrue_rows(prefix)


def test_into_a_virtual_environment(extension: bytes, store: Path, tmp_path: Path) -> None:
    """Folders are the environment's own, and its scripts name its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    wheel = layouts(extension)[4].write(tmp_path)
    words = ["install", wheel, "--prefix", str(tmp_path / "venv"), "--libs", str(store), "-q"]
    assert main(words) == 0
    script = (tmp_path / "venv/bin/made").read_text()
    assert script.startswith(f"#!{tmp_path / 'venv/bin/python'}\n")
    code = "import made, importlib.metadata as m; print(m.version('made'))"
    done = subprocess.run(
        [tmp_path / "venv/bin/python", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1.0\n"


def test_what_is_told_of_a_prefix(
    extension: bytes,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """How it is used; what was asked for, not what a wheel carries; a folder's wheels as typed."""
    files = {
        "made/__init__.py": b"def run():\n    print('ran')\n",
        "made-1.0.dist-info/entry_points.txt": b"[console_scripts]\nmade = made:run\n",
        "made/inner-2.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: inner\nVersion: 2.0\n",
        "made/ext.so": extension,
    }
    (tmp_path / "a b").mkdir()
    MadeWheel(files=files, tag=TAG).write(tmp_path / "a b")
    for name in "xyz":
        MadeWheel(name=name, files={f"{name}.py": b""}).write(tmp_path / "a b")
    monkeypatch.chdir(tmp_path)
    wheels = sorted(str(each.relative_to(tmp_path)) for each in (tmp_path / "a b").iterdir())
    words = ["--prefix", "p", "--python", sys.executable]
    for given, said in ((wheels, "'a b'/*.whl --"), (wheels[:3], "'a b/made-1.0-")):
        assert main(["install", *given, *words]) == 1
        assert f"nix-manylinux install {said}" in capsys.readouterr().err
    assert main(["install", *wheels, *words, "--libs", str(store)]) == 0
    said = capsys.readouterr().err
    assert "installed made 1.0, x 1.0, y 1.0, z 1.0\n" in said
    name, _, value = said.partition("find it with ")[2].strip().partition("=")
    ran = subprocess.run(["p/bin/made"], env={name: value}, capture_output=True, check=True)
    assert ran.stdout == b"ran\n"


def test_commands_of_an_environment_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are started by the Python that they are installed for, wherever that is from."""
    subprocess.run(["uv", "venv", "-q", "--python", sys.executable, tmp_path / "v"], check=True)
    linker = os.path.realpath(TARGET.dynamic_linker)
    monkeypatch.setenv("NIX_STORE", os.path.dirname(linker))
    entry = b"[console_scripts]\nmade = made:run\n"
    files = {"made.py": b"def run(): 0\n", "made-1.0.dist-info/entry_points.txt": entry}
    wheel = MadeWheel(files=files).write(tmp_path)
    python = str(tmp_path / "v/bin/python")
    words = ["--prefix", str(tmp_path / "v"), "--python", python, "--dynamic-linker", linker]
    assert main(["install", wheel, *words]) == 0
    said = capsys.readouterr().err
    assert "started by another" not in said
    assert "PYTHONPATH" not in said
    subprocess.run([tmp_path / "v/bin/made"], check=True)


def test_another_run_has_made_the_prefix(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who finds it locked leaves it there, empty as it still is."""
    prefix = tmp_path / "prefix"

    def make_folder(path: str, *, hint: str) -> None:
        del hint
        os.mkdir(path)
        locked.enter_context(locked_trees([path]))

    monkeypatch.setattr("nix_manylinux.write.install.make_folder", make_folder)
    wheel = MadeWheel(tag=TAG).write(tmp_path)
    with contextlib.ExitStack() as locked:
        with pytest.raises(BadTree, match="another patch"):
            install(wheel, prefix=prefix, store=store)
        assert prefix.is_dir()
    prefix.rmdir()
    (tmp_path / ".nix-manylinux-undo").touch()
    monkeypatch.undo()
    with pytest.raises(BadTree, match="was killed before it was done"):
        install(wheel, prefix=prefix, store=store)
    assert not prefix.exists()


def test_a_wheel_for_another_python(tmp_path: Path) -> None:
    """Tags are held against the interpreter before anything is made."""
    wheel = MadeWheel(tag="cp36-cp36m-manylinux1_x86_64").write(tmp_path)
    with pytest.raises(IncompatibleWheel):
        install(wheel, prefix=tmp_path / "prefix", store=tmp_path)
    assert not (tmp_path / "prefix").exists()


@pytest.mark.parametrize(
    ("path", "content", "error"),
    [
        ("made-1.0.data/nowhere/x", b"x", "unknown place"),
        ("made-1.0.dist-info/entry_points.txt", b"[console_scripts]\nx = 1:2:3\n", "installed"),
        ("made-1.0.dist-info/entry_points.txt", b"[console_scripts\n", "installed"),
        (
            "made-1.0.dist-info/entry_points.txt",
            f"[console_scripts]\n../{SITE}/x.py = made:main\n".encode(),
            "not below .*/bin",
        ),
        (f"made-1.0.data/data/{SITE}/made/__init__.py", b"x = 1\n", "same place as made/__init__"),
    ],
)
def test_what_no_installer_takes(
    path: str, content: bytes, error: str, store: Path, tmp_path: Path
) -> None:
    """One error of the family, and nothing is left."""
    wheel = MadeWheel(tag=TAG, files={"made/__init__.py": b"", path: content}).write(tmp_path)
    with pytest.raises(BadWheel, match=error):
        install(wheel, prefix=tmp_path / "prefix", store=store)
    assert not (tmp_path / "prefix").exists()


def test_killed_at_any_call(extension: bytes, store: Path, tmp_path: Path) -> None:
    """The next run gives what an undisturbed one gives, and what else is there stays."""
    wheel = layouts(extension)[4].write(tmp_path)
    there = f"{SITE}/there/x.py"

    def make(prefix: Path) -> None:
        (prefix / there).parent.mkdir(parents=True)
        (prefix / there).write_bytes(b"mine\n")

    make(tmp_path / "calm")
    install(wheel, prefix=tmp_path / "calm", store=store)
    expected = {name: value[0] for name, value in snapshot(tmp_path / "calm").items()}
    points = 0
    for number in itertools.count():
        prefix = tmp_path / "killed"
        make(prefix)
        if not killed(lambda: install(wheel, prefix=tmp_path / "killed", store=store), number):
            break
        points += 1
        if (prefix / f"{SITE}/made").exists() and not os.path.lexists(prefix / INSTALL_LOG):
            shutil.rmtree(prefix)  # it was done but for tidying up
            continue
        install(wheel, prefix=prefix, store=store)
        assert {n: v[0] for n, v in snapshot(prefix).items()} == expected, f"killed at {number}"
        shutil.rmtree(prefix)
    assert points > 25


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_any_call_may_fail(code: int, extension: bytes, store: Path, tmp_path: Path) -> None:
    """Disk full and the like: the prefix is as it was, and one of our errors says so."""
    wheel = layouts(extension)[2].write(tmp_path)
    prefix = tmp_path / "prefix"
    points = 0
    for number in itertools.count():
        (prefix / "bin").mkdir(parents=True)
        before = snapshot(prefix)
        felt: list[str] = []

        def fail(name: str, felt: list[str] = felt) -> None:
            felt.append(name)
            raise OSError(code, os.strerror(code), name)

        undo = count_calls(fail, number)
        try:
            install(wheel, prefix=prefix, store=store)
        except NixManylinuxError:
            undo()
            left = {n: v for n, v in snapshot(prefix).items() if not n.startswith(".nix-manylinux")}
            assert left == before, f"failed at call {number}"
        else:
            undo()
            assert (prefix / SITE / "made-1.0.dist-info/RECORD").exists()
        shutil.rmtree(prefix)
        if not felt:
            break
        points += 1
    assert points > 25

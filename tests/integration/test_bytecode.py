"""Bytecode: what an installer gives, on any number of cores, and nothing left of a killed run."""

from __future__ import annotations

import contextlib
import importlib.util
import marshal
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.layouts import SITE, TAG
from tests.support.trees import snapshot
from tests.support.wheels import MadeWheel

from nix_manylinux import LibraryIndex, NixManylinuxError, Target, install_wheel
from nix_manylinux.write.bytecode import compiler

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "src/nix_manylinux/compat/compile_modules.py"
TARGET = Target.from_interpreter(sys.executable)
EPOCH = {"SOURCE_DATE_EPOCH": "315532800"}

#: Compiles for seconds, and is read in no time.
SLOW = b"x = [" + b"(1, 'a', lambda y: y * 2), " * 9_000 + b"]\n"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    """Import the script that is run by the target's interpreter."""
    spec = importlib.util.spec_from_file_location("compile_modules", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


def standard_library() -> list[Path]:
    """List sources of all kinds."""
    folder = Path(sysconfig.get_path("stdlib"))
    found = [*folder.glob("*.py"), *folder.glob("[a-l]*/*.py"), *folder.glob("encodings/*.py")]
    return sorted({path for path in found if "site-packages" not in path.parts})


def code(source: bytes, level: int) -> bytes:
    """Compile, and spell what came of it."""
    return marshal.dumps(compile(source, "x.py", "exec", optimize=level, dont_inherit=True))


def test_levels_are_one_where_nothing_is_asserted(program: ModuleType) -> None:
    """What is taken for the same at levels 0 and 1 is, for the whole standard library."""
    same = 0
    for path in standard_library():
        source = path.read_bytes()
        with contextlib.suppress(SyntaxError, ValueError):
            if not program.may_differ(source):
                same += 1
                assert code(source, 0) == code(source, 1), path
    assert same > 100


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([
            "assert x", "assert_ = 1", "__debug__", "x = __debug__", "if __debug__: pass", "x = 1",
            "'assert'", "__\U0001d41debug__", "f'{__debug__}'", "# assert", "x.__debug__", "\\\n",
            "__de\u1d47ug__", "assert\tx, y", "d = {'a', 'b'}", "def f():", "    assert x",
            "    return __debug__", "print(f\"{'assert x'}\")", "reassert = 1",
        ]),
        max_size=6,
    ),
)  # fmt: skip
def test_nothing_that_differs_is_missed(program: ModuleType, lines: list[str]) -> None:
    """Where the code differs the program says that it may."""
    source = "\n".join([*lines, ""]).encode()
    with contextlib.suppress(SyntaxError):
        if code(source, 0) != code(source, 1):
            assert program.may_differ(source)


def compiled(
    folder: Path, sources: list[Path], *, cores: int, levels: tuple[int, ...] = (0, 1, 2)
) -> dict[str, bytes]:
    """Copy sources into a folder and compile them; gives the bytecode."""
    for number, path in enumerate(sources):
        place = folder / f"{number // 40}"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / f"{number}_{path.name}")
    with compiler(
        python=sys.executable,
        staging=str(folder),
        prefix="/prefix",
        levels=levels,
        cores=cores,
        environment={**os.environ, **EPOCH},
    ) as compile_all:
        compile_all([str(path) for path in sorted(folder.rglob("*.py"))])
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.pyc")}


def test_any_number_of_cores_gives_the_same(tmp_path: Path) -> None:
    """One core or five, and twice: every byte is the same."""
    sources = standard_library()[:150]
    one = compiled(tmp_path / "one", sources, cores=1)
    assert len(one) == 3 * len(sources)
    assert compiled(tmp_path / "five", sources, cores=5) == one
    assert compiled(tmp_path / "again", sources, cores=5) == one


def test_an_installer_compiles_the_same(tmp_path: Path) -> None:
    """A wheel of a part of the standard library, by `python -m installer`: every byte."""
    sources = [path for path in standard_library() if path.parent.name in {"json", "email"}]
    assert len(sources) > 15
    files = {f"made/{path.parent.name}/{path.name}": path.read_bytes() for path in sources}
    wheel = MadeWheel(tag=TAG, files=files).write(tmp_path)
    prefix = tmp_path / "prefix"
    words = [sys.executable, "-W", "ignore", "-m", "installer", "--prefix", str(prefix), wheel]
    subprocess.run(words, check=True, env={**os.environ, **EPOCH, "PYTHONHASHSEED": "0"})
    theirs = {p.relative_to(prefix): p.read_bytes() for p in prefix.rglob("*.pyc")}
    shutil.rmtree(prefix)
    install(wheel, prefix)
    assert {p.relative_to(prefix): p.read_bytes() for p in prefix.rglob("*.pyc")} == theirs
    assert len(theirs) == 2 * len(sources)


def install(wheel: str, prefix: Path) -> None:
    """Install as the hook does."""
    install_wheel(
        wheel,
        prefix=prefix,
        target=TARGET,
        libraries=LibraryIndex.from_directories([]),
        link=False,
        cores=2,
        environment={**os.environ, **EPOCH},
    )


def workers(prefix: Path) -> list[int]:
    """List the processes that work in a prefix."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and os.readlink(f"/proc/{entry}/cwd").startswith(str(prefix)):
                found.append(int(entry))
    return found


def until(question: Callable[[], object]) -> None:
    """Wait until something is so, but not for ever."""
    end = time.monotonic() + 60
    while not question():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_stopped_while_it_compiles(number: signal.Signals, tmp_path: Path) -> None:
    """Nothing works on, nothing is half done, and the next run gives what a calm one gives."""
    files = {f"made/m{i}.py": SLOW + b"y = %d\n" % i for i in range(4)} | {"made/a.py": b"x = 1\n"}
    wheel = MadeWheel(tag=TAG, files=files).write(tmp_path)
    prefix = tmp_path / "prefix"
    (prefix / "bin").mkdir(parents=True)
    before = snapshot(prefix)
    words = [sys.executable, "-m", "nix_manylinux", "install", "--no-link", "-q", wheel]
    process = subprocess.Popen(
        [*words, "--python", sys.executable, "--prefix", str(prefix)],
        env={**os.environ, **EPOCH, "NIX_BUILD_CORES": "2"},
        stderr=subprocess.DEVNULL,
    )
    until(lambda: len(workers(prefix)) == 3)
    process.send_signal(number)
    assert process.wait() != 0
    if number != signal.SIGKILL:
        assert workers(prefix) == []
        assert snapshot(prefix) == before
    install(wheel, prefix)  # at once: what a killed run has left working disturbs nobody
    until(lambda: workers(prefix) == [])
    assert {path.name for path in prefix.iterdir()} == {"bin", "lib"}
    calm = tmp_path / "calm"
    install(wheel, calm)
    shown = str(calm).encode(), str(prefix).encode()
    expected = {p.relative_to(calm): p.read_bytes() for p in calm.rglob("*") if p.is_file()}
    assert len(expected) == 3 * len(files) + 3
    found = {p.relative_to(prefix): p.read_bytes() for p in prefix.rglob("*") if p.is_file()}
    assert found.keys() == expected.keys()
    assert all(found[name] == data or shown[0] in data for name, data in expected.items())


@pytest.mark.parametrize(
    ("cores", "waiting", "wanted"),
    [
        # The largest first; beside it what is small, as it is little memory.
        (2, [0, 0, 600_000, 1_300_000], [1_300_000, 0, 0]),
        (2, [0, 200_000, 300_000, 400_000], [400_000, 0]),
        (2, [200_000, 250_000, 270_000], [270_000, 250_000]),
        (8, [600_000, 700_000, 1_300_000], [1_300_000, 700_000]),
        (1, [300_000, 0], [0, 300_000]),
        (2, [], []),
    ],
)
def test_what_is_compiled_at_one_time(
    program: ModuleType, cores: int, waiting: list[int], wanted: list[int]
) -> None:
    """As many large sources as there is memory for, whatever number of lots is waiting."""
    lots: list[tuple[int, int, list[object]]] = [(each, each, []) for each in waiting]
    running: list[int] = []
    while (lot := program.take(lots, sum(running), cores)) is not None:
        running.append(lot[0])
    assert running == wanted


def test_a_compiler_that_dies(tmp_path: Path) -> None:
    """An interpreter that can't compile is named; the prefix is as it was."""
    wheel = MadeWheel(tag=TAG, files={"made/a.py": b"x = 1\n"}).write(tmp_path)
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\ncase "$*" in *compile_modules*) kill -9 $$;; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    target = Target.from_interpreter(python)
    with pytest.raises(NixManylinuxError, match="can't compile") as caught:
        install_wheel(
            wheel,
            prefix=tmp_path / "prefix",
            target=target,
            libraries=LibraryIndex.from_directories([]),
            link=False,
        )
    assert "--no-compile-bytecode" in caught.value.hint
    assert not (tmp_path / "prefix").exists()


def test_names_that_no_source_has(tmp_path: Path) -> None:
    """A folder called like a module is no module; its files are installed."""
    wheel = MadeWheel(tag=TAG, files={"made/sub.py/x.txt": b"", "made/a.py": b""}).write(tmp_path)
    install(wheel, tmp_path / "prefix")
    assert (tmp_path / "prefix" / SITE / "made/sub.py/x.txt").exists()

"""The measure itself: what does not load is seen, and the host can't help."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.support import isolation
from tests.support.isolation import Sandbox, sandbox
from tests.support.loading import open_libraries, start_program
from tests.support.store import Store, base32, fake_store_path, host_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def store() -> Store:
    """Make a store with zlib, and what the interpreter needs."""
    return host_store(["libz.so.1", "libstdc++.so.6"])


@pytest.fixture(params=["bubblewrap", "chroot"])
def box(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, store: Store, tmp_path: Path
) -> Sandbox:
    """Make a sandbox of both kinds that shows the test's own folder."""
    if request.param not in isolation.possible():
        pytest.xfail(f"{request.param} is not possible here")
    monkeypatch.setattr(isolation, "mechanism", lambda: request.param)
    return sandbox(store, str(tmp_path))


def compile_c(path: Path, text: str, *options: str) -> str:
    """Compile C text to ``path``."""
    source = path.with_suffix(".c")
    source.write_text(text)
    subprocess.run(["gcc", "-o", str(path), str(source), *options], check=True)
    return str(path)


def test_the_host_is_out_of_sight(box: Sandbox, store: Store) -> None:
    """Of the host's library directory nothing can be seen but the libc's own files."""
    code = "import os, sys; print(*os.listdir(sys.argv[1]))"
    seen = box.run([store.python, "-c", code, store.default_directory])
    assert seen.returncode == 0, seen.stderr
    assert "libc.so.6" in seen.stdout.split()
    assert "libz.so.1" not in seen.stdout
    assert box.run(["/bin/true"]).returncode != 0


def test_a_library_of_the_host_does_not_help(box: Sandbox, tmp_path: Path, store: Store) -> None:
    """What needs zlib fails without a path to it, and loads from the store with one."""
    text = "const char *zlibVersion(void); const char *f(void) { return zlibVersion(); }"
    zlib = store.providing("libz.so.1")[0]
    options = ("-shared", "-fPIC", "-l:libz.so.1", f"-L{zlib}")
    without = compile_c(tmp_path / "without.so", text, *options)
    with_path = compile_c(tmp_path / "with.so", text, *options, f"-Wl,-rpath,{zlib}")
    found = open_libraries(box, [without, with_path])
    assert "libz.so.1: cannot open shared object file" in found[without].error
    assert not found[without].ok
    assert found[with_path].ok
    assert any(path.startswith(zlib) for path in found[with_path].mapped)


def test_every_symbol_counts(box: Sandbox, tmp_path: Path) -> None:
    """A function that no library has fails; one of Python's C API is lent by the opener."""
    lost = compile_c(
        tmp_path / "lost.so", "int g(void); int f(void) { return g(); }", "-shared", "-fPIC"
    )
    text = "int PyList_NoVersionHasThis(void); int f(void) { return PyList_NoVersionHasThis(); }"
    lent = compile_c(tmp_path / "lent.so", text, "-shared", "-fPIC")
    found = open_libraries(box, [lost, lent])
    assert "undefined symbol: g" in found[lost].error
    assert found[lent].ok


def test_a_crash_is_one_library_s_own(box: Sandbox, tmp_path: Path) -> None:
    """A library that crashes or exits while it is loaded fails, and the next one is opened."""
    start = "__attribute__((constructor)) static void f(void) "
    crash = compile_c(
        tmp_path / "crash.so", start + "{ *(volatile int *)8 = 1; }", "-shared", "-fPIC"
    )
    text = "#include <unistd.h>\n" + start + "{ _exit(3); }"
    leaves = compile_c(tmp_path / "leaves.so", text, "-shared", "-fPIC")
    good = compile_c(tmp_path / "good.so", "int f;", "-shared", "-fPIC")
    found = open_libraries(box, [crash, leaves, good])
    assert found[crash].error == "killed by signal 11 while it was loaded"
    assert found[leaves].error == "the process ended with status 3 while it was loaded"
    assert found[good].ok


def test_what_came_from_elsewhere_is_named(box: Sandbox, tmp_path: Path, store: Store) -> None:
    """A mapped file that was not offered is foreign, and then nothing is well."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(store.providing("libz.so.1")[0] + "/libz.so.1", elsewhere)
    good = compile_c(tmp_path / "good.so", "int f;", "-shared", "-fPIC", "-Wl,--no-as-needed",
                     f"-L{elsewhere}", "-l:libz.so.1", f"-Wl,-rpath,{elsewhere}")  # fmt: skip
    real = open_libraries(box, [good])[good]
    assert real.ok
    narrow = Sandbox(binds=tuple(bind for bind in box.binds if bind[0] != str(tmp_path)))
    assert not narrow.allows(str(elsewhere / "libz.so.1"))
    assert str(elsewhere / "libz.so.1") in real.mapped


def test_a_program_starts_or_not(box: Sandbox, tmp_path: Path, store: Store) -> None:
    """Reaching main counts, whatever it returns; a lost library, loader or symbol doesn't."""
    main = "int main(void) { return 3; }"
    linker = f"-Wl,--dynamic-linker,{store.dynamic_linker}"
    good = compile_c(tmp_path / "good", main, linker)
    assert start_program(box, good).ok
    assert start_program(box, compile_c(tmp_path / "static", main, "-static")).ok
    no_linker = compile_c(tmp_path / "no-linker", main, "-Wl,--dynamic-linker,/nowhere/ld.so")
    assert "No such file" in start_program(box, no_linker).error
    text = "const char *zlibVersion(void); int main(void) { return !zlibVersion(); }"
    zlib = store.providing("libz.so.1")[0]
    lost = compile_c(tmp_path / "lost", text, linker, f"-L{zlib}", "-l:libz.so.1")
    assert "libz.so.1: cannot open shared object file" in start_program(box, lost).error
    lazy_needs = compile_c(tmp_path / "libg.so", "int g(void) { return 0; }", "-shared", "-fPIC")
    text = "int g(void); int main(int n, char **v) { return n > 100 ? g() : 0; }"
    lazy = compile_c(tmp_path / "lazy", text, linker, lazy_needs, "-Wl,-z,lazy")
    assert start_program(box, lazy).ok
    compile_c(tmp_path / "libg.so", "int h(void) { return 0; }", "-shared", "-fPIC")
    assert "undefined symbol: g" in start_program(box, lazy).error
    crash = compile_c(tmp_path / "crash", "int main(void) { __builtin_trap(); }", linker)
    assert "killed by signal" in start_program(box, crash).error
    endless = compile_c(tmp_path / "endless", "int main(void) { for (;;) ; }", linker)
    assert start_program(box, endless, timeout=1).ok


def test_one_way_at_least_is_possible() -> None:
    """A run of these tests in which neither way works would prove nothing."""
    assert isolation.mechanism() in isolation.possible()


def test_no_isolation_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can hide the host there is no test without hiding it."""
    monkeypatch.setattr(isolation, "_tool", lambda name: f"/nonexistent/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    isolation.namespaces.cache_clear()
    with pytest.raises(isolation.IsolationError, match="bwrap"):
        isolation.mechanism()
    isolation.namespaces.cache_clear()


def test_a_store_looks_like_one(store: Store, tmp_path: Path) -> None:
    """Paths have Nix's 32 characters; every library finds its own needs without the host."""
    name = os.path.basename(store.packages[store.providers["libz.so.1"]])
    assert len(name.partition("-")[0]) == 32
    assert set(name.partition("-")[0]) <= set("0123456789abcdfghijklmnpqrsvwxyz")
    assert base32(b"\xff" * 20) == "z" * 32
    assert os.path.isdir(fake_store_path(str(tmp_path), "foo-1.0"))
    assert host_store(["libz.so.1", "libstdc++.so.6"]) == store
    libraries = [
        os.path.join(folder, name)
        for folder in store.libraries()
        for name in sorted(os.listdir(folder))
    ]
    found = open_libraries(sandbox(store), libraries)
    assert len(found) > 3
    assert not [loaded for loaded in found.values() if not loaded.ok]

"""What the source may not do at all: shells, evaluation, programs by bare name, the network."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.elf import ElfBuilder
from tests.support.isolation import unshare
from tests.support.wheels import MadeWheel

import nix_manylinux
from nix_manylinux.target.target import from_running

SOURCE = Path(nix_manylinux.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput",
    "subprocess.getstatusoutput", "pickle.loads", "pickle.load", "marshal.loads", "os.chdir",
    "os.fork", "os.execv", "os.execvp", "os.spawnv", "pty.spawn", "input",
}  # fmt: skip
#: What runs in the interpreters that it is for, and not in ours, may do what its subject is.
EXCUSED = {
    # It compiles on all cores what its own process has loaded once.
    "compat/compile_modules.py": {"os.fork"},
    # It runs the sitecustomize that it stands before, as Python would.
    "compat/venv_sitecustomize.py": {"compile", "exec"},
}
NETWORK = {"socket", "ssl", "http", "urllib.request", "ftplib", "smtplib", "asyncio", "xmlrpc"}


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def faults_of(text: str) -> list[str]:
    """List what a source file must not have."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = _name(node.func)
            if name in FORBIDDEN:
                found.append(f"line {node.lineno}: {name}")
            shell = [k.value for k in node.keywords if k.arg == "shell"]
            if any(not (isinstance(v, ast.Constant) and v.value is False) for v in shell):
                found.append(f"line {node.lineno}: shell")
            if name.startswith("subprocess.") and isinstance(
                node.args[0], ast.Constant | ast.JoinedStr
            ):
                found.append(f"line {node.lineno}: a command that is one string")
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{each.name}" for each in node.names)]
        found += [f"imports {n}" for n in names for bad in NETWORK if f"{n}.".startswith(f"{bad}.")]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_source(path: Path) -> None:
    """No shell, no evaluation of text, no network module, no command as one string."""
    excused = EXCUSED.get(path.relative_to(SOURCE).as_posix(), set())
    found = faults_of(path.read_text(encoding="utf-8"))
    assert [fault for fault in found if fault.partition(": ")[2] not in excused] == []
    assert excused <= {fault.partition(": ")[2] for fault in found}, "excused for nothing"


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')", "import os\nos.system('x')", "subprocess.run(x, shell=True)",
        "subprocess.run('ls -l')", "subprocess.run(f'ls {x}', check=True)", "import socket",
        "from urllib import request", "subprocess.run(x, shell=flag)", "import http.client",
    ],
)  # fmt: skip
def test_the_search_finds_them(text: str) -> None:
    """Each of these would be found."""
    assert faults_of(text)


def every_command(tmp_path: Path) -> list[list[str]]:
    """Give the words of patch, inspect, check and graph for a wheel and a tree that are made."""
    files = ElfBuilder(tmp_path / "elf")
    needed = files.library("libneeded.so.1", soname="libneeded.so.1")
    (tmp_path / "libs").mkdir()
    shutil.copy(needed, tmp_path / "libs")
    library = files.library("a.so", needs=[needed]).read_bytes()
    wheel = MadeWheel(tag="py3-none-linux_x86_64", files={"made/a.so": library}).write(tmp_path)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a.so").write_bytes(library)
    common = ["--dynamic-linker", from_running().dynamic_linker, "--libs", str(tmp_path / "libs")]
    return [
        ["inspect", wheel, *common],
        ["inspect", str(tree), *common],
        ["graph", wheel, *common, "-o", str(tmp_path / "graph.html")],
        ["patch", wheel, *common, "--output-dir", str(tmp_path / "out")],
        ["patch", str(tree), *common],
        ["check", str(tree), *common],
    ]


def test_no_socket_is_ever_asked_for(tmp_path: Path) -> None:
    """patch, inspect, check and graph raise no audit event of a socket, in their own process."""
    program = f"""
import os, sys
seen = []
def hook(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.", "os.system", "os.exec", "os.posix_spawn")):
        seen.append(event)
sys.addaudithook(hook)
from nix_manylinux.cli.main import main
for words in {every_command(tmp_path)!r}:
    assert main(words) == 0, words
assert seen == [], seen
import socket
socket.socket().close()
assert seen == ["socket.__new__"], seen
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


#: Containers may forbid it, and no package helps.
NETLESS = () if unshare("n") else pytest.mark.asked_for("NIX_MANYLINUX_NAMESPACES")


@pytest.mark.parametrize("command", [pytest.param(unshare("n"), marks=NETLESS, id="unshare")])
def test_it_works_without_a_network(command: tuple[str, ...], tmp_path: Path) -> None:
    """Where there is no network at all patch, inspect, check and graph end as well as ever."""
    program = f"""
import socket
from nix_manylinux.cli.main import main
try:
    socket.create_connection(("192.0.2.1", 9), 5)
except OSError as error:
    assert "unreachable" in str(error), error
else:
    raise AssertionError("there is a network")
for words in {every_command(tmp_path)!r}:
    assert main(words) == 0, words
"""
    done = subprocess.run(
        [*command, sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "graph.html").exists()
    assert (tmp_path / "out").is_dir()


def test_patchelf_is_called_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fallback never runs what a relative entry of PATH, or the current folder, has."""
    from nix_manylinux.elf.edit import patchelf

    evil = tmp_path / "patchelf"
    evil.write_text("#!/bin/sh\ntouch ran\n")
    evil.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".:" + str(tmp_path / "none"))
    found = patchelf.find_patchelf()
    assert found is None or (Path(found).is_absolute() and Path(found) != evil)
    monkeypatch.setenv("PATH", f".:{tmp_path}")
    assert patchelf.find_patchelf() == str(evil)

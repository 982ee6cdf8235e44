"""Does it load? Opens libraries and starts programs in a sandbox, and says what was mapped.

A library loads if dlopen takes it with RTLD_NOW in a process that has nothing
but libc and libm, which every interpreter is linked with. Extension modules
want the interpreter's symbols too: the process that opens them exports one for
each name that begins with Py or _Py, so that a module for any Python can be
opened, and no library of the interpreter's own helps by being there already.

A few call the C API while they are loaded, and crash on those stand-ins: such a
one is opened by the store's interpreter instead (`open_in_python`).

A program starts if the kernel takes it, its loader binds every symbol
(LD_BIND_NOW) and hands over to main (glibc then says "transferring control"),
and no fault in it ends it; what main then returns, or that it aborts for want of
a display, is its own affair. Programs without that loader start if they exit by
themselves with a status that no loader or shell uses for a failure.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.mapped import MAPPED_FILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.support.isolation import Sandbox

_SOURCE = Path(__file__).with_name("opener.c")

#: "return 0" for the machines whose libraries we open.
_RETURN_ZERO = {"x86": "xor %eax,%eax; ret", "arm": "mov x0,#0; ret"}

#: A loader that fails ends the process with 127, a shell that can't run it with 126.
_NEVER_STARTED = {126, 127}

#: What a file that was damaged ends by.
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGTRAP, signal.SIGFPE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What became of one file. ``error`` is empty for success.

    ``mapped`` are the files that its process had mapped, as far as known;
    ``foreign`` those of them that the sandbox did not have to offer.
    ``brought_in`` is what the loader had before it ran any code of theirs, in
    its order, where it was asked: constructors may open more.
    """

    path: str
    error: str
    mapped: tuple[str, ...] = ()
    brought_in: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Loaded, and from nowhere but the sandbox."""
        return not self.error and not self.foreign


def open_libraries(
    sandbox: Sandbox,
    libraries: Sequence[str],
    *,
    beside: Sequence[str] = (),
    compiler: str = "gcc",
    emulator: Sequence[str] = (),
    trace: bool = False,
) -> dict[str, Loaded]:
    """Open each library by its absolute path in a process of its own; all are reported.

    ``beside`` are libraries that may be loaded too and want the C API as well.
    ``compiler`` makes the process that opens them, so it chooses machine and
    libc; ``emulator`` is put in front of it (qemu). With ``trace`` the loader
    (glibc's) is asked what it brought in; that makes it talk a lot.
    """
    if not libraries:
        return {}
    folder = tempfile.mkdtemp(prefix="nix-manylinux-opener-")
    try:
        symbols = _python_symbols([*libraries, *beside], compiler)
        opener = _make_opener(folder, compiler, symbols)
        log = os.path.join(folder, "log")
        os.mkdir(log)
        inside = type(sandbox)(
            binds=(*sandbox.binds, (folder, folder)), writable=(*sandbox.writable, log)
        )
        asked = {"LD_DEBUG": "scopes", "LD_DEBUG_OUTPUT": os.path.join(log, "log")}
        output = inside.run(
            [*emulator, opener],
            environment=asked if trace else None,
            stdin="".join(f"{path}\n" for path in libraries),
        )
        scopes = _scopes(log)
    finally:
        shutil.rmtree(folder)
    found = _parse(output.stdout, sandbox, opener)
    lost = set(libraries) - set(found)
    if lost or output.returncode != 0:
        message = f"the opener failed ({output.returncode}): {output.stderr[-2000:]}"
        raise RuntimeError(message)
    return {path: replace(one, brought_in=scopes.get(path, ())) for path, one in found.items()}


def _scopes(folder: str) -> dict[str, tuple[str, ...]]:
    """Read for each library that was opened which objects it came with, itself first.

    The loader shows that scope before it relocates anything.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8", errors="surrogateescape") as log:
            for line in log:
                _, scope, listed = line.rstrip("\n").partition(" scope 1: ")
                objects = listed.split(" ")
                if scope:
                    found.setdefault(objects[0], tuple(objects))
    return found


_CDLL = f"""
import ctypes, os, sys
{MAPPED_FILES}
try:
    ctypes.CDLL(sys.argv[1], os.RTLD_NOW)
except OSError as error:
    print("fail", *str(error).split())
for path in mapped_files():
    print("file", path)
print("done", flush=True)
os._exit(0)
"""


def open_in_python(sandbox: Sandbox, python: str, library: str) -> Loaded:
    """Open one library in an interpreter that the sandbox shows."""
    ran = sandbox.run([python, "-Ic", _CDLL, library], timeout=300)
    if "done" not in ran.stdout.splitlines():
        error = f"the interpreter ended with status {ran.returncode}: {ran.stderr[-200:]}"
        return Loaded(path=library, error=error)
    return _parse(f"open {library}\n{ran.stdout}", sandbox, "")[library]


def _parse(output: str, sandbox: Sandbox, opener: str) -> dict[str, Loaded]:
    found: dict[str, Loaded] = {}
    path, error, mapped = "", "", list[str]()
    for line in output.splitlines():
        word, _, rest = line.partition(" ")
        if word == "open":
            path, error, mapped = rest, "", []
        elif word == "file" and rest != opener:
            mapped.append(rest)
        elif word == "fail":
            error = rest
        elif word == "done":
            foreign = tuple(file for file in mapped if not sandbox.allows(file))
            found[path] = Loaded(
                path=path, error=error, mapped=tuple(dict.fromkeys(mapped)), foreign=foreign
            )
    return found


def _python_symbols(libraries: Sequence[str], compiler: str) -> list[str]:
    """Every undefined symbol of the C API that the libraries have between them."""
    own = compiler.removesuffix("gcc") + "nm"
    output = subprocess.run(
        [
            own if shutil.which(own) else "nm",
            "-D",
            "--undefined-only",
            "--format=posix",
            *libraries,
        ],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    names = {line.split(" ", 1)[0] for line in output.splitlines()}
    return sorted(name for name in names if name.startswith(("Py", "_Py")) and "@" not in name)


def _make_opener(folder: str, compiler: str, symbols: list[str]) -> str:
    """Compile the process that opens libraries; its Python symbols are callable and writable."""
    machine = subprocess.run(
        [compiler, "-dumpmachine"], capture_output=True, text=True, check=True
    ).stdout
    code = _RETURN_ZERO["arm" if machine.startswith("aarch64") else "x86"]
    lines = ['.section .stubs,"awx",%progbits']
    for name in symbols:
        lines += [".balign 16", f".globl {name}", f".type {name},%object", f"{name}: {code}"]
        lines += [".zero 500", f".size {name},.-{name}"]
    lines.append('.section .note.GNU-stack,"",%progbits')
    stubs = os.path.join(folder, "stubs.s")
    Path(stubs).write_text("\n".join(lines) + "\n", encoding="ascii")
    opener = os.path.join(folder, "opener")
    command = [compiler, "-O1", "-rdynamic", "-o", opener, str(_SOURCE), stubs]
    command += ["-Wl,--no-as-needed", "-ldl", "-lm"]
    subprocess.run(command, check=True, capture_output=True)
    return opener


def start_program(sandbox: Sandbox, program: str, *arguments: str, timeout: float = 20) -> Loaded:
    """Start one program with these arguments (``--help`` for none), and wait for its end.

    One that is still running after ``timeout`` seconds has started.
    """
    log = tempfile.mkdtemp(prefix="nix-manylinux-start-")
    inside = type(sandbox)(binds=sandbox.binds, writable=(*sandbox.writable, log))
    environment = {
        "LD_BIND_NOW": "1",
        "LD_DEBUG": "files,scopes",
        "LD_DEBUG_OUTPUT": os.path.join(log, "log"),
        "LD_ORIGIN_PATH": os.path.dirname(program),
    }
    status, said = 0, ""
    try:
        command = [program, *(arguments or ("--help",))]
        outcome = inside.run(command, environment=environment, timeout=timeout)
        status, said = outcome.returncode, (outcome.stderr or outcome.stdout).strip()
    except subprocess.TimeoutExpired:
        pass
    finally:
        lines = list(_log_lines(log))
        shutil.rmtree(log)
    handed_over = [line.startswith("transferring control: ") for line in lines]
    entered = any(handed_over)
    at_start = lines[: handed_over.index(True)] if entered else lines
    brought_in = _objects(at_start)
    later = [line.split(": ", 1)[1] for line in lines if line.startswith("calling init: ")]
    mapped = tuple(dict.fromkeys([*brought_in, *later]))
    error = ""
    ended_by = -status if status < 0 else status - 128 if status > 128 else 0
    if ended_by in _FAULTS or (ended_by and lines and not entered):
        error = f"killed by signal {ended_by}"
    elif lines and not entered:
        error = said or "its loader did not reach main"
    elif status in _NEVER_STARTED and not entered:
        error = said or f"exit status {status}"
    elif not lines and status == 1 and said.startswith("bwrap: "):
        error = said
    foreign = tuple(file for file in mapped if not sandbox.allows(file))
    return Loaded(
        path=program, error=error, mapped=mapped, brought_in=tuple(brought_in), foreign=foreign
    )


def _objects(lines: Iterable[str]) -> list[str]:
    """Read which objects the loader shows the scopes of: all that it has loaded, by their paths."""
    shown = (
        line.removeprefix("object=").rpartition(" [")[0]
        for line in lines
        if line.startswith("object=/")
    )
    return list(dict.fromkeys(shown))


def _log_lines(folder: str) -> Iterable[str]:
    """Read what the first process logged: the program itself, not its children."""
    names = sorted(os.listdir(folder), key=lambda name: int(name.rpartition(".")[2]))
    for name in names[:1]:
        text = Path(folder, name).read_text(encoding="utf-8", errors="surrogateescape")
        for line in text.splitlines():
            yield line.partition(":\t")[2].strip()

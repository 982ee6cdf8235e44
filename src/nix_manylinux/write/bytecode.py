"""Bytecode for modules in a staging folder, made by the interpreter that will import them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import installer

from nix_manylinux.base.errors import OsErrors, WriteFailed

_SCRIPT = os.path.join(os.path.dirname(os.path.dirname(__file__)), "compat", "compile_modules.py")

#: The folder of the package that is called so.
_INSTALLER = os.path.dirname(os.path.dirname(installer.__file__))

_HINT = "leave the bytecode out with --no-compile-bytecode"


@contextlib.contextmanager
def compiler(
    *,
    python: str,
    staging: str,
    prefix: str,
    levels: Sequence[int],
    cores: int,
    environment: Mapping[str, str],
) -> Iterator[Callable[[Iterable[str]], None]]:
    """Give a function that compiles modules, paths in a staging folder, as files of the prefix.

    It is to be called once; what it needs is made ready meanwhile. ``levels`` are the
    interpreter's optimisation levels. What it can't compile (modules for other Pythons) is
    passed by, as installers do. Checked by time, or by hash where SOURCE_DATE_EPOCH is set
    (py_compile's own rule). The bytecode doesn't depend on ``cores``, the number of
    processes; it is what PyPA's installer gives. When this is left, by whatever way, no
    process works on. Raises WriteFailed where ``python`` can't be run, or the bytecode
    not be written.
    """
    if not levels:
        yield lambda _: None
        return
    words = [python, "-s", "-S", "-W", "ignore", _SCRIPT, str(cores)]
    words += [",".join(map(str, levels)), _INSTALLER]
    with OsErrors(WriteFailed, "can't be run to compile", where=python, hint=_HINT):
        process = subprocess.Popen(
            words,
            # Constants that are sets are written in the order of their hashes.
            env={**environment, "PYTHONHASHSEED": "0"},
            cwd=staging,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a group of its own, its forks in it
        )

    def compile_all(modules: Iterable[str]) -> None:
        names = [name[len(staging) + 1 :] for name in modules]
        request = "".join(f"{name}\0{prefix}/{name}\0" for name in names)
        # Both streams end when the last of its forks has ended.
        said, complained = process.communicate(os.fsencode(request))
        if process.returncode:
            raise _failure(process.returncode, said, complained, python=python, prefix=prefix)

    try:
        yield compile_all
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _failure(
    status: int, said: bytes, complained: bytes, *, python: str, prefix: str
) -> WriteFailed:
    number, _, name = said.partition(b" ")
    if status == 1 and number.isdigit():
        return WriteFailed(
            f"can't be compiled: {os.strerror(int(number))}",
            where=f"{prefix}/{os.fsdecode(name)}",
            hint="make room there, or name another --prefix",
        )
    lines = complained.decode("utf-8", "replace").strip().splitlines()
    why = lines[-1][:80] if lines else f"it ended with status {status}"
    return WriteFailed(f"can't compile: {why}", where=python, hint=_HINT)

"""Compiles modules on all cores: run by the interpreter that will import them, any Python 3.

    python -s -S compile_modules.py CORES LEVELS [FOLDER...]

The working directory holds the sources. Standard input names them, each as its path there and
its path once it is installed, every name ended by a NUL. Bytecode is as compileall's. A source
that can't be compiled is passed by, as installers do. What can't be written ends everything:
exit status 1, and on standard output the errno, a space, and the name.

FOLDERS hold PyPA's installer. Up to 3.12 CPython's bytecode depends, in a bit for each
constant that is a set, on what strings the compiling process has: with the modules of
`python -m installer` there, it is what that gives.

Sources are compiled in lots, each by a fork of the same process, so that the bytecode of one
depends neither on the number of cores nor on those before it.
"""

# Nothing here is newer than Python 3.7.
# ruff: noqa: INP001, B905 - a program of its own, and zip had no `strict` then

from __future__ import annotations

import sys

del sys.path[0]  # the folder of this file, whose modules are for others

import contextlib  # noqa: E402
import importlib.util  # noqa: E402
import os  # noqa: E402
import py_compile  # noqa: E402
import re  # noqa: E402
import select  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    #: A source's path, and its path once it is installed.
    Source = tuple[str, str]

#: A lot is full with so many sources, or bytes of them.
LOT_COUNT, LOT_BYTES = 32, 1 << 18

#: CPython takes up to 160 bytes of memory for each byte of a source. Those of more than so
#: many bytes are counted, and compiled beside each other up to so many for two processors.
LARGE, MUCH = 1 << 17, 1 << 19


def may_differ(source: bytes) -> bool:
    """Whether a module's code may not be the same at levels 0 and 1.

    They differ in `assert` and in what `__debug__` is. Names are compared in the normal
    form NFKC (https://docs.python.org/3/reference/lexical_analysis.html#identifiers),
    keywords as they are.
    """
    text = importlib.util.decode_source(source)
    if not text.isascii():
        import unicodedata  # noqa: PLC0415 - few modules want it

        text = unicodedata.normalize("NFKC", text) + text
    return re.search(r"\bassert\b|__debug__", text) is not None


def may_hold_sets(path: str) -> bool:
    """Whether a source could have a constant that is a set."""
    with open(path, "rb") as file:
        return b"{" in file.read()


def compile_one(path: str, installed: str, levels: Sequence[int]) -> None:
    """Compile a source at each level."""
    first = ""
    for level in levels:
        output = importlib.util.cache_from_source(path, optimization=level or "")
        if level == 1 and first:
            with open(path, "rb") as file:
                differs = may_differ(file.read())
            if not differs:
                copy(first, output)
                continue
        try:
            # Not `quiet`: an error is raised, whatever is printed.
            py_compile.compile(path, output, installed, doraise=True, optimize=level)
        except py_compile.PyCompileError:
            continue
        if level == 0 and sys.implementation.name == "cpython":
            first = output


def write(path: str, data: bytes, mode: int = 0o666) -> None:
    """Write all of ``data``, or raise OSError.

    What py_compile calls writes as much as there is room for, and is content with that
    (https://github.com/python/cpython/issues/126606): the bytecode would be cut short.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with open(os.open(path, flags, mode & 0o666), "wb") as file:
        file.write(data)


def copy(source: str, target: str) -> None:
    """Copy bytecode, with its mode."""
    with open(source, "rb") as file:
        write(target, file.read(), os.fstat(file.fileno()).st_mode)


def is_waited_for() -> bool:
    """Whether somebody still reads standard output: a killed program waits for nothing."""
    output = select.poll()
    output.register(1, 0)
    return not output.poll(0)


def do(lot: Iterable[Source], levels: Sequence[int]) -> int:
    """Compile a lot, while somebody waits for it; gives an exit status."""
    for path, installed in lot:
        if not is_waited_for():
            return 2
        try:
            compile_one(path, installed, levels)
        except OSError as error:
            os.write(1, b"%d %s" % (error.errno or 0, os.fsencode(path)))
            return 1
    return 0


def lots(pairs: Iterable[Source]) -> Iterator[tuple[int, int, list[Source]]]:
    """Divide the sources; which are together depends on nothing but them and their order.

    Each with the bytes of all, and those of the largest where that one wants much memory.
    """
    lot: list[Source] = []
    total = largest = 0
    for path, installed in pairs:
        lot.append((path, installed))
        size = os.path.getsize(path)
        total, largest = total + size, max(largest, size)
        if len(lot) == LOT_COUNT or total >= LOT_BYTES:
            yield total, largest if largest > LARGE else 0, lot
            lot, total, largest = [], 0, 0
    if lot:
        yield total, largest if largest > LARGE else 0, lot


def take(
    waiting: list[tuple[int, int, list[Source]]], large: int, cores: int
) -> tuple[int, list[Source]] | None:
    """Take the lot of the most bytes that there is memory for, beside ``large`` bytes at work."""
    for place in range(len(waiting) - 1, -1, -1):
        weight = waiting[place][1]
        if not weight or not large or large + weight <= MUCH * max(cores // 2, 1):
            return weight, waiting.pop(place)[2]
    return None


def main(cores: int, levels: Sequence[int], folders: Sequence[str]) -> int:
    """Compile what standard input names; gives the exit status."""
    setattr(importlib._bootstrap_external, "_write_atomic", write)  # noqa: B010, SLF001 - types don't know it
    names = [os.fsdecode(name) for name in sys.stdin.buffer.read().split(b"\0")[:-1]]
    if any(map(may_hold_sets, names[::2])):
        sys.path += folders
        with contextlib.suppress(Exception):  # this Python is not one that it is for
            import installer.__main__  # noqa: F401, PLC0415
        sys.path[len(sys.path) - len(folders) :] = []
    # The largest are begun first: the end is near for all at once.
    waiting = sorted(lots(zip(names[::2], names[1::2])), key=lambda lot: lot[0])
    running: dict[int, int] = {}
    status = 0
    while (waiting and not status) or running:
        lot = None
        if not status and len(running) < max(cores, 1):
            lot = take(waiting, sum(running.values()), cores)
        if lot is not None:
            child = os.fork()
            if not child:
                code = 3
                try:
                    code = do(lot[1], levels)
                finally:
                    os._exit(code)
            running[child] = lot[0]
            continue
        child, ended = os.wait()
        del running[child]
        status = status or ended
    return 1 if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 1 else status and 3


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), [int(n) for n in sys.argv[2].split(",")], sys.argv[3:]))

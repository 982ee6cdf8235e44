"""Timing, memory and tables for the benchmarks: medians of several rounds, side by side."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

#: The command as it is installed beside this Python, which is how everybody calls it.
COMMAND = (sys.executable, os.path.join(os.path.dirname(sys.executable), "nix-manylinux"))

#: Six directories of the store, about 290 bytes: what a wheel with five dependencies gets.
SEARCH_PATH = ("$ORIGIN", *(f"/nix/store/{i:032d}-package-{i}-1.2.3/lib" for i in range(5)))


def wheel_folder() -> Path:
    """Return the folder of cached wheels; `wheel` fills it from the package index."""
    default = Path.home() / ".cache" / "nix-manylinux" / "wheels"
    return Path(os.environ.get("NIX_MANYLINUX_WHEELS") or default)


def wheel(requirement: str, *, python: str) -> Path:
    """Return a cached wheel for x86_64 and CPython 3.11, fetched by pip where it is absent."""
    name, _, version = requirement.partition("==")
    folder = wheel_folder()
    pattern = f"{name}-{version}-*x86_64*.whl"
    found = [p for p in sorted(folder.glob(pattern)) if "musllinux" not in p.name]
    if not found:
        subprocess.run(
            [python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
             "--python-version=3.11", "--platform=manylinux_2_28_x86_64",
             "--platform=manylinux2014_x86_64", "--dest", str(folder), requirement],
            check=True,
        )  # fmt: skip
        found = sorted(folder.glob(pattern))
    return found[0]


def member(archive: Path, name: str, target: Path) -> Path:
    """Unpack one member of a wheel, in pieces: a child's peak memory counts from its parent's."""
    with zipfile.ZipFile(archive) as source, source.open(name) as data, target.open("wb") as output:
        shutil.copyfileobj(data, output, 1 << 16)
    target.chmod(0o755)
    return target


@contextmanager
def workshop() -> Iterator[Path]:
    """Give a directory for one measurement, and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="nix-manylinux-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def seconds(
    *ways: Callable[[], object], rounds: int, before: Callable[[], object] | None = None
) -> list[float]:
    """Return the median of the wall-clock times of each way; ``before`` is not timed.

    The ways take turns: a machine that becomes slower meanwhile does so for all of them.
    The first round, which warms caches up, does not count.
    """
    taken: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds + 1):
        for action, times in zip(ways, taken, strict=True):
            if before is not None:
                before()
                os.sync()  # what it wrote must not be written out meanwhile
            start = time.perf_counter()
            action()
            times.append(time.perf_counter() - start)
    return [statistics.median(times[1:]) for times in taken]


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
    """Run a command that has to succeed."""
    done = subprocess.run(
        list(command),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: exit {done.returncode}\n{done.stdout}{done.stderr}")


def peak_memory(command: Sequence[str]) -> int:
    """Return the peak resident memory of a command in bytes, as the kernel counts it."""
    process = subprocess.Popen(list(command), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]}: exit {process.returncode}")
    return usage.ru_maxrss * 1024


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Set a Markdown table with aligned columns."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join((first, *rest)) + " |"

    rule = (
        "|"
        + "|".join(
            "-" * (width + 2) if i == 0 else "-" * (width + 1) + ":"
            for i, width in enumerate(widths)
        )
        + "|"
    )
    return "\n".join([f"### {title}", "", line(heads), rule, *map(line, rows), ""])

"""Repaired wheels against auditwheel: time, growth, memory, and whether the tags are the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from measure import COMMAND, peak_memory, seconds, table, wheel, workshop

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: Source distributions with libraries of the system, and wheels that were repaired before.
SOURCES = ("cffi==2.0.0", "psycopg2==2.9.10", "lxml==6.0.0", "shapely==2.1.1")
WHEELS = ("pyarrow==26.0.1", "torch==2.13.0+cpu")
_LOST = {"torch": ("libc10.so", "libtorch.so", "libtorch_cpu.so")}
#: Where the dynamic linker of this machine looks, as auditwheel does.
_SYSTEM = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/local/lib")


def repairs(rounds: int, folder: Path) -> str:
    """Repair wheels with both tools; sdists are built in ``folder``, where wheels are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    built = [_built(each, folder) for each in SOURCES]
    return repair_table([*built, *(wheel(each, python=sys.executable) for each in WHEELS)], rounds)


def repair_table(paths: Sequence[Path], rounds: int) -> str:
    """Measure both tools on wheels that are there."""
    heads = ("wheel", "ours", "auditwheel", "ratio", "growth", "its", "memory", "its", "tag")
    return table("Repaired wheels", heads, [_row(path, rounds) for path in paths])


def _built(requirement: str, folder: Path) -> Path:
    name, _, version = requirement.partition("==")
    if not list(folder.glob(f"{name}-{version}-*.whl")):
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        command += [f"--no-binary={name}", "--wheel-dir", str(folder), requirement]
        subprocess.run(command, check=True)
    return next(folder.glob(f"{name}-{version}-*.whl"))


def _row(path: Path, rounds: int) -> list[str]:
    libraries = [word for each in _SYSTEM if os.path.isdir(each) for word in ("--libs", each)]
    ours = [*COMMAND, "repair", str(path), "--quiet", *libraries]
    theirs = [sys.executable, "-m", "auditwheel", "repair", str(path)]
    # Programs in torch's wheel find these only where they were built; ours leads them there.
    for name in _LOST.get(path.name.partition("-")[0], ()):
        theirs += ["--exclude", name]
    large = path.stat().st_size > 30 << 20
    with workshop() as place:
        commands = [[*ours, "-o", str(place / "ours")], [*theirs, "-w", str(place / "theirs")]]

        def clean() -> None:
            for name in ("ours", "theirs"):
                shutil.rmtree(place / name, ignore_errors=True)

        def run(command: Sequence[str]) -> None:
            # Without one, auditwheel dates what it writes by the clock: the work is the same.
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{command[2]}: {done.stderr[-2000:]}")

        mine, its = seconds(
            lambda: run(commands[0]),
            lambda: run(commands[1]),
            rounds=1 if large else rounds,
            before=clean,
        )
        clean()
        memory = [f"{peak_memory(command) / 1e6:.0f} MB" for command in commands]
        outputs = [next((place / name).glob("*.whl"), None) for name in ("ours", "theirs")]
        grown = [_growth(path, output, _grafts(commands[0], place)) for output in outputs]
        platforms = [_platforms(output) for output in outputs]
    same = bool(platforms[0] and platforms[0] <= platforms[1])
    return [
        path.name.partition("-cp")[0].replace("-", "=="),
        f"{mine:.2f} s",
        f"{its:.2f} s",
        f"{its / mine:.1f}x",
        grown[0],
        grown[1],
        *memory,
        ("same" if same else "other") + f" ({', '.join(sorted(platforms[0])) or 'none'})",
    ]


def _grafts(command: Sequence[str], place: Path) -> int:
    """Count the bytes of the libraries that come along, as they are on the system."""
    report = place / "report.json"
    subprocess.run([*command, "--dry-run", "--json", str(report)], check=True)
    found: list[Mapping[str, str]] = json.loads(report.read_text())["grafts"]
    return sum(os.path.getsize(graft["source"]) for graft in found)


def _growth(old: Path, new: Path | None, grafts: int) -> str:
    if new is None:
        return "-"
    return f"{(_elf_bytes(new) - _elf_bytes(old) - grafts) / 1e3:+.0f} KB"


def _elf_bytes(path: Path) -> int:
    total = 0
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                total += info.file_size if member.read(4) == b"\x7fELF" else 0
    return total


def _platforms(path: Path | None) -> set[str]:
    return set() if path is None else set(path.stem.rpartition("-")[2].split("."))

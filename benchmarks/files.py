"""One file at a time: our writer against patchelf, in time, memory and growth."""

from __future__ import annotations

import shutil
import sys
import zipfile
from typing import TYPE_CHECKING

from measure import SEARCH_PATH, member, peak_memory, run, seconds, table, wheel, workshop

from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from pathlib import Path

_TORCH = "torch==2.13.0+cpu"
_LIBRARIES = ("libc10.so", "libtorch_python.so", "libtorch_cpu.so")
_GROWTH = (
    "numpy==1.19.5",
    "numpy==1.26.4",
    "psycopg2_binary==2.9.13",
    "tbb==2023.2.0",
    "pandas==3.1.1",
    "opencv_python==5.0.0.93",
)
_ONE_EDIT = (
    "import sys\nfrom nix_manylinux.elf.edit.edit import edit_file\n"
    "from nix_manylinux.resolve.plan import ElfEdit\n"
    "edit_file(sys.argv[1], ElfEdit(search_path=tuple(sys.argv[2].split(':'))))\n"
)


def edit_one_file(patchelf: str, rounds: int) -> str:
    """Compare the time and the memory of one edit, by size of the library."""
    edit, raw = ElfEdit(search_path=SEARCH_PATH), ":".join(SEARCH_PATH)
    rows = []
    with workshop() as folder:
        archive = wheel(_TORCH, python=sys.executable)
        for name in _LIBRARIES:
            original = member(archive, f"torch/lib/{name}", folder / name)
            copy = folder / "copy.so"

            def fresh(original: Path = original, copy: Path = copy) -> None:
                shutil.copyfile(original, copy)
                copy.chmod(0o755)

            def ours(copy: Path = copy) -> None:
                edit_file(str(copy), edit)

            def theirs(copy: Path = copy) -> None:
                run([patchelf, "--set-rpath", raw, str(copy)])

            mine, other = seconds(ours, theirs, rounds=rounds, before=fresh)
            fresh()
            my_peak = peak_memory([sys.executable, "-c", _ONE_EDIT, str(copy), raw])
            fresh()
            other_peak = peak_memory([patchelf, "--set-rpath", raw, str(copy)])
            rows.append(
                [
                    f"{name} ({original.stat().st_size / 1e6:.1f} MB)",
                    f"{mine * 1000:.1f} ms",
                    f"{other * 1000:.1f} ms",
                    f"{other / mine:.0f}x",
                    f"{my_peak / 1e6:.0f} MB",
                    f"{other_peak / 1e6:.0f} MB",
                ]
            )
            original.unlink()
    return table(
        "One library: a search path of 290 bytes",
        ["file", "ours", "patchelf", "ratio", "our peak (with Python)", "patchelf's peak"],
        rows,
    )


def growth(patchelf: str) -> str:
    """Compare by how much the ELF files of wheels grow."""
    raw = ":".join(SEARCH_PATH)
    rows, totals = [], [0, 0, 0]
    with workshop() as folder:
        for requirement in _GROWTH:
            sums = [0, 0, 0]
            with zipfile.ZipFile(wheel(requirement, python=sys.executable)) as archive:
                for info in archive.infolist():
                    with archive.open(info) as data:
                        if data.read(4) != b"\x7fELF":
                            continue
                    path = folder / "file.so"
                    path.write_bytes(archive.read(info))
                    facts = read_elf(path, label=info.filename)
                    if facts is None or not facts.kind.is_linked:
                        continue
                    size = path.stat().st_size
                    other = folder / "other.so"
                    shutil.copyfile(path, other)
                    edit_file(str(path), ElfEdit(search_path=SEARCH_PATH))
                    run([patchelf, "--set-rpath", raw, str(other)])
                    sums[0] += size
                    sums[1] += path.stat().st_size - size
                    sums[2] += other.stat().st_size - size
            totals = [a + b for a, b in zip(totals, sums, strict=True)]
            rows.append(_growth_row(requirement, sums))
    rows.append(_growth_row("together", totals))
    return table("Growth of the ELF files of a wheel", ["wheel", "bytes", "ours", "patchelf"], rows)


def _growth_row(name: str, sums: list[int]) -> list[str]:
    size, ours, theirs = sums
    return [
        name,
        f"{size:,}",
        f"{ours:+,} ({100 * ours / size:.2f} %)",
        f"{theirs:+,} ({100 * theirs / size:.2f} %)",
    ]

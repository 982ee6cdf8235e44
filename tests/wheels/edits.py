"""``python -m tests.wheels.edits OUTPUT``: what reader and writer make of every ELF file at hand.

A line of JSON for each file of the wheels that were fetched and for each of four edits: how
it was done, notes, sizes and a digest of the bytes, or the error. Written before and after a
change of the writer (``PYTHONPATH=OTHER/src`` for the other version), the two are compared
by ``diff``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.wheels import corpus

from nix_manylinux.base.errors import NixManylinuxError
from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit, ElfFacts
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONG = tuple(f"/nix/store/{number:032d}-package-{number}-1.2.3/lib" for number in range(5))
#: Larger files are left out: each is written four times.
_MAX_SIZE = 40 << 20


def edits_of(facts: ElfFacts) -> dict[str, ElfEdit]:
    """Give an edit of paths, one of names, and one of all else."""
    return {
        "path": ElfEdit(search_path=_LONG, inherited=facts.rpath is not None),
        "names": ElfEdit(
            search_path=("$ORIGIN/../lib",),
            add_needed=("libm.so.6", "libnew-1.so.2"),
            soname="libquite-another-soname-1a2b3c4d.so.1",
            replace_needed=tuple((name, f"lib{'x' * 40}{name}") for name in facts.needed[-1:]),
        ),
        "rest": ElfEdit(
            remove_needed=facts.needed[:1],
            clear_executable_stack=True,
            interpreter=f"/nix/store/{'y' * 60}/ld.so.1" if facts.interpreter else None,
            add_needed=tuple(f"libmany-{number}.so" for number in range(12)),
        ),
    }


def outcome(path: Path, edit: ElfEdit, label: str) -> list[object]:
    """Edit a file; say what came of it, its bytes by their digest."""
    try:
        done = edit_file(str(path), edit, label=label)
    except NixManylinuxError as error:
        return [type(error).__name__, str(error)]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return [done.how, done.size_before, done.size_after, list(done.notes), digest]


def judge(data: bytes, label: str, path: Path) -> Iterator[tuple[str, object]]:
    """Give what is read of a file, and what each edit makes of it."""
    path.write_bytes(data)
    try:
        facts = read_elf(path, label=label)
    except NixManylinuxError as error:
        yield "facts", str(error)
        return
    yield "facts", repr(facts)
    if facts is None or not facts.kind.is_linked:
        return
    for name, edit in edits_of(facts).items():
        path.write_bytes(data)
        yield name, outcome(path, edit, label)
        if name == "path":
            again = ElfEdit(search_path=_LONG * 4, soname="other.so")
            yield "again", outcome(path, again, label)


def main() -> None:
    """Go through all wheels of the cache; each file once."""
    parser = argparse.ArgumentParser(prog="python -m tests.wheels.edits", description=__doc__)
    parser.add_argument("output")
    parser.add_argument("--shard", default="0/1", metavar="I/N")
    given = parser.parse_args()
    shard, shards = map(int, given.shard.split("/"))
    seen = set()
    with tempfile.TemporaryDirectory() as folder, open(given.output, "w", encoding="utf-8") as out:
        for wheel in sorted(Path(corpus.folder()).glob("*.whl"))[shard::shards]:
            with zipfile.ZipFile(wheel) as archive:
                for info in archive.infolist():
                    if info.file_size > _MAX_SIZE or (info.CRC, info.file_size) in seen:
                        continue
                    data = archive.read(info)
                    if not data.startswith(b"\x7fELF"):
                        continue
                    seen.add((info.CRC, info.file_size))
                    label = f"{wheel.name}:{info.filename}"
                    for what, found in judge(data, label, Path(folder, "file")):
                        json.dump([label, what, found], out)
                        out.write(os.linesep)


if __name__ == "__main__":
    main()

"""A disk that is really full: a small tmpfs of the test's own, with less and less room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import ElfBuilder
from tests.support.isolation import unshare
from tests.support.wheels import MadeWheel, row

from nix_manylinux.target.target import from_running

if TYPE_CHECKING:
    from pathlib import Path

SITE = "lib/python3.11/site-packages"


TMPFS = () if unshare("m") else pytest.mark.asked_for("NIX_MANYLINUX_MOUNTS")

#: Patches what is on the disk again and again, with more and more room; prints how each run ended.
PROGRAM = """
import contextlib, io, json, os, resource, shutil, subprocess, sys
sys.path[:0] = {path!r}
from nix_manylinux.base import scratch
from nix_manylinux.cli.main import main
from tests.support.fault_points import bytes_of, snapshot
kind, scene, disk, given, words = {kind!r}, {scene!r}, {disk!r}, {given!r}, {words!r}
if kind == "tmpfs":
    options = "size=3m,nr_inodes=400"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", disk], check=True)
os.environ["TMPDIR"] = f"{{disk}}/temporary"
scratch._TEMPORARY = ()

def fresh(folder):
    os.makedirs(f"{{folder}}/temporary")
    shutil.copytree(given, f"{{folder}}/work")

def run():
    with contextlib.redirect_stderr(io.StringIO()) as talk:
        status = main(words)
    return status, talk.getvalue()

fresh(disk)
assert run()[0] == 0
after = bytes_of(snapshot(disk))
ends = []
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for room in {rooms!r}:
    for name in "work", "temporary":
        shutil.rmtree(f"{{disk}}/{{name}}")
    fresh(disk)
    before = snapshot(disk)
    if kind == "tmpfs":
        with open(f"{{disk}}/ballast", "wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    pass
        size = os.stat(f"{{disk}}/ballast").st_size
        os.truncate(f"{{disk}}/ballast", max(0, size - room))
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    status, talk = run()
    if kind == "tmpfs":
        os.unlink(f"{{disk}}/ballast")
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    now = snapshot(disk)
    if status == 0:
        assert bytes_of(now) == after, (room, talk)
    else:
        assert status == 1, (room, talk)
        assert talk.count("error: ") == 1, talk
        assert "No space left" in talk or "File too large" in talk, talk
        differ = [name for name in {{*now, *before}} if now.get(name) != before.get(name)]
        assert not differ, (room, talk, differ)
    ends.append(status)
print(json.dumps(ends))
"""


@pytest.mark.parametrize("scene", ["tree", "wheel", "install"])
@pytest.mark.parametrize("kind", [pytest.param("tmpfs", marks=TMPFS), "limit"])
def test_less_and_less_room(kind: str, scene: str, tmp_path: Path) -> None:
    """With any room the patch is done, or refused and everything is byte for byte what it was.

    "limit" is the size of a file that a process may write, where "tmpfs" is the disk's.
    """
    files = ElfBuilder(tmp_path / "elf")
    needed = files.library("libneeded.so.1", soname="libneeded.so.1")
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs/libneeded.so.1").write_bytes(needed.read_bytes())
    library = files.library("a.so", needs=[needed]).read_bytes()
    given, disk = tmp_path / "given", tmp_path / "disk"
    given.mkdir()
    disk.mkdir()
    linker = from_running().dynamic_linker
    libs = ["--libs", str(tmp_path / "libs")]
    words = ["patch", "--dynamic-linker", linker, *libs]
    names = [f"made/{number}.so" for number in range(12)]
    if scene == "tree":
        site = given / "tree" / SITE
        (site / "made").mkdir(parents=True)
        for name in names:
            (site / name).write_bytes(library)
        for number in range(3):
            info = site / f"part{number}-1.0.dist-info"
            info.mkdir()
            rows = [row(name, b"stale") for name in names[number::3] * 40]
            (info / "RECORD").write_text("".join(f"{each}\n" for each in rows))
        words.append(str(disk / "work/tree"))
    elif scene == "install":
        # What is compiled is larger than what it is compiled from.
        module = b"".join(b"a%d=%d.5\n" % (i, i) for i in range(600))
        modules = {f"made/m{number}.py": module + b"b=%d\n" % number for number in range(6)}
        contents = {**modules, "made/a.so": library}
        made = MadeWheel(tag="py3-none-linux_x86_64", files=contents, deflate=False)
        made.write(given)
        (given / "prefix/bin").mkdir(parents=True)
        words = ["install", str(disk / "work" / made.file_name), "--python", sys.executable]
        words += [*libs, "--prefix", str(disk / "work/prefix")]
    else:
        contents = dict.fromkeys(names, library)
        made = MadeWheel(tag="py3-none-linux_x86_64", files=contents, deflate=False)
        made.write(given)
        (given / "out").mkdir()
        (given / "out" / made.file_name).write_bytes(b"an older wheel")
        words += [str(disk / "work" / made.file_name), "--output-dir", str(disk / "work/out")]
    step = 4096 if kind == "tmpfs" else 3001
    rooms = range(40) if scene == "tree" else range(0, 150, 8)
    if (scene, kind) == ("install", "limit"):
        rooms = range(12)
    program = PROGRAM.format(
        path=sys.path,
        kind=kind,
        scene=scene,
        disk=str(disk),
        given=str(given),
        words=words,
        rooms=[step * each for each in rooms],
    )
    command = [*unshare("m")] if kind == "tmpfs" else []
    done = subprocess.run(
        [*command, sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SOURCE_DATE_EPOCH": "315532800"},
    )
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    print(f"{scene.upper()}, {kind}: {ends.count(1)} refused, {ends.count(0)} done")  # noqa: T201
    assert {0, 1} == set(ends)
    assert ends == sorted(ends, reverse=True)

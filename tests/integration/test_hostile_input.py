"""The command on hostile wheels and trees: one error, status 1, and nothing left anywhere."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import ElfBuilder
from tests.support.trees import snapshot
from tests.support.wheels import MadeWheel, row, tiny_library
from tests.unit.test_wheel_open import CONTENTS, HOSTILE, ROWS

from nix_manylinux.base.errors import BadWheel
from nix_manylinux.cli.main import main
from nix_manylinux.target.target import from_running
from nix_manylinux.wheel.archive.read import stream
from nix_manylinux.wheel.open import open_wheel

if TYPE_CHECKING:
    from pathlib import Path

LINKER = from_running().dynamic_linker
COMMON = ("--dynamic-linker", LINKER)


def hostile() -> dict[str, MadeWheel]:
    """Give every hostile wheel of the unit tests by its fault."""
    found = {fault: made for fault, (made, _) in HOSTILE.items()}
    for fault, (broken, _) in CONTENTS.items():
        size = len(broken.data) if broken.size is None else broken.size
        listed = row("made/x.py", broken.data).rpartition(",")[0] + f",{size}\n"
        found[f"contents-{fault}"] = MadeWheel(entries=[broken], record=ROWS + listed)
    return found


WHEELS = hostile()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a TMPDIR of the test's own, to see what is left in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.mark.parametrize("fault", WHEELS)
def test_a_hostile_wheel_is_one_error(
    fault: str, tmp_path: Path, temporary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command that reads one: status 1, one error that names the wheel, no file left."""
    path = WHEELS[fault].write(tmp_path)
    output = tmp_path / "out"
    output.mkdir()
    before = snapshot(tmp_path)
    for words in (
        ["patch", path, *COMMON, "--output-dir", str(output)],
        ["repair", path, "--output-dir", str(output)],
        ["inspect", path, *COMMON],
        ["graph", path, *COMMON, "-o", str(output / "graph.html")],
        ["expr", path],
    ):
        status = main(words)
        talk = capsys.readouterr()
        if words[0] == "expr" and status == 0:
            # Only what it read can be wrong for it: the expression's hash is of the whole file.
            assert fault.startswith("contents-") or "hash" in fault or fault == "wrong-crc"
            continue
        assert status == 1, talk.err
        assert talk.out == ""
        assert talk.err.count("error: ") == 1
        assert f"error: {path}" in talk.err
        assert "Traceback" not in talk.err
        assert snapshot(tmp_path) == before
    assert os.listdir(temporary) == []


BAD_NAME = b"/\xff \n$(touch x)'\"\x1b[31m<script>.so"


def test_names_that_are_not_utf_8(
    tmp_path: Path, temporary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command takes them, on the terminal, in JSON and in pictures; none shows them raw."""
    tree = tmp_path / "tree"
    tree.mkdir()
    with open(os.fsencode(tree) + BAD_NAME, "wb") as file:
        file.write(tiny_library("libodd\udcff.so.1"))
    with open(os.fsencode(tree) + b"/\xfe.so", "wb") as file:
        file.write(tiny_library("b.so", "libodd\udcff.so.1", "lib\udcfe\n.so"))
    report = tmp_path / "report.json"
    missing = ["--missing", "warn"]
    for words, status in (
        (["inspect", str(tree), *COMMON, "--json", str(report)], 0),
        (["patch", str(tree), *COMMON, "--json", str(report)], 1),
        (["patch", str(tree), *COMMON, *missing, "-v", "--json", str(report)], 0),
        (["check", str(tree), *COMMON, "-v", "--json", str(report)], 1),
        (["graph", str(tree), *COMMON, "-o", str(tmp_path / "graph.html")], 0),
        (["graph", str(tree), *COMMON, "-o", str(tmp_path / "graph.svg")], 0),
    ):
        assert main(words) == status, capsys.readouterr().err
        talk = capsys.readouterr()
        assert "Traceback" not in talk.err
        assert "\x1b[31m<script>" not in talk.out + talk.err
        (talk.out + talk.err).encode("utf-8")
        if report.exists():
            json.loads(report.read_text(encoding="utf-8"))
            report.unlink()
    assert os.listdir(temporary) == []


def test_odd_files_are_passed_by(tmp_path: Path) -> None:
    """Every command ends on a tree of FIFOs, sockets, links out of it and circles, in time."""
    tree = tmp_path / "tree"
    tree.mkdir()
    os.mkfifo(tree / "libfifo.so")
    os.mkfifo(tree / "libneeded.so.1")
    (tree / "made-1.0.dist-info").mkdir()
    os.mkfifo(tree / "made-1.0.dist-info/METADATA")
    os.mkfifo(tree / "made-1.0.dist-info/WHEEL")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "socket.so"))
    (tree / "circle.so").symlink_to("circle.so")
    (tree / "folder").symlink_to(".")
    (tree / "zero.so").symlink_to("/dev/zero")
    (tree / "a.so").write_bytes(tiny_library("a.so", "libneeded.so.1"))
    for words, status in (
        (["inspect", str(tree), *COMMON], 0),
        (["patch", str(tree), *COMMON, "--libs", str(tree)], 1),
        (["check", str(tree), *COMMON, "--libs", str(tree)], 1),
        (["graph", str(tree), *COMMON, "--libs", str(tree), "-o", str(tmp_path / "x.svg")], 0),
    ):
        ran = run(*words)
        assert ran.returncode == status, ran.stderr
        assert "libneeded.so.1" in ran.stdout + ran.stderr or words[0] == "graph"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, which has to end."""
    start = "from nix_manylinux.cli.main import main; raise SystemExit(main())"
    return subprocess.run(
        [sys.executable, "-c", start, *words],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["patch", "check", "graph"])
def test_a_damaged_file_can_be_excluded(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is cut short is named and left; `check` fails for it unless it is excluded."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a.so").write_bytes(tiny_library())
    (tree / "cut.so").write_bytes(tiny_library()[:100])
    more = ["-o", str(tmp_path / "x.svg")] if command == "graph" else []
    words = [command, str(tree), *COMMON, *more]
    assert main(words) == (1 if command == "check" else 0)
    assert "cut.so" in capsys.readouterr().err
    assert main([*words, "--exclude", "cut.so"]) == 0
    talk = capsys.readouterr()
    if command != "graph":
        assert "cut.so: " in talk.err
    assert (tree / "cut.so").read_bytes() == tiny_library()[:100]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("command", ["patch", "inspect", "graph", "expr"])
def test_a_signal_leaves_no_folder(
    command: str, number: signal.Signals, tmp_path: Path, temporary: Path
) -> None:
    """Ended while a wheel is unpacked and looked at: TMPDIR and the output folder are empty."""
    # More than 4 MiB, so that several threads unpack.
    files = {f"made/{each}.so": tiny_library(f"l{each}.so") + bytes(9000) for each in range(700)}
    path = MadeWheel(tag="py3-none-linux_x86_64", files=files).write(tmp_path)
    output = tmp_path / "out"
    output.mkdir()
    more = {
        "patch": [*COMMON, "--output-dir", str(output)],
        "graph": [*COMMON, "-o", str(output / "x.svg")],
        "inspect": [*COMMON],
        "expr": [],
    }[command]
    start = "from nix_manylinux.cli.main import main; raise SystemExit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", start, command, path, *more],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and not os.listdir(temporary):
        time.sleep(0.001)
    process.send_signal(number)
    _, talk = process.communicate(timeout=60)
    assert process.returncode in {128 + number, 130, -signal.SIGINT}, talk
    assert "Traceback" not in talk
    assert os.listdir(temporary) == []
    assert os.listdir(output) == []


def test_two_patches_of_a_wheel_at_once(tmp_path: Path, temporary: Path) -> None:
    """Both write the same output: it is whole whoever comes last, and nothing else is there."""
    files = {f"made/{each}.so": tiny_library(f"l{each}.so") for each in range(100)}
    path = MadeWheel(tag="py3-none-linux_x86_64", files=files).write(tmp_path)
    output = tmp_path / "out"
    start = "from nix_manylinux.cli.main import main; raise SystemExit(main())"
    words = ["patch", path, *COMMON, "--output-dir", str(output)]
    running = [
        subprocess.Popen([sys.executable, "-c", start, *words], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [process.communicate()[1] and process.returncode for process in running] == [0, 0, 0]
    assert main([*words[:-1], str(tmp_path / "calm")]) == 0
    (made,) = output.iterdir()
    assert made.read_bytes() == (tmp_path / "calm" / made.name).read_bytes()
    assert os.listdir(temporary) == []


def test_ten_thousand_files_and_deep_folders(tmp_path: Path) -> None:
    """10,000 files of which 500 are ELF, below 100 folders: bounded memory, and all are patched."""
    library = ElfBuilder(tmp_path / "elf").library("a.so", soname="a.so").read_bytes()
    tree = tmp_path / "tree"
    deep = tree.joinpath(*["d"] * 100)
    deep.mkdir(parents=True)
    for each in range(10_000):
        (deep / f"f{each}").write_bytes(library if each % 20 == 0 else b"text")
    report = tmp_path / "report.json"
    words = ["patch", str(tree), *COMMON, "--append-rpath", "/run/extra", "--json", str(report)]
    program = (
        "import sys\nfrom nix_manylinux.cli.main import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        # Not ru_maxrss, which counts the process that forked this one.
        "print(*[line.split()[1] for line in open('/proc/self/status') if line[:5] == 'VmHWM'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100 << 10
    edited = [name for name in os.listdir(deep) if b"/run/extra" in (deep / name).read_bytes()]
    assert len(edited) == 500


def test_a_wheel_of_four_gigabytes_that_takes_no_room(tmp_path: Path) -> None:
    """Behind a hole of 4 GiB members are found by zip64 fields, and read; max_size still counts.

    The hole is a stored member of zeros. It is not read here: the whole of it
    is done with NIX_MANYLINUX_LOAD, by `test_more_than_four_gigabytes`.
    """
    size = 2**32 + 10
    small = MadeWheel(files={"made/a.so": tiny_library()})
    contents = small.contents()
    own = f"{small.dist_info}/RECORD"
    zeros = row("made/big.bin", b"").rpartition(",")[0] + f",{size}\n"
    contents[own] = zeros.encode() + contents[own]
    path = tmp_path / small.file_name
    with open(path, "wb") as file:
        hole = zipfile.ZipInfo("made/big.bin")
        hole.file_size = hole.compress_size = size
        hole.CRC = hole.header_offset = 0
        hole.external_attr = 0o100644 << 16
        file.write(hole.FileHeader(zip64=True))
        file.seek(size, os.SEEK_CUR)
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in contents.items():
                archive.writestr(name, data)
            archive.filelist.insert(0, hole)
    assert path.stat().st_size > size
    assert path.stat().st_blocks * 512 < 2**20
    with open_wheel(str(path)) as wheel:
        assert [member.name for member in wheel.members] == ["made/big.bin", *contents]
        assert wheel.members[0].size == size
        for member in wheel.members[1:]:
            assert member.data > size
            assert b"".join(stream(wheel.descriptor, member)) == contents[member.name]
    with pytest.raises(BadWheel, match="more than 4000000000"):
        open_wheel(str(path), max_size=4 * 10**9)

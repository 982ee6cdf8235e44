"""The command line's contract: exit statuses, streams, and nothing imported in vain."""

from __future__ import annotations

import ast
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import termios
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.elf import ElfBuilder
from tests.support.wheels import MadeWheel, tiny_library
from tests.support.world import elf, plan

from nix_manylinux.cli.arguments import _COMMANDS
from nix_manylinux.cli.console import Console
from nix_manylinux.cli.main import VERSION, main
from nix_manylinux.data import data_path
from nix_manylinux.report.summary import report_json
from nix_manylinux.target.target import from_running

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "nix_manylinux", *words], capture_output=True, text=True, check=False
    )


def run_without(modules: str, words: Sequence[object]) -> str:
    """Run the command in a new process; give its standard error.

    It must import none of ``modules``, and none of those that no patch should wait for.
    """
    slow = {"dataclasses", "elftools", "inspect", "installer", "locale", "packaging", "typing"}
    # argparse itself has these from Python 3.14 on.
    theirs = {"dataclasses", "inspect"} if sys.version_info >= (3, 14) else set()
    kept_out = {*modules.split(), *slow} - theirs
    code = (
        "import sys; from nix_manylinux.cli.main import main\n"
        f"assert main({[str(word) for word in words]!r}) == 0\n"
        f"print(sorted(set(sys.modules) & {kept_out!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
    return done.stderr


def test_version_imports_nothing() -> None:
    """--version answers without argparse, dataclasses or any dependency."""
    code = (
        "import sys; from nix_manylinux.cli.main import main; main(['--version']);"
        "print(sorted(m for m in ('argparse', 'dataclasses', 'installer', 'packaging', 'json')"
        " if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"nix-manylinux {VERSION}\n[]\n"


def test_the_process_ends_with_the_command() -> None:
    """Python takes nothing apart behind it; what was said has arrived, and the status is its."""
    code = (
        "import atexit; from nix_manylinux.cli.main import run\n"
        "atexit.register(print, 'late'); run()"
    )
    for word, status, says in (("--version", 0, VERSION), ("--no-such", 2, "try: ")):
        command = [sys.executable, "-c", code, word]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == status
        assert says in done.stdout + done.stderr
        assert "late" not in done.stdout


def test_patching_a_tree_imports_what_it_uses(tmp_path: Path) -> None:
    """`patch TREE` edits, rewrites RECORD and verifies without a module that is slow to import."""
    files = ElfBuilder(tmp_path / "elf")
    library = files.library("a.so", runpath="/nowhere").read_bytes()
    made = MadeWheel(tag="py3-none-linux_x86_64", files={"made/a.so": library}).write(tmp_path)
    tree = tmp_path / "tree"
    with zipfile.ZipFile(made) as archive:
        archive.extractall(tree)
    words = ["patch", str(tree), "--dynamic-linker", from_running().dynamic_linker]
    assert "1 patched" in run_without("email subprocess tempfile", words)


def test_patching_a_small_wheel_imports_what_it_uses(tmp_path: Path) -> None:
    """`patch WHEEL` of little needs no threads, and the plain name of a wheel no `packaging`."""
    library = ElfBuilder(tmp_path / "elf").library("a.so", runpath="/nowhere").read_bytes()
    made = MadeWheel(tag="py3-none-linux_x86_64", files={"made/a.so": library}).write(tmp_path)
    words = ["patch", str(made), "--dynamic-linker", from_running().dynamic_linker]
    words += ["--output-dir", str(tmp_path / "out")]
    assert "1 patched" in run_without("threading zipfile tempfile", words)


def test_what_is_declared_is_what_is_imported() -> None:
    """pyproject.toml and nix/package.nix name the libraries that the source imports, no other."""
    root = Path(__file__).parents[2]
    (line,) = re.findall(r"(?m)^dependencies = (.*)$", (root / "pyproject.toml").read_text())
    declared = set(re.findall(r'"([\w-]+)', line))
    names = {"elftools": "pyelftools"}
    found = set()
    for path in (root / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            each = [a.name for a in node.names] if isinstance(node, ast.Import) else [module or ""]
            found |= {name.partition(".")[0] for name in each}
    others = found - set(sys.stdlib_module_names) - {"", "nix_manylinux", "typing_extensions"}
    assert {names.get(name, name) for name in others} == declared
    package = (root / "nix/package.nix").read_text()
    (listed,) = re.findall(r"dependencies = \[([^]]*)\]", package)
    older = re.findall(r'optional \(python.pythonOlder "[0-9.]+"\) (\w+)', package)
    assert {*listed.split(), *older} == declared


def test_version_is_the_packages() -> None:
    """One version, in pyproject.toml and in the command."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'version = "{VERSION}"' in text


@pytest.mark.parametrize(
    "words",
    [
        ["patch"],
        ["nonsense"],
        ["patch", "x.whl"],
        ["patch", "x.whl", "."],
        ["patch", ".", "--missing", "perhaps"],
        ["patch", ".", "--ignore-missing", "*"],
        ["patch", ".", "--libs", "/a:b"],
        ["patch", ".", "--libs", ""],
        ["patch", ""],
        ["patch", ".", "-o", "out"],
        ["inspect", ""],
        ["patch", "x-1-py3-none-any.whl", "-o", ""],
    ],
)
def test_usage_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What can't be meant is exit status 2, with nothing on standard output."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (
            ["patch", ".", "--nixpgks"],
            "; did you mean --nixpkgs?\ntry: nix-manylinux patch --help\n",
        ),
        (["insepct", "x"], "; did you mean inspect?\ntry: nix-manylinux --help\n"),
        (["check", ".", "--missing", "lefs"], "; did you mean leaves?\n"),
        (["check", ".", "--missing", "warn"], "(choose from 'fail', 'leaves')\n"),
        (["patch"], "nix-manylinux patch: the following arguments are required: TREE|WHEEL\ntry: "),
    ],
)
def test_usage_errors_are_short(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong, what may have been meant, and where help is: two lines."""
    assert main(words) == 2
    err = capsys.readouterr().err
    assert meant in err
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize("command", _COMMANDS)
@pytest.mark.parametrize("words", [["--nonsense"], ["--nixpkgs", "x"], ["--missing", "5"], ["-Z"]])
def test_no_option_of_another_command_is_a_fault(
    command: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of `install`, too, whose choices are numbers."""
    required = {"install": ["--prefix", "p"], "patch": []}.get(command, [])
    assert main([command, "/nowhere", *required, *words]) in {1, 2}
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["patch", "/nowhere"], ["check", "/nowhere"], ["inspect", "/nowhere-1-py3-none-any.whl"]],
)
def test_refusals_are_1_without_a_traceback(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad input is exit status 1 and one sentence."""
    assert main(words) == 1
    err = capsys.readouterr().err
    assert "/nowhere" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("epoch", ["²", "٣", "1.5", "+1", " 1", "9" * 5000, "-", "yesterday"])
def test_a_date_that_is_none_is_refused(
    epoch: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A malformed SOURCE_DATE_EPOCH is told and nothing written, as its specification asks."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    wheel = MadeWheel(files={"made/__init__.py": b""}).write(tmp_path)
    assert main(["patch", wheel, "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(
        "error: SOURCE_DATE_EPOCH: is no number of seconds since 1970: '"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("epoch", ["", "0", "-315532800", "315532800", "9" * 20])
def test_a_date_before_zip_or_after_it_is_one(
    epoch: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every integer that `date +%s` may print is taken; an empty value is none."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    wheel = MadeWheel(files={"made/__init__.py": b""}).write(tmp_path)
    assert main(["patch", wheel, "-o", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("command", ["patch", "inspect", "check", "graph"])
def test_a_broken_file_is_left_alone(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What no loader takes is named in a warning; only `check` has to say that it won't load."""
    (tmp_path / "bad.so").write_bytes(tiny_library("bad.so")[:100])
    (tmp_path / "good.so").write_bytes(tiny_library("good.so"))
    assert main([command, str(tmp_path)]) == (1 if command == "check" else 0)
    err = capsys.readouterr().err
    assert "bad.so" in err
    assert "ends behind the end of the file" in err
    options = [["--exclude", "bad.so"]]
    options += [["--damaged", "warn"]] if command != "inspect" else []
    for each in options:
        assert main([command, str(tmp_path), *each]) == 0
        out, err = capsys.readouterr()
        assert "warning: bad.so: " in err
        assert "it is left alone" in err
        assert "1 ELF file" in out + err


def foreign_library(soname: str) -> bytes:
    """Give a library of which only the machine is another one: aarch64 (EM_AARCH64 is 183)."""
    native = tiny_library(soname)
    return native[:18] + (183).to_bytes(2, "little") + native[20:]


def test_check_counts_what_it_looked_at(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Files for another machine are not said to load; where all are, that is an error."""
    (tmp_path / "arm.so").write_bytes(foreign_library("arm.so"))
    assert main(["check", str(tmp_path)]) == 1
    assert "all ELF files are for aarch64, the target is x86_64" in capsys.readouterr().err
    assert main(["check", str(tmp_path), "--exclude", "arm.so"]) == 0  # left out on purpose
    capsys.readouterr()
    (tmp_path / "here.so").write_bytes(tiny_library("here.so"))
    assert main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().err == (
        "1 ELF file: everything loads; 1 left alone (for another machine (aarch64))\n"
    )


def test_check_advises_to_patch(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What `check` misses is added by a patch, not given to `check`; what is ignored is told."""
    (tmp_path / "a.so").write_bytes(tiny_library("a.so", "libzzyzx.so.3"))
    assert main(["check", str(tmp_path)]) == 1
    command = f"nix-manylinux patch {tmp_path} \\\n  --ignore-missing a.so:libzzyzx.so.3\n"
    assert f"what wants it, patch it with:\n{command}" in capsys.readouterr().err
    assert main(["check", str(tmp_path), "--ignore-missing", "libzzyzx.so.3"]) == 0
    told = capsys.readouterr().out
    assert told == "a.so: libzzyzx.so.3 is ignored by 'libzzyzx.so.3'\n"


def test_foreign_files_are_told_together(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Files for one other machine are one problem, with the option that allows them to paste."""
    files = {
        "made/x64/a.so": tiny_library("a.so"),
        "made/arm/a.so": foreign_library("a.so"),
        "made/arm/b.so": foreign_library("b.so"),
        "made/arm9/b.so": foreign_library("b.so"),
    }
    wheel = MadeWheel(files=files).write(tmp_path)
    words = ["patch", wheel, "-o", str(tmp_path / "out")]
    assert main(words) == 1
    err = capsys.readouterr().err
    assert err.count("machine aarch64: it is for aarch64, the target is x86_64") == 1
    assert (
        f"\nnix-manylinux patch {wheel} --output-dir {words[3]} \\\n  --allow-foreign 'made/*'\n"
        in err
    )
    assert main([*words, "--allow-foreign", "made/*"]) == 0


@pytest.mark.parametrize(
    ("platform", "why"),
    [
        ("manylinux_2_17_aarch64", "the wheel is for aarch64, the target is x86_64"),
        ("musllinux_1_2_x86_64", "the wheel is for musl (musllinux_1_2_x86_64), the target's"),
    ],
)
def test_inspect_tells_what_patch_would_refuse(
    platform: str, why: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A wheel for another machine or libc than the one that is named is called that.

    Nothing is advised to be added. Where none is named, it is looked at as what it is for.
    """
    library = tiny_library("a.so", "libc.musl-x86_64.so.1")
    if "aarch64" in platform:
        library = foreign_library("a.so")
    made = MadeWheel(files={"made/a.so": library}, tag=f"py3-none-{platform}")
    wheel = made.write(tmp_path)
    report = tmp_path / "report.json"
    named = ["--dynamic-linker", from_running().dynamic_linker]
    assert main(["inspect", wheel, *named, "--json", str(report)]) == 0
    out = capsys.readouterr().out
    assert f"\ndoes not fit this target:\n  {why}" in out
    assert "machine aarch64" not in out
    assert "to add" not in out
    assert json.loads(report.read_text())["inspection"]["misfits"][0].startswith(why)
    assert main(["patch", wheel, "-o", str(tmp_path)]) == 1
    assert why in capsys.readouterr().err
    assert main(["inspect", wheel]) == 0
    out = capsys.readouterr().out
    assert "as its files are, not for this machine" in out
    assert "does not fit" not in out


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("made-1.0.tar.gz", "is neither a directory nor a wheel (*.whl)"),
        ("made-1.0-py3.11.egg", "is neither a directory nor a wheel (*.whl)"),
        ("made.pex", "is a zip application, which unpacks its files when it is started"),
        ("made-1.0-py3-none-any.whl.metadata", "is neither a directory nor a wheel (*.whl)"),
        ("nothing", "there is no such file or directory"),
        ("nothing.whl", "there is no such file or directory"),
    ],
)
@pytest.mark.parametrize("command", ["patch", "check", "inspect", "graph"])
def test_what_is_no_tree_and_no_wheel(
    command: str, name: str, what: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A file of another kind is called that, and what isn't there is called missing."""
    path = tmp_path / name
    if not name.startswith("nothing"):
        path.write_bytes(b"PK")
    output = ["-o", str(tmp_path / "out")] if command == "patch" else []
    assert main([command, str(path), *output]) == 1
    assert capsys.readouterr().err.startswith(f"error: {path}: {what}\n  ")


def test_one_elf_file_is_no_tree(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tree to name is said: the environment, else site-packages, else the file's folder."""
    site_packages = tmp_path / "my env/lib/python3.11/site-packages"
    (site_packages / "made").mkdir(parents=True)
    file = ElfBuilder(tmp_path).library("a.so").rename(site_packages / "made/a.so")

    def tree(path: object) -> str:
        assert main(["patch", str(path)]) == 1
        first, hint = capsys.readouterr().err.splitlines()
        assert first == f"error: {path}: is one ELF file, not the tree that it belongs to"
        return hint.removeprefix("  name the tree: ")

    assert tree(file) == f"'{site_packages}'"
    (tmp_path / "my env/pyvenv.cfg").touch()
    assert tree(file) == f"'{tmp_path}/my env'"
    monkeypatch.chdir(tmp_path)
    assert tree(file.relative_to(tmp_path)) == "'my env'"
    monkeypatch.chdir(site_packages)
    assert tree("made/a.so") == "../../.."
    assert tree(shutil.copy(file, tmp_path)) == str(tmp_path)


@pytest.mark.parametrize("command", ["inspect", "graph"])
def test_a_wheel_without_elf_files_is_looked_at(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It needs nothing, and by the time that is told its scratch folder is gone."""
    assert main([command, str(MadeWheel().write(tmp_path))]) == 0
    assert capsys.readouterr().err == ""


def test_a_folder_of_wheels_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks into them, so nothing is said to load; what to type is ready to paste."""
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path)
    wheel = MadeWheel().write(tmp_path / "a b")
    one = shlex.quote(os.path.relpath(wheel))
    for command, more in (("patch", " --output-dir patched"), ("check", ""), ("inspect", "")):
        assert main([command, "a b", "--json", "report"]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err == (
            "error: a b: holds wheels, and nothing that is installed\n"
            f"  name them:\n  nix-manylinux {command} {one} --json report{more}\n"
        )
        assert json.loads(Path("report").read_text())["error"]["kind"] == "BadTree"
    MadeWheel(name="second").write(tmp_path / "a b")
    for command, wheels in (("check", "'a b'/*.whl"), ("graph", one)):
        assert main([command, "a b/"]) == 1
        assert capsys.readouterr().err.endswith(f"\n  nix-manylinux {command} {wheels}\n")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/x.so").write_bytes(tiny_library("x.so"))
    for command, status in (("patch", 0), ("check", 1)):  # nothing is refused that was done
        assert main([command, "tree", "a b"]) == status
        assert "holds wheels, " in capsys.readouterr().err
    assert main(["patch", "a b", "-o", "out"]) == 2
    assert "named one by one (a b/*.whl)" in capsys.readouterr().err
    assert main(["check", wheel]) == 0
    assert capsys.readouterr().err == "no ELF file: there is nothing to load\n"
    lacking = MadeWheel(name="b", files={"b/x.so": tiny_library("x.so", "libz.so.1")}).write(
        tmp_path
    )
    assert main(["check", wheel, lacking]) == 1
    told = capsys.readouterr().err
    assert "error: 1 library missing, wanted by b/x.so:\n  libz.so.1: zlib\n" in told
    assert f"nix-manylinux patch {lacking} --output-dir patched" in told


def test_several_wheels_are_patched_each_for_itself(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A wheel that is refused is told under its name, and the others are written."""
    names = ("one", "two", "three")
    wheels = [
        MadeWheel(
            name=name,
            files={f"{name}/a.so": tiny_library("a.so", *needed)},
            tag="py3-none-manylinux_2_17_x86_64",
        ).write(tmp_path)
        for name, needed in zip(names, ((), ("libzzyzx.so.3",), ()), strict=True)
    ]
    assert main(["patch", *wheels, "-o", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    head = (
        "two-1.0-py3-none-manylinux_2_17_x86_64.whl\nerror: 1 library missing, wanted by two/a.so;"
    )
    assert head in err
    assert sorted(path.name[:3] for path in (tmp_path / "out").iterdir()) == ["one", "thr"]
    assert main(["patch", *wheels, "-o", str(tmp_path / "out"), "--ignore-missing", "*"]) == 2


def test_wheels_of_one_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Two files would be one of the output: nothing is patched. `repair` learns it as it goes."""
    wheels = []
    for folder, tag in (("one", "linux_x86_64"), ("two", "manylinux_2_17_x86_64")):
        made = MadeWheel(files={"made/a.so": tiny_library("a.so")}, tag=f"py3-none-{tag}")
        (tmp_path / folder).mkdir()
        wheels.append(made.write(tmp_path / folder))
    words = ["-q", "-o", str(tmp_path / "out")]
    assert main(["repair", *wheels, *words]) == 0
    told = capsys.readouterr().err
    assert f"was made of {wheels[0]} before: of two wheels that get one name, the last" in told
    twin = str(shutil.copy(wheels[0], tmp_path))
    assert main(["patch", wheels[0], twin, *words]) == 2
    assert f"{wheels[0]} and {twin} would be one file" in capsys.readouterr().err
    assert (
        main(["patch", wheels[0], f"{tmp_path}/two/../one/{os.path.basename(twin)}", *words]) == 0
    )


def shell(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which ``nm`` is the command; "$@" are the words."""
    start = "from nix_manylinux.cli.main import run; raise SystemExit(run())"
    text = f'nm() {{ {shlex.quote(sys.executable)} -c "{start}" "$@"; }}\n{script}'
    return subprocess.run(
        ["bash", "-c", text, "shell", *words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "words", [["inspect"], ["inspect", "--json", "-"], ["graph"], ["graph", "--format", "html"]]
)
def test_answers_that_cannot_be_written(words: list[str], tmp_path: Path) -> None:
    """A full disk behind standard output is a refusal in one line, and no fault of ours."""
    (tmp_path / "a.so").write_bytes(tiny_library("a.so"))
    done = shell('nm "$@" >/dev/full', *words, str(tmp_path))
    assert done.stderr == "error: standard output: can't be written: No space left on device\n"
    assert done.returncode == 1
    left = shell("(sleep 0.5; nm --version; echo $? >&2) | exit")
    assert left.stderr == "0\n"
    version = shell("nm --version >/dev/full")
    assert (version.returncode, version.stderr) == (1, done.stderr)


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-", "2>&1 | true", ">&- 2>&- <&-"])
def test_talk_that_cannot_be_written_stops_nothing(where: str, tmp_path: Path) -> None:
    """A patch is done to its end, roots and report included, though nobody can hear of it."""
    tree, roots, report = tmp_path / "tree", tmp_path / "roots", tmp_path / "report.json"
    tree.mkdir()
    (tree / "a.so").write_bytes(tiny_library("a.so", runpath="/nowhere"))
    words = ["patch", str(tree), "-v", "--gc-roots", str(roots), "--json", str(report)]
    done = shell(f'set -o pipefail; nm "$@" {where}', *words)
    assert done.returncode == 0, done
    assert roots.is_dir()
    assert json.loads(report.read_text())["status"] == "done"


def test_a_reader_may_leave(tmp_path: Path) -> None:
    """Who reads only the first line gets it, and the exit status is the command's own."""
    (tmp_path / "a.so").write_bytes(tiny_library("a.so", "libzzyzx.so.3"))
    done = shell('set -o pipefail; nm graph "$1" | head -n 1', str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "digraph needs {\n", "")
    done = shell('set -o pipefail; nm check --json - "$1" 2>/dev/null | true', str(tmp_path))
    assert done.returncode == 1


def test_a_report_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The reason of a refusal is told although its report has no place, and each thing once."""
    report = str(tmp_path / "nowhere" / "report.json")
    assert main(["check", str(tmp_path / "gone"), "--json", report]) == 1
    err = capsys.readouterr().err
    assert "there is no such file or directory" in err
    assert err.count("can't write the report") == 1
    assert main(["check", str(tmp_path), "--json", report]) == 1
    assert capsys.readouterr().err.count("can't write the report") == 1


def test_our_own_fault_is_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An exception that is not of the family is told as ours."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("nix_manylinux.cli.commands.patch_wheel_tree", broken)
    assert main(["patch", str(tmp_path)]) == 3
    assert "fault of nix-manylinux" in capsys.readouterr().err


def test_json_goes_to_stdout_and_fits_the_schema(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--json - writes a report that its schema accepts, and nothing else, to standard output."""
    assert main(["patch", str(tmp_path), "--json", "-"]) == 0
    value = json.loads(capsys.readouterr().out)
    jsonschema.validate(value, json.loads(Path(data_path("report.schema.json")).read_text()))
    assert value["status"] == "done"


def patch_a_wheel(folder: Path) -> tuple[Path, list[str]]:
    """Make a wheel with a library that needs an edit, and the words that patch it."""
    library = ElfBuilder(folder / "elf").library("a.so", runpath="/nowhere").read_bytes()
    made = MadeWheel(tag="py3-none-linux_x86_64", files={"made/a.so": library})
    words = ["patch", made.write(folder), "--dynamic-linker", from_running().dynamic_linker]
    return folder / "out" / made.file_name, [*words, "--output-dir", str(folder / "out")]


def test_the_report_on_a_wheel_has_its_digest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--json tells the SHA-256 of the wheel that was written; without it nobody computes one."""
    output, words = patch_a_wheel(tmp_path)
    assert main([*words, "--json", "-"]) == 0
    value = json.loads(capsys.readouterr().out)
    jsonschema.validate(value, json.loads(Path(data_path("report.schema.json")).read_text()))
    digest = hashlib.sha256(output.read_bytes()).hexdigest()
    assert value["wheel"] == {"path": str(output), "sha256": digest}


def test_patching_a_wheel_imports_what_it_uses(tmp_path: Path) -> None:
    """`patch WHEEL` reads, edits and writes without a module that is slow to import."""
    output, words = patch_a_wheel(tmp_path)
    run_without("email zipfile tempfile calendar datetime", words)
    assert output.exists()


def test_refusals_fit_the_schema_too() -> None:
    """A refused plan's report names what is missing."""
    from nix_manylinux.resolve.plan import Options, Unresolved, refuse

    files = {"a.so": elf("libx.so"), "b.so": elf("libx.so", "libm.so.6")}
    with pytest.raises(Unresolved) as caught:
        refuse(plan(files), Options())
    value = report_json("patch", error=caught.value)
    jsonschema.validate(value, json.loads(Path(data_path("report.schema.json")).read_text()))
    assert value["missing"] == [{"name": "libx.so", "wanted_by": ["a.so", "b.so"], "reason": None}]
    assert value["status"] == "refused"


def test_names_cannot_write_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters in a file's name are shown, not obeyed."""
    console = Console(sys.stderr, sys.stdout, environment={})
    console.say("evil\x1b]0;title\x07\nname\udcff")
    assert capsys.readouterr().err == "evil\\x1b]0;title\\x07\\nname\\udcff\n"


def test_the_module_is_the_command() -> None:
    """`python -m nix_manylinux` is the command."""
    assert run("--version").stdout == f"nix-manylinux {VERSION}\n"
    assert run().returncode == 2


def how_to_build(python: str) -> str:
    """Give what `expr` says, behind all else, of a package called made."""
    return (
        "to build it as made.nix (./nix-manylinux is a checkout, or a link to one):\n"
        "  nix-build -E 'with import <nixpkgs> {"
        " overlays = [ (import ./nix-manylinux/nix/overlay.nix) ]; };"
        f" {python}.pkgs.callPackage ./made.nix {{ }}'\n"
    )


def test_expr_prints_an_expression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`expr WHEEL` writes a buildPythonPackage call to standard output and nothing else."""
    files = {"made/__init__.py": b"", "made/fast.so": tiny_library("fast.so")}
    assert main(["expr", MadeWheel(files=files).write(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("{\n  lib,\n  buildPythonPackage,")
    assert 'format = "manylinux2014";' in out
    source = "src is the file of that name on the default index; --local takes this one\n"
    assert err == source + how_to_build("python311")
    assert main(["expr", "made>1"]) == 2


def test_the_public_names_are_there() -> None:
    """Every name that the package promises can be imported, Target's two ways included."""
    import nix_manylinux

    for name in nix_manylinux.__all__:
        assert getattr(nix_manylinux, name).__name__ == name
    target_ = nix_manylinux.Target.from_interpreter(sys.executable)
    again = nix_manylinux.Target.from_dynamic_linker(target_.dynamic_linker)
    assert again.libc_version == target_.libc_version
    assert isinstance(target_, nix_manylinux.Target)
    with pytest.raises(AttributeError):
        nix_manylinux.nonsense  # noqa: B018 - the access is the test


WORDS = ("--libs", "--libs=a", "--libs=", "--lib", "b", "-q", "--json", "--", "--missing=warn", "t")


@given(st.lists(st.sampled_from(WORDS), max_size=7))
def test_directories_are_read_as_argparse_reads_them(words: list[str]) -> None:
    """Reading ``--libs`` in linear time gives what argparse alone gives, errors included."""
    import contextlib
    import io

    from nix_manylinux.cli.arguments import make_parser, parse_arguments

    def told(parse: Callable[[], object]) -> object:
        with contextlib.redirect_stderr(io.StringIO()) as said:
            try:
                return parse()
            except SystemExit as leaving:
                return leaving.code, said.getvalue().splitlines()[0]

    def alone() -> object:
        found = make_parser("0").parse_args(["patch", *words])
        return found.libs, found.json, found.quiet, found.paths

    def ours() -> object:
        found = parse_arguments("0", ["patch", *words]).extra
        return found.libs, found.json, found.quiet, found.paths

    wanted, found = told(alone), told(ours)
    if isinstance(wanted, tuple) and wanted[0] == 2 and "unrecognized" in str(wanted[1]):
        return  # a tree behind an option behind a tree, which argparse can't read
    assert found == wanted


def test_the_collector_is_given_back() -> None:
    """Who runs the command in their own process has their garbage collected afterwards."""
    import gc

    assert gc.isenabled()
    assert main(["patch"]) == 2
    assert gc.isenabled()


def test_expr_says_what_it_took_for_granted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel for any Python 3 says nothing of a Python: the one that markers are for is told."""
    source = "src is the file of that name on the default index; --local takes this one\n"
    chooses = "--python-version chooses another one\n"
    wheel = MadeWheel(tag="py3-none-manylinux_2_17_x86_64").write(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("nix_manylinux.nix.references._PLACES", ())
    assert main(["expr", wheel]) == 0
    unknown = f"{source}for Python 3.12, since there is no <nixpkgs> to ask; {chooses}"
    unknown += how_to_build("python312")
    of_nixpkgs = f"{source}for Python 3.14, as <nixpkgs> has it; {chooses}"
    of_nixpkgs += how_to_build("python314")
    assert capsys.readouterr().err == unknown
    told = '{"python": "3.14", "system": "aarch64-linux", "packages": [], "attributes": []}'
    nix = tmp_path / "nix-instantiate"
    nix.write_text(f"#!/bin/sh\necho '{told}'\n")
    nix.chmod(0o755)
    assert main(["expr", wheel]) == 0
    assert capsys.readouterr().err == of_nixpkgs
    # A wheel for a Python and later ones leaves it open, too.
    later = MadeWheel(tag="cp39-abi3-manylinux_2_17_x86_64").write(tmp_path)
    assert main(["expr", later]) == 0
    assert capsys.readouterr().err == of_nixpkgs
    for broken in ("exit 1", "echo no JSON", "echo '[]'", "echo '{}'"):
        nix.write_text(f"#!/bin/sh\n{broken}\n")
        assert main(["expr", wheel]) == 0
        assert capsys.readouterr().err == unknown
    assert main(["expr", wheel, "--python-version", "3.13"]) == 0
    assert capsys.readouterr().err == source + how_to_build("python313")
    assert main(["expr", MadeWheel(tag="cp311-cp311-manylinux_2_17_x86_64").write(tmp_path)]) == 0
    assert capsys.readouterr().err == source + how_to_build("python311")


def test_expr_of_the_file_itself(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--local` is for a wheel at hand."""
    monkeypatch.chdir(tmp_path)
    wheel = MadeWheel().write(tmp_path)
    assert main(["expr", wheel, "--local"]) == 0
    assert f"  src = ./{os.path.basename(wheel)};\n" in capsys.readouterr().out
    assert main(["expr", "made==1.0", "--local"]) == 2
    err = capsys.readouterr().err
    assert "--local is for a wheel at hand, and 'made==1.0' is none" in err
    assert "pip download --no-deps made==1.0" in err


def on_terminal(columns: int, *words: str) -> list[str]:
    """Run the command where both of its streams are one terminal; gives lines without colours."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    start = "from nix_manylinux.cli.main import run; raise SystemExit(run())"
    command = [sys.executable, "-c", start, *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        data = b""
        with contextlib.suppress(OSError):  # EIO, when nobody has the other end any more
            while piece := os.read(ours, 1 << 16):
                data += piece
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", data.decode()).splitlines()


@pytest.mark.parametrize(("columns", "width"), [(70, 70), (20, 60), (300, 100)])
def test_the_width_of_a_terminal(columns: int, width: int, tmp_path: Path) -> None:
    """Answers and talk break between words where a line ends, down to 60 columns."""
    names = [f"libquite-a-long-name-{number}.so.1" for number in range(9)]
    (tmp_path / "a.so").write_bytes(tiny_library("a.so", *names))
    (tmp_path / "b.so").write_bytes(tiny_library("b.so", "libz.so.1"))
    for verb in ("inspect", "check", "patch"):
        told = on_terminal(columns, verb, str(tmp_path))
        assert any("10 libraries missing, wanted by 2 files" in line for line in told)
        assert max(map(len, told)) > width - 20
        broken = [line for line in told if len(line) > width and str(tmp_path) not in line]
        assert not [line for line in broken if "ignore-missing" not in line]

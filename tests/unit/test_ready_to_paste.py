"""What `inspect` ends in, and what a refused wheel is answered with: whole commands."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from tests.support.elf import ElfBuilder
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.cli.arguments import make_parser, parse_arguments
from nix_manylinux.cli.command_line import typed
from nix_manylinux.cli.main import main
from nix_manylinux.nix.advice import OPTIONS

if TYPE_CHECKING:
    from nix_manylinux.cli.run import Run

BUILD = "$(nix-build '<nixpkgs>' --no-out-link -A zlib.out | sed 's:.*:--libs=&/lib:')"
OTHERS = "or, with packages of your choice:"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder, in no build."""
    monkeypatch.chdir(tmp_path)
    for variable in ("NIX_BUILD_TOP", "NIX_BINTOOLS"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def wheel(*needed: str, tag: str = "py3-none-linux_x86_64") -> str:
    """Write a wheel that needs libraries, and give its name here."""
    made = MadeWheel(tag=tag, files={"made/a.so": tiny_library("a.so", *needed)})
    return made.write(".").removeprefix("./")


def last(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Give the lines behind the last empty one that was shown."""
    return capsys.readouterr().out.rpartition("\n\n")[2].splitlines()


def commands(lines: list[str]) -> list[list[str]]:
    """Read the commands, as a shell would, and have them parsed: none may be a part of one."""
    told = "\n".join(line for line in lines if not line.strip().startswith("#"))
    found = [line.strip() for line in told.replace("\\\n", "").splitlines()]
    words = [shlex.split(line.partition("$(")[0])[1:] for line in found if "nix-manylinux" in line]
    for each in words:
        parse_arguments("", each)
    return words


@pytest.mark.parametrize("command", ["inspect", "check", "patch -o patched"])
def test_a_wheel(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """The short way comes first, then the long one; who looks is told of `expr`, too."""
    path, looks = wheel("libz.so.1"), command == "inspect"
    assert main([*command.split(), path]) == (not looks)
    told = capsys.readouterr()
    lines = (told.out if looks else told.err).rpartition("\n\n")[2].splitlines()
    patch = f"nix-manylinux patch {path} --output-dir patched"
    expected = ["patch it with:", f"{patch} --nixpkgs", OTHERS, f"{patch} \\", f"  {BUILD}"]
    if looks:
        expected = [
            "it does not load as it is; patch it with:",
            f"  {patch} --nixpkgs",
            OTHERS,
            f"  {patch} \\",
            f"    {BUILD}",
            "or, as a package:",
            f"  nix-manylinux expr {path}",
        ]
    elif command == "check":
        expected += ["or, as a package:", f"nix-manylinux expr {path}"]
    assert lines == expected
    commands(lines)


def loader(place: Path, *needed: str) -> bytes:
    """Compile a library that names others, which it may load at run time."""
    source = 'const char *const made[] = {"libEGL.so.1", "libasound.so.2", "libcuda.so.1"};'
    built = ElfBuilder(place / "built").library("a.so", source=source, needed=needed)
    return built.read_bytes()


def test_libraries_that_are_loaded_at_run_time(
    capsys: pytest.CaptureFixture[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come by a whole command, for a tree and for a wheel, linked already or not."""
    names = ["libEGL.so.1", "libasound.so.2", "libcuda.so.1"]
    asks = [word for name in names for word in ("--runtime-libs", name)]

    def told(path: str) -> list[str]:
        assert main(["inspect", path]) == 0
        out = capsys.readouterr().out
        return out.partition("may be loaded at run time:\n")[2].partition("\n\n")[0].splitlines()

    (place / "tree").mkdir()
    for needed in ([], ["libz.so.1"], ["libmimerapi.so"]):
        data = loader(place, *needed)
        (place / "tree/a.so").write_bytes(data)
        made = MadeWheel(tag="py3-none-linux_x86_64", files={"made/a.so": data}).write(".")
        for path, more in ("tree", []), (made, ["--output-dir", "patched"]):
            lines = told(path)
            at = lines.index("  if you need them, patch it with:")
            assert ("# expr takes --runtime-libs, too." in lines[-1]) is (path == made)
            (words,) = commands(lines[at + 1 :])
            ignored = ["--ignore-missing", f"{'made/' * (path == made)}a.so:libmimerapi.so"]
            ignored = ignored if needed == ["libmimerapi.so"] else []
            assert words == ["patch", path, *more, "--nixpkgs", *ignored, *asks]
    # In a build it is what an expression lacks, each variable once.
    monkeypatch.setenv("NIX_BUILD_TOP", str(place))
    (place / "tree/a.so").write_bytes(loader(place, "libz.so.1"))
    at = (lines := told("tree")).index("  if you need them:")
    assert lines[at + 1 : -1] == [
        "  buildInputs = [ alsa-lib libGL zlib ];",
        '  manylinuxRuntimeLibs = [ "libEGL.so.1" "libasound.so.2" "libcuda.so.1" ];',
    ]


def test_an_input_that_is_built_without_a_library(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """GCC may be built without libquadmath: to add it once more helps nobody."""
    monkeypatch.setenv("NIX_BUILD_TOP", str(place))
    monkeypatch.delenv("IN_NIX_SHELL", raising=False)
    for folder, name, needed in (("tree", "a.so", "libquadmath.so.0"), ("gcc", "libz.so.1", "")):
        (place / folder).mkdir()
        data = tiny_library(name, *filter(None, [needed]))
        (place / folder / name).write_bytes(data)
    patch = ["patch", "tree", "--libs", "gcc"]
    assert main(patch) == 1
    assert "buildInputs = [ stdenv.cc.cc.lib ];" in capsys.readouterr().err
    (place / "gcc/libstdc++.so.6").write_bytes(tiny_library("libstdc++.so.6"))
    assert main(patch) == 1
    said = capsys.readouterr().err
    assert "libquadmath.so.0: stdenv.cc.cc.lib is among the inputs, without it" in said
    assert "buildInputs" not in said


def test_what_is_tried_and_not_there(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    """Where nixpkgs lacks what a file names, a stranger hears that this is no fault."""
    (place / "tree").mkdir()
    calm = "what nixpkgs has not, most programs do without: they try several names"
    for names, told in (['"libz.so.1"'], False), (['"libz.so.1"', '"libsepol.so.1"'], True):
        source = f"const char *const made[] = {{{', '.join(names)}}};"
        built = ElfBuilder(place / "built").library("a.so", source=source)
        (place / "tree/a.so").write_bytes(built.read_bytes())
        assert main(["inspect", "tree"]) == 0
        out = capsys.readouterr().out
        assert ("libsepol.so.1: nixpkgs has only libsepol.so.2" in out) is told
        assert (calm in " ".join(out.split())) is told


def test_options_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """What was asked for is asked for again, in each of the commands."""
    path = wheel("libz.so.1", "liby.so.1")
    given = ["--ignore-missing", "liby.so.1", "--python", sys.executable]
    assert main(["patch", path, *given, "-o", "a b"]) == 1
    told = capsys.readouterr().err.rpartition("\n\n")[2].splitlines()
    short, long = commands(told)
    assert short == [*long, "--nixpkgs"]
    assert short[:6] == ["patch", path, "--output-dir", "a b", "--python", sys.executable]
    assert "--ignore-missing=liby.so.1" in short


def test_a_tree_and_what_is_optional(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tree is no package; what need not load isn't said to keep it from loading."""
    site = place / "venv/lib/python3.11/site-packages"
    site.mkdir(parents=True)
    (site / "plugin.so").write_bytes(tiny_library("plugin.so", "libz.so.1"))
    assert main(["inspect", "venv"]) == 0
    lines = last(capsys)
    assert lines[:2] == [
        "it does not load as it is; patch it with:",
        "  nix-manylinux patch venv --nixpkgs",
    ]
    assert not any("expr" in line for line in lines)
    (place / "venv/pyvenv.cfg").touch()
    (place / "venv/bin").mkdir()
    (place / "venv/bin/python").symlink_to(sys.executable)
    assert main(["inspect", "venv"]) == 0
    assert last(capsys)[0] == "patch it with:"
    assert main(["check", "venv"]) == 0


def test_what_needs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """What loads as it is gets no command; what doesn't fit has its hint."""
    assert main(["inspect", wheel()]) == 0
    assert "nix-manylinux" not in capsys.readouterr().out
    misfit = wheel("libz.so.1", tag="cp39-cp39-linux_x86_64")
    assert main(["inspect", misfit, "--python", sys.executable]) == 0
    out = capsys.readouterr().out
    assert "the wheel is for Python 3.9" in out
    assert "nix-manylinux" not in out


def test_what_nobody_has(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to build; the command says what to ignore, or all the rest."""
    path = wheel("libmimerapi.so")
    assert main(["inspect", path]) == 0
    lines = last(capsys)
    assert lines[1] == f"  nix-manylinux patch {path} --output-dir patched \\"
    assert "--ignore-missing made/a.so:libmimerapi.so" in lines[2]
    assert lines[-2:] == ["or, as a package:", f"  nix-manylinux expr {path}"]
    assert commands(lines)[0][-2:] == ["--ignore-missing", "made/a.so:libmimerapi.so"]


def test_a_wheel_for_another_libc(capsys: pytest.CaptureFixture[str]) -> None:
    """No patch here is for it, and none is advised."""
    path = wheel("libz.so.1", "libc.musl-x86_64.so.1", tag="py3-none-musllinux_1_2_x86_64")
    assert main(["inspect", path]) == 0
    assert last(capsys) == [
        "it loads where musllinux_1_2's libraries are, and not on Nix; as a package:",
        f"  nix-manylinux expr {path}",
    ]


def test_many_options_are_told_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The long form of a long command is for -v."""
    files = {f"m{n}.so": tiny_library(f"m{n}.so", f"libnobody{n}.so.{n}") for n in range(9)}
    files["z.so"] = tiny_library("z.so", "libz.so.1")
    for name, data in files.items():
        (place / "tree").mkdir(exist_ok=True)
        (place / "tree" / name).write_bytes(data)
    assert main(["check", "tree"]) == 1
    told = capsys.readouterr().err
    assert told.count("nix-manylinux patch tree") == 1
    assert "# With packages of your choice: -v shows how." in told
    assert main(["check", "tree", "-v"]) == 1
    told = capsys.readouterr().err
    assert told.count("nix-manylinux patch tree") == 2
    assert OTHERS in told


#: What a command to paste is given anew or doesn't need: what was to be seen, and where.
NOT_REPEATED = {
    *("--help", "--json", "--quiet", "--verbose", "--dry-run", "--output-dir"),
    *("--no-link", "--witness"),
}


@pytest.mark.parametrize("command", ["patch", "install"])
def test_every_option_is_repeated(command: str, place: Path) -> None:
    """A command to paste does what was asked for: no option that was typed is lost in it."""
    (place / "a").mkdir()
    parser = make_parser("")
    choices = [a.choices for a in parser._actions if isinstance(a.choices, dict)]  # noqa: SLF001 - argparse has no other way
    actions = [a for a in choices[0][command]._actions if a.option_strings]  # noqa: SLF001 - as above
    assert len(actions) > 20
    needed = ["--prefix", "p"] if command == "install" else []
    for action in actions:
        option = max(action.option_strings, key=len)
        if option in NOT_REPEATED:
            continue
        value = str([*action.choices][-1]) if action.choices else "7"
        if option == "--ignore-missing" or option.startswith("--ignore"):
            value = "libx.so"
        others = () if option == "--prefix" else needed
        words = [command, "a", *others, option, *([] if action.nargs == 0 else [value])]
        run = SimpleNamespace(arguments=parse_arguments("", words))
        again = typed(cast("Run", run), ["a"])
        assert option in again.replace("=", " ").split(), again


def test_every_list_of_the_hook_has_a_name_in_advice() -> None:
    """What a build's author is told to set is an attribute, not the option that it becomes."""
    hook = (Path(__file__).parents[2] / "hooks/manylinux-fixup-hook.sh").read_text()
    passed = re.findall(r"_manylinuxFixupOption (--[\w-]+) (manylinux\w+)", hook)
    assert len(passed) > 4
    assert {(name, option) for option, name in passed} <= OPTIONS.items()

"""What is no path and reads like a requirement: how to get its wheel, and to go on with that."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from nix_manylinux.base.errors import BadTree
from nix_manylinux.cli.console import Console
from nix_manylinux.cli.main import main
from nix_manylinux.target import environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "then"),
    [
        (["inspect", "-v"], "inspect -v numpy-wheel/*.whl"),
        (["check"], "check numpy-wheel/*.whl"),
        (["graph"], "graph numpy-wheel/*.whl"),
        (["patch"], "patch numpy-wheel/*.whl --output-dir patched"),
        (["patch", "-o", "a b"], "patch -o 'a b' numpy-wheel/*.whl"),
        (["install", "--prefix", "p"], "install --prefix p numpy-wheel/*.whl"),
        (["repair", "-o", "out"], "repair -o out numpy-wheel/*.whl"),
    ],
)
def test_the_same_command_with_the_wheel(
    capsys: pytest.CaptureFixture[str], words: list[str], then: str
) -> None:
    """Every command says it alike; nothing is written."""
    assert main([*words, "numpy==1.26.4"]) == 1
    assert capsys.readouterr().err == (
        "error: numpy==1.26.4: there is no such file or directory\n"
        "  fetch its wheel first:\n"
        "  pip download --no-deps --dest numpy-wheel numpy==1.26.4\n"
        f"  nix-manylinux {then}\n"
        "  or have an expression for Nix written:\n"
        "  nix-manylinux expr numpy==1.26.4\n"
    )


@pytest.mark.parametrize("given", ["opencv-python", "zope.interface[test]>=5", "six ~= 1.1"])
def test_without_an_exact_version(
    capsys: pytest.CaptureFixture[str], given: str, tmp_path: Path
) -> None:
    """A bare name may be a path with a typing error, too; text and JSON say the same."""
    assert main(["inspect", given, "--json", "report"]) == 1
    told = capsys.readouterr().err
    project = given.partition("[")[0].partition(" ")[0]
    assert told.splitlines()[-1] == f"  nix-manylinux expr {project}==VERSION"
    assert ("check the spelling; or, if" in told) == (given == "opencv-python")
    hint = json.loads((tmp_path / "report").read_text())["error"]["hint"]
    assert hint.splitlines() == [line.strip() for line in told.splitlines()[1:]]


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("numpy.whl", "check the spelling"),
        ("./venv", "check the spelling"),
        (".venv", "check the spelling"),
        ("wheels/numpy", "check the spelling"),
        ("numpy-*.whl", "no file has a name like that"),
        ("wheels/*.whl", "there is no folder wheels"),
        ("result-a", "check the spelling"),
    ],
)
def test_what_is_meant_for_a_path(
    capsys: pytest.CaptureFixture[str], given: str, hint: str
) -> None:
    """It is not taken for a package."""
    assert main(["inspect", given]) == 1
    assert capsys.readouterr().err == (
        f"error: {given}: there is no such file or directory\n  {hint}\n"
    )


def test_a_path_of_ones_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What is patched or checked is hardly a package's name; what is called alike is named."""
    (tmp_path / "result-1").mkdir()
    (tmp_path / "sub/opencv").mkdir(parents=True)
    for command, given, near in (
        ("inspect", "result-a", "; there is result-1"),
        ("check", "result-a", "; there is result-1"),
        ("check", "sub/opencw", "; there is sub/opencv"),
        ("patch", "opencv-python", ""),
    ):
        assert main([command, given]) == 1
        assert capsys.readouterr().err == (
            f"error: {given}: there is no such file or directory\n  check the spelling{near}\n"
        )


def test_one_of_several_that_are_inspected(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told as the only one is."""
    assert main(["inspect", "no.whl", "numpy==1.26.4"]) == 1
    assert "  nix-manylinux inspect no.whl numpy-wheel/*.whl\n" in capsys.readouterr().err


def test_the_word_behind_nixpkgs(capsys: pytest.CaptureFixture[str]) -> None:
    """An option that may have a value takes the tree for it: that is said."""
    assert main(["patch", "--nixpkgs", ".venv"]) == 2
    assert "it stands before --nixpkgs, which takes the word behind it for REF" in (
        capsys.readouterr().err
    )


def test_commands_are_not_broken_on_a_terminal() -> None:
    """A sentence is wrapped; a command would be two."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    talk = Terminal()
    console = Console(talk, io.StringIO(), environment={"TERM": "dumb"})
    command, sentence = f"nix-manylinux check {'a ' * 60}b", "word " * 30 + "end"
    other = f'  --python "$(nix-build -A {"a" * 60} --no-out-link)/bin/python3"'
    console.fail(BadTree("it is wrong", hint=f"{command}\n{other}\n{sentence}"))
    lines = talk.getvalue().splitlines()
    assert lines[:3] == ["error: it is wrong", f"  {command}", f"  {other}"]
    assert len(lines) == 5
    console.tell([sentence, f"  {command}"])
    assert talk.getvalue().splitlines()[-1] == f"  {command}"
    quiet = Console(talk, io.StringIO(), environment={}, quiet=True)
    quiet.tell([sentence, command])
    assert talk.getvalue().splitlines()[-1] == f"  {command}"


@pytest.mark.parametrize("name", ["LostInterpreter", "ForeignInterpreter"])
def test_commands_for_interpreters_have_lines_of_their_own(name: str, tmp_path: Path) -> None:
    """What is to be pasted to get another Python is indented, and so never broken."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(f"/nix/store/{'a' * 32}-python3-3.12.1/bin/python3.12")
    given = [str(tmp_path)] if name == "LostInterpreter" else [str(python), str(python), "/ld.so"]
    hint = getattr(environment, name)(*given).hint
    pasted = [line for line in hint.splitlines() if "nix-build" in line or "--realise" in line]
    assert pasted
    assert all(line.startswith("  ") for line in pasted), hint

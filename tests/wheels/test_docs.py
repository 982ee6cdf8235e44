"""The outputs that the documentation shows are what the command prints."""

from __future__ import annotations

import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from tests.wheels import corpus

from nix_manylinux.cli.main import main

RECORDED = Path(__file__).parents[2] / "docs" / "output"
#: Record anew: `python -m tests.wheels.test_docs`.
WHEELS = {
    "bitsandbytes": "bitsandbytes-",
    "nvidia-cusparse": "nvidia_cusparse_cu12-",
    "opencv-python": "opencv_python-",
    "pin": "pin-",
    "pygame-ce": "pygame_ce-",
    "pyside6": "pyside6-6 pyside6_addons- pyside6_essentials- pyside6_pdf- pyside6_webengine- "
    "shiboken6-",
    "pyside6-addons": "pyside6_addons-",
    "pyside6-essentials": "pyside6_essentials-",
    "torchcodec": "torchcodec-",
    "torchvision": "torchvision-",
}
#: Each by the beginning of its records' names, and those of the wheels that stand for a reviewer.
#: "told" is what stands beside such an expression, on standard error.
COMMANDS = {
    "inspect": ["inspect"],
    "expr": ["expr"],
    "nixpkgs": ["expr", "--for-nixpkgs"],
    "told": ["expr", "--for-nixpkgs"],
}
FOR_NIXPKGS = (
    *("bitsandbytes", "pin", "pygame-ce", "pyside6", "pyside6-addons", "torchcodec"),
    "torchvision",
)
SHOWN = [
    (command, name)
    for command in COMMANDS
    for name in (FOR_NIXPKGS if command in {"nixpkgs", "told"} else sorted({*WHEELS} - {"pyside6"}))
]


@pytest.mark.wheels
@pytest.mark.parametrize(("command", "name"), SHOWN)
def test_output(
    command: str, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command prints for a real wheel is what stands in docs/output."""
    for variable in ("NIX_BUILD_TOP", "NIX_BINTOOLS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: None)
    paths = [corpus.wheel_if_here(each) for each in WHEELS[name].split()]
    monkeypatch.chdir(os.path.dirname(paths[0]))  # commands to paste name it as it was named
    assert main([*COMMANDS[command], *map(os.path.basename, paths)]) == 0
    said = capsys.readouterr()
    printed = said.err if command == "told" else said.out
    assert printed == (RECORDED / f"{command}-{name}.txt").read_text()


def test_every_record_is_tested() -> None:
    """No output stands in the documentation without a test."""
    told = {f"{command}-{name}" for command, name in SHOWN}
    assert {path.stem for path in RECORDED.iterdir()} == told


def test_every_wheel_stands_in_the_tables() -> None:
    """docs/wheels.md has a row for each wheel of the lists that this kind of machine loads."""
    text = (RECORDED.parent / "wheels.md").read_text()
    rows = {line.split(" | ")[0].removeprefix("| ") for line in text.splitlines()
            if line.count(" | ") == 7}  # fmt: skip
    listed = [file for name in corpus.LISTS for file in corpus.entries(name)]
    wanted = {"-".join(name.split("-")[:2]) for name in listed if for_x86_64(name)}
    assert wanted | {"wheel"} == rows


def for_x86_64(name: str) -> bool:
    """Whether a wheel is for glibc on x86_64, or for any machine."""
    platforms = name.removesuffix(".whl").rpartition("-")[2].split(".")
    return any(platform == "any" or (platform.endswith("_x86_64") and "musl" not in platform)
               for platform in platforms)  # fmt: skip


def record() -> None:
    """Write what the commands print now."""
    for command, name in SHOWN:
        redirect = redirect_stderr if command == "told" else redirect_stdout
        with (RECORDED / f"{command}-{name}.txt").open("w") as file, redirect(file):
            paths = [corpus.wheel(each) for each in WHEELS[name].split()]
            os.chdir(os.path.dirname(paths[0]))
            main([*COMMANDS[command], *map(os.path.basename, paths)])


if __name__ == "__main__":
    record()

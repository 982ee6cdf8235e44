"""_manylinux.py answers as its variable says, in every interpreter and installer."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.support.host import beside_python

import nix_manylinux
from nix_manylinux.target.policy import LEGACY_FLOORS

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

SOURCE = os.path.join(os.path.dirname(nix_manylinux.__file__), "compat", "_manylinux.py")


def load(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, glibc: str | None = "glibc 2.31"
) -> ModuleType:
    """Import the module afresh under a setting, on a made-up libc."""
    if setting is None:
        monkeypatch.delenv("NIX_PYTHON_MANYLINUX", raising=False)
    else:
        monkeypatch.setenv("NIX_PYTHON_MANYLINUX", setting)

    def confstr(name: str) -> str | None:
        assert name == "CS_GNU_LIBC_VERSION"
        if glibc is None:
            raise ValueError(name)
        return glibc

    monkeypatch.setattr(os, "confstr", confstr)
    spec = importlib.util.spec_from_file_location("_manylinux", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def newest(module: ModuleType) -> int:
    """Give the highest 2.x that is compatible, 0 for none."""
    answers = [module.manylinux_compatible(2, minor, "x86_64") for minor in range(60)]
    assert answers == sorted(answers, reverse=True)
    return max((minor for minor, answer in enumerate(answers) if answer), default=0)


@pytest.mark.parametrize(
    ("setting", "minor"),
    [
        (None, 0),
        ("", 0),
        ("0", 0),
        ("1", 31),
        (" 1 ", 31),
        ("manylinux1", 5),
        ("manylinux2010", 12),
        ("2010", 12),
        ("2014", 17),
        ("manylinux2014", 17),
        ("manylinux_2_28", 28),
        ("manylinux_2_99", 31),
    ],
)
def test_setting(
    setting: str | None,
    minor: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each setting allows its policy and older ones, never more than the running glibc."""
    module = load(monkeypatch, setting)
    assert newest(module) == minor
    for name, floor in LEGACY_FLOORS.items():
        assert getattr(module, f"{name}_compatible") is (floor <= (2, minor))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("setting", ["2", "yes", "musllinux_1_2", "manylinux_2_28_x86_64", "1\n2"])
def test_unknown_setting(
    setting: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no policy warns once, saying what to set, and allows nothing."""
    module = load(monkeypatch, setting)
    assert newest(module) == 0
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert repr(setting) in told
    assert "manylinux2014" in told


@pytest.mark.parametrize("glibc", [None, "", "glibc", "musl 1.2", "glibc NPTL"])
def test_no_glibc(glibc: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no glibc tells its version, nothing is compatible, and nothing is raised."""
    assert newest(load(monkeypatch, "1", glibc)) == 0


def test_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither odd arguments nor a missing standard error make it raise."""
    monkeypatch.setattr(sys, "stderr", None)
    module = load(monkeypatch, "nonsense")
    module = load(monkeypatch, "1")
    assert module.manylinux_compatible("2", "17", None) is False
    assert module.manylinux_compatible(None, None, None) is False


def test_pip_obeys(tmp_path: Path) -> None:
    """Pip's own list of tags follows the variable, policy by policy."""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with open(SOURCE, encoding="utf-8") as stream:
        (tmp_path / "_manylinux.py").write_text(stream.read(), encoding="utf-8")
    listed = {}
    for setting in ("0", "1", "2014"):
        done = subprocess.run(
            [sys.executable, "-m", "pip", "debug", "--verbose"],
            env={**environment, "NIX_PYTHON_MANYLINUX": setting},
            capture_output=True,
            text=True,
            check=True,
        )
        # The tags stand by themselves; the text above them has paths, with any name in them.
        lines = {line.strip() for line in done.stdout.splitlines()}
        listed[setting] = {line for line in lines if re.fullmatch(r"\w+-\w+-manylinux\w+", line)}
    assert listed["0"] == set()
    assert any("manylinux_2_17_" in tag for tag in listed["2014"])
    assert not any("manylinux_2_18_" in tag for tag in listed["2014"])
    assert listed["2014"] < listed["1"]


def tagged_wheel(folder: Path, platform: str) -> Path:
    """Make an empty wheel of a platform tag, as an installer takes it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"empty-1.0-py3-none-{platform}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        info = "empty-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: empty\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL",
            f"Wheel-Version: 1.0\nTag: py3-none-{platform}\nRoot-Is-Purelib: true\n",
        )
        archive.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


@pytest.fixture(scope="module")
def environment_with_it(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a virtual environment that has the module in its site-packages."""
    root = tmp_path_factory.mktemp("compat") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(root)], check=True)
    (site,) = root.glob("lib/python3*/site-packages")
    shutil.copy(SOURCE, site / "_manylinux.py")
    return root


def accepts(command: list[str], wheel: Path, setting: str) -> bool:
    """Whether an installer would install the wheel under a setting; nothing is fetched."""
    done = subprocess.run(
        [*command, "--no-index", "--no-deps", "--dry-run", str(wheel)],
        env={**os.environ, "NIX_PYTHON_MANYLINUX": setting},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        assert "platform" in done.stderr
    return done.returncode == 0


PLATFORMS = (
    "manylinux1_{}",
    "manylinux2014_{}",
    "manylinux_2_17_{}",
    "manylinux_2_18_{}",
    "manylinux_2_28_{}",
)


@pytest.mark.parametrize(
    ("setting", "platform", "accepted"),
    [
        ("0", "manylinux1_{}", False),
        ("manylinux2014", "manylinux_2_17_{}", True),
        ("manylinux2014", "manylinux_2_18_{}", False),
        ("1", "manylinux_2_28_{}", True),
    ],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="manylinux1 is for x86")
def test_pip_installs(
    setting: str,
    platform: str,
    accepted: bool,  # noqa: FBT001 (a table of claims)
    environment_with_it: Path,
    tmp_path: Path,
) -> None:
    """A real pip, in an environment that has the module, takes a policy's wheels and older ones."""
    pip = [str(environment_with_it / "bin" / "python"), "-m", "pip", "install"]
    assert accepts(pip, tagged_wheel(tmp_path, platform.format("x86_64")), setting) is accepted


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="manylinux1 is for x86")
def test_uv_is_all_or_nothing(environment_with_it: Path, tmp_path: Path) -> None:
    """Uv asks once, for the running glibc: 1 allows all, none and older policies refuse all."""
    for setting, accepted in [("1", True), ("0", False), ("manylinux2014", False)]:
        # The answer is cached beyond the variable: each question gets a cache of its own.
        command = [beside_python("uv"), "pip", "install", "--no-cache"]
        command += ["--python", str(environment_with_it / "bin" / "python")]
        verdicts = {
            accepts(command, tagged_wheel(tmp_path / setting, platform.format("x86_64")), setting)
            for platform in PLATFORMS
        }
        assert verdicts == {accepted}

"""Scripts of an environment that was moved or copied: check and patch say what mends them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("way", ["moved", "copied"])
def test_what_is_pasted_mends_them(tmp_path: Path, way: str) -> None:
    """First lines and activate lead to the environment again; programs and other paths stay."""
    venv, other = tmp_path / ".venv", tmp_path / "x/.venv-2"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    script = f"#!{venv}/bin/python\nimport sys\nprint(sys.prefix, '{venv}-3')\n"
    for name in ("tool", "more", "third"):
        (venv / "bin" / name).write_text(script)
        (venv / "bin" / name).chmod(0o755)
    # As newer Pythons write it, and older ones with quotes.
    for name, text in {
        "bare": f"VIRTUAL_ENV={venv}\nA={venv}-3\n",
        "quoted": f"V='{venv}'\n",
    }.items():
        (venv / "bin" / name).write_text(text)
    (venv / "bin/data").write_bytes(b"\0" + script.encode())
    other.parent.mkdir()
    if way == "moved":
        venv.rename(other)
    else:
        shutil.copytree(venv, other, symlinks=True)
        shutil.rmtree(venv)
    pasted = set()
    for verb in ("check", "patch"):
        done = command(verb, str(other))
        assert done.status == 0, done.stderr
        lines = done.stderr.splitlines()
        (at,) = (n for n, line in enumerate(lines) if "can't be started" in line)
        assert lines[at] == (
            "warning: bin/more, bin/third and 1 more can't be started: they begin with"
            f" #!{venv}/bin/python, which is not there."
            " The environment was moved or copied; to mend it:"
        )
        pasted.add(lines[at + 1])
    (line,) = pasted
    subprocess.run(["bash", "-ec", line], check=True)
    ran = subprocess.run([other / "bin/tool"], stdout=subprocess.PIPE, text=True, check=True)
    assert ran.stdout == f"{other} {venv}-3\n"
    activated = subprocess.run(
        ["bash", "-c", f". {other}/bin/activate; echo $VIRTUAL_ENV"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert activated.stdout == f"{other}\n"
    assert (other / "bin/bare").read_text() == f"VIRTUAL_ENV={other}\nA={venv}-3\n"
    assert (other / "bin/quoted").read_text() == f"V='{other}'\n"
    assert os.path.islink(other / "bin/python")
    assert (other / "bin/data").read_bytes() == b"\0" + script.encode()
    assert "can't be started" not in command("check", str(other)).stderr


def test_nothing_in_a_store_is_to_be_edited(tmp_path: Path) -> None:
    """What lies there is built anew, if at all: no line to paste changes it."""
    venv = tmp_path / "store" / f"{'0' * 32}-env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (venv / "bin/tool").write_text("#!/no/such/.venv/bin/python\n")
    (venv / "bin/tool").chmod(0o755)
    for store, pasted in ((tmp_path / "store", False), (tmp_path / "other", True)):
        done = command("check", str(venv), environment={**os.environ, "NIX_STORE": str(store)})
        assert "bin/tool can't be started" in done.stderr
        assert ("was moved or copied" in done.stderr) is pasted


def test_commands_beside_packages(tmp_path: Path) -> None:
    """Those of ``pip install --target`` are led to the Python that was given, and to none else."""
    (tmp_path / "bin").mkdir()
    gone = "/no/such/bin/python3"
    for name, first in (("one", gone), ("two", f"{gone}.1"), ("sh", "/no/such/bin/zsh")):
        (tmp_path / "bin" / name).write_text(f"#!{first}\n#!{gone}\nprint('said')\n")
        (tmp_path / "bin" / name).chmod(0o755)
    assert "sed" not in command("check", str(tmp_path)).stderr
    done = command("patch", str(tmp_path), "--python", sys.executable)
    lines = done.stderr.splitlines()
    (at,) = (n for n, line in enumerate(lines) if line.startswith("warning: bin/one can't"))
    assert lines[at].endswith(
        f"begins with #!{gone}, which is not there. To have {sys.executable} start them:"
    )
    subprocess.run(["bash", "-ec", lines[at + 1]], check=True)
    ran = subprocess.run([tmp_path / "bin/one"], stdout=subprocess.PIPE, text=True, check=True)
    assert ran.stdout == "said\n"
    assert (tmp_path / "bin/two").read_text().startswith(f"#!{gone}.1\n#!{gone}\n")
    assert (tmp_path / "bin/one").read_text().count(f"#!{gone}\n") == 1


def test_what_nothing_mends(tmp_path: Path) -> None:
    """No command is given for another interpreter, nor for a path that a first line can't hold."""
    venv = tmp_path / "a b"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    plain = venv.rename(tmp_path / "plain")
    for name, first in (("one", "/no/such/bash"), ("two", "/no/such/bin/python9")):
        (plain / "bin" / name).write_text(f"#!{first}\n")
    assert "sed" not in command("check", str(plain)).stderr
    (plain / "bin/two").write_text("#!/no/such/bin/python3\n")
    assert "sed" in command("check", str(plain)).stderr
    moved = plain.rename(tmp_path / "c d")
    (moved / "bin/two").write_text(f"#!{plain}/bin/python3\n")
    for verb in ("check", "patch"):
        told = command(verb, str(moved)).stderr
        assert "sed" not in told
        assert "which is not there. The environment was moved or copied to where no" in told
        (line,) = (line for line in told.splitlines() if line.startswith("  uv pip"))
        python = f"--python '{moved}'"
        install = f"uv pip install {python} --reinstall --no-deps -r"
        assert line == f"  {install} <(uv pip freeze {python})"

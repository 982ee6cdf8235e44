"""A development shell's virtual environment: linked on entry, and after each installation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.rings import unhashed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.rings import Nix

pytestmark = pytest.mark.nix

UV = os.path.join(os.path.dirname(sys.executable), "uv")
IMPORT = "python -c 'import probe; assert probe.answer == 42'"

PROJECT = """
[project]
name = "demo"
version = "1"
requires-python = ">=3.9"
dependencies = ["probe"]
[tool.uv]
package = false
no-index = true
find-links = ["wheels"]
"""

#: A project that is built by what it takes from the wheel.
BACKEND = """
import zipfile, probe

FILES = {
    "made.py": f"answer = {probe.answer}",
    "made-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: made\\nVersion: 1\\n",
    "made-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "made-1.dist-info/RECORD": "made.py,,\\n",
}

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "made-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        for member, text in FILES.items():
            wheel.writestr(member, text)
    return name
"""


@pytest.fixture
def folder(nix: Nix, tmp_path: Path) -> Path:
    """Give a folder with the wheels in it, and a virtual environment as uv makes it: no pip."""
    python = f"{nix.build('venv.interpreter').path}/bin/python3"
    subprocess.run([python, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("wheel", "plain"):
        path = nix.build(f"venv.{name}").path
        shutil.copy(path, wheels / unhashed(path))
    return tmp_path


def enter(nix: Nix, folder: Path, *lines: str, case: str = "shell", way: str = "nix-shell") -> str:
    """Run lines in the shell, in a child of it: no prompt comes between. Gives all that is said."""
    script = folder / "script"
    script.write_text("set -e\nexec 2>&1\n" + "\n".join(lines) + "\n")
    settings = 'export PIP_NO_INDEX=1 PIP_FIND_LINKS="$PWD/wheels" UV_CACHE_DIR="$PWD/cache"'
    settings += ' UV_FIND_LINKS="$PWD/wheels"'
    text = f"{settings} UV_OFFLINE=1; exec 2>&1; {{0}} bash script"
    if way == "nix-shell":
        return nix.shell(f"venv.{case}", text.format(""), str(folder))
    environment = nix.development_environment(f"venv.{case}")
    (folder / "environment").write_text(f"{environment}\n{text.format('')}\n")
    command = ["bash", "environment"]
    done = subprocess.run(
        command, check=False, cwd=folder, capture_output=True, text=True, env=nix.environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


UV_PIP = f"{UV} pip install --quiet probe"


@pytest.mark.parametrize(
    ("install", "way"),
    [
        (UV_PIP, "nix-shell"),
        (UV_PIP, "nix develop"),
        (f"{UV} pip install --quiet --link-mode symlink probe", "nix-shell"),
        (
            "python -m pip --version >/dev/null 2>&1 || exit 0; pip install --quiet probe",
            "nix-shell",
        ),
        (f"{UV} sync --quiet", "nix-shell"),
        (f'rm -r "$VIRTUAL_ENV"; {UV} sync --quiet', "nix develop"),
    ],
    # The record of ring two names the tests: no folder of the machine that it was made on.
    ids=lambda value: value.replace(UV, "uv"),
)
def test_what_was_installed_is_imported(nix: Nix, folder: Path, install: str, way: str) -> None:
    """Whoever installs it: the next start of Python has it linked."""
    (folder / "pyproject.toml").write_text(PROJECT)
    if "-m pip" in install:  # then the shell makes the environment
        shutil.rmtree(folder / ".venv")
    said = enter(nix, folder, install, IMPORT, way=way)
    assert "error" not in said


def test_in_one_command(nix: Nix, folder: Path) -> None:
    """`uv run` installs and starts Python at once; editors do as much."""
    (folder / "pyproject.toml").write_text(PROJECT)
    enter(nix, folder, f"{UV} run --quiet {IMPORT}")


def test_in_a_shell_of_packages(nix: Nix, folder: Path) -> None:
    """`nix-shell -p manylinuxVenvHook` is as good a shell."""
    enter(nix, folder, UV_PIP, IMPORT, case="ofPackages")


def entered(nix: Nix, folder: Path, case: str = "shell") -> tuple[str, str]:
    """Give the command that enters the shell and leaves it."""
    (folder / "environment").write_text(nix.development_environment(f"venv.{case}"))
    return "bash", f"{folder}/environment"


def outside(nix: Nix, folder: Path, *words: str) -> str:
    """Run a command as an editor does, which knows nothing of the shell; gives all it says."""
    known = {"PATH": os.environ["PATH"], "HOME": str(folder), "UV_OFFLINE": "1",
             "UV_FIND_LINKS": f"{folder}/wheels", "UV_CACHE_DIR": f"{folder}/cache"}  # fmt: skip
    kept = {key: value for key, value in nix.environment.items() if key.startswith("NIX_")}
    done = subprocess.run(
        words, cwd=folder, env={**kept, **known}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_outside_of_the_shell(nix: Nix, folder: Path) -> None:
    """What links is written in the environment: whoever starts its Python has it linked."""
    python = f"{folder}/.venv/bin/python"
    install = (UV, "pip", "install", "--quiet", "--python", python)
    # A new environment has nothing in it, and nothing is said of that.
    assert outside(nix, folder, *entered(nix, folder)) == ""
    outside(nix, folder, *install, "probe")
    said = outside(nix, folder, python, "-c", "import probe; assert probe.answer == 42")
    assert said == ""
    # What links is kept from being garbage collected, and so is the interpreter.
    stamp = folder / ".venv/.nix-manylinux-linked"
    program, _, rest = stamp.read_text().partition(" ")
    roots = folder / ".venv/.nix-manylinux-roots"
    assert os.readlink(roots / "link") == program
    assert os.readlink(roots / "python") == nix.build("venv.interpreter").path
    assert any(unhashed(os.readlink(root)) == "nest-1" for root in roots.iterdir())
    # What was offered may be gone, and so may be what links: that is said, and Python starts.
    stamp.write_text(f"{program} --libs=/nowhere/lib\n{rest}")
    outside(nix, folder, *install, "plain")
    assert outside(nix, folder, python, "-c", "import probe") == ""
    stamp.write_text(f"{program}-gone {rest}")
    outside(nix, folder, *install, "--reinstall", "plain")
    said = outside(nix, folder, python, "-c", "print('started')")
    assert said.startswith("started\n")
    assert f"{program}-gone: it is gone from the store; enter the shell once more" in said


def test_another_environment_keeps_its_own(nix: Nix, folder: Path, tmp_path: Path) -> None:
    """In a shell that lacks libraries the Python of another one's environment links by its own."""
    enter(nix, folder, "true")
    other = tmp_path / "other"
    other.mkdir()
    python = f"{folder}/.venv/bin/python"
    shutil.copytree(folder / "wheels", other / "wheels")
    install = f"{UV} pip install --quiet --python {python} probe"
    said = enter(nix, other, install, f"{python} -c 'import probe'", case="lacking")
    assert "libnest" not in said


def test_an_environment_with_another_python(nix: Nix, folder: Path) -> None:
    """It is linked on entry, and the shell says when it is not."""
    shutil.rmtree(folder / ".venv")
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, ".venv"],
                   cwd=folder, check=True)  # fmt: skip
    for expected in (True, False):
        said = f"{folder}/.venv was made with another Python: it is linked now and before each"
        assert (said in outside(nix, folder, *entered(nix, folder))) is expected
        shutil.rmtree(folder / ".venv")
        python = f"{nix.build('venv.interpreter').path}/bin/python3"
        subprocess.run([python, "-m", "venv", "--without-pip", folder / ".venv"], check=True)


def test_what_builds_from_source(nix: Nix, folder: Path) -> None:
    """The environment of the moment, in which uv builds a package, is linked too."""
    made = folder / "made"
    made.mkdir()
    (made / "backend.py").write_text(BACKEND)
    (made / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["probe"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "made"\nversion = "1"\n'
    )
    install = f"{UV} pip install --quiet ./made"
    enter(nix, folder, install, "python -c 'import made; assert made.answer == 42'")


def test_nothing_to_do(nix: Nix, folder: Path) -> None:
    """Where nothing was installed nothing is started, and the stamp stays the file that it is."""

    def seen() -> tuple[int, int]:
        found = (folder / ".venv" / ".nix-manylinux-linked").stat()
        return found.st_ino, found.st_mtime_ns

    enter(nix, folder, UV_PIP, IMPORT)
    before = seen()
    enter(nix, folder, IMPORT, "export NIX_MANYLINUX_VENV_LINK=$NIX_MANYLINUX_VENV_LINK", IMPORT)
    assert seen() == before
    # A file in it means nothing, a shell with other libraries does.
    enter(nix, folder, "touch .venv/lib/python*/site-packages/probe/__init__.py", IMPORT)
    assert seen() == before
    enter(nix, folder, "true", case="lacking")
    assert seen() != before


def test_programs_at_the_prompt(nix: Nix, folder: Path) -> None:
    """The shell looks before it prompts, whatever was in PROMPT_COMMAND."""
    lines = (f"{UV} pip install --quiet probe", "_manylinuxVenvPrompt", "ask")
    functions = "export -f _manylinuxVenvPrompt _manylinuxVenvHasChanged"
    script = f"{functions}; [[ $PROMPT_COMMAND == _manylinuxVenvPrompt* ]]; bash script"
    (folder / "script").write_text("set -e\n" + "\n".join(lines))
    export = 'export UV_OFFLINE=1 UV_FIND_LINKS="$PWD/wheels" UV_CACHE_DIR="$PWD/cache"'
    nix.shell("venv.shell", f"{export}; {script}", str(folder))


def test_what_is_missing_is_named_once(nix: Nix, folder: Path) -> None:
    """The rest is linked all the same, and the same refusal is not said at every start."""
    said = enter(
        nix,
        folder,
        f"{UV} pip install --quiet probe plain",
        "python -c 1",
        "echo AGAIN",
        "plain",
        "python -c 1",
        "echo LATER",
        f"{UV} pip install --quiet --reinstall plain",
        "python -c 1",
        "plain",
        case="lacking",
    )
    first, _, rest = said.partition("AGAIN\n")
    again, _, later = rest.partition("LATER\n")
    assert "libnest.so.1" in first
    assert "add what is missing to the shell's buildInputs, or" in first
    assert "to its manylinuxIgnoreMissingDeps" in first
    assert again == ""
    # After another installation one line says where the refusal is to be read.
    assert later.startswith("manylinuxVenv: missing as before, and the rest is linked: cat ")
    assert later.count("\n") == 1
    assert "libnest.so.1" in (folder / ".venv/.nix-manylinux-missing").read_text()
    # Where it is ignored, or there, nothing is left to say.
    assert enter(nix, folder, "python -c 1", case="ignoring") == ""
    assert not (folder / ".venv/.nix-manylinux-missing").exists()


def test_elsewhere_and_after_a_move(nix: Nix, folder: Path) -> None:
    """`venvDir` may have a space in it, and hooks of the shell are run as venvShellHook does."""
    said = enter(nix, folder, f"{UV} pip install --quiet probe", IMPORT,
                 'echo "$VIRTUAL_ENV"', case="elsewhere")  # fmt: skip
    assert said.splitlines()[-1] == f"{folder}/some where/env"
    assert "created" in said


def test_direnv_is_told_what_to_watch(nix: Nix, folder: Path) -> None:
    """Under direnv there is no prompt of ours; it enters again when these folders change."""
    environment = nix.development_environment("venv.shell")
    text = f'watch_file() {{ printf "%s\\n" "watched $*"; }}\n{environment}\n'
    (folder / "environment").write_text(text)
    done = subprocess.run(
        ["bash", "environment"], cwd=folder, capture_output=True, text=True, check=True,
        env=nix.environment,
    )  # fmt: skip
    (line,) = (each for each in done.stdout.splitlines() if each.startswith("watched"))
    assert f"{folder}/.venv/bin {folder}/.venv/lib/{nix.python}/site-packages" in line


def test_other_sitecustomize_modules_run(nix: Nix, folder: Path) -> None:
    """The one of the interpreter runs behind ours: by it alone the rings have site-packages."""
    python = f"{nix.build('venv.interpreter').path}/bin/python3"
    place = f"sys.prefix + '/lib/{nix.python}/site-packages'"
    enter(nix, folder, f'{python} -c "import sys; assert {place} in sys.path"')


def test_the_settings(nix: Nix, folder: Path) -> None:
    """Nothing goes to LD_LIBRARY_PATH, and UV_PYTHON is left alone."""
    said = enter(nix, folder, "env", "command -v python")
    assert "LD_LIBRARY_PATH" not in said
    assert "UV_PYTHON=" not in said
    assert "UV_PYTHON_DOWNLOADS=never" in said
    assert said.splitlines()[-1] == f"{folder}/.venv/bin/python"


def test_a_misspelt_variable(nix: Nix, folder: Path) -> None:
    """It is told on entry, with the one that is meant; a plain shell says nothing of the kind."""
    said = "no hook reads manylinuxIgnoreMissing: is manylinuxIgnoreMissingDeps meant?"
    assert said in outside(nix, folder, *entered(nix, folder, "misspelt"))
    assert "no hook reads" not in outside(nix, folder, *entered(nix, folder))

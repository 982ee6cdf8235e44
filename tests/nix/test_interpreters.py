"""Interpreters that take manylinux wheels as they come, asked by the real pip and uv."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.host import beside_python
from tests.support.rings import store_alone

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.rings import Nix

pytestmark = pytest.mark.nix

#: PEP 513's libraries, and one symbol of each. nis_checkpoint, which the daml
#: project's check asked libnsl for, is only a hidden version there today.
PEP_513 = {
    "libpanelw.so.5": "",
    "libncursesw.so.5": "",
    "libgcc_s.so.1": "_Unwind_Resume",
    "libstdc++.so.6": "_ZNSt9exceptionD1Ev",
    "libm.so.6": "cos",
    "libdl.so.2": "",
    "librt.so.1": "",
    "libcrypt.so.1": "crypt",
    "libc.so.6": "printf",
    "libutil.so.1": "",
    "libpthread.so.0": "",
    "libresolv.so.2": "",
    "libX11.so.6": "XOpenDisplay",
    "libXext.so.6": "XShapeQueryExtension",
    "libXrender.so.1": "XRenderQueryVersion",
    "libICE.so.6": "IceOpenConnection",
    "libSM.so.6": "SmcOpenConnection",
    "libGL.so.1": "glClear",
    "libgobject-2.0.so.0": "g_object_ref",
    "libgthread-2.0.so.0": "g_thread_init",
    "libglib-2.0.so.0": "g_free",
}

LOAD = """
import ctypes, json, sys
for name, symbol in json.loads(sys.argv[1]).items():
    library = ctypes.CDLL(name)
    if symbol:
        getattr(library, symbol)
print(json.dumps(sorted({line.split(None, 5)[5].strip()
    for line in open("/proc/self/maps") if ".so" in line})))
"""


def test_every_library_of_pep_513_loads_from_the_store(nix: Nix) -> None:
    """By its bare name, with one symbol looked up, and from nowhere but the store."""
    python = nix.build("interpreter.conditional").path
    done = store_alone(nix).run([f"{python}/bin/python3", "-c", LOAD, json.dumps(PEP_513)])
    assert done.returncode == 0, done.stderr
    mapped = json.loads(done.stdout)
    loaded = {os.path.basename(path) for path in mapped}
    assert set(PEP_513) <= loaded | {"libc.so.6"}
    outside = [path for path in mapped if not path.startswith(nix.store)]
    libc = nix.build("interpreter.glibc").path + "/lib"
    assert all(os.path.exists(f"{libc}/{os.path.basename(path)}") for path in outside), outside


def test_nothing_leaks_into_other_programs(nix: Nix) -> None:
    """The libraries are in the interpreter's own search path, not in a variable."""
    python = nix.build("interpreter.conditional").path
    code = "import os; print([name for name in os.environ if name.startswith('LD_')])"
    done = store_alone(nix).run([f"{python}/bin/python3", "-c", code])
    assert done.stdout.strip() == "[]"


#: NIX_PYTHON_MANYLINUX -> the newest version of the probe that pip then takes.
TAKEN = {
    None: "",
    "": "",
    "0": "",
    "manylinux1": "1.0",
    "manylinux2014": "2.0",
    "2014": "2.0",
    "manylinux_2_28": "3.0",
    "1": "3.0",
    "nonsense": "",
}
CASES = [("conditional", setting) for setting in TAKEN]
CASES += [(kind, value) for kind in ("environment", "virtual") for value in (None, "2014", "1")]


@pytest.mark.parametrize(("kind", "setting"), CASES)
def test_pip_takes_what_the_variable_allows(
    nix: Nix, tmp_path: Path, kind: str, setting: str | None
) -> None:
    """In manylinuxPython, its virtual environments, and withPackages with manylinux-compat."""
    program = nix.build(f"interpreter.{kind.replace('virtual', 'conditional')}").path
    program += "/bin/python3"
    if kind == "virtual":
        make = [program, "-m", "venv", "--without-pip", str(tmp_path / "venv")]
        subprocess.run(make, check=True)
        program = str(tmp_path / "venv/bin/python3")
    wheels = nix.build("interpreter.wheels").path
    environment = {name: value for name, value in os.environ.items() if "PYTHON" not in name}
    if setting is not None:
        environment["NIX_PYTHON_MANYLINUX"] = setting
    command = [sys.executable, "-m", "pip", "--python", program, "install", "--no-index"]
    command += ["--disable-pip-version-check", "--dry-run", "--find-links", wheels, "probe"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if TAKEN[setting]:
        assert f"Would install probe-{TAKEN[setting]}" in done.stdout
    else:
        assert "No matching distribution found" in done.stderr


def test_an_unpatched_wheel_imports_in_its_virtual_environment(nix: Nix, tmp_path: Path) -> None:
    """The extension has no search path; it inherits the interpreter's DT_RPATH."""
    python = nix.build("interpreter.conditional").path
    wheels = nix.build("interpreter.wheels").path
    subprocess.run(
        [f"{python}/bin/python3", "-m", "venv", "--without-pip", tmp_path / "venv"], check=True
    )
    program = str(tmp_path / "venv/bin/python3")
    install = [sys.executable, "-m", "pip", "--python", program, "install", "--no-index", "-q"]
    subprocess.run(
        [*install, "--disable-pip-version-check", "--find-links", wheels, "probe==2.0"],
        env={**os.environ, "NIX_PYTHON_MANYLINUX": "1"},
        check=True,
    )
    code = "import probe; print(probe.answer)"
    done = subprocess.run([program, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "42"
    plain = nix.build("interpreter.plain").path + "/bin/python3"
    path = next((tmp_path / "venv/lib").glob("python3*")) / "site-packages"
    refused = subprocess.run(
        [plain, "-c", code],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "libnest.so.1" in refused.stderr  # nothing else brings it


def test_its_own_environment_has_it(nix: Nix) -> None:
    """`withPackages` of a manylinuxPython gives that interpreter, with its module."""
    environment = nix.build("interpreter.conditionalEnvironment").path
    code = (
        "import _manylinux, packaging; print(open('/proc/self/exe', 'rb').read().count(b'-nest-'))"
    )
    command = [f"{environment}/bin/python3", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 0


def test_a_build_that_lists_it(nix: Nix) -> None:
    """With manylinux-compat in nativeBuildInputs the build's variable counts."""
    with open(nix.build("interpreter.inBuild").path, encoding="ascii") as file:
        tags = file.read().split()
    assert "manylinux2014_x86_64" in tags
    assert "manylinux_2_28_x86_64" not in tags


@pytest.mark.wheels
@pytest.mark.parametrize(("setting", "taken"), [("1", True), ("0", False), ("", False)])
def test_uv_is_all_or_nothing(nix: Nix, tmp_path: Path, setting: str, *, taken: bool) -> None:
    """With a fresh cache uv takes every manylinux wheel, or none: it asks for its glibc alone."""
    python = nix.build("interpreter.conditional").path + "/bin/python3"
    wheels = nix.build("interpreter.wheels").path
    environment = {name: value for name, value in os.environ.items() if "PYTHON" not in name}
    environment |= {"UV_CACHE_DIR": str(tmp_path / "cache"), "NIX_PYTHON_MANYLINUX": setting}
    command = [
        beside_python("uv"),
        "pip",
        "install",
        "--python",
        python,
        "--dry-run",
        "--no-index",
        "--offline",
    ]
    command += ["--break-system-packages", "--find-links", wheels, "probe==2.0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ("+ probe==2.0" in done.stderr) == taken, done.stderr

"""The guides, command by command, as a new user types them; ring one stands in for nixpkgs.

What a document says is run as it stands there, but for the names that this place lacks: the
interpreter's version is the ring's, and a wheel of a few kilobytes is called opencv_python.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.nix.test_flake import TOOLS, project
from tests.support.elf import ElfBuilder
from tests.support.guides import blocks, take
from tests.support.nix import ROOT, nix_path, run_nix
from tests.support.rings import nix, pure_wheels, store_alone
from tests.support.sets import STAND_INS, packages
from tests.support.wheels import MadeWheel, tiny_library
from tests.wheels import corpus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.nix
__all__ = ["project"]

ENVIRONMENTS, LOCKS, HOOKS, BROKEN, README = (
    "docs/environments.md",
    "docs/locks.md",
    "docs/nix-hooks.md",
    "docs/my-wheel-does-not-load.md",
    "README.md",
)

#: A wheel as opencv's is called, whose module wants what has to come from nixpkgs.
WHEEL = "opencv_python-5.0.0.93-cp37-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
MODULE = """
import ctypes, os
zlib = ctypes.CDLL(os.path.join(os.path.dirname(__file__), "_cv2.abi3.so"), os.RTLD_NOW)
zlib.version.restype = ctypes.c_char_p
assert zlib.version().startswith(b"1.")
"""
SOURCE = """
const char *zlibVersion(void);
const char *version(void) { return zlibVersion(); }
"""

PROJECT = """
[project]
name = "demo"
version = "1"
requires-python = ">=3.9"
dependencies = ["opencv-python"]
[tool.uv]
package = false
no-index = true
find-links = ["wheels"]
"""

#: What the sets of the tests lack of nixpkgs.
NIXPKGS = f"""{{ overlays ? [ ], ... }}: let
  root = {nix_path(ROOT)};
  set = SET;
in builtins.foldl' (set: set.extend) set overlays"""

MORE = """(final: prev: { portaudio = final.zlib; })"""


class Place:
    """A folder of a new user's, and what is on PATH there."""

    def __init__(self, folder: Path, nixpkgs: Path, index: Path) -> None:
        self.folder = folder
        self.nixpkgs = nixpkgs
        given = nix("one").arguments
        self.version = ".".join(given["pythonVersion"].split(".")[:2])
        home = folder.parent / f"{folder.name}-home"
        own = home / "bin"
        own.mkdir(parents=True)
        # uv's tools take no virtual environment's Python.
        (own / "python3").symlink_to(os.path.realpath(sys.executable))
        self.environment = {
            **nix("one").environment,
            "PATH": f"{os.path.dirname(sys.executable)}:{own}:{os.environ['PATH']}",
            "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home),
            "NIX_PATH": f"nixpkgs={nixpkgs}",
            # A user has a network: here an index is a folder, and the global registry is empty.
            "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index),
            "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(index), "UV_OFFLINE": "1",
            "UV_PYTHON_DOWNLOADS": "never",
        }  # fmt: skip
        self.environment.pop("VIRTUAL_ENV", None)
        registry = home / "flake-registry.json"
        registry.write_text('{"version": 2, "flakes": []}')
        self.environment["NIX_CONFIG"] += f"flake-registry = {registry}\n"

    def run(self, *lines: str, **more: str) -> str:
        """Run lines of shell; gives all that they say, and fails with it where one does."""
        script = "\n".join(["set -e", "exec 2>&1", *lines])
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env={**self.environment, **more},
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def here(self, command: str, changes: Mapping[str, str] | None = None) -> str:
        """Give a command for this place: each change must have something to change."""
        for old, new in {**(changes or {})}.items():
            assert old in command, (old, command)
            command = command.replace(old, new)
        return command.replace("3.12", self.version)

    @property
    def python(self) -> str:
        """The interpreter of the ring."""
        return f"{nix('one').build('venv.interpreter').path}/bin/python3"

    def imports(self, python: str, *visible: Path) -> None:
        """Import the module where only the store, and the given folders, are visible."""
        box = store_alone(nix("one"))
        binds = (*box.binds, *((str(path), str(path)) for path in visible))
        done = type(box)(binds=binds).run([python, "-c", "import cv2"], timeout=60)
        assert done.returncode == 0, done.stderr

    def environment_of_uv(self) -> Path:
        """Make `.venv` with the wheel in it, as a user does."""
        self.run(f"uv venv --quiet --python {self.python}", "uv pip install --quiet opencv-python")
        return self.folder / ".venv"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the wheel."""
    folder = tmp_path_factory.mktemp("wheels")
    files = ElfBuilder(folder)
    zlib = files.library(
        "libz.so.1", soname="libz.so.1", source="int zlibVersion(void) { return 0; }"
    )
    module = files.library("_cv2.abi3.so", source=SOURCE, needs=[zlib])
    stem, _, tag = WHEEL.removesuffix(".whl").partition("-5.0.0.93-")
    place = folder / "wheels"
    place.mkdir()
    made = MadeWheel(
        name=stem, tag=tag, version="5.0.0.93",
        files={"cv2/__init__.py": MODULE.encode(), "cv2/_cv2.abi3.so": module.read_bytes()},
    )  # fmt: skip
    assert Path(made.write(place)).name == WHEEL
    return place


@pytest.fixture
def place(tmp_path: Path, wheels: Path) -> Place:
    """Give an empty folder, with a checkout beside it and the wheels at hand."""
    nixpkgs = tmp_path / "nixpkgs"
    nixpkgs.mkdir()
    body = packages(overlay=False, extra=f"{STAND_INS} {TOOLS} {MORE}", number="one")
    (nixpkgs / "default.nix").write_text(NIXPKGS.replace("SET", body))
    folder = tmp_path / "a folder"
    folder.mkdir()
    shutil.copytree(wheels, folder / "wheels")
    index = tmp_path / "index"
    shutil.copytree(pure_wheels(), index)
    shutil.copy(wheels / WHEEL, index)
    (folder / "nix-manylinux").symlink_to(ROOT)
    return Place(folder, nixpkgs, index)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def index(wheel: Path) -> Iterator[str]:
    """Serve a package index of one wheel on this machine, and give its address."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    page = wheel.parent / "simple/opencv-python"
    page.mkdir(parents=True)
    link = f'<a href="/{wheel.name}#sha256={digest}">{wheel.name}</a>'
    (page / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>")
    handler = partial(Quiet, directory=str(wheel.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/simple"
        server.shutdown()


PATCH, OF_UV, INSTALL = take(
    ENVIRONMENTS, "nix-manylinux patch .venv", "nix-manylinux patch ~/", "nix-manylinux install"
)
PATCH_TOO, CHECK = take(BROKEN, "nix-manylinux patch", "nix-manylinux check .venv")
FIRST = take(README, "nix-manylinux patch .venv", "nix-manylinux check .venv")


def test_a_virtual_environment(place: Place) -> None:
    """One command for it; then `check` says that all loads."""
    venv = place.environment_of_uv()
    assert [PATCH_TOO, CHECK] == FIRST
    assert PATCH_TOO == PATCH
    assert "zlib" in place.run(PATCH)
    place.run(CHECK)
    place.imports(f"{venv}/bin/python", venv)


def test_the_tools_of_uv(place: Place) -> None:
    """Each has an environment of its own; one of them has lost its Python."""
    tools = Path(place.environment["HOME"], ".local/share/uv/tools")
    tools.mkdir(parents=True)
    for name in ("one", "two"):
        place.run(f"uv venv --quiet --python {place.python} '{tools}/{name}'")
        place.run(f"uv pip install --quiet --python '{tools}/{name}/bin/python' opencv-python")
    (tools / "two/bin/python").unlink()
    (tools / "two/bin/python").symlink_to("/nowhere/python3")
    place.run(OF_UV)
    for name in ("one", "two"):
        place.imports(f"{tools}/{name}/bin/python", tools)


def test_wheels_at_hand(place: Place) -> None:
    """`install` of all wheels of a folder, for an interpreter and with libraries that are named."""
    command = place.here(
        INSTALL,
        {
            "/nix/store/...-python3-3.12.4/bin/python3": place.python,
            "--libs ...": "--libs \"$(nix-build '<nixpkgs>' -A zlib --no-out-link)/lib\"",
        },
    )
    place.run(f"cp wheels/{WHEEL} .", command)
    (site,) = place.folder.glob("environment/lib/python3.*/site-packages")
    place.run(f"PYTHONPATH={site} {place.python} -c 'import cv2'".replace("a folder", "a\\ folder"))


ADD = take(README, "REPOSITORY=", "nix registry add")
INIT, DEVELOP, SYNC, IMPORT = take(
    ENVIRONMENTS, "nix flake init -t nix-manylinux#venv", "nix develop", "uv sync", "python -c"
)


def input_by_url(project: Path) -> str:
    """Give the line that writes the URL into a template's flake.nix, where Nix wants that.

    Since 2.34 it takes no name of a user's own registry for an input; the template says so.
    """
    version = subprocess.run(["nix", "--version"], capture_output=True, text=True, check=True)
    numbers = re.findall("[0-9]+", version.stdout)
    if (int(numbers[0]), int(numbers[1])) < (2, 34):
        return "true"
    return f"sed -i 's|flake:nix-manylinux|path:{project}|' flake.nix"


def flake_of(place: Place) -> None:
    """Make a flake of the folder that is nixpkgs here."""
    (place.nixpkgs / "flake.nix").write_text(
        "{ outputs = _: let set = import ./. { }; in { inherit (set) lib;"
        " legacyPackages.x86_64-linux = set; legacyPackages.aarch64-linux = set; }; }"
    )


def test_a_development_shell(place: Place, project: Path) -> None:
    """The registry, the template, the shell, `uv sync`, and an import; nothing in between."""
    flake_of(place)
    name, add = ADD
    place.run(place.here(name, {"git+https://example.org/nix-manylinux": f"path:{project}"}), add)
    place.run(INIT, input_by_url(project))
    (place.folder / "pyproject.toml").write_text(PROJECT)
    options = f"--impure --no-write-lock-file --override-input nixpkgs path:{place.nixpkgs}"
    # No lock names what lies here, and a terminal is not there to type into.
    shell = f"{DEVELOP} {options} --command bash -ec '{SYNC}\n{IMPORT}'"
    place.run(shell, UV_PYTHON_PREFERENCE="")


INSTALL_UV, INSTALL_NIX = take(README, "uv tool install", "nix profile install")


def test_installation(place: Place, project: Path) -> None:
    """By uv and by Nix: the command is there, and it runs."""
    flake_of(place)
    place.run(f'REPOSITORY="{project}"', INSTALL_UV)
    options = f"--impure --no-write-lock-file --override-input nixpkgs path:{place.nixpkgs}"
    profile = f"--profile '{place.folder}/profile'"
    place.run(f'REPOSITORY="path:{project}"', f"{INSTALL_NIX} {profile} {options}")
    # In neither place is pip beside the command, nor on PATH: it brings its own, or uv has one.
    tools = place.folder / "tools"
    tools.mkdir()
    (tools / "uv").symlink_to(Path(sys.executable).with_name("uv"))
    for name in ("dirname", "realpath"):  # scripts of uv's, in a folder with a space
        (tools / name).symlink_to(shutil.which(name) or name)
    installed = Path(place.environment["HOME"], ".local/bin")
    for folder, path in ((installed, tools), (place.folder / "profile/bin", Path("/nowhere"))):
        words = f"'{folder}/nix-manylinux' expr opencv-python==5.0.0.93"
        assert 'pname = "opencv-python"' in place.run(f"PATH='{path}' {words}")


INSPECT, EXPR, BUILD_IT = take(
    BROKEN, "nix-manylinux inspect", "nix-manylinux expr opencv", "nix-build -E"
)
CHECK_IT = take(BROKEN, "nix-manylinux check result")[0]
INSPECT_SOME = take(README, "nix-manylinux inspect")[0]


def test_an_expression(place: Place) -> None:
    """Look into a wheel, write its expression, build that, and check what came of it."""
    place.run(f"cp wheels/{WHEEL} .", f"nix-store --add-fixed sha256 wheels/{WHEEL}")
    assert "zlib" in place.run(INSPECT)
    assert "zlib" in place.run(place.here(INSPECT_SOME, {"some.whl": WHEEL}))
    place.run(place.here(EXPR))
    place.run(place.here(BUILD_IT, {"python312": "python3"}))
    place.run(place.here(CHECK_IT))


def test_a_wheel_beside(place: Place) -> None:
    """A default.nix for a wheel that lies beside it is all that nix-build needs."""
    page = "docs/nix-in-nixpkgs.md"
    (text,) = (each for each in blocks(page, "nix") if "src = ./demo" in each)
    files = {
        "demo/__init__.py": b"",
        "demo/fast.abi3.so": tiny_library("fast.so", "libexpat.so.1"),
    }
    tag = "cp310-abi3-manylinux_2_28_x86_64"
    MadeWheel(name="demo", version="1.0", tag=tag, files=files).write(place.folder)
    (place.folder / "default.nix").write_text(place.here(text, {"pkgs.zstd": "pkgs.expat"}))
    place.run("nix-build")


TWO = take(
    BROKEN,
    "nix-manylinux expr narwhals",
    "nix-manylinux expr lightgbm",
    "nix-build environment.nix",
)


def test_two_expressions(place: Place) -> None:
    """One of them requires the other, and nixpkgs has neither: names alone are typed."""
    index = Path(place.environment["PIP_FIND_LINKS"])
    pure = MadeWheel(name="narwhals", version="2.0", files={"narwhals/__init__.py": b""})
    metadata = b"Metadata-Version: 2.1\nName: lightgbm\nVersion: 4.0\nRequires-Dist: narwhals\n"
    user = MadeWheel(
        name="lightgbm", version="4.0", metadata=metadata,
        files={"lightgbm/__init__.py": b"import narwhals\n"},
    )  # fmt: skip
    files = [replace(each, tag="py3-none-any").write(index) for each in (pure, user)]
    place.run(*(f"nix-store --add-fixed sha256 '{file}'" for file in files))
    body = blocks(BROKEN, "nix")[0].replace("python312", "python3")
    (place.folder / "environment.nix").write_text(body)
    said = place.run(*TWO)
    assert "narwhals 2.0, which pip picks" in said
    assert "warning: Not in this nixpkgs: narwhals." in said
    place.run("result/bin/python3 -c 'import lightgbm'")
    # By their names in the set, as the page has it next.
    (place.folder / "names.nix").write_text(blocks(BROKEN, "nix")[1])
    place.run(
        "nix-build -E 'with import <nixpkgs> { overlays ="
        " [ (import ./nix-manylinux/nix/overlay.nix)"
        " (import ./names.nix) ]; }; python3.withPackages (packages: [ packages.lightgbm ])'",
        "result/bin/python3 -c 'import lightgbm'",
    )


FROM_NAMES = take(
    BROKEN, *("uv init", "uv add", "nix-manylinux lock uv.lock"),
    *("echo lightgbm", "uv pip compile", "nix-manylinux lock requirements.txt"),
)  # fmt: skip


def test_from_a_name_to_a_lock(place: Place) -> None:
    """By uv's project and by a list of names: both give the same packages."""
    python = f"UV_PYTHON={place.python}"
    nowhere = f"unset UV_OFFLINE UV_NO_INDEX UV_FIND_LINKS; export {python}"
    lines = [place.here(line).replace("lightgbm", "opencv-python") for line in FROM_NAMES]
    found = []
    with index(place.folder / f"wheels/{WHEEL}") as address:
        for command in (lines[:3], lines[3:]):
            place.run(nowhere, *command, UV_INDEX_URL=address)
            lock = json.loads((place.folder / "manylinux.lock.json").read_text())
            (environment,) = lock["environments"].values()
            found.append({name: each["sha256"] for name, each in environment["packages"].items()})
    assert [*found[0]] == ["opencv-python"]
    assert found[0] == found[1]


ENTER, FIXUP = take(BROKEN, "nix develop", "manylinuxFixup")


def test_the_hook_in_a_shell(place: Place) -> None:
    """`manylinuxFixup` in a shell that has the hook and the libraries, as inputs."""
    venv = place.environment_of_uv()
    (place.folder / "shell.nix").write_text(
        "with import <nixpkgs> { overlays = [ (import ./nix-manylinux/nix/overlay.nix) ]; };"
        ' stdenv.mkDerivation { name = "shell"; strictDeps = true;'
        " nativeBuildInputs = [ manylinuxFixupHook ]; buildInputs = [ zlib ]; }"
    )
    inside = f"--command bash -ec 'source $stdenv/setup; {FIXUP}'"
    place.run(f"{ENTER} --impure --file shell.nix {inside}")
    place.imports(f"{venv}/bin/python", venv)


SHELL, FIXUP_TOO = take(HOOKS, "nix-shell -E", "manylinuxFixup")


def test_the_hook_in_a_shell_without_flakes(place: Place) -> None:
    """One command makes a shell of `<nixpkgs>` with the overlay, in which the hook works."""
    venv = place.environment_of_uv()
    place.run(f"{SHELL} --run '{FIXUP_TOO}'")
    place.imports(f"{venv}/bin/python", venv)


PATCH_WHEEL = take(README, "nix-manylinux patch numpy")[0]


@pytest.mark.wheels
@pytest.mark.cp311
def test_a_wheel(place: Place) -> None:
    """A real numpy, linked to what Nix builds by the names that the page gives."""
    source = corpus.wheel("numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64")
    (place.folder / Path(source).name).symlink_to(source)
    place.run(PATCH_WHEEL)
    (patched,) = (place.folder / "patched").iterdir()
    assert patched.name == Path(source).name
    checked = f"nix-manylinux check --python {place.python} patched/*.whl"
    place.run(f"{checked} --libs \"$(nix-build '<nixpkgs>' -A zlib --no-out-link)/lib\"")


DRAW = take("docs/graph.md", "nix-manylinux graph")[0]


def test_a_picture(place: Place) -> None:
    """The picture is written where the page says."""
    place.run(place.here(DRAW, {"demo.whl": f"wheels/{WHEEL}"}))
    assert "libz.so.1" in (place.folder / "graph.html").read_text()


@pytest.mark.parametrize("document", [ENVIRONMENTS, LOCKS, BROKEN])
def test_every_expression_parses(document: str) -> None:
    """Each block of Nix is an expression, or attributes of one."""
    for body in blocks(document, "nix"):
        whole = body if body.startswith(("{", "pkgs.", "final:")) else f"rec {{ {body} }}"
        around = "{ lib, pkgs, pyproject-nix, pyproject-build-systems, workspace, nix-manylinux }: "
        run_nix("nix-instantiate", "--parse", "-", given=around + whole)


def test_a_shell_without_flakes(place: Place) -> None:
    """The guide's `shell.nix` is the template's, and `nix-shell` does what `nix develop` does."""
    (body,) = [each for each in blocks(ENVIRONMENTS, "nix") if "mkShell" in each]
    assert body == (ROOT / "templates/venv/shell.nix").read_text()
    (place.folder / "shell.nix").write_text(body)
    (place.folder / "pyproject.toml").write_text(PROJECT)
    place.run(f"nix-shell --run '{SYNC}\n{IMPORT}'", UV_PYTHON_PREFERENCE="")

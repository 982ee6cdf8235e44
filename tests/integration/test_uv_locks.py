"""What uv locks, and what it would install of it: the same as `lock` takes, package by package."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from tests.support.wheels import MadeWheel

from nix_manylinux.lock.choose import choose
from nix_manylinux.lock.model import BadLock
from nix_manylinux.lock.read import read_lock
from nix_manylinux.target.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

UV = os.path.join(os.path.dirname(sys.executable), "uv")

PLACE = Place(python="3.12", system="x86_64-linux")

#: Index -> its releases, with what each requires: as PyTorch has one index for each CUDA.
INDEXES = {
    "main": {
        "torch-1.0": ["base"],
        "torch-2.0": ["base"],
        "base-1.0": [],
        "onnx-1.0": ["torch"],
        "tool-1.0": [],
    },
    "cpu": {"torch-1.0+cpu": ["base"], "vision-1.0+cpu": ["torch==1.0+cpu"]},
    "cuda": {"torch-1.0": ["base"], "vision-1.0": ["torch==1.0"]},
}

INDEX = """
[[tool.uv.index]]
name = "main"
url = "{url}/main"
default = true
"""

ACCELERATORS = """
[project]
name = "demo"
version = "0"
requires-python = ">=3.10"
dependencies = ["onnx"]
[project.optional-dependencies]
cpu = ["torch==1.0+cpu", "vision"]
cuda = ["torch==1.0", "vision"]
[tool.uv]
conflicts = [[{ extra = "cpu" }, { extra = "cuda" }]]
[tool.uv.sources]
torch = [{ index = "cpu", extra = "cpu" }, { index = "cuda", extra = "cuda" }]
vision = [{ index = "cpu", extra = "cpu" }, { index = "cuda", extra = "cuda" }]
[[tool.uv.index]]
name = "cpu"
url = "{url}/cpu"
explicit = true
[[tool.uv.index]]
name = "cuda"
url = "{url}/cuda"
explicit = true
"""

GROUPS = """
[project]
name = "demo"
version = "0"
requires-python = ">=3.10"
dependencies = ["onnx"]
[dependency-groups]
old = ["torch==1.0"]
new = ["torch==2.0"]
[tool.uv]
conflicts = [[{ group = "old" }, { group = "new" }]]
"""

MEMBERS = """
[project]
name = "demo"
version = "0"
requires-python = ">=3.10"
dependencies = ["part[more]"]
[project.optional-dependencies]
fast = ["onnx"]
all = ["demo[fast]"]
[dependency-groups]
dev = ["demo[fast]", "outer[odd]"]
[tool.uv.sources]
part = { workspace = true }
outer = { path = "outer", editable = true }
[tool.uv.workspace]
members = ["part"]
"""

PART = """
[project]
name = "part"
version = "0"
requires-python = ">=3.10"
[project.optional-dependencies]
more = ["base; sys_platform == 'linux'", "tool; sys_platform == 'win32'"]
"""

OUTER = """
[project]
name = "outer"
version = "0"
requires-python = ">=3.10"
dependencies = ["torch<2"]
[project.optional-dependencies]
odd = ["tool"]
"""

VIRTUAL = """
[tool.uv.workspace]
members = ["part"]
[dependency-groups]
dev = ["onnx"]
"""


#: A workspace whose project requires none of the members.
APART = """
[project]
name = "demo"
version = "0"
requires-python = ">=3.10"
dependencies = ["onnx"]
[tool.uv.workspace]
members = ["part", "odd"]
"""

ODD = """
[project]
name = "odd"
version = "0"
requires-python = ">=3.10"
dependencies = ["tool"]
[dependency-groups]
test = ["base"]
"""

#: A workspace whose members can't be in one environment.
RIVALS = """
[tool.uv]
conflicts = [[{ package = "part" }, { package = "odd" }]]
[tool.uv.workspace]
members = ["part", "odd"]
"""
RIVAL_PART = PART.replace("[project.optional", 'dependencies = ["torch==1.0"]\n[project.optional')
RIVAL_ODD = ODD.replace('"tool"', '"torch==2.0"')

#: A member's extra that is wanted, everywhere or only under later Pythons; another is in conflict.
LATE = """
[project]
name = "demo"
version = "0"
requires-python = ">=3.10"
dependencies = ["part[late]{marker}"]
[project.optional-dependencies]
none = []
[dependency-groups]
empty = []
[tool.uv.sources]
part = { workspace = true }
[tool.uv.workspace]
members = ["part"]
"""

LATE_PART = """
[project]
name = "part"
version = "0"
requires-python = ">=3.10"
[project.optional-dependencies]
late = ["onnx", "torch==2.0"]
now = ["onnx", "torch==1.0"]
[tool.uv]
conflicts = [[{ extra = "late" }, { extra = "now" }]]
"""
ALWAYS = LATE.replace("{marker}", "")
LATER = LATE.replace("{marker}", "; python_version >= '3.99'")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the indexes, each a folder of pages (PEP 503)."""
    top = tmp_path_factory.mktemp("indexes")
    for index, releases in INDEXES.items():
        for release, needs in releases.items():
            name, _, version = release.partition("-")
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            metadata += "".join(f"Requires-Dist: {need}\n" for need in needs)
            folder = top / index / name
            folder.mkdir(parents=True, exist_ok=True)
            made = MadeWheel(
                name, version, "py3-none-any", {f"{name}.py": b""}, metadata=metadata.encode()
            )
            wheel = Path(made.write(folder))
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            with (folder / "index.html").open("a") as page:
                page.write(f'<a href="{wheel.name}#sha256={digest}">{wheel.name}</a>\n')
    handler = functools.partial(_Quiet, directory=str(top))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def uv(folder: Path, *words: str) -> str:
    """Run uv with nothing of the user's settings; give what it says."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("UV_", "VIRTUAL_ENV"))}
    environment = {**kept, "UV_CACHE_DIR": str(folder / "cache"), "NO_PROXY": "127.0.0.1"}
    environment |= {"UV_PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never"}
    done = subprocess.run(
        [UV, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def locked(projects: dict[str, str], url: str, folder: Path) -> None:
    """Write the projects, by their folders, and have uv lock them."""
    for name, text in projects.items():
        (folder / name).mkdir(exist_ok=True)
        pyproject = text if name else f"{text}{INDEX}"
        (folder / name / "pyproject.toml").write_text(pyproject.replace("{url}", url))
    uv(folder, "lock")


WORKSPACE = {"": MEMBERS, "part": PART, "outer": OUTER}


@pytest.mark.parametrize(
    ("projects", "options", "wanted"),
    [
        ({"": ACCELERATORS}, "--extra cpu", "base==1.0 onnx==1.0 torch==1.0+cpu vision==1.0+cpu"),
        ({"": ACCELERATORS}, "--extra cuda", "base==1.0 onnx==1.0 torch==1.0 vision==1.0"),
        ({"": ACCELERATORS}, "", "base==1.0 onnx==1.0 torch==1.0"),
        ({"": GROUPS}, "--group old", "base==1.0 onnx==1.0 torch==1.0"),
        ({"": GROUPS}, "--group new", "base==1.0 onnx==1.0 torch==2.0"),
        (WORKSPACE, "", "base==1.0"),
        (WORKSPACE, "--extra all", "base==1.0 onnx==1.0 torch==1.0"),
        (WORKSPACE, "--group dev", "base==1.0 onnx==1.0 tool==1.0 torch==1.0"),
        (WORKSPACE, "--package part", ""),
        (WORKSPACE, "--package part --extra more", "base==1.0"),
        # The project of the lock's folder has this group, and "part" has none of that name.
        (WORKSPACE, "--package part --group dev", "base==1.0 onnx==1.0 tool==1.0 torch==1.0"),
        (WORKSPACE, "--package demo --package part", "base==1.0"),
        (WORKSPACE, "--all-packages --extra more", "base==1.0"),
        ({"": VIRTUAL, "part": PART}, "--group dev", "base==1.0 onnx==1.0 torch==2.0"),
        ({"": VIRTUAL, "part": PART}, "--extra more", "base==1.0"),
        ({"": APART, "part": PART, "odd": ODD}, "", "onnx==1.0 base==1.0 torch==2.0"),
        ({"": APART, "part": PART, "odd": ODD}, "--package odd", "tool==1.0"),
        (
            {"": APART, "part": PART, "odd": ODD},
            "--package odd --group test",
            "base==1.0 tool==1.0",
        ),
        (
            {"": APART, "part": PART, "odd": ODD},
            "--all-packages --group test --extra more",
            "base==1.0 onnx==1.0 tool==1.0 torch==2.0",
        ),
        (
            {"": RIVALS, "part": RIVAL_PART, "odd": RIVAL_ODD},
            "--package part",
            "base==1.0 torch==1.0",
        ),
        (
            {"": RIVALS, "part": RIVAL_PART, "odd": RIVAL_ODD},
            "--package odd",
            "base==1.0 torch==2.0",
        ),
        ({"": ALWAYS, "part": LATE_PART}, "", "base==1.0 onnx==1.0 torch==2.0"),
        ({"": LATER, "part": LATE_PART}, "--extra none --group empty", ""),
        (
            {"": LATER, "part": LATE_PART},
            "--package part --extra now",
            "base==1.0 onnx==1.0 torch==1.0",
        ),
    ],
)
def test_what_uv_would_install(
    projects: dict[str, str], options: str, wanted: str, url: str, tmp_path: Path
) -> None:
    """Extras and groups in conflict, extras of members and of folders, groups of a workspace."""
    locked(projects, url, tmp_path)
    words = options.split()
    asked = {
        kind: [words[at + 1] for at, word in enumerate(words) if word == f"--{kind}"]
        for kind in ("extra", "group", "package")
    }
    extras, groups, packages = asked.values()
    everything = "--all-packages" in words
    lock = read_lock(
        str(tmp_path / "uv.lock"),
        extras=extras,
        groups=groups,
        packages=packages,
        all_packages=everything,
    )
    found = choose(lock, PLACE, extras=extras, groups=groups).packages
    assert {f"{name}=={c.package.version}" for name, c in found.items()} == {*wanted.split()}
    exported = uv(
        tmp_path, "export", *words, "--no-default-groups",
        "--no-emit-workspace", "--no-header", "--no-annotate", "--no-editable", "--quiet",
    )  # fmt: skip
    taken = {}
    for line in exported.replace("\\\n", "").splitlines():
        text, _, digest = line.partition(" --hash=sha256:")
        requirement = Requirement(text) if digest else None  # others are the projects' own
        if requirement and (requirement.marker is None or requirement.marker.evaluate()):
            taken[f"{requirement.name}{requirement.specifier}"] = digest.strip()
    assert taken == {
        f"{name}=={each.package.version}": each.wheel and each.wheel.sha256
        for name, each in found.items()
    }


def test_an_extra_that_is_wanted_elsewhere(url: str, tmp_path: Path) -> None:
    """One that only later Pythons want is in no conflict; uv export has torch twice here."""
    locked({"": LATER, "part": LATE_PART}, url, tmp_path)
    lock = read_lock(str(tmp_path / "uv.lock"), extras=["now"], all_packages=True)
    found = choose(lock, PLACE).packages
    assert found["torch"].package.version == "1.0"
    locked({"": ALWAYS, "part": LATE_PART}, url, tmp_path)
    with pytest.raises(BadLock, match="has a conflict of extra late and extra now"):
        choose(read_lock(str(tmp_path / "uv.lock"), extras=["now"], all_packages=True), PLACE)
    with pytest.raises(
        BadLock, match="has no extra or group 'now' of demo\n  part has it: --package part"
    ):
        read_lock(str(tmp_path / "uv.lock"), extras=["now"])


def test_what_is_in_conflict_is_refused(url: str, tmp_path: Path) -> None:
    """As uv refuses to install it; a script's lock has what the script requires."""
    (tmp_path / "pyproject.toml").write_text(f"{ACCELERATORS}{INDEX}".replace("{url}", url))
    head = f'/// script\nrequires-python = ">=3.10"\ndependencies = ["onnx"]{INDEX}///'
    script = "".join(f"# {line}\n" for line in head.replace("{url}", url).splitlines())
    (tmp_path / "tool.py").write_text(script)
    uv(tmp_path, "lock")
    uv(tmp_path, "lock", "--script", "tool.py")
    members = tmp_path / "members"
    members.mkdir()
    locked({"": RIVALS, "part": RIVAL_PART, "odd": RIVAL_ODD}, url, members)
    with pytest.raises(BadLock, match="conflict of project odd and project part") as caught:
        choose(read_lock(str(members / "uv.lock")), PLACE)
    assert "make a file of each: --package NAME -o FILE" in caught.value.hint
    lock = read_lock(str(tmp_path / "uv.lock"), extras=["cpu", "cuda"])
    with pytest.raises(BadLock, match="has a conflict of extra cpu and extra cuda"):
        choose(lock, PLACE)
    script_s = choose(read_lock(str(tmp_path / "tool.py.lock")), PLACE)
    assert set(script_s.packages) == {"onnx", "torch", "base"}
    assert script_s.roots == ("onnx",)


def test_what_is_no_lock_yet(url: str, tmp_path: Path) -> None:
    """What a requirements file without digests is told is a command that locks it."""
    path = tmp_path / "some requirements.txt"
    (tmp_path / "more.txt").write_text("tool\n")
    for text, wanted in (
        ("onnx==1.0\n", "base onnx torch"),
        ("-r more.txt\n", "tool"),
    ):
        path.write_text(f"-i {url}/main\n{text}")
        with pytest.raises(BadLock) as caught:
            read_lock(str(path))
        _, _, command = caught.value.hint.partition("what was written: ")
        words = shlex.split(command.partition(" (")[0])
        assert words.pop(0) == "uv"
        uv(tmp_path, *words, "--python-version", PLACE.series)  # not that of who runs the tests
        assert " ".join(choose(read_lock(str(tmp_path / "pylock.toml")), PLACE).packages) == wanted
        (tmp_path / "pylock.toml").unlink()

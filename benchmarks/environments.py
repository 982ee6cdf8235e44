"""Measure a whole environment from a lock file: `python benchmarks/environments.py`.

More than two hundred packages, seventy-five of them with compiled code: how long it takes to
lock, to evaluate and to build, and how large it is, beside the same wheels as plain
packages of nixpkgs and beside uv2nix; then a virtual environment of them, patched, beside
nixpkgs' auto-patchelf over the same files. Sets are those of the tests' second ring, and
uv2nix is the tests', so the variables of tests/nix/ring_two.py and tests/nix/test_pyproject.py
are needed. What was built is deleted in the end. The ways take turns, and the machine's load
when a table began stands under it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from builds import in_turns, shown  # noqa: E402  the path is set above
from measure import COMMAND, run, table  # noqa: E402
from tests.support.nix import nix_path  # noqa: E402
from tests.support.rings import nix  # noqa: E402

#: What is locked; all that these require comes with them. Left out is what autoPatchelfHook
#: can't build without more words (PySide6, numba with tbb), and what is large (torch, pyarrow).
PROJECT = """
aiohttp argon2-cffi asyncpg bcrypt beautifulsoup4 black bottleneck brotli celery coverage
cryptography cython django duckdb fastapi flask fonttools gevent grpcio h5py httptools httpx
hypothesis jsonschema jupyterlab kiwisolver lxml lz4 matplotlib msgpack mypy networkx numexpr
numpy orjson pandas pillow polars protobuf psutil psycopg2-binary pydantic pymongo pynacl
pyproj pytest pyyaml pyzmq rapidfuzz redis regex requests ruff safetensors scikit-learn scipy
shapely soundfile sqlalchemy statsmodels tiktoken tokenizers ujson uvicorn uvloop watchfiles
websockets xxhash zstandard
"""

PYTHON = "3.11"

#: Ways to make the environment in Nix, as environments.nix calls them.
WAYS = {
    "locked": "`manylinuxLockedPackages`",
    "plain": 'plain `format = "wheel"`, which does not load',
    "autoPatchelf": '`format = "wheel"` and autoPatchelfHook, by hand',
    "uv2nixOurs": "uv2nix with `overlays.pyproject`",
    "uv2nixTheirs": "uv2nix alone (autoPatchelfHook)",
}


def load() -> str:
    """Say how busy the machine is."""
    return f"Load when this began: {os.getloadavg()[0]:.1f}.\n"


class Project:
    """A locked project in a folder, and its wheels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = folder / "wheels"
        self.lock = folder / "manylinux.lock.json"
        self.uv = os.path.join(os.path.dirname(sys.executable), "uv")
        names = json.dumps(PROJECT.split())
        (folder / "pyproject.toml").write_text(
            f'[project]\nname = "whole"\nversion = "1"\nrequires-python = "=={PYTHON}.*"\n'
            f"dependencies = {names}\n[tool.uv]\npackage = false\n",
            encoding="utf-8",
        )

    def lock_by_uv(self) -> None:
        """Let uv lock; its own cache is used."""
        (self.folder / "uv.lock").unlink(missing_ok=True)
        self._run(self.uv, "lock", "--quiet")

    def lock_by_us(self, *options: str) -> None:
        """Make the JSON of uv.lock; wheels are kept in the folder `cache`."""
        words = ["lock", "-q", "uv.lock", "--python-version", PYTHON, *options]
        self._run(*COMMAND, *words)

    @property
    def cache(self) -> Path:
        """Where wheels are kept by their hashes."""
        return self.folder / "cache"

    def packages(self) -> dict[str, Any]:
        """Give the packages of the JSON by name."""
        (environment,) = json.loads(self.lock.read_text(encoding="utf-8"))["environments"].values()
        found: dict[str, Any] = environment["packages"]
        return found

    def gather(self) -> None:
        """Put the wheels into one folder, and leave no others in uv.lock.

        uv2nix would take others here and there, so that not the same would be compared.
        """
        self.wheels.mkdir()
        for package in self.packages().values():
            (path,) = (self.cache / "nix-manylinux/wheels" / package["sha256"]).glob("*.whl")
            os.link(path, self.wheels / package["file"])
        names = {path.name for path in self.wheels.iterdir()}
        lines = (self.folder / "uv.lock").read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [
            line
            for line in lines
            if not (match := re.search(r'url = "[^"]*/([^"/]*\.whl)"', line))
            or match[1].replace("%2B", "+") in names
        ]
        (self.folder / "uv.lock").write_text("".join(kept), encoding="utf-8")

    def _run(self, *command: str) -> None:
        # uv keeps its own cache.
        ours = {} if command[0] == self.uv else {"XDG_CACHE_HOME": str(self.cache)}
        subprocess.run(command, cwd=self.folder, check=True, env={**os.environ, **ours})


class Maker:
    """Evaluates, builds and deletes the ways of environments.nix."""

    def __init__(self, project: Project) -> None:
        given = nix("two")
        # A store of our own: what is deleted there is in nobody's way.
        home = project.folder / "nix"
        self._environment = {**given.environment, "NIX_REMOTE": "local"}
        for name in ("store", "state", "log", "conf"):
            self._environment[f"NIX_{name.upper()}_DIR"] = str(home / name)
        paths = {
            "pureWheels": given.arguments["pureWheels"], "project": project.folder,
            "lock": project.lock, "wheels": project.wheels, "uv": project.uv,
        }  # fmt: skip
        self._arguments = [str(ROOT / "benchmarks/environments.nix")]
        for name, path in paths.items():
            self._arguments += ["--arg", name, nix_path(path)]

    def evaluate(self, attribute: str) -> None:
        """Evaluate to the environment's derivation."""
        self._run("nix-instantiate", *self._arguments, "-A", f"{attribute}.env")

    def allocated(self, attribute: str) -> int:
        """Give the bytes that the evaluator allocates, which are the same each time."""
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            more = {"NIX_SHOW_STATS": "1", "NIX_SHOW_STATS_PATH": file.name}
            command = ("nix-instantiate", *self._arguments, "-A", f"{attribute}.env")
            self._run(*command, environment=more)
            statistics: dict[str, Any] = json.loads(Path(file.name).read_bytes())
        return int(statistics["gc"]["totalBytes"])

    def build(self, attribute: str) -> list[str]:
        """Build on all cores; give the outputs."""
        command = ("nix-build", "--no-out-link", "--max-jobs", "auto", "--cores", "1")
        return self._run(*command, *self._arguments, "-A", attribute).split()

    def delete(self, attribute: str) -> None:
        """Delete the environment and its packages; what all ways share stays."""
        command = ("nix-instantiate", *self._arguments, "-A")
        recipes = self._run(*command, f"{attribute}.env").split()
        recipes += self._run(*command, f"{attribute}.packages").split()
        outputs = self._run("nix-store", "--query", "--outputs", *recipes).split()
        there = [path for path in dict.fromkeys(outputs) if os.path.exists(path)]
        if there:
            self._run("nix-store", "--delete", *there)

    def size(self, *paths: str) -> int:
        """Give the bytes of a closure."""
        closure = {*self._run("nix-store", "--query", "--requisites", *paths).split()}
        return sum(int(s) for s in self._run("nix-store", "--query", "--size", *closure).split())

    def closure(self, path: str) -> set[str]:
        """Give the paths of a closure."""
        return {*self._run("nix-store", "--query", "--requisites", path).split()}

    def _run(self, *command: str, environment: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False,
            env={**self._environment, **(environment or {})},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-4000:]}")
        return done.stdout


def locking(project: Project, rounds: int) -> str:
    """Time locking; the first of ours, in which wheels are fetched, counts by itself."""
    before = load()
    project.lock_by_uv()
    start = time.perf_counter()
    project.lock_by_us()
    first = time.perf_counter() - start
    found = in_turns(
        {
            "uv": project.lock_by_uv,
            "ours": project.lock_by_us,
            "bare": partial(project.lock_by_us, "--no-inspect", "-o", "bare.json"),
        },
        rounds,
    )
    rows = [
        ["`uv lock`, with its cache", shown(found["uv"])],
        ["`lock`, no wheel fetched yet", f"{first:.2f} s"],
        ["`lock`, wheels fetched", shown(found["ours"])],
        ["`lock --no-inspect`", shown(found["bare"])],
    ]
    count = len(project.packages())
    return table(f"Locking {count} packages", ["what", "time"], rows) + f"\n{before}"


def evaluating(maker: Maker, rounds: int) -> str:
    """Time evaluation of each way, and count what is allocated."""
    before = load()
    found = in_turns({way: partial(maker.evaluate, way) for way in WAYS}, rounds)
    sizes = {way: maker.allocated(way) for way in WAYS}
    rows = [
        [
            WAYS[way], shown(found[way]), f"{found[way].cpu / found[beside].cpu:.2f}",
            f"{sizes[way] / 1e6:.0f} MB", f"{sizes[way] / sizes[beside]:.2f}",
        ]
        for way in WAYS
        for beside in ["uv2nixTheirs" if way.startswith("uv2nix") else "plain"]
    ]  # fmt: skip
    heads = ["evaluating", "time", "ratio", "allocated", "ratio"]
    return table("Evaluating", heads, rows) + f"\n{before}"


def building(maker: Maker, rounds: int) -> str:
    """Time building of the ways that give something that loads, and size what they give."""
    before = load()
    ways = [way for way in WAYS if way != "plain"]
    sizes, paths = {}, {}
    (python,) = maker.build("python")
    base = maker.closure(python)
    for shared in ("tool", "hooks", "libraries", "uv2nixTheirs.sources"):
        maker.build(shared)
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            os.sync()
            start = time.perf_counter()
            (env,) = maker.build(f"{way}.env")
            taken[way].append(time.perf_counter() - start)
            closure = maker.closure(env)
            sizes[way], paths[way] = maker.size(env) - maker.size(python), len(closure - base)
            sys.stderr.write(f"{way}: {taken[way][-1]:.1f} s, {sizes[way]} bytes\n")
            maker.delete(way)
    median = {way: sorted(times)[len(times) // 2] for way, times in taken.items()}
    rows = [
        [
            WAYS[way], f"{median[way]:.0f} s", f"{median[way] / median[beside]:.2f}",
            f"{sizes[way] / 1e6:.1f} MB", f"{sizes[way] / sizes[beside]:.3f}", f"{paths[way]}",
        ]
        for way in ways
        for beside in ["uv2nixTheirs" if way.startswith("uv2nix") else "autoPatchelf"]
    ]  # fmt: skip
    heads = ["building", "time", "ratio", "closure without Python", "ratio", "paths"]
    return table("Building", heads, rows) + f"\n{before}"


def patching(project: Project, maker: Maker, auto_patchelf: str, rounds: int) -> str:
    """Time `patch .venv` beside auto-patchelf over the same files."""
    before = load()
    python = f"{maker.build('python')[0]}/bin/python3.11"
    libraries = [f"{path}/lib" for path in maker.build("libraries")]
    libc = maker.build("glibc")[0]
    compiled = [p["file"] for p in project.packages().values() if p["format"] != "wheel"]
    made, venv = project.folder / "made", project.folder / ".venv"
    run([project.uv, "-q", "venv", "--python", python, str(venv)])
    words = ["pip", "install", "-q", "--no-deps", "--link-mode=copy", "--python", str(venv)]
    run([project.uv, *words, *(str(project.wheels / file) for file in compiled)])
    venv.rename(made)
    with tempfile.TemporaryDirectory() as bintools:
        support = Path(bintools, "nix-support")
        support.mkdir()
        (support / "dynamic-linker").write_text(f"{libc}/lib/ld-linux-x86-64.so.2")
        (support / "orig-libc").write_text(libc)
        settings = {"NIX_BINTOOLS": bintools}
        ours = [*COMMAND, "patch", "-q", str(venv)]
        ours += [word for path in libraries for word in ("--libs", path)]
        theirs = [sys.executable, auto_patchelf, "--paths", str(venv / "lib"), "--libs", *libraries]

        def fresh() -> None:
            shutil.rmtree(venv, ignore_errors=True)
            shutil.copytree(made, venv, symlinks=True)

        ways = {"ours": ours, "theirs": theirs}
        actions = {name: partial(run, command, env=settings) for name, command in ways.items()}
        found = in_turns(actions, rounds, before=fresh)
        fresh()
        found |= in_turns({"again": actions["ours"]}, rounds)
    ratio = f"{found['ours'].wall / found['theirs'].wall:.2f}"
    rows = [
        ["`patch .venv`", shown(found["ours"]), ratio],
        ["auto-patchelf over it", shown(found["theirs"]), ""],
        ["`patch .venv` again, nothing to do", shown(found["again"]), ""],
    ]
    title = f"A virtual environment of {len(compiled)} compiled wheels"
    return table(title, ["what", "time", "ratio"], rows) + f"\n{before}"


def main() -> int:
    """Run what was asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed")
    parser.add_argument("--builds", type=int, default=1, help="how often each is built")
    parser.add_argument("--work", help="a folder for some gigabytes, on the wheels' file system")
    parser.add_argument("--auto-patchelf", metavar="FILE", help="auto-patchelf.py of nixpkgs")
    parts = ("lock", "evaluate", "build", "patch")
    parser.add_argument("only", nargs="*", metavar="PART", help=f"of {', '.join(parts)}")
    options = parser.parse_args()
    asked = options.only or parts
    if "patch" in asked and options.auto_patchelf is None:
        parser.error("give --auto-patchelf FILE, or name the other parts")
    folder = Path(tempfile.mkdtemp(prefix="nix-manylinux-bench-", dir=options.work))
    try:
        project = Project(folder)
        if "lock" in asked:
            print(locking(project, options.rounds))
        else:
            project.lock_by_uv()
        project.lock_by_us()
        project.gather()
        maker = Maker(project)
        if "evaluate" in asked:
            print(evaluating(maker, options.rounds))
        if "build" in asked:
            print(building(maker, options.builds))
        if "patch" in asked:
            print(patching(project, maker, options.auto_patchelf, options.rounds))
    finally:
        # A store is read-only.
        subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False)
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

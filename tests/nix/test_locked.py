"""A lock file to an environment: torch-like wheels, a circle, a driver; nothing by hand."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.nix.test_packages import run
from tests.support.elf import ElfBuilder
from tests.support.guides import blocks
from tests.support.nix import ROOT, nix_path, run_nix
from tests.support.scene import run_path
from tests.support.sets import expression, packages
from tests.support.wheels import MadeWheel

from nix_manylinux.lock.make import make_lock
from nix_manylinux.target.place import Place

if TYPE_CHECKING:
    from tests.support.rings import Nix

pytestmark = pytest.mark.nix

TAG = "py3-none-manylinux_2_17_x86_64"

#: A module that calls the function of its library.
CALLER = """
import ctypes, os
answer = ctypes.CDLL(os.path.join(os.path.dirname(__file__), {file!r}), os.RTLD_NOW).answer()
"""


def function(name: str, value: int, *calls: str) -> str:
    """Write a function that adds a number to what others return."""
    declared = "".join(f"int {other}(void);\n" for other in calls)
    total = " + ".join([str(value), *(f"{other}()" for other in calls)])
    return f"{declared}int {name}(void) {{ return {total}; }}\n"


def metadata(name: str, *requires: str) -> bytes:
    """Write METADATA."""
    lines = "".join(f"Requires-Dist: {each}\n" for each in requires)
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{lines}".encode()


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, nix: Nix) -> dict[str, str]:
    """Make wheels that need each other, and lock them as a user would; gives the Nix arguments."""
    folder = tmp_path_factory.mktemp("locked")
    files = ElfBuilder(folder / "elf")
    cublas = files.library(
        "libcublas.so.12", source=function("cublas", 1), soname="libcublas.so.12"
    )
    cuda = files.library("libcuda.so.1", source=function("cu", 0), soname="libcuda.so.1")
    stub = files.library("libtorch.so", source=function("torch", 0), soname="libtorch.so")
    cudnn = files.library(
        "libcudnn.so.9", source=function("cudnn", 10, "cublas", "torch"), soname="libcudnn.so.9",
        needs=[cublas, stub],
    )  # fmt: skip
    torch = files.library(
        "libtorch.so", source=function("torch", 100), soname="libtorch.so", needs=[cudnn, cuda],
    )  # fmt: skip
    answer = files.library(
        "_C.so", source=function("answer", 1000, "cudnn"), needs=[torch, cudnn, cublas]
    )
    user = files.library("_aa.so", source=function("answer", 5), needs=[cublas])
    plugin = files.library("libplugin.so", needed=["libnobody.so.7"])
    made = [
        MadeWheel(name="nvidia_cublas", tag=TAG, metadata=metadata("nvidia-cublas"), files={
            "nvidia/__init__.py": b"", "nvidia/cublas/lib/libcublas.so.12": cublas.read_bytes()}),
        # The two need each other's libraries; only one of them says so.
        MadeWheel(name="nvidia_cudnn", tag=TAG, metadata=metadata("nvidia-cudnn", "nvidia-cublas"),
            files={"nvidia/__init__.py": b"",
                   "nvidia/cudnn/lib/libcudnn.so.9": cudnn.read_bytes()}),
        MadeWheel(name="torchlike", tag=TAG, metadata=metadata("torchlike", "nvidia-cudnn"), files={
            "torchlike/__init__.py": CALLER.format(file="_C.so").encode(),
            "torchlike/_C.so": answer.read_bytes(), "torchlike/lib/libtorch.so": torch.read_bytes(),
            "torchlike/plugins/libplugin.so": plugin.read_bytes(),
            # The two are installed as one, and pip takes a file that both bring.
            "nvidia/__init__.py": b""}),
        MadeWheel(name="aa", tag=TAG, metadata=metadata("aa", "nvidia-cublas", "pure"), files={
            "aa/__init__.py": CALLER.format(file="_aa.so").encode(),
            "aa/_aa.so": user.read_bytes(), "tests/__init__.py": b"of_aa = 1\n"}),
        # Many wheels bring a stray file that another one has, too, and differently.
        MadeWheel(name="pure", tag="py3-none-any", metadata=metadata("pure"),
            files={"pure.py": b"x = 1\n", "tests/__init__.py": b"of_pure = 1\n"}),
    ]  # fmt: skip
    return lock_wheels(folder, nix, made)


def lock_wheels(folder: Path, nix: Nix, made: list[MadeWheel]) -> dict[str, str]:
    """Write wheels, and lock them as a user would; gives the Nix arguments."""
    wheels = folder / "wheels"
    wheels.mkdir()
    text = ""
    for each in made:
        data = Path(each.write(wheels)).read_bytes()
        name = each.name.replace("_", "-")
        text += f"{name}==1.0 --hash=sha256:{hashlib.sha256(data).hexdigest()}\n"
    (folder / "requirements.txt").write_text(text)
    environment = {
        **os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels),
        "PIP_CONFIG_FILE": os.devnull,
    }  # fmt: skip
    version = nix.python.removeprefix("python")
    lock = make_lock(
        str(folder / "requirements.txt"),
        [Place(python=version, system="x86_64-linux")],
        cache=str(folder / "cache"),
        environment=environment,
    )
    (folder / "lock.json").write_text(json.dumps(lock.value))
    return {"lock": str(folder / "lock.json"), "lockWheels": str(wheels)}


def test_an_environment_from_a_lock(nix: Nix, locked: dict[str, str]) -> None:
    """It is built, checked as a whole, and imports where only the store is visible."""
    built = nix.build("locked.set.env", **locked)
    assert run(nix, f"{built.path}/bin/python3", "import aa, pure; assert aa.answer == 5")
    # The driver is the host's alone: the path to it is there, and last.
    place = f"{nix.build('locked.set.torchlike', **locked).path}/lib/{nix.python}/site-packages"
    assert run_path(Path(place) / "torchlike/lib/libtorch.so").endswith(":/run/opengl-driver/lib")


def test_the_wheels_of_the_cache(
    locked: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document's `fetch` takes what `lock` has fetched, by its digest."""
    (tmp_path / ".cache/nix-manylinux").mkdir(parents=True)
    cache = tmp_path / ".cache/nix-manylinux/wheels"
    cache.symlink_to(Path(locked["lock"]).parent / "cache")
    monkeypatch.setenv("HOME", str(tmp_path))
    (body,) = (each for each in blocks("docs/locks.md", "nix") if "  fetch =" in each)
    body = body.replace("./manylinux.lock.json", nix_path(locked["lock"])).replace("312", "3")
    path = json.loads(
        run_nix(
            *("nix-instantiate", "--eval", "--read-write-mode", "--json", "-E"),
            expression(f"let pkgs = {packages()}; in toString ({body}).aa.src"),
        )
    )
    (name,) = (each for each in os.listdir(locked["lockWheels"]) if each.startswith("aa-"))
    assert path.endswith(f"-{name}")
    assert Path(path).read_bytes() == (Path(locked["lockWheels"]) / name).read_bytes()


def test_a_circle_is_one_derivation(nix: Nix, locked: dict[str, str]) -> None:
    """Packages that need each other are built together, and each name leads there."""
    value = json.loads(Path(locked["lock"]).read_text())
    (environment,) = value["environments"].values()
    assert environment["packages"]["torchlike"]["circle"] == ["nvidia-cudnn", "torchlike"]
    paths = {
        nix.build(f"locked.set.{name}", **locked).path for name in ("torchlike", "nvidia-cudnn")
    }
    (path,) = paths
    names = os.listdir(f"{path}/lib/{nix.python}/site-packages")
    assert {"torchlike", "nvidia", "torchlike-1.0.dist-info"} <= set(names)


def test_plugins_are_counted(nix: Nix, locked: dict[str, str]) -> None:
    """A plugin that nobody needs stays unloadable, and the build says so in one line."""
    path = nix.build("locked.set.torchlike", **locked).path
    assert "1 optional file will not load (1 library missing)" in nix.log(path)


def test_the_rest_can_be_overridden(nix: Nix, locked: dict[str, str]) -> None:
    """An overlay of the set may be given; what depends on a package gets the other one."""
    assert nix.evaluate("locked.overridden.aa.mine", **locked) == "aa 1.0"


def test_what_a_package_may_lack(nix: Nix, tmp_path: Path) -> None:
    """The check of the whole allows what the package's own attributes do, and nothing else."""
    files = ElfBuilder(tmp_path / "elf")
    modules = {}
    for each in "abcdefg":
        module = files.library(f"_{each}.abi3.so", needed=[f"libnobody-{each}.so.7"])
        # One lies where the check of the whole begins in another folder than the build.
        folder = "lacking-1.0.data/data/lib/lacking" if each == "b" else "lacking"
        modules[f"{folder}/_{each}.abi3.so"] = module.read_bytes()
    made = [
        MadeWheel(name="lacking", tag=TAG, metadata=metadata("lacking"), files=modules),
        MadeWheel(name="user", tag="py3-none-any", metadata=metadata("user", "lacking"),
            files={"user.py": b""}),
    ]  # fmt: skip
    locked = lock_wheels(tmp_path, nix, made)
    nix.build("locked.lacking", **locked)
    said = nix.fails("locked.unlinked", **locked)
    assert "libnobody-a.so.7" in said
    told = said.replace("\n# ", " ")
    assert "-lacking-1.0 is not linked: none of its ELF files (7) leads into" in told
    assert "manylinuxExclude" not in said
    assert "overrides = final: prev: { NAME = prev.NAME.overridePythonAttrs" in said


def test_a_wheel_that_is_not_to_be_had(nix: Nix, locked: dict[str, str]) -> None:
    """The build says where `lock` has it, and the argument that takes it from there is Nix."""
    document = (ROOT / "docs/locks.md").read_text()
    for case in ("fetched", "fetchedByUrl"):
        said = str(nix.evaluate(f"locked.{case}.aa.src.failureHook", **locked))
        assert "could not fetch aa-1.0-" in said
        argument = "fetch = " + said.partition("fetch = ")[2].rpartition(";")[0] + ";"
        assert "fetch = { file, sha256, url }: builtins.path {" in argument
        assert {*argument.split()} <= {*document.split()}


def changed_lock(locked: dict[str, str], name: str, change: dict[str, Any]) -> dict[str, str]:
    """Write another lock beside the one that was made, with more in its environment."""
    value = json.loads(Path(locked["lock"]).read_text())
    (environment,) = value["environments"].values()
    for kind, entries in change.items():
        for package, more in entries.items():
            entries_of = environment.setdefault(kind, {})
            entries_of[package] = entries_of.get(package, {}) | more
    path = Path(locked["lock"]).parent / name
    path.write_text(json.dumps(value))
    return {**locked, "lock": str(path)}


def test_wheels_that_lie_with_the_lock(nix: Nix, locked: dict[str, str]) -> None:
    """They are taken from their paths, which are from the lock's folder; no index is asked."""
    files = {
        path.name.partition("-")[0]: path.name for path in Path(locked["lockWheels"]).iterdir()
    }
    paths = {name.replace("_", "-"): {"path": f"wheels/{file}"} for name, file in files.items()}
    at_hand = changed_lock(locked, "at-hand.json", {"packages": paths})
    built = nix.build("locked.fetched.env", **at_hand)
    assert run(nix, f"{built.path}/bin/python3", "import aa, pure; assert aa.answer == 5")
    said = nix.fails("locked.asValue.aa", **at_hand)
    assert "by its path, and is handed over as a value" in said
    gone = changed_lock(locked, "gone.json", {"packages": {"aa": {"path": "wheels/gone.whl"}}})
    assert "wheels/gone.whl, and nothing is there" in nix.fails("locked.fetched.aa", **gone)
    other = {"aa": {"path": f"wheels/{files['pure']}"}}
    said = nix.fails("locked.fetched.aa", **changed_lock(locked, "other.json", {"packages": other}))
    assert f"wheels/{files['pure']} is not the file that" in said
    assert "nix-manylinux lock LOCKFILE -o" in said


#: Sources as `lock` has them -> a line each of what makes them.
SOURCES: dict[str, tuple[dict[str, Any], str]] = {
    "by-url": (
        {"sdist": {"file": "u-1.0.zip", "sha256": "0" * 64, "url": "https://x.example/u-1.0.zip"}},
        f'pkgs.fetchurl {{ sha256 = "{"0" * 64}"; url = "https://x.example/u-1.0.zip"; }};',
    ),
    "by-name": (
        {"sdist": {"file": "by_name-1.0.tar.gz", "sha256": "0" * 64}},
        'pkgs.fetchPypi { extension = "tar.gz"; pname = "by_name"; sha256 = "000',
    ),
    "by-path": ({"sdist": {"file": "p-1.tar.gz", "path": "in/p-1.tar.gz"}}, "./in/p-1.tar.gz;"),
    "folder": (
        {"local": "directory lib/fol der", "subdirectory": "x"},
        '(./. + "/lib/fol der/x");',
    ),
    "with": ({"local": "directory /srv/with"}, "/srv/with;"),
    "old": (
        {"local": "hg https://x.example/old", "revision": "1" * 40, "subdirectory": "py"},
        f'builtins.fetchMercurial {{ rev = "{"1" * 40}"; url = "https://x.example/old"; }};',
    ),
}


def test_what_has_no_wheel_can_be_pasted(nix: Nix, locked: dict[str, str]) -> None:
    """A source that this nixpkgs hasn't is told with an expression, in which no name is free.

    So is one that is built by itself, and where that fails.
    """
    entries = {name: {"version": "1.0", "dependencies": ["pure"]} for name in ("docopt", "rolling")}
    entries["rolling"] |= {"local": "git https://x.example/rolling", "revision": "main"}
    sources = changed_lock(locked, "sources.json", {"sources": entries})
    said = nix.fails("locked.fetched.docopt", **sources)
    assert (
        "nixpkgs has not what was locked: docopt 1.0 (nixpkgs: none), rolling 1.0"
        " (git https://x.example/rolling)" in said
    )
    pasted = "overrides = final" + said.partition("overrides = final")[2].rpartition("};")[0] + "};"
    assert 'pkgs.fetchPypi { pname = "docopt"; version = "1.0"; hash = ""; };' in pasted
    assert 'builtins.fetchGit { ref = "main"; url = "https://x.example/rolling"; };' in pasted
    assert "dependencies = [ final.pure ];" in pasted
    assert run_nix("nix-instantiate", "--parse", "-E", f"pkgs: {{ {pasted} }}")
    # All other kinds tell of each file: one that they don't is nowhere.
    value = json.loads(Path(sources["lock"]).read_text())
    value["lock"]["kind"] = "uv.lock"
    Path(sources["lock"]).write_text(json.dumps(value))
    assert "src = null; # uv.lock has no source" in nix.fails("locked.fetched.docopt", **sources)


def test_how_it_is_written_by_hand(nix: Nix, locked: dict[str, str]) -> None:
    """Whatever it is made from: Nix that parses, where names are odd, too."""
    sources = {
        name: {"version": "1.0", "dependencies": ["pure", "with"]} | entry
        for name, (entry, _) in SOURCES.items()
    }
    files = changed_lock(locked, "by-hand.json", {"sources": sources})
    pasted = str(nix.evaluate("locked.byHand", **files))
    for _, line in SOURCES.values():
        assert f"    src = {line}" in pasted
    assert pasted.count('postUnpack = "sourceRoot+=') == 1
    assert pasted.count("nativeBuildInputs = [ pkgs.unzip ];") == 1
    assert 'dependencies = [ final.pure final."with" ];' in pasted
    assert run_nix("nix-instantiate", "--parse", "-E", f"pkgs: {{ {pasted} }}")


def test_the_user_s_own_projects(nix: Nix, locked: dict[str, str]) -> None:
    """They are built from their folders, with their commands, where they are asked for."""
    place = Path(locked["lock"]).parent / "own"
    (place / "mine").mkdir(parents=True)
    (place / "mine/__init__.py").write_text("import pure\ndef main():\n    print(pure.x)\n")
    (place / "pyproject.toml").write_text(
        '[project]\nname = "mine"\nversion = "1.0"\nscripts = { say = "mine:main" }\n'
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    )
    mine = {"version": "1.0", "dependencies": ["pure"], "local": "directory own"}
    files = changed_lock(locked, "own.json", {"projects": {"mine": mine}})
    built = nix.build("locked.withProjects.env", **files)
    assert run(nix, f"{built.path}/bin/python3", "import mine; mine.main()")
    assert "say" in os.listdir(f"{built.path}/bin")
    assert "say" not in os.listdir(f"{nix.build('locked.set.env', **files).path}/bin")


def test_sources_that_are_built(nix: Nix, locked: dict[str, str]) -> None:
    """A folder, a commit, an archive at hand: with nothing written by hand.

    Of the backend there is another version than is asked for, as of uv_build.
    """
    folder = Path(locked["lock"]).parent / "built"
    backend = '[build-system]\nrequires = ["Hatchling>=99"]\nbuild-backend = "hatchling.build"\n'
    for name in ("folder", "git/inner", "archive-1.0"):
        place = folder / name
        module = name.partition("-")[0].replace("git/", "")
        (place / module).mkdir(parents=True)
        (place / module / "__init__.py").write_text(f"name = {module!r}\n")
        project = f'[project]\nname = "{module}"\nversion = "1.0"\n'
        (place / "pyproject.toml").write_text(f"{project}{backend}")
    (folder / "folder/.venv").mkdir()
    os.mkfifo(folder / "folder/.venv/no-file-for-nix")
    (folder / "folder/result").symlink_to("/nowhere")
    (folder / "folder/folder/results").mkdir()
    (folder / "folder/folder/results/__init__.py").touch()
    git = "git -c user.name=N -c user.email=n@example.org"
    script = f"""
        tar -czf "an archive.tar.gz" archive-1.0
        cd git; git init -q .; git add .; {git} commit -qm all; git rev-parse HEAD"""
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, check=True, capture_output=True, text=True
    )
    address, revision = (folder / "git").as_uri(), done.stdout.strip()
    entries: dict[str, dict[str, Any]] = {
        "folder": {"local": "directory built/folder"},
        "inner": {"local": f"git {address}", "revision": revision, "subdirectory": "inner"},
        "archive": {"sdist": {"file": "archive-1.0.tar.gz", "path": "built/an archive.tar.gz"}},
        "gone": {"local": "directory built/gone"},
        # One that is needed by what it needs.
        "round": {
            "local": "directory built/folder",
            "dependencies": ["aa", "pure"],
            "circle": ["aa", "round"],
        },
        # nixpkgs has one of this name and version, which is another one.
        "hatchling": {"local": "directory built/gone"},
    }
    sources = {
        name: {"version": "1.0", "dependencies": []} | each for name, each in entries.items()
    }
    wheel = {"dependencies": ["round", "pure", "nvidia-cublas"]}
    files = changed_lock(locked, "built.json", {"sources": sources, "packages": {"aa": wheel}})
    assert str(nix.evaluate("locked.fetched.aa.drvPath", **files)).endswith(".drv")
    for name in ("folder", "inner"):
        built = nix.build(f"locked.fetched.{name}", **files)
        assert "__init__.py" in os.listdir(f"{built.path}/lib/{nix.python}/site-packages/{name}")
    source = str(nix.evaluate("locked.fetched.folder.src", **files))
    assert sorted(os.listdir(source)) == ["folder", "pyproject.toml"]
    assert sorted(os.listdir(f"{source}/folder")) == ["__init__.py", "results"]
    said = str(nix.evaluate("locked.byHand", **files))
    code = f'allRefs = true; rev = "{revision}"; submodules = true; url = "{address}";'
    assert f"src = builtins.fetchGit {{ {code} }};" in said
    assert ".pkgs.hatchling ];\n" in said
    assert "built/gone, and nothing is there" in nix.fails("locked.fetched.gone", **files)
    # Its backend is what nearly all archives have, and not this one.
    said = nix.fails("locked.fetched.archive", **files)
    assert "no wheel of archive fits, and its source could not be built as it is" in said
    pasted = "overrides = final" + said.partition("overrides = final")[2].rpartition("};")[0] + "};"
    assert "archive = prev.archive.overridePythonAttrs (old: {" in pasted
    assert run_nix("nix-instantiate", "--parse", "-E", f"pkgs: {{ {pasted} }}")


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("stale", "is stale:"),
        ("otherSystem", "has no environment for Python"),
        ("otherPython", "python = pkgs.python3"),
    ],
)
def test_what_is_refused(attribute: str, message: str, nix: Nix, locked: dict[str, str]) -> None:
    """Evaluation says what is wrong with the lock, and how to write it again."""
    said = nix.fails(f"locked.{attribute}", **locked)
    assert message in said
    # Those that it has are made again, too.
    (line,) = (line for line in said.splitlines() if "nix-manylinux lock" in line)
    keys = [*json.loads(Path(locked["lock"]).read_text())["environments"]]
    keys += {"otherSystem": [f"{keys[0].partition('-')[0]}-riscv64-linux"]}.get(attribute, [])
    for key in keys:
        python, _, system = key.partition("-")
        assert {f"--python-version {python}", f"--system {system}"} <= {
            *re.findall(r"--[a-z-]+ \S+", line)
        }
    assert ("--python-version 3.6" in line) is (attribute == "otherPython")


def test_it_is_written_again_as_it_was(nix: Nix, locked: dict[str, str]) -> None:
    """The command to paste asks for what was asked for: members, and not to look into wheels."""
    value = json.loads(Path(locked["lock"]).read_text())
    value["lock"] |= {"extras": ["fast"], "groups": ["dev"], "packages": ["part"]}
    path = Path(locked["lock"]).parent / "asked.json"
    path.write_text(json.dumps(value))
    files = {**locked, "lock": str(path)}
    said = nix.fails("locked.stale", **files)
    assert " --extra fast --group dev --package part\n" in f"{said}\n".replace(" \n", "\n")
    value["lock"]["allPackages"] = True
    for environment in value["environments"].values():
        for each in environment["packages"].values():
            del each["format"]
    path.write_text(json.dumps(value))
    assert " --package part --all-packages --no-inspect" in nix.fails("locked.stale", **files)

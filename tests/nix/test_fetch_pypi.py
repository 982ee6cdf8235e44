"""fetchPypi with the formats: the names it guesses, and real fetches from a local server."""

from __future__ import annotations

import base64
import hashlib
import http.server
import os
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.utils import parse_wheel_filename
from tests.support.nix import ROOT, NixFailed, evaluate, nix_string, run_nix
from tests.support.sets import broken_claims, expression, packages

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.nix

LIB = "import (root + /nix/lib)"


def test_claims() -> None:
    """Every claim of fetch.nix holds."""
    assert broken_claims("fetch.nix") == {}


ROWS = [
    line.split("\t")
    for line in (ROOT / "tests/nix/wheel-names.tsv").read_text().splitlines()
    if not line.startswith("#")
]


def arguments_of(project: str, file: str) -> list[dict[str, Any]]:
    """List the calls of somebody who knows the project, not the file name: one per format."""
    _, version, build, _ = parse_wheel_filename(file)
    python, abi, platform = file.removesuffix(".whl").split("-")[-3:]
    tags = [tag for tag in platform.split(".") if "linux" in tag]
    call: dict[str, Any] = {"pname": project, "version": str(version)}
    if build:
        call["build"] = "".join(map(str, build))
    if abi == "none":
        call["python"] = python
    elif abi == "abi3":
        call |= {"python": python, "abi": "abi3"}
    else:
        call["pythonVersion"] = f"{python[2]}.{python[3:]}"
    arch = next((arch for arch in ARCHES if tags and tags[0].endswith(arch)), "x86_64")
    return [call | {"format": tag.removesuffix(f"_{arch}"), "arch": arch} for tag in tags]


ARCHES = ["x86_64", "i686", "aarch64", "ppc64le", "s390x"]


@pytest.mark.parametrize(("project", "file"), ROWS, ids=[file for _, file in ROWS])
def test_real_names_are_among_the_candidates(project: str, file: str) -> None:
    """For each format that a real wheel's tags name, its true name is guessed, in a dozen tries."""
    calls = arguments_of(project, file)
    if not calls:
        # Pure Python wheels have no format of ours: nixpkgs' own does them.
        url = evaluate(
            f"""(({packages()}).fetchPypi {{
              pname = "{project}"; version = "{file.split("-")[1]}"; format = "wheel";
              python = "py3"; dist = "py3";
              hash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=";
            }}).urls"""
        )
        assert url[0].endswith(f"/{file}")
        return
    found = evaluate(
        f"{{ calls }}: map (call: map (c: c.file) (({LIB}).wheelCandidates call)) calls",
        calls=calls,
    )
    for call, names in zip(calls, found, strict=True):
        assert file in names, call
        assert len(names) == len(set(names)) <= 12


REFUSED = {
    "no Python version": (
        '{ pname = "demo"; version = "1"; format = "manylinux2014"; }',
        r"has no Python version.*pythonVersion = python\.version;",
    ),
    "a misspelt format": (
        '{ pname = "demo"; version = "1"; format = "manylinux2_17"; }',
        r'format = "manylinux2_17" is misspelt',
    ),
    "a file that is no wheel": (
        '{ file = "demo-1.tar.gz"; }',
        r"demo-1\.tar\.gz is no wheel's file name",
    ),
    "none of the files fits": (
        """{ pythonVersion = "3.11"; files = [
          { file = "demo-1-cp38-cp38-manylinux1_x86_64.whl"; }
          { file = "demo-1-cp311-cp311-manylinux_2_99_x86_64.manylinux_2_98_x86_64.whl"; }
        ]; }""",
        r"none of the files fits CPython 3\.11.*for cp38-cp38.*needs glibc 2\.98.*What would fit:",
    ),
    "files and no Python version": (
        '{ files = [ { file = "demo-1-py3-none-any.whl"; } ]; }',
        r"no Python version to choose for",
    ),
    "an argument that means nothing": (
        '{ pname = "d"; version = "1"; format = "manylinux1"; pythonVersion = "3.8"; tag = "1"; }',
        r"knows no tag for wheels",
    ),
    "a format of nobody's": (
        '{ pname = "demo"; version = "1"; format = "egg"; }',
        r"Unsupported format egg",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    """A call that can't be answered fails while evaluating, with what to write instead."""
    arguments, message = REFUSED[case]
    with pytest.raises(NixFailed, match=f"(?s){message}"):
        evaluate(f"(({packages()}).fetchPypi {arguments}).drvPath")


class Index:
    """An index on this machine that has one file: what was asked for is in ``asked``."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self.content = content
        self.asked: list[str] = []
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                if self.path.rsplit("/", 1)[-1] != index.name:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(index.content)))
                self.end_headers()
                self.wfile.write(index.content)

            def log_message(self, *_: object) -> None:
                """Keep quiet: the tests look at what was asked for."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def hash(self) -> str:
        """The content's, as Nix writes it."""
        return "sha256-" + base64.b64encode(hashlib.sha256(self.content).digest()).decode()

    def fetch(self, arguments: str) -> str:
        """Fetch from this index instead of the one that nixpkgs names; return the store path."""
        address = f"http://127.0.0.1:{self.server.server_port}"
        rewrite = f"""url: let path = builtins.match "[a-z]+://[^/]*(/.*)" url; in
          "{address}${{builtins.head path}}" """
        body = f"""({packages(config=f"rewriteURL = {rewrite};")}).fetchPypi
            ({{ hash = {nix_string(self.hash)}; }} // {arguments})"""
        return run_nix("nix-build", "--no-out-link", "-E", expression(body)).strip()


@pytest.fixture
def index(request: pytest.FixtureRequest) -> Iterator[Index]:
    """Serve one file, with a content that no other run has had: nothing is in the store yet."""
    index = Index(request.param, os.urandom(32))
    yield index
    index.server.shutdown()
    index.server.server_close()


GUESS = """{
  pname = "Demo.Pkg"; version = "1.0"; format = "manylinux2014"; pythonVersion = "3.11";
}"""
GUESSED = [
    "Demo.Pkg-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "demo_pkg-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "Demo.Pkg-1.0-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "demo_pkg-1.0-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "Demo.Pkg-1.0-cp311-cp311-manylinux2014_x86_64.whl",
    "demo_pkg-1.0-cp311-cp311-manylinux2014_x86_64.whl",
]


@pytest.mark.parametrize(
    ("index", "place"), [(name, i) for i, name in enumerate(GUESSED)], indirect=["index"]
)
def test_the_nth_guess_is_fetched(index: Index, place: int) -> None:
    """An index with the n-th name only, 404 for the others, is asked n times, in order."""
    path = index.fetch(GUESS)
    assert Path(path).read_bytes() == index.content
    assert [asked.rsplit("/", 1)[-1] for asked in index.asked] == GUESSED[: place + 1]
    assert index.asked[-1].startswith("/packages/cp311/")


@pytest.mark.parametrize("index", ["other.whl"], indirect=True)
def test_all_guesses_fail(index: Index) -> None:
    """Where no name is there, the build fails with all of them, the arguments, and what to do."""
    with pytest.raises(NixFailed) as failed:
        index.fetch(GUESS)
    assert len(index.asked) == 12
    assert "found none of the names that this wheel may have" in str(failed.value)
    assert 'pname = "Demo.Pkg"' in str(failed.value)
    assert 'give its name as file = "….whl"' in str(failed.value)
    assert all(name in str(failed.value) for name in GUESSED)


@pytest.mark.parametrize("index", ["other.whl"], indirect=True)
def test_a_file_of_another_index(index: Index) -> None:
    """Where the default index lacks it, the build says how another one is named, or a file."""
    with pytest.raises(NixFailed) as failed:
        index.fetch(f'{{ file = "{GUESSED[0]}"; }}')
    said = str(failed.value)
    assert f"fetchPypi asked the default index for {GUESSED[0]}." in said
    assert 'url = "https://…/….whl"' in said
    assert "`nix-manylinux expr WHEEL --local`" in said
    command = said[said.index("| sed") + 2 :].partition("\n")[0]
    report = '{\n  "install": [{"download_info": {\n    "url": "https://a.invalid/b.whl",\n'
    done = subprocess.run(
        ["bash", "-c", command], input=report, capture_output=True, text=True, check=True
    )
    assert done.stdout == 'url = "https://a.invalid/b.whl";\n'
    with pytest.raises(NixFailed, match="pip download --no-deps NAME==VERSION"):
        index.fetch(f'{{ url = "https://mirror.invalid/cpu/{GUESSED[0]}"; }}')


@pytest.mark.parametrize("index", ["triton-3.0.0-1-cp311-cp311-linux_x86_64.whl"], indirect=True)
def test_a_file_is_fetched(index: Index) -> None:
    """A whole file name is one request."""
    path = index.fetch(f'{{ file = "{index.name}"; }}')
    assert Path(path).read_bytes() == index.content
    assert index.asked == [f"/packages/cp311/t/triton/{index.name}"]


@pytest.mark.parametrize("index", ["demo-1.0%2Bcpu-py3-none-any.whl"], indirect=True)
def test_a_url_is_fetched(index: Index) -> None:
    """A URL is asked for as it is written; the store path has the wheel's name."""
    path = index.fetch(f'{{ url = "https://mirror.invalid/cpu/{index.name}"; }}')
    assert Path(path).read_bytes() == index.content
    assert path.endswith("-demo-1.0+cpu-py3-none-any.whl")
    assert index.asked == [f"/cpu/{index.name}"]


@pytest.mark.parametrize("index", ["demo-1.0-py3-none-any.whl"], indirect=True)
def test_the_one_that_fits_is_fetched(index: Index) -> None:
    """Out of a list the best file for the interpreter is fetched, by its own hash."""
    path = index.fetch(
        f"""{{ pythonVersion = "3.11"; files = [
          {{ file = "demo-1.0-cp38-cp38-any.whl"; hash = "sha256-nothing"; }}
          {{ file = "{index.name}"; hash = "{index.hash}"; }}
        ]; }}"""
    )
    assert Path(path).read_bytes() == index.content

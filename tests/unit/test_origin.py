"""Where pip has a wheel from: real indexes on this machine, one of them with a password."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.cli.main import main
from nix_manylinux.data import data_path
from nix_manylinux.lock.make import make_lock
from nix_manylinux.nix.origin import DEFAULT_INDEX, Origin, find_origins
from nix_manylinux.target.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

TAG = "py3-none-manylinux_2_17_x86_64"
PLACE = Place(python="3.12", system="x86_64-linux")
USER, PASSWORD, TOKEN = "me", "s3cret", "t0ken"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Make a wheel."""
    (tmp_path / "files").mkdir()
    files = {"demo/__init__.py": b"", "demo/f.so": tiny_library("f.so")}
    return Path(MadeWheel(name="demo", tag=TAG, files=files).write(tmp_path / "files"))


@contextmanager
def index(wheel: Path, *, guarded: bool = False) -> Iterator[str]:
    """Serve an index of one wheel; a guarded one wants a password, and a token in its links."""
    expected = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
    query = f"?token={TOKEN}" if guarded else ""
    page = f'<a href="../../files/{wheel.name}{query}">{wheel.name}</a>'

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            known = not guarded or self.headers.get("Authorization") == expected
            found = {"/simple/demo/": page.encode(), f"/files/{wheel.name}": wheel.read_bytes()}
            body = found.get(path, b"") if known else b""
            self.send_response(200 if body else 404 if known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        user = f"{USER}:{PASSWORD}@" if guarded else ""
        yield f"http://{user}127.0.0.1:{server.server_address[1]}/simple"
        server.shutdown()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take this machine's settings of pip away, and its nixpkgs."""
    for name in [each for each in os.environ if each.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: None)


def sri(wheel: Path) -> str:
    """Give a file's hash as Nix writes it."""
    digest = hashlib.sha256(wheel.read_bytes()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize("by", ["environment", "pip.conf"])
def test_expr_names_the_url_of_another_index(
    by: str,
    wheel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The default index lacks the file, so its name alone would lead Nix nowhere."""
    with index(wheel) as address:
        if by == "environment":
            monkeypatch.setenv("PIP_INDEX_URL", address)
        else:
            (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {address}\n")
            monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
        assert main(["expr", "demo"]) == 0
    out, err = capsys.readouterr()
    url = f"{address.removesuffix('simple')}files/{wheel.name}"
    source = f'  src = fetchPypi {{\n    url = "{url}";\n    hash = "{sri(wheel)}";\n  }};\n'
    assert source in out
    assert "rec {" not in out
    assert err.startswith("demo 1.0, which pip picks; demo==VERSION takes another one\n")
    assert "--local" not in out + err


def test_a_password_gets_into_no_expression(
    wheel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither it nor a token is written, and it is said that Nix may need one."""
    with index(wheel, guarded=True) as address:
        monkeypatch.setenv("PIP_INDEX_URL", address)
        assert main(["expr", "demo==1.0"]) == 0
    out, err = capsys.readouterr()
    assert f'/files/{wheel.name}";\n' in out
    said = (
        "asked with a password or a token, which no file is to hold. Where Nix can't fetch"
        " this without, take the file itself: nix-manylinux expr WHEEL --local."
    )
    assert said in out.replace("\n  # ", " ")
    assert "pip download --no-deps demo==1.0, then nix-manylinux expr WHEEL --local" in err
    for secret in (USER + "@", PASSWORD, TOKEN, "token="):
        assert secret not in out + err


def test_a_folder_is_no_index(
    wheel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where pip takes the file from a folder, Nix may have to, too, and the way is told."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    assert main(["expr", "demo"]) == 0
    out, err = capsys.readouterr()
    assert f'file = "{wheel.name.replace("1.0", "${version}")}"' in out
    assert "From a folder, not from an index." in out
    assert f"where that has none: nix-manylinux expr {wheel} --local\n" in err
    assert main(["expr", str(wheel)]) == 0
    assert "; --local takes this one\n" in capsys.readouterr().err


def test_what_the_default_index_has_is_its_own(tmp_path: Path, wheel: Path) -> None:
    """Of two indexes that have a file it is the one that Nix knows, but for other bytes."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pip = tmp_path / "pip"
    pip.write_text(
        "#!/bin/sh\necho '  URL of the index (default\n https://default.example/simple)'"
    )
    pip.chmod(0o755)
    log = tmp_path / "log"

    def found(*links: str) -> Origin:
        lines = ["Looking in indexes: https://default.example/simple, https://u:****@b.example/s"]
        log.write_text(
            "\n".join([*lines, *(f"  Found link {link}, version: 1.0" for link in links)])
        )
        paths = [str(wheel)]
        (origin,) = find_origins(str(log), paths, pip=[str(pip)], environment=os.environ).values()
        return origin

    own = f"https://f.default.example/a/{wheel.name} (from https://default.example/simple/demo/)"
    other = f"https://f.example/{wheel.name} (from https://b.example/s/demo/)"
    assert found(own, other) == found(other, own) == DEFAULT_INDEX
    expected = Origin(url=f"https://f.example/{wheel.name}", kept_back=True)
    assert found(other) == expected
    differs = own.replace(".whl ", ".whl#sha256=" + "0" * 64 + " ")
    assert found(differs, other.replace(".whl ", f".whl#sha256={digest} ")) == expected
    log.write_text("Collecting demo")
    assert find_origins(str(log), ["x"], pip=[], environment={}) == {"x": DEFAULT_INDEX}


POETRY = """
[[package]]
name = "demo"
version = "1.0"
files = [ {{ file = "{file}", hash = "sha256:{digest}" }} ]
{source}

[metadata]
lock-version = "2.1"
python-versions = ">=3.9"
content-hash = "0"
"""


@pytest.mark.parametrize("kind", ["requirements.txt", "poetry.lock"])
@pytest.mark.parametrize("index_is", ["open", "guarded"])
def test_a_lock_that_tells_no_url(
    kind: str, index_is: str, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the one that pip fetched from, the second time, too, when nothing is fetched."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    text = f"demo==1.0 --hash=sha256:{digest}\n"
    if kind == "poetry.lock":
        text = POETRY.format(file=wheel.name, digest=digest, source="")
    (tmp_path / kind).write_text(text)
    guarded = index_is == "guarded"
    with index(wheel, guarded=guarded) as address:
        monkeypatch.setenv("PIP_INDEX_URL", address)
        path, cache = str(tmp_path / kind), str(tmp_path / "kept")
        made = make_lock(path, [PLACE], cache=cache, environment=os.environ)
    jsonschema.validate(made.value, json.loads(Path(data_path("lock.schema.json")).read_text()))
    entry = made.value["environments"]["3.12-x86_64-linux"]["packages"]["demo"]
    host = address.rpartition("@")[2].removeprefix("http://").removesuffix("simple")
    assert entry["url"] == f"http://{host}files/{wheel.name}"
    assert [each for each in made.warnings if "password" in each] == list(made.warnings)
    assert len(made.warnings) == guarded
    assert make_lock(path, [PLACE], cache=cache, environment=os.environ) == made
    written = "".join(each.read_text() for each in Path(cache).rglob("*.json"))
    for secret in (PASSWORD, TOKEN):
        assert secret not in json.dumps(made.value) + str(made.warnings) + written


UV = """
version = 1
requires-python = ">=3.9"
[[package]]
name = "demo"
version = "1.0"
source = {{ registry = "{address}" }}
wheels = [ {{ url = "{address}/../files/{file}", hash = "sha256:{digest}" }} ]
[[package]]
name = "project"
version = "1"
source = {{ virtual = "." }}
dependencies = [ {{ name = "demo" }} ]
"""

PYLOCK = """
lock-version = "1.0"
created-by = "a test"
[[packages]]
name = "demo"
version = "1.0"
index = "{address}"
[[packages.wheels]]
name = "{file}"
url = "{address}/../files/{file}"
hashes = {{ sha256 = "{digest}" }}
"""

SOURCE = """
[package.source]
type = "legacy"
url = "{address}"
reference = "mine"
"""


@pytest.mark.parametrize("kind", ["requirements.txt", "poetry.lock", "uv.lock", "pylock.toml"])
def test_an_index_that_only_the_lock_names(
    kind: str, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked where pip's own settings don't do, and the file's URL is written."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with index(wheel) as address:
        known = {"file": wheel.name, "digest": digest, "address": address}
        text = {
            "requirements.txt": "--index-url {address}\ndemo==1.0 --hash=sha256:{digest}\n",
            "poetry.lock": POETRY.replace("{source}", SOURCE),
            "uv.lock": UV,
            "pylock.toml": PYLOCK,
        }[kind].format(**known)
        (tmp_path / kind).write_text(text)
        monkeypatch.setenv("PIP_INDEX_URL", address.replace("simple", "empty"))
        path, cache = str(tmp_path / kind), str(tmp_path / "kept")
        made = make_lock(path, [PLACE], cache=cache, environment=os.environ)
    entry = made.value["environments"]["3.12-x86_64-linux"]["packages"]["demo"]
    assert entry["url"].endswith(f"/files/{wheel.name}")
    assert entry["format"] == "manylinux2014"
    assert made.warnings == ()


def test_a_lock_that_tells_a_password(tmp_path: Path, wheel: Path) -> None:
    """What a lock has in a URL is not told further."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    url = f"https://{USER}:{PASSWORD}@b.example/files/{wheel.name}"
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"demo @ {url} --hash=sha256:{digest}\n")
    made = make_lock(str(lock), [PLACE], cache=str(tmp_path), environment=os.environ, inspect=False)
    entry = made.value["environments"]["3.12-x86_64-linux"]["packages"]["demo"]
    assert entry["url"] == f"https://b.example/files/{wheel.name}"

"""The Python that a lock is for: asked for, nixpkgs', or one that the lock allows."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import shlex
import sys
from pathlib import Path

import jsonschema
import pytest
from tests.support.locks import uv_lock

from nix_manylinux.base.values import replace
from nix_manylinux.cli.main import main
from nix_manylinux.data import data_path
from nix_manylinux.lock.choose import allowed_place, choose, python_for
from nix_manylinux.lock.make import make_lock
from nix_manylinux.lock.model import BadLock, Lock
from nix_manylinux.lock.read import read_lock
from nix_manylinux.nix.nixpkgs import Nixpkgs
from nix_manylinux.nix.syntax import python_attribute
from nix_manylinux.target.place import Place


@pytest.mark.parametrize(
    ("allowed", "has", "pinned", "told"),
    [
        (">=3.11", "3.12", None, "3.12, as <nixpkgs> has it"),
        ("==3.11.*", "3.12", None, "3.11, since uv.lock is for Python ==3.11.*"),
        (">=3.15", None, None, "3.15, since uv.lock is for Python >=3.15"),
        (">=3.8", None, None, f"3.{sys.version_info[1]}, since there is no <nixpkgs> to ask"),
        (">=3.11", "3.12", "3.13\n", "3.13, of .python-version"),
        (">=3.11", "3.12", "# as the server has it\n\n3.13.2\n3.12\n", "3.13, of .python-version"),
        (">=3.11", "3.12", "cpython@3.13", "3.13, of .python-version"),
        (">=3.11", "3.12", "3.14t", "3.14t, of .python-version"),
        ("==3.11.*", "3.12", "3.13", "3.11, since uv.lock is for Python ==3.11.*"),
        (">=3.11", "3.12", "pypy@3.11", "3.12, as <nixpkgs> has it"),
        (">=3.11", "3.12", "\0\xff", "3.12, as <nixpkgs> has it"),
        (">=3.11", "3.12", "", "3.12, as <nixpkgs> has it"),
    ],
)
def test_the_python_of_a_lock(
    *,
    allowed: str,
    has: str | None,
    pinned: str | None,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a word it is the project's, nixpkgs', or who runs it's, if the lock allows that."""
    known = None
    if has:
        none = frozenset[str]()
        known = Nixpkgs(python=has, system="x86_64-linux", packages=none, attributes=none)
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: known)
    path = tmp_path / "uv.lock"
    line = f'requires-python = "{allowed}"'
    path.write_text(re.sub("(?m)^requires-python = .*$", line, uv_lock()))
    if pinned is not None:
        (tmp_path / ".python-version").write_text(pinned, encoding="latin-1")
    said, expression = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(expression):
        assert main(["lock", str(path), "--no-inspect", "--system", "x86_64-linux"]) == 0
    err = said.getvalue()
    assert f"for Python {told}; --python-version chooses another one\n" in err
    assert f"python = pkgs.{python_attribute(told.partition(',')[0])};" in expression.getvalue()


@pytest.mark.parametrize(
    ("allowed", "python", "release"),
    [
        (">=3.12.4", "3.12", "3.12.4"),
        (">=3.12,!=3.12.0,!=3.12.1", "3.12", "3.12.2"),
        (">=3.14.1", "3.14t", "3.14.1t"),
        (">=3.12", "3.12", "3.12"),
        (">=3.12.4", "3.12.7", "3.12.7"),
    ],
)
def test_a_lock_for_later_releases(
    allowed: str, python: str, release: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its markers and wheels are for one that it allows; Nix asks for the version alone."""
    path = tmp_path / "uv.lock"
    text = uv_lock().replace(">=3.11", allowed)
    old = f"python_full_version < '{release.rstrip('t')}'"
    path.write_text(text.replace("python_full_version < '3.12'", old))
    place = choose(read_lock(str(path)), Place(python=python, system="x86_64-linux")).place
    assert place.python == release
    words = ["lock", str(path), "--no-inspect", "--python-version", python, "--system"]
    assert main([*words, "x86_64-linux"]) == 0
    value = json.loads((tmp_path / "manylinux.lock.json").read_text())
    jsonschema.validate(value, json.loads(Path(data_path("lock.schema.json")).read_text()))
    (key,) = value["environments"]
    assert key == f"{place.series}-x86_64-linux"
    assert "only-old" not in value["environments"][key]["packages"]
    assert f"pkgs.{python_attribute(place.series)};" in capsys.readouterr().out
    with pytest.raises(BadLock, match="is for Python"):
        choose(read_lock(str(path)), Place(python="3.11", system="x86_64-linux"))


def test_a_hint_names_a_python_that_fits() -> None:
    """The hint can be pasted; where nothing fits, there is none."""
    lock = Lock(kind="uv.lock", sha256="", packages=(), roots=(), requires_python="==3.11.*")
    with pytest.raises(BadLock) as caught:
        allowed_place(lock, Place(python="3.12", system="x86_64-linux"))
    assert caught.value.hint == "--python-version 3.11"
    assert python_for(replace(lock, requires_python="<3")) is None
    assert python_attribute("3.14t") == "python314FreeThreading"


def test_advice_on_a_stale_lock_makes_the_same_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pasted it asks for the Pythons, systems, extras and groups that the lock was made for."""
    (tmp_path / "a b").mkdir()
    path, written = tmp_path / "a b/uv.lock", tmp_path / "a b/made.json"
    more = "[package.optional-dependencies]\nfast = []\n[package.dev-dependencies]\ntest = []\n\n"
    text = uv_lock().replace("]\n\n[[package]]", f"]\n{more}[[package]]", 1)
    path.write_text(text)
    places = ["--python-version=3.14", "--python-version=3.12", "--system=aarch64-linux"]
    words = ["lock", str(path), "-o", str(written), "--no-inspect", *places]
    assert main([*words, "--extra", "fast", "--group", "test"]) == 0
    before = written.read_text()
    jsonschema.validate(
        json.loads(before), json.loads(Path(data_path("lock.schema.json")).read_text())
    )
    path.write_text(f"{text}# changed\n")
    capsys.readouterr()
    assert main(["lock", str(path), "-o", str(written), "--check"]) == 1
    first, hint = capsys.readouterr().err.splitlines()
    assert "is stale" in first
    program, *words = shlex.split(hint)
    assert (program, main(words)) == ("nix-manylinux", 0)
    old, new = (hashlib.sha256(t.encode()).hexdigest() for t in (text, path.read_text()))
    assert written.read_text() == before.replace(old, new)
    for broken in ("[]", "{}", '{"schema": 1, "lock": {"sha256": ""}, "environments": 1}'):
        written.write_text(broken)
        capsys.readouterr()
        assert main(["lock", str(path), "-o", str(written), "--check"]) == 1
        assert "is no lock of nix-manylinux\n" in (said := capsys.readouterr().err)
        assert said.endswith(f"nix-manylinux lock '{path}' -o '{written}'\n")


def test_the_project_itself_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What uv would install from the project's own folder isn't in the result."""
    path = tmp_path / "uv.lock"
    words = ["lock", str(path), "--no-inspect", "--python-version", "3.12"]
    path.write_text(uv_lock())
    assert main(words) == 0
    assert "demo" not in capsys.readouterr().err
    path.write_text(uv_lock().replace('{ virtual = "." }', '{ editable = "." }'))
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "demo is not in it, only what the lock has for it; --projects, or `projects" in said
    value = json.loads((tmp_path / "manylinux.lock.json").read_text())
    jsonschema.validate(value, json.loads(Path(data_path("lock.schema.json")).read_text()))
    (found,) = value["environments"].values()
    needs = ["no-wheel", "numpy-like", "pandas-like", "ring-a"]
    demo = {"version": "0.1.0", "dependencies": needs, "local": "directory ."}
    assert found["projects"] == {"demo": demo}
    assert found["roots"] == needs
    assert main([*words, "--projects"]) == 0
    both = capsys.readouterr()
    assert "not in it" not in both.err
    assert "\n  projects = true;\n}).env\n" in both.out
    path.write_text(uv_lock())
    assert main([*words, "--projects"]) == 0
    both = capsys.readouterr()
    assert "the lock has no project of the user's own, which --projects would build" in both.err
    assert "projects" not in both.out


def test_projects_that_need_each_other(tmp_path: Path) -> None:
    """Each says so: neither could be built after the other. One that is no package is none."""
    text = uv_lock().replace('{ virtual = "." }', '{ editable = "." }')
    text = text.replace("dependencies = [\n", 'dependencies = [\n    { name = "part" },\n', 1)
    for name, source, needs in (("part", "editable", "demo"), ("void", "virtual", "")):
        text += f'[[package]]\nname = "{name}"\nversion = "0"\nsource = {{ {source} = "{name}" }}\n'
        text += f'dependencies = [{{ name = "{needs}" }}, {{ name = "void" }}]\n' if needs else ""
    (tmp_path / "uv.lock").write_text(text)
    place = Place(python="3.12", system="x86_64-linux")
    made = make_lock(str(tmp_path / "uv.lock"), [place], inspect=False, cache="", environment={})
    (found,) = made.value["environments"].values()
    assert {name: each["circle"] for name, each in found["projects"].items()} == {
        "demo": ["demo", "part"], "part": ["demo", "part"]
    }  # fmt: skip
    assert found["projects"]["part"]["dependencies"] == ["demo"]

"""Extras and groups of locks that have been made for them all; uv's are in test_uv_locks.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packaging import pylock as reference
from tests.support.locks import digest_of, pylock, requirements, uv_lock

from nix_manylinux.cli.main import main
from nix_manylinux.lock.choose import choose, python_for
from nix_manylinux.lock.make import make_lock
from nix_manylinux.lock.model import BadLock
from nix_manylinux.lock.read import read_lock
from nix_manylinux.lock.toml import parse_toml
from nix_manylinux.target.place import Place

PLACE = Place(python="3.12", system="x86_64-linux")

#: What poetry 2.5.1 writes where "aa" is of an extra and, always, of a group; "bb" of the extra.
POETRY = """
[[package]]
name = "aa"
version = "1.0"
optional = false
python-versions = "*"
groups = ["main", "dev"]
files = [{FILE-aa}]
markers = {main = "extra == \\"fast-one\\""}

[[package]]
name = "bb"
version = "1.0"
optional = true
python-versions = "*"
groups = ["main"]
markers = "sys_platform == \\"linux\\" and extra == \\"fast-one\\""
files = [{FILE-bb}]

[[package]]
name = "cc"
version = "1.0"
optional = false
python-versions = "*"
groups = ["main", "dev"]
files = [{FILE-cc}]

[extras]
fast-one = ["aa", "bb"]

[metadata]
lock-version = "2.1"
python-versions = ">=3.11"
"""

PYLOCK = """
lock-version = "1.0"
created-by = "test"
environments = ["sys_platform == 'linux'"]
extras = ["fast-one"]
dependency-groups = ["dev", "docs"]
default-groups = ["dev"]

[[packages]]
name = "aa"
version = "1.0"
marker = "'fast-one' in extras"
wheels = [{FILE-aa}]

[[packages]]
name = "bb"
version = "1.0"
marker = "'dev' in dependency_groups"
wheels = [{FILE-bb}]

[[packages]]
name = "cc"
version = "1.0"
wheels = [{FILE-cc}]
"""


def written(folder: Path, kind: str, text: str) -> str:
    """Write a lock, with files where it names them; give its path."""
    for name in ("aa", "bb", "cc"):
        file = f"{name}-1.0-py3-none-any.whl"
        digest = digest_of(file)
        row = f'{{file = "{file}", hash = "sha256:{digest}"}}'
        if kind == "pylock.toml":
            row = f'{{url = "https://example.org/{file}", hashes = {{sha256 = "{digest}"}}}}'
        text = text.replace(f"{{FILE-{name}}}", row)
    path = folder / kind
    path.write_text(text)
    return str(path)


def names(path: str, *, extras: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> str:
    """Read and choose; the packages' names."""
    lock = read_lock(path, extras=extras, groups=groups)
    return " ".join(choose(lock, PLACE, extras=extras, groups=groups).packages)


@pytest.mark.parametrize(
    ("extras", "groups", "wanted"),
    [
        ((), (), "cc"),
        (("fast-one",), (), "aa bb cc"),
        (("Fast_One",), (), "aa bb cc"),
        ((), ("dev",), "aa cc"),
        (("fast-one",), ("dev",), "aa bb cc"),
    ],
)
def test_poetry_s_extras_and_groups(
    extras: tuple[str, ...], groups: tuple[str, ...], wanted: str, tmp_path: Path
) -> None:
    """Its markers ask for extras, and one that a group has none for holds always."""
    path = written(tmp_path, "poetry.lock", POETRY)
    assert names(path, extras=extras, groups=groups) == wanted


@pytest.mark.parametrize(
    ("extras", "groups", "wanted"),
    [
        ((), (), "bb cc"),
        (("Fast_One",), (), "aa bb cc"),
        ((), ("docs",), "cc"),
        ((), ("docs", "dev"), "bb cc"),
    ],
)
def test_the_groups_of_a_pylock(
    extras: tuple[str, ...], groups: tuple[str, ...], wanted: str, tmp_path: Path
) -> None:
    """Those that it has by default are taken where none is asked for, as packaging does."""
    path = written(tmp_path, "pylock.toml", PYLOCK)
    assert names(path, extras=extras, groups=groups) == wanted
    table = parse_toml(Path(path).read_bytes(), path)
    taken = reference.Pylock.from_dict(table).select(
        extras=extras, dependency_groups=groups or None
    )
    assert " ".join(package.name for package, _ in taken) == wanted


def test_groups_in_place_of_the_default_ones(tmp_path: Path) -> None:
    """Pdm has what the project itself requires in one: who leaves it out is told."""
    path = written(tmp_path, "pylock.toml", PYLOCK)

    def warnings(*groups: str) -> str:
        made = make_lock(path, [PLACE], groups=groups, inspect=False, cache="", environment={})
        return "".join(made.warnings)

    assert warnings() == warnings("docs", "dev") == ""
    told = "the default groups of pylock.toml are not in it; to have them, too: --group dev"
    assert warnings("docs") == told
    Path(path).write_text('lock-version = "1.0"\ncreated-by = "test"\npackages = []\n')
    assert warnings() == "Python 3.12 on x86_64-linux: nothing of the lock is wanted there"


def test_a_pylock_for_other_environments(tmp_path: Path) -> None:
    """One that none of its environments is like can't be made of it."""
    path = written(tmp_path, "pylock.toml", PYLOCK.replace("== 'linux'", "== 'win32'"))
    with pytest.raises(BadLock, match=r"is not for Python 3\.12 on x86_64-linux, but for"):
        names(path)


def test_supported_environments_of_uv(tmp_path: Path) -> None:
    """It is refused, as uv refuses to install, where the project says that it isn't for."""
    text = uv_lock().replace('">=3.11"\n', '">=3.11"\nsupported-markers = ["{0}"]\n', 1)
    path = written(tmp_path, "uv.lock", text.replace("{0}", "sys_platform == 'darwin'"))
    with pytest.raises(BadLock, match="but for sys_platform == 'darwin'"):
        names(path)
    assert names(written(tmp_path, "uv.lock", text.replace("{0}", "os_name == 'posix'")))


@pytest.mark.parametrize(
    ("kind", "text", "extra", "group", "told"),
    [
        ("poetry.lock", POETRY, "none", "", "has no extra 'none'"),
        ("poetry.lock", POETRY, "", "none", "has no group 'none'"),
        ("pylock.toml", PYLOCK, "none", "", "has no extra 'none'"),
        ("pylock.toml", PYLOCK, "", "none", "has no group 'none'"),
        ("requirements.txt", requirements(), "", "dev", "has no extras and no groups"),
        ("requirements.txt", requirements(), "fast", "", "has no extras and no groups"),
        ("uv.lock", uv_lock(), "", "dev", "has no extra or group 'dev'"),
    ],
)
def test_what_a_lock_does_not_have(  # noqa: PLR0917 - one case
    kind: str, text: str, extra: str, group: str, told: str, tmp_path: Path
) -> None:
    """An extra or a group that isn't there is named, not passed by."""
    path = written(tmp_path, kind, text)
    with pytest.raises(BadLock, match=told):
        read_lock(path, extras=[extra] * bool(extra), groups=[group] * bool(group))


@pytest.mark.parametrize(
    ("says", "fitting", "not_fitting"),
    [
        (">=3.11", "3.11", "3.10"),
        ("^3.11", "3.13", "3.10"),
        (">=3.10,<3.12", "3.11", "3.12"),
        ("~3.11", "3.11", "3.12"),
        ("~3.11.2", "3.11", "3.12"),
        ("~=3.11", "3.12", "3.10"),
        ("*", "3.8", ""),
        (">=3.8 || ^2.7", "3.8", ""),
    ],
)
def test_pythons_of_poetry(says: str, fitting: str, not_fitting: str, tmp_path: Path) -> None:
    """Its own spelling is read; where it can't be, all Pythons are let pass."""
    path = written(tmp_path, "poetry.lock", POETRY.replace(">=3.11", says))
    assert python_for(read_lock(path), [not_fitting] * bool(not_fitting)) != not_fitting
    assert python_for(read_lock(path), [fitting]) == fitting


def test_groups_that_an_old_poetry_did_not_tell(tmp_path: Path) -> None:
    """Lock version 2.0 has all packages, and no word of groups."""
    text = "\n".join(
        line for line in POETRY.splitlines() if not line.startswith(("groups", "mark"))
    )
    path = written(tmp_path, "poetry.lock", text.replace('"2.1"', '"2.0"'))
    assert names(path, groups=("dev",)) == "aa cc"


@pytest.mark.parametrize(
    ("system", "machine"),
    [("powerpc64le-linux", "ppc64le"), ("x86_64-linux", "x86_64"), ("i686-linux", "i686")],
)
def test_machines_are_called_as_uname_calls_them(system: str, machine: str) -> None:
    """Markers ask for platform.machine(); Nix has other names for some."""
    assert Place(python="3.12", system=system).environment("")["platform_machine"] == machine


def test_what_was_not_asked_for_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a uv.lock: members, groups and extras, by the options that add them."""
    text = uv_lock().replace("\n\n", '\n\n[manifest]\nmembers = ["demo", "part"]\n\n', 1)
    part = '[[package]]\nname = "part"\nversion = "0"\nsource = { virtual = "part" }\n'
    part += '[package.optional-dependencies]\nfast = [{ name = "only-old" }]\n'
    part += '[package.dev-dependencies]\ndev = [{ name = "only-windows" }]\n'
    path = tmp_path / "uv.lock"
    path.write_text(f"{text}{part}")
    output = tmp_path / "manylinux.lock.json"
    words = ["lock", str(path), "--no-inspect", "--python-version", "3.12"]
    assert main(words) == 0
    assert "in uv.lock, but not asked for: --package part\n" in capsys.readouterr().err
    assert main([*words, "--package", "Part"]) == 0
    told = "in uv.lock, but not asked for: --package demo; --group dev; --extra fast\n"
    assert told in capsys.readouterr().err
    assert main([*words, "--all-packages", "--group", "dev", "--extra", "fast"]) == 0
    assert "not asked for" not in capsys.readouterr().err
    found = json.loads(output.read_text())
    assert found["lock"]["allPackages"] is True
    for option in ("--all-packages", "--package part"):
        assert main([*words, *option.split()]) == 0
        path.write_text(f"{path.read_text()}\n")
        capsys.readouterr()
        assert main(["lock", str(path), "--check"]) == 1
        assert f" {option}" in capsys.readouterr().err
    for kind, other in {"pylock.toml": pylock(), "requirements.txt": requirements()}.items():
        (tmp_path / kind).write_text(other)
        assert main(["lock", str(tmp_path / kind), "--no-inspect", "--package", "part"]) == 1
        assert "has no members" in capsys.readouterr().err


def test_what_of_other_locks_was_not_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Poetry would install all groups, and no extra; a pylock.toml says which are taken anyway."""
    words = ["--no-inspect", "--python-version", "3.12"]
    for kind, text, told in (
        ("poetry.lock", POETRY, "--group dev; --extra fast-one"),
        ("pylock.toml", PYLOCK, "--group docs; --extra fast-one"),
    ):
        path = written(tmp_path, kind, text)
        assert main(["lock", path, *words]) == 0
        assert f"in {kind}, but not asked for: {told}\n" in capsys.readouterr().err
    (tmp_path / "old").mkdir()
    old = POETRY.replace('"2.1"', '"2.0"').replace('groups = ["main", "dev"]\n', "")
    project = '[tool.poetry.group.dev.dependencies]\ncc = "*"\n'
    (tmp_path / "old/pyproject.toml").write_text(project)
    assert main(["lock", written(tmp_path / "old", "poetry.lock", old), *words]) == 0
    assert "not asked for: --group dev; --extra fast-one\n" in capsys.readouterr().err

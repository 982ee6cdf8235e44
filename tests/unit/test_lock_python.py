"""The Python that a lock is for: asked for, nixpkgs', or one that the lock allows."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.locks import uv_lock

from nix_manylinux.base.values import replace
from nix_manylinux.cli.main import main
from nix_manylinux.lock.model import BadLock, Lock
from nix_manylinux.lock.python import check_python, python_for
from nix_manylinux.nix.nixpkgs import Nixpkgs
from nix_manylinux.nix.syntax import python_attribute
from nix_manylinux.target.place import Place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("allowed", "has", "told"),
    [
        (">=3.11", "3.12", "3.12, as <nixpkgs> has it"),
        ("==3.11.*", "3.12", "3.11, since uv.lock is for Python ==3.11.*"),
        (">=3.14", None, "3.14, since uv.lock is for Python >=3.14"),
        (">=3.8", None, f"3.{sys.version_info[1]}, since there is no <nixpkgs> to ask"),
    ],
)
def test_the_python_of_a_lock(
    allowed: str, has: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a word it is that of nixpkgs, or of who runs it, if the lock allows that one."""
    known = None
    if has:
        none = frozenset[str]()
        known = Nixpkgs(python=has, system="x86_64-linux", packages=none, attributes=none)
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: known)
    path = tmp_path / "uv.lock"
    line = f'requires-python = "{allowed}"'
    path.write_text(re.sub("(?m)^requires-python = .*$", line, uv_lock()))
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        assert main(["lock", str(path), "--no-inspect", "--system", "x86_64-linux"]) == 0
    err = said.getvalue()
    assert f"for Python {told}; --python-version chooses another one\n" in err
    assert f"python = pkgs.python{told.partition(',')[0].replace('.', '')};" in err


def test_a_hint_names_a_python_that_fits() -> None:
    """The hint can be pasted; where nothing fits, there is none."""
    lock = Lock(kind="uv.lock", sha256="", packages=(), roots=(), requires_python="==3.11.*")
    with pytest.raises(BadLock) as caught:
        check_python(lock, Place(python="3.12", system="x86_64-linux"))
    assert caught.value.hint == "--python-version 3.11"
    assert python_for(replace(lock, requires_python="<3")) is None
    assert python_attribute("3.14t") == "python314FreeThreading"

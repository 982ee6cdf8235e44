"""Wheels of a variant (PEP 825): the label is shown and kept, everything else goes by the tags."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command, library_options, target_options
from tests.support.store import host_store
from tests.support.wheels import MadeWheel, tiny_library

if TYPE_CHECKING:
    from pathlib import Path

_LABEL = "cu12.8"


@pytest.mark.parametrize("build", ["", "1b"])
def test_the_label_is_shown_and_kept(build: str, tmp_path: Path) -> None:
    """`inspect` says it, and the patched wheel has it in its name, with a build tag and without."""
    store = host_store(["libz.so.1", "libstdc++.so.6"])
    library = tiny_library("_ext.so", "libz.so.1")
    plain = MadeWheel(files={"made/__init__.py": b"", "made/_ext.so": library}).write(tmp_path)
    name = os.path.basename(plain).removesuffix(".whl").split("-")
    name[2:2] = [build] if build else []
    wheel = str(tmp_path / f"{'-'.join([*name, _LABEL])}.whl")
    os.rename(plain, wheel)
    words = [*target_options(store), *library_options(store.libraries())]
    report = tmp_path / "report.json"
    seen = command("inspect", wheel, *words, "--json", str(report))
    assert seen.status == 0, seen.stderr
    assert f"variant    {_LABEL}\n" in seen.stdout
    told = json.loads(report.read_text())
    assert _LABEL in json.dumps(told)
    done = command("patch", wheel, *words, "--output-dir", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    assert os.listdir(tmp_path / "out") == [os.path.basename(wheel)]

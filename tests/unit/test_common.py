"""The list of what wheels commonly want: as the script writes it, and of names that nixpkgs has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.wheels import MadeWheel
from tests.wheels import common

from nix_manylinux.data import data_path, read_sonames

if TYPE_CHECKING:
    import pytest

VALUE = json.loads(Path(data_path(common.NAME)).read_text(encoding="utf-8"))


def test_it_is_what_the_script_writes() -> None:
    """Sorted, one package a line, and no other form."""
    written = common.text({name: sorted(who) for name, who in sorted(VALUE["packages"].items())})
    assert Path(data_path(common.NAME)).read_text(encoding="utf-8") == written


def test_each_is_wanted_and_known() -> None:
    """Somebody wants it, the table of nixpkgs has it, and nobody has to choose it."""
    attributes = {row.attr for row in read_sonames().values()}
    for name, projects in VALUE["packages"].items():
        assert projects
        assert name.removesuffix(".lib") in attributes
        assert common.is_offered(name)
    assert "libxkbcommon" in VALUE["packages"]


def test_choices_are_left_out() -> None:
    """One of several implementations, a server, a set built together: nobody's default."""
    for name in ("ffmpeg_7.lib", "mpi", "mysql84", "kdePackages.qtbase"):
        assert not common.is_offered(name)


def test_what_cannot_be_fetched_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The others are described all the same; the scripts that write tables end with this status."""
    made = MadeWheel(name="one").write(tmp_path)
    monkeypatch.setattr(common, "picked", lambda name, _: made if name == "one" else None)
    found, status = common.picks(["one", "two"])
    assert [*found] == ["one"]
    assert found["one"].name.name == "one"
    assert (status, common.picks(["one"])[1]) == (1, 0)
    told = capsys.readouterr()
    assert "two can't be fetched" in told.out + told.err

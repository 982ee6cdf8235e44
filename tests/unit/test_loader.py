"""The loader simulation against the rules of ld.so, one case each.

`tests/integration` holds it against the real loaders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.world import AARCH64, I686, LIBC, World, elf, program, target

from nix_manylinux.elf.tokens import expand_tokens
from nix_manylinux.resolve.loader import Loader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nix_manylinux.elf.facts import ElfFacts
    from nix_manylinux.resolve.process import Process

S390X = AARCH64.__class__(number=62, bits=64, endian="big")


def load(files: Mapping[str, ElfFacts | None], root: str = "/x.so", **linker: object) -> Process:
    """Open ``root`` in a world of ``files``."""
    world = World(files)
    reserved = ("libc.",) if linker.get("libc") == "musl" else ()
    hwcaps = ("glibc-hwcaps/x86-64-v3",)
    return Loader(target(world, **linker), world, hwcaps=hwcaps, reserved=reserved).open(root)


def faults(process: Process) -> list[tuple[str, str, str]]:
    """Reduce the faults to what a test compares."""
    return [(f.kind, f.name, f.path) for f in process.faults]


def test_runpath_is_not_inherited() -> None:
    """DT_RUNPATH serves the object's own needs only."""
    got = load({"/x.so": elf("a.so", runpath="/l"), "/l/a.so": elf("b.so"), "/l/b.so": elf()})
    assert faults(got) == [("not found", "b.so", "/l/a.so")]


def test_rpath_is_inherited_along_needed() -> None:
    """DT_RPATH serves the needs of everything that was loaded for the object."""
    got = load({"/x.so": elf("a.so", rpath="/l"), "/l/a.so": elf("b.so"), "/l/b.so": elf()})
    assert got.links["/l/a.so", "b.so"] == "/l/b.so"


def test_an_own_runpath_cuts_the_inheritance() -> None:
    """An object with DT_RUNPATH looks at no DT_RPATH, neither its own nor its loaders'."""
    got = load({
        "/x.so": elf("a.so", rpath="/l"),
        "/l/a.so": elf("b.so", runpath="/other", rpath="/l"),
        "/l/b.so": elf(),
    })  # fmt: skip
    assert faults(got) == [("not found", "b.so", "/l/a.so")]


def test_a_runpath_in_between_does_not_cut_others() -> None:
    """The chain goes on above an object with DT_RUNPATH; only its own entry doesn't count."""
    got = load({
        "/x.so": elf("a.so", rpath="/l"),
        "/l/a.so": elf("b.so", runpath="/m"),
        "/m/b.so": elf("c.so"),
        "/l/c.so": elf(),
    })  # fmt: skip
    assert got.links["/m/b.so", "c.so"] == "/l/c.so"


def test_own_rpath_comes_before_the_loaders() -> None:
    """The nearest DT_RPATH wins."""
    got = load({
        "/x.so": elf("a.so", rpath="/l"),
        "/l/a.so": elf("b.so", rpath="/m"),
        "/m/b.so": elf(),
        "/l/b.so": elf(),
    })  # fmt: skip
    assert got.links["/l/a.so", "b.so"] == "/m/b.so"


def test_the_programs_rpath_always_counts() -> None:
    """A library's need is looked up in the program's DT_RPATH too."""
    files = {"/p": program("a.so", rpath="/l"), "/l/a.so": elf("b.so"), "/l/b.so": elf()}
    assert load(files, "/p").links["/l/a.so", "b.so"] == "/l/b.so"


def test_the_first_loaded_soname_wins() -> None:
    """A soname that is loaded answers every later need, whatever the paths say."""
    got = load({
        "/x.so": elf("a.so", "b.so", runpath="/l"),
        "/l/a.so": elf(soname="a.so"),
        "/l/b.so": elf("a.so", runpath="/m"),
        "/m/a.so": elf(soname="a.so"),
    })  # fmt: skip
    assert got.links["/l/b.so", "a.so"] == "/l/a.so"


def test_breadth_first() -> None:
    """The needs of the root are loaded before those of its libraries."""
    got = load({
        "/x.so": elf("a.so", "b.so", runpath="/l"),
        "/l/a.so": elf("c.so", runpath="/l"),
        "/l/b.so": elf(),
        "/l/c.so": elf(),
    })  # fmt: skip
    order = [each.path for each in got.objects if each.path.startswith("/l/")]
    assert order == ["/l/a.so", "/l/b.so", "/l/c.so"]


def test_the_default_path_is_the_libc() -> None:
    """What no path has is taken from beside the dynamic linker, unless DF_1_NODEFLIB says no."""
    assert load({"/x.so": elf("libm.so.6")}).links["/x.so", "libm.so.6"] == f"{LIBC}/libm.so.6"
    got = load({"/x.so": elf("libm.so.6", no_default_path=True)})
    assert faults(got) == [("not found", "libm.so.6", "/x.so")]


def test_another_machine_is_skipped_another_byte_order_is_not() -> None:
    """Glibc goes on behind a library of another machine, and stops at another byte order."""
    files = {"/x.so": elf("a.so", runpath="/l:/m:/n"), "/n/a.so": elf()}
    got = load({**files, "/l/a.so": elf(machine=AARCH64), "/m/a.so": elf(machine=I686)})
    assert got.links["/x.so", "a.so"] == "/n/a.so"
    got = load({**files, "/l/a.so": elf(machine=S390X)})
    assert faults(got) == [("unreadable", "a.so", "/x.so")]


def test_what_is_not_elf_stops_the_loader() -> None:
    """A text file of the needed name is fatal, even with a right one behind it."""
    got = load({"/x.so": elf("a.so", runpath="/l:/m"), "/l/a.so": None, "/m/a.so": elf()})
    assert faults(got) == [("unreadable", "a.so", "/x.so")]


def test_hardware_capabilities_come_first() -> None:
    """Within one directory, its glibc-hwcaps folder is looked at before it."""
    got = load({
        "/x.so": elf("a.so", runpath="/l"),
        "/l/a.so": elf(),
        "/l/glibc-hwcaps/x86-64-v3/a.so": elf(),
    })  # fmt: skip
    assert got.links["/x.so", "a.so"] == "/l/glibc-hwcaps/x86-64-v3/a.so"


def test_versions_are_held_against_what_is_loaded() -> None:
    """A version that the loaded library lacks is a fault; weak needs and unversioned are not."""
    files = {
        "/x.so": elf("a.so", runpath="/l", versions={"V2": "a.so"}),
        "/l/a.so": elf(defines=("V1",)),
    }
    assert faults(load(files)) == [("version", "a.so", "/x.so")]
    assert faults(load({**files, "/l/a.so": elf()})) == []


def test_what_glibc_2_41_has_changed() -> None:
    """It takes libraries without any symbol versions; it gives none an executable stack."""
    files = {
        "/x.so": elf("a.so", runpath="/l", versions={"V2": "a.so"}),
        "/l/a.so": elf(versioned=False),
        "/l/b.so": elf(executable_stack=True),
        "/y.so": elf("b.so", runpath="/l"),
        "/bin/y": program("b.so", runpath="/l"),
    }
    assert faults(load(files)) == [("version", "a.so", "/x.so")]
    assert faults(load(files, libc_version=(2, 41))) == []
    assert faults(load(files, "/y.so")) == []
    assert faults(load(files, "/y.so", libc_version=(2, 41))) == [("dlopen", "b.so", "/l/b.so")]
    assert faults(load(files, "/bin/y", libc_version=(2, 41))) == []


def test_a_circle_ends() -> None:
    """Libraries that need each other are loaded once."""
    got = load({
        "/x.so": elf("a.so", rpath="/l"),
        "/l/a.so": elf("b.so"),
        "/l/b.so": elf("a.so"),
    })  # fmt: skip
    assert len([each for each in got.objects if each.path.startswith("/l")]) == 2
    assert not got.faults


def test_needed_paths_are_opened_as_they_are() -> None:
    """A needed name with a slash is a path, `$ORIGIN` expanded, and no directory is searched."""
    got = load({
        "/p/x.so": elf("$ORIGIN/q/a.so", "/abs/b.so", runpath="/l"),
        "/p/q/a.so": elf(),
        "/l/b.so": elf(),
    }, "/p/x.so")  # fmt: skip
    assert got.links["/p/x.so", "$ORIGIN/q/a.so"] == "/p/q/a.so"
    assert faults(got) == [("not found", "/abs/b.so", "/p/x.so")]


def test_musl_inherits_runpath_and_checks_no_versions() -> None:
    """Musl looks along the chain of loaders whichever tag it is, and knows no versions."""
    got = load(
        {
            "/x.so": elf("a.so", "libc.musl-x86_64.so.1", runpath="/l", versions={"V2": "a.so"}),
            "/l/a.so": elf("b.so", defines=("V1",)),
            "/l/b.so": elf(),
        },
        libc="musl",
    )
    assert faults(got) == []
    assert got.links["/l/a.so", "b.so"] == "/l/b.so"


def test_musl_voids_a_path_with_an_unknown_token() -> None:
    """One entry with `$LIB` makes musl ignore the whole list."""
    files = {"/x.so": elf("a.so", runpath="/l:$ORIGIN/$LIB"), "/l/a.so": elf()}
    assert faults(load(files, libc="musl")) == [("not found", "a.so", "/x.so")]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$ORIGIN/x", "/o/x"),
        ("${ORIGIN}x", "/ox"),
        ("$ORIGINAL", None),
        ("$ORIGIN$ORIGIN", "/o/o"),
        ("$", None),
        ("a$NOPE", None),
        ("plain", "plain"),
    ],
)
def test_tokens(text: str, expanded: str | None) -> None:
    """Names end where an identifier would; anything unknown voids the entry."""
    assert expand_tokens(text, {"ORIGIN": "/o"}) == expanded

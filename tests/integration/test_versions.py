"""Versions decide among libraries: of a tree, of directories, of wheels that wheels require."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.installed import command, library_options, target_options
from tests.support.prefixes import Prefixes
from tests.support.scene import SITE, Scene, call
from tests.support.store import host_store
from tests.support.trees import snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.installed import Ran


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Give a scene on a store that has little but the libc."""
    return Scene(home=tmp_path, store=host_store(["libz.so.1", "libstdc++.so.6"]))


def returning(**values: int) -> str:
    """Write functions that return numbers."""
    return "".join(f"int {name}(void) {{ return {value}; }}\n" for name, value in values.items())


def run(scene: Scene, verb: str, *options: str) -> Ran:
    """Run the command over the scene's tree itself."""
    words = [*target_options(scene.store), *library_options(scene.libraries), *options]
    return command(verb, str(scene.home / "tree"), *words)


def bundled(scene: Scene) -> str:
    """Put a file and a library of its own beside it, too new for the libc; give a good one's."""
    files = scene.files
    libc = files.library(
        "libc.so.6", soname="libc.so.6", source=returning(newer=1),
        versions="GLIBC_2.99 { global: newer; };",
    )  # fmt: skip
    version = "X_1 { global: x; };"
    good = files.library("libx.so.1", soname="libx.so.1", source=returning(x=42), versions=version)
    bad = files.library(
        "libx.so.1", soname="libx.so.1", needs=[libc], versions=version,
        source="int newer(void); int x(void) { return newer(); }",
    )  # fmt: skip
    user = files.library(
        "user.so", source="int x(void); int demo(void) { return x(); }", needs=[good],
        runpath="$ORIGIN",
    )  # fmt: skip
    scene.put("pkg/user.so", user)
    scene.put("pkg/libx.so.1", bad)
    return scene.library("good", good)


def test_a_bundled_library_that_can_not_work_here(scene: Scene) -> None:
    """A fitting one outside of the tree is taken in its place; the second patch changes nothing."""
    bundled(scene)
    done = run(scene, "patch")
    assert done.status == 0, done.stderr
    assert "pkg/libx.so.1: it can't be loaded here" in done.stderr
    path = scene.home / "tree" / SITE / "pkg/user.so"
    assert call(scene, str(path)) == "42"
    before = snapshot(scene.home / "tree")
    again = run(scene, "patch")
    assert again.status == 0, again.stderr
    assert snapshot(scene.home / "tree") == before
    checked = run(scene, "check")
    assert checked.status == 0, checked.stderr
    assert "pkg/libx.so.1: it can't be loaded here" in checked.stderr


def test_without_another_one_it_is_refused(scene: Scene) -> None:
    """Where nothing else has the name, the error names what is too new."""
    bundled(scene)
    scene.libraries.clear()
    before = snapshot(scene.home / "tree")
    done = run(scene, "patch")
    assert done.status == 1
    assert "has no version GLIBC_2.99" in done.stderr
    assert snapshot(scene.home / "tree") == before


def test_what_nobody_takes_is_no_candidate(scene: Scene) -> None:
    """An extension module that can't be loaded here is refused, whatever directories there are."""
    bundled(scene)
    (scene.home / "tree" / SITE / "pkg/user.so").unlink()
    done = run(scene, "patch")
    assert done.status == 1
    assert "has no version GLIBC_2.99" in done.stderr


def test_an_excluded_library_is_the_last_resort(scene: Scene) -> None:
    """Another one comes before it; where there is none it is what the file gets."""
    good = bundled(scene)
    done = run(scene, "patch", "--exclude", "*/libx.so.1")
    assert done.status == 0, done.stderr
    path = scene.home / "tree" / SITE / "pkg/user.so"
    assert call(scene, str(path)) == "42"
    assert good not in (scene.home / "tree" / SITE / "pkg/libx.so.1").read_text("latin-1")


def test_another_order_of_directories(scene: Scene) -> None:
    """Two directories have a name; a third library needs the version that only one has."""
    files = scene.files
    old = files.library(
        "libg.so.0", soname="libg.so.0", source=returning(g1=1),
        versions="G_1 { global: g1; local: *; };",
    )  # fmt: skip
    scene.library("old", old)
    new = files.library(
        "libg.so.0", soname="libg.so.0", source=returning(g1=1, g2=20),
        versions="G_1 { global: g1; local: *; }; G_2 { global: g2; } G_1;",
    )  # fmt: skip
    gio = files.library(
        "libgio.so.0", soname="libgio.so.0", needs=[new],
        source="int g2(void); int gio(void) { return g2(); }",
        runpath=str(scene.home),
    )  # fmt: skip
    scene.put(
        "p/e.so",
        files.library(
            "e.so", needs=[old, gio], flags=["-Wl,--allow-shlib-undefined"],
            source="int g1(void); int gio(void); int demo(void) { return g1() + gio(); }",
        ),
    )  # fmt: skip
    scene.library("gio", gio)
    newer = scene.library("new", new)
    done = run(scene, "patch")
    assert done.status == 0, done.stderr
    assert f"{newer} is searched before" in done.stderr
    assert "needs version G_1, G_2 of libg.so.0" in done.stderr or "G_2" in done.stderr
    assert call(scene, str(scene.home / "tree" / SITE / "p/e.so")) == "21"


def test_a_directory_that_was_not_given(scene: Scene) -> None:
    """Only the third library's own search path leads to the version: that is told."""
    files = scene.files
    old, new = (
        files.library(
            "libg.so.0", soname="libg.so.0", source=returning(**{f"g{n}": n for n in versions}),
            versions=" ".join(f"G_{n} {{ global: g{n}; local: *; }};" for n in versions),
        ).read_bytes()
        for versions in ((1,), (1, 2))
    )  # fmt: skip
    elsewhere = scene.home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "libg.so.0").write_bytes(new)
    gio = files.library(
        "libgio.so.0", soname="libgio.so.0", needs=[elsewhere / "libg.so.0"],
        source="int g2(void); int gio(void) { return g2(); }", runpath=str(elsewhere),
    )  # fmt: skip
    user = files.library(
        "e.so", needs=[elsewhere / "libg.so.0", gio], flags=["-Wl,--allow-shlib-undefined"],
        source="int g1(void); int gio(void); int demo(void) { return g1() + gio(); }",
    )  # fmt: skip
    scene.put("p/e.so", user)
    (scene.home / "libg.so.0").write_bytes(old)
    scene.library("old", scene.home / "libg.so.0")
    scene.library("gio", gio)
    refused = run(scene, "patch")
    assert refused.status == 1
    assert "no version G_2" in refused.stderr
    assert f"where it looks itself, has it: give --libs {elsewhere} first" in refused.stderr
    scene.libraries.insert(0, str(elsewhere))
    done = run(scene, "patch")
    assert done.status == 0, done.stderr
    assert call(scene, str(scene.home / "tree" / SITE / "p/e.so")) == "3"


def test_wheels_that_required_wheels_require(scene: Scene) -> None:
    """Their libraries come before those of library directories, as those of required wheels do."""
    wheels = Prefixes(scene=scene)
    files = scene.files
    source = returning(eig=7)
    wheels.put("cc", "cc.libs/libeig.so", files.library("libeig.so", source=source))
    user = files.library(
        "ext.so", source="int eig(void); int demo(void) { return eig(); }", needed=["libeig.so"],
        flags=["-Wl,--allow-shlib-undefined"],
    )  # fmt: skip
    wheels.put("aa", "aa.libs/ext.so", user)
    wheels.describe("aa", "bb")
    wheels.describe("bb", "cc; extra == 'x'")
    wheels.describe("cc")
    scene.library("other", files.library("libeig.so", source=returning(eig=313)))
    done = wheels.patch("aa", "bb", "cc")
    assert done.status == 0, done.stderr
    assert call(scene, str(wheels.prefix("aa") / SITE / "aa.libs/ext.so")) == "7"

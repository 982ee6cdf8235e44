"""Rules for what real wheels hold, each on the smallest tree that has it, loaded for real."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.installed import command, library_options, site_packages, target_options, unpack
from tests.support.isolation import sandbox
from tests.support.loading import open_libraries, start_program
from tests.support.machines import MUSL_LINKER, musl_sandbox
from tests.support.scene import SITE, Patched, Scene, call, calls, returns, run_path
from tests.support.store import host_store
from tests.support.wheels import MadeWheel


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Make an empty scene on a store that has a libc and zlib."""
    return Scene(home=tmp_path, store=host_store(["libz.so.1", "libstdc++.so.6"]))


def foo(scene: Scene, value: int = 7, *, soname: str | None = "libfoo.so.1") -> Path:
    """Compile a libfoo.so.1 whose one function returns ``value``."""
    return scene.files.library("libfoo.so.1", source=returns("foo", value), soname=soname)


def done(patched: Patched) -> Patched:
    """Hold that the command did it."""
    assert patched.ran.status == 0, patched.ran.stderr
    return patched


# -- copies, links, names ------------------------------------------------


def test_copies_of_one_soname_are_edited_alike(scene: Scene) -> None:
    """Three copies where a package would have links stay equal, and each of them loads."""
    dependency = scene.files.library("libz9.so.1", source=returns("z", 7), soname="libz9.so.1")
    scene.library("z9", dependency)
    copy = scene.files.library(
        "libcopy.so.1", source=calls("z"), soname="libcopy.so.1", needs=[dependency]
    )
    names = [f"pkg/{name}" for name in ("libcopy.so", "libcopy.so.1", "libcopy.so.1.2")]
    for name in names:
        scene.put(name, copy)
    patched = done(scene.ours())
    assert not patched.unchanged(names[0])
    assert len({patched.path(name).read_bytes() for name in names}) == 1
    assert [patched.call(name) for name in names] == ["7", "7", "7"]


def test_hard_and_symbolic_links_are_one_file(scene: Scene) -> None:
    """A file with several names is edited once, and goes by all of them afterwards."""
    dependency = foo(scene)
    scene.library("foo", dependency)
    scene.put("pkg/ext.so", scene.files.library("ext.so", source=calls("foo"), needs=[dependency]))
    folder = scene.home / "tree" / SITE
    (folder / "other").mkdir()
    os.link(folder / "pkg/ext.so", folder / "other/hard.so")
    (folder / "other/soft.so").symlink_to("../pkg/ext.so")
    # A copy of the tree would be three files: patched where it is.
    words = [*target_options(scene.store), *library_options(scene.libraries)]
    ran = command("patch", str(scene.home / "tree"), *words)
    assert ran.status == 0, ran.stderr
    assert (folder / "pkg/ext.so").stat().st_ino == (folder / "other/hard.so").stat().st_ino
    assert (folder / "other/soft.so").is_symlink()
    for name in ("pkg/ext.so", "other/hard.so", "other/soft.so"):
        assert call(scene, str(folder / name)) == "7"


def test_a_file_name_where_a_soname_should_be(scene: Scene) -> None:
    """Who needs libgomp.so.1.0.0 gets the file of that name, beside the soname's link to it."""
    real = scene.files.library("libgomp.so.1.0.0", source=returns("omp", 7), soname="libgomp.so.1")
    by_soname = scene.files.library("ext.so", source=calls("omp"), needs=[real])
    stub = scene.files.library(
        "libgomp.so.1.0.0", source=returns("omp", 0), soname="libgomp.so.1.0.0"
    )
    by_file = scene.files.library("pool.so", source=calls("omp"), needs=[stub])
    place = scene.library("gcc", real)
    os.symlink("libgomp.so.1.0.0", os.path.join(place, "libgomp.so.1"))
    scene.put("pkg/ext.so", by_soname)
    scene.put("pkg/pool.so", by_file)
    patched = done(scene.ours())
    assert patched.call("pkg/ext.so") == patched.call("pkg/pool.so") == "7"


def test_a_library_without_soname(scene: Scene) -> None:
    """What has no DT_SONAME is found by its file name, in the tree and in a directory."""
    inside = scene.files.library("libin.so", source=returns("inside", 3))
    outside = scene.files.library("libout.so", source=returns("outside", 4))
    scene.library("out", outside)
    scene.put("pkg/libs/libin.so", inside)
    linker = [
        "-Wl,--no-as-needed",
        f"-L{inside.parent}",
        "-l:libin.so",
        f"-L{outside.parent}",
        "-l:libout.so",
    ]
    ext = scene.files.library("ext.so", source=calls("inside", "outside"), flags=linker)
    scene.put("pkg/ext.so", ext)
    assert done(scene.ours()).call("pkg/ext.so") == "7"


# -- filters -------------------------------------------------------------


def filtering(scene: Scene, flag: str) -> None:
    """Make a library that lets libreal.so.1 answer for it: demo() is 7 there, 1 in itself."""
    ext = scene.files.library("ext.so", source=returns("demo", 1), flags=[flag])
    scene.put("pkg/ext.so", ext)


def real(scene: Scene) -> Path:
    """Compile what a filter filters."""
    return scene.files.library("libreal.so.1", source=returns("demo", 7), soname="libreal.so.1")


def test_an_auxiliary_may_be_absent(scene: Scene) -> None:
    """DT_AUXILIARY is a wish, even a linker flag gone astray ("visibility=hidden")."""
    filtering(scene, "-Wl,--auxiliary=visibility=hidden")
    assert done(scene.ours()).call("pkg/ext.so") == "1"


@pytest.mark.parametrize("flag", ["--auxiliary", "--filter"])
def test_a_filter_is_found(scene: Scene, flag: str) -> None:
    """Where the filtered library can be had, its directory is on the path, and it answers."""
    filtering(scene, f"-Wl,{flag}=libreal.so.1")
    place = scene.library("real", real(scene))
    patched = done(scene.ours())
    assert place in run_path(patched.path("pkg/ext.so"))
    assert patched.call("pkg/ext.so") == "7"


def test_a_filter_must_be_there(scene: Scene) -> None:
    """DT_FILTER without its library doesn't load: it is refused."""
    filtering(scene, "-Wl,--filter=libreal.so.1")
    patched = scene.ours()
    assert patched.ran.status == 1
    assert "libreal.so.1" in patched.ran.stderr
    assert patched.unchanged("pkg/ext.so")


# -- search paths --------------------------------------------------------


@pytest.mark.parametrize(
    ("spelling", "folder", "written"),
    [
        ("${ORIGIN}/../foo.libs", "foo.libs", "$ORIGIN/../foo.libs"),
        ("$ORIGIN/$LIB", "pkg/lib", "$ORIGIN/lib"),
        ("$ORIGIN/${LIB}/../lib64", "pkg/lib64", "$ORIGIN/lib64"),
        ("$ORIGIN/$PLATFORM", "pkg/x86_64", "$ORIGIN/x86_64"),
        (":$ORIGIN/libs::/dead", "pkg/libs", "$ORIGIN/libs"),
        ("$ORIGIN/libs:", "pkg/libs", "$ORIGIN/libs"),
    ],
)
def test_spellings_of_a_path(scene: Scene, spelling: str, folder: str, written: str) -> None:
    """Each token is what the target's loader makes of it, and no empty entry is left."""
    library = foo(scene)
    scene.put(f"{folder}/libfoo.so.1", library)
    # A nearer copy that another rule would choose, if the entry were lost.
    scene.put("pkg/near/libfoo.so.1", foo(scene, 8))
    source = calls("foo")
    ext = scene.files.library("ext.so", source=source, needs=[library], runpath=spelling)
    scene.put("pkg/ext.so", ext)
    patched = done(scene.ours())
    assert run_path(patched.path("pkg/ext.so")) == f"RUNPATH {written}"
    assert patched.call("pkg/ext.so") == "7"


# -- layouts of a wheel --------------------------------------------------


def test_data_layouts(scene: Scene) -> None:
    """What goes to the prefix, to platlib and to bin finds one another once installed."""
    leaf = scene.files.library("libleaf.so.1", source=returns("leaf", 3), soname="libleaf.so.1")
    base = scene.files.library(
        "libbase.so.1",
        source="int leaf(void); int base(void) { return leaf() + 4; }\n",
        soname="libbase.so.1",
        needs=[leaf],
    )
    ext = scene.files.library("ext.so", source=calls("base"), needs=[base])
    tool = scene.files.program(
        "tool", source="int base(void); int main(void) { return base() != 7; }\n", needs=[base]
    )
    wheel = MadeWheel(
        files={
            "made/__init__.py": b"",
            "made-1.0.data/data/lib/libleaf.so.1": leaf.read_bytes(),
            "made-1.0.data/data/lib/libbase.so.1": base.read_bytes(),
            "made-1.0.data/platlib/made/ext.so": ext.read_bytes(),
            "made-1.0.data/scripts/tool": tool.read_bytes(),
        },
        modes={"made-1.0.data/scripts/tool": 0o100755},
    ).write(scene.home)
    output = scene.home / "patched"
    ran = command("patch", wheel, "--output-dir", str(output), *target_options(scene.store))
    assert ran.status == 0, ran.stderr
    prefix = scene.home / "prefix"
    unpack(str(output / os.path.basename(wheel)), str(prefix))
    loaded = Path(site_packages(str(prefix)), "made/ext.so")
    assert call(scene, str(loaded)) == "7"
    assert run_path(loaded) == "RUNPATH $ORIGIN/../../.."
    box = sandbox(scene.store, str(prefix))
    program = prefix / "bin/tool"
    assert start_program(box, str(program)).ok
    assert box.run([str(program)]).returncode == 0


# -- what may stay as it is ----------------------------------------------


def test_a_plugin_that_nobody_can_satisfy(scene: Scene) -> None:
    """The refusal has the line that ignores it, for that file alone; with it all else loads."""
    plugin = scene.files.library("libplug.so", needed=["libmimerapi9.so"])
    scene.put("pkg/plugins/libplug.so", plugin)
    library = foo(scene)
    scene.library("foo", library)
    scene.put("pkg/ext.so", scene.files.library("ext.so", source=calls("foo"), needs=[library]))
    refused = scene.ours()
    assert refused.ran.status == 1
    assert "pkg/plugins/libplug.so" in refused.ran.stderr
    assert "wanted only by plugins" in refused.ran.stderr
    assert refused.unchanged("pkg/ext.so")
    advised = re.search(r"--ignore-missing (\S+)", refused.ran.stderr)
    assert advised is not None, refused.ran.stderr
    assert advised[1] == "pkg/plugins/libplug.so:libmimerapi9.so"
    patched = done(scene.ours("--ignore-missing", advised[1]))
    assert patched.call("pkg/ext.so") == "7"
    # What is ignored once is ignored when the result is looked at, and named again without that.
    look = ["check", str(patched.root), *target_options(scene.store)]
    assert "libmimerapi9.so" in command(*look).stderr
    fine = command(*look, "--ignore-missing", advised[1])
    assert fine.status == 0
    assert "everything loads, but for what is ignored" in fine.stderr
    unneeded = command(*look, "--ignore-missing", "pkg/ext.so:libmimerapi9.so")
    assert unneeded.status == 1
    assert "no file needs what this ignore entry names" in unneeded.stderr
    # Another file that wants the same is not covered.
    scene.put("pkg/core.so", plugin)
    again = scene.ours("--ignore-missing", advised[1])
    assert again.ran.status == 1
    assert "pkg/core.so" in again.ran.stderr


def test_all_that_is_wrong_is_told_at_once(scene: Scene) -> None:
    """What is missing, and entries that nothing answers to, in one refusal."""
    scene.put("pkg/ext.so", scene.files.library("ext.so", needed=["libone9.so", "libtwo9.so"]))
    refused = scene.ours("--ignore-missing", "libstale9.so", "--exclude", "nowhere/*")
    assert refused.ran.status == 1
    for words in ("libone9.so", "libtwo9.so", "entry names: libstale9.so", "entry names: nowhere/"):
        assert words in refused.ran.stderr
    assert refused.unchanged("pkg/ext.so")


def test_templates_are_excluded(scene: Scene) -> None:
    """Programs that a tool copies into what it makes keep every byte, others are patched."""
    for name in ("boot/Linux-64bit-intel/run", "boot/Linux-64bit-intel/run_d", "bin/tool"):
        scene.put(f"pkg/{name}", scene.files.program(os.path.basename(name)))
    patched = done(scene.ours("--exclude", "pkg/boot/*/run*"))
    assert patched.unchanged("pkg/boot/Linux-64bit-intel/run")
    assert patched.unchanged("pkg/boot/Linux-64bit-intel/run_d")
    assert not patched.unchanged("pkg/bin/tool")


# -- executable stacks ---------------------------------------------------


def libc_of(scene: Scene, version: str) -> list[str]:
    """Make a libc that says it is of a version: the store's, but for that number."""
    folder = scene.home / f"glibc-{version}"
    shutil.copytree(scene.store.libc, folder)
    libc = folder / "libc.so.6"
    content = libc.read_bytes()
    banner = re.search(rb"release version 2\.[0-9]{2}", content)
    assert banner is not None
    libc.write_bytes(content.replace(banner[0], f"release version {version}".encode()))
    linker = folder / os.path.basename(scene.store.dynamic_linker)
    return ["--dynamic-linker", str(linker), "--libc", str(folder)]


def stack(path: Path) -> str:
    """Read the flags of PT_GNU_STACK."""
    output = subprocess.run(
        ["readelf", "-lW", str(path)], capture_output=True, text=True, check=True
    ).stdout
    (line,) = (line for line in output.splitlines() if "GNU_STACK" in line)
    return "".join(line.split()[6:-1])


@pytest.mark.parametrize(
    ("version", "options", "flags"),
    [("2.41", (), "RW"), ("2.41", ("--keep-execstack",), "RWE"), ("2.40", (), "RWE")],
)
def test_executable_stacks(
    scene: Scene, *, version: str, options: tuple[str, ...], flags: str
) -> None:
    """A glibc from 2.41 on refuses to make the stack executable: cleared there, and said so."""
    ext = scene.files.library("ext.so", source=returns("demo", 7), flags=["-Wl,-z,execstack"])
    scene.put("pkg/ext.so", ext)
    # The last one of an option counts.
    patched = done(scene.ours(*libc_of(scene, version), *options))
    assert stack(patched.path("pkg/ext.so")) == flags
    assert patched.report is not None
    assert ("executable stack cleared" in patched.report.read_text()) == (flags == "RW")
    if flags == "RW":
        assert patched.call("pkg/ext.so") == "7"


# -- pins ----------------------------------------------------------------


def shadows(scene: Scene, compiler: str | None = None) -> tuple[Path, list[str]]:
    """Two directories with liba.so and libb.so each, of which a file needs one from either.

    By version: only the first's liba.so has A2, only the second's libb.so has
    B2. No order of the two directories is right.
    """
    made: dict[tuple[int, str], Path] = {}
    for number in (1, 2):
        for letter, node in (("a", "A2" if number == 1 else "A1"), ("b", f"B{number}")):
            made[number, letter] = scene.files.library(
                f"lib{letter}.so",
                source=returns(letter, number * (1 if letter == "a" else 10)),
                soname=f"lib{letter}.so",
                versions=f"{node} {{ global: {letter}; local: *; }};\n",
                target=compiler,
            )
    ext = scene.files.library(
        "ext.so", source=calls("a", "b"), needs=[made[1, "a"], made[2, "b"]], target=compiler
    )
    places = [
        scene.library(f"store-{number}", made[number, "a"], made[number, "b"]) for number in (1, 2)
    ]
    return ext, places


def needed(path: Path) -> list[str]:
    """List DT_NEEDED."""
    output = subprocess.run(
        ["readelf", "-dW", str(path)], capture_output=True, text=True, check=True
    ).stdout
    return re.findall(r"\(NEEDED\).*\[(.*)\]", output)


def test_where_no_order_is_right_the_loader_takes_the_pin(scene: Scene) -> None:
    """Two directories hide each other's library: the second is needed by its path, and loads."""
    ext, (_, second) = shadows(scene)
    scene.put("pkg/ext.so", ext)
    patched = done(scene.ours())
    assert needed(patched.path("pkg/ext.so"))[:2] == ["liba.so", f"{second}/libb.so"]
    assert patched.call("pkg/ext.so") == "21"
    # The same again: a pin of an earlier run is no news.
    words = [*target_options(scene.store), *library_options(scene.libraries)]
    before = patched.path("pkg/ext.so").read_bytes()
    assert command("patch", str(patched.root), *words).status == 0
    assert patched.path("pkg/ext.so").read_bytes() == before


def test_an_absolute_need_is_pinned_for_musl(scene: Scene) -> None:
    """Musl takes a needed path as glibc does; a dead one leads to the library that was found."""
    library = scene.files.library(
        "libfoo.so.1", source=returns("foo", 7), soname="libfoo.so.1", target="musl-gcc"
    )
    stub = scene.files.library(
        "libfoo.so.1",
        source=returns("foo", 0),
        soname="/opt/vendor/libfoo.so.1",
        target="musl-gcc",
    )
    place = scene.library("foo", library)
    ext = scene.files.library("ext.so", source=calls("foo"), needs=[stub], target="musl-gcc")
    scene.put("pkg/ext.so", ext)
    root = scene.copy()
    ran = command("patch", str(root), "--dynamic-linker", MUSL_LINKER, "--libs", place)
    assert ran.status == 0, ran.stderr
    path = root / SITE / "pkg/ext.so"
    assert needed(path) == [f"{place}/libfoo.so.1"]
    box = musl_sandbox(str(scene.home))
    loaded = open_libraries(box, [str(path)], compiler="musl-gcc")
    assert loaded[str(path)].ok, loaded
    assert f"{place}/libfoo.so.1" in loaded[str(path)].mapped

"""What users of auto-patchelf run into, and that it does not happen here.

Each scene is one defect of nixpkgs' ``auto-patchelf.py``, as its trackers have
it. The first test of a pair shows what the command does, by loading what it
wrote; the second shows the defect itself, where that script is at hand
(``$NIX_MANYLINUX_AUTO_PATCHELF``), so that nobody has to believe us.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.auto_patchelf import VARIABLE
from tests.support.elf import without_sections
from tests.support.installed import command, target_options
from tests.support.isolation import sandbox
from tests.support.scene import (
    SITE,
    Scene,
    call,
    calls,
    environment_without_tools,
    returns,
    run_path,
)
from tests.support.store import host_store

if TYPE_CHECKING:
    from pathlib import Path

at_hand = pytest.mark.asked_for(VARIABLE)

#: demo() that calls a bare name by dlopen, as plugins are loaded.
BY_NAME = """
#include <dlfcn.h>
int demo(void)
{
    void *handle = dlopen("%s", RTLD_NOW);
    int (*leaf)(void) = handle ? (int (*)(void))dlsym(handle, "leaf") : 0;
    return leaf ? leaf() : -1;
}
"""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Make an empty scene on a store that has a libc and zlib."""
    return Scene(home=tmp_path, store=host_store(["libz.so.1", "libstdc++.so.6"]))


def note(*entries: dict[str, Any]) -> str:
    """Write a ``.note.dlopen`` with these entries, as the specification lays it out."""
    text = json.dumps(json.dumps(list(entries)))  # quoted once for the assembler
    lines = [
        '.pushsection .note.dlopen,"a",@note',
        ".balign 4",
        ".long 4, 2f-1f, 0x407c0c0a",
        '.asciz "FDO"',
        f"1: .asciz {text}",
        "2: .balign 4",
        ".popsection",
    ]
    # ... and once more for C.
    assembler = " ".join(json.dumps(f"{line}\n") for line in lines)
    return f"{returns('demo', 3)}__asm__({assembler});\n"


def two_copies(scene: Scene, chosen: str) -> None:
    """Put libfoo.so.1 in two folders; the extension's own $ORIGIN names one of them."""
    foo = {
        folder: scene.files.library(
            "libfoo.so.1", source=returns("foo", value), soname="libfoo.so.1"
        )
        for folder, value in (("aaa.libs", 1), ("zzz", 2))
    }
    for folder, file in foo.items():
        scene.put(f"{folder}/libfoo.so.1", file)
    origin = f"$ORIGIN/../{chosen}"
    source = calls("foo")
    scene.put(
        "pkg/ext.so",
        scene.files.library("ext.so", source=source, needs=[foo[chosen]], runpath=origin),
    )


@pytest.mark.parametrize(("chosen", "value"), [("aaa.libs", "1"), ("zzz", "2")])
def test_01_the_file_s_own_path_chooses(scene: Scene, chosen: str, value: str) -> None:
    """Of two libraries of one name the extension's own $ORIGIN entry takes its own."""
    two_copies(scene, chosen)
    patched = scene.ours()
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.call("pkg/ext.so") == value


def test_01_no_order_of_a_directory_counts(scene: Scene, tmp_path: Path) -> None:
    """Two trees that differ in the order in which they were made come out the same."""
    other = Scene(home=tmp_path / "other", store=scene.store)
    for each, folders in ((scene, ("aaa.libs", "zzz")), (other, ("zzz", "aaa.libs"))):
        ext = each.files.library("ext.so", source=calls("foo"), needed=["libfoo.so.1"])
        for folder in folders:
            value = 1 if folder == "zzz" else 2
            foo = each.files.library(
                "libfoo.so.1", source=returns("foo", value), soname="libfoo.so.1"
            )
            each.put(f"{folder}/libfoo.so.1", foo)
        each.put("pkg/ext.so", ext)
    one, two = scene.ours(), other.ours()
    assert one.ran.status == two.ran.status == 0, one.ran.stderr
    assert one.path("pkg/ext.so").read_bytes() == two.path("pkg/ext.so").read_bytes()
    assert one.call("pkg/ext.so") == two.call("pkg/ext.so") == "2"


@at_hand
def test_01_defect(scene: Scene, tmp_path: Path) -> None:
    """The script takes the same one whichever the extension names: once it is the wrong one."""
    other = Scene(home=tmp_path / "other", store=scene.store)
    two_copies(scene, "aaa.libs")
    two_copies(other, "zzz")
    values = (scene.theirs().call("pkg/ext.so"), other.theirs().call("pkg/ext.so"))
    assert values in {("1", "1"), ("2", "2")}


def plugin_by_origin(scene: Scene, entry: str) -> None:
    """Make an extension that opens a plugin by name along its own path, and needs a library."""
    zlib = scene.store.providing("libz.so.1")[0]
    scene.libraries.append(zlib)
    leaf = scene.files.library("libplug.so", source=returns("leaf", 7))
    ext = scene.files.library(
        "ext.so", source=BY_NAME % "libplug.so", needed=["libz.so.1"], runpath=entry, libc=True
    )
    scene.put("pkg/plugins/libplug.so", leaf)
    scene.put("pkg/ext.so", ext)


def test_02_origin_is_kept(scene: Scene) -> None:
    """An $ORIGIN entry that only dlopen uses stays: the plugin is still found."""
    plugin_by_origin(scene, "$ORIGIN/plugins")
    patched = scene.ours()
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.call("pkg/ext.so") == "7"


@at_hand
def test_02_defect(scene: Scene) -> None:
    """The script drops the entry, and the plugin is lost."""
    plugin_by_origin(scene, "$ORIGIN/plugins")
    patched = scene.theirs()
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.call("pkg/ext.so") == "-1"


def shadowed(scene: Scene) -> None:
    """Let a directory that is there for liba hold another libb than the tree's own."""
    liba = scene.files.library("liba.so.1", source=returns("a", 10), soname="liba.so.1")
    wrong = scene.files.library("libb.so.1", source=returns("b", 2), soname="libb.so.1")
    own = scene.files.library("libb.so.1", source=returns("b", 1), soname="libb.so.1")
    scene.library("x", liba, wrong)
    scene.put("pkg.libs/libb.so.1", own)
    scene.put(
        "pkg/ext.so", scene.files.library("ext.so", source=calls("a", "b"), needs=[liba, own])
    )


def test_03_what_is_reported_is_loaded(scene: Scene) -> None:
    """The tree's own library is loaded although an earlier need's directory has one too."""
    shadowed(scene)
    patched = scene.ours()
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.call("pkg/ext.so") == "11"


@at_hand
def test_03_defect(scene: Scene) -> None:
    """The script says that it found the tree's own, and the loader takes the other."""
    shadowed(scene)
    patched = scene.theirs()
    assert f"libb.so.1 -> found: {patched.path('pkg.libs')}" in patched.ran.stdout
    assert patched.call("pkg/ext.so") == "12"


def noted(scene: Scene, *entries: dict[str, Any]) -> None:
    """Make an extension with a dlopen note, and a library so that there is something to do."""
    scene.libraries.append(scene.store.providing("libz.so.1")[0])
    scene.put("pkg/ext.so", scene.files.library("ext.so", source=note(*entries)))


ALTERNATIVES = {"soname": ["libnone-a.so.1", "libnone-b.so.1"], "priority": "required"}


def test_04_a_note_with_alternatives_can_be_ignored(scene: Scene) -> None:
    """A required note that nothing answers is refused by name, and ignored on request."""
    noted(scene, ALTERNATIVES)
    refused = scene.ours()
    assert refused.ran.status == 1
    assert "libnone-a.so.1" in refused.ran.stderr
    patched = scene.ours("--ignore-missing", "libnone-*.so.1")
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.call("pkg/ext.so") == "3"


@at_hand
def test_04_defect(scene: Scene) -> None:
    """The script crashes when it is told to ignore it."""
    noted(scene, ALTERNATIVES)
    ran = scene.theirs("--ignore-missing", "*").ran
    assert ran.status != 0
    assert "AttributeError" in ran.stderr


SUGGESTED = {"soname": ["libnone.so.1"], "priority": "suggested"}


def test_05_an_optional_note_is_not_fatal(scene: Scene) -> None:
    """What a note suggests, or recommends by saying nothing else, may be absent."""
    noted(scene, SUGGESTED, {"soname": ["libnone.so.2"]})
    patched = scene.ours()
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.call("pkg/ext.so") == "3"


def test_05_a_note_without_sonames_is_no_crash(scene: Scene) -> None:
    """An entry that names no library is refused or passed over: no fault of ours."""
    noted(scene, {"feature": "something", "priority": "required"})
    assert scene.ours().ran.status in {0, 1}


@at_hand
def test_05_defect(scene: Scene, tmp_path: Path) -> None:
    """The script fails for a suggestion, and crashes for an entry without a soname."""
    noted(scene, SUGGESTED)
    ran = scene.theirs().ran
    assert ran.status == 1
    assert "could not satisfy dependency libnone.so.1" in ran.stdout
    other = Scene(home=tmp_path / "other", store=scene.store)
    noted(other, {"feature": "something"})
    assert "KeyError" in other.theirs().ran.stderr


def absolute_need(scene: Scene) -> None:
    """Make an extension that needs a library by an absolute path where nothing is."""
    foo = scene.files.library("libfoo.so.1", source=returns("foo", 5), soname="libfoo.so.1")
    by_path = scene.files.library(
        "libfoo.so.1", source=returns("foo", 5), soname="/opt/vendor/libfoo.so.1"
    )
    scene.library("foo", foo)
    scene.put("pkg/ext.so", scene.files.library("ext.so", source=calls("foo"), needs=[by_path]))


def test_06_an_absolute_need_leads_to_what_was_found(scene: Scene) -> None:
    """A needed name with a dead absolute path is rewritten to the library that was found."""
    absolute_need(scene)
    patched = scene.ours()
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.call("pkg/ext.so") == "5"


@at_hand
def test_06_defect(scene: Scene) -> None:
    """The script reports it as found, succeeds, and it doesn't load."""
    absolute_need(scene)
    patched = scene.theirs()
    assert patched.ran.status == 0
    assert "libfoo.so.1 -> found" in patched.ran.stdout
    assert "/opt/vendor/libfoo.so.1: cannot open" in patched.call("pkg/ext.so")


def impure(scene: Scene) -> Path:
    """Let the wheel name a directory of the machine that it was built on, and it exists here."""
    inputs = scene.files.library("libfoo.so.1", source=returns("foo", 1), soname="libfoo.so.1")
    captured = scene.files.library("libfoo.so.1", source=returns("foo", 2), soname="libfoo.so.1")
    machine = scene.home / "machine"
    (machine / "sub").mkdir(parents=True)
    shutil.copy(captured, machine / "sub")
    scene.library("foo", inputs)
    ext = scene.files.library("ext.so", source=calls("foo"), needs=[inputs], runpath=str(machine))
    scene.put("pkg/ext.so", ext)
    return machine


def test_07_the_machine_s_directories_are_not_searched(scene: Scene) -> None:
    """A wheel's absolute path is no place to take libraries from, wherever it leads."""
    machine = impure(scene)
    patched = scene.ours()
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.call("pkg/ext.so") == "1"
    assert str(machine) not in run_path(patched.path("pkg/ext.so"))


@at_hand
def test_07_defect(scene: Scene) -> None:
    """The script crawls that directory before the build inputs, below it too."""
    machine = impure(scene)
    patched = scene.theirs()
    assert patched.call("pkg/ext.so") == "2"
    assert str(machine / "sub") in run_path(patched.path("pkg/ext.so"))


def stale(scene: Scene) -> None:
    """Make an extension that needs nothing and carries the paths of its build."""
    file = scene.files.library("ext.so", runpath="/home/ci/build/lib:/usr/local/lib")
    scene.put("pkg/ext.so", file)


def test_08_dead_paths_go(scene: Scene) -> None:
    """The paths of the machine that built it are gone, though nothing takes their place."""
    stale(scene)
    patched = scene.ours()
    assert patched.ran.status == 0, patched.ran.stderr
    assert run_path(patched.path("pkg/ext.so")) == ""
    assert patched.call("pkg/ext.so") == "42"


@at_hand
def test_08_defect(scene: Scene) -> None:
    """The script leaves them."""
    stale(scene)
    patched = scene.theirs()
    assert run_path(patched.path("pkg/ext.so")) == "RUNPATH /home/ci/build/lib:/usr/local/lib"


def sectionless(scene: Scene) -> None:
    """Make an extension and a program without section headers that need a library."""
    foo = scene.files.library("libfoo.so.1", source=returns("foo", 6), soname="libfoo.so.1")
    scene.library("foo", foo)
    ext = scene.files.library("ext.so", source=calls("foo"), needs=[foo])
    program = scene.files.program(
        "run", source="int foo(void); int main(void) { return foo(); }", needs=[foo]
    )
    scene.put("pkg/ext.so", without_sections(ext.read_bytes()))
    scene.put("pkg/run", without_sections(program.read_bytes()))


def test_09_sections_are_not_needed(scene: Scene) -> None:
    """Files without section headers are read, linked, and work."""
    sectionless(scene)
    patched = scene.ours()
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.call("pkg/ext.so") == "6"
    box = sandbox(scene.store, str(scene.home))
    assert box.run([str(patched.path("pkg/run"))]).returncode == 6


@at_hand
def test_09_defect(scene: Scene) -> None:
    """The script finds nothing to do in the library, and succeeds."""
    sectionless(scene)
    patched = scene.theirs()
    assert patched.unchanged("pkg/ext.so")
    assert "libfoo.so.1: cannot open" in patched.call("pkg/ext.so")


def static_pie(scene: Scene) -> None:
    """Make a static program that can be loaded anywhere."""
    source = "int main(void) { return 9; }"
    scene.put("pkg/run", scene.files.program("run", source=source, flags=["-static-pie"]))


def test_10_a_static_program_is_left_alone(scene: Scene) -> None:
    """A static PIE keeps every byte, whatever is to be appended to paths."""
    static_pie(scene)
    patched = scene.ours("--append-rpath", "/run/opengl-driver/lib")
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.unchanged("pkg/run")


@at_hand
def test_10_defect(scene: Scene) -> None:
    """The script gives it a path, and so changes what has no use for one."""
    static_pie(scene)
    patched = scene.theirs("--append-rpaths", "/run/opengl-driver/lib")
    assert not patched.unchanged("pkg/run")


def other_abi(scene: Scene) -> None:
    """Let the first directory hold the library for x32, the second the right one."""
    wrong = scene.files.library(
        "libfoo.so.1", source=returns("foo", 1), soname="libfoo.so.1", target="x86_64-linux-gnux32"
    )
    right = scene.files.library("libfoo.so.1", source=returns("foo", 8), soname="libfoo.so.1")
    scene.library("foo-x32", wrong)
    scene.library("foo", right)
    scene.put("pkg/ext.so", scene.files.library("ext.so", source=calls("foo"), needs=[right]))


def test_11_class_and_abi_are_looked_at(scene: Scene) -> None:
    """A library for the same processor but another ABI is passed over."""
    other_abi(scene)
    patched = scene.ours()
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.call("pkg/ext.so") == "8"


@at_hand
def test_11_defect(scene: Scene) -> None:
    """The script tells machines by a name that both share, and takes the first."""
    other_abi(scene)
    patched = scene.theirs()
    assert patched.ran.status == 0
    assert "libfoo.so.1: wrong ELF class" in patched.call("pkg/ext.so")


def foreign(scene: Scene) -> None:
    """Make a tree for another machine."""
    scene.put("pkg/ext.so", scene.files.library("ext.so", target="aarch64-linux-gnu"))


def test_12_a_wheel_for_another_machine_is_refused(scene: Scene) -> None:
    """A file for another machine is an error that names both, unless it is allowed."""
    foreign(scene)
    refused = scene.ours()
    assert refused.ran.status == 1
    assert "aarch64" in refused.ran.stderr
    assert "ext.so" in refused.ran.stderr
    assert scene.ours("--allow-foreign", "*.so").ran.status == 0


@at_hand
def test_12_defect(scene: Scene) -> None:
    """The script skips it, and succeeds."""
    foreign(scene)
    patched = scene.theirs()
    assert patched.ran.status == 0
    assert "skipping" in patched.ran.stdout


def too_old(scene: Scene) -> None:
    """Make an extension that needs foo in version V2 of a library that has only V1."""
    new = scene.files.library(
        "libfoo.so.1", source=returns("foo", 2), soname="libfoo.so.1",
        versions="V1 { local: *; }; V2 { global: foo; } V1;",
    )  # fmt: skip
    old = scene.files.library(
        "libfoo.so.1", source=returns("foo", 1), soname="libfoo.so.1",
        versions="V1 { global: foo; local: *; };",
    )  # fmt: skip
    scene.library("foo", old)
    scene.put("pkg/ext.so", scene.files.library("ext.so", source=calls("foo"), needs=[new]))


def test_13_versions_are_checked(scene: Scene) -> None:
    """A library that lacks a needed symbol version is refused, with --missing warn too."""
    too_old(scene)
    for options in ((), ("--missing", "warn")):
        refused = scene.ours(*options)
        assert refused.ran.status == 1
        assert "V2" in refused.ran.stderr
        assert "libfoo.so.1" in refused.ran.stderr
        assert "ext.so" in refused.ran.stderr
        assert refused.unchanged("pkg/ext.so")


@at_hand
def test_13_defect(scene: Scene) -> None:
    """The script accepts it, and it doesn't load."""
    too_old(scene)
    patched = scene.theirs()
    assert patched.ran.status == 0
    assert "version `V2' not found" in patched.call("pkg/ext.so")


def other_name(scene: Scene) -> None:
    """Put a library into the tree whose file name is not its soname."""
    foo = scene.files.library("libfoo-1.2.so", source=returns("foo", 4), soname="libfoo.so.1")
    scene.put("pkg.libs/libfoo-1.2.so", foo)
    scene.put("pkg/ext.so", scene.files.library("ext.so", source=calls("foo"), needs=[foo]))


def test_14_sonames_count(scene: Scene) -> None:
    """A library is found by its DT_SONAME, and the file that needs it loads."""
    other_name(scene)
    patched = scene.ours()
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.call("pkg/ext.so") == "4"


@at_hand
def test_14_defect(scene: Scene) -> None:
    """The script knows file names only."""
    other_name(scene)
    patched = scene.theirs()
    assert patched.ran.status == 1
    assert "could not satisfy dependency libfoo.so.1" in patched.ran.stdout


def inherited(scene: Scene) -> None:
    """Graft libraries as auditwheel does: one finds the other by the DT_RPATH of who loads it."""
    scene.libraries.append(scene.store.providing("libz.so.1")[0])
    leaf = scene.files.library("libleaf.so", source=returns("leaf", 5))
    middle = scene.files.library(
        "libmiddle.so", source=(BY_NAME % "libleaf.so").replace("demo", "middle"),
        soname="libmiddle.so", libc=True,
    )  # fmt: skip
    ext = scene.files.library(
        "ext.so", source=calls("middle"), needs=[middle], needed=["libz.so.1"],
        rpath="$ORIGIN/../pkg.libs",
    )  # fmt: skip
    scene.put("pkg.libs/libleaf.so", leaf)
    scene.put("pkg.libs/libmiddle.so", middle)
    scene.put("pkg/ext.so", ext)


def test_15_rpath_stays_rpath(scene: Scene) -> None:
    """A DT_RPATH keeps its tag, and with it what is inherited along DT_NEEDED."""
    inherited(scene)
    patched = scene.ours()
    assert patched.ran.status == 0, patched.ran.stderr
    assert run_path(patched.path("pkg/ext.so")).startswith("RPATH $ORIGIN/../pkg.libs")
    assert patched.call("pkg/ext.so") == "5"


@at_hand
def test_15_defect(scene: Scene) -> None:
    """The script turns it into a DT_RUNPATH, and the grafted library loses its sibling."""
    inherited(scene)
    patched = scene.theirs()
    assert run_path(patched.path("pkg/ext.so")).startswith("RUNPATH")
    assert patched.call("pkg/ext.so") == "-1"


def program(scene: Scene) -> None:
    """Make a program that needs a new interpreter and a path."""
    scene.libraries.append(scene.store.providing("libz.so.1")[0])
    scene.put("pkg/run", scene.files.program("run", needed=["libz.so.1"]))


def test_16_one_edit_for_each_file(scene: Scene) -> None:
    """A program is written once, and no other process is needed for it."""
    program(scene)
    patched = scene.ours(environment=environment_without_tools())
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.report is not None
    edits = json.loads(patched.report.read_text())["edits"]
    assert [edit["how"] for edit in edits] == ["in place"]
    linker = subprocess.run(
        ["readelf", "-lW", str(patched.path("pkg/run"))], capture_output=True, text=True, check=True
    ).stdout
    assert f"interpreter: {scene.store.dynamic_linker}]" in linker


@at_hand
def test_16_defect(scene: Scene) -> None:
    """The script rewrites the whole file twice, in a process each."""
    program(scene)
    tools = scene.home / "tools"
    tools.mkdir()
    log = scene.home / "log"
    wrapper = tools / "patchelf"
    wrapper.write_text(f'#!/bin/sh\necho "$1" >> {log}\nexec {shutil.which("patchelf")} "$@"\n')
    wrapper.chmod(0o755)
    assert scene.theirs(tools=str(tools)).ran.status == 0
    assert log.read_text().split() == ["--set-interpreter", "--set-rpath"]


def truncated(scene: Scene) -> None:
    """Cut an extension short."""
    whole = scene.files.library("ext.so").read_bytes()
    scene.put("pkg/ext.so", whole[: len(whole) // 4])
    scene.put("pkg/fine.so", scene.files.library("fine.so"))


def test_17_a_truncated_file_is_an_error(scene: Scene) -> None:
    """A file that is cut short is named and left; `check` says that it won't load."""
    truncated(scene)
    done = scene.ours()
    assert done.ran.status == 0
    assert "pkg/ext.so" in done.ran.stderr
    assert done.unchanged("pkg/ext.so")
    checked = command("check", str(done.root), *target_options(scene.store))
    assert checked.status == 1
    assert "pkg/ext.so" in checked.stderr


@at_hand
def test_17_defect(scene: Scene) -> None:
    """The script passes over it in silence; and without patchelf it ends in a traceback."""
    truncated(scene)
    patched = scene.theirs()
    assert patched.ran.status == 0
    assert "ext.so" not in patched.ran.stdout + patched.ran.stderr
    program(scene)
    none = scene.home / "none"
    none.mkdir()
    failing = none / "patchelf"
    failing.write_text("#!/bin/sh\nexit 1\n")
    failing.chmod(0o755)
    assert "CalledProcessError" in scene.theirs(tools=str(none)).ran.stderr


def test_18_braces_around_origin(scene: Scene) -> None:
    """${ORIGIN} means what $ORIGIN means: the entry stays, and the plugin is found."""
    plugin_by_origin(scene, "${ORIGIN}/plugins")
    patched = scene.ours()
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.call("pkg/ext.so") == "7"


@at_hand
def test_18_defect(scene: Scene) -> None:
    """The script takes it for a directory of that name, and drops it."""
    plugin_by_origin(scene, "${ORIGIN}/plugins")
    assert scene.theirs().call("pkg/ext.so") == "-1"


def own_library(scene: Scene) -> None:
    """Make an extension that needs a library of its own tree."""
    foo = scene.files.library("libfoo.so.1", source=returns("foo", 3), soname="libfoo.so.1")
    scene.put("pkg.libs/libfoo.so.1", foo)
    scene.put("pkg/ext.so", scene.files.library("ext.so", source=calls("foo"), needs=[foo]))


def test_19_a_tree_may_move(scene: Scene) -> None:
    """What is inside the tree is found relative to the file: the tree can be moved."""
    own_library(scene)
    patched = scene.ours()
    assert patched.ran.status == 0, patched.ran.stderr
    os.rename(patched.root, scene.home / "moved")
    assert call(scene, str(scene.home / "moved" / SITE / "pkg/ext.so")) == "3"


def other_prefix(scene: Scene) -> str:
    """Make an extension that finds another wheel beside it; here that has a prefix of its own."""
    foo = scene.files.library("libfoo.so.1", source=returns("foo", 2), soname="libfoo.so.1")
    site = scene.home / "vendor" / SITE
    (site / "vendor" / "lib").mkdir(parents=True)
    shutil.copy(foo, site / "vendor" / "lib")
    ext = scene.files.library(
        "ext.so", source=calls("foo"), needs=[foo], runpath="$ORIGIN/../vendor/lib"
    )
    scene.put("pkg/ext.so", ext)
    return str(site)


def test_19_another_wheel_is_found_in_its_own_prefix(scene: Scene) -> None:
    """$ORIGIN/.. into another wheel becomes the directory where that wheel really is."""
    site = other_prefix(scene)
    patched = scene.ours("--python-libs", site)
    assert patched.ran.status == 0, patched.ran.stderr
    assert patched.call("pkg/ext.so") == "2"


@at_hand
def test_19_defect(scene: Scene) -> None:
    """The script writes absolute paths into the tree itself: moved, it no longer loads."""
    own_library(scene)
    patched = scene.theirs()
    assert patched.call("pkg/ext.so") == "3"
    os.rename(patched.root, scene.home / "moved")
    moved = call(scene, str(scene.home / "moved" / SITE / "pkg/ext.so"))
    assert "libfoo.so.1: cannot open" in moved


@at_hand
def test_19_defect_other_prefix(scene: Scene) -> None:
    """The script never looks into the site-packages of the inputs."""
    scene.libraries.append(os.path.dirname(os.path.dirname(other_prefix(scene))))
    patched = scene.theirs()
    assert patched.ran.status == 1
    assert "could not satisfy dependency libfoo.so.1" in patched.ran.stdout

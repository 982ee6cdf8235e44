"""Small packages built with the real hook and command: what works, what fails, what is kept."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.modules import python, system_sandbox
from tests.support.rings import unhashed, zig_folder

from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from tests.support.rings import Nix

    from nix_manylinux.elf.facts import ElfFacts

pytestmark = pytest.mark.nix


def elf_files(root: str) -> dict[str, ElfFacts]:
    """Read every ELF file of a tree, by its path in there."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            facts = None if os.path.islink(path) else read_elf(path)
            if facts is not None:
                found[os.path.relpath(path, root)] = facts
    return found


def one(root: str, name: str) -> ElfFacts:
    """Read the one ELF file of that name."""
    (facts,) = [facts for path, facts in elf_files(root).items() if path.endswith("/" + name)]
    return facts


@pytest.mark.parametrize("case", ["works", "structured", "notStrict"])
def test_a_wheel_is_linked_to_its_build_input(nix: Nix, case: str) -> None:
    """With attributes either way and without strictDeps, the library is found and imports."""
    path = nix.build(f"build.{case}").path
    entries = one(path, "_probe.so").search_path
    assert any(entry.endswith("-nest-1/lib") for entry in entries)
    assert any(each.endswith("-nest-1") for each in nix.closure(path))
    assert "python" not in " ".join(entries)


def test_the_hook_carries_a_test(nix: Nix) -> None:
    """What `manylinuxFixupHook.tests` and `manylinuxInstallHook.tests` hold builds, anywhere."""
    assert nix.build("build.hookTest").path
    assert nix.build("build.hookRefusesTest").path
    assert nix.build("build.installHookTest").path


def test_that_nothing_was_stripped_is_said_where_something_was_compiled(nix: Nix) -> None:
    """Who has linked nothing, or whose source is a wheel, has no reason to think of it."""
    hint = "manylinuxFixup: nothing was stripped; what was compiled here may be: "
    assert nix.log(nix.build("build.hookTest").path).count(hint) == 1
    assert hint not in nix.log(nix.build("build.works").path)
    assert hint not in nix.log(nix.build("build.nothingToLink").path)


def test_what_is_compiled_here_can_be_stripped(nix: Nix) -> None:
    """By the way that the log tells: the folders that are named, and no other."""
    path = nix.build("build.stripsItsOwn").path
    sections = {
        place: subprocess.run(
            ["readelf", "-SW", f"{path}/{place}/own"], capture_output=True, text=True, check=True
        ).stdout
        for place in ("bin", "lib")
    }
    assert ".debug_info" not in sections["bin"]
    assert ".debug_info" in sections["lib"]


def test_odd_names_are_patched_too(nix: Nix) -> None:
    """Spaces, quotes, dollars, asterisks and leading dashes in file names are only names."""
    files = elf_files(nix.build("build.oddNames").path)
    odd = [path for path in files if path.endswith("lib $x'q.so")]
    assert len(odd) == 3
    for path in odd:
        assert any(entry.endswith("-nest-1/lib") for entry in files[path].search_path)


def test_outputs_are_linked_to_each_other(nix: Nix) -> None:
    """A file in one output finds a library in another: both are of one plan."""
    path = nix.build("build.severalOutputs").path
    (entry,) = one(path, "_probe.so").search_path
    assert entry.endswith("-probe-1.0-lib/lib")


MESSAGES = {
    "missingAfterStrip": (
        "libXcursor.so.1",
        "strip ran before, and it damages files of wheels",
        'stripDebugList = [ "FOLDER" ];',
    ),
    "missing": (
        "libXcursor.so.1",
        "wanted by ex/_ex.so",
        "buildInputs = [ libxcursor ];",
    ),
    "foreign": ("it is for aarch64, the target is x86_64", "foreign/_foreign.so"),
    "foreignByName": (
        "probe-1.0-py3-none-manylinux_2_17_aarch64.whl can't be installed",
        "built for aarch64, and this platform is x86_64",
    ),
    "wrongPython": ("lying-1.0.dist-info/WHEEL", "the wheel is for Python 3.6, this is cpython"),
    "wrongPythonByName": (
        "lying-1.0-cp36-cp36m-manylinux1_x86_64.whl can't be installed: it is for cp36-cp36m",
        "What would fit:",
    ),
    "tooNew": ("has no version GLIBC_2.99", "new/_new.so"),
    "tooNewByName": ("it needs glibc 2.99 or newer, and this platform has",),
    "ignoredInVain": ("libnothing.so.*", "remove it from manylinuxIgnoreMissingDeps"),
    "ignoresAll": (
        "an ignore pattern must begin with a literal part",
        "in a derivation --ignore-missing is manylinuxIgnoreMissingDeps",
    ),
    "unknownFormat": ('format = "manylinux2015" is misspelt', "manylinux_X_Y"),
    "searchesTheBuild": ("has the forbidden directory", "/lib on its search path"),
    "runsTheBuild": ("bin/tool contains a forbidden reference to",),
    "swapped": ("lying-1.0-cp36-cp36m", "the wheel is for Python 3.6, this is cpython"),
    "patchedWithoutPolicy": ("names no manylinux policy", 'policy = "manylinux2014";'),
    "patchedForAnotherPython": ("the wheel is for Python 3.6, this is cpython",),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_what_must_not_build_says_why(nix: Nix, case: str) -> None:
    """A package that can't work fails, and says what is wrong, where, and what would help."""
    log = nix.fails(f"build.{case}")
    for words in MESSAGES[case]:
        assert words.replace("python3.11", nix.python) in log


def test_a_patched_wheel_keeps_its_references(nix: Nix) -> None:
    """Nix sees what a patched wheel is linked to, although its members are compressed."""
    path = nix.build("build.patched").path
    names = {unhashed(each) for each in nix.references(path)}
    assert "nest-1" in names
    assert any(name.startswith("expat") for name in names)
    assert os.path.basename(path)[33:] == "driver-1.0-py3-none-manylinux_2_17_x86_64.whl"
    assert zipfile.ZipFile(path).testzip() is None


@pytest.mark.parametrize("case", ["fromPatched", "fromPatchedElsewhere"])
def test_what_is_installed_from_it_keeps_them_too(nix: Nix, case: str) -> None:
    """Search path and references survive stdenv: driver and run-time directories included."""
    path = nix.build(f"build.{case}").path
    entries = one(path, "_driver.so").search_path
    assert entries[-1] == "/run/opengl-driver/lib"
    assert any("expat" in entry for entry in entries)
    names = {unhashed(each) for each in nix.closure(path)}
    assert "nest-1" in names
    assert any(name.startswith("expat") for name in names)


def test_why_the_mark_is_there(nix: Nix) -> None:
    """Without it stdenv shrinks the search path, and driver and run-time directories are gone."""
    path = nix.build("build.fromPatchedCarelessly").path
    entries = one(path, "_driver.so").search_path
    assert not any("opengl-driver" in entry or "expat" in entry for entry in entries)


def test_a_package_for_autopatchelf_builds(nix: Nix) -> None:
    """With nothing but the hook's name changed its variables still do what they did."""
    entries = one(nix.build("build.formerAutoPatchelf").path, "_probe.so").search_path
    assert entries[-1] == "/run/appended"
    assert any(entry.endswith("-nest-1/lib") for entry in entries)


class TestCross:
    """An aarch64 package set built on x86_64; ring one has one, by the host's compiler."""

    def test_a_wheel_is_patched_for_its_platform(self, nix_one: Nix) -> None:
        """Every file is for aarch64, linked to that set's libraries, and resolves under qemu."""
        path = nix_one.build("cross.cryptography", realWheels=cryptography()).path
        files = elf_files(path)
        assert files
        assert {facts.machine.name for facts in files.values()} == {"aarch64"}
        glibc = nix_one.build("cross.glibc").path
        linker = f"{glibc}/lib/ld-linux-aarch64.so.1"
        # A libc of nixpkgs has its own directory for its default.
        default = ("--library-path", f"{glibc}/lib")
        for name in files:
            done = subprocess.run(
                ["qemu-aarch64", linker, *default, "--list", os.path.join(path, name)],
                capture_output=True,
                text=True,
                check=True,
            )
            assert "not found" not in done.stdout
            assert "libgcc_s.so.1 => /nix/store/" in done.stdout.replace(
                nix_one.store, "/nix/store"
            )

    def test_the_tool_runs_where_things_are_built(self, nix_one: Nix) -> None:
        """The hook of the other platform's set calls the build machine's command."""
        tool = nix_one.evaluate("cross.tool")
        hook = nix_one.evaluate("cross.hook")
        nix_one.build("cross.cryptography", realWheels=cryptography())
        assert isinstance(hook, str)
        text = (Path(hook) / "nix-support" / "setup-hook").read_text()
        assert f"{tool}/bin/nix-manylinux" in text

    def test_this_machines_wheel_is_refused(self, nix_one: Nix) -> None:
        """The platform that counts is the one that the package is for."""
        log = nix_one.fails("cross.foreign", realWheels=cryptography())
        assert "built for x86_64, and this platform is aarch64" in log

    def test_one_source_for_two_machines(self, nix_one: Nix, tmp_path: Path) -> None:
        """By manylinuxWheels and manylinuxStdenv: each set compiles, strips and repairs its own.

        What is for aarch64 runs under qemu, with nothing but its glibc.
        """
        arguments = {"zigFolder": zig_folder(), "realWheels": str(tmp_path)}
        folder = Path(nix_one.build("cross.matrix", **arguments).path)
        names = sorted(path.name for path in folder.iterdir())
        machines = [name.partition("_2_")[2].partition("_")[2] for name in names]
        assert machines == ["aarch64.whl", "x86_64.whl"]
        manifest = Path(nix_one.build("cross.matrix.manifest", **arguments).path)
        assert [each["file"] for each in json.loads(manifest.read_text())["wheels"]] == names
        source = (
            "#include <dlfcn.h>\n#include <stdio.h>\n"
            "int main(int count, char **words) {\n"
            "  void *it = dlopen(words[1], RTLD_NOW);\n"
            "  if (!it) return puts(dlerror()), 1;\n"
            '  printf("%d\\n", (int)((double (*)(double))dlsym(it, "probe_answer"))(2));\n'
            "}\n"
        )
        for name, compiler, runner in (
            (names[0], "aarch64-linux-gnu-gcc", ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]),
            (names[1], "gcc", []),
        ):
            site = tmp_path / compiler
            with zipfile.ZipFile(folder / name) as archive:
                archive.extractall(site)
            facts = elf_files(str(site))
            assert len(facts) == 2
            assert {path for each in facts.values() for path in each.search_path} == {
                "$ORIGIN/../probe.libs"
            }
            program = tmp_path / f"{compiler}-opener"
            (tmp_path / "opener.c").write_text(source)
            command = [compiler, "-o", str(program), str(tmp_path / "opener.c"), "-ldl"]
            subprocess.run(command, check=True)
            command = [*runner, str(program), str(site / "probe/_probe.so")]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            assert ran.stdout == "50\n", ran.stderr


def cryptography() -> str:
    """Give the folder of the real wheels, with the two that the cross tests want in it."""
    from tests.wheels.corpus import folder, wheel

    wheel("cryptography-50.0.2-cp311-abi3-manylinux2014_aarch64")
    wheel("orjson-")
    return folder()


def test_the_wheel_itself_tells_them(nix: Nix) -> None:
    """The wheel lists what it refers to in a member that is stored uncompressed."""
    with zipfile.ZipFile(nix.build("build.patched").path) as archive:
        stored = [
            entry.filename
            for entry in archive.infolist()
            if entry.compress_type == zipfile.ZIP_STORED
            and b"/nix/store/" in archive.read(entry).replace(nix.store.encode(), b"/nix/store")
        ]
        assert any(".dist-info/" in name for name in stored), stored


@pytest.mark.parametrize("case", ["asItCame", "asItCamePatched"])
def test_what_came_as_a_wheel_is_given_as_it_came(nix: Nix, case: str) -> None:
    """A package that was made from a wheel and linked gives that wheel, which runs anywhere."""
    wheel = portable(nix, case)
    source = Path(nix.build("build.driver" if "Patched" in case else "build.probe").path)
    assert (wheel.name, wheel.read_bytes()) == (unhashed(str(source)), source.read_bytes())


def test_what_came_as_a_wheel_is_repaired_where_more_is_asked(nix: Nix) -> None:
    """With an argument it is the original that is repaired, with the package's libraries."""
    wheel = portable(nix, "asItCameAndMore")
    assert any(name.startswith("probe.libs/libnest-") for name in zipfile.ZipFile(wheel).namelist())


def test_a_linked_wheel_is_refused_as_such(nix: Nix) -> None:
    """What the hook has linked is no wheel to publish, whatever else would be said of it."""
    said = nix.fails("build.linkedAlready")
    assert "this wheel was linked by nix-manylinux" in said
    assert "has it as `src`" in said


def portable(nix: Nix, case: str, **arguments: str) -> Path:
    """Build a portable wheel, and give the one file in its folder."""
    (wheel,) = Path(nix.build(f"build.{case}", **arguments).path).iterdir()
    return wheel


def test_a_package_becomes_a_wheel_for_everybody(nix: Nix, tmp_path: Path) -> None:
    """Its library comes along, nothing refers to the store, and building again changes no byte."""
    wheel = portable(nix, "portable")
    assert re.fullmatch(r"probe-1\.0-py3-none-manylinux_2_\d+_x86_64\.whl", wheel.name)
    assert nix.closure(str(wheel.parent)) == [str(wheel.parent)]
    nix.check("build.portable")
    assert portable(nix, "portableSpeltOut") == wheel
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    assert nix.store.encode() not in b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    )
    facts = one(str(tmp_path), "_probe.so")
    assert facts.rpath == "$ORIGIN/../probe.libs"
    (graft,) = (tmp_path / "probe.libs").iterdir()
    assert graft.name.startswith("libnest-")
    document = json.loads(
        (tmp_path / "probe-1.0.dist-info/sboms/nix-manylinux.cdx.json").read_text()
    )
    (component,) = document["components"]
    assert (component["name"], component["version"]) == ("nest", "1")
    ran = system_sandbox(str(tmp_path)).run(
        [python(), "-c", "import probe; print(probe.answer)"],
        environment={"PYTHONPATH": str(tmp_path)},
    )
    assert ran.stdout == "42\n", ran.stderr


def test_a_rebuilt_dependency_gives_the_same_wheel(nix: Nix) -> None:
    """Under another store hash the library is the same: so is the wheel."""
    one, other = portable(nix, "portable"), portable(nix, "portableRebuilt")
    assert one.parent != other.parent
    assert one.read_bytes() == other.read_bytes()


def test_a_portable_wheel_leaves_the_package_as_it_is(nix: Nix) -> None:
    """The attribute is beside the derivation: same name, same outputs, same path."""
    assert nix.build("build.tied").path == nix.build("build.portable.package").path


def test_a_library_that_no_search_path_leads_to(nix: Nix) -> None:
    """It is found in buildInputs, whichever of their outputs has it."""
    with zipfile.ZipFile(portable(nix, "portableWithoutPath")) as archive:
        assert any(name.startswith("probe.libs/libnest") for name in archive.namelist())


def test_portable_wheels_as_they_are_asked_for(nix: Nix) -> None:
    """A policy, libraries that stay outside, store paths that may stay."""
    wheel = portable(nix, "portableFor")
    assert wheel.name == "probe-1.0-py3-none-manylinux_2_28_x86_64.whl"
    assert not [n for n in zipfile.ZipFile(wheel).namelist() if ".libs/" in n or "sboms/" in n]
    assert portable(nix, "portableAllTheSame")


def test_what_can_not_be_portable_says_why(nix: Nix) -> None:
    """A store path in a Python file, and a package without a wheel."""
    log = nix.fails("build.notPortable")
    assert "these files name paths of the Nix store" in log
    assert "in probe/__init__.py" in log
    # Options are told in terms of Nix, and so is a compiler for an older glibc.
    assert "its arguments: policy, libs, exclude, graft, allowStorePaths" in log
    assert "manylinuxStdenv" not in log
    log = nix.fails("build.tooNewForIts")
    assert "these symbol versions are too new" in log
    assert 'override { stdenv = pkgs.manylinuxStdenv "manylinux_2_17"; }' in log
    assert "has no output `dist`" in nix.fails("build.withoutDist")


def test_a_folder_of_wheels_and_its_manifest(nix: Nix) -> None:
    """Only wheels are in it; the manifest tells names, hashes, platforms, grafts and SBOMs."""
    folder = Path(nix.build("build.wheels").path)
    (wheel,) = folder.iterdir()
    assert wheel.name == "probe-1.0-py3-none-manylinux_2_28_x86_64.whl"
    manifest = json.loads(Path(nix.build("build.wheels.manifest").path).read_text())
    (told,) = manifest["wheels"]
    assert told["file"] == wheel.name
    assert told["sha256"] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert told["platforms"] == ["manylinux_2_28_x86_64"]
    (graft,) = told["grafts"]
    assert graft in zipfile.ZipFile(wheel).namelist()
    assert told["sboms"] == ["probe-1.0.dist-info/sboms/nix-manylinux.cdx.json"]
    assert "are called probe-1.0-py3-none-" in nix.fails("build.wheelsOfOneName")


def test_an_old_glibc_on_a_new_platform(nix: Nix, tmp_path: Path) -> None:
    """By manylinuxStdenv sources give manylinux_2_17 or older, where they give a newer tag else.

    What was built so loads, and is the same when it is built again.
    """
    zig = zig_folder()
    new, old = portable(nix, "portableNew"), portable(nix, "portableOld", zigFolder=zig)
    floors = [int(re.search(r"manylinux_2_(\d+)_", wheel.name)[1]) for wheel in (new, old)]  # type: ignore[index]
    assert floors[0] >= 29
    assert floors[1] <= 17
    nix.check("build.portableOld", zigFolder=zig)
    with zipfile.ZipFile(old) as archive:
        archive.extractall(tmp_path)
    assert [path.name.partition("-")[0] for path in tmp_path.glob("probe.libs/*")] == ["libnest"]
    ran = system_sandbox(str(tmp_path)).run(
        [python(), "-c", "import probe; print(probe.answer)"],
        environment={"PYTHONPATH": str(tmp_path)},
    )
    assert ran.stdout == "50\n", ran.stderr
    assert "is no manylinux policy" in nix.fails("build.noSuchStdenv")

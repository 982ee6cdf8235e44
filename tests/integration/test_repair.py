"""Wheels made portable: they load where nothing of what they were built with is to be seen."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.support.elf import ElfBuilder
from tests.support.modules import EXT, TAG, Workshop, python, system_sandbox, wheel_of
from tests.support.wheels import MadeWheel, tiny_library

import nix_manylinux as nm
from nix_manylinux.cli import portable
from nix_manylinux.cli.main import main
from nix_manylinux.data import data_path
from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit, ElfKind
from nix_manylinux.elf.read import read_elf
from nix_manylinux.repair.text import loads_text

PLATFORM = "manylinux_2_5_x86_64"
STORE = "/nix/store/" + "0123456789abcdfghijklmnpqrsvwxyz"


def libraries(*folders: Path) -> nm.LibraryIndex:
    """Index folders of libraries; none by default."""
    return nm.LibraryIndex.from_directories(folders)


def repaired(
    wheel: str, output: Path, *, libs: tuple[Path, ...] = (), **options: object
) -> nm.RepairedWheel:
    """Repair a wheel with the API."""
    return nm.repair_wheel(
        wheel,
        output_dir=output,
        libraries=libraries(*libs),
        options=nm.RepairOptions(**options),  # type: ignore[arg-type]
    )


def valid(report: Path) -> dict[str, Any]:
    """Read a report, which must be as its schema says."""
    value: dict[str, Any] = json.loads(report.read_text())
    jsonschema.validate(value, json.loads(Path(data_path("repair.schema.json")).read_text()))
    return value


def members(path: str) -> dict[str, bytes]:
    """Read every member of a wheel."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def installed(path: str, folder: Path, installer: str = "pip") -> Path:
    """Install a wheel to a folder, by pip or uv, which hold RECORD against it in their ways."""
    folder.mkdir(exist_ok=True)
    words = [sys.executable, "-m", *(["uv", "pip"] if installer == "uv" else ["pip"])]
    where = ["--prefix", str(folder)]
    command = [*words, "install", "--no-deps", "--no-index", *where, path]
    if installer == "uv":
        command[5:5] = ["--python", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("lib/python3*/site-packages"))


def value_of(site: Path, code: str = "import made; print(made.value)") -> str:
    """Import what was installed where only this Python and the system's libraries are."""
    ran = system_sandbox(str(site)).run(
        [python(), "-c", code], environment={"PYTHONPATH": str(site)}
    )
    return ran.stdout.strip() or ran.stderr


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Give one store for the tests that only read it."""
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="module")
def chain(workshop: Workshop) -> bytes:
    """Give a module that needs one library, which needs another."""
    two = workshop.library("two", "two", "41", file="libtwo.so.1.2.3")
    one = workshop.library("one", "one", "two() + 1", needs=[two])
    return workshop.module("one()", [one])


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_repaired_wheel_runs_elsewhere(chain: bytes, tmp_path: Path, installer: str) -> None:
    """Grafts under hashed names, found by $ORIGIN alone; one tag, which auditwheel gives too."""
    path = wheel_of(chain).write(tmp_path)
    done = repaired(path, tmp_path / "out")
    assert done.platforms == (PLATFORM,)
    assert os.listdir(tmp_path / "out") == [os.path.basename(done.path)]
    assert os.path.basename(done.path) == f"made-1.0-{TAG.rpartition('-')[0]}-{PLATFORM}.whl"
    assert done.sha256 == hashlib.sha256(Path(done.path).read_bytes()).hexdigest()
    names = [graft.member for graft in done.grafts]
    assert len(names) == 2
    assert names[0].startswith("made.libs/libone-")
    assert names[0].endswith(".so.1")
    assert names[1].startswith("made.libs/libtwo-")
    assert names[1].endswith(".so.1.2.3")
    assert done.grafts[0].wanted_by == (f"made/{EXT}",)
    assert done.grafts[1].wanted_by == (os.path.basename(names[0]),)
    site = installed(done.path, tmp_path / "installed", installer)
    for name, graft in zip(names, done.grafts, strict=True):
        facts = read_elf(site / name)
        assert facts is not None
        assert facts.soname == os.path.basename(name)
        data = (site / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (graft.sha256, graft.size)
        assert facts.rpath == ("$ORIGIN" if "libone" in name else None)
        assert facts.runpath is None
    module = read_elf(site / "made" / EXT)
    assert module is not None
    assert module.rpath == "$ORIGIN/../made.libs"
    assert value_of(site) == "42"
    shutil.rmtree(site / "made.libs")
    assert "libone-" in value_of(site)
    command = [sys.executable, "-m", "auditwheel", "show", done.path]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f'"{PLATFORM}"' in " ".join(shown.split())


def test_twice_is_once(chain: bytes, tmp_path: Path) -> None:
    """What is portable already is what comes out, byte for byte, stripped or not."""
    path = wheel_of(chain).write(tmp_path)
    for options in ({}, {"strip": True}, {"compression": 0}, {"also_tags": "aliases"}):
        first = repaired(path, tmp_path / "first", **options)
        second = repaired(first.path, tmp_path / "second", **options)
        assert Path(first.path).read_bytes() == Path(second.path).read_bytes()
        assert not second.grafts


PROGRAM = """
import os, sys
os.umask({mask})
sys.path[:0] = {path!r}
from nix_manylinux.cli.main import main
sys.exit(main({words!r}))
"""


@pytest.mark.parametrize(
    "way",
    [
        ("another/folder", {}, (), 0o022),
        (".", {"TZ": "Pacific/Auckland"}, (), 0o022),
        (".", {"LC_ALL": "C", "PYTHONHASHSEED": "7"}, (), 0o077),
        (".", {}, ("taskset", "-c", "0"), 0o022),
    ],
    ids=["folder", "zone", "umask", "one processor"],
)
def test_the_same_bytes_wherever_it_is_done(
    chain: bytes, tmp_path: Path, way: tuple[str, dict[str, str], tuple[str, ...], int]
) -> None:
    """Folder, time, time zone, locale, umask and the number of processors don't count."""
    place, environment, prefix, mask = way
    calm = repaired(wheel_of(chain).write(tmp_path), tmp_path / "calm")
    folder = tmp_path / "elsewhere" / place
    folder.mkdir(parents=True)
    path = wheel_of(chain).write(folder)
    os.utime(path, ns=(1, 1))
    words = ["repair", path, "-o", str(folder / "out")]
    code = PROGRAM.format(mask=mask, path=sys.path, words=words)
    command = [*prefix, sys.executable, "-c", code]
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
    (made,) = (folder / "out").iterdir()
    assert made.read_bytes() == Path(calm.path).read_bytes()


def test_the_same_bytes_for_dependencies_under_other_store_hashes(tmp_path: Path) -> None:
    """All that was rebuilt was rebuilt alike: who built it, and where, can't be told."""
    made = []
    for letter in "ab":
        workshop = Workshop(tmp_path / letter, letter)
        workshop.root = tmp_path / "store"  # one store, and two hashes in it
        two = workshop.library("two", "two", "41")
        one = workshop.library("one", "one", "two() + 1", needs=[two])
        wheel = wheel_of(workshop.module("one()", [one]))
        path = wheel.write(tmp_path / letter)
        done = repaired(path, tmp_path / letter / "out")
        assert letter * 32 in done.grafts[0].source
        made.append((Path(path).read_bytes(), Path(done.path).read_bytes()))
    assert made[0][0] != made[1][0]
    assert made[0][1] == made[1][1]


def test_the_order_of_wheels_does_not_count(chain: bytes, tmp_path: Path) -> None:
    """Two wheels in one call, one way round and the other."""
    paths = [wheel_of(chain).write(tmp_path)]
    other = wheel_of(chain)
    other.name = "other"
    paths.append(other.write(tmp_path))
    for folder, order in (("one", paths), ("two", paths[::-1])):
        assert main(["repair", *order, "-q", "-o", str(tmp_path / folder)]) == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert len(list((tmp_path / "two").iterdir())) == 2


# What is refused ----------------------------------------------------------------------


def refusals(workshop: Workshop) -> dict[str, tuple[MadeWheel, list[str], str]]:
    """Make a wheel for everything that forbids a repair: options, and what is said of it."""
    module = workshop.module
    one = workshop.library("plain", "plain", "1")
    fpe = workshop.library("PyFPE_dummy", "PyFPE_dummy", "1")
    new = workshop.library("m", "m", "1", versions="GLIBC_2.30 { m; };")
    # The name is the C library's, so that the policy's promise is what it is held against.
    os.rename(new, new.parent / "libm.so.6")
    late = workshop.files.library(
        "libm.so.6", soname="libm.so.6", source="int late(void) { return 1; }\n",
        versions="GLIBC_2.30 { late; };",
    )  # fmt: skip
    never = workshop.files.library(
        "libm.so.6", soname="libm.so.6", source="int never(void) { return 1; }\n",
        versions="GLIBC_PRIVATE { never; };",
    )  # fmt: skip
    private = workshop.files.library(
        "libz.so.1", soname="libz.so.1", source="int inflate_copyright(void) { return 1; }\n"
    )
    uses = workshop.files.library

    def using(name: str, library: Path, *flags: str) -> bytes:
        source = f"extern int {name}(void);\nint used(void) {{ return {name}(); }}\n"
        return uses("used.so", source=source, needs=[library], flags=flags).read_bytes()

    text = f"LIBRARY = '{STORE}-cairo-1.18/lib/libcairo.so.2'\n".encode()
    debug = uses(
        "debug.so", source="int x;\n",
        flags=["-g", f"-fdebug-prefix-map={workshop.files._directory}={STORE}-src"],  # noqa: SLF001
    ).read_bytes()  # fmt: skip
    lost = module("plain()", [one], runpath="/nowhere")
    return {
        "missing": (wheel_of(lost), [], "libplain.so.1 is missing"),
        "too new": (
            wheel_of(using("late", late)), ["--policy", "manylinux_2_28"],
            "GLIBC_2.30 of libm.so.6 is newer than manylinux_2_28",
        ),
        "never": (wheel_of(using("never", never)), [], "private to one version of the libc"),
        "symbol": (
            wheel_of(using("inflate_copyright", private)), [],
            "inflate_copyright of libz.so.1 is not for others to use",
        ),
        "fpe": (
            wheel_of(module("PyFPE_dummy()", [fpe])),
            ["--exclude", "libPyFPE_dummy.so"], "in no Python but one that was built --with-fpectl",
        ),
        "machine": (
            MadeWheel(tag="py3-none-linux_aarch64", files={"x.so": module("1", [])}), [],
            "no file is for aarch64 and glibc, as the wheel's tag says",
        ),
        "isa": (
            wheel_of(module("1", [], flags=["-Wl,-z,x86-64-v3"])), ["--allow-isa", "x86-64-v2"],
            "instructions of x86-64-v3",
        ),
        "stack": (
            wheel_of(module("1", [], flags=["-Wl,-z,execstack"])), [], "an executable stack"
        ),
        "text": (
            wheel_of(module("plain()", [one]), **{"made/load.py": text}), [],
            f"{STORE}-cairo-1.18/lib/libcairo.so.2",
        ),
        "debug": (wheel_of(debug), [], "--strip takes debug sections away"),
        "place": (
            wheel_of(b"", **{"made-1.0.data/data/lib/x.so": module("plain()", [one])}), [],
            "put the files into the package itself",
        ),
    }  # fmt: skip


KINDS = [
    "missing",
    "too new",
    "never",
    "symbol",
    "fpe",
    "machine",
    "isa",
    "stack",
    "text",
    "debug",
    "place",
]


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_not_be_portable_is_refused(
    workshop: Workshop, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1, what and where and what to do; in JSON, too; nothing is written."""
    made, options, said = refusals(workshop)[kind]
    path = made.write(tmp_path)
    report = tmp_path / "report.json"
    words = ["repair", path, "-o", str(tmp_path / "out"), "--json", str(report), *options]
    assert main(words) == 1
    talk = capsys.readouterr()
    assert said in talk.err
    assert talk.err.count("error:") == 1
    assert not (tmp_path / "out").exists()
    told = valid(report)
    assert (told["status"], told["error"]["kind"]) == ("refused", "NotPortable")
    assert told["findings"]
    if kind == "too new":
        assert told["fitting"] == "manylinux_2_31_x86_64"
        assert "--policy manylinux_2_31_x86_64 would do" in talk.err
        assert main(words[:6]) == 0
        told = valid(report)
        (obstacle,) = told["obstacles"]
        assert (obstacle["kind"], obstacle["what"]) == ("version", said)
        talk = capsys.readouterr()
        assert f"no older policy: {said}, in made/{EXT}\n" in talk.err
        assert "bill of materials" not in talk.err
        assert "left to the system, which has it by the policy: libm.so.6\n" in talk.err
        assert "libm.so.6" in told["promised"]
    if kind == "isa":
        assert main([*words[:4], "--allow-isa", "x86-64-v3"]) == 0
    if kind == "text":
        assert main([*words[:4], "--allow-store-paths", "made/*.py"]) == 0
    if kind == "debug":
        assert main([*words[:4], "--strip"]) == 0
    if kind == "missing":
        assert main([*words[:4], "--exclude", "libplain.so"]) == 0
        assert "Excluding libplain.so.1" in capsys.readouterr().err
        libs = str(workshop.folder("plain"))
        assert main([*words[:4], "--libs", libs]) == 0


def test_everything_is_told_at_once(workshop: Workshop, tmp_path: Path) -> None:
    """Two libraries that are missing and a stack are three findings, not the first of them."""
    one, two = (workshop.library(name, name, "1") for name in ("first", "second"))
    module = workshop.module(
        "first() + second()", [one, two], runpath="", flags=["-Wl,-z,execstack"]
    )
    path = wheel_of(module).write(tmp_path)
    with pytest.raises(nm.NotPortable) as caught:
        repaired(path, tmp_path / "out")
    kinds = [finding.kind for finding in caught.value.findings]
    assert kinds == ["missing", "missing", "stack"]
    assert "--libs" in caught.value.hint


def test_who_has_what_is_missing(
    workshop: Workshop,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in other refusals; no policy is said to do, for what is missing may want a newer one."""
    zstd, late = (
        workshop.files.library(name, soname=name, source=f"int {function}(void) {{ return 1; }}\n",
                               versions=versions)
        for name, function, versions in (
            ("libzstd.so.1", "zstd", None), ("libm.so.6", "late", "GLIBC_2.30 { late; };"),
        )
    )  # fmt: skip
    used = workshop.files.library(
        EXT, needs=[zstd, late],
        source="extern int zstd(void), late(void);\nint used(void) { return zstd() + late(); }\n",
    )  # fmt: skip
    path, report = wheel_of(used.read_bytes()).write(tmp_path), tmp_path / "report.json"
    words = ["repair", path, "-o", str(tmp_path / "out"), "--policy", "manylinux_2_17"]
    monkeypatch.setattr(portable, "system_folders", list)
    assert main([*words, "--json", str(report)]) == 1
    said = capsys.readouterr().err
    assert "  libzstd.so.1 is missing: zstd\n" in said
    assert "GLIBC_2.30 of libm.so.6 is newer than manylinux_2_17" in said
    assert "would do" not in said
    assert valid(report)["fitting"] is None
    assert "\n\nrepair it with:\nnix-manylinux repair " in said
    package = "$(nix-build '<nixpkgs>' --no-out-link -A zstd.out | sed 's:.*:--libs=&/lib:')"
    assert said.endswith(f" \\\n  {package}\n")
    monkeypatch.setattr(portable, "system_folders", lambda: [str(zstd.parent)])
    assert main(words) == 1
    said = capsys.readouterr().err
    assert f"  {package}\nor, with what this system has:\nnix-manylinux repair " in said
    assert said.endswith(f" \\\n  --libs {zstd.parent}\n")
    with monkeypatch.context() as without:
        without.setenv("PATH", "/nonexistent")
        assert main(words) == 1
    said = capsys.readouterr().err
    assert "\n\nrepair it with what this system has:\nnix-manylinux repair " in said
    assert "nix-build" not in said
    assert main([*words, "--libs", str(zstd.parent)]) == 1
    assert "--policy manylinux_2_31_x86_64 would do" in capsys.readouterr().err
    monkeypatch.setenv("NIX_BUILD_TOP", "/build")
    monkeypatch.delenv("IN_NIX_SHELL", raising=False)
    assert main(words) == 1
    assert "\n\nto add to the package:\nbuildInputs = [ zstd ];\n" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["pack-relative-relocs", "nopack-relative-relocs"])
def test_relative_relocations_want_a_new_glibc(
    option: str, workshop: Workshop, tmp_path: Path
) -> None:
    """A linker marks what needs a version of the libc, and only that: the tag goes by both."""
    source = (
        "static int one = 1;\nint *used(void) { static int *p[2] = {&one, &one}; return p[1]; }\n"
    )
    used = workshop.files.library(EXT, source=source, flags=[f"-Wl,-z,{option}"])
    done = repaired(wheel_of(used.read_bytes()).write(tmp_path), tmp_path / "out")
    old, new = ["manylinux_2_5_x86_64"], ["manylinux_2_36_x86_64"]
    assert list(done.platforms) == (old if option.startswith("no") else new)


# What stays ---------------------------------------------------------------------------


def test_a_wheel_without_native_code_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is written anew under its own name, and said so."""
    made = MadeWheel(tag="py3-none-any", files={"made/__init__.py": b"value = 1\n"})
    made.descriptor = "marked"
    path = made.write(tmp_path)
    assert main(["repair", path, "-o", str(tmp_path / "out"), "--sbom", "cyclonedx"]) == 0
    said = capsys.readouterr().err
    assert "no native code" in said
    assert "nothing comes along: there is no bill of materials (--sbom) to write" in said
    assert members(str(tmp_path / "out" / made.file_name)) == members(path)
    own = tmp_path / "own.spdx.json"
    own.write_bytes(b"{}")
    found = members(repaired(path, tmp_path / "own", sbom=str(own)).path)
    assert found["made-1.0.dist-info/sboms/own.spdx.json"] == b"{}"


def test_what_the_policy_promises_stays_outside(workshop: Workshop, tmp_path: Path) -> None:
    """A store's own zlib comes not along, whatever leads to it: every system has one."""
    built = workshop.files.library(
        "libz.so.1", soname="libz.so.1", source="int z(void) { return 1; }"
    )
    place = workshop.folder("zlib") / "libz.so.1"
    shutil.copy(built, place)
    path = wheel_of(workshop.module("z()", [place])).write(tmp_path)
    done = repaired(path, tmp_path / "out")
    assert not done.grafts
    module = tmp_path / "module.so"
    module.write_bytes(members(done.path)[f"made/{EXT}"])
    facts = read_elf(module)
    assert facts is not None
    assert "libz.so.1" in facts.needed
    assert facts.search_path == ()
    assert str(place.parent).encode() not in module.read_bytes()


def test_a_library_keeps_a_policy_from_being_older(workshop: Workshop, tmp_path: Path) -> None:
    """Expat is in no policy before 2.12; it is where it is excluded, or another is asked for."""
    needed = ["libexpat.so.1", "libc.so.6"]
    path = wheel_of(workshop.module("1", [], needed=needed)).write(tmp_path)
    done = repaired(path, tmp_path / "out")
    assert done.platforms == ("manylinux_2_12_x86_64",)
    assert done.promised == ("libc.so.6", "libexpat.so.1")
    found = [(each.kind, each.what, each.where) for each in done.obstacles]
    assert found == [("library", "libexpat.so.1 is not in manylinux_2_5", (f"made/{EXT}",))]
    newer = repaired(path, tmp_path / "newer", policy="manylinux_2_28")
    without = repaired(path, tmp_path / "without", exclude=("libexpat.so",))
    assert (without.platforms, without.left) == ((PLATFORM,), ("libexpat.so.1",))
    assert "libexpat.so.1" not in without.promised
    assert newer.obstacles == without.obstacles == ()


def test_the_wheels_own_libraries_stay_where_they_are(workshop: Workshop, tmp_path: Path) -> None:
    """Found by $ORIGIN, or loaded by whoever needs the one that needs it."""
    inner = workshop.library("inner", "inner", "40")
    outer = workshop.library("outer", "outer", "inner() + 1", needs=[inner])
    outside = workshop.library("outside", "outside", "1")
    module = workshop.module(
        "outer() + inner() - 40 + outside()", [outer, inner, outside],
        runpath=f"$ORIGIN/lib:{outside.parent}",
    )  # fmt: skip
    bare = workshop.files.library(
        "libouter.so.1", soname="libouter.so.1", needs=[inner],
        source="extern int inner(void);\nint outer(void) { return inner() + 1; }\n",
    )  # fmt: skip
    wheel = wheel_of(
        module,
        **{
            "made/lib/libouter.so.1": bare.read_bytes(),
            "made/lib/libinner.so.1": inner.read_bytes(),
        },
    )
    done = repaired(wheel.write(tmp_path), tmp_path / "out")
    (graft,) = done.grafts
    assert "liboutside-" in graft.member
    assert done.edited == (f"made/{EXT}",)
    assert value_of(installed(done.path, tmp_path / "in")) == "42"


def test_python_itself_is_no_graft(workshop: Workshop, tmp_path: Path) -> None:
    """A module that is linked to libpython loses that: whoever loads it is a Python."""
    name = f"libpython3.{sys.version_info.minor}.so.1.0"
    module = workshop.module("42", [], needed=[name])
    done = repaired(wheel_of(module).write(tmp_path), tmp_path / "out")
    assert not done.grafts
    assert [name in warning for warning in done.warnings] == [True]
    site = installed(done.path, tmp_path / "in")
    facts = read_elf(site / "made" / EXT)
    assert facts is not None
    assert name not in facts.needed
    assert value_of(site) == "42"


def test_other_tags_are_for_whoever_asks(workshop: Workshop, tmp_path: Path) -> None:
    """The policy's own name; its aliases; the oldest that is kept, too."""
    path = wheel_of(workshop.module("42", [])).write(tmp_path)
    cases: tuple[tuple[dict[str, str], list[str]], ...] = (
        ({}, ["manylinux_2_5"]),
        ({"policy": "manylinux_2_28"}, ["manylinux_2_28"]),
        ({"policy": "manylinux2014"}, ["manylinux2014"]),
        ({"policy": "manylinux_2_17_x86_64", "also_tags": "aliases"},
         ["manylinux2014", "manylinux_2_17"]),
        ({"policy": "manylinux_2_28", "also_tags": "kept"},
         ["manylinux1", "manylinux_2_28", "manylinux_2_5"]),
        ({"policy": "manylinux_2_29"}, ["manylinux_2_29"]),
    )  # fmt: skip
    for options, wanted in cases:
        done = repaired(path, tmp_path / "out", libs=(), **options)
        assert list(done.platforms) == [f"{name}_x86_64" for name in wanted]
        wheel = members(done.path)["made-1.0.dist-info/WHEEL"].decode()
        assert wheel.count("Tag: ") == len(wanted)
    for policy in ("musllinux_1_2", "manylinux_2_28_aarch64", "nonsense", "manylinux_2_3"):
        with pytest.raises(nm.BadOption):
            repaired(path, tmp_path / "out", policy=policy)


def test_commands_find_their_grafts(workshop: Workshop, tmp_path: Path) -> None:
    """A program among the scripts starts its twin in site-packages; one without needs stays.

    Interpreters are those of any system, and so are first lines.
    """
    one = workshop.library("answer", "answer", "42")
    source = "#include <stdio.h>\n#include <string.h>\nextern int answer(void);\n"
    source += (
        'int main(int n, char **words) { printf("%d %s\\n", answer(), words[n - 1]); return 0; }'
    )
    linker = workshop.root / "ld.so"
    linker.parent.mkdir(exist_ok=True)
    tool = workshop.files.program(
        "tool", source=source, needs=[one], runpath=str(one.parent), interpreter=str(linker)
    )
    alone = workshop.files.program(
        "alone", source='#include <stdio.h>\nint main(void) { puts("alone"); return 0; }',
        interpreter=str(linker),
    )  # fmt: skip
    scripts = "made-1.0.data/scripts"
    wheel = wheel_of(
        workshop.module("answer()", [one]),
        **{
            f"{scripts}/tool": tool.read_bytes(),
            f"{scripts}/alone": alone.read_bytes(),
            f"{scripts}/run": f"#!{STORE}-python3-3.12/bin/python3.12\nprint('run')\n".encode(),
            "made/helper.sh": f"#!{STORE}-bash-5.2/bin/sh\necho helper\n".encode(),
        },
    )
    wheel.modes = {f"{scripts}/{name}": 0o100755 for name in ("tool", "alone", "run")}
    done = repaired(wheel.write(tmp_path), tmp_path / "out")
    found = members(done.path)
    assert found[f"{scripts}/run"].startswith(b"#!python\n")
    assert found["made/helper.sh"].startswith(b"#!/bin/sh\n")
    assert found[f"{scripts}/tool"].startswith(b"#!python\n")
    assert found[f"{scripts}/alone"].startswith(b"\x7fELF")
    with zipfile.ZipFile(done.path) as archive:
        assert archive.getinfo("made.scripts/tool").external_attr >> 16 & 0o111
    home = tmp_path / "in"
    site = installed(done.path, home)
    for name in (home / "bin/alone", site / "made.scripts/tool"):
        facts = read_elf(name)
        assert facts is not None
        assert facts.kind is ElfKind.PROGRAM
        assert facts.interpreter == "/lib64/ld-linux-x86-64.so.2"
    # The prefix is no environment: its Python doesn't know its site-packages by itself.
    for command, said in (("tool", "42 word\n"), ("alone", "alone\n"), ("run", "run\n")):
        box = system_sandbox(str(home), os.path.dirname(os.path.dirname(sys.executable)))
        ran = box.run([str(home / "bin" / command), "word"], environment={"PYTHONPATH": str(site)})
        assert ran.stdout == said, ran.stderr


def test_libraries_that_are_loaded_later(workshop: Workshop, tmp_path: Path) -> None:
    """They are named; --graft takes one along under the name that dlopen is called with."""
    late = workshop.library("late", "late", "7")
    source = (
        "extern void *dlopen(const char *, int);\n"
        'static const char *const name = "liblate.so.1";\n'
        "int opened(void) { return dlopen(name, 2) != 0; }\n"
    )
    opener = workshop.files.library(
        "libopened.so.1", source=source, soname="libopened.so.1", libc=True
    )
    place = workshop.folder("opened") / "libopened.so.1"
    shutil.copy(opener, place)
    module = workshop.module("opened()", [place], runpath="$ORIGIN")
    wheel = wheel_of(module, **{"made/libopened.so.1": opener.read_bytes()})
    path = wheel.write(tmp_path)
    done = repaired(path, tmp_path / "out")
    assert ("liblate.so.1", ("made/libopened.so.1",)) in done.loads
    assert value_of(installed(done.path, tmp_path / "without")) == "0"
    done = repaired(path, tmp_path / "out", libs=(late.parent,), graft=("liblate.so.1",))
    assert [graft.member for graft in done.grafts] == ["made.libs/liblate.so.1"]
    assert not any(name == "liblate.so.1" for name, _ in done.loads)
    assert value_of(installed(done.path, tmp_path / "with")) == "1"
    with pytest.raises(nm.BadOption, match="is to come along"):
        repaired(path, tmp_path / "out", graft=("liblate.so.1",))
    (late.parent / "liblate.so").symlink_to(late.name)
    with pytest.raises(nm.BadOption, match=r"is the library of --graft liblate\.so\.1"):
        repaired(path, tmp_path / "out", libs=(late.parent,), graft=("liblate.so.1", "liblate.so"))


def test_libraries_that_python_opens(workshop: Workshop, tmp_path: Path) -> None:
    """No search path leads Python to a graft: that is said, and a pure wheel takes none."""
    late = workshop.library("late", "late", "7")
    opener = {"made/opener.py": b"import ctypes\nctypes.CDLL('liblate.so.1')\n"}
    path = wheel_of(workshop.module("0", []), **opener).write(tmp_path)
    done = repaired(path, tmp_path / "out")
    assert done.loads == (("liblate.so.1", ("made/opener.py",)),)
    assert done.by_python == frozenset({"liblate.so.1"})
    told = loads_text(done, everything=False)
    assert told[0].startswith("may be opened from Python, which looks on the system")
    done = repaired(path, tmp_path / "out", libs=(late.parent,), graft=("liblate.so.1",))
    assert any("made.libs/liblate.so.1 comes along, and no file" in each for each in done.warnings)
    path = MadeWheel(name="pure", files=opener).write(tmp_path)
    with pytest.raises(nm.BadOption, match="no native code, and Python looks for no library"):
        repaired(path, tmp_path / "out", libs=(late.parent,), graft=("liblate.so.1",))


def test_a_graft_that_is_opened_by_a_name_put_together(workshop: Workshop, tmp_path: Path) -> None:
    """Qt's plugin for TLS has OpenSSL opened by QtCore, and no file holds the whole name."""
    late = workshop.library("ssl", "ssl", "7", file="libssl.so.3")
    core, plugin = "libQt6Core.so.6", "libqopensslbackend.so"
    files = {f"made/{n}": workshop.files.library(n, soname=n).read_bytes() for n in (core, plugin)}
    path = wheel_of(workshop.module("0", []), **files).write(tmp_path)
    done = repaired(path, tmp_path / "out", libs=(late.parent,), graft=("libssl.so.3",))
    assert not any("libssl" in each for each in done.warnings)
    site = installed(done.path, tmp_path / "with")
    facts = read_elf(str(site / "made" / core))
    assert facts is not None
    assert facts.search_path == ("$ORIGIN/../made.libs",)


def test_equal_libraries_that_lead_to_others(tmp_path: Path) -> None:
    """Of two packages of one library, each with its own version of another, each user keeps his."""
    files = ElfBuilder(tmp_path / "elf")
    modules = {}
    for number in ("1", "2"):
        folder = tmp_path / number
        folder.mkdir()
        inner = files.library(
            "libinner.so.1",
            source=f"int inner(void) {{ return {number}; }}",
            soname="libinner.so.1",
        )
        shutil.copy(inner, folder)
        outer = files.library(
            "libouter.so.1", source="int inner(void);\nint outer(void) { return inner(); }",
            soname="libouter.so.1", needs=[folder / inner.name], runpath="$ORIGIN",
        )  # fmt: skip
        shutil.copy(outer, folder)
        modules[f"made/user{number}.so"] = files.library(
            f"user{number}.so", source="int outer(void);\nint user(void) { return outer(); }",
            needs=[folder / outer.name], runpath=str(folder),
        ).read_bytes()  # fmt: skip
    made = MadeWheel(tag="py3-none-linux_x86_64", files={"made/__init__.py": b"", **modules})
    done = repaired(made.write(tmp_path), tmp_path / "out")
    assert len(done.grafts) == 4
    with zipfile.ZipFile(done.path) as archive:
        archive.extractall(tmp_path / "site")
    for number in ("1", "2"):
        code = f"import ctypes; print(ctypes.CDLL({f'made/user{number}.so'!r}).user())"
        ran = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path / "site", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.stdout == f"{number}\n", ran.stderr


def test_grafts_go_to_a_folder(workshop: Workshop, tmp_path: Path) -> None:
    """A file of the wheel is none; a library of an odd name gets one that a wheel can have."""
    late = workshop.library("named", "named", "8")
    odd = tmp_path / os.fsdecode(b"lib\xff")
    odd.mkdir()
    shutil.copy(late, odd / os.fsdecode(b"lib\xff.so.1"))
    (odd / late.name).symlink_to(os.fsdecode(b"lib\xff.so.1"))
    path = wheel_of(workshop.module("named()", [late], runpath="")).write(tmp_path)
    done = repaired(path, tmp_path / "out", libs=(odd,))
    assert value_of(installed(done.path, tmp_path / "site")) == "8"
    with pytest.raises(nm.BadOption, match="is a file of the wheel"):
        repaired(path, tmp_path / "out", libs=(odd,), lib_dir="made/__init__.py/x")


def test_repaired_then_patched(chain: bytes, tmp_path: Path) -> None:
    """What goes out of Nix comes back in: patch links a repaired wheel to the store again."""
    done = repaired(wheel_of(chain).write(tmp_path), tmp_path / "out")
    words = ["patch", done.path, "-q", "-o", str(tmp_path / "patched"), "--python", sys.executable]
    assert main(words) == 0
    (patched,) = (tmp_path / "patched").iterdir()
    assert value_of(installed(str(patched), tmp_path / "in")) == "42"


def test_other_machines(workshop: Workshop, tmp_path: Path) -> None:
    """A wheel for aarch64 is repaired on any machine, and its tag is its own."""
    build = workshop.files.library
    target = "aarch64-linux-gnu"
    one = build("libfar.so.1", target=target, soname="libfar.so.1")
    far = workshop.folder("far")
    shutil.copy(one, far / "libfar.so.1")
    # A namesake for this machine comes first, and is passed by.
    near = workshop.folder("near")
    shutil.copy(build("libfar.so.1", soname="libfar.so.1"), near / "libfar.so.1")
    module = build("ext.so", target=target, needs=[one], source="int x(void) { return 1; }\n")
    made = MadeWheel(tag="cp311-cp311-linux_aarch64", files={"made/ext.so": module.read_bytes()})
    done = repaired(made.write(tmp_path), tmp_path / "out", libs=(near, far))
    assert done.platforms == ("manylinux_2_17_aarch64",)
    (graft,) = done.grafts
    assert graft.source == str(far / "libfar.so.1")


def test_a_dry_run_writes_nothing(chain: bytes, tmp_path: Path) -> None:
    """The report is that of the real run, but for the hash."""
    path = wheel_of(chain).write(tmp_path)
    report = tmp_path / "report.json"
    words = ["repair", path, "-o", str(tmp_path / "out"), "--json", str(report)]
    assert main([*words, "--dry-run"]) == 0
    assert not (tmp_path / "out").exists()
    dry = valid(report)
    assert main(words) == 0
    real = valid(report)
    assert dry["wheel"].pop("sha256") is None
    assert len(real["wheel"].pop("sha256")) == 64
    assert dry == real


def test_a_broken_library_is_an_error_of_its_own(workshop: Workshop, tmp_path: Path) -> None:
    """What is called like a library and is none: it is told, and no traceback."""
    one = workshop.library("broken", "broken", "1")
    module = workshop.module("broken()", [one])
    one.unlink()
    one.write_bytes(b"\x7fELF" + bytes(99))
    path = wheel_of(module).write(tmp_path)
    with pytest.raises(nm.NotPortable, match="libbroken"):
        repaired(path, tmp_path / "out")
    one.write_bytes(tiny_library("libbroken.so.1", "libgone.so.1"))
    with pytest.raises(nm.NotPortable, match="libgone"):
        repaired(path, tmp_path / "out")


def test_a_bill_of_materials(chain: bytes, tmp_path: Path) -> None:
    """CycloneDX by its own rules; what is known of packages, their licences too; twice is once."""
    path = wheel_of(chain).write(tmp_path)
    one = next(graft for graft in repaired(path, tmp_path / "out").grafts if "one" in graft.soname)
    packages = tmp_path / "packages.json"
    row = {
        "paths": [os.path.dirname(one.source)], "name": "lib-one", "version": "3",
        "licenses": ["MIT"], "source": "https://example.org/one.tar.gz",
    }  # fmt: skip
    packages.write_text(json.dumps([row]))
    report = tmp_path / "report.json"
    words = ["repair", path, "-o", str(tmp_path / "out"), "--sbom", "cyclonedx"]
    words += ["--packages", str(packages), "--json", str(report)]
    assert main(words) == 0
    told = valid(report)
    assert [graft["package"] for graft in told["grafts"]] == ["lib-one 3 (MIT)", "two"]
    name = "made-1.0.dist-info/sboms/nix-manylinux.cdx.json"
    first = members(told["wheel"]["path"])
    document = json.loads(first[name])
    assert document["specVersion"] == "1.6"
    assert document["metadata"]["component"]["purl"].startswith("pkg:pypi/made@1.0?file_name=made-")
    known, unknown = document["components"]
    assert known["version"] == "3"
    assert known["licenses"] == [{"license": {"id": "MIT"}}]
    assert known["externalReferences"][0]["url"] == row["source"]
    assert unknown["name"] == "two"
    for component, graft in zip(document["components"], told["grafts"], strict=True):
        assert component["hashes"] == [{"alg": "SHA-256", "content": graft["sha256"]}]
        assert hashlib.sha256(first[component["bom-ref"]]).hexdigest() == graft["sha256"]
    refs = {each["ref"]: each["dependsOn"] for each in document["dependencies"]}
    assert refs[document["metadata"]["component"]["bom-ref"]] == [known["bom-ref"]]
    assert refs[known["bom-ref"]] == [unknown["bom-ref"]]
    assert os.fsencode(tmp_path) not in first[name]
    again = repaired(told["wheel"]["path"], tmp_path / "again", sbom="cyclonedx")
    assert Path(again.path).read_bytes() == Path(told["wheel"]["path"]).read_bytes()
    late = ElfBuilder(tmp_path).library("liblate.so.1", soname="liblate.so.1")
    more = repaired(
        again.path, tmp_path / "more", libs=(late.parent,), graft=(late.name,), sbom="cyclonedx"
    )
    both = members(more.path)
    assert both[name] == first[name]
    second = json.loads(both[name.replace(".cdx", "-2.cdx")])
    assert [each["bom-ref"] for each in second["components"]] == ["made.libs/liblate.so.1"]


def test_a_document_of_ones_own(workshop: Workshop, tmp_path: Path) -> None:
    """A file is put in as it is; one that is not there, and packages that are none, are refused."""
    path = wheel_of(workshop.module("42", [])).write(tmp_path)
    own = tmp_path / "own.spdx.json"
    own.write_bytes(b"{}")
    done = repaired(path, tmp_path / "out", sbom=str(own))
    assert members(done.path)["made-1.0.dist-info/sboms/own.spdx.json"] == b"{}"
    with pytest.raises(nm.BadOption, match="can't be read"):
        repaired(path, tmp_path / "out", sbom=str(tmp_path / "nothing"))
    odd = tmp_path / os.fsdecode(b"odd\xff.json")
    odd.write_bytes(b"{}")
    with pytest.raises(nm.BadOption, match="a name that is not UTF-8"):
        repaired(path, tmp_path / "out", sbom=str(odd))
    words = ["repair", path, "-o", str(tmp_path / "out"), "--packages"]
    for text in ("nonsense", "{}", "[1]", '[{"name": "x"}]', '[{"name": "x", "paths": "y"}]'):
        own.write_text(text)
        assert main([*words, str(own)]) == 2
    assert main([*words, str(tmp_path / "nothing")]) == 2


def test_a_program_that_needs_nothing_has_a_platform(workshop: Workshop, tmp_path: Path) -> None:
    """A static one, as Go and Rust make them, is for one machine, and for any system of it."""
    program = workshop.files.program("alone", flags=["-static"]).read_bytes()
    made = MadeWheel(tag="py3-none-any", files={"made-1.0.data/scripts/alone": program})
    made.wheel = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    done = repaired(made.write(tmp_path), tmp_path / "out")
    assert done.platforms == (PLATFORM,)
    assert not done.edited
    wheel = members(done.path)["made-1.0.dist-info/WHEEL"].decode()
    assert "Root-Is-Purelib: false" in wheel


def test_weak_symbols_are_nobodys_fault(workshop: Workshop, tmp_path: Path) -> None:
    """C++ files may want __cxa_thread_atexit_impl of a newer libc, and do without."""
    source = (
        "extern int __cxa_thread_atexit_impl(void) __attribute__((weak));\n"
        "int x(void) { return __cxa_thread_atexit_impl ? __cxa_thread_atexit_impl() : 0; }\n"
    )
    libc = workshop.files.library("libc.so.6", soname="libc.so.6", source="")
    weak = workshop.files.library("weak.so", source=source, needs=[libc])
    done = repaired(wheel_of(weak.read_bytes()).write(tmp_path), tmp_path / "out")
    assert done.platforms == (PLATFORM,)
    strong = workshop.files.library(
        "strong.so", source=source.replace(" __attribute__((weak))", ""), needs=[libc]
    )
    done = repaired(wheel_of(strong.read_bytes()).write(tmp_path), tmp_path / "out")
    assert done.platforms == ("manylinux_2_24_x86_64",)


@pytest.mark.parametrize("epoch", ["0", "315532801", "650203201"])
def test_dates_can_be_set(
    chain: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: str
) -> None:
    """SOURCE_DATE_EPOCH dates every member, as far as the archive's format has such dates."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    path = wheel_of(chain).write(tmp_path)
    assert main(["repair", path, "-o", str(tmp_path / "out"), "-q"]) == 0
    (made,) = (tmp_path / "out").iterdir()
    wanted = time.gmtime(max(int(epoch), 315532800) & ~1)[:6]
    with zipfile.ZipFile(made) as archive:
        assert {info.date_time for info in archive.infolist()} == {tuple(wanted)}


def test_libraries_of_the_wheel_that_nothing_led_to(workshop: Workshop, tmp_path: Path) -> None:
    """A module is led to the wheel's own library, and that to what it needs; nothing comes along.

    As torch's programs, which find their libraries only where they were built.
    """
    inner = workshop.library("deep", "deep", "41")
    outer = workshop.library("shallow", "shallow", "deep() + 1", needs=[inner])
    bare = workshop.files.library(
        "libshallow.so.1", soname="libshallow.so.1", needs=[inner],
        source="extern int deep(void);\nint shallow(void) { return deep() + 1; }\n",
    )  # fmt: skip
    module = workshop.module("shallow()", [outer], runpath="/nowhere")
    wheel = wheel_of(
        module,
        **{
            "made/lib/libshallow.so.1": bare.read_bytes(),
            "made/more/lib/libdeep.so.1": inner.read_bytes(),
            "made/far/away/libdeep.so.1": b"no library",
        },
    )
    # A library of the system is not asked for what the wheel has.
    done = repaired(wheel.write(tmp_path), tmp_path / "out", libs=(inner.parent,))
    assert not done.grafts
    site = installed(done.path, tmp_path / "in")
    facts = read_elf(site / "made" / EXT)
    assert facts is not None
    assert facts.rpath == "$ORIGIN/lib"
    assert value_of(site) == "42"
    again = repaired(done.path, tmp_path / "again")
    assert Path(again.path).read_bytes() == Path(done.path).read_bytes()


@pytest.mark.parametrize("needed", ["build/libslash.so.1", "/gone/build/libslash.so.1"])
def test_a_name_with_a_slash(needed: str, workshop: Workshop, tmp_path: Path) -> None:
    """A linker's, for what has no DT_SONAME: by its last part it is in the wheel, or in --libs.

    So is what a file wants that looks in no default directory (-z nodefaultlib).
    """
    library = workshop.library("slash", "slash", "41", flags=["-Wl,-z,nodefaultlib"])
    module = workshop.module("slash() + 1", [library], runpath="", flags=["-Wl,-z,nodefaultlib"])
    (tmp_path / "ext.so").write_bytes(module)
    renamed = ElfEdit(replace_needed=(("libslash.so.1", needed),))
    edit_file(str(tmp_path / "ext.so"), renamed)
    for number, named in enumerate([module, (tmp_path / "ext.so").read_bytes()]):
        path = wheel_of(named).write(tmp_path)
        done = repaired(path, tmp_path / f"out{number}", libs=(library.parent,))
        assert [each.soname for each in done.grafts] == ["libslash.so.1"]
        assert value_of(installed(done.path, tmp_path / f"in{number}")) == "42"
    inside = wheel_of(named, **{"made/lib/libslash.so.1": library.read_bytes()}).write(tmp_path)
    done = repaired(inside, tmp_path / "inside", libs=(library.parent,))
    assert not done.grafts
    assert value_of(installed(done.path, tmp_path / "in")) == "42"


def test_a_program_that_embeds_python_brings_it_along(workshop: Workshop, tmp_path: Path) -> None:
    """Nobody loads it: what it needs is a need like any other; the module beside it has none."""
    name = "libpython3.99.so.1.0"
    place = workshop.folder("python")
    python_library = workshop.files.library(
        name, soname=name, source="int python(void) { return 42; }\n"
    )
    shutil.copy(python_library, place / name)
    source = "extern int python(void);\nint main(void) { return python() - 42; }\n"
    program = workshop.files.program(
        "embeds", source=source, needs=[place / name], runpath=str(place)
    )
    made = wheel_of(
        workshop.module("42", [], needed=[name]), **{"made/embeds": program.read_bytes()}
    )
    made.modes = {"made/embeds": 0o100755}
    done = repaired(made.write(tmp_path), tmp_path / "out")
    (graft,) = done.grafts
    assert graft.wanted_by == ("made/embeds",)
    site = installed(done.path, tmp_path / "in")
    ran = system_sandbox(str(site)).run([str(site / "made/embeds")])
    assert (ran.returncode, ran.stderr) == (0, "")
    assert value_of(site) == "42"


def test_what_is_excluded_may_be_in_the_wheel(workshop: Workshop, tmp_path: Path) -> None:
    """A library that the wheel has is taken from there, whatever --exclude says; it is told."""
    inner = workshop.library("within", "within", "42")
    module = workshop.module("within()", [inner], runpath="$ORIGIN")
    wheel = wheel_of(module, **{"made/libwithin.so.1": inner.read_bytes()})
    done = repaired(wheel.write(tmp_path), tmp_path / "out", exclude=("libwithin.so",))
    assert done.left == ()
    assert done.warnings == ("nothing needs what --exclude libwithin.so names",)
    assert value_of(installed(done.path, tmp_path / "in")) == "42"

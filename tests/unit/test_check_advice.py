"""What `check` says of a tree that does not load: what a patch mends, and what it needs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import textwrap
import zipfile
from json import loads
from typing import TYPE_CHECKING

from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.cli.main import main
from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.target.target import from_running

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def put(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files, and give their folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_what_is_there_is_not_called_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As pip leaves it: the wheel's own library is there, and a patch leads to it."""
    files = {
        "pkg.libs/libinner-0a1b2c3d.so.1": tiny_library("libinner-0a1b2c3d.so.1", "libmimerapi.so"),
        "pkg.libs/libouter-0a1b2c3d.so.1": tiny_library(
            "libouter-0a1b2c3d.so.1", "libinner-0a1b2c3d.so.1"
        ),
    }
    tree, report = str(put(tmp_path / "tree", files)), tmp_path / "report"
    assert main(["check", tree, "--json", str(report)]) == 1
    missing = {each["name"]: each["reason"] for each in loads(report.read_text())["missing"]}
    assert missing == {
        "libmimerapi.so": None,
        "libinner-0a1b2c3d.so.1": "in pkg.libs, where nothing leads yet",
    }
    told = capsys.readouterr().err
    assert told == (
        "error: 1 library missing, wanted by pkg.libs/libinner-0a1b2c3d.so.1:\n"
        "  libmimerapi.so: nowhere in nixpkgs\n"
        "a patch will mend:\n"
        "  libinner-0a1b2c3d.so.1: in pkg.libs, where nothing leads yet\n"
        "      wanted by pkg.libs/libouter-0a1b2c3d.so.1\n"
        "\n"
        "to do without libmimerapi.so and what wants it, patch it with:\n"
        f"nix-manylinux patch {tree} \\\n"
        "  --ignore-missing pkg.libs/libinner-0a1b2c3d.so.1:libmimerapi.so\n"
        "# Ignore only what you will not use. Where another wheel brings the library, add that "
        "wheel\n"
        "# (--python-libs SITE_PACKAGES), or where that one needs this one, name the library in\n"
        "# --provided-later SONAME.\n"
        "# To link all the rest and leave these: --missing warn\n"
    )
    # What is to be pasted is taken without a word, and then all is well.
    command = told.partition("patch it with:\n")[2].partition("\n#")[0].replace("\\\n", "")
    words = shlex.split(command)[1:]
    assert main(words) == 0
    assert "can be dropped" not in capsys.readouterr().err
    assert main(["check", tree, *words[2:]]) == 0


def test_what_is_damaged_is_not_ignored(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A file that the loader refuses is installed anew; what leads to it is no missing library."""
    name = "libin-0a1b2c3d.so.1"
    damaged = bytearray(tiny_library(name))
    damaged[12] = 7  # glibc wants the padding of e_ident to be zero
    needs = (f"$ORIGIN/../pkg.libs/{name}", "libz.so.1")
    files = {"pkg/ext.so": tiny_library("ext.so", *needs), f"pkg.libs/{name}": bytes(damaged)}
    tree = str(put(tmp_path / "tree", files))
    for verb in ("check", "patch"):
        assert main([verb, tree]) == 1
        told = capsys.readouterr().err
        assert (
            f"install {name} anew, and don't strip it: strip damages files of wheels; then patch it"
            " with:"
        ) in told.replace("\n", " ")
        assert "ignore" not in told.lower()
        assert "nowhere in nixpkgs" not in told
        assert "zlib" in told
    wheel = MadeWheel(files={"pkg/ext.so": bytes(damaged)}).write(tmp_path)
    assert main(["check", str(wheel)]) == 1
    assert (
        "ext.so is broken in the wheel itself: take another release of it, or leave it out"
        " (--exclude); to link all the rest, patch it with:"
    ) in capsys.readouterr().err.replace("\n", " ")


def test_what_is_gone_is_not_ignored(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A library that RECORD has, or a file that is cut short, comes with the wheel: install it."""
    files = {
        "pkg/ext.so": tiny_library("ext.so", "libown.so.7", "libz.so.1"),
        "pkg-1.dist-info/METADATA": b"Name: pkg\nVersion: 1\n",
        "pkg-1.dist-info/RECORD": b"pkg/ext.so,,\npkg.libs/libown.so.7,sha256=x,9\nodd\n",
        "cut/short.so": tiny_library("short.so")[:200],
    }
    tree = str(put(tmp_path / "tree", files))
    for verb in ("check", "patch"):
        assert main([verb, tree]) == 1
        told = capsys.readouterr().err.replace("\n", " ")
        assert "install pkg anew, of which libown.so.7 is gone; then " in told
        assert ("then install short.so anew" in told) == (verb == "check")  # a patch leaves it
        assert "ignore" not in told.lower()
        assert "zlib" in told
        assert "too old" not in told
    put(tmp_path / "tree", {"pkg.libs/libown.so.7": tiny_library("libown.so.7")})
    main(["check", tree])
    assert "of which" not in capsys.readouterr().err
    alone = str(put(tmp_path / "alone", {"cut/short.so": files["cut/short.so"]}))
    assert main(["check", alone]) == 1
    told = capsys.readouterr().err
    assert "install short.so anew" in told
    assert "is it the place?" not in told


def test_only_a_patch_is_wanted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Where nothing is missing at all, the error says so, and the command has no options."""
    files = {
        "a/libone.so": tiny_library("libone.so", "libtwo.so"),
        "b/libtwo.so": tiny_library("libtwo.so"),
    }
    tree = str(put(tmp_path / "tree", files))
    assert main(["check", tree]) == 1
    assert capsys.readouterr().err == (
        "error: nothing is missing, but not all is linked yet; a patch will mend:\n"
        "  libtwo.so: in b, where nothing leads yet\n"
        "      wanted by a/libone.so\n"
        "\n"
        "patch it with:\n"
        f"nix-manylinux patch {tree}\n"
    )


def test_files_of_a_store_are_not_patched(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link into a Nix store stays what it is: what its file lacks, no option of patch adds."""
    store = put(tmp_path / "store/package/lib", {"libs.so": tiny_library("libs.so", "libz.so.1")})
    tree = put(tmp_path / "tree", {"here.so": tiny_library("here.so")})
    (tree / "linked.so").symlink_to(store / "libs.so")
    (tree / "folder").symlink_to(store)
    (tmp_path / "links").mkdir()
    (tmp_path / "links/folder").symlink_to(store)
    monkeypatch.setenv("NIX_STORE", str(tmp_path / "store"))
    assert main(["check", str(tree)]) == 1
    told = capsys.readouterr().err
    assert "nix-build" not in told
    assert "patch it with" not in told
    said = " ".join(told.replace("\n# ", " ").split())
    assert (
        f"{tmp_path}/store/package is not linked: none of its ELF files (1) leads into a Nix"
        " store. Build it with manylinuxFixupHook, which a manylinux format brings, and without"
        " dontFixup and dontManylinuxFixup: buildInputs = [ zlib ];"
    ) in said
    assert "exclude" not in told.lower()  # all of it would be
    # Of a package that is linked, files may be left out, last of all.
    put(store, {"led.so": tiny_library("led.so", runpath=str(store))})
    assert main(["check", str(tree)]) == 1
    told = capsys.readouterr().err
    said = told.replace("\n# ", " ")
    assert f"{tmp_path}/store/package lacks what folder/libs.so wants: it was linked" in said
    assert "#   buildInputs = [ zlib ];\n# Or, of files that you will not use:\n" in told
    (options,) = [line for line in told.splitlines() if "--exclude" in line]
    exclude = shlex.split("--exclude " + options.partition("--exclude ")[2])
    assert main(["check", str(tree), *exclude]) == 0
    # Who looks follows links; who writes says that it doesn't.
    assert main(["inspect", str(tmp_path / "links")]) == 0
    assert "1 library missing, wanted by folder/libs.so" in capsys.readouterr().out
    assert main(["patch", str(tmp_path / "links")]) == 0
    err = capsys.readouterr().err
    assert "1 link into a Nix store or another tree stays what it is: folder" in err
    assert "is it the place?" not in err
    # What else lacks it is patched as ever.
    put(tree, {"own.so": tiny_library("own.so", "libz.so.1")})
    assert main(["check", str(tree)]) == 1
    assert "patch it with" in capsys.readouterr().err


def test_an_output_without_files_of_ours_is_no_mistake(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person is asked whether it is the place; a build's own output is."""
    assert main(["patch", str(put(tmp_path / "out", {"a.txt": b"a"}))]) == 0
    assert "no ELF file and no package; is it the place?" in capsys.readouterr().err
    monkeypatch.setenv("NIX_BUILD_TOP", str(tmp_path))
    monkeypatch.delenv("IN_NIX_SHELL", raising=False)
    assert main(["patch", str(tmp_path / "out")]) == 0
    err = capsys.readouterr().err
    assert "no ELF file and no package; nothing is to be linked" in err


def linked_tree(tmp_path: Path) -> Path:
    """Make a virtual environment of which one file is linked into a store, and another is not."""
    files = {"package/lib/libright.so.1": tiny_library("libright.so.1")}
    store = put(tmp_path / "store", files)
    files = {
        "lib/python3.11/site-packages/a/right.abi3.so": tiny_library("right.so", "libright.so.1"),
        "lib/python3.11/site-packages/b/wrong.abi3.so": tiny_library("wrong.so", "libz.so.1"),
        "pyvenv.cfg": b"home = /usr/bin\n",
    }
    tree = put(tmp_path / "tree", files)
    right = tree / "lib/python3.11/site-packages/a/right.abi3.so"
    edit_file(str(right), ElfEdit(search_path=(str(store / "package/lib"),)))
    (tree / "bin").mkdir()
    (tree / "bin/python").symlink_to(sys.executable)
    return tree


def test_what_is_linked_is_not_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text and JSON name what the loader does not find, and no more; so does what to paste."""
    tree = linked_tree(tmp_path)
    for place in (tmp_path / "store", tmp_path / "elsewhere"):
        # What lies in no store a patch would not keep; the loader finds it all the same.
        monkeypatch.setenv("NIX_STORE", str(place))
        report = tmp_path / "report"
        assert main(["check", str(tree), "--json", str(report)]) == 1
        told = capsys.readouterr().err
        assert told.startswith("error: 1 library missing, wanted by b/wrong.abi3.so:\n  libz.so.1:")
        assert [each["name"] for each in loads(report.read_text())["missing"]] == ["libz.so.1"]
        assert ("libright" in told) == (place.name == "elsewhere")  # to be given once more
    monkeypatch.setenv("NIX_STORE", str(tmp_path / "store"))
    assert main(["check", str(tree)]) == 1
    told = capsys.readouterr().err
    simple, _, chosen = told.partition("patch it with:\n")[2].partition(
        "or, with packages of your choice:\n"
    )
    assert simple == f"nix-manylinux patch {tree} --nixpkgs\n"
    assert chosen == (
        f"nix-manylinux patch {tree} \\\n"
        "  $(nix-build '<nixpkgs>' --no-out-link -A zlib.out | sed 's:.*:--libs=&/lib:')\n"
    )
    # A patch that is refused says the same, with what it was given.
    words = ["patch", str(tree), "--driver-lib", "libgl.so", "--exclude", "nothing here"]
    assert main(words) == 1
    told = capsys.readouterr().err
    assert "libright" not in told
    options = "--driver-lib=libgl.so '--exclude=nothing here'"
    assert f"patch it with:\nnix-manylinux patch {tree} {options} --nixpkgs\n" in told
    for command in ("inspect", "graph"):
        assert main([command, str(tree)]) == 0
        out = capsys.readouterr().out
        assert "1 library missing" in out or "2 needs: 1 missing, 1 lib" in out
        assert "stdenv" not in out


def test_a_tree_in_a_store_is_built_anew(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in a Nix store can be patched: what to add is said for the package's expression."""
    monkeypatch.setenv("NIX_STORE", str(tmp_path / "store"))
    put(tmp_path / "store/package", {"lib/a.so": tiny_library("a.so", "libz.so.1")})
    result = tmp_path / "result"
    result.symlink_to(tmp_path / "store/package")
    assert main(["check", str(result)]) == 1
    told = capsys.readouterr().err
    assert "patch it with" not in told
    assert f"{result}: a Nix store is never patched. Build the package anew, with" in (
        " ".join(told.split())
    )
    names = (
        "  # Where the expression has only pkgs: pkgs.manylinuxFixupHook; buildInputs = with pkgs;"
        " [ ... ];\n"
    )
    assert told.endswith(f"  buildInputs = [ zlib ];\n{names}")
    assert main(["patch", str(result), "--missing", "warn"]) == 1
    assert capsys.readouterr().err == (
        f"error: {result}: a Nix store is never changed\n"
        "  build its package anew, with our overlay (./nix-manylinux is a checkout, or a link to"
        " one):\n"
        "    overlays = [ (import ./nix-manylinux/nix/overlay.nix) ];\n"
        "  and with the hook:\n"
        "    nativeBuildInputs = [ manylinuxFixupHook ];\n"
        f"    buildInputs = [ zlib ];\n{textwrap.indent(names, '  ')}"
    )
    # What the format of a wheel brings by its policy is no input beside it.
    made = MadeWheel(files={"b/b.so": tiny_library("b.so", "libz.so.1", "libfribidi.so.0")})
    with zipfile.ZipFile(made.write(tmp_path)) as archive:
        archive.extractall(tmp_path / "store/package/lib/python3.11/site-packages")
    (tmp_path / "store/package/lib/a.so").unlink()
    assert main(["check", str(result)]) == 1
    told = capsys.readouterr().err
    assert (
        '  format = "manylinux2014";\n  buildInputs = [ fribidi ];\nor else with the hook:\n'
        "  nativeBuildInputs = [ manylinuxFixupHook ];\n  buildInputs = [ fribidi zlib ];\n"
    ) in told
    put(tmp_path / "store/package/lib", {"a.so": tiny_library("a.so", runpath=str(result.parent))})
    assert main(["check", str(result)]) == 1
    assert "overlay" in capsys.readouterr().err
    # The next is linked already.
    path = f"{tmp_path}/store/package/lib"
    put(tmp_path / "store/package/lib", {"a.so": tiny_library("a.so", runpath=path)})
    assert main(["check", str(result)]) == 1
    told = capsys.readouterr().err
    assert "anew, with:\n  buildInputs = [ fribidi zlib ];\n" in told.replace("\nwith:", " with:")
    assert "overlay" not in told
    monkeypatch.setenv("NIX_BUILD_TOP", str(tmp_path))
    monkeypatch.delenv("IN_NIX_SHELL", raising=False)
    assert main(["patch", str(result), "--missing", "warn"]) == 0


def test_only_trees_that_lack_something_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a store and elsewhere; a tree that only has what another lacks is patched with it."""
    monkeypatch.setenv("NIX_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    lacks = {"a.so": tiny_library("a.so", "libz.so.1")}
    for place in ("store", "."):
        # Both have a file of one name.
        put(tmp_path / place / "ill", lacks)
        put(tmp_path / place / "well", {"a.so": tiny_library("a.so")})
    put(tmp_path / "user", {"b.so": tiny_library("b.so", "libowner.so")})
    put(tmp_path / "owner", {"libowner.so": tiny_library("libowner.so")})
    assert main(["check", "store/well", "store/ill"]) == 1
    told = capsys.readouterr().err
    assert "\n\nstore/ill: a Nix store is never patched" in told
    assert "store/well" not in told
    assert main(["check", "well", "store/ill"]) == 1
    told = capsys.readouterr().err
    assert "\n\nstore/ill: a Nix store is never patched" in told
    assert "nix-manylinux patch" not in told
    put(tmp_path / "other", {"lib/other.so": tiny_library("other.so", "libxml2.so.2")})
    assert main(["check", "store/ill", "other", "well"]) == 1
    told = capsys.readouterr().err  # each with what it lacks itself
    assert "\nnix-manylinux patch other --nixpkgs\n" in told
    assert "\n\nstore/ill: a Nix store is never patched" in told
    assert "\n  buildInputs = [ zlib ];\n" in told
    assert main(["check", "well", "ill"]) == 1
    assert "\nnix-manylinux patch ill --nixpkgs\n" in capsys.readouterr().err
    assert main(["check", "well", "user", "owner"]) == 1
    assert "\nnix-manylinux patch user owner\n" in capsys.readouterr().err
    wheel = MadeWheel(files={"c/c.so": tiny_library("c.so", "libz.so.1")}).write(tmp_path)
    assert main(["check", "well", wheel, "ill"]) == 1
    told = capsys.readouterr().err
    assert "\nnix-manylinux patch ill --nixpkgs\n" in told
    assert f"\nnix-manylinux patch {wheel} --output-dir patched" in told


def test_what_is_left_missing_is_told_with_who_has_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As a refusal tells it, but no more than a screen, and behind what was done."""
    tree = put(tmp_path / "tree", {"a.so": tiny_library("a.so", "libz.so.1")})
    assert main(["patch", str(tree), "--missing", "warn"]) == 0
    assert capsys.readouterr().err.endswith(
        "warning: 1 library missing, wanted by a.so; left so, as --missing warn allows:\n"
        "  libz.so.1: zlib\n"
    )
    many = [f"libmimerapi{number}.so" for number in range(20)]
    rows = {f"{each}.so": tiny_library(each, each) for each in many}
    for number, name in enumerate(("libz.so.1", "libX11.so.6", "libGL.so.1", *many)):
        put(tree, {f"a{number}.so": tiny_library("a.so", name), **rows})
    assert main(["patch", str(tree), "--missing", "warn"]) == 0
    assert len(capsys.readouterr().err.splitlines()) < 30


def test_what_is_there_in_a_store_is_built_anew(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No patch is promised where none can be: not for what is needed, nor for what is optional."""
    monkeypatch.setenv("NIX_STORE", str(tmp_path / "store"))
    files = {
        "a/one.abi3.so": tiny_library("one.so", "libtwo.so"),
        "b/libtwo.so": tiny_library("libtwo.so"),
        "c/libleaf.so": tiny_library("libleaf.so", "libtwo.so"),
    }
    put(tmp_path / "store/package", files)
    result = tmp_path / "result"
    result.symlink_to(tmp_path / "store/package")
    assert main(["check", str(result), "--missing", "leaves"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(
        "error: nothing is missing, but not all is linked yet; building it anew will mend:\n"
        "  libtwo.so: in b, where nothing leads yet\n"
    )
    assert "patch" not in " ".join(told.split()).replace("is never patched", "")
    (tmp_path / "store/package/a/one.abi3.so").unlink()
    assert main(["check", str(result), "--missing", "leaves"]) == 0
    told = capsys.readouterr().err
    assert "everything that is needed loads; 1 optional file will not load" in told
    assert "patch" not in told


def test_wheels_are_checked_each_as_it_is_patched(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one wheel brings is not missing in it beside another; each is patched by itself."""
    monkeypatch.chdir(tmp_path)
    wheels = [
        MadeWheel(
            name=name,
            files={
                f"{name}/ext.abi3.so": tiny_library("ext.so", f"lib{name}-0a1b2c3d.so.1"),
                f"{name}.libs/lib{name}-0a1b2c3d.so.1": tiny_library(
                    f"lib{name}-0a1b2c3d.so.1", f"libof{name}nothing.so.1"
                ),
            },
        ).write(tmp_path)
        for name in ("one", "two")
    ]
    assert main(["check", *wheels]) == 1
    told = capsys.readouterr().err
    assert "error: 2 libraries missing, wanted by 2 files" in told
    assert "libone-0a1b2c3d.so.1: in one.libs, where nothing leads yet" in told
    assert "libtwo-0a1b2c3d.so.1: in two.libs, where nothing leads yet" in told
    # What was to be ignored in one of them is no unneeded entry for the other.
    assert main(["check", *wheels, "--ignore-missing", "libofonenothing.so.1"]) == 1
    told += capsys.readouterr().err
    commands = told.split("patch it with:\n")[1:]
    assert len(commands) == 4
    for number, part in enumerate(commands):
        command = part.partition("\n#")[0].partition("\n\n")[0].replace("\\\n", "")
        assert main(shlex.split(command)[1:]) == 0, command
        assert number > 1 or "can be dropped" not in capsys.readouterr().err


def test_wheels_that_lack_alike_are_patched_together(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command names all that need nothing but --nixpkgs; each may be a package as well."""
    monkeypatch.chdir(tmp_path)
    needs = {"a": ["libz.so.1"], "b": ["libfribidi.so.0"], "c": ["libnone.so.3"], "d": []}
    for name, libraries in needs.items():
        files = {f"{name}/{name}.abi3.so": tiny_library("x.so", *libraries)}
        MadeWheel(name=name, tag="py3-none-any", files=files).write(tmp_path)
    wheels = [f"{name}-1.0-py3-none-any.whl" for name in needs]
    assert main(["check", *wheels]) == 1
    told = capsys.readouterr().err
    command = f"nix-manylinux patch {wheels[0]} {wheels[1]} --output-dir patched"
    assert f"\n\npatch them with:\n{command} --nixpkgs\nor, with" in told
    assert told.count("patch it with:") == 1  # c has words of its own
    assert told.endswith(
        "\n\nor, each as a package:\n"
        + "".join(f"nix-manylinux expr {wheels[n]}\n" for n in (2, 0, 1))
    )
    assert main(["check", *wheels[:2]]) == 1
    assert capsys.readouterr().err.count("nix-manylinux patch") == 2  # with, and without Nix's help
    assert main(["check", wheels[0]]) == 1
    expr = f"nix-manylinux expr {wheels[0]}"
    assert capsys.readouterr().err.endswith(f":--libs=&/lib:')\nor, as a package:\n{expr}\n")
    for name in "efgh":
        files = {f"{name}/{name}.abi3.so": tiny_library("x.so", "libz.so.1")}
        wheels.append(MadeWheel(name=name, tag="py3-none-any", files=files).write(tmp_path))
    assert main(["check", *wheels[3:]]) == 1
    told = capsys.readouterr().err
    assert told.count("patch them with:") == 1
    assert told.endswith("\n# and so of each of the others\n")


def test_a_missing_file_is_not_who_wants_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Of libraries that want each other, those are named that want them from outside."""
    files = {
        "pkg/ext.abi3.so": tiny_library("ext.so", "libb.so.1"),
        "a.libs/liba.so.1": tiny_library("liba.so.1"),
        "a.libs/libb.so.1": tiny_library("libb.so.1", "liba.so.1"),
    }
    tree = put(tmp_path / "tree", files)
    assert main(["check", str(tree)]) == 1
    assert (
        "  liba.so.1, libb.so.1: in a.libs, where nothing leads yet\n"
        "      wanted by pkg/ext.abi3.so\n"
    ) in capsys.readouterr().err


def test_nothing_to_look_at_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """An empty folder is hardly what was meant; one with packages of Python alone is."""
    for command in ("check", "patch", "inspect", "graph"):
        assert main([command, str(tmp_path)]) == 0
        told = capsys.readouterr().err
        assert "everything loads" not in told
        assert f"warning: {tmp_path} holds no ELF file and no package" in told
    put(tmp_path, {"pure-1.dist-info/METADATA": b"Name: pure\nVersion: 1\n"})
    assert main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().err == "no ELF file: there is nothing to load\n"


def test_optional_files_are_in_the_same_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Not everything loads where plugins need not, and `check` doesn't say so."""
    lacking = "libmimerapi.so"
    files = {f"lib{name}.so": tiny_library(f"lib{name}.so", lacking) for name in ("a", "b")}
    tree = str(put(tmp_path / "tree", {**files, "c.so": tiny_library("c.so")}))
    assert main(["check", tree, "--missing", "leaves"]) == 0
    assert capsys.readouterr().err == (
        "warning: 3 ELF files: everything that is needed loads; 2 optional files will not load"
        " (1 library missing): nothing that can be imported or started needs them (-v names them)\n"
    )


def test_what_lies_in_a_store_is_not_called_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In an environment of links a patch mends nothing, and the library is there all the same."""
    files = {
        "pkg.libs/libinner-0a1b2c3d.so.1": tiny_library("libinner-0a1b2c3d.so.1"),
        "pkg/outer.so": tiny_library("outer.so", "libinner-0a1b2c3d.so.1"),
    }
    store = put(tmp_path / "store/pkg-1", files)
    monkeypatch.setenv("NIX_STORE", str(store.parent))
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("pkg", "pkg.libs"):
        (tree / name).symlink_to(store / name)
    report = tmp_path / "report"
    assert main(["check", str(tree), "--json", str(report)]) == 1
    told = capsys.readouterr().err
    assert "\n  libinner-0a1b2c3d.so.1: in pkg.libs, where nothing leads yet\n\n" in told
    assert f"{store} is not linked: none of" in told.replace("\n# ", " ")
    (missing,) = loads(report.read_text())["missing"]
    assert missing["reason"] == "in pkg.libs, where nothing leads yet"


def test_what_a_policy_leaves_to_the_system(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A portable wheel is not wrong where it was made for; what no policy has is not said so."""
    files = {"made/a.so": tiny_library("a.so", "libz.so.1", "libpng16.so.16")}
    for platform, told in (("manylinux_2_31_x86_64", True), ("linux_x86_64", False)):
        wheel = MadeWheel(files=files, tag=f"py3-none-{platform}").write(tmp_path)
        assert main(["check", wheel]) == 1
        err = " ".join(capsys.readouterr().err.split())
        said = (
            f"made-1.0-py3-none-{platform}.whl: the policy manylinux_2_31 leaves libz.so.1 to the"
            " system: other systems have what a policy names, Nix brings none of it patch it with:"
        )
        assert (said in err) is told
        assert ("the policy" in err) is told
    # The same of several is said once.
    more = [
        MadeWheel(name=name, files=files, tag="py3-none-manylinux_2_31_x86_64") for name in "bc"
    ]
    assert main(["check", *(each.write(tmp_path) for each in more)]) == 1
    err = " ".join(capsys.readouterr().err.split())
    assert err.count("leaves libz.so.1") == 1
    names = [f"{name}-1.0-py3-none-manylinux_2_31_x86_64.whl" for name in "bc"]
    assert f"{names[0]}, {names[1]}: the policy" in err


def test_scripts_that_can_not_start(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `#!` line that leads nowhere, or where only other systems have something, is named."""
    host = os.path.realpath(sys.executable)
    files = {
        "bin/nowhere": b"#!/no/such/bash -e\n",
        "bin/own": f"#! {tmp_path}/tree/bin/python\n".encode(),
        "bin/common": b"#!/usr/bin/env python3\n",
        "bin/plain": b"echo\n",
        "pkg/bin/tool": b"#!/also/not/there\n",
        "pkg/bin/data": b"#!/not/there/either\n",
        "pkg/module.py": b"#!/usr/local/bin/python2\n",
        "bin/other": f"#!{tmp_path}/venv/bin/python\n".encode(),
        "bin/way": f"#!{tmp_path}/way/bin/python\n".encode(),
        "inner/.nix-manylinux-roots/python/bin/cgi.py": b"#!/usr/local/bin/python\n",
        "bin/host": f"#!{host}\n".encode(),
    }
    tree = put(tmp_path / "tree", files)
    for name in ("pkg/bin/tool", "pkg/module.py"):
        (tree / name).chmod(0o755)
    put(tmp_path / "venv", {"pyvenv.cfg": b"", "bin/python": b""})
    (tmp_path / "way").symlink_to(tree)
    (tree / "bin/python").symlink_to(sys.executable)

    def told(*words: str) -> list[str]:
        assert main(["check", str(tree), *words]) == 0
        lines = capsys.readouterr().err.splitlines()
        return sorted(line for line in lines if "it begins with" in line)

    start = "can't be started: it begins with"
    assert told() == [
        f"warning: bin/nowhere {start} #!/no/such/bash, which is not there",
        f"warning: pkg/bin/tool {start} #!/also/not/there, which is not there",
    ]
    assert told("--exclude", "pkg/*", "--exclude", "bin/n*") == []
    linker = os.path.realpath(from_running().dynamic_linker)
    monkeypatch.setenv("NIX_STORE", os.path.dirname(linker))
    to = ("--dynamic-linker", linker)
    line, other = told("--exclude", "pkg/*", "--exclude", "bin/n*", *to)
    python = f"{tmp_path}/venv/bin/python"
    whose = "bin/other is started by another environment's Python"
    assert other == f"warning: {whose}: it begins with #!{python}"
    assert f"bin/host can't be started: it begins with #!{host}, which Nix does" in line
    # As many as one copy of an environment has, in one line.
    for name in ("p", "q", "r"):
        (tree / "bin" / name).write_text(f"#!{python}\n")
    assert main(["check", str(tree), "--exclude", "pkg/*", *to]) == 0
    several = "bin/other, bin/p and 2 more are started by another environment's Python: they begin"
    assert f"warning: {several} with #!{python}\n" in capsys.readouterr().err


def test_a_command_beside_a_package_has_its_shell_looked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kaleido starts its browser by a script of /bin/bash, which NixOS has not."""
    tree = put(
        tmp_path / "tree",
        {
            "c.so": tiny_library("c.so"),
            "kaleido/executable/kaleido": b"#!/bin/bash\nexit 0\n",
            "kaleido/tools/gen.sh": b"#!/bin/bash\n",
            "kaleido/unused": b"#!/bin/bash\n",
        },
    )
    script = tree / "kaleido/executable/kaleido"
    for each in (script, tree / "kaleido/tools/gen.sh"):
        each.chmod(0o755)
    linker = os.path.realpath(from_running().dynamic_linker)
    monkeypatch.setenv("NIX_STORE", os.path.dirname(linker))
    for verb in ("check", "patch"):
        assert main([verb, str(tree), "--dynamic-linker", linker]) == 0
        said = capsys.readouterr().err
        assert (
            "kaleido/executable/kaleido can't be started: it begins with #!/bin/bash, which"
            " Nix does not provide. To have it looked for on PATH:\n"
        ) in said
        command = next(line for line in said.splitlines() if line.startswith("  sed -i"))
    subprocess.run(["bash", "-c", command], check=True)
    assert script.read_text() == "#!/usr/bin/env bash\nexit 0\n"
    assert main(["check", str(tree), "--dynamic-linker", linker]) == 0
    assert "can't be started" not in capsys.readouterr().err


def test_a_warning_is_no_optional_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """All that `check` looked at loads; what it warns of beside that is said to be that."""
    tree = put(tmp_path / "tree", {"c.so": tiny_library("c.so"), "bin/tool": b"#!/no/such/sh\n"})
    assert main(["check", str(tree)]) == 0
    first, second = capsys.readouterr().err.splitlines()
    assert first == "1 ELF file: everything loads, but for what is warned of"
    assert second.startswith("warning: bin/tool can't be started")
    assert main(["check", str(tree), "--exclude", "bin/*"]) == 0
    assert capsys.readouterr().err == "1 ELF file: everything loads\n"

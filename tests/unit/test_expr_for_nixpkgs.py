"""An expression for nixpkgs itself says nothing of this machine, and what a reviewer asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.expressions import every_note, made, written
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.base.errors import BadWheel
from nix_manylinux.base.values import replace
from nix_manylinux.cli.main import main
from nix_manylinux.nix.expression.places import disabled_text
from nix_manylinux.nix.expression.wheel import describe_wheel
from nix_manylinux.nix.expression.write import build_expression
from nix_manylinux.nix.nixpkgs import Nixpkgs
from nix_manylinux.resolve.loads import RuntimeLoad

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def wheel(tmp_path: Path) -> str:
    """Make a wheel that wants a library of a name that Python's set has, and one in an output."""
    files = {
        "demo/__init__.py": b"",
        "demo/fast.so": tiny_library("fast.so", "libzstd.so.1", "libbrotlicommon.so.1"),
    }
    tag = "cp311-cp311-manylinux_2_17_x86_64"
    return str(MadeWheel(name="demo", version="1.0", tag=tag, files=files).write(tmp_path))


def test_text(
    wheel: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No word of <nixpkgs> is in it; libraries are arguments, which python-packages.nix passes on.

    Where it goes, and what the author is still to write, stands beside the file.
    """
    nixpkgs = Nixpkgs(
        python="3.9", system="x86_64-linux", packages=frozenset(), attributes=frozenset()
    )
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: nixpkgs)
    assert main(["expr", "--for-nixpkgs", wheel]) == 0
    said = capsys.readouterr()
    assert (
        "save it as pkgs/development/python-modules/demo/default.nix, and in"
        " pkgs/top-level/python-packages.nix write:\n"
        "  demo = callPackage ../development/python-modules/demo"
        " { inherit (pkgs) brotli zstd; };\n"
    ) in said.err
    assert said.out.startswith("{\n  lib,\n")
    assert "  buildInputs = [\n    brotli\n    zstd\n  ];\n" in said.out
    assert "    maintainers = with lib.maintainers; [ ];\n" in said.out
    assert "pkgs." not in said.out
    assert "#" not in said.out
    assert "license: METADATA names none; meta.license waits for one of lib.licenses" in said.err
    assert "this nixpkgs" not in said.out + said.err


def test_not_with_local(wheel: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What lies beside the expression is no source of nixpkgs'."""
    assert main(["expr", "--for-nixpkgs", "--local", wheel]) == 2
    assert "--for-nixpkgs fetches the wheel: without --local" in capsys.readouterr().err


def test_without_it(
    wheel: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere nobody passes libraries on, or asks for maintainers."""
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: None)
    assert main(["expr", wheel]) == 0
    text = capsys.readouterr().out
    assert "    pkgs.brotli\n    pkgs.zstd\n" in text
    assert "# license: METADATA names none\n" in text
    assert "maintainers" not in text


def test_names_of_one_version(tmp_path: Path) -> None:
    """A soname is of one version, and so is the package, whatever the plain name becomes."""
    needed = ("libavcodec.so.62", "libavcodec.so.61", "libicuuc.so.76", "libicuuc.so")
    text = written(made(tmp_path, *needed)).text
    assert "    ffmpeg_7\n    ffmpeg_8\n    icu\n    icu76\n" in text


def test_extras_are_arguments(tmp_path: Path) -> None:
    """As nixpkgs' files have them; what needs this wheel can be none."""
    headers = (
        "Provides-Extra: more\nProvides-Extra: webengine\nRequires-Dist: gdown; extra == 'more'\n"
        "Requires-Dist: pyside6-webengine; extra == 'webengine'"
    )
    wheel = made(tmp_path, name="pyside6_addons", headers=headers)
    found = written(wheel)
    assert "  optional-dependencies = {\n    more = [ gdown ];\n  };\n" in found.text
    assert "  gdown,\n" in found.text
    left = (
        "The extra webengine is left out of optional-dependencies: pyside6-webengine, which is in"
        " it, needs this package."
    )
    assert left in every_note(found)
    said = "optional-dependencies has gdown: leave out those that nixpkgs doesn't have"
    assert said in every_note(found)
    at_hand = Nixpkgs(
        python="3.13", system="x86_64-linux", packages=frozenset(), attributes=frozenset()
    )
    assert said in every_note(written(wheel, nixpkgs=at_hand))
    notes = every_note(written(wheel, nixpkgs=replace(at_hand, packages=frozenset({"gdown"}))))
    assert [note for note in notes if "optional-dependencies" in note] == [left]
    text = written(wheel, for_nixpkgs=False).text
    assert "# The extra webengine is left out of optional-dependencies" in text
    # Where nobody knows whether it is there, the package works without.
    assert "more = [ python.pkgs.gdown ];" in text


def test_extras_of_the_required(tmp_path: Path) -> None:
    """What is required with extras brings them, in each list; an older nixpkgs may not have one."""
    headers = (
        "Provides-Extra: all\nProvides-Extra: frames\nRequires-Dist: uvicorn[standard]>=0.18.3\n"
        'Requires-Dist: numpy\nRequires-Dist: dask[array]; python_version > "3.11"\n'
        "Requires-Dist: dask[Array,data_frame]>=2; extra == 'frames'\n"
        "Requires-Dist: uvicorn[more,standard]; extra == 'all'\n"
        "Requires-Dist: demo[frames]; extra == 'all'"
    )
    tags = [f"{tag}-manylinux_2_28_x86_64" for tag in ("cp311-cp311", "cp312-cp312")]
    wheels = [made(tmp_path, tag=tag, headers=headers) for tag in tags]
    text = written(*wheels).text
    assert (
        "  dependencies = [\n    numpy\n    uvicorn\n  ]\n"
        "  ++ uvicorn.optional-dependencies.standard\n"
        '  ++ lib.optionals (pythonAtLeast "3.12") [ dask ]\n'
        '  ++ lib.optionals (pythonAtLeast "3.12") dask.optional-dependencies.array;\n'
    ) in text
    frames = "dask.optional-dependencies.array ++ dask.optional-dependencies.data-frame"
    assert f"    frames = [ dask ] ++ {frames};\n" in text
    assert f"    all = [ dask ]\n    ++ {frames.replace(' ++', chr(10) + '    ++')}\n" in text
    assert "    ++ uvicorn.optional-dependencies.more;\n" in text
    text = written(*wheels, for_nixpkgs=False).text
    assert "  ++ uvicorn.optional-dependencies.standard or [ ]\n" in text
    assert "(dask.optional-dependencies.array or [ ])" in text


def test_bundled(tmp_path: Path) -> None:
    """Copies of NVIDIA's libraries are unfree, and of torch's CUDA, whatever hash is in a name."""
    libraries = (
        "libcudart.faf08d9a.so.13",
        "libnvjpeg-1a359ba7.so.13.0.1",
        "libz.so.1",
        "libiomp5.so",
    )
    files = {f"demo.libs/{name}": tiny_library(name) for name in libraries}
    wheel = MadeWheel(files=files, tag="cp311-cp311-manylinux_2_28_x86_64").write(tmp_path)
    described = describe_wheel(wheel)
    found = written(replace(described, headers={"requires-dist": ["torch"]}))
    assert "  # Must be torch's CUDA: the wheel bundles libcudart of CUDA 13.\n" in found.text
    assert (
        "license: bundles libcudart and libnvjpeg; where nixpkgs has the same (cuda_cudart,"
        " libnvjpeg), it is unfree, so that meta.license wants"
        " lib.licenses.unfreeRedistributable, too"
    ) in every_note(found)
    assert "bundles" not in written(described, for_nixpkgs=False).text
    found = written(replace(described, headers={"license": ["Other/Proprietary License"]}))
    assert not any("bundles" in note for note in every_note(found))


def test_what_the_required_may_bring(tmp_path: Path) -> None:
    """Who requires a wheel of a family has the family's libraries, of any version, by wheels."""
    needed = ("liboctomap.so.1.10", "libconsole_bridge.so.9", "libz.so.9", "libtbb.so.12")
    found = written(made(tmp_path, *needed, headers="Requires-Dist: cmeel-boost"))
    assert "  buildInputs = [ onetbb ];\n" in found.text
    assert "liboctomap.so.1.10: in the wheel cmeel-octomap." in every_note(found)
    assert "libconsole_bridge.so.9: in the wheel cmeel-console-bridge." in every_note(found)
    assert "[ cmeel-boost ]" in found.text
    assert "octomap" in written(made(tmp_path, *needed)).text


def test_a_prefix_of_a_family(tmp_path: Path) -> None:
    """Of pin, all wheels of the family are to be taken, and cmeel leads to its modules."""
    module = "cmeel.prefix/lib/python3.11/site-packages/pinocchio/wrap.so"
    headers = "Name: pin\nVersion: 1.0\nRequires-Dist: cmeel\nRequires-Dist: coal<4,>=3\n"
    headers += "Requires-Dist: cmeel-boost==1.90\nRequires-Dist: numpy"
    wheel = MadeWheel(
        name="pin", tag="cp311-cp311-manylinux_2_28_x86_64", metadata=headers.encode(),
        files={module: tiny_library("wrap.so", "libboost_log.so.1.90.0")},
    )  # fmt: skip
    found = written(describe_wheel(wheel.write(tmp_path)))
    (note,) = [
        each for each in every_note(found) if each.startswith("Take these wheels, too, in this")
    ]
    assert note.split("\n")[1].startswith("for each in cmeel cmeel-octomap cmeel-qhull ")
    assert " cmeel-boost==1.90 " in note
    assert " coal; do\n" in note
    assert (
        "  # In this order: cmeel_pth leads to pinocchio, in cmeel.prefix.\n"
        '  pythonImportsCheck = [\n    "cmeel_pth"\n    "pinocchio"\n  ];\n'
    ) in found.text
    # What nixpkgs builds of that name has libraries of its own.
    assert "  dependencies = [\n    cmeel\n    cmeel-boost\n    coal-bin\n    numpy\n" in found.text
    said = (
        "imported as pinocchio, which nixpkgs builds from source. If that has the same homepage,"
        " save this as pkgs/development/python-modules/pinocchio/bin.nix, have other files of yours"
        " take pinocchio-bin in place of pin, and write:\n"
        "pinocchio-bin = callPackage ../development/python-modules/pinocchio/bin.nix { };"
    )
    assert said in every_note(found)


def test_loaded_at_run_time(tmp_path: Path) -> None:
    """What may be loaded by name is offered by a command, the newest of each library."""
    names = ("libXcursor.so.1", "libudev.so.0", "libudev.so.1", "libcuda.so.1")
    found = written(replace(made(tmp_path), loads=loaded(*names)))
    assert "libudev" not in found.text
    # That the driver is found costs no input.
    assert (
        "  # Of the graphics driver, opened by name by demo/fast.so.\n"
        '  manylinuxRuntimeLibs = [ "libcuda.so.1" ];\n'
    ) in found.text
    versions = loaded("libcuda.so", "libcuda.so.1", "libnvcuvid.so.1")
    text = build_expression(
        [replace(made(tmp_path), loads=versions)],
        runtime_libs=["libcuda.so.1", "libz.so.1"],
    ).text  # fmt: skip
    # Who opens what; of a library that was asked for, and that none opens, nobody.
    begin = "  # Of the graphics driver, opened by name by demo/fast.so: "
    assert f"{begin}libcuda.so.1 and libnvcuvid.so.1.\n" in text
    listed = text.partition("manylinuxRuntimeLibs = [")[2].partition("]")[0].split()
    assert listed == ['"libcuda.so.1"', '"libnvcuvid.so.1"', '"libz.so.1"']
    said = (
        "Loaded at run time if it is there, by demo/fast.so; to have it linked, this without what"
    )
    assert (
        f"{said} is not needed of its lines, for X11 and the rest:\n"
        "nix-manylinux expr --for-nixpkgs demo==1.0 --python-version 3.11 --system x86_64-linux"
        " \\\n"
        "  --runtime-libs libXcursor.so.1 \\\n"
        "  --runtime-libs libudev.so.1"
    ) in every_note(found)
    # Who is for many Pythons names none, unless one was asked for.
    many = replace(made(tmp_path, tag="cp39-abi3-manylinux_2_28_x86_64"), loads=loaded("libz.so.1"))
    (note,) = (each for each in every_note(written(many)) if said in each)
    assert "demo==1.0 --system x86_64-linux \\\n" in note
    # What is linked already stays so by the command that links the rest.
    rest = every_note(build_expression(
        [replace(made(tmp_path), loads=loaded("libXcursor.so.1", "libz.so.1"))],
        for_nixpkgs=True, runtime_libs=["libz.so.1"],
    ))  # fmt: skip
    assert any("  --runtime-libs libz.so.1 \\\n  --runtime-libs libXcursor.so.1" in x for x in rest)
    more = ("libpulse.so.0", "libwayland-egl.so.1", "libX11.so.6", "libXi.so.6", "libGL.so.1")
    found = written(replace(made(tmp_path), loads=loaded(*more)))
    (note,) = (each for each in every_note(found) if said in each)
    assert note.splitlines()[0].endswith(
        "for X11, Wayland, OpenGL and sound (one of X11 and Wayland makes a window):"
    )
    assert note.splitlines()[2] == "  --runtime-libs libX11.so.6 --runtime-libs libXi.so.6 \\"


def loaded(*names: str) -> tuple[RuntimeLoad, ...]:
    """Give what a module loads by name."""
    return tuple(RuntimeLoad(name=n, sources=(("demo/fast.so", "string"),)) for n in names)


@pytest.mark.parametrize(
    ("wanted", "tags", "by_tags", "text"),
    [
        ("", ["cp311-cp311"], False, ""),
        (">=3.9", ["py3-none"], True, ""),
        (">=3.12", ["py3-none"], False, 'pythonOlder "3.12"'),
        (">=3.12.1,<3.14", ["py3-none"], True, 'pythonOlder "3.12" || pythonAtLeast "3.14"'),
        ("<3.16", ["py3-none"], False, ""),
        ("", ["cp313-abi3"], True, 'pythonOlder "3.13"'),
        ("", ["cp312-cp312"], True, 'pythonOlder "3.12" || pythonAtLeast "3.13"'),
        ("", ["cp312-cp312", "cp313-cp313"], True, 'pythonOlder "3.12" || pythonAtLeast "3.14"'),
        ("", ["cp39-cp39"], True, ""),
    ],
)
def test_disabled(wanted: str, tags: list[str], by_tags: bool, text: str, tmp_path: Path) -> None:  # noqa: FBT001
    """For which Pythons of nixpkgs a package is not, by METADATA, and by the tags of its wheels."""
    wheels = [
        made(
            tmp_path,
            tag=f"{each}-manylinux_2_28_x86_64",
            headers=f"Requires-Python: {wanted}" if wanted else "",
        )
        for each in tags
    ]
    assert disabled_text(wheels, ("3.11", "3.15"), by_tags=by_tags) == text


def test_a_requirement_of_python_that_is_none(tmp_path: Path) -> None:
    """It is METADATA that is wrong, and the message says so."""
    with pytest.raises(BadWheel, match="Requires-Python 'new' can't be read"):
        written(made(tmp_path, headers="Requires-Python: new"))

"""The expression for a wheel is complete, and its parts are read as they are meant."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.base.errors import BadOption, BadWheel
from nix_manylinux.base.values import replace
from nix_manylinux.cli.main import main
from nix_manylinux.data import read_nixpkgs_names
from nix_manylinux.nix.expression import download
from nix_manylinux.nix.expression.dependencies import read_dependencies, requirements_in
from nix_manylinux.nix.expression.download import (
    NoSuchWheel,
    download_wheels,
    files_of_required,
)
from nix_manylinux.nix.expression.licenses import nixpkgs_licenses
from nix_manylinux.nix.expression.places import expression_places
from nix_manylinux.nix.expression.wheel import DescribedWheel, describe_wheel
from nix_manylinux.nix.expression.write import build_expression
from nix_manylinux.nix.nixpkgs import Nixpkgs
from nix_manylinux.nix.pip import NoPip, pip_command, wheels_of
from nix_manylinux.resolve.loads import RuntimeLoad
from nix_manylinux.target.place import Place

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

INFO = "demo-1.0.dist-info"


def made(
    folder: Path,
    *,
    needed: Sequence[str] = (),
    headers: str = "",
    tag: str = "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
    files: dict[str, bytes] | None = None,
) -> DescribedWheel:
    """Make and describe a wheel with one extension that needs libraries."""
    metadata = f"Metadata-Version: 2.4\nName: Demo\nVersion: 1.0\n{headers}\n"
    contents = {
        "demo/__init__.py": b"",
        "demo/fast.so": tiny_library("fast.so", *needed),
        f"{INFO}/METADATA": metadata.encode(),
        **(files or {}),
    }
    wheel = MadeWheel(name="demo", version="1.0", tag=tag, files=contents)
    return describe_wheel(wheel.write(folder))


def write(
    *wheels: DescribedWheel,
    runtime_libs: Sequence[str] = (),
    beside: Mapping[str, Collection[str]] | None = None,
    nixpkgs: Nixpkgs | None = None,
    local: Mapping[str, str] | None = None,
    python_versions: Sequence[str] = (),
    systems: Sequence[str] = (),
) -> str:
    """Write the expression of wheels with the shipped tables."""
    places = expression_places(wheels, python_versions=python_versions, systems=systems)
    return build_expression(
        wheels,
        places=places,
        runtime_libs=runtime_libs,
        beside=beside,
        nixpkgs=nixpkgs,
        local=local,
    ).text


def flat(text: str) -> str:
    """Give comments as they were before they were broken into lines."""
    return text.replace("\n  # ", " ")


HEADERS = """\
Summary: A demonstration of "all" the ${parts}.
Home-page: https://old.example
Project-URL: Source, https://source.example
Project-URL: Homepage, https://demo.example
License-Expression: MIT
Requires-Dist: numpy>=2
Requires-Dist: typing_extensions; python_version < "3.12"
Requires-Dist: colorama; sys_platform == "win32"
Requires-Dist: zope.interface; extra == "web"
Requires-Dist: pytest; extra == "test"
Provides-Extra: web
Provides-Extra: test"""

WHOLE = """\
{
  lib,
  buildPythonPackage,
  fetchPypi,
  python,
  gfortran,
  libxrandr,
  numpy,
  typing-extensions,
}:
buildPythonPackage rec {
  pname = "demo";
  version = "1.0";
  format = "manylinux2014";

  src = fetchPypi {
    file = "demo-${version}-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
    hash = "HASH";
  };

  dependencies = [
    numpy
    typing-extensions
  ];

  optional-dependencies = {
    web = [ python.pkgs.zope-interface ];
  };

  buildInputs = [
    (lib.getLib gfortran.cc)
    libxrandr
  ];

  # libmimerapi.so: nowhere in nixpkgs.
  # libtbb.so.2: nixpkgs has only libtbb.so.12 (onetbb): another ABI, which will not load in its
  # place.
  # demo/fast.so: can be imported, or is all that there is, and wants libmimerapi.so, libtbb.so.2.
  # The build stops until buildInputs or dependencies bring that, or you ignore it, and do without
  # the files.
  # manylinuxIgnoreMissingDeps = [
  #   "libmimerapi.so"
  #   "libtbb.so.2"
  # ];

  pythonImportsCheck = [ "demo" ];

  meta = {
    description = "Demonstration of \\"all\\" the \\${parts}";
    homepage = "https://demo.example";
    license = lib.licenses.mit;
    sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
    platforms = [ "x86_64-linux" ];
    mainProgram = "demo";
  };
}
"""


def test_whole(tmp_path: Path) -> None:
    """One wheel gives the whole expression, each part where nixpkgs' style has it."""
    wheel = made(
        tmp_path,
        needed=(
            "libc.so.6",
            "libX11.so.6",
            "libXrandr.so.2",
            "libgfortran.so.5",
            "libcuda.so.1",
            "libtbb.so.2",
            "libmimerapi.so",
            "fast.so",
        ),
        headers=HEADERS,
        files={
            f"{INFO}/entry_points.txt": b"[console_scripts]\ndemo = demo:main\nother = demo:x\n"
            b"[gui_scripts]\nwindow = demo:window\n"
        },
    )
    expected = WHOLE.replace("HASH", wheel.sri).splitlines()
    remarks = [line for line in expected if line.lstrip().startswith("#")]
    lines = write(wheel).splitlines()
    assert [line for line in lines if line not in remarks] == [
        line for line in expected if line not in remarks
    ]
    assert {line for line in lines if line.lstrip().startswith("#")} == set(remarks)


def test_what_the_nixpkgs_at_hand_has(tmp_path: Path) -> None:
    """It says which packages are arguments, how they are spelt, and what it lacks."""
    at_hand = Nixpkgs(
        python="3.12",
        system="x86_64-linux",
        packages=frozenset({"numpy", "typing_extensions", "zope-interface", "libgit2"}),
        attributes=frozenset({"libgit2", "xorg"}),
    )
    headers = HEADERS + (
        "\nRequires-Dist: cmeel==1\nRequires-Dist: gdown; extra == 'web'"
        "\nRequires-Dist: other; extra == 'more'\nProvides-Extra: more"
    )
    text = write(
        made(
            tmp_path,
            needed=("libgit2.so.1.9", "libtbb.so.12", "libXcursor.so.1"),
            headers=headers,
        ),
        nixpkgs=at_hand,
    )
    assert text.startswith(
        "{\n  lib,\n  buildPythonPackage,\n  fetchPypi,\n  pkgs,\n  libxcursor,\n"
        "  cmeel,\n  numpy,\n  typing_extensions,\n  zope-interface,\n}:\n"
    )
    # What Nix is given is there: no comment says that it is not.
    assert "\n\n  dependencies = [\n    cmeel\n" in text
    assert "  # Not in this nixpkgs, and only for extras: gdown and other.\n" in text
    assert "  optional-dependencies = {\n    web = [ zope-interface ];\n  };\n" in text
    # Python's set has one of that name, too, which an argument would mean.
    assert "  buildInputs = [\n    pkgs.libgit2\n    libxcursor\n  ];\n" in text
    # What the wheel can't do without stops the build, and the text says what may be done.
    assert (
        "  # Not to be had of this nixpkgs (it is not there): onetbb (libtbb.so.12).\n"
        "  # demo/fast.so: can be imported,"
    ) in text
    assert '\n  # manylinuxIgnoreMissingDeps = [ "libtbb.so.12" ];\n' in text


def test_names_that_an_argument_cannot_have(tmp_path: Path) -> None:
    """In `rec { }` some names are bound already, and libraries share names with Python packages."""
    required = "Requires-Dist: meta\nRequires-Dist: numpy\nRequires-Dist: onetbb"
    text = write(made(tmp_path, needed=("libtbb.so.12", "libzstd.so.1"), headers=required))
    assert "python.pkgs.meta\n" in text
    assert "  buildInputs = [\n    pkgs.onetbb\n    pkgs.zstd\n  ];\n" in text
    assert text.startswith(
        "{\n  lib,\n  buildPythonPackage,\n  fetchPypi,\n  pkgs,\n  python,\n"
        "  numpy,\n  onetbb,\n}:\n"
    )


def test_the_version_stands_once(tmp_path: Path) -> None:
    """Who updates it changes one line; a file that spells it in another way is named whole."""
    headers = "Summary: x"
    text = write(made(tmp_path, headers=headers))
    assert text.count('"1.0') == 1
    assert 'file = "demo-${version}-cp311-' in text
    odd = MadeWheel(
        name="demo",
        version="1.0",
        tag="py3-none-any",
        metadata=b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0.0\n",
        files={"demo.py": b""},
    )
    text = write(describe_wheel(odd.write(tmp_path)))
    assert 'version = "1.0.0";' in text
    assert 'file = "demo-1.0-py3-none-any.whl";' in text
    assert "rec {" not in text


def test_the_file_itself(tmp_path: Path) -> None:
    """A wheel that no index has is taken from beside the expression."""
    name = "demo-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    text = write(made(tmp_path), local={name: name})
    assert f"\n  src = ./{name};\n" in text
    assert "fetchPypi" not in text
    assert "rec {" not in text


def test_several_wheels(tmp_path: Path) -> None:
    """Several wheels become fetchPypi's list; the format is the one that allows them all."""
    wheels = []
    for number, tag in enumerate(
        ["cp311-cp311-manylinux1_x86_64", "cp312-cp312-manylinux_2_28_aarch64"]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        headers = 'Requires-Dist: tomli; python_version < "3.12"\nRequires-Dist: numpy'
        wheels.append(made(folder, tag=tag, headers=headers))
    text = write(*wheels)
    assert (
        'format = if stdenv.hostPlatform.isx86_64 then "manylinux1" else "manylinux_2_28";' in text
    )
    assert "pythonVersion = python.version;" in text
    assert text.count("file = ") == text.count("hash = ") == 2
    condition = '++ lib.optionals (pythonOlder "3.12") [ tomli ];'
    assert f"dependencies = [ numpy ] {condition}" in text
    assert "  pythonOlder,\n" in text
    assert "  stdenv,\n" in text
    assert "  python,\n" in text


def test_pure_wheel(tmp_path: Path) -> None:
    """A wheel without ELF files is a plain wheel: no policy, no platforms, no provenance."""
    wheel = MadeWheel(
        name="demo", version="1.0", tag="py3-none-any", files={"demo.py": b"", "_x.py": b""}
    )
    text = write(describe_wheel(wheel.write(tmp_path)))
    assert 'format = "wheel";' in text
    assert 'pythonImportsCheck = [ "demo" ];' in text
    assert "platforms" not in text
    assert "sourceProvenance" not in text
    assert "pkgs" not in text


def test_a_wheel_for_any_platform_with_libraries(tmp_path: Path) -> None:
    """No policy asks for the hook, so the expression does; files for other machines may stay."""
    native = tiny_library("drag.so", "libX11.so.6")
    foreign = native[:18] + (183).to_bytes(2, "little") + native[20:]  # EM_AARCH64
    files = {
        "drag/x64/drag.so": native,
        "drag/arm64/a.so": foreign,
        "drag/arm64/b.so": foreign,
        "made-1.0.data/platlib/side/c.so": foreign,
    }
    wheel = describe_wheel(MadeWheel(tag="py3-none-any", files=files).write(tmp_path))
    text = write(wheel)
    assert "  manylinuxFixupHook,\n" in text
    assert "\n  nativeBuildInputs = [ manylinuxFixupHook ];\n" in text
    assert '\n  manylinuxAllowForeign = [\n    "drag/arm64/*"\n    "side/c.so"\n  ];\n' in text
    assert "\n  buildInputs = [ libx11 ];\n" in text
    both = write(wheel, systems=("aarch64-linux", "x86_64-linux"))
    assert '"drag/*"' in both
    assert "manylinuxFixupHook" not in write(made(tmp_path))
    assert "manylinuxAllowForeign" not in write(made(tmp_path))
    # Of what the package has for each machine nothing has to be allowed.
    own = {"drag/x64/drag.so": native, "drag/arm64/drag.so": foreign}
    wheel = describe_wheel(MadeWheel(tag="py3-none-any", files=own).write(tmp_path))
    assert "manylinuxAllowForeign" not in write(wheel)
    assert "manylinuxAllowForeign" not in write(wheel, systems=("aarch64-linux", "x86_64-linux"))
    assert "manylinuxAllowForeign" in write(wheel, systems=("armv7l-linux",))


@pytest.mark.parametrize(
    "requires",
    [
        "",
        "Requires-Dist: numpy\n",
        "Provides-Extra: torch\nRequires-Dist: torch; extra == 'torch'\n",
    ],
)
def test_a_plugin_for_a_package_that_is_not_required(requires: str, tmp_path: Path) -> None:
    """What only optional files want of another package is left to it, since it loads them."""
    plugin = tiny_library("", "libtorch.so", "libc10.so", "libcudart.so.12")
    files = {"demo/libtorch_ops.so": plugin}
    module = {"demo/fast.abi3.so": tiny_library("fast.so")}
    text = write(made(tmp_path, headers=requires, files={**files, **module}))
    assert (
        "  # libc10.so, libtorch.so: of the Python package torch, which is not required.\n"
        "  # libcudart.so.12: for the same files.\n"
        '  manylinuxIgnoreMissingDeps = [\n    "libc10.so"\n    "libcudart.so.12"\n'
        '    "libtorch.so"\n  ];\n'
    ) in text
    assert "\n  dependencies = [ torch" not in text
    # A package whose every library wants it is nothing without.
    files["demo/fast.so"] = plugin
    assert "\n  dependencies = [ torch ];\n" in write(made(tmp_path, files=files))


def test_a_license_that_is_not_told(tmp_path: Path) -> None:
    """METADATA without a license says nothing, which is no license of that name."""
    assert "# license: METADATA names none\n" in write(made(tmp_path))
    odd = made(tmp_path, headers="License: Ask  us")
    assert "# license: METADATA says 'Ask us'\n" in write(odd)
    long = made(tmp_path, headers=f"License: {'one two ' * 12}\n  All rights reserved")
    assert f"# license: METADATA says '{'one two ' * 8}...'\n" in write(long)


def test_runtime_libraries(tmp_path: Path) -> None:
    """Libraries that are loaded at run time are declared, and their packages are inputs."""
    names = ["libXcursor.so.1", "libEGL.so.1", "libnonsense.so.1", "libcuda.so.1", "/some/lib"]
    text = write(made(tmp_path), runtime_libs=names)
    # libEGL comes with libGL, which the format brings.
    assert "  buildInputs = [ libxcursor ];\n" in text
    assert (
        "  # libnonsense.so.1: nowhere in nixpkgs.\n"
        '  manylinuxRuntimeLibs = [\n    "/some/lib"\n    "libEGL.so.1"\n    "libXcursor.so.1"\n'
        '    "libcuda.so.1"\n    "libnonsense.so.1"\n  ];\n'
    ) in text
    # What the format brings, or the wheel itself, is no input.
    text = write(made(tmp_path), runtime_libs=["libX11.so.6", "fast.so"])
    assert "buildInputs" not in text


def test_what_may_be_loaded_at_run_time(tmp_path: Path) -> None:
    """Names among a file's strings are told with their packages, as a comment, if not declared."""
    loads = [
        *("libEGL.so", "libEGL.so.1", "libXcursor.so.1", "libcuda.so.1", "libnonsense.so.1"),
        *("libX11.so.6", "libpython3.13.so.1.0"),
    ]
    wheel = replace(
        made(tmp_path),
        loads=tuple(RuntimeLoad(name=n, sources=(("demo/fast.so", "string"),)) for n in loads),
    )
    text = write(wheel, runtime_libs=["libXcursor.so.1"])
    assert (
        " Loaded at run time if it is there, by demo/fast.so: libGL (libEGL.so.1), libx11"
        " (libX11.so.6); nix-manylinux expr --runtime-libs SONAME links it."
    ) in flat(text)
    assert "buildInputs = [ libxcursor ];" in text
    source = b"import ctypes\nctypes.CDLL('libGL.so.1')\n"
    path = MadeWheel(files={"made/__init__.py": source}, tag="py3-none-any").write(tmp_path)
    said = "# Loaded from Python, where no search path of the wheel counts: libGL.so.1 (libGL)."
    assert said in write(describe_wheel(path, look_for_loads=True))
    assert describe_wheel(path).loads == ()


def test_scripts_of_other_systems(tmp_path: Path) -> None:
    """What begins with the path of a shell that Nix doesn't have there is named."""
    files = {
        "demo-1.0.data/scripts/run": b"#!/bin/bash\n",
        "demo-1.0.data/scripts/walk": b"#!/bin/bash -e\n",
        "demo-1.0.data/scripts/own": b"#!python\n",
        "demo-1.0.data/scripts/plain": b"#!/bin/sh\n",
    }
    text = flat(write(made(tmp_path, files=files)))
    said = " run and walk: begins with #!/bin/bash, which patchShebangs mends where the package"
    assert said in text
    assert text.count("patchShebangs") == 1


def test_what_is_required_is_no_input(tmp_path: Path) -> None:
    """A library that a required wheel may have is named with it: no attribute, not ignored."""
    required = HEADERS + "\nRequires-Dist: torch>=2\nRequires-Dist: cmeel-boost"
    names = ("libtorch.so", "libc10.so", "libc10_cuda.so", "libboost_python311.so.1.90.0")
    text = write(made(tmp_path, needed=(*names, "libeigenpy.so"), headers=required))
    assert "buildInputs" not in text
    assert "manylinuxIgnoreMissingDeps" not in text
    said = flat(text)
    assert "libc10.so, libc10_cuda.so, libtorch.so: expected from the required wheel torch" in said
    assert "libboost_python311.so.1.90.0: in the required wheel cmeel-boost." in said
    assert "libeigenpy.so: in the wheel eigenpy." in said
    order = "cmeel-zlib, cmeel-boost, eigenpy and torch, too, in this order"
    assert f"Take the wheels of {order} (nix-manylinux expr NAME writes each)" in said
    assert "what nixpkgs may build from source under these names has libraries of its own" in said
    pinned = made(tmp_path, needed=("libc10.so",), headers="Requires-Dist: torch==2.6.0")
    assert "Take the wheel of torch, too (nix-manylinux expr torch==2.6.0): what" in flat(
        write(pinned)
    )
    # Where nothing is required, the files are believed.
    alone = write(made(tmp_path, needed=("libtorch.so",)))
    assert "dependencies = [ torch ];" in alone
    assert "# Not required by METADATA, but by files: torch." in alone


def test_a_family(tmp_path: Path) -> None:
    """Who brings the Qt that a wheel is a part of is known, though no METADATA says it."""
    files = {
        "PyQt6/Qt6/lib/libQt6Charts.so.6": tiny_library("libQt6Charts.so.6", "libQt6Core.so.6")
    }
    charts = MadeWheel(name="PyQt6_Charts_Qt6", files=files, tag="py3-none-manylinux_2_28_x86_64")
    text = write(describe_wheel(charts.write(tmp_path)))
    assert "# Not required by METADATA, but by files: pyqt6-qt6.\n" in text
    assert "dependencies = [ pyqt6-qt6 ];" in text
    assert "# libQt6Core.so.6: in the wheel pyqt6-qt6.\n" in text
    assert "manylinuxIgnoreMissingDeps" not in text
    assert "# No pythonImportsCheck: " in text
    # Another wheel of the family, where one is required, may require it in its turn.
    for other, added in (("pyqt6-3d-qt6", False), ("numpy", True)):
        metadata = f"Metadata-Version: 2.1\nName: PyQt6_X\nVersion: 1.0\nRequires-Dist: {other}\n"
        wheel = MadeWheel(name="PyQt6_X", files=files, metadata=metadata.encode())
        assert ("by files: pyqt6-qt6" in write(describe_wheel(wheel.write(tmp_path)))) is added
    # What builds on this one can't be a dependency of it.
    files = {
        "PySide6/Qt/lib/libQt6Gui.so.6": tiny_library("libQt6Gui.so.6", "libQt6Multimedia.so.6")
    }
    base = MadeWheel(name="PySide6_Essentials", files=files)
    text = write(describe_wheel(base.write(tmp_path)))
    assert "# libQt6Multimedia.so.6: in the wheel pyside6-addons, which needs this one.\n" in text
    assert 'manylinuxProvidedLater = [ "libQt6Multimedia.so.6" ];' in text
    assert "dependencies" not in text
    # A required wheel that is of no family, or that has been looked into, changes nothing.
    looked = {"pyside6-addons": {"libQt6Other.so.6"}}
    text = write(describe_wheel(base.write(tmp_path)), beside=looked)
    assert "manylinuxProvidedLater" not in text


def test_what_may_be_ignored(tmp_path: Path) -> None:
    """An entry is written for optional files only: modules, and what they lead to, must load."""
    lacking = ("libmimerapi.so", "libtbb.so.2")
    init = b"\0PyInit_fast\0"
    files = {
        "demo/fast.so": tiny_library("fast.so", "libinner.so") + init,
        "demo/libinner.so": tiny_library("libinner.so", "libtbb.so.2"),
        "demo/plugins/libodd.so": tiny_library("libodd.so", *lacking),
    }
    text = write(made(tmp_path, files=files))
    ignored = '  manylinuxIgnoreMissingDeps = [\n    "libmimerapi.so"\n    # "libtbb.so.2"\n  ];\n'
    assert ignored in text
    said = (
        "# demo/libinner.so: can be imported, or is all that there is, and wants libtbb.so.2. The"
    )
    assert said in text
    # A library whose name a module may have is none without the function.
    files["demo/fast.so"] = tiny_library("fast.so", "libinner.so")
    text = write(made(tmp_path, files=files))
    assert '    "libmimerapi.so"\n    "libtbb.so.2"\n' in text
    # What all files want is needed, whatever they are.
    alone = {"demo/fast.so": tiny_library("fast.so", "libtbb.so.2")}
    assert '  # manylinuxIgnoreMissingDeps = [ "libtbb.so.2" ];\n' in write(
        made(tmp_path, files=alone)
    )


def test_wheels_of_one_project(tmp_path: Path) -> None:
    """Of a set that the wheel brings in part, the rest is in the wheel of the same project."""
    text = write(
        made(
            tmp_path,
            needed=("libQt6Core.so.6",),
            headers=HEADERS + "\nRequires-Dist: Demo-Essentials==1",
            files={"demo/lib/libQt6Pdf.so.6": tiny_library("libQt6Pdf.so.6")},
        )
    )
    assert "# libQt6Core.so.6: expected from the required wheel demo-essentials." in text
    assert "manylinuxIgnoreMissingDeps" not in text


def test_one_of_several(tmp_path: Path) -> None:
    """Of files for several FFmpegs one is served, and the others are not installed."""
    files = {
        f"demo/libdecoder{number}.so": tiny_library("", f"libavutil.so.{version}")
        for number, version in ((4, 56), (6, 58), (8, 60), (9, 99))
    }
    text = write(made(tmp_path, needed=("libgfortran.so.5",), files=files))
    assert "buildInputs = [\n    ffmpeg_8\n    (lib.getLib gfortran.cc)\n  ];" in text
    assert (
        "  postInstall = ''\n    rm $out/${python.sitePackages}/demo/libdecoder{4,6,9}.so\n  '';\n"
    ) in text
    assert "# Built several times, and one loads. Kept, for ffmpeg_8: libdecoder8.so.\n" in text
    assert "  python,\n" in text
    assert "# Files for ffmpeg_4 and ffmpeg_6 are in the wheel, too.\n" in text
    # Files that want one version alike are no alternatives, whatever they are called.
    alike = {name: tiny_library("", "libavutil.so.58") for name in files}
    text = write(made(tmp_path, files=alike))
    assert "buildInputs = [ ffmpeg_6 ];" in text
    assert "postInstall" not in text


def test_one_of_several_by_name(tmp_path: Path) -> None:
    """Modules for several MPIs are told by a word, and one MPI is taken."""
    tag = "cpython-311-x86_64-linux-gnu.so"
    files = {
        f"demo/MPI.{name}.{tag}": tiny_library("", f"libmpi.so.{version}")
        for name, version in (("mpich", 12), ("openmpi", 40))
    }
    text = write(made(tmp_path, files=files))
    assert "buildInputs = [ mpi ];" in text
    assert f"    rm $out/${{python.sitePackages}}/demo/MPI.mpich.{tag}\n" in text
    assert "# Files for mpich are in the wheel, too.\n" in text


def test_unfree_is_said(tmp_path: Path) -> None:
    """An input that nixpkgs refuses by default carries a remark."""
    text = write(made(tmp_path, needed=("libcublas.so.12",)))
    assert "# libcublas.so.12: unfree, which wants" in text
    assert "buildInputs = [ cudaPackages_12.libcublas ];" in text


def test_other_copies(tmp_path: Path) -> None:
    """A wheel that brings Qt gets no further Qt from nixpkgs."""
    wheel = made(
        tmp_path,
        needed=("libQt6Pdf.so.6",),
        files={"demo/lib/libQt6Core.so.6": tiny_library("libQt6Core.so.6")},
    )
    text = write(wheel)
    assert "buildInputs" not in text
    assert "# libQt6Pdf.so.6: in nixpkgs only with the other libraries of kdePackages, of" in text
    alone = write(made(tmp_path, needed=("libQt6Pdf.so.6",)))
    assert "buildInputs = [ kdePackages.qtwebengine ];" in alone


def test_dotted_module_names(tmp_path: Path) -> None:
    """Namespace packages are gone into; private, test and vendored folders are left out."""
    wheel = made(
        tmp_path,
        files={
            "spaced/inner/__init__.py": b"",
            "tests/__init__.py": b"",
            "demo_tests/__init__.py": b"",
            "_private/__init__.py": b"",
            "single.abi3.so": tiny_library("single") + b"\0PyInit_single\0",
            "libggml.so": tiny_library("libggml.so"),  # beside its module, as pywhispercpp has it
            "demo.libs/x.py": b"",
            "bad-name/__init__.py": b"",
        },
    )
    assert wheel.modules == ("demo", "single", "spaced.inner")


def test_a_copy_of_python_s_own_modules(tmp_path: Path) -> None:
    """What panda3d puts into programs that are made of it, nobody imports from there."""
    names = ["deploy/array", "deploy/fcntl", "deploy/own", "panda/core", "panda/math", "panda/egg"]
    files = {
        f"{name}.cpython-312-x86_64-linux-gnu.so": tiny_library(name)
        + f"\0PyInit_{name.rpartition('/')[2]}\0".encode()
        for name in (*names, "backports/zlib")
    }
    wheel = made(tmp_path, files=files)
    assert wheel.modules == ("backports.zlib", "demo", "panda.core", "panda.egg", "panda.math")
    assert not any(each.name.startswith("deploy") for each in wheel.extensions)


def test_programs(tmp_path: Path) -> None:
    """Programs are those of .data/scripts and of the console scripts."""
    wheel = made(tmp_path, files={"demo-1.0.data/scripts/tool": b"#!python\n"})
    assert wheel.programs == ("tool",)
    assert 'mainProgram = "tool";' in write(wheel)
    for name in ("demo_test", "test-demo"):  # onnxruntime's
        assert "mainProgram" not in write(replace(wheel, programs=(name,)))
    assert 'mainProgram = "demo";' in write(replace(wheel, programs=("demo", "demo_test")))


def test_one_release_only(tmp_path: Path) -> None:
    """Wheels of two releases, or none at all, are no expression."""
    other = MadeWheel(name="other", version="1.0", tag="py3-none-any", files={"o.py": b""})
    wheels = [made(tmp_path), describe_wheel(other.write(tmp_path))]
    for bad in (wheels, []):
        with pytest.raises(BadOption, match="one release"):
            write(*bad)


GNU = "License :: OSI Approved :: GNU General Public License"
GPL3 = "GNU GENERAL PUBLIC LICENSE\n Version 3\n\n(at your option) any later version"


@pytest.mark.parametrize(
    ("expression", "text", "classifier", "title", "found"),
    [
        ("MIT", "", "", "Apache License", ("mit",)),
        ("MIT AND (Apache-2.0 OR BSD-3-Clause)", "", "", "", ("mit", "asl20", "bsd3")),
        ("UPL-1.0 OR Apache-2.0", "", "", "", ("upl", "asl20")),
        ("Apache-2.0 WITH LLVM-exception", "", "", "BSD 3-Clause License", ()),
        ("", "BSD 3-Clause License", "", "", ("bsd3",)),
        ("", "LGPLv3+", "", "", ("lgpl3Plus",)),
        ("", "LGPL v3", "", "", ()),
        ("", "Apache 2.0", "License :: OSI Approved :: MIT License", "", ("asl20",)),
        ("", "", "License :: OSI Approved :: MIT License", "", ("mit",)),
        ("", "", "License :: OSI Approved :: BSD License", "", ()),
        ("", "", "License :: OSI Approved :: BSD License", " BSD 3-Clause License", ("bsd3",)),
        ("", "BSD", "", "Copyright (c) 2016", ()),
        ("", "", "", "The MIT License (MIT)", ("mit",)),
        ("", "BSD", "", "The MIT License (MIT)", ()),
        ("", "do what you like", "", "MIT License", ()),
        ("", "GPLv2-or-later with an exception", f"{GNU} v2 (GPLv2)", "", ()),
        ("", "LGPL", f"{GNU} v3 (GPLv3)", "", ("gpl3Only",)),
        ("", "GPL version 3", f"{GNU} v3 (GPLv3)", "", ("gpl3Only",)),
        (
            "",
            GPL3,
            f"{GNU} v3 (GPLv3)",
            "",
            ("gpl3Only",),
        ),
        ("", "", "", "", ()),
    ],
)
def test_license(
    expression: str, text: str, classifier: str, title: str, found: tuple[str, ...]
) -> None:
    """A license is named where it is known, and never guessed where one part isn't."""
    classifiers = [classifier] if classifier else []
    assert nixpkgs_licenses(expression, text, classifiers, title, read_nixpkgs_names()) == found


def test_dependencies() -> None:
    """Markers are evaluated in each place; an extra holds what it adds, by others of its, too."""
    places = [Place(python="3.11", system=f"{cpu}-linux") for cpu in ("x86_64", "aarch64")]
    headers = {
        "name": ["demo"],
        "provides-extra": ["All", "fast"],
        "requires-dist": [
            "Foo_Bar>=1",
            'mkl; platform_machine == "x86_64"',
            'numba; extra == "fast"',
            'demo[fast]; extra == "all"',
            'win; os_name == "nt"',
        ],
    }
    found = read_dependencies(headers, places)
    assert found.always == ("foo-bar",)
    assert found.sometimes == {"mkl": (places[0],)}
    assert found.extras == {"all": ("numba",), "fast": ("numba",)}
    with pytest.raises(BadWheel, match="can't be read"):
        read_dependencies({"requires-dist": ["!!"]}, places)


def test_platforms() -> None:
    """All tags that fit a system are asked for, the newest first, legacy names among them."""
    tags = Place(python="3.12", system="powerpc64le-linux", glibc=(2, 28)).platforms()
    assert tags[:2] == ["linux_ppc64le", "manylinux_2_28_ppc64le"]
    assert {"manylinux2014_ppc64le", "manylinux1_ppc64le"} <= set(tags)
    with pytest.raises(BadOption):
        Place(python="3.12", system="x86_64-darwin", glibc=(2, 28)).platforms()


def test_where_pip_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The running interpreter's, else that of PATH, else uv's; without any, what to install."""
    path = {"PATH": str(tmp_path)}
    assert pip_command(path)[0] == sys.executable
    done = subprocess.run([*pip_command(path), "--version"], capture_output=True, check=True)
    assert done.stdout.startswith(b"pip ")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(NoPip, match="install pip or uv"):
        pip_command(path)
    by_uv = ["tool", "run", "--quiet", "--python", sys.executable, "pip"]
    for name, more in (("uv", by_uv), ("pip3", []), ("pip", [])):
        (tmp_path / name).touch(mode=0o755)
        assert pip_command(path) == [str(tmp_path / name), *more]


def stub(folder: Path, body: str) -> list[str]:
    """Write a client that stands in for pip."""
    path = folder / "pip.py"
    text = f"import os, sys\ndest = sys.argv[sys.argv.index('--dest') + 1]\n{body}\n"
    path.write_text(text, encoding="utf-8")
    return [sys.executable, str(path)]


def test_what_required_wheels_really_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetched on request, their files decide: nothing is guessed by names any more."""
    for name, file in (("torch", "torch/lib/libtorch.so"), ("deep_down", "d/libexpat.so.99")):
        data = f"{name}-1.0.data/purelib/{name}/__init__.py"
        MadeWheel(name=name, files={file: tiny_library("x"), data: b""}).write(tmp_path)
    pip = stub(
        tmp_path,
        "assert '--no-deps' not in sys.argv and sys.argv[-2:] == ['--', 'torch>=2'], sys.argv\n"
        f"import glob, shutil\nfor wheel in glob.glob({str(tmp_path)!r} + '/*.whl'):\n"
        "    shutil.copy(wheel, dest)",
    )
    place = Place(python="3.11", system="x86_64-linux")
    into = tmp_path / "into"
    monkeypatch.setattr(download, "pip_command", lambda _: pip)
    files = files_of_required(["torch>=2"], place, into=str(into), environment=os.environ)
    assert "torch/__init__.py" in files["torch"]
    required = HEADERS + "\nRequires-Dist: torch>=2"
    needed = ("libtorch.so", "libtorch_cuda.so", "libexpat.so.99", "libgfortran.so.5")
    wheel = made(into, needed=needed, headers=required)
    assert requirements_in(wheel.headers, place)[-1] == "torch>=2"
    text = write(wheel, beside=files)
    assert "buildInputs = [ (lib.getLib gfortran.cc) ];" in text
    assert "# libexpat.so.99: in the required wheel deep-down." in text
    assert "# libtorch.so: in the required wheel torch." in text
    assert "# libtorch_cuda.so: missing in torch, which is at hand." in text
    assert '# manylinuxIgnoreMissingDeps = [ "libtorch_cuda.so" ];' in text


def test_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is asked once for each Python and system; a file that serves two is kept once."""
    pip = stub(
        tmp_path,
        "python = sys.argv[sys.argv.index('--python-version') + 1]\n"
        "assert sys.argv[-2:] == ['--', 'demo==1.0']\n"
        "name = 'demo-1.0-cp310-abi3-x.whl' if python != '3.9' else 'demo-1.0-cp39-cp39-x.whl'\n"
        "open(os.path.join(dest, name), 'w').close()",
    )
    monkeypatch.setattr(download, "pip_command", lambda _: pip)
    found = download_wheels(
        ["demo==1.0"],
        python_versions=["3.9", "3.11", "3.12"],
        systems=["x86_64-linux"],
        into=str(tmp_path / "into"),
        environment=os.environ,
    )
    paths = [path for each in found for path in each]
    names = [os.path.basename(path) for path in paths]
    assert names == ["demo-1.0-cp310-abi3-x.whl", "demo-1.0-cp39-cp39-x.whl"]
    assert all(os.path.isfile(path) for path in paths)


def test_the_release_that_pip_picks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a name the client chooses the release, once: the other Pythons get the same one."""
    pip = stub(
        tmp_path,
        "python = sys.argv[sys.argv.index('--python-version') + 1]\n"
        "assert sys.argv[-1] == ('demo' if python == '3.11' else 'demo==2.0'), sys.argv\n"
        "tag = 'cp' + python.replace('.', '')\n"
        "open(os.path.join(dest, f'demo-2.0-{tag}-{tag}-linux_x86_64.whl'), 'w').close()",
    )
    monkeypatch.setattr(download, "pip_command", lambda _: pip)
    found = download_wheels(
        ["demo"],
        python_versions=["3.11", "3.12"],
        systems=["x86_64-linux"],
        into=str(tmp_path / "into"),
        environment=os.environ,
    )
    names = [os.path.basename(path)[:15] for each in found for path in each]
    assert names == ["demo-2.0-cp311-", "demo-2.0-cp312-"]


def test_what_the_format_brings_is_no_input(tmp_path: Path) -> None:
    """OpenMP's library is no policy's, but of one package with libstdc++, which is."""
    needed = ("libgomp.so.1", "libgfortran.so.5")
    assert "buildInputs = [ (lib.getLib gfortran.cc) ];" in write(made(tmp_path, needed=needed))
    pure = MadeWheel(
        name="demo", version="1.0", tag="py3-none-any",
        files={"demo/fast.so": tiny_library("fast.so", "libgomp.so.1")},
    )  # fmt: skip
    text = write(describe_wheel(pure.write(tmp_path)))
    assert "buildInputs = [ (lib.getLib stdenv.cc.cc) ];" in text
    assert "  stdenv,\n" in text


def test_stdenv_is_one_for_all_sets(tmp_path: Path) -> None:
    """A Python set that has a `stdenv`, as some do, hides no other one: no `pkgs.stdenv`."""
    at_hand = Nixpkgs(
        python="3.12", system="x86_64-linux",
        packages=frozenset({"stdenv"}), attributes=frozenset({"stdenv"}),
    )  # fmt: skip
    files = {"demo/fast.so": tiny_library("fast.so", "libgomp.so.1")}
    wheel = describe_wheel(MadeWheel(name="demo", tag="py3-none-any", files=files).write(tmp_path))
    text = write(wheel, nixpkgs=at_hand)
    assert "buildInputs = [ (lib.getLib stdenv.cc.cc) ];" in text
    assert "pkgs" not in text.replace("nixpkgs", "")


def test_what_is_required_is_not_for_extras(tmp_path: Path) -> None:
    """Where an extra repeats what is required anyway, it is told once."""
    at_hand = Nixpkgs(
        python="3.12", system="x86_64-linux", packages=frozenset(), attributes=frozenset()
    )
    headers = (
        "Requires-Dist: narwhals>=1\nRequires-Dist: narwhals>=2; extra == 'frames'\n"
        "Requires-Dist: polars; extra == 'frames'\nProvides-Extra: frames"
    )
    found = build_expression([made(tmp_path, headers=headers)], nixpkgs=at_hand)
    assert found.absent == {"narwhals": ""}
    assert "only for extras: polars.\n" in found.text


def test_what_a_nixpkgs_lacks_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that builds it gives it what is absent; many of those come of a lock."""
    at_hand = Nixpkgs(
        python="3.12", system="x86_64-linux", packages=frozenset(), attributes=frozenset()
    )
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: at_hand)
    metadata = b"Metadata-Version: 2.1\nName: demo\nVersion: 1\nRequires-Dist: narwhals>=1\n"
    files = {"demo/__init__.py": b""}
    wheel = MadeWheel(name="demo", version="1", files=files, metadata=metadata)
    assert main(["expr", wheel.write(tmp_path)]) == 0
    said = capsys.readouterr()
    one = (
        "warning: Not in this nixpkgs: narwhals. To write it, too:\n"
        "  nix-manylinux expr narwhals --python-version 3.11 > narwhals.nix\n"
    )
    assert one in said.err
    given = "narwhals = python311.pkgs.callPackage ./narwhals.nix { };"
    assert f"python311.pkgs.callPackage ./demo.nix {{ {given} }}'" in said.err
    assert "# Not in" not in said.out
    wheel.metadata = metadata + b"Requires-Dist: x\n"
    assert main(["expr", wheel.write(tmp_path)]) == 0
    many = "Not in this nixpkgs: narwhals and x; nix-manylinux lock LOCKFILE has all"
    said = capsys.readouterr()
    assert many in said.err
    command = 'nix-manylinux expr "$each" --python-version 3.11 > "$each.nix"'
    assert f"To write each:\n  for each in narwhals x; do {command}; done\n" in said.err


def test_what_this_nixpkgs_can_not_evaluate(tmp_path: Path) -> None:
    """It stands in the expression, with the reason, and among what is told besides."""
    at_hand = Nixpkgs(
        python="3.12", system="x86_64-linux", packages=frozenset({"numpy"}),
        attributes=frozenset({"gfortran", "libgit2"}),
        unusable={
            "python.pkgs.numpy": "no libc",
            "pkgs.gfortran.cc": "it is null there",
        },
    )  # fmt: skip
    needed = ("libgfortran.so.5", "libgit2.so.1.9", "libtbb.so.12")
    wheel = made(tmp_path, needed=needed, headers="Requires-Dist: numpy\nRequires-Dist: scipy")
    found = build_expression([wheel], nixpkgs=at_hand)
    assert found.lacking == (
        "Not to be had of this nixpkgs (it is null there): gfortran.cc (libgfortran.so.5).",
        "Not to be had of this nixpkgs (it is not there): onetbb (libtbb.so.12).",
    )
    # What Nix is given in their place is to be had.
    assert found.absent == {"scipy": "", "numpy": "no libc"}
    assert "nixpkgs: numpy" not in found.text
    assert all(sentence in flat(found.text) for sentence in found.lacking)
    assert "  buildInputs = [ libgit2 ];\n" in found.text
    assert {"python.pkgs.numpy", "pkgs.gfortran.cc", "pkgs.libgit2"} < {*found.named}


def test_a_python_without_the_gil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its version ends in "t"; the client is asked for its ABI, and for abi3t (PEP 803)."""
    pip = stub(
        tmp_path,
        "words = sys.argv[1:]\n"
        "assert words[words.index('--python-version') + 1] == '3.14', words\n"
        "abis = [after for word, after in zip(words, words[1:]) if word == '--abi']\n"
        "assert abis == ['cp314t', 'abi3t'], words\n"
        "open(os.path.join(words[words.index('--dest') + 1], 'demo-1.0-x.whl'), 'w').close()",
    )
    monkeypatch.setattr(download, "pip_command", lambda _: pip)
    ((found,),) = download_wheels(
        ["demo==1.0"],
        python_versions=["3.14t"],
        systems=["x86_64-linux"],
        into=str(tmp_path / "into"),
        environment=os.environ,
    )
    assert os.path.basename(found) == "demo-1.0-x.whl"
    # `lock`, too, which left abi3t out.
    words = wheels_of(Place(python="3.14t", system="x86_64-linux"))
    assert "cp314t --abi abi3t --platform linux_x86_64" in " ".join(words)


def test_with_and_without_the_gil(tmp_path: Path) -> None:
    """A Python without it is of the same version to nixpkgs, and told by its program's name."""
    headers = 'Requires-Dist: new; python_version >= "3.14"'
    wheels = [
        made(tmp_path, tag=f"{tags}-manylinux_2_28_x86_64", headers=headers)
        for tags in ("cp310-cp310", "cp314-cp314", "cp314-cp314t")
    ]
    text = write(*wheels, python_versions=("3.10", "3.14", "3.14t"), systems=("x86_64-linux",))
    assert '  freeThreaded = lib.hasSuffix "t" (python.executable or "");\n' in text
    assert 'lib.optionals (pythonAtLeast "3.14") [ new ];' in text
    assert text.startswith("{\n  lib,\n")
    assert "freeThreaded" not in write(*wheels[:2])
    assert "freeThreaded" not in write(wheels[2])


@pytest.mark.parametrize(
    "requirement",
    ["demo.tar.gz", "demo>=1", "demo[x]~=1", "demo==1.0; x", "-e .", "demo==1 --x", "./demo"],
)
def test_download_wants_a_release(requirement: str, tmp_path: Path) -> None:
    """Only NAME and NAME==VERSION get to the client: no option, no archive that it would build."""
    with pytest.raises(BadOption, match="neither a wheel nor NAME nor NAME==VERSION") as caught:
        download_wheels(
            [requirement],
            python_versions=["3.11"],
            systems=["x86_64-linux"],
            into=str(tmp_path),
            environment={},
        )
    name = requirement[: 11 if "tar" in requirement else 4]
    name = name if requirement.startswith("demo") else "NAME"
    assert (caught.value.hint or "").endswith(f"pip index versions {name}")


def test_download_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the client says is what we say, with the release, the Python and the system."""
    pip = stub(tmp_path, "sys.exit('ERROR: No matching distribution found for demo==1.0')")
    monkeypatch.setattr(download, "pip_command", lambda _: pip)
    with pytest.raises(NoSuchWheel, match="No matching distribution") as caught:
        download_wheels(
            ["demo==1.0"],
            python_versions=["3.11"],
            systems=["x86_64-linux"],
            into=str(tmp_path),
            environment=os.environ,
        )
    assert caught.value.where == "demo==1.0 for Python 3.11 on x86_64-linux"
    assert "no wheel but a source archive" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("headers", "homepage", "changelog"),
    [
        # lxml
        (["Home-page: https://a", "Project-URL: Source, https://b"], "https://a", ""),
        (["Home-page: https://a", "Project-URL: Homepage, https://b"], "https://b", ""),
        # pin's, of who packages it, and rpds-py's, of what it is made with.
        (["Home-page: https://a", "Project-URL: Upstream, https://b"], "https://b", ""),
        (["Project-URL: Upstream, https://a", "Project-URL: Homepage, https://b"], "https://b", ""),
        (["Project-URL: GitHub, https://b", "Project-URL: Change Log, https://c"], "https://b", "https://c"),
        (["Project-URL: Release Notes, https://c"], "", "https://c"),
        (["Project-URL: Release Notes, https://c", "Project-URL: Changelog, https://d"], "", "https://d"),
        (["Project-URL: Bugs, https://c"], "", ""),
        # Of this version: who writes the next one changes one line.
        (["Project-URL: Changelog, https://c/v1.0/"], "", "https://c/v${version}/"),
        (["Project-URL: Changelog, https://c/11.0/1.0.2"], "", "https://c/11.0/1.0.2"),
    ],
)  # fmt: skip
def test_addresses(headers: list[str], homepage: str, changelog: str, tmp_path: Path) -> None:
    """meta.homepage and meta.changelog, by the labels that projects give."""
    text = write(made(tmp_path, headers="\n".join(headers)))
    for name, url in (("homepage", homepage), ("changelog", changelog)):
        assert re.findall(f'{name} = "(.*)";', text) == [url] * bool(url)

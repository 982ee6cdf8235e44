"""The expression for a wheel is complete, and its parts are read as they are meant."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.base.errors import BadOption, BadWheel
from nix_manylinux.nix import packages as nixpkgs
from nix_manylinux.nix.expression.dependencies import read_dependencies, requirements_in
from nix_manylinux.nix.expression.download import (
    NoSuchWheel,
    download_wheels,
    files_of_required,
)
from nix_manylinux.nix.expression.licenses import nixpkgs_licenses
from nix_manylinux.nix.expression.wheel import DescribedWheel, describe_wheel
from nix_manylinux.nix.expression.write import build_expression, expression_places
from nix_manylinux.nix.pip import NoPip, pip_command
from nix_manylinux.target import policy
from nix_manylinux.target.place import Place, platforms_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

TABLE = nixpkgs.load_table()
POLICIES = policy.load_policies()
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
    **where: Sequence[str],
) -> str:
    """Write the expression of wheels with the shipped tables."""
    return build_expression(
        wheels,
        table=TABLE,
        policies=POLICIES,
        places=expression_places(wheels, **where),
        runtime_libs=runtime_libs,
        beside=beside,
    )


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
Provides-Extra: web"""

WHOLE = """\
{
  lib,
  buildPythonPackage,
  fetchPypi,
  pkgs,
  python,
  numpy,
  typing-extensions,
}:
buildPythonPackage {
  pname = "demo";
  version = "1.0";
  format = "manylinux2014";

  src = fetchPypi {
    file = "demo-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
    hash = "HASH";
  };

  dependencies = [
    numpy
    typing-extensions
  ];

  optional-dependencies = with python.pkgs; {
    web = [ zope-interface ];
  };

  buildInputs = [
    pkgs.gfortran.cc.lib
    (pkgs.libxrandr or pkgs.xorg.libXrandr)
  ];

  # libmimerapi.so: nowhere in nixpkgs.
  # libtbb.so.2: nixpkgs has only libtbb.so.12 (onetbb): another ABI, which will not load in its
  # place.
  manylinuxIgnoreMissingDeps = [
    "libmimerapi.so"
    "libtbb.so.2"
  ];

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
    assert 'format = "manylinux_2_28";' in text
    assert "pythonVersion = python.version;" in text
    assert text.count("file = ") == text.count("hash = ") == 2
    condition = (
        '++ lib.optionals (lib.elem "${python.pythonVersion} ${stdenv.hostPlatform.system}" '
        '[ "3.11 aarch64-linux" "3.11 x86_64-linux" ]) [ tomli ];'
    )
    assert f"dependencies = [ numpy ]\n  {condition}" in text
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
    assert "pkgs.libx11" in text
    both = write(wheel, systems=("aarch64-linux", "x86_64-linux"))
    assert '"drag/*"' in both
    assert "manylinuxFixupHook" not in write(made(tmp_path))
    assert "manylinuxAllowForeign" not in write(made(tmp_path))


def test_a_license_that_is_not_told(tmp_path: Path) -> None:
    """METADATA without a license says nothing, which is no license of that name."""
    assert "# license: METADATA says nothing\n" in write(made(tmp_path))
    odd = made(tmp_path, headers="License: Ask  us")
    assert "# license: METADATA says 'Ask us'\n" in write(odd)


def test_runtime_libraries(tmp_path: Path) -> None:
    """Libraries that are loaded at run time are declared."""
    text = write(made(tmp_path), runtime_libs=["libGL.so.1", "libEGL.so.1"])
    assert 'manylinuxRuntimeLibs = [\n    "libEGL.so.1"\n    "libGL.so.1"\n  ];' in text


def test_scripts_of_other_systems(tmp_path: Path) -> None:
    """What begins with the path of a shell that Nix doesn't have there is named."""
    files = {
        "demo-1.0.data/scripts/run": b"#!/bin/bash\n",
        "demo-1.0.data/scripts/walk": b"#!/bin/bash -e\n",
        "demo-1.0.data/scripts/own": b"#!python\n",
        "demo-1.0.data/scripts/plain": b"#!/bin/sh\n",
    }
    flat = write(made(tmp_path, files=files)).replace("\n  # ", " ")
    said = " run and walk: begins with #!/bin/bash, which patchShebangs mends where the package"
    assert said in flat
    assert flat.count("patchShebangs") == 1


def test_what_is_required_is_no_input(tmp_path: Path) -> None:
    """A library that a required wheel may have is named with it: no attribute, not ignored."""
    required = HEADERS + "\nRequires-Dist: torch>=2\nRequires-Dist: cmeel-boost"
    names = ("libtorch.so", "libc10.so", "libc10_cuda.so", "libboost_python311.so.1.90.0")
    text = write(made(tmp_path, needed=(*names, "libeigenpy.so"), headers=required))
    assert "pkgs." not in text
    assert "manylinuxIgnoreMissingDeps" not in text
    flat = " ".join(line.strip().removeprefix("# ") for line in text.splitlines())
    assert "libc10.so, libc10_cuda.so, libtorch.so: expected from the required wheel torch" in flat
    assert "libboost_python311.so.1.90.0: expected from the required wheel cmeel-b" in flat
    assert "libeigenpy.so: of the Python package eigenpy: take its wheel, too." in flat
    # Where nothing is required, the files are believed.
    alone = write(made(tmp_path, needed=("libtorch.so",)))
    assert "dependencies = [ torch ];" in alone
    assert "# Not required by METADATA, but by files: torch." in alone


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
    """Of files for several FFmpegs one is served, and the others are left alone."""
    files = {
        f"demo/libdecoder{number}.so": tiny_library("", f"libavutil.so.{version}")
        for number, version in ((4, 56), (6, 58), (8, 60), (9, 99))
    }
    text = write(made(tmp_path, needed=("libgfortran.so.5",), files=files))
    assert "buildInputs = [\n    pkgs.ffmpeg.lib\n    pkgs.gfortran.cc.lib\n  ];" in text
    assert (
        "manylinuxExclude = [\n"
        '    "demo/libdecoder4.so"\n    "demo/libdecoder6.so"\n    "demo/libdecoder9.so"\n  ];'
    ) in text
    assert "# In its place: ffmpeg_6.lib, for libdecoder6.so." in text
    assert "# nixpkgs lacks libraries for libdecoder9.so: libavutil.so.99." in text
    # Files that want one version alike are no alternatives, whatever they are called.
    alike = {name: tiny_library("", "libavutil.so.58") for name in files}
    text = write(made(tmp_path, files=alike))
    assert "buildInputs = [ pkgs.ffmpeg_6.lib ];" in text
    assert "manylinuxExclude" not in text


def test_unfree_is_said(tmp_path: Path) -> None:
    """An input that nixpkgs refuses by default carries a remark."""
    text = write(made(tmp_path, needed=("libcublas.so.12",)))
    assert "# libcublas.so.12: unfree, which wants" in text
    assert "buildInputs = [ pkgs.cudaPackages_12.libcublas.lib ];" in text


def test_other_copies(tmp_path: Path) -> None:
    """A wheel that brings Qt gets no further Qt from nixpkgs."""
    wheel = made(
        tmp_path,
        needed=("libQt6Pdf.so.6",),
        files={"demo/lib/libQt6Core.so.6": tiny_library("libQt6Core.so.6")},
    )
    text = write(wheel)
    assert "pkgs.kdePackages" not in text
    assert 'manylinuxIgnoreMissingDeps = [ "libQt6Pdf.so.6" ];' in text
    assert "# libQt6Pdf.so.6: kdePackages has some of these, but built against other" in text
    alone = write(made(tmp_path, needed=("libQt6Pdf.so.6",)))
    assert "pkgs.kdePackages.qtwebengine" in alone


def test_dotted_module_names(tmp_path: Path) -> None:
    """Namespace packages are gone into; private, test and vendored folders are left out."""
    wheel = made(
        tmp_path,
        files={
            "spaced/inner/__init__.py": b"",
            "tests/__init__.py": b"",
            "demo_tests/__init__.py": b"",
            "_private/__init__.py": b"",
            "single.abi3.so": tiny_library("single"),
            "demo.libs/x.py": b"",
            "bad-name/__init__.py": b"",
        },
    )
    assert wheel.modules == ("demo", "single", "spaced.inner")


def test_programs(tmp_path: Path) -> None:
    """Programs are those of .data/scripts and of the console scripts."""
    wheel = made(tmp_path, files={"demo-1.0.data/scripts/tool": b"#!python\n"})
    assert wheel.programs == ("tool",)
    assert 'mainProgram = "tool";' in write(wheel)


def test_one_release_only(tmp_path: Path) -> None:
    """Wheels of two releases, or none at all, are no expression."""
    other = MadeWheel(name="other", version="1.0", tag="py3-none-any", files={"o.py": b""})
    wheels = [made(tmp_path), describe_wheel(other.write(tmp_path))]
    for bad in (wheels, []):
        with pytest.raises(BadOption, match="one release"):
            write(*bad)


@pytest.mark.parametrize(
    ("expression", "text", "classifier", "found"),
    [
        ("MIT", "", "", ("mit",)),
        ("MIT AND (Apache-2.0 OR BSD-3-Clause)", "", "", ("mit", "asl20", "bsd3")),
        ("Apache-2.0 WITH LLVM-exception", "", "", ()),
        ("", "BSD 3-Clause License", "", ("bsd3",)),
        ("", "Apache 2.0", "License :: OSI Approved :: MIT License", ("asl20",)),
        ("", "", "License :: OSI Approved :: MIT License", ("mit",)),
        ("", "", "License :: OSI Approved :: BSD License", ()),
        ("", "do what you like", "", ()),
        ("", "", "", ()),
    ],
)
def test_license(expression: str, text: str, classifier: str, found: tuple[str, ...]) -> None:
    """A license is named where it is known, and never guessed where one part isn't."""
    assert nixpkgs_licenses(expression, text, [classifier] if classifier else []) == found


def test_dependencies() -> None:
    """Markers are evaluated in each place; extras hold what they add, not the package itself."""
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
    assert found.extras == {"fast": ("numba",)}
    with pytest.raises(BadWheel, match="can't be read"):
        read_dependencies({"requires-dist": ["!!"]}, places)


def test_platforms() -> None:
    """All tags that fit a system are asked for, the newest first, legacy names among them."""
    tags = platforms_of("powerpc64le-linux", glibc=(2, 28))
    assert tags[:2] == ["linux_ppc64le", "manylinux_2_28_ppc64le"]
    assert {"manylinux2014_ppc64le", "manylinux1_ppc64le"} <= set(tags)
    with pytest.raises(BadOption):
        platforms_of("x86_64-darwin", glibc=(2, 28))


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


def test_what_required_wheels_really_have(tmp_path: Path) -> None:
    """Fetched on request, their files decide: nothing is guessed by names any more."""
    for name, file in (("torch", "torch/lib/libtorch.so"), ("deep_down", "d/libexpat.so.99")):
        MadeWheel(name=name, files={file: tiny_library("x")}).write(tmp_path)
    pip = stub(
        tmp_path,
        "assert '--no-deps' not in sys.argv and sys.argv[-2:] == ['--', 'torch>=2'], sys.argv\n"
        f"import glob, shutil\nfor wheel in glob.glob({str(tmp_path)!r} + '/*.whl'):\n"
        "    shutil.copy(wheel, dest)",
    )
    place = Place(python="3.11", system="x86_64-linux")
    into = tmp_path / "into"
    files = files_of_required(["torch>=2"], place, into=str(into), environment=os.environ, pip=pip)
    required = HEADERS + "\nRequires-Dist: torch>=2"
    needed = ("libtorch.so", "libtorch_cuda.so", "libexpat.so.99", "libgfortran.so.5")
    wheel = made(into, needed=needed, headers=required)
    assert requirements_in(wheel.headers, place)[-1] == "torch>=2"
    text = write(wheel, beside=files)
    assert "buildInputs = [ pkgs.gfortran.cc.lib ];" in text
    assert "# libexpat.so.99: in the required wheel deep-down." in text
    assert "# libtorch.so: in the required wheel torch." in text
    assert "# libtorch_cuda.so: missing in torch, which is at hand." in text
    assert 'manylinuxIgnoreMissingDeps = [ "libtorch_cuda.so" ];' in text


def test_download(tmp_path: Path) -> None:
    """The client is asked once for each Python and system; a file that serves two is kept once."""
    pip = stub(
        tmp_path,
        "python = sys.argv[sys.argv.index('--python-version') + 1]\n"
        "assert sys.argv[-2:] == ['--', 'demo==1.0']\n"
        "name = 'demo-1.0-cp310-abi3-x.whl' if python != '3.9' else 'demo-1.0-cp39-cp39-x.whl'\n"
        "open(os.path.join(dest, name), 'w').close()",
    )
    found = download_wheels(
        "demo==1.0",
        python_versions=["3.9", "3.11", "3.12"],
        systems=["x86_64-linux"],
        into=str(tmp_path / "into"),
        environment=os.environ,
        pip=pip,
    )
    names = [os.path.basename(path) for path in found]
    assert names == ["demo-1.0-cp310-abi3-x.whl", "demo-1.0-cp39-cp39-x.whl"]
    assert all(os.path.isfile(path) for path in found)


def test_a_python_without_the_gil(tmp_path: Path) -> None:
    """Its version ends in "t"; the client is asked for its ABI, and for abi3t (PEP 803)."""
    pip = stub(
        tmp_path,
        "words = sys.argv[1:]\n"
        "assert words[words.index('--python-version') + 1] == '3.14', words\n"
        "abis = [after for word, after in zip(words, words[1:]) if word == '--abi']\n"
        "assert abis == ['cp314t', 'abi3t'], words\n"
        "open(os.path.join(words[words.index('--dest') + 1], 'demo-1.0-x.whl'), 'w').close()",
    )
    (found,) = download_wheels(
        "demo==1.0",
        python_versions=["3.14t"],
        systems=["x86_64-linux"],
        into=str(tmp_path / "into"),
        environment=os.environ,
        pip=pip,
    )
    assert os.path.basename(found) == "demo-1.0-x.whl"


def test_with_and_without_the_gil(tmp_path: Path) -> None:
    """A Python without it is of the same version to nixpkgs, and told by its program's name."""
    headers = 'Requires-Dist: new; python_version >= "3.14"'
    wheels = [
        made(tmp_path, tag=f"{tags}-manylinux_2_28_x86_64", headers=headers)
        for tags in ("cp310-cp310", "cp314-cp314", "cp314-cp314t")
    ]
    text = write(*wheels, python_versions=("3.10", "3.14", "3.14t"), systems=("x86_64-linux",))
    assert '  freeThreaded = lib.hasSuffix "t" (python.executable or "");\n' in text
    assert '[ "3.14 x86_64-linux" ]' in text
    assert text.startswith("{\n  lib,\n")
    assert "freeThreaded" not in write(*wheels[:2])
    assert "freeThreaded" not in write(wheels[2])


@pytest.mark.parametrize("requirement", ["demo", "demo>=1", "demo==1.0; x", "-e .", "demo==1 --x"])
def test_download_wants_a_release(requirement: str, tmp_path: Path) -> None:
    """Only NAME==VERSION is handed to the client, nothing that it could take for an option."""
    with pytest.raises(BadOption, match="neither a wheel nor NAME==VERSION"):
        download_wheels(
            requirement,
            python_versions=["3.11"],
            systems=["x86_64-linux"],
            into=str(tmp_path),
            environment={},
        )


def test_download_fails(tmp_path: Path) -> None:
    """What the client says is what we say, with the release, the Python and the system."""
    pip = stub(tmp_path, "sys.exit('ERROR: No matching distribution found for demo==1.0')")
    with pytest.raises(NoSuchWheel, match="No matching distribution") as caught:
        download_wheels(
            "demo==1.0",
            python_versions=["3.11"],
            systems=["x86_64-linux"],
            into=str(tmp_path),
            environment=os.environ,
            pip=pip,
        )
    assert caught.value.where == "demo==1.0 for Python 3.11 on x86_64-linux"

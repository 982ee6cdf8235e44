"""Of files for several CUDAs one kind is kept, the one that fits, and the rest is removed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
from tests.support.expressions import every_note
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.cli.main import main
from nix_manylinux.nix.expression import download
from nix_manylinux.nix.expression.choosing import braces
from nix_manylinux.nix.expression.cuda import Cuda, cuda_required_by_loader, loader_of_cuda
from nix_manylinux.nix.expression.dependencies import cuda_required
from nix_manylinux.nix.expression.wheel import DescribedWheel, describe_wheel
from nix_manylinux.nix.expression.write import Expression, build_expression
from nix_manylinux.nix.nixpkgs import Nixpkgs
from nix_manylinux.target.place import Place

if TYPE_CHECKING:
    from pathlib import Path


def for_cudas(folder: Path, *, tag: str = "py3-none-manylinux_2_24_x86_64") -> DescribedWheel:
    """Make a wheel with a file for each of three CUDAs, which loads torch."""
    files = {
        f"demo/libdemo_cuda{version}0.so": tiny_library("", f"libcudart.so.{version}")
        for version in (11, 12, 13)
    }
    metadata = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Dist: torch\n"
    files["demo/__init__.py"] = b""
    return describe_wheel(
        MadeWheel(name="demo", version="1.0", tag=tag, files=files, metadata=metadata).write(folder)
    )


def written(
    *wheels: DescribedWheel,
    beside: dict[str, frozenset[str]] | None = None,
    for_nixpkgs: bool = True,
) -> Expression:
    """Write an expression for nixpkgs."""
    return build_expression(wheels, beside=beside, for_nixpkgs=for_nixpkgs)


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["liba.so"], "liba.so"),
        (["x_core4.so", "x_core5.so", "x_ops4.so", "x_ops5.so"], "x_{core,ops}{4,5}.so"),
        (["b_cuda118.so", "b_cuda130.so", "b_cpu.so"], "b_{cuda{118,130},cpu}.so"),
        (["libb_cuda118.so", "libb_cuda130.so"], "libb_cuda{118,130}.so"),
        (["MPI.mpich.so", "MPI.openmpi.so"], "MPI.{mpich,openmpi}.so"),
        (["libcore6.so", "libops6.so"], "lib{core,ops}6.so"),
        (["aa.so", "aaa.so"], "{,a}aa.so"),
        (["lib12.so", "lib2.so"], "lib{12,2}.so"),
        (["a b1.so", "a b2.so"], "'a b'{1,2}.so"),
        (["lib.so", "lib1.so", "lib11.so"], "lib{,1,11}.so"),
        (["a.so", "b"], "{a.so,b}"),
        (["$x1.so", "$x2.so"], "'$x'{1,2}.so"),
    ],
)  # fmt: skip
def test_one_word_for_many_files(names: list[str], word: str) -> None:
    """Bash makes the files' names of it, these and no others."""
    assert braces(names) == word
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {word}"], capture_output=True, text=True, check=True
    )
    assert sorted(done.stdout.splitlines()) == sorted(names)
    assert shlex.split(word)


def test_the_usual_cuda(tmp_path: Path) -> None:
    """Where nobody says which CUDA torch has it is that of cudaPackages, and so it is told."""
    found = written(for_cudas(tmp_path))
    assert (
        "  # Must be torch's CUDA: nixpkgs' usual one is taken.\n"
        "  buildInputs = [ cudaPackages_12.cuda_cudart ];\n" in found.text
    )
    assert "    rm $out/${python.sitePackages}/demo/libdemo_cuda{110,130}.so\n" in found.text
    assert "    torch-bin\n" in found.text or "[ torch-bin ]" in found.text
    assert "Files for cudaPackages_13.cuda_cudart are in the wheel, too." in every_note(found)


def test_the_cuda_of_required_wheels(tmp_path: Path) -> None:
    """Nixpkgs has CUDA from no wheel; of which version it is the fetched wheels tell."""
    beside = {
        "torch": frozenset({"libtorch.so"}),
        "nvidia-cuda-runtime": frozenset({"libcudart.so.13"}),
    }
    text = written(for_cudas(tmp_path), beside=beside).text
    assert (
        "  # Must be torch's CUDA: the required wheel nvidia-cuda-runtime brings 13.\n"
        "  buildInputs = [ cudaPackages_13.cuda_cudart ];\n" in text
    )
    assert "/libdemo_cuda{110,120}.so\n" in text
    # Elsewhere it is those wheels that bring it.
    text = written(for_cudas(tmp_path), beside=beside, for_nixpkgs=False).text
    assert "buildInputs" not in text
    assert "/libdemo_cuda{110,120}.so\n" in text


def test_each_system_by_itself(tmp_path: Path) -> None:
    """What one system's wheel alone has is an input, removed or ignored on that system alone."""
    both = ("libgfortran.so.5",)
    wheels = []
    for system, more in (("x86_64", ("libquadmath.so.0", "libtbb.so.12")), ("aarch64", ())):
        files = {"demo/fast.so": tiny_library("fast.so", *both, *more), "demo/__init__.py": b""}
        nowhere = ("libmimerapi.so", *(["libclntsh.so.23.1"] if more else []))
        files["demo/libplugin.so"] = tiny_library("libplugin.so", *nowhere)
        folder = tmp_path / system
        folder.mkdir()
        if more:
            files |= {
                f"demo/lib{name}{n}.so": tiny_library("", f"libavutil.so.{version}")
                for name in ("core", "ops") for n, version in ((6, 58), (8, 60))
            }  # fmt: skip
        tag = f"cp311-abi3-manylinux_2_28_{system}"
        wheels.append(
            describe_wheel(
                MadeWheel(name="demo", version="1.0", tag=tag, files=files).write(folder)
            )
        )
    text = written(*wheels).text
    assert 'format = "manylinux_2_28";\n' in text
    assert (
        "  buildInputs = [ (lib.getLib gfortran.cc) ]\n"
        "  ++ lib.optionals stdenv.hostPlatform.isx86_64 [\n    ffmpeg_8\n    onetbb\n"
        "  ];\n"
    ) in text
    assert (
        "  postInstall = lib.optionalString stdenv.hostPlatform.isx86_64 ''\n"
        "    rm $out/${python.sitePackages}/demo/lib{core,ops}6.so\n"
        "  '';\n"
    ) in text
    # An entry that nothing needs stops the build.
    assert (
        '  manylinuxIgnoreMissingDeps = [ "libmimerapi.so" ]\n'
        '  ++ lib.optionals stdenv.hostPlatform.isx86_64 [ "libclntsh.so.23.1" ];\n'
    ) in text
    only = written(wheels[0]).text
    assert "optional" not in only


def test_shared_by_all_pythons(tmp_path: Path) -> None:
    """A module's name holds its Python: what all wheels have, each under its name, is one glob."""
    wheels = []
    for python in ("311", "312"):
        files = {
            f"demo/MPI.{name}.cpython-{python}-x86_64-linux-gnu.so": tiny_library(
                "", f"libmpi.so.{version}"
            )
            for name, version in (("mpich", 12), ("openmpi", 40))
        }
        files["demo/__init__.py"] = b""
        tag = f"cp{python}-cp{python}-manylinux_2_28_x86_64"
        path = MadeWheel(name="demo", version="1.0", tag=tag, files=files).write(tmp_path)
        wheels.append(describe_wheel(path))
    text = written(*wheels).text
    assert "    rm $out/${python.sitePackages}/demo/MPI.mpich.*.so\n" in text
    assert text.count("rm ") == 1


@pytest.mark.parametrize(
    ("requires", "version"),
    [
        (["nvidia-cuda-runtime-cu12==12.8.90", "nvidia-nccl-cu12==2.27.5", "sympy"], "12"),
        (["cuda-toolkit[cublas,cudart]==13.0.3", "nvidia-cudnn-cu13==9.24.0.43"], "13"),
        (["nvidia-cuda-runtime==13.0.2"], "13"),
        (["nvidia-cudnn-cu12", "cuda-toolkit==13.0.3"], ""),
        (["sympy"], ""),
    ],
)
def test_the_cuda_that_metadata_names(requires: list[str], version: str) -> None:
    """Of what torch requires the names or versions tell, where they agree."""
    assert cuda_required(requires) == version


def test_torch_is_asked_for_its_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client gives METADATA of the torch that it would take; where it can't, nobody knows."""
    wheel = for_cudas(tmp_path)
    place = Place(python="3.12", system="x86_64-linux")
    (tmp_path / "pip.py").write_text(
        "import json, sys\n"
        "words = sys.argv[1:]\n"
        "assert words[0] == 'install' and '--dry-run' in words and words[-1] == 'torch', words\n"
        "needs = ['cuda-toolkit==13.0.3; os_name == \"posix\"', 'win==1; os_name == \"nt\"']\n"
        "found = {'name': 'torch', 'version': '2.14.1', 'requires_dist': needs}\n"
        "found = {'install': [{'metadata': found}]}\n"
        "json.dump(found, open(words[words.index('--report') + 1], 'w'))\n"
    )
    pip = [sys.executable, str(tmp_path / "pip.py")]
    asked = partial(cuda_required_by_loader, into=str(tmp_path), environment=os.environ)
    assert loader_of_cuda(wheel, place) == "torch"
    monkeypatch.setattr(download, "pip_command", lambda _: pip)
    cuda = asked("torch", place)
    assert cuda == Cuda("13", "torch 2.14.1 requires")
    text = build_expression([wheel], cuda=cuda).text
    assert "  # Must be torch's CUDA: torch 2.14.1 requires 13.\n" in text
    assert "[ cudaPackages_13.cuda_cudart ]" in text
    (tmp_path / "pip.py").write_text("exit(1)")
    assert asked("torch", place) is None
    (tmp_path / "pip.py").write_text("")
    assert asked("torch", place, into=str(tmp_path / "new")) is None
    other = MadeWheel(name="other", tag="py3-none-any", files={"o.py": b""}).write(tmp_path)
    assert loader_of_cuda(describe_wheel(other), place) == ""


@pytest.mark.parametrize(
    ("words", "package", "why"),
    [
        ([], "torch-bin", "nixpkgs' torch-bin has 12"),
        (["--cuda", "13"], "torch-bin", "asked for is 13"),
        ([], "torch", "nixpkgs' usual one is taken"),
    ],
)
def test_the_cuda_of_nixpkgs(
    words: list[str],
    package: str,
    why: str,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What counts is nixpkgs' own torch; where that can't be asked, the author is told how."""
    at_hand = Nixpkgs(
        python="3.13", system="x86_64-linux", packages=frozenset({package}), attributes=frozenset()
    )
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: at_hand)
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_cuda", lambda *_: "12")
    for_cudas(tmp_path)
    (wheel,) = map(str, tmp_path.glob("*.whl"))
    assert main(["expr", "--for-nixpkgs", wheel, *words]) == 0
    said = capsys.readouterr()
    assert f"Must be torch's CUDA: {why}.\n" in said.out
    assert f"[ cudaPackages_{words[1] if words else 12}.cuda_cudart ]" in said.out
    check = "cudaPackages_12 has to be what nixpkgs' torch-bin has; where it is not, the same"
    assert (check in said.err) == ("usual" in why)


def test_each_system_has_its_format(tmp_path: Path) -> None:
    """What one system's policy brings is an input on the others, where theirs doesn't."""
    wheels = []
    for tag in ("manylinux1_x86_64", "manylinux_2_28_aarch64"):
        files = {"demo/__init__.py": b"", "demo/a.so": tiny_library("a.so", "libexpat.so.1")}
        made = MadeWheel(name="demo", version="1.0", tag=f"py3-none-{tag}", files=files)
        wheels.append(describe_wheel(made.write(tmp_path)))
    text = written(*wheels).text
    assert (
        '  format = if stdenv.hostPlatform.isx86_64 then "manylinux1" else "manylinux_2_28";\n'
        in text
    )
    assert "  buildInputs = [ expat ];\n" in text
    assert "  stdenv,\n" in text
    assert "buildInputs" not in written(wheels[1]).text


def test_who_updates_it_has_the_command(tmp_path: Path) -> None:
    """Several hashes are changed by what has written them, one is by anybody."""
    wheels = [
        describe_wheel(MadeWheel(tag=f"py3-none-{tag}").write(tmp_path))
        for tag in ("manylinux_2_28_x86_64", "manylinux_2_28_aarch64")
    ]
    build = partial(build_expression, for_nixpkgs=True)
    begin = "For another release, with all hashes (carry over what was filled in by hand):"
    said = f"\n  # {begin}\n  # COMMAND\n  src = fetchPypi {{"
    assert said in build(wheels, again="COMMAND").text
    assert "another release" not in build(wheels).text
    assert "another release" not in build(wheels[:1], again="COMMAND").text
    command = f"COMMAND {' '.join(['--runtime-libs libwanted.so.1'] * 9)}"
    (text,) = build(wheels, again=command).text.split("by hand):\n")[1:]
    lines = [line.strip(" #\\") for line in text.split("src =")[0].splitlines()]
    assert (" ".join(lines).strip(), len(lines) > 2) == (command, True)
    # An option is not parted from its value.
    assert not any(line.endswith("--runtime-libs") for line in lines)


@pytest.mark.parametrize("bundled", [False, True])
@pytest.mark.parametrize("declared", [False, True])
def test_two_cudas(
    *,
    bundled: bool,
    declared: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wheel that isn't for the CUDA of nixpkgs' torch is told of first, one asked for refused."""
    at_hand = Nixpkgs(
        python="3.11", system="x86_64-linux", packages=frozenset({"torch", "torch-bin"}),
        attributes=frozenset(),
    )  # fmt: skip
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: at_hand)
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_cuda", lambda *_: "12")
    needed = ["libtorch.so", *([] if bundled else ["libcudart.so.13"])]
    files = {"demo/__init__.py": b"", "demo/fast.so": tiny_library("fast.so", *needed)}
    if bundled:
        name = "libcudart.faf08d9a.so.13"
        files[f"demo.libs/{name}"] = tiny_library(name)
    metadata = "Metadata-Version: 2.4\nName: demo\nVersion: 1.0\n"
    metadata += "Requires-Dist: torch\n" if declared else ""
    tag = "cp311-cp311-manylinux_2_28_x86_64"
    wheel = MadeWheel(name="demo", version="1.0", tag=tag, files=files, metadata=metadata.encode())
    path = str(wheel.write(tmp_path))
    told = (
        "torch-bin of this nixpkgs has CUDA 12, this wheel is for 13: two CUDAs in one process;"
        " take the release of the wheel that fits, or wait for nixpkgs"
    )
    assert main(["expr", "--for-nixpkgs", path]) == 0
    said = capsys.readouterr()
    assert told in said.err.splitlines()[0]
    assert "torch-bin\n  ];" in said.out or "[ torch-bin ]" in said.out
    why = "bundles libcudart of CUDA 13" if bundled else "wants cudaPackages_13"
    assert f"# Must be torch's CUDA: the wheel {why}.\n" in said.out
    assert main(["expr", "--for-nixpkgs", path, "--cuda", "12"]) == 2
    assert "--cuda 12: the wheel is for CUDA 13 alone" in capsys.readouterr().err
    assert main(["expr", "--for-nixpkgs", path, "--cuda", "13"]) == 0
    assert "two CUDAs" not in capsys.readouterr().err
    # Where there is none to ask, how it is asked.
    monkeypatch.setattr("nix_manylinux.nix.nixpkgs.ask_nixpkgs", lambda _: None)
    assert main(["expr", "--for-nixpkgs", path]) == 0
    said = capsys.readouterr()
    taken = "CUDA 13" if bundled else "cudaPackages_13"
    assert f"{taken} has to be what nixpkgs' torch-bin has; where it is not, another" in said.err


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("10", "--cuda 10: the wheel is for CUDA 11, 12 and 13\n"),
        ("10.2", "--cuda 10: the wheel is for CUDA 11, 12 and 13\n"),
        ("cu12", "--cuda cu12: is no version of CUDA\n  such as: --cuda 12\n"),
        ("11", "--cuda 11: no package is known for its libraries, and CUDA 13 was taken\n"),
    ],
)
def test_a_cuda_that_cannot_be(
    version: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would get another one in silence is refused, whatever of the two has it not."""
    for_cudas(tmp_path)
    (wheel,) = map(str, tmp_path.glob("*.whl"))
    assert main(["expr", "--for-nixpkgs", wheel, "--cuda", version]) == 2
    assert said in capsys.readouterr().err

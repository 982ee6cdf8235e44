"""What the author of a file of nixpkgs is told: where it goes, what to fill in, what to check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.expressions import every_note, made, written
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.base.values import replace
from nix_manylinux.nix.expression.wheel import DescribedWheel, describe_wheel
from nix_manylinux.nix.nixpkgs import Nixpkgs

if TYPE_CHECKING:
    from pathlib import Path


def test_the_wheel_that_nixpkgs_has(tmp_path: Path) -> None:
    """Whose libraries are linked to is taken from its wheel, where nixpkgs has one, too."""
    headers = "Requires-Dist: torch\nRequires-Dist: torchvision"
    wheel = made(tmp_path, "libtorch.so", name="torchaudio", headers=headers)
    found = written(wheel)
    # torchvision is imported, not linked to.
    assert "  dependencies = [\n    torch-bin\n    torchvision\n  ];\n" in found.text
    assert 'pname = "torchaudio";' in found.text
    assert not any(note.startswith("save it as") for note in every_note(found))
    assert any(
        note.startswith("nixpkgs has torchaudio-bin already, from its wheel: bump")
        for note in every_note(found)
    )
    assert not any("Take the wheel" in note for note in every_note(found))
    # The nixpkgs at hand is believed.
    packages = frozenset({"torch", "torchvision"})
    at_hand = Nixpkgs(
        python="3.11", system="x86_64-linux", packages=packages, attributes=frozenset()
    )
    text = written(wheel, nixpkgs=at_hand, for_nixpkgs=False).text
    assert "    torch\n" in text
    assert "Take the wheel of torch, too" in text
    text = written(
        wheel, nixpkgs=replace(at_hand, packages=packages | {"torch-bin"}), for_nixpkgs=False
    ).text
    assert "    torch-bin\n" in text
    assert "Take the wheel" not in text


def test_why_it_is_not_the_first(tmp_path: Path) -> None:
    """Of what nixpkgs builds from source the wheel is a second package, and the author is told."""

    def place(*args: DescribedWheel, at_hand: Nixpkgs | None = None) -> tuple[str, ...]:
        return written(*args, nixpkgs=at_hand).notes["Where it goes:"]

    said = "save it as pkgs/development/python-modules/{0}/bin.nix, since nixpkgs builds {0} from"
    assert place(made(tmp_path, name="ruff"))[0].startswith(said.format("ruff"))
    wheel = made(tmp_path, name="some")
    maybe = (
        "if nixpkgs has some already, from source (look in python-packages.nix), this is some-bin,"
        " in bin.nix beside it"
    )
    other = (
        "imported as demo, which nixpkgs builds from source. If that has the same homepage, save"
    )
    assert maybe in place(wheel)
    at_hand = Nixpkgs(
        python="3.13", system="x86_64-linux", packages=frozenset({"demo"}), attributes=frozenset()
    )
    # A part of nixpkgs says nothing of what it lacks.
    notes = place(wheel, at_hand=at_hand)
    assert maybe in notes
    (note,) = (note for note in notes if note.startswith(other))
    assert note.endswith("\ndemo-bin = callPackage ../development/python-modules/demo/bin.nix { };")
    attributes = frozenset({"some", "demo", *map(str, range(10_000))})
    notes = place(wheel, at_hand=replace(at_hand, attributes=attributes))
    top = "nixpkgs has pkgs.{}: look whether that brings the Python package, too"
    assert top.format("some") in notes
    assert top.format("demo") not in notes
    assert maybe not in notes
    # What has its own from source is not another package's wheel.
    packages = frozenset({"some", "demo"})
    notes = place(wheel, at_hand=replace(at_hand, packages=packages))
    assert notes[0].startswith(said.format("some"))
    assert not any(note.startswith("imported as") for note in notes)
    # That nixpkgs has to take such files first is said wherever one goes.
    assert notes[-1].startswith("its format, and a fetchPypi that takes file, come with pull req")
    plain = made(tmp_path, name="some", tag="py3-none-any")
    assert place(plain)[-1].startswith("a fetchPypi for it comes with pull requests 1, 2 and 4 of")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("LGPL v2.1", 'lgpl21Only, or lgpl21Plus where its files say "any later version"'),
        ("GNU Lesser General Public License version 3", "lgpl3Only, or lgpl3Plus where its"),
        ("GPL, version 2 or any later version", "gpl2Plus"),
        ("AGPL 3", 'agpl3Only, or agpl3Plus where its files say "any later version"'),
        ("Dual - GNU AFFERO GPL 3.0 or Commercial", "agpl3Only, or agpl3Plus where its files"),
        ("GPLv2-or-later with an exception", "gpl2Plus"),
        ("Apache licensed, see LICENSE", "asl20, where it is version 2.0"),
        ("Proprietary", "unfree, or unfreeRedistributable where it may be passed on"),
        ("BSD-style", "bsd2 or bsd3, by the number of its clauses"),
        ("GPL", "one of lib.licenses"),
        ("as is", "one of lib.licenses"),
    ],
)
def test_what_a_license_may_be(text: str, told: str, tmp_path: Path) -> None:
    """Words that leave open which of two it is lead to both."""
    notes = written(made(tmp_path, headers=f"License: {text}")).notes["To fill in:"]
    assert any(note.startswith(f"license: METADATA says {text!r}; meta.license waits for {told}")
               for note in notes)  # fmt: skip


def test_a_description_that_names_the_package(tmp_path: Path) -> None:
    """A reviewer asks for one that doesn't; what it says else nobody can tell."""
    said = "description begins with the package's name, which nixpkgs doesn't take"
    for summary, told in (
        ("Some-Thing is fast", True), ("Demo", True), ("Some", False), ("SomeThing: it", True),
        ("Some_Thing: it is fast", True), ("Some thing Runtime", True), ("Something", True),
        ("Thing that is some", False),
    ):  # fmt: skip
        wheel = made(tmp_path, name="some_thing", headers=f"Summary: {summary}")
        assert (said in every_note(written(wheel))) == told
    assert "description: METADATA has no summary" in every_note(written(made(tmp_path)))
    short = "description: nixpkgs has one short phrase"
    for summary, told in (
        ("Fast. See the notice", True),
        ("word " * 30, True),
        ("A 2.0 API", False),
    ):
        wheel = made(tmp_path, name="some_thing", headers=f"Summary: {summary}")
        assert (short in every_note(written(wheel))) == told


@pytest.mark.parametrize("name", ["LICENSE", "licenses/LICENCE.txt", "AUTHORS"])
def test_how_a_license_begins(name: str, tmp_path: Path) -> None:
    """Where neither METADATA nor its title has a word that nixpkgs knows, the file is quoted."""
    files = {
        "demo/fast.so": tiny_library("fast.so"),
        f"demo-1.0.dist-info/{name}": b"\n****\n  Some License\n\nCopyright",
    }
    wheel = MadeWheel(name="demo", version="1.0", tag="py3-none-linux_x86_64", files=files)
    told = ", LICENSE begins 'Some License'" if "LICEN" in name else ""
    said = f"license: METADATA names none{told}; meta.license waits for one of lib.licenses"
    assert said in every_note(written(describe_wheel(wheel.write(tmp_path))))


def test_a_pure_wheel(tmp_path: Path) -> None:
    """Of what is not compiled nixpkgs takes the source."""
    wheel = MadeWheel(name="demo", tag="py3-none-any", files={"demo/__init__.py": b""})
    said = "nothing of it is compiled: nixpkgs builds such a package from its source archive"
    assert said in every_note(written(describe_wheel(wheel.write(tmp_path))))
    assert said not in every_note(written(made(tmp_path)))


def test_required_versions(tmp_path: Path) -> None:
    """Nixpkgs has one version of each, and doesn't hold it against a wheel's METADATA."""
    headers = (
        "Provides-Extra: test\nProvides-Extra: web\nRequires-Dist: torch<3,!=2.5,>=2.4\n"
        "Requires-Dist: Num_Py>=1.17\nRequires-Dist: num-py>=1.17\nRequires-Dist: packaging\n"
        "Requires-Dist: win>1; os_name == 'nt'\n"
        "Requires-Dist: tornado~=6.0; extra == 'web'\nRequires-Dist: pytest>9; extra == 'test'"
    )
    wheel = made(tmp_path, headers=headers)
    found = written(wheel)
    assert (
        "METADATA wants torch>=2.4,<3,!=2.5, num-py>=1.17, tornado~=6.0 (extra web): hold"
        " nixpkgs' versions against that, as pythonRuntimeDepsCheckHook does for what nixpkgs"
        " builds"
    ) in every_note(found)
    assert "METADATA wants" not in found.text
    assert "METADATA wants" not in written(wheel, for_nixpkgs=False).text


def test_what_metadata_names_no_release_of(tmp_path: Path) -> None:
    """A package that files need, and METADATA doesn't, has no release: that is to be looked up."""
    said = "which release of torch goes with demo==1.0: METADATA doesn't say, the project's"
    notes = written(made(tmp_path, "libc10.so")).notes["To check:"]
    assert any(note.startswith(said) for note in notes)
    wheel = made(tmp_path, "libc10.so", headers="Requires-Dist: torch==2.9")
    assert not any(note.startswith(said) for note in every_note(written(wheel)))


def test_a_license_that_says_otherwise(tmp_path: Path) -> None:
    """Of pin METADATA says BSD-3-Clause, LICENSE BSD 2-Clause: the author is to look."""
    said = "license: METADATA says 'BSD-3-Clause', LICENSE begins {!r}: look which of them it is"
    for title, told in (
        ("BSD 2-Clause License", True),
        ("BSD 3-Clause License", False),
        ("X", False),
    ):
        metadata = "Metadata-Version: 2.4\nName: demo\nVersion: 1.0\nLicense: BSD-3-Clause\n"
        files = {
            "demo/fast.so": tiny_library("fast.so"),
            "demo-1.0.dist-info/LICENSE": title.encode(),
        }
        wheel = MadeWheel(name="demo", version="1.0", files=files, metadata=metadata.encode())
        found = written(describe_wheel(wheel.write(tmp_path)))
        assert (said.format(title) in every_note(found)) == told
        assert "license = lib.licenses.bsd3;" in found.text


def test_what_stops_the_build_is_told(tmp_path: Path) -> None:
    """Who reads what is told, and not the file, is not to send one that doesn't build."""
    notes = written(made(tmp_path, "libnowhere.so.1")).notes["To fill in:"]
    (note,) = (note for note in notes if note.startswith("buildInputs, or manylinuxIgnoreMissing"))
    assert "wants libnowhere.so.1. The build stops until" in note


def test_a_homepage_leads_to_other_names(tmp_path: Path) -> None:
    """What nixpkgs calls otherwise (usd-core: openusd) is found by it; a command to paste."""
    headers = "Project-URL: Homepage, https://www.openusd.org/"
    found = written(made(tmp_path, name="usd_core", headers=headers))
    (note,) = (
        each for each in found.notes["Where it goes:"] if "its homepage tells whether" in each
    )
    assert note.endswith(":\ngit grep -lF openusd.org pkgs")
    assert not any("its homepage" in each for each in every_note(written(made(tmp_path))))

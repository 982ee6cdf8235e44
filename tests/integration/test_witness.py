"""pyelftools as the second reader of what was written: it has the last word where it is asked."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.elf import ElfBuilder
from tests.support.installed import command
from tests.support.trees import snapshot
from tests.support.wheels import MadeWheel

from nix_manylinux.base.errors import EditFailed
from nix_manylinux.base.values import replace
from nix_manylinux.cli.main import main
from nix_manylinux.elf import witness
from nix_manylinux.elf.edit import edit as writer
from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf
from nix_manylinux.target.target import from_running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def lie(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    """Let pyelftools read something else than what is there."""
    honest: Callable[[Any], dict[str, object]] = witness.read_testimony
    monkeypatch.setattr(witness, "read_testimony", lambda file: {**honest(file), **fields})


@pytest.fixture
def made(tmp_path: Path) -> str:
    """Make a wheel with a library whose search path leads nowhere."""
    library = ElfBuilder(tmp_path / "elf").library("a.so", runpath="/nowhere").read_bytes()
    return MadeWheel(tag="py3-none-linux_x86_64", files={"made/a.so": library}).write(tmp_path)


@pytest.fixture
def tree(made: str, tmp_path: Path) -> Path:
    """Unpack that wheel."""
    with zipfile.ZipFile(made) as archive:
        archive.extractall(tmp_path / "tree")
    return tmp_path / "tree"


LINKER = ("--dynamic-linker", from_running().dynamic_linker)


def test_patch_asks_it_of_trees_and_wheels(made: str, tree: Path, tmp_path: Path) -> None:
    """What was written is read back by both, and stays."""
    done = command("patch", str(tree), "--witness", *LINKER)
    assert done.status == 0, done.stderr
    facts = read_elf(tree / "made/a.so")
    assert facts is not None
    assert facts.runpath is None
    done = command("patch", made, "--witness", "--output-dir", str(tmp_path / "out"), *LINKER)
    assert done.status == 0, done.stderr


def test_what_it_contradicts_is_put_back(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tree is what it was, and the error says what each of the two read."""
    before = snapshot(tree)
    lie(monkeypatch, runpath="/elsewhere")
    assert main(["patch", str(tree), *LINKER, "--witness"]) == 1
    told = capsys.readouterr().err
    assert "made/a.so: runpath is '/elsewhere' for pyelftools, not None" in told
    assert snapshot(tree) == before
    assert main(["patch", str(tree), *LINKER]) == 0


def test_install_and_patch_of_a_wheel_ask_it_too(
    made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is installed, and no wheel written, of what it contradicts."""
    for words, where in (("install", "--prefix"), ("patch", "--output-dir")):
        place = tmp_path / words
        arguments = [words, made, where, str(place), *LINKER, "--witness"]
        with monkeypatch.context() as patch:
            lie(patch, soname="libother.so")
            assert main(arguments) == 1
        assert "soname is 'libother.so' for pyelftools" in capsys.readouterr().err
        assert not [path for path in place.rglob("*") if path.is_file()]
        assert main(arguments) == 0


def test_what_it_cannot_read_is_refused(tmp_path: Path) -> None:
    """Whatever pyelftools raises becomes one kind of error, with the file's name."""
    path = tmp_path / "odd.so"
    path.write_bytes(b"\x7fELF\2\1\1" + bytes(9) + b"\xff" * 200)
    library = read_elf(ElfBuilder(tmp_path / "elf").library())
    assert library is not None
    with pytest.raises(EditFailed, match=r"odd\.so: pyelftools can't read it"):
        witness.call_witness(str(path), library, label="odd.so")


def test_patchelf_is_always_read_back_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What patchelf made reaches no file unless both readers say the same of it."""
    path = tmp_path / "library.so"
    path.write_bytes(ElfBuilder(tmp_path / "elf").library(libc=True).read_bytes())
    before = path.read_bytes()
    monkeypatch.setattr(writer, "plans", lambda _: iter(()))
    edit = ElfEdit(search_path=("/" + "x" * 300,))
    with monkeypatch.context() as patch:
        lie(patch, soname="libother.so")
        with pytest.raises(EditFailed, match="what patchelf made of it is not sound: soname is"):
            edit_file(str(path), edit)
    assert path.read_bytes() == before
    assert edit_file(str(path), edit).how == "patchelf"


def test_names_of_any_bytes_are_the_same_for_both(tmp_path: Path) -> None:
    """A path that is not UTF-8 is no contradiction."""
    path = tmp_path / "library.so"
    path.write_bytes(ElfBuilder(tmp_path / "elf").library().read_bytes())
    edit_file(str(path), ElfEdit(search_path=("/caf\udce9", "/café")))
    facts = read_elf(path)
    assert facts is not None
    witness.call_witness(str(path), facts, label="library.so")
    with pytest.raises(EditFailed, match="runpath is"):
        witness.call_witness(str(path), replace(facts, runpath="/café"), label="library.so")


def test_repair_asks_it_of_what_it_edited(
    made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wheel that it contradicts is not written."""
    words = ["repair", made, "--require-witness", "-o"]
    assert main([*words, str(tmp_path / "good")]) == 0
    lie(monkeypatch, needed=("libelse.so",))
    assert main([*words, str(tmp_path / "bad")]) == 1
    assert "needed is ('libelse.so',) for pyelftools" in capsys.readouterr().err
    assert not list((tmp_path / "bad").glob("*"))

"""Every machine, class and byte order; every linker: edited files are run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.elf_matrix import CROSS, MUSL, NATIVE, OUTPUT, Case, bare

from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf

LONG = tuple(f"/nix/store/{i:032d}-package-{i}-1.2.3/lib" for i in range(5))
ALL = (*NATIVE, *CROSS, MUSL)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each case is built once."""
    return tmp_path_factory.mktemp("matrix")


def built(case: Case, workshop: Path, folder: Path) -> tuple[Path, Path]:
    """Copy the case's library and program."""
    missing = case.missing()
    if missing is not None:
        pytest.skip(f"no {missing} on this machine")
    originals = case.build(workshop / case.name)
    library, program = (Path(shutil.copy(path, folder)) for path in originals)
    return library, program


def longer(interpreter: str) -> str:
    """Another name of the same file, too long for the place of the old one."""
    folder, _, name = interpreter.rpartition("/")
    return folder + "/." * 60 + "/" + name


def edit(path: Path, changes: ElfEdit) -> None:
    """Edit a file, by our own writer and no other."""
    assert edit_file(str(path), changes).how == "in place"


def edit_both(library: Path, program: Path) -> None:
    """Give library and program all the edits that need room."""
    edit(
        library,
        ElfEdit(search_path=("$ORIGIN", *LONG), inherited=True, add_needed=("libm.so.6",)),
    )
    facts = read_elf(program)
    assert facts is not None
    assert facts.interpreter is not None
    path = (str(library.parent), *LONG)
    changes = ElfEdit(search_path=path, interpreter=longer(facts.interpreter))
    edit(program, changes)
    facts = read_elf(program)
    assert facts is not None
    assert facts.search_path == path
    assert facts.interpreter == changes.interpreter


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_edited_files_run(case: Case, workshop: Path, tmp_path: Path) -> None:
    """Library and program run after their edits, and after a second round of them."""
    library, program = built(case, workshop, tmp_path)
    if case is MUSL:
        edit(program, ElfEdit(search_path=(str(tmp_path), *LONG)))
    else:
        edit_both(library, program)
    assert case.run(program) == OUTPUT
    edit(library, ElfEdit(search_path=(*LONG, "/more", *LONG)))
    edit(program, ElfEdit(search_path=(*LONG, str(tmp_path), *LONG[:2])))
    assert case.run(program) == OUTPUT


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_files_without_section_headers_run(case: Case, workshop: Path, tmp_path: Path) -> None:
    """What segments alone tell is enough to edit safely."""
    library, program = built(case, workshop, tmp_path)
    for path in (library, program):
        path.write_bytes(bare(path.read_bytes()))
    if case is MUSL:
        edit(program, ElfEdit(search_path=(str(tmp_path), *LONG)))
    else:
        edit_both(library, program)
    assert case.run(program) == OUTPUT


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_edited_files_survive_strip(case: Case, workshop: Path, tmp_path: Path) -> None:
    """``strip`` and ``strip -S`` agree with the loader on where everything is."""
    library, program = built(case, workshop, tmp_path)
    if case is MUSL:
        edit(program, ElfEdit(search_path=(str(tmp_path), *LONG)))
    else:
        edit_both(library, program)
    prefix = case.compiler[0].removesuffix("gcc").removeprefix("musl-")
    for option in ("-S", "-s"):
        for path in (library, program):
            subprocess.run([f"{prefix}strip", option, str(path)], check=True)
        assert case.run(program) == OUTPUT

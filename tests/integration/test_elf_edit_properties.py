"""Random edits in a row, and by patchelf too: what readers then see is what was asked."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import host
from tests.support.elf import TARGETS, ElfBuilder
from tests.support.elf_matrix import bare

from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from pathlib import Path

WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.é\udc80", min_size=1, max_size=80)
DIRECTORIES = st.lists(WORDS.map(lambda word: "/nix/store/" + word), max_size=9).map(tuple)
EDITS = st.builds(
    ElfEdit,
    search_path=st.none() | DIRECTORIES,
    inherited=st.booleans(),
    add_needed=st.lists(WORDS.map(lambda word: f"lib{word}.so"), max_size=4).map(tuple),
    replace_needed=st.just(())
    | WORDS.map(lambda word: (("libneeded.so.1", f"lib{word}.so.1"),))
    | st.just((("libc.so.6", "libother.so.6"),)),
    remove_needed=st.just(()) | st.just(("libneeded.so.1", "libabsent.so")),
    soname=st.none() | WORDS,
    clear_executable_stack=st.booleans(),
)
SOURCE = """
extern int puts(const char *);
int demo(void) { return puts("x"); }
"""


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Make libraries of several machines; the last is the first without sections."""
    builder = ElfBuilder(tmp_path_factory.mktemp("properties"))
    found = []
    for target in (None, "x86-linux-gnu", "s390x-linux-gnu", "loongarch64-linux-gnu"):
        path = builder.library(
            "libdemo.so", source=SOURCE, target=target, needed=["libneeded.so.1"],
            libc=True,
            soname="libdemo.so.1", runpath="$ORIGIN/lib", flags=["-s"],
        )  # fmt: skip
        found.append(path.read_bytes())
    found.append(bare(found[0]))
    return found


def expected(facts: dict[str, object], edit: ElfEdit) -> dict[str, object]:
    """Say what the reader shall see after an edit of a file that it saw like that."""
    wanted = dict(facts)
    renamed = dict(edit.replace_needed)
    kept = [n for n in facts["needed"] if n not in edit.remove_needed]  # type: ignore[attr-defined]
    needed = [renamed.get(name, name) for name in kept]
    needed += [name for name in dict.fromkeys(edit.add_needed) if name not in needed]
    wanted["needed"] = tuple(needed)
    libraries = facts["libraries"]
    wanted["libraries"] = tuple(renamed.get(n, n) for n in libraries)  # type: ignore[attr-defined]
    if edit.soname is not None:
        wanted["soname"] = edit.soname
    if edit.search_path is not None:
        raw = ":".join(edit.search_path) or None
        wanted["rpath"], wanted["runpath"] = (raw, None) if edit.inherited else (None, raw)
    return wanted


def seen(path: Path) -> dict[str, object]:
    """Read what an edit can change."""
    facts = read_elf(path)
    assert facts is not None
    return {
        "needed": facts.needed,
        "rpath": facts.rpath,
        "runpath": facts.runpath,
        "soname": facts.soname,
        "libraries": tuple(need.library for need in facts.needs),
        "versions": tuple(need.version for need in facts.needs),
    }


@given(which=st.integers(0, 4), edits=st.lists(EDITS, min_size=1, max_size=5))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_edits_in_a_row(
    files: list[bytes], tmp_path: Path, which: int, edits: list[ElfEdit]
) -> None:
    """Each edit does what it says and no more, twice changes nothing, and all can be undone."""
    original = files[which]
    path = tmp_path / "libdemo.so"
    path.write_bytes(original)
    done = []
    for edit in edits:
        wanted = expected(seen(path), edit)
        done.append(edit_file(str(path), edit))
        assert done[-1].how != "patchelf"
        assert seen(path) == wanted
        assert edit_file(str(path), edit).how == "unchanged"
    for result in reversed(done):
        result.undo()
    assert path.read_bytes() == original


@pytest.mark.parametrize(
    "target", [name for name, machine in TARGETS.items() if machine.number not in {8, 20}]
)
def test_every_machine_reads_back(target: str, tmp_path: Path) -> None:
    """Zig makes files of machines that have no compiler here: loongarch64 among them."""
    path = tmp_path / "libdemo.so"
    original = ElfBuilder(tmp_path / "built").library(
        "libdemo.so", source=SOURCE, target=target, needed=["libneeded.so.1"]
    )
    path.write_bytes(original.read_bytes())
    edit = ElfEdit(
        search_path=("$ORIGIN", *(f"/nix/store/{i:032d}-x/lib" for i in range(7))),
        add_needed=tuple(f"libmore{i}.so" for i in range(9)),
        replace_needed=(("libneeded.so.1", "libquite-another.so.1"),),
        soname="libquite-another-soname.so.1",
    )
    wanted = expected(seen(path), edit)
    result = edit_file(str(path), edit)
    assert result.how == "in place"
    assert seen(path) == wanted
    # lld's DT_HASH for s390x has words of 4 bytes, of which readelf complains anyway.
    old, new = (
        subprocess.run(["readelf", "-aW", str(file)], capture_output=True, check=False).stderr
        for file in (original, path)
    )
    assert new == old


@given(path=DIRECTORIES.filter(len), inherited=st.booleans(), needed=WORDS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_patchelf_and_we_mean_the_same(
    files: list[bytes], tmp_path: Path, path: tuple[str, ...], needed: str, *, inherited: bool
) -> None:
    """The reader sees no difference between patchelf's edits and ours, nor does readelf."""
    raw, name = ":".join(path), f"lib{needed}.so"
    ours, theirs = tmp_path / "ours.so", tmp_path / "theirs.so"
    for file in (ours, theirs):
        file.write_bytes(files[0])
    edit_file(
        str(ours),
        ElfEdit(
            search_path=path,
            inherited=inherited,
            replace_needed=(("libneeded.so.1", name),),
            soname=name,
        ),
    )
    options = ["--force-rpath"] if inherited else []
    command = [host.patchelf(), *options, "--set-rpath", raw]
    command += ["--replace-needed", "libneeded.so.1", name, "--set-soname", name, str(theirs)]
    encoded = [part.encode("utf-8", "surrogateescape") for part in command]
    subprocess.run(encoded, check=True, capture_output=True)
    assert seen(ours) == seen(theirs)
    assert listed(ours) == listed(theirs)


def listed(path: Path) -> set[bytes]:
    """List the names that readelf sees in a dynamic section."""
    done = subprocess.run(["readelf", "-dW", str(path)], capture_output=True, check=True)
    assert not done.stderr
    return {line.split(b") ", 1)[-1].strip() for line in done.stdout.splitlines() if b"[" in line}

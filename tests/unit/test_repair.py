"""The parts of a repair, each by itself: names, tags, paths, first lines, properties."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.support.elf import ElfBuilder
from tests.support.elf_matrix import bare as without_sections

from nix_manylinux.base.errors import BadOption
from nix_manylinux.elf.facts import ElfFacts, ElfKind, Machine
from nix_manylinux.elf.symbols import dynamic_strings, has_symbols, needed_isa, wanted_symbols
from nix_manylinux.elf.tokens import origin_entry
from nix_manylinux.repair.edits import kept_entries
from nix_manylinux.repair.grafts import graft_name, tell_apart
from nix_manylinux.repair.leftovers import launcher, portable_shebang, store_paths
from nix_manylinux.repair.model import RepairOptions
from nix_manylinux.repair.sbom import cyclonedx
from nix_manylinux.repair.system import is_libpython, portable_interpreter
from nix_manylinux.repair.wheel import lib_dir
from nix_manylinux.target.policy import load_policies
from nix_manylinux.wheel.metadata import Distribution
from nix_manylinux.wheel.name import renamed, retagged

if TYPE_CHECKING:
    from pathlib import Path

STORE = "/nix/store/" + "0123456789abcdfghijklmnpqrsvwxyz"
MACHINE = Machine(number=62, bits=64, endian="little")


@pytest.mark.parametrize(
    ("digests", "links", "apart"),
    [
        ({"/1/a": "a", "/2/a": "a"}, {}, False),
        ({"/1/a": "a", "/2/a": "a", "/1/b": "b", "/2/b": "b"},
         {"/1/a": {"b": "/1/b"}, "/2/a": {"b": "/2/b"}}, False),
        ({"/1/a": "a", "/2/a": "a", "/1/b": "b", "/2/b": "B"},
         {"/1/a": {"b": "/1/b"}, "/2/a": {"b": "/2/b"}}, True),
        # Two steps away, and in a circle.
        ({"/1/a": "a", "/2/a": "a", "/1/b": "b", "/2/b": "b", "/1/c": "c", "/2/c": "C"},
         {"/1/a": {"b": "/1/b"}, "/2/a": {"b": "/2/b"}, "/1/b": {"c": "/1/c"},
          "/2/b": {"c": "/2/c"}, "/1/c": {"a": "/1/a"}, "/2/c": {"a": "/2/a"}}, True),
        ({"/1/a": "a", "/2/a": "a"},
         {"/1/a": {"x": "/w/1.so"}, "/2/a": {"x": "/w/2.so"}}, True),
    ],
)  # fmt: skip
def test_equal_libraries_with_other_needs(
    digests: dict[str, str], links: dict[str, dict[str, str]], *, apart: bool
) -> None:
    """They are two, as far as what they lead to is not equal, too; wherever that is."""
    found = tell_apart(digests, links, "/w")
    assert (found["/1/a"] != found["/2/a"]) is apart
    assert {path: found[path] == digests[path] for path in digests if "/a" in path} == (
        dict.fromkeys(("/1/a", "/2/a"), not apart)
    )
    moved = {path.replace("/1/", "/3/"): digest for path, digest in digests.items()}
    others = {
        path.replace("/1/", "/3/"): {n: got.replace("/1/", "/3/") for n, got in each.items()}
        for path, each in links.items()
    }
    again = tell_apart(moved, others, "/w")
    assert {path.replace("/3/", "/1/"): each for path, each in again.items()} == found


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("libz.so.1.3", "libz-1a2b3c4d.so.1.3"),
        ("libone.so", "libone-1a2b3c4d.so"),
        ("libpython3.11.so.1.0", "libpython3.11-1a2b3c4d.so.1.0"),
        ("odd.dll", "odd-1a2b3c4d.dll"),
        ("plain", "plain-1a2b3c4d"),
        ("libz-1a2b3c4d.so.1.3", "libz-1a2b3c4d.so.1.3"),
        ("a\\b\n\udcff.so.1", "a_b__-1a2b3c4d.so.1"),
    ],
)
def test_a_graft_is_named_by_what_it_is(name: str, wanted: str) -> None:
    """The hash stands in front of the suffix, once."""
    assert graft_name(name, "1a2b3c4d") == wanted


@pytest.mark.parametrize(
    ("head", "script", "wanted"),
    [
        (f"#!{STORE}-python3-3.12.1/bin/python3.12", True, "#!python"),
        (f"#! {STORE}-python3-3.12.1/bin/python3.12 -E", True, "#!python -E"),
        (f"#!{STORE}-python3-3.12.1/bin/python3.12", False, "#!/usr/bin/env python3"),
        (f"#!{STORE}-bash-5.2/bin/sh -eu", False, "#!/bin/sh -eu"),
        (f"#!{STORE}-bash-5.2/bin/bash", True, "#!/usr/bin/env bash"),
        (f"#!{STORE}-perl-5/bin/perl -w", False, "#!/usr/bin/env -S perl -w"),
        (f"#!{STORE}-coreutils-9/bin/env -S {STORE}-python3/bin/python3 -E", True, "#!python -E"),
        (
            f"#!{STORE}-coreutils-9/bin/env -S {STORE}-perl-5/bin/perl -w",
            False,
            "#!/usr/bin/env -S perl -w",
        ),
        (f"#!{STORE}-coreutils-9/bin/env -S perl -w", False, "#!/usr/bin/env -S perl -w"),
        (f"#!{STORE}-coreutils-9/bin/env perl", False, "#!/usr/bin/env perl"),
        (f"#!{STORE}-coreutils-9/bin/env -S", False, "#!/usr/bin/env -S"),
        ("#!/usr/bin/env python3", True, None),
        ("#!python", True, None),
        ("#!/nix/store/nothing/bin/python", True, None),
    ],
)
def test_first_lines(head: str, wanted: str | None, *, script: bool) -> None:
    """What names the store is found on any system; all else stays."""
    found = portable_shebang(head.encode(), ["/nix/store", "/gnu"], script=script)
    assert found == (None if wanted is None else wanted.encode())


def test_a_launcher_starts_what_was_moved(tmp_path: Path) -> None:
    """It finds the program on sys.path, hands all arguments on, and says so where it can't."""
    program = tmp_path / "made.scripts/tool"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    script = tmp_path / "tool.py"
    script.write_bytes(launcher("made.scripts", "tool"))
    command = ["python3", str(script), "a b", "c"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == "a b c\n"
    program.unlink()
    lost = subprocess.run(command, capture_output=True, text=True, check=False)
    assert lost.returncode == 1
    assert lost.stderr == "made.scripts/tool is in no folder of sys.path\n"


def test_tags() -> None:
    """Each Python and ABI of the name on each platform; the other lines of WHEEL stay."""
    old = b"Wheel-Version: 1.0\r\nRoot-Is-Purelib: True\r\nTag: x\nTag: y\nBuild: 2\n\nmore\n"
    name = "made-1.0-2-py2.py3-none-any.whl"
    platforms = ["manylinux2014_x86_64", "manylinux_2_17_x86_64"]
    assert renamed(name, platforms) == (
        "made-1.0-2-py2.py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
    )
    assert retagged(old, name, platforms).decode().splitlines() == [
        "Wheel-Version: 1.0",
        "Root-Is-Purelib: false",
        "Tag: py2-none-manylinux2014_x86_64",
        "Tag: py2-none-manylinux_2_17_x86_64",
        "Tag: py3-none-manylinux2014_x86_64",
        "Tag: py3-none-manylinux_2_17_x86_64",
        "Build: 2",
        "",
        "more",
    ]
    bare = retagged(b"Wheel-Version: 1.0\n", name, platforms[1:]).decode()
    assert bare.count("Tag: ") == 2
    assert renamed("made-1.0-cp312-cp312-linux_x86_64-cuda.whl", platforms[1:]) == (
        "made-1.0-cp312-cp312-manylinux_2_17_x86_64-cuda.whl"
    )


def test_search_paths_lead_from_file_to_folder() -> None:
    """As the loader reads them: from the folder that the file is in."""
    assert origin_entry("", "made.libs") == "$ORIGIN/made.libs"
    assert origin_entry("made/sub", "made.libs") == "$ORIGIN/../../made.libs"
    assert origin_entry("made.libs", "made.libs") == "$ORIGIN"


def test_entries_that_hold_anywhere_are_kept() -> None:
    """Into site-packages, other wheels' folders too; nothing absolute, and nothing out of it."""
    facts = ElfFacts(
        machine=MACHINE,
        kind=ElfKind.LIBRARY,
        runpath=f"$ORIGIN/../other/lib:{STORE}-zlib/lib::$ORIGIN/../../..:${{ORIGIN}}/lib:/usr/lib"
        ":$ORIGIN/../other/lib",
    )
    path = "lib/python/site-packages/made/a.so"
    assert kept_entries(facts, "/tree", path) == ["$ORIGIN/../other/lib", "${ORIGIN}/lib"]


def test_interpreters() -> None:
    """Every architecture of every policy has one; usual places stay."""
    linker = f"{STORE}-glibc-2.40/lib/ld-linux-x86-64.so.2"
    found = {
        (policy.libc, arch): portable_interpreter(linker, policy.libc, arch)
        for policy in load_policies().policies
        for arch in policy.limits
    }
    assert found == {
        ("glibc", "x86_64"): "/lib64/ld-linux-x86-64.so.2",
        ("glibc", "i686"): "/lib/ld-linux.so.2",
        ("glibc", "aarch64"): "/lib/ld-linux-aarch64.so.1",
        ("glibc", "armv7l"): "/lib/ld-linux-armhf.so.3",
        ("glibc", "ppc64le"): "/lib64/ld64.so.2",
        ("glibc", "ppc64"): "/lib64/ld64.so.1",
        ("glibc", "s390x"): "/lib/ld64.so.1",
        ("glibc", "riscv64"): "/lib/ld-linux-riscv64-lp64d.so.1",
        ("glibc", "loongarch64"): "/lib64/ld-linux-loongarch-lp64d.so.1",
        ("musl", "x86_64"): "/lib/ld-musl-x86_64.so.1",
        ("musl", "i686"): "/lib/ld-musl-i386.so.1",
        ("musl", "aarch64"): "/lib/ld-musl-aarch64.so.1",
        ("musl", "armv7l"): "/lib/ld-musl-armhf.so.1",
        ("musl", "ppc64le"): "/lib/ld-musl-powerpc64le.so.1",
        ("musl", "s390x"): "/lib/ld-musl-s390x.so.1",
        ("musl", "riscv64"): "/lib/ld-musl-riscv64.so.1",
        ("musl", "loongarch64"): "/lib/ld-musl-loongarch64.so.1",
    }
    assert portable_interpreter(linker, "glibc", "x86_64") == "/lib64/ld-linux-x86-64.so.2"
    assert portable_interpreter("/lib/ld-linux.so.2", "glibc", "i686") is None
    assert portable_interpreter(None, "glibc", "x86_64") is None


def test_exclusions_cover_versions() -> None:
    """``libamdhip64.so`` is ``libamdhip64.so.6``, and not ``libamdhip64x.so``."""
    options = RepairOptions(exclude=("libamdhip64.so", "libcu*.so.12", "libexact.so.1"))
    for name, wanted in (
        ("libamdhip64.so.6", True), ("libamdhip64.so", True), ("libamdhip64x.so", False),
        ("libcublas.so.12", True), ("libcublas.so.11", False), ("libexact.so.1.2", False),
    ):  # fmt: skip
        assert options.excludes(name) is wanted


@pytest.mark.parametrize("folder", ["/abs", "..", "../x", "a/../b", ".", "", "a:b", "$x"])
def test_folders_that_no_search_path_leads_to(folder: str) -> None:
    """They are refused by name."""
    with pytest.raises(BadOption, match="below site-packages"):
        lib_dir(RepairOptions(lib_dir=folder), "made")


@pytest.mark.parametrize("folder", ["a\nb", "a\\b", "x\udcff", "a/" * 210 + "b", "a" * 256])
def test_folders_that_no_wheel_has(folder: str) -> None:
    """They are refused before anything is written."""
    with pytest.raises(BadOption, match="can't be in a wheel: it "):
        lib_dir(RepairOptions(lib_dir=folder), "made")


def test_the_folder_of_grafts() -> None:
    """It is called as auditwheel calls it, or as was asked."""
    assert lib_dir(RepairOptions(), "made") == "made.libs"
    assert lib_dir(RepairOptions(lib_dir="made/.libs/"), "made") == "made/.libs"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("libpython3.12.so.1.0", True),
        ("libpython3.6m.so.1.0", True),
        ("libpython3.13t.so", True),
        ("libpython3.so", False),
        ("libpythonic.so.1", False),
    ],
)
def test_python_itself_is_nobodys_need(name: str, *, wanted: bool) -> None:
    """Extension modules must not be linked to libpython (PEP 513)."""
    assert is_libpython(name) is wanted


def test_promises() -> None:
    """Musl's libc has Alpine's name; glibc's policies promise what they list."""
    policies = load_policies()
    musl = next(policy for policy in policies.policies if policy.libc == "musl")
    assert "libc.musl-aarch64.so.1" in policies.promised(musl, "aarch64")
    glibc = next(policy for policy in policies.policies if policy.name == "manylinux_2_17")
    assert "libc.so.6" in policies.promised(glibc, "x86_64")
    assert "inflate_copyright" in glibc.forbidden["libz.so.1"]
    assert "__issignaling" in glibc.forbidden["libm.so.6"]
    newest = (
        policies.policies[-3] if policies.policies[-1].libc == "musl" else policies.policies[-1]
    )
    assert "libm.so.6" not in newest.forbidden


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_marks_of_instruction_sets(level: int, tmp_path: Path) -> None:
    """What the linker writes (-z x86-64-vN) is what is read; v2 marks no baseline."""
    name = "x86-64-baseline" if level == 1 else f"x86-64-v{level}"
    library = ElfBuilder(tmp_path).library(flags=[f"-Wl,-z,{name}"])
    assert needed_isa(library) == level
    assert needed_isa(__file__) == 1


def test_what_strip_would_take(tmp_path: Path) -> None:
    """A symbol table, or debug sections without one; nothing is left after it."""
    files = ElfBuilder(tmp_path)
    full = files.library(flags=["-g"])
    assert has_symbols(full)
    bare = files.derive(full, "bare.so", ["strip", "-s", "-o", "OUT", "IN"])
    assert not has_symbols(bare)
    kept = ["strip", "-s", "--keep-section=.debug_info", "-o", "OUT", "IN"]
    assert has_symbols(files.derive(full, "debug.so", kept))
    assert b"demo\0" in dynamic_strings(bare)
    assert dynamic_strings(__file__) == b""


@pytest.mark.parametrize("target", [None, "x86-linux-gnu", "s390x-linux-gnu"])
def test_symbols_that_a_file_wants(target: str | None, tmp_path: Path) -> None:
    """Those of others, as pyelftools sees them; not its own, and not weak ones."""
    from elftools.elf.elffile import ELFFile

    source = (
        "extern int wanted(void), also(void);\nextern int maybe(void) __attribute__((weak));\n"
        "int own(void) { return wanted() + also() + (maybe ? maybe() : 0); }\n"
    )
    library = ElfBuilder(tmp_path).library(source=source, target=target)
    assert wanted_symbols(library, ["wanted", "maybe", "own", "anted"]) == {"wanted"}
    with library.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".dynsym")
        assert table is not None
        every = {symbol.name for symbol in table.iter_symbols()}  # type: ignore[attr-defined]
        witness = {
            symbol.name
            for symbol in table.iter_symbols()  # type: ignore[attr-defined]
            if symbol["st_shndx"] == "SHN_UNDEF" and symbol["st_info"]["bind"] != "STB_WEAK"
        }
    assert wanted_symbols(library, every) - {""} == witness - {""}
    bare = tmp_path / "bare.so"
    bare.write_bytes(without_sections(library.read_bytes()))
    assert wanted_symbols(bare, ["own"]) == {"own"}  # nothing tells: it may be


def test_paths_of_the_store_are_found_where_they_are(tmp_path: Path) -> None:
    """In text and in sections, debug ones by their own kind; a folder's name alone is none."""
    text = tmp_path / "x.py"
    text.write_text(f"A = '{STORE}-zlib-1.3/lib/libz.so'\nB = '/nix/store/short/lib'\n")
    (found,) = store_paths(str(text), "made/x.py", ["/nix/store"])
    assert (found.kind, found.where) == ("store path", ("made/x.py",))
    assert found.what == f"{STORE}-zlib-1.3/lib/libz.so"
    source = f'const char *where(void) {{ return "{STORE}-etc/x"; }}\n'
    library = ElfBuilder(tmp_path).library(source=source)
    (found,) = store_paths(str(library), "x.so", ["/nix/store"])
    assert (found.kind, found.what) == ("store path", f"{STORE}-etc/x (.rodata)")
    flags = ["-g", f"-fdebug-prefix-map={tmp_path}={STORE}-src"]
    debug = ElfBuilder(tmp_path).library("debug.so", source="int x;\n", flags=flags)
    kinds = {each.kind for each in store_paths(str(debug), "debug.so", ["/nix/store"])}
    assert kinds == {"debug path"}
    # Across the seam of two pieces, and no more than a few.
    long = tmp_path / "long"
    paths = [f"{STORE}-{number}-x/lib" for number in range(9)]
    long.write_bytes(bytes((1 << 20) - 20) + "\n".join(paths).encode())
    told = [each.what for each in store_paths(str(long), "long", ["/nix/store"])]
    assert told[-1] == paths[len(told) - 1]
    assert len(told) == 3
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    assert list(store_paths(str(empty), "empty", ["/nix/store"])) == []


def test_addresses_of_packages_are_quoted() -> None:
    """As auditwheel quotes them: a plus and an exclamation mark mean other things there."""
    demo = Distribution(folder="Demo-1!2.0+cpu.dist-info", name="Demo", version="1!2.0+cpu")
    document = json.loads(cyclonedx(demo, "demo-1!2.0+cpu-py3-none-linux_x86_64.whl", [], []))
    assert document["metadata"]["component"]["purl"] == (
        "pkg:pypi/demo@1%212.0%2Bcpu?file_name=demo-1%212.0%2Bcpu-py3-none-linux_x86_64.whl"
    )


def test_the_data_is_auditwheels() -> None:
    """The forbidden symbols of each policy are those of the auditwheel that is installed."""
    import json
    from importlib.resources import files

    ours = {policy.name: policy.forbidden for policy in load_policies().policies}
    for name in ("manylinux", "musllinux"):
        path = files("auditwheel") / "policy" / f"{name}-policy.json"
        for policy in json.loads(path.read_text(encoding="utf-8")):
            if policy["name"] in ours:
                theirs = {soname: frozenset(s) for soname, s in policy["blacklist"].items()}
                assert ours[policy["name"]] == theirs, policy["name"]

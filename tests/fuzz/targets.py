"""What is fuzzed: each target's seeds, and the promises that every input is held against."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import zipfile
import zlib
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fuzz.harness import Target, refused
from tests.fuzz.mutation import Seed, elf_seed, zip_seed
from tests.fuzz.worlds import Folders, Take, world
from tests.support.elf import ElfBuilder, parse_elf, without_sections
from tests.support.wheels import MadeWheel, Zip, row, tiny_library
from tests.support.world import target as make_target

from nix_manylinux.base.errors import BadElf, BadTree, BadWheel, NixManylinuxError
from nix_manylinux.base.values import replace
from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit, planned_facts
from nix_manylinux.elf.read import read_elf
from nix_manylinux.elf.strings import read_only_sonames
from nix_manylinux.elf.symbols import (
    dynamic_strings,
    has_symbols,
    needed_isa,
    section_at,
    wanted_symbols,
)
from nix_manylinux.repair.model import NotPortable, RepairOptions
from nix_manylinux.repair.wheel import repair_wheel
from nix_manylinux.resolve.check import check_trees
from nix_manylinux.resolve.loader import Loader
from nix_manylinux.resolve.plan import Options, Outcome
from nix_manylinux.resolve.planner import plan_trees
from nix_manylinux.tree.libraries import LibraryIndex
from nix_manylinux.tree.scan import scan_tree
from nix_manylinux.wheel.metadata import expand_tags, read_headers, required_names
from nix_manylinux.wheel.name import parse_wheel_name
from nix_manylinux.wheel.open import open_wheel
from nix_manylinux.wheel.record import Record, parse_record
from nix_manylinux.wheel.rewrite import write_wheel
from nix_manylinux.write.undo_log import recover_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fuzz.harness import Verdict

    from nix_manylinux.elf.facts import ElfFacts
    from nix_manylinux.resolve.plan import Plan

# -- wheels ------------------------------------------------------------------

FILES = {
    "made/": b"",
    "made/_ext.so": tiny_library(),
    "made/data.txt": b"abc" * 20,
    "made-1.0.data/scripts/t": b"#!python\n",
}


def _wheel_target(folder: str) -> tuple[list[Seed], Verdict]:
    seeds = [
        MadeWheel(files=FILES).encode(),
        MadeWheel(files=FILES, line_end="\r\n", record_first=True).encode(),
        MadeWheel(files=FILES, deflate=False, descriptor="marked").encode(),
        MadeWheel(files=FILES, deflate=False, zip64=True, archive=Zip(zip64_end=True)).encode(),
        MadeWheel(files=FILES, descriptor="bare64", zip64=True).encode(),
        MadeWheel(files=FILES, archive=Zip(comment=b"a comment")).encode(),
    ]
    path = os.path.join(folder, MadeWheel().file_name)
    tree, again = os.path.join(folder, "tree"), os.path.join(folder, "out.whl")

    def run(data: bytes) -> str:
        with open(path, "wb") as file:
            file.write(data)
        shutil.rmtree(tree, ignore_errors=True)
        try:
            with open_wheel(path, max_size=2**20) as wheel:
                wheel.unpack(tree)
                names = [member.name for member in wheel.members]
                write_wheel(wheel, {}, output_path=again)
            scan_tree(tree)
        except (BadWheel, BadElf) as error:
            assert error.where, "an error without a place"  # noqa: PT017 - its word is wanted too
            word = refused(error.what)
        else:
            # What we take, the standard library reads alike; so does it what we write.
            for each in path, again:
                with zipfile.ZipFile(each) as archive:
                    assert archive.testzip() is None
                    assert archive.namelist() == names
            word = "taken"
        left = set(os.listdir(folder)) - {os.path.basename(path), "tree", "out.whl"}
        assert not left, f"left behind: {left}"
        return word

    words = (b"../", b"/", b"\\", b"\0", b"..", b"RECORD", b"made", b",sha256=", b"\n", b"\r\n")
    return [Seed(s.data, s.fields, words=words) for s in map(zip_seed, seeds)], run


# -- RECORD, METADATA, file names ----------------------------------------------

TEXT = (
    b",", b'"', b'""', b"\r\n", b"\n", b"\r", b"sha256=", b"md5=", b"=", b"\0", b"\xff", b"/",
    b"..", b"\xc3\xa9", b"\xe2\x80\xa8", b" ", b":", b"-", b".", b"9999999999999999",
    b"\xef\xbb\xbf",
)  # fmt: skip


def _record_target(_folder: str) -> tuple[list[Seed], Verdict]:
    rows = [row("a.py", b"a"), row("b,c.py", b"b"), '"d ""e"".py",,', "i-1.dist-info/RECORD,,"]
    seeds = [
        "\n".join(rows).encode(),
        "".join(f"{r}\r\n" for r in rows).encode(),
        b'a,sha256=x,1\r\n"b""c,\nd",,\n\n',
    ]

    def run(data: bytes) -> str:
        words = []
        for strict in True, False:
            try:
                record = parse_record(data, error=BadTree, where="RECORD", strict=strict)
            except BadTree as error:
                assert error.where == "RECORD"  # noqa: PT017 - likewise
                words.append(refused(error.what))
                continue
            values = [(r.path, r.hash, r.size) for r in record.rows]
            made = Record(rows=tuple(record.row(*each) for each in values))
            # Rows are made with hashes and sizes of our own, which need no quotes.
            odd = any(set(text) & set(',"\r\n') for _, *claims in values for text in claims)
            for spelt in (record,) if odd else (record, made):
                found = parse_record(spelt.encode(), error=BadTree, where="", strict=strict)
                assert [(r.path, r.hash, r.size) for r in found.rows] == values
            words.append(f"taken {min(len(values), 9)}")
        return words[0] if words[0] == words[1] else " | ".join(words)

    return [Seed(data, words=TEXT) for data in seeds], run


def _metadata_target(_folder: str) -> tuple[list[Seed], Verdict]:
    seeds = [
        b"Metadata-Version: 2.1\nName: made\nVersion: 1.0\nRequires-Dist: numpy (>=1.2); x\n\nText",
        b"Wheel-Version: 1.0\r\nTag: cp311.cp312-abi3-linux_x86_64.manylinux2014_x86_64\r\n",
        b"made-1.0-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    ]

    def run(data: bytes) -> str:
        headers = read_headers(data)
        for values in headers.values():
            # A tag of many parts is many tags: 64 KiB could spell 10^12 of them.
            expand_tags(values)
            required_names(values)
        name = os.fsdecode(data.partition(b"\n")[0])
        try:
            parse_wheel_name(name)
        except NixManylinuxError as error:
            return refused(error.what.replace(name, "#"))
        return f"taken {min(len(headers), 5)}"

    return [Seed(data, words=(*TEXT, b"Tag", b"cp311", b".whl")) for data in seeds], run


# -- ELF -----------------------------------------------------------------------

_SOURCE = """
int demo(void); extern int puts(const char *);
int mine(void) { return demo() + puts("libGL.so.1"); }
"""
_NOTE = r"""
struct note { unsigned namesz, descsz, type; char owner[4]; char text[64]; };
__attribute__((used, section(".note.dlopen"), aligned(4)))
static const struct note a_note = { 4, 64, 0x407c0c0a, "FDO",
  "[{\"soname\":[\"libb.so.1\"],\"priority\":\"suggested\"}]" };
"""
#: Both classes, both byte orders, and gcc beside zig.
_MACHINES = (
    None, "x86-linux-gnu", "s390x-linux-gnu", "powerpc-linux-gnueabihf", "aarch64-linux-gnu",
)  # fmt: skip


def elf_seeds(folder: str) -> list[Seed]:
    """Compile small libraries and a program, and take a part of this machine's own."""
    files = ElfBuilder(Path(folder))
    found = [tiny_library("libtiny.so.1", "libneeded.so.1")]
    for target in _MACHINES:
        needed = files.library(
            "libv.so.1", target=target, soname="libv.so.1", versions="V_1 { demo; };"
        )
        found.append(
            files.library(
                source=_SOURCE + _NOTE,
                target=target,
                soname="libgood.so.2",
                needs=[needed],
                needed=["libneeded.so.1"],
                runpath="$ORIGIN/lib",
                versions="G_1 { mine; }; G_2 { } G_1;",
                flags=["-s"],
            ).read_bytes()
        )
    found.append(files.program("seed", flags=["-s"]).read_bytes())
    found.append(without_sections(found[1]))
    return [elf_seed(data) for data in found]


def _read_target(folder: str) -> tuple[list[Seed], Verdict]:
    path = os.path.join(folder, "damaged")
    count = 0

    def run(data: bytes) -> str:
        nonlocal count
        count += 1
        try:
            facts = parse_elf(data)
            error = None
        except BadElf as caught:
            facts, error = None, caught
        if count % 16 == 0:  # the same from a file, and the search in constants
            with open(path, "wb") as file:
                file.write(data)
            try:
                assert read_elf(path) == facts
                read_only_sonames(path)
            except BadElf as caught:
                advice = caught.hint
                assert advice
                assert error or facts
        if error is not None:
            return refused(error.what)
        return "not ELF" if facts is None else _shape(facts)

    return elf_seeds(folder), run


def _shape(facts: ElfFacts) -> str:
    told: list[object] = [
        facts.soname,
        facts.needed,
        facts.rpath,
        facts.runpath,
        facts.needs,
        facts.defines,
    ]
    told += [facts.interpreter, facts.dlopen, facts.auxiliary, facts.filters]
    return f"taken {facts.kind.value} {''.join('01'[bool(each)] for each in told)}"


def _properties_target(folder: str) -> tuple[list[Seed], Verdict]:
    path = os.path.join(folder, "asked")
    names = ("demo", "mine", "puts", "libneeded.so.1")

    def run(data: bytes) -> str:
        with open(path, "wb") as file:
            file.write(data)
        try:
            strings, wanted = dynamic_strings(path), wanted_symbols(path, names)
            level, symbols = needed_isa(path), has_symbols(path)
            section = section_at(path, len(data) // 2)
        except BadElf as error:
            return refused(error.what)
        assert wanted <= set(names)
        assert len(strings) <= len(data)
        assert 1 <= level <= 4
        return f"taken {level} {symbols} {bool(strings)} {sorted(wanted)} {bool(section)}"

    return elf_seeds(folder), run


def _unwritten(what: str) -> str:
    """Give the word for a refusal, which is none of what was written already."""
    assert "would not work" not in what, what
    return refused(what)


def _repair_target(folder: str) -> tuple[list[Seed], Verdict]:
    libs, output = os.path.join(folder, "libs"), os.path.join(folder, "out")
    os.makedirs(libs)

    def run(data: bytes) -> str:
        # The same damage in the module, in a library of the wheel, and in one that comes along.
        with open(os.path.join(libs, "libneeded.so.1"), "wb") as file:
            file.write(data)
        made = MadeWheel(
            tag="cp311-cp311-linux_x86_64",
            files={"made/a.so": data, "made/libv.so.1": data, "made-1.0.data/scripts/p": data},
        )
        try:
            done = repair_wheel(
                made.write(folder),
                output_dir=output,
                libraries=LibraryIndex.from_directories([libs]),
                options=RepairOptions(exclude=("libc.so.6",), compression=1),
            )
        except NotPortable as error:
            return f"refused {sorted({finding.kind for finding in error.findings})}"
        except NixManylinuxError as error:
            return _unwritten(error.what)
        os.unlink(done.path)
        return f"taken {done.platforms} {len(done.grafts)} {len(done.edited)}"

    return elf_seeds(folder), run


_LONG = tuple(f"/nix/store/{i:032d}-package-{i}-1.2.3/lib" for i in range(5))
EDITS = (
    ElfEdit(search_path=_LONG),
    ElfEdit(search_path=(), clear_executable_stack=True),
    ElfEdit(search_path=("/a",), inherited=True, add_needed=("libnew.so.1",)),
    ElfEdit(replace_needed=(("libneeded.so.1", "libanother-longer-name.so.1"),)),
    ElfEdit(interpreter="/nix/store/" + "x" * 200 + "/ld.so", search_path=_LONG),
    ElfEdit(add_needed=tuple(f"libmany-{i}.so" for i in range(12))),
    ElfEdit(soname="libquite-another-soname-1a2b3c4d.so.1", search_path=()),
    ElfEdit(remove_needed=("libneeded.so.1",), soname="s.so"),
)


def _edit_target(folder: str) -> tuple[list[Seed], Verdict]:
    path = os.path.join(folder, "edited")

    def run(data: bytes) -> str:
        edit = EDITS[sum(data[:200]) % len(EDITS)]
        with open(path, "wb") as file:
            file.write(data)
        try:
            result = edit_file(path, edit)
        except NixManylinuxError as error:
            word = refused(error.what)
        else:
            word = result.how
            try:
                before = parse_elf(data)
            except BadElf:
                before = None  # a fault that the edit has nothing to do with
            if before is not None and before.kind.is_linked:
                _check_edit(path, before, edit)
            result.undo()
        with open(path, "rb") as file:
            assert file.read() == data, "not as it was"
        return word

    return elf_seeds(folder), run


def _check_edit(path: str, before: ElfFacts, edit: ElfEdit) -> None:
    after = read_elf(path)
    assert after is not None
    wanted = planned_facts(before, edit)
    assert (after.rpath, after.runpath) == (wanted.rpath, wanted.runpath)
    assert set(after.needed) == set(wanted.needed)
    assert after.soname == wanted.soname
    assert after.defines == before.defines
    # A program's interpreter is exchanged, none is made up.
    assert after.interpreter == (None if before.interpreter is None else wanted.interpreter)


# -- the loader's simulation, and the plan ---------------------------------------


def _world_seeds() -> list[Seed]:
    return [
        Seed(bytes(40)),
        Seed(bytes(range(80))),
        Seed(bytes(i * 37 % 256 for i in range(160))),
        Seed(bytes(i * i % 251 for i in range(240))),
    ]


def _loader_target(_folder: str) -> tuple[list[Seed], Verdict]:
    def run(data: bytes) -> str:
        take = Take(data)
        libc = take.one(("glibc", "musl"))
        disk, _tree = world(take)
        target = make_target(disk, libc=libc)
        loader = Loader(target, disk, hwcaps=("glibc-hwcaps/x86-64-v2",))
        count = faults = 0
        for path in list(disk.files):
            process = loader.open(path)
            # Other spellings (/lib1/../lib3) lead to the same object.
            paths = [disk.real(each.path) for each in process.objects]
            assert len(paths) == len(set(paths)), "one file was loaded twice"
            for (wanting, _), got in process.links.items():
                assert disk.real(got) in paths
                assert disk.real(wanting) in paths
            told = {(fault.path, fault.name) for fault in process.faults}
            for each in process.objects:
                for name in target.looks_for(each.facts):
                    known = (each.path, name) in process.links
                    assert known or told or name in process.known, "a need without an end"
            count += len(paths)
            faults += len(told)
        return f"taken {libc} {min(count, 30)} {min(faults, 12)}"

    return _world_seeds(), run


def _resolve_target(_folder: str) -> tuple[list[Seed], Verdict]:
    def run(data: bytes) -> str:
        take = Take(data)
        libc = take.one(("glibc", "glibc", "musl"))
        options = Options(
            missing="warn",
            ignore_missing=take.some(("libx*", "libd.so", "pkg/*:liba*"), 1),
            provided_later=take.some(("x", "libb.so.1"), 1),
            runtime_libs=take.some(("libd.so", "liba.so.1"), 1),
            append_rpath=take.some(("/lib2", "$ORIGIN/x"), 1),
            keep_libc=take.number(5) == 1,
            allow_foreign=("*",) if take.number(2) else (),
        )
        directories = take.some(("/lib1", "/lib2", "/lib3"), 3)
        disk, tree = world(take)
        target = make_target(disk, libc=libc)
        index = LibraryIndex(tuple(dict.fromkeys(directories)), disk)
        before = dict(disk.files)
        try:
            plan = plan_trees([tree], target=target, libraries=index, options=options)
        except NixManylinuxError as error:
            return refused(error.what)
        disk.files = before
        outcomes: set[Outcome] = set()
        for each in plan.files:
            names = [r.name for r in each.resolutions]
            assert len(names) == len(set(names)), "one need has two outcomes"
            if not each.skipped:
                assert set(each.file.facts.needed) <= set(names)
            outcomes.update(r.outcome for r in each.resolutions)
        for pair in plan.files:
            if pair.edit.search_path is not None:
                assert "" not in pair.edit.search_path
        if not plan.missing and not plan.incompatible:
            _check_plan(plan, disk.files, options)
        told = "".join("01"[outcome in outcomes] for outcome in Outcome)
        return f"taken {told} {bool(plan.missing)} {bool(plan.incompatible)}"

    return _world_seeds(), run


def _check_plan(plan: Plan, before: Mapping[str, Any], options: Options) -> None:
    """Hold the promise of a complete plan: `check` finds nothing on the tree as it will be."""
    disk = Folders()
    disk.files = dict(before)
    # Also further down: what a file's libraries need is waived with what it needs.
    waived = ["libcuda.so.1", *options.provided_later]
    waived += [pattern.rpartition(":")[2] for pattern in options.ignore_missing]
    changed = []
    if all(each.skipped for each in plan.files):
        return  # `check` says so where all of them are for other machines
    for each in plan.files:
        facts = planned_facts(each.file.facts, each.edit) if each.edit else each.file.facts
        changed.append(replace(each.file, facts=facts))
        disk.files[f"{plan.trees[0].root}/{each.file.path}"] = facts
    result = check_trees(
        [replace(plan.trees[0], files=tuple(changed))],
        target=plan.target,
        libraries=LibraryIndex((), disk),
        options=Options(),
    )
    skipped = {each.file.label for each in plan.files if each.skipped}
    for problem in (*result.missing, *result.incompatible):
        foreseen = any(fnmatchcase(problem.name, pattern) for pattern in waived)
        assert foreseen or not set(problem.wanted_by) - skipped, f"{problem} was not foreseen"


# -- the undo log ----------------------------------------------------------------


def _undo_target(folder: str) -> tuple[list[Seed], Verdict]:
    root = os.path.join(folder, "tree")
    os.makedirs(root, exist_ok=True)
    inside, outside = os.path.join(root, "a.so"), os.path.join(folder, "outside")
    for path in inside, outside:
        with open(path, "wb") as file:
            file.write(b"contents of a file" * 9)
    link = os.path.join(root, "out")
    if not os.path.lexists(link):
        os.symlink(folder, link)

    def record(name: bytes, path: str, pieces: int = 1) -> bytes:
        status = os.stat(path)
        body = struct.pack(
            "<LQQQQqqL", len(name), status.st_dev, status.st_ino, 162, 162, 1, 1, pieces
        )
        body += name + struct.pack("<QQ", 3, 5) + b"bytes"
        return struct.pack("<LQ", zlib.crc32(body), len(body)) + body

    first = b"nix-manylinux undo 1\n"
    logs = [
        first + record(b"a.so", inside),
        first + record(b"a.so", inside, 2) + record(b"../outside", outside),
        first + record(b"out/outside", outside),
        first + record(b"/etc/hostname", inside),
    ]

    def run(data: bytes) -> str:
        # A checksum that is right lets damage through to what reads the record.
        if len(data) > 33 and data[-1] % 4:
            changed = bytearray(data)
            struct.pack_into("<LQ", changed, 21, zlib.crc32(data[33:]), len(data) - 33)
            data = bytes(changed)
        with open(os.path.join(root, ".nix-manylinux-undo"), "wb") as file:
            file.write(data)
        with open(inside, "r+b") as file:
            file.write(b"contents of a file" * 9)
            file.truncate()
        try:
            word = f"taken {recover_tree(root)}"
        except BadTree as error:
            word = refused(error.what)
        with open(outside, "rb") as file:
            assert file.read() == b"contents of a file" * 9, "a file outside was written"
        with suppress(FileNotFoundError):
            assert stat.S_ISREG(os.lstat(inside).st_mode)
        assert os.path.getsize(inside) < 2**20
        return word

    fields = tuple((21 + at, 4) for at in range(0, 90, 4)) + tuple(
        (21 + at, 8) for at in range(0, 86, 4)
    )
    return [Seed(log, fields, words=(b"../", b"out/", b"\0", b"/")) for log in logs], run


TARGETS = (
    Target("wheel", _wheel_target, 400),
    Target("record", _record_target, 4000),
    Target("metadata", _metadata_target, 4000),
    Target("elf-read", _read_target, 5000),
    Target("elf-properties", _properties_target, 2000),
    Target("repair", _repair_target, 120),
    Target("elf-edit", _edit_target, 500),
    Target("loader", _loader_target, 1500),
    Target("resolve", _resolve_target, 600),
    Target("undo-log", _undo_target, 1000),
)

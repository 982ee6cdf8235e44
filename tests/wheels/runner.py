"""Patches real wheels against a store and finds out what of them loads.

Each wheel is unpacked as an installer does it, into a prefix of its own as in
Nix, patched (as a tree, or as a wheel before it is unpacked) against library
directories that depend on nothing but the libc, and then every library in it
is opened and every program is started where nothing else is visible. Nothing
here knows a package: which wheels belong beside one is what its metadata
requires, out of the wheels that were given.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.tags import sys_tags
from packaging.utils import canonicalize_name, parse_wheel_filename
from tests.support.auto_patchelf import auto_patchelf
from tests.support.elf import arrangement
from tests.support.installed import (
    command,
    fingerprint,
    library_options,
    site_packages,
    target_options,
    unpack,
)
from tests.support.isolation import sandbox
from tests.support.loading import open_in_python, open_libraries, start_program
from tests.wheels.agreement import compare

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf.facts import ElfKind
from nix_manylinux.elf.read import read_elf

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.support.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one wheel in one mode.

    ``failures`` maps files to what went wrong with them; ``unresolved`` maps
    files to the names that nothing provides, where the wheel was patched
    although some are missing. ``mapped`` maps each file that loaded to all
    that its process had mapped. ``needs`` counts what the loader simulation
    followed for all of them, ``differences`` says where it was wrong.
    ``edited`` counts files that the command changed; ``again`` lists what a
    second run of it changed, and should be empty. ``refused`` is what it said
    where it did nothing at all. Sizes are in bytes, as unpacked, times in
    seconds.
    """

    wheel: str
    mode: str
    libraries: int = 0
    programs: int = 0
    edited: int = 0
    again: list[str] = field(default_factory=list)
    needs: int = 0
    differences: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    unresolved: dict[str, list[str]] = field(default_factory=dict)
    mapped: dict[str, list[str]] = field(default_factory=dict, repr=False)
    refused: str = ""
    patch_seconds: float = 0
    size_before: int = 0
    size_after: int = 0

    @property
    def unexplained(self) -> dict[str, str]:
        """The failures that don't come from a name which the command had said is missing."""
        names = {name for wanted in self.unresolved.values() for name in wanted}
        return {
            file: why
            for file, why in self.failures.items()
            if not any(f"{name}: cannot open" in why for name in names)
        }


def run_wheel(
    wheel: str,
    store: Store,
    *,
    mode: str,
    beside: Sequence[str] = (),
    work: str | None = None,
    alike: bool = True,
) -> Result:
    """Patch and load one wheel; ``mode`` is "tree", "wheel", or another tool's for comparison.

    "unpatched" leaves it as it is; "auto-patchelf" runs nixpkgs' script, whose
    path is in ``$NIX_MANYLINUX_AUTO_PATCHELF``.
    ``beside`` are wheels that are patched and unpacked first, in their own
    prefixes. Without ``alike`` one program of each layout is started, not all.
    All is done in a temporary directory, below ``work`` if given, that is
    removed afterwards.
    """
    if work is not None:
        os.makedirs(work, exist_ok=True)
    place = tempfile.mkdtemp(prefix="nix-manylinux-wheel-", dir=work)
    try:
        others: list[str] = []
        for number, other in enumerate(beside):
            prefix = os.path.join(place, f"beside-{number}")
            patched = patch_and_unpack(other, prefix, store, mode=mode, others=others)
            if patched.refused:
                return patched
            others.append(prefix)
        prefix = os.path.join(place, "it")
        patched = patch_and_unpack(wheel, prefix, store, mode=mode, others=others)
        if patched.refused:
            return patched
        return _load(patched, prefix, others, store, alike=alike)
    finally:
        shutil.rmtree(place)


def patch_and_unpack(
    wheel: str, prefix: str, store: Store, *, mode: str, others: Iterable[str]
) -> Result:
    """Patch and unpack one wheel; what is missing is waived only after it was refused for that."""
    options = [*target_options(store), *library_options(store.libraries())]
    for other in others:
        options += ["--python-libs", site_packages(other)]
        # What a wheel installs to PREFIX/lib is a library directory, as in Nix.
        if os.path.isdir(os.path.join(other, "lib")):
            options += ["--libs", os.path.join(other, "lib")]
    report = f"{prefix}.json"
    output = f"{prefix}-wheel"
    size_before = 0
    if mode in {"unpatched", "auto-patchelf"}:
        return _otherwise(wheel, prefix, store, mode=mode, others=others)
    if mode == "tree":
        unpack(wheel, prefix, interpreter=store.python)
        size_before = _size(prefix)
        arguments = ["patch", prefix, *options, "--json", report]
    else:
        os.mkdir(output)
        size_before = _size_in(wheel)
        arguments = ["patch", wheel, "--output-dir", output, *options, "--json", report]
    started = time.monotonic()
    outcome = command(*arguments)
    if outcome.status == 1 and _missing(report):
        started = time.monotonic()
        arguments += ["--missing", "warn"]
        outcome = command(*arguments)
    seconds = time.monotonic() - started
    name = os.path.basename(wheel)
    if outcome.status != 0:
        refused = f"status {outcome.status}: {outcome.stderr.strip()}"
        return Result(wheel=name, mode=mode, refused=refused, patch_seconds=seconds)
    edited, unresolved = _edited(report), _missing(report)
    again = _changed_again(arguments, wheel=name if mode == "wheel" else "")
    if mode == "wheel":
        size_after = _size_in(os.path.join(output, name))
        unpack(os.path.join(output, name), prefix, interpreter=store.python)
    else:
        size_after = _size(prefix)
    return Result(
        wheel=name,
        mode=mode,
        unresolved=unresolved,
        edited=edited,
        again=again,
        patch_seconds=seconds,
        size_before=size_before,
        size_after=size_after,
    )


def _changed_again(arguments: list[str], *, wheel: str) -> list[str]:
    """Patch once more, as before, what a patch gave; list the files that it changed."""
    if not wheel:
        before = fingerprint(arguments[1])
        outcome = command(*arguments)
        after = fingerprint(arguments[1])
    else:
        output = arguments[3]
        once = os.path.join(output, wheel)
        twice = f"{output}-again"
        outcome = command("patch", once, "--output-dir", twice, *arguments[4:])
        before, after = ({wheel: _digest(path)} for path in (once, os.path.join(twice, wheel)))
        shutil.rmtree(twice, ignore_errors=True)
    if outcome.status != 0:
        return [f"status {outcome.status}: {outcome.stderr.strip()}"]
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def _digest(path: str) -> tuple[int, int, str]:
    """Give a file's digest, in the form of `fingerprint`."""
    return (0, 0, hashlib.sha256(Path(path).read_bytes()).hexdigest())


def _otherwise(
    wheel: str, prefix: str, store: Store, *, mode: str, others: Iterable[str]
) -> Result:
    """Unpack a wheel and leave it alone, or give it to auto-patchelf as its hook does."""
    unpack(wheel, prefix, interpreter=store.python)
    # As the files are now: patchelf may leave one that can't be read any more.
    Path(f"{prefix}.files").write_text(json.dumps(elf_files(prefix)), encoding="utf-8")
    size_before, seconds, refused = _size(prefix), 0.0, ""
    if mode == "auto-patchelf":
        started = time.monotonic()
        libraries = [*store.libraries(), *(os.path.join(other, "lib") for other in others)]
        outcome = auto_patchelf(prefix, libraries, store, "--ignore-missing", "*")
        seconds = time.monotonic() - started
        refused = "" if outcome.status == 0 else f"status {outcome.status}: {outcome.stderr[-500:]}"
    return Result(
        wheel=os.path.basename(wheel),
        mode=mode,
        refused=refused,
        patch_seconds=seconds,
        size_before=size_before,
        size_after=_size(prefix),
    )


def _missing(report: str) -> dict[str, list[str]]:
    """Read a JSON report's missing names, by the file that wants them, as the report calls it."""
    try:
        with open(report, encoding="utf-8") as file:
            fields = json.load(file)
    except FileNotFoundError:
        return {}
    found: dict[str, list[str]] = {}
    for problem in fields.get("missing", []):
        for wanted in problem["wanted_by"]:
            found.setdefault(wanted, []).append(problem["name"])
    return found


def _edited(report: str) -> int:
    """Count the files that a JSON report says were edited."""
    with open(report, encoding="utf-8") as file:
        return len(json.load(file)["edits"])


def _load(
    patched: Result, prefix: str, others: Iterable[str], store: Store, *, alike: bool
) -> Result:
    box = sandbox(store, prefix, *others)
    libraries, programs = _files_to_open(prefix)
    if not alike:
        layouts = {arrangement(Path(program).read_bytes()): program for program in programs}
        programs = list(layouts.values())
    beside = [path for other in others for path in _files_to_open(other)[0]]
    opened = open_libraries(box, libraries, beside=beside)
    started = {program: start_program(box, program) for program in programs}
    agreement = compare(
        store,
        box,
        opened | started,
        ask=lambda some: open_libraries(
            box, [path for path in some if path in opened], beside=beside, trace=True
        ),
    )
    for path, one in opened.items():
        if one.error.startswith("killed by"):
            opened[path] = open_in_python(box, store.python, path)
    loaded = opened | started
    failures = {
        os.path.relpath(path, prefix): one.error or f"came from outside: {', '.join(one.foreign)}"
        for path, one in loaded.items()
        if not one.ok
    }
    mapped = {
        os.path.relpath(path, prefix): list(one.mapped) for path, one in loaded.items() if one.ok
    }
    differences = {
        os.path.relpath(path, prefix): why for path, why in agreement.differences.items()
    }
    return replace(
        patched,
        libraries=len(libraries),
        programs=len(programs),
        failures=failures,
        mapped=mapped,
        needs=agreement.needs,
        differences=differences,
    )


def _files_to_open(prefix: str) -> tuple[list[str], list[str]]:
    """List libraries and programs, as they were before another tool edited them."""
    try:
        libraries, programs = json.loads(Path(f"{prefix}.files").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return elf_files(prefix)
    return libraries, programs


def elf_files(root: str) -> tuple[list[str], list[str]]:
    """List the libraries and the programs, static ones too, by content; each inode once.

    What no loader takes is left out: a patch leaves it alone.
    """
    libraries: list[str] = []
    programs: list[str] = []
    seen: set[int] = set()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            inode = os.lstat(path).st_ino
            if os.path.islink(path) or inode in seen:
                continue
            seen.add(inode)
            facts = None
            with suppress(BadElf):
                facts = read_elf(path)
            if facts is None:
                continue
            if facts.kind is ElfKind.LIBRARY:
                libraries.append(path)
            elif facts.kind in {ElfKind.PROGRAM, ElfKind.STATIC}:
                programs.append(path)
    return libraries, programs


def _size(root: str) -> int:
    return sum(
        os.lstat(os.path.join(folder, name)).st_size
        for folder, _, files in os.walk(root)
        for name in files
    )


def _size_in(wheel: str) -> int:
    """Sum up the sizes of a wheel's members as they are unpacked."""
    with zipfile.ZipFile(wheel) as archive:
        return sum(member.file_size for member in archive.infolist())


def companions(wheel: str, wheels: Iterable[str], extra: Sequence[str] = ()) -> list[str]:
    """List those of the wheels that this one's metadata requires, innermost first.

    ``extra`` are wheels that it wants besides, with what they require. Only
    wheels that this interpreter may import count.
    """
    ours = frozenset(sys_tags())
    by_name = {
        parsed[0]: path
        for path in [*reversed([*wheels]), *extra]  # of several, the one that pip picks
        for parsed in [parse_wheel_filename(os.path.basename(path))]
        if parsed[3] & ours
    }
    found: list[str] = []

    def visit(path: str) -> None:
        for requirement in requirements(path):
            other = by_name.get(canonicalize_name(requirement.name))
            if other and other != wheel and other not in found:
                visit(other)
                found.append(other)

    for path in extra:
        visit(path)
        if path not in found:
            found.append(path)
    visit(wheel)
    return found


def requirements(wheel: str) -> list[Requirement]:
    """List what Requires-Dist names and what holds without extras."""
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (
            name
            for name in archive.namelist()
            if name.endswith(".dist-info/METADATA") and name.count("/") == 1
        )
        headers = HeaderParser().parsestr(archive.read(member).decode())
    found = [Requirement(text) for text in headers.get_all("Requires-Dist", [])]
    return [one for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]

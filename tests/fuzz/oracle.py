"""The loaders as the measure: what they load must be accepted, what we praise they must load.

    python -m tests.fuzz.oracle --inputs 200000 [--shard 1/2] [--patchelf PATH]...

Headers and tables of real files, of every linker and of patchelf, are changed one
or a few at a time; glibc's and musl's loader and the kernel open each mutant in a
process of its own (`forks.c`, in a sandbox), and what they say is held against the
reader, the simulation, the plan, and the file after an edit. A disagreement is told
by its kind; docs/reliability.md explains each kind that is left.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.mutation import Seed, elf_seed, mutate
from tests.support.elf import sections_of
from tests.support.isolation import Sandbox

from nix_manylinux.base.errors import NixManylinuxError
from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.elf.read import read_elf
from nix_manylinux.resolve.check import check_trees
from nix_manylinux.resolve.plan import Options
from nix_manylinux.resolve.planner import plan_trees
from nix_manylinux.target.target import Target
from nix_manylinux.tree.disk import Disk
from nix_manylinux.tree.libraries import LibraryIndex
from nix_manylinux.tree.scan import scan_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nix_manylinux.resolve.plan import Plan

GLIBC, MUSL = "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"
#: How the loaders are seen in the sandbox.
_BINDS = ("/usr/lib", "/lib", "/lib64")
_FORKS = Path(__file__).with_name("forks.c")
_BATCH = 200

LIBRARY = """
#include <stdio.h>
#include <string.h>
static __thread int counter = 7;
static int started;
static void __attribute__((constructor)) start(void) { started = 1; }
const char *names[] = {"a", "b", "c"};
static char zeros[5000];
int demo(void) { memset(zeros, counter++, sizeof zeros); return puts(names[started]) + zeros[4]; }
int old_demo(void) { return demo() + 1; }
"""
PROGRAM = """
#include <stdio.h>
static char zeros[9000];
const char *words[] = {"ran", "away"};
int main(void) {
    for (unsigned i = 0; i < sizeof zeros; i++) if (zeros[i]) return 9;
    puts(words[0]);
    return 0;
}
"""
#: Ways to link, each with every linker that is here.
_FLAGS = (
    (), ("-s",), ("-Wl,-z,now",), ("-Wl,--hash-style=sysv",), ("-Wl,--hash-style=gnu", "-s"),
    ("-Wl,-z,max-page-size=0x200000",), ("-Wl,-z,noseparate-code",), ("-Wl,-z,norelro",),
    ("-Wl,-z,nocombreloc",), ("-Wl,-z,execstack",), ("-Wl,--build-id=none",),
    ("-Wl,--pack-dyn-relocs=relr",), ("-Wl,-z,pack-relative-relocs",),
    ("-ftls-model=initial-exec",),
    ("-Wl,-rpath,/nowhere/at/all", "-Wl,--disable-new-dtags"),
    ("-Wl,-rpath,/nowhere/at/all", "-Wl,--enable-new-dtags"),
)  # fmt: skip
_VERSIONS = "D_1 { global: old_demo; }; D_2 { global: demo; local: *; } D_1;"
_LONG = "/nix/store/" + "y" * 90 + "/lib"


@dataclass(frozen=True, slots=True)
class Original:
    """A file that loads: ``kind`` is "L" for a library, "X" for a program."""

    name: str
    kind: str
    seed: Seed


@dataclass(slots=True)
class Count:
    """What a run found: disagreements by kind, each with one input that shows it."""

    inputs: int = 0
    words: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    shown: dict[str, str] = field(default_factory=dict)


def originals(folder: str, patchelfs: Sequence[str] = ()) -> list[Original]:
    """Link small files in every way that the tools here know, and edit some with patchelf."""
    made: list[tuple[str, str, bytes]] = []
    os.makedirs(folder, exist_ok=True)
    sources = {}
    for name, text in (("library.c", LIBRARY), ("program.c", PROGRAM), ("map", _VERSIONS)):
        sources[name] = os.path.join(folder, name)
        Path(sources[name]).write_text(text)
    version = f"-Wl,--version-script={sources['map']}"
    shapes = (
        ("lib", "L", ["-shared", "-fPIC", "-Wl,-soname,libdemo.so", sources["library.c"]]),
        ("versioned", "L", ["-shared", "-fPIC", version, sources["library.c"]]),
        ("pie", "X", ["-fPIE", "-pie", sources["program.c"]]),
        ("exec", "X", ["-fno-pie", "-no-pie", sources["program.c"]]),
    )
    compilers = [("gcc", linker) for linker in ("bfd", "gold", "lld", "mold")] + [("musl-gcc", "")]
    for (compiler, linker), flags, (shape, kind, arguments) in product(compilers, _FLAGS, shapes):
        path = os.path.join(folder, "made")
        chosen = [f"-fuse-ld={linker}"] if linker else []
        command = [compiler, "-O1", *chosen, *flags, *arguments, "-o", path]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode == 0:
            name = " ".join((compiler, linker, shape, *flags))
            made.append((name, kind, Path(path).read_bytes()))
    made += list(_edited(made, patchelfs, folder))
    unlike = {data: (name, kind) for name, kind, data in made}
    return [Original(name, kind, _seed(data)) for data, (name, kind) in unlike.items()]


def _edited(
    made: Sequence[tuple[str, str, bytes]], patchelfs: Sequence[str], folder: str
) -> Iterator[tuple[str, str, bytes]]:
    """Let each patchelf edit a few of each shape, in a few ways."""
    path = os.path.join(folder, "edited")
    ways = (
        ["--set-rpath", _LONG],
        ["--add-needed", "libm.so.6"],
        ["--set-rpath", _LONG, "--force-rpath"],
    )
    for number, patchelf in enumerate(patchelfs):
        for name, kind, data in made[number % 3 :: 3]:
            way = ways[len(data) % len(ways)]
            Path(path).write_bytes(data)
            os.chmod(path, 0o700)
            done = subprocess.run([patchelf, *way, path], capture_output=True, check=False)
            if done.returncode == 0:
                yield f"{name} | {patchelf} {way[0]}", kind, Path(path).read_bytes()


def _seed(data: bytes) -> Seed:
    """Add the tables that a loader reads to the fields that are worth changing."""
    seed = elf_seed(data)
    fields = list(seed.fields)
    tables = (".gnu.version_r", ".gnu.version_d", ".gnu.hash", ".hash", ".gnu.version")
    for name, section in sections_of(data).items():
        if name in tables:
            end = section.offset + min(section.size, 160)
            fields += [(at, 4) for at in range(section.offset, end - 3, 4)]
            fields += [(at, 2) for at in range(section.offset, end - 1, 2)]
    return Seed(data, tuple(fields), seed.order)


class Oracle:
    """Asks loaders and ourselves about files, many at a time."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.files = os.path.join(folder, "files")
        os.makedirs(self.files, exist_ok=True)
        self.forks = {}
        for libc, compiler in (("glibc", "gcc"), ("musl", "musl-gcc")):
            path = os.path.join(folder, f"forks-{libc}")
            command = [compiler, "-O1", "-o", path, str(_FORKS), "-Wl,--no-as-needed", "-ldl"]
            subprocess.run(command, check=True, capture_output=True)
            self.forks[libc] = path
        binds = tuple((path, path) for path in _BINDS if os.path.exists(path))
        self.sandbox = Sandbox(binds=(*binds, (folder, folder)))
        self.batches = 0
        #: No directory of libraries: the files need nothing but a libc.
        self.libraries = LibraryIndex((), Disk())
        self.targets = {
            "glibc": Target.from_dynamic_linker(GLIBC),
            "musl": Target.from_dynamic_linker(MUSL),
        }

    def load(self, libc: str, asked: Sequence[tuple[str, str]]) -> list[str]:
        """Load files (kind, path) with a libc; a word for each."""
        if not asked:
            return []
        lines = "".join(f"{kind} {path}\n" for kind, path in asked)
        done = self.sandbox.run([self.forks[libc]], stdin=lines)
        words = done.stdout.splitlines()
        if len(words) != len(asked):
            raise RuntimeError(f"{len(words)} answers to {len(asked)} questions: {done.stderr}")
        return words

    def judge(self, batch: Sequence[tuple[Original, bytes]], count: Count) -> None:
        """Hold loaders and ourselves together over a batch."""
        shutil.rmtree(self.files)
        self.batches += 1
        self.libraries = LibraryIndex((), Disk())  # what was read of files that are gone
        paths = []
        for number, (original, data) in enumerate(batch):
            folder = os.path.join(self.files, f"{self.batches}-{number}")
            os.makedirs(folder)
            name = "libdemo.so" if original.kind == "L" else "demo"
            path = os.path.join(folder, name)
            with open(path, "wb") as file:
                file.write(data)
            os.chmod(path, 0o700)
            paths.append(path)
        said: list[dict[str, str]] = [{} for _ in batch]
        for libc in ("glibc", "musl"):
            mine = [i for i, (original, _) in enumerate(batch) if _asks(original, libc)]
            words = self.load(libc, [(batch[i][0].kind, paths[i]) for i in mine])
            for i, word in zip(mine, words, strict=True):
                said[i][libc] = word
        edited: list[tuple[str, int]] = []
        for i, (original, data) in enumerate(batch):
            count.inputs += 1
            for libc, word in said[i].items():
                loaded = word == "loaded"
                count.words[f"{libc} {original.kind} {word.split()[0]}"] += 1
                found = self._ours(paths[i], libc, loaded=loaded)
                if loaded and found:
                    self._tell(count, f"false refusal ({libc} {original.kind}): {found}", data)
                if not found and not loaded and (kind := _refusal(word)):
                    self._tell(count, f"false praise ({libc} {original.kind}): {kind}", data)
                if loaded and not found:
                    edited.append((libc, i))
        self._edit(batch, paths, edited, count)

    def _ours(self, path: str, libc: str, *, loaded: bool) -> str:
        """Say what we have against a file, in words without its numbers; empty for nothing."""
        try:
            facts = read_elf(path)
            if facts is None or not facts.kind.is_linked:
                return f"kind {facts.kind.value if facts else 'not ELF'}"
            target = self.targets[libc]
            asks = (plan_trees, check_trees) if loaded else (check_trees,)
            return self._planned(os.path.dirname(path), target, asks)
        except NixManylinuxError as error:
            return f"reader: {_plain(error.what)}"

    def _planned(self, folder: str, target: Target, asks: Sequence[Callable[..., Plan]]) -> str:
        trees = [scan_tree(folder)]
        for ask in asks:
            plan = ask(trees, target=target, libraries=self.libraries, options=Options())
            for problem in (*plan.missing, *plan.incompatible):
                return f"{ask.__name__}: {_plain(problem.name + ' ' + problem.reason)}"
        return ""

    def _edit(
        self,
        batch: Sequence[tuple[Original, bytes]],
        paths: Sequence[str],
        edited: Sequence[tuple[str, int]],
        count: Count,
    ) -> None:
        """Edit what loaded; what was edited must still load."""
        done: dict[int, str] = {}
        for i in dict.fromkeys(i for _, i in edited):
            done[i], why = _edit(paths[i])
            count.words[f"edit {done[i]}"] += 1
            if why:
                self._tell(count, f"edit refused: {why}", batch[i][1])
        for libc in ("glibc", "musl"):
            mine = [i for each, i in edited if each == libc and done[i] != "refused"]
            words = self.load(libc, [(batch[i][0].kind, paths[i]) for i in mine])
            for i, word in zip(mine, words, strict=True):
                if word != "loaded":
                    self._tell(count, f"edited, and then ({libc}): {_plain(word)}", batch[i][1])

    def _tell(self, count: Count, kind: str, data: bytes) -> None:
        count.kinds[kind] += 1
        if kind not in count.shown:
            path = os.path.join(self.folder, f"find-{len(count.shown)}")
            with open(path, "wb") as file:
                file.write(data)
            count.shown[kind] = path


def _edit(path: str) -> tuple[str, str]:
    """Give a file a long search path: how that was done, or why it was refused."""
    try:
        return edit_file(path, ElfEdit(search_path=(_LONG,))).how, ""
    except NixManylinuxError as error:
        return "refused", _plain(error.what)


def _asks(original: Original, libc: str) -> bool:
    """Whether a libc is asked about a file: programs name their own loader."""
    musl = original.name.startswith("musl")
    return (original.kind == "L" and not (musl and libc == "glibc")) or (libc == "musl") == musl


def _plain(text: str) -> str:
    """Take numbers, names and paths out of a sentence."""
    text = re.sub(r"/\S+", "PATH", text)
    text = re.sub(r"0x[0-9a-f]+|\d+", "#", text)
    return re.sub(r"[^\x20-\x7e]+", "?", text)[:110]


#: What loaders say of relocations, symbols and code, which nobody foresees from headers.
_UNFORESEEN = re.compile(
    r"undefined symbol|symbol not found|unexpected reloc|unsupported relocation|relocation"
    r"|symbol lookup error|DT_INIT|cannot restore segment prot|cannot apply additional memory"
    # The sandbox gives no more than 2 GiB.
    r"|failed to map segment|cannot map zero-fill|Out of memory|Cannot allocate memory"
)


def _refusal(word: str) -> str:
    """Name a refusal that headers and versions could foretell; else nothing."""
    kind, _, text = word.partition(" ")
    if kind == "refused" or (
        kind == "ended" and ("error while loading" in text or "execve" in text)
    ):
        return "" if _UNFORESEEN.search(text) else _plain(text)
    if "Assertion" in text or "Inconsistency detected" in text:
        return _plain(text)
    return ""


def run(
    folder: str, inputs: int, *, seed: int = 1, shard: int = 0, patchelfs: Sequence[str] = ()
) -> Count:
    """Judge so many mutants; everything follows from the seed's number and the shard's."""
    oracle, count = Oracle(folder), Count()
    found = originals(os.path.join(folder, "originals"), patchelfs)
    chance = random.Random(f"oracle {seed} {shard}")  # noqa: S311 - to be repeated
    # The unchanged ones first: what doesn't load as it is teaches nothing.
    sound = []
    for start in range(0, len(found), _BATCH):
        part = found[start : start + _BATCH]
        before = Count()
        oracle.judge([(each, each.seed.data) for each in part], before)
        count.kinds += before.kinds
        count.shown.update(before.shown)
        sound += part
    count.words["seeds"] = len(sound)
    while count.inputs < inputs:
        batch = []
        for _ in range(min(_BATCH, inputs - count.inputs)):
            original = chance.choice(sound)
            batch.append((original, mutate(original.seed, chance)))
        oracle.judge(batch, count)
    return count


def main() -> int:
    """Run by hand; the exit status is 1 if there is any disagreement."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.oracle", description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shard", default="1/1", help="NUMBER/OF: a part of the inputs")
    parser.add_argument("--patchelf", action="append", default=[], help="one that edits seeds")
    parser.add_argument("--keep", metavar="DIR", help="where one input of each kind is kept")
    given = parser.parse_args()
    number, of = map(int, given.shard.split("/"))
    folder = given.keep or tempfile.mkdtemp(prefix="nix-manylinux-oracle-")
    started = time.monotonic()
    count = run(
        os.path.realpath(folder),
        given.inputs // of,
        seed=given.seed,
        shard=number,
        patchelfs=given.patchelf or [p for p in [shutil.which("patchelf")] if p],
    )
    spent = time.monotonic() - started
    print(f"{count.inputs} inputs in {spent:.0f} s")  # noqa: T201
    for word, number in sorted(count.words.items()):
        print(f"  {number:8} {word}")  # noqa: T201
    print(f"{sum(count.kinds.values())} disagreements of {len(count.kinds)} kinds")  # noqa: T201
    for kind, number in count.kinds.most_common():
        print(f"  {number:8} {kind}\n           {count.shown[kind]}")  # noqa: T201
    return 1 if count.kinds else 0


if __name__ == "__main__":
    sys.exit(main())

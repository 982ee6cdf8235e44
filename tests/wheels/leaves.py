"""``python -m tests.wheels.leaves``: whether an import needs what ``--missing leaves`` lets pass.

For each wheel of a list: the rule is asked which files may stay unloadable if nothing but a
libc is there. Then the wheel is patched with all that this machine has, and so is all that it
requires (what no list has, pip fetches), every module of it is imported where nothing else is
visible, and the files that the process mapped are held against the rule's. A file in both is
one that the rule lets pass and an import wants.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from packaging.tags import Tag, sys_tags
from packaging.utils import canonicalize_name, parse_wheel_filename
from tests.support.installed import command, site_packages, target_options, unpack
from tests.support.isolation import sandbox
from tests.support.store import Store, host_store
from tests.wheels import corpus
from tests.wheels.__main__ import for_this_machine
from tests.wheels.fetch import say
from tests.wheels.runner import companions, elf_files, patch_and_unpack, requirements

from nix_manylinux.nix.expression.wheel import describe_wheel

if TYPE_CHECKING:
    from packaging.version import Version

#: Imports modules and all below them, whatever comes of it, for a minute and a half at most,
#: and prints after each how many there were and what is mapped: some end the process.
IMPORTS = """
import importlib, importlib.util, json, os, pkgutil, signal, sys, warnings

def late(*_):
    raise TimeoutError

def told():
    lines = open("/proc/self/maps").read().splitlines()
    paths = sorted({line.split(None, 5)[5] for line in lines if "/" in line})
    os.write(1, b"\\n" + json.dumps([tried, imported, paths, failed]).encode() + b"\\n")

tried = imported = 0
failed = {}
warnings.simplefilter("ignore")
signal.signal(signal.SIGALRM, late)
signal.alarm(90)
queue = sys.argv[1:]

def is_module(name):
    # Any library below a package looks like one: libarrow_python.so
    spec = importlib.util.find_spec(name)
    if spec is None or not (spec.origin or "").endswith(".so"):
        return True
    with open(spec.origin, "rb") as file:
        return b"PyInit_" + name.rpartition(".")[2].encode() in file.read()

try:
    while queue:
        name = queue.pop(0)
        if name.rpartition(".")[2] in {"__main__", "tests", "test", "conftest"}:
            continue
        try:
            if not is_module(name):
                continue
        except TimeoutError:
            raise
        except BaseException:
            pass
        tried += 1
        try:
            module = importlib.import_module(name)
            imported += 1
            if hasattr(module, "__path__"):
                below = pkgutil.iter_modules(module.__path__, f"{name}.")
                queue += [each.name for each in below]
        except TimeoutError:
            raise
        except BaseException as error:
            failed[name] = f"{type(error).__name__}: {error}"
        if tried % 25 == 0:
            told()
except BaseException:
    pass
told()
"""


class Held(NamedTuple):
    """What came of one wheel; files by their paths in it."""

    files: int
    optional: frozenset[str]
    tried: int
    imported: int
    mapped: frozenset[str]
    failed: dict[str, str]

    @property
    def wanted(self) -> list[str]:
        """What the rule lets pass, and an import maps all the same."""
        return sorted(self.optional & self.mapped)


def hold(wheel: str, store: Store, beside: list[str]) -> Held:
    """Hold the rule against the imports of one wheel."""
    modules = describe_wheel(wheel).modules
    with tempfile.TemporaryDirectory(prefix="nix-manylinux-leaves-") as place:
        bare = os.path.join(place, "bare")
        unpack(wheel, bare, interpreter=store.python)
        others: list[str] = []
        for number, other in enumerate(beside):
            prefix = os.path.join(place, f"beside-{number}")
            if patch_and_unpack(other, prefix, store, mode="tree", others=others).refused:
                return Held(0, frozenset(), 0, 0, frozenset(), {other: "can't be patched"})
            others.append(prefix)
        optional = waived(bare, store, others)
        prefix = os.path.join(place, "it")
        if patch_and_unpack(wheel, prefix, store, mode="tree", others=others).refused:
            return Held(0, frozenset(), 0, 0, frozenset(), {wheel: "can't be patched"})
        ran = sandbox(store, prefix, *others).run(
            [store.python, "-c", IMPORTS, *modules],
            environment={"PYTHONPATH": ":".join(map(site_packages, [prefix, *others]))},
        )
        lines = [line for line in ran.stdout.splitlines() if line.startswith("[")]
        tried, imported, paths, failed = json.loads(lines[-1]) if lines else (0, 0, [], {})
        real = os.path.realpath(prefix)
        mapped = {os.path.relpath(path, real) for path in paths if path.startswith(f"{real}/")}
        files = len(elf_files(prefix)[0])
    return Held(files, optional, tried, imported, frozenset(mapped), failed)


def waived(tree: str, store: Store, others: list[str]) -> frozenset[str]:
    """Ask the rule what may stay unloadable where there is nothing but a libc and the wheels.

    What lacks only libraries that have to be found for others, too, doesn't stay so.
    """
    report = f"{tree}.json"
    words = ["patch", tree, "--dry-run", "--missing", "leaves", "--json", report]
    for other in others:
        words += ["--python-libs", site_packages(other)]
    command(*words, *target_options(store))
    value = json.loads(Path(report).read_text(encoding="utf-8"))
    strict = {problem["name"] for problem in value["missing"]}
    left = [problem for problem in value["waived"] if problem["name"] not in strict]
    return frozenset(name for problem in left for name in problem["wanted_by"])


def required_by(wheel: str, around: list[str], extra: list[str]) -> list[str]:
    """List what a wheel and some others require, of the wheels around or as pip fetches it."""
    known: dict[str, list[str]] = {}
    for path in [*extra, *around]:
        known.setdefault(_of(path)[0], []).append(path)
    chosen: dict[str, str] = {}
    queue = [wheel, *extra]
    while queue:
        for requirement in requirements(queue.pop()):
            name, wanted = canonicalize_name(requirement.name), requirement.specifier
            if name in chosen:
                continue
            fitting = [path for path in known.get(name, []) if _of(path)[1] in wanted]
            # What comes later may want a newer one than this does.
            fitting.sort(key=lambda path: _of(path)[1], reverse=True)
            try:
                chosen[name] = next(iter(fitting), "") or corpus.required(f"{name}{wanted}")
            except corpus.FetchError:
                say(f"  no wheel of {name}{wanted}, for {os.path.basename(wheel)}")
                continue
            queue.append(chosen[name])
    return [*chosen.values()]


def _of(path: str) -> tuple[str, Version]:
    return parse_wheel_filename(os.path.basename(path))[:2]


def main() -> int:
    """Run over a list; 1 if an import wants what the rule lets pass."""
    parser = argparse.ArgumentParser(prog="python -m tests.wheels.leaves", description=__doc__)
    parser.add_argument("--list", choices=corpus.LISTS, action="append")
    parser.add_argument("--only", default="*", help="a glob that the file names must match")
    parser.add_argument("--verbose", action="store_true", help="say why modules don't import")
    arguments = parser.parse_args()
    store = host_store()
    ours = set(sys_tags())
    sums = [0, 0, 0, 0]
    wanted = 0
    lists = {name: corpus.entries(name) for name in corpus.LISTS}
    fitting = [file for entries in lists.values() for file in entries if _is_for(file, ours)]
    around = [*map(corpus.wheel, fitting)]
    for name in arguments.list or corpus.LISTS:
        for file, entry in lists[name].items():
            if file not in fitting or not fnmatch.fnmatch(file, arguments.only):
                continue
            wheel = corpus.wheel(file)
            extra = [corpus.wheel(start) for start in entry.beside]
            given = required_by(wheel, around, extra)
            held = hold(wheel, store, companions(wheel, given, extra=extra))
            counts = (held.files, len(held.optional), held.tried, held.imported)
            sums = [a + b for a, b in zip(sums, counts, strict=True)]
            wanted += len(held.wanted)
            say(
                f"{file}: {counts[0]} libraries, {counts[1]} optional, "
                f"{counts[3]} of {counts[2]} modules imported, {len(held.mapped)} mapped"
            )
            for each in held.wanted:
                say(f"  WANTED: {each}")
            for module, why in held.failed.items():
                if arguments.verbose or "cannot open shared object" in why:
                    say(f"  {module}: {why}")
    say(
        f"in all: {sums[0]} libraries, {sums[1]} optional; {sums[3]} of {sums[2]} modules "
        f"imported; {wanted} optional files wanted by an import"
    )
    return bool(wanted)


def _is_for(file: str, ours: set[Tag]) -> bool:
    return for_this_machine(file) and bool(parse_wheel_filename(file)[3] & ours)


if __name__ == "__main__":
    sys.exit(main())

"""A small tree, a few library directories, and what two tools make of them.

A scene is an installed wheel made of C: its files are put together once, then
patched by the command in one copy, and by nixpkgs' auto-patchelf in another,
and called in a sandbox where nothing else is visible.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.auto_patchelf import auto_patchelf
from tests.support.elf import ElfBuilder
from tests.support.installed import Ran, command, library_options, target_options
from tests.support.isolation import sandbox
from tests.support.store import fake_store_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.store import Store

_CALLER = r"""
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **words)
{
    void *handle = dlopen(words[1], RTLD_NOW);
    int (*function)(void) = handle ? (int (*)(void))dlsym(handle, words[2]) : 0;
    if (!function) {
        printf("%s\n", dlerror());
        return 1;
    }
    printf("%d\n", function());
    return 0;
}
"""

#: Where a scene's own files are, below the root of its tree.
SITE = "lib/python3/site-packages"


@dataclass(kw_only=True)
class Scene:
    """One tree under construction; ``home`` is an empty directory of the test's own."""

    home: Path
    store: Store
    libraries: list[str] = field(default_factory=list)
    _copies: int = 0

    @property
    def files(self) -> ElfBuilder:
        """What compiles for this scene."""
        return ElfBuilder(self.home / "built")

    def put(self, name: str, file: Path | bytes, *, mode: int = 0o755) -> None:
        """Put a file into the tree; ``name`` is relative to site-packages."""
        place = self.home / "tree" / SITE / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file if isinstance(file, bytes) else file.read_bytes())
        place.chmod(mode)

    def library(self, package: str, *files: Path) -> str:
        """Make a store path of these libraries, known to both tools; returns its ``lib``."""
        folder = fake_store_path(str(self.home / "store"), package)
        for file in files:
            shutil.copy(file, folder)
        self.libraries.append(folder)
        return folder

    def ours(self, *options: str, environment: Mapping[str, str] | None = None) -> Patched:
        """Patch a copy with the command."""
        root = self.copy()
        words = [*target_options(self.store), *library_options(self.libraries), *options]
        report = self.home / f"{root.name}.json"
        ran = command("patch", str(root), *words, "--json", str(report), environment=environment)
        return Patched(self, root, ran, report)

    def theirs(self, *options: str, tools: str | None = None) -> Patched:
        """Patch a copy with auto-patchelf; raises LookupError where that isn't at hand."""
        root = self.copy()
        ran = auto_patchelf(str(root), self.libraries, self.store, *options, tools=tools)
        return Patched(self, root, ran, None)

    def copy(self) -> Path:
        """Copy the tree as it is, to a place whose path is as long for every copy."""
        self._copies += 1
        root = self.home / f"copy{self._copies}"
        shutil.copytree(self.home / "tree", root, symlinks=True)
        return root


@dataclass(frozen=True)
class Patched:
    """A copy of a scene's tree after a tool has run over it."""

    scene: Scene
    root: Path
    ran: Ran
    report: Path | None

    def path(self, name: str) -> Path:
        """Give the path of a file of site-packages."""
        return self.root / SITE / name

    def call(self, name: str, function: str = "demo") -> str:
        """Load a file and call a function; returns its value, or the loader's error."""
        return call(self.scene, str(self.path(name)), function)

    def unchanged(self, name: str) -> bool:
        """Whether a file is, byte for byte, what was put there."""
        return self.path(name).read_bytes() == (self.scene.home / "tree" / SITE / name).read_bytes()


def call(scene: Scene, path: str, function: str = "demo") -> str:
    """Load one library in the sandbox of a scene and call one function of it."""
    caller = scene.home / "caller"
    if not caller.exists():
        source = scene.home / "caller.c"
        source.write_text(_CALLER)
        subprocess.run(["gcc", "-o", str(caller), str(source), "-ldl"], check=True)
    box = sandbox(scene.store, str(scene.home))
    ran = box.run([str(caller), path, function])
    return ran.stdout.strip() or f"status {ran.returncode}: {ran.stderr.strip()}"


def returns(name: str, value: int) -> str:
    """Write a function that returns a number."""
    return f"int {name}(void) {{ return {value}; }}\n"


def calls(*names: str) -> str:
    """Write demo() as a sum of other libraries' functions."""
    return "".join(f"int {name}(void);\n" for name in names) + (
        f"int demo(void) {{ return {' + '.join(f'{name}()' for name in names)}; }}\n"
    )


def run_path(path: Path) -> str:
    """Read DT_RPATH or DT_RUNPATH as readelf sees it, with its tag: "RUNPATH a:b"; "" for none."""
    output = subprocess.run(
        ["readelf", "-dW", str(path)], capture_output=True, text=True, check=True
    ).stdout
    for line in output.splitlines():
        for tag in ("RUNPATH", "RPATH"):
            if f"({tag})" in line:
                return f"{tag} {line.partition('[')[2].rpartition(']')[0]}"
    return ""


def environment_without_tools() -> dict[str, str]:
    """Give an environment in which no program can be found."""
    return {"PATH": os.devnull}

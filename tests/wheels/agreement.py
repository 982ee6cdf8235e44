"""The loader simulation against the real loader, for every file that was opened.

What `elf.loader` says that opening a file brings in is held against what the
kernel, or the loader itself, says was mapped. The simulation sees what the
sandbox showed, and nothing else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nix_manylinux.resolve.loader import make_loader
from nix_manylinux.target.target import Target
from nix_manylinux.tree.disk import Disk
from nix_manylinux.tree.libraries import LibraryIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.support.isolation import Sandbox
    from tests.support.loading import Loaded
    from tests.support.store import Store

    from nix_manylinux.resolve.process import Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What was compared: files that were opened, needs that were followed for them.

    A need is counted for each file whose process has it. ``differences`` maps
    files to where simulation and loader differ.
    """

    files: int = 0
    needs: int = 0
    differences: dict[str, str] = field(default_factory=dict)


class _Shown(Disk):
    """The disk as it is inside a sandbox."""

    def __init__(self, box: Sandbox) -> None:
        super().__init__()
        self._box = box

    def exists(self, path: str) -> bool:
        return any(map(super().exists, self._outside(path)))

    def is_directory(self, path: str) -> bool:
        return any(map(super().is_directory, self._outside(path)))

    def _outside(self, path: str) -> list[str]:
        """Where a path that is seen inside comes from; nowhere if it isn't seen."""
        path = os.path.realpath(path)
        return [
            outside + path.removeprefix(inside)
            for outside, inside in self._box.binds
            if path == inside or path.startswith(f"{inside}/")
        ]


def compare(
    store: Store,
    box: Sandbox,
    loaded: Mapping[str, Loaded],
    *,
    ask: Callable[[list[str]], Mapping[str, Loaded]] = lambda _: {},
) -> Agreement:
    """Simulate the opening of every file that was opened, and say where it differs.

    ``ask`` opens libraries once more and asks the loader what it brings in. It
    is called for those whose process can't tell: that ended, or whose
    constructors seem to have opened more.
    """
    target = Target.from_dynamic_linker(store.dynamic_linker)
    loader = make_loader(target, LibraryIndex.from_directories([], disk=_Shown(box)))
    processes = {path: loader.open(path) for path in loaded}
    unsure = [
        path
        for path, one in loaded.items()
        if _is_late(one.error) or disagreement(store, processes[path], one)
    ]
    asked = {**loaded, **ask(unsure)} if unsure else loaded
    told = {path: disagreement(store, processes[path], asked[path]) for path in loaded}
    return Agreement(
        files=len(loaded),
        needs=sum(len(each.links) + len(each.faults) for each in processes.values()),
        differences={path: difference for path, difference in told.items() if difference},
    )


def beyond_the_libc(store: Store, paths: Iterable[str]) -> set[str]:
    """Give the real paths, without the libc's own files, wherever the sandbox shows them."""
    libc = {store.libc, store.default_directory, os.path.dirname(store.host_linker)}
    return {os.path.realpath(path) for path in paths if os.path.dirname(path) not in libc}


def disagreement(store: Store, process: Process, loaded: Loaded) -> str:
    """Say where simulation and loader differ; empty where they don't."""
    if loaded.error and not (_is_late(loaded.error) and loaded.brought_in):
        return _other_error(process, loaded.error)
    if process.faults:
        return f"{loaded.error or 'loaded'}, simulated {process.faults}"
    predicted = beyond_the_libc(store, [each.path for each in process.objects])
    real = beyond_the_libc(store, loaded.brought_in or loaded.mapped)
    differing = predicted ^ (real | {os.path.realpath(loaded.path)})
    return f"they differ in {sorted(differing)}" if differing else ""


def _is_late(error: str) -> bool:
    """Whether all libraries had been found: symbols are bound, and code is run, after that."""
    return "undefined symbol" in error or error.startswith("killed by")


def _other_error(process: Process, error: str) -> str:
    """Hold what the loader stopped at against the first fault of the simulation."""
    if _is_late(error):
        # A damaged file may end the loader itself.
        kinds = {fault.kind for fault in process.faults} - {"unreadable"}
        return f"said {error}, simulated {process.faults}" if kinds else ""
    if not process.faults:
        return f"said {error}, simulated no fault"
    # The loader stops at the first library that it can't find, before it looks at versions.
    searched = [fault for fault in process.faults if fault.kind != "version"]
    if searched:
        fault = searched[0]
        return "" if fault.name in error else f"said {error}, simulated {fault}"
    told = any(fault.reason.rpartition(" ")[2] in error for fault in process.faults)
    return "" if told else f"said {error}, simulated {process.faults}"

"""A file system and a target made of facts alone: what the pure stages are tested on."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from nix_manylinux.base.errors import BadElf
from nix_manylinux.elf.facts import ElfFacts, ElfKind, Machine, VersionNeed
from nix_manylinux.resolve.plan import FilePlan, Options, Plan
from nix_manylinux.resolve.planner import plan_trees
from nix_manylinux.target.target import Target
from nix_manylinux.tree.disk import Disk
from nix_manylinux.tree.facts import TreeFacts, TreeFile
from nix_manylinux.tree.libraries import LibraryIndex
from nix_manylinux.wheel.metadata import Distribution

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

X86_64 = Machine(number=62, bits=64, endian="little")
AARCH64 = Machine(number=183, bits=64, endian="little")
I686 = Machine(number=3, bits=32, endian="little")
LIBC = "/nix/store/libc/lib"
TREE = "/out"


def elf(
    *needed: str,
    soname: str | None = None,
    kind: ElfKind = ElfKind.LIBRARY,
    versions: dict[str, str] | None = None,
    **more: Any,  # noqa: ANN401 - any field of ElfFacts
) -> ElfFacts:
    """Make facts of an x86_64 library; ``versions`` maps needed versions to their library."""
    more.setdefault("machine", X86_64)
    needs = tuple(VersionNeed(library=lib, version=v) for v, lib in (versions or {}).items())
    return ElfFacts(kind=kind, soname=soname, needed=needed, needs=needs, **more)


def program(*needed: str, **more: Any) -> ElfFacts:  # noqa: ANN401 - any field of ElfFacts
    """Make facts of a program with Debian's interpreter."""
    more.setdefault("interpreter", "/lib64/ld-linux-x86-64.so.2")
    return elf(*needed, kind=ElfKind.PROGRAM, **more)


class World(Disk):
    """A disk that holds just what it was given: a value of None is a file that is not ELF."""

    def __init__(self, files: Mapping[str, ElfFacts | BadElf | None] | None = None) -> None:
        super().__init__()
        self.files: dict[str, ElfFacts | BadElf | None] = {
            f"{LIBC}/ld-linux-x86-64.so.2": elf(soname="ld-linux-x86-64.so.2"),
            f"{LIBC}/libc.so.6": elf(soname="libc.so.6", defines=("GLIBC_2.2.5", "GLIBC_2.36")),
            f"{LIBC}/libm.so.6": elf(soname="libm.so.6", defines=("GLIBC_2.2.5",)),
            **(files or {}),
        }
        self.opened: list[str] = []
        #: (path, string) pairs that `mentions` knows
        self.strings: set[tuple[str, str]] = set()

    def names(self, directory: str) -> frozenset[str]:
        """Give the first component of everything below ``directory``."""
        inside = (p[len(directory) + 1 :] for p in self.files if p.startswith(directory + "/"))
        return frozenset(name.partition("/")[0] for name in inside)

    def exists(self, path: str) -> bool:
        """Whether a file was given."""
        return path in self.files

    def is_directory(self, path: str) -> bool:
        """Whether anything was given below it."""
        return bool(self.names(path))

    def libraries_below(self, folder: str) -> Iterator[str]:
        """Give all paths below ``folder``."""
        return iter(sorted(p for p in self.files if p.startswith(folder + "/") and ".so" in p))

    def real(self, path: str) -> str:
        """Normalise: there are no links here."""
        parts: list[str] = []
        for part in path.split("/"):
            if part == "..":
                parts.pop()
            elif part not in {"", "."}:
                parts.append(part)
        return "/" + "/".join(parts)

    def facts(self, path: str) -> ElfFacts | None:
        """Give the facts, and remember who asked."""
        self.opened.append(path)
        found = self.files.get(self.real(path))
        if isinstance(found, BadElf):
            raise found
        return found

    def overlay(self, _anew: object = ()) -> World:
        """Give a view that can learn; who asked is remembered in both."""
        above = copy.copy(self)
        above.files = dict(self.files)
        return above

    def learn(self, path: str, facts: ElfFacts) -> None:
        """Replace the facts."""
        self.files[path] = facts

    def mentions(self, path: str, name: str) -> bool:
        """Whether the pair is in ``strings``."""
        return (path, name) in self.strings


def target(world: World, **more: Any) -> Target:  # noqa: ANN401 - any field of Target
    """Make a glibc 2.36 for x86_64 whose libraries are those of ``world``."""
    sonames = {name: f"{LIBC}/{name}" for name in world.names(LIBC)}
    values: dict[str, Any] = {
        "machine": X86_64,
        "libc": "glibc",
        "libc_version": (2, 36),
        "dynamic_linker": f"{LIBC}/ld-linux-x86-64.so.2",
        "libc_directory": LIBC,
        "libc_sonames": sonames,
    }
    return Target(**{**values, **more})


def tree(
    files: dict[str, ElfFacts],
    *,
    root: str = TREE,
    site: str = "",
    requires: tuple[str, ...] = (),
    **more: Any,  # noqa: ANN401 - any field of TreeFacts
) -> TreeFacts:
    """Make a tree whose files are ``files``, by relative path."""
    return TreeFacts(
        root=root,
        files=tuple(
            TreeFile(path=path, label=path, facts=facts, size=100, mode=0o100644)
            for path, facts in sorted(files.items())
        ),
        distributions=(
            Distribution(folder=f"{site}/demo-1.dist-info", name="demo", version="1",
                         requires=requires),
        ),
        site_packages=(site,),
        **more,
    )  # fmt: skip


def plan(
    files: dict[str, ElfFacts],
    world: World | None = None,
    *,
    libs: tuple[str, ...] = (),
    linker: dict[str, Any] | None = None,
    facts: TreeFacts | None = None,
    **options: Any,  # noqa: ANN401 - any field of Options
) -> Plan:
    """Plan one tree of ``files`` over ``world``."""
    world = world or World()
    facts = facts or tree(files)
    for each in facts.files:
        world.files[f"{facts.root}/{each.path}"] = each.facts
    return plan_trees(
        [facts],
        target=target(world, **(linker or {})),
        libraries=LibraryIndex(libs, world),
        options=Options(**options),
    )


def of(result: Plan, path: str) -> FilePlan:
    """Return the plan of the file at ``path``."""
    return next(each for each in result.files if each.file.path == path)


def path_of(result: Plan, path: str) -> tuple[str, ...]:
    """Return the search path that the file at ``path`` will have."""
    each = of(result, path)
    edit = each.edit.search_path
    return each.file.facts.search_path if edit is None else edit


def outcomes(result: Plan, path: str) -> dict[str, str]:
    """Map needed name -> outcome, for the file at ``path``."""
    return {r.name: r.outcome.value for r in of(result, path).resolutions}

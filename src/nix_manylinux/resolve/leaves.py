"""What may stay unloadable where ``--missing leaves`` is asked for: optional plugins.

A file that nothing else in the trees leads to, and that is neither a program nor a
Python extension module, is found by nobody but a framework that looks for plugins, and
takes those that load: Qt's for databases, drivers of vendors. What a program or a module
that can be imported needs, directly or through others, is no such leaf; nor is a library
that the Python files of its package name (lightgbm opens lib_lightgbm.so by ctypes), unless
these can't be imported in the environment: open3d's for torch, where there is no torch.
Of a module that comes in several variants, of which its package picks one (mpi4py's
MPI.mpich.… and MPI.openmpi.…), one has to load.
"""

from __future__ import annotations

import os
import re
import sys
from functools import cache

from nix_manylinux.base.values import replace
from nix_manylinux.elf.facts import ElfKind
from nix_manylinux.resolve.plan import FilePlan, Plan, limited, wanting_files
from nix_manylinux.target.environment import has_system_packages
from nix_manylinux.tree.python import PLAIN_MODULE, TAGGED_MODULE, python_sources
from nix_manylinux.tree.roots import find_pyvenv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nix_manylinux.tree.disk import Disk

#: What could be a library's name in Python's source, with or without what stands behind it.
_WORD = re.compile(rb"\w[\w.+-]{2,}\w")
#: An import that nothing guards, of a module that is not relative; no prose ("from the ...").
_IMPORT = re.compile(
    rb"^(?:from|import)[ \t]+([A-Za-z_]\w*)(?:\.\w+)*"
    rb"(?:[ \t]+(?:import|as)\b|[ \t]*(?:[,;#\r\n]|$))",
    re.MULTILINE,
)
#: What auditwheel puts behind a name.
_GRAFTED = re.compile(rb"-[0-9a-f]{8}$")


def waive_leaves(plan: Plan, disk: Disk) -> Plan:
    """Move what only leaves want from the plan's missing libraries to its waived ones."""
    if not plan.missing:
        return plan
    wanting = wanting_files(plan.missing)
    must = _must_load(plan, disk, wanting)
    return replace(
        plan,
        missing=limited(plan.missing, lambda label, _: label in must),
        waived=limited(plan.missing, lambda label, _: label not in must),
    )


def _must_load(plan: Plan, disk: Disk, wanting: set[str]) -> set[str]:
    """Give the labels, of those that want something, of what has to load."""
    by_path = {disk.real(path): each for path, each in plan.by_path().items()}
    queue = [each for each in plan.files if _is_entry(plan, each, disk, wanting)]
    reached = _follow(queue, by_path, disk)
    for variants in _variants(plan):
        leading = [_follow([each], by_path, disk) for each in variants]
        if all(not wanting.isdisjoint(labels) for labels in leading):
            reached = reached.union(*leading)
    if not wanting <= reached:
        sources = _importable(plan, disk)
        words = cache(lambda package: {w for each in sources(package) for w in _WORD.findall(each)})
        for each in plan.files:
            leads = set() if each.file.label in reached else _follow([each], by_path, disk)
            if not wanting.isdisjoint(leads - reached) and _is_named(plan, each, words, sources):
                reached |= leads
    # Libraries outside of the trees are labelled with their paths: somebody led to them.
    labels = {each.file.label for each in plan.files}
    return reached | {label for label in wanting if label not in labels}


def _follow(queue: list[FilePlan], by_path: dict[str, FilePlan], disk: Disk) -> set[str]:
    """Give the labels of some files, and of all that they lead to."""
    reached = {each.file.label for each in queue}
    while queue:
        for resolution in queue.pop().resolutions:
            found = by_path.get(disk.real(resolution.path)) if resolution.path else None
            if found is not None and found.file.label not in reached:
                reached.add(found.file.label)
                queue.append(found)
    return reached


def _variants(plan: Plan) -> list[list[FilePlan]]:
    """Give the files of each extension module that comes in variants."""
    found: dict[tuple[int, str, str], list[FilePlan]] = {}
    for each in plan.files:
        for name in each.file.names:
            folder, _, base = name.rpartition("/")
            match = re.fullmatch(TAGGED_MODULE, base)
            if match and match["variant"]:
                found.setdefault((each.tree, folder, match["module"]), []).append(each)
    return list(found.values())


def _is_named(
    plan: Plan,
    each: FilePlan,
    words: Callable[[str], set[bytes]],
    sources: Callable[[str], Iterator[bytes]],
) -> bool:
    """Whether the Python files of its package name a file, by what it is called there."""
    tree = plan.trees[each.tree]
    for name in each.file.names:
        for site in tree.site_packages:
            inner = name.removeprefix(f"{site}/")
            if inner == name or "/" not in inner:
                continue
            # What auditwheel has put into NAME.libs may be NAME's (rtree's libspatialindex).
            package = inner.partition("/")[0].removesuffix(".libs")
            base = os.fsencode(inner.rpartition("/")[2])
            stem = _GRAFTED.sub(b"", base.partition(b".so")[0])
            # find_library takes names without "lib" (pypdfium2's pdfium).
            called = {base, stem, stem.removeprefix(b"lib")}
            folder = f"{tree.root}/{site}/{package}"
            if not words(folder).isdisjoint(called) and any(
                not called.isdisjoint(_WORD.findall(source))
                and not called.isdisjoint(_of_code(source))
                for source in sources(folder)
            ):
                return True
    return False


def _of_code(source: bytes) -> list[bytes]:
    """Give the words of a Python file, without comments and docstrings where it can be parsed."""
    import ast  # noqa: PLC0415 - few files want something, and are named

    try:
        nodes = [*ast.walk(ast.parse(source))]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _WORD.findall(source)
    said = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    fields = [vars(node).values() for node in nodes if id(node) not in said]
    texts = [value for values in fields for value in values if isinstance(value, str)]
    return _WORD.findall("\n".join(texts).encode("utf-8", "replace"))


def _importable(plan: Plan, disk: Disk) -> Callable[[str], Iterator[bytes]]:
    """Give what gives the Python files of a package that can be imported.

    In one virtual environment all is known that can be; of other trees every file counts.
    """
    trees = plan.trees
    known = len(trees) == 1 and find_pyvenv(trees[0].root)
    sites = [f"{tree.root}/{site}" for tree in trees for site in tree.site_packages]
    files = {name.partition(".")[0] for site in sites for name in disk.names(site)}
    there = files | sys.stdlib_module_names
    if not known or has_system_packages(trees[0].root):
        return lambda package: (source for _, source in python_sources(package))

    def importable(package: str) -> Iterator[bytes]:
        for _, source in python_sources(package):
            if all(name.decode() in there for name in _IMPORT.findall(source)):
                yield source

    return importable


def _is_entry(plan: Plan, each: FilePlan, disk: Disk, wanting: set[str]) -> bool:
    """Whether something outside of the trees begins with this file: the kernel, or Python."""
    if each.file.facts.kind is not ElfKind.LIBRARY:
        return True
    # Looked into is only what could be waived, and what could lead there.
    close = each.file.label in wanting or bool(each.resolutions)
    root = plan.trees[each.tree].root
    return any(is_module(name, disk, f"{root}/{name}" if close else "") for name in each.file.names)


def is_module(name: str, disk: Disk, path: str) -> bool:
    """Whether Python can import a file of this name, whose contents are at ``path``.

    A library may be called as a module is: the module's function tells. Without a path
    it is taken for a library.
    """
    base = name.rpartition("/")[2]
    tagged = re.fullmatch(TAGGED_MODULE, base)
    if tagged and not tagged["variant"]:
        return True
    match = re.fullmatch(PLAIN_MODULE, base)
    return match is not None and path != "" and disk.mentions(path, f"PyInit_{match['module']}")

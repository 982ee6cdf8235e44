"""Loads that DT_NEEDED doesn't show: what a tree may ask of dlopen at run time.

Four sources, each named in the result: ``.note.dlopen`` entries, sonames
among the strings of read-only data, what a few files are known to open by
names that they put together, and the literals of Python files.
"""

from __future__ import annotations

from functools import cache

from nix_manylinux.base.values import Value
from nix_manylinux.data import read_libraries, read_sonames
from nix_manylinux.elf.strings import read_only_sonames
from nix_manylinux.resolve.python_loads import is_for_others, loads_in_python
from nix_manylinux.tree.python import python_sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from nix_manylinux.elf.facts import ElfFacts
    from nix_manylinux.tree.facts import TreeFacts


class RuntimeLoad(Value):
    """A library that may be loaded at run time.

    ``name`` is a soname, or for ``find_library("GL")`` the name without a
    version ("libGL.so"). ``sources`` are labels of the files that name it,
    with how: ("cv2.abi3.so", "string").
    """

    name: str
    sources: tuple[tuple[str, str], ...]


class RuntimeLoads(Value):
    """All that was found, sorted by name; ``unparsed`` are Python files that could not be read."""

    loads: tuple[RuntimeLoad, ...] = ()
    unparsed: tuple[str, ...] = ()


def find_runtime_loads(facts: TreeFacts, labels: Mapping[str, str] | None = None) -> RuntimeLoads:
    """Look through the tree that ``facts`` were read from, while it is there.

    What the tree brings itself, by file name or soname, is left out, what a
    file needs anyway, and the libc. ``labels`` gives the Python files' names by path.
    """
    found: dict[str, set[tuple[str, str]]] = {}
    data = read_libraries()
    own = facts.brought | data.glibc
    known = cache(lambda: data.driver | read_sonames().keys())
    stems = cache(lambda: {name.partition(".so")[0] for name in known()})
    for file in facts.files:
        if file.facts.kind.is_linked:
            path = f"{facts.root}/{file.path}"
            for name, how in _loads_in_file(path, file.facts, known, data.opens):
                found.setdefault(name, set()).add((file.label, how))
    unparsed = []
    for path, source in python_sources(facts.root):
        label = (labels or {}).get(path, path)
        if is_for_others(path):
            continue
        named = loads_in_python(
            source, lambda name: name in known() or name.removesuffix(".so") in stems()
        )
        if named is None:
            unparsed.append(label)
        for name, how in named or ():
            found.setdefault(name, set()).add((label, how))
    return RuntimeLoads(
        loads=tuple(
            RuntimeLoad(name=name, sources=tuple(sorted(sources)))
            for name, sources in sorted(found.items())
            if name not in own and not any(each.startswith(f"{name}.") for each in own)
        ),
        unparsed=tuple(unparsed),
    )


def _loads_in_file(
    path: str,
    facts: ElfFacts,
    known: Callable[[], Collection[str]],
    opens: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, str]]:
    """Give what an ELF file may open, and how that is known."""
    for note in facts.dlopen:
        for soname in note.sonames:
            yield soname, f"dlopen note, {note.priority}"
    needed = {*facts.needed, *facts.auxiliary, *facts.filters}
    for name in read_only_sonames(path, lambda name: name in known()):
        if name not in needed:
            yield name, "string"
    for name in opens.get(path.rpartition("/")[2], ()):
        if name not in needed:
            yield name, "put together at run time"

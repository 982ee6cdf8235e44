"""A plan as nodes and edges: what every picture of it is drawn from.

All text in here has passed `visible`: file names are bytes that strangers
chose, and a control character or a change of writing direction in one must
not reach a terminal, a browser or Graphviz as itself.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from nix_manylinux.base.values import Value
from nix_manylinux.elf.facts import ElfKind
from nix_manylinux.resolve.plan import LACKING, Outcome

#: What is neither letter, mark, number, punctuation, symbol nor the plain space.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

#: So many names are listed in a box.
_LISTED = 8


class Look(Value, kw_only=False):
    """How an outcome is shown, by more than colour.

    ``word`` is what people call it, where nothing better is known of the plan; ``nowhere`` the
    place of what has no path; ``mark`` stands beside the name. ``border`` and ``fill`` are for
    pages whose own colours are not known: the ink inside is dark.
    """

    word: str
    nowhere: str
    mark: str
    border: str
    fill: str
    dashed: bool = False


#: In the order of every list and legend: trouble first, then outwards from the wheel. The hues
#: are Okabe and Ito's for colour-blind readers (jfly.uni-koeln.de/color/).
LOOKS = {
    Outcome.MISSING: Look("missing", "nothing provides it", "✕", "#b34700", "#ffe1d0"),
    Outcome.INCOMPATIBLE: Look(
        "does not fit", "found, but unfit", "≠", "#b34700", "#fff1cc", dashed=True
    ),
    Outcome.TREE: Look("in the tree", "", "▪", "#0072b2", "#e1f0fa"),
    Outcome.WHEEL: Look("another wheel", "", "◉", "#a8487f", "#f9e6f0"),
    Outcome.LIBRARY: Look("library folder", "", "◆", "#00805e", "#dcf5ec"),
    Outcome.DRIVER: Look("graphics driver", "of the host", "▲", "#8f6400", "#fbeecb"),
    Outcome.LATER: Look("comes later", "declared", "◷", "#3b7fa8", "#eef7fc", dashed=True),
    Outcome.IGNORED: Look("ignored", "on request", "-", "#767676", "#f4f4f4", dashed=True),
    Outcome.LIBC: Look("libc", "", "○", "#5c5c5c", "#ececec"),
}
ORDER = tuple(LOOKS)


class Node(Value):
    """One file or library, or several where a picture is folded.

    ``place`` is the folder of a file in the tree, the package of one in a
    store, the directory of any other. ``path`` is empty for what is in the
    tree and for what was not found. ``kind`` is that of the ELF file, and
    empty outside of the tree. ``notes`` are sentences. ``advice`` says who in
    nixpkgs provides it. ``folds`` are the nodes of the whole graph that it
    stands for, and ``members`` their names, sorted; both empty for one that
    stands for itself.
    """

    name: str
    origin: Outcome
    place: str = ""
    path: str = ""
    kind: str = ""
    notes: tuple[str, ...] = ()
    advice: str = ""
    folds: tuple[int, ...] = ()
    members: tuple[str, ...] = ()

    @property
    def is_program(self) -> bool:
        """Whether somebody runs the file, rather than loads it."""
        return self.kind in {ElfKind.PROGRAM.value, ElfKind.STATIC.value}

    @property
    def has_own_place(self) -> bool:
        """Whether the place stands in the box itself, and not around it."""
        return bool(self.place) and (bool(self.members) or self.origin is Outcome.TREE)

    @property
    def listed(self) -> tuple[str, ...]:
        """Name the libraries that it stands for, as far as a box has room; () for files."""
        members = () if self.origin is Outcome.TREE else self.members
        more = len(members) - _LISTED
        return (*members[:_LISTED], *([f"and {more} more"] if more > 0 else []))


class Edge(Value):
    """``source`` needs ``target`` (positions in `Graph.nodes`); ``count`` needs in one."""

    source: int
    target: int
    count: int = 1


class Graph(Value):
    """Nodes by origin, place and name, edges by their ends.

    ``title`` names the wheel or the tree; ``libc`` is what it is linked for
    ("glibc 2.36"), ``words`` call each outcome by what it is here.
    ``files`` counts ELF files of the tree, ``needs`` needed names by outcome:
    a folded graph still counts the whole one.
    """

    title: str
    libc: str
    words: Mapping[Outcome, str]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    files: int
    needs: Mapping[Outcome, int]

    @property
    def origins(self) -> tuple[Outcome, ...]:
        """Those that occur, in `ORDER`."""
        there = {node.origin for node in self.nodes}
        return tuple(origin for origin in ORDER if origin in there)

    @property
    def summary(self) -> str:
        """One sentence: how many files, how many needs, and where those lead."""
        total = sum(self.needs.values())
        parts = [
            f"{self.needs[each]:,} {self.words[each]}" for each in ORDER if self.needs.get(each)
        ]
        text = f"{plural(self.files, 'ELF file')}, {plural(total, 'need')}"
        return f"{text}: {', '.join(parts)}" if parts else text

    @property
    def trouble(self) -> tuple[str, ...]:
        """Names of all that is missing or does not fit."""
        names: list[str] = []
        for node in self.nodes:
            if node.origin in LACKING:
                names.extend(node.members or (node.name,))
        return tuple(names)


def visible(text: str) -> str:
    r"""Write what can't be seen, or would change how the rest is seen, as ``\x1b`` or ``\u202e``.

    Bytes that were no UTF-8 (``surrogateescape``) come out as ``\xff``.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spelt(c) if unicodedata.category(c) in _INVISIBLE else c for c in text)


def rank(node: Node) -> tuple[int, str, str, str]:
    """Give the key by which nodes are sorted."""
    return ORDER.index(node.origin), node.place, node.name, node.path


def plural(count: int, noun: str) -> str:
    """Write a count with its noun."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _spelt(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that surrogateescape carried
        code -= 0xDC00
    spelt = f"\\x{code:02x}"
    return spelt if code < 0x100 else character.encode("ascii", "backslashreplace").decode()

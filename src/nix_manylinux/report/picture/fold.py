"""A graph with fewer boxes: files by folder, libraries by package."""

from __future__ import annotations

from collections.abc import Iterable

from nix_manylinux.report.picture.model import TROUBLE, Edge, Graph, Node, plural, rank
from nix_manylinux.resolve.plan import Outcome


def fold_libc(graph: Graph) -> Graph:
    """Make one node of the libc: every file needs it, and nobody asks which part."""
    keys = [("libc",) if node.origin is Outcome.LIBC else None for node in graph.nodes]
    return _fold(graph, keys)


def fold(graph: Graph, *, limit: int = 80) -> Graph:
    """Fold files into folders and libraries into packages, until some ``limit`` nodes are left.

    Libraries that the same folders want, from the same origin, share a node
    too. A limit that can't be kept is a matter of libraries alone: the
    folders take at most half of it, unless there is only one.
    """
    room = max(limit // 2, 1)
    folders = {node.place for node in graph.nodes if node.origin is Outcome.TREE}
    depth = max((folder.count("/") + 1 for folder in folders), default=1)
    while depth > 1 and len({_cut(folder, depth) for folder in folders}) > room:
        depth -= 1
    keys: list[tuple[str, ...] | None] = []
    for node in graph.nodes:
        if node.origin is Outcome.TREE:
            keys.append(("tree", _cut(node.place, depth)))
        elif node.origin in TROUBLE:
            keys.append(None)
        else:
            keys.append((node.origin.value, node.place))
    folded = _fold(graph, keys)
    wanted: dict[int, list[int]] = {}
    for edge in folded.edges:
        wanted.setdefault(edge.target, []).append(edge.source)
    again: list[tuple[str, ...] | None] = []
    for i, node in enumerate(folded.nodes):
        key = (node.origin.value, *map(str, wanted.get(i, ())))
        again.append(None if node.origin is Outcome.TREE else key)
    return _fold(folded, again)


def _fold(graph: Graph, keys: Iterable[tuple[str, ...] | None]) -> Graph:
    """Make one node of all that share a key; nodes without one stay what they are."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, key in enumerate(keys):
        groups.setdefault(key if key is not None else ("", str(i)), []).append(i)
    made = sorted(
        ((_union(graph, key, group), group) for key, group in groups.items()),
        key=lambda each: (*rank(each[0]), each[1]),
    )
    number = {i: new for new, (_, group) in enumerate(made) for i in group}
    counts: dict[tuple[int, int], int] = {}
    for edge in graph.edges:
        pair = (number[edge.source], number[edge.target])
        if pair[0] != pair[1] or edge.source == edge.target:
            counts[pair] = counts.get(pair, 0) + edge.count
    return Graph(
        title=graph.title,
        libc=graph.libc,
        words=graph.words,
        nodes=tuple(node for node, _ in made),
        edges=tuple(Edge(source=s, target=t, count=counts[s, t]) for s, t in sorted(counts)),
        files=graph.files,
        needs=graph.needs,
    )


def _union(graph: Graph, key: tuple[str, ...], group: list[int]) -> Node:
    nodes = [graph.nodes[i] for i in group]
    first = nodes[0]
    if len(nodes) == 1 and key[0] != "libc":
        return first
    folds = tuple(sorted(i for at, node in zip(group, nodes, strict=True)
                         for i in (node.folds or (at,))))  # fmt: skip
    members = tuple(sorted(name for node in nodes for name in (node.members or (node.name,))))
    count = len(members)
    places = [node.name if node.members else node.place for node in nodes]
    if first.origin is Outcome.TREE:
        name, place = (f"{key[1]}/" if key[1] else "./"), plural(count, "file")
    elif first.origin in TROUBLE or len(set(places)) > 1:
        packages = len(set(places)) if first.origin is Outcome.LIBRARY else 0
        name, place = f"{count} libraries", f"of {packages} packages" if packages else ""
    else:
        name, place = places[0], "" if count == 1 else f"{count} libraries"
    return Node(name=name, origin=first.origin, place=place, folds=folds, members=members)


def _cut(folder: str, depth: int) -> str:
    return "/".join(folder.split("/")[:depth])

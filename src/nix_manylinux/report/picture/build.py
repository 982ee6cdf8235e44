"""From a plan to the graph of its needs; and one with fewer boxes: by folder, and by package."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from nix_manylinux.base.store import HASH
from nix_manylinux.base.values import replace
from nix_manylinux.report.picture.model import (
    LOOKS,
    Edge,
    Graph,
    Node,
    plural,
    rank,
    visible,
)
from nix_manylinux.resolve.plan import LACKING, Outcome, Plan, Problem, Resolution

#: A file in a store: its package's name, without the hash.
_STORE = re.compile(rf".*?/{HASH}(?P<name>[^/]+)(?:/.*)?", re.DOTALL)

#: A needed name may be the empty string; something must stand there.
_NAMELESS = "(no name)"


def build_graph(plan: Plan, *, advice: Mapping[str, str] | None = None) -> Graph:
    """Make the graph of a plan; ``advice`` says for a soname who provides it."""
    return _Builder(plan, advice or {}).build()


class _Builder:
    """Gathers nodes under keys, then numbers them in an order that depends on nothing else."""

    def __init__(self, plan: Plan, advice: Mapping[str, str]) -> None:
        self.plan = plan
        self.advice = advice
        self.libc = f"{plan.target.libc} {'.'.join(map(str, plan.target.libc_version))}"
        self.roots = sorted(
            (os.path.normpath(tree.root) for tree in plan.trees), key=len, reverse=True
        )
        self.nodes: dict[tuple[str, ...], Node] = {}
        self.edges: dict[tuple[tuple[str, ...], tuple[str, ...]], None] = {}
        self.by_path: dict[str, tuple[str, ...]] = {}
        self.by_label: dict[str, tuple[str, ...]] = {}
        self.needs: dict[Outcome, int] = {}

    def build(self) -> Graph:
        for each in self.plan.files:
            root = self.plan.trees[each.tree].root
            label = each.file.label
            if len(self.plan.trees) > 1:
                label = f"{os.path.basename(root)}/{label}"
            folder, _, name = label.rpartition("/")
            key = ("tree", str(each.tree), each.file.path)
            skipped = (f"left alone: {each.skipped}",) if each.skipped else ()
            self.nodes[key] = Node(
                name=visible(name) or _NAMELESS,
                origin=Outcome.TREE,
                place=visible(folder),
                kind=each.file.facts.kind.value,
                notes=tuple(self._readable(note) for note in (*skipped, *each.notes)),
            )
            self.by_label[each.file.label] = key
            for path in each.file.names:
                self.by_path[os.path.normpath(f"{root}/{path}")] = key
        for each in self.plan.files:
            source = ("tree", str(each.tree), each.file.path)
            for resolution in each.resolutions:
                self.needs[resolution.outcome] = self.needs.get(resolution.outcome, 0) + 1
                self.edges[source, self._target(resolution)] = None
        for outcome, problems in (
            (Outcome.MISSING, self.plan.missing),
            (Outcome.INCOMPATIBLE, self.plan.incompatible),
        ):
            for problem in problems:
                self._problem(outcome, problem)
        return self._numbered()

    def _target(self, resolution: Resolution) -> tuple[str, ...]:
        outcome, path = resolution.outcome, resolution.path
        if path is not None and outcome is not Outcome.INCOMPATIBLE:
            path = os.path.normpath(path)
            if path in self.by_path:
                return self.by_path[path]
            return self._found(outcome, path, resolution.name, resolution.reason)
        return self._named(outcome, resolution.name, resolution.reason)

    def _found(self, outcome: Outcome, path: str, name: str, reason: str) -> tuple[str, ...]:
        match = _STORE.fullmatch(path)
        place = match["name"] if match else os.path.dirname(path)
        if outcome is Outcome.LIBC:
            place = self.libc
        elif outcome is Outcome.WHEEL and not match:
            place = place.rpartition("/site-packages/")[2]
        name = visible(os.path.basename(path) or name) or _NAMELESS
        node = Node(name=name, origin=outcome, place=visible(place), path=visible(path))
        return self._put(("path", outcome.value, path), node, reason)

    def _named(self, outcome: Outcome, name: str, reason: str) -> tuple[str, ...]:
        node = Node(
            name=visible(name) or _NAMELESS,
            origin=outcome,
            place=self.libc if outcome is Outcome.LIBC else LOOKS[outcome].nowhere,
            advice=visible(self.advice.get(name, "")),
        )
        return self._put(("name", outcome.value, name), node, reason)

    def _problem(self, outcome: Outcome, problem: Problem) -> None:
        """Join what only the simulated loader saw, such as a need of a library in the store."""
        target = self._named(outcome, problem.name, problem.reason)
        for label in problem.wanted_by:
            source = self.by_label.get(label)
            if source is None:
                path = os.path.normpath(label)
                source = self.by_path.get(path) or self._outside(path)
            self.edges[source, target] = None

    def _outside(self, path: str) -> tuple[str, ...]:
        for outcome in (Outcome.LIBRARY, Outcome.WHEEL, Outcome.LIBC, Outcome.DRIVER):
            if ("path", outcome.value, path) in self.nodes:
                return ("path", outcome.value, path)
        return self._found(Outcome.LIBRARY, path, path, "")

    def _put(self, key: tuple[str, ...], node: Node, reason: str) -> tuple[str, ...]:
        """Have a node there, with one more note; gives its key."""
        node, text = self.nodes.setdefault(key, node), self._readable(reason)
        if text and text not in node.notes:
            self.nodes[key] = replace(node, notes=(*node.notes, text))
        return key

    def _readable(self, text: str) -> str:
        """Name files in the tree as the tree does; a wheel's folder has another name each time."""
        for root in self.roots:
            text = text.replace(f"{root}/", "")
        return visible(text)

    def _numbered(self) -> Graph:
        keys = sorted(self.nodes, key=lambda key: (*rank(self.nodes[key]), key))
        number = {key: i for i, key in enumerate(keys)}
        pairs = sorted((number[source], number[target]) for source, target in self.edges)
        return Graph(
            title=self._title(),
            libc=visible(self.libc),
            words=self._words(),
            nodes=tuple(self.nodes[key] for key in keys),
            edges=tuple(Edge(source=s, target=t) for s, t in pairs),
            files=len(self.plan.files),
            needs=self.needs,
        )

    def _words(self) -> dict[Outcome, str]:
        """Call a wheel a wheel, and what is all from a store by that name."""
        words = {outcome: look.word for outcome, look in LOOKS.items()}
        if len(self.plan.trees) == 1 and self.plan.trees[0].floating is not None:
            words[Outcome.TREE] = "in the wheel"
        found = [node for node in self.nodes.values() if node.origin is Outcome.LIBRARY]
        if found and all(_STORE.fullmatch(node.path) for node in found):
            words[Outcome.LIBRARY] = "Nix store"
        return words

    def _title(self) -> str:
        """Name the wheel, or the tree where that isn't one wheel's."""
        names = []
        for tree in self.plan.trees:
            known = [f"{each.name} {each.version}" for each in tree.distributions]
            whole = tree.floating is not None or len(known) == 1
            names += known if known and whole else [os.path.basename(tree.root) or tree.root]
        return visible(", ".join(names))


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
        elif node.origin in LACKING:
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
    elif first.origin in LACKING or len(set(places)) > 1:
        packages = len(set(places)) if first.origin is Outcome.LIBRARY else 0
        name, place = f"{count} libraries", f"of {packages} packages" if packages else ""
    else:
        name, place = places[0], "" if count == 1 else f"{count} libraries"
    return Node(name=name, origin=first.origin, place=place, folds=folds, members=members)


def _cut(folder: str, depth: int) -> str:
    return "/".join(folder.split("/")[:depth])

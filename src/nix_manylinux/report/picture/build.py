"""From a plan to the graph of its needs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from nix_manylinux.base.store import HASH
from nix_manylinux.base.values import replace
from nix_manylinux.report.picture.model import LOOKS, Edge, Graph, Node, rank, visible
from nix_manylinux.resolve.plan import Outcome, Plan, Problem, Resolution

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

"""Where things go in a picture of layers: files in columns, what they need to their right.

The steps are Sugiyama's (IEEE Trans. SMC 11, 1981): cut cycles, give every
node a column, order each column so that few lines cross, then straighten. All
lines to one node share the gaps that they pass through, which keeps a picture
of hundreds of lines readable and cheap to lay out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from nix_manylinux.base.values import Value, field
from nix_manylinux.report.picture.model import ORDER, Graph
from nix_manylinux.resolve.plan import Outcome

#: What a line needs where it passes between nodes, in pixels.
_LANE = 5.0
#: Between two nodes, and above the first of a group for its heading.
_GAP = 8.0
_HEADING = 26.0
_COLUMN_GAP = 64.0
_SWEEPS = 12
#: No more columns of files than this: what needs more than anybody can follow,
#: and would cost time and space by the square, shares the last of them.
_DEEPEST = 24


class _Item(Value, frozen=False, kw_only=False):
    """One thing in a column: a node (``node`` is its position), or a lane (-1) to one."""

    node: int
    column: int
    height: float
    group: tuple[int, str] = (0, "")
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    y: float = 0.0


class Drawing(Value):
    """Sizes in pixels. ``boxes`` are (x, y, width, height) by node.

    ``lines`` are, by edge, the points (x, y) that it passes, its ends
    included: between the second and the third it runs level, and so on.
    ``frames`` are (x, y, width, height, heading) around nodes that share a place.
    """

    width: float
    height: float
    boxes: tuple[tuple[float, float, float, float], ...]
    lines: tuple[tuple[tuple[float, float], ...], ...]
    frames: tuple[tuple[float, float, float, float, str], ...]


def lay_out(graph: Graph, sizes: Sequence[tuple[float, float]]) -> Drawing:
    """Place nodes of these sizes (width, height); the same graph gives the same picture."""
    return _Layers(graph, sizes).run()


class _Layers:
    def __init__(self, graph: Graph, sizes: Sequence[tuple[float, float]]) -> None:
        self.graph = graph
        self.sizes = sizes
        self.columns = columns_of(graph)
        self.items: list[_Item] = []
        self.stacks: list[list[int]] = [[] for _ in range(max(self.columns, default=0) + 1)]
        #: (target, column) -> its lane there
        self.lanes: dict[tuple[int, int], int] = {}

    def run(self) -> Drawing:
        for i, node in enumerate(self.graph.nodes):
            grouped = node.origin is not Outcome.TREE and node.place and not node.members
            rank = ORDER.index(node.origin)
            # What is in the tree moves freely, the rest stands by origin and place.
            group = (rank, node.place if grouped else f"\0{i}")
            tree = node.origin is Outcome.TREE
            self._add(_Item(i, self.columns[i], self.sizes[i][1], (0, "") if tree else group))
        for edge in self.graph.edges:
            self._route(edge.source, edge.target)
        for sweep in range(_SWEEPS):
            self._order(forwards=sweep % 2 == 0)
        self._stack()
        for sweep in range(_SWEEPS):
            for column in self._sweep(forwards=sweep % 2 == 0):
                self._straighten(column)
        return self._finish()

    def _add(self, item: _Item) -> int:
        self.items.append(item)
        self.stacks[item.column].append(len(self.items) - 1)
        return len(self.items) - 1

    def _route(self, source: int, target: int) -> None:
        """Connect along the lanes to ``target``; each piece once. Lines back are drawn directly."""
        before = source
        for column in range(self.columns[source] + 1, self.columns[target] + 1):
            at = target if column == self.columns[target] else self.lanes.get((target, column), -1)
            if at < 0:
                at = self._add(_Item(-1, column, _LANE))
                self.lanes[target, column] = at
            if at not in self.items[before].right:
                self.items[before].right.append(at)
                self.items[at].left.append(before)
            before = at

    def _sweep(self, *, forwards: bool) -> Sequence[int]:
        count = len(self.stacks)
        return range(count) if forwards else range(count - 1, -1, -1)

    def _order(self, *, forwards: bool) -> None:
        """Sort each column by where the neighbours of its items stand on average."""
        place = {i: at / len(stack) for stack in self.stacks for at, i in enumerate(stack)}
        for column in self._sweep(forwards=forwards):
            stack = self.stacks[column]
            wish: dict[int, float] = {}
            for i in stack:
                item = self.items[i]
                beside = (item.left if forwards else item.right) or item.left or item.right
                wish[i] = sum(place[j] for j in beside) / len(beside) if beside else place[i]
            blocks: dict[tuple[int, str], list[float]] = {}
            for i in stack:
                blocks.setdefault(self.items[i].group, []).append(wish[i])
            mean = {group: sum(all_) / len(all_) for group, all_ in blocks.items()}
            stack.sort(
                key=lambda i: (
                    _shelf(self.items[i].group),
                    mean[self.items[i].group] if self.items[i].group[1] else wish[i],
                    self.items[i].group,
                    wish[i],
                    i,
                )
            )
            place.update({i: at / len(stack) for at, i in enumerate(stack)})

    def _gaps(self, stack: Sequence[int]) -> list[float]:
        """Give the least distance of each item's centre from the one before it."""
        gaps = [0.0] if stack else []
        for before, after in pairwise(stack):
            above, below = self.items[before], self.items[after]
            gap = _GAP
            if above.node < 0 and below.node < 0:
                gap = 1.0
            elif below.group != above.group and below.group[1]:
                gap = _GAP + (_HEADING if not below.group[1].startswith("\0") else 4.0)
            gaps.append((above.height + below.height) / 2 + gap)
        return gaps

    def _stack(self) -> None:
        for stack in self.stacks:
            y = 0.0
            for i, gap in zip(stack, self._gaps(stack), strict=True):
                y += gap
                self.items[i].y = y
            for i in stack:
                self.items[i].y -= y / 2

    def _straighten(self, column: int) -> None:
        """Move items towards their neighbours, as near as order and gaps allow.

        Least squares under an order is isotonic regression; pooling adjacent
        violators solves it exactly.
        """
        stack = self.stacks[column]
        total = 0.0
        pools: list[list[float]] = []  # sum of wishes, how many
        for i, gap in zip(stack, self._gaps(stack), strict=True):
            total += gap
            item = self.items[i]
            beside = item.left + item.right
            wish = sum(self.items[j].y for j in beside) / len(beside) if beside else item.y
            pools.append([wish - total, 1.0])
            while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
                last = pools.pop()
                pools[-1][0] += last[0]
                pools[-1][1] += last[1]
        places = [wishes / count for wishes, count in pools for _ in range(int(count))]
        total = 0.0
        for i, gap, place in zip(stack, self._gaps(stack), places, strict=True):
            total += gap
            self.items[i].y = place + total

    def _finish(self) -> Drawing:
        widths = [
            max((self.sizes[self.items[i].node][0] for i in stack if self.items[i].node >= 0),
                default=0.0)
            for stack in self.stacks
        ]  # fmt: skip
        top = min((each.y - each.height / 2 for each in self.items), default=0.0)
        bottom = max((each.y + each.height / 2 for each in self.items), default=0.0)
        lefts = [0.0]
        for width in widths:
            lefts.append(lefts[-1] + width + _COLUMN_GAP)
        offset = _HEADING - top
        boxes = tuple(
            (lefts[item.column], item.y - item.height / 2 + offset, widths[item.column],
             item.height)
            for item in self.items[: len(self.graph.nodes)]
        )  # fmt: skip
        lines = tuple(
            tuple(self._points(edge.source, edge.target, lefts, widths, offset))
            for edge in self.graph.edges
        )
        return Drawing(
            width=lefts[-1] - _COLUMN_GAP,
            height=bottom - top + _HEADING,
            boxes=boxes,
            lines=lines,
            frames=tuple(self._frames(boxes)),
        )

    def _points(
        self, source: int, target: int, lefts: list[float], widths: list[float], offset: float
    ) -> list[tuple[float, float]]:
        at = self.columns[source]
        points = [(lefts[at] + widths[at], self.items[source].y + offset)]
        if self.columns[target] <= at:
            end = self.columns[target]
            return [*points, (lefts[end] + widths[end], self.items[target].y + offset)]
        for column in range(at + 1, self.columns[target]):
            y = self.items[self.lanes[target, column]].y + offset
            points += [(lefts[column], y), (lefts[column] + widths[column], y)]
        return [*points, (lefts[self.columns[target]], self.items[target].y + offset)]

    def _frames(
        self, boxes: Sequence[tuple[float, float, float, float]]
    ) -> list[tuple[float, float, float, float, str]]:
        groups: dict[tuple[int, str], list[int]] = {}
        for item in self.items[: len(boxes)]:
            if item.group[1] and not item.group[1].startswith("\0"):
                groups.setdefault(item.group, []).append(item.node)
        frames = []
        for (_, heading), members in sorted(groups.items()):
            x, _, width, _ = boxes[members[0]]
            above = min(boxes[i][1] for i in members)
            below = max(boxes[i][1] + boxes[i][3] for i in members)
            frames.append((x - 5, above - 20, width + 10, below - above + 25, heading))
        return frames


def _shelf(group: tuple[int, str]) -> int:
    """Rank what stands in the last column: trouble on top, the libc at the bottom."""
    rank = group[0]
    if not group[1] or rank < ORDER.index(Outcome.TREE):
        return 0
    return rank


def columns_of(graph: Graph) -> list[int]:
    """Give each file the longest way from one that nobody needs; all else the last column."""
    nodes = graph.nodes
    tree = [node.origin is Outcome.TREE for node in nodes]
    after: list[list[int]] = [[] for _ in nodes]
    for edge in graph.edges:
        if tree[edge.source] and tree[edge.target] and edge.source != edge.target:
            after[edge.source].append(edge.target)
    column = [0] * len(nodes)
    ordered = _without_cycles(after)
    wanted = {target for targets in after for target in targets}
    for i in ordered:
        for target in after[i]:
            column[target] = max(column[target], column[i] + 1)
    for i in ordered:
        if i not in wanted and after[i]:  # next to what it needs
            column[i] = max(min(column[target] for target in after[i]) - 1, 0)
    column = [min(each, _DEEPEST - 1) for each in column]
    last = max((column[i] + 1 for i in range(len(nodes)) if tree[i]), default=0)
    return [column[i] if tree[i] else last for i in range(len(nodes))]


def _without_cycles(after: list[list[int]]) -> list[int]:
    """Drop from ``after`` every edge that closes a cycle; return a topological order."""
    state = [0] * len(after)  # 1: on the way, 2: done
    order: list[int] = []
    wanted = {target for targets in after for target in targets}
    starts = sorted(range(len(after)), key=lambda i: (i in wanted, i))
    for start in starts:
        if state[start]:
            continue
        state[start] = 1
        way = [(start, 0)]
        while way:
            i, at = way.pop()
            if at == len(after[i]):
                state[i] = 2
                order.append(i)
                continue
            target = after[i][at]
            if state[target] == 1:
                del after[i][at]
                way.append((i, at))
                continue
            way.append((i, at + 1))
            if state[target] == 0:
                state[target] = 1
                way.append((target, 0))
    order.reverse()
    return order

"""A graph as one SVG image: standalone, readable in light and dark, marked by more than colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from nix_manylinux.data import data_path
from nix_manylinux.report.picture.layout import lay_out
from nix_manylinux.report.picture.model import LOOKS, Graph, Node
from nix_manylinux.resolve.plan import Outcome

#: 12 px of a monospaced face: every such face is near 0.6 em wide.
_ADVANCE = 7.25
_LINE = 17.0
_LONGEST = 44
_HEADLINE = 64
_MARGIN = 28.0
_LEGEND_ADVANCE = 7.4

_HOVER = """
.card:hover rect{stroke:var(--hue);stroke-width:2}
svg:has(.card:hover) .edge{stroke-opacity:.07}
"""


def picture_style() -> str:
    """Give the style of a picture, which touches nothing else, and the variables of its colours.

    Their hues are Okabe and Ito's (jfly.uni-koeln.de/color/), darker on white and lighter on black
    until text in them has a contrast of 4.5 (WCAG 2.1, 1.4.3).
    """
    hues = (f".picture .{origin.value}{{--hue:var(--{origin.value})}}\n" for origin in Outcome)
    return read_asset("picture.css") + "".join(hues)


def read_asset(name: str) -> str:
    """Read a file that a picture or its page is made of."""
    with open(data_path(name), encoding="utf-8") as file:
        return file.read()


def svg_text(graph: Graph) -> str:
    """Write the graph as an SVG file of its own."""
    style = f"<style>{picture_style()}{_HOVER}{''.join(_lighting(graph))}</style>"
    return picture(graph, style=style) + "\n"


def picture(graph: Graph, *, style: str = "", heading: bool = True) -> str:
    """Draw the graph as one ``svg`` element.

    ``style`` goes inside; without it the page around has to have `picture_style`'s.
    Every card has its node's position in ``data-node``.
    """
    cards = [_lines(node) for node in graph.nodes]
    layout = lay_out(graph, [_size(*each) for each in zip(graph.nodes, cards, strict=True)])
    top = 84.0 if heading else 0.0
    keys = [40 + _LEGEND_ADVANCE * len(_key(graph, origin)) for origin in graph.origins]
    width = (
        max(
            layout.width,
            sum(keys),
            _LEGEND_ADVANCE * len(graph.summary),
            13.5 * min(len(graph.title), _HEADLINE),
            360,
        )
        + 2 * _MARGIN
    )
    height = layout.height + top + 2 * _MARGIN
    shift = (width - 2 * _MARGIN - layout.width) / 2 if layout.width < width / 2 else 0.0
    size = f'width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="picture" role="img" {size}',
        ' aria-labelledby="picture-title picture-desc">',
        f'<title id="picture-title">{xml(graph.title)}: who needs what</title>',
        f'<desc id="picture-desc">{xml(_description(graph))}</desc>',
        style,
    ]
    if heading:
        out.append('<rect width="100%" height="100%" fill="var(--page)"/>')
        out += _heading(graph, keys)
    out.append(f'<g transform="translate({_n(_MARGIN + shift)} {_n(top + _MARGIN)})">')
    out += [
        f'<rect class="frame" x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}" rx="7"/>'
        f'<text class="place" x="{_n(x + 8)}" y="{_n(y + 14)}">{_short(heading_, _fits(w))}</text>'
        for x, y, w, h, heading_ in layout.frames
    ]
    for edge, points in zip(graph.edges, layout.lines, strict=True):
        origin = graph.nodes[edge.target].origin.value
        out.append(
            f'<path class="edge {origin} s{edge.source} t{edge.target}" d="{_path(points)}"/>'
        )
    for i, (node, lines) in enumerate(zip(graph.nodes, cards, strict=True)):
        out += _card(node, lines, layout.boxes[i], i, graph.words[node.origin])
    out += ["</g>", "</svg>"]
    return "\n".join(each for each in out if each)


def xml(text: str) -> str:
    """Escape for element content and quoted attributes, in HTML as in XML, as plain ASCII.

    The graph holds no control characters, which XML couldn't say at all.
    """
    return escape(text).encode("ascii", "xmlcharrefreplace").decode()


def _description(graph: Graph) -> str:
    trouble = graph.trouble
    named = f" Not to be had: {', '.join(trouble)}." if trouble else ""
    return f"{graph.summary}.{named} Lines lead from each file, left, to what it needs, right."


def _heading(graph: Graph, keys: Sequence[float]) -> Iterator[str]:
    yield f'<text class="head" x="{_n(_MARGIN)}" y="42">{_short(graph.title, _HEADLINE)}</text>'
    yield f'<text class="sub" x="{_n(_MARGIN)}" y="64">{xml(graph.summary)}</text>'
    x = _MARGIN
    for origin, width in zip(graph.origins, keys, strict=True):
        yield (
            f'<g class="{origin.value}">'
            f'<text class="mark" x="{_n(x)}" y="92">{xml(LOOKS[origin].mark)}</text>'
            f'<text class="key" x="{_n(x + 16)}" y="92">{xml(_key(graph, origin))}</text></g>'
        )
        x += width


def _key(graph: Graph, origin: Outcome) -> str:
    libc = f", {graph.libc}" if origin is Outcome.LIBC else ""
    return f"{graph.words[origin]}{libc}"


def _lines(node: Node) -> list[tuple[str, str]]:
    """Give the lines of a card, each with its class."""
    lines = [node.place] if node.has_own_place else []
    lines += node.listed if node.members != (node.name,) else ()
    return [("name", node.name), *(("place", line) for line in lines)]


def _size(node: Node, lines: Sequence[tuple[str, str]]) -> tuple[float, float]:
    longest = max(min(columns(text), _LONGEST) for _, text in lines)
    heading = 0 if node.origin is Outcome.TREE else min(columns(node.place), _LONGEST // 2)
    return max(longest * _ADVANCE + 40, heading * _ADVANCE + 12), len(lines) * _LINE + 9


def _card(
    node: Node,
    lines: Sequence[tuple[str, str]],
    box: tuple[float, float, float, float],
    i: int,
    word: str,
) -> Iterator[str]:
    x, y, width, height = box
    about = [f"{node.place}/{node.name}" if node.origin is Outcome.TREE and not node.members
             else node.name, word, node.path, *node.notes, node.advice,
             *node.members]  # fmt: skip
    words = "\n".join(each for each in about if each)
    yield f'<g class="card {node.origin.value}" data-node="{i}"><title>{xml(words)}</title>'
    yield (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="4"/>'
        f'<rect class="bar" x="{_n(x)}" y="{_n(y)}" width="4" height="{_n(height)}" rx="2"/>'
    )
    mark = "▶" if node.is_program else LOOKS[node.origin].mark
    yield f'<text class="mark" x="{_n(x + 11)}" y="{_n(y + _LINE)}">{xml(mark)}</text>'
    for at, (kind, text) in enumerate(lines, 1):
        shown = _short(text, _LONGEST)
        yield f'<text class="{kind}" x="{_n(x + 28)}" y="{_n(y + at * _LINE)}">{shown}</text>'
    yield "</g>"


def _path(points: Sequence[tuple[float, float]]) -> str:
    """Draw curves between the columns and level lines through them."""
    (x, y), *rest = points
    parts = [f"M{_n(x)} {_n(y)}"]
    if len(rest) == 1 and rest[0][0] <= x:  # back, or to the same column: around the outside
        (end, below), = rest  # fmt: skip
        out = max(x, end) + 40
        return f"M{_n(x)} {_n(y)}C{_n(out)} {_n(y)} {_n(out)} {_n(below)} {_n(end)} {_n(below)}"
    for at, (to, height) in enumerate(rest):
        if at % 2:
            parts.append(f"H{_n(to)}")
        else:
            half = (x + to) / 2
            parts.append(f"C{_n(half)} {_n(y)} {_n(half)} {_n(height)} {_n(to)} {_n(height)}")
        x, y = to, height
    return "".join(parts)


def _lighting(graph: Graph) -> Iterator[str]:
    """Write rules by which a pointer on a card lights up its lines, without any script."""
    for i in range(len(graph.nodes)):
        yield (
            f'svg:has([data-node="{i}"]:hover) :is(.s{i},.t{i}){{stroke-opacity:1;stroke-width:2}}'
        )


def columns(text: str) -> int:
    """Count the columns that a text takes in a monospaced face."""
    if text.isascii():
        return len(text)
    import unicodedata  # noqa: PLC0415 - names are seldom anything but ASCII

    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _short(text: str, room: int) -> str:
    """Cut in the middle: the ends of a soname and of a path say most."""
    if columns(text) > room:
        keep = room - 1
        while columns(text[: keep // 2] + text[len(text) - (keep - keep // 2) :]) > room - 1:
            keep -= 1
        text = f"{text[: keep // 2]}…{text[len(text) - (keep - keep // 2) :]}"
    return xml(text)


def _fits(width: float) -> int:
    return max(int((width - 12) / (_ADVANCE * 0.92)), 8)


def _n(value: float) -> str:
    """Write a length: a tenth of a pixel is enough."""
    return f"{value:.1f}".removesuffix(".0")

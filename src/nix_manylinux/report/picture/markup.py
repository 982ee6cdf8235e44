"""A graph as text for other programs: Graphviz's DOT and Mermaid's flowcharts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nix_manylinux.report.picture.model import LOOKS, ORDER, Graph, Node
from nix_manylinux.resolve.plan import LACKING, Outcome

_INK = "#1a1a1a"


def dot_text(graph: Graph) -> str:
    """Write the graph in DOT (https://graphviz.org/doc/info/lang.html).

    Every string is quoted; in a label a backslash starts an escape and an
    ampersand an entity, so both are spelt. All is ASCII: no locale gets it wrong.
    """
    return "\n".join(_dot_lines(graph)) + "\n"


def _dot_lines(graph: Graph) -> Iterator[str]:
    label = f"{_dot(graph.title)}\\n{_dot(graph.summary)}"
    yield "digraph needs {"
    yield f'  graph [rankdir=LR, nodesep=0.12, ranksep=1.2, label="{label}", labelloc=t,'
    yield '    fontname="sans-serif", bgcolor="white"];'
    yield f'  node [shape=box, style="filled", fontname="sans-serif", fontcolor="{_INK}"];'
    yield '  edge [arrowsize=0.6, color="#808080"];'
    for number, (origin, place, members) in enumerate(_clusters(graph)):
        indent = "  "
        if place:
            border = LOOKS[origin].border
            yield f"  subgraph cluster_{number} {{"
            yield f'    label="{_dot(place)}"; color="{border}"; fontcolor="{border}";'
            indent = "    "
        for i in members:
            yield f"{indent}n{i} [{_dot_node(graph.nodes[i])}];"
        if place:
            yield "  }"
    for edge in graph.edges:
        colour = LOOKS[graph.nodes[edge.target].origin].border
        extra = f', label="{edge.count}"' if edge.count > 1 else ""
        yield f'  n{edge.source} -> n{edge.target} [color="{colour}"{extra}];'
    yield '  subgraph cluster_legend { label="where it comes from"; color="#808080";'
    for i, origin in enumerate(graph.origins):
        yield f'    legend{i} [label="{_dot(_legend(graph, origin))}", {_dot_style(origin)}];'
    yield "  }"
    yield "}"


def _dot_node(node: Node) -> str:
    shape = ", shape=component" if node.is_program else ""
    tip = "; ".join(each for each in (node.path, *node.notes, node.advice) if each) or node.name
    label = "\\n".join(map(_dot, _lines(node)))
    return f'label="{label}", tooltip="{_dot(tip)}", {_dot_style(node.origin)}{shape}'


def _dot_style(origin: Outcome) -> str:
    look = LOOKS[origin]
    style = "filled,dashed" if look.dashed else "filled"
    width = ", penwidth=2.5" if origin in LACKING else ""
    return f'color="{look.border}", fillcolor="{look.fill}", style="{style}"{width}'


def _dot(text: str) -> str:
    # Graphviz 2.43 makes broken UTF-8 of entities beyond U+FFFF.
    text = "".join(c if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in text)
    spelt = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return spelt.encode("ascii", "xmlcharrefreplace").decode()


def mermaid_text(graph: Graph) -> str:
    """Write the graph as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html).

    In labels all but letters, digits and a few harmless marks are written as
    entity codes (``#35;``): Mermaid reads labels as Markdown, HTML and icons.
    """
    return "\n".join(_mermaid_lines(graph)) + "\n"


def _mermaid_lines(graph: Graph) -> Iterator[str]:
    yield "flowchart LR"
    yield f"  accTitle: {_mermaid(graph.title)}"
    yield f"  accDescr: {_mermaid(graph.summary)}"
    for number, (_, place, members) in enumerate(_clusters(graph)):
        indent = "  "
        if place:
            yield f'  subgraph g{number}["{_mermaid(place)}"]'
            indent = "    "
        for i in members:
            yield f"{indent}{_mermaid_node(graph.nodes[i], f'n{i}')}"
        if place:
            yield "  end"
    for edge in graph.edges:
        arrow = f'-->|"{edge.count}"|' if edge.count > 1 else "-->"
        yield f"  n{edge.source} {arrow} n{edge.target}"
    yield '  subgraph legend["where it comes from"]'
    for i, origin in enumerate(graph.origins):
        yield f'    legend{i}["{_mermaid(_legend(graph, origin))}"]:::{origin.value}'
    yield "  end"
    for origin in graph.origins:
        look = LOOKS[origin]
        width = 3 if origin in LACKING else 1
        dash = ",stroke-dasharray:5 3" if look.dashed else ""
        yield (
            f"  classDef {origin.value} fill:{look.fill},stroke:{look.border},color:{_INK},"
            f"stroke-width:{width}px{dash}"
        )


def _mermaid_node(node: Node, name: str) -> str:
    text = "<br/>".join(map(_mermaid, _lines(node)))
    left, right = ("[[", "]]") if node.is_program else ("[", "]")
    return f'{name}{left}"{text}"{right}:::{node.origin.value}'


def _mermaid(text: str) -> str:
    """Spell what Mermaid, Markdown or HTML could take for their own."""
    coded = []
    counts = re.match(r"[0-9]+\.", text) is not None  # Markdown would begin a list
    for at, character in enumerate(text):
        plain = character.isascii() and (character.isalnum() or (at > 0 and character in " /.-+,"))
        link = character == "." and text[max(at - 3, 0) : at].lower() == "www"
        spelt = not plain or link or (at == 0 and counts)
        coded.append(f"#{ord(character)};" if spelt else character)
    return "".join(coded)


def _clusters(graph: Graph) -> Iterator[tuple[Outcome, str, list[int]]]:
    """Give the nodes by the package that they share; what stands alone with an empty place."""
    groups: dict[tuple[Outcome, str], list[int]] = {}
    for i, node in enumerate(graph.nodes):
        together = not (node.members or node.has_own_place)
        groups.setdefault((node.origin, node.place if together else ""), []).append(i)
    for origin in ORDER:
        for (of, place), members in groups.items():
            if of is origin:
                yield origin, place, members


def _lines(node: Node) -> list[str]:
    return [node.name, *node.listed, *([node.place] if node.has_own_place else [])]


def _legend(graph: Graph, origin: Outcome) -> str:
    libc = f" ({graph.libc})" if origin is Outcome.LIBC else ""
    return f"{graph.words[origin]}{libc}"

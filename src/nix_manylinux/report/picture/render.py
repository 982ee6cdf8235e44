"""Pictures of a plan: who needs what, and where it comes from."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256

from nix_manylinux.base.errors import BadOption
from nix_manylinux.nix.advice import plan_block
from nix_manylinux.nix.adviser import Adviser
from nix_manylinux.nix.packages import explain
from nix_manylinux.report.picture.build import build_graph, fold, fold_libc
from nix_manylinux.report.picture.layout import columns_of
from nix_manylinux.report.picture.markup import dot_text, mermaid_text
from nix_manylinux.report.picture.model import LOOKS, ORDER, Graph, visible
from nix_manylinux.report.picture.svg import picture, picture_style, read_asset, svg_text, xml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from nix_manylinux.resolve.plan import Plan

#: The values of ``--format``, and of ``--detail``.
FORMATS = ("dot", "mermaid", "svg", "html")
DETAILS = ("auto", "files", "folders")

#: What a file's name ends in -> its format.
SUFFIXES = {
    ".dot": "dot",
    ".gv": "dot",
    ".txt": "dot",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".svg": "svg",
    ".html": "html",
    ".htm": "html",
}

#: More boxes than this on one picture and nobody looks at any of them.
_CROWDED = 80
#: More columns than this, and a page shows them too small to be read.
_COLUMNS = 5


def render_graph(
    plan: Plan, format: str, *, detail: str = "auto", advised: bool = False  # noqa: A002 - the option's own name
) -> str:  # fmt: skip
    """Draw a plan in one of `FORMATS`; pure, and the same plan gives the same text, in ASCII.

    ``detail`` "files" shows every file and library, "folders" one box for
    each folder and package, "auto" the former as long as it has at most 80
    boxes, in at most 5 columns. The page (html) holds everything in any case: there ``detail`` is
    for the picture on it. If ``advised`` missing libraries come with the
    nixpkgs attribute that provides them. Raises `BadOption`.
    """
    if format not in FORMATS:
        raise BadOption(f"no such format: {format}", hint=f"one of {', '.join(FORMATS)}")
    if detail not in DETAILS:
        raise BadOption(f"no such detail: {detail}", hint=f"one of {', '.join(DETAILS)}")
    adviser = Adviser(plan.trees) if advised and plan.missing else None
    advice = {p.name: explain(adviser.advise(*p.names)) for p in plan.missing} if adviser else {}
    graph = build_graph(plan, advice=advice)
    shown = _shown(graph, detail)
    if format == "html":
        titles = {"In an expression": True, "On the command line": False}
        paste = {title: _paste(plan, adviser, in_build=nix) for title, nix in titles.items()}
        return html_text(graph, shown, {title: text for title, text in paste.items() if text})
    return {"dot": dot_text, "mermaid": mermaid_text, "svg": svg_text}[format](shown)


def _shown(graph: Graph, detail: str) -> Graph:
    calm = fold_libc(graph)
    crowded = len(calm.nodes) > _CROWDED or max(columns_of(calm), default=0) >= _COLUMNS
    if detail == "folders" or (detail == "auto" and crowded):
        return fold(graph, limit=_CROWDED)
    return calm


def _paste(plan: Plan, adviser: Adviser | None, *, in_build: bool) -> str:
    if adviser is None:
        return ""
    block = plan_block(plan, adviser, in_build=in_build)
    # Text that is pasted must be what it looks like: a name with a control
    # character in it is spelt here too, at the price of matching nothing.
    return "\n".join(visible(line) for line in str(block).split("\n"))


#: What HTML or a reader of the page's source could take for markup, as JSON spells it.
_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def html_text(graph: Graph, shown: Graph, paste: Mapping[str, str]) -> str:
    """Write the page: all of ``graph``, a picture of ``shown``, and ``paste``, texts by title.

    ``shown`` is ``graph`` or a folding of it. The page's policy
    (https://www.w3.org/TR/CSP3/) forbids everything but the one style and the
    one script whose hashes it names; names from the wheel are JSON data or
    escaped text.
    """
    # Every element of an origin has its hue, in the page as in the picture.
    hues = "".join(f".{origin.value}{{--hue:var(--{origin.value})}}\n" for origin in ORDER)
    style = f"{picture_style()}{hues}{read_asset('graph.css')}"
    script = read_asset("graph.js")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "POLICY": policy,
        "TITLE": xml(graph.title),
        "SUMMARY": xml(graph.summary),
        "STYLE": style,
        "PICTURE": picture(shown, heading=False) if shown.nodes else "",
        "DATA": _data(graph, shown, paste),
        "SCRIPT": script,
    }
    # In one pass: what was put in is never looked at again.
    return re.sub(r"@([A-Z]+)@", lambda match: parts[match[1]], read_asset("graph.html"))


def _data(graph: Graph, shown: Graph, paste: Mapping[str, str]) -> str:
    number = {id(node): i for i, node in enumerate(graph.nodes)}
    parts = ("name", "origin", "place", "path", "kind", "notes", "advice")
    value = {  # an `Outcome` is text to JSON
        "title": graph.title,
        "files": graph.files,
        "order": ORDER,
        "words": graph.words,
        "marks": {outcome: look.mark for outcome, look in LOOKS.items()},
        "paste": paste,
        "programs": [i for i, node in enumerate(graph.nodes) if node.is_program],
        "nodes": [{part: getattr(node, part) for part in parts} for node in graph.nodes],
        "edges": [[edge.source, edge.target] for edge in graph.edges],
        # Which nodes of the whole graph each node of the picture stands for.
        "folds": [node.folds or [number[id(node)]] for node in shown.nodes],
    }
    text = json.dumps(value, separators=(",", ":"))  # ASCII: U+2028 and U+2029 are spelt too
    return re.sub(r"[<>&]", lambda match: _IN_SCRIPT[match[0]], text)


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"

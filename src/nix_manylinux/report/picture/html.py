"""A graph as a page: one file that fetches nothing and runs no script but its own."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256

from nix_manylinux.data import data_path
from nix_manylinux.report.picture.model import LOOKS, ORDER, Graph
from nix_manylinux.report.picture.svg import COLOURS, PICTURE, picture, xml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


#: What HTML or a reader of the page's source could take for markup, as JSON spells it.
_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def html_text(graph: Graph, shown: Graph, paste: Mapping[str, str]) -> str:
    """Write the page: all of ``graph``, a picture of ``shown``, and ``paste``, texts by title.

    ``shown`` is ``graph`` or a folding of it. The page's policy
    (https://www.w3.org/TR/CSP3/) forbids everything but the one style and the
    one script whose hashes it names; names from the wheel are JSON data or
    escaped text.
    """
    style = f"{COLOURS}{PICTURE}{_variables()}{_read('graph.css')}"
    script = _read("graph.js")
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
    return re.sub(r"@([A-Z]+)@", lambda match: parts[match[1]], _read("graph.html"))


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


def _variables() -> str:
    """Give every element of an origin its hue, in the page as in the picture."""
    return "".join(f".{origin.value}{{--hue:var(--{origin.value})}}\n" for origin in ORDER)


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    with open(data_path(name), encoding="utf-8") as file:
        return file.read()

"""Pictures of a plan: who needs what, and where it comes from."""

from __future__ import annotations

from nix_manylinux.base.errors import BadOption
from nix_manylinux.nix.advice import plan_block
from nix_manylinux.nix.adviser import Adviser
from nix_manylinux.nix.packages import Table, explain
from nix_manylinux.report.picture.build import build_graph
from nix_manylinux.report.picture.fold import fold, fold_libc
from nix_manylinux.report.picture.html import html_text
from nix_manylinux.report.picture.layout import columns_of
from nix_manylinux.report.picture.markup import dot_text, mermaid_text
from nix_manylinux.report.picture.model import Graph, visible
from nix_manylinux.report.picture.svg import svg_text

TYPE_CHECKING = False
if TYPE_CHECKING:
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
    plan: Plan, format: str, *, detail: str = "auto", table: Table | None = None  # noqa: A002 - the option's own name
) -> str:  # fmt: skip
    """Draw a plan in one of `FORMATS`; pure, and the same plan gives the same text, in ASCII.

    ``detail`` "files" shows every file and library, "folders" one box for
    each folder and package, "auto" the former as long as it has at most 80
    boxes, in at most 5 columns. The page (html) holds everything in any case: there ``detail`` is
    for the picture on it. With ``table`` missing libraries come with the
    nixpkgs attribute that provides them. Raises `BadOption`.
    """
    if format not in FORMATS:
        raise BadOption(f"no such format: {format}", hint=f"one of {', '.join(FORMATS)}")
    if detail not in DETAILS:
        raise BadOption(f"no such detail: {detail}", hint=f"one of {', '.join(DETAILS)}")
    adviser = Adviser(table, plan.trees) if table is not None and plan.missing else None
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

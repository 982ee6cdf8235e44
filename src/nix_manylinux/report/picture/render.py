"""Pictures of a plan: who needs what, and where it comes from."""

from __future__ import annotations

from nix_manylinux.base.errors import BadOption
from nix_manylinux.report.picture.build import build_graph
from nix_manylinux.report.picture.fold import fold, fold_libc
from nix_manylinux.report.picture.model import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.nix.packages import Table
    from nix_manylinux.report.picture.model import Graph
    from nix_manylinux.resolve.plan import Plan

#: The values of ``--format``.
FORMATS = ("dot", "mermaid", "svg", "html")
#: The values of ``--detail``.
DETAILS = ("auto", "files", "folders")

#: What a file's name ends in -> its format.
SUFFIXES = {
    ".dot": "dot",
    ".gv": "dot",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".svg": "svg",
    ".html": "html",
    ".htm": "html",
}

#: More boxes than this on one picture and nobody looks at any of them.
_CROWDED = 80


def render_graph(
    plan: Plan, format: str, *, detail: str = "auto", table: Table | None = None  # noqa: A002 - the option's own name
) -> str:  # fmt: skip
    """Draw a plan in one of `FORMATS`; pure, and the same plan gives the same text, in ASCII.

    ``detail`` "files" shows every file and library, "folders" one box for
    each folder and package, "auto" the former as long as it has at most 80
    boxes. The page (html) holds everything in any case: there ``detail`` is
    for the picture on it. With ``table`` missing libraries come with the
    nixpkgs attribute that provides them. Raises `BadOption`.
    """
    if format not in FORMATS:
        raise BadOption(f"no such format: {format}", hint=f"one of {', '.join(FORMATS)}")
    if detail not in DETAILS:
        raise BadOption(f"no such detail: {detail}", hint=f"one of {', '.join(DETAILS)}")
    graph = build_graph(plan, advice=_advice(plan, table))
    shown = _shown(graph, detail)
    if format == "dot":
        from nix_manylinux.report.picture.markup import dot_text  # noqa: PLC0415 - one format is asked for

        return dot_text(shown)
    if format == "mermaid":
        from nix_manylinux.report.picture.markup import mermaid_text  # noqa: PLC0415

        return mermaid_text(shown)
    if format == "svg":
        from nix_manylinux.report.picture.svg import svg_text  # noqa: PLC0415

        return svg_text(shown)
    from nix_manylinux.report.picture.html import html_text  # noqa: PLC0415

    return html_text(graph, shown, paste=_paste(plan, table))


def _shown(graph: Graph, detail: str) -> Graph:
    calm = fold_libc(graph)
    if detail == "folders" or (detail == "auto" and len(calm.nodes) > _CROWDED):
        return fold(graph, limit=_CROWDED)
    return calm


def _advice(plan: Plan, table: Table | None) -> dict[str, str]:
    if table is None:
        return {}
    from nix_manylinux.nix.adviser import Adviser  # noqa: PLC0415 - only with a table
    from nix_manylinux.nix.packages import explain  # noqa: PLC0415

    adviser = Adviser(table, plan.trees)
    return {each.name: explain(adviser.advise(*each.names)) for each in plan.missing}


def _paste(plan: Plan, table: Table | None) -> str:
    if table is None or not plan.missing:
        return ""
    from nix_manylinux.nix.advice import plan_block  # noqa: PLC0415 - only with a table
    from nix_manylinux.nix.adviser import Adviser  # noqa: PLC0415

    block = plan_block(plan, Adviser(table, plan.trees), in_build=True)
    # Text that is pasted must be what it looks like: a name with a control
    # character in it is spelt here too, at the price of matching nothing.
    return "\n".join(visible(line) for line in block.split("\n"))

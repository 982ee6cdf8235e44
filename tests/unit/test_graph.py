"""Pictures of plans: complete, the same each time, and deaf to what hostile names say."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from tests.support.graphs import (
    CURL,
    HOSTILE,
    LIBC,
    ZLIB,
    every_outcome,
    hostile,
    huge,
    inside,
    make_plan,
)
from tests.support.manual import each_command, each_option
from tests.support.wheels import MadeWheel, tiny_library
from tests.support.world import TREE, World, elf, plan

from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.values import replace
from nix_manylinux.cli.arguments import make_parser
from nix_manylinux.cli.main import main
from nix_manylinux.report.picture.build import build_graph, fold, fold_libc
from nix_manylinux.report.picture.layout import lay_out
from nix_manylinux.report.picture.model import LOOKS, visible
from nix_manylinux.report.picture.render import DETAILS, FORMATS, SUFFIXES, render_graph
from nix_manylinux.resolve.plan import Outcome, Plan, Problem, Resolution

if TYPE_CHECKING:
    from nix_manylinux.report.picture.model import Graph

DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"


def named_edges(graph: Graph) -> set[tuple[str, str]]:
    """Give the edges by the names of their ends."""
    return {(graph.nodes[e.source].name, graph.nodes[e.target].name) for e in graph.edges}


# -- the graph ---------------------------------------------------------------


def test_every_need_of_a_plan_is_an_edge() -> None:
    """Each (file, needed name) of the plan is an edge between nodes of those names."""
    drawn = every_outcome()
    wanted = {
        (each.file.label.rpartition("/")[2], resolution.name)
        for each in drawn.files
        for resolution in each.resolutions
    }
    assert named_edges(build_graph(drawn)) == wanted


def test_every_outcome_has_its_node() -> None:
    """All nine outcomes are origins of the graph, trouble first and the libc last."""
    graph = build_graph(every_outcome())
    assert set(graph.origins) == set(Outcome)
    assert graph.origins[:2] == (Outcome.MISSING, Outcome.INCOMPATIBLE)
    assert graph.origins[-1] is Outcome.LIBC
    assert graph.trouble == ("libmissing.so.1", "libnew.so.2")


def test_places_are_what_people_call_them() -> None:
    """A folder, a store path's package, another wheel's folder, the libc with its version."""
    places = {node.name: node.place for node in build_graph(every_outcome()).nodes}
    assert places["liba.so"] == "demo.libs"
    assert places["libz.so.1"] == "zlib-1.3.1"
    assert places["libcublas.so.12"] == "nvidia/cublas/lib"
    assert places["libc.so.6"] == "glibc 2.36"
    assert places["libmissing.so.1"] == "nothing provides it"


def test_a_plan_of_the_resolver_keeps_its_links() -> None:
    """What `plan_trees` found in the tree is the tree's own node, not a second one."""
    made = plan(
        {"pkg/_x.so": elf("liba.so", "libz.so.1", "libc.so.6"), "pkg.libs/liba.so": elf()},
        World({"/libs/libz.so.1": elf(soname="libz.so.1")}),
        libs=("/libs",),
    )
    graph = build_graph(made)
    assert [node.name for node in graph.nodes].count("liba.so") == 1
    origins = {node.name: node.origin for node in graph.nodes}
    assert origins["liba.so"] is Outcome.TREE
    assert origins["libz.so.1"] is Outcome.LIBRARY


def test_what_only_the_simulation_saw_is_drawn() -> None:
    """A library in the store that misses something is a node with an edge to it."""
    made_in = make_plan({}).trees[0].root
    made = make_plan(
        {"a.so": (Resolution(name="libz.so.1", outcome=Outcome.LIBRARY, path=ZLIB),)},
        missing=[
            Problem(name="libgone.so", wanted_by=(ZLIB,)),
            Problem(name="libgone.so", wanted_by=(f"{made_in}/lib/python/site-packages/a.so",)),
            Problem(name="libgone.so", wanted_by=(CURL,)),
        ],
    )
    edges = named_edges(build_graph(made))
    assert {("libz.so.1", "libgone.so"), ("a.so", "libgone.so")} < edges
    assert ("libcurl.so.4", "libgone.so") in edges


def test_the_folder_of_unpacking_leaves_no_trace() -> None:
    """The same wheel unpacked elsewhere gives the same text in every format."""
    here, there = (
        make_plan(
            {
                "x/a.so": (inside("x/b.so", root=root),),
                "x/b.so": (
                    Resolution(
                        name="libq.so", outcome=Outcome.IGNORED, reason=f"seen in {root}/x/b.so"
                    ),
                ),
            },
            root=root,
        )
        for root in ("/tmp/nix-manylinux-abc", "/tmp/nix-manylinux-xyz")  # noqa: S108 - names
    )
    for format_ in FORMATS:
        text = render_graph(here, format_)
        assert text == render_graph(there, format_)
        assert "nix-manylinux-abc" not in text


def test_several_trees_keep_apart() -> None:
    """Files of one name in two trees are two nodes, told apart by their tree's name."""
    one = plan({"liba.so": elf()})
    other = replace(one.trees[0], root="/else", distributions=())
    both = replace(
        one,
        trees=(one.trees[0], other),
        files=(*one.files, replace(one.files[0], tree=1)),
    )
    graph = build_graph(both)
    assert [node.place for node in graph.nodes] == ["else", TREE.strip("/")]
    assert graph.title == "demo 1, else"


def test_order_of_the_plan_does_not_matter() -> None:
    """Files in another order give the same picture."""
    made = every_outcome()
    turned = replace(made, files=made.files[::-1])
    for format_ in FORMATS:
        assert render_graph(made, format_) == render_graph(turned, format_)


def test_visible_spells_what_cannot_be_seen() -> None:
    """Control, direction and format characters and stray bytes are spelt; letters stay."""
    assert visible("a\x1b[31m\n\u202e\u2028\udcff\U000e0001") == (
        "a\\x1b[31m\\x0a\\u202e\\u2028\\xff\\U000e0001"
    )
    assert visible("\u5927\u304d\u306a \u00e9 libstdc++.so.6") == (
        "\u5927\u304d\u306a \u00e9 libstdc++.so.6"
    )


# -- folding -------------------------------------------------------------------


def test_folding_keeps_every_need() -> None:
    """Counts of a folded graph add up to the edges of the whole, but for those inside a box."""
    graph = build_graph(huge())
    folded = fold(graph, limit=80)
    box = {i: at for at, node in enumerate(folded.nodes) for i in node.folds or ()}
    single = {node: at for at, node in enumerate(folded.nodes) if not node.folds}
    for i, node in enumerate(graph.nodes):
        if i not in box:
            box[i] = single[node]
    across = [e for e in graph.edges if box[e.source] != box[e.target]]
    assert sum(edge.count for edge in folded.edges) == len(across)
    assert {(e.source, e.target) for e in folded.edges} == {
        (box[e.source], box[e.target]) for e in across
    }


def test_folding_makes_a_crowd_a_picture() -> None:
    """300 files in 30 folders become 30 boxes, and no missing library is lost."""
    graph = build_graph(huge())
    folded = fold(graph, limit=80)
    tree = [node for node in folded.nodes if node.origin is Outcome.TREE]
    assert len(tree) == 30
    assert sum(len(node.members) for node in tree) == 300
    assert sorted(folded.trouble) == sorted(graph.trouble)
    assert len(folded.nodes) <= 80
    assert folded.summary == graph.summary
    assert all(node.name != node.place for node in folded.nodes)


def test_folding_the_libc_folds_nothing_else() -> None:
    """The libc is one node; all other nodes are themselves."""
    graph = build_graph(every_outcome())
    calm = fold_libc(graph)
    assert {n for n in calm.nodes if n.origin is not Outcome.LIBC} == {
        n for n in graph.nodes if n.origin is not Outcome.LIBC
    }
    (libc,) = (n for n in calm.nodes if n.origin is Outcome.LIBC)
    assert (libc.name, libc.members) == ("glibc 2.36", ("libc.so.6",))


def test_detail_chooses() -> None:
    """The detail "auto" folds a crowd and leaves a few; the others do as they say."""
    few, many = every_outcome(), huge()
    assert render_graph(few, "dot") == render_graph(few, "dot", detail="files")
    assert render_graph(few, "dot") != render_graph(few, "dot", detail="folders")
    assert render_graph(many, "dot") == render_graph(many, "dot", detail="folders")
    assert "lib0123.so" in render_graph(many, "dot", detail="files")


def test_a_long_chain_is_folded() -> None:
    """Where a page would have too many columns to be read, folders are shown, however few."""
    root = "/tmp/unpacked/lib/python/site-packages"  # noqa: S108 - only a name
    chain = {
        f"d/lib{i}.so": (
            Resolution(name="x", outcome=Outcome.TREE, path=f"{root}/d/lib{i + 1}.so"),
        )
        for i in range(8)
    }
    deep = make_plan({**chain, "d/lib8.so": ()})
    assert render_graph(deep, "dot") == render_graph(deep, "dot", detail="folders")
    assert render_graph(deep, "dot") != render_graph(deep, "dot", detail="files")
    (shown,) = re.findall(r'"programs":\[([0-9,]*)\]', render_graph(every_outcome(), "html"))
    names = [node.name for node in build_graph(every_outcome()).nodes]
    assert [names[int(i)] for i in shown.split(",") if i] == ["tool"]


# -- all formats ------------------------------------------------------------------


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("detail", DETAILS)
def test_every_format_is_ascii(format_: str, detail: str) -> None:
    """No locale, clipboard or terminal can break the text, whatever the names are."""
    text = render_graph(hostile(), format_, detail=detail, advised=True)
    assert text.isascii()
    assert all(line.isprintable() for line in text.split("\n"))
    assert text.endswith("\n")


@pytest.mark.parametrize("format_", FORMATS)
def test_an_empty_plan_is_drawn(format_: str) -> None:
    """A wheel of pure Python gives a picture that says so."""
    assert "0 ELF files, 0 needs" in render_graph(make_plan({}), format_)


def test_unknown_words_are_refused() -> None:
    """Another format or detail is a usage error that names the known ones."""
    with pytest.raises(BadOption, match="dot, mermaid, svg, html"):
        render_graph(make_plan({}), "png")
    with pytest.raises(BadOption, match="auto, files, folders"):
        render_graph(make_plan({}), "svg", detail="most")


# -- DOT ----------------------------------------------------------------------------


def drawn_by_graphviz(text: str) -> str:
    """Let Graphviz read and lay out a graph, and draw it."""
    dot = shutil.which("dot")
    assert dot, "no Graphviz on PATH: ./dev setup installs it"
    done = subprocess.run(
        [dot, "-Tsvg"], input=text, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("made", [every_outcome(), hostile()], ids=["every outcome", "hostile"])
def test_graphviz_reads_back_what_was_meant(made: Plan) -> None:
    """Graphviz draws each name as it is, and no node or edge more."""
    graph = fold_libc(build_graph(made))
    root = ET.fromstring(drawn_by_graphviz(render_graph(made, "dot", detail="files")))  # noqa: S314 - ours
    kinds = [each.get("class") for each in root.iter(f"{SVG}g")]
    assert kinds.count("node") == len(graph.nodes) + len(graph.origins)
    assert kinds.count("edge") == len(graph.edges)
    drawn = {"".join((each.text or "").split()) for each in root.iter(f"{SVG}text")}
    for node in graph.nodes:
        # Graphviz's own entities end at U+FFFF: beyond, names are spelt.
        name = re.sub(r"[^\x00-\uffff]", lambda each: f"\\U{ord(each[0]):08x}", node.name)
        assert "".join(name.split()) in drawn


# -- Mermaid --------------------------------------------------------------------------

#: All that a line may be. Labels hold letters, digits, harmless marks and entity codes.
_LABEL = r'"(?:[A-Za-z0-9 /.+,-]|#[0-9]+;|<br/>)*"'
_MERMAID = re.compile(
    rf"flowchart LR|  acc(?:Title|Descr): [A-Za-z0-9 /.+,#;-]+"
    rf"| *subgraph (?:g[0-9]+|legend)\[{_LABEL}\]| *end"
    rf"| *(?:n|legend)[0-9]+(?:\[{_LABEL}\]|\[\[{_LABEL}\]\]):::[a-z]+"
    rf"|  n[0-9]+ -->(?:\|{_LABEL}\|)? n[0-9]+"
    r"|  classDef [a-z]+ [a-z0-9:#,\-]+(?: 3)?"
)


@pytest.mark.parametrize("made", [every_outcome(), hostile(), huge()])
def test_mermaid_has_no_line_of_another_form(made: Plan) -> None:
    """Each line is one of six forms, and decoding the labels gives the names back."""
    graph = fold_libc(build_graph(made))
    text = render_graph(made, "mermaid", detail="files")
    for line in text.splitlines():
        assert _MERMAID.fullmatch(line), line
    labels = re.findall(rf"^ *n([0-9]+)\[+({_LABEL})", text, re.MULTILINE)
    assert len(labels) == len(graph.nodes)
    for number, label in labels:
        first = label[1:-1].split("<br/>")[0]
        plain = re.sub(r"#([0-9]+);", lambda match: chr(int(match[1])), first)
        assert plain == graph.nodes[int(number)].name
    assert len(re.findall(r"-->", text)) == len(graph.edges)


# -- SVG --------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [every_outcome(), hostile(), huge()])
@pytest.mark.parametrize("detail", DETAILS)
def test_svg_is_xml_with_nothing_that_acts(made: Plan, detail: str) -> None:
    """It parses; there is no script, no link, no handler, nothing from elsewhere."""
    text = render_graph(made, "svg", detail=detail)
    root = ET.fromstring(text)  # noqa: S314 - ours
    known = {
        f"{SVG}{tag}" for tag in ("svg", "title", "desc", "style", "g", "rect", "text", "path")
    }
    assert {each.tag for each in root.iter()} <= known
    for each in root.iter():
        assert not [name for name in each.attrib if name.startswith("on") or "href" in name]
    (style,) = root.iter(f"{SVG}style")
    assert not re.search(r"url\(|@import|expression", style.text or "")


def test_svg_tells_readers_without_eyes() -> None:
    """It is an image with a title and a description that names what is missing."""
    root = ET.fromstring(render_graph(every_outcome(), "svg"))  # noqa: S314 - ours
    assert root.get("role") == "img"
    title, description = root[0], root[1]
    assert (title.tag, description.tag) == (f"{SVG}title", f"{SVG}desc")
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert "libmissing.so.1, libnew.so.2" in (description.text or "")


def test_svg_shows_each_node_and_edge_once() -> None:
    """A card for each node, in reading order of the data, and a line for each edge."""
    graph = fold_libc(build_graph(every_outcome()))
    root = ET.fromstring(render_graph(every_outcome(), "svg"))  # noqa: S314 - ours
    cards = [each.get("data-node") for each in root.iter(f"{SVG}g") if each.get("data-node")]
    assert cards == [str(i) for i in range(len(graph.nodes))]
    lines = [str(each.get("class")).split()[2:] for each in root.iter(f"{SVG}path")]
    assert lines == [[f"s{e.source}", f"t{e.target}"] for e in graph.edges]


@pytest.mark.parametrize("made", [every_outcome(), hostile(), huge(), huge(40, 400)])
def test_no_card_lies_on_another(made: Plan) -> None:
    """Boxes keep apart, stay inside, and lines run between columns from left to right."""
    graph = build_graph(made)
    layout = lay_out(graph, [(100.0 + i % 7, 20.0 + i % 3 * 17) for i in range(len(graph.nodes))])
    stacks: dict[float, list[tuple[float, float]]] = {}
    for x, y, width, height in layout.boxes:
        assert x >= 0
        assert y >= 0
        assert x + width <= layout.width + 0.01
        assert y + height <= layout.height + 0.01
        stacks.setdefault(x, []).append((y, y + height))
    for stack in stacks.values():
        stack.sort()
        for (_, end), (start, _) in pairwise(stack):
            assert end < start
    for edge, line in zip(graph.edges, layout.lines, strict=True):
        x, y, width, height = layout.boxes[edge.source]
        assert line[0] == pytest.approx((x + width, y + height / 2))
        xs = [point[0] for point in line]
        assert len(xs) == 2 or xs == sorted(xs)


def test_pictures_are_quick() -> None:
    """300 files with 2,000 needs take less than three seconds in any format, unfolded."""
    made = huge()
    for format_ in FORMATS:
        start = time.process_time()
        render_graph(made, format_, detail="files")
        assert time.process_time() - start < 3, format_


def test_a_long_chain_does_not_explode() -> None:
    """2,000 files, each needing the next and a library of its own, are drawn in linear space."""
    labels = [f"chain/{i:04}.so" for i in range(2001)]
    needs = {
        label: (inside(after), Resolution(name=f"no{after[6:]}", outcome=Outcome.MISSING))
        for label, after in pairwise(labels)
    }
    text = render_graph(make_plan({**needs, labels[-1]: ()}), "svg", detail="files")
    assert text.count('<path class="edge') == 4000
    assert len(text) < 1000 * 4000


# -- the page, as text ----------------------------------------------------------------------


def test_the_page_names_its_hashes_and_nothing_else() -> None:
    """The policy allows one style and one script, by the hashes of what stands there."""
    from base64 import b64encode
    from hashlib import sha256

    text = render_graph(hostile(), "html", advised=True)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    hashes = [b64encode(sha256(each.encode()).digest()).decode() for each in (script, style)]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"\b(?:eval|innerHTML|outerHTML|insertAdjacentHTML|Function)\b", script)
    assert text.count("<script") == 2


def test_the_page_has_no_name_as_markup() -> None:
    """Of the hostile names no tag and no placeholder survives outside of the data."""
    text = render_graph(hostile(), "html")
    assert "<img" not in text
    assert "onload=alert" not in re.sub(r"&lt;svg onload=alert", "", text.split('id="data"')[0])
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text)
    assert not set("<>&") & set(data)
    assert "@DATA@" in text  # a name; expanding it would have put the data in twice
    assert text.count('"nodes":[') == 1


def test_the_page_says_who_provides_what_is_missing() -> None:
    """With the table of nixpkgs the attribute and what to paste are in the data."""
    made = make_plan(
        {"a.so": (Resolution(name="libz.so.1", outcome=Outcome.MISSING),)},
        missing=[Problem(name="libz.so.1", wanted_by=("a.so",))],
    )
    text = render_graph(made, "html", advised=True)
    assert '"advice":"zlib' in text
    assert '"In an expression":"buildInputs = [' in text
    assert """"On the command line":"$(nix-build '\\u003cnixpkgs\\u003e'""" in text
    assert "buildInputs" not in render_graph(made, "html")


def test_hostile_names_are_hostile() -> None:
    """The list does hold what the tests above are about, or they would show nothing."""
    joined = "".join(HOSTILE)
    for part in ("<script>", "onerror=", '"', "\n", "\x1b", "\u2028", "\u202e", "\udcff", "`", "&"):
        assert part in joined
    assert LIBC.startswith("/nix/store/")


# -- the command ----------------------------------------------------------------------------


def tiny_wheel(folder: Path) -> str:
    """Write a wheel with one library that needs zlib and the libc."""
    library = tiny_library("libtiny.so.1", "libz.so.1", "libc.so.6")
    return MadeWheel(files={"demo/libtiny.so": library}).write(folder)


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("g.svg", "<svg "),
        ("g.HTML", "<!doctype html>"),
        ("g.mmd", "flowchart"),
        ("g.gv", "digraph"),
        ("g.txt", "digraph"),
    ],
)
def test_the_output_file_names_its_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, begins: str
) -> None:
    """Without --format the ending of --output decides; nothing goes to standard output."""
    wheel = tiny_wheel(tmp_path)
    output = tmp_path / "made" / name
    output.parent.mkdir()
    assert main(["graph", wheel, "-o", str(output)]) == 0
    assert output.read_text(encoding="ascii").startswith(begins)
    assert [each.name for each in output.parent.iterdir()] == [name]
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"wrote {output}\n")


@pytest.mark.parametrize("name", ["g.png", "g.PDF", "g.jpeg"])
def test_no_picture_of_another_kind_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A file is not given text that its name doesn't promise, unless --format says so."""
    wheel, output = tiny_wheel(tmp_path), tmp_path / name
    assert main(["graph", wheel, "-o", str(output)]) == 2
    assert "but of .dot, .gv, .mmd, .svg and .html; --format names one" in capsys.readouterr().err
    assert not output.exists()
    assert main(["graph", wheel, "-o", str(output), "--format", "svg"]) == 0


def test_one_picture_is_of_one_wheel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second wheel is no unknown option, and the message says so."""
    wheel = tiny_wheel(tmp_path)
    assert main(["graph", wheel, wheel]) == 2
    assert "; it takes one WHEEL|TREE\n" in capsys.readouterr().err


def test_the_command_prints_what_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing library is content, not a refusal: exit 0, the picture on standard output."""
    assert main(["graph", tiny_wheel(tmp_path), "--format", "mermaid"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("flowchart LR\n")
    assert "libz.so.1" in out
    assert err == ""


def test_the_command_draws_trees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder is drawn under its own name, its files by their paths."""
    (tmp_path / "env" / "pkg").mkdir(parents=True)
    (tmp_path / "env" / "pkg" / "libtiny.so").write_bytes(tiny_library())
    assert main(["graph", str(tmp_path / "env")]) == 0
    out, _ = capsys.readouterr()
    assert 'label="env\\n1 ELF file' in out
    assert 'label="libtiny.so\\npkg"' in out


def test_an_output_that_cannot_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1 names the file and what to do; what stood there before still does."""
    wheel = tiny_wheel(tmp_path)
    assert main(["graph", wheel, "-o", str(tmp_path / "no" / "g.svg")]) == 1
    _, err = capsys.readouterr()
    assert "g.svg" in err
    assert "--output" in err
    (tmp_path / "folder.svg").mkdir()
    assert main(["graph", wheel, "-o", str(tmp_path / "folder.svg")]) == 1
    assert not list((tmp_path / "folder.svg").iterdir())


def test_a_full_disk_leaves_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails half way leaves the file as it was, and nothing beside it."""
    from nix_manylinux.base import files

    def full(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    wheel = tiny_wheel(tmp_path)
    output = tmp_path / "made" / "g.svg"
    output.parent.mkdir()
    output.write_text("old")
    monkeypatch.setattr(files, "write_all", full)
    assert main(["graph", wheel, "-o", str(output)]) == 1
    assert output.read_text() == "old"
    assert list(output.parent.iterdir()) == [output]


def test_pictures_go_through_links_and_into_pipes(tmp_path: Path) -> None:
    """A link stays one and its target is written; a pipe is written to, never replaced."""
    wheel = tiny_wheel(tmp_path)
    target, link, pipe = (tmp_path / name for name in ("real.svg", "link.svg", "pipe.dot"))
    link.symlink_to(target)
    assert main(["graph", wheel, "-q", "-o", str(link)]) == 0
    assert link.is_symlink()
    assert target.read_text().startswith("<svg ")
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True) as reader:
        assert main(["graph", wheel, "-q", "-o", str(pipe)]) == 0
        assert reader.communicate(timeout=30)[0].startswith("digraph")
    assert pipe.is_fifo()


def test_names_of_formats_are_one_list() -> None:
    """The parser's words are the function's; every ending leads to a format, and each has one."""
    (graph,) = [each for name, each in each_command(make_parser("1")) if name == "graph"]
    offered = {each.dest: each.choices for each in each_option(graph)}
    assert offered["format"] == [*FORMATS]
    assert offered["detail"] == [*DETAILS]
    assert set(SUFFIXES.values()) == set(FORMATS)


# -- the documentation -----------------------------------------------------------------------


def test_the_picture_in_the_documentation_is_fresh() -> None:
    """`docs/graph.svg` is what the example plan gives today."""
    shown = DOCS / "graph.svg"
    assert shown.read_text(encoding="ascii") == render_graph(every_outcome(), "svg")


def test_the_documentation_knows_every_mark_and_ending() -> None:
    """Each mark, format and ending stands in `docs/graph.md`."""
    text = (DOCS / "graph.md").read_text(encoding="utf-8")
    for word in (
        *(look.mark for look in LOOKS.values()),
        *FORMATS,
        *DETAILS[1:],
        ".html",
        ".svg",
        ".dot",
        ".gv",
        ".mmd",
    ):
        assert word in text

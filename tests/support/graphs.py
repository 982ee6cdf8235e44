"""Plans to draw: one with every outcome, one full of hostile names, one that is huge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.world import X86_64, World, elf, program, target

from nix_manylinux.resolve.plan import FilePlan, Outcome, Plan, Problem, Resolution
from nix_manylinux.tree.facts import TreeFacts, TreeFile
from nix_manylinux.wheel.metadata import Distribution

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STORE = "/nix/store"
ZLIB = f"{STORE}/0c0mz4r8nqvb1lk5d6x3y7w2a9i8j7h6-zlib-1.3.1/lib/libz.so.1"
CURL = f"{STORE}/1c0mz4r8nqvb1lk5d6x3y7w2a9i8j7h6-curl-8.1/lib/libcurl.so.4"
LIBC = f"{STORE}/libc/lib/libc.so.6"
CUBLAS = "/env/lib/python3.11/site-packages/nvidia/cublas/lib/libcublas.so.12"

#: Names that mean something to HTML, XML, JavaScript, DOT, Mermaid, Markdown or a terminal.
HOSTILE = (
    "</script><script>alert(1)</script>.so",
    "<img src=x onerror=alert(2)>.so",
    "--><svg onload=alert(3)>.so",
    "</style></title></textarea><script>alert(4)</script>",
    "javascript:alert(5)//.so",
    "${alert(6)}{{constructor.constructor('alert(6)')()}}`.so",
    '"];evil [label="x"];n0 -> n1 [label="',
    '"]; click n0 href "javascript:alert(7)"',
    "\\\"; \\N\\G\\l quote's &lt;b&gt; &amp; &#60;.so",
    "new\nline\r\n  end\n%%{init: {'securityLevel': 'loose'}}%%",
    "\u2028line\u2029para\u202egpj.so\u200b\ufeff.so",
    "\x01\x1b[31mred\x07\x9b\x7f.so",
    "@DATA@ @SCRIPT@ @POLICY@ ]]> <!-- <!DOCTYPE>",
    "1. **bold** _it_ [link](http://x) www.example.org fa:fa-car $$x$$ #35; end",
    "bytes-\udcff\udcfe.so",
    "\u5927\u304d\u306a-\u00e9\u0301-\U0001f40d.so",
    "graph end subgraph classDef style n0",
    "",
)


def make_plan(
    needs: Mapping[str, Sequence[Resolution]],
    *,
    programs: Sequence[str] = (),
    missing: Sequence[Problem] = (),
    incompatible: Sequence[Problem] = (),
    root: str = "/tmp/unpacked",  # noqa: S108 - only a name
    name: str = "demo",
    wheel: bool = True,
) -> Plan:
    """Make the plan of a tree of these files with these resolutions, as `plan_trees` would."""
    below = "lib/python/site-packages/" if wheel else ""
    files = tuple(
        TreeFile(
            path=below + label,
            label=label,
            facts=program() if label in programs else elf(),
            size=1,
            mode=0o100644,
        )
        for label in sorted(needs)
    )
    facts = TreeFacts(
        root=root,
        files=files,
        distributions=(Distribution(folder=f"{name}-1.0.dist-info", name=name, version="1.0"),),
        floating="lib/python" if wheel else None,
    )
    return Plan(
        target=target(World(), machine=X86_64),
        trees=(facts,),
        files=tuple(
            FilePlan(tree=0, file=file, resolutions=tuple(needs[file.label])) for file in files
        ),
        missing=tuple(missing),
        incompatible=tuple(incompatible),
    )


def inside(label: str, *, root: str = "/tmp/unpacked") -> Resolution:  # noqa: S108 - only a name
    """Lead to a file of the wheel, by a path that isn't in normal form."""
    return Resolution(
        name=label.rpartition("/")[2],
        outcome=Outcome.TREE,
        path=f"{root}/lib/python/site-packages/x/../{label}",
    )


def every_outcome() -> Plan:
    """Make a plan in which each outcome occurs, and a cycle, a program and a file by itself."""

    def found(outcome: Outcome, path: str) -> Resolution:
        return Resolution(name=path.rpartition("/")[2], outcome=outcome, path=path)

    libc = found(Outcome.LIBC, LIBC)
    return make_plan(
        {
            "demo/_core.abi3.so": (
                inside("demo.libs/liba.so"),
                found(Outcome.LIBRARY, ZLIB),
                found(Outcome.WHEEL, CUBLAS),
                Resolution(name="libmissing.so.1", outcome=Outcome.MISSING),
                libc,
            ),
            "demo.libs/liba.so": (inside("demo.libs/libb.so"), libc),
            "demo.libs/libb.so": (
                inside("demo.libs/liba.so"),
                Resolution(name="libcuda.so.1", outcome=Outcome.DRIVER),
                Resolution(name="liblater.so", outcome=Outcome.LATER),
                Resolution(name="libignored.so", outcome=Outcome.IGNORED),
                Resolution(
                    name="libnew.so.2",
                    outcome=Outcome.INCOMPATIBLE,
                    path="/opt/lib/libnew.so.2",
                    reason="needs GLIBC_2.38, the target has 2.36",
                ),
                libc,
            ),
            "demo/bin/tool": (libc,),
            "demo/alone.so": (),
        },
        programs=["demo/bin/tool"],
        missing=[Problem(name="libmissing.so.1", wanted_by=("demo/_core.abi3.so",))],
        incompatible=[
            Problem(
                name="libnew.so.2",
                wanted_by=("demo.libs/libb.so",),
                reason="needs GLIBC_2.38, the target has 2.36",
            )
        ],
    )


def hostile() -> Plan:
    """Make a plan whose files, libraries, packages, reasons and wheel have hostile names."""
    needs: dict[str, tuple[Resolution, ...]] = {}
    for at, name in enumerate(HOSTILE):
        store = f"{STORE}/0c0mz4r8nqvb1lk5d6x3y7w2a9i8j7h6-{name.replace('/', '|') or 'x'}/lib"
        needs[f"{name}/{at}{name.replace('/', '|')}"] = (
            Resolution(name=name, outcome=Outcome.MISSING, reason=name),
            Resolution(name=f"bad{name}", outcome=Outcome.INCOMPATIBLE, reason=name),
            Resolution(name=name, outcome=Outcome.LIBRARY, path=f"{store}/{name}x"),
            Resolution(name=name, outcome=Outcome.DRIVER),
        )
    return make_plan(
        needs,
        missing=[Problem(name=name, wanted_by=("<b>/not/there.so",)) for name in HOSTILE],
        name="".join(HOSTILE),
    )


def huge(files: int = 300, edges: int = 2000) -> Plan:
    """Make a plan with so many files in 30 folders, and about so many needs."""
    labels = [f"big/folder{i % 30}/sub/lib{i:04}.so" for i in range(files)]
    each = edges // files
    needs: dict[str, tuple[Resolution, ...]] = {}
    for i, label in enumerate(labels):
        own = [inside(labels[(i * 7 + k * k + 1) % files]) for k in range(each - 2)]
        named = Resolution(name=f"libno{i % 40}.so", outcome=Outcome.MISSING)
        libc = Resolution(name="libc.so.6", outcome=Outcome.LIBC, path=LIBC)
        needs[label] = (*own, named, libc)
    return make_plan(needs, name="big")

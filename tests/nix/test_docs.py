"""The documents on Nix: every expression in them evaluates, and gives what it says."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

import pytest
from tests.support.nix import ROOT, evaluate, run_nix
from tests.support.sets import STAND_INS, packages

from nix_manylinux.data import read_xorg_renames

pytestmark = pytest.mark.nix

FILES = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"nix{part}.md" for part in ("", "-inputs", "-hooks", "-lib", "-in-nixpkgs")),
]
TEXT = "".join(path.read_text() for path in FILES)

#: What a whole nixpkgs has and the rings lack.
MORE = """(final: prev: builtins.listToAttrs (map (name: {
  inherit name;
  value = final.runCommand name { } "mkdir $out";
}) [ "libxcb" "libxkbcommon" "dbus" "fontconfig" "freetype" "unzip" ]) // {
  autoPatchelfHook = prev.autoPatchelfHook or final.unzip;
  pythonPackagesExtensions = prev.pythonPackagesExtensions or [ ] ++ [
    (pyfinal: pyprev: {
      python-dateutil = pyprev.python-dateutil or pyfinal.numpy;
      numpy = pyfinal.buildPythonPackage {
        pname = "numpy"; version = "2.0"; pyproject = true; src = final.zlib;
        build-system = [ pyfinal.setuptools ];
      };
    })
  ];
})"""


class Example(NamedTuple):
    """One block of a document; ``select`` and ``result`` are what its last comment says."""

    place: str
    body: str
    select: str | None
    result: str | None


def examples() -> list[Example]:
    """Read all blocks of Nix in the documents."""
    found = []
    for path in FILES:
        text = path.read_text()
        for match in re.finditer(r"^```nix\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            comment = re.search(r"^# (\S*) ?=> (.*)$", match[1], re.MULTILINE)
            place = f"{path.stem} {text.count(chr(10), 0, match.start()) + 1}"
            select, result = (comment[1], comment[2]) if comment else (None, None)
            found.append(Example(place, match[1], select, result))
    return found


EXAMPLES = examples()
RESULTS = [example for example in EXAMPLES if example.result is not None]
PACKAGES = [
    example
    for example in EXAMPLES
    if example.result is None and not example.body.startswith(("{\n", "import <nixpkgs>"))
]
PYTHON = 'interpreter { pythonVersion = "3.11.5"; arch = "x86_64"; libcVersion = "2.36"; }'


def line_of(example: Example) -> str:
    """Name an example by where it stands."""
    return example.place


@pytest.mark.parametrize("example", RESULTS, ids=line_of)
def test_results(example: Example) -> None:
    """An example of lib gives the result beside it."""
    found, expected = evaluate(
        f"""with import (root + /nix/lib); let
          python311 = {PYTHON};
          inherit ({packages()}) python3;
        in [ (({example.body}){example.select}) {example.result} ]"""
        if example.result != "-1"
        else f"with import (root + /nix/lib); [ ({example.body}) (-1) ]"
    )
    assert found == expected


def test_every_function_of_lib_has_an_example() -> None:
    """Each export of lib is used in an example with a result."""
    exports = evaluate("builtins.attrNames (import (root + /nix/lib))")
    text = "\n".join(example.body for example in RESULTS)
    assert [name for name in exports if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(each, marks=[pytest.mark.cp311] if "cp311" in each.body else [])
        for each in PACKAGES
    ],
    ids=line_of,
)
def test_packages(example: Example) -> None:
    """An expression for a package evaluates to its derivation."""
    extra = f"{STAND_INS} {MORE}"
    # One set for another machine is enough; ring two has no compiler for it.
    cross = "pkgsCross.aarch64-multiplatform" in example.body
    more = "pkgsCross.aarch64-multiplatform = aarch64;" if cross else ""
    body = example.body.replace("./.", "(root + /docs)")
    aarch64 = packages(extra=extra, number="one", more='crossTo = "aarch64";')
    found = evaluate(
        f"""let
          pkgs = {packages(extra=extra)};
          aarch64 = {aarch64};
          listed = value: if builtins.isList value then value else [ value ];
        in map (drv: drv.drvPath) (listed (with pkgs; let {more} in ({body})))"""
    )
    assert found
    assert all(drv_path.endswith(".drv") for drv_path in found)


def test_a_format_is_its_parts() -> None:
    """The two examples that are said to be one derivation are one."""
    short, parts = (
        next(
            e.body
            for e in PACKAGES
            if 'pname = "numpy"' in e.body and f'format = "{name}"' in e.body
        )
        for name in ("manylinux2014", "wheel")
    )
    assert {"manylinuxFixupHook", "manylinuxInstallHook"} <= {*parts.split()}
    found = evaluate(
        f"with {packages(extra=f'{STAND_INS} {MORE}')}; [ ({short}).drvPath ({parts}).drvPath ]"
    )
    assert found[0] == found[1]


def test_the_flake_parses() -> None:
    """The flake and the imports of nixpkgs, which need the world outside, are Nix at least."""
    left = [e for e in EXAMPLES if e not in RESULTS and e not in PACKAGES]
    assert len(left) == 3
    for example in left:
        assert run_nix("nix-instantiate", "--parse", "-E", example.body)


def test_every_attribute_is_named() -> None:
    """Each attribute of the overlay, its Python extension and the flake is in the document."""
    names = evaluate("builtins.attrNames (import (root + /nix/overlay.nix) { } { })")
    names += ["buildPythonPackage", "buildPythonApplication", "manylinux-compat"]
    names += ["overlays.default"]
    # Libraries of X under newer names are one row.
    told = {"pythonPackagesExtensions", *read_xorg_renames()}
    absent = [name for name in names if name not in TEXT and name not in told]
    assert absent == []


def test_every_variable_of_the_hook_is_named() -> None:
    """Each variable and function of the hook's script is in the document, with an example."""
    names = ("manylinux-fixup-hook", "auto-patchelf-names", "variable-names")
    script = "".join((ROOT / f"hooks/{name}.sh").read_text() for name in names)
    variables = set(re.findall(r"\b(?:dontM|m)anylinux[A-Z]\w+\b", script))
    variables -= {"manylinuxFixupHook", "manylinuxAutoLibs"}
    known = evaluate("import (root + /nix/variable-names.nix)")
    assert variables - set(known) <= {"manylinuxFixup"}
    functions = set(re.findall(r"^([a-z]\w+)\(\) \{", script, re.MULTILINE))
    assert {"manylinuxRuntimeLibs", "dontManylinuxFixup"} <= variables
    assert {"manylinuxFixup", "addManylinuxSearchPath"} <= functions
    assert [name for name in sorted(variables | functions) if f"{name}" not in TEXT] == []
    more = (ROOT / "hooks/manylinux-install-hook.sh").read_text()
    named = r"\b(?:dontUse\w+|manylinuxInstallWheel|manylinuxInstallFlags)\b"
    assert {*re.findall(named, more)} <= {*re.findall(r"\w+", TEXT)}
    rows = re.findall(r"^\| `(\w+)` \| .* \| `(.*)` \|$", TEXT, re.MULTILINE)
    assert all(example.startswith(f"{name} = ") for name, example in rows)
    assert variables - functions <= {name for name, _ in rows}


def test_the_refusal_is_quoted_as_it_is() -> None:
    """The error message in the document is the one that is thrown."""
    quoted = re.search(r"^```\nerror: (nix-manylinux: .*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert quoted
    python = """pkgs.python3.pkgs.python // {
      pythonVersion = "3.12"; executable = "python3.12"; pythonABITags = [ "cp312" ];
      stdenv = pkgs.stdenv // { cc = pkgs.stdenv.cc // { libc.version = "2.40"; }; };
    }"""
    message = json.dumps(quoted[1].strip().split())
    thrown = run_refused(
        f"""let pkgs = {packages()}; in (import (root + /nix/build-python-package.nix) {{
          inherit (pkgs) lib buildManylinuxWheel manylinuxFixupHook manylinuxInstallHook;
          inherit (pkgs) pythonManylinuxPackages;
          python = {python};
        }} (x: {{ drvPath = x.src; }}) {{
          pname = "numpy"; format = "manylinux2014";
          src.name = "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
        }}).drvPath"""
    )
    assert message.strip("[]") in json.dumps(thrown.split())


def run_refused(body: str) -> str:
    """Evaluate what must be refused, and return what was said."""
    from tests.support.nix import NixFailed

    with pytest.raises(NixFailed) as failed:
        evaluate(body)
    return str(failed.value)

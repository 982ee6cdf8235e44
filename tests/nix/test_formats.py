"""buildPythonPackage and buildPythonApplication with the formats, in real Nix."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.nix import ROOT, NixFailed, evaluate, nix_path, nix_string, run_nix
from tests.support.rings import ring
from tests.support.sets import broken_claims, packages

pytestmark = pytest.mark.nix


@pytest.mark.parametrize("function_form", ["true", "false"][: 2 if ring() == "one" else 1])
def test_claims(function_form: str) -> None:
    """Every claim of formats.nix holds, whether nixpkgs takes functions or not."""
    choice = f"functionForm = {function_form};"
    more = choice if ring() == "one" else ""
    assert broken_claims("formats.nix", arguments=choice, more=more) == {}


def build(attrs: str, *, function: str = "buildPythonPackage", python: str = "") -> str:
    """Evaluate a package's derivation, on the set's interpreter as ``python`` changes it."""
    return str(
        evaluate(
            f"""let
              pkgs = {packages()};
              # A warning is as good as an error here.
              lib = pkgs.lib // {{ warn = message: _: throw message; }};
              set = pkgs.python3.pkgs;
              wheel = tags: builtins.toFile "demo-1.0-${{tags}}.whl" "";
              tag = "cp" + lib.replaceStrings [ "." ] [ "" ] set.python.pythonVersion;
              arch = pkgs.stdenv.hostPlatform.uname.processor;
              changed = set.python // (let inherit (set.python) stdenv; in {{ {python} }});
              build = import (root + /nix/build-python-package.nix) {{
                inherit lib;
                inherit (pkgs) buildManylinuxWheel manylinuxFixupHook manylinuxInstallHook;
                inherit (pkgs) pythonManylinuxPackages;
                python = changed;
              }} ({packages(overlay=False)}).python3.pkgs.{function};
            in (build ({{ pname = "demo"; version = "1.0"; }} // {attrs})).drvPath"""
        )
    )


MUSL = """stdenv = stdenv // {
  hostPlatform = stdenv.hostPlatform // { libc = "musl"; };
  cc = stdenv.cc // { libc.version = "1.2.5"; };
};"""
OLD = 'stdenv = stdenv // { cc = stdenv.cc // { libc.version = "2.17"; }; };'
THREADED = 'pythonVersion = "3.13"; executable = "python3.13t";'

REFUSED = {
    "another Python": (
        '{ format = "manylinux1"; src = wheel "cp27-cp27mu-manylinux1_${arch}"; }',
        "",
        r"-cp27-\S+\.whl can't be installed: it is for cp27-cp27mu, and this is CPython 3\.\d",
    ),
    "another machine": (
        '{ format = "manylinux1"; src = wheel "py3-none-manylinux1_s390x"; }',
        "",
        r"it is built for s390x, and this platform is",
    ),
    "a newer glibc": (
        '{ format = "manylinux_2_28"; src = wheel "${tag}-${tag}-manylinux_2_28_${arch}"; }',
        OLD,
        r"of this format can be installed: it needs glibc 2\.28 or newer, .*platform has 2\.17",
    ),
    "a wheel newer than its format": (
        '{ format = "manylinux2014"; src = wheel "${tag}-${tag}-manylinux_2_28_${arch}"; }',
        "",
        # No word of what would fit: that one would.
        r'glibc 2\.28, newer than the format allows\.\s+Write `format = "manylinux_2_28";',
    ),
    "a policy that nobody has": (
        '{ format = "manylinux_2_99"; src = wheel "py3-none-any"; }',
        "",
        r"it needs glibc 2\.99 or newer",
    ),
    "a policy that nobody has, without a src": (
        '{ format = "manylinux_2_99"; }',
        "",
        r"it needs glibc 2\.99 or newer",
    ),
    "musl on glibc": (
        '{ format = "musllinux_1_2"; src = wheel "py3-none-musllinux_1_2_${arch}"; }',
        "",
        r"built for musl \(musllinux_1_2_\w+\), and this platform's libc is glibc",
    ),
    "glibc on musl": (
        '{ format = "manylinux2014"; src = wheel "py3-none-manylinux2014_${arch}"; }',
        MUSL,
        r"built for glibc \(manylinux_2_17_\w+\), and this platform's libc is musl",
    ),
    "a GIL build on a free-threaded one": (
        '{ format = "manylinux2014"; src = wheel "cp313-cp313-manylinux2014_${arch}"; }',
        THREADED,
        r"it is for builds with a GIL \(cp313-cp313\), and this is CPython 3\.13t",
    ),
    "another version": (
        '{ version = "9.9.9"; format = "manylinux1"; src = wheel "py3-none-manylinux1_${arch}"; }',
        "",
        (
            r'version = "9\.9\.9", and the wheel is of 1\.0: demo-1\.0-py3-\S+\.whl\.\s+Write'
            r' `version = "1\.0";`, or take the wheel of 9\.9\.9: `nix-manylinux expr demo==9'
        ),
    ),
    "another version of a patched wheel": (
        (
            '{ version = "9.9.9"; format = "wheel"; src = { name = "demo-1.0-py3-none-any.whl";'
            ' outPath = wheel "py3-none-any"; isManylinuxPatched = true; }; }'
        ),
        "",
        r'version = "9\.9\.9", and the wheel is of 1\.0',
    ),
    "another version of a wheel that the hook by hand links": (
        (
            '{ version = "9.9.9"; format = "wheel"; src = wheel "py3-none-any";'
            " nativeBuildInputs = [ pkgs.manylinuxFixupHook ]; }"
        ),
        "",
        r'version = "9\.9\.9", and the wheel is of 1\.0',
    ),
    "a misspelt name beside a format": (
        '{ format = "manylinux2014"; manylinuxExcludes = [ ]; src = wheel "py3-none-any"; }',
        "",
        r"no hook reads manylinuxExcludes: is manylinuxExclude meant\?",
    ),
    "a misspelt name beside the hook by hand": (
        (
            '{ format = "wheel"; manylinuxExcludes = [ ]; src = wheel "py3-none-any";'
            " nativeBuildInputs = [ null pkgs.manylinuxFixupHook ]; }"
        ),
        "",
        r"no hook reads manylinuxExcludes: is manylinuxExclude meant\?",
    ),
    "a format beside pyproject": (
        '{ pyproject = true; format = "manylinux2014"; src = wheel "py3-none-any"; }',
        "",
        r'format = "manylinux2014" and `pyproject` exclude each other',
    ),
    "a format beside dontFixup": (
        '{ format = "manylinux2014"; dontFixup = true; src = wheel "py3-none-any"; }',
        "",
        r"nothing would be linked\.\s+Drop dontFixup; or, .*dontManylinuxFixup = true;",
    ),
    "a source archive": (
        '{ format = "manylinux2014"; src = builtins.toFile "demo-1.0.tar.gz" ""; }',
        "",
        r"src is demo-1\.0\.tar\.gz, and that is no wheel.*fetchPypi",
    ),
    "a misspelt format": (
        '{ format = "manylinux2020"; src = wheel "py3-none-any"; }',
        "",
        r'format = "manylinux2020" is misspelt\.\s+The formats are "manylinux1"',
    ),
    "a format with an architecture": (
        '{ format = "manylinux_2_17_x86_64"; src = wheel "py3-none-any"; }',
        "",
        r'format = "manylinux_2_17_x86_64" is misspelt',
    ),
}


@pytest.mark.parametrize("function", ["buildPythonPackage", "buildPythonApplication"])
@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel that can't be installed is refused while evaluating: which, why, what would fit."""
    # meta.platforms are the wheel's own: nixpkgs would speak first.
    monkeypatch.setenv("NIXPKGS_ALLOW_UNSUPPORTED_SYSTEM", "1")
    attrs, python, message = REFUSED[case]
    with pytest.raises(NixFailed, match=rf"(?s)nix-manylinux: demo.*{message}"):
        build(attrs, function=function, python=python)


#: A format, and the tags of a wheel.
ACCEPTED = {
    "its own ABI": ("manylinux2014", "${tag}-${tag}-manylinux2014_${arch}"),
    "an older policy": ("manylinux_2_28", "${tag}-${tag}-manylinux1_${arch}"),
    "the stable ABI": ("manylinux2014", "cp37-abi3-manylinux2014_${arch}"),
    "no ABI": ("manylinux_2_28", "py2.py3-none-manylinux_2_28_${arch}"),
    "pure Python": ("manylinux2014", "py3-none-any"),
    "a tag of several": ("manylinux2014", "py3-none-manylinux2014_${arch}.manylinux_2_99_${arch}"),
    "a name that nobody can read": ("manylinux2014", "odd"),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_acceptance(case: str) -> None:
    """A wheel that an installer would take evaluates; what can't be read is left to the build."""
    wanted, tags = ACCEPTED[case]
    assert build(f'{{ format = "{wanted}"; src = wheel "{tags}"; }}').endswith(".drv")


def test_a_musl_wheel_on_musl() -> None:
    """A musllinux format evaluates on a musl platform."""
    attrs = '{ format = "musllinux_1_2"; src = wheel "py3-none-musllinux_1_2_${arch}"; }'
    assert build(attrs, python=MUSL).endswith(".drv")


def test_cross() -> None:
    """A package for aarch64, built elsewhere, takes an aarch64 wheel and no other."""
    cross = packages(number="one", more='crossTo = "aarch64";')
    call = f"""file: let pkgs = {cross}; in pkgs.python3.pkgs.buildPythonPackage {{
      pname = "demo"; version = "1.0"; format = "manylinux2014";
      src = pkgs.fetchPypi ({{
        hash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=";
      }} // file);
    }}"""
    guess = '{ pname = "demo"; version = "1.0"; format = "manylinux2014"; python = "py3"; }'
    found = evaluate(f"let p = ({call}) {guess}; in [ p.src.name p.drvPath ]")
    assert found[0].endswith("_aarch64.whl")
    with pytest.raises(NixFailed, match="it is built for x86_64, and this platform is aarch64"):
        evaluate(f'(({call}) {{ file = "demo-1.0-py3-none-manylinux1_x86_64.whl"; }}).drvPath')


def test_binary_packages_can_be_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The format marks its result as binary native code, so a nixpkgs that forbids that refuses."""
    found = evaluate(
        f"""(({packages()}).python3.pkgs.buildPythonPackage {{
          pname = "demo"; version = "1.0"; format = "manylinux2014";
          src = builtins.toFile "demo-1.0-py3-none-any.whl" "";
        }}).meta.sourceProvenance"""
    )
    assert [kind["shortName"] for kind in found] == ["binaryNativeCode"]
    if ring() == "two":
        monkeypatch.setenv("NIXPKGS_ALLOW_NONSOURCE", "0")
        with pytest.raises(NixFailed, match=r"(?i)not built from source"):
            build('{ format = "manylinux2014"; src = wheel "py3-none-any"; }')


def test_other_packages_keep_their_hash() -> None:
    """Every package of the Python set is the same derivation with the overlay and without."""

    def python_set(*, overlay: bool) -> str:
        return f"({packages(overlay=overlay)}).python3.pkgs"

    def plain(name: str) -> str | None:
        """One process each: what this set can't build ends its evaluation."""
        try:
            return evaluate(  # type: ignore[no-any-return]
                f"""let value = {python_set(overlay=False)}.${{{nix_string(name)}}}; in
                if value.type or null == "derivation" then value.drvPath else null"""
            )
        except NixFailed:
            return None

    names = evaluate(f"builtins.attrNames {python_set(overlay=False)}")
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(names, pool.map(plain, names), strict=True))
    expected = {name: drv_path for name, drv_path in found.items() if drv_path is not None}
    assert len(expected) > (150 if ring() == "two" else 3)
    with_overlay = evaluate(
        f"{{ names }}: map (name: {python_set(overlay=True)}.${{name}}.drvPath) names",
        names=list(expected),
    )
    assert dict(zip(expected, with_overlay, strict=True)) == expected


def test_the_tool_can_be_built_from_its_expression() -> None:
    """nix/package.nix evaluates in the set, as a module there and as an application at the top."""
    found = evaluate(
        f"""let pkgs = {packages()}; in [
          pkgs.python3.pkgs.nix-manylinux.name pkgs.nix-manylinux.drvPath
          (pkgs.lib.getExe pkgs.nix-manylinux)
        ]"""
    )
    assert found[0].endswith("nix-manylinux-0.1.0")
    assert found[2].endswith("/bin/nix-manylinux")


@pytest.mark.parametrize("linked", [True, False])
def test_its_source_is_what_the_build_reads(linked: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """What the build doesn't read is no part of it; a checkout may be reached by a link."""
    root = tmp_path / "checkout"
    root.symlink_to(ROOT)
    place = nix_path(root if linked else ROOT)
    source = f"let root = {place}; in ({packages()}).python3.pkgs.nix-manylinux.src"
    path = run_nix("nix-build", "--no-out-link", "-E", source).strip()
    names = set(os.listdir(path))
    assert {"LICENSE", "README.md", "pyproject.toml", "src"} <= names
    assert not names & {"tests", "nix", "docs", "examples", "flake.nix", ".git", ".venv"}
    assert not list(Path(path).rglob("__pycache__"))

"""nix/lib: its own tests, and every fact in it held against packaging, which pip uses."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

import pytest
from packaging import tags as reference
from packaging.utils import parse_wheel_filename
from packaging.version import Version
from tests.support.nix import ROOT, NixFailed, evaluate, run_nix

from nix_manylinux.target.policy import load_policies

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.nix

LIB = "import (root + /nix/lib)"
TESTS = "import (root + /tests/nix/lib-tests.nix)"


def test_lib_tests() -> None:
    """Every test of lib-tests.nix gives what it expects."""
    failed = evaluate(
        f"""let
          tests = {TESTS};
          failures = group: map (name: {{
            name = "${{group}}.${{name}}"; inherit (tests.${{group}}.${{name}}) expr expected;
          }}) (builtins.filter
            (name: tests.${{group}}.${{name}}.expr != tests.${{group}}.${{name}}.expected)
            (builtins.attrNames tests.${{group}}));
        in builtins.concatMap failures (builtins.attrNames tests)"""
    )
    assert failed == []


def test_every_export_is_tested() -> None:
    """Each export of nix/lib has a group of tests, each group an export and at least one test."""
    names = evaluate(
        f"""{{
          exports = builtins.attrNames ({LIB});
          tests = builtins.mapAttrs (_: builtins.attrNames) ({TESTS});
        }}"""
    )
    assert sorted(names["tests"]) == names["exports"]
    assert all(
        tests and all(t.startswith("test") for t in tests) for tests in names["tests"].values()
    )


NIX_FILES = sorted(
    [*ROOT.glob("*.nix")]
    + [
        file
        for top in ("nix", "tests", "examples", "templates")
        for file in (ROOT / top).rglob("*.nix")
    ]
)


@pytest.mark.parametrize("file", NIX_FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_file_parses(file: Path) -> None:
    """No .nix file of the project has a syntax error or an undefined variable."""
    assert run_nix("nix-instantiate", "--parse", str(file))


INTERPRETERS = [
    {"pythonVersion": "3.6", "arch": "x86_64", "libcVersion": "2.36"},
    {"pythonVersion": "3.8", "arch": "i686", "libcVersion": "2.12"},
    {"pythonVersion": "3.11.5", "arch": "x86_64", "libcVersion": "2.40-66"},
    {"pythonVersion": "3.13", "arch": "aarch64", "libcVersion": "2.39", "freeThreaded": True},
    {"pythonVersion": "3.15", "arch": "armv8l", "libcVersion": "2.42"},
    {"pythonVersion": "3.12", "arch": "ppc64le", "libc": "musl", "libcVersion": "1.2.5"},
]


def expected_tags(interpreter: dict[str, Any], platforms: list[str]) -> list[str]:
    """List what packaging lists for such a CPython on these platforms, in its order."""
    major, minor = (int(part) for part in interpreter["pythonVersion"].split(".")[:2])
    threaded = "t" if interpreter.get("freeThreaded") else ""
    pymalloc = "m" if (major, minor) < (3, 8) else ""
    found = [
        *reference.cpython_tags(
            (major, minor), [f"cp{major}{minor}{threaded}{pymalloc}"], platforms
        ),
        *reference.compatible_tags((major, minor), f"cp{major}{minor}", platforms),
    ]
    return [str(tag) for tag in found]


@pytest.mark.parametrize("interpreter", INTERPRETERS, ids=lambda i: i["pythonVersion"])
def test_supported_tags(interpreter: dict[str, Any]) -> None:
    """The tags of an interpreter are those of packaging, in the same order."""
    found = evaluate(
        f"""args: let i = ({LIB}).interpreter args; in
        {{ inherit (i) platforms; tags = ({LIB}).supportedTags i; }}""",
        **interpreter,
    )
    assert found["tags"] == expected_tags(interpreter, found["platforms"])


@pytest.mark.parametrize("interpreter", INTERPRETERS, ids=lambda i: i["arch"])
def test_platform_tags(interpreter: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The platforms of a machine are those of packaging, in the same order."""
    from packaging import _manylinux, _musllinux

    glibc_version = _manylinux._GLibCVersion  # noqa: SLF001 -- nothing public sets the machine
    musl_version = _musllinux._MuslVersion  # noqa: SLF001 -- likewise
    linux_platforms = reference._linux_platforms  # noqa: SLF001 -- likewise
    version = [int(part) for part in interpreter["libcVersion"].split("-")[0].split(".")]
    musl = interpreter.get("libc") == "musl"
    arch = interpreter["arch"]
    glibc = glibc_version(-1, -1) if musl else glibc_version(*version[:2])
    monkeypatch.setattr(_manylinux, "_get_glibc_version", lambda: glibc)
    monkeypatch.setattr(_manylinux, "_have_compatible_abi", lambda *_: not musl)
    monkeypatch.setattr(
        _musllinux,
        "_get_musl_version",
        lambda _: musl_version(*version[:2]) if musl else None,
    )
    # is_32bit turns the kernel's aarch64 into armv8l.
    kernel = {"i686": "x86_64", "armv8l": "aarch64"}.get(arch, arch)
    monkeypatch.setattr("sysconfig.get_platform", lambda: f"linux-{kernel}")
    expected = list(linux_platforms(is_32bit=kernel != arch))
    found = evaluate(f"args: (({LIB}).interpreter args).platforms", **interpreter)
    assert found == expected


def test_versions_compare_as_packaging_compares_them() -> None:
    """A few hundred versions sort as packaging.version sorts them."""
    rng = random.Random(3)  # noqa: S311 -- not for secrets
    choose = rng.choice
    versions = [
        choose(["", "", "1!"])
        + choose(["0", "1", "1.0", "1.10", "1.9", "2.0.0", "2024.1.15"])
        + choose(["", "", "a1", "b2", "rc10", "rc9", "-alpha.3"])
        + choose(["", "", ".post1", "-2", ".post10"])
        + choose(["", "", ".dev3", ".dev12"])
        + choose(["", "", "+cpu", "+cu118", "+1.abc", "+1.2", "+10"])
        for _ in range(300)
    ]
    pairs = list(itertools.pairwise(versions))
    found = evaluate(
        f"""{{ pairs }}: let at = builtins.elemAt; in
        map (pair: ({LIB}).compareVersions (at pair 0) (at pair 1)) pairs""",
        pairs=pairs,
    )
    expected = [(Version(a) > Version(b)) - (Version(a) < Version(b)) for a, b in pairs]
    assert found == expected


def pip_choice(files: list[str], order: dict[str, int]) -> str | None:
    """Pick as pip's CandidateEvaluator does: by version, then tag, then build, first come."""
    parsed = []
    for file in files:
        _, version, build, tags = parse_wheel_filename(file)
        ranks = [order[str(tag)] for tag in tags if str(tag) in order]
        if ranks:
            parsed.append(((version, -min(ranks), build), file, version.is_prerelease))
    final = [item for item in parsed if not item[2]] or parsed
    return max(final, key=lambda item: item[0])[1] if final else None


@pytest.mark.parametrize("interpreter", INTERPRETERS, ids=lambda i: i["pythonVersion"])
def test_selects_what_pip_selects(interpreter: dict[str, Any]) -> None:
    """Out of random lists of real-looking names, selectWheel takes the one that pip would."""
    rng = random.Random(interpreter["pythonVersion"])  # noqa: S311 -- not for secrets
    choose = rng.choice
    pythons = ["cp36-cp36m", "cp38-cp38", "cp311-cp311", "cp312-cp312", "cp313-cp313t", "cp37-abi3"]
    pythons += [
        "cp39-abi3",
        "cp310-abi3t",
        "py3-none",
        "py2.py3-none",
        "cp311-none",
        "pp310-pypy310_pp73",
    ]
    arch = interpreter["arch"]
    platforms = [
        f"manylinux1_{arch}",
        f"manylinux_2_17_{arch}.manylinux2014_{arch}",
        "any",
        f"linux_{arch}",
    ]
    platforms += [
        f"manylinux_2_28_{arch}",
        f"musllinux_1_1_{arch}",
        f"musllinux_1_2_{arch}",
        "win_amd64",
    ]
    platforms += [f"manylinux_2_5_{arch}.manylinux_2_38_{arch}", "manylinux2014_s390x"]
    versions = ["1.9", "1.10", "1.10", "2.0rc1"]
    builds = ["", "", "-2", "-10", "-2b"]
    lists = [
        [
            f"demo-{choose(versions)}{choose(builds)}-{choose(pythons)}-{choose(platforms)}.whl"
            for _ in range(rng.randint(1, 12))
        ]
        for _ in range(200)
    ]
    found = evaluate(
        f"""{{ interpreter, lists }}: let l = {LIB}; python = l.interpreter interpreter; in
        {{
          inherit (python) platforms;
          chosen = map (files: l.selectWheel {{ inherit python files; }}) lists;
        }}""",
        interpreter=interpreter,
        lists=lists,
    )
    order = {
        tag: i
        for i, tag in reversed(list(enumerate(expected_tags(interpreter, found["platforms"]))))
    }
    expected = [pip_choice(files, order) for files in lists]
    assert found["chosen"] == expected
    assert len(set(expected)) > 5


def test_the_policies_are_those_of_the_command() -> None:
    """Nix and Python read the same policies: names and sonames are equal."""
    found = evaluate(f"map (p: {{ inherit (p) name sonames; }}) ({LIB}).policies")
    python = {policy.name: sorted(policy.sonames) for policy in load_policies().policies}
    assert {policy["name"]: sorted(policy["sonames"]) for policy in found} == python


def test_the_error_names_what_is_wrong() -> None:
    """A guess without a Python version ends in a sentence that says what to write."""
    with pytest.raises(NixFailed, match=r"pythonVersion = python\.version"):
        evaluate(
            f"map (c: c.file) (({LIB}).wheelCandidates "
            '{ pname = "demo"; version = "1"; format = "manylinux2014"; arch = "x86_64"; })'
        )


def odd_names() -> list[str]:
    """Make names that nobody means: cut, doubled and mixed parts of real ones, and noise."""
    rng = random.Random(11)  # noqa: S311 -- not for secrets
    parts = ["numpy", "1.26.4", "cp311", "abi3", "manylinux_2_17_x86_64", "manylinux1_aarch64"]
    parts += ["manylinux_2_31_riscv64", "musllinux_1_2_ppc64le", "musllinux_1_1_armv6l", "1a", ""]
    parts += [
        "manylinux_99999999999999999999_1_x86_64",
        "py2.py3",
        "..",
        "é",
        "+",
        "!",
        "%2B",
        "[",
        "$",
    ]
    parts += ["linux_", "manylinux_2_", "_", "\\", "*", "0" * 40, "9" * 40, "win_amd64", "?", "#"]
    names = [
        "-".join(rng.choices(parts, k=rng.randint(0, 8))) + rng.choice([".whl", ".whl", "", ".WHL"])
        for _ in range(1500)
    ]
    return [*names, "/".join(names[:40]), "1." * 5000 + "-1-py3-none-any.whl", "a" * 100_000]


def test_no_name_makes_it_throw() -> None:
    """Whatever a list of files holds, each function answers, and a good name is still found."""
    names = odd_names()
    found = evaluate(
        f"""{{ interpreter, names }}: let l = {LIB}; python = l.interpreter interpreter; in {{
          each = map (file: [
            (l.parseWheelName file) (l.fileName file) (l.manylinuxFloor file)
            (l.parseFormat file) (l.isMisspeltFormat file) (l.parsePlatformTag file)
            (l.wheelFits {{ inherit python file; }}) (l.whyUnfit {{ inherit python file; }})
            (l.compareVersions file "1.0") (l.isPrerelease file)
            (l.versionAgrees file "1.0") (l.versionAgrees "1.0" file)
            (l.normalizeName file) (l.distributionNames file)
          ]) names;
          chosen = l.selectWheel {{
            inherit python; files = names ++ [ "z-9999-py3-none-any.whl" ];
          }};
          described = l.describeFiles {{ inherit python; files = names; }};
        }}""",
        interpreter=INTERPRETERS[2],
        names=names,
    )
    assert len(found["each"]) == len(names)
    assert found["chosen"] == "z-9999-py3-none-any.whl"


def test_pypy_tags() -> None:
    """The tags of PyPy are those of packaging, in the same order."""
    interpreter = {
        "pythonVersion": "3.10",
        "arch": "x86_64",
        "libcVersion": "2.40",
        "implementation": "pypy",
        "abis": ["pypy310_pp73"],
    }
    found = evaluate(
        f"""args: let i = ({LIB}).interpreter args; in
        {{ inherit (i) platforms; tags = ({LIB}).supportedTags i; }}""",
        **interpreter,
    )
    expected = [
        *reference.generic_tags("pp310", ["pypy310_pp73"], found["platforms"]),
        *reference.compatible_tags((3, 10), "pp3", found["platforms"]),
    ]
    assert found["tags"] == [str(tag) for tag in expected]


@pytest.mark.parametrize(
    "file",
    [
        "demo-1-2-py3-none-any.whl",
        "Demo.Pkg-1!2.0+cpu-py2.py3-none-any.whl",
        "demo-1.0-cp311-abi3.abi3t-manylinux_2_28_x86_64-cu128.whl",
        "demo-1.0-3-py3-none-any-x86_64_v3.whl",
    ],
)
def test_the_command_reads_the_same_names(file: str) -> None:
    """Nix and the command take a name apart alike."""
    from nix_manylinux.wheel.name import parse_wheel_name

    found = evaluate(f'({LIB}).parseWheelName "{file}"')
    python = parse_wheel_name(file)
    assert (found["distribution"], found["version"]) == (python.name, python.version)
    assert found.get("variant", "") == python.variant
    tags = itertools.product(found["pythons"], found["abis"], found["platforms"])
    assert sorted("-".join(tag) for tag in tags) == sorted(python.tags)

"""pythonManylinuxPackages: the lists, and the proofs that each library is where they say."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.support.nix import ROOT, NixFailed, evaluate, nix_path, run_nix
from tests.support.sets import STAND_INS, broken_claims, expression, packages

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.nix

DATA = ROOT / "src/nix_manylinux/data"


def test_claims() -> None:
    """Every claim of policies.nix holds."""
    assert broken_claims("policies.nix") == {}


def test_every_soname_has_a_package() -> None:
    """Each soname of each policy is mapped to a package, or is the libc's own."""
    table = json.loads((DATA / "policy-packages.json").read_text())
    policies = json.loads((DATA / "manylinux-policies.json").read_text())["policies"]
    libc = {*json.loads((DATA / "libraries.json").read_text())["glibc"], "libc.so"}
    sonames = {s for policy in policies.values() for s in policy["sonames"]}
    sonames |= {s for extra in table["extra"].values() for s in extra}
    assert sonames - libc - set(table["packages"]) == set()
    assert set(table["packages"]) <= sonames


def test_the_packages_are_those_of_the_soname_table() -> None:
    """Where real packages can't be built, the mapping is nixpkgs' own by the table of its files."""
    table = json.loads((DATA / "policy-packages.json").read_text())["packages"]
    with gzip.open(DATA / "nixpkgs-sonames.tsv.gz", "rt", encoding="utf-8") as rows:
        known = {row.split("\t")[0]: row.split("\t")[1:3] for row in rows}
    for soname, attrs in table.items():
        attr, output = known[soname]
        assert attr == attrs[0], soname
        # lib.getLib takes `lib`, else `out`.
        assert output in {"out", "lib"}, soname


@pytest.mark.parametrize(
    "policy", ["manylinux_2_5", "manylinux_2_17", "manylinux_2_41", "musllinux_1_2"]
)
def test_proofs(policy: str) -> None:
    """The proof of a list builds: each soname is in its package, a real one where there is one."""
    extra = ""
    if policy.startswith("musl"):
        # The libc of this platform is another one: a stand-in for musl's file.
        extra = """(final: prev: { stdenv = prev.stdenv // { cc = prev.stdenv.cc // {
          libc = final.runCommand "musl" { } "mkdir -p $out/lib; printf '?ELF' > $out/lib/libc.so";
        }; }; })"""
    packages_of = expression(f"({packages(extra=f'{STAND_INS} {extra}')})")
    out = run_nix(
        "nix-build", "--no-out-link", "-E", f"{packages_of}.pythonManylinuxPackages.{policy}Package"
    ).strip()
    table = json.loads((DATA / "policy-packages.json").read_text())
    policies = json.loads((DATA / "manylinux-policies.json").read_text())["policies"]
    expected = {*policies[policy]["sonames"], *table["extra"].get(policy, [])}
    links = set(run_nix("nix-store", "--query", "--references", out).split())
    assert links
    if os.uname().machine not in {"x86_64", "aarch64"}:
        expected -= {"libmvec.so.1"}
    assert set(os.listdir(f"{out}/lib")) == expected


def test_a_proof_that_fails() -> None:
    """A package that has lost its library fails the proof, which names file and package.

    In ring one: nothing replaces the host's own libraries in the other.
    """
    broken = """(final: prev: { libsm = final.runCommand "libsm" { } "mkdir -p $out/lib"; })"""
    packages_of = expression(f"({packages(extra=f'{STAND_INS} {broken}', number='one')})")
    with pytest.raises(
        NixFailed, match=r"(?s)not where data/policy-packages\.json has them:.*libSM\.so\.6"
    ):
        run_nix(
            "nix-build",
            "--no-out-link",
            "-E",
            f"{packages_of}.pythonManylinuxPackages.manylinux_2_28Package",
        )


def test_a_package_that_is_nowhere() -> None:
    """A nixpkgs without a package says which soname it was for, and how to name another."""
    with pytest.raises(
        NixFailed, match=r"(?s)no package for libSM\.so\.6: looked for libsm, xorg\.libSM"
    ):
        evaluate(
            f"""map toString (import (root + /nix/policies.nix) rec {{
              inherit (pkgs) lib;
              pkgs = removeAttrs ({packages()}) [ "libsm" "xorg" ];
            }}).manylinux_2_28"""
        )


def test_a_copy_of_the_data_is_enough(tmp_path: Path) -> None:
    """The expressions evaluate with nothing of the command beside them, as in a nixpkgs."""
    place = tmp_path / "nix"
    shutil.copytree(ROOT / "nix/lib", place / "lib")
    for name in ("data", "policies", "library"):
        shutil.copy(ROOT / f"nix/{name}.nix", place)
    text = (place / "data.nix").read_text()
    (place / "data.nix").write_text(text.replace("../src/nix_manylinux/data", "./data"))
    (place / "data").mkdir()
    files = evaluate("(import (root + /nix/data.nix)).files")
    for name in files:
        shutil.copy(ROOT / "src/nix_manylinux/data" / name, place / "data")
    found = evaluate(
        f"""let
          pkgs = {packages()};
          lists = place: let own = import place {{ inherit (pkgs) lib; inherit pkgs; }}; in
            map (each: each.drvPath) (own.manylinux_2_28 ++ own.common);
        in [ (lists (root + /nix/policies.nix)) (lists {nix_path(place / "policies.nix")}) ]"""
    )
    assert found[0] == found[1] != []
    said = (ROOT / "docs/nix-in-nixpkgs.md").read_text()
    assert len(files) == 5
    assert "reads five files" in said

"""What else a release has wheels for is told, with the command that takes all of it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.cli.main import main
from nix_manylinux.nix.expression.offered import Offer, offered_places
from nix_manylinux.nix.origin import DEFAULT_INDEX, Origin
from nix_manylinux.wheel.name import parse_wheel_name

if TYPE_CHECKING:
    from pathlib import Path

RELEASE = parse_wheel_name("Demo_It-1.0+x-cp312-cp312-manylinux_2_28_x86_64.whl")


def log(*tags: str, version: str = "1.0%2Bx") -> str:
    """Write what pip says of files that it found or passed by."""
    return "".join(
        f"Skipping link: not fit: https://a.b/c/demo_it-{version}-{tag}.whl#sha256=1 (from c)\n"
        for tag in tags
    )


@pytest.mark.parametrize(
    ("logs", "offer"),
    [
        (
            [
                log("cp39-cp39-manylinux_2_28_x86_64", "cp311-cp311-manylinux_2_28_x86_64"),
                log("cp312-cp312-manylinux2014_x86_64", "cp313-cp313-manylinux_2_28_x86_64"),
                log("cp312-cp312-manylinux_2_28_aarch64", "cp311-cp311-manylinux_2_28_aarch64"),
                # Another system, libc, build, release, Python: each would be another package.
                log("cp311-cp311-manylinux_2_28_ppc64le", "cp314-cp314t-manylinux_2_28_x86_64"),
                log("cp312-cp312-win_amd64", "cp312-cp312-musllinux_1_2_riscv64"),
                log("cp312-cp312-manylinux_2_31_riscv64", version="1.0"),
                log("pp311-pypy311_pp73-manylinux_2_28_x86_64"),
            ],
            Offer(("3.11", "3.12"), ("aarch64-linux", "x86_64-linux")),
        ),
        (
            [log("cp39-abi3-manylinux_2_28_aarch64", "py3-none-manylinux2014_x86_64")],
            Offer((), ("aarch64-linux", "x86_64-linux")),
        ),
        (
            [log("cp312-none-manylinux_2_28_x86_64", "cp313-none-manylinux_2_28_x86_64")],
            Offer(("3.12", "3.13"), ("x86_64-linux",)),
        ),
        ([log("py3-none-any")], Offer((), ())),
        ([log("cp313-cp313-manylinux_2_28_x86_64")], Offer((), ())),
        ([], Offer((), ())),
    ],
)
def test_offer(logs: list[str], offer: Offer) -> None:
    """Each of the Pythons is had on each of the systems: one that is not stops the whole."""
    assert offered_places(logs, [RELEASE], "3.12", ("3.11", "3.15")) == offer


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            [],
            (
                "it has wheels for Python 3.13 and 3.14, on aarch64-linux and x86_64-linux; for all"
                " of them:\n  nix-manylinux expr --for-nixpkgs demo==1.0 --python-version 3.13"
                " --python-version 3.14 --system aarch64-linux --system x86_64-linux\n"
            ),
        ),
        (
            ["--python-version", "3.13", "--runtime-libs", "libz.so.1"],
            (
                "it has wheels for aarch64-linux and x86_64-linux; for all of them:\n "
                " nix-manylinux expr --for-nixpkgs demo==1.0 --python-version 3.13 --system"
                " aarch64-linux --system x86_64-linux --runtime-libs libz.so.1\n"
            ),
        ),
        (
            ["--python-version", "3.13", "--system", "x86_64-linux", "--cuda", "13"],
            (
                "for the next release, hashes and all:\n  nix-manylinux expr --for-nixpkgs demo"
                " --python-version 3.13 --system x86_64-linux --cuda 13\n"
            ),
        ),
    ],
)
def test_told(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Who has named neither is given the command, for what nixpkgs builds; what was named stays."""
    files = {"demo/__init__.py": b"", "demo/fast.so": tiny_library("fast.so")}
    tag = "cp313-cp313-manylinux_2_28_x86_64"
    made = MadeWheel(name="demo", version="1.0", tag=tag, files=files).write(tmp_path)
    tags = [f"cp3{minor}-cp3{minor}-manylinux_2_28_{cpu}" for minor in (12, 13, 14) for cpu
            in ("x86_64", "aarch64", "i686")]  # fmt: skip

    def fetched(_: object, *, into: str, **__: object) -> list[dict[str, Origin]]:
        with open(f"{into}/x86_64-linux-3.13.log", "w", encoding="utf-8") as file:
            file.write(log(*tags, version="1.0").replace("demo_it", "demo"))
        return [{shutil.copy(made, into): DEFAULT_INDEX}]

    monkeypatch.setattr("nix_manylinux.nix.expression.download.download_wheels", fetched)
    assert main(["expr", "--for-nixpkgs", "demo", *words]) == 0
    said = capsys.readouterr().err
    assert told in said
    assert ("it has wheels" in said) == told.startswith("it has")

"""What inspect says of tags, policies and versions, in words."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest
from tests.support.wheels import MadeWheel, tiny_library
from tests.support.world import elf, plan, tree

from nix_manylinux.base.values import replace
from nix_manylinux.cli.main import main
from nix_manylinux.data import data_path
from nix_manylinux.nix.adviser import Adviser
from nix_manylinux.report.inspection import (
    Inspection,
    highest_versions,
    inspection_json,
    inspection_text,
    loadable,
    runs_on,
)
from nix_manylinux.report.summary import report_json
from nix_manylinux.report.symbols import SymbolTables
from nix_manylinux.report.verdict import verdict
from nix_manylinux.resolve.loads import RuntimeLoad, RuntimeLoads
from nix_manylinux.resolve.plan import Report
from nix_manylinux.resolve.python_loads import CFFI, CTYPES


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("cp311-cp311-manylinux_2_17_x86_64", "CPython 3.11; glibc 2.17 or newer on x86_64"),
        ("cp37-abi3-manylinux1_i686", "CPython 3.7 or newer; glibc 2.5 or newer on i686"),
        (
            "cp313-cp313t-musllinux_1_2_aarch64",
            "CPython 3.13, free-threaded; musl 1.2 or newer on aarch64",
        ),
        ("py3-none-any", "Python 3; any platform"),
        ("py37-none-any", "Python 3.7 or newer; any platform"),
        (
            "cp310.cp311.py310.py311.py39-none-manylinux_2_34_x86_64",
            "CPython 3.10, CPython 3.11, Python 3.9 or newer; glibc 2.34 or newer on x86_64",
        ),
        (
            "py2.py3-none-manylinux_2_28_x86_64",
            "Python 2, Python 3; glibc 2.28 or newer on x86_64",
        ),
    ],
)
def test_tags_in_words(tag: str, words: str) -> None:
    """A tag is told as the interpreters, the libc and the architecture that it means."""
    assert runs_on([tag]) == words


ADVISER = Adviser()


def seen() -> Inspection:
    """Inspect a made-up wheel with one of everything."""
    files = {
        "a.so": elf("libz.so.1", "libnope.so.7", versions={"GLIBC_2.30": "libc.so.6"}),
        "b.so": elf("libz.so.1", versions={"GLIBC_2.4": "libc.so.6", "GLIBC_PRIVATE": "libc.so.6"}),
    }
    facts = tree(files)
    tags = ("cp311-cp311-manylinux_2_17_x86_64",)
    load = RuntimeLoad(name="libGL.so.1", sources=(("a.so", "string"),))
    odd = RuntimeLoad(name="libzzyzx.so.3", sources=(("a.so", "string"),))
    return Inspection(
        facts=facts,
        tags=tags,
        plan=plan({}, facts=facts),
        verdict=verdict(facts, claimed=tags),
        loads=RuntimeLoads(loads=(load, odd)),
        symbols=SymbolTables(),
    )


def test_what_ctypes_opens_is_for_the_environment() -> None:
    """No search path of a file leads there: the program is started with the folders."""
    loads = (
        RuntimeLoad(name="libmagic.so", sources=(("magic/loader.py", CTYPES),)),
        RuntimeLoad(name="libX11.so", sources=(("a.so", "string"), ("b.so", "string"))),
        RuntimeLoad(name="libX11.so.6", sources=(("b.so", "string"),)),
        RuntimeLoad(name="libasound.so", sources=(("b.so", "string"),)),
        RuntimeLoad(name="libasound.so.2", sources=(("b.so", "string"),)),
        RuntimeLoad(name="libcairo.so.2", sources=(("cairocffi/__init__.py", CFFI),)),
        RuntimeLoad(name="libzbar.so", sources=(("pyzbar/zbar.py", CTYPES),)),
    )
    facts = tree({"_cffi_backend.abi3.so": elf()})
    found = replace(seen(), facts=facts, loads=RuntimeLoads(loads=loads))
    text = "\n".join(inspection_text(found, ADVISER, verbose=False))
    assert (
        "  loaded from Python, where no search path of the wheel counts: libmagic.so, libzbar.so; a"
        " program\n  is started with those that it needs:\n"
        "  LD_LIBRARY_PATH=\"$(nix-build '<nixpkgs>' --no-out-link -A file.out -A zbar.lib \\\n"
        "  | sed 's:$:/lib:' | paste -sd :)\" python ...\n"
        "  # What asks find_library wants ld and objdump on PATH, too (binutils)."
    ) in text
    # Of two names of one library that with a version, unless a file has only the other.
    sonames = ["libX11.so", "libX11.so.6", "libasound.so.2", "libcairo.so.2"]
    assert loadable(found, ADVISER) == sonames
    wheel = replace(found, facts=tree({}, floating="lib/python"))
    assert loadable(wheel, ADVISER) == sonames[:3]
    text = "\n".join(inspection_text(wheel, ADVISER, verbose=False))
    assert "LD_LIBRARY_PATH" not in text
    assert "write their paths into the source (substituteInPlace)" in text
    assert "cffi opens what lies on the path of its own package" in text


def test_versions_are_compared_as_numbers() -> None:
    """2.30 is newer than 2.4."""
    assert highest_versions(seen().facts) == ["GLIBC_2.30"]


def test_the_text_has_what_a_user_needs() -> None:
    """Policy, missing libraries with attributes, run-time loads, and what to paste."""
    advice = ["if you need them:", "# a comment"]
    text = "\n".join(inspection_text(seen(), ADVISER, verbose=False, loads_advice=advice))
    for part in (
        "demo 1",
        "claims manylinux_2_17_x86_64; satisfies no policy",
        "too new for it: GLIBC_2.30 of libc.so.6\n",
        "private to one version of the libc: GLIBC_PRIVATE of libc.so.6\n",
        "libz.so.1: zlib",
        "libnope.so.7",
        "  if you need them:\n  # a comment",
        "and 1 name that nixpkgs does not know",
    ):
        assert part in text
    assert "libzzyzx" not in text
    loud = "\n".join(inspection_text(seen(), ADVISER, verbose=True))
    assert "libzzyzx" in loud


def test_the_json_fits_the_schema() -> None:
    """The inspection is part of the report's schema."""
    found = seen()
    details = inspection_json(found, ADVISER)
    value = report_json("inspect", report=Report(plan=found.plan), inspection=details)
    jsonschema.validate(value, json.loads(Path(data_path("report.schema.json")).read_text()))
    assert details["suggestions"]["libz.so.1"]["attribute"] == "zlib"


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (
            ["cp311-cp311-manylinux_2_28_x86_64", "cp311-cp311-manylinux_2_27_x86_64"],
            "CPython 3.11; glibc 2.27 or newer on x86_64",
        ),
        (
            ["py3-none-manylinux_2_28_x86_64.musllinux_1_2_x86_64.musllinux_1_1_x86_64"],
            "Python 3; glibc 2.28 or newer on x86_64, musl 1.1 or newer on x86_64",
        ),
    ],
)
def test_the_lowest_libc_is_named(tags: list[str], words: str) -> None:
    """A wheel for several policies runs wherever the lowest of them is kept."""
    assert runs_on(tags) == words


def test_what_several_wheels_promise_is_not_added_up(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """No tag is told, nor is the stable ABI of one wheel held against the files of another."""
    site = tmp_path / "lib/python3.11/site-packages"
    for name, tag in (("one", "cp37-abi3-manylinux_2_17_x86_64"), ("two", "cp311-cp311-any")):
        folder = site / f"{name}-1.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
        (folder / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n")
    (site / "two.cpython-311-x86_64-linux-gnu.so").write_bytes(tiny_library("two.so"))
    assert main(["inspect", str(tmp_path), str(site)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "one 1, two 1\n  nothing is missing: it loads as it is, without a patch\n"
        "  1 ELF file: 0 to be patched, 1 right as it is\n\none 1, two 1\n"
    )
    assert not any(word in out for word in ("abi3", "runs on", "policy"))
    report = tmp_path / "report"
    assert main(["inspect", str(tmp_path), "--json", str(report)]) == 0
    assert json.loads(report.read_text())["inspection"]["runs_on"] == ""
    schema = json.loads(Path(data_path("report.schema.json")).read_text())
    jsonschema.validate(json.loads(report.read_text()), schema)
    assert main(["inspect", str(tmp_path), str(site), "--json", str(report)]) == 2


def test_what_is_linked_to_the_store_runs_nowhere_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing may be missing, and no policy allows it all the same; JSON says that, too."""
    tag = "py3-none-manylinux_2_28_x86_64"
    store = tmp_path / "store"
    monkeypatch.setenv("NIX_STORE", str(store))
    (store / "made").mkdir(parents=True)
    (store / "made/liby.so").write_bytes(tiny_library("liby.so"))
    for linked in (False, True):
        needs = {"runpath": f"{store}/made"} if linked else {}
        library = tiny_library("a.so", *(["liby.so"] if linked else []), **needs)
        wheel = MadeWheel(files={"made/a.so": library}, tag=tag).write(tmp_path)
        report = tmp_path / "report"
        assert main(["inspect", wheel, "--json", str(report)]) == 0
        out = " ".join(capsys.readouterr().out.split())
        fine = "linked to the Nix store already: it loads as it is, where those paths are"
        assert (fine in out) is linked
        assert ("satisfies no policy: it is linked to the Nix store" in out) is linked
        kept = json.loads(report.read_text())["inspection"]["policy"]["kept"]
        assert kept.startswith("linux_") is linked


def test_what_is_optional_in_an_environment_is_counted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Inspect names more than `check`, which passes optional files over: it says how many."""
    site = tmp_path / "lib/python3.11/site-packages"
    site.mkdir(parents=True)
    for name in ("liba.so", "libb.so", "m.abi3.so"):
        (site / name).write_bytes(tiny_library(name, "libz.so.1"))
    said = "2 of these files are optional, and patch and check do without them: nothing that can"
    assert main(["inspect", str(tmp_path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "wanted by 3 files" in out
    assert said not in out
    (tmp_path / "pyvenv.cfg").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    assert main(["inspect", str(tmp_path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"1 library missing, wanted by 3 files {said} be imported or started needs them" in out
    assert main(["check", str(tmp_path)]) == 1
    assert "1 library missing, wanted by m.abi3.so" in capsys.readouterr().err


def test_several_are_looked_at_one_by_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One that can't be read is told, and the others are shown."""
    (tmp_path / "a.so").write_bytes(tiny_library("a.so"))
    assert main(["inspect", str(tmp_path), str(tmp_path / "no.whl"), str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert told.out.count("1 ELF file") == 2
    assert "there is no such file" in told.err

"""Expressions for wheels whose metadata is Nix code: all of it stays text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.graphs import HOSTILE
from tests.support.installed import command
from tests.support.nix import evaluate
from tests.support.wheels import MadeWheel, tiny_library

from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.patterns import IgnorePattern
from nix_manylinux.nix.advice import paste_block
from nix_manylinux.nix.adviser import Adviser
from nix_manylinux.nix.expression.wheel import describe_wheel
from nix_manylinux.nix.expression.write import build_expression
from nix_manylinux.resolve.plan import Problem

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.nix

#: Ways out of a string, a comment, a list, a set and a function's arguments.
NIX = (
    '"; evil = throw "evil"; x = "',
    "''; evil = throw \"evil\"; x = ''",
    '${throw "evil"} $${throw "evil"} \'\'${throw "evil"} \\${throw "evil"}',
    '\n}; evil = throw "evil"; x = {\n',
    '*/ }; evil = throw "evil"; /*',
    "\\",
    '\\\\"',
    "$",
    "$$",
    "''",
    "''$",
    "''\\n",
    ']; evil = [ (throw "evil") ',
    '\r}; evil = throw "evil"; #',
    '\x0b\x0c\x1c\x85\u2028}; evil = throw "evil"; #',
)
TEXTS = tuple(text for text in (*NIX, *HOSTILE) if text and "\0" not in text)

#: Names that PyPI allows and that are Nix's own words, or begin with a digit.
WORDS = (
    *("assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"),
    *("true", "false", "null", "import", "map", "throw", "abort", "builtins", "derivation"),
    *("lib", "python", "pkgs", "stdenv", "3proxy", "break"),
)

#: Calls the expression with whatever it asks for; a package is a string of its name.
CALL = """
{ file }:
let
  f = import (builtins.toPath file);
  names = [ %s ];
  any = builtins.listToAttrs (map (name: { inherit name; value = "package ${name}"; }) names);
  self = any // {
    lib = {
      licenses.mit = "mit";
      sourceTypes.binaryNativeCode = "native";
      elem = builtins.elem;
      optionals = condition: list: if condition then list else [ ];
    };
    stdenv.hostPlatform.system = "x86_64-linux";
    buildPythonPackage = attrs: attrs;
    fetchPypi = attrs: attrs;
    pkgs = { };
    python = { version = "3.11.2"; pythonVersion = "3.11"; pkgs = any; };
  };
in
f (builtins.intersectAttrs (builtins.functionArgs f) self)
"""

#: All that an expression for `hostile_wheel` may say.
KEYS = {
    *("pname", "version", "format", "src", "dependencies", "optional-dependencies"),
    *("manylinuxIgnoreMissingDeps", "pythonImportsCheck", "meta", "buildInputs"),
}


def one_line(text: str) -> str:
    """Give what a header's value is as one line of text, control characters as spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def hostile_wheel(folder: Path, text: str) -> str:
    """Make a wheel that says ``text`` wherever a wheel can say something."""
    header = text.replace("\n", "\n ").encode("utf-8", "replace").decode()
    words = "".join(f"Requires-Dist: {word}\n" for word in WORDS)
    extras = "".join(f"Requires-Dist: {word}; extra == 'more'\n" for word in ("zed", "MAP-2"))
    metadata = (
        f"Metadata-Version: 2.1\nName: made\nVersion: 1.0\nSummary: x{header}\n"
        f"Home-page: y{header}\nLicense: z{header}\nProject-URL: {header}, {header}\n"
        f"{words}{extras}Provides-Extra: more\nProvides-Extra: e{header}\n"
        f"Requires-Dist: zed; extra == 'e'\n"
    )
    points = f"[console_scripts]\n{header.splitlines()[0]} = made:main\nmade = made:main\n"
    return MadeWheel(
        files={
            "made/__init__.py": b"",
            "made/a.so": tiny_library("a.so", f"libreal{text}.so.1", text, f"{text}*"),
            "made/b.so": tiny_library(text[:9], f"elsewhere{text}", runpath=f"$ORIGIN/../o{text}"),
            "made-1.0.dist-info/entry_points.txt": points.encode(),
        },
        metadata=metadata.encode("utf-8", "replace"),
    ).write(folder)


def covers(pattern: str, label: str, soname: str) -> bool:
    """Whether a pattern covers a name; one that begins with a wildcard is refused."""
    try:
        return IgnorePattern.parse(pattern).covers(label, soname)
    except BadOption:
        return False


def called(text: str, folder: Path) -> dict[str, Any]:
    """Evaluate an expression with made-up packages for all that it asks for."""
    file = folder / "package.nix"
    file.write_text(text, encoding="utf-8", newline="")
    names = " ".join(json.dumps(name) for name in (*WORDS, "_3proxy", "zed", "map-2"))
    names += " " + " ".join(f'"_{word}"' for word in ("lib", "python", "pkgs", "stdenv"))
    found: dict[str, Any] = evaluate(CALL % names, file=str(file))
    return found


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_hostile_metadata_stays_text(number: int, tmp_path: Path) -> None:
    """What the command prints evaluates to the wheel's own texts, and to nothing else."""
    text = TEXTS[number]
    ran = command("expr", hostile_wheel(tmp_path, text))
    assert ran.status == 0, ran.stderr
    found = called(ran.stdout, tmp_path)
    assert set(found) <= KEYS
    meta = found["meta"]
    # Of a header's continued lines each becomes one space.
    header = text.encode("utf-8", "replace").decode()
    shown = one_line(f"x{header}").rstrip(".").strip()
    assert meta["description"] == shown[:1].upper() + shown[1:]
    assert meta["homepage"] == one_line(f"y{header}")
    assert set(meta) <= {
        *("description", "homepage", "license", "sourceProvenance", "platforms", "mainProgram")
    }
    assert meta["mainProgram"] == "made"
    own = {"lib", "python", "pkgs", "stdenv", "3proxy"}
    wanted = {f"package {'_' if word in own else ''}{word}" for word in WORDS}
    assert set(found["dependencies"]) == wanted
    assert found["optional-dependencies"]["more"] == ["package map-2", "package zed"]
    for pattern in found["manylinuxIgnoreMissingDeps"]:
        assert pattern.isprintable()
        assert not covers(pattern, "made/a.so", "libsomething.so")
    assert any(
        covers(p, "made/a.so", f"libreal{text}.so.1") for p in found["manylinuxIgnoreMissingDeps"]
    )


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=st.lists(
        st.one_of(st.sampled_from(NIX), st.characters(codec="utf-8", exclude_characters="\0")),
        max_size=8,
    ).map("".join)
)
def test_any_metadata_parses(text: str, tmp_path: Path) -> None:
    """Whatever a wheel says: Nix reads the expression, and its attributes are ours."""
    wheel = describe_wheel(hostile_wheel(tmp_path, text or "x"))
    written = build_expression([wheel]).text
    assert set(called(written, tmp_path)) <= KEYS


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_what_is_to_be_pasted_is_harmless(number: int) -> None:
    """The lines for missing libraries are two bindings and comments, whatever the names are."""
    text = TEXTS[number]
    problems = [
        Problem(name=name, wanted_by=(f"plugins/{text}.so",))
        for name in (text, f"libreal{text}.so.1")
    ]
    block = str(paste_block(problems, Adviser(), in_build=True))
    found = evaluate(f"{{\n{block}\n}}")
    assert set(found) <= {"buildInputs", "manylinuxIgnoreMissingDeps"}
    for problem in problems:
        patterns = found["manylinuxIgnoreMissingDeps"]
        if problem.name.startswith("libreal"):
            assert any(covers(each, problem.wanted_by[0], problem.name) for each in patterns)
    assert all(line.isprintable() for line in block.split("\n"))

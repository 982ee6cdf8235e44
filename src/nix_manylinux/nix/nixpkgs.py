"""What the nixpkgs at hand has: its Python, names of packages, and which of them evaluate."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from nix_manylinux.base.programs import run_program
from nix_manylinux.base.values import Value, field
from nix_manylinux.nix.references import NoNix, find_nix
from nix_manylinux.nix.syntax import nix_string, python_attribute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Names that only lead to others, or say that something is gone, are not counted.
_QUESTION = """
let pkgs = import <nixpkgs> { config = { allowAliases = false; }; };
in {
  python = pkgs.python3.pythonVersion;
  packages = builtins.attrNames pkgs.python3.pkgs;
  attributes = builtins.attrNames pkgs;
  system = builtins.currentSystem;
}
"""

#: Seconds. A `<nixpkgs>` that has to be fetched first is not at hand.
_PATIENCE = 30


class Nixpkgs(Value):
    """``python`` is the version of its python3, "3.12"; ``system`` the machine's, for Nix.

    ``packages`` are the names in that Python's set, ``attributes`` those at the top. ``unusable``
    is what `find_unusable` has found.
    """

    python: str
    system: str
    packages: frozenset[str]
    attributes: frozenset[str]
    unusable: dict[str, str] = field(default_factory=dict, hash=False)


def ask_nixpkgs(environment: Mapping[str, str]) -> Nixpkgs | None:
    """Look into ``<nixpkgs>``, a second or two; None where there is no Nix, or no nixpkgs."""
    try:
        told = json.loads(_evaluate(_QUESTION, environment))
        return Nixpkgs(
            python=str(told["python"]),
            system=str(told["system"]),
            packages=frozenset(map(str, told["packages"])),
            attributes=frozenset(map(str, told["attributes"])),
        )
    except (*_NOT_AT_HAND, _Failed):
        return None


#: Of a library that a package is linked to, or of the set that is taken by default.
_CUDA = """
let
  pkgs = import <nixpkgs> { config = { allowUnfree = true; }; };
  inputs = pkgs.python3.pkgs.%(package)s.buildInputs or [ ];
  found = builtins.filter (each: each.pname or "" == "cuda_cudart") inputs;
in if found == [ ] then pkgs.cudaPackages.cuda_cudart.version else (builtins.head found).version
"""


def ask_cuda(package: str, environment: Mapping[str, str]) -> str:
    """Give the major version of the CUDA that a package of Python's set has there, or ""."""
    try:
        told = json.loads(_evaluate(cuda_question(package), environment))
        return str(told).partition(".")[0]
    except (*_NOT_AT_HAND, _Failed):
        return ""


def cuda_question(package: str) -> str:
    """Spell the expression that evaluates to that version, on one line."""
    return " ".join((_CUDA % {"package": package}).split())


#: Names have to be evaluated one by one where one of them fails: `tryEval` catches what
#: nixpkgs throws, and nothing else.
_USABLE = """
let
  pkgs = import <nixpkgs> { };
  python = pkgs.%(python)s or pkgs.python3;
  why = value: if value == null then "it is null there" else builtins.seq value.outPath "";
in { %(names)s }
"""

#: How Nix says that it would have to build something first.
_NOT_BUILT = "is not valid"

#: Processes at once, and characters of what Nix says of one name.
_AT_ONCE, _LONGEST = 4, 120


def find_unusable(
    names: Iterable[str], python: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """Say which of these ``<nixpkgs>`` has, but can't evaluate, each with Nix's word for it.

    ``names`` are as Nix spells them, in terms of ``pkgs`` and ``python``, which is the one of
    that version where there is one.
    """

    def ask(asked: Iterable[str]) -> dict[str, str]:
        lines = " ".join(f"{nix_string(name)} = why ({name});" for name in asked)
        question = _USABLE % {"python": python_attribute(python), "names": lines}
        told = json.loads(_evaluate(question, environment))
        return {str(name): str(why) for name, why in told.items() if why}

    def ask_alone(name: str) -> dict[str, str]:
        try:
            return ask([name])
        except _Failed as failed:
            said: str = failed.args[0]
            # What has to be built to be evaluated can't be in an evaluation that only reads.
            return {} if _NOT_BUILT in said else {name: said}

    names = [*names]
    with suppress(*_NOT_AT_HAND):
        try:
            return ask(names) if names else {}
        except _Failed:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                return {k: v for found in pool.map(ask_alone, names) for k, v in found.items()}
    return {}


class _Failed(Exception):
    """Nix could not evaluate; the argument is its word for it."""


def _evaluate(expression: str, environment: Mapping[str, str]) -> bytes:
    """Give a value as JSON. Raises `_Failed`, or one of `_NOT_AT_HAND`."""
    tool = find_nix("nix-instantiate", environment, option="", hint="")
    try:
        command = [tool, "--eval", "--strict", "--json", "-E", expression]
        done = run_program(command, environment, timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        errors = [line.partition("error:")[2].strip() for line in lines if "error:" in line]
        said = next(filter(None, reversed(errors)), "Nix says nothing")
        raise _Failed(said if len(said) <= _LONGEST else f"{said[: _LONGEST - 3]}...")
    return done.stdout


#: What is raised where there is no Nix, no nixpkgs, or no answer in time.
_NOT_AT_HAND = (NoNix, OSError, ValueError, LookupError, TypeError)

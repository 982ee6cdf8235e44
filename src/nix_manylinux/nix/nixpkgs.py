"""What the nixpkgs at hand has: its Python, names of packages, and which of them evaluate."""

from __future__ import annotations

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from nix_manylinux.base.programs import run_program
from nix_manylinux.base.values import Value, field, replace
from nix_manylinux.nix.references import NoNix, find_nix
from nix_manylinux.nix.syntax import nix_path, nix_string, python_attribute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nix_manylinux.nix.packages import Suggestion

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

#: Nixpkgs has 24,000 attributes at the top. What has fewer than this is another set.
_WHOLE = 10_000


class Nixpkgs(Value):
    """``python`` is the version of its python3, "3.12"; ``system`` the machine's, for Nix.

    ``packages`` are the names in that Python's set, ``attributes`` those at the top. ``unusable``
    and ``versions`` are what `look_into` has found, by names as Nix spells them: why they are not
    to be had, and of Python packages that are, which version.
    """

    python: str
    system: str
    packages: frozenset[str]
    attributes: frozenset[str]
    unusable: dict[str, str] = field(default_factory=dict, hash=False)
    versions: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of nixpkgs, so that what it lacks, nixpkgs has not."""
        return len(self.attributes) >= _WHOLE

    def why_not(self, suggestion: Suggestion) -> str:
        """Say why a library's package is not to be had of it, "" where it is.

        Older ones have names with capitals: unixODBC.
        """
        asked = asked_as(suggestion)
        first, *others = _TOP.findall(asked)
        there = not self.attributes.isdisjoint([first, *others])
        why = self.unusable.get(asked, "" if there else _MISSING)
        if why != _MISSING or there:
            return why
        like = sorted(each for each in self.attributes if each.lower() == first.lower())
        return f"{why}, but {like[0]} is" if like else why


def asked_as(suggestion: Suggestion) -> str:
    """Spell what `look_into` asks of a library's package, by its new name or its old one.

    What is unfree or insecure can't be evaluated unless that is allowed: it is asked for alone
    whether it is there.
    """
    if suggestion.doubtful:
        return f"pkgs ? {nix_path(package_of(suggestion.attribute, suggestion))}"
    names = (suggestion.attribute, suggestion.old_attribute)
    return " or ".join(f"pkgs.{nix_path(package_of(each, suggestion))}" for each in names if each)


def package_of(attribute: str, suggestion: Suggestion) -> str:
    """Leave the output out that build inputs are taken by anyhow."""
    return attribute.removesuffix(".lib") if suggestion.output == "lib" else attribute


#: What stands at the top of nixpkgs, among what is asked.
_TOP = re.compile(r'(?<!python\.)\bpkgs(?:\.| \? )"?([^". ]+)')

_MISSING = "it is not there"


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


#: All names in one evaluation: `tryEval` catches what nixpkgs throws. An alias is there, and leads
#: to another name or throws.
_USABLE = """
let
  pkgs = import <nixpkgs> { };
  python = pkgs.%(python)s or pkgs.python3;
  why = value:
    if value == null then "it is null there"
    else builtins.seq value.outPath "=${value.version or ""}";
  ask = answer: (builtins.tryEval answer).value;
in { %(names)s }
"""

#: How an answer begins that is no reason; what throws has none, until it is asked alone.
_THERE = "="

#: How Nix says that it would have to build something first.
_NOT_BUILT = "is not valid"

#: Processes at once, and characters of what Nix says of one name.
_AT_ONCE, _LONGEST = 4, 120


def look_into(
    nixpkgs: Nixpkgs, names: Iterable[str], python: str, environment: Mapping[str, str]
) -> Nixpkgs:
    """Say which of these ``<nixpkgs>`` has not, or can't evaluate, each with Nix's word for it.

    And which versions of Python packages it has. ``names`` are as Nix spells them, in terms of
    ``pkgs`` and ``python``, which is the one of that version where there is one. Aliases are not
    to be used: they are none of its attributes. Gives ``nixpkgs`` with what was found.
    """
    answers: dict[str, str] = {}
    with suppress(*_NOT_AT_HAND):
        answers = _answers(nixpkgs, [*names], python, environment)
    unusable, versions = dict(nixpkgs.unusable), dict(nixpkgs.versions)
    for name, answer in answers.items():
        if not answer.startswith(_THERE):
            unusable[name] = answer
        elif name.startswith("python.") and answer != _THERE:
            versions[name] = answer.removeprefix(_THERE)
    return replace(nixpkgs, unusable=unusable, versions=versions)


def _answers(
    nixpkgs: Nixpkgs, names: list[str], python: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """Give the answer for each name, those of all in one evaluation as far as that is possible.

    Raises one of `_NOT_AT_HAND`.
    """

    def ask(asked: Iterable[str], attempt: str) -> tuple[dict[str, str], str]:
        lines = " ".join(f"{nix_string(name)} = {attempt} ({_answer(name)});" for name in asked)
        question = _USABLE % {"python": python_attribute(python), "names": lines}
        told, said = _evaluate_aloud(question, environment)
        return {name: answer or "" for name, answer in json.loads(told).items()}, said

    def ask_alone(name: str) -> dict[str, str]:
        try:
            told, said = ask([name], "")
        except _Failed as failed:
            why: str = failed.args[0]
            # What has to be built to be evaluated can't be in an evaluation that only reads.
            return {name: _THERE if _NOT_BUILT in why else why}
        why = told[name]
        if is_alias(name, why):
            why = ": ".join(["an alias", *re.findall("warning: (.*)", said)[-1:]])
        return {name: why}

    def is_alias(name: str, why: str) -> bool:
        found = _TOP.findall(name) if why.startswith(_THERE) else ()
        return bool(found) and nixpkgs.attributes.isdisjoint(found)

    def ask_all(asked: list[str]) -> dict[str, str]:
        if len(asked) < 2:
            return ask_alone(asked[0]) if asked else {}
        try:
            told, _ = ask(asked, "ask")
        except _Failed:  # what `tryEval` doesn't catch
            half = len(asked) // 2
            return ask_all(asked[:half]) | ask_all(asked[half:])
        # The word for what throws is to be had alone.
        alone = [name for name, why in told.items() if not why or is_alias(name, why)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            words = [each for found in pool.map(ask_alone, alone) for each in found.items()]
        return told | dict(words)

    return ask_all(names)


def _answer(name: str) -> str:
    """Write what answers for one name: "=VERSION", as far as that is known, or why not."""
    if " ? " in name:
        return f"if {name} then {nix_string(_THERE)} else {nix_string(_MISSING)}"
    there = " || ".join(
        re.sub(r"^((?:python\.)?pkgs)\.", r"\1 ? ", each) for each in name.split(" or ")
    )
    return f"if {there} then why ({name}) else {nix_string(_MISSING)}"


class _Failed(Exception):
    """Nix could not evaluate; the argument is its word for it."""


def _evaluate(expression: str, environment: Mapping[str, str]) -> bytes:
    """Give a value as JSON. Raises `_Failed`, or one of `_NOT_AT_HAND`."""
    return _evaluate_aloud(expression, environment)[0]


def _evaluate_aloud(expression: str, environment: Mapping[str, str]) -> tuple[bytes, str]:
    """Give a value as `_evaluate` does, and what Nix says beside it: warnings."""
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
    return done.stdout, done.stderr.decode("utf-8", "replace")


#: What is raised where there is no Nix, no nixpkgs, or no answer in time.
_NOT_AT_HAND = (NoNix, OSError, ValueError, LookupError, TypeError)

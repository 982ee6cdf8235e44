"""The command `expr`: an expression on standard output, and what to mind on standard error."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import nix_manylinux.nix.nixpkgs as at_hand
from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.scratch import scratch_folder
from nix_manylinux.base.words import listed, shell
from nix_manylinux.cli import DONE
from nix_manylinux.data import read_nixpkgs_names
from nix_manylinux.nix.expression import download
from nix_manylinux.nix.expression import places as for_whom
from nix_manylinux.nix.expression.cuda import (
    Cuda,
    cuda_asked_for,
    cuda_of_nixpkgs,
    cuda_required_by_loader,
    has_to_choose,
    loader_of_cuda,
)
from nix_manylinux.nix.expression.dependencies import requirements_in
from nix_manylinux.nix.expression.offered import offered_places, spelt, take_all
from nix_manylinux.nix.expression.required import absent_packages_text
from nix_manylinux.nix.expression.wheel import DescribedWheel, WheelFile, describe_wheel
from nix_manylinux.nix.expression.write import Expression, build_expression
from nix_manylinux.nix.origin import DEFAULT_INDEX, KEPT_BACK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nix_manylinux.cli.run import Run
    from nix_manylinux.nix.expression.relatives import Release
    from nix_manylinux.nix.nixpkgs import Nixpkgs
    from nix_manylinux.target.place import Place


class _Found(NamedTuple):
    """Wheels, for whom they are, the files of those that they require, and whose CUDA.

    ``logs`` are the client's words about what it has seen.
    """

    wheels: Sequence[DescribedWheel]
    places: Sequence[Place]
    beside: dict[str, frozenset[str]]
    cuda: Cuda | None
    logs: Sequence[str]


def show_expression(run: Run) -> int:
    """Print a buildPythonPackage expression for a wheel at hand, or one that pip finds."""
    extra = run.arguments.extra
    fetched = _is_fetched(run)
    nixpkgs = at_hand.ask_nixpkgs(run.environment)
    found = _read(run, nixpkgs, fetched=fetched)
    options = _options(run, found, nixpkgs, fetched=fetched)
    expression = _build(run, found, nixpkgs, options, fetched=fetched)
    _tell_first(run, expression, fetched=fetched)
    if fetched:
        _tell_of_choice(run, found, nixpkgs)
        if not expression.is_part:
            _tell_of_offer(run, found)
    elif not extra.python_version and not for_whom.named_pythons(found.wheels):
        _tell_of_python(run, found.places, nixpkgs)
    if expression.absent:
        run.console.warn(
            absent_packages_text(expression.absent, options, for_nixpkgs=extra.for_nixpkgs)
        )
    for sentence in () if run.console.answers_on_terminal else expression.lacking:
        run.console.warn(sentence)
    if not extra.local:
        _tell_of_source(run, found.wheels)
    _tell_aside(run, expression)
    if not extra.for_nixpkgs:  # without the overlay Nix knows no such format
        chain = expression.chain if len(expression.chain) > 1 else ()
        others = sorted({*expression.absent, *chain})
        how = for_whom.how_to_build(
            found.wheels[0], found.places[0], others, chain=bool(chain), local=extra.local
        )
        run.console.tell(how)
    run.console.answer(expression.text)
    return DONE


def _tell_aside(run: Run, expression: Expression) -> None:
    """Say what isn't for the file, under what it is good for where that file is nixpkgs'."""
    if expression.is_part:
        run.console.say("this is a part of that package, and no file of nixpkgs by itself")
        return
    for_nixpkgs = run.arguments.extra.for_nixpkgs
    for heading, sentences in expression.notes.items():
        if for_nixpkgs:
            run.console.say(heading)
        for sentence in sentences:
            first, *pasted = sentence.split("\n")
            begin = "- " if for_nixpkgs else ""
            run.console.tell([f"{begin}{first}", *(f"  {line}" for line in pasted)])


def _build(
    run: Run,
    found: _Found,
    nixpkgs: Nixpkgs | None,
    options: Mapping[str, Sequence[str]],
    *,
    fetched: bool,
) -> Expression:
    """Build the expression; pip and Nix are asked for what it names, and then it is built anew."""
    extra, asked = run.arguments.extra, run.arguments.paths
    build = partial(
        build_expression,
        found.wheels,
        places=found.places,
        runtime_libs=extra.runtime_libs or (),
        beside=found.beside,
        cuda=found.cuda,
        local={os.path.basename(each): _from_here(each) for each in asked} if extra.local else None,
        for_nixpkgs=extra.for_nixpkgs,
        again=_again(run, found) if extra.for_nixpkgs else "",
        options=options,
    )
    expression = build(nixpkgs=nixpkgs)
    if expression.asks and (fetched or extra.fetch_required):
        releases = _releases(run, expression.asks, found)
        build = partial(build, releases=releases)
        expression = build(nixpkgs=nixpkgs)
    known: set[str] = set()
    # In place of what is not to be had another package may be named.
    while nixpkgs and (new := [name for name in expression.named if name not in known]):
        known.update(new)
        python = found.places[0].python
        more = at_hand.look_into(nixpkgs, new, python, run.environment)
        if more != nixpkgs:
            nixpkgs = more
            expression = build(nixpkgs=nixpkgs)
    return expression


def _options(
    run: Run, found: _Found, nixpkgs: Nixpkgs | None, *, fetched: bool
) -> dict[str, Sequence[str]]:
    """Give the options by which commands for other wheels are for the same places."""
    extra = run.arguments.extra
    pythons, systems = extra.python_version or (), extra.system or ()
    if not fetched:  # whom files are for, their names tell
        python, system = _usual(run, nixpkgs)
        own = for_whom.named_pythons(found.wheels)
        pythons = pythons or (own if own != [python] else ())
        own = [*dict.fromkeys(place.system for place in found.places)]
        systems = systems or (own if own != [system] else ())
    return {"--python-version": pythons, "--system": systems}


def _releases(run: Run, asks: Sequence[str], found: _Found) -> dict[str, Release]:
    """Ask pip what it takes for requirements, or for those of the wheels alone; empty for none."""
    own, why = found.wheels[0].releases, ""
    for requirements in (asks, asks[: len(own)]):
        with scratch_folder() as folder:
            try:
                return download.releases_of(
                    requirements, found.places[0], into=folder, environment=run.environment
                )
            except download.NoSuchWheel as error:
                why = error.what
    run.console.warn(
        f"pip finds no wheels for all that {listed(own)} requires ({why}): what is named of them is"
        " what METADATA and our table of families know"
    )
    return {}


def _tell_first(run: Run, expression: Expression, *, fetched: bool) -> None:
    """Say what is wrong with the whole, and then what is taken as its source."""
    for sentence in expression.first:
        run.console.warn(sentence)
    if not fetched and not run.arguments.extra.local:
        other = "" if run.arguments.extra.for_nixpkgs else "; --local takes this one"
        run.console.say(f"src is the file of that name on the default index{other}")


def _is_fetched(run: Run) -> bool:
    """Whether releases were asked for, and no wheels at hand. Raises BadOption for both."""
    extra, asked = run.arguments.extra, run.arguments.paths
    names = [each for each in asked if not each.endswith(".whl")]
    if names and extra.local:
        raise BadOption(
            f"--local is for a wheel at hand, and {names[0]!r} is none",
            hint=f"pip download --no-deps {names[0]}, then give the path of the wheel",
        )
    if names and len(names) < len(asked):
        raise BadOption("one package is made of wheels at hand, or of NAME==VERSION: not of both")
    if extra.for_nixpkgs and extra.local:
        raise BadOption("--for-nixpkgs fetches the wheel: without --local")
    return bool(names)


def _from_here(path: str) -> str:
    """Spell a path from this folder, where that is below it: the expression is saved here."""
    inner = os.path.relpath(path)
    return os.path.abspath(path) if os.path.isabs(path) and inner.startswith("..") else inner


def _usual(run: Run, nixpkgs: Nixpkgs | None) -> tuple[str, str]:
    """Give the Python and the system for which wheels are fetched where nobody names one."""
    for_nixpkgs = run.arguments.extra.for_nixpkgs
    usual = read_nixpkgs_names().built_for[0] if for_nixpkgs else for_whom.PYTHON
    python = nixpkgs.python if nixpkgs else usual
    own = nixpkgs.system if nixpkgs and nixpkgs.system.endswith("-linux") else for_whom.SYSTEM
    return python, own


def _read(run: Run, nixpkgs: Nixpkgs | None, *, fetched: bool) -> _Found:
    extra, asked = run.arguments.extra, run.arguments.paths
    pythons, systems = extra.python_version or (), extra.system or ()
    python, own = _usual(run, nixpkgs)
    with scratch_folder() as folder:
        found = [dict.fromkeys(asked, DEFAULT_INDEX)]
        if fetched:
            found = download.download_wheels(
                asked,
                python_versions=pythons or [python],
                systems=systems or [own],
                into=folder,
                environment=run.environment,
                progress=run.console.on_terminal,
            )
        wheels = [
            describe_wheel(first, look_for_loads=True, origin=origin, beside=dict(others))
            for (first, origin), *others in (each.items() for each in found)
        ]
        places = for_whom.expression_places(
            wheels, python_versions=pythons, systems=systems, python=python
        )
        first, place = wheels[0], places[0]
        beside, cuda = {}, None
        if extra.fetch_required and (required := requirements_in(first.headers, place)):
            beside = download.files_of_required(
                required,
                place,
                into=folder,
                environment=run.environment,
                progress=run.console.on_terminal,
            )
        if extra.cuda:
            cuda = cuda_asked_for(extra.cuda)
        elif loader := loader_of_cuda(first, place):
            cuda = cuda_of_nixpkgs(loader, nixpkgs, run.environment)
            if not cuda and has_to_choose(first) and (fetched or extra.fetch_required):
                cuda = cuda_required_by_loader(
                    loader, place, into=folder, environment=run.environment
                )
        return _Found(wheels, places, beside, cuda, download.read_logs(folder))


def _tell_of_choice(run: Run, found: _Found, nixpkgs: Nixpkgs | None) -> None:
    """Say which release, Python and system were taken where nobody named one."""
    for asked, name in zip(run.arguments.paths, found.wheels[0].names, strict=True):
        if "==" not in asked:
            taken = f"{asked} {name.version}, which pip picks"
            run.console.say(f"{taken}; {asked}==VERSION takes another one")
    if not run.arguments.extra.python_version:
        _tell_of_python(run, found.places, nixpkgs)
    if not run.arguments.extra.system:
        systems = listed(dict.fromkeys(place.system for place in found.places))
        run.console.say(f"for {systems}; --system chooses another one")


def _tell_of_offer(run: Run, found: _Found) -> None:
    """Say how all are had for which the release has wheels, where nobody has chosen among them."""
    extra, first, places = run.arguments.extra, found.wheels[0], found.places
    known = read_nixpkgs_names()
    pythons = known.built_for if extra.for_nixpkgs else known.pythons
    offer = offered_places(found.logs, first.names, places[0].python, pythons)
    if extra.for_nixpkgs:
        systems = tuple(each for each in offer.systems if each in for_whom.BUILT_ON)
        offer = offer._replace(systems=systems)
    words, options = _as_typed(run)
    of_whom = "of those that nixpkgs builds for, " if extra.for_nixpkgs else ""
    lines = take_all(offer, first.releases, places, words, options, of_whom=of_whom)
    if extra.for_nixpkgs and not lines:
        lines = ["for the next release, hashes and all:", f"  {_again(run, found)}"]
    run.console.tell(lines)


def _as_typed(run: Run) -> tuple[list[str], dict[str, Sequence[str] | None]]:
    """Give the command up to its names, and the options that change what is written."""
    extra = run.arguments.extra
    return ["nix-manylinux", "expr", *(["--for-nixpkgs"] if extra.for_nixpkgs else [])], {
        "--python-version": extra.python_version,
        "--system": extra.system,
        "--runtime-libs": extra.runtime_libs,
        "--cuda": [extra.cuda] if extra.cuda else None,
    }


def _again(run: Run, found: _Found) -> str:
    """Spell the command that writes the same for another release."""
    words, options = _as_typed(run)
    own = [place.python for place in found.places if for_whom.named_pythons(found.wheels)]
    options["--python-version"] = [*dict.fromkeys(own)]
    options["--system"] = [*dict.fromkeys(place.system for place in found.places)]
    names = [release.partition("==")[0] for release in found.wheels[0].releases]
    return spelt(words, names, options)


def _tell_of_python(run: Run, places: Sequence[Place], nixpkgs: Nixpkgs | None) -> None:
    pythons = listed(dict.fromkeys(place.python for place in places))
    why = "as <nixpkgs> has it" if nixpkgs else "since there is no <nixpkgs> to ask"
    run.console.say(f"for Python {pythons}, {why}; --python-version chooses another one")


def _tell_of_source(run: Run, wheels: Sequence[DescribedWheel]) -> None:
    """Say where Nix may not get a wheel from the place that the expression names."""
    files: list[DescribedWheel | WheelFile] = [*wheels]
    files += [each for wheel in wheels for each in wheel.beside]
    if guarded := [each.file for each in files if each.origin.kept_back]:
        releases = " ".join(wheels[0].releases)
        run.console.warn(
            f"{listed(guarded)}: {KEPT_BACK}; where Nix can't fetch without:"
            f" pip download --no-deps {releases}, then nix-manylinux expr WHEEL --local"
        )
    for wheel in files:
        if wheel.origin.path:
            run.console.warn(
                f"{wheel.file}: from a folder, and src is the file of that name on the default"
                " index; where that has none:"
                f" nix-manylinux expr {shell(wheel.origin.path)} --local"
            )

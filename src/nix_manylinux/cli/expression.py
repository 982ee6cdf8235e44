"""The command `expr`: an expression on standard output, and what to mind on standard error."""

from __future__ import annotations

import shlex
from functools import partial

import nix_manylinux.nix.nixpkgs as at_hand
from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.scratch import scratch_folder
from nix_manylinux.base.values import replace
from nix_manylinux.base.words import listed
from nix_manylinux.cli.run import DONE
from nix_manylinux.data import read_nixpkgs_names
from nix_manylinux.nix.expression import download
from nix_manylinux.nix.expression import places as for_whom
from nix_manylinux.nix.expression.cuda import cuda_required_by_loader
from nix_manylinux.nix.expression.dependencies import requirements_in
from nix_manylinux.nix.expression.offered import offered_places, take_all
from nix_manylinux.nix.expression.wheel import describe_wheel
from nix_manylinux.nix.expression.write import build_expression
from nix_manylinux.nix.origin import DEFAULT_INDEX, KEPT_BACK
from nix_manylinux.nix.packages import load_table
from nix_manylinux.target.policy import load_policies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nix_manylinux.cli.run import Run
    from nix_manylinux.nix.expression.cuda import Cuda
    from nix_manylinux.nix.expression.wheel import DescribedWheel
    from nix_manylinux.nix.expression.write import Expression
    from nix_manylinux.nix.nixpkgs import Nixpkgs
    from nix_manylinux.target.place import Place


def show_expression(run: Run) -> int:
    """Print a buildPythonPackage expression for a wheel at hand, or one that pip finds."""
    extra = run.arguments.extra
    (wheel,) = run.arguments.paths
    fetched = not wheel.endswith(".whl")
    if fetched and extra.local:
        raise BadOption(
            f"--local is for a wheel at hand, and {wheel!r} is none",
            hint=f"pip download --no-deps {wheel}, then give the path of the wheel",
        )
    if extra.for_nixpkgs and extra.local:
        raise BadOption("--for-nixpkgs fetches the wheel: without --local")
    nixpkgs = None if extra.for_nixpkgs else at_hand.ask_nixpkgs(run.environment)
    wheels, places, beside, cuda, logs = _read(run, wheel, nixpkgs, fetched=fetched)

    build = partial(
        build_expression,
        wheels,
        places=places,
        table=load_table(),
        policies=load_policies(),
        runtime_libs=extra.runtime_libs or (),
        beside=beside,
        cuda=cuda,
        local=extra.local,
        for_nixpkgs=extra.for_nixpkgs,
    )
    expression = build(nixpkgs=nixpkgs)
    if nixpkgs and expression.named:
        unusable = at_hand.find_unusable(expression.named, places[0].python, run.environment)
        expression = build(nixpkgs=replace(nixpkgs, unusable=unusable))
    if fetched:
        _tell_of_choice(run, wheel, wheels, places, nixpkgs)
        _tell_of_offer(run, wheels, places, logs)
    elif not extra.python_version and not for_whom.named_pythons(wheels):
        _tell_of_python(run, places, nixpkgs)
    for sentence in () if run.console.answers_on_terminal else expression.lacking:
        run.console.warn(sentence)
    if not extra.local:
        _tell_of_source(run, wheels, at_hand=not fetched)
    _tell_of_use(run, expression, wheels, places)
    run.console.answer(expression.text)
    return DONE


def _read(
    run: Run, wheel: str, nixpkgs: Nixpkgs | None, *, fetched: bool
) -> tuple[
    list[DescribedWheel], list[Place], dict[str, frozenset[str]], Cuda | None, Sequence[str]
]:
    """Give the wheels, for whom they are, the files of those that they require, and whose CUDA.

    And the client's words about what it has seen.
    """
    extra = run.arguments.extra
    pythons, systems = extra.python_version or (), extra.system or ()
    python = nixpkgs.python if nixpkgs else for_whom.PYTHON
    own = nixpkgs.system if nixpkgs and nixpkgs.system.endswith("-linux") else for_whom.SYSTEM
    with scratch_folder() as folder:
        paths = {wheel: DEFAULT_INDEX}
        if fetched:
            paths = download.download_wheels(
                wheel,
                python_versions=pythons or [python],
                systems=systems or [own],
                into=folder,
                environment=run.environment,
                progress=run.console.on_terminal,
            )
        wheels = [
            describe_wheel(path, look_for_loads=True, origin=origin)
            for path, origin in paths.items()
        ]
        first, places = (
            wheels[0],
            for_whom.expression_places(
                wheels, python_versions=pythons, systems=systems, python=python
            ),
        )
        beside, cuda = {}, None
        if extra.fetch_required and (required := requirements_in(first.headers, places[0])):
            beside = download.files_of_required(
                required,
                places[0],
                into=folder,
                environment=run.environment,
                progress=run.console.on_terminal,
            )
        if fetched or extra.fetch_required:
            cuda = cuda_required_by_loader(
                first, places[0], into=folder, environment=run.environment
            )
        return wheels, places, beside, cuda, download.read_logs(folder)


def _tell_of_choice(
    run: Run,
    asked: str,
    wheels: Sequence[DescribedWheel],
    places: Sequence[Place],
    nixpkgs: Nixpkgs | None,
) -> None:
    """Say which release, Python and system were taken where nobody named one."""
    if "==" not in asked:
        version = wheels[0].name.version
        run.console.say(f"{asked} {version}, which pip picks; {asked}==VERSION takes another one")
    if not run.arguments.extra.python_version:
        _tell_of_python(run, places, nixpkgs)
    if not run.arguments.extra.system:
        systems = listed(dict.fromkeys(place.system for place in places))
        run.console.say(f"for {systems}; --system chooses another one")


def _tell_of_offer(
    run: Run, wheels: Sequence[DescribedWheel], places: Sequence[Place], logs: Sequence[str]
) -> None:
    """Say how all are had for which the release has wheels, where nobody has chosen among them."""
    extra, release = run.arguments.extra, wheels[0].name
    offer = offered_places(logs, release, places[0].python, read_nixpkgs_names().pythons)
    options = {"--python-version": extra.python_version, "--system": extra.system}
    options["--runtime-libs"] = extra.runtime_libs
    words = ["nix-manylinux", "expr", *(["--for-nixpkgs"] if extra.for_nixpkgs else [])]
    run.console.say_all(take_all(offer, release, places, words, options), indent="")


def _tell_of_use(
    run: Run, expression: Expression, wheels: Sequence[DescribedWheel], places: Sequence[Place]
) -> None:
    """Say where it goes: without the overlay Nix knows no such format."""
    if not run.arguments.extra.for_nixpkgs:
        how = for_whom.how_to_build(wheels[0], places[0], local=run.arguments.extra.local)
        run.console.say_all(how, indent="")
    for note in expression.notes:
        run.console.say_all(note.split("\n"), indent="")


def _tell_of_python(run: Run, places: Sequence[Place], nixpkgs: Nixpkgs | None) -> None:
    pythons = listed(dict.fromkeys(place.python for place in places))
    why = "as <nixpkgs> has it" if nixpkgs else "since there is no <nixpkgs> to ask"
    if run.arguments.extra.for_nixpkgs:
        why = "no <nixpkgs> asked"
    run.console.say(f"for Python {pythons}, {why}; --python-version chooses another one")


def _tell_of_source(run: Run, wheels: Sequence[DescribedWheel], *, at_hand: bool) -> None:
    """Say where Nix may not get a wheel from the place that the expression names."""
    if at_hand:
        run.console.say("src is the file of that name on the default index; --local takes this one")
    guarded = [wheel.file for wheel in wheels if wheel.origin.kept_back]
    if guarded:
        release = f"{wheels[0].name.name}=={wheels[0].name.version}"
        run.console.warn(
            f"{listed(guarded)}: {KEPT_BACK}; where Nix can't fetch without:"
            f" pip download --no-deps {release}, then nix-manylinux expr WHEEL --local"
        )
    for wheel in wheels:
        if wheel.origin.path:
            run.console.warn(
                f"{wheel.file}: from a folder, and src is the file of that name on the default"
                " index; where that has none:"
                f" nix-manylinux expr {shlex.quote(wheel.origin.path)} --local"
            )

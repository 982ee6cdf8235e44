"""The commands that change no tree and no wheel: inspect, graph, lock."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from nix_manylinux.api import inspect, plan_paths
from nix_manylinux.base.errors import BadOption, NixManylinuxError
from nix_manylinux.base.files import read_small
from nix_manylinux.base.words import count, listed, shell, some
from nix_manylinux.cli import DONE, REFUSED
from nix_manylinux.cli.advised import loads_advice, look_advice
from nix_manylinux.cli.console import save_file
from nix_manylinux.cli.origin import tell_origin
from nix_manylinux.cli.refusals import fail
from nix_manylinux.report.inspection import inspection_json, inspection_text
from nix_manylinux.report.summary import report_json
from nix_manylinux.resolve.plan import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nix_manylinux.cli.run import Run
    from nix_manylinux.lock.make import MadeLock


def show_inspection(run: Run) -> int:
    """Print what wheels or trees, each by itself, are and need, and who provides that."""
    paths = run.arguments.paths
    if len(paths) > 1 and run.arguments.json:
        return run.usage("--json reports on one wheel or tree; inspect them one by one")
    status = DONE
    for number, path in enumerate(paths):
        if number:
            run.console.answer("")
        try:
            _show_one(run, path)
        except NixManylinuxError as error:
            if len(paths) == 1 or isinstance(error, BadOption):
                raise
            fail(run, error)
            status = REFUSED
    return status


def _show_one(run: Run, path: str) -> None:
    seen = inspect(
        path,
        target=run.target_to_look((path,)),
        libraries=run.libraries(),
        options=run.options(),
    )
    run.refuse_unread(seen.plan)
    adviser = run.adviser(seen.plan)
    advice = look_advice(run, path, seen, adviser)
    run.warn(seen.plan)  # what is to be done stands last
    run.tell_doubts()
    if advice:
        tell_origin(run, seen.plan, advice)
    if run.arguments.json != "-":
        text = inspection_text(
            seen,
            adviser,
            verbose=run.console.verbose,
            loads_advice=loads_advice(run, path, seen, adviser),
            advice=advice,
            width=run.console.width,
            paint=lambda text, style: run.console.paint(text, style, answer=True),
        )
        for line in text:
            run.console.answer(line)
    details = inspection_json(seen, adviser)
    run.write_json(report_json("inspect", report=Report(plan=seen.plan), inspection=details))


def show_graph(run: Run) -> int:
    """Print or save a picture of who needs what."""
    from nix_manylinux.report.picture.render import SUFFIXES, render_graph  # noqa: PLC0415

    extra = run.arguments.extra
    output: str | None = extra.output
    ending = os.path.splitext(output or "")[1].lower()
    if ending and not extra.format and ending not in SUFFIXES:
        endings = listed(each for each in SUFFIXES if each not in {".htm", ".mermaid", ".txt"})
        return run.usage(f"no picture is made of *{ending}, but of {endings}; --format names one")
    path = run.arguments.paths[0]
    plan = plan_paths(
        [path],
        target=run.target_to_look((path,)),
        libraries=run.libraries(),
        options=run.options(),
        to_look=True,
    )
    run.refuse_unread(plan)
    text = render_graph(
        plan,
        extra.format or SUFFIXES.get(ending, "dot"),
        detail=extra.detail or "auto",
        advised=True,
    )
    if output is None or output == "-":
        run.console.answer(text)
    else:
        save_file(output, text, "picture", "--output")
        run.console.say(f"wrote {output}")
    run.warn(plan)
    run.tell_doubts()
    return DONE


def write_lock(run: Run) -> int:
    """Write what a lock file asks for, for Nix; or say whether that is still true."""
    from nix_manylinux.lock.make import cache_folder, make_lock  # noqa: PLC0415
    from nix_manylinux.lock.text import check_fresh, how_to_use, write_json  # noqa: PLC0415
    from nix_manylinux.target.place import own_system, places_of  # noqa: PLC0415

    extra = run.arguments.extra
    (path,) = run.arguments.paths
    output = extra.output or os.path.join(os.path.dirname(path), "manylinux.lock.json")
    if extra.check:
        check_fresh(output, path)
        run.console.say(f"{output} is up to date with {path}")
        return DONE
    versions = extra.python_version or [_python_of(run, path)]
    systems = extra.system or [own_system()]
    places = places_of(versions, systems, releases=True)
    made = make_lock(
        path,
        places,
        extras=extra.extra or (),
        groups=extra.group or (),
        packages=extra.package or (),
        all_packages=extra.all_packages,
        beside=None if output == "-" else os.path.dirname(output),
        inspect=not extra.no_inspect,
        cache=cache_folder(run.environment),
        environment=run.environment,
        progress=run.console.progress,
    )
    for warning in made.warnings:
        run.console.warn(warning)
    for line in _not_linked(made):
        run.console.say(line)
    projects = _takes_projects(run, made)
    if made.left:
        run.console.say(made.left)
    text = write_json(made.value)
    if output == "-":
        run.console.answer(text.removesuffix("\n"))
        return DONE
    save_file(output, text, "lock", "--output")
    for key, found in made.value["environments"].items():
        run.console.say(
            f"{key}: {count(len(found['packages']), 'wheel')}, {len(found['sources'])} without one"
        )
    run.console.say(f"wrote {output}")
    folder = os.path.dirname(output) or "."
    expression = os.path.normpath(os.path.join(folder, "environment.nix"))
    written = how_to_use(output, path, places[0].series, projects=projects)
    if os.path.exists(expression) and os.path.getsize(expression):  # `>` has emptied it
        stays = f"{expression} is there, and stays as it is"
        kept = b""
        with suppress(OSError):  # one that can't be read is none of ours to compare
            kept = read_small(expression, 1 << 16).strip()
        same = kept == os.fsencode(written)
        run.console.say(stays if same else f"{stays}; written now it would be:")
    else:
        run.console.say(
            f"its expression for nix-build is on standard output: > {shell(expression)} keeps it"
        )
        if not os.path.exists(os.path.join(folder, "nix-manylinux")):
            run.console.say(
                "./nix-manylinux in it: a checkout of this tool, or a link to one: ln -s PATH"
                " nix-manylinux"
            )
        run.console.say("to pin that and nixpkgs: docs/locks.md, For a colleague")
    run.console.answer(written)
    return DONE


def _takes_projects(run: Run, made: MadeLock) -> bool:
    """Whether the user's own projects are to be built; says what --projects would change."""
    if run.arguments.extra.projects and not made.projects:
        run.console.warn("the lock has no project of the user's own, which --projects would build")
    elif made.projects and not run.arguments.extra.projects:
        are, them = ("is", "it") if len(made.projects) == 1 else ("are", "them")
        run.console.say(
            f"{listed(made.projects)} {are} not in it, only what the lock has for it;"
            f" --projects, or `projects = true;`, builds {them}, too (docs/locks.md, The project"
            " itself)"
        )
    return bool(made.projects and run.arguments.extra.projects)


def _not_linked(made: MadeLock) -> Iterator[str]:
    """Name what wheels may load at run time, and say how it is had."""
    for by, loads, remedy in (
        ("by", made.loads, "manylinuxRuntimeLibs, in `overrides`"),
        ("by ctypes, of", made.opens, "their paths in the source, in `overrides`"),
    ):
        if loads:
            named = ", ".join(f"{name} ({some(libs, 2)})" for name, libs in sorted(loads.items()))
            yield (
                f"not linked: what may be loaded at run time, {by} {named}; to add what you need:"
                f" {remedy} (docs/locks.md)"
            )


def _python_of(run: Run, path: str) -> str:
    """Choose the Python to lock for, and say which it is and why; the lock has to be for it.

    It is the one that the project has pinned, else nixpkgs'.
    """
    from nix_manylinux.lock.choose import pinned_python, python_for  # noqa: PLC0415 - start-up
    from nix_manylinux.lock.read import read_lock  # noqa: PLC0415
    from nix_manylinux.nix.nixpkgs import ask_nixpkgs  # noqa: PLC0415

    lock = read_lock(path)
    if default := pinned_python(path):
        why = "of .python-version"
    elif nixpkgs := ask_nixpkgs(run.environment):
        default, why = nixpkgs.python, "as <nixpkgs> has it"
    else:
        default = f"{sys.version_info[0]}.{sys.version_info[1]}"
        why = "since there is no <nixpkgs> to ask"
    python = python_for(lock, [default]) or default
    if python != default:
        asked = " or ".join(lock.environments) or f"Python {lock.requires_python}"
        why = f"since {os.path.basename(path)} is for {asked}"
    run.console.say(f"for Python {python}, {why}; --python-version chooses another one")
    return python

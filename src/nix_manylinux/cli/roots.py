"""What was linked to in a Nix store: roots that keep it from garbage collection, or a warning."""

from __future__ import annotations

import os

from nix_manylinux.base.errors import NixManylinuxError
from nix_manylinux.base.files import GC_ROOTS
from nix_manylinux.base.store import in_store, roots_folder
from nix_manylinux.base.values import Value
from nix_manylinux.base.words import count, shell
from nix_manylinux.nix.references import (
    drop_gc_roots,
    find_nix,
    interpreter_references,
    plan_references,
    register_gc_roots,
    registered_roots,
)
from nix_manylinux.tree.roots import find_pyvenv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.cli.run import Run
    from nix_manylinux.resolve.plan import Report


class _Kept(Value, kw_only=False):
    """What one folder of roots is to hold: what files are linked to, and their interpreter.

    ``others`` is what it holds besides; None where it may hold what no run knows.
    """

    folder: str
    linked: set[str]
    interpreter: set[str]
    others: set[str] | None = None


def keep(run: Run, report: Report) -> None:
    """Register what was linked to, and the interpreter that it is for, as roots.

    In the folder that was asked for, or that a tree has from an earlier run: what is linked
    now belongs there, too, and what is linked no more does not. Else it is told once that
    nothing keeps it, if nothing does.
    """
    given = run.arguments
    asked = bool(given.gc_roots or given.nixpkgs)
    if given.dry_run or (run.in_build() and not asked):
        return
    left: list[_Kept] = []
    for part in _parts(run, report):
        references = part.linked | part.interpreter
        dropped = 0
        if part.others is not None:
            dropped = drop_gc_roots(part.folder, references | part.others)
        if not (references or given.gc_roots or dropped):
            continue
        if not asked and not os.path.isdir(part.folder):
            left.append(part)
            continue
        try:
            register_gc_roots(sorted(references), part.folder, nix_store_command(run))
        except NixManylinuxError as error:
            if asked:
                raise
            run.warn_once(f"the roots in {part.folder} are not renewed: {error.what}")
            continue
        more = f"; {dropped} removed, to which nothing is linked any more" if dropped else ""
        run.console.say(f"  {count(len(references), 'root')} in {part.folder}{more}")
    _warn(run, left)


def tell_lost(run: Run) -> None:
    """Warn of trees whose roots Nix doesn't follow any more: they were moved, or copied."""
    if run.in_build() or not os.path.isdir(roots_folder()):
        return
    known = {_place(link) for link in registered_roots()}
    for path in run.arguments.paths:
        folder = os.path.join(path, GC_ROOTS)
        names = os.listdir(folder) if os.path.isdir(folder) else []
        links = [os.path.join(folder, name) for name in names]
        roots = [link for link in links if os.path.islink(link) and os.path.exists(link)]
        lost = [link for link in roots if _place(link) not in known]
        if lost:
            what = "is no root" if len(lost) == 1 else "are no roots"
            run.warn_once(
                f"{path}: {count(len(lost), 'link')} in {GC_ROOTS} {what} that Nix knows: was it"
                " moved or copied? Garbage collection may take what is linked to. To renew them:",
                f"  nix-manylinux patch {shell(path)}",
            )


def _place(link: str) -> str:
    """Give where a link lies, whichever way it is reached."""
    folder, name = os.path.split(link)
    return os.path.join(os.path.realpath(folder), name)


def nix_store_command(run: Run) -> str:
    """Find the command that makes roots; raises NoNix for the option that wants it."""
    option = "--gc-roots" if run.arguments.gc_roots else "--nixpkgs"
    return find_nix("nix-store", run.environment, option=option, hint=f"leave {option} out")


def _parts(run: Run, report: Report) -> list[_Kept]:
    given, plan = run.arguments, report.plan
    chosen = plan.target.interpreter.executable if plan.target.interpreter else ""
    venvs = {path: python for path in given.paths if (python := find_pyvenv(path))}
    also = interpreter_references(chosen) if chosen and chosen not in venvs.values() else set()
    everything = {*report.references}
    into = given.output_dir or given.prefix
    if into and not given.gc_roots:
        return [_Kept(os.path.join(into, GC_ROOTS), everything, also)]
    pythons = {path: interpreter_references(python) | also for path, python in venvs.items()}
    places = {os.path.realpath(path): path for path in given.paths}
    typed = [] if into else [places[os.path.realpath(tree.root)] for tree in plan.trees]
    own = [os.path.join(path, GC_ROOTS) for path in typed]
    if given.gc_roots and [*map(os.path.realpath, own)] != [os.path.realpath(given.gc_roots)]:
        return [_Kept(given.gc_roots, everything, also.union(*pythons.values()))]
    # What can't be read, or edited, leads where no plan says; so do commands that are no
    # environment's, whose first line may name an earlier --python.
    unknown = report.unedited or any(tree.damaged for tree in plan.trees)
    return [
        _Kept(
            folder,
            {*plan_references(plan, tree=position)},
            pythons.get(path, also),
            None
            if unknown or path not in venvs
            else {*plan_references(plan, tree=position, skipped=True)},
        )
        for position, (path, folder) in enumerate(zip(typed, own, strict=True))
    ]


def _warn(run: Run, parts: list[_Kept]) -> None:
    """Say of what is linked to in the store that it may go; an interpreter alone is no news."""
    linked = [part for part in parts if any(map(in_store, part.linked))]
    if not linked or run.warned_of_garbage:
        return
    held = {*registered_roots().values()}
    loose = {each for part in linked for each in part.linked | part.interpreter} - held
    loose = {*filter(in_store, loose)}
    if not loose:
        return
    run.warned_of_garbage = True
    what = f"{count(len(loose), 'store path')} that {'is' if len(loose) == 1 else 'are'} linked to"
    folder = shell(linked[0].folder)
    run.warn_once(f"garbage collection may take {what}; --gc-roots {folder} prevents that")

"""Wheels in a prefix: unpacked, linked, laid out and compiled, all of it or nothing."""

from __future__ import annotations

import os
from contextlib import ExitStack

from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.parallel import processors
from nix_manylinux.base.values import replace
from nix_manylinux.resolve.plan import Options, Plan, Report
from nix_manylinux.resolve.tags import check_wheel_tags
from nix_manylinux.target.interpreter import plain_environment, read_scheme
from nix_manylinux.tree.facts import TreeFacts
from nix_manylinux.tree.roots import several
from nix_manylinux.wheel.install import Installation
from nix_manylinux.wheel.open import open_wheel
from nix_manylinux.write.bytecode import compiler
from nix_manylinux.write.install import staged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nix_manylinux.base.progress import Progress
    from nix_manylinux.target.target import Target
    from nix_manylinux.tree.libraries import LibraryIndex
    from nix_manylinux.tree.roots import StrPath


def install_wheel(
    wheel: StrPath | Sequence[StrPath],
    *,
    prefix: StrPath,
    target: Target,
    libraries: LibraryIndex,
    options: Options | None = None,
    compile_levels: Sequence[int] = (0, 1),
    cores: int | None = None,
    environment: Mapping[str, str] | None = None,
    link: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Install wheels into a prefix, linked to the libraries: what an installer and a patch give.

    Folders are those of the target's interpreter, for which the modules are compiled, too:
    at each of ``compile_levels`` (0, 1, 2). ``cores`` is how many processors are used at
    most; the bytes don't depend on it. Several wheels share one plan; packages that are in
    the prefix already are other wheels to it, as if given by `Options.python_libs`. Members
    are written once, RECORD and INSTALLER are right from the start. Without ``link`` the
    files are left as they are, for a patch that comes later, and there is no INSTALLER:
    every byte is as `python -m installer` has it.

    All or nothing: whatever is raised, the prefix is as it was. Raises what
    `patch_wheel_tree` raises, `BadWheel`, and `BadTree` for a file that is in the prefix
    already. Layout and scripts are those of PyPA's `installer`.
    """
    options = options or Options()
    if target.interpreter is None:
        raise BadOption("installing needs an interpreter", hint="name it with --python")
    python = target.interpreter.executable
    home = os.path.realpath(prefix)
    scheme = read_scheme(target.interpreter, home)
    with ExitStack() as stack:
        opened = []
        for each in several(wheel):
            path = os.fspath(each)
            check_wheel_tags(path, target)
            opened.append(stack.enter_context(open_wheel(path, max_size=options.max_size)))
        modules = any(m.name.endswith(".py") for it in opened for m in it.members)
        staging = stack.enter_context(staged(home))
        compile_all = stack.enter_context(
            compiler(
                python=python,
                staging=staging,
                prefix=home,
                levels=compile_levels if modules else (),
                cores=cores or processors(),
                environment=plain_environment(environment or {}),
            )
        )
        wheels = [
            Installation(
                it, scheme=scheme, prefix=home, staging=staging, interpreter=python, signed=link
            )
            for it in opened
        ]
        present: dict[str, Installation] = {}
        for it in wheels:
            it.extract(present, cores=cores, progress=progress)
            present = {**dict.fromkeys(it.written, it), **present}
        changed: list[str] = []
        if link:
            from nix_manylinux.api import linked, planned  # noqa: PLC0415 - a patch may come later
            from nix_manylinux.tree.scan import scan_tree  # noqa: PLC0415

            others = [scheme[name] for name in ("purelib", "platlib")]
            more = (*options.python_libs, *filter(os.path.isdir, others))
            options = replace(options, python_libs=tuple(dict.fromkeys(more)))
            trees = [scan_tree(staging, progress=progress)]
            report = planned(trees, target, libraries, options, progress)
            with linked(report, options, progress) as report:
                files = (each.file for each in report.plan.files if each.changes)
                changed += [f"{staging}/{name}" for file in files for name in file.names]
                # Those of distributions that a wheel carries may have been rewritten, too.
                changed += [f"{staging}/{d.folder}/RECORD" for d in trees[0].distributions]
        else:
            distributions = tuple(it.distribution for it in opened)
            facts = TreeFacts(root=home, files=(), distributions=distributions)
            report = Report(plan=Plan(target=target, trees=(facts,), files=()))
        for it in wheels:
            it.finish(changed)
        compile_all(dict.fromkeys(module for it in wheels for module in it.modules))
        plan = report.plan
        return replace(
            report,
            plan=replace(plan, trees=(replace(plan.trees[0], root=home),)),
            warnings=(*(text for it in wheels for text in it.warnings), *report.warnings),
        )

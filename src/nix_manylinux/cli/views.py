"""The commands that only look at a wheel or a tree: inspect, expr, graph."""

from __future__ import annotations

import os

from nix_manylinux.cli.console import save_file
from nix_manylinux.nix.packages import load_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.cli.run import Run


def show_inspection(run: Run) -> None:
    """Print what a wheel or a tree is and needs, and who provides that."""
    from nix_manylinux.api import inspect  # noqa: PLC0415
    from nix_manylinux.report.inspection import inspection_json, inspection_text  # noqa: PLC0415
    from nix_manylinux.report.summary import report_json  # noqa: PLC0415
    from nix_manylinux.resolve.plan import Report  # noqa: PLC0415

    path = run.arguments.paths[0]
    seen = inspect(
        path,
        target=run.target((path,)),
        libraries=run.libraries(),
        options=run.options(),
    )
    table = load_table()
    if run.arguments.json != "-":
        text = inspection_text(seen, table, verbose=run.console.verbose, in_build=run.in_build())
        for line in text:
            run.console.answer(line)
    run.warn(seen.plan)
    details = inspection_json(seen, table)
    run.write_json(report_json("inspect", report=Report(plan=seen.plan), inspection=details))


def show_expression(run: Run) -> None:
    """Print a buildPythonPackage expression for a wheel at hand, or one that pip finds."""
    from nix_manylinux.base.scratch import scratch_folder  # noqa: PLC0415
    from nix_manylinux.nix.expression.download import download_wheels  # noqa: PLC0415
    from nix_manylinux.nix.expression.wheel import describe_wheel  # noqa: PLC0415
    from nix_manylinux.nix.expression.write import build_expression  # noqa: PLC0415
    from nix_manylinux.target.policy import load_policies  # noqa: PLC0415

    extra = run.arguments.extra
    (wheel,) = run.arguments.paths
    with scratch_folder() as folder:
        paths = [wheel]
        if not wheel.endswith(".whl"):
            paths = download_wheels(
                wheel,
                python_versions=extra.python_version or ["3.12"],
                systems=extra.system or ["x86_64-linux"],
                into=folder,
                environment=run.environment,
                progress=run.console.on_terminal,
            )
        text = build_expression(
            [describe_wheel(path) for path in paths],
            table=load_table(),
            policies=load_policies(),
            python_versions=extra.python_version or (),
            systems=extra.system or (),
            runtime_libs=extra.runtime_libs or (),
        )
    run.console.answer(text)


def show_graph(run: Run) -> None:
    """Print or save a picture of who needs what."""
    from nix_manylinux.api import plan_path  # noqa: PLC0415
    from nix_manylinux.report.picture.render import SUFFIXES, render_graph  # noqa: PLC0415

    extra = run.arguments.extra
    output: str | None = extra.output
    ending = os.path.splitext(output or "")[1].lower()
    path = run.arguments.paths[0]
    plan = plan_path(
        path,
        target=run.target((path,)),
        libraries=run.libraries(),
        options=run.options(),
    )
    text = render_graph(
        plan,
        extra.format or SUFFIXES.get(ending, "dot"),
        detail=extra.detail,
        table=load_table() if plan.missing else None,
    )
    if output is None or output == "-":
        run.console.answer(text)
    else:
        save_file(output, text, "picture", "--output")
        run.console.say(f"wrote {output}")
    run.warn(plan)

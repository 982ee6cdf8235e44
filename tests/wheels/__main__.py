"""``python -m tests.wheels``: every wheel of the list, or of a folder, patched and loaded.

Prints a table and writes JSON. Exit status 0 if everything loads that has its
libraries available, 1 if anything fails that the command had not announced, if
the loader simulation says anything else than the loader does, or if a second
patch changes a byte.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import sys
from dataclasses import asdict

from packaging.utils import parse_wheel_filename
from tests.support.store import host_store
from tests.wheels import corpus
from tests.wheels.runner import Result, companions, run_wheel

_MODES = ["tree", "wheel", "both", "unpatched", "auto-patchelf"]

_HEAD = (
    f"{'wheel':<44} {'mode':<5} {'libraries':>10} {'programs':>9}"
    f" {'edited':>6} {'growth':>8} {'s':>6}"
)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.wheels", description=__doc__)
    parser.add_argument("--folder", help="take the wheels of this folder, not those of the list")
    parser.add_argument("--list", choices=corpus.LISTS, default=corpus.LISTS[0])
    parser.add_argument("--only", default="*", help="a glob that the file names must match")
    parser.add_argument("--mode", choices=_MODES, default="both")
    parser.add_argument("--json", help="write the results to this file")
    parser.add_argument("--work", help="unpack below this directory")
    arguments = parser.parse_args()
    if arguments.folder:
        names = sorted(name for name in os.listdir(arguments.folder) if name.endswith(".whl"))
        wheels = [os.path.join(arguments.folder, name) for name in names]
    else:
        names = list(corpus.entries(arguments.list))
        wheels = list(filter(None, map(_fetched, names)))
    modes = ["tree", "wheel"] if arguments.mode == "both" else [arguments.mode]
    store = host_store()
    results: list[Result] = []
    print(_HEAD)  # noqa: T201 -- the table is what was asked for
    for wheel in wheels:
        if not fnmatch.fnmatch(os.path.basename(wheel), arguments.only) or not for_this_machine(
            wheel
        ):
            continue
        for mode in modes:
            beside = companions(wheel, wheels, extra=_beside(wheel, arguments.list))
            result = run_wheel(wheel, store, mode=mode, beside=beside, work=arguments.work)
            results.append(result)
            print(_row(result), flush=True)  # noqa: T201
            if arguments.json:  # each time: a run over everything takes an hour
                with open(arguments.json, "w", encoding="utf-8") as file:
                    json.dump([asdict(each) for each in results], file, indent=1, sort_keys=True)
    opened = sum(result.libraries + result.programs for result in results)
    differences = sum(len(result.differences) for result in results)
    print(  # noqa: T201
        f"the loader simulation: {len(results)} wheels, {opened} files, "
        f"{sum(result.needs for result in results)} needs, {differences} differences"
    )
    return any(
        each.refused or each.unexplained or each.differences or each.again for each in results
    )


def _fetched(name: str) -> str | None:
    """Fetch a wheel; one that no index here has is named, and left out."""
    try:
        return corpus.wheel(name)
    except corpus.NotHereError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return None


def _beside(wheel: str, name: str) -> list[str]:
    """Fetch the wheels that a list wants beside one of its own."""
    entry = corpus.entries(name).get(os.path.basename(wheel))
    return [corpus.wheel(start) for start in entry.beside] if entry else []


def for_this_machine(wheel: str) -> bool:
    """Whether a glibc machine of our kind can load it; the others have tests of their own."""
    machine = os.uname().machine
    tags = parse_wheel_filename(os.path.basename(wheel))[3]
    return any(
        tag.platform == "any" or (tag.platform.endswith(machine) and "musl" not in tag.platform)
        for tag in tags
    )


def _row(result: Result) -> str:
    """Write one line for a result, and one for each failure."""
    name = "-".join(result.wheel.split("-")[:2])
    if result.refused:
        return f"{name:<44} {result.mode:<5} refused: {result.refused}"
    failed = set(result.failures)
    growth = 100 * (result.size_after - result.size_before) / max(result.size_before, 1)
    lines = [
        f"{name:<44} {result.mode:<5} {result.libraries:>10} {result.programs:>9}"
        f" {result.edited:>6} {growth:>7.2f}% {result.patch_seconds:>6.2f}  "
        + (f"{len(failed)} failed" if failed else "all load")
    ]
    announced = {
        file: why for file, why in result.failures.items() if file not in result.unexplained
    }
    for file, why in sorted(announced.items()):
        lines.append(f"    announced  {file}: {why.partition(': cannot open')[0].split()[-1]}")
    lines += [f"    FAILED     {file}: {why}" for file, why in sorted(result.unexplained.items())]
    lines += [f"    AGAIN      {file}" for file in result.again]
    lines += [f"    SIMULATED  {file}: {why}" for file, why in sorted(result.differences.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

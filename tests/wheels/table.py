"""``python -m tests.wheels.table RESULTS.json...``: the tables of docs/wheels.md.

Takes what `tests.wheels` wrote in the modes "tree", "wheel" and
"auto-patchelf"; one table for each list.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.wheels import corpus

_HEAD = """\
| wheel | libraries | programs | edited | growth | tree | wheel | auto-patchelf |
|---|---|---|---|---|---|---|---|"""


def main(files: list[str]) -> int:
    """Print one table for each list, and the sums of each mode."""
    results: dict[tuple[str, str], dict[str, Any]] = {}
    for file in files:
        for result in json.loads(Path(file).read_text(encoding="utf-8")):
            results[result["wheel"], result["mode"]] = result
    for name in corpus.LISTS:
        wheels = [wheel for wheel in corpus.entries(name) if (wheel, "tree") in results]
        print(f"{name}: {_sums(wheels, 'tree', results)}\n\n{_HEAD}")  # noqa: T201 -- asked for
        for wheel in wheels:
            print(_row(wheel, results))  # noqa: T201
        print()  # noqa: T201
    for mode in sorted({mode for _, mode in results}):
        print(f"{mode}: {_sums([w for w, m in results if m == mode], mode, results)}")  # noqa: T201
    return 0


def _row(wheel: str, results: dict[tuple[str, str], dict[str, Any]]) -> str:
    tree = results[wheel, "tree"]
    files = tree["libraries"] + tree["programs"]
    cells = [
        "-".join(wheel.split("-")[:2]),
        tree["libraries"],
        tree["programs"],
        f"{tree['edited']}/{files}",
        _growth(tree),
        _verdict(tree),
        _verdict(results.get((wheel, "wheel"))),
        _with_growth(results.get((wheel, "auto-patchelf"))),
    ]
    return f"| {' | '.join(map(str, cells))} |"


def _verdict(result: dict[str, Any] | None) -> str:
    if result is None:
        return "not run"
    if result["refused"]:
        return "refused"
    return f"{len(result['failures'])} failed" if result["failures"] else "all load"


def _growth(result: dict[str, Any]) -> str:
    before = result["size_before"]
    return f"{100 * (result['size_after'] - before) / max(before, 1):.2f}%"


def _with_growth(result: dict[str, Any] | None) -> str:
    verdict = _verdict(result)
    return f"{verdict}, {_growth(result)}" if result and not result["refused"] else verdict


def _sums(wheels: list[str], mode: str, results: dict[tuple[str, str], dict[str, Any]]) -> str:
    """Sum up one mode: what was opened, what failed, and what the simulation followed."""
    all_of_it = [results[wheel, mode] for wheel in wheels]

    def total(name: str) -> int:
        return sum(one[name] if isinstance(one[name], int) else len(one[name]) for one in all_of_it)

    return (
        f"{len(all_of_it)} wheels, {total('libraries')} libraries, {total('programs')} programs, "
        f"{total('edited')} files edited, {total('failures')} failed; the simulation: "
        f"{total('needs')} needs, {total('differences')} differences"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

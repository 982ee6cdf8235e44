"""Long runs by hand: ``python -m tests.fuzz --inputs 100000 [--target NAME] [--seed N]``."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import traceback

from tests.fuzz.harness import Found, fuzz
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Fuzz; the exit status is 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    names = [target.name for target in TARGETS]
    parser.add_argument("--inputs", type=int, help="for each target; CI's number otherwise")
    parser.add_argument("--target", action="append", choices=names, help="all, if none is given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--coverage", action="store_true", help="guided by lines: slower, deeper")
    parser.add_argument("--keep", metavar="DIR", default="/tmp", help="where finds are written")  # noqa: S108
    parser.add_argument("--replay", metavar="FILE", help="run the one input in FILE")
    given = parser.parse_args()
    status = total = 0
    for target in TARGETS:
        if given.target and target.name not in given.target:
            continue
        with tempfile.TemporaryDirectory(prefix="nix-manylinux-fuzz-") as folder:
            if given.replay:
                with open(given.replay, "rb") as file:
                    data = file.read()
                print(target.prepare(folder)[1](data))  # noqa: T201
                continue
            started = time.monotonic()
            try:
                outcome = fuzz(
                    target,
                    given.inputs or target.budget,
                    folder,
                    seed=given.seed,
                    coverage=given.coverage,
                    keep=given.keep,
                )
            except Found as found:
                traceback.print_exception(found)
                status = 1
                continue
        total += outcome.inputs
        spent = time.monotonic() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(  # noqa: T201
            f"{target.name}: {outcome.inputs} inputs in {spent:.1f} s, {outcome.taken} taken,"
            f" {len(outcome.words)} different verdicts, corpus {outcome.corpus}, peak {peak} MiB",
            flush=True,
        )
    if not given.replay:
        print(f"{total} inputs in all")  # noqa: T201
    return status


sys.exit(main())

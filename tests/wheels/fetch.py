"""``python -m tests.wheels.fetch``: fetch what the tests want of the index, and show progress."""

from __future__ import annotations

import sys

from tests.support.rings import pure_wheels
from tests.wheels import corpus


def main() -> int:
    """Fetch the wheels that aren't there yet; 1 if one can't be had."""
    listed: dict[str, corpus.Entry] = {}
    for name in ("wheels.tsv", "shown.tsv", "tools.tsv"):
        listed |= corpus.entries(name)
    absent = [entry for entry in listed.values() if not corpus.is_here(entry)]
    status = 0
    for number, entry in enumerate(absent, 1):
        say(f"{number} of {len(absent)}: {entry.file}, {entry.megabytes} MB")
        try:
            corpus.wheel(entry.file)
        except corpus.NotHereError as error:
            say(f"  {error}: the tests that want it are expected to fail")
        except corpus.FetchError as error:
            say(f"  {error}")
            status = 1
    pure_wheels()
    return status


def say(line: str) -> None:
    """Tell on standard error, as the command that called us does."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress


if __name__ == "__main__":
    sys.exit(main())

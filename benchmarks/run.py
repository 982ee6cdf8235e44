"""Print the tables of all benchmarks: `python benchmarks/run.py`.

Each line compares two ways in the same run, by the medians of several rounds.
The wheels are taken from $NIX_MANYLINUX_WHEELS (default
~/.cache/nix-manylinux/wheels) and fetched with pip where they are absent: 250 MB.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys

sys.path[:0] = [
    os.path.dirname(os.path.abspath(__file__)),
    os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src"),
]
os.environ["PYTHONPATH"] = sys.path[1]
# An installed package has its bytecode: let the first round of each row make it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from files import edit_one_file, growth  # noqa: E402  the path is set above
from measure import wheel_folder  # noqa: E402
from repairs import repairs  # noqa: E402
from trees import wheel_to_wheel, whole_trees  # noqa: E402


def main() -> int:
    """Run what was asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed")
    parser.add_argument("--patchelf", default=shutil.which("patchelf"), metavar="FILE")
    parser.add_argument(
        "--auto-patchelf", metavar="FILE", help="auto-patchelf.py of a nixpkgs checkout"
    )
    parser.add_argument(
        "only", nargs="*", default=["file", "growth", "tree", "wheel"],
        help="file, growth, tree, wheel; repair (which builds four sdists) if it is named",
    )  # fmt: skip
    options = parser.parse_args()
    if options.patchelf is None:
        parser.error("there is no patchelf to compare with: install it, or give --patchelf FILE")
    if "file" in options.only:
        print(edit_one_file(options.patchelf, options.rounds))
    if "growth" in options.only:
        print(growth(options.patchelf))
    if "tree" in options.only:
        if options.auto_patchelf is None:
            print("Whole trees: not measured, --auto-patchelf FILE was not given\n")
        else:
            print(whole_trees(options.auto_patchelf, options.patchelf, options.rounds))
    if "wheel" in options.only:
        if importlib.util.find_spec("wheel") is None:
            print("Wheel to wheel: not measured, `pip install wheel` first\n")
        else:
            print(wheel_to_wheel(options.patchelf, options.rounds))
    if "repair" in options.only:
        if importlib.util.find_spec("auditwheel") is None:
            print("Repaired wheels: not measured, `pip install auditwheel` first\n")
        else:
            print(repairs(options.rounds, wheel_folder() / "built"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

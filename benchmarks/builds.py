"""Time whole Nix builds of wheels, and installing alone: `python benchmarks/builds.py`.

Builds are those of the tests' second ring: NIX_MANYLINUX_NIXPKGS and
NIX_MANYLINUX_NIXPKGS_HOST are as for tests/nix/ring_two.py. The ways take turns; a
line's ratio is that of their medians in one run. Times are of the wall clock, and
in brackets of all processors. What was built is deleted in the end.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from measure import table, wheel, workshop  # noqa: E402  the path is set above
from tests.support.rings import nix  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Name and version, and the policy that the package is built for.
WHEELS = {
    "orjson==3.13.0": "manylinux_2_17",  # nothing to do
    "python_rapidjson==1.25": "manylinux_2_24",
    "numpy==1.26.4": "manylinux_2_17",
    "scipy==1.17.1": "manylinux_2_28",
    "pyside6_essentials==6.12.0": "manylinux_2_34",
}

WAYS = ("ours", "autoPatchelf", "nothing")


class Time(NamedTuple):
    """Seconds on the wall clock, and of all processors."""

    wall: float
    cpu: float


def measured(action: Callable[[], object]) -> Time:
    """Time something that runs programs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    action()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Time(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def in_turns(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    before: Callable[[], object] = lambda: None,
) -> dict[str, Time]:
    """Give the median of each way; the first round, which warms caches up, does not count."""
    taken: dict[str, list[Time]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, action in ways.items():
            before()
            os.sync()
            taken[name].append(measured(action))
    return {
        name: Time(
            statistics.median(each.wall for each in times[1:]),
            statistics.median(each.cpu for each in times[1:]),
        )
        for name, times in taken.items()
    }


class Builder:
    """Builds packages of one wheel, each time anew."""

    def __init__(self, requirement: str, policy: str) -> None:
        self.wheel = wheel(requirement, python=sys.executable)
        name, _, version = requirement.partition("==")
        self.nix = nix("two")
        self._count = 0
        self.paths: list[str] = []
        self._common = {"wheel": str(self.wheel), "version": version, "policy": policy}
        self._common["pname"] = name.replace("_", "-")

    def build(self, attribute: str, nonce: str = "") -> str:
        """Build a part of builds.nix; give the path of its last output."""
        arguments = [
            word
            for name, value in {**self._common, "nonce": nonce}.items()
            if name != "wheel"
            for word in ("--argstr", name, value)
        ]
        for name, value in (
            ("wheel", str(self.wheel)),
            ("pureWheels", self.nix.arguments["pureWheels"]),
        ):
            arguments += ["--arg", name, value]
        command = [
            "nix-build",
            "--no-out-link",
            str(ROOT / "benchmarks/builds.nix"),
            "-A",
            attribute,
        ]
        done = subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=self.nix.environment,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-4000:])
        return done.stdout.split()[-1]

    def fresh(self, attribute: str) -> None:
        """Build what nobody has built before."""
        self._count += 1
        nonce = f"{time.time_ns()}-{self._count}"
        self.paths.append(self.build(attribute, nonce))

    def delete(self) -> None:
        """Delete what was built, `dist` outputs too."""
        for path in self.paths:
            (recipe,) = self._store("--query", "--deriver", path)
            outputs = [
                each for each in self._store("--query", "--outputs", recipe) if os.path.exists(each)
            ]
            self._store("--delete", "--ignore-liveness", *outputs)

    def _store(self, *words: str) -> list[str]:
        done = subprocess.run(
            ["nix-store", *words],
            env=self.nix.environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.split()


def shown(each: Time) -> str:
    """Write a time for a table."""
    return f"{each.wall:.2f} s ({each.cpu:.1f})"


def builds(wheels: Mapping[str, str], rounds: int) -> str:
    """Time whole builds."""
    rows = []
    for requirement, policy in wheels.items():
        builder = Builder(requirement, policy)
        try:
            found = in_turns({way: partial(builder.fresh, way) for way in WAYS}, rounds)
        finally:
            builder.delete()
        row = [requirement, shown(found["ours"])]
        for way in WAYS[1:]:
            row += [shown(found[way]), f"{found['ours'].wall / found[way].wall:.2f}"]
        rows.append(row)
        sys.stderr.write(f"{row}\n")
    heads = ["a whole build", "ours", "autoPatchelfHook", "ratio", "no patching", "ratio"]
    return table("Whole builds", heads, rows)


def peak(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Give the most memory, in bytes, that a program and all that it runs have at one time."""
    process = subprocess.Popen(
        list(command),
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    highest = 0
    while process.poll() is None:
        highest = max(highest, _memory(process.pid))
        time.sleep(0.005)
    if process.returncode:
        raise RuntimeError(f"{command[0]}: exit {process.returncode}")
    return highest


def _memory(pid: int) -> int:
    """Sum the proportional sizes of a process and its children; what is shared counts once."""
    total = 0
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = file.read().split()
    except (OSError, ValueError):
        return total
    return total + sum(_memory(int(child)) for child in children)


def installs(wheels: Mapping[str, str], rounds: int) -> str:
    """Time installing alone, bytecode included."""
    rows = []
    for requirement, policy in wheels.items():
        rows.append([requirement, *_install(Builder(requirement, policy), rounds)])
        sys.stderr.write(f"{rows[-1]}\n")
    heads = ["installing alone", "ours", "peak memory", "installer", "ratio", "uv", "ratio"]
    return table("Installing", heads[: len(rows[0])], rows)


def _install(builder: Builder, rounds: int) -> list[str]:
    tool = f"{builder.build('nix-manylinux')}/bin/nix-manylinux"
    python = f"{builder.build('python')}/bin/python3.11"
    library = f"{builder.build('installer')}/lib/python3.11/site-packages"
    settings = {"SOURCE_DATE_EPOCH": "315532800", "PYTHONPATH": library, "PYTHONHASHSEED": "0"}
    uv = shutil.which("uv")
    with workshop() as folder:
        prefix, path = str(folder / "prefix"), str(builder.wheel)
        commands = {
            "ours": [tool, "install", "-q", "--no-link", "--python", python, "--prefix", prefix],
            "installer": [python, "-W", "ignore", "-m", "installer", "--prefix", prefix],
        }
        if uv:
            commands["uv"] = [uv, "pip", "install", "-q", "--no-deps", "--compile-bytecode"]
            commands["uv"] += ["--no-cache", "--python", python, "--prefix", prefix]

        def clear() -> None:
            # Not deleted: ext4 passes by the inodes of what was deleted seconds ago.
            if os.path.exists(prefix):
                os.rename(prefix, f"{prefix}-{time.time_ns()}")

        def run(name: str) -> None:
            command = [*commands[name], path]
            environment = {**os.environ, **settings}
            subprocess.run(command, check=True, env=environment, capture_output=True)

        found = in_turns({name: partial(run, name) for name in commands}, rounds, before=clear)
        clear()
        highest = peak([*commands["ours"], path], settings)
        row = [shown(found["ours"]), f"{highest / 1e6:.0f} MB"]
        for name in [*commands][1:]:
            row += [shown(found[name]), f"{found['ours'].wall / found[name].wall:.2f}"]
        return row


def main() -> int:
    """Run what was asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed")
    parser.add_argument("--only", choices=("builds", "installs"))
    parser.add_argument(
        "wheels", nargs="*", metavar="NAME==VERSION[:POLICY]",
        help="default: a small extension, numpy, scipy, PySide6-Essentials",
    )  # fmt: skip
    options = parser.parse_args()
    chosen = dict(each.partition(":")[::2] for each in options.wheels)
    wheels = {name: policy or WHEELS.get(name, "manylinux_2_28") for name, policy in chosen.items()}
    if options.only != "installs":
        print(builds(wheels or WHEELS, options.rounds))
    if options.only != "builds":
        print(installs(wheels or WHEELS, options.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())

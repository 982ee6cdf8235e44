"""Libraries of nixpkgs, built or fetched by Nix for what is missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import deque

from nix_manylinux.base.errors import BadOption, NixManylinuxError
from nix_manylinux.base.programs import run_program
from nix_manylinux.base.values import Value, field, replace
from nix_manylinux.nix.advice import without_choices
from nix_manylinux.nix.adviser import Adviser
from nix_manylinux.nix.references import find_nix
from nix_manylinux.nix.syntax import nix_string
from nix_manylinux.resolve.plan import Plan, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence


#: So many of Nix's last lines are kept for when it fails.
_LAST_LINES = 15
#: Processes of Nix that evaluate at once.
_AT_ONCE = 4
#: What Nix says before it begins: "these 2 paths will be fetched (1.20 MiB download, …):".
_WORK = re.compile(
    r"th(?:is|ese (?P<number>[0-9]+)) (?P<what>derivation|path)s?"
    r" will be (?P<how>built|fetched)(?: \((?P<size>[^),]+)[^)]*\))?:?"
)
_BEGUN = re.compile(r"(building|copying path) '[^' ]*/[0-9a-z]{32}-([^' ]+?)(?:\.drv)?'")
#: Names of what is downloaded by a build, for others.
_ARCHIVE = re.compile(r"\.(?:tar(?:\.\w+)?|t[gx]z|zip|whl|patch|diff)$")
#: How such a build says that it has failed, and curl in it why.
_LOST = re.compile(r"cannot download (\S+) from any mirror")
_CURL = re.compile(r"curl: \([0-9]+\) (.+)")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
#: How Nix says that there is nothing to look for an attribute in.
_UNREADABLE = re.compile(
    "in the Nix search path|getting status of|opening file|syntax error|unable to download"
    r"|error: path '.*' does not exist"  # as newer ones say
)
#: How `nix-build` and a flake say that an attribute isn't there.
_NO_SUCH = re.compile(r"error: .*(?:in selection path .* not found|does not provide attribute)")
#: How Nix says that it is a name only, as some are for other systems.
_IS_NULL = re.compile(r"error: .*selection path .* should be a set but is null")


class CantAsk(NixManylinuxError):
    """A nixpkgs that Nix can't read at all, so that no library of it is had."""


class Work(Value):
    """What Nix is about to do: how many it builds, how many it fetches, and how much that is."""

    built: int = 0
    fetched: int = 0
    size: str = ""


class Taken(Value):
    """What came of some attributes.

    ``folders`` are the ``lib`` folders of those that are there, in their order; ``failed`` says
    of others why. ``last_words`` are the end of what Nix said where a build failed. Where it
    ``gave_up`` nothing was built.
    """

    folders: dict[str, str] = field(hash=False)
    failed: dict[str, str] = field(hash=False)
    last_words: tuple[str, ...] = ()
    gave_up: bool = False


class Listener:
    """Hears what Nix does, line by line; whoever wants to tell of it says how."""

    def line(self, text: str) -> None:
        """Hear one line of what Nix says."""

    def work(self, work: Work) -> None:
        """Hear what is to be built and fetched; not called for nothing."""

    def progress(self, begun: int, total: int, what: str, said: str) -> None:
        """Hear how many of the builds and downloads have begun, the last one, and Nix's last word.

        ``what`` is "building zlib-1.3", say.
        """


def wanted_attributes(plan: Plan, tried: Collection[str]) -> dict[str, list[str]]:
    """Give the attributes of nixpkgs, outputs included, that have what is missing in a plan.

    Sorted; with each the names that it is wanted for. What a plan has waived counts too, and
    what was linked earlier: libraries of two nixpkgs need not work together. Those in
    ``tried`` are left out, and what is unfree, insecure or another language's: nobody has
    asked for that.
    """
    adviser = Adviser(plan.trees)
    linked = [
        Problem(name=r.name.rpartition("/")[2], wanted_by=(each.file.label,))
        for each in plan.files
        for r in each.resolutions
        if r.is_kept
    ]
    problems, _ = without_choices((*plan.missing, *plan.waived, *linked), adviser)
    wanted: dict[str, list[str]] = {}
    for problem in problems:
        found = adviser.advise(*problem.names)
        if found.may_be_taken and found.installable not in tried:
            wanted.setdefault(found.installable, []).append(problem.name)
    return dict(sorted(wanted.items()))


def runtime_attributes(
    sonames: Iterable[str], unbuilt: Mapping[str, str]
) -> dict[str, list[str]] | None:
    """Give the attributes that have libraries to be loaded at run time, each with their names.

    None where one of them has none that may be taken, or that is ``unbuilt``.
    """
    adviser, wanted = Adviser(unbuilt=unbuilt), dict[str, list[str]]()
    for soname in sonames:
        found = adviser.advise(soname)
        if not found.may_be_taken:
            return None
        wanted.setdefault(found.installable, []).append(soname)
    return wanted


class NixBuilds:
    """A nixpkgs that Nix is asked for libraries of, by attribute, outputs included.

    ``reference`` is ``<nixpkgs>``, a path, or a flake reference (with a colon or "#").
    Raises BadOption for a path that isn't there, NoNix where there is no Nix, CantAsk where a
    flake can't be read.
    """

    def __init__(
        self, reference: str, environment: Mapping[str, str], listener: Listener | None = None
    ) -> None:
        self.reference = reference
        self._environment = environment
        self._listener = listener or Listener()
        is_path = os.path.exists(reference)
        is_flake = not is_path and (":" in reference or "#" in reference)
        if not (is_path or is_flake or reference.startswith("<")):
            flake = f": flake:{reference}" if re.fullmatch(r"[\w-]+", reference) else ""
            raise BadOption(
                f"there is no such file or directory: {reference}",
                where="--nixpkgs",
                hint=f"give a path, or a flake reference{flake}",
            )
        self._build = self._find("nix-build")
        self._evaluate = self._find("nix-instantiate")
        self._source = self._flake() if is_flake else (reference,)

    def take(
        self,
        attributes: Sequence[str],
        *,
        dry_run: bool = False,
        give_up: Callable[[Mapping[str, str]], bool] = lambda _: False,
    ) -> Taken:
        """Build or fetch attributes: all in one call, none of them twice.

        With ``dry_run`` nothing is built or fetched; what would have to be has no folder.
        ``give_up`` is told what can't be evaluated, and why, before anything is built, and says
        whether the rest is of no use.
        """
        failed: dict[str, str] = {}
        asked = [*attributes]
        call = self._call(asked, dry_run=dry_run)
        if call.status and call.work == Work():  # it got no further than reading
            failed = self._failing(attributes)
            if failed and give_up(failed):
                return Taken(folders={}, failed=failed, gave_up=True)
            asked = [name for name in attributes if name not in failed]
            if asked and failed:
                call = self._call(asked, dry_run=dry_run)
        if dry_run and not call.status and call.work == Work():
            call = self._call(asked)  # all is there: only the names of its folders are wanted
        if not call.status and len(call.paths) == len(asked):
            places = dict(zip(asked, call.paths, strict=True))
        elif dry_run:
            places = {}
        else:
            found = {name: self._place(name)[0] for name in asked}
            places = {name: path for name, path in found.items() if os.path.exists(path)}
            why = f"of {self.reference} could not be built{call.lost and f': {call.lost}'}"
            failed |= {name: f"{name} {why}" for name in asked if name not in places}
        return Taken(
            folders={
                name: folder
                for name, path in places.items()
                if os.path.isdir(folder := os.path.join(path, "lib"))
            },
            failed=failed,
            last_words=tuple(call.last) if call.status and asked else (),
        )

    def unusable(self, attributes: Sequence[str]) -> dict[str, str]:
        """Say which attributes this nixpkgs lacks or can't evaluate, each with why; builds nothing.

        One evaluation where all are there.
        """
        call = self._call(attributes, dry_run=True, listener=Listener())
        return self._failing(attributes) if call.status and call.work == Work() else {}

    def _failing(self, attributes: Sequence[str]) -> dict[str, str]:
        """Ask for each attribute by itself whether it can be had."""
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 (start-up)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = dict(zip(attributes, pool.map(self._place, attributes), strict=True))
        return {name: why for name, (_, why) in found.items() if why}

    def _find(self, command: str) -> str:
        hint = "name directories of libraries with --libs"
        return find_nix(command, self._environment, option="--nixpkgs", hint=hint)

    def _flake(self) -> tuple[str, ...]:
        """Give an expression for a flake's packages, which is fetched, or copied, only once."""
        command = [self._find("nix"), "--extra-experimental-features", "nix-command flakes"]
        _, told, said = self._quietly([*command, "flake", "metadata", "--json"], self.reference)
        try:
            url = json.loads(told)["url"]
        except (ValueError, LookupError, TypeError):
            hint = "a flake reference is github:NixOS/nixpkgs/nixos-24.05, say, or path:FOLDER"
            raise self._cant_ask(said, hint) from None
        packages = (
            f"let flake = builtins.getFlake {nix_string(url)}; s = builtins.currentSystem;"
            " in (flake.legacyPackages.${s} or { }) // (flake.packages.${s} or { })"
        )
        return ("--extra-experimental-features", "flakes", "-E", packages)

    def _place(self, attribute: str) -> tuple[str, str]:
        """Give the store path that an attribute is or would be, or why it has none."""
        command = [self._evaluate, "--eval", *self._source, "-A"]
        status, told, said = self._quietly(command, f"{attribute}.outPath")
        if status == 0:
            return told.strip().strip('"'), ""
        if _NO_SUCH.search(said) or _IS_NULL.search(said):
            return "", f"{self.reference} has no {attribute}"
        if _UNREADABLE.search(said):
            hint = "give --nixpkgs a path of a nixpkgs, or a flake reference: flake:nixpkgs"
            raise self._cant_ask(said, hint)
        return "", f"{self.reference} has no {attribute} that can be built: {_reason(said)}"

    def _cant_ask(self, said: str, hint: str) -> CantAsk:
        return CantAsk(f"Nix can't read it: {_reason(said)}", where=self.reference, hint=hint)

    def _quietly(self, command: Sequence[str], last: str) -> tuple[int, str, str]:
        done = run_program([*command, last], self._environment)
        told, said = (each.decode("utf-8", "replace") for each in (done.stdout, done.stderr))
        for line in said.splitlines():
            self._listener.line(line)
        return done.returncode, told, _ESCAPES.sub("", said)

    def _call(
        self,
        attributes: Sequence[str],
        *,
        dry_run: bool = False,
        listener: Listener | None = None,
    ) -> _Listening:
        """Run nix-build once, and have its words heard while it runs."""
        command = [self._build, *self._source, "--no-out-link", "--keep-going"]
        command += [word for name in attributes for word in ("-A", name)]
        command += ["--dry-run"] if dry_run else []
        call = _Listening(listener or self._listener)
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(self._environment),
            text=True,
            errors="replace",
        ) as process:
            for line in process.stderr or ():
                call.hear(_ESCAPES.sub("", line.rstrip("\n")))
            # They are few and short: the pipe held them.
            call.paths = process.stdout.read().split() if process.stdout else []
        call.tell_work()
        call.status = process.returncode
        return call


class _Listening:
    """One call of nix-build: picks out of what Nix says what it is going to do."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.status = 0
        self.paths: list[str] = []
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        self.work = Work()
        #: What could not be downloaded, and why, as far as Nix says so.
        self.lost = ""
        self._told = False
        self._begun = 0
        self._what = "building or fetching"

    def hear(self, line: str) -> None:
        self._listener.line(line)
        work = _WORK.fullmatch(line.strip())
        if work:
            number = int(work["number"] or 1)
            if work["how"] == "built":
                self.work = replace(self.work, built=number)
            else:
                self.work = replace(self.work, fetched=number, size=work["size"] or "")
            return
        if line.startswith("  /nix/") or not line.strip():
            return
        self.last.append(line)
        self.tell_work()
        if lost := _LOST.search(line):
            whys = [each[1] for each in map(_CURL.search, self.last) if each]
            self.lost = f"{lost[1]} can't be downloaded{f' ({whys[-1]})' if whys else ''}"
        if begun := _BEGUN.match(line):
            self._begun += 1
            builds = begun[1] == "building" and not _ARCHIVE.search(begun[2])
            self._what = f"{'building' if builds else 'fetching'} {begun[2]},"
        total = self.work.built + self.work.fetched
        said = "" if begun else line.strip()
        self._listener.progress(min(self._begun, total), total, self._what, said)

    def tell_work(self) -> None:
        """Tell what is to be done, once it is known to be all."""
        if self.work != Work() and not self._told:
            self._told = True
            self._listener.work(self.work)


def _reason(said: str) -> str:
    """Give the sentence behind Nix's last "error:", in one line."""
    lines = [line.strip() for line in said.splitlines()]
    starts = [number for number, line in enumerate(lines) if line.startswith("error:")]
    rest = lines[starts[-1] :] if starts else lines[-1:]
    told = (line for line in rest if line and not line.startswith("(use '--show-trace'"))
    text = " ".join(told).removeprefix("error:").strip()
    return text if len(text) <= 300 else f"{text[:300]}…"

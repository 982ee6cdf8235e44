"""Which policy a wheel is to keep: the oldest that its files, and what they graft, allow."""

from __future__ import annotations

import posixpath

from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.values import Value, replace
from nix_manylinux.base.words import listed
from nix_manylinux.elf.facts import ElfFacts, ElfKind
from nix_manylinux.elf.symbols import dynamic_strings, needed_isa, wanted_symbols
from nix_manylinux.repair.inside import led_inside
from nix_manylinux.repair.model import Finding, NotPortable, RepairOptions
from nix_manylinux.repair.needs import Needs, walk
from nix_manylinux.repair.system import (
    embeds_python,
    is_libpython,
    loaders_of,
    portable_interpreter,
    promises,
)
from nix_manylinux.report.verdict import (
    Breach,
    architecture,
    files_for,
    libc_needed,
    libc_of,
    too_new,
)
from nix_manylinux.target.policy import Policy, floor, load_policies, policy_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from nix_manylinux.tree.facts import TreeFacts, TreeFile
    from nix_manylinux.tree.libraries import LibraryIndex

_ISA = ("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4")
#: The glibc that asks most of what is loaded: newer ones let libraries without versions pass,
#: and executable stacks are refused by the files' own facts.
_STRICT = (2, 40)
#: What Cython looked for in Python 2 and 3.6; no manylinux Python has them.
_NO_PYTHON_HAS = frozenset({"PyFPE_jbuf", "PyFPE_dummy", "PyFPE_counter"})


class PolicyChoice(Value):
    """The policy that was chosen, the platform tags for it, and what it takes to keep it.

    ``files`` are those that count: linked, for ``arch``, with the policy's libc or none.
    ``others`` are the rest, which stay as they are; ``root`` is the tree of both. ``led``
    are entries that lead a file, by its path, to libraries of the wheel that it needs and
    that no search path led to.
    ``promises`` says of a soname whether the policy has it; of those that are needed,
    ``promised`` are the policy's, and ``left`` were excluded. ``obstacles`` keep it from
    being an older one.
    """

    policy: Policy
    arch: str
    platforms: tuple[str, ...]
    root: str
    files: tuple[TreeFile, ...]
    others: tuple[TreeFile, ...]
    led: Mapping[str, tuple[str, ...]]
    needs: Needs
    promises: Callable[[str], bool]
    promised: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    obstacles: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()

    def interpreter(self, present: str | None) -> str | None:
        """Give the interpreter that a file gets in place of its own; None where that stays."""
        return portable_interpreter(present, self.policy.libc, self.arch)


class Chooser:
    """Judges one unpacked wheel by all policies of its machine and libc."""

    def __init__(
        self,
        facts: TreeFacts,
        platforms: Sequence[str],
        libraries: LibraryIndex,
        options: RepairOptions,
    ) -> None:
        linked = [
            file
            for file in facts.files
            if file.facts.kind.is_linked or file.facts.kind is ElfKind.STATIC
        ]
        self.facts, self.options = facts, options
        self._excludes = options.excludes
        self.libraries = libraries
        named = [*platforms, options.policy]
        self.arch = architecture(named, linked)
        #: Machines that files are for, of which nothing names one.
        self._machines = sorted({file.facts.machine.name for file in linked})
        if architecture(named, ()) != "any":
            self._machines = []
        # What nothing in the wheel tells, the policy that was asked for does.
        asked = [] if any(map(libc_needed, linked)) else [options.policy]
        self.libc = libc_of([*platforms, *asked], linked)
        self.files = tuple(files_for(self.arch, self.libc, linked))
        self._others = tuple(file for file in linked if file not in self.files)
        self._symbols: dict[str, frozenset[str]] = {}
        self._walks: list[tuple[Callable[[str], bool], tuple[Needs, set[str]]]] = []
        self.known = load_policies().of(self.arch, self.libc)
        self.extra = self._runtime_grafts()

    def _runtime_grafts(self) -> tuple[str, ...]:
        found: dict[str, str] = {}
        for soname in self.options.graft:
            path = next(iter(self.libraries.named(soname)), None)
            if path is None:
                raise BadOption(
                    "no --libs folder has this library, which is to come along",
                    where=f"--graft {soname}",
                    hint="give its folder with --libs",
                )
            other = found.setdefault(self.libraries.disk.real(path), path)
            if other != path:
                first = posixpath.basename(other)
                raise BadOption(
                    f"is the library of --graft {first}, and a wheel has no links",
                    where=f"--graft {soname}",
                    hint="give the one name that it is loaded by",
                )
        return tuple(found.values())

    @property
    def is_pure(self) -> bool:
        """Whether the wheel has no native code at all."""
        return not self.files and not self._others

    def choose(self, where: str) -> PolicyChoice:
        """Give the policy to keep; raises `NotPortable` with all that forbids every one."""
        if len(self._machines) > 1:
            labels = tuple(sorted(file.label for file in (*self.files, *self._others)))
            what = f"files are for {listed(self._machines)}, and the wheel's tag names none of them"
            raise NotPortable([Finding("machine", what, labels)], where=where)
        if not self.files:
            labels = tuple(file.label for file in self._others)
            what = f"no file is for {self.arch} and {self.libc}, as the wheel's tag says"
            raise NotPortable([Finding("machine", what, labels)], where=where)
        if not self.known:
            raise BadOption(
                f"no {self.libc} policy knows the architecture {self.arch}",
                where=where,
                hint="give a wheel for one of the architectures of PEP 600 and PEP 656",
            )
        led = led_inside(self.facts, self.files, self.libraries.disk, self.known[-1], self.arch)
        fine = [policy for policy in self.known if not self._newer(policy)]
        fine = [policy for policy in fine if not self._forbidden(policy)]
        # An older policy that has to take more along is not worth it (auditwheel's rule).
        fewest = min(self._needs(policy)[0].count for policy in self.known)
        kept = [policy for policy in fine if self._needs(policy)[0].count <= fewest]
        best = (kept[-1] if self.libc == "musl" else kept[0]) if kept else None
        if self.options.policy == "auto":
            chosen, name = best or self.known[-1], ""
        else:
            chosen, name = self._asked(where)
        needs, taken = self._needs(chosen)
        promised = promises(chosen, self.arch)
        left = {soname for soname in taken if not promised(soname) and self._excludes(soname)}
        findings = list(self._findings(chosen, needs))
        if findings:
            would_do = fine and chosen not in fine and not needs.missing  # they ask for more
            fitting = f"{fine[0].name}_{self.arch}" if would_do else ""
            raise NotPortable(findings, where=where, fitting=fitting, trees=(self.facts,))
        warnings = [*needs.notes, *self._unused_excludes(left)]
        warnings += [
            f"{file.label} no longer names {name}: a Python that loads it has what it needs"
            for file in self.files
            for name in filter(is_libpython, file.facts.needed)
            if not embeds_python(file.facts)
        ]
        warnings += [
            f"{file.label} is for another machine or libc; it stays as it is"
            for file in self._others
        ]
        return PolicyChoice(
            policy=chosen,
            arch=self.arch,
            platforms=self._platforms(name or chosen.name, chosen, best),
            root=self.facts.root,
            files=self.files,
            others=self._others,
            led=led,
            needs=needs,
            promises=promised,
            promised=tuple(sorted(self._promised(chosen))),
            left=tuple(sorted(left)),
            obstacles=tuple(self._obstacles(chosen)) if chosen is best else (),
            warnings=tuple(warnings),
        )

    def _asked(self, where: str) -> tuple[Policy, str]:
        """Give the policy whose lists hold for the one that was asked for, and its name."""
        asked = floor(self.options.policy)
        if asked.libc != self.libc or asked.arch not in {"", self.arch}:
            raise BadOption(
                f"the wheel is for {self.libc} on {self.arch}, which {asked} is not",
                where=where,
                hint="leave --policy out, and the oldest policy that is kept is taken",
            )
        name = self.options.policy.removesuffix(f"_{self.arch}")
        return policy_for(f"{name}_{self.arch}"), name

    def _platforms(self, name: str, chosen: Policy, best: Policy | None) -> tuple[str, ...]:
        names = {name}
        if self.options.also_tags:
            same = chosen.version == floor(name).version
            names |= {chosen.name, *chosen.aliases} if same else set()
        if self.options.also_tags == "kept" and best is not None:
            names |= {best.name, *best.aliases}
        return tuple(sorted(f"{each}_{self.arch}" for each in names))

    # What is in the way -----------------------------------------------------------

    def _needs(self, policy: Policy) -> tuple[Needs, set[str]]:
        """Walk by a policy, and note what is left to the system.

        Those that promise alike, as far as anybody asks, share one walk.
        """
        promised = promises(policy, self.arch)
        for other, known in self._walks:
            judged = self._judged(known[0])
            asked = {name for *_, facts in judged for name in (*facts.needed, *facts.filters)}
            if all(promised(name) == other(name) for name in asked):
                return known
        taken = set[str]()
        loaders = loaders_of(
            self.libraries.disk,
            self.facts.root,
            self.files[0].facts.machine,
            policy,
            lambda name: promised(name) or self._excludes(name),
            taken=taken,
            libraries=self.libraries.directories,
            version=_STRICT,
        )
        needs = walk(loaders, self.facts.root, self.files, extra=self.extra)
        self._walks.append((promised, (needs, taken)))
        return needs, taken

    def _newer(self, policy: Policy) -> list[Breach]:
        judged = [(label, facts) for label, _, facts in self._judged(self._needs(policy)[0])]
        return too_new(judged, policy.limits[self.arch])

    def _judged(self, needs: Needs) -> Iterator[tuple[str, str, ElfFacts]]:
        """Give label, path and facts of the files, and of what comes along."""
        for file in self.files:
            yield file.label, f"{self.facts.root}/{file.path}", file.facts
        for path in needs.grafts:
            facts = self.libraries.disk.facts(path)
            if facts is not None:
                yield path, path, facts

    def _forbidden(self, policy: Policy) -> dict[str, list[str]]:
        """Give the symbols that may not be wanted, each with why, and who wants them."""
        found: dict[str, list[str]] = {}
        for label, path, facts in self._judged(self._needs(policy)[0]):
            wanted = self._wanted(path, facts)
            whys = [
                f"{symbol} of {soname} is not for others to use"
                for soname, names in policy.forbidden.items()
                for symbol in (sorted(wanted & names) if soname in facts.needed else ())
            ]
            none = "is in no Python but one that was built --with-fpectl"
            whys += [f"{symbol} {none}" for symbol in sorted(wanted & _NO_PYTHON_HAS)]
            for why in whys:
                found.setdefault(why, []).append(label)
        return found

    def _wanted(self, path: str, facts: ElfFacts) -> frozenset[str]:
        """Give the symbols that a file wants, of those that any policy forbids."""
        if path not in self._symbols:
            forbidden = [policy.forbidden for policy in self.known]
            of_needed = [each.get(soname, ()) for each in forbidden for soname in facts.needed]
            table = dynamic_strings(path)
            names = _NO_PYTHON_HAS.union(*of_needed)
            mentioned = [name for name in names if f"{name}\0".encode() in table]
            self._symbols[path] = wanted_symbols(path, mentioned) if mentioned else frozenset()
        return self._symbols[path]

    def _findings(self, policy: Policy, needs: Needs) -> Iterator[Finding]:
        for (name, reason), labels in needs.missing.items():
            what = f"{name} is missing{f': {reason}' if reason else ''}"
            yield Finding("missing", what, labels, name)
        for (name, reason), labels in needs.unfit.items():
            yield Finding("misfit", f"{name}: {reason}", labels)
        yield from self._breaches(policy)
        highest = _ISA.index(self.options.allow_isa) + 1
        for label, path, facts in self._judged(needs):
            if facts.executable_stack:
                yield Finding("stack", "an executable stack", (label,))
            if "glibc-hwcaps/" not in label and facts.machine.name == "x86_64":
                level = needed_isa(path)
                if level > highest:
                    yield Finding("isa", f"instructions of {_ISA[level - 1]}", (label,))

    def _breaches(self, policy: Policy) -> Iterator[Finding]:
        for breach in self._newer(policy):
            private = " (private to one version of the libc)" if "PRIVATE" in breach.version else ""
            yield Finding(
                "version",
                f"{breach.version} of {breach.library} is newer than {policy.name}{private}",
                breach.wanted_by,
            )
        for what, wanting in self._forbidden(policy).items():
            yield Finding("symbol", what, tuple(wanting))

    def _obstacles(self, chosen: Policy) -> Iterator[Finding]:
        """Say what the next older policy lacks; of musl's, files can't tell one from another."""
        older = self.known[: self.known.index(chosen)][-1:] if self.libc == "glibc" else []
        for policy in older:
            yield from self._breaches(policy)
            had = promises(policy, self.arch)
            for name, labels in sorted(self._promised(chosen).items()):
                if not (had(name) or self._excludes(name)):
                    yield Finding("library", f"{name} is not in {policy.name}", tuple(labels))

    def _promised(self, policy: Policy) -> dict[str, list[str]]:
        """Give the sonames that a policy answers, each with who needs it."""
        needs, promised = self._needs(policy)[0], promises(policy, self.arch)
        wanted: dict[str, list[str]] = {}
        for label, path, facts in self._judged(needs):
            own = needs.links.get(self.libraries.disk.real(path), {})
            for name in facts.needed:
                if promised(name) and name not in own:
                    wanted.setdefault(name, []).append(label)
        return wanted

    def _unused_excludes(self, left: Iterable[str]) -> list[str]:
        unused = [
            each
            for each in self.options.exclude
            if not any(replace(self.options, exclude=(each,)).excludes(name) for name in left)
        ]
        return [f"nothing needs what --exclude {each} names" for each in unused]

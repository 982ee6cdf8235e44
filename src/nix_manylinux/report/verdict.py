"""Which policy a wheel's files really keep, as auditwheel judges it, from facts alone.

auditwheel looks for the libraries that a wheel leaves out on the machine that
it runs on. Which policy is kept doesn't depend on that: a soname that the
policy doesn't list, and that the wheel doesn't bring, breaks it wherever it
may be found. Four of its questions are not asked here, as they want symbol
tables or instructions: private zlib symbols ("blacklist"), Python 2's narrow
unicode, PyFPE_jbuf, and instruction sets beyond the baseline.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter

from nix_manylinux.base.store import in_store
from nix_manylinux.base.values import Value
from nix_manylinux.elf.tokens import origin_entries
from nix_manylinux.resolve.faults import RELATIVE_RELOCATIONS
from nix_manylinux.target.libc import is_glibc_loader
from nix_manylinux.target.policy import Limits, Policy, load_policies, parse_floor
from nix_manylinux.wheel.name import platforms_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from nix_manylinux.elf.facts import ElfFacts
    from nix_manylinux.tree.facts import TreeFacts, TreeFile

#: ".cpython-312-aarch64-linux-musl.so"
_MODULE_SUFFIX = r"\.cpython-3(\d+)t?-\w+-linux-(gnu|musl)\w*\.so$"


class Breach(Value):
    """One thing that a policy does not allow.

    ``version`` is the symbol version that is too new, or empty where the
    policy has no such ``library`` and the wheel doesn't bring it either.
    ``wanted_by`` are labels.
    """

    library: str
    version: str
    wanted_by: tuple[str, ...]


class Verdict(Value):
    """What a wheel claims, and what its files keep.

    ``claimed`` are the platforms of its tags. ``kept`` is the least demanding
    platform whose policy all files keep ("linux_x86_64" where they keep none,
    "any" where there are no ELF files), with its legacy names in ``aliases``;
    ``by_versions`` the one that symbol versions alone would allow.
    ``breaches`` say how the lowest claim is broken (empty where it is kept),
    ``obstacles`` what stands between ``kept`` and the next less demanding
    policy. ``in_store`` are labels of files that lead into Nix's store: no policy allows
    that, so they keep none.
    """

    claimed: tuple[str, ...]
    kept: str
    aliases: tuple[str, ...] = ()
    by_versions: str
    breaches: tuple[Breach, ...] = ()
    obstacles: tuple[Breach, ...] = ()
    in_store: tuple[str, ...] = ()


def verdict(facts: TreeFacts, *, claimed: Sequence[str] = ()) -> Verdict:
    """Judge the ELF files of a tree; ``claimed`` are tags, WHEEL's own where none are given.

    Architecture and libc are what the tags say, as for auditwheel; files for
    other machines, or another libc, are left out. Where the tags don't tell,
    most files decide.
    """
    tags = claimed or [tag for each in facts.distributions for tag in each.tags]
    platforms = platforms_of(tags)
    arch = architecture(platforms, facts.files)
    libc = libc_of(platforms, facts.files)
    files = files_for(arch, libc, facts.files)
    if not files:
        return Verdict(claimed=platforms, kept="any", by_versions="any")
    policies = load_policies()
    known = policies.of(arch, libc)
    judged = [
        (policy, *_judge(policy, arch, files, policies.promised(policy, arch))) for policy in known
    ]
    floors = [floor for platform in platforms if (floor := parse_floor(platform))]
    lowest = min((floor.version for floor in floors if floor.libc == libc), default=None)
    if libc == "musl" and lowest:
        # A musllinux policy has no symbol versions: files can't tell one from another.
        judged = [each for each in judged if each[0].version <= lowest][-1:]
    position = next((i for i, (_, *broken) in enumerate(judged) if not any(broken)), None)
    by_versions = next((policy for policy, _, versions in judged if not versions), None)
    claim = [each for each in judged if lowest and each[0].version <= lowest][-1:]
    older = judged[: len(judged) if position is None else position][-1:]
    linked = tuple(file.label for file in files if leads_into_store(file.facts))
    kept = None if position is None or linked else judged[position][0]
    return Verdict(
        claimed=platforms,
        kept=f"{kept.name if kept else 'linux'}_{arch}",
        aliases=tuple(f"{alias}_{arch}" for alias in kept.aliases) if kept else (),
        by_versions=f"{by_versions.name if by_versions else 'linux'}_{arch}",
        breaches=tuple(breach for _, *broken in claim for part in broken for breach in part),
        obstacles=tuple(breach for _, *broken in older for part in broken for breach in part),
        in_store=linked,
    )


def files_for(arch: str, libc: str, files: Iterable[TreeFile]) -> list[TreeFile]:
    """Leave out files for other machines, or for another libc."""
    of_arch = [file for file in files if file.facts.machine.name == arch]
    return [file for file in of_arch if libc_needed(file) in {libc, None}]


def leads_into_store(facts: ElfFacts) -> bool:
    """Whether a file runs only where something of Nix's store is: it was linked to it."""
    return any(map(in_store, (*facts.search_path, *facts.needed, facts.interpreter or "")))


def _judge(
    policy: Policy, arch: str, files: Sequence[TreeFile], allowed: Collection[str]
) -> tuple[list[Breach], list[Breach]]:
    """List the sonames, and the symbol versions, that one policy does not allow."""
    outside: dict[tuple[str, str], set[str]] = {}
    needed = {name for file in files for name in file.facts.needed}
    search = _Search(files)
    for file in files:
        # What another file of the wheel needs is judged on the way from there.
        if posixpath.basename(file.path) in needed:
            continue
        for name, wanted_by in search.outside(file, allowed):
            outside.setdefault((name, ""), set()).add(wanted_by.label)
    return _breaches(outside), too_new(
        [(file.label, file.facts) for file in files], policy.limits[arch]
    )


def too_new(files: Iterable[tuple[str, ElfFacts]], limits: Limits) -> list[Breach]:
    """List the symbol versions that files, each with its label, want beyond a policy's limits."""
    newer: dict[tuple[str, str], set[str]] = {}
    allowed: dict[str, bool] = {}  # many files want the same few
    for label, facts in files:
        # Older ones don't relocate DT_RELR, whether the file is marked or not.
        relative = (RELATIVE_RELOCATIONS,) if facts.relative_relocations else ()
        for need in (*facts.needs, *relative):
            version = need.version
            if version not in allowed:
                allowed[version] = limits.allows(version)
            if not allowed[version] and not is_glibc_loader(need.library):
                newer.setdefault((need.library, need.version), set()).add(label)
    return _breaches(newer)


def _breaches(found: Mapping[tuple[str, str], set[str]]) -> list[Breach]:
    """Make breaches of labels by library and version."""
    return [
        Breach(library=library, version=version, wanted_by=tuple(sorted(labels)))
        for (library, version), labels in sorted(found.items())
    ]


#: Stands for the folder that a wheel is unpacked to.
_ROOT = "/wheel"


class _Search:
    """The files of a wheel by the paths that search paths lead to."""

    def __init__(self, files: Iterable[TreeFile]) -> None:
        self._by_path = {f"{_ROOT}/{name}": file for file in files for name in file.names}
        self._folders = {posixpath.dirname(name) for name in self._by_path}
        self._known: dict[str, tuple[str, ...]] = {}

    def outside(
        self, program: TreeFile, allowed: Collection[str]
    ) -> Iterator[tuple[str, TreeFile]]:
        """Yield what the closure of ``program`` needs from outside, with the file that needs it.

        The closure ends at what the policy allows. The program's own search
        path is tried for everything that it leads to (DT_RPATH's inheritance).
        """
        inherited = self._directories(program)
        queue, seen = [program], {program.path}
        while queue:
            file = queue.pop()
            directories = (*inherited, *self._directories(file))
            for name in file.facts.needed:
                if name in allowed or is_glibc_loader(name):
                    continue
                paths = (f"{where}/{name}" for where in directories)
                found = next((self._by_path[path] for path in paths if path in self._by_path), None)
                if found is None:
                    yield name, file
                elif found.path not in seen:
                    seen.add(found.path)
                    queue.append(found)

    def _directories(self, file: TreeFile) -> tuple[str, ...]:
        """Give the folders of the wheel that a file's own search path leads to."""
        if file.path not in self._known:
            entries, machine = file.facts.search_path, file.facts.machine
            found = [origin_entries(entries, f"{_ROOT}/{name}", machine) for name in file.names]
            own = dict.fromkeys(each for folders in found for each in folders)
            self._known[file.path] = tuple(each for each in own if each in self._folders)
        return self._known[file.path]


def libc_needed(file: TreeFile) -> str | None:
    """Tell which libc a file is linked with; None where it needs none."""
    for name in file.facts.needed:
        if name == "libc.so" or name.startswith(("libc.musl-", "ld-musl-")):
            return "musl"
        if name.startswith("libc.so.6") or is_glibc_loader(name):
            return "glibc"
    # A module that needs no libc says in its name which Python may load it (PEP 3149).
    suffix = re.search(_MODULE_SUFFIX, file.path)
    if suffix is None:
        return None
    if suffix[2].startswith("musl"):
        return "musl"
    # Before 3.11, CPython said "gnu" of musl, too.
    return "glibc" if int(suffix[1]) >= 11 else None


def architecture(platforms: Iterable[str], files: Iterable[TreeFile]) -> str:
    """Tell the architecture that tags name, else that of most files; "any" without files."""
    for platform in platforms:
        floor = parse_floor(platform)
        if floor and floor.arch:
            return floor.arch
        if platform.startswith("linux_"):
            return platform.removeprefix("linux_")
    return _most(file.facts.machine.name for file in files) or "any"


def libc_of(platforms: Iterable[str], files: Iterable[TreeFile]) -> str:
    """Tell the libc that the tags name, if they name one; else what most files need, or glibc."""
    named = {floor.libc for platform in platforms if (floor := parse_floor(platform))}
    if len(named) == 1:
        return named.pop()
    return _most(libc for file in files if (libc := libc_needed(file))) or "glibc"


def _most(values: Iterable[str]) -> str | None:
    counted = Counter(values)
    return max(counted, key=lambda value: counted[value], default=None)

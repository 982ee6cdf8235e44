"""manylinux and musllinux policies: what a platform tag promises of a system.

A tag is a floor: the libc, and its lowest version, that a wheel was built for
(PEP 600, PEP 656). A policy lists the sonames that a wheel of that tag may
take from the system, and the highest symbol versions that it may want of
them, for each architecture (``data/manylinux-policies.json``).
"""

from __future__ import annotations

import re
from functools import cache

from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.values import Value, field
from nix_manylinux.data import read_policies

#: The names of PEP 513, 571 and 599, as PEP 600 spells them.
LEGACY_FLOORS = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}

LEGACY_NAMES = {version: name for name, version in LEGACY_FLOORS.items()}

_LIBCS = {"manylinux": "glibc", "musllinux": "musl"}
_NUMBER = r"0|[1-9][0-9]{0,8}"
_ARCH = r"[a-z0-9][a-z0-9_]*"


class Floor(Value):
    """The lowest libc that a platform tag asks for; ``arch`` is empty in a policy's name.

    ``libc`` is "glibc" or "musl".
    """

    libc: str
    major: int
    minor: int
    arch: str = ""

    @property
    def version(self) -> tuple[int, int]:
        """The libc's version, ready to be compared."""
        return (self.major, self.minor)

    def __str__(self) -> str:
        prefix = "manylinux" if self.libc == "glibc" else "musllinux"
        tail = f"_{self.arch}" if self.arch else ""
        return f"{prefix}_{self.major}_{self.minor}{tail}"


class Limits(Value):
    """What one policy allows on one architecture, by symbol version prefix ("GLIBCXX").

    ``highest`` is the highest numbered version, or None where none at all is
    allowed; ``extra`` the allowed versions that aren't numbers ("TM_1"). A
    prefix in neither is not judged.
    """

    highest: dict[str, tuple[int, ...] | None] = field(hash=False)
    extra: dict[str, frozenset[str]] = field(hash=False)

    def allows(self, version: str) -> bool:
        """Whether a file may want the symbol version ``version``, such as "GLIBC_2.28"."""
        prefix, _, node = version.partition("_")
        if prefix not in self.highest and prefix not in self.extra:
            return True
        if node in self.extra.get(prefix, ()):
            return True
        number = version_number(node)
        highest = self.highest.get(prefix)
        return number is not None and highest is not None and number <= highest


class Policy(Value):
    """One policy: ``sonames`` are the same for every architecture in ``limits``.

    Of two policies of one libc, the one of higher ``priority`` asks less of a system.
    ``forbidden`` are symbols, by soname, that may not be taken from a library although
    it is allowed.
    """

    name: str
    aliases: tuple[str, ...]
    libc: str
    version: tuple[int, int]
    priority: int
    sonames: frozenset[str]
    limits: dict[str, Limits] = field(hash=False)
    forbidden: dict[str, frozenset[str]] = field(default_factory=dict, hash=False)


class Policies(Value):
    """All policies, the least demanding first, and the names that go with an architecture."""

    policies: tuple[Policy, ...]
    musl_sonames: dict[str, str] = field(hash=False)

    def of(self, arch: str, libc: str) -> list[Policy]:
        """Give those of a libc that know an architecture; "" for any."""
        mine = [policy for policy in self.policies if policy.libc == libc]
        return [policy for policy in mine if not arch or arch in policy.limits]

    def promised(self, policy: Policy, arch: str) -> frozenset[str]:
        """Give the sonames that a policy promises; musl's libc has Alpine's name."""
        musl = self.musl_sonames.get(arch, "libc.so")
        names = {musl if name == "libc.so" else name for name in policy.sonames}
        # musl answers to its own name, too, whoever links to it.
        return frozenset(names | ({"libc.so"} if policy.libc == "musl" else set()))


def version_number(text: str) -> tuple[int, ...] | None:
    """Read "3.4.19" as numbers to compare; None for what isn't dotted numbers."""
    if not re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,9})*", text):
        return None
    return tuple(int(part) for part in text.split("."))


def parse_floor(tag: str) -> Floor | None:
    """Read a platform tag or a policy's name; None for what is neither of glibc nor of musl.

    Every ``manylinux_X_Y_ARCH`` is read, whether or not a policy of that
    version exists (PEP 600 asks for that), and every architecture.
    """
    name, *rest = tag.split("_", 1)
    if name in LEGACY_FLOORS:
        libc, (major, minor) = "glibc", LEGACY_FLOORS[name]
    else:
        numbers, rest = rest[0].split("_", 2) if rest else [], []
        if name not in _LIBCS or len(numbers) < 2:
            return None
        if not all(re.fullmatch(_NUMBER, number) for number in numbers[:2]):
            return None
        libc, major, minor = _LIBCS[name], int(numbers[0]), int(numbers[1])
        rest = numbers[2:]
    if rest and not re.fullmatch(_ARCH, rest[0]):
        return None
    return Floor(libc=libc, major=major, minor=minor, arch="".join(rest))


def floor(tag: str) -> Floor:
    """Read a platform tag or a policy's name, or raise BadOption."""
    found = parse_floor(tag)
    if found is None:
        raise BadOption(
            f"{tag!r} is no manylinux or musllinux policy",
            hint="write manylinux1, manylinux2010, manylinux2014, manylinux_X_Y or musllinux_X_Y",
        )
    return found


@cache
def load_policies() -> Policies:
    """Read the policies, once, of ``data/manylinux-policies.json``."""
    raw = read_policies()
    policies = []
    number = cache(lambda text: version_number(text or ""))  # the same few, again and again
    for name, entry in raw["policies"].items():
        named = floor(name)
        policies.append(
            Policy(
                name=name,
                aliases=tuple(entry["aliases"]),
                libc=named.libc,
                version=named.version,
                priority=entry["priority"],
                sonames=frozenset(entry["sonames"]),
                limits={
                    arch: Limits(
                        highest={prefix: number(top) for prefix, top in each["max"].items()},
                        extra={p: frozenset(nodes) for p, nodes in each.get("extra", {}).items()},
                    )
                    for arch, each in entry["arch"].items()
                },
                forbidden={
                    soname: frozenset(symbols)
                    for named in entry.get("forbidden", ())
                    for soname, symbols in raw["forbidden"][named].items()
                },
            )
        )
    policies.sort(key=lambda policy: (policy.libc, policy.version))
    return Policies(policies=tuple(policies), musl_sonames=dict(raw["musl_libc_soname"]))


def policy_for(tag: str) -> Policy:
    """Give the newest policy at or below what ``tag`` asks for, or raise BadOption.

    Between two policies the older one's lists hold: a system of glibc 2.30
    has what manylinux_2_28 promises and need not have more. An architecture
    in the tag must be one that the policy knows.
    """
    wanted = floor(tag)
    known = load_policies().of(wanted.arch, wanted.libc)
    older = [policy for policy in known if policy.version <= wanted.version]
    if not older:
        raise BadOption(
            f"no policy is as old as {tag}"
            if known
            else f"no policy knows the architecture of {tag}",
            hint=f"the oldest that could serve is {known[0].name}" if known else "",
        )
    return older[-1]

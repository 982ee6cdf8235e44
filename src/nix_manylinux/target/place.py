"""Where a package may be installed: a Python and a Nix system that need not be this machine's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.values import Value
from nix_manylinux.target.policy import LEGACY_NAMES


class Place(Value):
    """Where a package may be installed: a Python, "3.11", and a Nix system, "x86_64-linux"."""

    python: str
    system: str
    glibc: tuple[int, int] = (2, 41)

    def __str__(self) -> str:
        return f"Python {self.python} on {self.system}"

    @property
    def series(self) -> str:
        """The Python without its release, as nixpkgs has packages of: "3.12", "3.14t"."""
        parts = self.python.rstrip("t").split(".")[:2]
        return ".".join(parts) + "t" * self.python.endswith("t")

    @property
    def full_version(self) -> str:
        """The interpreter's version, as far as it is known: markers ask for three numbers."""
        python = self.python.rstrip("t")
        return python if python.count(".") > 1 else f"{python}.0"

    def platforms(self) -> list[str]:
        """List the platform tags that fit, best first. Raises BadOption where no tag does."""
        if _SYSTEM.fullmatch(self.system) is None:
            raise BadOption(
                f"{self.system!r} is no system with manylinux wheels",
                hint="write x86_64-linux, aarch64-linux, i686-linux or the like",
            )
        arch = self._cpu
        tags = [f"linux_{arch}"]
        for minor in range(self.glibc[1], 4, -1):
            tags.append(f"manylinux_{self.glibc[0]}_{minor}_{arch}")
            if (self.glibc[0], minor) in LEGACY_NAMES:
                tags.append(f"{LEGACY_NAMES[self.glibc[0], minor]}_{arch}")
        return tags

    @property
    def _cpu(self) -> str:
        """The processor's name, as uname(2) and platform tags spell it."""
        cpu = self.system.partition("-")[0]
        return _UNAMES.get(cpu, cpu)

    def environment(self, extra: str) -> dict[str, str]:
        """Give the values of all markers (dependency specifiers, "Environment Markers")."""
        return {
            "extra": extra,
            "implementation_name": "cpython",
            "implementation_version": self.full_version,
            "os_name": "posix",
            "platform_machine": self._cpu,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.full_version,
            "python_version": self.series.rstrip("t"),
            "sys_platform": "linux",
        }


def minor_of(python: str) -> int:
    """Give the second number of a Python: 12 of "3.12", 0 where there is none."""
    return int(python.partition(".")[2] or 0)


#: CPython's, "3.12"; with "t" one without the GIL. A release, "3.12.4", where that counts.
_PYTHON = re.compile(r"3\.[0-9]{1,3}(?P<release>\.[0-9]{1,3})?t?")


def places_of(
    pythons: Iterable[str], systems: Iterable[str], *, releases: bool = False
) -> list[Place]:
    """Give a place for each Python and system. Raises BadOption for what is none of these."""
    places = [Place(python=python, system=system) for python in pythons for system in systems]
    for place in places:
        match = _PYTHON.fullmatch(place.python)
        if match is None or (match["release"] and not releases):
            raise BadOption(
                f"{place.python!r} is no version of Python", hint="write 3.11, 3.14t or the like"
            )
        place.platforms()
    return places


_SYSTEM = re.compile(r"[a-z0-9_]+-linux")


#: What uname(2) and tags say of processors -> Nix's names, where they differ; macOS says arm64.
_NIX_CPUS = {"arm64": "aarch64", "amd64": "x86_64", "ppc64le": "powerpc64le", "ppc64": "powerpc64"}


def nix_cpu(arch: str) -> str:
    """Spell a processor as Nix does."""
    return "i686" if re.fullmatch("i[3-6]86", arch) else _NIX_CPUS.get(arch, arch)


def own_system() -> str:
    """Name the Nix system of Linux on this machine's processor."""
    return f"{nix_cpu(os.uname().machine.lower())}-linux"


#: Nix's names of processors that uname(2) spells in another way, and platform tags with it.
_UNAMES = {"powerpc64le": "ppc64le", "powerpc64": "ppc64"}

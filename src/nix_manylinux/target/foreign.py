"""Interpreters that were built for other systems, and that start nothing here: uv's, conda's."""

from __future__ import annotations

import os

from nix_manylinux.base.errors import BadElf
from nix_manylinux.base.store import in_store
from nix_manylinux.elf.read import read_elf
from nix_manylinux.target.environment import (
    UnusableInterpreter,
    give_python,
    minor_version,
    python_of_nix,
)
from nix_manylinux.target.libc import is_loader_name, musl_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.elf.facts import ElfFacts


class ForeignInterpreter(UnusableInterpreter):
    """An interpreter whose dynamic linker is not here, or is a stub, as on NixOS."""

    def __init__(self, program: str, path: str, linker: str) -> None:
        minor = minor_version(program)
        self.attribute = f"python3{minor}" if minor else ""
        state = "starts nothing here" if os.path.exists(linker) else "is not there"
        home = os.path.dirname(os.path.dirname(path))
        if os.path.isfile(os.path.join(home, "pyvenv.cfg")):
            self.environment = home
            linked = os.path.islink(path)
            hint = give_python(home, self.attribute, by_patch=linked)
        else:
            python = python_of_nix(self.attribute)
            hint = f"link for a Python of Nix's: --python {python}\n  or name the dynamic linker of"
            hint += " its system with --dynamic-linker"
        why = "can't be started" if in_store(linker) else "was built for other systems"
        super().__init__(f"{why}: its dynamic linker {linker} {state}", where=program, hint=hint)


def is_linker(path: str) -> bool:
    """Whether a file is glibc's or musl's dynamic linker; a stub in its place is not."""
    try:
        facts = read_elf(path)
        if facts is None:
            return False
        if is_loader_name(facts.soname or ""):
            return True
        with open(path, "rb") as stream:
            return musl_version(stream.read()) is not None
    except (OSError, BadElf):
        return False


def is_foreign(facts: ElfFacts | None) -> bool:
    """Whether a program of this machine names a dynamic linker that starts nothing here."""
    return facts is not None and facts.interpreter is not None and not is_linker(facts.interpreter)

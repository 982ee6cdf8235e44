"""Interpreters that were built for other systems, and that start nothing here: uv's, conda's."""

from __future__ import annotations

import os
import re

from nix_manylinux.base.errors import BadElf, BadTarget
from nix_manylinux.elf.read import read_elf
from nix_manylinux.target.libc import is_loader_name, musl_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.elf.facts import ElfFacts


class ForeignInterpreter(BadTarget):
    """An interpreter whose dynamic linker is not here, or is a stub, as on NixOS.

    ``attribute`` is what nixpkgs calls a Python of its version ("python312"), empty where
    that isn't known.
    """

    def __init__(self, program: str, path: str, linker: str) -> None:
        minor = _minor_version(program)
        self.attribute = f"python3{minor}" if minor else ""
        state = "starts nothing here" if os.path.exists(linker) else "is not there"
        wanted = self.attribute or "python3"
        python = f"\"$(nix-build '<nixpkgs>' -A {wanted} --no-out-link)/bin/python3\""
        home = os.path.dirname(os.path.dirname(path))
        if os.path.isfile(os.path.join(home, "pyvenv.cfg")):
            import shlex  # noqa: PLC0415 (start-up)

            hint = (
                "give the environment a Python of Nix's, which patch --nixpkgs does, and so does\n"
                f"  uv venv --allow-existing --python {python} {shlex.quote(home)}"
            )
        else:
            hint = f"link for a Python of Nix's: --python {python}\n  or name the dynamic linker of"
            hint += " its system with --dynamic-linker"
        super().__init__(
            f"was built for other systems: its dynamic linker {linker} {state}",
            where=program,
            hint=hint,
        )


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


def _minor_version(program: str) -> str:
    """Read 3.N from an interpreter's name, or from the one standard library beside it."""
    named = re.search(r"python3\.([0-9]+)", os.path.basename(program))
    if named:
        return named[1]
    library = os.path.join(os.path.dirname(os.path.dirname(program)), "lib")
    try:
        found = {m[1] for n in os.listdir(library) if (m := re.fullmatch(r"python3\.([0-9]+)", n))}
    except OSError:
        return ""
    return found.pop() if len(found) == 1 else ""

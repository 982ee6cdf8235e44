"""Interpreters that start nothing here: lost ones, and those of other systems (uv's, conda's)."""

from __future__ import annotations

import os
import re

from nix_manylinux.base.errors import BadElf, BadTarget
from nix_manylinux.base.store import in_store, nix_store, store_path
from nix_manylinux.base.words import shell
from nix_manylinux.elf.read import read_elf
from nix_manylinux.target.libc import is_loader_name, musl_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.elf.facts import ElfFacts

#: A version as interpreters and their folders have it in their names: "python3.11".
_NAMED = r"python3\.([0-9]+)"


class UnusableInterpreter(BadTarget):
    """An interpreter that starts nothing here: another one has to take its place.

    ``attribute`` is what nixpkgs calls a Python of its version ("python312"), empty where
    that isn't known; ``environment`` the virtual environment that it is the Python of, or "".
    """

    attribute = ""
    environment = ""


class LostInterpreter(UnusableInterpreter):
    """A virtual environment's interpreter that isn't there: removed, or of another machine.

    With ``home`` it is, and its standard library, in that folder's prefix, is not.
    """

    def __init__(self, environment: str, home: str = "") -> None:
        self.environment = environment
        self.attribute = attribute_of(environment)
        python = os.path.join(environment, "bin", "python")
        linked, end = os.path.islink(python), os.path.realpath(python)
        hint = give_python(environment, self.attribute, by_patch=linked)
        lost = store_path(home or end)
        if linked and lost:
            hint += f"\nor bring that one back, where a cache has it:\n  nix-store --realise {lost}"
        what = f"bin/python{f' leads to {end}, which' if linked else ''} is not there"
        if home:
            what = (
                f"bin/python can't start: pyvenv.cfg names a Python in {home}, which is not there"
            )
        super().__init__(what, where=environment, hint=hint)


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
            hint = (
                f"link for a Python of Nix's:\n  --python {python}\nor name the dynamic linker of"
            )
            hint += " its system with --dynamic-linker"
        why = "can't be started" if in_store(linker) else "was built for other systems"
        super().__init__(f"{why}: its dynamic linker {linker} {state}", where=program, hint=hint)


def refuse_lost(environment: str) -> None:
    """Raise LostInterpreter for a virtual environment without a Python."""
    if not os.path.exists(os.path.join(environment, "bin", "python")):
        raise LostInterpreter(environment)


def lost_home(environment: str) -> str:
    """Give the folder of the Python that an environment was made with, if it isn't there; or ""."""
    home = pyvenv_settings(environment).get("home", "")
    return home if home and not os.path.isdir(home) else ""


def strange_home(environment: str) -> str:
    """Give the folder of the Python that an environment of Nix's was made with, if not Nix's."""
    home = pyvenv_settings(environment).get("home", "")
    program = os.path.realpath(os.path.join(environment, "bin", "python"))
    names = interpreter_names(program)
    of_nix = any(in_store(os.path.realpath(os.path.join(home, name))) for name in names)
    return home if in_store(program) and not of_nix else ""


def strange_link(environment: str) -> tuple[str, str]:
    """Give a name in an environment's bin that leads to no Python, or another than bin/python.

    And where it leads to. Two times "" for none.
    """
    folder = os.path.join(environment, "bin")
    program = os.path.realpath(os.path.join(folder, "python"))
    for name in interpreter_names(program):
        path = os.path.join(folder, name)
        end = os.path.realpath(path)
        other = in_store(program) and end != program
        if os.path.islink(path) and (other or not os.path.exists(path)):
            return f"bin/{name}", end
    return "", ""


def interpreter_names(program: str) -> tuple[str, ...]:
    """Give the names by which an environment's bin has its Python, which is ``program``."""
    return tuple(dict.fromkeys(("python", "python3", os.path.basename(program))))


def has_system_packages(environment: str) -> bool:
    """Whether an environment has what its Python has, too: nobody knows then what is there."""
    settings = pyvenv_settings(environment)
    return settings.get("include-system-site-packages", "").lower() == "true"


def pyvenv_settings(environment: str) -> dict[str, str]:
    """Read the settings of a virtual environment, as Python's own site does; {} for none."""
    path = os.path.join(environment, "pyvenv.cfg")
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            lines = [line.partition("=") for line in stream.read(1 << 16).splitlines()]
    except OSError:
        return {}
    return {key.strip().lower(): value.strip() for key, equals, value in lines if equals}


def attribute_of(environment: str) -> str:
    """Name nixpkgs' Python of an environment's version, by its settings or its folders; or ""."""
    settings = pyvenv_settings(environment)  # venv says version, uv and virtualenv the other
    said = re.match(r"3\.([0-9]+)", settings.get("version_info") or settings.get("version", ""))
    minor = said[1] if said else minor_version(os.path.join(environment, "bin", "python"))
    return f"python3{minor}" if minor else ""


def minor_version(program: str) -> str:
    """Read 3.N from an interpreter's name, or from the one standard library beside it."""
    named = re.search(_NAMED, os.path.basename(program))
    if named:
        return named[1]
    library = os.path.join(os.path.dirname(os.path.dirname(program)), "lib")
    try:
        found = {m[1] for name in os.listdir(library) if (m := re.fullmatch(_NAMED, name))}
    except OSError:
        return ""
    return found.pop() if len(found) == 1 else ""


def python_of_nix(attribute: str) -> str:
    """Give the words of a shell that build a Python of nixpkgs, and name it."""
    return f"\"$(nix-build '<nixpkgs>' -A {attribute or 'python3'} --no-out-link)/bin/python3\""


def made_again(environment: str, attribute: str) -> str:
    """Give the command that makes an environment again; what is installed in it stays.

    With a Python of Nix's, where there is a Nix store; with uv, where that has made it.
    """
    python, folder = python_of_nix(attribute), shell(environment)
    if attribute and not os.path.isdir(nix_store()):
        python = attribute.replace("python3", "python3.")
    if "uv" in pyvenv_settings(environment):
        python = python.removeprefix("python")  # a version, which uv has somewhere
        return f"uv venv --allow-existing --python {python} {folder}"
    return f"rm -f {folder}/bin/python* && {python} -m venv {folder}"  # which keeps old links


def give_python(environment: str, attribute: str, *, by_patch: bool) -> str:
    """Say how an environment is given a Python; ``by_patch`` is whether --nixpkgs can do it."""
    command = made_again(environment, attribute)
    if by_patch and attribute and "nix-build" in command:
        return (
            "give the environment a Python of Nix's, which patch --nixpkgs does, and so does\n"
            f"  {command}"
        )
    return f"give the environment a Python of its version, then patch it:\n  {command}"


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

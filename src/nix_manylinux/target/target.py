"""What we link for: a machine, a libc and its dynamic linker, read from the files themselves.

Nothing is run to find that out, so that a target may be of any machine; the
one exception is an interpreter of this machine, see `nix_manylinux.target.interpreter`.
"""

from __future__ import annotations

import os
import sys

from nix_manylinux.base.errors import BadElf, BadTarget, OsErrors
from nix_manylinux.base.values import Value, field, replace
from nix_manylinux.data import read_libraries
from nix_manylinux.elf.read import read_elf
from nix_manylinux.target.environment import ForeignInterpreter, is_linker, refuse_lost
from nix_manylinux.target.interpreter import Interpreter, find_program, read_interpreter
from nix_manylinux.target.libc import (
    GLIBC_LOADERS,
    glibc_version,
    is_loader_name,
    musl_names,
    musl_version,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from nix_manylinux.elf.facts import ElfFacts, Machine

_LINKER_HINT = (
    "give the file that programs of the target name as their interpreter, such as "
    "/nix/store/...-glibc/lib/ld-linux-x86-64.so.2"
)

#: Where the libc of an assumed target is; no such directory is on any disk.
ASSUMED = "//assumed"


class Target(Value):
    """What we link for: a machine, a libc, and the dynamic linker that loads it.

    ``libc`` is "glibc" or "musl"; ``libc_version`` comes out of the libc file
    itself. ``libc_sonames`` are those of the libc's own libraries that stand
    in ``libc_directory``, by soname, with their paths. A target whose ``libc_directory`` is
    `ASSUMED` is nobody's: what files say that they are for, good only to look at them.
    """

    machine: Machine
    libc: str
    libc_version: tuple[int, ...]
    dynamic_linker: str
    libc_directory: str
    libc_sonames: dict[str, str] = field(hash=False)
    interpreter: Interpreter | None = None

    @staticmethod
    def from_dynamic_linker(
        path: str | os.PathLike[str], *, libc_directory: str | None = None
    ) -> Target:
        """Read a target off its dynamic linker; the libc is in the linker's folder if not given.

        The machine is the linker's, the libc is recognised by its soname, the version
        comes out of the libc file, and of the libc's own libraries (``data/libraries.json``)
        those count that stand in the directory. Raises BadTarget where the file is no dynamic
        linker of a libc that we know, or where its libc is not there.
        """
        path = os.path.abspath(path)
        facts = _facts(path, _LINKER_HINT)
        arch = facts.machine.name
        soname = facts.soname or ""
        if not is_loader_name(soname):
            return _musl_target(path, facts, libc_directory)
        if soname not in GLIBC_LOADERS.get(arch, (soname,)):
            expected = " or ".join(GLIBC_LOADERS[arch])
            raise BadTarget(
                f"is for {arch}, where the dynamic linker is {expected}, but calls itself {soname}",
                where=path,
                hint=_LINKER_HINT,
            )
        directory = _libc_directory(path, libc_directory)
        libc = os.path.join(directory, "libc.so.6")
        libc_facts = _facts(libc, "")
        _check_machine(libc_facts, facts.machine, libc)
        version = glibc_version(_content(libc), libc_facts.defines)
        if version is None:
            raise BadTarget("does not tell its version: is it glibc's?", where=libc)
        sonames = {
            name: os.path.join(directory, name)
            for name in sorted(read_libraries().glibc)
            if not is_loader_name(name) and os.path.isfile(os.path.join(directory, name))
        }
        return Target(
            machine=facts.machine,
            libc="glibc",
            libc_version=version,
            dynamic_linker=path,
            libc_directory=directory,
            libc_sonames={**sonames, soname: path},
        )

    @staticmethod
    def from_interpreter(
        python: str | os.PathLike[str], *, environment: Mapping[str, str] | None = None
    ) -> Target:
        """Read a target, its interpreter included, off a Python: a path, or a name on PATH.

        ``environment`` is what the interpreter is asked in; empty by default.
        """
        found, program, facts = read_interpreter(os.fspath(python), environment=environment or {})
        return replace(_from_program(program, facts), interpreter=found)

    def looks_for(self, facts: ElfFacts) -> tuple[str, ...]:
        """Names without which the target's loader loads no such file, each once.

        DT_NEEDED, and with glibc DT_FILTER, which musl doesn't read.
        """
        filters = facts.filters if self.libc == "glibc" else ()
        return tuple(dict.fromkeys((*facts.needed, *filters)))


def from_bintools(bintools: str) -> Target:
    """Read a target off a bintools wrapper of nixpkgs, what NIX_BINTOOLS names in a build.

    ``nix-support/dynamic-linker`` names the linker; where it is missing (it
    is in bintools without a libc of their own), the one in the ``lib`` of
    ``nix-support/orig-libc`` is taken.
    """
    linker = _support_file(bintools, "dynamic-linker")
    if linker:
        return Target.from_dynamic_linker(linker)
    libc = _support_file(bintools, "orig-libc")
    if not libc:
        raise BadTarget(
            "has neither nix-support/dynamic-linker nor nix-support/orig-libc",
            where=bintools,
            hint="this may be a compiler without a libc; name the target with --python or "
            "--dynamic-linker",
        )
    return from_libc_directory(os.path.join(libc, "lib"))


def from_libc_directory(directory: str) -> Target:
    """Read a target off the one dynamic linker that lies in a libc's ``lib`` directory."""
    with OsErrors(BadTarget, "can't be read", where=directory):
        names = sorted(name for name in os.listdir(directory) if is_loader_name(name))
    files = {os.path.realpath(os.path.join(directory, name)): name for name in names}
    if len(files) != 1:
        raise BadTarget(
            f"holds {len(files)} dynamic linkers{': ' if names else ''}{', '.join(names)}",
            where=directory,
            hint=f"name one with --dynamic-linker; {_LINKER_HINT}",
        )
    return Target.from_dynamic_linker(
        os.path.join(directory, *files.values()), libc_directory=directory
    )


def from_running(program: str | None = None) -> Target:
    """Read a target off the program that runs now, without its interpreter's tags.

    Which Python runs the tool says nothing about the Python that a wheel is
    for; only machine and libc are worth holding a wheel against.
    """
    # Not every system has /proc; in an emulator it may be the emulator's.
    itself = "/proc/self/exe" if os.path.exists("/proc/self/exe") else sys.executable
    path, facts = find_program(program or os.path.realpath(itself))
    if facts is None and program is None:
        path, facts = find_program(sys.executable)
    if facts is None:
        raise BadTarget(
            "is no ELF program, so that it tells no target",
            where=path,
            hint="name one: --python /nix/store/...-python3/bin/python3, or --dynamic-linker FILE",
        )
    return _from_program(path, facts)


def choose_target(
    *,
    environment: Mapping[str, str],
    dynamic_linker: str | None = None,
    libc_directory: str | None = None,
    python: str | None = None,
    virtual_environment: str | None = None,
) -> Target:
    """Choose what to link for, from what a caller knows.

    The first of these that is given: the dynamic linker or the libc's
    directory; ``python``; the interpreter of ``virtual_environment``, the
    directory of a pyvenv.cfg; NIX_BINTOOLS in ``environment``; the running
    interpreter. Tags are checked against ``python`` or the virtual
    environment's interpreter, whichever of them is given first, even where
    the linker is spelt out; else not at all.
    """
    if python is None and virtual_environment is not None:
        own = os.path.join(virtual_environment, "bin", "python")
        if not (dynamic_linker or libc_directory):
            refuse_lost(virtual_environment)
        python = own if os.path.exists(own) else None
    found, program, facts = None, "", None
    if python:
        found, program, facts = read_interpreter(python, environment=environment)
    if dynamic_linker:
        target = Target.from_dynamic_linker(dynamic_linker, libc_directory=libc_directory)
    elif libc_directory:
        target = from_libc_directory(libc_directory)
    elif facts:
        target = _from_program(program, facts, python or "")
    elif environment.get("NIX_BINTOOLS"):
        return from_bintools(environment["NIX_BINTOOLS"])
    else:
        return from_running()
    if found and facts and not target.machine.fits(facts.machine):
        raise BadTarget(
            f"the interpreter is for {facts.machine}, the dynamic linker for {target.machine}",
            where=found.executable,
            hint="give both for one machine, or only one of them",
        )
    return replace(target, interpreter=found)


def _from_program(program: str, facts: ElfFacts, path: str = "") -> Target:
    if facts.interpreter is None:
        raise BadTarget(
            "is linked statically: it has no dynamic linker, and can load no extension module",
            where=program,
            hint="link for another interpreter (--python) or name the target (--dynamic-linker)",
        )
    if not is_linker(facts.interpreter):
        raise ForeignInterpreter(program, path or program, facts.interpreter)
    target = Target.from_dynamic_linker(facts.interpreter)
    _check_machine(facts, target.machine, program)
    return target


def _musl_target(path: str, facts: ElfFacts, libc_directory: str | None) -> Target:
    """Read a target off what may be musl, whose dynamic linker is its libc."""
    content = _content(path)
    version = musl_version(content)
    if version is None:
        itself = f", and calls itself {facts.soname}" if facts.soname else ""
        raise BadTarget(
            f"is no dynamic linker of glibc or musl{itself}", where=path, hint=_LINKER_HINT
        )
    return Target(
        machine=facts.machine,
        libc="musl",
        libc_version=version,
        dynamic_linker=path,
        libc_directory=os.path.abspath(libc_directory or os.path.dirname(os.path.realpath(path))),
        libc_sonames=dict.fromkeys(musl_names(facts.machine.name, facts.soname), path),
    )


def _libc_directory(linker: str, given: str | None) -> str:
    """Find the directory of libc.so.6: the one given, or the linker's own."""
    own = (os.path.dirname(os.path.realpath(linker)), os.path.dirname(linker))
    candidates = tuple(dict.fromkeys([given] if given else own))
    for directory in candidates:
        if os.path.isfile(os.path.join(directory, "libc.so.6")):
            return os.path.abspath(directory)
    raise BadTarget(
        f"there is no libc.so.6 in {' or '.join(candidates)}",
        where=linker,
        hint="name the directory of the libc with --libc",
    )


def _facts(path: str, hint: str) -> ElfFacts:
    try:
        with OsErrors(BadTarget, "can't be read", where=path, hint=hint):
            facts = read_elf(path)
    except BadElf as error:
        raise BadTarget(error.what, where=error.where or path, hint=hint) from error
    if facts is None:
        raise BadTarget("is no ELF file", where=path, hint=hint)
    return facts


def _content(path: str) -> bytes:
    with OsErrors(BadTarget, "can't be read", where=path), open(path, "rb") as stream:
        return stream.read()


def _check_machine(facts: ElfFacts, machine: Machine, path: str) -> None:
    if not facts.machine.fits(machine):
        raise BadTarget(
            f"is for {facts.machine}, the dynamic linker for {machine}",
            where=path,
            hint="give a dynamic linker and a libc directory of one machine",
        )


def _support_file(bintools: str, name: str) -> str:
    path = os.path.join(bintools, "nix-support", name)
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadTarget(f"can't be read: {error}", where=path) from error

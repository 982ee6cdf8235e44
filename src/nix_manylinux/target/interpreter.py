"""What a Python interpreter accepts: asked of it where it runs here, read from its files elsewhere.

An interpreter is often not the file that it is called by: a link, a virtual
environment's, a wrapper that Nix's makeWrapper wrote, a version manager's
shim. What counts is the program that runs in the end.
"""

from __future__ import annotations

import os
import re
import sys

from nix_manylinux.base.errors import BadTarget, OsErrors
from nix_manylinux.base.programs import run_program
from nix_manylinux.base.values import Value, field
from nix_manylinux.elf.read import read_elf
from nix_manylinux.target.environment import (
    ForeignInterpreter,
    LostInterpreter,
    is_foreign,
    lost_home,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nix_manylinux.elf.facts import ElfFacts, Machine

#: Seconds that an interpreter gets to tell about itself; a cold network disk needs some.
_PATIENCE = 60

#: Stands for a prefix in what an interpreter is asked.
_PREFIX = "/@prefix@"

#: Run isolated (-I) and without site (-S): nothing of the user's is imported.
#: The answer is without json, whose import takes as long as all the rest: texts, each ended
#: by a NUL; the schemes' are last, name, key and path of each folder.
_QUERY = """
import os, sys, sysconfig
names = {"venv", "posix_prefix"} & {*sysconfig.get_scheme_names()}
bases = ("base", "platbase", "installed_base", "installed_platbase")
variables = dict.fromkeys(bases, "/@prefix@")
try:
    program = os.readlink("/proc/self/exe")
except OSError:
    program = sys.executable
said = [sys.implementation.name, *map(str, sys.version_info[:2])]
said += [sysconfig.get_config_var("EXT_SUFFIX") or "", program]
for name in names:
    for key, path in sysconfig.get_paths(name, variables).items():
        said += [name, key, path]
sys.stdout.buffer.write(b"".join(os.fsencode(text) + bytes(1) for text in said))
"""

#: What an extension module's name ends in, and what its version and flags are.
_SUFFIX = r"\.(?P<implementation>cpython-|pypy)3(?P<minor>[0-9]+)(?P<flags>[a-z]*)[-.]"

#: The line by which a wrapper script hands over to the real program (nixpkgs' makeShellWrapper).
_EXEC_LINE = r"""(?m)^\s*exec\s+(?:-a\s+\S+\s+)?(["']?)(?P<program>/[^"'\s]+)\1"""

#: What each kernel runs beside its own machine, without an emulator.
_ALSO_RUNS = {"x86_64": {"i686"}, "aarch64": {"armv7l"}, "armv8l": {"armv7l"}}

#: The names of sysconfig that an installer needs.
_SCHEME = ("purelib", "platlib", "scripts", "data", "include")

#: Taken out of the environment of an interpreter that is asked: they change what it is.
_UNWANTED = ("PYTHON", "LD_", "NIX_PYTHON", "__PYVENV")


def read_interpreter(
    python: str, *, environment: Mapping[str, str]
) -> tuple[Interpreter, str, ElfFacts]:
    """Find out what ``python``, a path or a name on PATH, accepts, and the ELF program behind it.

    It is run, isolated and without the variables that would change it, where
    this machine can run it; else version and ABI are read from the names of
    the files that belong to it. Raises BadTarget where neither tells.
    """
    path = _on_path(python, environment)
    program, facts = find_program(path)
    answer = None
    if facts is None or _runs_here(facts.machine):
        try:
            answer = _ask(path, environment, required=facts is None)
        except BadTarget:
            if not is_foreign(facts):  # a stub in the linker's place, which said what it is
                raise
    interpreter, running = answer or (_read_layout(path, program, facts), program)
    if running != program:
        program, facts = find_program(running)
    if facts is None:
        raise BadTarget(f"runs {program}, which is no ELF program", where=path)
    return interpreter, program, facts


def find_program(path: str) -> tuple[str, ElfFacts | None]:
    """Follow links and makeWrapper's scripts to an ELF program; no facts where they lead nowhere.

    Raises BadTarget where ``path`` is no file that can be read.
    """
    seen = path
    for _ in range(8):
        real = os.path.realpath(seen)
        if not os.path.isfile(real):
            raise BadTarget(
                "there is no such program",
                where=seen,
                hint="give the path of a Python interpreter: --python /nix/store/...-python3/bin/"
                "python3",
            )
        with OsErrors(BadTarget, "can't be read", where=real):
            facts = read_elf(real)
        if facts is not None:
            return real, facts
        with open(real, "rb") as stream:
            text = stream.read(1 << 16).decode("utf-8", "replace")
        lines = list(re.finditer(_EXEC_LINE, text)) if text.startswith("#!") else []
        if not lines or not os.path.isfile(lines[-1]["program"]):
            return real, None
        seen = lines[-1]["program"]
    raise BadTarget("wrapper scripts run in a circle", where=path)


def abis_of_suffix(suffix: str) -> tuple[str, ...]:
    """Read the ABI tags out of an extension module's suffix, EXT_SUFFIX, the most exact first.

    ".cpython-313td-x86_64-linux-gnu.so" gives "cp313td" and "cp313t": since
    3.8, a debug build loads what was built for the other one too
    (https://docs.python.org/3/whatsnew/3.8.html#debug-build-uses-the-same-abi-as-release-build).
    Empty where the suffix names no ABI.
    """
    match = re.match(_SUFFIX, suffix)
    if match and match["implementation"] == "cpython-":
        plain, flags = f"cp3{match['minor']}", match["flags"]
        abis = [plain + flags]
        if "d" in flags and int(match["minor"]) >= 8:
            abis.append(plain + flags.replace("d", ""))
        return tuple(abis)
    parts = suffix.split(".")
    if len(parts) < 3:
        return ()
    names = parts[1].split("-")
    kept = {"pypy": 2, "graalpy": 3}.get(re.sub(r"[0-9]+$", "", names[0]), len(names))
    return ("_".join(names[:kept]),)


def _on_path(python: str, environment: Mapping[str, str]) -> str:
    if os.sep in python:
        return os.path.abspath(python)
    import shutil  # noqa: PLC0415 (start-up: a path is the usual case)

    found = shutil.which(python, path=environment.get("PATH", os.defpath))
    if found is None:
        raise BadTarget(
            "there is no such command on PATH", where=python, hint="give the interpreter's path"
        )
    return os.path.abspath(found)


def _runs_here(machine: Machine) -> bool:
    if sys.platform != "linux":
        return False
    host = os.uname().machine
    if re.fullmatch(r"i[3-6]86", host):
        host = "i686"
    return machine.name == host or machine.name in _ALSO_RUNS.get(host, ())


def read_scheme(interpreter: Interpreter, prefix: str) -> dict[str, str]:
    """Give the folders where an interpreter wants what is installed into ``prefix``.

    They are absolute, by sysconfig's names: "purelib", "platlib", "scripts", "data",
    "include". A virtual environment has a scheme of its own, as Debian's system Python has;
    elsewhere the plain one of a prefix is meant. Raises BadTarget where the interpreter
    can't be run.
    """
    own = os.path.exists(os.path.join(prefix, "pyvenv.cfg"))
    schemes = interpreter.schemes
    folders = (schemes.get("venv") if own else None) or schemes.get("posix_prefix", {})
    if any(name not in folders for name in _SCHEME):
        raise BadTarget(
            "does not say where packages go",
            where=interpreter.executable,
            hint="only an interpreter that runs on this machine does",
        )
    return {name: os.path.normpath(folders[name].replace(_PREFIX, prefix, 1)) for name in _SCHEME}


def _ask(
    path: str, environment: Mapping[str, str], *, required: bool
) -> tuple[Interpreter, str] | None:
    """Ask what it accepts, and its program; None where the kernel refuses it, and that may be."""
    try:
        said = _run([path, "-I", "-S", "-c", _QUERY], environment)
    except OSError as error:
        if not required:
            return None
        raise BadTarget(f"can't be run: {error.strerror}", where=path) from error
    try:
        implementation, major, minor, suffix, program, *folders = said
        schemes: dict[str, dict[str, str]] = {}
        for name, key, folder in zip(folders[::3], folders[1::3], folders[2::3], strict=True):
            schemes.setdefault(name, {})[key] = folder
        version = (int(major), int(minor))
        return _interpreter(path, implementation, version, suffix, schemes), program
    except ValueError as error:
        raise _no_interpreter(path, "it said nothing of use") from error


def _run(command: list[str], environment: Mapping[str, str]) -> list[str]:
    """Run an interpreter and read the texts that it says; `OSError` where it can't be started."""
    import subprocess  # noqa: PLC0415 (start-up)

    try:
        done = run_program(command, plain_environment(environment), timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise BadTarget(f"did not answer in {_PATIENCE} seconds", where=command[0]) from error
    said = os.fsdecode(done.stdout).split("\0")
    if said.pop() or not said:
        prefix = os.path.dirname(os.path.dirname(command[0]))
        if home := lost_home(prefix):
            raise LostInterpreter(prefix, home)
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        raise _no_interpreter(command[0], lines[-1][:80])
    return said


def plain_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out the variables that would change what an interpreter is and where it looks."""
    return {name: value for name, value in environment.items() if not name.startswith(_UNWANTED)}


def _no_interpreter(path: str, why: str) -> BadTarget:
    return BadTarget(
        f"is no Python 3 interpreter: {why}",
        where=path,
        hint="give the path of the interpreter itself with --python",
    )


def _read_layout(path: str, program: str, facts: ElfFacts | None) -> Interpreter:
    """Read version and ABI from the names beside an interpreter that can't be run here.

    The extension modules of its own standard library carry both; of several
    versions in one prefix, the program's name says which is meant.
    """
    named = re.search(r"3\.([0-9]+)", os.path.basename(program))
    for start in dict.fromkeys((program, path)):
        prefix = os.path.dirname(os.path.dirname(start))
        found = {
            match["minor"]: (match, name)
            for name in sorted(_module_names(os.path.join(prefix, "lib")), reverse=True)
            if (match := re.search(_SUFFIX, name))
        }
        if named:
            found = {named[1]: found[named[1]]} if named[1] in found else {}
        if len(found) == 1:
            ((minor, (match, name)),) = found.items()
            implementation = match["implementation"].rstrip("-")
            return _interpreter(path, implementation, (3, int(minor)), name[match.start() :], {})
    if facts is not None and facts.interpreter and _runs_here(facts.machine):
        raise ForeignInterpreter(program, path, facts.interpreter)
    raise BadTarget(
        "is for another machine, and no extension module beside it tells its version",
        where=path,
        hint="name the target with --dynamic-linker instead; its tags are then not checked",
    )


def _module_names(library: str) -> Iterator[str]:
    """List the standard library's extension modules of every Python under ``library``."""
    for folder in ("", "lib-dynload"):
        for home in _entries(library):
            if home.startswith(("python3", "pypy3")):
                yield from _entries(os.path.join(library, home, folder))


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


class Interpreter(Value):
    """What a Python interpreter accepts: read from it, or from its environment.

    ``tags`` are (python, abi) pairs in its order of preference, such as
    ("cp311", "cp311"), ("cp311", "abi3"), ("py3", "none"). ``schemes`` are for `read_scheme`;
    they are not known of one that can't be run.
    """

    executable: str
    version: tuple[int, int]
    implementation: str
    tags: tuple[tuple[str, str], ...]
    schemes: Mapping[str, Mapping[str, str]] = field(default={}, compare=False, repr=False)


def _interpreter(
    path: str,
    implementation: str,
    version: tuple[int, int],
    suffix: str,
    schemes: Mapping[str, Mapping[str, str]],
) -> Interpreter:
    return Interpreter(
        executable=path,
        version=version,
        implementation=implementation,
        schemes=schemes,
        tags=interpreter_tags(implementation, version, abis_of_suffix(suffix)),
    )


#: Short names of implementations in tags (PEP 425); the others are spelt out.
SHORT_NAMES = {"cpython": "cp", "pypy": "pp", "ironpython": "ip", "jython": "jy"}


def interpreter_tags(
    implementation: str, version: tuple[int, int], abis: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """List the (python, abi) pairs that an interpreter takes, in its order of preference.

    ``implementation`` is sys.implementation.name; ``abis`` its own ABIs, the
    most exact first: ("cp313t",), ("cp311d", "cp311"), ("pypy310_pp73",).
    Stable ABIs are added here: abi3 for CPython with a GIL, of every version
    from 3.2 up to its own (PEP 384); abi3t for free-threaded CPython (PEP 803).
    """
    major, minor = version
    own = f"{SHORT_NAMES.get(implementation, implementation)}{major}{minor}"
    pairs = [(own, abi) for abi in abis]
    if implementation == "cpython":
        stable = "abi3t" if any(is_free_threaded(abi) for abi in abis) else "abi3"
        pairs += [(own, stable), (own, "none")]
        pairs += [(f"cp{major}{older}", stable) for older in range(minor - 1, 1, -1)]
    else:
        pairs.append((own, "none"))
    pairs += [(f"py{major}{minor}", "none"), (f"py{major}", "none")]
    pairs += [(f"py{major}{older}", "none") for older in range(minor - 1, -1, -1)]
    if implementation == "pypy":
        pairs.append((f"pp{major}", "none"))
    return tuple(dict.fromkeys(pairs))


def is_free_threaded(abi: str) -> bool:
    """Whether an ABI tag is that of a CPython without GIL: "cp313t", "cp314td", "abi3t"."""
    return re.fullmatch(r"cp3[0-9]+td?|abi3t", abi) is not None

"""Wheel file names and their tags, against the interpreter and the libc that they meet.

The rules are those of PEP 425 (compound tags), 600 (manylinux_X_Y), 656
(musllinux) and 803 (abi3t), as installers apply them: a tag fits here exactly
if it is among those that pip would look for on the target.
"""

from __future__ import annotations

import os
import re

from nix_manylinux.errors import BadWheel, IncompatibleWheel
from nix_manylinux.policy import parse_floor
from nix_manylinux.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nix_manylinux.model import Interpreter, Target
    from nix_manylinux.policy import Floor

#: Short names of implementations in tags (PEP 425); the others are spelt out.
SHORT_NAMES = {"cpython": "cp", "pypy": "pp", "ironpython": "ip", "jython": "jy"}

#: Below these, installers know no manylinux: PEP 513 named two architectures, PEP 599 the others.
_OLDEST_GLIBC = {"x86_64": (2, 5), "i686": (2, 5)}
_OLDEST_GLIBC_ELSEWHERE = (2, 17)

_TAG_PART = re.compile(r"[A-Za-z0-9_]+")

#: NAME-VERSION(-BUILD)-PYTHON-ABI-PLATFORM.whl as nearly all wheels spell it, with a
#: version in PEP 440's normal form: right without a further look, but for "__" in NAME.
_PLAIN_NAME = (
    r"(?P<name>[\w.]+)-\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\+[a-z\d]+)?"
    r"(-\d+\w*)?(-[A-Za-z][\w.]*){3}\.whl"
)
#: Characters that a file's name can have. Numbers of thousands of digits are nobody's version.
_LONGEST_NAME = 255

#: fetchurl's output is called by the store: hash, dash, the file's own name.
_STORE_HASH = r"[0-9a-df-np-sv-z]{32}-"


class WheelName(Value):
    """What a wheel's file name says: PyPA's "Binary distribution format".

    ``name`` and ``version`` are spelt as in the file name; ``tags`` are
    expanded, each once, in the order of the name.
    """

    name: str
    version: str
    build: str
    tags: tuple[str, ...]


class _Verdict(Value, kw_only=False):
    """How far one tag gets, and what stops it; an empty reason is a fit."""

    rank: int
    reason: str
    hint: str = ""


def wheel_file_name(path: str) -> str:
    """Give the last component of ``path``, without the hash that the Nix store puts in front."""
    return re.sub(rf"^{_STORE_HASH}", "", os.path.basename(path))


def parse_wheel_name(path: str) -> WheelName:
    """Read the last component of ``path``, or raise BadWheel with what is wrong in it."""
    filename = wheel_file_name(path)
    plain = re.fullmatch(_PLAIN_NAME, filename, re.ASCII)
    if plain is None or "__" in plain["name"] or len(filename) > _LONGEST_NAME:
        _check_odd_name(filename)
    parts = filename[: -len(".whl")].split("-")
    return WheelName(
        name=parts[0],
        version=parts[1],
        build=parts[2] if len(parts) == 6 else "",
        tags=expand_tag("-".join(parts[-3:])),
    )


def _check_odd_name(filename: str) -> None:
    """Have `packaging` judge a name that isn't spelt as most are: its import costs 40 ms."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename  # noqa: PLC0415
    from packaging.version import InvalidVersion  # noqa: PLC0415

    try:
        parse_wheel_filename(filename)
    except (InvalidWheelFilename, InvalidVersion, ValueError) as error:
        raise BadWheel(
            str(error).partition(": ")[0] or "invalid wheel file name",
            where=filename,
            hint="a wheel is called NAME-VERSION(-BUILD)-PYTHON-ABI-PLATFORM.whl",
        ) from error


def expand_tag(tag: str) -> tuple[str, ...]:
    """Expand a compound tag, "py2.py3-none-any", into the simple ones that it stands for.

    Raises BadWheel for what is no tag. Case does not count (PEP 425).
    """
    parts = tag.lower().split("-")
    sets = [part.split(".") for part in parts]
    if len(parts) != 3 or not all(_TAG_PART.fullmatch(name) for names in sets for name in names):
        raise BadWheel(
            f"{tag!r} is no compatibility tag",
            hint="a tag is PYTHON-ABI-PLATFORM, each a list joined by dots",
        )
    pythons, abis, platforms = sets
    expanded = (
        f"{python}-{abi}-{platform}" for python in pythons for abi in abis for platform in platforms
    )
    return tuple(dict.fromkeys(expanded))


def disagreement(filename_tags: Iterable[str], wheel_tags: Iterable[str]) -> str:
    """Say how the Tag lines of WHEEL differ from the file name, or "" where they agree.

    The file name is what installers go by; WHEEL is what was meant at build
    time. playwright's wheels, for one, were renamed after they were built.
    """
    named, told = set(filename_tags), set(wheel_tags)
    if not told or named == told:
        return ""
    only_named = ", ".join(sorted(named - told)) or "nothing more"
    only_told = ", ".join(sorted(told - named)) or "nothing more"
    return (
        f"the file name and WHEEL disagree about the tags: the name has {only_named}, "
        f"WHEEL has {only_told}; the name counts"
    )


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


def check_compatible(filename_tags: Iterable[str], target: Target, *, where: str = "") -> None:
    """Raise IncompatibleWheel unless one of the simple tags fits ``target``.

    The platform is always held against the target's machine and libc; Python
    and ABI only where the target has an interpreter. Of several tags, the
    error tells about the one that comes nearest.
    """
    tags = tuple(filename_tags)
    verdicts = [_judge(tag, target) for tag in tags]
    if any(not verdict.reason for verdict in verdicts):
        return
    if not verdicts:
        raise IncompatibleWheel("the wheel has no tag at all", where=where)
    best = max(verdicts, key=lambda verdict: verdict.rank)
    raise IncompatibleWheel(best.reason, where=where, hint=best.hint)


def misfit(filename_tags: Iterable[str], target: Target) -> tuple[str, str] | None:
    """Give what `check_compatible` would refuse the tags for, and its hint; None where they fit."""
    try:
        check_compatible(filename_tags, target)
    except IncompatibleWheel as error:
        return error.what, error.hint
    return None


def _judge(tag: str, target: Target) -> _Verdict:
    python, abi, platform = tag.split("-")
    verdict = _judge_platform(platform, target)
    if verdict.reason:
        return verdict
    interpreter = target.interpreter
    if interpreter is None or _takes(interpreter, python, abi, platform):
        return _FITS
    return _judge_python(python, abi, platform, interpreter)


def _takes(interpreter: Interpreter, python: str, abi: str, platform: str) -> bool:
    """Whether an installer looks for the tag, of which the platform is known to fit.

    For "any", installers ask for no ABI but "none", and of the pythons that
    aren't "py..." only for CPython's own version and for PyPy's "pp3".
    """
    if (python, abi) not in interpreter.tags:
        return False
    bare_pypy = interpreter.implementation == "pypy" and python == f"pp{interpreter.version[0]}"
    if platform != "any":
        return not bare_pypy
    if abi != "none":
        return False
    return python.startswith("py") or bare_pypy or interpreter.implementation == "cpython"


_FITS = _Verdict(9, "")


def _judge_platform(platform: str, target: Target) -> _Verdict:
    arch = target.machine.name
    wanted = parse_floor(platform)
    named = wanted.arch if wanted else platform.removeprefix("linux_")
    if platform in {"any", f"linux_{arch}"}:
        return _FITS
    if (wanted is None and named == platform) or not named:
        system = {"win": "Windows", "macosx": "macOS"}.get(re.split(r"[_0-9]", platform)[0])
        reason = f"the wheel is for {system or platform}, the target is Linux on {arch}"
        return _Verdict(0, reason, f"take the wheel for {_platform_advice(target)}")
    if wanted is None or named != arch:
        return _Verdict(
            1,
            f"the wheel is for {named}, the target is {target.machine}",
            f"take the wheel for {_platform_advice(target)}, or name a target of the wheel's "
            "machine with --python or --dynamic-linker",
        )
    return _judge_libc(wanted, target)


def _judge_libc(wanted: Floor, target: Target) -> _Verdict:
    """Judge a floor whose architecture is the target's."""
    advice = f"take the wheel for {_platform_advice(target)}"
    have = target.libc_version[:2]
    oldest = _OLDEST_GLIBC.get(wanted.arch, _OLDEST_GLIBC_ELSEWHERE)
    if wanted.libc != target.libc:
        reason = f"the wheel is for {wanted.libc} ({wanted}), the target's libc is {target.libc}"
        return _Verdict(2, reason, advice)
    if wanted.version > have or (wanted.libc == "musl" and wanted.major != have[0]):
        version = _dotted(wanted.version)
        reason = f"the wheel needs {wanted.libc} {version}, the target has {_dotted(have)}"
        return _Verdict(4, reason, f"{advice}, or link for a newer {wanted.libc}")
    if wanted.libc == "glibc" and wanted.version < oldest:
        reason = (
            f"no installer takes {wanted}: for {wanted.arch}, manylinux begins with "
            f"glibc {_dotted(oldest)}"
        )
        return _Verdict(3, reason, advice)
    if wanted.libc == "glibc" and wanted.arch == "armv7l" and target.machine.abi == "soft":
        reason = f"{wanted} is for hard-float ARM, the target is soft-float"
        return _Verdict(3, reason, "build the package from source")
    return _FITS


def _platform_advice(target: Target) -> str:
    prefix = "manylinux" if target.libc == "glibc" else "musllinux"
    major, minor = target.libc_version[:2]
    return f"{prefix}_{major}_{minor}_{target.machine.name} or older"


def _judge_python(python: str, abi: str, platform: str, interpreter: Interpreter) -> _Verdict:
    """Say why a pair that isn't among the interpreter's is not."""
    own = f"{interpreter.implementation} {_dotted(interpreter.version)}"
    hint = f"take a wheel for {' or '.join('-'.join(pair) for pair in _wished(interpreter))}"
    short = SHORT_NAMES.get(interpreter.implementation, interpreter.implementation)
    wanted = re.fullmatch(r"([a-z]+)([0-9])([0-9]{0,9})", python)
    if wanted is None or wanted[1] not in {short, "py"}:
        names = {short: name for name, short in SHORT_NAMES.items()}
        other = names.get(wanted[1], wanted[1]) if wanted else python
        return _Verdict(5, f"the wheel is for {other} ({python}), the interpreter is {own}", hint)
    version = (int(wanted[2]), int(wanted[3])) if wanted[3] else (int(wanted[2]),)
    free_threaded = any(is_free_threaded(mine) for _, mine in interpreter.tags)
    stable = abi in {"abi3", "abi3t"}
    rank = 8
    if stable and version > interpreter.version:
        rank, reason = 7, f"the wheel needs Python {_dotted(version)} or newer, this is {own}"
    elif not stable and version != interpreter.version[: len(version)]:
        rank, reason = 6, f"the wheel is for Python {_dotted(version)}, this is {own}"
    elif abi != "none" and free_threaded and not is_free_threaded(abi):
        reason = f"the wheel's ABI ({abi}) wants a GIL, the interpreter is free-threaded"
    elif is_free_threaded(abi) and not free_threaded:
        reason = f"the wheel's ABI ({abi}) is for free-threaded Python, the interpreter has a GIL"
    elif platform == "any":
        reason = f"no installer takes {python}-{abi} for any platform"
    else:
        reason = f"the wheel's ABI is {abi}, which {own} does not have"
    return _Verdict(rank, reason, hint)


def _wished(interpreter: Interpreter) -> list[tuple[str, str]]:
    """Pick the pairs worth naming: its own ABI, its stable ABI, and plain Python 3."""
    stable = [pair for pair in interpreter.tags if pair[1] in {"abi3", "abi3t"}]
    pairs = [*interpreter.tags[:1], *stable[:1], (f"py{interpreter.version[0]}", "none")]
    return list(dict.fromkeys(pairs))


def _dotted(version: Iterable[int]) -> str:
    return ".".join(str(part) for part in version)

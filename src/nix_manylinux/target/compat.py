"""Wheel file names and their tags, against the interpreter and the libc that they meet.

The rules are those of PEP 425 (compound tags), 600 (manylinux_X_Y), 656
(musllinux) and 803 (abi3t), as installers apply them: a tag fits here exactly
if it is among those that pip would look for on the target.
"""

from __future__ import annotations

import re

from nix_manylinux.base.errors import IncompatibleWheel
from nix_manylinux.base.values import Value
from nix_manylinux.target.interpreter import SHORT_NAMES, Interpreter, is_free_threaded
from nix_manylinux.target.policy import Floor, parse_floor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from nix_manylinux.target.target import Target


#: Below these, installers know no manylinux: PEP 513 named two architectures, PEP 599 the others.
_OLDEST_GLIBC = {"x86_64": (2, 5), "i686": (2, 5)}
_OLDEST_GLIBC_ELSEWHERE = (2, 17)


class _Verdict(Value, kw_only=False):
    """How far one tag gets, and what stops it; an empty reason is a fit."""

    rank: int
    reason: str
    hint: str = ""


def check_compatible(filename_tags: Iterable[str], target: Target, *, where: str = "") -> None:
    """Raise IncompatibleWheel unless one of the simple tags fits ``target``.

    The platform is always held against the target's machine and libc; Python
    and ABI only where the target has an interpreter. Of several tags, the
    error tells about the one that comes nearest.
    """
    mismatch = tag_mismatch(filename_tags, target)
    if mismatch:
        raise IncompatibleWheel(mismatch[0], where=where, hint=mismatch[1])


def tag_mismatch(filename_tags: Iterable[str], target: Target) -> tuple[str, str] | None:
    """Give what `check_compatible` would refuse the tags for, and its hint; None where they fit."""
    verdicts = [_judge(tag, target) for tag in filename_tags]
    best = max(verdicts, key=lambda verdict: verdict.rank, default=_NO_TAG)
    return (best.reason, best.hint) if best.reason else None


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


_FITS, _NO_TAG = _Verdict(9, ""), _Verdict(0, "the wheel has no tag at all")


def _judge_platform(platform: str, target: Target) -> _Verdict:
    arch = target.machine.name
    wanted = parse_floor(platform)
    named = wanted.arch if wanted else platform.removeprefix("linux_")
    if platform in {"any", f"linux_{arch}"}:
        return _FITS
    if (wanted is None and named == platform) or not named:
        system = {"win": "Windows", "macosx": "macOS"}.get(re.split(r"[_0-9]", platform)[0])
        reason = f"the wheel is for {system or platform}, the target is Linux on {arch}"
        return _Verdict(0, reason, _advice(target))
    if wanted is None or named != arch:
        return _Verdict(
            1,
            f"the wheel is for {named}, the target is {target.machine}",
            f"{_advice(target)}, or name a target of the wheel's machine with --python or"
            " --dynamic-linker",
        )
    return _judge_libc(wanted, target)


def _judge_libc(wanted: Floor, target: Target) -> _Verdict:
    """Judge a floor whose architecture is the target's."""
    have = target.libc_version[:2]
    oldest = _OLDEST_GLIBC.get(wanted.arch, _OLDEST_GLIBC_ELSEWHERE)
    if wanted.libc != target.libc:
        reason = f"the wheel is for {wanted.libc} ({wanted}), the target's libc is {target.libc}"
        return _Verdict(2, reason, _advice(target))
    if wanted.version > have or (wanted.libc == "musl" and wanted.major != have[0]):
        version = _dotted(wanted.version)
        reason = f"the wheel needs {wanted.libc} {version}, the target has {_dotted(have)}"
        return _Verdict(4, reason, f"{_advice(target)}, or link for a newer {wanted.libc}")
    if wanted.libc == "glibc" and wanted.version < oldest:
        begins = f"for {wanted.arch}, manylinux begins with glibc {_dotted(oldest)}"
        return _Verdict(3, f"no installer takes {wanted}: {begins}", _advice(target))
    if wanted.libc == "glibc" and wanted.arch == "armv7l" and target.machine.abi == "soft":
        reason = f"{wanted} is for hard-float ARM, the target is soft-float"
        return _Verdict(3, reason, "build the package from source")
    return _FITS


def _advice(target: Target) -> str:
    major, minor = target.libc_version[:2]
    floor = Floor(libc=target.libc, major=major, minor=minor, arch=target.machine.name)
    return f"take the wheel for {floor} or older"


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

"""A wheel's file name: its parts and its tags (PEP 425, PyPA's Binary distribution format)."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Sequence

from nix_manylinux.base.errors import BadWheel
from nix_manylinux.base.store import HASH
from nix_manylinux.base.values import Value

_TAG_PART = re.compile(r"[A-Za-z0-9_]+")


#: NAME-VERSION(-BUILD)-PYTHON-ABI-PLATFORM.whl as nearly all wheels spell it, with a
#: version in PEP 440's normal form: right without a further look, but for "__" in NAME.
_PLAIN_NAME = (
    r"(?P<name>[\w.]+)-\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\+[a-z\d]+)?"
    r"(-\d+\w*)?(-[A-Za-z][\w.]*){3}\.whl"
)


#: What PEP 825 lets a variant label be, and what tells a Python tag from a build number.
_VARIANT = re.compile(r"[0-9a-z._]+")
_PYTHON_TAG = re.compile(r"[A-Za-z]+[0-9][A-Za-z0-9_.]*")


#: Characters that a file's name can have. Numbers of thousands of digits are nobody's version.
_LONGEST_NAME = 255


class WheelName(Value):
    """What a wheel's file name says: PyPA's "Binary distribution format".

    ``name`` and ``version`` are spelt as in the file name; ``tags`` are
    expanded, each once, in the order of the name. ``variant`` is the label of
    PEP 825 that may stand behind the platform tag, or "".
    """

    name: str
    version: str
    build: str
    tags: tuple[str, ...]
    variant: str = ""


def wheel_file_name(path: str) -> str:
    """Give the last component of ``path``, without the hash that the Nix store puts in front."""
    return re.sub(rf"^{HASH}", "", os.path.basename(path))


def parse_wheel_name(path: str) -> WheelName:
    """Read the last component of ``path``, or raise BadWheel with what is wrong in it."""
    filename, variant = without_variant(wheel_file_name(path))
    plain = re.fullmatch(_PLAIN_NAME, filename, re.ASCII)
    if plain is None or "__" in plain["name"] or len(filename) > _LONGEST_NAME:
        _check_odd_name(filename)
    parts = filename[: -len(".whl")].split("-")
    return WheelName(
        name=parts[0],
        version=parts[1],
        build=parts[2] if len(parts) == 6 else "",
        tags=expand_tag("-".join(parts[-3:])),
        variant=variant,
    )


def without_variant(filename: str) -> tuple[str, str]:
    """Take a variant label out of a name (PEP 825): a part too many, behind the platform tag."""
    stem = filename.removesuffix(".whl")
    parts = stem.split("-")
    behind = len(parts) == 7 or (len(parts) == 6 and _PYTHON_TAG.fullmatch(parts[2]))
    if stem == filename or not behind or not _VARIANT.fullmatch(parts[-1]):
        return filename, ""
    return f"{'-'.join(parts[:-1])}.whl", parts[-1]


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
    return tuple(dict.fromkeys(map("-".join, itertools.product(*sets))))


def platforms_of(tags: Iterable[str]) -> tuple[str, ...]:
    """Give the platform tags in some tags, each once, in their order."""
    return tuple(dict.fromkeys(tag.rpartition("-")[2] for tag in tags))


def disagreement(filename_tags: Iterable[str], wheel_tags: Iterable[str]) -> str:
    """Say how the Tag lines of WHEEL differ from the file name, or "" where they agree.

    The file name is what installers go by; WHEEL is what was meant at build
    time. playwright's wheels, for one, were renamed after they were built.
    """
    named, declared = set(filename_tags), set(wheel_tags)
    if not declared or named == declared:
        return ""
    only_named = ", ".join(sorted(named - declared)) or "nothing more"
    only_declared = ", ".join(sorted(declared - named)) or "nothing more"
    return (
        f"the file name and WHEEL disagree about the tags: the name has {only_named}, "
        f"WHEEL has {only_declared}; the name counts"
    )


def renamed(file_name: str, platforms: Sequence[str]) -> str:
    """Give a wheel's file name with these platform tags in place of its own."""
    plain, variant = without_variant(file_name)
    stem = plain.removesuffix(".whl").rpartition("-")[0]
    return f"{'-'.join(filter(None, [stem, '.'.join(platforms), variant]))}.whl"


def retagged(wheel: bytes, file_name: str, platforms: Sequence[str]) -> bytes:
    """Give WHEEL with a Tag for each of the name's Pythons and ABIs on each platform.

    Its other lines stay as they are, but for Root-Is-Purelib: no wheel for a platform is one.
    """
    pythons, abis, _ = without_variant(file_name)[0].removesuffix(".whl").split("-")[-3:]
    tags = [
        f"Tag: {python}-{abi}-{platform}"
        for python in pythons.split(".")
        for abi in abis.split(".")
        for platform in platforms
    ]
    lines: list[str] = []
    text = wheel.decode("utf-8", "surrogateescape")
    for line in text.splitlines():
        name = line.partition(":")[0].strip().lower()
        if name == "tag":
            lines += tags
            tags = []
        elif name == "root-is-purelib":
            lines.append("Root-Is-Purelib: false")
        else:
            lines.append(line)
    if tags:  # none before: behind the other headers
        end = lines.index("") if "" in lines else len(lines)
        lines[end:end] = tags
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")

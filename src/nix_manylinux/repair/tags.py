"""A wheel under other platform tags: its file name, and WHEEL."""

from __future__ import annotations

from collections.abc import Sequence

from nix_manylinux.wheel.name import without_variant


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

"""How an expression fetches its wheels: by their names, by URLs, or from the folder it is in."""

from __future__ import annotations

import re

from nix_manylinux.base.words import capital, on_several_lines, wrap
from nix_manylinux.nix.expression.conditions import in_brackets
from nix_manylinux.nix.expression.layout import remark
from nix_manylinux.nix.origin import KEPT_BACK
from nix_manylinux.nix.syntax import nix_beside, nix_comment, nix_string
from nix_manylinux.target.interpreter import is_free_threaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nix_manylinux.nix.expression.wheel import DescribedWheel, WheelFile


def source_lines(
    wheels: Sequence[DescribedWheel],
    version: str,
    own: str,
    *,
    local: Mapping[str, str] | None,
    again: str,
) -> Iterator[str]:
    """Write src: one file by its name, or the list that fetchPypi chooses from.

    ``own`` is how the package's attributes are called: "", "finalAttrs."; ``again`` what writes
    the expression for another release, "" for who doesn't ask.
    """
    if again and (len(wheels) > 1 or wheels[0].beside):
        begin = "For another release, with all hashes (carry over what was filled in by hand):"
        yield nix_comment(begin)
        # An option and its value stay together.
        kept = re.sub(r"(--[a-z-]+) (?!-)", "\\1\0", again)
        lines = [line.replace("\0", " ") for line in wrap(kept, 94, rest="  ")]
        yield from map(nix_comment, on_several_lines(lines))
    if local:
        yield f"src = {nix_beside(local[wheels[0].file])};"
        return
    yield from _about_origin([*wheels, *(each for wheel in wheels for each in wheel.beside)])
    first, *lines = _fetch(wheels, version, own)
    yield f"src = {first}"
    yield from lines
    yield "};"


def beside_lines(
    wheels: Sequence[DescribedWheel], version: str, own: str, *, local: Mapping[str, str] | None
) -> Iterator[str]:
    """Write the wheels that are one package with the first one, and how they come to it."""
    if not wheels[0].beside:
        return
    yield from remark(
        "The other wheels of this one package: their files lie in the same folders. None of them"
        " can be linked alone, which is why the output dist keeps none."
    )
    yield "wheels = ["
    for several in zip(*(wheel.beside for wheel in wheels), strict=True):
        if local:
            yield f"  {in_brackets(nix_beside(local[several[0].file]))}"
        else:
            first, *lines = _fetch(several, version, own)
            yield from (f"  ({first}", *(f"  {line}" for line in lines), "  })")
    yield "];"
    name = "baseNameOf wheel" if local else "wheel.name"
    into = f'(wheel: "ln -s ${{wheel}} dist/${{{name}}}\\n")'
    yield f"preInstall = lib.concatMapStrings {into} {own}wheels;"
    yield 'preFixup = "rm $dist/*.whl";'


def _fetch(several: Sequence[DescribedWheel | WheelFile], version: str, own: str) -> Iterator[str]:
    """Write the call of fetchPypi, up to its last bracket."""
    wheels = sorted({wheel.file: wheel for wheel in several}.items())
    yield "fetchPypi {"
    if len(wheels) == 1:
        yield from (f"  {line}" for line in _fetched(wheels[0][1], version, own))
    else:
        yield "  pythonVersion = python.version;"
        if any(is_free_threaded(tag.split("-")[1]) for _, each in wheels for tag in each.name.tags):
            yield '  freeThreaded = lib.hasSuffix "t" (python.executable or "");'
        yield "  files = ["
        for _, wheel in wheels:
            yield from (
                "    {",
                *(f"      {line}" for line in _fetched(wheel, version, own)),
                "    }",
            )
        yield "  ];"


def _fetched(wheel: DescribedWheel | WheelFile, version: str, own: str) -> Iterator[str]:
    """Write how one file is fetched: by its name from the default index, else by its URL."""
    url = wheel.origin.url
    yield f"url = {nix_string(url)};" if url else f"file = {_file(wheel, version, own)};"
    yield f"hash = {nix_string(wheel.sri)};"


def _about_origin(wheels: Sequence[DescribedWheel | WheelFile]) -> Iterator[str]:
    """Say where a source may not be fetched as it stands there."""
    origins = [wheel.origin for wheel in wheels]
    if any(origin.kept_back for origin in origins):
        yield from remark(
            f"{capital(KEPT_BACK)}. Where Nix can't fetch this without, take the file itself:"
            " nix-manylinux expr WHEEL --local."
        )
    if any(origin.path for origin in origins):
        yield from remark(
            "From a folder, not from an index. Where the default index has no such file, take the"
            " file itself: nix-manylinux expr WHEEL --local."
        )
    elif any("+" in wheel.name.version and not wheel.origin.url for wheel in wheels):
        yield from remark(
            "A local version (+...) is never on the default index: write url in place of file."
        )


def _file(wheel: DescribedWheel | WheelFile, version: str, own: str) -> str:
    """Write a file's name, with the package's version by its name where it is the same.

    The version stands in one place, where who updates it changes it.
    """
    name, second, rest = (*wheel.file.split("-", 2), "", "")[:3]
    if second != version:
        return nix_string(wheel.file)
    return f"{nix_string(f'{name}-')[:-1]}${{{own}version}}{nix_string(f'-{rest}')[1:]}"

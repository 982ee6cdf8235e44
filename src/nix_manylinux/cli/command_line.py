"""A command line written anew: for some of its paths, with the options that it had."""

from __future__ import annotations

import os

from nix_manylinux.base.values import field_names, replace
from nix_manylinux.base.words import shell
from nix_manylinux.resolve.plan import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nix_manylinux.cli.run import Run

#: So many wheels are named one by one.
_FEW = 3


def typed(run: Run, paths: Sequence[str], *, without: Sequence[str] = ()) -> str:
    """Give a command line that patches ``paths``, with every option that was given.

    ``without`` are libraries to be loaded at run time that can't be had.
    """
    given = run.arguments
    extra = vars(given.extra)
    verb = "install" if given.command == "install" else "patch"
    words: list[str] = []
    if verb == "patch" and any(path.endswith(".whl") and os.path.isfile(path) for path in paths):
        words += ["--output-dir", given.output_dir or "patched"]
    for name in ("python", "dynamic_linker", "libc", "gc_roots", "prefix"):
        value = getattr(given, name)
        words += [f"--{name.replace('_', '-')}", value] if value else []
    words += [f"--dist={wheel}" for wheel in given.dist]
    words += [f"--compile-bytecode={level}" for level in extra.get("compile_bytecode") or ()]
    words += ["--no-compile-bytecode"] if extra.get("no_compile_bytecode") else []
    words += [f"--libs={folder}" for folder in given.libs]
    options = part_of(given.options, paths, given.paths)
    loads = tuple(each for each in options.runtime_libs if each not in without)
    words += _options(replace(options, runtime_libs=loads))
    if given.nixpkgs:
        words += ["--nixpkgs"] if given.nixpkgs == "<nixpkgs>" else ["--nixpkgs", given.nixpkgs]
    return " ".join(["nix-manylinux", verb, _named(paths), *map(shell, words)])


def _named(paths: Sequence[str]) -> str:
    """Write paths as a shell takes them; many wheels of a folder, where they are all of it, as one.

    The shell has made names of `*.whl`: two hundred would hide what stands above them.
    """
    folder = os.path.dirname(paths[0]) if len(paths) > _FEW else ""
    if len(paths) > _FEW and all(os.path.isfile(path) for path in paths):
        names = (name for name in os.listdir(folder or ".") if not name.startswith("."))
        wheels = [os.path.join(folder, name) for name in names if name.endswith(".whl")]
        if sorted(wheels) == sorted(paths):
            return os.path.join(shell(folder) if folder else "", "*.whl")
    return shell(*paths)


def part_of(options: Options, paths: Sequence[str], given: Sequence[str]) -> Options:
    """Give the options for some of the paths that were given with them.

    What these don't need to have ignored others do.
    """
    if len(paths) == len(given):
        return options
    entries = (*options.ignore_if_missing, *options.ignore_missing)
    return replace(options, ignore_if_missing=entries, ignore_missing=())


def _options(options: Options) -> Iterator[str]:
    """Give the words that make these options of the defaults."""
    usual = Options()
    for name in field_names(options):
        value = getattr(options, name)
        if value == getattr(usual, name):
            continue
        option = "--" + name.replace("_", "-").replace("driver-libs", "driver-lib")
        for each in value if isinstance(value, tuple) else (value,):
            yield option if each is True else f"{option}={each}"

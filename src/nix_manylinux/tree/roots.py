"""Which paths are trees, and which of them hold the others."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress

from nix_manylinux.base.errors import BadTree
from nix_manylinux.base.words import shell
from nix_manylinux.elf.read import is_elf_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    StrPath = str | os.PathLike[str]

#: What pip would take for the name of a project, with extras and versions (PEP 508).
_REQUIREMENT = (
    r"(?P<project>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:\[[^]/]*\])?"
    r"(?P<versions>(?:\s*[=<>~!][^/]+)?)"
)

#: Where stdenv writes which packages come with one.
PROPAGATED = "nix-support/propagated-build-inputs"

#: Of a folder, to be compared with one that isn't there.
_MOST_NAMES = 1000


class NoSuchPath(BadTree):
    """A path that is not there.

    Where it reads like a requirement, ``project`` is whose, and ``versions`` is which: "==1.2".
    """

    project = ""
    versions = ""


def several(paths: StrPath | Sequence[StrPath]) -> Sequence[StrPath]:
    """Give paths, of which there may be one that stands for itself."""
    return [paths] if isinstance(paths, (str, os.PathLike)) else paths


def is_tree(path: StrPath) -> bool:
    """Whether a path that may name a tree or a wheel names a tree; BadTree for neither."""
    if os.fspath(path).endswith(".whl") and os.path.exists(path) and not os.path.isdir(path):
        return False
    return bool(tree_root(path))


def tree_root(root: StrPath) -> str:
    """Give a directory's absolute path. Raises BadTree, which says what the path names instead."""
    path = os.fspath(root)
    if os.path.isdir(path):
        return os.path.abspath(path)
    if not path:
        raise BadTree("an empty path names nothing", hint="is a variable unset?")
    if not os.path.exists(path):
        raise _no_such_path(path)
    if path.endswith(".whl"):
        what, hint = (
            "is a wheel",
            "unpack it, and name the folder; `inspect` and `check` take it as it is",
        )
    elif is_elf_file(path):
        what = "is one ELF file, not the tree that it belongs to"
        hint = f"name the tree: {shell(_tree_around(path))}"
    elif path.endswith((".pex", ".pyz", ".shiv")):
        what = "is a zip application, which unpacks its files when it is started"
        hint = "patch an environment, and pack that: shiv --site-packages, pex --venv-repository"
    else:
        what = "is neither a directory nor a wheel (*.whl)"
        hint = "name an unpacked tree, or the wheel; of a source archive, build a wheel first"
    raise BadTree(what, where=path, hint=hint)


def _no_such_path(path: str) -> NoSuchPath:
    """Say what may have been meant by a path that isn't there: a requirement, of which a wheel."""
    hint = f"check the spelling{_near(path)}"
    read = None if path.endswith(".whl") else re.fullmatch(_REQUIREMENT, path)
    if read and read["versions"]:
        hint = f"fetch it, and name the wheel: pip download --no-deps {shell(path)}"
    elif "*" in path and not os.path.exists(os.path.dirname(path) or "."):
        hint = f"there is no folder {os.path.dirname(path)}"
    elif "*" in path:
        hint = "no file has a name like that"
    error = NoSuchPath("there is no such file or directory", where=path, hint=hint)
    if read:
        error.project, error.versions = read["project"], read["versions"].strip()
    return error


def _tree_around(path: str) -> str:
    """Give the environment that a file is in, or the site-packages, or else its folder."""
    folder = os.path.dirname(path) or "."
    if environment := environment_around(path):
        return environment
    above, found, _ = f"{os.path.abspath(folder)}/".partition("/site-packages/")
    return f"{above}/site-packages" if found else folder


def _near(path: str) -> str:
    """Name what is called almost alike beside a path that isn't there; "" for nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 - seldom

    folder, name = os.path.split(path)
    with suppress(OSError):
        names = sorted(os.listdir(folder or "."))
        for near in get_close_matches(name, names[:_MOST_NAMES], 1):
            return f"; there is {os.path.join(folder, near)}"
    return ""


def outermost(roots: Iterable[StrPath]) -> list[str]:
    """Give the directories that hold all the others, each once, in their order.

    A file that two trees have would be decided on twice, and not alike.
    Raises what `tree_root` raises.
    """
    real: dict[str, str] = {}
    for root in roots:
        path = tree_root(root)
        real.setdefault(os.path.realpath(path), path)
    return [
        path
        for place, path in real.items()
        if not any(place != other and place.startswith(f"{other.rstrip('/')}/") for other in real)
    ]


def find_pyvenv(root: str) -> str | None:
    """Give the interpreter of a virtual environment, absolute; None where ``root`` is none.

    It need not be there: an environment that has lost its Python is one all the same.
    """
    if not os.path.isfile(os.path.join(root, "pyvenv.cfg")):
        return None
    return os.path.join(os.path.abspath(root), "bin", "python")


def environment_around(path: str) -> str:
    """Give the innermost virtual environment that a path lies in, relative if it is; or ""."""
    above = os.path.abspath(path)
    while (above := os.path.dirname(above)) != "/":
        if find_pyvenv(above):
            return above if os.path.isabs(path) else os.path.relpath(above)
    return ""


def is_package_of_nix(root: str) -> bool:
    """Whether stdenv makes a tree, or made it, as a package that others come with.

    Every Python package of nixpkgs is one: its Python comes with it.
    """
    return os.path.isfile(os.path.join(root, PROPAGATED))

"""Projects that an environment leads to and doesn't hold: what was built there, nothing links."""

from __future__ import annotations

import os
import re
from contextlib import suppress

from nix_manylinux.base.errors import NixManylinuxError
from nix_manylinux.base.files import read_small
from nix_manylinux.base.words import listed, shell, some
from nix_manylinux.elf.read import is_elf_file
from nix_manylinux.resolve.loader import make_loader
from nix_manylinux.tree.roots import find_pyvenv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nix_manylinux.resolve.loader import Loader
    from nix_manylinux.target.target import Target
    from nix_manylinux.tree.facts import TreeFacts
    from nix_manylinux.tree.libraries import LibraryIndex

#: So many bytes of a .pth file, or of setuptools' finder, are read.
_MAX_SIZE = 1 << 16
#: So many files are named before the rest is counted.
_FEW = 2
#: A project with more names than these is not looked through to its end.
_MOST_NAMES = 50_000
#: Folders of a project that nothing is imported from.
_ASIDE = frozenset({"build", "dist", "node_modules", "__pycache__"})


def editable_warnings(tree: TreeFacts, target: Target, libraries: LibraryIndex) -> Iterator[str]:
    """Warn of modules that editable installs of a virtual environment lead to, and don't load.

    They lie in the project's own folder, which no patch of the environment changes.
    """
    loader: Loader | None = None
    for folder in sorted(_folders(tree)) if find_pyvenv(tree.root) else ():
        found: dict[str, list[str]] = {}
        for path in _modules(folder):
            loader = loader or make_loader(target, libraries)
            with suppress(NixManylinuxError, OSError):
                faults = loader.open(path).faults
                names = [fault.name for fault in faults if fault.kind == "not found"]
                found |= {os.path.relpath(path, folder): names} if names else {}
        if found:
            # The environment may lie in the project: then its packages are named.
            whole = not f"{tree.root}/".startswith(f"{folder}/")
            tops = {folder if whole else os.path.join(folder, p.partition("/")[0]) for p in found}
            tops = {top if os.path.isdir(top) else folder for top in tops}
            missing = sorted({name for names in found.values() for name in names})
            python = os.path.join(tree.root, "bin/python")
            yield (
                f"{folder}, which an editable install leads to, is no part of this environment, and"
                f" {some(found, _FEW)} there won't find {listed(missing)}. To link that, too, after"
                f" each build:\n  nix-manylinux patch {shell(*sorted(tops))} --python"
                f" {shell(python)} --nixpkgs"
            )


def _folders(tree: TreeFacts) -> set[str]:
    """Give the folders of editable projects that .pth files and setuptools' finders name."""
    found = set()
    for site in (os.path.join(tree.root, each) for each in tree.site_packages):
        for name in os.listdir(site):
            path = os.path.join(site, name)
            if name.endswith(".pth"):
                lines = _text(path).splitlines()
                found |= {os.path.join(site, line.strip()) for line in lines if line.strip()}
            elif name.startswith("__editable__") and name.endswith("_finder.py"):
                found |= {*re.findall(r"'(/[^'\n]+)'", _text(path))}
    root = f"{os.path.realpath(tree.root)}/"
    found = {os.path.realpath(each) for each in found if os.path.isdir(each)}
    found = {each for each in found if not f"{each}/".startswith(root)}
    projects = [*_projects(tree)] if found else []
    found = {each for each in found if any(f"{each}/".startswith(f"{p}/") for p in projects)}
    return {each for each in found if not any(each.startswith(f"{other}/") for other in found)}


def _projects(tree: TreeFacts) -> Iterator[str]:
    """Give the folders of the projects that are installed as editable: PEP 610, and before it."""
    import json  # noqa: PLC0415 - few environments have one
    from urllib.parse import unquote, urlsplit  # noqa: PLC0415

    for site in (os.path.join(tree.root, each) for each in tree.site_packages):
        for name in os.listdir(site):
            if name.endswith(".egg-link"):  # of `setup.py develop`, by pip before 25
                line = _text(os.path.join(site, name)).partition("\n")[0]
                with suppress(ValueError):
                    yield os.path.realpath(os.path.join(site, line.strip()))
    for each in tree.distributions:
        text = _text(os.path.join(tree.root, each.folder, "direct_url.json"))
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            told = json.loads(text)
            if told["dir_info"]["editable"]:
                yield os.path.realpath(unquote(urlsplit(told["url"]).path))


def _text(path: str) -> str:
    with suppress(NixManylinuxError, OSError):
        return read_small(path, _MAX_SIZE).decode("utf-8", "replace")
    return ""


def _modules(folder: str) -> Iterator[str]:
    """Give the extension modules below a folder, but for those of environments in it."""
    left = _MOST_NAMES
    for at, folders, names in os.walk(folder):
        left -= len(folders) + len(names)
        if left < 0:
            return
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        folders[:] = sorted({f for f in folders if not f.startswith(".")} - _ASIDE)
        paths = (os.path.join(at, name) for name in sorted(names) if name.endswith(".so"))
        yield from filter(is_elf_file, paths)

"""Libraries that a wheel brings and that Python itself has, under the same name.

A process has one library of a name, the one that came first: where ssl was imported,
libssl.so.3 is the interpreter's, and a wheel's own (mysql-connector's) is not even opened.
"""

from __future__ import annotations

import os

from nix_manylinux.base.errors import BadElf
from nix_manylinux.base.words import listed
from nix_manylinux.resolve.plan import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from nix_manylinux.resolve.loader import Loader
    from nix_manylinux.resolve.plan import FilePlan
    from nix_manylinux.tree.disk import Disk


def older_in_python(files: Sequence[FilePlan], loader: Loader, disk: Disk) -> Iterator[str]:
    """Warn of files that want more of a wheel's library than Python's own of its name has."""
    interpreter = loader.target.interpreter
    if interpreter is None or loader.target.libc != "glibc":  # musl knows no versions
        return
    wanted = [
        (each, need.library, need.version)
        for each in files
        for own in [{r.name for r in each.resolutions if r.outcome is Outcome.TREE}]
        for need in each.file.facts.needs
        if need.library in own and not need.weak
    ]
    home = os.path.dirname(os.path.dirname(disk.real(interpreter.executable)))
    folder = "{}/lib/python{}.{}/lib-dynload".format(home, *interpreter.version)
    for name, (module, path) in _had(folder, {name for _, name, _ in wanted}, loader, disk).items():
        has = disk.facts(path)
        lacks: dict[str, list[str]] = {}
        for each, library, version in wanted:
            if library == name and has and version not in has.defines:
                lacks.setdefault(each.file.label, []).append(version)
        for label, versions in lacks.items():
            yield (
                f"{label}: it wants {listed(sorted(versions))} of its own {name}; where Python's"
                f" {module} was imported before, that is {path}, which has not: import the wheel"
                " first, or take a newer nixpkgs"
            )


def _had(
    folder: str, names: Collection[str], loader: Loader, disk: Disk
) -> dict[str, tuple[str, str]]:
    """Give those names that modules of the interpreter need: a module, and what it is led to."""
    found: dict[str, tuple[str, str]] = {}
    for module in sorted(disk.names(folder)) if names else ():
        path = f"{folder}/{module}"
        try:
            facts = disk.facts(path)
        except BadElf:
            continue
        for name in facts.needed if facts else ():
            if name in names and name not in found and facts:
                hit = loader.search(loader.own_path(path, facts), name)
                if hit.path:
                    found[name] = module.partition(".")[0], hit.path
    return found

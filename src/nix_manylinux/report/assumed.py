"""What a wheel is looked at for, where nobody has named a target.

This machine, if the files are for such a one; else what the files themselves say that
they are for: a wheel for aarch64 or musl can be looked at anywhere, on macOS too.
"""

from __future__ import annotations

from collections import Counter

from nix_manylinux.base.errors import BadTarget
from nix_manylinux.data import read_libraries
from nix_manylinux.elf.facts import ElfFacts, ElfKind, Machine
from nix_manylinux.report.verdict import libc_of
from nix_manylinux.target.libc import GLIBC_LOADERS, is_loader_name, musl_names
from nix_manylinux.target.policy import load_policies
from nix_manylinux.target.target import ASSUMED, Target, from_running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nix_manylinux.tree.facts import TreeFacts
    from nix_manylinux.tree.libraries import LibraryIndex


def assumed_target(
    trees: Sequence[TreeFacts], libraries: LibraryIndex, *, platforms: Iterable[str] = ()
) -> tuple[Target, LibraryIndex]:
    """Choose what files are looked at for; and the libraries, its libc's among them.

    ``platforms`` are the platform tags that are claimed. An assumed libc has every symbol
    version, since nothing is known of it but its name. Raises BadTarget where no file
    says anything and this machine is none that wheels for Linux could be for.
    """
    files = [file for tree in trees for file in tree.files if file.facts.kind.is_linked]
    machines = Counter(file.facts.machine for file in files)
    libc = libc_of(platforms, files)
    try:
        running = from_running()
    except BadTarget:
        if not machines:
            raise
    else:
        fits = any(machine.fits(running.machine) for machine in machines)
        if not machines or (fits and running.libc == libc):
            return running, libraries
    ((machine, _),) = machines.most_common(1)
    return _assume(machine, libc, libraries)


def _assume(machine: Machine, libc: str, libraries: LibraryIndex) -> tuple[Target, LibraryIndex]:
    if libc == "musl":
        names = musl_names(machine.name, None)
        linker = next(filter(is_loader_name, names))
        sonames = dict.fromkeys(names, f"{ASSUMED}/{linker}")
    else:
        linker = GLIBC_LOADERS.get(machine.name, ("ld.so",))[0]
        names = (linker, *(n for n in sorted(read_libraries().glibc) if not is_loader_name(n)))
        sonames = {name: f"{ASSUMED}/{name}" for name in names}
    target = Target(
        machine=machine,
        libc=libc,
        libc_version=max(p.version for p in load_policies().policies if p.libc == libc),
        dynamic_linker=f"{ASSUMED}/{linker}",
        libc_directory=ASSUMED,
        libc_sonames=sonames,
    )
    libraries = libraries.overlay()
    for path in {*sonames.values()}:
        name = path.rpartition("/")[2]
        libraries.disk.learn(path, ElfFacts(machine=machine, kind=ElfKind.LIBRARY, soname=name))
    return target, libraries

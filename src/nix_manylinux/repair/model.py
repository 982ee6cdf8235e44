"""The values of a repair: what a caller may decide, what came of it, what forbids it."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from nix_manylinux.base.errors import NixManylinuxError
from nix_manylinux.base.patterns import file_matches
from nix_manylinux.base.values import Value
from nix_manylinux.wheel.metadata import MAX_WHEEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.tree.facts import TreeFacts


class SbomPackage(Value):
    """What somebody knows of a package: ``paths`` are folders that its files are in.

    ``licenses`` are SPDX identifiers, ``source`` the address that it was built from.
    """

    paths: tuple[str, ...]
    name: str
    version: str = ""
    licenses: tuple[str, ...] = ()
    source: str = ""

    @property
    def text(self) -> str:
        """Name, version and licences in one line."""
        licenses = f" ({', '.join(self.licenses)})" if self.licenses else ""
        return f"{self.name} {self.version}".rstrip() + licenses


class RepairOptions(Value):
    """What a caller may decide of a repair; the command line's options under their own names.

    ``policy`` is "auto", or a name such as "manylinux_2_28" or "musllinux_1_2".
    ``also_tags`` adds to its tag: "aliases" the legacy names of the policy, "kept" also
    the oldest policy that is kept, with its names. ``exclude`` are sonames to leave to the
    system (globs; one that ends in ".so" covers its versions), ``allow_store_paths``
    members that may name the Nix store. ``allow_isa`` is "x86-64-v2" to "x86-64-v4".
    ``graft`` are sonames that are loaded at run time and come along. ``lib_dir`` is the
    folder for grafts, relative to site-packages (default: NAME.libs). ``compression`` is
    zlib's level for what is written anew; 0 stores it. ``sbom`` is "cyclonedx" or the path
    of a document to put in (PEP 770); ``packages`` says of what grafts are from what nobody
    reads off a file. ``stores`` are the folders of Nix stores. ``require_witness`` has
    pyelftools read back what was edited.
    """

    policy: str = "auto"
    also_tags: str = ""
    exclude: tuple[str, ...] = ()
    allow_store_paths: tuple[str, ...] = ()
    allow_isa: str = "x86-64"
    graft: tuple[str, ...] = ()
    strip: bool = False
    require_witness: bool = False
    lib_dir: str | None = None
    compression: int = 5
    sbom: str | None = None
    packages: tuple[SbomPackage, ...] = ()
    stores: tuple[str, ...] = ("/nix/store",)
    max_size: int = MAX_WHEEL

    def excludes(self, soname: str) -> bool:
        """Whether a library is left to the system that the wheel is installed on."""
        return any(
            fnmatchcase(soname, each) or (each.endswith(".so") and fnmatchcase(soname, f"{each}.*"))
            for each in self.exclude
        )

    def may_name_the_store(self, member: str) -> bool:
        """Whether a member may hold paths of the Nix store."""
        return any(file_matches(member, each) for each in self.allow_store_paths)


class Graft(Value):
    """One library that came along: where from, which member it became, and who wants it.

    ``soname`` is the one that it had, its file's name where it had none; ``size`` in bytes.
    ``package`` is its package as "zlib 1.3.1", with its licences where they are known.
    """

    source: str
    member: str
    soname: str
    size: int
    sha256: str
    wanted_by: tuple[str, ...]
    package: str = ""


class Finding(Value, kw_only=False):
    """One thing that forbids a repair, or an older policy; ``where`` are labels.

    ``kind`` is one of `KINDS`, or "library": one that the older policy doesn't have.
    ``soname`` is what is missing.
    """

    kind: str
    what: str
    where: tuple[str, ...] = ()
    soname: str = ""


#: What can forbid a repair -> what a user can do about it.
KINDS = {
    "missing": "give the folder of the library with --libs, or leave it to the system that the"
    " wheel is installed on: --exclude SONAME",
    "misfit": "these libraries were built for each other's successors: build them from one nixpkgs",
    "version": "compile with a toolchain of that age, or give a newer --policy",
    "symbol": "link what has these symbols statically, or use the library's public functions",
    "isa": "compile for the baseline (no -march), or say with --allow-isa that the wheel may need"
    " more: no tag tells installers of it",
    "stack": "link it with -z noexecstack: newer glibc refuses to load such a library",
    "store path": "--allow-store-paths GLOB lets them be: on other machines they lead nowhere",
    "debug path": "--strip takes debug sections away",
    "machine": "build the wheel for one machine and one libc, which its tag names, or name them by"
    " --policy (manylinux_2_28_x86_64)",
    "place": "put the files into the package itself: where an installer puts others is not known",
}


class NotPortable(NixManylinuxError):
    """A wheel that can't be made to run everywhere as it is; nothing was written.

    ``findings`` has everything that is in the way; ``fitting`` the oldest policy that the
    files' symbol versions would allow, "" for none, and while libraries are missing, which may
    ask for a newer one. ``trees`` are what was judged.
    """

    def __init__(
        self,
        findings: Sequence[Finding],
        *,
        where: str = "",
        fitting: str = "",
        trees: Sequence[TreeFacts] = (),
    ) -> None:
        self.findings, self.fitting, self.trees = tuple(findings), fitting, tuple(trees)
        kinds = dict.fromkeys(finding.kind for finding in findings)
        hints = [KINDS[kind] for kind in kinds]
        if fitting and "version" in kinds:
            hints.insert(0, f"--policy {fitting} would do")
        super().__init__(
            "; ".join(finding.what for finding in findings), where=where, hint="\n  ".join(hints)
        )


class RepairedWheel(Value):
    """A wheel that was written: its path, its tags, and what came along.

    ``sha256`` is in hex, "" for a dry run, or if it was not asked for.
    ``platforms`` are the platform tags; none for a wheel without native code, which is
    only written anew. ``edited`` are the members that changed. ``promised`` are sonames that are
    left to the system, as the policy has them, ``left`` what it has to have beyond that, as was
    asked; ``obstacles`` keep the policy from being an older one. ``loads`` are names that
    files may load at run time, with the labels of those; of these only Python opens
    ``by_python``, which no graft would be found for.
    """

    path: str
    sha256: str
    platforms: tuple[str, ...]
    grafts: tuple[Graft, ...] = ()
    edited: tuple[str, ...] = ()
    promised: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    obstacles: tuple[Finding, ...] = ()
    loads: tuple[tuple[str, tuple[str, ...]], ...] = ()
    by_python: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()

    @property
    def pure(self) -> bool:
        """Whether there is nothing in it that a platform could matter to."""
        return not self.platforms

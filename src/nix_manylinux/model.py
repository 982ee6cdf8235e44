"""The frozen values that pass between the stages. Nothing here opens a file."""

from __future__ import annotations

from enum import Enum

from nix_manylinux.elf.facts import ElfEdit
from nix_manylinux.values import Value, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.elf.facts import ElfFacts, Machine


class TreeFile(Value):
    """One ELF file of a tree: one inode, whatever number of names it has.

    ``path`` is relative to the tree, POSIX style, the first of all its names
    in sorted order; ``aliases`` are the other ones (hard links, and symbolic
    links that end at it). ``label`` is what a report calls it: the member's
    name in a wheel, the path elsewhere. ``outside_links`` counts hard links
    beyond the tree. ``mode`` is st_mode. ``stamp`` is st_dev, st_ino, st_size
    and st_mtime_ns as they were when it was read: whoever edits it later can
    tell that nobody else did.
    """

    path: str
    label: str
    facts: ElfFacts
    size: int
    mode: int
    aliases: tuple[str, ...] = ()
    outside_links: int = 0
    stamp: tuple[int, ...] = field(default=(), compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """All paths in the tree that lead to it."""
        return (self.path, *self.aliases)


class Distribution(Value):
    """What a ``.dist-info`` folder says of the wheel that it came from.

    ``folder`` is relative to the tree; ``tags`` are WHEEL's Tag lines,
    expanded; ``requires`` the normalised names in Requires-Dist, each once.
    """

    folder: str
    name: str
    version: str
    tags: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


class TreeFacts(Value):
    """All that is known of one tree before anything is decided, sorted by path.

    ``root`` is absolute. ``floating`` is a folder whose final place is not
    known yet (``lib/python`` of a wheel that is not installed): paths inside
    it and out of it are sure, paths into it are not. ``leftovers`` are
    temporary files of ours that a killed run left behind. ``damaged`` says of
    excluded files what is wrong with them; they are not among the files.
    """

    root: str
    files: tuple[TreeFile, ...]
    distributions: tuple[Distribution, ...] = ()
    site_packages: tuple[str, ...] = ()
    floating: str | None = None
    leftovers: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


class Interpreter(Value):
    """What a Python interpreter accepts: read from it, or from its environment.

    ``tags`` are (python, abi) pairs in its order of preference, such as
    ("cp311", "cp311"), ("cp311", "abi3"), ("py3", "none").
    """

    executable: str
    version: tuple[int, int]
    implementation: str
    tags: tuple[tuple[str, str], ...]


class Target(Value):
    """What we link for: a machine, a libc, and the dynamic linker that loads it.

    ``libc`` is "glibc" or "musl"; ``libc_version`` comes out of the libc file
    itself. ``libc_sonames`` are those of the libc's own libraries that stand
    in ``libc_directory``, by soname, with their paths.
    """

    machine: Machine
    libc: str
    libc_version: tuple[int, ...]
    dynamic_linker: str
    libc_directory: str
    libc_sonames: dict[str, str] = field(hash=False)
    interpreter: Interpreter | None = None


class Options(Value):
    """What a caller may decide; the command line's options under their own names."""

    python_libs: tuple[str, ...] = ()
    runtime_libs: tuple[str, ...] = ()
    append_rpath: tuple[str, ...] = ()
    ignore_missing: tuple[str, ...] = ()
    ignore_if_missing: tuple[str, ...] = ()
    provided_later: tuple[str, ...] = ()
    driver_libs: tuple[str, ...] = ()
    driver_dir: str | None = None
    exclude: tuple[str, ...] = ()
    allow_foreign: tuple[str, ...] = ()
    keep_libc: bool = False
    keep_execstack: bool = False
    missing: str = "fail"
    max_size: int = 64 * 2**30


class Outcome(str, Enum):
    """Where a needed library comes from: exactly one for each needed name."""

    LIBC = "libc"
    TREE = "tree"
    WHEEL = "wheel"
    LIBRARY = "library"
    DRIVER = "driver"
    LATER = "later"
    IGNORED = "ignored"
    MISSING = "missing"
    INCOMPATIBLE = "incompatible"


class Resolution(Value):
    """The outcome for one needed name of one file.

    ``name`` is the needed name as the file has it. ``path`` is the file that
    was chosen, absolute, and None where there is none. ``reason`` is a
    sentence wherever the outcome wants explaining.
    """

    name: str
    outcome: Outcome
    path: str | None = None
    reason: str = ""


class FilePlan(Value):
    """What will be done to one file, and where each of its needs then leads.

    ``skipped`` says why a file is left alone; then there is no edit.
    ``tree`` is the position of its tree in the plan. ``executable`` is whether
    the file is given the right to be executed.
    """

    tree: int
    file: TreeFile
    resolutions: tuple[Resolution, ...] = ()
    edit: ElfEdit = ElfEdit()
    skipped: str = ""
    notes: tuple[str, ...] = ()
    executable: bool = False

    @property
    def changes(self) -> bool:
        """Whether anything is to be done to the file."""
        return self.executable or bool(self.edit)


class Problem(Value):
    """A needed name that can't be had, with every file that wants it.

    ``wanted_by`` are labels; ``reason`` is empty for a plain absence.
    """

    name: str
    wanted_by: tuple[str, ...]
    reason: str = ""


class Plan(Value):
    """Every decision for one or more trees, made before anything is written."""

    target: Target
    trees: tuple[TreeFacts, ...]
    files: tuple[FilePlan, ...]
    missing: tuple[Problem, ...] = ()
    incompatible: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()


class EditRecord(Value):
    """What became of one file: sizes in bytes, and how it was done.

    ``how`` is "in place", "copied" (a copy was edited and renamed into
    place) or "patchelf".
    """

    label: str
    how: str
    size_before: int
    size_after: int
    notes: tuple[str, ...] = ()


class Report(Value):
    """A plan and what came of it. ``edits`` is empty where nothing was to be done."""

    plan: Plan
    edits: tuple[EditRecord, ...] = ()
    stale_rows: int = 0
    dropped_rows: int = 0
    references: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class PatchedWheel(Value):
    """A wheel that was written: its path and sha256 (hex; "" if not asked for), and the report."""

    path: str
    sha256: str
    report: Report

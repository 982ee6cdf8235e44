"""The frozen values that pass between the stages.

Nothing here opens a file. Names of files inside ELF structures are text
decoded as UTF-8 with ``surrogateescape``, so that every byte string survives
the way in and out.
"""

from __future__ import annotations

from enum import Enum

from nix_manylinux.values import Value, field


class ElfKind(str, Enum):
    """What an ELF file is for, told by its contents, never by its name or mode."""

    LIBRARY = "library"
    PROGRAM = "program"
    STATIC = "static program"
    RELOCATABLE = "relocatable object"
    DEBUG = "debug file"
    #: What no loader of the host reads: a core dump, code for a GPU.
    DATA = "data"

    @property
    def is_linked(self) -> bool:
        """Whether a dynamic linker ever reads it."""
        return self in {ElfKind.LIBRARY, ElfKind.PROGRAM}


class Machine(Value):
    """What must match before two ELF files can share a process.

    ``number`` is e_machine, ``bits`` 32 or 64, ``endian`` "little" or "big",
    ``abi`` what e_flags adds ("hard" or "soft" float, an ABI version), empty
    where the file does not say.
    """

    number: int
    bits: int
    endian: str
    abi: str = ""

    @property
    def name(self) -> str:
        """The architecture as platform tags spell it: "x86_64", "i686", "ppc64le"."""
        known = _MACHINE_NAMES.get((self.number, self.bits, self.endian))
        return known or f"elf{self.bits}-{self.endian}-machine-{self.number}"

    def fits(self, other: Machine) -> bool:
        """Whether objects of both can be loaded together."""
        return (self.number, self.bits, self.endian) == (
            other.number,
            other.bits,
            other.endian,
        ) and (not self.abi or not other.abi or self.abi == other.abi)

    def __str__(self) -> str:
        return f"{self.name} ({self.abi})" if self.abi else self.name


#: (e_machine, class, byte order) -> the architecture part of a platform tag.
_MACHINE_NAMES = {
    (62, 64, "little"): "x86_64",
    (62, 32, "little"): "x32",
    (3, 32, "little"): "i686",
    (183, 64, "little"): "aarch64",
    (40, 32, "little"): "armv7l",
    (21, 64, "little"): "ppc64le",
    (21, 64, "big"): "ppc64",
    (22, 64, "big"): "s390x",
    (243, 64, "little"): "riscv64",
    (258, 64, "little"): "loongarch64",
}


class VersionNeed(Value):
    """One symbol version that a file wants from one library (a Vernaux entry).

    ``weak`` is VER_FLG_WEAK: the loader warns instead of refusing.
    """

    library: str
    version: str
    weak: bool = False


class DlopenNote(Value):
    """One entry of ``.note.dlopen``: the first of ``sonames`` that loads is taken.

    ``priority`` is "required", "recommended" or "suggested"
    (https://uapi-group.org/specifications/specs/elf_dlopen_metadata/).
    """

    sonames: tuple[str, ...]
    priority: str = "recommended"
    feature: str = ""
    description: str = ""


class ElfFacts(Value):
    """What the loader would read of one ELF file, and nothing that it wouldn't.

    ``rpath`` and ``runpath`` are the raw strings, None where the tag is
    absent. ``defines`` holds the versions of DT_VERDEF, the base version left
    out. ``executable_stack`` is true where PT_GNU_STACK asks for one, or is
    absent on a machine where absence means that (x86).
    """

    machine: Machine
    kind: ElfKind
    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: str | None = None
    runpath: str | None = None
    interpreter: str | None = None
    needs: tuple[VersionNeed, ...] = ()
    defines: tuple[str, ...] = ()
    dlopen: tuple[DlopenNote, ...] = ()
    auxiliary: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    executable_stack: bool = False
    no_default_path: bool = False
    has_sections: bool = True

    @property
    def search_path(self) -> tuple[str, ...]:
        """The entries that count: DT_RUNPATH's where both tags are there (gABI)."""
        raw = self.runpath if self.runpath is not None else self.rpath
        return tuple(raw.split(":")) if raw else ()


class ElfEdit(Value):
    """All that is to change in one ELF file; what is None or empty stays.

    ``search_path`` replaces whatever DT_RPATH and DT_RUNPATH there are by one
    entry, of the tag that ``inherited`` names (true: DT_RPATH); an empty
    tuple removes both. ``replace_needed`` maps old to new names, in DT_NEEDED
    and in the vn_file of DT_VERNEED alike.
    """

    search_path: tuple[str, ...] | None = None
    inherited: bool = False
    interpreter: str | None = None
    replace_needed: tuple[tuple[str, str], ...] = ()
    add_needed: tuple[str, ...] = ()
    clear_executable_stack: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return (
            self.search_path is not None
            or self.interpreter is not None
            or bool(self.replace_needed or self.add_needed)
            or self.clear_executable_stack
        )


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

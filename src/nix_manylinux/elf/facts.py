"""What is read of one ELF file, and what may be changed in it.

Nothing here opens a file. Names inside ELF structures are text decoded as
UTF-8 with ``surrogateescape``, so that every byte string survives the way in
and out.
"""

from __future__ import annotations

from enum import Enum

from nix_manylinux.base.values import Value, replace


class ElfKind(str, Enum):
    """What an ELF file is for, recognised by its contents, never by its name or mode."""

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


class VersionNeed(Value, kw_only=False):
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


class ElfFacts(Value):
    """What the loader would read of one ELF file, and nothing that it wouldn't.

    ``rpath`` and ``runpath`` are the raw strings, None where the tag is
    absent. ``defines`` holds the versions of DT_VERDEF, the base version left
    out. ``executable_stack`` is true where PT_GNU_STACK asks for one, or is
    absent on a machine where absence means that (x86). ``versioned`` is whether
    there is DT_VERSYM, ``relative_relocations`` whether there is DT_RELR;
    ``static_tls`` are the bytes that it wants among the static thread-local ones
    (DF_STATIC_TLS). ``refused`` is what glibc has against headers or tables that
    musl doesn't read, empty for nothing.
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
    versioned: bool = True
    relative_relocations: bool = False
    static_tls: int = 0
    refused: str = ""

    @property
    def search_path(self) -> tuple[str, ...]:
        """The entries that count: DT_RUNPATH's where both tags are there (gABI)."""
        raw = self.runpath if self.runpath is not None else self.rpath
        return tuple(raw.split(":")) if raw else ()


class ElfEdit(Value):
    """All that is to change in one ELF file; what is None or empty stays.

    ``search_path`` replaces whatever DT_RPATH and DT_RUNPATH there are by one
    entry, of the tag that ``inherited`` names (true: DT_RPATH); an empty
    tuple removes both. ``replace_needed`` maps old to new names, in DT_NEEDED,
    DT_FILTER and DT_AUXILIARY, and in the vn_file of DT_VERNEED alike.
    ``remove_needed`` are DT_NEEDED names that go before any is replaced or added;
    one that a symbol version is wanted from can't go. ``soname`` is the new
    DT_SONAME, of a library that had none too.
    """

    search_path: tuple[str, ...] | None = None
    inherited: bool = False
    interpreter: str | None = None
    replace_needed: tuple[tuple[str, str], ...] = ()
    add_needed: tuple[str, ...] = ()
    remove_needed: tuple[str, ...] = ()
    soname: str | None = None
    clear_executable_stack: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return (
            self.search_path is not None
            or self.interpreter is not None
            or self.soname is not None
            or bool(self.replace_needed or self.add_needed or self.remove_needed)
            or self.clear_executable_stack
        )


def planned_facts(facts: ElfFacts, edit: ElfEdit) -> ElfFacts:
    """Return what `read_elf` must say of the file once ``edit`` has been made."""
    if not edit:
        return facts
    renamed = dict(edit.replace_needed)
    kept = (name for name in facts.needed if name not in edit.remove_needed)
    rpath, runpath = facts.rpath, facts.runpath
    if edit.search_path is not None:
        text = ":".join(edit.search_path) or None
        rpath, runpath = (text, None) if edit.inherited else (None, text)
    needs = facts.needs
    if renamed:
        needs = tuple(replace(n, library=renamed.get(n.library, n.library)) for n in needs)
    return replace(
        facts,
        soname=facts.soname if edit.soname is None else edit.soname,
        rpath=rpath,
        runpath=runpath,
        interpreter=edit.interpreter or facts.interpreter,
        needed=(*(renamed.get(n, n) for n in kept), *edit.add_needed),
        filters=tuple(renamed.get(n, n) for n in facts.filters),
        auxiliary=tuple(renamed.get(n, n) for n in facts.auxiliary),
        needs=needs,
        executable_stack=facts.executable_stack and not edit.clear_executable_stack,
    )

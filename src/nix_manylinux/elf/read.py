"""Bytes of an ELF file -> `ElfFacts`: the one reader.

It goes by the program headers, as the kernel and the dynamic linker do, and takes
what one of them takes. Section headers are asked only for what segments can't tell:
whether the file is the debug half of another one.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress

from nix_manylinux.base.errors import BadElf
from nix_manylinux.base.files import is_called_library
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.facts import ElfFacts, ElfKind, Machine
from nix_manylinux.elf.image import MIN_PAGE, Image
from nix_manylinux.elf.notes import dlopen_notes
from nix_manylinux.elf.source import Source
from nix_manylinux.elf.versions import read_versions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_HINT = (
    "no loader takes it: unpack or download it again; where it is broken on purpose (test data),"
    " --exclude GLOB leaves it out of account (manylinuxExclude in Nix)"
)
#: Linux refuses a longer PT_INTERP (PATH_MAX).
_MAX_INTERPRETER = 4096
#: e_machine -> the bits of e_flags that say which ABI, and what they mean.
_ABI_BY_FLAGS = {
    # "ELF for the Arm Architecture": EF_ARM_ABI_FLOAT_SOFT and _HARD. Files from
    # before they existed say it in .ARM.attributes only: unknown.
    elf.EM_ARM: (0x600, {0x200: "soft", 0x400: "hard"}),
    # RISC-V ELF psABI: EF_RISCV_FLOAT_ABI.
    elf.EM_RISCV: (0x6, {0x0: "soft", 0x2: "single", 0x4: "double", 0x6: "quad"}),
    # LoongArch ELF psABI: the base ABI modifiers.
    elf.EM_LOONGARCH: (0x7, {0x1: "soft", 0x2: "single", 0x3: "double"}),
    # Power Architecture 64-Bit ELF V2 ABI: EF_PPC64_ABI.
    elf.EM_PPC64: (0x3, {0x1: "elfv1", 0x2: "elfv2"}),
    # EF_MIPS_ABI2 and EF_MIPS_ABI_O32; with neither and 64 bits it is n64.
    elf.EM_MIPS: (0xF020, {0x20: "n32", 0x1000: "o32", 0x0: "n64"}),
}


def is_elf(head: bytes) -> bool:
    """Whether a file that begins with these bytes (four or more) is ELF."""
    return head.startswith(elf.ELF_MAGIC)


def is_elf_file(path: str) -> bool:
    """Whether there is a file at a path that begins as ELF does, and that can be read."""
    with suppress(OSError):
        if os.path.isfile(path):  # a FIFO would hold us up
            with open(path, "rb", buffering=0) as file:
                return is_elf(file.read(4))
    return False


def read_elf(path: str | os.PathLike[str], *, label: str | None = None) -> ElfFacts | None:
    """Facts of the file at ``path``; None where it is no regular file or not ELF.

    ``label`` is what errors call it, the path itself otherwise. Only headers
    and the tables that facts come from are read, never the whole file. Raises
    BadElf for ELF that neither the kernel nor a loader could make use of, OSError
    where the file can't be opened or read.
    """
    with open_elf(path, label=label) as source:
        return None if source is None else read_facts(source, (os.fspath(path), label or ""))


@contextmanager
def open_elf(
    path: str | os.PathLike[str], *, label: str | None = None
) -> Generator[Source | None, None, None]:
    """Open an ELF file for reading; None where it is no regular file or not ELF.

    A BadElf that is raised while it is open gets the file's name and a hint.
    Raises OSError where the file can't be opened.
    """
    # O_NONBLOCK: opening a FIFO would wait for a writer.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        head = os.pread(fd, 4096, 0) if stat.S_ISREG(status.st_mode) else b""
        if is_elf(head):
            yield Source(fd, data=head, size=max(status.st_size, len(head)))
        else:
            yield None
    except BadElf as error:
        error.hint = _HINT
        error.at(label or os.fspath(path))
        raise
    finally:
        os.close(fd)


def read_facts(source: Source, names: tuple[str, ...] = ()) -> ElfFacts:
    """Facts of an ELF file that is open; of its ``names`` one may call it a library."""
    image = Image(source)
    machine = _machine(image)
    kind = unlinked_kind(image)
    if kind is not None:
        return ElfFacts(machine=machine, kind=kind)
    if not image.loads:
        raise BadElf("e_type says program or library, but it has no PT_LOAD (e_phnum)")
    image.check_segments()

    soname = None
    with suppress(BadElf):  # loaders look at it only for other files' sake
        soname = _name(image, "DT_SONAME", elf.DT_SONAME)
    needed = _names(image, "DT_NEEDED", elf.DT_NEEDED)
    interpreter = _interpreter(image)
    tags = image.tags
    stack = image.last(elf.PT_GNU_STACK)
    kind = _linked_kind(
        image,
        runs=interpreter is not None,
        is_library=soname is not None or any(map(is_called_library, names)),
        standalone=not any(needed) and soname is None,
    )
    if kind is ElfKind.PROGRAM:
        _check_debugger_entry(image)
    needs, defines, refused = read_versions(image)
    rpath = _name(image, "DT_RPATH", elf.DT_RPATH)
    runpath = _name(image, "DT_RUNPATH", elf.DT_RUNPATH)
    auxiliary = _names(image, "DT_AUXILIARY", elf.DT_AUXILIARY)
    filters = _names(image, "DT_FILTER", elf.DT_FILTER)
    emptied = "" in needed or "" in auxiliary or "" in filters
    return ElfFacts(
        machine=machine,
        kind=kind,
        soname=soname,
        # An empty name is the program's own, which is there.
        needed=tuple(filter(None, needed)),
        rpath=rpath,
        runpath=runpath,
        interpreter=interpreter,
        needs=needs,
        defines=defines,
        versioned=elf.DT_VERSYM in tags,
        dlopen=dlopen_notes(image),
        auxiliary=tuple(filter(None, auxiliary)),
        filters=tuple(filter(None, filters)),
        executable_stack=machine.number in elf.EXECUTABLE_STACK_MACHINES
        if stack is None
        else bool(stack.flags & elf.PF_X),
        no_default_path=bool(tags.get(elf.DT_FLAGS_1, 0) & elf.DF_1_NODEFLIB),
        relative_relocations=elf.DT_RELR in tags,
        static_tls=_static_tls(image),
        refused=refused
        or (_lost_names(image) if emptied else "")
        or _odd_relocations(image)
        or (next(_glibc_complaints(image), "") if kind is ElfKind.LIBRARY else ""),
    )


def _name(image: Image, field: str, tag: int) -> str | None:
    value = image.tags.get(tag)
    return None if value is None else image.names.get(field, value)


def _names(image: Image, field: str, tag: int) -> list[str]:
    if tag not in image.tags:
        return []
    get = image.names.get
    return [get(field, value) for kind, value in image.dynamic if kind == tag]


def _lost_names(image: Image) -> str:
    """Say that the names are gone, and not only one that is the program's own."""
    from nix_manylinux.elf.tables import has_lost_names  # noqa: PLC0415  rarely asked for

    if not has_lost_names(image):
        return ""
    return (
        "the names of its symbols and of the libraries that it needs are gone: DT_STRTAB leads"
        " to no text, as where strip ran on an edited file; take the file as it was before"
    )


def _machine(image: Image) -> Machine:
    header = image.header
    layout = image.layout
    mask, meanings = _ABI_BY_FLAGS.get(header.machine, (0, {}))
    abi = meanings.get(header.flags & mask, "")
    if abi == "n64" and layout.bits == 32:
        abi = ""
    return Machine(number=header.machine, bits=layout.bits, endian=layout.endian, abi=abi)


def unlinked_kind(image: Image) -> ElfKind | None:
    """Tell the kind of a file that neither kernel nor loader maps; None for all others."""
    header = image.header
    if header.type == elf.ET_CORE or header.machine in {elf.EM_CUDA, elf.EM_AMDGPU}:
        return ElfKind.DATA
    if header.type == elf.ET_REL:
        return ElfKind.RELOCATABLE
    if header.type not in {elf.ET_EXEC, elf.ET_DYN}:
        raise BadElf(f"e_type is {header.type:#x}: no object, program, library or core dump")
    return ElfKind.DEBUG if _is_debug(image) else None


def _glibc_complaints(image: Image) -> Iterator[str]:
    """Yield what glibc has against a library's headers that musl doesn't look at.

    The rules are those of open_verify and _dl_map_object_from_fd in elf/dl-load.c.
    """
    ident, version = image.ident, image.header.version
    system, abi = ident[elf.EI_OSABI], ident[elf.EI_ABIVERSION]
    if ident[elf.EI_VERSION] != 1 or version != 1:
        yield f"EI_VERSION or e_version is not 1 ({ident[elf.EI_VERSION]}, {version})"
    if system not in elf.GLIBC_OSABI:
        yield f"EI_OSABI is {system}, neither System V nor GNU"
    if abi and system != elf.ELFOSABI_GNU:
        yield f"EI_ABIVERSION is {abi}, not 0"
    if any(ident[elf.EI_ABIVERSION + 1 :]):
        yield "the padding of e_ident is not zero"
    for load in image.loads:
        if (load.vaddr - load.offset) % MIN_PAGE:
            yield f"p_offset and p_vaddr of the PT_LOAD at {load.vaddr:#x} differ within a page"
    dynamic = image.last(elf.PT_DYNAMIC)
    if dynamic is None or not dynamic.filesz or not dynamic.vaddr:
        yield "a library without a dynamic section"


def _odd_relocations(image: Image) -> str:
    """Say which kind or size of relocations glibc would abort at (get-dynamic-info.h)."""
    word, dynamic = image.layout.bits // 8, image.tags
    for table, field, name, size in (
        (elf.DT_RELA, elf.DT_RELAENT, "DT_RELAENT", 3 * word),
        (elf.DT_REL, elf.DT_RELENT, "DT_RELENT", 2 * word),
    ):
        if table in dynamic and field in dynamic and dynamic[field] != size:
            return f"{name} is {dynamic[field]}, not {size}"
    kind = dynamic.get(elf.DT_PLTREL, elf.DT_RELA)
    if kind not in {elf.DT_RELA, elf.DT_REL}:
        return f"DT_PLTREL is {elf.constant('DT', kind)}, neither DT_RELA nor DT_REL"
    return ""


def _is_debug(image: Image) -> bool:
    """Whether all that would be mapped, but for notes, was left in another file.

    objcopy, llvm-objcopy and eu-strip alike make those sections NOBITS; what
    they do to the program headers differs, so that these can't tell.
    """
    emptied = False
    for section in image.sections():
        if not section.flags & elf.SHF_ALLOC or section.type == elf.SHT_NOTE:
            continue
        if section.type != elf.SHT_NOBITS:
            return False
        emptied = True
    return emptied


def _linked_kind(image: Image, *, runs: bool, is_library: bool, standalone: bool) -> ElfKind:
    if image.header.type == elf.ET_EXEC or image.tags.get(elf.DT_FLAGS_1, 0) & elf.DF_1_PIE:
        if not runs and any(segment.type == elf.PT_INTERP for segment in image.segments):
            raise BadElf(
                f"PT_INTERP of a program is no path of 2 to {_MAX_INTERPRETER} bytes"
                " with a NUL at its end: the kernel starts no such program"
            )
        return ElfKind.PROGRAM if runs else ElfKind.STATIC
    if runs:
        # libQt6Core.so.6 has one too: it prints its version when it is run.
        return ElfKind.LIBRARY if is_library else ElfKind.PROGRAM
    # Linkers from before DF_1_PIE (binutils 2.26) made static PIEs as well.
    # They start somewhere, want nothing, and offer nothing.
    if standalone and _starts(image) and not _exports(image):
        return ElfKind.STATIC
    return ElfKind.LIBRARY


def _starts(image: Image) -> bool:
    """Whether e_entry lies in code."""
    entry = image.header.entry
    return entry != 0 and any(
        segment.flags & elf.PF_X and 0 <= entry - segment.vaddr < segment.filesz
        for segment in image.loads
    )


def _exports(image: Image) -> bool:
    """Whether the hash table of dynamic symbols, glibc's own before the gABI's, leads to any."""
    from nix_manylinux.elf.tables import gnu_hash, sysv_hash  # noqa: PLC0415  rarely asked for

    try:
        table = gnu_hash(image) or sysv_hash(image)
    except BadElf:
        return True  # what has such a table is no static program
    return table is not None and table.in_use


def _interpreter(image: Image) -> str | None:
    """Read the interpreter that the kernel would start; None where it would take none.

    Linux reads the first PT_INTERP, which has 2 bytes to PATH_MAX and ends with a NUL.
    In a library nobody reads it: patchelf has left ones of a single NUL.
    """
    for segment in image.segments:
        if segment.type == elf.PT_INTERP:
            if not 2 <= segment.filesz <= _MAX_INTERPRETER or segment.end > image.source.size:
                return None
            raw = image.source.read(segment.offset, segment.filesz, "PT_INTERP")
            path = raw.partition(b"\0")[0]
            return path.decode("utf-8", "surrogateescape") if path and raw[-1] == 0 else None
    return None


def _check_debugger_entry(image: Image) -> None:
    """Raise BadElf for a program that dies before it begins: DT_DEBUG can't be written.

    glibc and musl write there, unasked, for debuggers. patchelf has made such programs: a
    table that outgrew its segment goes on in the next one.
    """
    address = image.fixed_debugger_entry()
    if address:
        raise BadElf(
            f"the loader writes to DT_DEBUG, which is read-only memory here ({address:#x}): the"
            " program dies as it is started"
        )


def _static_tls(image: Image) -> int:
    """Bytes that a library wants among the first threads' own (DF_STATIC_TLS, gABI)."""
    segment = image.last(elf.PT_TLS)
    if segment is None or not image.tags.get(elf.DT_FLAGS, 0) & elf.DF_STATIC_TLS:
        return 0
    return segment.memsz

"""ELF structures and constants, as the gABI and the GNU extensions define them.

Shared by the reader and the writer; nothing here reads a file. Names are the
specifications' own. Sources: the System V gABI (chapters 4 and 5), LSB's
"Symbol Versioning", and glibc's ``elf/elf.h`` for the GNU extensions.
"""

from __future__ import annotations

from struct import Struct

from nix_manylinux.base.values import Value, astuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

ELF_MAGIC = b"\x7fELF"
EI_CLASS, EI_DATA, EI_VERSION = 4, 5, 6
EI_OSABI, EI_ABIVERSION = 7, 8
EI_NIDENT = 16
ELFOSABI_GNU = 3
#: What glibc takes in a library: System V's and its own.
GLIBC_OSABI = frozenset({0, ELFOSABI_GNU})

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4

EM_386, EM_MIPS, EM_PPC, EM_PPC64, EM_S390, EM_ARM = 3, 8, 20, 21, 22, 40
EM_X86_64, EM_AARCH64, EM_CUDA, EM_AMDGPU = 62, 183, 190, 224
EM_RISCV, EM_LOONGARCH, EM_ALPHA = 243, 258, 0x9026

PT_NULL, PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_PHDR, PT_TLS = 0, 1, 2, 3, 4, 6, 7
PT_GNU_EH_FRAME, PT_GNU_STACK = 0x6474E550, 0x6474E551
PT_GNU_RELRO, PT_GNU_PROPERTY = 0x6474E552, 0x6474E553
PF_X, PF_W, PF_R = 1, 2, 4

SHT_NULL, SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_DYNAMIC = 0, 1, 2, 3, 6
SHT_NOTE, SHT_NOBITS = 7, 8
SHT_RELA, SHT_HASH, SHT_REL, SHT_DYNSYM, SHT_RELR = 4, 5, 9, 11, 19
SHT_GNU_HASH, SHT_GNU_VERDEF = 0x6FFFFFF6, 0x6FFFFFFD
SHT_GNU_VERNEED, SHT_GNU_VERSYM = 0x6FFFFFFE, 0x6FFFFFFF
SHF_ALLOC, SHF_TLS = 2, 0x400

DT_NULL, DT_NEEDED, DT_HASH, DT_STRTAB, DT_SYMTAB = 0, 1, 4, 5, 6
DT_STRSZ, DT_SONAME, DT_RPATH, DT_RUNPATH, DT_FLAGS = 10, 14, 15, 29, 30
DT_GNU_PRELINKED, DT_GNU_HASH, DT_VERSYM = 0x6FFFFDF5, 0x6FFFFEF5, 0x6FFFFFF0
DT_FLAGS_1, DT_VERDEF, DT_VERDEFNUM = 0x6FFFFFFB, 0x6FFFFFFC, 0x6FFFFFFD
DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
DT_AUXILIARY, DT_FILTER = 0x7FFFFFFD, 0x7FFFFFFF

DT_PLTRELSZ, DT_PLTGOT, DT_RELA, DT_RELASZ = 2, 3, 7, 8
DT_INIT, DT_FINI, DT_INIT_ARRAY, DT_FINI_ARRAY, DT_PREINIT_ARRAY = 12, 13, 25, 26, 32
DT_RELAENT, DT_REL, DT_RELSZ, DT_RELENT = 9, 17, 18, 19
DT_PLTREL, DT_DEBUG, DT_JMPREL = 20, 21, 23
DT_SYMTAB_SHNDX, DT_RELRSZ, DT_RELR = 34, 35, 36
DT_RELACOUNT, DT_RELCOUNT = 0x6FFFFFF9, 0x6FFFFFFA
DT_CONFIG, DT_DEPAUDIT, DT_AUDIT = 0x6FFFFEFA, 0x6FFFFEFB, 0x6FFFFEFC

DF_STATIC_TLS = 0x10
DF_1_NODEFLIB, DF_1_PIE = 0x800, 0x08000000

VER_FLG_BASE, VER_FLG_WEAK = 1, 2
#: A version index has 15 bits (bit 15 of a .gnu.version word hides a symbol),
#: and 0 and 1 are taken: no file can need or define more versions than this.
MAX_VERSIONS = 0x7FFF

#: https://uapi-group.org/specifications/specs/elf_dlopen_metadata/
NT_FDO_DLOPEN = 0x407C0C0A

#: Dynamic entries that lead to a table, and the type of its section.
TABLES = {
    DT_HASH: SHT_HASH,
    DT_GNU_HASH: SHT_GNU_HASH,
    DT_STRTAB: SHT_STRTAB,
    DT_SYMTAB: SHT_DYNSYM,
    DT_RELA: SHT_RELA,
    DT_REL: SHT_REL,
    DT_RELR: SHT_RELR,
    DT_VERSYM: SHT_GNU_VERSYM,
    DT_VERDEF: SHT_GNU_VERDEF,
    DT_VERNEED: SHT_GNU_VERNEED,
}

#: Machines whose glibc takes a missing PT_GNU_STACK for an executable stack
#: (DEFAULT_STACK_PERMS in its sysdeps/*/stackinfo.h). aarch64, 64-bit PowerPC,
#: RISC-V and LoongArch don't.
EXECUTABLE_STACK_MACHINES = frozenset({EM_386, EM_X86_64, EM_ARM, EM_S390, EM_PPC, EM_MIPS})


def constant(kind: str, value: int) -> str:
    """Name a constant as the gABI does, for people: ``constant("DT", 1)`` is "DT_NEEDED".

    One that has no name here is told by its number, "DT_0x99".
    """
    for name, known in globals().items():
        if name.startswith(f"{kind}_") and known == value:
            return name
    return f"{kind}_{value:#x}"


class FileHeader(Value, kw_only=False):
    """Elf32_Ehdr or Elf64_Ehdr behind e_ident."""

    type: int
    machine: int
    version: int
    entry: int
    phoff: int
    shoff: int
    flags: int
    ehsize: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int


# Dozens of segments and sections are made for each file: these two set their own fields,
# by the signature that type checkers see.


class Segment(Value, frozen=False, kw_only=False):
    """A program header, its fields in one order for both classes."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int

    if not TYPE_CHECKING:

        def __init__(self, *fields: int) -> None:
            (
                self.type, self.flags, self.offset, self.vaddr,
                self.paddr, self.filesz, self.memsz, self.align,
            ) = fields  # fmt: skip

    @property
    def end(self) -> int:
        """The file offset behind its last byte."""
        return self.offset + self.filesz

    @property
    def vend(self) -> int:
        """The address behind its last byte in memory."""
        return self.vaddr + self.memsz

    def holds(self, offset: int) -> bool:
        """Whether the byte at that file offset belongs to it."""
        return self.offset <= offset < self.offset + self.filesz

    def shift(self, delta_offset: int, delta_addr: int) -> None:
        """Follow bytes that went elsewhere."""
        self.offset += delta_offset
        self.vaddr += delta_addr
        if self.paddr:
            self.paddr += delta_addr


class Section(Value, frozen=False, kw_only=False):
    """A section header; both classes have its fields in this order."""

    name: int
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    addralign: int
    entsize: int

    if not TYPE_CHECKING:

        def __init__(self, *fields: int) -> None:
            (
                self.name, self.type, self.flags, self.addr, self.offset,
                self.size, self.link, self.info, self.addralign, self.entsize,
            ) = fields  # fmt: skip

    @property
    def is_loaded(self) -> bool:
        """Whether it has bytes in the file that the program sees in memory."""
        return bool(self.flags & SHF_ALLOC) and self.type != SHT_NOBITS and self.size > 0

    @property
    def end(self) -> int:
        """The file offset behind its last byte."""
        return self.offset + (0 if self.type == SHT_NOBITS else self.size)


class Layout:
    """The packed structures of one class (``bits`` 32 or 64) and byte order.

    ``endian`` is "little" or "big". Each attribute is a `struct.Struct`.
    Version structures and note headers are alike in both classes; their fields:

    - ``verneed``: vn_version, vn_cnt, vn_file, vn_aux, vn_next
    - ``vernaux``: vna_hash, vna_flags, vna_other, vna_name, vna_next
    - ``verdef``: vd_version, vd_flags, vd_ndx, vd_cnt, vd_hash, vd_aux, vd_next
    - ``verdaux``: vda_name, vda_next
    - ``note``: n_namesz, n_descsz, n_type
    """

    def __init__(self, bits: int, endian: Literal["little", "big"]) -> None:
        order = "<" if endian == "little" else ">"
        wide = bits == 64
        self.bits = bits
        self.endian: Literal["little", "big"] = endian
        self.ehdr = Struct(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"))
        self.phdr = Struct(order + ("IIQQQQQQ" if wide else "IIIIIIII"))
        self.shdr = Struct(order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII"))
        self.dyn = Struct(order + ("QQ" if wide else "II"))
        self.word = Struct(order + "I")
        self.note = Struct(order + "III")
        self.verneed = Struct(order + "HHIII")
        self.vernaux = Struct(order + "IHHII")
        self.verdef = Struct(order + "HHHHIII")
        self.verdaux = Struct(order + "II")

    def header(self, data: bytes) -> FileHeader:
        """Unpack the file header from a file's first bytes (52 or 64 of them)."""
        return FileHeader(*self.ehdr.unpack_from(data, EI_NIDENT))

    def pack_header(self, header: FileHeader) -> bytes:
        """Pack the file header behind e_ident, the inverse of `header`."""
        return self.ehdr.pack(*astuple(header))

    def segments(self, table: bytes) -> list[Segment]:
        """Unpack a whole program header table."""
        if self.bits == 64:
            return [Segment(*fields) for fields in self.phdr.iter_unpack(table)]
        # Elf32_Phdr keeps p_flags between p_memsz and p_align.
        return [
            Segment(kind, flags, offset, vaddr, paddr, filesz, memsz, align)
            for kind, offset, vaddr, paddr, filesz, memsz, flags, align in self.phdr.iter_unpack(
                table
            )
        ]

    def pack_segment(self, segment: Segment) -> bytes:
        """Pack one program header, the inverse of `segments`."""
        if self.bits == 64:
            return self.phdr.pack(*astuple(segment))
        kind, flags, *middle, align = astuple(segment)
        return self.phdr.pack(kind, *middle, flags, align)


#: (EI_CLASS, EI_DATA) -> layout.
LAYOUTS = {
    (1, 1): Layout(32, "little"),
    (1, 2): Layout(32, "big"),
    (2, 1): Layout(64, "little"),
    (2, 2): Layout(64, "big"),
}

"""The last resort: let the last segment grow over .bss, which becomes bytes of the file.

Nothing needs a new program header then. It costs the size of .bss, which may
be 0, and all that the file keeps behind the segment (symbols, debug data,
section headers) moves, so it is used only where nothing else can be: in a
library of lld's, say, whose only data is its dynamic section, which may not
leave its segment empty.
"""

from __future__ import annotations

from nix_manylinux.elf import format as elf
from nix_manylinux.elf.object import align_up
from nix_manylinux.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.elf.survey import Survey

#: More than this is not worth it, and is kept in memory meanwhile.
_MAX_BSS = 64 << 20


def bss_cost(survey: Survey) -> int | None:
    """By how many bytes the file would grow, None where it can't be done."""
    obj = survey.obj
    last = obj.loads[-1]
    size = last.memsz - last.filesz
    tail = survey.end - last.end
    if survey.has_payload or size < 0 or size + tail > _MAX_BSS:
        return None
    if any(p.end > last.end for p in obj.phdrs if p is not last):
        return None
    if obj.table_end > last.end or not obj.shdrs:
        return None
    behind = [s for s in obj.shdrs if s.end > last.end and s.type != elf.SHT_NOBITS and s.size]
    if any(s.offset < last.end or s.flags & elf.SHF_ALLOC for s in behind):
        return None
    if obj.header.shoff < last.end < obj.shdrs_end:
        return None
    return size


def fill_bss(survey: Survey) -> None:
    """Turn .bss into bytes, leaving the segment at the end of the file.

    What was behind it is put back by `restore_tail` once the segment has grown.
    """
    obj = survey.obj
    last = obj.loads[-1]
    survey.tail = obj.draft.read(last.end, survey.end - last.end)
    survey.tail_start = last.end
    obj.draft.cut(last.end)
    obj.draft.clear(last.end, last.memsz - last.filesz)
    for section in obj.shdrs:
        is_bss = section.type == elf.SHT_NOBITS and section.flags & elf.SHF_ALLOC
        if is_bss and not section.flags & elf.SHF_TLS and last.vaddr <= section.addr <= last.vend:
            section.type = elf.SHT_PROGBITS
            section.offset = last.offset + section.addr - last.vaddr
    last.filesz = last.memsz


def restore_tail(survey: Survey) -> None:
    """Put what was behind the segment behind its new end, and the headers right."""
    obj = survey.obj
    if not survey.tail:
        return
    start = survey.tail_start
    # By one distance for all, a multiple of any alignment that they may have.
    aligns = [s.addralign for s in obj.shdrs if s.offset >= start and s.size]
    delta = align_up(obj.loads[-1].end - start, max([16, *aligns]))
    obj.draft.write(start + delta, survey.tail)
    for section in obj.shdrs:
        if section.offset >= start and not section.flags & elf.SHF_ALLOC and section.size:
            section.offset += delta
    if obj.header.shoff >= start:
        obj.header = replace(obj.header, shoff=obj.header.shoff + delta)

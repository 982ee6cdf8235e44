"""An ELF file as pyelftools reads it: a witness that shares no line with our own reader.

It takes 5 ms a file, where ours takes 0.2, and is asked where somebody else's word is
wanted: of what patchelf wrote always, of what our writer wrote with ``--witness``.
"""

from __future__ import annotations

from nix_manylinux.base.errors import EditFailed
from nix_manylinux.base.values import field_names, replace
from nix_manylinux.elf.facts import ElfFacts, VersionNeed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Any, Literal

    #: What pyelftools gives: it has no types.
    Parsed = Any


_HINT = (
    "nothing has changed; please report it with the file: either that is read wrongly by"
    " pyelftools, or written wrongly by us"
)


#: Bytes of a name that are read.
_LONGEST = 1 << 20


def read_testimony(file: IO[bytes]) -> dict[str, object]:
    """Read an open file with pyelftools; give what it says of the fields of `ElfFacts`.

    That is nothing of the stack without PT_GNU_STACK, and nothing of versions where no
    section header leads to them. Raises EditFailed where it can't read the file.
    """
    try:
        return _read(file)
    except Exception as error:
        # It has no one kind of error: reading on from a wrong place raises anything.
        raise EditFailed(f"pyelftools can't read it: {error!r}", hint=_HINT) from error


def _read(file: IO[bytes]) -> dict[str, object]:
    from elftools.elf.dynamic import DynamicSegment  # noqa: PLC0415  its import takes 40 ms
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415
    from elftools.elf.segments import InterpSegment  # noqa: PLC0415

    read = ELFFile(file)
    names: dict[str, list[str]] = {"needed": [], "soname": [], "rpath": [], "runpath": []}
    said: dict[str, object] = {"interpreter": None}
    for segment in read.iter_segments():
        if isinstance(segment, InterpSegment):
            # patchelf has left libraries a single NUL.
            said["interpreter"] = _text(segment.data()) or None
        elif isinstance(segment, DynamicSegment):
            for name, offset in _names(read, segment):
                file.seek(offset)
                names[name].append(_text(file.read(_LONGEST)))
        elif segment["p_type"] == "PT_GNU_STACK":
            said["executable_stack"] = bool(segment["p_flags"] & 1)
    said["needed"] = tuple(filter(None, names.pop("needed")))
    said.update({name: found[-1] if found else None for name, found in names.items()})
    if read.num_sections():
        said["needs"], said["defines"] = _versions(read)
    file.seek(18)  # e_machine as a number, whatever pyelftools calls it
    order: Literal["little", "big"] = "little" if read.little_endian else "big"
    said["number"] = int.from_bytes(file.read(2), order)
    return {**said, "bits": read.elfclass, "endian": order}


def _text(data: bytes) -> str:
    """Give a C string; pyelftools would stop at one that is not UTF-8."""
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _names(file: Parsed, segment: Parsed) -> Iterator[tuple[str, int]]:
    """Give the dynamic entries that are names, and where in the file they begin."""
    from elftools.common.utils import struct_parse  # noqa: PLC0415

    # Not by iter_tags(), which decodes each name, and gives up at one that is not UTF-8.
    form, entries = file.structs.Elf_Dyn, []
    for place in range(
        segment["p_offset"], segment["p_offset"] + segment["p_filesz"], form.sizeof()
    ):
        entry = struct_parse(form, file.stream, stream_pos=place)
        if entry.d_tag == "DT_NULL":
            break
        entries.append((entry.d_tag, entry.d_val))
    tables = [value for kind, value in entries if kind == "DT_STRTAB"]
    for start in file.address_offsets(tables[-1]) if tables else ():
        for kind, value in entries:
            name = str(kind).removeprefix("DT_").lower()
            if name in {"needed", "soname", "rpath", "runpath"}:
                yield name, start + value
        return


def _versions(file: Parsed) -> tuple[tuple[VersionNeed, ...], tuple[str, ...]]:
    from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection  # noqa: PLC0415

    needs: list[VersionNeed] = []
    defines: list[str] = []
    for section in file.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for verneed, auxiliaries in section.iter_versions():
                library = str(verneed.name)
                needs += [
                    VersionNeed(library, str(each.name), bool(each["vna_flags"] & 2))
                    for each in auxiliaries
                ]
        elif isinstance(section, GNUVerDefSection):
            for verdef, auxiliaries in section.iter_versions():
                if not verdef["vd_flags"] & 1:
                    defines.append(str(next(auxiliaries).name))
    return tuple(needs), tuple(defines)


def _shown(text: str) -> str:
    """Give a version's name as pyelftools has it: what is not UTF-8 becomes U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def contradictions(file: IO[bytes], facts: ElfFacts) -> list[str]:
    """List what pyelftools reads otherwise than ``facts`` say; raises as `read_testimony`."""
    known: dict[str, object] = {name: getattr(facts, name) for name in field_names(facts)}
    known.update({name: getattr(facts.machine, name) for name in field_names(facts.machine)})
    known["defines"] = tuple(map(_shown, facts.defines))
    known["needs"] = tuple(
        replace(need, library=_shown(need.library), version=_shown(need.version))
        for need in facts.needs
    )
    return [
        f"{name} is {said!r} for pyelftools, not {known[name]!r}"
        for name, said in read_testimony(file).items()
        if said != known[name]
    ]


def call_witness(path: str, facts: ElfFacts, *, label: str) -> None:
    """Have pyelftools read a file that was written; raises EditFailed where it contradicts."""
    try:
        with open(path, "rb") as file:
            wrong = contradictions(file, facts)
    except EditFailed as error:
        error.at(label)
        raise
    if wrong:
        raise EditFailed("; ".join(wrong), where=label, hint=_HINT)

"""An ELF file as pyelftools reads it: a witness that shares no line with our own reader.

It takes 5 ms a file, where ours takes 0.2, and is asked where somebody else's word is
wanted: of what patchelf wrote always, of what our writer wrote with ``--witness``.
"""

from __future__ import annotations

from contextlib import contextmanager

from nix_manylinux.base.errors import EditFailed
from nix_manylinux.base.values import Value, field_names, replace
from nix_manylinux.elf.facts import VersionNeed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Any

    from nix_manylinux.elf.facts import ElfFacts

_HINT = (
    "nothing has changed; please report it with the file: either that is read wrongly by"
    " pyelftools, or written wrongly by us"
)


#: Bytes of a name that are read.
_LONGEST = 1 << 20


class Testimony(Value):
    """What pyelftools can say of a file too, as `ElfFacts` has it.

    ``executable_stack`` is None where there is no PT_GNU_STACK, ``needs`` and ``defines``
    where no section header leads to them.
    """

    number: int
    bits: int
    endian: str
    soname: str | None
    needed: tuple[str, ...]
    rpath: str | None
    runpath: str | None
    interpreter: str | None
    needs: tuple[VersionNeed, ...] | None
    defines: tuple[str, ...] | None
    executable_stack: bool | None


def read_testimony(file: IO[bytes]) -> Testimony:
    """Read an open file with pyelftools; raises EditFailed where that can't read it."""
    with _understood():
        return _read(file)


@contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # It has no one kind of error: reading on from a wrong place raises anything.
        raise EditFailed(f"pyelftools can't read it: {error!r}", hint=_HINT) from error


def _read(file: IO[bytes]) -> Testimony:
    from elftools.elf.dynamic import DynamicSegment  # noqa: PLC0415  its import takes 40 ms
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415
    from elftools.elf.segments import InterpSegment  # noqa: PLC0415

    read = ELFFile(file)
    tags: dict[str, list[str]] = {}
    interpreter: str | None = None
    stack: bool | None = None
    for segment in read.iter_segments():
        if isinstance(segment, InterpSegment):
            interpreter = _text(segment.data()) or None  # patchelf leaves libraries a NUL
        elif isinstance(segment, DynamicSegment):
            for name, offset in _names(read, segment):
                file.seek(offset)
                tags.setdefault(name, []).append(_text(file.read(_LONGEST)))
        elif segment["p_type"] == "PT_GNU_STACK":
            stack = bool(segment["p_flags"] & 1)
    needs, defines = _versions(read)
    file.seek(18)  # e_machine as a number, whatever pyelftools calls it
    return Testimony(
        number=int.from_bytes(file.read(2), "little" if read.little_endian else "big"),
        bits=read.elfclass,
        endian="little" if read.little_endian else "big",
        soname=tags.get("soname", [None])[-1],
        needed=tuple(filter(None, tags.get("needed", ()))),
        rpath=tags.get("rpath", [None])[-1],
        runpath=tags.get("runpath", [None])[-1],
        interpreter=interpreter,
        needs=needs,
        defines=defines,
        executable_stack=stack,
    )


def _text(data: bytes) -> str:
    """Give a C string; pyelftools would stop at one that is not UTF-8."""
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _names(
    file: Any,  # noqa: ANN401 - an ELFFile
    segment: Any,  # noqa: ANN401 - a DynamicSegment
) -> Iterator[tuple[str, int]]:
    """Give the entries that are names, and where in the file they begin."""
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


def _versions(
    file: Any,  # noqa: ANN401 - an ELFFile
) -> tuple[tuple[VersionNeed, ...] | None, tuple[str, ...] | None]:
    from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection  # noqa: PLC0415

    if not file.num_sections():
        return None, None
    needs: list[VersionNeed] = []
    defines: list[str] = []
    for section in file.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for verneed, auxiliaries in section.iter_versions():
                library = str(verneed.name)
                needs.extend(
                    VersionNeed(
                        library=library, version=str(aux.name), weak=bool(aux["vna_flags"] & 2)
                    )
                    for aux in auxiliaries
                )
        elif isinstance(section, GNUVerDefSection):
            for verdef, auxiliaries in section.iter_versions():
                if not verdef["vd_flags"] & 1:
                    defines.append(str(next(auxiliaries).name))
    return tuple(needs), tuple(defines)


def expected(facts: ElfFacts, said: Testimony) -> Testimony:
    """Say what pyelftools has to say of a file of these facts, where it says anything."""
    return replace(
        said,
        number=facts.machine.number,
        bits=facts.machine.bits,
        endian=facts.machine.endian,
        soname=facts.soname,
        needed=facts.needed,
        rpath=facts.rpath,
        runpath=facts.runpath,
        interpreter=facts.interpreter,
        needs=None
        if said.needs is None
        else tuple(
            replace(need, library=_shown(need.library), version=_shown(need.version))
            for need in facts.needs
        ),
        defines=None if said.defines is None else tuple(map(_shown, facts.defines)),
        executable_stack=None if said.executable_stack is None else facts.executable_stack,
    )


def _shown(text: str) -> str:
    """Give a version's name as pyelftools has it: what is not UTF-8 becomes U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def contradictions(file: IO[bytes], facts: ElfFacts) -> list[str]:
    """List what pyelftools reads otherwise than ``facts`` say; raises as `read_testimony`."""
    said = read_testimony(file)
    wanted = expected(facts, said)
    return [
        f"{name} is {getattr(said, name)!r} for pyelftools, not {getattr(wanted, name)!r}"
        for name in field_names(said)
        if getattr(said, name) != getattr(wanted, name)
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

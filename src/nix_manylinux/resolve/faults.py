"""What glibc refuses of files that it has found: versions, relocations, what dlopen can't give."""

from __future__ import annotations

from nix_manylinux.elf.facts import VersionNeed
from nix_manylinux.resolve.process import Fault, Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nix_manylinux.elf.facts import ElfFacts

#: What marks a file that has DT_RELR: older ones don't relocate it.
RELATIVE_RELOCATIONS = VersionNeed("libc.so.6", "GLIBC_ABI_DT_RELR")
#: It asks no version of a library without any, and gives no library an executable stack.
_2_41 = (2, 41)


def version_faults(process: Process, version: tuple[int, ...]) -> list[Fault]:
    """Hold every needed version against the object that answers to the name."""
    faults = []
    for current in process.objects:
        for need in current.facts.needs:
            provider = process.known.get(need.library)
            if provider is not None and need.version in provider.facts.defines:
                continue
            if provider is None:
                # What is needed is reported as not found; no name is the program's own.
                if need.library and need.library not in current.facts.needed:
                    reason = "a version of it is needed, and DT_NEEDED has no such name"
                    faults.append(Fault("version", need.library, current.path, reason))
                continue
            reason = version_reason(provider.path, provider.facts, [need], version)
            if reason:
                faults.append(Fault("version", need.library, current.path, reason))
    return list(dict.fromkeys(faults))


def version_reason(
    path: str, facts: ElfFacts, needs: Sequence[VersionNeed], version: tuple[int, ...]
) -> str:
    """Say why the file at ``path`` can't answer these needs for a glibc; "" where it can.

    A library without DT_VERDEF but with DT_VERSYM lets every version pass; at one
    without either, ld.so before 2.41 aborts when a symbol is found in it (check_match in
    elf/dl-lookup.c).
    """
    wanted = [need.version for need in needs if not need.weak]
    if facts.defines:
        lacking = [version for version in wanted if version not in facts.defines]
        return f"{path} has no version {', '.join(lacking)}" if lacking else ""
    if wanted and not facts.versioned and version < _2_41:
        return (
            f"{path} has no symbol versions at all (no DT_VERSYM), and ld.so before glibc 2.41"
            f" aborts where {wanted[0]} is asked of it"
        )
    return ""


def relocation_faults(process: Process, version: tuple[int, ...]) -> Iterator[Fault]:
    """Find files with DT_RELR that this glibc can't relocate, or refuses to.

    glibc 2.36 and newer want the version need GLIBC_ABI_DT_RELR of a file that
    needs the libc (elf/dl-version.c); older ones know no such relocations.
    """
    for current in process.objects:
        facts = current.facts
        if not facts.relative_relocations:
            continue
        libc = next((name for name in facts.needed if name.startswith("libc.so.")), None)
        marked = RELATIVE_RELOCATIONS.version in {need.version for need in facts.needs}
        if version < (2, 36):
            reason = "it has DT_RELR, which glibc knows from 2.36 on"
            yield Fault("refused", libc or "DT_RELR", current.path, reason)
        elif libc and facts.needs and not marked:
            reason = (
                "it has DT_RELR without the version need GLIBC_ABI_DT_RELR, and glibc 2.36 and"
                " newer refuse that: link it with -z pack-relative-relocs"
            )
            yield Fault("refused", libc, current.path, reason)


#: Bytes of static thread-local storage that glibc keeps for what dlopen brings in:
#: 1664 (TLS_STATIC_SURPLUS of its default tunables), and what the alignment adds.
_STATIC_TLS = 1728


def tls_faults(process: Process, libc: str) -> Iterator[Fault]:
    """Find libraries that want more static thread-local storage than dlopen can give.

    musl gives none: it "resolves to dynamic definition" and refuses.
    """
    room = _STATIC_TLS if libc == "glibc" else 0
    for current in process.objects:
        wanted = current.facts.static_tls
        if not wanted or (current.loader is None and current is not process.objects[0]):
            continue  # the libc's own is there from the start
        room -= wanted
        if room < 0:
            reason = (
                f"it wants {wanted} bytes of static thread-local storage (DF_STATIC_TLS), more"
                " than dlopen has left: only a program that needs or preloads it can load it"
            )
            yield Fault("dlopen", current.path.rpartition("/")[2], current.path, reason)


def stack_faults(process: Process, version: tuple[int, ...]) -> Iterator[Fault]:
    """Find libraries that ask for an executable stack, which dlopen gives to none from 2.41 on.

    A program that needs them gets it from its start (elf/dl-load.c, dl_stack_flags).
    """
    reason = (
        "it asks for an executable stack, and dlopen of glibc 2.41 and newer refuses that: only"
        " a program that needs or preloads it can load it"
    )
    for each in process.objects if version >= _2_41 else ():
        if each.facts.executable_stack:
            yield Fault("dlopen", each.path.rpartition("/")[2], each.path, reason)

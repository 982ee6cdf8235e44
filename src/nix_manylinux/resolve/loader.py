"""What ld.so would load: a simulation over facts, nothing is executed.

glibc's rules are those of elf/dl-load.c and elf/dl-deps.c, musl's those of
ldso/dynlink.c. Only what a wheel can influence is modelled: the environment is
taken to be clean, and there is no ld.so.cache, as there is none on Nix.
"""

from __future__ import annotations

from nix_manylinux.base.errors import BadElf
from nix_manylinux.base.values import Value, field
from nix_manylinux.data import Libraries, read_libraries
from nix_manylinux.elf.facts import ElfKind
from nix_manylinux.elf.tokens import expand_tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Protocol

    from nix_manylinux.elf.facts import ElfFacts, VersionNeed
    from nix_manylinux.target.target import Target
    from nix_manylinux.tree.libraries import LibraryIndex

    class Files(Protocol):
        """The part of the file system that the loader looks at."""

        def find(self, directory: str, name: str) -> str | None:
            """Return the path of ``name`` in ``directory``, None where it can't be opened."""

        def is_directory(self, path: str) -> bool:
            """Whether there is a directory of that name."""

        def facts(self, path: str) -> ElfFacts | None:
            """Return the facts of a file, None for no ELF file; `BadElf` for a broken one."""

        def real(self, path: str) -> str:
            """Return what tells one file from another (the loader compares inodes)."""


class Hit(Value, kw_only=False):
    """The end of one search: the file, or why the loader stops or finds none."""

    path: str | None = None
    fatal: str = ""


class LoadedObject(Value, frozen=False, kw_only=False):
    """One object of a process. ``path`` is the name that it was opened by."""

    path: str
    facts: ElfFacts
    loader: LoadedObject | None
    names: set[str]

    __eq__, __hash__ = object.__eq__, object.__hash__


class Fault(Value, kw_only=False):
    """Something that makes the loader give up: about ``name``, wanted by ``path``.

    ``kind`` is "not found", "unreadable", "version", "refused" for what this libc
    doesn't do for a file that it found, or "tls" where only dlopen doesn't: what is
    there from a program's start (needed, or LD_PRELOAD) has all the room it wants.
    """

    kind: str
    name: str
    path: str
    reason: str


class Process(Value, frozen=False, kw_only=False):
    """Everything that opening one file brings in, in the order of loading."""

    objects: list[LoadedObject] = field(default_factory=list)
    #: (path of the one that needs, needed name) -> path of what it gets
    links: dict[tuple[str, str], str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    #: every name that an object is known by -> the first object that took it
    known: dict[str, LoadedObject] = field(default_factory=dict)
    #: what tells a file from another -> the object
    by_file: dict[str, LoadedObject] = field(default_factory=dict)


class Loader:
    """A dynamic linker: the target's kind of libc, looking at ``files``."""

    def __init__(
        self,
        target: Target,
        files: Files,
        *,
        hwcaps: tuple[str, ...] = (),
        reserved: tuple[str, ...] = (),
    ) -> None:
        self.target = target
        self.files = files
        self._subdirectories = (*hwcaps, "") if target.libc == "glibc" else ("",)
        self._reserved = reserved
        self._searches: dict[tuple[str, str], Hit | None] = {}
        self._paths: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}

    def open(self, path: str) -> Process:
        """Load ``path`` as dlopen(path) or execve would, with all that it needs.

        A library is opened in a process that already has the libc (every
        process that can call dlopen has); a program brings its own.
        """
        process = Process()
        try:
            facts = self._facts(path)
        except BadElf as error:
            process.faults.append(Fault("unreadable", path, path, error.what))
            return process
        if facts is None:
            process.faults.append(Fault("unreadable", path, path, "not an ELF file"))
            return process
        root = LoadedObject(path, facts, None, {path, *filter(None, [facts.soname])})
        process.objects.append(root)
        process.by_file[self.files.real(path)] = root
        process.known.update(dict.fromkeys(root.names, root))
        if facts.kind is not ElfKind.PROGRAM:
            for name in self.always_loaded():
                self._add(process, self.target.libc_sonames[name], name, None)
        # Breadth first, in the order of DT_NEEDED, as _dl_map_object_deps does.
        for current in process.objects:
            for name in (*current.facts.needed, *current.facts.filters):
                self._need(process, current, name)
        opened = facts.kind is not ElfKind.PROGRAM
        if self.target.libc == "glibc":
            process.faults.extend(_version_faults(process))
            process.faults.extend(_relocation_faults(process, self.target.libc_version))
        if opened:
            room = _STATIC_TLS if self.target.libc == "glibc" else 0
            process.faults.extend(_tls_faults(process, room))
        return process

    def search(self, directories: Iterable[str], name: str) -> Hit:
        """Look for ``name`` in ``directories``, in order; an empty `Hit` if it is in none."""
        for directory in directories:
            hit = self.look(directory, name)
            if hit is not None:
                return hit
        return Hit()

    def own_path(self, path: str, facts: ElfFacts) -> tuple[str, ...]:
        """Return the directories that ``facts``' own search path stands for, `$ORIGIN` expanded."""
        origin = path.rpartition("/")[0] or "/"
        key = (origin, facts.search_path)
        known = self._paths.get(key)
        if known is None:
            expanded = [self._expand(entry, origin) for entry in facts.search_path]
            if self.target.libc == "musl" and None in expanded:
                expanded = []  # one unknown token voids the whole list
            known = self._paths[key] = tuple(each for each in expanded if each is not None)
        return known

    def always_loaded(self) -> list[str]:
        """Sonames that every process has which can call dlopen: the libc's and the linker's."""
        linker = self.target.dynamic_linker.rpartition("/")[2]
        return [n for n in ("libc.so.6", linker) if n in self.target.libc_sonames]

    def _need(self, process: Process, current: LoadedObject, name: str) -> None:
        loaded = process.known.get(name)
        if loaded is not None:
            process.links[current.path, name] = loaded.path
            return
        hit = self._resolve(current, name, process.objects[0])
        if hit.path is None:
            kind = "unreadable" if hit.fatal else "not found"
            process.faults.append(Fault(kind, name, current.path, hit.fatal))
        elif self._add(process, hit.path, name, current):
            process.links[current.path, name] = hit.path

    def _add(
        self, process: Process, path: str, name: str, loader: LoadedObject | None
    ) -> LoadedObject | None:
        """Map ``path``, unless it is mapped already, and make it known as ``name``."""
        real = self.files.real(path)
        loaded = process.by_file.get(real)
        if loaded is None:
            try:
                facts = self._facts(path)
            except BadElf as error:
                process.faults.append(Fault("unreadable", name, path, error.what))
                return None
            if facts is None:
                process.faults.append(Fault("unreadable", name, path, "not an ELF file"))
                return None
            loaded = process.by_file[real] = LoadedObject(path, facts, loader, {path})
            if facts.soname and self.target.libc == "glibc":
                loaded.names.add(facts.soname)
            process.objects.append(loaded)
        loaded.names.add(name)
        for each in loaded.names:
            process.known.setdefault(each, loaded)
        return loaded

    def _resolve(self, current: LoadedObject, name: str, root: LoadedObject) -> Hit:
        if "/" in name:
            origin = current.path.rpartition("/")[0] or "/"
            path = self._expand(name, origin) or name
            folder, _, base = path.rpartition("/")
            return self.look(folder or "/", base, hwcaps=False) or Hit()
        if self.target.libc == "musl":
            return self._resolve_musl(current, name)
        hit = Hit()
        if current.facts.runpath is None:
            for each in self._inherited(current, root):
                hit = self.search(self.own_path(each.path, each.facts), name)
                if hit.path or hit.fatal:
                    return hit
        else:
            hit = self.search(self.own_path(current.path, current.facts), name)
        if hit.path is None and not hit.fatal and not current.facts.no_default_path:
            return Hit(self.target.libc_sonames.get(name))
        return hit

    def _resolve_musl(self, current: LoadedObject, name: str) -> Hit:
        if name.startswith(self._reserved):
            return Hit(self.target.dynamic_linker)
        step: LoadedObject | None = current
        while step is not None:
            hit = self.search(self.own_path(step.path, step.facts), name)
            if hit.path or hit.fatal:
                return hit
            step = step.loader
        return Hit(self.target.libc_sonames.get(name))

    @staticmethod
    def _inherited(current: LoadedObject, root: LoadedObject) -> list[LoadedObject]:
        """Return the objects whose DT_RPATH counts for ``current``, nearest first."""
        chain = []
        step: LoadedObject | None = current
        while step is not None:
            chain.append(step)
            step = step.loader
        if root.facts.kind is ElfKind.PROGRAM and root not in chain:
            chain.append(root)
        return [each for each in chain if each.facts.runpath is None and each.facts.rpath]

    def look(self, directory: str, name: str, *, hwcaps: bool = True) -> Hit | None:
        """Try one directory; None means that the loader goes on with the next one."""
        key = (directory, name)
        if hwcaps and key in self._searches:
            return self._searches[key]
        hit = None
        for sub in self._subdirectories if hwcaps else ("",):
            path = self.files.find(directory, f"{sub}/{name}" if sub else name)
            if path is None:
                continue
            hit = self._judge(path)
            if hit is not None:
                break
        if hwcaps:
            self._searches[key] = hit
        return hit

    def _facts(self, path: str) -> ElfFacts | None:
        """Read a file as this libc does; `BadElf` for one that it would refuse."""
        facts = self.files.facts(path)
        if facts is not None and facts.refused and self.target.libc == "glibc":
            raise BadElf(f"glibc refuses it: {facts.refused}")
        return facts

    def _judge(self, path: str) -> Hit | None:
        try:
            facts = self._facts(path)
        except BadElf as error:
            return Hit(fatal=f"{path} can't be loaded: {error.what}")
        if facts is None:
            return Hit(fatal=f"{path} is not an ELF file, and the loader stops there")
        machine, wanted = facts.machine, self.target.machine
        if machine.bits != wanted.bits or machine.number != wanted.number:
            # glibc goes on to the next directory; musl has no such check.
            return None if self.target.libc == "glibc" else Hit(fatal=f"{path} is for {machine}")
        if machine.endian != wanted.endian:
            return Hit(fatal=f"{path} has the other byte order, and the loader stops there")
        return Hit(path)

    def _expand(self, entry: str, origin: str) -> str | None:
        """Return an entry with its dynamic string tokens replaced; None if it is void."""
        if not entry:
            return None if self.target.libc == "musl" else "."
        if "$" not in entry:
            return entry.rstrip("/") or "/"
        tokens: Mapping[str, str] = {"ORIGIN": origin}
        if self.target.libc == "glibc":
            tokens = {**tokens, "LIB": "lib", "PLATFORM": self.target.machine.name}
        text = expand_tokens(entry, tokens)
        return None if text is None else text.rstrip("/") or "/"


def _version_faults(process: Process) -> list[Fault]:
    """Hold every needed version against the object that answers to the name."""
    faults = []
    for current in process.objects:
        for need in current.facts.needs:
            provider = process.known.get(need.library)
            if provider is None:
                # What is needed is told as not found; no name is the program's own.
                if need.library and need.library not in current.facts.needed:
                    reason = "a version of it is needed, and DT_NEEDED has no such name"
                    faults.append(Fault("version", need.library, current.path, reason))
                continue
            reason = version_reason(provider.path, provider.facts, [need])
            if reason:
                faults.append(Fault("version", need.library, current.path, reason))
    return list(dict.fromkeys(faults))


def version_reason(path: str, facts: ElfFacts, needs: Sequence[VersionNeed]) -> str:
    """Say why the file at ``path`` can't answer these needs for glibc; "" where it can.

    A library without DT_VERDEF but with DT_VERSYM lets every version pass; at one
    without either, ld.so aborts when a symbol is found in it (check_match in
    elf/dl-lookup.c).
    """
    wanted = [need.version for need in needs if not need.weak]
    if facts.defines:
        lacking = [version for version in wanted if version not in facts.defines]
        return f"{path} has no version {', '.join(lacking)}" if lacking else ""
    if wanted and not facts.versioned:
        return (
            f"{path} has no symbol versions at all (no DT_VERSYM), and ld.so aborts"
            f" where {wanted[0]} is asked of it"
        )
    return ""


def _relocation_faults(process: Process, version: tuple[int, ...]) -> list[Fault]:
    """Find files with DT_RELR that this glibc can't relocate, or refuses to.

    glibc 2.36 and newer want the version need GLIBC_ABI_DT_RELR of a file that
    needs the libc (elf/dl-version.c); older ones know no such relocations.
    """
    faults = []
    for current in process.objects:
        facts = current.facts
        if not facts.relative_relocations:
            continue
        libc = next((name for name in facts.needed if name.startswith("libc.so.")), None)
        marked = any(need.version == "GLIBC_ABI_DT_RELR" for need in facts.needs)
        if version < (2, 36):
            reason = "it has DT_RELR, which glibc knows from 2.36 on"
            faults.append(Fault("refused", libc or "DT_RELR", current.path, reason))
        elif libc and facts.needs and not marked:
            reason = (
                "it has DT_RELR without the version need GLIBC_ABI_DT_RELR, and glibc 2.36 and"
                " newer refuse that: link it with -z pack-relative-relocs"
            )
            faults.append(Fault("refused", libc, current.path, reason))
    return faults


#: Bytes of static thread-local storage that glibc keeps for what dlopen brings in:
#: 1664 (TLS_STATIC_SURPLUS of its default tunables), and what the alignment adds.
_STATIC_TLS = 1728


def _tls_faults(process: Process, room: int) -> list[Fault]:
    """Find libraries that want more static thread-local storage than dlopen can give.

    musl gives none: it "resolves to dynamic definition" and refuses.
    """
    faults = []
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
            faults.append(Fault("tls", current.path.rpartition("/")[2], current.path, reason))
    return faults


def make_loader(target: Target, libraries: LibraryIndex, data: Libraries | None = None) -> Loader:
    """Return the simulation of ``target``'s dynamic linker over the library index's disk."""
    data = data or read_libraries()
    return Loader(
        target,
        libraries.disk,
        hwcaps=data.hwcaps.get(target.machine.name, ()),
        reserved=data.musl_reserved,
    )

"""What ld.so would load: a simulation over facts, nothing is executed.

glibc's rules are those of elf/dl-load.c and elf/dl-deps.c, musl's those of
ldso/dynlink.c. Only what a wheel can influence is modelled: the environment is
taken to be clean, and there is no ld.so.cache, as there is none on Nix.
"""

from __future__ import annotations

from nix_manylinux.base.errors import BadElf
from nix_manylinux.base.values import Value
from nix_manylinux.data import read_libraries
from nix_manylinux.elf.facts import ElfFacts, ElfKind
from nix_manylinux.elf.tokens import expand_tokens
from nix_manylinux.resolve.faults import (
    relocation_faults,
    stack_faults,
    tls_faults,
    version_faults,
)
from nix_manylinux.resolve.process import Fault, LoadedObject, Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Protocol

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


_NOWHERE = Hit()


class Loader:
    """A dynamic linker: the target's kind of libc, looking at ``files``.

    ``default`` are directories of the system that are searched last, behind the libc's.
    ``elsewhere`` are others where no loader looks: what is found nowhere is taken from
    there, of a name with a slash by its last part alone, too.
    """

    def __init__(
        self,
        target: Target,
        files: Files,
        *,
        hwcaps: tuple[str, ...] = (),
        reserved: tuple[str, ...] = (),
        default: tuple[str, ...] = (),
        elsewhere: tuple[str, ...] = (),
    ) -> None:
        self.target = target
        self.files = files
        self._default, self._elsewhere = default, elsewhere
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
        facts = self._readable(process, path, path)
        if facts is None:
            return process
        root = LoadedObject(path, facts, None, {path, *filter(None, [facts.soname])})
        process.objects.append(root)
        process.by_file[self.files.real(path)] = root
        process.known.update(dict.fromkeys(root.names, root))
        opened, glibc = facts.kind is not ElfKind.PROGRAM, self.target.libc == "glibc"
        for name in self.always_loaded() if opened else ():
            self._add(process, self.target.libc_sonames[name], name, None)
        # Breadth first, in the order of DT_NEEDED, as _dl_map_object_deps does.
        for current in process.objects:
            for name in self.target.looks_for(current.facts):
                self._need(process, current, name)
        if glibc:
            process.faults.extend(version_faults(process, self.target.libc_version))
            process.faults.extend(relocation_faults(process, self.target.libc_version))
        if opened:
            process.faults.extend(tls_faults(process, self.target.libc))
        if opened and glibc:
            process.faults.extend(stack_faults(process, self.target.libc_version))
        return process

    def search(self, directories: Iterable[str], name: str) -> Hit:
        """Look for ``name`` in ``directories``, in order; an empty `Hit` if it is in none."""
        for directory in directories:
            hit = self.look(directory, name)
            if hit is not None:
                return hit
        return _NOWHERE

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

    def libc_path(self, name: str) -> str | None:
        """Where the target's libc has ``name``; None where it is not the libc's."""
        if self.target.libc == "musl" and name.startswith(self._reserved):
            return self.target.dynamic_linker
        return self.target.libc_sonames.get(name)

    def _need(self, process: Process, current: LoadedObject, name: str) -> None:
        loaded = process.known.get(name)
        if loaded is not None:
            process.links[current.path, name] = loaded.path
            return
        hit = self._resolve(current, name, process.objects[0])
        for each in (name, name.rpartition("/")[2]) if self._elsewhere else ():
            if hit.path is None and not hit.fatal:
                hit = self.search(self._elsewhere, each)
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
            facts = self._readable(process, name, path)
            if facts is None:
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
            found = self.files.find(folder or "/", base)
            return (self._judge(found) if found else None) or _NOWHERE
        if self.target.libc == "musl":
            return self._resolve_musl(current, name)
        hit = _NOWHERE
        if current.facts.runpath is None:
            for each in self._inherited(current, root):
                hit = self.search(self.own_path(each.path, each.facts), name)
                if hit.path or hit.fatal:
                    return hit
        else:
            hit = self.search(self.own_path(current.path, current.facts), name)
        if hit.path is None and not hit.fatal and not current.facts.no_default_path:
            return self._of_the_system(name)
        return hit

    def _of_the_system(self, name: str) -> Hit:
        known = self.libc_path(name)
        return Hit(known) if known else self.search(self._default, name)

    def _resolve_musl(self, current: LoadedObject, name: str) -> Hit:
        if name.startswith(self._reserved):
            return Hit(self.target.dynamic_linker)
        step: LoadedObject | None = current
        while step is not None:
            hit = self.search(self.own_path(step.path, step.facts), name)
            if hit.path or hit.fatal:
                return hit
            step = step.loader
        return self._of_the_system(name)

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

    def look(self, directory: str, name: str) -> Hit | None:
        """Try one directory; None means that the loader goes on with the next one."""
        key = (directory, name)
        if key in self._searches:
            return self._searches[key]
        hit = None
        for sub in self._subdirectories:
            path = self.files.find(directory, f"{sub}/{name}" if sub else name)
            if path is None:
                continue
            hit = self._judge(path)
            if hit is not None:
                break
        self._searches[key] = hit
        return hit

    def _facts(self, path: str) -> ElfFacts | None:
        """Read a file as this libc does; `BadElf` for one that it would refuse."""
        facts = self.files.facts(path)
        if facts is not None and facts.refused and self.target.libc == "glibc":
            raise BadElf(f"glibc refuses it: {facts.refused}")
        return facts

    def _readable(self, process: Process, name: str, path: str) -> ElfFacts | None:
        """Read a file that is known as ``name``; None, and a fault, where that can't be."""
        try:
            facts = self._facts(path)
        except BadElf as error:
            process.faults.append(Fault("unreadable", name, path, error.what))
            return None
        if facts is None:
            process.faults.append(Fault("unreadable", name, path, "not an ELF file"))
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


def make_loader(target: Target, libraries: LibraryIndex) -> Loader:
    """Return the simulation of ``target``'s dynamic linker over the library index's disk."""
    data = read_libraries()
    return Loader(
        target,
        libraries.disk,
        hwcaps=data.hwcaps.get(target.machine.name, ()),
        reserved=data.musl_reserved,
    )

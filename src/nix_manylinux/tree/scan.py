"""A directory tree, unpacked or installed: its ELF files, its dist-info folders, sorted.

Nothing is written here, and no link that leads out of the tree is followed,
unless the tree is only to be looked at (``through_links``), or what it leads to
will be copied (``adopt_except``).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence

from nix_manylinux.base.errors import BadElf, BadTree
from nix_manylinux.base.files import GC_ROOTS, SMALLEST_ELF, UNDO_LOG, is_temporary, read_small
from nix_manylinux.base.progress import Progress, with_progress
from nix_manylinux.base.store import nix_store
from nix_manylinux.base.values import Value, field
from nix_manylinux.elf.facts import ElfFacts, ElfKind
from nix_manylinux.elf.format import ELF_MAGIC
from nix_manylinux.elf.read import is_elf_file, read_elf
from nix_manylinux.tree.errors import half_done, unreadable
from nix_manylinux.tree.facts import Damage, TreeFacts, TreeFile
from nix_manylinux.tree.index import inside
from nix_manylinux.tree.python import FIRST_BYTES, interpreter_of
from nix_manylinux.tree.roots import tree_root
from nix_manylinux.wheel.metadata import (
    MAX_METADATA,
    Distribution,
    expand_tags,
    read_headers,
    required_names,
)

#: A name may be a FIFO or a link by now: neither is waited for nor followed.
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: The interpreter of a virtual environment, and its own modules, are links, and nobody's wheel.
_INTERPRETER = r"(?:lib)?(?:python|pypy)[0-9.]*[tdmu]*(?:\.so[0-9.]*)?|lib-dynload"

#: Links to folders elsewhere that are walked: from ten folders that all link to all others,
#: there are a million ways.
_MAX_FOLDED = 20_000

_SITE_PACKAGES = r"(?:.*/)?lib[^/]*/(?:python|pypy)[^/]*/site-packages"


def scan_tree(
    root: str | os.PathLike[str],
    *,
    labels: Mapping[str, str] | None = None,
    floating: str | None = None,
    through_links: bool = False,
    adopt_except: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> TreeFacts:
    """Read every ELF file and every ``*.dist-info`` below ``root``.

    ELF files are found by content and read once per inode; hard links and
    symbolic links inside the tree become aliases. FIFOs, sockets and devices are
    passed by, and links out of the tree, unless asked for. ``labels`` gives files (by relative
    path) other names for reports; ``floating`` is handed on to `TreeFacts`.

    ``through_links`` is for an environment that is made of links (buildEnv, uv):
    libraries and folders that links lead to outside count by the link's path,
    which is what `$ORIGIN` means to the loader. Programs that use it don't: theirs is
    the place where they really are, so they start as they do there; nor do those that
    ``adopt_except`` leaves to others. Such facts are to be looked at, never to be written to.

    ``adopt_except`` is for those who write: links to files and folders elsewhere (uv's
    ``--link-mode symlink``, link farms) count as the tree's own, since a copy can take
    a file's place, and a folder of links a folder's (``folded``). Those into the folders
    that are given stay what they are (``passed_by``), and so does an interpreter.
    Raises BadTree for what can't be read or vanishes meanwhile. A damaged file
    raises nothing: it is in ``damaged``.
    """
    root = os.path.realpath(tree_root(root))
    if os.path.lexists(os.path.join(root, UNDO_LOG)):
        raise half_done(root)
    kept = None if adopt_except is None else tuple(map(os.path.realpath, adopt_except))
    walk = _Walk(root=root, through_links=through_links, adopt_except=kept)
    walk.run()
    shown = labels or {}
    damaged: list[Damage] = []
    files = sorted(_tree_files(walk, shown, damaged, progress), key=lambda file: file.path)
    folders = sorted(walk.dist_infos)
    holders = {os.path.dirname(folder) for folder in folders}
    return TreeFacts(
        root=root,
        files=tuple(files),
        distributions=tuple(_distribution(root, folder) for folder in folders),
        site_packages=tuple(sorted(holders | walk.site_packages)),
        floating=floating,
        leftovers=tuple(sorted(walk.leftovers)),
        damaged=tuple(sorted(damaged, key=lambda each: each.label)),
        passed_by=tuple(sorted(walk.passed_by)),
        folded=tuple(sorted(walk.folded)),
        scripts=tuple(sorted((shown.get(path, path), by) for path, by in walk.scripts.items())),
    )


def scan_to_write(roots: Sequence[str], progress: Progress | None = None) -> list[TreeFacts]:
    """Read trees that will be written: files of a Nix store, or of another of them, stay links."""
    others = (nix_store(), *roots)
    return [scan_tree(each, adopt_except=others, progress=progress) for each in roots]


def scan_to_check(roots: Sequence[str]) -> list[TreeFacts]:
    """Read trees as they stand: those of others' files as well that a loader meets in them."""
    others = (nix_store(), *roots)
    return [scan_tree(each, through_links=True, adopt_except=others) for each in roots]


class _Inode(Value, frozen=False, kw_only=False):
    names: list[str]
    status: os.stat_result


class _Walk(Value, frozen=False, kw_only=False):
    """What one pass over the directories collects."""

    root: str
    through_links: bool = False
    adopt_except: tuple[str, ...] | None = None
    adopted: set[str] = field(default_factory=set)
    passed_by: list[str] = field(default_factory=list)
    #: Links to folders elsewhere that are walked, and those folders.
    folded: dict[str, str] = field(default_factory=dict)
    entered: set[str] = field(default_factory=set)
    inodes: dict[tuple[int, int], _Inode] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    dist_infos: list[str] = field(default_factory=list)
    site_packages: set[str] = field(default_factory=set)
    leftovers: list[str] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        # Each with the link to a folder elsewhere that it is below, or "".
        folders = [("", "")]
        while folders:
            folder, top = folders.pop()
            if folder.endswith("/site-packages") and re.fullmatch(_SITE_PACKAGES, folder):
                self.site_packages.add(folder)
            for entry in self._entries(folder, top):
                name = entry.name
                path = f"{folder}/{name}" if folder else name
                if name[0] != "." and entry.is_file(follow_symlinks=False):  # as most are
                    self._look_at(path, entry.path, outside=bool(top))
                    continue
                below = self._enter(path, entry, top)
                if below is not None:
                    folders.append((path, below))
                    if name.endswith(".dist-info"):
                        self.dist_infos.append(path)
        for link in self.links:
            self._follow(link)

    def _enter(self, path: str, entry: os.DirEntry[str], top: str) -> str | None:
        """Take note of what a name stands for; for a folder to walk, say what link it is below."""
        if entry.name == UNDO_LOG and not top:
            raise half_done(os.path.dirname(entry.path))
        if is_temporary(entry.name):
            # A link where RECORD is one, a folder where a link to a folder was unfolded.
            self.leftovers += [] if top else [path]
        elif entry.is_symlink():
            return self._link(path, entry, top)
        elif entry.is_dir(follow_symlinks=False):
            return None if top and self._is_kept(os.path.realpath(entry.path), path) else top
        elif entry.is_file(follow_symlinks=False):
            self._look_at(path, entry.path, outside=bool(top))
        return None

    def _entries(self, folder: str, top: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(os.path.join(self.root, folder)) as entries:
                return [each for each in entries if each.name != GC_ROOTS]
        except OSError as cause:
            if not top:
                raise unreadable(cause, folder or self.root) from cause
            return []

    def is_elsewhere(self, path: str, facts: ElfFacts) -> bool:
        """Whether a program starts as it does where it really is, and is looked at there."""
        real = os.path.realpath(os.path.join(self.root, path))
        names = (os.path.basename(path), os.path.basename(real))
        return not inside(real, self.root) and (
            self._is_others(real)
            or any(re.fullmatch(_INTERPRETER, name) for name in names)
            or any("ORIGIN" in entry for entry in facts.search_path)
        )

    def _link(self, path: str, entry: os.DirEntry[str], top: str) -> str | None:
        """Keep a link for later, or what it leads to outside.

        If it leads to a folder to walk, the link that it is below then is given.
        """
        looks = self.through_links or self.adopt_except is not None
        real = os.path.realpath(entry.path) if looks else ""
        homes = [home for each, home in self.folded.items() if inside(path, each)] if top else ()
        if not looks or any(inside(real, home) for home in (self.root, *homes)):
            self.links.append(path)
            return None
        names = (entry.name, os.path.basename(real))
        if self.through_links:
            if self._is_others(real):
                self.passed_by.append(path)
        elif any(re.fullmatch(_INTERPRETER, name) for name in names) or self._is_kept(real, path):
            return None
        if not entry.is_dir():
            if entry.is_file():
                self._look_at(path, real, outside=True)
            return None
        # A folder above the root, or one that was entered already, would be a circle.
        if inside(self.root, real.rstrip("/")) or real in self.entered:
            return None
        if self.through_links:
            self.entered.add(real)
            return ""
        if len(self.folded) >= _MAX_FOLDED:
            raise BadTree(
                f"has more than {_MAX_FOLDED} links to folders in folders that are links",
                where=path,
                hint="links to and fro have no end; give the tree without them",
            )
        self.folded[path] = real
        return path

    def _is_others(self, real: str) -> bool:
        return any(inside(real, folder) for folder in self.adopt_except or ())

    def _is_kept(self, real: str, path: str) -> bool:
        """Whether something elsewhere is where files stay; ELF files are reported then."""
        if not self._is_others(real):
            return False
        files = iter((real,))
        if os.path.isdir(real):
            files = (f"{at}/{name}" for at, _, names in os.walk(real) for name in names)
        if any(map(is_elf_file, files)):
            self.passed_by.append(path)
        return True

    def _look_at(self, path: str, full: str, *, outside: bool = False) -> None:
        """Open a regular file, and keep it if it is ELF: the status is asked for only then."""
        try:
            descriptor = os.open(full, _LOOK)
            try:
                head = os.read(descriptor, 4)  # or fewer: `read_elf` decides
                if head != ELF_MAGIC:
                    if head[:2] == b"#!":
                        self._script(path, head, descriptor)
                    if not head or not ELF_MAGIC.startswith(head):
                        return
                status = os.fstat(descriptor)
            finally:
                os.close(descriptor)
        except OSError as cause:
            if outside:  # others' files may be closed to us
                return
            raise unreadable(cause, path) from cause
        if outside and not self.through_links:
            self.adopted.add(path)
        if status.st_size < SMALLEST_ELF or not stat.S_ISREG(status.st_mode):
            return
        inode = self.inodes.get((status.st_dev, status.st_ino))
        if inode is None:
            self.inodes[status.st_dev, status.st_ino] = _Inode([path], status)
        else:
            inode.names.append(path)

    def _script(self, path: str, head: bytes, descriptor: int) -> None:
        """Take note of a script in a folder of commands; installers allow all in bin.

        What is executable elsewhere is mostly a module (base64.py), and nobody starts it, but
        for what is called as a command is (kaleido/executable/kaleido).
        """
        folder, _, name = f"/{path}".rpartition("/")
        if not folder.endswith("/bin") and "." in name:
            return
        if path.startswith("bin/") or os.fstat(descriptor).st_mode & 0o100:
            interpreter = interpreter_of(head + os.read(descriptor, FIRST_BYTES))
            if interpreter:
                self.scripts[path] = interpreter

    def _follow(self, link: str) -> None:
        """Count a symbolic link as a name of the file that it ends at, if that is in the tree."""
        full = os.path.join(self.root, link)
        try:
            status = os.stat(full)
        except OSError:  # it leads nowhere, in a circle, or where we may not look
            return
        inode = self.inodes.get((status.st_dev, status.st_ino))
        if inode is None:
            return
        # The inode may have a name outside as well: the link must end at one of ours.
        real = os.path.realpath(full)
        ends = {top + real[len(home) :] for top, home in self.folded.items()
                if inside(link, top) and inside(real, home)}  # fmt: skip
        if not {os.path.relpath(real, self.root), *ends}.isdisjoint(inode.names):
            inode.names.append(link)


def _tree_files(
    walk: _Walk, labels: Mapping[str, str], damaged: list[Damage], progress: Progress | None
) -> Iterator[TreeFile]:
    symbolic = set(walk.links)
    for inode in with_progress(walk.inodes.values(), progress, "reading"):
        here = sorted(name for name in inode.names if name not in symbolic)
        hard = [name for name in here if name not in walk.adopted]
        path = (hard or here)[0]
        label = labels.get(path, path)
        try:
            facts = read_elf(os.path.join(walk.root, path), label=label)
        except BadElf as error:
            damaged.append(Damage(label=label, what=error.what))
            continue
        except OSError as cause:
            raise unreadable(cause, label) from cause
        if facts is None:
            continue
        if (
            walk.through_links
            and facts.kind is not ElfKind.LIBRARY
            and walk.is_elsewhere(path, facts)
        ):
            continue
        status = inode.status
        yield TreeFile(
            path=path,
            label=label,
            facts=facts,
            size=status.st_size,
            mode=status.st_mode,
            aliases=tuple(sorted(name for name in inode.names if name != path)),
            linked=tuple(name for name in here if name in walk.adopted),
            stamp=(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns),
        )


def _distribution(root: str, folder: str) -> Distribution:
    metadata = read_headers(_read_small(root, f"{folder}/METADATA"))
    wheel = read_headers(_read_small(root, f"{folder}/WHEEL"))
    # An installer that was interrupted leaves folders without METADATA.
    stem = os.path.basename(folder).removesuffix(".dist-info")
    name, _, version = stem.rpartition("-")
    return Distribution(
        folder=folder,
        name=next(iter(metadata.get("name", ())), name or stem),
        version=next(iter(metadata.get("version", ())), version if name else ""),
        tags=expand_tags(wheel.get("tag", ())),
        requires=required_names(metadata.get("requires-dist", ())),
    )


def _read_small(root: str, path: str) -> bytes:
    """Read a metadata file; empty where there is none, no regular file, or an endless one."""
    try:
        return read_small(os.path.join(root, path), MAX_METADATA)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as cause:
        raise unreadable(cause, path) from cause

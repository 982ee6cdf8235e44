"""The values of a scanned tree: its ELF files, its distributions."""

from __future__ import annotations

from nix_manylinux.base.values import Value, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.elf.facts import ElfFacts
    from nix_manylinux.wheel.metadata import Distribution


class TreeFile(Value):
    """One ELF file of a tree: one inode, whatever number of names it has.

    ``path`` is relative to the tree, POSIX style, the first of all its names
    in sorted order; ``aliases`` are the other ones (hard links, and symbolic
    links that end at it). ``label`` is what a report calls it: the member's
    name in a wheel, the path elsewhere. ``linked`` are those of the names that are
    symbolic links out of the tree, which an edited copy takes the place of. ``mode`` is st_mode.
    ``stamp`` is st_dev, st_ino, st_size and st_mtime_ns as they were when it was
    read: whoever edits it later can tell that nobody else did.
    """

    path: str
    label: str
    facts: ElfFacts
    size: int
    mode: int
    aliases: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()
    stamp: tuple[int, ...] = field(default=(), compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """All paths in the tree that lead to it."""
        return (self.path, *self.aliases)


class Damage(Value):
    """An ELF file that no loader takes, and what is wrong with it; it is not among the files."""

    label: str
    what: str


class TreeFacts(Value):
    """All that is known of one tree before anything is decided, sorted by path.

    ``root`` is absolute. ``floating`` is a folder whose final place is not
    known yet (``lib/python`` of a wheel that is not installed): paths inside
    it and out of it are sure, paths into it are not. ``leftovers`` are
    temporary files of ours that a killed run left behind. ``passed_by`` are links
    to ELF files that are somebody else's: in a Nix store, or in another tree (for `check`,
    which looks through links, they are in ``files`` all the same); ``folded``
    are links to folders elsewhere whose files count as the tree's. ``scripts`` are the
    labels of scripts in folders of commands (bin), and of those that are called as such, each
    with the absolute path of its interpreter.
    """

    root: str
    files: tuple[TreeFile, ...]
    distributions: tuple[Distribution, ...] = ()
    site_packages: tuple[str, ...] = ()
    floating: str | None = None
    leftovers: tuple[str, ...] = ()
    damaged: tuple[Damage, ...] = ()
    passed_by: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()
    scripts: tuple[tuple[str, str], ...] = ()

    @property
    def brought(self) -> set[str]:
        """The names that a loader finds its ELF files by: those of the files, and sonames."""
        names = {name.rpartition("/")[2] for file in self.files for name in file.names}
        return names | {file.facts.soname for file in self.files if file.facts.soname}

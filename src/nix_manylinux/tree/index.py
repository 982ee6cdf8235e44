"""All names in the trees of one plan, and which file each of them means."""

from __future__ import annotations

from functools import cache

from nix_manylinux.elf.facts import ElfKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nix_manylinux.tree.facts import TreeFacts, TreeFile
    from nix_manylinux.tree.owners import Owners


class TreeIndex:
    """All names in all trees of one plan: file names, and sonames."""

    def __init__(self, trees: tuple[TreeFacts, ...]) -> None:
        self.trees = trees
        self._owners = cache(self._owners_of)
        #: name -> [(tree, absolute path)], file names first, sorted by path
        self._by_name: dict[str, list[tuple[int, str]]] = {}
        self.files: dict[str, tuple[int, TreeFile]] = {}
        self._by_real_path: dict[str, tuple[int, TreeFile]] = {}
        by_soname: list[tuple[str, tuple[int, str]]] = []
        for position, tree in enumerate(trees):
            for file in tree.files:
                for name in file.names:
                    path = f"{tree.root}/{name}"
                    self.files[path] = (position, file)
                    if file.facts.kind is not ElfKind.LIBRARY:
                        continue
                    base = name.rpartition("/")[2]
                    self._by_name.setdefault(base, []).append((position, path))
                    if file.facts.soname and file.facts.soname != base:
                        by_soname.append((file.facts.soname, (position, path)))
        for soname, place in by_soname:
            self._by_name.setdefault(soname, []).append(place)

    def path_of(self, tree: int, file: TreeFile) -> str:
        """Give the absolute path of a file of the tree at that position."""
        return f"{self.trees[tree].root}/{file.path}"

    def owner(self, path: str, real: Callable[[str], str]) -> TreeFile | None:
        """Return the file of a tree that ``path`` leads to.

        A name may be a symbolic link out of the tree, or lie in a folder that is one, and
        be meant all the same; ``real`` resolves links. What the loader opens has ".." in it.
        """
        found = self.files.get(path) or self.files.get(real(path))
        if found is None:
            if not self._by_real_path:
                self._by_real_path = {real(name): place for name, place in self.files.items()}
            found = self._by_real_path.get(real(path))
        return found[1] if found else None

    def _owners_of(self, position: int) -> Owners:
        from nix_manylinux.tree.owners import Owners  # noqa: PLC0415 - few libraries are found twice

        return Owners(self.trees[position])

    def are_strangers(self, path: str, other: str) -> bool:
        """Whether two files of one environment came with wheels that have nothing to do with it.

        See `Owners.are_strangers`.
        """
        one, two = self.files.get(path), self.files.get(other)
        if one is None or two is None or one[0] != two[0]:
            return False
        tree = self.trees[one[0]]
        names = (each[len(tree.root) + 1 :] for each in (path, other))
        return self._owners(one[0]).are_strangers(*names)

    def near(self, name: str, tree: int, path: str) -> list[str]:
        """Paths of the libraries called ``name``, the nearest to ``path`` first.

        Nearer is: in the same tree, then fewer steps from folder to folder,
        then a file of that name before one that only has the soname, then the
        sorted path. Never the order of a directory.
        """
        folder = path.rpartition("/")[0]

        def rank(place: tuple[int, str]) -> tuple[bool, int, bool, str]:
            position, other = place
            return (
                position != tree,
                _steps(folder, other.rpartition("/")[0]),
                other.rpartition("/")[2] != name,
                other,
            )

        return [other for _, other in sorted(self._by_name.get(name, ()), key=rank)]


def inside(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or below it; both absolute and normalised."""
    return path == folder or path.startswith(folder + "/")


def site_of(tree: TreeFacts, path: str) -> str | None:
    """Give the innermost site-packages that a path lies in, both absolute; None outside of all."""
    sites = (f"{tree.root}/{site}" if site else tree.root for site in tree.site_packages)
    return max((site for site in sites if inside(path, site)), key=len, default=None)


def _steps(one: str, other: str) -> int:
    """How many folders lie between two folders, up and down."""
    a, b = one.split("/"), other.split("/")
    common = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        common += 1
    return len(a) + len(b) - 2 * common

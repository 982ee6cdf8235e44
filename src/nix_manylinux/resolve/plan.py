"""The frozen values that pass between the stages. Nothing here opens a file."""

from __future__ import annotations

from enum import Enum

from nix_manylinux.base.errors import BadTree, NixManylinuxError, UnneededIgnore
from nix_manylinux.base.patterns import file_matches
from nix_manylinux.base.values import Value, replace
from nix_manylinux.elf.facts import ElfEdit, planned_facts
from nix_manylinux.wheel.metadata import MAX_WHEEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nix_manylinux.target.target import Target
    from nix_manylinux.tree.facts import Damage, TreeFacts, TreeFile


class Options(Value):
    """What a caller may decide; the command line's options under their own names.

    ``witness`` has pyelftools read back what was written.
    """

    python_libs: tuple[str, ...] = ()
    runtime_libs: tuple[str, ...] = ()
    append_rpath: tuple[str, ...] = ()
    forbid_rpath: tuple[str, ...] = ()
    ignore_missing: tuple[str, ...] = ()
    ignore_if_missing: tuple[str, ...] = ()
    provided_later: tuple[str, ...] = ()
    driver_libs: tuple[str, ...] = ()
    driver_dir: str | None = None
    exclude: tuple[str, ...] = ()
    allow_foreign: tuple[str, ...] = ()
    keep_libc: bool = False
    keep_execstack: bool = False
    missing: str = "fail"
    damaged: str = "fail"
    max_size: int = MAX_WHEEL
    witness: bool = False

    def excludes(self, label: str) -> str:
        """Give the glob by which a user has excluded the file of that label, "" for none.

        The file may be damaged, and stays.
        """
        return next((glob for glob in self.exclude if file_matches(label, glob)), "")

    def idle_excludes(self, trees: Sequence[TreeFacts]) -> list[str]:
        """Give the globs of ``exclude`` to which no ELF file answers, no damaged one either."""
        labels = [each.label for tree in trees for each in tree.files]
        labels += [each.label for tree in trees for each in tree.damaged]
        return [glob for glob in self.exclude if not any(file_matches(la, glob) for la in labels)]

    def tell_damage(self, damage: Damage) -> str:
        """Say of a file that no loader takes why it is left alone."""
        why = "it is excluded" if self.excludes(damage.label) else "no loader takes it"
        return f"{damage.label}: {damage.what}; {why}, and it is left alone"


#: Why a file is left alone that is sound, and no library to glibc.
REFUSED_BY_GLIBC = "glibc refuses it"


class Outcome(str, Enum):
    """Where a needed library comes from: exactly one for each needed name."""

    LIBC = "libc"
    TREE = "tree"
    WHEEL = "wheel"
    LIBRARY = "library"
    DRIVER = "driver"
    LATER = "later"
    IGNORED = "ignored"
    MISSING = "missing"
    INCOMPATIBLE = "incompatible"


#: The outcomes with which nothing is loaded.
LACKING = frozenset({Outcome.MISSING, Outcome.INCOMPATIBLE})

#: Why a library was chosen that rule 7 found: nothing but its name speaks for it.
OTHER_WHEEL = "found in a wheel that neither the file nor its metadata names"

#: Why a library was chosen that rule 8 found: an earlier patch has led the file to it.
KEPT = "linked already"


class Resolution(Value):
    """The outcome for one needed name of one file.

    ``name`` is the needed name as the file has it. ``path`` is the file that
    was chosen, absolute, and None where there is none. ``reason`` is a
    sentence wherever the outcome wants explaining. ``alternatives`` are names that
    would have done as well, as a dlopen note may list them.
    """

    name: str
    outcome: Outcome
    path: str | None = None
    reason: str = ""
    alternatives: tuple[str, ...] = ()

    @property
    def is_lacking(self) -> bool:
        """Whether there is nothing to load, and there should be."""
        return self.outcome in LACKING

    @property
    def is_by_name_alone(self) -> bool:
        """Whether rule 7 found it."""
        return self.reason == OTHER_WHEEL

    @property
    def is_kept(self) -> bool:
        """Whether rule 8 found it."""
        return self.reason == KEPT


class FilePlan(Value):
    """What will be done to one file, and where each of its needs then leads.

    ``skipped`` says why a file is left alone; then there is no edit.
    ``tree`` is the position of its tree in the plan. ``executable`` is whether
    the file is given the right to be executed; ``promised`` whether it would be linked to
    what isn't built yet, which only a dry run has.
    """

    tree: int
    file: TreeFile
    resolutions: tuple[Resolution, ...] = ()
    edit: ElfEdit = ElfEdit()
    skipped: str = ""
    notes: tuple[str, ...] = ()
    executable: bool = False
    promised: bool = False

    @property
    def changes(self) -> bool:
        """Whether anything is to be done to the file."""
        return self.executable or self.promised or bool(self.edit)

    def paths(self, trees: Sequence[TreeFacts]) -> list[str]:
        """Give all absolute paths of the file, its own first; ``trees`` are the plan's."""
        return [f"{trees[self.tree].root}/{name}" for name in self.file.names]


#: Begins the name of a problem that is a file's own: it is for another machine.
FOREIGN = "machine "


class Problem(Value):
    """A needed name that can't be had, with every file that wants it.

    ``wanted_by`` are labels; ``reason`` is empty for a plain absence. Any of
    ``alternatives`` would do in place of ``name``.
    """

    name: str
    wanted_by: tuple[str, ...]
    reason: str = ""
    alternatives: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names any of which would do."""
        return (self.name, *self.alternatives)

    @property
    def is_outside(self) -> bool:
        """Whether only libraries outside of the trees want it: their labels are absolute paths."""
        return bool(self.wanted_by) and all(label.startswith("/") for label in self.wanted_by)

    @property
    def is_foreign(self) -> bool:
        """Whether nothing is needed: the files are for another machine than the target's."""
        return self.name.startswith(FOREIGN)


def limited(problems: Iterable[Problem], is_one: Callable[[str, str], bool]) -> tuple[Problem, ...]:
    """Limit problems to files of which, by label and a name that they want, a question holds."""
    parts = [
        replace(
            each,
            wanted_by=tuple(la for la in each.wanted_by if any(is_one(la, n) for n in each.names)),
        )
        for each in problems
    ]
    return tuple(each for each in parts if each.wanted_by)


def wanting_files(problems: Iterable[Problem]) -> set[str]:
    """Give the labels of all files that want something of what can't be had."""
    return {label for each in problems for label in each.wanted_by}


class Plan(Value):
    """Every decision for one or more trees, made before anything is written.

    ``waived`` is what is missing too, but may be, as ``Options.missing`` says; ``unneeded``
    is of entries that say nothing of these trees, and is raised where nothing else is wrong.
    """

    target: Target
    trees: tuple[TreeFacts, ...]
    files: tuple[FilePlan, ...]
    missing: tuple[Problem, ...] = ()
    incompatible: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    waived: tuple[Problem, ...] = ()
    unneeded: UnneededIgnore | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that it is refused for: what is missing, then what doesn't fit."""
        return (*self.missing, *self.incompatible)

    def by_path(self) -> dict[str, FilePlan]:
        """Give the files by all of their absolute paths."""
        return {path: each for each in self.files for path in each.paths(self.trees)}


class EditRecord(Value):
    """What became of one file: sizes in bytes, and how it was done.

    ``how`` is "in place", "copied" (a copy was edited and renamed into
    place) or "patchelf".
    """

    label: str
    how: str
    size_before: int
    size_after: int
    notes: tuple[str, ...] = ()


class Report(Value):
    """A plan and what came of it. ``edits`` is empty where nothing was to be done.

    ``unedited`` are files that stay as they are because no edit of them could be proved
    safe, which only ``Options.damaged="warn"`` allows; ``warnings`` tell of them too.
    """

    plan: Plan
    edits: tuple[EditRecord, ...] = ()
    unedited: tuple[Damage, ...] = ()
    stale_rows: int = 0
    dropped_rows: int = 0
    references: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class PatchedWheel(Value):
    """A wheel that was written: its path and sha256 (hex; "" if not asked for), and the report."""

    path: str
    sha256: str
    report: Report


class Unresolved(NixManylinuxError):
    """Needed libraries that nothing provides, or that don't fit: nothing was written.

    ``missing`` and ``incompatible`` hold one `Problem` for each needed name,
    each with every file that wants it; ``plan`` is the plan that was refused.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.missing, self.incompatible = plan.missing, plan.incompatible
        parts = [
            f"{len(problems)} {what}: {', '.join(each.name for each in problems)}"
            for what, problems in (("missing", self.missing), ("incompatible", self.incompatible))
            if problems
        ]
        super().__init__("; ".join(parts))


def refuse(plan: Plan, options: Options) -> None:
    """Raise `Unresolved` for a plan that must not be carried out.

    ``missing="warn"`` lets missing libraries and unneeded entries pass, "leaves" libraries that
    only optional plugins want, which are not among ``plan.missing`` then; neither lets
    incompatible ones.
    BadTree for a file whose search path would lead into a directory of ``forbid_rpath``.
    """
    missing = () if options.missing == "warn" else plan.missing
    if missing or plan.incompatible:
        raise Unresolved(plan)
    if plan.unneeded and options.missing != "warn":
        raise plan.unneeded
    forbidden = tuple(f"{folder}/" for folder in options.forbid_rpath)
    for each in plan.files if forbidden else ():
        for folder in planned_facts(each.file.facts, each.edit).search_path:
            if f"{folder}/".startswith(forbidden):
                raise BadTree(
                    f"has the forbidden directory {folder} on its search path",
                    where=each.file.label,
                    hint="whoever may write there could have it load anything",
                )

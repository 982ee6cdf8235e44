"""What to paste to get the libraries that are missing: Nix in a build, options outside of one."""

from __future__ import annotations

import re

from nix_manylinux.base.patterns import exact_glob, exact_globs, exact_pattern
from nix_manylinux.base.values import Value, replace
from nix_manylinux.base.words import WIDTH, grouped, listed, on_several_lines, shell, wrap
from nix_manylinux.nix.choices import Choice, choice_text, find_choices, in_place_text
from nix_manylinux.nix.packages import Suggestion, explain
from nix_manylinux.nix.stored import StoredPackage, stored_packages
from nix_manylinux.nix.syntax import nix_comments, nix_list, nix_path, nix_string
from nix_manylinux.resolve.plan import Plan, Problem, limited, wanting_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nix_manylinux.nix.adviser import Adviser

#: The hook's variables, and the options that say the same.
OPTIONS = {
    "manylinuxAppendRpaths": "--append-rpath",
    "manylinuxIgnoreMissingDeps": "--ignore-missing",
    "manylinuxProvidedLater": "--provided-later",
    "manylinuxAllowForeign": "--allow-foreign",
    "manylinuxRuntimeLibs": "--runtime-libs",
    "manylinuxDriverLibs": "--driver-lib",
    "manylinuxExclude": "--exclude",
}


class Block(Value):
    """What is to be added for what is missing; its text is what to paste.

    ``nix`` are lines of an expression. Outside of a build there are ``packages`` and ``options``
    in place of it, words of the command: those that have Nix build packages and name their folders
    of libraries, and all others. What has a NUL for a space stays on one line. ``comments``
    are lines, of ``width`` columns at most as all others.
    """

    nix: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    width: int = WIDTH

    @property
    def lines(self) -> list[str]:
        """What is to be typed: no comments."""
        return [*self.nix, *self._wrapped((*self.packages, *self.options))]

    @property
    def option_lines(self) -> list[str]:
        """What is to be typed where Nix has been told of the packages in another way."""
        return [*self.nix, *self._wrapped(self.options)]

    def _wrapped(self, words: Sequence[str]) -> list[str]:
        lines = wrap(" ".join(words), self.width - 4)  # " \\" follows, and two for who indents it
        return on_several_lines([line.replace("\0", " ") for line in lines if line])

    def __str__(self) -> str:
        return "\n".join([*self.lines, *self.comments])


def plan_block(
    plan: Plan,
    adviser: Adviser,
    *,
    in_build: bool,
    named: bool = False,
    runtime: Sequence[str] = (),
    width: int = WIDTH,
) -> Block:
    """Give what to paste for all that stands in a plan's way; see `paste_block`.

    Behind ``buildInputs`` stands what its names are.
    """
    labels = wanting_files(plan.problems)
    block = paste_block(
        plan.missing,
        adviser,
        in_build=in_build,
        unfit=plan.incompatible,
        stored=stored_packages(plan, labels),
        named=named,
        runtime=runtime,
        width=width,
    )
    if any(line.startswith("buildInputs = [") for line in block.nix):
        return replace(block, comments=(*block.comments, *scope(width)))
    return block


def scope(width: int) -> list[str]:
    """Say in comments what the names in ``buildInputs`` are, and how else they are written."""
    said = (
        "Where the expression has only pkgs: pkgs.manylinuxFixupHook; buildInputs = with pkgs;"
        " [ ... ];"
    )
    return nix_comments(said, width=width)


def paste_block(
    problems: Sequence[Problem],
    adviser: Adviser,
    *,
    in_build: bool,
    unfit: Sequence[Problem] = (),
    stored: Sequence[StoredPackage] = (),
    named: bool = False,
    runtime: Sequence[str] = (),
    width: int = WIDTH,
) -> Block:
    """Give what to paste for libraries that are missing; its text is empty where nothing is.

    In a build: ``buildInputs`` with every attribute that provides one of
    them, and ``manylinuxIgnoreMissingDeps`` for what nobody provides, each
    entry for the files that want it and no others. Outside
    of one: the same as options of the command. What is to be minded follows
    as comments, of ``width`` columns. ``unfit`` is what is there and doesn't fit: files for
    other machines can be allowed, the rest gets a word of advice. What only libraries
    outside of the trees want, whose search paths are not ours to change, no option adds;
    nor what files of ``stored`` packages want, which a patch leaves alone: each is mended where
    it is built. With ``named`` everybody has read already who has which library. ``runtime``
    are sonames that are to be loaded by dlopen; those of the graphics driver have no package.
    """
    by_wheels = "dependencies" if in_build else "--python-libs SITE_PACKAGES"
    theirs = [
        line
        for package in stored
        for line in _mended(package, problems, unfit, adviser, in_build=in_build, width=width)
    ]
    others = {label for package in stored for label in package.labels}
    outside = [each for each in problems if each.is_outside]
    inside = [each for each in problems if each not in outside]
    problems = limited(inside, lambda label, _: label not in others)
    unfit = limited(unfit, lambda label, _: label not in others)
    problems, choices = without_choices(problems, adviser)
    suggestions = [adviser.advise(*problem.names) for problem in problems]
    pairs = list(zip(problems, suggestions, strict=True))
    loaded = map(adviser.advise, runtime)
    found = _by_attribute(each for each in (*suggestions, *loaded) if each.is_sure)
    nobody = [pair for pair in pairs if pair[1].is_nowhere]
    foreign = [each for each in unfit if each.is_foreign]
    lists = {
        "manylinuxProvidedLater": {each.soname for each in suggestions if each.later},
        "manylinuxIgnoreMissingDeps": {exact_pattern(p.name, p.wanted_by) for p, _ in nobody},
        "manylinuxAllowForeign": {glob for p in foreign for glob in exact_globs(p.wanted_by)},
        "manylinuxExclude": {exact_glob(file) for choice in choices for file in choice.left},
        "manylinuxRuntimeLibs": {*runtime},
    }
    comments = [*choice_text(choices, "Taken"), *in_place_text(choices)]
    old = [
        f"{nix_path(each.old_attribute)} for {nix_path(each.attribute)}"
        for each in found
        if each.old_attribute
    ]
    if old and not named:
        comments.append(f"in older nixpkgs: {', '.join(old)}")
    wheels = [each for each in suggestions if each.kind == "wheel"]
    minded = [each for each in found if each.doubtful or not named]
    comments += grouped((each.soname, note) for each in minded for note in each.notes)
    if not named:
        comments += grouped((each.soname, explain(each)) for each in wheels)
    if any(not each.later for each in wheels):
        comments.append(f"Wheels are given by {by_wheels}.")
    if not named:
        comments += grouped((problem.name, explain(each)) for problem, each in nobody)
    plugins = [p.name for p, _ in nobody if p.wanted_by and all(map(is_plugin, p.wanted_by))]
    if plugins:  # which are done without most easily
        comments.append(f"wanted only by plugins: {listed(plugins)}")
    if nobody:
        later = "manylinuxProvidedLater" if in_build else "--provided-later SONAME"
        comments.append(
            "Ignore only what you will not use. Where another wheel brings the library, add that"
            f" wheel ({by_wheels}), or where that one needs this one, name the library in {later}."
        )
    if outside:
        ignore = "manylinuxIgnoreMissingDeps" if in_build else "--ignore-missing SONAME"
        comments.append(
            f"wanted only outside of the tree: {', '.join(p.name for p in outside)}."
            " Libraries there have search paths of their own, which no option changes. Take them"
            " from a Nix store, where they know what they need; or, where the loader finds these"
            f" by itself, {ignore}."
        )
    if foreign:
        comments.append(
            "Files for another machine are left as they are. To link them, name a target of"
            " their machine (--dynamic-linker)."
        )
    if len(foreign) < len(unfit):
        exclude = "manylinuxExclude" if in_build else "--exclude GLOB"
        comments.append(
            "What lacks a version is too old: take a newer nixpkgs, or an older wheel. Files"
            f" that you will not use can be left alone ({exclude})."
        )
    said = [line for text in dict.fromkeys(comments) for line in nix_comments(text, width=width)]
    block = _written(found, lists, in_build=in_build, width=width)
    return replace(block, comments=(*said, *theirs))


def without_choices(
    problems: Sequence[Problem], adviser: Adviser
) -> tuple[list[Problem], tuple[Choice, ...]]:
    """Find the files that are alternatives, and drop what only those want that are not taken."""
    wanted: dict[str, list[str]] = {}
    for problem in problems:
        for label in problem.wanted_by:
            wanted.setdefault(label, []).append(problem.name)
    choices = find_choices(wanted, adviser.advise, prefer=adviser.cuda)
    left = {file for choice in choices for file in choice.left}
    return [*limited(problems, lambda label, _: label not in left)], choices


def _mended(
    package: StoredPackage,
    problems: Sequence[Problem],
    unfit: Sequence[Problem],
    adviser: Adviser,
    *,
    in_build: bool,
    width: int,
) -> list[str]:
    """Say, in comments, what to write in the expression of a package that is built already."""
    # What has a reason is there, and only linking leads to it.
    theirs = limited(problems, lambda label, _: label in package.labels)
    lacking = [each for each in theirs if not each.reason]
    block = paste_block(
        lacking,
        adviser,
        in_build=True,
        unfit=limited(unfit, lambda label, _: label in package.labels),
        named=True,
        width=width - 2,
    )
    text = str(block)
    said = package.sentence if text else f"{package.sentence.rstrip(':')}."
    lines = nix_comments(said, width=width)
    lines += [f"#   {line.removeprefix('# ')}" for line in text.splitlines()]
    if package.linked:
        lines += nix_comments("Or, of files that you will not use:", width=width)
        lines.append(f"#   {_excluded(package.labels, in_build=in_build)}")
    return lines


#: So many files are named one by one.
_FEW = 4


def _excluded(labels: Sequence[str], *, in_build: bool) -> str:
    # A folder's glob leaves out what is whole, too: it stands for many files only.
    globs = [*map(exact_glob, labels)] if len(labels) <= _FEW else exact_globs(labels)
    if in_build:
        return f"manylinuxExclude = {nix_list(map(nix_string, globs), width=10_000)};"
    return " ".join(f"--exclude {shell(glob)}" for glob in globs)


def packages_block(found: Iterable[Suggestion], *, in_build: bool, width: int = WIDTH) -> list[str]:
    """Write what to paste for the packages of suggestions that are sure, and nothing else."""
    sure = _by_attribute(each for each in found if each.is_sure)
    return _written(sure, {}, in_build=in_build, width=width).lines


def library_path(found: Iterable[Suggestion], *, width: int = WIDTH) -> list[str]:
    """Write how a program is started for which packages are on LD_LIBRARY_PATH."""
    attributes = (f"-A\0{shell(nix_path(each.installable))}" for each in _by_attribute(found))
    begin = "LD_LIBRARY_PATH=\"$(nix-build\0'<nixpkgs>'\0--no-out-link"
    end = ("|\0sed\0's:$:/lib:'", '|\0paste\0-sd\0:)"', "python\0...")
    return Block(packages=(begin, *attributes, *end), width=width).lines


def _written(
    found: Sequence[Suggestion],
    more: Mapping[str, Iterable[str]],
    *,
    in_build: bool,
    width: int,
) -> Block:
    """Write packages, and sets by the name of the hook's variable, as Nix or as options."""
    if in_build:
        lists = {"buildInputs": [nix_path(each.attribute) for each in found]}
        lists |= {name: [*map(nix_string, sorted(texts))] for name, texts in more.items()}
        nix = [
            line
            for name, items in lists.items()
            if items
            for line in f"{name} = {nix_list(items, used=len(name) + len(' = ;'))};".split("\n")
        ]
        return Block(nix=tuple(nix), width=width)
    options = [
        f"{OPTIONS[name]}\0{shell(text)}" for name, texts in more.items() for text in sorted(texts)
    ]
    # One call for all: nix-build prints the path of each.
    attributes = [f"-A\0{shell(nix_path(each.installable))}" for each in found]
    begin, end = "$(nix-build\0'<nixpkgs>'\0--no-out-link", "|\0sed\0's:.*:--libs=&/lib:')"
    packages = (begin, *attributes, end) if attributes else ()
    return Block(packages=packages, options=tuple(options), width=width)


def _by_attribute(found: Iterable[Suggestion]) -> list[Suggestion]:
    """Keep one suggestion for each attribute, sorted by it."""
    attributes: dict[str, Suggestion] = {}
    for each in sorted(found, key=lambda each: (each.attribute.lower(), each.soname)):
        attributes.setdefault(each.attribute, each)
    return list(attributes.values())


def is_plugin(label: str) -> bool:
    """Whether a file lies where frameworks keep what they load only if it works."""
    pattern = r"(?:^|/)[^/]*(?:plugins?|drivers?|providers?)/"
    return re.search(pattern, label, re.IGNORECASE) is not None

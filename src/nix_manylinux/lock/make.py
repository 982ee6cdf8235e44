"""From a lock file to the text that Nix reads: read, choose, fetch, look into, write."""

from __future__ import annotations

import contextlib
import os
from functools import lru_cache

from packaging.requirements import InvalidRequirement, Requirement

from nix_manylinux.base.errors import BadWheel
from nix_manylinux.base.progress import Progress, with_progress
from nix_manylinux.base.values import Value, field, replace
from nix_manylinux.base.words import count, some
from nix_manylinux.lock.beside import files_at_hand
from nix_manylinux.lock.choose import Chosen, Selection, best_wheel, choose, supported_tags
from nix_manylinux.lock.fetch import Fetched, fetch_wheels
from nix_manylinux.lock.model import BadLock, Lock
from nix_manylinux.lock.needs import find_needs
from nix_manylinux.lock.read import read_lock
from nix_manylinux.lock.text import key_of, lock_json
from nix_manylinux.lock.wheelless import about_wheelless
from nix_manylinux.nix.expression.dependencies import applies
from nix_manylinux.nix.expression.wheel import DescribedWheel, describe_wheel
from nix_manylinux.nix.origin import KEPT_BACK
from nix_manylinux.wheel.metadata import normalise_name
from nix_manylinux.wheel.name import without_variant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from nix_manylinux.target.place import Place


@lru_cache(maxsize=1 << 10)
def described(path: str) -> DescribedWheel:
    """Describe a wheel once, which may be one of several environments': its place has its digest.

    Of one without code of its own the Python files are read, too: it may live on other
    people's libraries (weasyprint, python-magic).
    """
    return describe_wheel(path, look_for_loads=path.endswith("-none-any.whl"))


class MadeLock(Value):
    """The JSON's values, and sentences about what an environment lacks.

    ``projects`` are the lock's. ``left`` says what else could be asked for. ``loads`` are the
    libraries that wheels may load at run time, by the wheels' names, ``opens`` those by ctypes.
    """

    value: dict[str, Any]
    warnings: tuple[str, ...]
    projects: tuple[str, ...]
    left: str = ""
    loads: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    opens: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


def make_lock(
    path: str,
    places: Sequence[Place],
    *,
    extras: Sequence[str] = (),
    groups: Sequence[str] = (),
    packages: Sequence[str] = (),
    all_packages: bool = False,
    beside: str | None = None,
    inspect: bool = True,
    cache: str,
    environment: Mapping[str, str],
    progress: Progress | None = None,
) -> MadeLock:
    """Lock the environments of ``places``, with the project's ``extras`` and ``groups``.

    ``packages`` are members of a workspace; ``beside`` is the folder that the JSON will be in,
    if it isn't the lock's: files that lie with the project have their paths from there.

    With ``inspect`` the wheels are fetched into ``cache`` and looked into: what they
    require of each other is then what their METADATA says, whatever kind of lock it is.
    Raises BadLock.
    """
    lock = read_lock(
        path, extras=extras, groups=groups, packages=packages, all_packages=all_packages
    )
    folder = os.path.dirname(path)
    if lock.nameless and not inspect:
        raise BadLock(
            "names no files: which wheels it means is known when they are fetched",
            where=path,
            hint="leave --no-inspect out, or lock into pylock.toml: uv export --format pylock.toml",
        )
    choices, needs = [], {}
    loads: dict[str, tuple[str, ...]] = {}
    opens: dict[str, tuple[str, ...]] = {}
    warnings: list[str] = []
    if left := sorted({*lock.default_groups} - {*groups} if groups else ()):
        also = " ".join(f"--group {name}" for name in left)
        warnings.append(
            f"the default groups of {lock.kind} are not in it; to have them, too: {also}"
        )
    for place in places:
        choice = choose(lock, place, extras=extras, groups=groups)
        choice, at_hand = files_at_hand(choice, folder, folder if beside is None else beside)
        if inspect:
            wheels, choice, unread = _inspect(lock, choice, at_hand, cache, environment, progress)
            warnings += unread
            edges = {name: chosen.dependencies for name, chosen in choice.packages.items()}
            found = find_needs(wheels, edges)
            loads |= {name: each.loads for name, each in found.items() if each.loads}
            opens |= {name: each.opens for name, each in found.items() if each.opens}
            needs[key_of(choice)] = found
        choices.append(choice)
        warnings += _warnings(lock, choice)
    wanted: dict[str, Sequence[str] | bool]
    wanted = {"extras": extras, "groups": groups, "packages": packages, "allPackages": all_packages}
    return MadeLock(
        value=lock_json(lock, choices, needs, wanted),
        warnings=tuple(dict.fromkeys(warnings)),
        projects=tuple(dict.fromkeys(name for each in choices for name in each.projects)),
        left=_left(lock, choices),
        loads=loads,
        opens=opens,
    )


def cache_folder(environment: Mapping[str, str]) -> str:
    """Give the folder that wheels are kept in (XDG Base Directory Specification)."""
    base = environment.get("XDG_CACHE_HOME") or os.path.join(
        environment.get("HOME") or os.path.expanduser("~"), ".cache"
    )
    return os.path.join(base, "nix-manylinux", "wheels")


def _left(lock: Lock, choices: Sequence[Selection]) -> str:
    """Say what of a project is not in any of its environments, by the options that add it."""
    taken = {name for each in choices for name in each.members}
    parts = [
        f"--{option} {some(names, 8)}"
        for option, all_names in lock.left.items()
        if (names := [name for name in all_names if name not in taken])
    ]
    return f"in {lock.kind}, but not asked for: {'; '.join(parts)}" if parts else ""


def _inspect(  # noqa: PLR0917 - passed on
    lock: Lock,
    choice: Selection,
    at_hand: Mapping[str, Fetched],
    cache: str,
    environment: Mapping[str, str],
    progress: Progress | None,
) -> tuple[dict[str, DescribedWheel], Selection, list[str]]:
    """Fetch and read all wheels of an environment; the choice with what they tell.

    A wheel that is not sound is passed by with a sentence: what is wrong with one tells
    nothing of the others.
    """
    nameless = dict(lock.nameless)
    wanted = []
    for name, chosen in choice.packages.items():
        own = (chosen.wheel.sha256,) if chosen.wheel and name not in at_hand else ()
        if digests := nameless.get((name, chosen.package.version)) or own:
            wanted.append((chosen.package, digests))
    passed_by: list[str] = []
    files = fetch_wheels(
        wanted,
        choice.place,
        cache=cache,
        environment=environment,
        progress=progress,
        passed_by=passed_by,
    )
    files |= at_hand
    order = {tag: rank for rank, tag in enumerate(supported_tags(choice.place))}
    wheels, packages = {}, dict(choice.packages)
    unread = _about_origins(files, packages)
    if passed_by:
        unread.append(
            f"{', '.join(sorted(passed_by))}: its index has a wheel that is none of the files that"
            f" {lock.kind} has by their sha256; it is passed by"
        )
    for name, (file, path, _) in with_progress(sorted(files.items()), progress, "reading"):
        chosen = packages[name]
        if chosen.wheel is None:
            chosen = replace(chosen, wheel=best_wheel([file], order))
        elif not chosen.wheel.url:
            chosen = replace(chosen, wheel=replace(chosen.wheel, url=file.url))
        packages[name] = chosen
        try:
            wheels[name] = described(path)
        except BadWheel as error:
            where = error.where.replace(f"{os.path.dirname(path)}/", "")
            unread.append(
                f"{where} {error.what}: what it wants is not known, and no build takes it;"
                f" {error.hint}"
            )
            continue
        packages[name] = replace(
            chosen, dependencies=_required(wheels[name], choice, chosen.dependencies)
        )
    return wheels, replace(choice, packages=packages), unread


def _about_origins(files: Mapping[str, Fetched], packages: Mapping[str, Chosen]) -> list[str]:
    """Say which files Nix may not get from where the lock will say that they are."""

    def names(which: Callable[[Fetched], object]) -> str:
        found = []
        for name, each in sorted(files.items()):
            wheel = packages[name].wheel
            if which(each) and not (wheel and wheel.url):
                found.append(f"{name} {packages[name].package.version}")
        return ", ".join(found)

    sentences = []
    if guarded := names(lambda each: each.origin.kept_back):
        sentences.append(
            f"{guarded}: {KEPT_BACK}; where Nix can't fetch without, `fetch` of"
            " manylinuxLockedPackages says how (docs/locks.md)"
        )
    if beside := names(lambda each: each.origin.path):
        sentences.append(
            f"{beside}: from a folder, not from an index; where the default index has no such"
            " file, `fetch` of manylinuxLockedPackages says how to get it (docs/locks.md)"
        )
    return sentences


def _required(wheel: DescribedWheel, choice: Selection, locked: Sequence[str]) -> tuple[str, ...]:
    """Give what a wheel requires of the environment: its METADATA's word, and the lock's.

    Requirements for extras are the lock's: only it knows which were asked for.
    """
    found = set(locked)
    for text in wheel.headers.get("requires-dist", ()):
        with contextlib.suppress(InvalidRequirement):  # pip installs wheels that have such lines
            requirement = Requirement(text)
            if applies(requirement, choice.place):
                found.add(normalise_name(requirement.name))
    return tuple(sorted(found & choice.packages.keys() - {normalise_name(wheel.name.name)}))


def _warnings(lock: Lock, choice: Selection) -> list[str]:
    warnings = []
    for name, chosen in choice.packages.items():
        variants = [each.name for each in chosen.package.wheels if without_variant(each.name)[1]]
        if variants:
            # Which one fits is decided by what its label stands for, and by the machine that it
            # is installed on (PEP 825): no lock of names knows that.
            wheels = count(len(variants), "wheel")
            of = "a variant" if len(variants) == 1 else "variants"
            what = f"{wheels} of {of} (PEP 825) passed by: {some(variants, 3)}"
            warnings.append(f"{name} {chosen.package.version}: {what}")
    if not choice.packages:
        warnings.append(f"{choice.place}: nothing of the lock is wanted there")
    return [*warnings, *about_wheelless(lock, choice)]

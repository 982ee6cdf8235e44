"""What is missing, for people: the most wanted first, with who has it, or had it, and wants it."""

from __future__ import annotations

import os
from contextlib import suppress

from nix_manylinux.base.errors import BadOption
from nix_manylinux.base.words import count, listed, some, wrap
from nix_manylinux.nix.packages import explain
from nix_manylinux.resolve.plan import wanting_files
from nix_manylinux.target.policy import parse_floor, policy_for
from nix_manylinux.tree.libraries import recorded
from nix_manylinux.wheel.name import parse_wheel_name, platforms_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from nix_manylinux.nix.adviser import Adviser
    from nix_manylinux.resolve.plan import Problem
    from nix_manylinux.tree.facts import TreeFacts

#: So many rows still come with the names of files; of more, files are counted.
_FEW_ROWS = 12
#: So many libraries of one provider are named where a screen has to do.
_FEW_NAMES = 6
#: Ends the reason of what is there: nobody has to provide it.
UNLED = "where nothing leads yet"


def headline(problems: Sequence[Problem]) -> str:
    """Say how much is missing: "11 libraries missing, wanted by 12 files"; one file is named."""
    files = wanting_files(problems)
    names = count(len(problems), "library", "libraries")
    who = brief(next(iter(files))) if len(files) == 1 else count(len(files), "file")
    return f"{names} missing, wanted by {who}"


def brief(label: str) -> str:
    """Shorten a file's label for a line that has to fit: by what leads to site-packages."""
    return label.rpartition("/site-packages/")[2]


def missing_text(
    problems: Iterable[Problem],
    adviser: Adviser,
    *,
    everything: bool,
    shorten: bool,
    width: int,
) -> list[str]:
    """Give one row for each provider: its libraries, and who wants them, most wanted first.

    ``shorten`` is for those who only look: no more than a screen, unless it is to be everything.
    """
    rows: dict[str, list[Problem]] = {}
    for problem in problems:
        rows.setdefault(_who(problem, adviser), []).append(problem)
    # One file stands in the headline.
    wanting = len(wanting_files(each for row in rows.values() for each in row)) > 1
    return rows_text(rows, everything=everything, shorten=shorten, wanting=wanting, width=width)


def rows_text(
    rows: Mapping[str, Sequence[Problem]],
    *,
    everything: bool,
    shorten: bool = False,
    wanting: bool = True,
    width: int,
) -> list[str]:
    """Give a row for each sentence, behind the libraries that it is about; see `missing_text`."""

    def files(members: Sequence[Problem]) -> list[str]:
        labels = sorted(wanting_files(members))
        # Libraries of one row may want each other; who else wants them says more.
        names = {name for each in members for name in each.names}
        others = [label for label in labels if label.rpartition("/")[2] not in names]
        return others or labels

    ordered = sorted(rows.items(), key=lambda row: (-len(files(row[1])), row[0]))
    lines = []
    many = len(ordered) > _FEW_ROWS
    shown = ordered[: _FEW_ROWS if shorten and not everything else None]
    for who, problems in shown:
        members = sorted(problems, key=lambda each: (-len(each.wanted_by), each.name))
        if everything:
            lines += [line for each in members for line in _in_full(each, who, width)]
            continue
        named = [" or ".join(each.names) for each in members]
        names = some(named, _FEW_NAMES, everything=not shorten)
        labels = files(members)
        counted = f" ({count(len(labels), 'file')})" if many else ""
        lines += wrap(f"{names}: {who}{counted}", width, rest="    ")
        if not many and labels and wanting:
            lines.append(f"    wanted by {some([*map(brief, labels)], 1)}")
    rest = sum(len(members) for _, members in ordered[len(shown) :])
    if rest:
        lines.append(f"and {count(rest, 'library', 'libraries')} more, each wanted by fewer (-v)")
    return lines


def left_to_system(wheel: str, problems: Sequence[Problem]) -> str:
    """Say which of the missing a wheel's own policy leaves to the system; "" for none.

    Where such a system is, nothing is wrong with the wheel; Nix is none.
    """
    policy, names = left_by_policy(wheel, problems)
    if not names:
        return ""
    whose = f"the policy {policy} leaves {listed(names)} to the system"
    return f"{whose}: other systems have what a policy names, Nix brings none of it"


def left_by_policy(wheel: str, problems: Sequence[Problem]) -> tuple[str, list[str]]:
    """Name the policy of a wheel's tags that leaves some of the missing to the system, and those.

    "" and none where none does.
    """
    for floor in filter(parse_floor, platforms_of(parse_wheel_name(wheel).tags)):
        with suppress(BadOption):  # for what no policy is known
            policy = policy_for(floor)
            names = [each.name for each in problems if each.name in policy.sonames]
            if names:
                return policy.name, names
    return "", []


def _in_full(problem: Problem, who: str, width: int) -> list[str]:
    """Name all that want a library, those of one folder together."""
    lines = wrap(f"{' or '.join(problem.names)}: {who}", width, rest="    ")
    if len(problem.wanted_by) == 1:
        return [*lines, f"    wanted by {problem.wanted_by[0]}"]
    folders: dict[str, list[str]] = {}
    for label in problem.wanted_by:
        folder, _, name = label.rpartition("/")
        folders.setdefault(folder, []).append(name)
    lines.append(f"    wanted by {count(len(problem.wanted_by), 'file')}:")
    for folder, names in folders.items():
        place = f"{folder}/: " if folder else ""
        lines += wrap(f"{place}{', '.join(names)}", width, first="      ", rest="          ")
    return lines


def _who(problem: Problem, adviser: Adviser) -> str:
    """Say who has a library, or why it can't be had, or where it is already."""
    if problem.reason.endswith(UNLED) or ("/" in problem.name and problem.reason):
        return problem.reason  # it is there
    said = explain(adviser.advise(*problem.names))
    if problem.is_outside:  # no package helps it
        return problem.reason or said
    return f"{said}{f' ({problem.reason})' if problem.reason else ''}"


def lost_files(trees: Sequence[TreeFacts], names: Collection[str]) -> dict[str, str]:
    """Give those file names that a RECORD lists and its tree lacks, with their distributions."""
    found = {}
    for tree in trees:
        for dist in tree.distributions:
            folder = os.path.join(tree.root, dist.folder)
            for path in recorded(folder):
                name = path.rpartition("/")[2]
                if name in names and not os.path.lexists(os.path.join(folder, "..", path)):
                    found[name] = dist.name
    return found

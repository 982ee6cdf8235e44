"""Scripts of trees that what their first line names can't start, and what mends them."""

from __future__ import annotations

import os
import re

from nix_manylinux.base.store import in_store, nix_store
from nix_manylinux.base.words import shell, some
from nix_manylinux.tree.python import FIRST_BYTES, is_strange_to_nix
from nix_manylinux.tree.roots import find_pyvenv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nix_manylinux.resolve.plan import Options
    from nix_manylinux.target.target import Target
    from nix_manylinux.tree.facts import TreeFacts

#: Paths that a shell and sed take as they are.
_PLAIN = r"[\w./@+=-]+"

#: So many scripts are named before the rest is counted.
_FEW = 2


def script_warnings(
    trees: Sequence[TreeFacts], target: Target, options: Options, *, moved_only: bool = False
) -> Iterator[str]:
    """Warn of scripts whose interpreter isn't there, or not where Nix alone rules.

    Those that share one are told together: a moved environment has dozens. What mends them
    follows, a line to paste. With ``moved_only`` only those are told that can be mended so.
    """
    told: dict[tuple[str, str, str, str], list[str]] = {}
    store = nix_store()
    pure = target.dynamic_linker.startswith(f"{store}/")
    roots = tuple(f"{tree.root}/" for tree in trees)
    python = target.interpreter.executable if target.interpreter else ""
    for tree in trees:
        for label, by in tree.scripts:
            folder, name = os.path.split(by)
            own = by.startswith(roots) or f"{os.path.realpath(folder)}/{name}".startswith(roots)
            if own or by == python or options.excludes(label):
                continue
            if not os.path.exists(by):
                said = ("can't be started", by, ", which is not there")
            elif not pure or not is_strange_to_nix(by, store):
                continue
            elif find_pyvenv(os.path.dirname(folder)):
                said = ("started by another environment's Python", by, "")
            else:
                said = ("can't be started", by, ", which Nix does not provide")
            mended = ""
            if not in_store(tree.root):  # where nothing is ever changed
                mended = _mended(tree.root, by) or _led(tree.root, by, target)
                mended = mended or _by_env(tree.root, by)
            if mended or not moved_only:
                told.setdefault((*said, mended), []).append(label)
    for (what, by, why, mended), labels in told.items():
        are, begin = ("is", "it begins") if len(labels) == 1 else ("are", "they begin")
        state = what if what.startswith("can't") else f"{are} {what}"
        text = f"{some(labels, _FEW)} {state}: {begin} with #!{by}{why}"
        yield f"{text}.{mended}" if mended else text


def _mended(root: str, by: str) -> str:
    """Say what leads a moved environment's scripts back to it; "" where nothing would."""
    folder, name = os.path.split(by)
    place, end = os.path.split(folder)
    own = os.path.join(root, "bin", name)
    named = end == "bin" and name.startswith("python")
    # A patch gives it another Python, where it leads to none.
    if not (named and find_pyvenv(root) and os.path.lexists(own)):
        return ""
    plain = all(re.fullmatch(_PLAIN, path) for path in (place, own))
    if not plain or len(f"#!{own}\n") >= FIRST_BYTES // 2:
        python = f"--python {shell(root)}"
        return (
            " The environment was moved or copied to where no first line can lead; to install its"
            " packages anew, before a patch:\n"
            f"  uv pip install {python} --reinstall --no-deps -r <(uv pip freeze {python})"
        )
    # In first lines, and as activate has it, in quotes or without; other paths that begin so stay.
    quotes = r'"\x27'
    expression = rf"s:\([{quotes}!= ]\){place}\([{quotes}]\|$\|/bin/python\):\1{root}\2:"
    command = f"sed -i '{expression}' $(grep -rlI {place} {root}/bin)"
    return f" The environment was moved or copied; to mend it:\n  {command}"


def _by_env(root: str, by: str) -> str:
    """Say how scripts have their shell looked for, where it has no place of its own."""
    if not re.fullmatch(r"(?:/usr)?/bin/(?:ba|da|z)sh", by) or not re.fullmatch(_PLAIN, root):
        return ""
    env = f"/usr/bin/env {os.path.basename(by)}"
    command = f"sed -i '1s:^#!{by}:#!{env}:' $(grep -rlI '^#!{by}' {root})"
    return f" To have it looked for on PATH:\n  {command}"


def _led(root: str, by: str, target: Target) -> str:
    """Say how the commands of ``pip install --target`` are started by the Python that is given."""
    python = target.interpreter.executable if target.interpreter else ""
    plain = all(re.fullmatch(_PLAIN, path) for path in (root, by, python))
    if not plain or not os.path.basename(by).startswith("python") or find_pyvenv(root):
        return ""
    command = f"sed -i '1s:^#!{by}$:#!{python}:' $(grep -rlI '^#!{by}$' {root}/bin)"
    return f" To have {python} start them:\n  {command}"

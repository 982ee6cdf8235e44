"""What came of a repair, as text for people and as JSON for programs."""

from __future__ import annotations

from nix_manylinux.base.values import as_json
from nix_manylinux.base.words import count, listed, some
from nix_manylinux.repair.model import KINDS, Finding, NotPortable, RepairedWheel
from nix_manylinux.report.summary import error_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from nix_manylinux.base.errors import NixManylinuxError

#: Version of the JSON's shape, raised whenever a reader could break.
SCHEMA = 1
#: So many files are named for one thing before the rest is only counted.
_FEW = 3
#: What the findings of a kind are called, see `KINDS`.
TITLES = {
    "missing": "these libraries are missing",
    "misfit": "these libraries don't fit each other",
    "version": "these symbol versions are too new",
    "symbol": "these symbols are private",
    "isa": "these files need more than the baseline's instructions",
    "stack": "these files want an executable stack",
    "store path": "these files name paths of the Nix store",
    "debug path": "debug sections name paths of the Nix store",
    "machine": "these files are for other machines",
    "place": "these files can't find what would come along",
}


def repaired_text(done: RepairedWheel, *, verb: str, everything: bool) -> list[str]:
    """Say in a few lines what a repair did; ``verb`` is "wrote" or "would write"."""
    if done.pure:
        return ["no native code: it runs anywhere as it is", f"{verb} {done.path}"]
    size = sum(graft.size for graft in done.grafts)
    lines = [f"runs on {listed(done.platforms)}"]
    for number, each in enumerate(done.obstacles if everything else done.obstacles[:1]):
        more = 0 if everything else len(done.obstacles) - 1
        rest = f", and {more} more (-v)" if more else ""
        begin = " " if number else "no older policy:"
        lines.append(
            f"{begin} {each.what}, in {some(each.where, _FEW, everything=everything)}{rest}"
        )
    if done.promised:
        lines.append(f"left to the system, which has it by the policy: {listed(done.promised)}")
    if done.grafts:
        along = count(len(done.grafts), "library comes", "libraries come")
        lines.append(f"{along} along ({size / 1e6:.1f} MB):")
        lines += [f"  {g.member.rpartition('/')[2]} of {g.package}" for g in done.grafts]
        lines.append("the wheel carries their code: look at what their licences ask for")
    lines += [
        f"Excluding {name}: it is left to the system that the wheel is installed on"
        for name in done.left
    ]
    lines.append(f"{verb} {done.path}")
    return lines


def loads_text(done: RepairedWheel, *, everything: bool) -> list[str]:
    """Name what may be loaded at run time, where the wheel has it not."""
    lines = []
    titles = {
        False: "may be loaded at run time, and does not come along (--graft SONAME takes it):",
        True: "may be opened from Python, which looks on the system, or where its source says:",
    }
    for by_python, title in titles.items():
        loads = [each for each in done.loads if (each[0] in done.by_python) == by_python]
        lines += [title] if loads else []
        for name, labels in loads if everything else loads[:_FEW]:
            lines.append(f"  {name}, named in {some(labels, _FEW, everything=everything)}")
        more = 0 if everything else len(loads) - _FEW
        lines += [f"  and {more} more (-v names them)"] if more > 0 else []
    return lines


def findings_text(error: NotPortable, having: Mapping[str, str], *, everything: bool) -> list[str]:
    """Give one block for each kind of thing that forbids a repair: what, where, what to do.

    ``having`` says of sonames who has them.
    """
    lines = []
    for kind, hint in KINDS.items():
        found = [finding for finding in error.findings if finding.kind == kind]
        if not found:
            continue
        lines.append(f"{TITLES[kind]}; nothing was written:")
        for finding in found:
            who = having.get(finding.soname)
            lines.append(f"  {finding.what}{f': {who}' if who else ''}")
            if finding.where:
                lines.append(f"      in {some(finding.where, _FEW, everything=everything)}")
        if kind == "version" and error.fitting:
            lines.append(f"  --policy {error.fitting} would do")
        lines.append(f"  {hint}")
    return lines


def _findings_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    return [as_json(each, "kind", "what", "where") for each in findings]


def repaired_json(
    done: RepairedWheel | None = None, error: NixManylinuxError | None = None
) -> dict[str, Any]:
    """Return the report of one repair as JSON values; its shape is `data/repair.schema.json`."""
    return {
        "schema": SCHEMA,
        "command": "repair",
        "status": "refused" if error else "done",
        "error": error_json(error),
        "findings": _findings_json(getattr(error, "findings", ())),
        "fitting": getattr(error, "fitting", "") or None,
        "wheel": {"path": done.path, "sha256": done.sha256 or None} if done else None,
        "platforms": list(done.platforms) if done else [],
        "grafts": [
            as_json(each, "member", "source", "soname", "size", "sha256", "wanted_by", "package")
            for each in (done.grafts if done else ())
        ],
        "edited": list(done.edited) if done else [],
        "promised": list(done.promised) if done else [],
        "left": list(done.left) if done else [],
        "obstacles": _findings_json(done.obstacles if done else ()),
        "runtime_loads": [
            {"name": name, "named_in": list(labels)}
            for name, labels in (done.loads if done else ())
        ],
        "warnings": list(done.warnings) if done else [],
    }

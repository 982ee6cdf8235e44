"""What holds for every test: on CI nothing is left out in silence.

A skipped test is a test that did not look. With ``CI=true`` a skip is a
failure that says so. A test that needs something nobody can install (a whole
nixpkgs tree, say) is marked ``asked_for("VARIABLE")`` instead: without the
variable it is deselected, and the last lines of the run name it.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.support.elf import ElfBuilder

_ABSENT = pytest.StashKey[dict[str, int]]()


def _on_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true"}


def _reason(longrepr: object) -> str:
    if isinstance(longrepr, tuple) and len(longrepr) == 3:
        return str(longrepr[2])
    return str(longrepr)


# How long an example takes is no promise of ours: a busy machine is slow.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure() -> None:
    """Take signals as a user's shell hands them on: nohup and CI may have ignored some."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            interrupt = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if interrupt else signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure on CI; an expected failure (xfail) stays what it is."""
    del item, call
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _on_ci():
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI takes for a failure: {_reason(report.longrepr)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for a module that skips itself while it is imported."""
    del collector
    report = yield
    if report.outcome == "skipped" and _on_ci():
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI takes for a failure: {_reason(report.longrepr)}"
    return report


def _builds_cp311() -> bool:
    """Whether the interpreter that becomes the rings' python3 takes the list's cp311 wheels."""
    from tests.support.rings import python, ring  # here: a test runs a copy of this file alone

    return ring() == "two" or python()[1].startswith("3.11.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is marked ``asked_for`` and was not asked for, and what this machine can't."""
    absent: dict[str, int] = {}
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        names = [str(mark.args[0]) for mark in item.iter_markers("asked_for")]
        lacks = [f"set {name} to ask for them" for name in names if not os.environ.get(name)]
        if item.get_closest_marker("cp311") and not _builds_cp311():
            lacks.append("they need CPython 3.11 in /usr/bin, or as what runs the tests")
        for reason in lacks:
            absent[reason] = absent.get(reason, 0) + 1
        (left if lacks else kept).append(item)
    config.stash[_ABSENT] = absent
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the counts of an xdist worker to the process that prints the summary."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["absent"] = session.config.stash.get(_ABSENT, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:  # noqa: ANN401 -- xdist's type is not public
    """Take the counts of a worker; all workers collect the same tests."""
    del error
    absent = getattr(node, "workeroutput", {}).get("absent", {})
    node.config.stash.setdefault(_ABSENT, {}).update(absent)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count what was left out, by reason."""
    for reason, count in sorted(terminalreporter.config.stash.get(_ABSENT, {}).items()):
        terminalreporter.write_line(f"{count} not run: {reason}")


@pytest.fixture(scope="session")
def elf_files(tmp_path_factory: pytest.TempPathFactory) -> ElfBuilder:
    """Compiles ELF files to order; what was built once in a run is reused."""
    from tests.support.elf import ElfBuilder  # here: a test runs a copy of this file alone

    return ElfBuilder(tmp_path_factory.mktemp("elf"))


@pytest.fixture(autouse=True)
def _witness(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pyelftools read back what every edit of the writer's own tests wrote."""
    if not request.node.path.match("integration/test_elf_edit*.py"):
        return
    from nix_manylinux.base.errors import BadElf, EditFailed
    from nix_manylinux.elf.edit import edit
    from nix_manylinux.elf.read import read_elf
    from nix_manylinux.elf.witness import contradictions

    def said(path: str) -> list[str]:
        facts = read_elf(path)
        assert facts is not None
        with open(path, "rb") as file:
            return contradictions(file, facts)

    def write(descriptor: int, edited: edit.Edited, changes: list[Any]) -> None:
        try:
            sound = edited.size_after < 64 << 20 and not said(edited.path)
        except (EditFailed, BadElf):
            sound = False  # damaged before: pyelftools and loaders read on in their own ways
        written(descriptor, edited, changes)
        if sound:
            assert said(edited.path) == []

    written = edit._write  # noqa: SLF001 - the step that is watched
    monkeypatch.setattr(edit, "_write", write)

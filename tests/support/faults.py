"""System calls that change something, each of them a place where a process can end or fail."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Every function of os that this project changes files with.
CHANGING = (
    "chmod",
    "copy_file_range",
    "fchmod",
    "fchown",
    "fsync",
    "ftruncate",
    "link",
    "makedirs",
    "mkdir",
    "open",
    "pwrite",
    "rename",
    "replace",
    "setxattr",
    "symlink",
    "truncate",
    "unlink",
    "utime",
    "write",
)


def count_calls(fault: Callable[[str], None], number: int) -> Callable[[], None]:
    """Call ``fault`` with a function's name at the call of that number; give what undoes that.

    A write at that place is half done: its first half reaches the file.
    """
    real = {name: getattr(os, name) for name in CHANGING}
    calls = iter(range(10**9))

    def wrap(name: str) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever os takes
            if name == "open" and not arguments[1] & os.O_CREAT:
                return real[name](*arguments, **named)
            if next(calls) == number:
                if name in {"write", "pwrite"}:
                    descriptor, data, *rest = arguments
                    real[name](descriptor, data[: len(data) // 2], *rest)
                fault(name)
            return real[name](*arguments, **named)

        return wrapped

    for name in CHANGING:
        setattr(os, name, wrap(name))

    def undo() -> None:
        for name, function in real.items():
            setattr(os, name, function)

    return undo


def killed(work: Callable[[], object], number: int) -> bool:
    """Run ``work`` in a process that is killed at the call of that number; whether it was."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            count_calls(lambda _name: os.kill(os.getpid(), signal.SIGKILL), number)
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the work failed by itself"
    return False

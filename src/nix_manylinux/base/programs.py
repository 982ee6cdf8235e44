"""Other programs, run to their end."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from subprocess import CompletedProcess


def run_program(
    command: Sequence[str], environment: Mapping[str, str], *, timeout: float | None = None
) -> CompletedProcess[bytes]:
    """Run a program that reads nothing, and give its status and what it says.

    Raises OSError where it can't be started, subprocess.TimeoutExpired after ``timeout`` seconds.
    """
    import subprocess  # noqa: PLC0415 - many a run needs no other program

    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=dict(environment),
        timeout=timeout,
        check=False,
    )

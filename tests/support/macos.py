"""The command as it would find things on macOS: without what Linux alone has.

``python -m tests.support.macos PROGRAM ARGUMENT...`` is nix-manylinux without the names that
CPython lacks there, without /proc, and run by an interpreter that is no ELF file: ``PROGRAM``.
"""

from __future__ import annotations

import errno
import os
import signal
import sys

#: What CPython's documentation gives an availability of Linux (and others), not of macOS, for.
ABSENT = {
    os: """
        copy_file_range eventfd fdatasync getrandom getresuid getxattr listxattr memfd_create
        pidfd_open pipe2 posix_fadvise posix_fallocate removexattr sched_getaffinity
        sched_setaffinity setresuid setxattr splice O_DIRECT O_PATH O_TMPFILE
    """,
    signal: "sigtimedwait sigwaitinfo",
}


def _no_proc(event: str, arguments: tuple[object, ...]) -> None:
    path = arguments[0] if arguments and event in {"open", "os.listdir", "os.scandir"} else None
    if isinstance(path, str) and path.startswith("/proc"):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _as_on_macos(program: str) -> None:
    for module, names in ABSENT.items():
        for name in names.split():
            if hasattr(module, name):  # older Pythons have fewer of them
                delattr(module, name)
    stat = os.stat

    def stat_without_proc(
        path: int | str | bytes | os.PathLike[str] | os.PathLike[bytes],
        *,
        dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> os.stat_result:
        if isinstance(path, str) and path.startswith("/proc"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    os.stat = stat_without_proc
    sys.addaudithook(_no_proc)
    sys.platform = "darwin"
    sys.executable = program
    uname = os.uname()
    os.uname = lambda: os.uname_result(("Darwin", *uname[1:4], "arm64"))


def main() -> int:
    """Run the command line behind the program's path; returns its exit status."""
    program, *words = sys.argv[1:]
    _as_on_macos(program)
    from nix_manylinux.cli.main import main as command

    sys.argv = ["nix-manylinux", *words]
    return command()


if __name__ == "__main__":
    raise SystemExit(main())

"""Runs commands where nothing is visible but what was named.

Bubblewrap gives a new root with read-only binds. Where the kernel or a
container forbids that and we are root, a directory of hard links and a chroot
do the same job: nothing of the host can be opened there either. Where neither
is possible there is an `IsolationError`: a test that could lean on the host's
libraries proves nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.support.store import Store


class IsolationError(RuntimeError):
    """Nothing on this machine can hide the host's libraries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """What can be seen inside: pairs of a path outside and its path inside, read-only.

    ``writable`` are directories that are visible under their own names and
    may be written. There is no network, an empty /tmp, a /dev and, under
    bubblewrap, a /proc.
    """

    binds: tuple[tuple[str, str], ...]
    writable: tuple[str, ...] = ()

    def run(
        self,
        command: Iterable[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, with this environment and nothing else in it.

        Raises subprocess.TimeoutExpired; the process tree is gone then.
        """
        variables = {"PATH": "/nonexistent", "HOME": "/tmp", **(environment or {})}  # noqa: S108 -- the sandbox's own /tmp
        if mechanism() == "bubblewrap":
            return _run(self._bubblewrap(variables, command), stdin, timeout)
        root = tempfile.mkdtemp(prefix="nix-manylinux-root-", dir=_beside(self.binds))
        try:
            self._fill(root)
            return _run(command, stdin, timeout, environment=variables, root=root)
        except OSError as error:
            return subprocess.CompletedProcess([*command], 127, "", str(error))
        finally:
            for path in self.writable:
                shutil.copytree(root + path, path, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(root)

    def allows(self, path: str) -> bool:
        """Whether a path that was mapped inside comes from what was made visible."""
        inside = [there for _, there in self.binds] + list(self.writable)
        return any(path == place or path.startswith(place + "/") for place in inside)

    def _bubblewrap(self, variables: Mapping[str, str], command: Iterable[str]) -> list[str]:
        # The variables are not for bubblewrap itself: LD_DEBUG would make it talk.
        prefix = [_tool("bwrap"), "--unshare-all", "--die-with-parent", "--new-session"]
        prefix += ["--clearenv"]
        for name, value in variables.items():
            prefix += ["--setenv", name, value]
        prefix += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108
        for outside, inside in self.binds:
            prefix += ["--ro-bind", outside, inside]
        for path in self.writable:
            prefix += ["--bind", path, path]
        return [*prefix, "--chdir", "/", "--", *command]

    def _fill(self, root: str) -> None:
        """Give a chroot directory what bubblewrap would bind; links where they are possible."""
        for folder in ("tmp", "dev"):
            os.mkdir(os.path.join(root, folder))
        with open(os.path.join(root, "dev", "null"), "wb"):
            pass
        for outside, inside in (*self.binds, *((path, path) for path in self.writable)):
            place = root + inside
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if os.path.isdir(outside):
                copy = shutil.copy2 if inside in self.writable else _link
                shutil.copytree(
                    outside, place, copy_function=copy, symlinks=True, dirs_exist_ok=True
                )
            else:
                _link(os.path.realpath(outside), place)


def _run(
    command: Iterable[str],
    stdin: str,
    timeout: float,
    *,
    environment: Mapping[str, str] | None = None,
    root: str = "",
) -> subprocess.CompletedProcess[str]:
    def enter() -> None:
        os.chroot(root)
        os.chdir("/")

    return subprocess.run(
        [*command],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env=environment,
        timeout=timeout,
        check=False,
        preexec_fn=enter if root else None,
    )


@cache
def mechanism() -> str:
    """How this machine isolates: "bubblewrap", or "chroot" where that is impossible.

    Raises `IsolationError` with what to do where both are.
    """
    try:
        tried = subprocess.run(
            [_tool("bwrap"), "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "true"],
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode == 0:
            return "bubblewrap"
        why = tried.stderr.strip()
    except FileNotFoundError:
        why = "bubblewrap (the command bwrap) is not installed"
    if os.geteuid() == 0:
        return "chroot"
    message = (
        f"can't hide the host's libraries: {why}\n"
        "  Allow unprivileged user namespaces, or run as root: then a chroot will do."
    )
    raise IsolationError(message)


def sandbox(store: Store, *visible: str, writable: Iterable[str] = ()) -> Sandbox:
    """Make a sandbox with a whole store, its libc where its loader looks, and more."""
    binds = [(store.root, store.root), (store.libc, store.default_directory)]
    linker = os.path.join(store.default_directory, os.path.basename(store.dynamic_linker))
    if store.host_linker != linker:
        binds.append((store.dynamic_linker, store.host_linker))
    binds += [(path, path) for path in visible]
    return Sandbox(binds=tuple(binds), writable=tuple(writable))


def _beside(binds: tuple[tuple[str, str], ...]) -> str | None:
    """Find a directory on the file system of what is largest, so that hard links are possible."""
    return os.path.dirname(binds[0][0]) if binds else None


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def _tool(name: str) -> str:
    """Find the absolute path of a tool, since inside there is no PATH to speak of."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin")
    return found or name

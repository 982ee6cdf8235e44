"""Runs commands where nothing is visible but what was named.

Bubblewrap gives a new root with read-only binds. Where the kernel or a
container forbids that and we are root, a directory of hard links and a chroot
do the same job: nothing of the host can be opened there either. Where neither
is possible there is an `IsolationError`: a test that could lean on the host's
libraries proves nothing.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.support.store import Store


class IsolationError(RuntimeError):
    """Nothing on this machine can hide the host's libraries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """What can be seen inside: pairs of a path outside and its path inside, read-only.

    ``writable`` are directories that are visible under their own names and
    may be written. There is no network, an empty /tmp, a /dev and a /proc; in a
    chroot /proc is empty where we may not mount, and the network is the host's.
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
        prefix = [_tool("bwrap"), *(namespaces()[0] or _OWN_USERS), "--die-with-parent"]
        prefix += ["--new-session", "--clearenv"]
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
        for folder in ("tmp", "dev", "proc"):
            os.mkdir(os.path.join(root, folder))
        with open(os.path.join(root, "dev", "null"), "wb"):
            pass
        for outside, inside in (*self.binds, *((path, path) for path in self.writable)):
            place = root + inside
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if os.path.isdir(outside):
                _copy_tree(outside, place, shutil.copy2 if inside in self.writable else _link)
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
    libc = ctypes.CDLL(None, use_errno=True)

    def enter() -> None:
        # A /proc where we may mount one, in a mount namespace that ends with the process.
        if libc.unshare(_CLONE_NEWNS) == 0:
            libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
            libc.mount(b"proc", os.fsencode(f"{root}/proc"), b"proc", 0, None)
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


#: Namespaces of one's own; a user namespace among them, which not every machine allows.
_OWN_USERS = ("--unshare-all",)

#: The same for root where user namespaces are forbidden.
_SAME_USERS = ("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts")


#: From sched.h and sys/mount.h.
_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 0x4000, 0x40000


@cache
def namespaces() -> tuple[tuple[str, ...], str]:
    """Find the namespaces that bubblewrap may have here; none, and why, if it may not work."""
    why = ""
    for options in (_OWN_USERS, _SAME_USERS):
        try:
            tried = subprocess.run(
                [_tool("bwrap"), *options, "--ro-bind", "/", "/", "--proc", "/proc", "true"],
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            return (), "bubblewrap (the command bwrap) is not installed"
        if tried.returncode == 0:
            return options, ""
        why = why or tried.stderr.strip()
    return (), why


def mechanism() -> str:
    """How this machine isolates: "bubblewrap", or "chroot" where that is impossible.

    Raises `IsolationError` with what to do where both are.
    """
    options, why = namespaces()
    if options:
        return "bubblewrap"
    if os.geteuid() == 0:
        return "chroot"
    message = (
        f"can't hide the host's libraries: {why}\n"
        "  Allow unprivileged user namespaces, or run as root: then a chroot will do."
    )
    raise IsolationError(message)


def possible() -> list[str]:
    """List the ways that work here; `mechanism` takes the first."""
    root = ["chroot"] if os.geteuid() == 0 else []
    return [*(["bubblewrap"] if namespaces()[0] else []), *root]


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


def _copy_tree(source: str, target: str, copy: Callable[[str, str], str]) -> None:
    """Copy a directory; what vanishes meanwhile (another build's lock, say) is left out."""
    try:
        shutil.copytree(source, target, copy_function=copy, symlinks=True, dirs_exist_ok=True)
    except shutil.Error as error:
        if any(os.path.lexists(path) for path, *_ in error.args[0]):
            raise


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


@cache
def unshare(kind: str) -> tuple[str, ...]:
    """Give the command that runs another with its own mounts ("m") or network ("n"); () for none.

    Containers may forbid it, and then no package helps: tests that need it are ``asked_for``.
    """
    for command in (("unshare", f"-r{kind}"), ("unshare", f"-{kind}")):
        tried = subprocess.run([*command, "true"], capture_output=True, check=False)
        if tried.returncode == 0:
            return command
    return ()

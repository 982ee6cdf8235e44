"""Attributes that Nix is asked for, and what is told meanwhile."""

from __future__ import annotations

from nix_manylinux.base.errors import NixManylinuxError
from nix_manylinux.base.words import count
from nix_manylinux.nix.build import Listener, NixBuilds, Taken, Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nix_manylinux.cli.console import Console


class Taking:
    """Asks one nixpkgs, by its reference, for attributes; a dry run takes only what is there."""

    def __init__(
        self, nixpkgs: str, console: Console, environment: Mapping[str, str], *, dry_run: bool
    ) -> None:
        self._reference = nixpkgs
        self._console = console
        self._environment = environment
        self._dry_run = dry_run
        self._nixpkgs: NixBuilds | None = None

    def take(
        self,
        attributes: Sequence[str],
        give_up: Callable[[Mapping[str, str]], bool] = lambda _: False,
    ) -> Taken:
        """Have Nix build or fetch attributes, and say so; see `NixBuilds.take`, and its errors."""
        console = self._console
        nixpkgs = self._asked()
        verb = "would take" if self._dry_run else "taking"
        console.say(f"  {verb} of {self._reference}: {' '.join(attributes)}")
        taken = nixpkgs.take(attributes, dry_run=self._dry_run, give_up=give_up)
        console.clear()
        if taken.last_words and not console.verbose:
            console.insist(["  the end of what Nix said (-v for all):"])
            console.insist(f"    {line}" for line in taken.last_words)
        return taken

    def unusable(self, attributes: Sequence[str]) -> dict[str, str]:
        """Say which attributes Nix can't evaluate, and why; nothing where it can't be asked."""
        try:
            return self._asked().unusable(attributes)
        except NixManylinuxError:
            return {}

    def _asked(self) -> NixBuilds:
        if self._nixpkgs is None:
            told = _Told(self._console, dry_run=self._dry_run)
            self._nixpkgs = NixBuilds(self._reference, self._environment, told)
        return self._nixpkgs


class _Told(Listener):
    """Tells on the console what Nix does."""

    def __init__(self, console: Console, *, dry_run: bool) -> None:
        self._console = console
        self._dry_run = dry_run
        self._warned = dry_run

    def line(self, text: str) -> None:
        if self._console.verbose:
            self._console.say_all([text], indent="    ")

    def work(self, work: Work) -> None:
        parts = []
        if work.built:
            parts.append(f"build {count(work.built, 'package')}")
        if work.fetched:
            size = f" ({work.size})" if work.size else ""
            parts.append(f"fetch {count(work.fetched, 'path')}{size}")
        what = " and ".join(parts)
        self._console.say(f"  Nix {'would' if self._dry_run else 'has to'} {what}")
        if work.built and not self._warned:
            self._warned = True
            self._console.say(
                "  building may take long; interrupting it does no harm, and --dry-run says"
                " beforehand what it would be"
            )

    def progress(self, begun: int, total: int, what: str, said: str) -> None:
        self._console.progress(what, begun, total, said)

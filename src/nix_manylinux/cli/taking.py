"""Attributes that Nix is asked for, and what is told meanwhile."""

from __future__ import annotations

from nix_manylinux.base.errors import NixManylinuxError
from nix_manylinux.base.words import count, listed
from nix_manylinux.nix.build import Listener, NixBuilds, Taken, Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nix_manylinux.cli.console import Console


class Taking(Listener):
    """Asks one nixpkgs, by its reference, for attributes, and tells on the console what Nix does.

    A dry run takes only what is there.
    """

    def __init__(
        self, nixpkgs: str, console: Console, environment: Mapping[str, str], *, dry_run: bool
    ) -> None:
        self._reference = nixpkgs
        self._console = console
        self._environment = environment
        self._dry_run = self._warned = dry_run
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
            self._nixpkgs = NixBuilds(self._reference, self._environment, self)
        return self._nixpkgs

    def line(self, text: str) -> None:
        """Tell what Nix says, where every detail is asked for."""
        if self._console.verbose:
            self._console.say_all([text], indent="    ")

    def work(self, work: Work) -> None:
        """Tell what Nix is about to do."""
        parts = []
        if work.built:
            parts.append(f"build {count(work.built, 'package')}")
        if work.fetched:
            size = f" ({work.size})" if work.size else ""
            parts.append(f"fetch {count(work.fetched, 'path')}{size}")
        self._console.say(f"  Nix {'would' if self._dry_run else 'has to'} {listed(parts)}")
        if work.built and not self._warned:
            self._warned = True
            self._console.say(
                "  building may take long; interrupting it does no harm, and --dry-run says"
                " beforehand what it would be"
            )

    def progress(self, begun: int, total: int, what: str, said: str) -> None:
        """Tell how far it is."""
        self._console.progress(what, begun, total, said)

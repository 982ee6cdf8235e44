"""What is picked out of what Nix says while it builds and fetches."""

from __future__ import annotations

from nix_manylinux.nix.build import Listener, Work, _Listening

#: As Nix 2.8 to 2.31 say it, of a build with a download.
SAID = """\
warning: Git tree '/home/me/nixpkgs' is dirty
these 2 derivations will be built:
  /nix/store/acgvkmk5kzv5n2k2646axn2kfy4ai3m0-a.drv
  /nix/store/bcgvkmk5kzv5n2k2646axn2kfy4ai3m0-b.drv
these 3 paths will be fetched (12.34 MiB download, 45.60 MiB unpacked):
  /nix/store/ccgvkmk5kzv5n2k2646axn2kfy4ai3m0-c
  /nix/store/dcgvkmk5kzv5n2k2646axn2kfy4ai3m0-d
  /nix/store/fcgvkmk5kzv5n2k2646axn2kfy4ai3m0-f
copying path '/nix/store/ccgvkmk5kzv5n2k2646axn2kfy4ai3m0-c' from 'https://cache.example'...
building '/nix/store/acgvkmk5kzv5n2k2646axn2kfy4ai3m0-a.drv' on 'ssh://builder'...
checking for gcc... gcc
"""


class Heard(Listener):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.works: list[Work] = []
        self.last = (0, 0)
        self.told: list[tuple[str, str]] = []

    def line(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)

    def work(self, work: Work) -> None:
        """Keep what is told to be done."""
        self.works.append(work)

    def progress(self, begun: int, total: int, what: str, said: str) -> None:
        """Keep how far it is, and with what."""
        self.last = (begun, total)
        self.told.append((what, said))


def hear(said: str) -> tuple[Heard, _Listening]:
    """Have text heard line by line."""
    heard = Heard()
    listening = _Listening(heard)
    for line in said.splitlines():
        listening.hear(line)
    listening.tell_work()
    return heard, listening


def test_what_has_to_be_done_is_told_once() -> None:
    """Before the first of it begins, with how much is fetched; how far it is, meanwhile."""
    heard, listening = hear(SAID)
    assert heard.lines == SAID.splitlines()
    assert heard.works == [Work(built=2, fetched=3, size="12.34 MiB download")]
    assert heard.last == (2, 5)
    assert heard.told[-3:] == [
        ("fetching c,", ""), ("building a,", ""), ("building a,", "checking for gcc... gcc"),
    ]  # fmt: skip
    assert listening.last[-1] == "checking for gcc... gcc"
    assert not any(line.startswith("  /nix/store") for line in listening.last)


def test_one_of_each() -> None:
    """The singular is read, too; what only looks like it is not."""
    heard, _ = hear("this path will be fetched (0.01 MiB download, 0.02 MiB unpacked):")
    assert heard.works == [Work(fetched=1, size="0.01 MiB download")]
    heard, _ = hear("this derivation will be built:")
    assert heard.works == [Work(built=1)]
    heard, _ = hear("checking whether this path will be fetched later\nbuilding things")
    assert heard.works == []
    assert heard.last == (0, 0)


def test_what_cannot_be_downloaded() -> None:
    """A source that a build fetches is fetched, not built; that it isn't had is told, and why."""
    store = "/nix/store/acgvkmk5kzv5n2k2646axn2kfy4ai3m0"
    heard, listening = hear(
        f"building '{store}-texinfo-7.2.tar.xz.drv'...\n"
        "trying https://example.org/texinfo-7.2.tar.xz\n"
        "curl: (6) Could not resolve host: example.org\n"
        "error: cannot download texinfo-7.2.tar.xz from any mirror\n"
        f"building '{store}-fribidi-1.0.drv'..."
    )
    whats = [what for what, _ in heard.told]
    assert (whats[0], whats[-1]) == ("fetching texinfo-7.2.tar.xz,", "building fribidi-1.0,")
    why = "texinfo-7.2.tar.xz can't be downloaded (Could not resolve host: example.org)"
    assert listening.lost == why

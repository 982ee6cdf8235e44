"""Where the ordinary client has a file from, as its log tells: an index, or a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from urllib.parse import unquote, urlsplit, urlunsplit

from nix_manylinux.base.digest import sha256_of
from nix_manylinux.base.programs import run_program
from nix_manylinux.base.values import Value

#: How pip's log begins a line about other indexes, or folders, than the default index.
_LOOKING = re.compile(r"Looking in (indexes|links): (.*)")

#: A file that may be taken, and the page of the index that leads to it.
_FOUND = re.compile(r"Found link (\S+?)(?: \(from (\S+?)\)|, version)")

#: What pip's help says of `--index-url`, whatever the settings are.
_DEFAULT = re.compile(r"\(default\s+(https?://[^\s)]+)\)")

_SHA256 = re.compile(r"#sha256=([0-9a-f]{64})")


class Origin(Value):
    """``url`` is where another index than the default one has a file, ``path`` a file of a folder.

    Both are "" for the default index, which Nix knows. The URL is what a file may hold: no
    name, no password, no query and no fragment. ``kept_back`` says that it had one of these,
    or that its index is asked with a password.
    """

    url: str = ""
    path: str = ""
    kept_back: bool = False


DEFAULT_INDEX = Origin()

#: What is said of a URL that is not written whole.
KEPT_BACK = "the index is asked with a password or a token, which no file is to hold"


def find_origins(
    log: str, paths: Iterable[str], *, pip: Sequence[str], environment: Mapping[str, str]
) -> dict[str, Origin]:
    """Say of fetched files where pip has them from; ``log`` is the file that `--log` wrote.

    What the default index has, too, with no other digest, is the default index's.
    """
    text = read_log(log)
    looking = _LOOKING.findall(text)
    if not looking:
        return dict.fromkeys(paths, DEFAULT_INDEX)
    guarded = set()
    for kind, places in looking:
        if kind == "indexes":
            parts = [urlsplit(each) for each in places.split(", ")]
            guarded |= {each.netloc.rpartition("@")[2] for each in parts if "@" in each.netloc}
    default = _default_index(pip, environment)
    links: dict[str, list[tuple[str, str]]] = {}
    for link, page in _FOUND.findall(text):
        name = unquote(urlsplit(link).path.rpartition("/")[2])
        links.setdefault(name, []).append((link, page))
    return {
        path: _origin(path, links.get(os.path.basename(path), []), default, guarded)
        for path in paths
    }


def _origin(path: str, links: Sequence[tuple[str, str]], default: str, guarded: set[str]) -> Origin:
    """Choose among the links to files of one name; of equal ones pip takes the last."""
    if any(_SHA256.search(link) for link, _ in links):
        digest = sha256_of(path).hex()
        # An index may tell no digest.
        links = [each for each in links if _SHA256.findall(each[0]) in ([], [digest])]
    if not links or (default and any(page.startswith(default) for _, page in links)):
        return DEFAULT_INDEX
    link, page = links[-1]
    parts = urlsplit(link)
    if parts.scheme not in {"http", "https"}:
        return Origin(path=unquote(parts.path))
    netloc = parts.netloc.rpartition("@")[2]
    return Origin(
        url=urlunsplit((parts.scheme, netloc, parts.path, "", "")),
        kept_back=bool(
            parts.query
            or netloc != parts.netloc
            or {netloc, urlsplit(page).netloc.rpartition("@")[2]} & guarded
        ),
    )


def _default_index(pip: Sequence[str], environment: Mapping[str, str]) -> str:
    """Ask pip for the index that it has without any setting, which is Nix's `fetchPypi`'s."""
    # Help shows the settings, and os.devnull stands for no file with any.
    plain = {name: value for name, value in environment.items() if not name.startswith("PIP_")}
    plain |= {"PIP_CONFIG_FILE": os.devnull, "COLUMNS": "200"}
    done = run_program([*pip, "download", "--help"], plain)
    found = _DEFAULT.search(done.stdout.decode("utf-8", "replace"))
    return f"{found[1].rstrip('/')}/" if found else ""


def read_log(path: str) -> str:
    """Give what `--log` wrote; "" for nothing."""
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()
    return ""  # of a client that writes no log
